"""What tests of bulk commands share: confirm, work off, look."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text

from engine import work
from engine.bulk import handler
from engine.bulk.orders import BulkOrder, Listed
from engine.bulk.preview import preview
from engine.bulk.runs import confirm
from engine.bulk.views import RunView, show
from engine.db import Database
from engine.vault import Vault
from tests.scenes import NOW, OPERATOR, TestCard

LATER = NOW + timedelta(hours=1)


def listed(*cards: TestCard) -> Listed:
    """A list of cards."""
    return Listed(tuple(card.id for card in cards))


def do(db: Database, vault: Vault, run_id: int, now: datetime = LATER) -> RunView:
    """Work off a run as a jobs process does, to its end."""
    work_id = show(db, run_id).work_id
    claimed = work.claim(db, "test", ["bulk"], now, work_id=work_id)
    assert claimed is not None
    work.finish(db, claimed, now, handler.run(db, vault, claimed, lambda: now))
    return show(db, run_id)


def bulk(db: Database, vault: Vault, order: BulkOrder, now: datetime = LATER, **more: Any) -> RunView:
    """Confirm an order and work it off. What was foreseen must come."""
    seen = preview(db, order, now)
    done = do(db, vault, confirm(db, order, OPERATOR, now, **more), now)
    foreseen = (seen.cards, seen.changing, seen.unchanged, dict(seen.refused), seen.amount)
    assert foreseen == (done.cards, done.changed, done.unchanged, dict(done.reasons), done.amount)
    assert done.state == "done"
    return done


def timeline(db: Database, card_id: int) -> list[tuple[str, dict[str, Any]]]:
    """A card's timeline, oldest first: kinds and data."""
    with db.begin() as session:
        rows = session.execute(
            text("SELECT kind, data FROM card_event WHERE card_id = :id ORDER BY id"), {"id": card_id}
        )
        return [(row.kind, row.data) for row in rows]


def entries(db: Database, card_id: int) -> list[tuple[str, str, int]]:
    """A card's ledger after its opening: kinds, accounts, amounts."""
    with db.begin() as session:
        rows = session.execute(
            text(
                "SELECT kind, account, amount FROM ledger_entry"
                " WHERE card_id = :id AND kind <> 'opening' ORDER BY id"
            ),
            {"id": card_id},
        )
        return [(row.kind, row.account, row.amount) for row in rows]


def audited(db: Database, action: str) -> list[Any]:
    """The audit rows of an action."""
    with db.begin() as session:
        return list(
            session.execute(
                text("SELECT actor, subject, reason, data FROM audit WHERE action = :action ORDER BY id"),
                {"action": action},
            )
        )
