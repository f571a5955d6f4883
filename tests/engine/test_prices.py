"""What people type to learn a price, in eight languages, and what they are told; what a balance buys."""

from __future__ import annotations

import pytest

from engine import settings
from engine.calls import countries
from engine.calls.destinations import add_rules
from engine.calls.pricelist import PriceList
from engine.calls.prices import Prices, prices
from engine.calls.ratetable import RateTable
from engine.cards.holder import HolderCard, read_own
from engine.db import Database
from engine.errors import NotFound
from engine.reports.buckets import aggregate
from engine.reports.buys import buys
from engine.schema import Card
from engine.vault import Vault
from tests import scenes
from tests.scenes import NOW, OPERATOR, USD, Line, TestCard

DECK = """prefix,destination,price,connect fee,first increment,increment
880,Bangladesh,0.0300,0,1,1
8801,Bangladesh mobile,0.0250,0,1,1
88017,Bangladesh mobile Grameen,0.0240,0.01,60,60
91,India,0.0100,0,1,1
44,United Kingdom,0.0200,0,1,1
447,United Kingdom mobile,0.0300,0,1,1
4477,United Kingdom mobile,0.0500,0,1,1
441481,Guernsey,0.0900,0,1,1
7,Russia,0.0500,0,1,1
77,Kazakhstan,0.1100,0,1,1
1,United States,0.0050,0,1,1
1204,Canada,0.0070,0,1,1
1242,Bahamas,0.1490,0,1,1
1900,United States premium,1.0000,0,1,1
881,Satellite Globalstar,5.0000,0,1,1
224,Guinea,0.4000,0,1,1
245,Guinea-Bissau,0.5000,0,1,1
"""


@pytest.fixture
def card(db: Database, vault: Vault) -> TestCard:
    scenes.deck(db, DECK)
    return scenes.card(db, vault, "5.00")


def _own(db: Database, card: TestCard) -> HolderCard:
    found = read_own(db, card.id, NOW)
    assert found is not None
    return found


def _asked(db: Database, wanted: str, language: str = "en") -> Prices:
    return prices(db, wanted, now=NOW, language=language)


CALLED = (
    ("Bangladesh", "en", "BD"),
    ("  BANGLADESH ", "ar", "BD"),
    ("Bangla", "es", "BD"),
    ("bangladés", "es", "BD"),
    ("Бангладеш", "en", "BD"),
    ("бангл", "ru", "BD"),
    ("بنغلاديش", "ar", "BD"),
    ("বাংলাদেশ", "bn", "BD"),
    ("孟加拉国", "zh", "BD"),
    ("bd", "en", "BD"),
    ("Bangladehs", "en", "BD"),
    ("Inde", "fr", "IN"),
    ("الهند", "en", "IN"),
    ("ভারত", "bn", "IN"),
    ("UK", "en", "GB"),
    ("England", "fr", "GB"),
    ("reino unido", "pt", "GB"),
    ("США", "ru", "US"),
    ("Guinea", "en", "GN"),
    ("+880", "en", "BD"),
    ("00880", "en", "BD"),
    ("880", "en", "BD"),
    ("٨٨٠", "ar", "BD"),
    ("৮৮০", "bn", "BD"),
    ("+44", "en", "GB"),
    ("Kazajistán", "es", "KZ"),
    ("Bahamas", "pt", "BS"),
    ("加拿大", "zh", "CA"),
    ("Guernsey", "en", "GG"),
)
"""What people type, their language, and the country they mean."""


def test_a_country_is_found_as_people_call_it(db: Database, card: TestCard) -> None:
    for wanted, language, country in CALLED:
        found = _asked(db, wanted, language)
        assert (found.found, found.country, bool(found.lines)) == ("country", country, True), wanted


def test_countries_that_share_a_code_have_their_own_prices(db: Database, card: TestCard) -> None:
    names = {
        wanted: [line.name for line in _asked(db, wanted).lines]
        for wanted in ("Canada", "Bahamas", "United States", "Russia", "Kazakhstan", "Guernsey", "Jamaica")
    }
    assert names == {
        "Canada": ["Canada"],
        "Bahamas": ["Bahamas"],
        "United States": ["United States", "United States premium"],
        "Russia": ["Russia"],
        "Kazakhstan": ["Kazakhstan"],
        "Guernsey": ["Guernsey"],
        # It has no prefix of its own: what its numbers get.
        "Jamaica": ["United States"],
    }
    assert set(_asked(db, "+7").choices) == {"KZ"}
    assert "CA" in _asked(db, "+1").choices


def test_where_several_countries_fit_people_choose(db: Database, card: TestCard) -> None:
    found = _asked(db, "guin")
    assert (found.found, found.lines) == ("choose", ())
    assert {"GN", "GW", "GQ", "PG"} == set(found.choices)
    exact = _asked(db, "Guinea")
    assert exact.country == "GN"
    assert set(exact.choices) == {"GW", "GQ", "PG"}


WRITTEN = (
    "+880 1712 345678",
    "8801712345678",
    "008801712345678",
    "+880-1712-345678",
    "+880 1712.345678",
    "٨٨٠١٧١٢٣٤٥٦٧٨",
    "+৮৮০ ১৭১২ ৩৪৫৬৭৮",
    "＋８８０１７１２３４５６７８",
    "\u202d+8801712345678\u202c",
)


def test_a_number_has_one_price_in_any_writing(db: Database, card: TestCard) -> None:
    for written in WRITTEN:
        found = _asked(db, written)
        assert (found.found, found.country, found.digits) == ("number", "BD", "8801712345678"), written
        line = found.lines[0]
        assert (line.name, line.price.price_per_minute) == ("Bangladesh mobile Grameen", USD("0.024"))
        assert (line.price.first_increment, line.price.increment) == (60, 60)


def test_a_number_of_the_home_country_may_be_written_as_it_is_dialled_there(
    db: Database, card: TestCard
) -> None:
    assert _asked(db, "01712345678").found != "number"
    scenes.setting(db, "home_country", "BD")
    assert _asked(db, "01712345678").digits == "8801712345678"


UNDERSTOOD = {
    "": "empty",
    "   ": "empty",
    "88017": "beginning",
    "8801712": "number",
    "911": "bad_number",
    "112": "bad_number",
    "999": "bad_number",
    "1234567890123456789": "bad_number",
    "+590 590 123456": "no_rate",
    "Japan": "no_rate",
    "x": "nothing",
    "qqqqq": "nothing",
    "#*!": "nothing",
    "\x00": "nothing",
    "Globalstar": "names",
    "a" * 5000: "nothing",
    "1" * 5000: "bad_number",
}


def test_everything_that_is_typed_gets_an_answer(db: Database, card: TestCard) -> None:
    for wanted, found in UNDERSTOOD.items():
        assert _asked(db, wanted).found == found, wanted[:40]


def test_numbers_of_one_name_that_differ_are_told_from_the_cheapest_to_the_dearest(
    db: Database, card: TestCard
) -> None:
    mobile = _asked(db, "United Kingdom").lines[1]
    assert mobile.dearest is not None
    assert (mobile.price.price_per_minute, mobile.dearest.price_per_minute) == (USD("0.03"), USD("0.05"))


def test_destinations_that_cost_the_same_are_told_together(db: Database, vault: Vault) -> None:
    same = "880,Bangladesh,0.03,0,1,1\n88017,Bangladesh mobile,0.05,0,1,1\n88018,Bangladesh Robi,0.03,0,1,1\n"
    scenes.deck(db, f"prefix,destination,price,connect fee,first increment,increment\n{same}")
    scenes.card(db, vault)
    told = [(line.name, line.also) for line in _asked(db, "Bangladesh").lines]
    assert told == [("Bangladesh", ("Bangladesh Robi",)), ("Bangladesh mobile", ())]


def test_without_a_card_a_round_amount_is_spent(db: Database, card: TestCard) -> None:
    found = _asked(db, "India")
    assert (found.spending, found.own, found.currency) == (USD("10"), False, "USD")
    assert found.lines[0].price.seconds == 1000 * 60
    assert found.lines[0].price.a_call_s == 14_400
    # Where ten units buy nothing, it is a larger one.
    assert _asked(db, "Globalstar").spending == USD("100")


def test_a_card_is_told_what_a_call_would_get(db: Database, vault: Vault) -> None:
    scenes.deck(db, DECK)
    card = scenes.card(db, vault, "1.00", post_call_fee=USD("0.05"))
    found = prices(db, "Bangladesh", card=_own(db, card), now=NOW)
    line = Line(db, vault, scenes.switch(db))
    for number, told in zip(("880255012345", "8801812345678", "8801712345678"), found.lines, strict=True):
        call = line.open(card, number, ref=number)
        assert (call.destination_name, call.price_per_minute, call.connect_fee) == (
            told.name,
            told.price.price_per_minute,
            told.price.connect_fee,
        )
        assert call.affordable_seconds == told.price.seconds == told.price.a_call_s
        line.end(number, seconds=0)
    assert (found.own, found.spending) == (True, USD("1"))


def test_what_a_live_call_holds_buys_nothing_more(db: Database, vault: Vault, card: TestCard) -> None:
    Line(db, vault, scenes.switch(db)).open(card)
    held = _own(db, card)
    assert held.available < held.balance
    found = prices(db, "India", card=held, now=NOW)
    assert found.lines[0].price.seconds == held.available * 60 // USD("0.01")


def test_numbers_that_a_card_can_not_call_are_told(db: Database, vault: Vault) -> None:
    scenes.deck(db, DECK)
    add_rules(db, "No India", OPERATOR, NOW, barred=["premium", "satellite"], allowed=["international"])
    card = _own(db, scenes.card(db, vault, destination_rules="No India"))
    told = {line.name: line.barred for line in prices(db, "United States", card=card, now=NOW).lines}
    assert told == {"United States": False, "United States premium": True}
    assert prices(db, "Globalstar", card=card, now=NOW).lines[0].barred
    assert prices(db, "+1 900 234 5678", card=card, now=NOW).lines[0].barred
    assert not _asked(db, "Globalstar").lines[0].barred


# --- whose prices everybody may look up ---


def test_everybody_sees_the_newest_batch_s_deck_or_the_one_that_is_set(db: Database, vault: Vault) -> None:
    assert _asked(db, "India").found == "no_prices"
    scenes.deck(db, DECK)
    assert _asked(db, "India").found == "no_prices"
    scenes.card(db, vault)
    scenes.deck(db, {"91": "0.5"}, name="Other", currency="EUR")
    assert _asked(db, "India").currency == "USD"
    scenes.setting(db, "prices_deck", "Other")
    assert (_asked(db, "India").currency, _asked(db, "Bangladesh").found) == ("EUR", "no_rate")
    with pytest.raises(NotFound, match="deck_not_found"), db.begin() as session:
        settings.put(session, "prices_deck", "Nobody's")


def test_a_new_version_counts_at_once(db: Database, vault: Vault, card: TestCard) -> None:
    assert _asked(db, "India").lines[0].price.price_per_minute == USD("0.01")
    scenes.deck(db, {"91": "0.5"})
    assert _asked(db, "India").lines[0].price.price_per_minute == USD("0.5")


def test_a_deck_of_a_hundred_thousand_prefixes_is_looked_up_by_country() -> None:
    codes = sorted(str(code) for code in countries.COUNTRY_CODE_TO_REGION_CODE)
    prefixes = {f"{codes[at % len(codes)]}{at:05d}" for at in range(60_000)} | {
        f"1{at}" for at in range(20_000, 60_000)
    }
    rows = [
        (at, prefix, f"Destination {prefix[:4]}", 1000 + at % 97, 0, 1, 1, 0, None, None, None, None, None)
        for at, prefix in enumerate(sorted(prefixes))
    ]
    listed = PriceList(RateTable(rows))
    for country in ("US", "CA", "GB", "BD"):
        assert {countries.country_of(one.prefix) for one in listed.of_country(country, NOW)} <= {
            country,
            None,
        }
    assert listed.of_country("BD", NOW)


# --- what it buys ---


def test_what_a_balance_buys_is_told_for_the_places_that_are_called_most(
    db: Database, vault: Vault, card: TestCard
) -> None:
    line = Line(db, vault, scenes.switch(db))
    for at, number in enumerate(("919812345678", "8801812345678", "8801812345679", "442079460000")):
        line.open(card, number, ref=str(at))
        line.later(30).end(str(at), seconds=30 if at < 3 else 0)
    own = _own(db, card)
    found = buys(db, own, line.now)
    assert [(one.name, one.country) for one in found] == [("Bangladesh mobile", "BD"), ("India", "IN")]
    assert found[0].price.seconds == own.available * 60 // USD("0.025")
    assert found[0].price.seconds == line.open(card, "8801812345678", ref="now").affordable_seconds or (
        found[0].price.a_call_s == 14_400
    )


def test_a_new_card_is_told_of_the_places_that_others_call(db: Database, vault: Vault) -> None:
    scenes.deck(db, DECK)
    caller, fresh = scenes.batch(db, vault, 2)
    assert buys(db, _own(db, fresh), NOW) == ()
    line = Line(db, vault, scenes.switch(db))
    line.open(caller, "919812345678", ref="a")
    line.later(60).end("a", seconds=60)
    line.later(3600)
    aggregate(db, line.now)
    db.cache.pop("popular destinations")
    own = read_own(db, fresh.id, line.now)
    assert own is not None
    assert [(one.name, one.price.seconds) for one in buys(db, own, line.now)] == [("India", 500 * 60)]


def test_a_card_that_can_not_call_buys_nothing(db: Database, vault: Vault, card: TestCard) -> None:
    line = Line(db, vault, scenes.switch(db))
    line.open(card, "919812345678", ref="a")
    line.later(60).end("a", seconds=60)
    with db.begin() as session:
        session.get_one(Card, card.id).expires_at = NOW
        session.get_one(Card, card.id).created_at = NOW
    own = read_own(db, card.id, line.now)
    assert own is None or buys(db, own, line.now) == ()
