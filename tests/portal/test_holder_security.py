"""A cardholder's password, a lost card, where they are logged in, and what a log-in is worth once it is over."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event, text

from engine.cards import lifecycle, proving
from engine.db import Database
from engine.people import sessions
from engine.vault import Vault
from portal import installation
from tests import scenes
from tests.portal.conftest import Clock, text_of
from tests.portal.holders import Holder, form_key, holder_of
from tests.scenes import NOW, OPERATOR, Line, TestCard, facts

NEW = "40917362"


@pytest.fixture
def cards(db: Database, vault: Vault) -> list[TestCard]:
    scenes.deck(db)
    return scenes.batch(db, vault, 2)


@pytest.fixture
def holder(app: Flask, cards: list[TestCard]) -> Holder:
    return holder_of(app, cards[0])


def change(holder: Holder, card: TestCard, chosen: str = NEW, **more: str) -> Any:
    fields = {"present": card.password, "chosen": chosen, "again": chosen, "key": "k-1", **more}
    return holder.submit("/card/security/password", **fields)


def cookie(holder: Holder) -> str:
    found = holder.get_cookie("cardtone-dev")
    assert found is not None
    return found.value


# --- the password ---


def test_a_new_password_counts_at_once_and_ends_every_other_log_in(
    app: Flask, holder: Holder, db: Database, vault: Vault, cards: list[TestCard]
) -> None:
    elsewhere = holder_of(app, cards[0])
    page = holder.get("/card/security")
    answer = change(holder, cards[0], key=form_key(page.text))
    assert (answer.status_code, answer.location) == (303, "/card/security")
    page = holder.get("/card/security")
    assert "Your new password counts from now on" in text_of(page.text)
    assert NEW not in page.text
    assert elsewhere.get("/card").status_code == 303
    assert holder_of(app).enter(cards[0]).status_code == 422, "the old one is no password any more"
    assert holder_of(app).enter(cards[0], password=NEW).status_code == 303
    line = Line(db, vault, scenes.switch(db)).later(60)
    line.open(cards[0].with_password(NEW), ref="a")


def test_a_change_that_is_sent_twice_counts_once(holder: Holder, cards: list[TestCard]) -> None:
    assert change(holder, cards[0]).status_code == 303
    assert change(holder, cards[0]).status_code == 303, (
        "the first answer, though the password is another by now"
    )


def test_a_wrong_present_password_is_a_failure_that_is_counted_and_has_to_wait(
    holder: Holder, db: Database, cards: list[TestCard]
) -> None:
    for number in range(4):
        answer = change(holder, cards[0], present="00000000", key=f"k-{number}")
    assert "Your present password is not right." in text_of(answer.text)
    assert "00000000" not in answer.text
    answer = change(holder, cards[0], key="k-9")
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) > 0
    with db.begin() as session:
        failed = session.scalar(text("SELECT count(*) FROM attempt WHERE reason = 'wrong_password'"))
    assert failed == 4


@pytest.mark.parametrize(
    ("chosen", "again", "said"),
    [
        (NEW, "40917363", "The two new passwords differ."),
        ("1234", "1234", "The password must have 8 digits."),
        ("11111111", "11111111", "This is too easy to guess."),
        ("12345678", "12345678", "This is too easy to guess."),
        ("", "", "Fill this in."),
    ],
)
def test_a_password_that_can_not_be_is_said_in_words(
    holder: Holder, cards: list[TestCard], chosen: str, again: str, said: str
) -> None:
    answer = change(holder, cards[0], chosen, again=again)
    assert answer.status_code == 422
    assert said in text_of(answer.text)
    assert 'role="alert"' in answer.text or 'aria-invalid="true"' in answer.text
    assert holder.get("/card").status_code == 200


# --- a lost card ---


def test_a_card_that_is_reported_lost_is_locked_at_once_and_its_pages_explain_it(
    app: Flask, holder: Holder, db: Database, vault: Vault, cards: list[TestCard]
) -> None:
    elsewhere, other = holder_of(app, cards[0]), holder_of(app, cards[1])
    answer = holder.submit("/card/security/lost")
    assert answer.status_code == 200
    assert "Your card is locked" in text_of(answer.text)
    assert "Your money is still there." in text_of(answer.text)
    assert cards[0].serial in answer.text.replace(" ", "")
    assert facts(db, cards[0]).locked_at == NOW
    assert holder.get("/card").status_code == elsewhere.get("/card").status_code == 303
    assert "Your card is locked" in text_of(holder_of(app).enter(cards[0]).text)
    answered = Line(db, vault, scenes.switch(db)).authorize(cards[0])
    assert getattr(answered, "reason", None) == "locked"
    assert other.get("/card").status_code == 200
    assert facts(db, cards[1]).locked_at is None


def test_a_call_that_goes_on_is_not_cut_off_by_a_loss(
    holder: Holder, db: Database, vault: Vault, cards: list[TestCard]
) -> None:
    line = Line(db, vault, scenes.switch(db))
    line.open(cards[0], ref="live")
    holder.submit("/card/security/lost")
    assert line.later(30).end("live", seconds=30).charged > 0


# --- where one is logged in ---


def test_other_log_ins_are_seen_and_ended(app: Flask, holder: Holder, cards: list[TestCard]) -> None:
    second, third = holder_of(app, cards[0]), holder_of(app, cards[0])
    stranger = holder_of(app, cards[1])
    page = holder.get("/card/security").text
    assert text_of(page).count("Another phone or computer") == 2
    refs = re.findall(r'name="ref"[^>]*value="([^"]+)"', page)
    assert len(refs) == 2
    assert holder.submit("/card/security/log-outs", ref=refs[0]).status_code == 303
    assert "1 other log-in was ended." in text_of(holder.get("/card/security").text)
    assert sorted(one.get("/card").status_code for one in (second, third)) == [200, 303]
    holder.submit("/card/security/log-outs")
    assert [one.get("/card").status_code for one in (second, third)] == [303, 303]
    assert holder.get("/card").status_code == stranger.get("/card").status_code == 200
    assert "Another phone or computer" not in text_of(holder.get("/card/security").text)


# --- sessions ---


def test_an_id_that_was_there_before_the_log_in_is_none_afterwards(app: Flask, cards: list[TestCard]) -> None:
    browser = holder_of(app)
    browser.token()
    before = cookie(browser)
    browser.enter(cards[0])
    first = cookie(browser)
    browser.submit("/card/log-out")
    browser.enter(cards[0])
    assert len({before, first, cookie(browser)}) == 3
    thief = holder_of(app)
    for stale in (before, first):
        thief.set_cookie("cardtone-dev", stale)
        assert thief.get("/card").status_code == 303


def test_after_the_log_out_nothing_is_shown_by_going_back(holder: Holder) -> None:
    page = holder.get("/card/money")
    assert "no-store" in page.headers["Cache-Control"], "no browser keeps it"
    holder.submit("/card/log-out")
    again = holder.get("/card/money")
    assert again.status_code == 303
    assert again.location == "/card/log-in?next=/card/money" or "next=%2Fcard%2Fmoney" in again.location
    assert holder.submit("/card/log-out").status_code == 303


def test_a_log_in_ends_after_two_hours_however_busy_it_is(holder: Holder, clock: Clock) -> None:
    life = sessions.LIFETIMES["cardholder"]
    for _ in range(life.absolute_s // 600 - 1):
        clock.later(seconds=600)
        assert holder.get("/card/help").status_code == 200
        assert holder.get("/card/security").status_code == 200
    clock.later(seconds=601)
    assert holder.get("/card").status_code == 303


def test_a_form_that_outlived_its_log_in_counts_for_nothing(
    holder: Holder, clock: Clock, db: Database, cards: list[TestCard]
) -> None:
    token = holder.token()
    clock.later(seconds=sessions.LIFETIMES["cardholder"].idle_s + 1)
    answer = holder.post("/card/security/lost", data={"csrf_token": token})
    assert answer.status_code in (303, 403)
    assert facts(db, cards[0]).locked_at is None


def test_cookies_are_out_of_reach_of_scripts_and_other_sites(
    make_app: Callable[..., Flask], cards: list[TestCard]
) -> None:
    answer = holder_of(make_app()).enter(cards[0])
    sent = {one.split("=")[0]: one for one in answer.headers.getlist("Set-Cookie")}
    assert {"cardtone-dev", "cardtone-browser"} <= sent.keys()
    for name in ("cardtone-dev", "cardtone-browser"):
        assert "HttpOnly" in sent[name]
        assert "SameSite=Lax" in sent[name] or "SameSite=Strict" in sent[name]
        assert "Domain=" not in sent[name]
    assert all(cards[0].number not in one and cards[0].password not in one for one in sent.values())


# --- language ---


@pytest.mark.parametrize(("language", "direction"), [("ar", "rtl"), ("bn", "ltr"), ("zh", "ltr")])
def test_a_chosen_language_stays_and_leads_back(holder: Holder, language: str, direction: str) -> None:
    answer = holder.submit("/card/language", language=language, next="/card/security")
    assert (answer.status_code, answer.location) == (303, "/card/security")
    for path in ("/card", "/card/security", "/card/help"):
        assert f'<html lang="{language}" dir="{direction}"' in holder.get(path).text
    answer = holder.submit("/card/language", language="en", next="https://evil.example/")
    assert answer.location == "/card"


# --- what a failure tells ---


def test_failures_look_alike_and_do_the_same_work(
    app: Flask, db: Database, vault: Vault, cards: list[TestCard], monkeypatch: pytest.MonkeyPatch
) -> None:
    lifecycle.lock(db, card_id=cards[1].id, reason="Lost", actor=OPERATOR, now=NOW)
    voucher = scenes.vouchers(db, vault, 1)[0]
    compared: list[int] = []
    real = proving.prove
    monkeypatch.setattr("engine.cards.weblogin.prove", lambda *a: (compared.append(1), real(*a))[1])
    tries = {
        "unknown": "999999999999",
        "wrong": cards[0].number,
        "locked": cards[1].number,
        "voucher": voucher.number,
    }
    holder_of(app).enter(cards[0], password="00000001")  # what is read once a process is read
    compared.clear()
    pages, queries, statuses = set(), {}, set()
    for kind, number in tries.items():
        browser = holder_of(app)
        token = browser.token()
        with _counted(app) as count:
            answer = browser.post(
                "/card/log-in", data={"csrf_token": token, "number": number, "password": "00000000"}
            )
        queries[kind] = len(count)
        statuses.add(answer.status_code)
        pages.add(re.sub(r"(csrf_token\"|X-CSRF-Token\":)[^>]*>", "", answer.text.replace(number, "")))
    assert statuses == {422}
    assert len(pages) == 1
    assert len(compared) == len(tries), "one comparison each, for an unknown number, too"
    assert queries["wrong"] == queries["locked"] == queries["voucher"]
    assert abs(queries["unknown"] - queries["wrong"]) <= 1, queries


class _counted:
    """The statements that the app sends meanwhile."""

    def __init__(self, app: Flask) -> None:
        with app.app_context():
            self.engine = installation.installation().db.engine
        self.sent: list[str] = []

    def _note(self, _conn: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        self.sent.append(statement)

    def __enter__(self) -> list[str]:
        event.listen(self.engine, "before_cursor_execute", self._note)
        return self.sent

    def __exit__(self, *_: object) -> None:
        event.remove(self.engine, "before_cursor_execute", self._note)
