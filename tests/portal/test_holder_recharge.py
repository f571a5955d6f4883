"""Recharges at the browser: each counts once, is proven, leads to its receipt, and is nobody else's to see."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask

from engine.cards import lifecycle
from engine.db import Database
from engine.funds import recharges
from engine.vault import Vault
from tests import scenes
from tests.portal.conftest import text_of
from tests.portal.holders import Holder, form_key, holder_of
from tests.proof import scaled
from tests.scenes import NOW, OPERATOR, USD, Line, TestCard, facts

BAD = "This number and this password don't fit together."


@pytest.fixture
def cards(db: Database, vault: Vault) -> list[TestCard]:
    scenes.deck(db)
    return scenes.batch(db, vault, 3)


@pytest.fixture
def holder(app: Flask, cards: list[TestCard]) -> Holder:
    return holder_of(app, cards[0])


def balance(db: Database, card: TestCard) -> int:
    return facts(db, card).balance


def redeem(holder: Holder, voucher: TestCard, key: str = "k-1", **more: str):
    fields = {"number": voucher.number, "password": voucher.password, "key": key, **more}
    return holder.submit("/card/recharge", **fields)


def move(holder: Holder, source: TestCard, key: str = "k-1", **more: str):
    fields = {"number": source.number, "password": source.password, "key": key, **more}
    return holder.submit("/card/recharge/transfer", **fields)


def test_a_voucher_comes_onto_the_card_and_leads_to_its_receipt(
    holder: Holder, db: Database, vault: Vault, cards: list[TestCard]
) -> None:
    voucher = scenes.vouchers(db, vault, 1, "10.00")[0]
    answer = redeem(holder, voucher, form_key(holder.get("/card/recharge").text))
    assert answer.status_code == 303
    page = holder.get(answer.location)
    assert "$10.00 came onto your card." in text_of(page.text)
    assert "$15.00" in page.text
    assert balance(db, cards[0]) == USD("15")
    assert balance(db, voucher) == 0


def test_a_form_that_is_sent_twice_counts_once_and_shows_the_same_receipt(
    holder: Holder, db: Database, vault: Vault, cards: list[TestCard]
) -> None:
    voucher = scenes.vouchers(db, vault, 1, "10.00")[0]
    first, again = redeem(holder, voucher), redeem(holder, voucher)
    assert (first.location, first.status_code) == (again.location, again.status_code)
    assert balance(db, cards[0]) == USD("15")
    # Under another key it is another try, and tells that the voucher was used.
    answer = redeem(holder, voucher, "k-2")
    assert answer.status_code == 422
    assert "This voucher was used before." in text_of(answer.text)


def test_a_wrong_voucher_password_is_counted_and_has_to_wait(
    holder: Holder, db: Database, vault: Vault, cards: list[TestCard]
) -> None:
    voucher = scenes.vouchers(db, vault, 1)[0]
    for _ in range(4):
        answer = redeem(holder, voucher, password="00000000")
    assert answer.status_code == 422
    assert BAD in text_of(answer.text)
    assert "00000000" not in answer.text
    assert redeem(holder, voucher).status_code == 429
    assert balance(db, cards[0]) == USD("5")


def test_an_unknown_voucher_looks_like_a_wrong_password(holder: Holder) -> None:
    answer = redeem(holder, TestCard(0, "999999999999", "12345678"))
    assert BAD in text_of(answer.text)


def test_a_card_is_no_voucher_and_a_locked_voucher_can_not_be_used(
    holder: Holder, db: Database, vault: Vault, cards: list[TestCard]
) -> None:
    assert "only a recharge voucher can" in text_of(redeem(holder, cards[1]).text)
    voucher = scenes.vouchers(db, vault, 1)[0]
    lifecycle.lock(db, card_id=voucher.id, reason="Stolen", actor=OPERATOR, now=NOW)
    assert "This voucher can't be used." in text_of(redeem(holder, voucher).text)


def test_a_voucher_in_another_currency_is_refused(holder: Holder, db: Database, vault: Vault) -> None:
    voucher = scenes.vouchers(db, vault, 1, currency="EUR")[0]
    assert "different currencies" in text_of(redeem(holder, voucher).text)
    assert balance(db, voucher) > 0


@pytest.mark.parametrize("number", ["", "abc", "1" * 40, "NaN", "１２ x"])
def test_what_is_no_voucher_number_is_said_at_its_field(holder: Holder, number: str) -> None:
    answer = redeem(holder, TestCard(0, number, "12345678"))
    assert answer.status_code == 422
    assert 'aria-invalid="true"' in answer.text


def test_a_voucher_pays_once_whoever_races_for_it(
    app: Flask, db: Database, vault: Vault, cards: list[TestCard]
) -> None:
    count = scaled(500, 12)
    given = scenes.vouchers(db, vault, count, "1.00")
    racers = [holder_of(app, cards[number % 3]) for number in range(4)]
    tokens = [racer.token() for racer in racers]

    def race(racer: int) -> int:
        done = 0
        for number, voucher in enumerate(given):
            answer = racers[racer].post(
                "/card/recharge",
                data={
                    "csrf_token": tokens[racer],
                    "number": voucher.number,
                    "password": voucher.password,
                    "key": f"{racer}-{number}",
                },
            )
            assert answer.status_code in (303, 422), answer.status_code
            done += answer.status_code == 303
        return done

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(race, range(4))) == count
    assert sum(balance(db, card) for card in cards) == USD("15") + count * USD("1")


# --- from another card ---


def test_money_moves_here_from_another_card_that_is_proven(
    holder: Holder, db: Database, cards: list[TestCard]
) -> None:
    answer = move(holder, cards[1], amount="2.00")
    assert answer.status_code == 303
    assert "$2.00 came onto your card." in text_of(holder.get(answer.location).text)
    assert (balance(db, cards[0]), balance(db, cards[1])) == (USD("7"), USD("3"))
    assert move(holder, cards[1], amount="2.00").location == answer.location, "sent twice, it counts once"
    assert move(holder, cards[1], "k-2").status_code == 303
    assert (balance(db, cards[0]), balance(db, cards[1])) == (USD("10"), 0)


def test_without_the_other_cards_password_nothing_moves(
    holder: Holder, db: Database, cards: list[TestCard]
) -> None:
    answer = move(holder, cards[1], password="00000000")
    assert BAD in text_of(answer.text)
    assert balance(db, cards[1]) == USD("5")


def test_nothing_moves_off_a_card_in_a_call(
    holder: Holder, db: Database, vault: Vault, cards: list[TestCard]
) -> None:
    line = Line(db, vault, scenes.switch(db))
    line.open(cards[1], ref="live")
    answer = move(holder, cards[1], amount="1.00")
    assert "A call is going on with this card" in text_of(answer.text)
    assert balance(db, cards[0]) == USD("5")
    line.later(10).end("live", seconds=10)
    assert move(holder, cards[1], amount="1.00").status_code == 303


@pytest.mark.parametrize(
    "amount", ["-5", "0", "1e9", "NaN", "1,50", "0.00000005", "１２ ", "1" + "0" * 30, "99"]
)
def test_an_amount_that_can_not_be_is_said(
    holder: Holder, db: Database, cards: list[TestCard], amount: str
) -> None:
    answer = move(holder, cards[1], amount=amount)
    assert answer.status_code == 422
    assert 'role="alert"' in answer.text
    assert balance(db, cards[1]) == USD("5")


def test_the_own_card_is_no_other_card(holder: Holder, cards: list[TestCard]) -> None:
    assert "This is the card that you are logged in with" in text_of(move(holder, cards[0]).text)


# --- receipts ---


def test_another_cards_receipt_is_nowhere(
    app: Flask, holder: Holder, db: Database, vault: Vault, cards: list[TestCard]
) -> None:
    paid = recharges.recharge(db, card_id=cards[1].id, amount=USD("2"), key="p", actor=OPERATOR, now=NOW)
    moved = move(holder, cards[1], amount="1.00").location
    assert holder.get(f"/card/recharge/receipt/{paid.payment_id}").status_code == 404
    other = holder_of(app, cards[1])
    assert other.get(f"/card/recharge/receipt/{paid.payment_id}").status_code == 200
    assert other.get(moved).status_code == 404, "it went from there, and came here"
    assert other.get("/card/recharge/receipt/999999").status_code == 404
