"""Two-person consent: exact, by somebody else, once, and not for ever."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError

from engine.actor import CONSOLE, SYSTEM, Actor
from engine.db import Database
from engine.errors import Conflict, ConsentNeeded, Forbidden, InvalidInput, NotFound
from engine.people import consents
from engine.schema import AuditRow, Consent, ExportRun
from engine.stock.export import export_batch
from engine.vault import Vault
from tests import scenes

NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
ADA = Actor("staff", 1, "Ada Moss", "admin")
BOB = Actor("staff", 2, "Bob", "finance")
ZOE = Actor("staff", 3, "Zoe", "support")
FACTS = {"amount": 500_000_000, "currency": "USD"}


def later(**span: int) -> datetime:
    return NOW + timedelta(**span)


def ask(db: Database, actor: Actor = ADA, at: datetime = NOW, **other: Any) -> int:
    asked = {
        "action": "card.recharge",
        "subject": "card:10000000017",
        "facts": FACTS,
        "reason": "a large order",
    }
    return consents.ask(db, actor=actor, now=at, **{**asked, **other})


def decide(db: Database, number: int, actor: Actor = BOB, at: datetime = NOW, *, yes: bool = True) -> str:
    return consents.decide(db, consent_id=number, approve=yes, actor=actor, now=at).state


def need(db: Database, actor: Actor = ADA, at: datetime = NOW, **other: Any) -> int | None:
    wanted = {"action": "card.recharge", "subject": "card:10000000017", "facts": FACTS, **other}
    with db.begin() as session:
        return consents.need(session, actor, wanted["action"], wanted["subject"], wanted["facts"], at)


def state(db: Database, number: int, at: datetime = NOW) -> str:
    return consents.show(db, number, at).state


def audited(db: Database) -> list[tuple[str, str]]:
    with db.begin() as session:
        rows = session.scalars(
            select(AuditRow).where(AuditRow.action.startswith("consent.")).order_by(AuditRow.id)
        )
        return [(row.action, row.actor) for row in rows]


def test_asked_approved_used_once(db: Database) -> None:
    with pytest.raises(ConsentNeeded) as refused:
        need(db)
    assert refused.value.code == "consent_needed"
    number = ask(db, **refused.value.data)
    with pytest.raises(ConsentNeeded):
        need(db)
    assert state(db, number) == "open"
    assert decide(db, number) == "approved"
    assert need(db) == number
    assert state(db, number) == "used"
    with pytest.raises(ConsentNeeded):
        need(db)
    assert audited(db) == [("consent.ask", "staff:1"), ("consent.decide", "staff:2")]


@pytest.mark.parametrize(
    "other",
    [
        {"facts": {"amount": 500_000_001, "currency": "USD"}},
        {"facts": {"amount": 500_000_000}},
        {"subject": "card:10000000025"},
        {"action": "bulk.recharge"},
        {"actor": BOB},
        {"actor": CONSOLE},
        {"actor": Actor("reseller", 1, "Ada Moss", "owner", 1)},
    ],
)
def test_a_yes_is_for_exactly_what_was_asked_and_for_who_asked(db: Database, other: dict[str, Any]) -> None:
    decide(db, ask(db))
    with pytest.raises(ConsentNeeded):
        need(db, **other)
    assert need(db, facts=dict(reversed(FACTS.items()))) is not None


def test_a_no_is_a_no(db: Database) -> None:
    number = ask(db)
    assert decide(db, number, yes=False) == "refused"
    with pytest.raises(ConsentNeeded):
        need(db)


def test_nobody_decides_what_they_asked_themselves(db: Database) -> None:
    number = ask(db)
    with pytest.raises(Forbidden, match="consent_own"):
        decide(db, number, ADA)
    with pytest.raises(IntegrityError), db.begin() as session:
        session.execute(
            text("UPDATE consent SET approved = true, decided_by = asked_by, decided_at = asked_at")
        )
    assert state(db, number) == "open"


@pytest.mark.parametrize("actor", [CONSOLE, SYSTEM])
def test_a_machine_decides_nothing(db: Database, actor: Actor) -> None:
    with pytest.raises(Forbidden, match="consent_by_person"):
        decide(db, ask(db), actor)


def test_who_may_not_do_it_may_not_ask_for_it_or_decide(db: Database) -> None:
    with pytest.raises(Forbidden, match="not_permitted"):
        ask(db, ZOE)
    with pytest.raises(Forbidden, match="not_permitted"):
        decide(db, ask(db), ZOE)
    with pytest.raises(InvalidInput, match="unknown_action"):
        ask(db, action="card.eat")
    with pytest.raises(InvalidInput, match="reason_missing"):
        ask(db, reason="  ")
    with pytest.raises(NotFound):
        decide(db, 99)


def test_the_system_needs_none(db: Database) -> None:
    assert need(db, SYSTEM) is None


def test_it_is_over_after_a_day_or_what_the_house_says(db: Database) -> None:
    number = ask(db)
    with pytest.raises(Conflict, match="consent_expired"):
        decide(db, number, at=later(hours=24))
    assert decide(db, number, at=later(hours=23)) == "approved"
    with pytest.raises(ConsentNeeded):
        need(db, at=later(hours=24))
    assert state(db, number, later(hours=24)) == "expired"
    scenes.setting(db, "consent_hours", 1)
    short = ask(db, at=later(hours=48))
    assert consents.show(db, short, NOW).expires_at == later(hours=49)


def test_asking_and_deciding_twice_counts_once(db: Database) -> None:
    number = ask(db)
    assert ask(db) == number
    assert ask(db, BOB) != number
    assert [decide(db, number), decide(db, number)] == ["approved", "approved"]
    with pytest.raises(Conflict, match="consent_decided"):
        decide(db, number, yes=False)
    assert ask(db) != number, "what was decided is not asked again"
    assert audited(db).count(("consent.decide", "staff:2")) == 1


def test_an_act_that_fails_leaves_the_yes_unused(db: Database) -> None:
    number = ask(db)
    decide(db, number)

    def act_and_fail() -> None:
        with db.begin() as session:
            consents.need(session, ADA, "card.recharge", "card:10000000017", FACTS, NOW)
            raise RuntimeError("undone")

    with pytest.raises(RuntimeError, match="undone"):
        act_and_fail()
    assert state(db, number) == "approved"
    assert need(db) == number


@pytest.mark.parametrize("yeses", [1, 2])
def test_of_eight_acts_at_once_as_many_go_through_as_there_are_yeses(db: Database, yeses: int) -> None:
    for _ in range(yeses):
        decide(db, ask(db))
    start, used, refused = threading.Barrier(8), [], []

    def act() -> None:
        start.wait()
        try:
            used.append(need(db))
        except ConsentNeeded:
            refused.append(1)

    threads = [threading.Thread(target=act) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(used) == len(set(used)) == yeses
    assert len(refused) == 8 - yeses


def test_what_waits_is_listed_and_what_was_is_found(db: Database) -> None:
    numbers = [ask(db, facts={"amount": amount}) for amount in (1, 2, 3)]
    decide(db, numbers[1])
    assert [one.id for one in consents.list_open(db, NOW)] == [numbers[0], numbers[2]]
    assert consents.list_open(db, later(hours=24)) == []
    everything = consents.list_consents(db, NOW, limit=2)
    assert [(one.id, one.state) for one in everything] == [(numbers[2], "open"), (numbers[1], "approved")]
    older = consents.list_consents(db, NOW, before=everything[-1].id, asked_by="staff:1")
    assert [one.id for one in older] == [numbers[0]]
    assert consents.list_consents(db, NOW, asked_by="staff:2") == []


def test_an_export_with_passwords_needs_one_where_the_house_wants_it(
    db: Database, vault: Vault, tmp_path: Path
) -> None:
    scenes.batch(db, vault, 3, name="North")
    scenes.setting(db, "consent_exports", True)
    at = scenes.NOW

    def export(**more: Any) -> None:
        export_batch(db, vault, "North", "csv", tmp_path / "north.csv", ADA, at, **more)

    export(with_passwords=False)
    with pytest.raises(ConsentNeeded) as refused:
        export()
    assert list(tmp_path.glob(".*")) == []
    decide(db, ask(db, at=at, **refused.value.data), at=at)
    export()
    with pytest.raises(ConsentNeeded):
        export(again=True, reason="the printer ate it")
    with db.begin() as session:
        assert [row.with_passwords for row in session.scalars(select(ExportRun).order_by(ExportRun.id))] == [
            False,
            True,
        ]
        assert session.scalars(select(Consent)).one().used_at == at
