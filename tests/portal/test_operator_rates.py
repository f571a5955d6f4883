"""The section Rates: decks, versions, rates, comparing, looking up, changing, groups, as pages and as fragments."""

from __future__ import annotations

import re
from datetime import timedelta

import html5lib
from flask import Flask
from sqlalchemy import func, select, text

from engine.actor import CONSOLE
from engine.calls import destinations
from engine.calls.deckcosts import set_buy_deck
from engine.calls.decks import find_deck, version_in_force
from engine.db import Database
from engine.people import staff
from engine.schema import AuditRow, Deck, DeckRateRow, DeckVersion
from engine.vault import Secret
from tests import scenes
from tests.portal.conftest import PASSWORD, Clock, Visitor
from tests.scenes import NOW, OPERATOR, USD

MARKER = "<script>alert(1)</script>"
WINDOWS = """Prefix,Destination,Price,Days,From time,To time,Effective until
44,United Kingdom,0.02,,,,
447,United Kingdom mobile,0.05,Mon-Fri,08:00,20:00,
447,United Kingdom mobile,0.03,Mon-Thu,20:00,08:00,
447,United Kingdom mobile,0.03,Sat-Sun,,,
4477,Gone soon,0.01,,,,2026-11-01
33,France,0.015,,,,
"""


def text_of(page: str) -> str:
    """What a reader sees, cell by cell, with single spaces."""
    body = html5lib.parse(page, namespaceHTMLElements=False).find("body")
    return re.sub(r" ([:,.;])", r"\1", " ".join(" ".join(body.itertext()).split()))


def deck_id(db: Database, name: str = "Standard") -> int:
    with db.begin() as session:
        return find_deck(session, name).id


def versions(db: Database) -> list[int]:
    with db.begin() as session:
        return list(session.scalars(select(DeckVersion.id).order_by(DeckVersion.id)))


def prices(db: Database, version: int) -> dict[str, int]:
    with db.begin() as session:
        rows = session.execute(
            select(DeckRateRow.prefix, DeckRateRow.price_per_minute).where(DeckRateRow.version_id == version)
        )
        return {row.prefix: row.price_per_minute for row in rows}


def count(db: Database, table: type) -> int:
    with db.begin() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def key_in(page: str) -> str:
    found = re.search(r'name="key"[^>]*value="([^"]+)"', page)
    assert found
    return found[1]


def hidden(page: str) -> dict[str, str]:
    """The hidden fields of the form that confirms."""
    form = page[page.index('class="confirm"') if 'class="confirm"' in page else page.index("sheet confirm") :]
    form = form[: form.index("</form>")]
    fields = re.findall(r'<input[^>]*type="hidden"[^>]*>', form)
    found = {}
    for field in fields:
        name = re.search(r'name="([^"]+)"', field)
        value = re.search(r'value="([^"]*)"', field)
        assert name
        found[name[1]] = value[1] if value else ""
    return found


def as_role(app: Flask, db: Database, role: str) -> Visitor:
    """A browser of somebody with that role."""
    staff.add_staff(db, f"one.{role}", role.title(), role, Secret(PASSWORD), CONSOLE, NOW)
    client = app.test_client()
    assert isinstance(client, Visitor)
    assert client.log_in(f"one.{role}").status_code == 303
    return client


# Decks


def test_an_empty_house_learns_how_to_begin_and_takes_the_sample_deck_once(
    visitor: Visitor, db: Database
) -> None:
    page = visitor.get("/rates")
    assert "There is no rate deck yet" in page.text
    assert 'href="/rates/import"' in page.text
    assert 'href="/rates"' in visitor.get("/rates/look-up").text  # where there is nothing to look in yet
    key = key_in(page.text)
    for _ in range(2):
        answer = visitor.submit("/rates/sample", key=key)
        assert answer.status_code == 303
        assert answer.location == f"/rates/{deck_id(db, 'Sample')}"
    assert count(db, DeckVersion) == 1
    shown = text_of(visitor.get(answer.location).text)
    assert "The deck Sample has 495 rates, in force from now on." in shown


def test_the_list_tells_of_what_is_in_force_and_what_comes(visitor: Visitor, db: Database) -> None:
    scenes.deck(db, name=f"Retail {MARKER}")
    scenes.deck(db, {"44": "0.03"}, name=f"Retail {MARKER}", effective_from=NOW + timedelta(days=3))
    scenes.deck(db, name="Cost")
    set_buy_deck(
        db, deck_id=deck_id(db, f"Retail {MARKER}"), buy_deck_id=deck_id(db, "Cost"), actor=OPERATOR, now=NOW
    )
    page = visitor.get("/rates")
    assert MARKER not in page.text
    shown = text_of(page.text)
    assert "23 Nov 2026, 12:00" in shown
    assert "20 Nov 2026, 12:00 rates.csv" in shown
    assert shown.index("Cost") < shown.index("Retail")


def test_a_deck_shows_its_terms_its_versions_and_the_rates_in_force(visitor: Visitor, db: Database) -> None:
    scenes.deck(db, WINDOWS, now=NOW - timedelta(days=40), timezone="Europe/London")
    number = deck_id(db)
    shown = text_of(visitor.get(f"/rates/{number}").text)
    assert "4 decimals, rounded half up" in shown
    assert "Europe/London" in shown
    assert "Mon–Fri, 08:00–20:00" in shown
    assert "Mon–Thu, 20:00–08:00 on the next day" in shown
    assert "Sat–Sun, all day" in shown
    assert "until the end of 1 Nov 2026" in shown
    part = visitor.part(f"/rates/{number}?q=447")
    assert "<h1" not in part.text
    assert "4477" in part.text
    assert "France" not in part.text
    assert "France" in visitor.get(f"/rates/{number}?q=rANC").text
    assert "No rate fits this" in visitor.get(f"/rates/{number}?q=%25").text
    assert visitor.get("/rates/99").status_code == 404
    assert visitor.get(f"/rates/{number}?from=x").status_code == 400
    assert visitor.get(f"/rates/{number}?q={'x' * 201}").status_code == 400


def test_rates_come_a_page_at_a_time_by_prefix(visitor: Visitor, db: Database) -> None:
    scenes.deck(db, {str(prefix): "0.01" for prefix in range(100, 220)})
    url, seen = f"/rates/{deck_id(db)}", []
    while url:
        page = visitor.get(url).text
        seen += re.findall(r'<span class="digits">(\d+)</span></th>', page)
        following = re.search(r'rel="next" href="([^"]+)"', page)
        url = following[1].replace("&amp;", "&") if following else ""
    assert seen == [str(prefix) for prefix in range(100, 220)]


def test_margins_stand_beside_the_rates_and_losses_are_found(visitor: Visitor, db: Database) -> None:
    scenes.deck(db, {"44": "0.02", "33": "0.015", "880": "0.01", "1": "0.005"})
    scenes.deck(db, {"44": "0.01", "447": "0.03", "33": "0.02", "88": "0.004"}, name="Cost")
    number = deck_id(db)
    assert "Costs us" not in visitor.get(f"/rates/{number}").text
    form = visitor.get(f"/rates/{number}/buy-deck").text
    assert "Standard (USD)" not in form  # not its own
    answer = visitor.submit(f"/rates/{number}/buy-deck", key="k", buy_deck=str(deck_id(db, "Cost")))
    assert answer.status_code == 303
    shown = text_of(visitor.get(f"/rates/{number}").text)
    assert "2 prefixes are sold under cost" in shown
    assert "0.0100 0.0300 for 447 Partly under cost" in shown
    assert "0.0200 Under cost −0.0050 −33.3" in shown
    assert "0.0040 +0.0060 +60" in shown
    losing = text_of(visitor.part(f"/rates/{number}?under=1").text)
    assert "33" in losing
    assert "Destination 880" not in losing
    assert "none: no margins" not in shown
    assert "Costs of Standard" in text_of(visitor.get(f"/rates/{deck_id(db, 'Cost')}").text)


def test_a_buy_deck_must_have_the_same_currency(visitor: Visitor, db: Database) -> None:
    scenes.deck(db)
    scenes.deck(db, name="Euro", currency="EUR")
    url = f"/rates/{deck_id(db)}/buy-deck"
    assert "Euro" not in visitor.get(url).text
    refused = visitor.submit(url, key="k", buy_deck=str(deck_id(db, "Euro")))
    assert refused.status_code == 422
    assert "Choose one of the list." in refused.text


# Versions and their differences


def _two(db: Database) -> tuple[int, int, int]:
    scenes.deck(db, {"44": "0.02", "33": "0.015", "880": "0.01", "1": "0.005"})
    scenes.deck(
        db,
        {"44": "0.025", "33": "0.012", "880": "0.01", "49": "0.011"},
        effective_from=NOW + timedelta(days=1),
    )
    return deck_id(db), *versions(db)


def test_two_versions_are_compared_by_kind_name_and_prefix(visitor: Visitor, db: Database) -> None:
    number, first, second = _two(db)
    shown = text_of(
        visitor.get(f"/rates/{number}/compare").text
    )  # by itself: the newest against the one before
    assert "New 1 Dearer 1 Cheaper 1 Other terms 0 Removed 1" in shown
    assert "44 Destination 44 Dearer +25" in shown
    assert "33 Destination 33 Cheaper −20" in shown
    assert "880" not in shown
    part = visitor.part(f"/rates/{number}/compare?before={first}&after={second}&kind=removed").text
    assert re.findall(r'<span class="digits">(\d+)</span>', part) == ["1"]
    assert "Nothing that differs fits" in visitor.get(f"/rates/{number}/compare?q=Nowhere").text
    same = visitor.get(f"/rates/{number}/compare?before={first}&after={first}").text
    assert "These two versions are the same" in same
    assert visitor.get(f"/rates/{number}/compare?kind=x").status_code == 400
    assert visitor.get(f"/rates/{number}/compare?before=999&after={second}").status_code == 404
    assert visitor.get(f"/rates/{number}/compare?from=abc").status_code == 400
    listed = text_of(visitor.get(f"/rates/{number}/versions").text)
    assert "Coming" in listed
    assert "In force" in listed
    version = visitor.get(f"/rates/{number}/versions/{second}").text
    assert f"before={first}&amp;after={second}" in version
    assert visitor.get(f"/rates/{number}/versions/999").status_code == 404


def test_the_differences_are_a_file_without_formulas(visitor: Visitor, db: Database) -> None:
    scenes.deck(db, "prefix,destination,price\n44,Britain,0.02\n")
    scenes.deck(
        db, 'prefix,destination,price\n44,"=HYPERLINK(""x"")",0.03\n', effective_from=NOW + timedelta(1)
    )
    answer = visitor.get(f"/rates/{deck_id(db)}/compare.csv")
    assert answer.mimetype == "text/csv"
    assert "attachment" in answer.headers["Content-Disposition"]
    assert answer.text.splitlines() == [
        "Prefix,Destination,Change,Price before,Price after,Percent",
        '44,"\'=HYPERLINK(""x"")",dearer,0.0200,0.0300,+50',
    ]


# Look-up


def test_a_number_is_looked_up_as_people_type_it_and_explained(visitor: Visitor, db: Database) -> None:
    scenes.deck(db, WINDOWS, now=NOW - timedelta(days=40), timezone="Europe/London")
    shown = text_of(visitor.get("/rates/look-up?number=%2B44+7700+900123&deck=Standard&credit=5.00").text)
    assert "Standard: United Kingdom mobile" in shown
    assert "1 minute USD 0.05 5 minutes USD 0.25 10 minutes USD 0.50" in shown
    assert "5.00 lasts 1 h 40 min" in shown
    assert "447 is the longest prefix that matches and holds then" in shown
    assert "4477 Gone soon, 0.0100: it is not effective any more" in shown
    night = text_of(
        visitor.part(
            "/rates/look-up?number=0044+7700+900123&deck=Standard&day=2026-11-19&time=23:00&credit="
        ).text
    )
    assert "A minute USD 0.0300" in night
    assert "0.0300: its days and hours don't hold then Sat–Sun, all day" in night
    every = text_of(visitor.get("/rates/look-up?number=49301234567&deck=all&credit=1").text)
    assert "Standard: no rate" in every


ODD_LOOK_UPS = [
    ("number=abc&deck=Standard", "That is not a number that can be called."),
    ("number=&deck=Standard", "Fill this in."),
    ("number=442079460000&deck=Nowhere", "Choose one of the list."),
    ("number=442079460000&deck=Standard&credit=1,50", "Write"),
    ("number=442079460000&deck=Standard&credit=-5", "negative"),
    ("number=442079460000&deck=Standard&time=25:00", "Type a time of the day"),
    ("number=442079460000&deck=Standard&day=2026-02-30", "There is no such day"),
]


def test_a_look_up_that_makes_no_sense_is_told_at_its_field(visitor: Visitor, db: Database) -> None:
    scenes.deck(db)
    for asked, said in ODD_LOOK_UPS:
        page = visitor.get(f"/rates/look-up?{asked}")
        assert page.status_code == 422
        assert said in text_of(page.text)


# Changing prices


def test_prices_are_raised_after_a_look_and_once(visitor: Visitor, db: Database, clock: Clock) -> None:
    scenes.deck(db, {"44": "0.02", "33": "0.0155", "880": "0.0001"})
    url = f"/rates/{deck_id(db)}/change"
    assert visitor.get(url).status_code == 200
    looked = visitor.get(f"{url}?percent=10&amount=&decimals=3&day=2026-11-21&time=&prefixes=&group=&name=")
    assert looked.status_code == 200
    shown = text_of(looked.text)
    assert "Prices that change 3" in shown
    assert "33 Destination 33 0.0155 0.0170" in shown
    assert "1 rate would cost nothing a minute" in shown
    assert count(db, DeckVersion) == 1
    fields = hidden(looked.text)
    for _ in range(2):
        done = visitor.submit(url, **fields)
        assert (done.status_code, done.location) == (303, url.removesuffix("/change"))
    first, second = versions(db)
    assert prices(db, second) == {"44": USD("0.022"), "33": USD("0.017"), "880": 0}
    assert "3 of 3 rates have other prices from 21 Nov 2026, 00:00 on." in text_of(visitor.get("/rates").text)
    clock.later(days=1)
    with db.begin() as session:
        assert version_in_force(session, deck_id(db), clock.now) == second != first


def test_a_change_can_be_for_some_destinations(visitor: Visitor, db: Database) -> None:
    destinations.set_group(db, "Europe", ["44", "33"], OPERATOR, NOW)
    scenes.deck(db, {"44": "0.02", "447": "0.05", "33": "0.0155", "880": "0.01"})
    url = f"/rates/{deck_id(db)}/change"
    blank = {"amount": "", "day": "", "time": "", "prefixes": "", "group": "", "name": "", "decimals": "4"}
    for narrowed, changed in (
        ({"prefixes": "+44, 880"}, 3),
        ({"group": "Europe"}, 3),
        ({"name": "ion 447"}, 1),
    ):
        page = visitor.get(url, query_string={**blank, "percent": "-5", **narrowed})
        assert f"Prices that change {changed}" in text_of(page.text)
    both = visitor.get(url, query_string={**blank, "percent": "5", "group": "Europe", "prefixes": "447"})
    assert "Prices that change 1" in text_of(both.text)


ODD_CHANGES = [
    ("percent", "", "Say by how much"),
    ("percent", "-101", "between -100 and 1,000"),
    ("percent", "1e9", "not a plain number"),
    ("percent", "NaN", "not a plain number"),
    ("percent", "1,50", "decimals, not a comma"),
    ("percent", "0.00005", "four decimals at most"),
    ("percent", "１２", "not a plain number"),
    ("amount", "9" * 30, "too large"),
    ("amount", "0.00000005", "six decimals"),
    ("decimals", "7", "between 0 and 6"),
    ("decimals", "-1", "between 0 and 6"),
    ("day", "2026-02-30", "no such day"),
    ("day", "9999-01-01", "Choose a day between"),
    ("day", "2026-11-19", "has passed"),
    ("prefixes", "4x", "is not a prefix"),
    ("prefixes", "99", "No rate of the deck fits"),
    ("group", "Nowhere", "Choose one of the list."),
]


def test_a_change_that_makes_no_sense_is_told_at_its_field_and_kept(visitor: Visitor, db: Database) -> None:
    scenes.deck(db)
    url = f"/rates/{deck_id(db)}/change"
    token, base = visitor.token(), str(versions(db)[0])
    for field, value, said in ODD_CHANGES:
        blank = {"percent": "10", "amount": "", "decimals": "4", "day": "", "prefixes": "", "group": ""}
        given = {**blank, field: value}
        page = visitor.get(url, query_string=given)
        assert page.status_code == 422, field
        assert said in text_of(page.text)
        if field != "group":
            assert f'value="{value}"' in page.text
        posted = visitor.post(url, data={**given, "csrf_token": token, "key": "k", "base": base})
        assert posted.status_code == 422
    assert count(db, DeckVersion) == 1


def test_what_somebody_else_changed_meanwhile_is_not_undone(visitor: Visitor, db: Database) -> None:
    scenes.deck(db)
    url = f"/rates/{deck_id(db)}/change"
    looked = visitor.get(f"{url}?percent=10&decimals=4&group=")
    scenes.deck(db, {"44": "0.09"}, now=NOW)
    refused = visitor.submit(url, **hidden(looked.text))
    assert refused.status_code == 422
    assert "Somebody changed the deck Standard since you looked" in text_of(refused.text)
    assert count(db, DeckVersion) == 2


def test_a_change_for_a_group_that_was_edited_meanwhile_is_shown_again(
    visitor: Visitor, db: Database
) -> None:
    destinations.set_group(db, "Europe", ["44"], OPERATOR, NOW)
    scenes.deck(db, {"44": "0.02", "33": "0.0155", "880": "0.01"})
    url = f"/rates/{deck_id(db)}/change"
    looked = visitor.get(f"{url}?percent=10&decimals=4&group=Europe")
    destinations.set_group(db, "Europe", ["33", "880"], OPERATOR, NOW)
    refused = visitor.submit(url, **hidden(looked.text))
    assert refused.status_code == 422
    assert "since you looked" in text_of(refused.text)
    assert "Prices that change 2" in text_of(refused.text)
    blind = visitor.submit(url, **{**hidden(refused.text), "seen": ""})
    assert (blind.status_code, count(db, DeckVersion)) == (422, 1)
    assert visitor.submit(url, **hidden(refused.text)).status_code == 303
    assert prices(db, versions(db)[1]) == {"44": USD("0.02"), "33": USD("0.0171"), "880": USD("0.011")}


# Groups


def test_groups_are_made_changed_and_removed(visitor: Visitor, db: Database) -> None:
    assert "no group of your own" in visitor.get("/rates/groups").text
    made = visitor.submit("/rates/groups/new", key="k", name="Islands & <b>", prefixes="+1246; 1264 001268")
    assert made.status_code == 303
    shown = text_of(visitor.get("/rates/groups").text)
    assert "Islands & <b> 1246, 1264, 1268" in shown
    again = visitor.submit("/rates/groups/new", key="k2", name="Islands & <b>", prefixes="44")
    assert again.status_code == 422
    assert "is taken" in again.text
    url = "/rates/groups/change?name=Islands+%26+%3Cb%3E"
    assert "1246, 1264, 1268" in visitor.get(url).text
    assert visitor.submit(url, key="k", prefixes="44").status_code == 303
    assert destinations.list_groups(db)[0].prefixes == ("44",)
    for bad in ("", "12a", "1" * 16):
        assert visitor.submit(url, key="k", prefixes=bad).status_code == 422
    destinations.add_rules(db, "Strict", OPERATOR, NOW, barred=["Islands & <b>"])
    removal = "/rates/groups/remove?name=Islands+%26+%3Cb%3E"
    refused = visitor.submit(removal, key="k")
    assert refused.status_code == 422
    assert "used by the rules Strict" in refused.text
    destinations.change_rules(db, "Strict", OPERATOR, NOW, barred=["premium"])
    assert visitor.submit(removal, key="k").status_code == 303
    assert destinations.list_groups(db) == []
    assert visitor.get(removal).status_code == 404


# Who may


READ = ("/rates", "/rates/1", "/rates/1/versions", "/rates/1/compare", "/rates/look-up", "/rates/groups")
ACTS = ("/rates/1/change", "/rates/1/buy-deck", "/rates/import", "/rates/groups/new")


def test_whoever_only_looks_is_offered_nothing_and_can_do_nothing(app: Flask, db: Database) -> None:
    scenes.deck(db)
    for role in ("support", "finance", "auditor"):
        visitor = as_role(app, db, role)
        for path in READ:
            page = visitor.get(path)
            assert page.status_code == 200
            assert not [act for act in ACTS if f'href="{act}' in page.text]
        before = count(db, AuditRow)
        for path in ACTS:
            assert visitor.get(path).status_code == 403
            assert visitor.submit(path, key="k").status_code == 403
        assert visitor.submit("/rates/sample", key="k").status_code == 403
        assert (count(db, Deck), count(db, AuditRow)) == (1, before)
        replays = 200 if role == "finance" else 403
        assert visitor.get("/rates/1/replay").status_code == replays


def test_nobody_without_a_log_in_sees_rates(stranger: Visitor) -> None:
    for path in (*READ, *ACTS):
        assert "/log-in" in (stranger.get(path).location or "")


def test_a_write_without_its_token_is_refused(visitor: Visitor, db: Database) -> None:
    scenes.deck(db)
    for path in (*ACTS, "/rates/sample", "/rates/1/replay"):
        assert visitor.post(path, data={"key": "k"}).status_code == 403
    with db.begin() as session:
        assert session.scalar(text("SELECT count(*) FROM deck_version")) == 1
