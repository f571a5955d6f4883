"""Two-person consent: exact, by somebody else, once, and not for ever."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError

from engine import settings
from engine.actor import CONSOLE, SYSTEM, Actor
from engine.db import Database
from engine.errors import Conflict, ConsentNeeded, Forbidden, InvalidInput, NotFound
from engine.people import consents, policy, staff
from engine.schema import AuditRow, Consent, ExportRun, Staff, Totp
from engine.stock.export import export_batch
from engine.vault import Secret, Vault
from tests import scenes

NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
ADA = Actor("staff", 1, "Ada Moss", "admin")
BOB = Actor("staff", 2, "Bob", "finance")
ZOE = Actor("staff", 3, "Zoe", "support")
PASSWORD = Secret("seven quiet harbours")
FACTS = {"amount": 500_000_000, "currency": "USD"}


@pytest.fixture(autouse=True)
def people(db: Database) -> None:
    """Ada, Bob and Zoe, who were here long before."""
    with db.begin() as session:
        for one in (ADA, BOB, ZOE):
            row = Staff(
                id=one.id,
                login=one.name.split()[0].lower(),
                name=one.name,
                role=one.role,
                password_hash="none",
                created_at=later(days=-90),
            )
            session.add(row)
        session.flush()
        session.execute(text("SELECT setval(pg_get_serial_sequence('staff', 'id'), 3)"))


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


# --- two people, each known ---


def test_the_command_line_asks_for_nothing_and_uses_nothing(db: Database) -> None:
    """Somebody at it would be one person as the asker and another as the one who decides."""
    with pytest.raises(Forbidden, match="consent_asked_by_person"):
        ask(db, CONSOLE)
    decide(db, ask(db))
    with db.begin() as session:
        session.execute(
            text("UPDATE consent SET asked_by = 'console'")
        )  # as one of an earlier version could be
    with pytest.raises(ConsentNeeded) as refused:
        need(db, CONSOLE)
    assert refused.value.code == "consent_at_console"
    assert refused.value.data == {"action": "card.recharge", "subject": "card:10000000017", "facts": FACTS}


Taking = Callable[[Database, Vault, Actor], object]
TAKINGS: dict[str, Taking] = {
    "password": lambda db, vault, by: staff.reset_password(db, vault, "bob", by, NOW),
    "role": lambda db, vault, by: staff.change_staff(db, "bob", by, NOW, role="admin"),
    "enabled": lambda db, vault, by: staff.enable_staff(db, "bob", by, NOW),
    "second factor": lambda db, vault, by: staff.reset_totp(db, vault, "bob", by, NOW),
}


@pytest.mark.parametrize("taking", TAKINGS)
def test_nobody_decides_with_a_log_in_that_the_asker_took_over(
    db: Database, vault: Vault, taking: str
) -> None:
    with db.begin() as session:
        bob = session.get_one(Staff, BOB.id)
        if taking == "enabled":
            bob.disabled_at = later(days=-1)
        session.add(
            Totp(realm="staff", subject_id=BOB.id, sealed=b"x", master=1, created_at=NOW, confirmed_at=NOW)
        )
    number = ask(db)
    TAKINGS[taking](db, vault, ADA)
    with pytest.raises(Forbidden, match="consent_one_hand"):
        decide(db, number)
    assert decide(db, number, yes=False) == "refused", "a no does no harm"
    week_later = ask(db, at=later(days=7, seconds=1))
    assert decide(db, week_later, at=later(days=7, seconds=1)) == "approved"


def added(db: Database, login: str, by: Actor, role: str = "admin") -> Actor:
    return staff.add_staff(db, login, login.title(), role, PASSWORD, by, NOW)[0].actor


def test_one_administrator_makes_no_second_person(db: Database, vault: Vault) -> None:
    number = ask(db)
    sock, other = added(db, "sock", ADA), added(db, "other", CONSOLE)
    staff.reset_password(db, vault, "bob", sock, NOW, PASSWORD)
    for hand in (sock, BOB):
        with pytest.raises(Forbidden, match="consent_one_hand"):
            decide(db, number, hand)
    with pytest.raises(Forbidden, match="consent_one_hand"):
        decide(db, ask(db, sock), ADA)
    with pytest.raises(Forbidden, match="consent_one_hand"):
        decide(db, ask(db, sock), added(db, "second", ADA))
    assert decide(db, number, other) == "approved", "who was added at the machine is nobody's"


def test_a_hand_counts_for_nothing_that_was_done_before_it(db: Database, vault: Vault) -> None:
    """Bob made a colleague; only then somebody else reset Bob's password, and so holds Bob but not the colleague."""
    colleague = added(db, "colleague", replace(BOB, role="admin"))
    staff.reset_password(db, vault, "bob", ADA, NOW, PASSWORD)
    staff.change_staff(db, "colleague", ADA, NOW, name="Colleague Moss")
    assert decide(db, ask(db), colleague) == "approved"


def test_a_yes_is_worth_no_more_than_who_gave_it(db: Database) -> None:
    decide(db, ask(db))
    staff.change_staff(db, "bob", CONSOLE, NOW, role="support")
    with pytest.raises(ConsentNeeded):
        need(db)
    staff.change_staff(db, "bob", CONSOLE, NOW, role="finance")
    staff.disable_staff(db, "bob", CONSOLE, NOW)
    with pytest.raises(ConsentNeeded):
        need(db)
    other = ask(db)
    decide(db, other, added(db, "cora", CONSOLE, "finance"))
    assert need(db) == other, "one that is worth nothing doesn't stand before one that is"
    staff.enable_staff(db, "bob", CONSOLE, NOW)
    assert need(db) is not None


# --- what is asked can be read ---


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"reason": "fine\x1b[2K\rnothing"}, "control_character"),
        ({"reason": "a\x00b"}, "control_character"),
        ({"reason": "x" * 501}, "too_long"),
        ({"subject": "card:1\x1b[2K"}, "control_character"),
        ({"subject": "\x00"}, "control_character"),
        ({"subject": " "}, "empty"),
        ({"subject": "c" * 201}, "too_long"),
        ({"facts": {"a": "\x00"}}, "control_character"),
        ({"facts": {"\x1b[2K": 1}}, "control_character"),
        ({"facts": {"a": ["fine", {"b": "\ud800"}]}}, "control_character"),
        ({"facts": {"a": [[[[1]]]]}}, "bad_facts"),
        ({"facts": {"a": 1.5}}, "bad_facts"),
        ({"facts": {"a": 10**5000}}, "bad_facts"),
        ({"facts": {"a": "x" * 4_000}}, "too_long"),
    ],
)
def test_what_nobody_could_read_is_not_asked(db: Database, wrong: dict[str, Any], code: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        ask(db, **wrong)
    assert refused.value.code == code
    with db.begin() as session:
        assert session.scalars(select(Consent)).all() == []


# --- loosening the rule ---


def set_to(db: Database, key: str, value: object, actor: Actor = ADA) -> None:
    policy.set_setting(db, key, value, actor, NOW)


@pytest.mark.parametrize(
    ("key", "strict", "loose"),
    [
        ("consent_exports", True, False),
        ("consent_exports", True, None),
        ("consent_recharge_over", 10, 11),
        ("consent_recharge_over", 10, 0),
        ("consent_recharge_over", 10, None),
    ],
)
def test_nobody_loosens_the_rule_alone(db: Database, key: str, strict: object, loose: object) -> None:
    set_to(db, key, strict)
    for actor in (ADA, CONSOLE):
        with pytest.raises(ConsentNeeded) as refused:
            set_to(db, key, loose, actor)
    with db.begin() as session:
        assert getattr(settings.load(session), key) == strict
    decide(db, ask(db, **refused.value.data))
    set_to(db, key, loose)
    set_to(db, key, loose)
    with db.begin() as session:
        assert not getattr(settings.load(session), key) or getattr(settings.load(session), key) == loose


def test_who_makes_the_rule_stricter_needs_nobody(db: Database) -> None:
    for key, value in (("consent_recharge_over", 20), ("consent_recharge_over", 10), ("consent_hours", 48)):
        set_to(db, key, value)
    set_to(db, "slice_s", 300)
