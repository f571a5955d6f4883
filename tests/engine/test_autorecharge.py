"""Auto-recharge: which entries cross, that a crossing recharges once at most, the limits, and the account that pays."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, text

from engine.alarms import open_alarms
from engine.calls.sweep import sweep
from engine.cards import lifecycle
from engine.cards.search import CardFilter
from engine.config import Keys
from engine.db import Database
from engine.errors import Conflict, ConsentNeeded, InvalidInput, NotFound, Refused
from engine.funds import autorules, ledger
from engine.funds.accounts import change_account, deposit, open_account
from engine.funds.accountviews import AccountView, account_page
from engine.funds.autorecharge import catch_up, periods, run_due
from engine.funds.autorules import RuleView, add_rule, change_rule, enrol, list_rules, withdraw
from engine.funds.bonus import add_rule as add_bonus
from engine.funds.recharges import MOST, adjust, recharge
from engine.funds.replacements import replace_card
from engine.house import zone_of
from engine.people.switches import SwitchIdentity
from engine.schema import AutoRechargeCrossing, AutoRechargeMember, CardEvent, LedgerEntry, Payment
from engine.settings import Settings
from engine.vault import Vault
from tests import scenes
from tests.processes import preload, run_together
from tests.proof import scaled
from tests.scenes import BANGLADESH, NOW, OPERATOR, USD, Line, TestCard, facts

BY: dict[str, Any] = {"actor": OPERATOR, "now": NOW}

preload(__name__)


@pytest.fixture
def line(db: Database, vault: Vault) -> Line:
    scenes.deck(db, {"880": "0.60"})
    scenes.setting(db, "slice_s", 60)
    return Line(db, vault, scenes.switch(db))


@pytest.fixture
def float_(db: Database) -> AccountView:
    account = open_account(db, name="Float", kind="funding", currency="USD", **BY)
    deposit(db, account_id=account.id, amount=USD("100"), **BY)
    return account


@pytest.fixture
def card(db: Database, vault: Vault, line: Line) -> TestCard:
    return scenes.card(db, vault, "3.00", concurrency=3)


def rule(db: Database, account: AccountView, *cards: TestCard, **more: Any) -> RuleView:
    given: dict[str, Any] = {"name": "Low", "threshold": USD("2"), "amount": USD("5"), **BY, **more}
    made = add_rule(db, account_id=account.id, **given)
    if cards:
        enrol(db, rule_id=made.id, card_ids=[card.id for card in cards], **BY)
    return made


def talk(line: Line, card: TestCard, seconds: int, ref: str) -> None:
    """A call that costs a cent a second."""
    line.open(card, ref=ref)
    line.later(seconds).end(ref, seconds=seconds)


def crossings(db: Database, card: TestCard | None = None) -> list[str | None]:
    statement = select(AutoRechargeCrossing.outcome).order_by(AutoRechargeCrossing.entry_id)
    if card is not None:
        statement = statement.where(AutoRechargeCrossing.card_id == card.id)
    with db.begin() as session:
        return list(session.scalars(statement))


def payments(db: Database) -> list[Payment]:
    with db.begin() as session:
        return list(session.scalars(select(Payment).where(Payment.method == "auto").order_by(Payment.id)))


# --- crossing ---


def test_a_call_that_takes_the_balance_under_the_threshold_brings_a_recharge(
    db: Database, line: Line, float_: AccountView, card: TestCard
) -> None:
    low = rule(db, float_, card)
    talk(line, card, 100, "a")  # 2.00 are left: not under it
    assert (crossings(db), run_due(db, line.now)) == ([], 0)
    talk(line, card, 1, "b")
    assert crossings(db) == [None]
    assert run_due(db, line.now) == 1
    assert run_due(db, line.now) == 0
    assert crossings(db) == ["done"]
    assert facts(db, card).balance == USD("6.99")
    (paid,) = payments(db)
    with db.begin() as session:
        entry = session.scalars(select(LedgerEntry).where(LedgerEntry.kind == "recharge")).one()
        crossed = session.scalars(select(AutoRechargeCrossing)).one()
        event = session.scalars(select(CardEvent).where(CardEvent.kind == "recharge")).one()
    assert (paid.amount, paid.account_id, paid.actor) == (USD("5"), float_.id, "system")
    assert paid.idempotency_key == f"auto:{low.id}:{card.id}:{crossed.entry_id}"
    assert (crossed.payment_id, crossed.done_at) == (paid.id, line.now)
    assert (entry.account, entry.amount) == (f"funding:{float_.id}", USD("5"))
    assert (event.data["method"], event.data["reason"]) == ("auto", "Auto-recharge Low")
    page = account_page(db, float_.id)
    assert (page.entries[0].amount, page.entries[0].reference) == (-USD("5"), f"payment:{paid.id}")
    assert (page.entries[0].other, page.account.balance) == (card.serial, USD("95"))


def test_holds_do_not_count(db: Database, line: Line, float_: AccountView, card: TestCard) -> None:
    rule(db, float_, card)
    for ref in ("a", "b", "c"):
        line.open(card, ref=ref, one_shot=False)  # 1.80 held of 3.00
    line.later(60)
    line.end("a", seconds=60)
    assert crossings(db) == []
    line.end("b", seconds=60)
    assert crossings(db) == [None]


def test_it_is_armed_again_once_the_balance_is_back(
    db: Database, line: Line, float_: AccountView, card: TestCard
) -> None:
    rule(db, float_, card, amount=USD("0.50"))
    talk(line, card, 150, "a")  # 1.50
    run_due(db, line.now)  # 2.00: armed
    talk(line, card, 10, "b")
    run_due(db, line.now)  # 2.40
    talk(line, card, 100, "c")  # 1.40
    run_due(db, line.now)  # 1.90: not back
    talk(line, card, 10, "d")
    assert run_due(db, line.now) == 0
    assert crossings(db) == ["done"] * 3
    assert facts(db, card).balance == USD("1.80")


def test_a_fee_crosses_and_an_adjustment_does_not(
    db: Database, line: Line, float_: AccountView, card: TestCard
) -> None:
    rule(db, float_, card)
    adjust(db, card_id=card.id, amount=-USD("0.50"), reason="x", **BY)
    with db.begin() as session:
        ledger.lock_cards(session, card.id)
        given: dict[str, Any] = {"account": ledger.FEES, "kind": "fee", "actor": OPERATOR, "now": NOW}
        ledger.post(session, card_id=card.id, amount=-USD("0.40"), reference="charge:1", **given)
        ledger.post_many(session, [card.id], [-USD("0.40")], reference="charge:1", **given)
        session.execute(
            text(
                "INSERT INTO charge_run (kind, currency, cards, amount, at)"
                " VALUES ('maintenance', 'USD', 2, 800000, :now)"
            ),
            {"now": NOW},
        )
    assert crossings(db) == [None]
    adjust(db, card_id=card.id, amount=USD("1"), reason="x", **BY)
    adjust(db, card_id=card.id, amount=-USD("1"), reason="x", **BY)
    assert crossings(db) == [None]


def test_an_overrun_a_sweep_and_a_late_end_cross_too(
    db: Database, vault: Vault, line: Line, float_: AccountView
) -> None:
    overrun, swept, late = cards = scenes.batch(db, vault, 3, "3.00", name="Three")
    rule(db, float_, *cards)
    line.open(overrun, ref="overrun", one_shot=False)
    line.open(swept, ref="swept", one_shot=True)
    line.open(late, ref="late", one_shot=False)
    line.later(400).end("overrun", seconds=390)
    line.progress(200, "swept")
    line.progress(50, "late")
    sweep(db, line.later(5_000).now)
    assert (crossings(db, overrun), crossings(db, swept), crossings(db, late)) == ([None], [None], [])
    line.end("late", seconds=150)
    assert crossings(db, late) == [None]
    assert facts(db, overrun).balance == 0
    assert run_due(db, line.now) == 3
    assert {facts(db, card).balance for card in (overrun, swept)} == {USD("5"), USD("6")}


def test_what_the_operator_bears_of_a_call_was_never_on_the_card(
    db: Database, line: Line, float_: AccountView, card: TestCard
) -> None:
    rule(db, float_, card, threshold=USD("3.50"))
    line.open(card, one_shot=False)
    line.later(900).end(seconds=890)  # costs 8.90; there were 3.00, under the threshold all the time
    assert facts(db, card).balance == 0
    assert (crossings(db), catch_up(db, line.now), crossings(db)) == ([], 0, [])


def test_a_card_that_is_not_enrolled_and_a_rule_that_is_disabled_cross_nothing(
    db: Database, vault: Vault, line: Line, float_: AccountView
) -> None:
    inside, outside = scenes.batch(db, vault, 2, "3.00", name="Two")
    low = rule(db, float_, inside)
    change_rule(db, rule_id=low.id, disabled=True, **BY)
    for card in (inside, outside):
        talk(line, card, 150, card.serial)
    assert crossings(db) == []


def test_two_rules_each_see_their_own_threshold(
    db: Database, line: Line, float_: AccountView, card: TestCard
) -> None:
    rule(db, float_, card)
    rule(db, float_, card, name="Very low", threshold=USD("1"), amount=USD("10"))
    talk(line, card, 150, "a")
    assert crossings(db) == [None]
    talk(line, card, 60, "b")
    assert crossings(db) == [None, None]
    assert run_due(db, line.now) == 2
    assert sorted(outcome or "" for outcome in crossings(db)) in (["done", "done"], ["done", "recovered"])


# --- what becomes of it ---


def cross(line: Line, card: TestCard, ref: str = "a") -> None:
    talk(line, card, 150, ref)
    assert crossings(line.db, card)[-1:] == [None]


@pytest.mark.parametrize("how", ["locked", "damaged", "recovered", "disabled", "withdrawn"])
def test_what_changed_meanwhile_is_respected_and_kept(
    db: Database, line: Line, float_: AccountView, card: TestCard, how: str
) -> None:
    low = rule(db, float_, card)
    cross(line, card)
    if how == "locked":
        lifecycle.lock(db, card_id=card.id, reason="x", **BY)
    elif how == "damaged":
        lifecycle.damage(db, card_id=card.id, reason="x", **BY)
    elif how == "recovered":
        recharge(db, card_id=card.id, amount=USD("0.50"), **BY)
    elif how == "disabled":
        change_rule(db, rule_id=low.id, disabled=True, **BY)
    else:
        withdraw(db, rule_id=low.id, card_ids=[card.id], **BY)
    assert run_due(db, line.now) == 1
    assert run_due(db, line.now) == 0
    assert (crossings(db), payments(db)) == ([how], [])


def test_the_limits_of_a_day_and_a_month_hold_in_the_operators_zone(
    db: Database, line: Line, float_: AccountView, card: TestCard
) -> None:
    scenes.setting(db, "zone", "Asia/Dhaka")
    rule(db, float_, card, amount=USD("1"), day_limit=USD("2"), month_limit=USD("3"))
    line.now = datetime(2026, 11, 28, 17, 0, tzinfo=NOW.tzinfo)  # 23:00 in Dhaka
    outcomes = []

    def once() -> str | None:
        ref = f"turn-{len(outcomes)}"
        adjust(
            db,
            card_id=card.id,
            amount=USD("2") - facts(db, card).balance,
            reason="x",
            actor=OPERATOR,
            now=line.now,
        ) if (facts(db, card).balance != USD("2")) else None
        talk(line, card, 1, ref)
        run_due(db, line.now)
        outcomes.append(crossings(db)[-1])
        return outcomes[-1]

    assert [once(), once(), once()] == ["done", "done", "capped"]
    line.later(3_600)  # the next day there
    assert [once(), once()] == ["done", "capped"]  # the month has 3.00 by now
    line.later(2 * 86_400)  # December there
    assert once() == "done"
    assert len(payments(db)) == 4


def test_a_day_and_a_month_begin_at_midnight_of_the_operator() -> None:
    day, month = periods(
        datetime(2026, 11, 30, 18, 30, tzinfo=NOW.tzinfo), zone_of(Settings(zone="Asia/Dhaka"))
    )
    assert day == month == datetime(2026, 11, 30, 18, 0, tzinfo=NOW.tzinfo)


def test_an_exhausted_account_raises_one_alarm_and_the_card_waits_for_a_deposit(
    db: Database, vault: Vault, line: Line
) -> None:
    account = open_account(db, name="Small", kind="funding", currency="USD", credit_limit=USD("6"), **BY)
    cards = scenes.batch(db, vault, 3, "3.00", name="Three")
    rule(db, account, *cards)
    for card in cards:
        cross(line, card, card.serial)
    assert run_due(db, line.now) == 1
    assert Counter(crossings(db)) == {"done": 1, "account_exhausted": 2}
    (alarm,) = open_alarms(db)
    assert (alarm.kind, alarm.subject, alarm.times) == ("account_exhausted", f"account:{account.id}", 2)
    assert (alarm.data["account"], alarm.data["rule"]) == ("Small", "Low")
    assert run_due(db, line.now) == 0
    assert open_alarms(db)[0].times == 2
    deposit(db, account_id=account.id, amount=USD("5"), **BY)
    assert run_due(db, line.now) == 1
    assert Counter(crossings(db)) == {"done": 2, "account_exhausted": 1}
    assert account_page(db, account.id).account.available == USD("1")
    with pytest.raises(Conflict, match="account_not_empty"):
        change_account(db, account_id=account.id, close=True, **BY)


def test_a_recharge_that_a_rule_of_the_business_forbids_is_over_with_an_alarm_and_the_rest_go_on(
    db: Database, vault: Vault, line: Line, float_: AccountView
) -> None:
    first, second = scenes.batch(db, vault, 2, "3.00", name="Two")
    rich = rule(db, float_, first, name="Rich", amount=MOST)
    rule(db, float_, second)
    change_account(db, account_id=float_.id, credit_limit=MOST, **BY)
    for card in (first, second):
        cross(line, card, card.serial)
    assert run_due(db, line.now) == 2
    assert (crossings(db, first), crossings(db, second)) == (["amount_too_large"], ["done"])
    (alarm,) = open_alarms(db)
    assert (alarm.kind, alarm.subject) == ("auto_recharge_failed", f"auto_recharge:{rich.id}")
    assert alarm.data == {"rule": "Rich", "card": first.serial, "error": "amount_too_large"}
    assert run_due(db, line.now) == 0
    assert open_alarms(db)[0].times == 1


def test_a_crossing_that_fails_unforeseen_raises_an_alarm_and_waits_behind_the_others(
    db: Database, vault: Vault, line: Line, float_: AccountView
) -> None:
    poison, *others = cards = scenes.batch(db, vault, 3, "3.00", name="Three")
    low = rule(db, float_, *cards)
    for card in cards:
        cross(line, card, card.serial)
    with db.begin() as session:
        session.execute(text(f"ALTER TABLE payment ADD CONSTRAINT poison CHECK (card_id <> {poison.id})"))
    assert [run_due(db, line.now, 1) for _ in range(4)] == [0, 1, 1, 0]
    assert [crossings(db, card) for card in cards] == [[None], ["done"], ["done"]]
    (alarm,) = open_alarms(db)
    assert (alarm.kind, alarm.subject) == ("auto_recharge_failed", f"auto_recharge:{low.id}")
    assert alarm.data == {"rule": "Low", "card": poison.serial, "error": "IntegrityError"}
    assert alarm.times == 1
    # It is tried again later, after those that were not tried yet.
    line.later(600)
    talk(line, others[0], 500, "again")
    assert [run_due(db, line.now, 1) for _ in range(2)] == [1, 0]
    assert open_alarms(db)[0].times == 2
    with db.begin() as session:
        session.execute(text("ALTER TABLE payment DROP CONSTRAINT poison"))
    assert run_due(db, line.now) == 0
    assert run_due(db, line.later(300).now) == 1
    assert crossings(db, poison) == ["done"]


def test_no_key_that_somebody_makes_up_stands_in_the_way_of_an_auto_recharge(
    db: Database, vault: Vault, line: Line, float_: AccountView
) -> None:
    card, other = scenes.batch(db, vault, 2, "3.00", name="Two")
    low = rule(db, float_, card)
    cross(line, card)
    with db.begin() as session:
        crossed = session.scalars(select(AutoRechargeCrossing)).one()
    recharge(db, card_id=other.id, amount=1, key=f"auto:{low.id}:{card.id}:{crossed.entry_id}", **BY)
    assert run_due(db, line.now) == 1
    assert crossings(db) == ["done"]


def test_bonus_rules_count_for_it_and_an_expired_card_lives_again(
    db: Database, vault: Vault, line: Line, float_: AccountView
) -> None:
    card = scenes.card(db, vault, "3.00", name="Grace", grace_days=5, extension_days=30)
    add_bonus(db, name="Ten", currency="USD", percent_bp=1_000, methods=["auto"], **BY)
    rule(db, float_, card)
    cross(line, card)
    with db.begin() as session:
        session.execute(
            text("UPDATE card SET expires_at = :now WHERE id = :id"), {"now": line.now, "id": card.id}
        )
    run_due(db, line.now)
    assert (payments(db)[0].bonus, facts(db, card).balance) == (USD("0.50"), USD("7.00"))
    assert facts(db, card).expires_at == scenes.end_of_utc_day(line.now + timedelta(days=30))


def test_a_replaced_card_hands_its_membership_on(
    db: Database, vault: Vault, line: Line, float_: AccountView
) -> None:
    old, new = scenes.batch(db, vault, 2, "3.00", name="Two")
    rule(db, float_, old)
    replace_card(db, old_id=old.id, new_id=new.id, reason="Lost", **BY)
    talk(line, new, 500, "a")
    assert run_due(db, line.now) == 1
    assert crossings(db, new) == ["done"]


# --- catching up ---


def test_a_crossing_that_was_not_noted_is_found_once(
    db: Database, line: Line, float_: AccountView, card: TestCard
) -> None:
    rule(db, float_, card)
    cross(line, card)
    with db.begin() as session:
        session.execute(text("DELETE FROM auto_recharge_crossing"))
    assert [catch_up(db, line.now), catch_up(db, line.now)] == [1, 0]
    assert run_due(db, line.now) == 1
    assert catch_up(db, line.now) == 0
    assert len(payments(db)) == 1


def test_a_crossing_before_it_was_enrolled_is_nobodys(
    db: Database, line: Line, float_: AccountView, card: TestCard
) -> None:
    low = rule(db, float_)
    talk(line, card, 150, "a")
    enrol(db, rule_id=low.id, card_ids=[card.id], actor=OPERATOR, now=line.later(1).now)
    assert catch_up(db, line.now) == 0


def test_what_was_under_a_threshold_before_it_was_raised_has_not_crossed_it(
    db: Database, line: Line, float_: AccountView, card: TestCard
) -> None:
    low = rule(db, float_, card, threshold=USD("1"))
    talk(line, card, 150, "a")  # 1.50
    change_rule(db, rule_id=low.id, threshold=USD("2"), actor=OPERATOR, now=line.now)
    assert (catch_up(db, line.now), crossings(db)) == (0, [])
    adjust(db, card_id=card.id, amount=USD("1"), reason="x", actor=OPERATOR, now=line.now)
    cross(line, card, "b")
    with db.begin() as session:
        session.execute(text("DELETE FROM auto_recharge_crossing"))
    assert (catch_up(db, line.now), crossings(db)) == (1, [None])


def test_what_was_crossed_while_a_rule_was_disabled_is_nobodys(
    db: Database, line: Line, float_: AccountView, card: TestCard
) -> None:
    low = rule(db, float_, card)
    change_rule(db, rule_id=low.id, disabled=True, **BY)
    talk(line, card, 150, "a")
    change_rule(db, rule_id=low.id, disabled=False, actor=OPERATOR, now=line.now)
    assert (catch_up(db, line.now), crossings(db)) == (0, [])


def test_a_filter_enrols_by_itself_whoever_fits(
    db: Database, vault: Vault, line: Line, float_: AccountView, card: TestCard
) -> None:
    others = scenes.batch(db, vault, 3, "9.00", name="Gold")
    euro = scenes.card(db, vault, name="Euro", deck="Euro", currency="EUR")
    made = rule(db, float_, card_filter=CardFilter(balance=(USD("5"), None)))
    assert made.cards == 0
    assert catch_up(db, NOW) == 3
    assert catch_up(db, NOW) == 0
    assert list_rules(db)[0].cards == 3
    with db.begin() as session:
        members = session.scalars(select(AutoRechargeMember.card_id)).all()
        told = session.scalars(select(CardEvent.card_id).where(CardEvent.kind == "auto_enrol")).all()
    assert sorted(members) == sorted(told) == [one.id for one in others]
    assert euro.id not in members
    recharge(db, card_id=card.id, amount=USD("2"), **BY)
    assert catch_up(db, NOW) == 1
    change_rule(db, rule_id=made.id, card_filter=None, **BY)
    recharge(db, card_id=scenes.card(db, vault, name="Late").id, amount=USD("2"), **BY)
    assert catch_up(db, NOW) == 0


# --- rules ---


def test_enrolling_and_withdrawing_twice_is_as_once(
    db: Database, vault: Vault, float_: AccountView, card: TestCard
) -> None:
    voucher = scenes.vouchers(db, vault, 1)[0]
    low = rule(db, float_)
    asked: dict[str, Any] = {"rule_id": low.id, "card_ids": [card.id, voucher.id, card.id, 7], **BY}
    assert enrol(db, **asked) == autorules.Enrolled(1, 2)
    assert enrol(db, **asked) == autorules.Enrolled(0, 3)
    assert withdraw(db, **asked) == autorules.Enrolled(1, 2)
    assert withdraw(db, **asked) == autorules.Enrolled(0, 3)


def test_a_rule_is_changed_disabled_and_let_count_again(db: Database, float_: AccountView) -> None:
    low = rule(db, float_)
    assert rule(db, float_) == low
    with pytest.raises(Conflict, match="name_taken"):
        rule(db, float_, amount=USD("6"))
    changed = change_rule(db, rule_id=low.id, amount=USD("6"), day_limit=USD("12"), disabled=True, **BY)
    assert (changed.amount, changed.day_limit, changed.disabled_at) == (USD("6"), USD("12"), NOW)
    again = change_rule(
        db, rule_id=low.id, amount=USD("6"), disabled=True, actor=OPERATOR, now=NOW + timedelta(1)
    )
    assert again == changed
    with pytest.raises(InvalidInput, match="limit_under_amount"):
        change_rule(db, rule_id=low.id, amount=USD("13"), **BY)
    back = change_rule(db, rule_id=low.id, day_limit=None, disabled=False, **BY)
    assert (back.day_limit, back.disabled_at) == (None, None)
    assert list_rules(db, disabled=False) == [back]


def test_a_rule_that_cannot_be_is_refused(db: Database, float_: AccountView) -> None:
    euro = open_account(db, name="Euro", kind="funding", currency="EUR", **BY)
    low = rule(db, float_)
    for terms, error, code in (
        ({"threshold": 0}, InvalidInput, "amount_too_small"),
        ({"amount": -1}, InvalidInput, "negative"),
        ({"day_limit": 1}, InvalidInput, "limit_under_amount"),
        ({"card_filter": CardFilter()}, InvalidInput, "rule_for_whom"),
        ({"card_filter": CardFilter(currency="EUR")}, Refused, "currency_mismatch"),
    ):
        with pytest.raises(error, match=code):
            rule(db, float_, name="Other", **terms)  # type: ignore[arg-type]
    with pytest.raises(Refused, match="currency_mismatch"):
        change_rule(db, rule_id=low.id, account_id=euro.id, **BY)
    with pytest.raises(NotFound, match="account_not_found"):
        change_rule(db, rule_id=low.id, account_id=euro.id + 1, **BY)
    with pytest.raises(NotFound, match="auto_recharge_not_found"):
        change_rule(db, rule_id=low.id + 1, **BY)
    free = open_account(db, name="Free", kind="funding", currency="USD", **BY)
    change_rule(db, rule_id=low.id, account_id=free.id, **BY)
    with pytest.raises(Conflict, match="account_in_use"):
        change_account(db, account_id=free.id, close=True, **BY)


def test_a_rule_is_not_let_count_again_on_an_account_that_was_closed(
    db: Database, float_: AccountView
) -> None:
    empty = open_account(db, name="Empty", kind="funding", currency="USD", **BY)
    low = rule(db, empty)
    change_rule(db, rule_id=low.id, disabled=True, **BY)
    change_account(db, account_id=empty.id, close=True, **BY)
    with pytest.raises(NotFound, match="account_not_found"):
        change_rule(db, rule_id=low.id, disabled=False, **BY)
    back = change_rule(db, rule_id=low.id, account_id=float_.id, disabled=False, **BY)
    assert (back.account, back.disabled_at) == ("Float", None)


def test_a_rule_that_gives_large_amounts_needs_a_second_persons_consent_to_exactly_its_terms(
    db: Database, float_: AccountView
) -> None:
    low = rule(db, float_)
    scenes.setting(db, "consent_recharge_over", 10)
    small = rule(db, float_, name="Small", amount=USD("10"))
    with pytest.raises(ConsentNeeded) as needed:
        rule(db, float_, name="Large", amount=USD("10.01"))
    assert (needed.value.data["action"], needed.value.data["subject"]) == (
        "auto_recharge.add",
        "auto_recharge:Large",
    )
    scenes.consented(db, needed.value)
    large = rule(db, float_, name="Large", amount=USD("10.01"))
    assert rule(db, float_, name="Large", amount=USD("10.01")) == large
    # Nor by way of a small one, or of one that is disabled meanwhile.
    more: dict[str, Any] = {"rule_id": small.id, "amount": USD("5000"), **BY}
    with pytest.raises(ConsentNeeded):
        change_rule(db, **more)
    change_rule(db, rule_id=small.id, disabled=True, **BY)
    change_rule(db, **more)
    with pytest.raises(ConsentNeeded) as needed:
        change_rule(db, rule_id=small.id, disabled=False, **BY)
    assert needed.value.data["facts"]["amount"] == USD("5000")
    scenes.consented(db, needed.value)
    assert change_rule(db, rule_id=small.id, disabled=False, **BY).disabled_at is None
    with pytest.raises(ConsentNeeded):
        change_rule(db, rule_id=large.id, threshold=USD("500"), **BY)
    change_rule(db, rule_id=large.id, disabled=True, **BY)
    assert change_rule(db, rule_id=low.id, threshold=USD("3"), **BY).threshold == USD("3")


# --- the race ---

CARDS, PROCESSES = scaled(1_000, 60), scaled(8, 4)


def _cross_and_run(
    url: str, keys: Keys, switch: SwitchIdentity, cards: list[TestCard], number: int, now: datetime
) -> int:
    """Two calls at once on every card, ended in another order by each process; and the due work, again and again."""
    db = Database(url)
    line = Line(db, Vault(keys), switch, now=now)
    mine = cards[number::PROCESSES]
    for card in mine:
        for ref in ("x", "y"):
            line.open(card, BANGLADESH, ref=f"{card.serial}-{ref}", one_shot=False)
    done = 0
    line.later(60)
    with ThreadPoolExecutor(2) as pool:
        for turn, card in enumerate(mine):
            ends = [pool.submit(line.end, f"{card.serial}-{ref}", seconds=60) for ref in ("x", "y")]
            for end in ends:
                end.result()
            if turn % 5 == number % 5:
                done += run_due(db, line.now, 50)
    done += run_due(db, line.now, 50)
    db.close()
    return done


def test_cards_that_cross_at_once_in_many_processes_are_recharged_once_each_within_their_limits(
    db: Database, vault: Vault, keys: Keys, database_url: str, line: Line, float_: AccountView
) -> None:
    cards = scenes.batch(db, vault, CARDS, "3.00", name="Many", concurrency=2)
    deposit(db, account_id=float_.id, amount=USD("1") * CARDS, **BY)
    # 3.00 and 2.40 are left after either call of 0.60, so that the second crosses; a day has room for one.
    low = rule(db, float_, *cards, threshold=USD("2"), amount=USD("1"), day_limit=USD("1.50"))
    tasks = [(database_url, keys, line.switch, cards, number, NOW) for number in range(PROCESSES)]
    done = sum(run_together(_cross_and_run, tasks))
    done += run_due(db, NOW + timedelta(minutes=1), 10_000)
    assert done == CARDS
    assert Counter(crossings(db)) == {"done": CARDS}
    paid = payments(db)
    assert Counter(payment.card_id for payment in paid) == Counter(card.id for card in cards)
    with db.begin() as session:
        told = session.execute(text("SELECT min(balance), max(balance), max(held) FROM card")).one()
    assert tuple(told) == (USD("2.80"), USD("2.80"), 0)
    assert account_page(db, float_.id).account.balance == USD("100")
    # And once more: now the day's limit holds for every one of them.
    line.later(3_600)
    for card in cards[:20]:
        talk(line, card, 90, f"{card.serial}-z")
    assert run_due(db, line.now) == 20
    assert Counter(crossings(db)) == {"done": CARDS, "capped": 20}
    assert len(payments(db)) == CARDS
    assert low.cards == 0
