"""What an operator does to one card, what it means for whoever uses it, and what is kept of it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from engine.actor import Actor
from engine.cards import lifecycle
from engine.cards.access import Credentials
from engine.cards.authentication import Authenticated
from engine.cards.binding import bind, unbind
from engine.cards.status import status_of
from engine.db import Database
from engine.errors import Conflict, InvalidInput, NotFound, Refused
from engine.people.sessions import find_session, open_session
from engine.refusal import Refusal
from engine.schema import AuditRow, Binding, CardEvent, CardToken
from engine.vault import Secret, Vault
from tests import scenes
from tests.scenes import NOW, OPERATOR, Line, TestCard, facts

LATER = NOW + timedelta(hours=1)
OTHER = Actor("staff", 2, "Other", "operator")
PHONE = "8801912345678"
WORK = "8801911111111"


@pytest.fixture
def line(db: Database, vault: Vault) -> Line:
    return Line(db, vault, scenes.switch(db))


@pytest.fixture
def card(db: Database, vault: Vault) -> TestCard:
    return scenes.card(db, vault)


def lock(db: Database, card: TestCard, **more: Any) -> lifecycle.Changed:
    return lifecycle.lock(db, **{"card_id": card.id, "reason": "Lost", "actor": OPERATOR, "now": NOW, **more})


def unlock(db: Database, vault: Vault, card: TestCard, **more: Any) -> lifecycle.Changed:
    return lifecycle.unlock(db, vault, **{"card_id": card.id, "actor": OPERATOR, "now": NOW, **more})


def damage(db: Database, card: TestCard, **more: Any) -> lifecycle.Changed:
    return lifecycle.damage(
        db, **{"card_id": card.id, "reason": "Stolen", "actor": OPERATOR, "now": NOW, **more}
    )


def extend(db: Database, card: TestCard, days: int, **more: Any) -> datetime:
    given = {"card_id": card.id, "days": days, "actor": OPERATOR, "now": NOW, **more}
    return lifecycle.extend(db, **given).expires_at


def reset(db: Database, vault: Vault, card: TestCard) -> Secret:
    return lifecycle.reset_password(db, vault, card_id=card.id, actor=OPERATOR, now=NOW)


def audit(db: Database) -> list[tuple[str, str, str, str | None]]:
    with db.begin() as session:
        rows = session.scalars(
            select(AuditRow).where(AuditRow.action.startswith("card.")).order_by(AuditRow.id)
        )
        return [(row.action, row.subject, row.actor, row.reason) for row in rows]


def events(db: Database, card: TestCard) -> list[tuple[str, str]]:
    with db.begin() as session:
        rows = session.scalars(select(CardEvent).where(CardEvent.card_id == card.id).order_by(CardEvent.id))
        return [(row.kind, row.actor) for row in rows]


def tokens(db: Database) -> int:
    with db.begin() as session:
        return len(session.scalars(select(CardToken)).all())


def reason(answer: object) -> str:
    assert isinstance(answer, Refusal), answer
    return answer.reason


# --- lock and unlock ---


def test_a_lock_keeps_who_and_why_and_the_second_changes_nothing(db: Database, card: TestCard) -> None:
    assert lock(db, card).changed
    assert not lock(db, card, reason="Something else", actor=OTHER, now=LATER).changed
    kept = facts(db, card)
    assert (kept.locked_at, kept.locked_by, kept.lock_reason) == (NOW, "staff:1", "Lost")
    assert audit(db) == [("card.lock", f"card:{card.serial}", "staff:1", "Lost")]
    assert events(db, card) == [("lock", "staff:1")]


def test_a_lock_logs_everybody_out_and_unlocking_lets_the_right_password_in(
    db: Database, vault: Vault, line: Line, card: TestCard
) -> None:
    proven = line.authenticate(card)
    assert isinstance(proven, Authenticated)
    session = open_session(db, "cardholder", card.id, None, NOW)
    lock(db, card)
    assert tokens(db) == 0
    assert find_session(db, "cardholder", session, NOW) is None
    assert reason(line.authenticate(Credentials(token=proven.card_token))) == "bad_credentials"
    assert reason(line.authenticate(card)) == "locked"
    assert unlock(db, vault, card, reason="Found").changed
    assert not unlock(db, vault, card).changed
    assert isinstance(line.authenticate(card), Authenticated)
    assert [row[0] for row in audit(db)] == ["card.lock", "card.unlock"]


def test_a_live_call_runs_to_the_end_of_its_slice_under_a_lock(
    db: Database, line: Line, card: TestCard
) -> None:
    granted = line.open(card, one_shot=False).max_seconds
    lock(db, card)
    assert line.later(60).progress(60).max_seconds == granted
    assert line.later(540).end(seconds=600).billed_seconds == 600


def test_an_operators_lock_takes_the_place_of_one_that_the_right_password_could_lift(
    db: Database, vault: Vault, line: Line, card: TestCard
) -> None:
    line.authenticate(card, caller=PHONE)  # from here the right password would lift a lock of failures
    scenes.setting(db, "lock_failures", 2)
    for _ in range(2):
        line.authenticate(card.with_password("wrong"))
    assert facts(db, card).locked_by == "failures"
    assert lock(db, card).changed
    assert reason(line.authenticate(card, caller=PHONE)) == "locked"


def test_unlocking_forgets_the_failures_that_were_counted(
    db: Database, vault: Vault, line: Line, card: TestCard
) -> None:
    line.authenticate(card, caller=PHONE)
    scenes.setting(db, "lock_failures", 5)
    for _ in range(5):
        line.later(3600).authenticate(card.with_password("wrong"))
        line.authenticate(card.with_password("wrong"), caller=PHONE)
    assert facts(db, card).locked_by == "failures"
    unlock(db, vault, card)
    assert isinstance(line.authenticate(card), Authenticated)
    with db.begin() as session:
        assert session.scalar(text("SELECT count(*) FROM failure_counter")) == 0


def test_a_card_whose_validity_passed_while_it_was_locked_shows_expired(db: Database, vault: Vault) -> None:
    card = scenes.card(db, vault, validity_from="generation", validity_days=1)
    lock(db, card)
    unlock(db, vault, card, now=NOW + timedelta(days=3))
    assert status_of(facts(db, card), NOW + timedelta(days=3)) == "expired"


# --- damage ---


def test_damage_is_final(db: Database, vault: Vault, line: Line, card: TestCard) -> None:
    line.authenticate(card)
    assert damage(db, card).changed
    assert not damage(db, card, reason="Another", now=LATER).changed
    kept = facts(db, card)
    assert (kept.damaged_at, kept.damaged_by, kept.damage_reason) == (NOW, "staff:1", "Stolen")
    assert tokens(db) == 0
    assert reason(line.authenticate(card)) == "damaged"
    for change in (
        lambda: lock(db, card),
        lambda: unlock(db, vault, card),
        lambda: extend(db, card, 1),
        lambda: reset(db, vault, card),
        lambda: bind(db, card_id=card.id, caller=PHONE, actor=OPERATOR, now=NOW),
    ):
        with pytest.raises(Refused, match="damaged"):
            change()
    assert [row[0] for row in audit(db)] == ["card.damage"]


def test_the_callers_of_a_damaged_card_can_be_pinless_for_its_replacement(
    db: Database, vault: Vault, line: Line
) -> None:
    lost, new = scenes.batch(db, vault, 2, pinless=True)
    line.authenticate(lost, caller=PHONE)
    damage(db, lost)
    line.authenticate(new, caller=PHONE)
    proven = line.authenticate(Credentials(), caller=PHONE)
    assert isinstance(proven, Authenticated)
    assert proven.serial == new.serial


# --- extend ---


def _valid_until(db: Database, vault: Vault, zone: str = "UTC") -> TestCard:
    """A card valid to the end of 25 November."""
    scenes.setting(db, "zone", zone)
    return scenes.card(db, vault, validity_from="generation", validity_days=5)


def test_an_extension_adds_whole_days_to_what_was(db: Database, vault: Vault) -> None:
    card = _valid_until(db, vault)
    assert facts(db, card).expires_at == datetime(2026, 11, 26, tzinfo=UTC)
    assert (
        extend(db, card, 10, reason="Goodwill")
        == datetime(2026, 12, 6, tzinfo=UTC)
        == facts(db, card).expires_at
    )
    assert audit(db) == [("card.extend", f"card:{card.serial}", "staff:1", "Goodwill")]


def test_an_extension_of_an_expired_card_counts_from_today(db: Database, vault: Vault) -> None:
    card = _valid_until(db, vault)
    long_after = datetime(2027, 3, 1, 9, tzinfo=UTC)
    assert extend(db, card, 1, now=long_after) == datetime(2027, 3, 3, tzinfo=UTC)
    assert status_of(facts(db, card), long_after) == "unused"


def test_extended_days_are_days_of_the_operator(db: Database, vault: Vault) -> None:
    # In New York clocks are put forward on 14 March 2027: that day has 23 hours.
    card = _valid_until(db, vault, "America/New_York")
    assert facts(db, card).expires_at == datetime(2026, 11, 26, 5, tzinfo=UTC)
    assert extend(db, card, 108) == datetime(2027, 3, 14, 5, tzinfo=UTC)
    assert extend(db, card, 1) == datetime(2027, 3, 15, 4, tzinfo=UTC)


def test_an_extension_with_a_key_counts_once(db: Database, vault: Vault) -> None:
    card = _valid_until(db, vault)
    with ThreadPoolExecutor(4) as pool:
        ends = set(pool.map(lambda _: extend(db, card, 1, key="form-1"), range(8)))
    assert ends == {datetime(2026, 11, 27, tzinfo=UTC)}
    with pytest.raises(Conflict, match="key_reused"):
        extend(db, card, 2, key="form-1")
    assert extend(db, card, 1, key="form-2") == datetime(2026, 11, 28, tzinfo=UTC)


def test_a_validity_that_has_not_begun_has_no_end_to_move(db: Database, card: TestCard) -> None:
    with pytest.raises(Conflict, match="nothing_to_extend"):
        extend(db, card, 5)


# --- password and concurrency ---


def test_a_reset_password_is_told_once_and_the_old_one_and_its_tokens_are_dead(
    db: Database, vault: Vault, line: Line, card: TestCard
) -> None:
    proven = line.authenticate(card)
    assert isinstance(proven, Authenticated)
    password = reset(db, vault, card)
    assert len(password.value) == 8
    assert password.value.isdigit()
    assert password.value not in repr(password) + str(password)
    kept = facts(db, card)
    assert kept.sealed is None  # nobody can read it back
    assert vault.matches(card.number, password.value, kept.digest, kept.pepper)
    assert reason(line.authenticate(Credentials(token=proven.card_token))) == "bad_credentials"
    assert reason(line.authenticate(card)) == "bad_credentials"
    assert isinstance(line.authenticate(card.with_password(password.value)), Authenticated)
    with db.begin() as session:
        told = [
            str(row.data) for row in (*session.scalars(select(AuditRow)), *session.scalars(select(CardEvent)))
        ]
    assert told
    assert password.value not in "".join(told)


def test_a_reset_password_is_as_long_as_its_batch_says_and_never_the_same(db: Database, vault: Vault) -> None:
    card = scenes.card(db, vault, password_length=12)
    drawn = {reset(db, vault, card).value for _ in range(5)}
    assert len(drawn) == 5
    assert {len(password) for password in drawn} == {12}


def test_a_reset_forgets_wrong_passwords_so_that_the_new_one_works_at_once(
    db: Database, vault: Vault, line: Line, card: TestCard
) -> None:
    for _ in range(5):
        line.authenticate(card.with_password("wrong"))
    assert reason(line.authenticate(card)) == "throttled"
    assert isinstance(line.authenticate(card.with_password(reset(db, vault, card).value)), Authenticated)


def test_a_card_may_be_let_make_more_calls_at_once(db: Database, line: Line, card: TestCard) -> None:
    def change(calls: int) -> bool:
        return lifecycle.set_concurrency(db, card_id=card.id, calls=calls, actor=OPERATOR, now=NOW).changed

    line.open(card, ref="one", one_shot=False)
    assert reason(line.authorize(card, ref="two", one_shot=False)) == "too_many_calls"
    assert change(2)
    assert not change(2)
    line.open(card, ref="two", one_shot=False)
    assert change(1)  # the two go on
    assert reason(line.authorize(card, ref="three")) == "too_many_calls"


# --- binding by hand ---


def test_a_caller_is_bound_and_unbound_by_hand(db: Database, vault: Vault, line: Line) -> None:
    card = scenes.card(db, vault, binding="single", auto_bind=False)
    given: dict[str, Any] = {"card_id": card.id, "actor": OPERATOR, "now": NOW}
    assert reason(line.authenticate(card, caller=PHONE)) == "caller_not_bound"
    assert bind(db, caller="+880 1912-345678", **given).changed
    assert not bind(db, caller=PHONE, **given).changed
    assert isinstance(line.authenticate(card, caller=PHONE), Authenticated)
    with pytest.raises(Conflict, match="binding_full"):
        bind(db, caller=WORK, **given)
    assert unbind(db, caller=PHONE, **given).changed
    assert not unbind(db, caller=PHONE, **given).changed
    assert bind(db, caller=WORK, **given).changed
    assert reason(line.authenticate(card, caller=PHONE)) == "caller_not_bound"
    assert [row[0] for row in audit(db)] == ["card.bind", "card.unbind", "card.bind"]


def test_a_number_is_read_as_dialled_at_home(db: Database, vault: Vault) -> None:
    scenes.setting(db, "home_country", "BD")
    card = scenes.card(db, vault, binding="single")
    bind(db, card_id=card.id, caller="01912345678", actor=OPERATOR, now=NOW)
    with db.begin() as session:
        assert session.scalars(select(Binding.caller)).all() == [PHONE]


def test_a_caller_is_pinless_for_one_card_at_a_time(db: Database, vault: Vault, line: Line) -> None:
    one, other = scenes.batch(db, vault, 2, binding="multi", max_bound=3, pinless=True)
    given: dict[str, Any] = {"caller": PHONE, "actor": OPERATOR, "now": NOW}
    bind(db, card_id=one.id, pinless=True, **given)
    with pytest.raises(Conflict, match="pinless_elsewhere") as conflict:
        bind(db, card_id=other.id, pinless=True, **given)
    assert conflict.value.data == {"serial": one.serial}
    assert bind(db, card_id=other.id, **given).changed
    assert bind(db, card_id=one.id, pinless=False, **given).changed
    assert bind(db, card_id=other.id, pinless=True, **given).changed
    proven = line.authenticate(Credentials(), caller=PHONE)
    assert isinstance(proven, Authenticated)
    assert proven.serial == other.serial


def test_racers_for_one_pinless_caller_have_one_winner(db: Database, vault: Vault) -> None:
    cards = scenes.batch(db, vault, 6, pinless=True)

    def race(card: TestCard) -> bool:
        try:
            return bind(db, card_id=card.id, caller=PHONE, pinless=True, actor=OPERATOR, now=NOW).changed
        except Conflict:
            return False

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(race, cards)) == 1


def test_only_what_the_batch_allows_can_be_bound(db: Database, vault: Vault, card: TestCard) -> None:
    bound = scenes.card(db, vault, name="Bound", binding="single")
    given: dict[str, Any] = {"actor": OPERATOR, "now": NOW}
    with pytest.raises(Conflict, match="binding_off"):
        bind(db, card_id=card.id, caller=PHONE, **given)
    with pytest.raises(Conflict, match="pinless_off"):
        bind(db, card_id=bound.id, caller=PHONE, pinless=True, **given)
    for nobody in ("", "anonymous", "12", "' OR 1=1"):
        with pytest.raises(InvalidInput, match="bad_caller"):
            bind(db, card_id=bound.id, caller=nobody, **given)


# --- every command ---

Command = Callable[[Database, Vault, int], object]
COMMANDS: dict[str, Command] = {
    "lock": lambda db, vault, card: lifecycle.lock(db, card_id=card, reason="x", actor=OPERATOR, now=NOW),
    "unlock": lambda db, vault, card: lifecycle.unlock(db, vault, card_id=card, actor=OPERATOR, now=NOW),
    "damage": lambda db, vault, card: lifecycle.damage(db, card_id=card, reason="x", actor=OPERATOR, now=NOW),
    "extend": lambda db, vault, card: lifecycle.extend(db, card_id=card, days=1, actor=OPERATOR, now=NOW),
    "calls": lambda db, vault, card: lifecycle.set_concurrency(
        db, card_id=card, calls=2, actor=OPERATOR, now=NOW
    ),
    "reset": lambda db, vault, card: lifecycle.reset_password(
        db, vault, card_id=card, actor=OPERATOR, now=NOW
    ),
    "bind": lambda db, vault, card: bind(db, card_id=card, caller=PHONE, actor=OPERATOR, now=NOW),
    "unbind": lambda db, vault, card: unbind(db, card_id=card, caller=PHONE, actor=OPERATOR, now=NOW),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_there_must_be_such_a_card_and_its_batch_must_be_ready(
    db: Database, vault: Vault, card: TestCard, name: str
) -> None:
    with pytest.raises(NotFound, match="card_not_found"):
        COMMANDS[name](db, vault, card.id + 1)
    with db.begin() as session:
        session.execute(text("UPDATE batch SET ready_at = NULL"))
    with pytest.raises(Conflict, match="batch_not_ready"):
        COMMANDS[name](db, vault, card.id)
    assert audit(db) == []


@pytest.mark.parametrize(
    ("field", "given", "code"),
    [
        ("days", 0, "too_small"),
        ("days", 36_501, "too_large"),
        ("days", 1.5, "not_a_number"),
        ("days", True, "not_a_number"),
        ("calls", 0, "too_small"),
        ("calls", 1_001, "too_large"),
    ],
)
def test_whole_numbers_have_limits(db: Database, card: TestCard, field: str, given: Any, code: str) -> None:
    change = lifecycle.extend if field == "days" else lifecycle.set_concurrency
    with pytest.raises(InvalidInput) as refused:
        change(db, **{field: given}, card_id=card.id, actor=OPERATOR, now=NOW)
    assert (refused.value.code, refused.value.data["field"]) == (code, field)


@pytest.mark.parametrize("why", ["", " \n ", "x" * 501, "a\x1b[2J", "\ud800"])
def test_a_lock_needs_a_reason_that_can_be_read(db: Database, card: TestCard, why: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        lock(db, card, reason=why)
    assert refused.value.data["field"] == "reason"


def test_a_command_that_cannot_be_audited_leaves_nothing(db: Database, vault: Vault, card: TestCard) -> None:
    with db.begin() as session:
        refuse = (
            "CREATE TRIGGER disk_full BEFORE INSERT ON audit FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        )
        session.execute(text(refuse))
    for name in ("lock", "damage", "calls", "reset"):
        with pytest.raises(DBAPIError, match="never changed"):
            COMMANDS[name](db, vault, card.id)
    kept = facts(db, card)
    assert (kept.locked_at, kept.damaged_at, kept.concurrency) == (None, None, 1)
    assert vault.matches(card.number, card.password, kept.digest, kept.pepper)
    assert events(db, card) == []
