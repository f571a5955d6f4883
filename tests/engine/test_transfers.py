"""Transfers: what they post, whom they refuse, that each counts once, and that circles of them never stand still."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, text

from engine.cards import lifecycle
from engine.db import Database
from engine.errors import Conflict, InvalidInput, NotFound, Refused
from engine.funds.recharges import MOST
from engine.funds.transfers import Transferred, transfer, transfer_by_holder
from engine.refusal import Refusal
from engine.schema import Attempt, AuditRow, CardEvent, CardTransfer, LedgerEntry
from engine.vault import Vault
from tests import scenes
from tests.proof import scaled
from tests.scenes import NOW, OPERATOR, USD, Line, TestCard, facts

BY: dict[str, Any] = {"actor": OPERATOR, "now": NOW}


@pytest.fixture
def cards(db: Database, vault: Vault) -> list[TestCard]:
    return scenes.batch(db, vault, 3, "5.00")


def give(
    db: Database, source: TestCard, target: TestCard, amount: str | None = None, **more: Any
) -> Transferred:
    how = None if amount is None else USD(amount)
    return transfer(db, from_id=source.id, to_id=target.id, amount=how, **{**BY, **more})


def entries(db: Database, card: TestCard) -> list[tuple[str, str, int, str]]:
    with db.begin() as session:
        rows = session.scalars(
            select(LedgerEntry)
            .where(LedgerEntry.card_id == card.id, LedgerEntry.kind != "opening")
            .order_by(LedgerEntry.id)
        )
        return [(row.kind, row.account, row.amount, row.reference) for row in rows]


def test_an_amount_goes_from_one_card_to_another(db: Database, cards: list[TestCard]) -> None:
    source, target, _ = cards
    done = give(db, source, target, "1.25", reason="Sent by phone")
    assert (done.amount, done.from_balance, done.to_balance) == (USD("1.25"), USD("3.75"), USD("6.25"))
    assert (done.from_serial, done.to_serial, done.currency) == (source.serial, target.serial, "USD")
    reference = f"transfer:{done.transfer_id}"
    assert entries(db, source) == [("transfer", "transfer", -USD("1.25"), reference)]
    assert entries(db, target) == [("transfer", "transfer", USD("1.25"), reference)]
    with db.begin() as session:
        row = session.scalars(select(CardTransfer)).one()
        events = {
            event.kind: event.data
            for event in session.scalars(select(CardEvent).where(CardEvent.kind.like("transfer%")))
        }
        audit = session.scalars(select(AuditRow).where(AuditRow.action == "card.transfer")).one()
    assert (row.kind, row.from_id, row.to_id, row.amount) == ("transfer", source.id, target.id, USD("1.25"))
    assert (events["transfer_out"]["into"], events["transfer_in"]["card"]) == (target.serial, source.serial)
    assert (audit.subject, audit.data["to"], audit.reason) == (
        f"card:{source.serial}",
        target.serial,
        "Sent by phone",
    )


def test_without_an_amount_all_of_it_goes(db: Database, cards: list[TestCard]) -> None:
    assert give(db, cards[0], cards[1]).amount == USD("5")
    assert (facts(db, cards[0]).balance, facts(db, cards[1]).balance) == (0, USD("10"))


def test_a_key_counts_once_and_the_repeat_says_so(db: Database, cards: list[TestCard]) -> None:
    source, target, third = cards
    first = give(db, source, target, "1", key="a")
    give(db, source, target, "1", key="b")
    again = give(db, source, target, "1", key="a", now=NOW + timedelta(days=1))
    assert again == first
    assert (again.repeated, again.from_balance, again.balance_now) == (True, USD("4"), USD("3"))
    for other, amount in ((third, "1"), (target, "2"), (target, None)):
        with pytest.raises(Conflict, match="key_reused"):
            give(db, source, other, amount, key="a")
    with db.begin() as session:
        session.execute(text("DELETE FROM idempotent_request"))
    with pytest.raises(Conflict, match="key_reused"):
        give(db, source, target, "1", key="a")
    assert facts(db, source).balance == USD("3")


def _expire(db: Database, card: TestCard, days: int = 0) -> None:
    with db.begin() as session:
        session.execute(
            text("UPDATE card SET expires_at = :at WHERE id = :id"),
            {"at": NOW - timedelta(days=days), "id": card.id},
        )


def _change(db: Database, card: TestCard, how: str) -> None:
    if how == "expired":
        _expire(db, card)
    elif how == "not_activated":
        with db.begin() as session:
            session.execute(text("UPDATE card SET released_at = NULL WHERE id = :id"), {"id": card.id})
    else:
        change = lifecycle.damage if how == "damaged" else lifecycle.lock
        change(db, card_id=card.id, reason="Lost", **BY)


@pytest.mark.parametrize("side", [0, 1], ids=["source", "target"])
@pytest.mark.parametrize("how", ["damaged", "locked", "expired", "not_activated"])
def test_a_card_that_may_not_says_why_and_nothing_is_left_of_it(
    db: Database, cards: list[TestCard], side: int, how: str
) -> None:
    _change(db, cards[side], how)
    with pytest.raises(Refused) as refused:
        give(db, cards[0], cards[1], "1", key="a")
    assert (refused.value.code, refused.value.data["serial"]) == (how, cards[side].serial)
    with db.begin() as session:
        assert session.scalars(select(CardTransfer)).all() == []
    assert scenes.kept_requests(db) == []


def test_no_voucher_gives_or_takes(db: Database, vault: Vault, cards: list[TestCard]) -> None:
    voucher = scenes.vouchers(db, vault, 1)[0]
    for source, target in ((voucher, cards[0]), (cards[0], voucher)):
        with pytest.raises(Refused, match="voucher_not_allowed"):
            give(db, source, target, "1")


def test_currencies_never_mix(db: Database, vault: Vault, cards: list[TestCard]) -> None:
    euro = scenes.card(db, vault, name="Euro", deck="Euro", currency="EUR")
    with pytest.raises(Refused, match="currency_mismatch"):
        give(db, cards[0], euro, "1")


def test_what_is_not_there_does_not_go(db: Database, cards: list[TestCard]) -> None:
    with pytest.raises(Refused, match="insufficient_balance"):
        give(db, cards[0], cards[1], "5.000001")
    give(db, cards[0], cards[1])
    with pytest.raises(Refused, match="empty"):
        give(db, cards[0], cards[1])
    with pytest.raises(InvalidInput, match="same_card"):
        give(db, cards[0], cards[0], "1")
    with pytest.raises(NotFound, match="card_not_found"):
        transfer(db, from_id=cards[1].id, to_id=cards[2].id + 1, **BY)
    for amount, code in (
        (0, "amount_too_small"),
        (-1, "negative"),
        (0.5, "not_a_number"),
        (MOST + 1, "large"),
    ):
        with pytest.raises(InvalidInput, match=code):
            transfer(db, from_id=cards[1].id, to_id=cards[2].id, amount=amount, **BY)  # type: ignore[arg-type]


def test_nothing_goes_while_a_call_is_live_on_the_source(
    db: Database, vault: Vault, cards: list[TestCard]
) -> None:
    line = Line(db, vault, scenes.switch(db))
    line.open(cards[0], one_shot=False)
    with pytest.raises(Refused, match="too_many_calls"):
        give(db, cards[0], cards[1], "0.01")
    give(db, cards[1], cards[0], "1")  # into it, all the same
    line.later(60).end(seconds=10)
    give(db, cards[0], cards[1], "0.01")


def test_an_expired_target_within_its_grace_lives_again(db: Database, vault: Vault) -> None:
    source, target = scenes.batch(db, vault, 2, "5.00", grace_days=5, extension_days=30)
    _expire(db, target, days=1)
    give(db, source, target, "1")
    assert facts(db, target).expires_at == scenes.end_of_utc_day(NOW + timedelta(days=30))
    _expire(db, source, days=1)
    with pytest.raises(Refused, match="expired"):
        give(db, source, target, "1")


# --- by the holder ---


@pytest.fixture
def line(db: Database, vault: Vault) -> Line:
    return Line(db, vault, scenes.switch(db))


def send(
    line: Line, source: Any, target: Any, amount: str | None = "1", key: str = "a"
) -> Transferred | Refusal:
    return transfer_by_holder(
        line.db,
        line.vault,
        switch=line.switch,
        source=source,
        target=target,
        caller=None,
        amount=None if amount is None else USD(amount),
        key=key,
        now=line.now,
    )


def test_a_holder_proves_both_cards(db: Database, line: Line, cards: list[TestCard]) -> None:
    source, target, _ = cards
    done = send(line, source.credentials, target.credentials)
    assert isinstance(done, Transferred)
    assert (done.from_balance, done.to_balance) == (USD("4"), USD("6"))
    again = send(line, source.credentials, target.credentials)
    assert (again, getattr(again, "repeated", None)) == (done, True)
    with pytest.raises(Conflict, match="key_reused"):
        send(line, source.credentials, target.credentials, "2")
    with db.begin() as session:
        audit = session.scalars(select(AuditRow).where(AuditRow.action == "card.transfer")).one()
    (asked,) = scenes.kept_requests(db)
    for secret in (source.password, target.password, source.number, target.number):
        assert secret not in str(asked.answer) + str(audit.data)
        assert secret.encode() not in bytes(asked.fingerprint)
    assert audit.actor == f"switch:{line.switch.id}"


@pytest.mark.parametrize("side", [0, 1])
def test_a_wrong_password_of_either_moves_nothing_and_leaves_its_trace(
    db: Database, line: Line, cards: list[TestCard], side: int
) -> None:
    given = [cards[0].credentials, cards[1].credentials]
    given[side] = cards[side].with_password("00000000")
    assert send(line, *given) == Refusal("bad_credentials")
    assert facts(db, cards[0]).balance == USD("5")
    with db.begin() as session:
        assert session.scalars(select(Attempt.reason)).all() == ["wrong_password"]
    assert isinstance(send(line, cards[0].credentials, cards[1].credentials), Transferred)


def test_what_staff_is_refused_a_holder_is_refused_with_a_trace(
    db: Database, line: Line, cards: list[TestCard]
) -> None:
    given = cards[0].credentials, cards[1].credentials
    assert send(line, *given, "5.01") == Refusal("insufficient_balance", serial=cards[0].serial)
    line.open(cards[0], one_shot=False)
    assert send(line, *given) == Refusal("too_many_calls", serial=cards[0].serial)
    lifecycle.lock(db, card_id=cards[1].id, reason="Lost", **BY)
    assert send(line, *given) == Refusal("locked", serial=cards[1].serial)
    with db.begin() as session:
        kept = session.scalars(select(Attempt.reason).order_by(Attempt.id)).all()
    assert kept == ["insufficient_balance", "too_many_calls", "locked"]
    with pytest.raises(InvalidInput, match="same_card"):
        send(line, given[0], given[0])


# --- races ---


def test_transfers_in_circles_never_stand_still_and_lose_nothing(db: Database, vault: Vault) -> None:
    circle = scenes.batch(db, vault, 4, "1.00")
    turns = scaled(2_000, 160)

    def pass_on(turn: int) -> str:
        source, target = circle[turn % 4], circle[(turn + 1 + turn // 4 % 3) % 4]
        try:
            give(db, source, target, "0.30", key=f"turn-{turn}")
        except Refused as refused:
            return refused.code
        return "done"

    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(pass_on, range(turns)))
    assert set(told) <= {"done", "insufficient_balance", "empty"}
    went = told.count("done")
    assert went > turns // 10
    assert sum(facts(db, card).balance for card in circle) == USD("4.00")
    with db.begin() as session:
        assert len(session.scalars(select(CardTransfer.id)).all()) == went


def test_of_two_who_empty_one_card_at_once_one_does(db: Database, cards: list[TestCard]) -> None:
    source, *others = cards

    def empty(target: TestCard) -> str:
        try:
            give(db, source, target)
        except Refused as refused:
            return refused.code
        return "done"

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(empty, others)) == ["done", "empty"]


def test_a_double_click_moves_once(db: Database, cards: list[TestCard]) -> None:
    with ThreadPoolExecutor(6) as pool:
        done = list(pool.map(lambda _: give(db, cards[0], cards[1], "0.50", key="click"), range(12)))
    assert len({one.transfer_id for one in done}) == 1
    assert [one.repeated for one in done].count(False) == 1
    assert facts(db, cards[0]).balance == USD("4.50")
