"""A card's timeline: everything that ever happened to it has a sentence, with who did it and why, newest first."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from engine.cards import binding, lifecycle
from engine.cards.timelineview import timeline
from engine.cards.timelinewords import AUDITED, EVENTS, audit_said, event_said
from engine.db import Database
from engine.funds import recharges, transfers
from engine.permissions import COMMANDS
from engine.stock import custody
from engine.stock.custody import Range
from engine.stock.verbs import VERBS
from engine.telling import Fact, Phone, Run, Serial, Span, Typed, Until
from engine.vault import Vault
from tests import scenes
from tests.scenes import NOW, OPERATOR, USD, Line

ENGINE = Path(__file__).parents[2] / "engine"
WRITERS = {"add_event", "tell", "tell_each", "move_ends", "_tell_callers", "_tell_cards"}
"""Functions that write lines; the kind is the first plain text that they are given."""
SQL = re.compile(r"INSERT INTO card_event.*?SELECT [\w.]+, [^,]+, '(\w+)'", re.DOTALL)


def plain(fact: Fact) -> str:
    match fact:
        case Typed(value) | Serial(value) | Phone(value) | Run(value) | Span(value):
            return str(value)
        case Until(instant):
            return f"{instant:%Y-%m-%d %H:%M}"
        case _:
            return str(fact)


def kinds_in_the_source() -> Iterator[tuple[str, str]]:
    """Every kind of event that some line of the engine writes, and where."""
    for path in sorted(ENGINE.rglob("*.py")):
        if "migrations" in path.parts:
            continue
        source = path.read_text()
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                told = [
                    one.value
                    for one in node.args
                    if isinstance(one, ast.Constant) and isinstance(one.value, str)
                ]
                if name in WRITERS and told:
                    yield told[0], f"{path.name}:{node.lineno}"
        for match in SQL.finditer(source):
            yield match[1], path.name
    for kind in VERBS:
        yield kind, "moves.py"


def test_every_kind_of_event_in_the_source_has_a_sentence() -> None:
    found = dict(kinds_in_the_source())
    assert {
        "lock",
        "expire",
        "breakage",
        "sell",
        "auto_enrol",
        "redeem",
        "first_use",
        "end_call",
    } <= found.keys()
    assert not {kind: where for kind, where in found.items() if kind not in EVENTS}
    assert not EVENTS.keys() - found.keys(), "sentences that nothing writes"


def test_whatever_writes_events_is_looked_at_by_these_tests() -> None:
    writers = {
        path.relative_to(ENGINE).as_posix()
        for path in ENGINE.rglob("*.py")
        if re.search(r"INTO card_event|insert\(CardEvent\)", path.read_text())
        and "migrations" not in path.parts
    }
    assert writers == {
        "bulk/steps.py",
        "bulk/verbs.py",
        "cards/expiry.py",
        "cards/timeline.py",
        "funds/autorules.py",
        "funds/breakage.py",
        "stock/moves.py",
    }


def test_acts_on_cards_that_leave_only_an_audit_row_have_a_sentence_there() -> None:
    custody_acts = {name for name in COMMANDS if name.startswith("cards.")}
    assert custody_acts <= AUDITED.keys()
    # A generation that is stopped leaves no card, and a file that was ordered is told of when it is made.
    unsaid = {"batch.stop", "batch.hand_over"}
    assert {name for name in COMMANDS if name.startswith("batch.")} - AUDITED.keys() <= unsaid
    assert audit_said("card.lock", {}) is None, "its event tells it already"


DATA = {
    "days": 3, "before": 1, "calls": 2, "caller": "447700900123", "amount": 1, "currency": "USD", "into": "1",
    "card": "2", "by": "", "voucher": "3", "switch": "gw", "seconds": 5, "charged": 2, "deck": "D", "rules": "R",
    "rule": "A", "reseller": 4, "slot": 7, "to": "8801712345678",
}  # fmt: skip


@pytest.mark.parametrize("kind", sorted(EVENTS))
def test_each_sentence_can_be_said(kind: str) -> None:
    data = dict(DATA)
    if kind in ("extend", "reactivate", "expire"):
        data |= {"expires_at": NOW.isoformat(), "before": NOW.isoformat()}
    said = event_said(kind, {**data, "run": 7}).plain(plain)
    assert said.endswith("By 7.")
    assert len(said) > 12
    assert "{" not in said


def test_a_kind_that_nobody_knows_is_said_in_its_own_word() -> None:
    assert event_said("moved_on", {}).plain(plain) == "Moved on."


def lines(db: Database, serial: str) -> list[tuple[str, str | None, str | None]]:
    return [(line.said.plain(plain), line.actor, line.reason) for line in timeline(db, serial).lines]


def test_a_life_is_told_from_its_end_to_its_beginning(db: Database, vault: Vault) -> None:
    one, other = scenes.batch(db, vault, 2, name="May", binding="multi", max_bound=2, release="activation")
    at = NOW

    def later() -> datetime:
        nonlocal at
        at += timedelta(minutes=1)
        return at

    both = Range(one.id, other.id)
    custody.mark_printed(db, both, OPERATOR, later())
    custody.mark_shipped(db, both, OPERATOR, later(), reason="To the <shop>")
    custody.activate(db, Range(one.id, one.id), OPERATOR, later())
    custody.activate(db, both, OPERATOR, later())
    binding.bind(db, card_id=one.id, caller="+447700900123", actor=OPERATOR, now=later())
    lifecycle.lock(db, card_id=one.id, reason="Lost", actor=OPERATOR, now=later())
    lifecycle.unlock(db, vault, card_id=one.id, actor=OPERATOR, now=later())
    recharges.recharge(db, card_id=one.id, amount=USD("2"), bonus=USD("1"), actor=OPERATOR, now=later())
    transfers.transfer(db, from_id=one.id, to_id=other.id, amount=USD("3"), actor=OPERATOR, now=later())
    assert lines(db, one.serial) == [
        (f"USD 3.00 went to the card {other.serial}.", "staff:1", None),
        ("Recharged with USD 2.00 and a bonus of USD 1.00.", "staff:1", None),
        ("Unlocked. It had been locked for: Lost.", "staff:1", None),
        ("Locked: no call, no balance, no recharge.", "staff:1", "Lost"),
        ("Bound to 447700900123.", "staff:1", None),
        (
            "Activated: it may be used. So it is told of a range; 1 of its 2 cards were left as they were.",
            "staff:1",
            None,
        ),
        ("Activated: it may be used.", "staff:1", None),
        ("Marked as shipped.", "staff:1", "To the <shop>"),
        ("Marked as printed.", "staff:1", None),
        ("Ordered with its batch.", "staff:1", None),
    ]
    assert lines(db, other.serial)[0][0] == f"USD 3.00 came from the card {one.serial}."
    assert "Activated: it may be used." not in [said for said, _, _ in lines(db, other.serial)]


def test_neighbours_and_other_batches_are_not_told_of(db: Database, vault: Vault) -> None:
    one, two, three = scenes.batch(db, vault, 3, name="May")
    custody.mark_printed(db, Range(two.id, three.id), OPERATOR, NOW)
    assert [said for said, _, _ in lines(db, one.serial)] == ["Ordered with its batch."]
    assert len(lines(db, two.serial)) == 2
    assert len(lines(db, three.serial)) == 2


def test_pages_go_on_where_the_last_one_ended_whatever_happened_at_once(db: Database, vault: Vault) -> None:
    card = scenes.card(db, vault)
    for number in range(6):
        lifecycle.set_concurrency(db, card_id=card.id, calls=number + 2, actor=OPERATOR, now=NOW)
        custody.hold_back(db, Range(card.id, card.id), OPERATOR, NOW)
        custody.activate(db, Range(card.id, card.id), OPERATOR, NOW)
    whole = timeline(db, card.serial, limit=100)
    assert whole.older is None
    assert len(whole.lines) == 19
    gathered, before = [], None
    for _ in range(10):
        page = timeline(db, card.serial, before=before, limit=4)
        gathered += page.lines
        before = page.older
        if before is None:
            break
    assert tuple(gathered) == whole.lines


def test_first_use_and_a_lock_by_wrong_passwords_say_what_they_are(db: Database, vault: Vault) -> None:
    scenes.setting(db, "lock_failures", 3)
    card = scenes.card(db, vault)
    line = Line(db, vault, scenes.switch(db, "gw"))
    line.later(60).authenticate(card)
    for _ in range(3):
        line.later(60).authenticate(card.with_password("0"))
    told = lines(db, card.serial)
    assert told[0] == ("Locked after 3 wrong passwords.", "Cardtone", None)
    assert told[1] == ("Used for the first time.", "switch gw", None)


def test_ranges_are_found_by_their_index_however_many_there_are(db: Database, vault: Vault) -> None:
    """The plan of a query that the index is of no use to would read every row of the trail."""
    card = scenes.card(db, vault)
    with db.begin() as session:
        session.execute(
            text(
                "INSERT INTO audit (at, actor, actor_name, action, subject, data) SELECT :now, 'console', '',"
                " 'cards.printed', 'cards:' || (2000000000 + n * 100) || '0-' || (2000000050 + n * 100) || '0', '{}'"
                " FROM generate_series(1, 5000) n"
            ),
            {"now": datetime(2026, 1, 1, tzinfo=UTC)},
        )
        session.execute(text("ANALYZE audit"))
        plan = session.scalars(
            text(
                "EXPLAIN SELECT * FROM audit WHERE subject ~ '^cards:[0-9]{11}-[0-9]{11}$' AND"
                " int8range(CAST(substr(subject, 7, 10) AS bigint), CAST(substr(subject, 19, 10) AS bigint), '[]')"
                " @> CAST(:id AS bigint)"
            ),
            {"id": card.id},
        ).all()
        session.rollback()
    assert "ix_audit_ranges" in " ".join(plan)
