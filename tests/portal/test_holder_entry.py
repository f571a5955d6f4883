"""A cardholder's way in: what each failure says, what a card that is shut tells, and what the session is worth."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select, text
from structlog.testing import capture_logs

from engine.cards import lifecycle
from engine.db import Database
from engine.people import sessions
from engine.schema import Attempt, WebSession
from engine.vault import Vault
from tests import scenes
from tests.portal.conftest import Clock, Visitor, text_of
from tests.portal.holders import Holder, holder_of
from tests.scenes import NOW, OPERATOR, TestCard

NO = "This number and this password don't fit together."


@pytest.fixture
def cards(db: Database, vault: Vault) -> list[TestCard]:
    scenes.deck(db)
    return scenes.batch(db, vault, 3)


@pytest.fixture
def browser(app: Flask) -> Holder:
    return holder_of(app)


def test_the_right_password_leads_home(browser: Holder, cards: list[TestCard]) -> None:
    answer = browser.enter(cards[0])
    assert (answer.status_code, answer.location) == (303, "/card")
    page = browser.get("/card")
    assert page.status_code == 200
    assert "$5.00" in page.text
    assert "Your card lasts 90 days from your first call." in page.text


@pytest.mark.parametrize(
    "written",
    ["{0} {1} {2}", "{0}-{1}-{2}", " {0}{1}{2} ", "{0}\u00a0{1}\u202f{2}", "{0}.{1}.{2}", "({0}) {1}/{2}"],
)
def test_a_number_may_be_grouped_and_pasted_as_it_comes(
    browser: Holder, cards: list[TestCard], written: str
) -> None:
    number = cards[0].number
    answer = browser.enter(cards[0], number=written.format(number[:4], number[4:8], number[8:]))
    assert answer.status_code == 303


@pytest.mark.parametrize("zero", ["\u0660", "\u06f0", "\u09e6", "\uff10"])
def test_digits_of_other_scripts_are_the_same_digits(
    browser: Holder, cards: list[TestCard], zero: str
) -> None:
    there = str.maketrans("0123456789", "".join(chr(ord(zero) + digit) for digit in range(10)))
    card = cards[0]
    answer = browser.enter(card, number=card.number.translate(there), password=card.password.translate(there))
    assert answer.status_code == 303


def test_every_failure_says_the_same(browser: Holder, cards: list[TestCard], db: Database) -> None:
    wrong = browser.enter(cards[0], password="00000000")
    unknown = browser.enter(cards[0], number="999999999999")
    assert {wrong.status_code, unknown.status_code} == {422}
    assert NO in text_of(wrong.text)
    assert _without_what_was_typed(wrong.text, cards[0].number) == _without_what_was_typed(
        unknown.text, "999999999999"
    )
    # What to do next is said with it, by the serial, which tells nobody anything.
    assert "serial number" in text_of(wrong.text)
    with db.begin() as session:
        assert session.scalars(select(Attempt.reason).order_by(Attempt.id)).all() == [
            "wrong_password",
            "unknown_number",
        ]


def _without_what_was_typed(page: str, number: str) -> str:
    return re.sub(r"(csrf_token\"|X-CSRF-Token\":)[^>]*>", "", page.replace(number, "…"))


@pytest.mark.parametrize(
    ("number", "password"), [("", "12345678"), ("123456789012", ""), ("12ab", "12345678"), ("1" * 40, "1")]
)
def test_what_is_no_number_is_said_at_its_field(browser: Holder, number: str, password: str) -> None:
    answer = browser.submit("/card/log-in", number=number, password=password)
    assert answer.status_code == 422
    assert 'aria-invalid="true"' in answer.text


def test_a_password_is_never_shown_again(browser: Holder, cards: list[TestCard]) -> None:
    answer = browser.enter(cards[0], password="31415926")
    assert "31415926" not in answer.text


def test_too_many_tries_have_to_wait(browser: Holder, cards: list[TestCard]) -> None:
    for _ in range(4):
        answer = browser.enter(cards[0], password="00000000")
    answer = browser.enter(cards[0])
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) > 0
    assert "Wait" in text_of(answer.text)


# --- a card that is shut says so once its password was right, and never before ---


def _shut(page: str, *said: str) -> None:
    for one in said:
        assert one in text_of(page)


def test_a_locked_card_explains_itself_to_its_holder_alone(
    browser: Holder, cards: list[TestCard], db: Database
) -> None:
    lifecycle.lock(db, card_id=cards[0].id, reason="Odd calls", actor=OPERATOR, now=NOW)
    stranger = browser.enter(cards[0], password="00000000")
    assert NO in text_of(stranger.text)
    answer = browser.enter(cards[0])
    assert answer.status_code == 403
    _shut(answer.text, "Your card is locked", "Your money is still there")
    assert "Odd calls" not in answer.text
    assert _serial_in(answer.text, cards[0])
    assert browser.get("/card").status_code == 303


def _serial_in(page: str, card: TestCard) -> bool:
    return card.serial in page.replace(" ", "")


def test_a_damaged_card_says_that_it_is_no_longer_valid(
    browser: Holder, cards: list[TestCard], db: Database
) -> None:
    lifecycle.damage(db, card_id=cards[0].id, reason="Stolen", actor=OPERATOR, now=NOW)
    _shut(browser.enter(cards[0]).text, "Your card is no longer valid")


def test_a_card_that_is_held_back_sends_its_holder_to_the_shop(
    browser: Holder, db: Database, vault: Vault
) -> None:
    scenes.deck(db)
    held = scenes.batch(db, vault, 1, name="Held", release="activation")[0]
    _shut(browser.enter(held).text, "Your card is not activated yet")


def test_a_voucher_says_what_it_is_for(browser: Holder, db: Database, vault: Vault) -> None:
    _shut(browser.enter(scenes.vouchers(db, vault, 1)[0]).text, "This is a recharge voucher")


def test_an_expired_card_can_be_looked_at_until_its_grace_is_over(
    app: Flask, clock: Clock, db: Database, vault: Vault
) -> None:
    scenes.deck(db)
    card = scenes.batch(
        db, vault, 1, validity_days=1, validity_from="generation", grace_days=2, extension_days=30
    )[0]
    clock.later(days=2)
    browser = holder_of(app, card)
    page = browser.get("/card")
    assert "Your card expired on" in text_of(page.text)
    assert "to call again" in text_of(page.text)
    clock.later(days=3)
    assert browser.get("/card").status_code == 303
    _shut(browser.enter(card).text, "Your card has expired", "It expired on")


# --- the session ---


def test_a_web_log_in_starts_no_validity(browser: Holder, cards: list[TestCard], db: Database) -> None:
    browser.enter(cards[0])
    assert scenes.facts(db, cards[0]).first_used_at is None


def test_a_lock_ends_the_session_at_once(app: Flask, cards: list[TestCard], db: Database) -> None:
    browser = holder_of(app, cards[0])
    assert browser.get("/card").status_code == 200
    lifecycle.lock(db, card_id=cards[0].id, reason="Lost", actor=OPERATOR, now=NOW)
    assert browser.get("/card").status_code == 303


def test_a_session_ends_by_idleness_by_age_and_by_logging_out(
    app: Flask, clock: Clock, cards: list[TestCard], db: Database
) -> None:
    browser = holder_of(app, cards[0])
    clock.later(seconds=sessions.LIFETIMES["cardholder"].idle_s + 1)
    assert browser.get("/card").status_code == 303
    browser.enter(cards[0])
    cookie = browser.get_cookie("cardtone-dev")
    assert cookie is not None
    assert browser.submit("/card/log-out").status_code == 303
    with db.begin() as session:
        assert session.scalars(select(WebSession.realm).where(WebSession.created_at >= clock.now)).all() == []
    thief = holder_of(app)
    thief.set_cookie("cardtone-dev", cookie.value)
    assert thief.get("/card").status_code == 303


def test_a_planted_session_is_not_the_one_that_is_logged_in(app: Flask, cards: list[TestCard]) -> None:
    attacker = holder_of(app, cards[1])
    planted = attacker.get_cookie("cardtone-dev")
    assert planted is not None
    victim = holder_of(app)
    victim.set_cookie("cardtone-dev", planted.value)
    victim.enter(cards[0])
    after = victim.get_cookie("cardtone-dev")
    assert after is not None
    assert after.value != planted.value
    assert attacker.get("/card").status_code == 303, "what was planted is over"


def test_no_one_of_the_console_is_a_cardholder_nor_the_other_way(
    visitor: Visitor, app: Flask, cards: list[TestCard]
) -> None:
    assert visitor.get("/card").location == "/card/log-in"
    holder = holder_of(app, cards[0])
    assert holder.get("/batches").location.startswith("/log-in")
    assert holder.get("/").status_code == 303


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example", "/batches", "/cards", "/card/\\evil"]
)
def test_a_log_in_leads_to_no_other_place_than_a_cardholders_page(
    browser: Holder, cards: list[TestCard], target: str
) -> None:
    answer = browser.enter(cards[0], next=target)
    assert answer.location.startswith("/card")
    assert not answer.location.startswith("/cards")


def test_a_number_is_in_no_address_and_no_log(browser: Holder, cards: list[TestCard]) -> None:
    with capture_logs() as lines:
        answer = browser.enter(cards[0])
        browser.enter(cards[1], password="00000000")
        browser.get("/card")
    assert cards[0].number not in (answer.location or "")
    assert "/card/log-in" in {line.get("path") for line in lines}
    for secret in (cards[0].number, cards[0].password, cards[1].number):
        assert secret not in str(lines)


def test_a_browser_that_was_right_keeps_its_own_tries(
    app: Flask, cards: list[TestCard], db: Database
) -> None:
    owner = holder_of(app, cards[0])
    owner.submit("/card/log-out")
    stranger = holder_of(app)
    for _ in range(6):
        stranger.enter(cards[0], password="00000000")
    assert stranger.enter(cards[0]).status_code == 429
    assert owner.enter(cards[0]).status_code == 303
    with db.begin() as session:
        assert session.scalar(text("SELECT count(*) FROM known_source WHERE source LIKE 'browser:%'")) == 1


# --- languages ---


def test_the_language_is_chosen_else_the_browsers_else_the_cards(
    app: Flask, db: Database, vault: Vault
) -> None:
    scenes.deck(db)
    card = scenes.batch(db, vault, 1, language="es")[0]
    page = holder_of(app).get("/card/log-in", headers={"Accept-Language": "fr-CA,fr;q=0.9,en;q=0.5"})
    assert '<html lang="fr" dir="ltr"' in page.text
    page = holder_of(app).get("/card/log-in", headers={"Accept-Language": "ar-EG"})
    assert '<html lang="ar" dir="rtl"' in page.text
    assert '<html lang="es"' in holder_of(app, card).get("/card").text
    chooser = holder_of(app)
    chooser.submit("/card/language", language="ru", next="/card/help")
    assert '<html lang="ru"' in chooser.get("/card/log-in", headers={"Accept-Language": "fr"}).text
    chooser.enter(card)
    assert '<html lang="ru"' in chooser.get("/card").text, "what was chosen stays"
    chooser.submit("/card/language", language="xx")
    assert '<html lang="ru"' in chooser.get("/card").text


def test_times_are_those_of_the_browsers_clock(app: Flask, clock: Clock, db: Database, vault: Vault) -> None:
    scenes.deck(db)
    card = scenes.batch(db, vault, 1, validity_days=10, validity_from="generation")[0]
    browser = holder_of(app, card)
    plain = browser.get("/card").text
    browser.set_cookie("cardtone-zone", "Asia/Dhaka", path="/card")
    there = browser.get("/card").text
    assert there != plain
    assert "6:00" in there.replace("\u202f", " "), (
        "midnight of the operator's zone is six in the morning there"
    )
    browser.set_cookie("cardtone-zone", "Nowhere/At-all", path="/card")
    assert browser.get("/card").status_code == 200


def test_the_session_of_a_card_lasts_as_long_as_the_realm_says(clock: Clock) -> None:
    assert sessions.LIFETIMES["cardholder"].absolute_s <= timedelta(hours=2).total_seconds()
