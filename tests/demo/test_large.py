"""The large world at a hundredth of its size: the same statements, books that verify, and a plausible spread."""

from __future__ import annotations

from datetime import UTC, datetime

from demo import large
from engine.db import Database
from engine.vault import Vault

NOW = datetime(2026, 11, 20, 21, 30, tzinfo=UTC)


def test_cards_and_calls_by_set_statements_leave_right_books(db: Database, vault: Vault) -> None:
    made = large.make(db, vault, NOW, cards=4_000)
    assert made.findings == []
    assert made.counts["card"] == 4_000
    assert 3_000 < made.counts["cdr"] < 5_000
    with db.connection() as conn:
        statuses = dict(conn.execute("SELECT status, count(*) FROM card_search GROUP BY 1").fetchall())
        late = conn.execute("SELECT count(*) FROM cdr WHERE ended_at > %s", (NOW,)).fetchone()
        strays = conn.execute("SELECT count(*) FROM cdr_default").fetchone()
    assert set(statuses) == {"unused", "active", "empty", "expired", "locked", "damaged"}
    assert (late[0], strays[0]) == (0, 0)
