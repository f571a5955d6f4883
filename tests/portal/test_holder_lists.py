"""A card's calls, recharges and fees: in sentences, by days, page by page, and as files to keep."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import pytest

from engine.config import Keys
from engine.funds import recharges, transfers
from portal import papers
from tests import scenes
from tests.conftest import Clones
from tests.portal.conftest import text_of
from tests.portal.holderhouse import HolderHouse, holder_house
from tests.portal.holders import Holder, holder_of
from tests.scenes import NOW, OPERATOR, USD, Line, TestCard

DECK = """prefix,destination,price,connect fee,first increment,increment
8801,"=HYPERLINK(""x"") Mobile",0.0600,0.05,60,60
44,United Kingdom,0.0300,0,1,1
1,Free,0,0,1,1
"""
MOBILE, LONDON, FREE = "8801712345678", "442079460000", "12125550123"


@dataclass(kw_only=True)
class Lists(HolderHouse):
    """A card with a call of each kind, one with nothing, and a stranger's."""

    card: TestCard
    fresh: TestCard
    talker: TestCard


@pytest.fixture(scope="module")
def lists(clones: Clones, keys: Keys, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lists]:
    with holder_house(clones, keys, tmp_path_factory.mktemp("home")) as house:
        db, vault = house.db, house.vault
        scenes.deck(db, DECK)
        order = {"post_call_fee": USD("0.01"), "concurrency": 3}
        card, other, source = scenes.batch(db, vault, 3, "20.00", **order)
        fresh, talker = scenes.batch(db, vault, 2, "3.00", name="Fresh")
        line = Line(db, vault, scenes.switch(db))
        access = scenes.access_number(db, per_minute="0.02", per_call="0.03")
        for ref, number, seconds, through in (
            ("a", MOBILE, 61, None),
            ("b", LONDON, 90, access),
            ("c", FREE, 45, None),
            ("d", MOBILE, 0, None),
        ):
            line.open(card, number, ref=ref, access_number=through)
            line.later(seconds + 3600).end(ref, seconds=seconds, cause=16 if seconds else 19)
        line.open(other, LONDON, ref="theirs")
        line.end("theirs", seconds=77)
        line.open(talker, LONDON, ref="now")
        now = line.now
        recharges.recharge(db, card_id=card.id, amount=USD("7"), key="r", actor=OPERATOR, now=now)
        transfers.transfer(db, from_id=source.id, to_id=card.id, key="t", actor=OPERATOR, now=now)
        recharges.adjust(
            db, card_id=card.id, amount=-USD("0.5"), reason="What staff wrote", actor=OPERATOR, now=now
        )
        house.clock.now = now + timedelta(minutes=5)
        yield Lists(**vars(house), card=card, fresh=fresh, talker=talker)


@pytest.fixture
def browser(lists: Lists) -> Holder:
    return lists.holder(lists.card)


def test_each_call_says_why_it_cost_what_it_cost(browser: Holder) -> None:
    page = text_of(browser.get("/card/calls").text)
    for told in (
        "You talked for 1 minute 1 second. It counts as 2 minutes, because every 1 minute begun counts. "
        "At $0.06 a minute this is $0.12. The connection costs $0.05. A fee of $0.01 is taken after each call.",
        "You talked for 1 minute 30 seconds. At $0.05 a minute this is $0.075. "
        "Of the price, $0.02 a minute is for the access number. The access number costs $0.03 a call.",
        "Nobody answered. It cost nothing.",
        '=HYPERLINK("x") Mobile',
        "+44 20 7946 0000",
    ):
        assert told in page
    assert "77 seconds" not in page
    assert "1 minute 17" not in page


def test_calls_are_found_by_number_name_and_days(browser: Holder) -> None:
    def shown(query: str) -> str:
        return text_of(browser.get(f"/card/calls?{query}").text)

    assert "+44 20" not in shown("to=880")
    assert "+880 1712" in shown("to=%2B880%201712")
    assert "+44 20" in shown("to=kingdom")
    assert "No call fits this." in shown("to=nowhere")
    day = NOW.date()
    assert "+44 20" in shown(f"first={day}&last={day}")
    assert "No call fits this." in shown(f"last={day - timedelta(days=1)}")


@pytest.mark.parametrize("path", ["/card/calls", "/card/money"])
def test_days_that_make_no_sense_are_said_at_their_field_and_stay(browser: Holder, path: str) -> None:
    page = browser.get(f"{path}?first=2026-02-30").text
    assert 'aria-invalid="true"' in page
    assert "2026-02-30" in page
    assert "The second day is before the first." in text_of(
        browser.get(f"{path}?first=2026-03-02&last=2026-03-01").text
    )
    answer = browser.get(f"{path}.csv?first=2026-02-30")
    assert (answer.status_code, answer.location) == (303, f"{path}?first=2026-02-30")


def test_a_new_card_has_no_calls_and_one_that_is_calling_says_so(lists: Lists) -> None:
    assert "No calls yet" in text_of(lists.holder(lists.fresh).get("/card/calls").text)
    page = text_of(lists.holder(lists.talker).get("/card/calls").text)
    assert "+44 20 7946 0000 Going on now" in page
    assert "is kept for this call" in page


def test_money_says_what_came_and_went_and_nothing_of_the_operators_own(browser: Holder) -> None:
    page = text_of(browser.get("/card/money").text)
    for told in (
        "The first balance of the card",
        "Recharge",
        "From another card",
        "Correction by us",
        "-$0.50",
    ):
        assert told in page
    assert "What staff wrote" not in page
    assert "Operator" not in page
    went = text_of(browser.get("/card/money?way=out").text)
    assert "Correction by us" in went
    assert "From another card" not in went


def test_files_are_what_the_pages_show(browser: Holder, lists: Lists) -> None:
    answer = browser.get("/card/calls.csv")
    assert answer.mimetype == "text/csv"
    assert "attachment" in answer.headers["Content-Disposition"]
    assert answer.data.startswith(b"\xef\xbb\xbf")
    head, *rows = csv.reader(io.StringIO(answer.data.decode("utf-8-sig")))
    assert head == ["When", "Number", "Where", "Talked", "Why", "Cost", "Balance after it", "Currency"]
    assert [(row[1], row[3], row[5], row[7]) for row in rows] == [
        (MOBILE, "0", "0.00", "USD"),
        (FREE, "45", "0.01", "USD"),
        (LONDON, "90", "0.115", "USD"),
        (MOBILE, "61", "0.18", "USD"),
    ]
    assert rows[0][2] == '\'=HYPERLINK("x") Mobile', "no text acts as a formula"
    money = list(csv.reader(io.StringIO(browser.get("/card/money.csv?way=in").data.decode("utf-8-sig"))))[1:]
    assert sorted(row[3] for row in money) == ["20.00", "20.00", "7.00"]
    for file in (answer.data, browser.get("/card/money.csv").data):
        assert lists.card.number.encode() not in file


def test_a_long_list_goes_on_page_by_page_and_whole_into_its_file(
    lists: Lists, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portal.cardholder.lists.FILE_PAGE", 3)
    card = scenes.batch(lists.db, lists.vault, 1, "9.00", name="Long")[0]
    line = Line(lists.db, lists.vault, scenes.switch(lists.db, "Long"))
    for at in range(23):
        line.open(card, LONDON, ref=f"l{at}")
        line.later(60).end(f"l{at}", seconds=at + 1)
    browser = holder_of(lists.app, card)
    first = browser.get("/card/calls")
    older = next(link for link in _links(first.text) if "before=" in link)
    second = browser.get(older)
    assert "You talked for 1 second." in text_of(second.text)
    assert "You talked for 1 second." not in text_of(first.text)
    assert any("after=" in link for link in _links(second.text))
    rows = list(csv.reader(io.StringIO(browser.get("/card/calls.csv").data.decode("utf-8-sig"))))[1:]
    assert [int(row[3]) for row in rows] == list(range(23, 0, -1))


def _links(page: str) -> list[str]:
    return [link.replace("&amp;", "&") for link in re.findall(r'href="(/card/calls\?[^"]*)"', page)]


@pytest.mark.parametrize("language", ["en", "ar", "zh"])
def test_a_list_is_set_on_paper_in_every_script(
    browser: Holder, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    real = papers.render_template

    def seen(*args: str, **more: object) -> str:
        told.append(real(*args, **more))
        return told[-1]

    monkeypatch.setattr(papers, "render_template", seen)
    answer = browser.get("/card/calls.pdf", headers={"Accept-Language": language})
    assert answer.mimetype == "application/pdf"
    assert answer.data.startswith(b"%PDF-")
    assert answer.data.count(b"/FontFile") >= 1 or b"/ObjStm" in answer.data
    assert "\u2066+44\u00a020\u00a07946\u00a00000\u2069" in told[0], "in one piece, from left to right"
    assert f'lang="{language}"' in told[0]


def test_paper_that_can_not_be_set_now_is_said_so(browser: Holder) -> None:
    with papers._SETTING:
        answer = browser.get("/card/money.pdf")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"].isdecimal()
    assert "Try again" in text_of(answer.text)
