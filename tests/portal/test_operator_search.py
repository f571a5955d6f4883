"""The list of cards: what its address asks for, what it shows, and the views that people keep of it."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from flask import Flask

from engine.cards import lifecycle, searchcopy
from engine.cards.search import CardFilter
from engine.db import Database
from engine.people import staff, views
from engine.people.resellers import add_reseller
from engine.vault import Secret, Vault
from portal.operator.search.asked import COLUMNS, PERIODS, SORTS, TEXTS, asked_by, filter_of
from tests import scenes
from tests.portal.conftest import PASSWORD, Visitor, text_of
from tests.scenes import NOW, OPERATOR, TestCard

MARK = "<img src=x onerror=alert(1)>"
SERIALS = re.compile(r'name="card" value="([0-9]{11})"')
HX = {"HX-Request": "true", "HX-Request-Type": "partial"}
EXAMPLES: dict[str, str] = {
    "serial": "10000000017",
    "serial_from": "10000000017",
    "serial_to": "10000000058",
    "created_from": "2026-11-01",
    "created_to": "2026-11-30",
    "first_used_from": "2026-11-01",
    "first_used_to": "2026-11-30",
    "expires_from": "2026-11-01 14:30",
    "expires_to": "2026-12-31",
    "balance_from": "1.50",
    "balance_to": "20",
    "status": "locked",
    "phone": "+491711234567",
    "batch": f"May {MARK}",
    "reseller": f"Corner {MARK}",
    "custody": "sold",
    "released": "no",
    "currency": "USD",
    "created": "last-7-days",
    "first_used": "today",
    "expires": "next-30-days",
}
BAD = (
    "' OR 1=1 --",
    "1); DROP TABLE card; --",
    "\\x27",
    "%27",
    "１２",
    "1,50",
    "-5",
    "NaN",
    "2026-02-30",
    "9" * 30,
    MARK,
)


@pytest.fixture
def cards(db: Database, vault: Vault) -> list[TestCard]:
    """Six cards of a batch with a bad name, the second of them locked; and a reseller with one as bad."""
    made = scenes.batch(db, vault, 6, name=f"May {MARK}")
    lifecycle.lock(db, card_id=made[1].id, reason="lost", actor=OPERATOR, now=NOW)
    add_reseller(db, f"Corner {MARK}", OPERATOR, NOW)
    searchcopy.refold(db, NOW)
    return made


def found(page: str) -> list[str]:
    return SERIALS.findall(page)


def test_every_filter_goes_from_the_address_and_back(app: Flask, cards: list[TestCard]) -> None:
    assert EXAMPLES.keys() == set(TEXTS), "a filter has no example"
    with app.test_request_context("/cards"):
        for name, value in EXAMPLES.items():
            asked = asked_by([(name, value)])
            card_filter, wrong = filter_of(asked)
            assert not wrong, name
            assert card_filter != CardFilter(), name
            again = asked_by(parse_qsl(asked.query()))
            assert again == asked
            assert filter_of(again) == (card_filter, {})
            assert asked.without(name, value).query() == ""
        for column in COLUMNS:
            asked = asked_by([("columns", column), ("sort", "-balance"), ("per_page", "25")])
            assert asked_by(parse_qsl(asked.query())) == asked
        for name, periods in PERIODS.items():
            for word in periods:
                assert filter_of(asked_by([(name, word)]))[1] == {}
        both = asked_by([("expires", "today"), ("expires_to", "2026-11-30")])
        assert filter_of(both)[1].keys() == {"expires"}


def test_periods_move_with_the_day(app: Flask, cards: list[TestCard]) -> None:
    with app.test_request_context("/cards"):
        words, _ = filter_of(asked_by([("expires", "next-7-days")]))
        days, _ = filter_of(asked_by([("expires_from", "2026-11-20"), ("expires_to", "2026-11-27")]))
        assert words == days
        words, _ = filter_of(asked_by([("first_used", "last-7-days")]))
        days, _ = filter_of(asked_by([("first_used_from", "2026-11-14"), ("first_used_to", "2026-11-20")]))
        assert words == days


def test_the_list_shows_what_its_filter_finds(visitor: Visitor, cards: list[TestCard]) -> None:
    page = visitor.get("/cards").text
    assert found(page) == [card.serial for card in cards]
    assert MARK not in page
    assert "May &lt;img src=x" in page
    assert "6 cards" in text_of(page)
    locked = visitor.get("/cards?status=locked").text
    assert found(locked) == [cards[1].serial]
    assert "1 card " in text_of(locked)
    for name in ("batch", "reseller"):
        page = visitor.get("/cards", query_string={name: EXAMPLES[name]}).text
        assert MARK not in page
        assert "&lt;img src=x" in page
    down = visitor.get("/cards?sort=-serial&columns=number_end,held,custody,released,created").text
    assert found(down) == [card.serial for card in reversed(cards)]
    assert 'aria-sort="descending"' in down
    assert f"…{cards[0].number[-4:]}" in down
    assert not [card for card in cards if card.number in down]


def test_pages_go_on_and_back(visitor: Visitor, db: Database, vault: Vault) -> None:
    made = scenes.batch(db, vault, 60, name="Many")
    searchcopy.refold(db, NOW)
    first = visitor.get("/cards?per_page=25").text
    onward = re.search(r'rel="next" href="([^"]+)"', first)
    assert onward
    second = visitor.get(onward[1].replace("&amp;", "&")).text
    assert found(first) + found(second) == [card.serial for card in made[:50]]
    back = re.search(r'rel="prev" href="([^"]+)"', second)
    assert back
    assert found(visitor.get(back[1].replace("&amp;", "&")).text) == found(first)
    assert "All 60 found" in text_of(first)
    assert "found" not in text_of(visitor.get("/cards?per_page=200").text)


def test_a_part_of_the_page_says_its_short_address(visitor: Visitor, cards: list[TestCard]) -> None:
    sent = dict.fromkeys(TEXTS, "") | {"status": "locked", "sort": "serial", "per_page": "50"}
    whole = visitor.get("/cards", query_string=sent)
    assert (whole.status_code, whole.location) == (303, "/cards?status=locked")
    part = visitor.get("/cards", query_string=sent, headers=HX)
    assert part.headers["HX-Push-Url"] == "/cards?status=locked"
    assert "<html" not in part.text
    assert found(part.text) == [cards[1].serial]
    wrong = visitor.get("/cards", query_string={"batch": "None such"}, headers=HX)
    assert (wrong.status_code, wrong.headers["HX-Push-Url"]) == (422, "false")


def test_many_are_counted_once_they_are_shown(visitor: Visitor, db: Database, vault: Vault) -> None:
    scenes.batch(db, vault, 30, name="Many")
    searchcopy.refold(db, NOW)
    page = visitor.get("/cards?status=unused&per_page=25").text
    asks = re.search(r'hx-get="([^"]+count=1)"', page)
    assert asks
    assert "30 cards" not in text_of(page)
    part = visitor.get(asks[1].replace("&amp;", "&"), headers=HX)
    assert text_of(part.text) == "30 cards"
    assert "HX-Push-Url" not in part.headers
    assert "All 30 found" in text_of(visitor.get(asks[1].replace("&amp;", "&")).text)


def test_a_bad_value_is_told_at_its_field_and_the_others_stay(
    visitor: Visitor, cards: list[TestCard]
) -> None:
    answer = visitor.get(
        "/cards?status=locked&batch=None+such&serial=123&balance_from=1,50&expires_to=2026-02-30"
    )
    assert answer.status_code == 422
    assert found(answer.text) == []
    for name in ("batch", "serial", "balance_from", "expires_to"):
        assert f'id="{name}-error"' in answer.text
    assert 'value="None such"' in answer.text
    assert re.search(r'<input[^>]*checked[^>]*value="locked"', answer.text)


def test_nothing_typed_reaches_the_database_as_a_command(visitor: Visitor, cards: list[TestCard]) -> None:
    names = (*TEXTS, "name", "query", "number")
    asked = [dict.fromkeys(names, value) for value in BAD] + [{name: BAD[0]} for name in names]
    for query in asked:
        answer = visitor.get("/cards", query_string=query)
        assert answer.status_code in (200, 422), query
        assert MARK not in answer.text
    assert found(visitor.get("/cards").text) == [card.serial for card in cards]


def test_what_no_form_of_ours_sends_is_refused(visitor: Visitor, cards: list[TestCard]) -> None:
    for query in (
        "sort=x;drop",
        "sort=number",
        "per_page=1000000000",
        "per_page=-5",
        "columns=password",
        "columns=status,password_digest",
        "after=next.serial.up.-.1'--",
        "after=next.balance.up.1.1",
        "batch=%00",
        "batch=" + "x" * 300,
    ):
        assert visitor.get(f"/cards?{query}").status_code == 400, query


def test_a_number_is_never_looked_for_by_an_address(visitor: Visitor, cards: list[TestCard]) -> None:
    page = visitor.get("/cards", query_string={"number": cards[0].number})
    assert len(found(page.text)) == len(cards)
    assert f'value="{cards[0].number}"' not in page.text
    told = visitor.get("/cards", query_string={"serial": cards[0].number})
    assert told.status_code == 422


def test_who_may_not_act_has_no_boxes(app: Flask, db: Database, cards: list[TestCard]) -> None:
    for role, verbs in (("auditor", []), ("finance", ["recharge"])):
        staff.add_staff(db, role, role, role, Secret(PASSWORD), OPERATOR, NOW)
        client: Any = app.test_client()
        assert client.log_in(role).status_code == 303
        page = client.get("/cards").text
        offered = page.partition('id="bulk-verb"')[2].partition("</select>")[0]
        assert re.findall(r'<option value="([a-z_]+)">', offered) == verbs
        assert len(found(page)) == (len(cards) if verbs else 0)


# --- views ---


def kept(visitor: Visitor, query: str, **fields: str) -> Any:
    return visitor.submit(f"/cards/views/new?{query}", **fields)


def test_a_view_is_kept_opened_renamed_and_deleted(
    visitor: Visitor, db: Database, person: staff.StaffIdentity, cards: list[TestCard]
) -> None:
    query = urlencode({"status": "locked", "sort": "-balance", "columns": "batch,expires", "drop": "x"})
    done = kept(visitor, query, name=f"Mine {MARK}", staff_id="1", page="people")
    assert done.status_code == 303
    (view,) = views.list_views(db, person.id, "cards")
    assert view.query == "status=locked&sort=-balance&columns=batch%2Cexpires"
    page = visitor.get("/cards").text
    assert "Mine &lt;img" in page
    assert f'href="/cards?{view.query.replace("&", "&amp;")}"' in page
    opened = visitor.get(f"/cards?{view.query}").text
    assert found(opened) == [cards[1].serial]
    assert "Keep this view" not in opened
    assert visitor.submit(f"/cards/views/{view.id}/rename", name="Ours").status_code == 303
    assert "Ours" in visitor.get("/cards/views").text
    assert visitor.submit(f"/cards/views/{view.id}/delete").status_code == 303
    assert views.list_views(db, person.id, "cards") == ()
    undo = re.search(r'href="(/cards/views/new[^"]+)">Undo', visitor.get("/cards").text)
    assert undo
    again = undo[1].replace("&amp;", "&")
    assert 'value="Ours"' in visitor.get(again).text
    assert visitor.submit(again, name="Ours").status_code == 303
    assert views.list_views(db, person.id, "cards")[0].query == view.query


def test_a_name_in_use_is_replaced_only_where_it_is_said(
    visitor: Visitor, db: Database, person: staff.StaffIdentity
) -> None:
    assert kept(visitor, "status=locked", name="Mine").status_code == 303
    assert kept(visitor, "status=locked", name="Mine").status_code == 303
    refused = kept(visitor, "status=empty", name="Mine")
    assert refused.status_code == 422
    assert "A view named Mine is kept already" in text_of(refused.text)
    assert kept(visitor, "status=empty", name="Mine", replace="y").status_code == 303
    assert [view.query for view in views.list_views(db, person.id, "cards")] == ["status=empty"]
    for name in ("", "x" * 61):
        assert kept(visitor, "status=empty", name=name).status_code == 422


def test_views_of_others_are_nowhere(visitor: Visitor, db: Database) -> None:
    other = staff.add_staff(db, "other", "Other", "admin", Secret(PASSWORD), OPERATOR, NOW)[0]
    theirs = views.save_view(db, other.id, "cards", "Theirs", "status=locked", NOW)
    assert "Theirs" not in visitor.get("/cards").text
    for act in ("rename", "delete"):
        assert visitor.get(f"/cards/views/{theirs}/{act}").status_code == 404
        assert visitor.submit(f"/cards/views/{theirs}/{act}", name="Mine").status_code == 404
    assert views.find_view(db, other.id, theirs).name == "Theirs"


def test_views_that_everybody_has_lead_to_lists(visitor: Visitor, cards: list[TestCard]) -> None:
    page = visitor.get("/cards").text
    for name in ("Expiring in 7 days", "Locked", "Empty, first used lately", "Held back"):
        link = re.search(rf'href="([^"]+)"[^>]*><bdi>{name}</bdi>', page)
        assert link
        opened = visitor.get(link[1].replace("&amp;", "&"))
        assert opened.status_code == 200
        assert 'aria-current="page"><bdi>' in opened.text
    assert len(SORTS) == 10
