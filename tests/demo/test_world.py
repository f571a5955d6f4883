"""The demo world, small: made once for all of these tests through the whole path, and looked at from all sides."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from demo import making
from engine.calls.decks import deck_list
from engine.db import Database
from engine.errors import Conflict
from engine.people import auditchain, staff
from engine.people.entrance import SecondNeeded
from engine.permissions import STAFF_ROLES
from engine.reports.verify import verify
from engine.vault import Secret, Vault
from tests import scenes
from tests.conftest import Clones

NOW = datetime(2026, 11, 20, 21, 30, tzinfo=UTC)
PASSWORD = "one-password-for-all"


@dataclass(frozen=True)
class Demo:
    db: Database
    made: making.Made

    def rows(self, query: str) -> list[Any]:
        with self.db.connection() as conn:
            return conn.execute(query).fetchall()

    def one(self, query: str) -> Any:
        return self.rows(query)[0][0]


@pytest.fixture(scope="module")
def demo(clones: Clones, vault: Vault, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    url = clones.make()
    db, files = Database(url), tmp_path_factory.mktemp("exports")
    yield Demo(db, making.make(db, vault, NOW, files, size="small", password=Secret(PASSWORD)))
    db.close()
    clones.drop(url)


def test_the_books_verify(demo: Demo) -> None:
    assert demo.made.findings == []
    assert verify(demo.db, NOW) == []


def test_there_is_somebody_of_every_role_who_can_log_in(demo: Demo, vault: Vault) -> None:
    logins = {one.role: one for one in demo.made.logins if one.realm == "staff"}
    assert set(logins) == set(STAFF_ROLES)
    assert {one.role for one in demo.made.logins if one.realm == "reseller"} == {"owner", "clerk"}
    for one in logins.values():
        who = staff.log_in(demo.db, vault, one.login, Secret(PASSWORD), None, NOW + timedelta(minutes=1))
        if one.code_secret is None:
            assert getattr(who, "role", None) == one.role, one.login
        else:
            assert isinstance(who, SecondNeeded)


def test_resellers_have_credit_and_stock(demo: Demo) -> None:
    assert demo.one("SELECT count(*) FROM reseller") == 3
    assert demo.one("SELECT count(DISTINCT reseller_id) FROM card") == 3
    assert demo.one("SELECT count(*) FROM account WHERE kind = 'reseller' AND balance > 0") == 3
    assert {row.kind for row in demo.rows("SELECT DISTINCT kind FROM stock_move")} >= {
        "assign",
        "sell",
        "activate",
    }


def test_resellers_work_at_their_desks(demo: Demo) -> None:
    kinds = {row.kind for row in demo.rows("SELECT DISTINCT kind FROM stock_move")}
    assert kinds == {"assign", "activate", "sell", "return"}
    sums = "SELECT reseller_id FROM payment JOIN card ON card.id = card_id WHERE method = 'reseller'"
    assert demo.one(f"SELECT count(DISTINCT reseller_id) FROM ({sums}) AS paid") >= 2
    assert (
        demo.one("SELECT count(*) FROM shipment WHERE received_at IS NOT NULL AND reseller_id IS NOT NULL")
        >= 3
    )
    assert demo.one("SELECT count(*) FROM shipment WHERE received_at IS NULL") == 1
    assert demo.one("SELECT count(*) FROM brand WHERE logo IS NOT NULL") == 2


def test_cards_are_printed_in_the_house_and_at_a_till(demo: Demo) -> None:
    assert demo.one("SELECT count(*) FROM print_design") == 3
    assert demo.one("SELECT count(*) FROM printer WHERE reseller_id IS NOT NULL") == 1
    states = demo.rows(
        "SELECT run.reseller_id IS NULL AS house, run.confirmed_at IS NULL AS waits, work.state"
        " FROM print_run run JOIN work ON work.id = run.work_id ORDER BY run.id"
    )
    assert [tuple(row) for row in states] == [
        (False, False, "done"),
        (True, False, "done"),
        (True, True, "queued"),
    ]


def test_there_is_a_batch_in_every_stage(demo: Demo) -> None:
    stages = {
        "imported": "b.imported",
        "discarded": "b.discarded_at IS NOT NULL",
        "shredded": "k.shredded_at IS NOT NULL",
        "held back": "b.release = 'activation' AND c.released_at IS NULL",
        "activated": "b.release = 'activation' AND c.released_at IS NOT NULL",
        "only made": "b.ready_at IS NOT NULL AND NOT b.imported AND c.printed_at IS NULL",
        "printed": "c.printed_at IS NOT NULL AND c.shipped_at IS NULL",
        "shipped": "c.shipped_at IS NOT NULL AND c.sold_at IS NULL",
        "sold": "c.sold_at IS NOT NULL",
        "used": "c.first_used_at IS NOT NULL",
        "in grace": f"c.expires_at < '{NOW}' AND c.expires_at + make_interval(days => b.grace_days) > '{NOW}'",
        "past grace": f"c.expires_at + make_interval(days => b.grace_days) < '{NOW}'",
        "voucher": "b.kind = 'voucher'",
        "PINless": "b.pinless",
        "single": "b.binding = 'single'",
        "multi": "b.binding = 'multi'",
        "euro": "b.currency = 'EUR'",
    }
    found = {
        stage
        for stage, condition in stages.items()
        if demo.one(
            "SELECT EXISTS (SELECT 1 FROM batch b JOIN batch_key k ON k.batch_id = b.id"
            f" LEFT JOIN card c ON c.batch_id = b.id WHERE {condition})"
        )
    }
    assert found == set(stages)
    assert demo.one("SELECT count(*) FROM batch") >= 12


def test_ninety_days_of_calls_lie_in_the_partitions_of_their_months(demo: Demo) -> None:
    assert demo.one("SELECT count(*) FROM cdr") > 150
    assert demo.one("SELECT count(DISTINCT ended_at::date) FROM cdr") > 45
    assert demo.one("SELECT count(*) FROM cdr_default") == 0
    assert demo.one("SELECT count(*) FROM attempt_default") == 0
    assert demo.one(f"SELECT count(*) FROM cdr WHERE ended_at > '{NOW}' OR authorized_at > ended_at") == 0
    assert demo.one("SELECT count(*) FROM cdr WHERE duration_s = 0") > 10


def test_calls_go_on(demo: Demo) -> None:
    assert demo.made.live_calls == demo.one("SELECT count(*) FROM call WHERE call_ref LIKE '%-now-%'") > 0
    assert demo.one(f"SELECT count(*) FROM call WHERE sweep_after < '{NOW}'") == 0


def test_tries_were_refused_for_many_reasons(demo: Demo) -> None:
    reasons = {row.reason for row in demo.rows("SELECT DISTINCT reason FROM attempt")}
    assert reasons >= {"unknown_number", "wrong_password", "destination_barred"}


def test_the_audit_trail_is_chained(demo: Demo) -> None:
    found = auditchain.verify_chain(demo.db, NOW)
    assert (found.problems, found.late) == ((), False)
    assert found.links > 150


def test_each_deck_has_a_version_in_force_and_one_has_one_to_come(demo: Demo) -> None:
    decks = deck_list(demo.db, NOW)
    assert {deck.currency for deck in decks} == {"USD", "EUR"}
    assert all(deck.in_force is not None for deck in decks)
    assert any(version.state == "coming" for deck in decks for version in deck.versions)
    assert max(version.rates for deck in decks for version in deck.versions) >= 20_000


def test_search_and_reports_know_it_all(demo: Demo) -> None:
    ready = "SELECT count(*) FROM card c JOIN batch b ON b.id = c.batch_id WHERE b.ready_at IS NOT NULL"
    assert demo.one("SELECT count(*) FROM card_search") == demo.one(ready)
    assert demo.one("SELECT sum(calls) FROM traffic_bucket") == demo.one("SELECT count(*) FROM cdr")


def test_an_installation_with_work_in_it_is_left_alone(db: Database, vault: Vault, tmp_path: Path) -> None:
    scenes.card(db, vault)
    with pytest.raises(Conflict) as refused:
        making.make(db, vault, NOW, tmp_path, size="small")
    assert refused.value.code == "installation_used"
    with db.connection() as conn:
        assert conn.execute("SELECT count(*) AS n FROM staff").fetchone().n == 0  # type: ignore[union-attr]
