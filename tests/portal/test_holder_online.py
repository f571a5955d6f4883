"""Pay online: asked of Stripe once, credited by its signed messages alone, whatever becomes of them on the way."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from flask import Flask
from structlog.testing import capture_logs

from engine import alarms
from engine.cards import lifecycle
from engine.db import Database
from engine.vault import Vault
from portal import checkout, installation
from portal.checkout import micros_of, smallest_units
from tests import scenes
from tests.portal import fakestripe
from tests.portal.conftest import Visitor, text_of
from tests.portal.fakestripe import FakeStripe, charge_of, message, session_of, signature
from tests.portal.holders import Holder, holder_of
from tests.scenes import NOW, OPERATOR, USD, TestCard, facts


@pytest.fixture
def stripe() -> Iterator[FakeStripe]:
    with fakestripe.running() as fake:
        yield fake


@pytest.fixture
def app(make_app: Callable[..., Flask], stripe: FakeStripe) -> Flask:
    made = make_app()
    with made.app_context():
        here = installation.installation()
    here.config = replace(
        here.config,
        stripe_secret_key=fakestripe.KEY,
        stripe_webhook_secret=fakestripe.SECRET,
        stripe_api=stripe.url,
        public_url="https://cards.example",
    )
    # The app is shared: its client would ask the Stripe of the test before.
    made.extensions.pop(checkout._EXTENSION, None)
    return made


@pytest.fixture
def cards(db: Database, vault: Vault) -> list[TestCard]:
    scenes.deck(db)
    return scenes.batch(db, vault, 2)


@pytest.fixture
def holder(app: Flask, cards: list[TestCard]) -> Holder:
    return holder_of(app, cards[0])


def begin(holder: Holder, amount: str = "10.00", key: str = "k-1") -> str:
    """Begin a payment; its name."""
    answer = holder.submit("/card/recharge/online", amount=amount, key=key)
    assert answer.status_code == 303, answer.text
    return str(answer.location.rpartition("/")[2])


def tell(app: Flask, body: bytes, header: str | None = None) -> int:
    """Send a message as Stripe would; the status of the answer."""
    client = app.test_client()
    headers = {"Stripe-Signature": signature(body) if header is None else header}
    return client.post(
        "/webhooks/stripe", data=body, headers=headers, content_type="application/json"
    ).status_code


def paid(ref: str, amount: int = 1000, **more: str) -> bytes:
    return message("checkout.session.completed", session_of(ref, amount, **more))


def balance(db: Database, card: TestCard) -> int:
    return facts(db, card).balance


def test_a_payment_is_asked_of_stripe_and_credited_when_it_says_so(
    app: Flask, holder: Holder, stripe: FakeStripe, db: Database, cards: list[TestCard]
) -> None:
    assert "Pay online" in holder.get("/card/recharge").text
    ref = begin(holder)
    page = holder.get(f"/card/recharge/online/{ref}")
    assert 'href="https://checkout.stripe.com/c/pay/cs_test_1"' in page.text
    asked = stripe.asked[ref]
    assert asked["line_items[0][price_data][unit_amount]"] == "1000"
    assert asked["line_items[0][price_data][currency]"] == "usd"
    assert asked["payment_intent_data[metadata][checkout]"] == ref
    assert asked["success_url"] == f"https://cards.example/card/recharge/online/{ref}"
    assert cards[0].number not in str(asked)
    assert tell(app, paid(ref)) == 200
    assert balance(db, cards[0]) == USD("15")
    page = holder.get(f"/card/recharge/online/{ref}")
    assert "Paid. The money is on your card." in text_of(page.text)
    receipt = re.search(r'href="(/card/recharge/receipt/\d+)"', page.text)
    assert receipt is not None
    assert "$10.00 came onto your card." in text_of(holder.get(receipt[1]).text)


def test_a_form_that_is_sent_twice_asks_stripe_for_one_payment(holder: Holder, stripe: FakeStripe) -> None:
    assert begin(holder) == begin(holder)
    assert len(stripe.asked) == 1


def test_a_payment_that_stripe_could_not_open_is_gone_on_with(
    holder: Holder, stripe: FakeStripe, db: Database, cards: list[TestCard]
) -> None:
    stripe.down = True
    answer = holder.submit("/card/recharge/online", amount="10.00", key="k-1")
    assert answer.status_code == 422
    assert "Nothing was paid." in text_of(answer.text)
    stripe.down = False
    begin(holder)
    assert len(stripe.asked) == 1


@pytest.mark.parametrize(
    "amount", ["4.99", "100.01", "-5", "NaN", "1,50", "1e9", "10.001", "", "１０", "9" * 30]
)
def test_an_amount_that_can_not_be_paid_is_said(holder: Holder, stripe: FakeStripe, amount: str) -> None:
    answer = holder.submit("/card/recharge/online", amount=amount, key="k-1")
    assert answer.status_code == 422
    assert 'aria-invalid="true"' in answer.text
    assert stripe.requests == 0


def test_without_keys_there_is_no_paying_online(
    make_app: Callable[..., Flask], cards: list[TestCard]
) -> None:
    holder = holder_of(make_app(), cards[0])
    assert "Pay online" not in holder.get("/card/recharge").text
    assert holder.get("/card/recharge/online").status_code == 404
    assert holder.post("/webhooks/stripe", data=b"{}").status_code == 404


def test_another_cards_payment_is_nowhere(app: Flask, holder: Holder, cards: list[TestCard]) -> None:
    ref = begin(holder)
    assert holder_of(app, cards[1]).get(f"/card/recharge/online/{ref}").status_code == 404


# --- messages ---


def test_a_forged_a_stale_and_an_altered_message_count_for_nothing(
    app: Flask, holder: Holder, db: Database, cards: list[TestCard]
) -> None:
    body = paid(begin(holder))
    for header in (
        "",
        "t=1,v1=abc",
        signature(body, secret="whsec_other"),
        signature(body, at=time.time() - 3600),
        signature(paid("pay_other")),
        signature(body).replace("v1=", "v0="),
    ):
        assert tell(app, body, header) == 400, header
    assert tell(app, b"\xff\xfe", signature(b"\xff\xfe")) == 400
    assert tell(app, b"[]", signature(b"[]")) == 400
    assert balance(db, cards[0]) == USD("5")


def test_a_replayed_message_counts_once_also_when_it_comes_many_times_at_once(
    app: Flask, holder: Holder, db: Database, cards: list[TestCard]
) -> None:
    body = paid(begin(holder))
    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(lambda _: tell(app, body), range(18))) == {200}
    assert balance(db, cards[0]) == USD("15")


def test_messages_in_the_wrong_order_come_to_the_same(
    app: Flask, holder: Holder, db: Database, cards: list[TestCard]
) -> None:
    ref = begin(holder)
    half = message("charge.refunded", charge_of(ref, 400))
    over = message("checkout.session.expired", session_of(ref, 1000, status="unpaid"))
    for body in (half, over, paid(ref), half, paid(ref)):
        assert tell(app, body) == 200
    assert balance(db, cards[0]) == USD("11")
    assert tell(app, message("charge.refunded", charge_of(ref, 1000))) == 200
    assert balance(db, cards[0]) == USD("5")
    assert "went back to who paid it" in text_of(holder.get(f"/card/recharge/online/{ref}").text)


def test_a_way_to_pay_that_takes_days_counts_when_it_succeeded(
    app: Flask, holder: Holder, db: Database, cards: list[TestCard]
) -> None:
    ref = begin(holder)
    tell(app, paid(ref, status="unpaid"))
    assert balance(db, cards[0]) == USD("5")
    tell(app, message("checkout.session.async_payment_succeeded", session_of(ref, 1000)))
    assert balance(db, cards[0]) == USD("15")


def test_one_that_failed_can_be_begun_anew(app: Flask, holder: Holder) -> None:
    ref = begin(holder)
    tell(app, message("checkout.session.async_payment_failed", session_of(ref, 1000, status="unpaid")))
    page = text_of(holder.get(f"/card/recharge/online/{ref}").text)
    assert "This was not paid." in page
    assert begin(holder, key="k-2") != ref


def test_another_amount_or_currency_than_asked_for_is_not_credited(
    app: Flask, holder: Holder, db: Database, cards: list[TestCard]
) -> None:
    ref = begin(holder)
    assert tell(app, paid(ref, 999)) == 200
    assert tell(app, paid(ref, currency="eur")) == 200
    assert balance(db, cards[0]) == USD("5")
    assert {alarm.kind for alarm in alarms.open_alarms(db)} == {"payment_unknown"}


def test_what_the_same_account_sells_besides_is_none_of_ours(app: Flask, db: Database) -> None:
    thing = {**session_of("", 500), "client_reference_id": None, "metadata": {}}
    assert tell(app, message("checkout.session.completed", thing)) == 200
    assert tell(app, message("customer.created", {"id": "cus_1"})) == 200
    assert alarms.open_alarms(db) == []


def test_no_secret_is_logged(app: Flask, holder: Holder, stripe: FakeStripe) -> None:
    stripe.down = True
    with capture_logs() as lines:
        holder.submit("/card/recharge/online", amount="10.00", key="k-1")
        tell(app, b"{}", "t=1,v1=abc")
    assert {"stripe_failed", "stripe_message_refused"} <= {line["event"] for line in lines}
    for secret in (fakestripe.KEY, fakestripe.SECRET):
        assert secret not in str(lines)


# --- the operator ---


def test_the_operator_sees_what_could_not_be_credited_and_credits_it(
    app: Flask, holder: Holder, person: object, db: Database, vault: Vault, cards: list[TestCard]
) -> None:
    ref = begin(holder)
    lifecycle.lock(db, card_id=cards[0].id, reason="Lost", actor=OPERATOR, now=NOW)
    tell(app, paid(ref))
    desk = app.test_client()
    assert isinstance(desk, Visitor)
    desk.log_in()
    page = desk.get("/money/online")
    assert page.status_code == 200
    assert "could not take it" in text_of(page.text)
    assert "paid online for the card" in text_of(desk.get("/alarms").text)
    # The desk's operator may look; putting money onto cards is finance's business.
    assert desk.submit(f"/money/online/{ref}/credit").status_code == 403


@pytest.mark.parametrize(
    ("micros", "currency", "units"),
    [
        (USD("10"), "USD", 1000),
        (USD("0.01"), "EUR", 1),
        (USD("500"), "JPY", 500),
        (USD("1.5"), "KWD", 1500),
        (USD("0.001"), "USD", None),
        (USD("0.5"), "JPY", None),
        (USD("1.005"), "KWD", None),
    ],
)
def test_amounts_in_the_units_that_stripe_counts_in(micros: int, currency: str, units: int | None) -> None:
    assert smallest_units(micros, currency) == units
    if units is not None:
        assert micros_of(units, currency) == micros
