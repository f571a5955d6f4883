"""Searching cards: exact conditions against a plain Python filter, pages that lose and repeat nothing, form texts."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, text

from engine.cards import binding, lifecycle, searchcopy, searchpage, searchwalk
from engine.cards.search import CUSTODY, CardFilter, card_of_number, from_json, to_json, where
from engine.cards.searchform import FIELDS, parse_filter
from engine.cards.searchpage import ORDERS, CardRow, count, page
from engine.cards.serials import card_id_of, serial_of
from engine.cards.status import STATUSES, status_of
from engine.config import Keys
from engine.db import Database
from engine.errors import EngineError, InvalidInput, NotFound
from engine.funds import recharges
from engine.schema import Batch, Binding, Card, Reseller
from engine.vault import Vault
from tests import scenes
from tests.conftest import Clones
from tests.proof import scaled
from tests.scenes import NOW, OPERATOR, USD

DAY = timedelta(days=1)
PHONE = "8801712345678"


@pytest.fixture(scope="module")
def world(clones: Clones, keys: Keys) -> Iterator[Database]:
    """Some 300 cards in every state, folded. Tests of this module only read it."""
    url = clones.make()
    db = Database(url)
    _make(db, Vault(keys))
    searchcopy.fold(db, NOW)
    yield db
    db.close()
    clones.drop(url)


def _make(db: Database, vault: Vault) -> None:
    dice = random.Random(7)
    with db.begin() as session:
        session.add_all([Reseller(name=name, created_at=NOW) for name in ("North", "South")])
    for turn in range(6):
        scenes.batch(
            db,
            vault,
            50,
            name=f"Batch {turn}",
            currency=("USD", "EUR")[turn % 2],
            deck=("Dollars", "Euros")[turn % 2],
            binding="single",
            now=NOW - (60 - 10 * turn) * DAY,
        )
    # One that nobody may find: its cards stand, but it never became ready.
    scenes.batch(db, vault, 5, name="Unready", deck="Dollars", now=NOW)
    with db.begin() as session:
        session.execute(text("UPDATE batch SET ready_at = NULL WHERE name = 'Unready'"))
        for card in session.scalars(select(Card).order_by(Card.id)):
            _age(card, dice)
            card.reseller_id = dice.choice((None, 1, 1, 2))
    with db.begin() as session:
        used = session.scalars(
            select(Card.id).where(Card.first_used_at.is_not(None)).order_by(Card.id).limit(9)
        )
        ids = list(used)
    for card_id in ids[:4]:
        binding.bind(db, card_id=card_id, caller=PHONE, actor=OPERATOR, now=NOW)
    for card_id in ids:
        facts = scenes.facts(db, scenes.TestCard(card_id, "", ""))
        if status_of(facts, NOW) == "active":
            taken = {"amount": -facts.balance, "reason": "To nothing", "actor": OPERATOR, "now": NOW}
            recharges.adjust(db, card_id=card_id, **taken)


def _age(card: Card, dice: random.Random) -> None:
    """Facts that it would take months of life to come by."""
    made = card.created_at
    if dice.random() < 0.6:
        card.first_used_at = made + dice.choice((1, 2, 3)) * DAY
        card.expires_at = card.first_used_at + dice.choice((10, 30, 60)) * DAY
    if dice.random() < 0.1:
        card.locked_at, card.locked_by = made + DAY, "console"
    if dice.random() < 0.05:
        card.damaged_at, card.damaged_by = made + DAY, "console"
    if dice.random() < 0.2:
        card.released_at = None
    way = dice.randrange(5)
    for name in ("printed_at", "shipped_at", "sold_at", "activated_at")[:way]:
        setattr(card, name, made)


def _cards(db: Database) -> list[Any]:
    """All cards that may be found, with the callers that are bound to them."""
    with db.begin() as session:
        ready = select(Batch.id).where(Batch.ready_at.is_not(None))
        cards = list(session.scalars(select(Card).where(Card.batch_id.in_(ready)).order_by(Card.id)))
        bound = session.execute(select(Binding.card_id, Binding.caller)).all()
    callers: dict[int, set[str]] = {}
    for card_id, caller in bound:
        callers.setdefault(card_id, set()).add(caller)
    return [(card, callers.get(card.id, set())) for card in cards]


def _custody(card: Card) -> str:
    for name in reversed(CUSTODY[1:]):
        if getattr(card, f"{name}_at") is not None:
            return name
    return "made"


def _meets(card: Card, callers: set[str], f: CardFilter) -> bool:
    """The filter once more, in plain Python."""

    def inside(value: Any, ends: tuple[Any, Any] | None) -> bool:
        if ends is None:
            return True
        first, end = ends
        return value is not None and (first is None or value >= first) and (end is None or value < end)

    return (
        f.card_id in (None, card.id)
        and inside(card.id, f.serials)
        and inside(card.created_at, f.created)
        and inside(card.first_used_at, f.first_used)
        and inside(card.expires_at, f.expires)
        and inside(card.balance, f.balance)
        and (not f.statuses or status_of(card, NOW) in f.statuses)
        and (f.phone is None or f.phone in callers)
        and f.batch_id in (None, card.batch_id)
        and f.reseller_id in (None, card.reseller_id)
        and (not f.custody or _custody(card) in f.custody)
        and f.released in (None, card.released_at is not None)
        and f.currency in (None, card.currency)
    )


def _drawn(dice: random.Random, cards: list[Any]) -> CardFilter:
    """A filter of one to four things, drawn so that most find something."""
    card = dice.choice(cards)[0]

    def ends(value: Any, step: Any) -> tuple[Any, Any]:
        first, end = value - dice.randrange(3) * step, value + dice.randrange(1, 4) * step
        return dice.choice(((first, end), (first, None), (None, end), (None, None)))

    ways: dict[str, Callable[[], Any]] = {
        "card_id": lambda: card.id,
        "serials": lambda: ends(card.id, 40),
        "created": lambda: ends(card.created_at, 10 * DAY),
        "first_used": lambda: ends(card.first_used_at or NOW, 5 * DAY),
        "expires": lambda: ends(card.expires_at or NOW, 10 * DAY),
        "balance": lambda: dice.choice(((0, 1), (1, None), (None, USD("5")), (USD("5"), USD("6")))),
        "statuses": lambda: tuple(dice.sample(STATUSES, dice.randrange(1, 3))),
        "phone": lambda: PHONE,
        "batch_id": lambda: card.batch_id,
        "reseller_id": lambda: dice.choice((1, 2)),
        "custody": lambda: tuple(dice.sample(CUSTODY, dice.randrange(1, 3))),
        "released": lambda: dice.choice((True, False)),
        "currency": lambda: dice.choice(("USD", "EUR")),
    }
    return CardFilter(**{name: ways[name]() for name in dice.sample(list(ways), dice.randrange(1, 5))})


def _pages(db: Database, f: CardFilter, limit: int, **how: Any) -> list[CardRow]:
    """All rows, page by page."""
    rows: list[CardRow] = []
    after = None
    while True:
        found = page(db, f, NOW, after=after, limit=limit, **how)
        rows += found.rows
        after = found.next
        if after is None:
            return rows


_KEY: dict[str, Callable[[CardRow], Any]] = {
    "serial": lambda row: None,
    "created": lambda row: row.created_at,
    "first_used": lambda row: row.first_used_at,
    "expires": lambda row: row.expires_at,
    "balance": lambda row: row.balance,
}


def _sorted(rows: list[CardRow], order: str, descending: bool) -> list[CardRow]:
    key = _KEY[order]
    last = [row for row in rows if key(row) is None]
    first = [row for row in rows if key(row) is not None]
    by_key = sorted(first, key=lambda row: (key(row), row.serial[:-1]), reverse=descending)
    return by_key + sorted(last, key=lambda row: row.serial[:-1], reverse=descending)


# --- what is found ---


def test_the_conditions_and_the_pages_find_what_a_plain_filter_finds(
    world: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    cards, dice = _cards(world), random.Random(11)
    assert {status_of(card, NOW) for card, _ in cards} == set(STATUSES)
    found_some = 0
    for turn in range(scaled(1500, 100)):
        # Walks as short as that go through every way to look: on, over to the narrowest criterion, and giving up.
        monkeypatch.setattr(searchwalk, "FIRST_WALK", dice.choice((3, 40, 5000)))
        monkeypatch.setattr(searchwalk, "GATHERED", dice.choice((5, 60, 5000)))
        monkeypatch.setattr(searchwalk, "LONG_WALK", dice.choice((7, 100, 5000)))
        f = _drawn(dice, cards)
        expected = [card.id for card, callers in cards if _meets(card, callers, f)]
        with world.begin() as session:
            exact = list(session.scalars(select(Card.id).where(*where(f, NOW)).order_by(Card.id)))
        assert exact == expected, f
        order, descending = dice.choice(ORDERS), dice.random() < 0.5
        rows = _pages(world, f, dice.choice((3, 10, 400)), order=order, descending=descending)
        assert [card_id_of(row.serial) for row in rows] == [
            card_id_of(row.serial) for row in _sorted(rows, order, descending)
        ], (turn, f, order)
        assert sorted(card_id_of(row.serial) for row in rows) == expected, (turn, f, order, descending)
        found_some += bool(expected)
    assert found_some > 20


def test_a_row_shows_the_card_and_never_its_number(world: Database) -> None:
    cards = {serial_of(card.id): card for card, _ in _cards(world)}
    for row in page(world, CardFilter(), NOW, limit=300).rows:
        card = cards[row.serial]
        assert row.status == status_of(card, NOW)
        assert (row.balance, row.held, row.currency) == (card.balance, card.held, card.currency)
        assert (row.created_at, row.first_used_at, row.expires_at) == (
            card.created_at,
            card.first_used_at,
            card.expires_at,
        )
        assert row.reseller == {None: None, 1: "North", 2: "South"}[card.reseller_id]
        assert (row.custody, row.released) == (_custody(card), card.released_at is not None)
        assert row.number_end == card.number[-4:]
        assert card.number not in repr(row)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("descending", [False, True])
def test_pages_go_back_as_they_came(world: Database, order: str, descending: bool) -> None:
    how: dict[str, Any] = {"order": order, "descending": descending, "limit": 47}
    there, after = [], None
    while True:
        found = page(world, CardFilter(), NOW, after=after, **how)
        there.append(found)
        if found.next is None:
            break
        after = found.next
    assert len(there) == 7
    assert there[0].previous is None
    for before, behind in zip(there[-2::-1], there[:0:-1], strict=True):
        back = page(world, CardFilter(), NOW, after=behind.previous, **how)
        assert back.rows == before.rows
        assert (back.previous is None) == (before is there[0])
        assert back.next is not None
        assert page(world, CardFilter(), NOW, after=back.next, **how).rows == behind.rows


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("descending", [False, True])
def test_every_card_is_visited_once_while_others_are_made(
    db: Database, vault: Vault, order: str, descending: bool
) -> None:
    dice = random.Random(3)
    first = scenes.batch(db, vault, 40, name="First")
    with db.begin() as session:
        for card in session.scalars(select(Card)):
            _age(card, dice)
    searchcopy.fold(db, NOW)
    seen: list[str] = []
    after = None
    for turn in range(100):
        found = page(db, CardFilter(), NOW, order=order, descending=descending, after=after, limit=7)
        seen += [row.serial for row in found.rows]
        after = found.next
        if after is None:
            break
        if turn < 5:
            scenes.batch(db, vault, 3, name=f"More {turn}", now=NOW - turn * DAY)
            searchcopy.fold(db, NOW)
    assert after is None
    assert len(seen) == len(set(seen))
    assert {card.serial for card in first} <= set(seen)


def test_a_stale_copy_shows_no_wrong_row(db: Database, vault: Vault) -> None:
    one, two = scenes.batch(db, vault, 2)
    searchcopy.fold(db, NOW)
    lifecycle.lock(db, card_id=one.id, reason="Lost", actor=OPERATOR, now=NOW)
    assert [row.serial for row in page(db, CardFilter(statuses=("unused",)), NOW).rows] == [two.serial]
    assert page(db, CardFilter(statuses=("locked",)), NOW).rows == ()  # late, not wrong
    searchcopy.fold(db, NOW)
    assert [row.serial for row in page(db, CardFilter(statuses=("locked",)), NOW).rows] == [one.serial]


# --- how many ---


def test_counts_are_exact_up_to_ten_thousand_and_then_say_so(
    world: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    cards, dice = _cards(world), random.Random(5)
    for _ in range(40):
        f = _drawn(dice, cards)
        assert count(world, f, NOW) == searchpage.Count(sum(_meets(*card, f) for card in cards), "exact"), f
    assert str(count(world, CardFilter(), NOW)) == "300"
    monkeypatch.setattr(searchpage, "COUNTED", 100)
    assert str(count(world, CardFilter(currency="USD"), NOW)) == "100+"
    assert str(count(world, CardFilter(), NOW)) == "300"
    monkeypatch.setattr(searchpage, "COUNTED", 10_000)
    monkeypatch.setattr(searchpage, "GATHERED", 10)
    monkeypatch.setattr(searchpage, "LONG_WALK", 20)
    assert count(world, CardFilter(currency="USD"), NOW).kind == "about"


# --- plain values ---


def test_a_filter_survives_json_and_a_number_is_in_none(world: Database) -> None:
    cards, dice = _cards(world), random.Random(13)
    for _ in range(200):
        f = _drawn(dice, cards)
        assert from_json(json.loads(json.dumps(to_json(f)))) == f
    number = cards[0][0].number
    f = parse_filter(world, number=f"{number[:4]} {number[4:]}")
    assert f == CardFilter(card_id=cards[0][0].id)
    assert number not in json.dumps(to_json(f)) + repr(f)
    assert card_of_number(world, "123") is None


@pytest.mark.parametrize(
    "plain",
    [
        {"number": "4111111111111111"},
        {"card_id": "1"},
        {"card_id": True},
        {"card_id": 2**70},
        {"serials": [1]},
        {"serials": 5},
        {"created": ["2026-11-20", None]},
        {"created": ["2026-11-20T00:00:00", None]},
        {"balance": [0.5, None]},
        {"statuses": ["asleep"]},
        {"statuses": "locked"},
        {"statuses": [["locked"]]},
        {"phone": "0171'; --"},
        {"custody": [None]},
        {"released": "yes"},
        {"currency": "usd"},
    ],
)
def test_plain_values_from_elsewhere_are_looked_at(plain: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as caught:
        from_json(plain)
    assert caught.value.code == "bad_filter"
    assert caught.value.data["field"] == next(iter(plain))


# --- cursors ---


@pytest.mark.parametrize(
    "after",
    [
        "",
        "next",
        "next.serial.up.-.x",
        "next.serial.up.5.1000000000",
        "next.serial.down.-.1000000000",
        "next.created.up.0.1000000000",
        "next.serial.up.-.１",
        "next.serial.up.-.1000000000; DROP TABLE card",
        "next.serial.up.-." + "9" * 40,
        "nowhere.serial.up.-.1",
        "\0",
    ],
)
def test_a_cursor_that_is_none_is_refused(world: Database, after: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        page(world, CardFilter(), NOW, after=after)
    assert caught.value.code == "bad_cursor"


@pytest.mark.parametrize("after", ["next.balance.up.-.1", "next.created.up.-.1"])
def test_a_cursor_without_a_key_is_refused_where_every_card_has_one(world: Database, after: str) -> None:
    with pytest.raises(InvalidInput):
        page(world, CardFilter(), NOW, order=after.split(".")[1], after=after)


@pytest.mark.parametrize("order", ["number", "id; --", "", "digest"])
def test_a_list_is_ordered_by_what_is_allowed_only(world: Database, order: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        page(world, CardFilter(), NOW, order=order)
    assert caught.value.code == "not_a_choice"


# --- texts ---


def test_texts_become_a_filter_in_the_operators_zone(db: Database, vault: Vault) -> None:
    scenes.setting(db, "zone", "Asia/Dhaka")
    scenes.setting(db, "home_country", "BD")
    card = scenes.batch(db, vault, 3, name="Retail")[1]
    with db.begin() as session:
        session.add(Reseller(name="Kiosk", created_at=NOW))
        batch_id = session.scalar(select(func.max(Batch.id)))
    midnight = datetime.fromisoformat("2026-11-01T00:00:00+06:00")
    tick = timedelta(microseconds=1)
    found = parse_filter(
        db,
        serial_from=card.serial,
        serial_to=card.serial,
        created_from="2026-11-01",
        created_to="2026-11-01",
        first_used_from="2026-11-01 12:30",
        expires_to="2026-11-01",
        balance_from="1.50",
        balance_to="2",
        status=["locked", "empty"],
        custody="sold, activated",
        phone="01712-345678",
        batch=" Retail ",
        reseller="Kiosk",
        released="no",
        currency="USD",
        number="",
        serial=None,
    )
    assert found == CardFilter(
        serials=(card.id, card.id + 1),
        created=(midnight, midnight + DAY),
        first_used=(midnight + timedelta(hours=12, minutes=30), None),
        expires=(None, midnight + DAY + tick),
        balance=(USD("1.5"), USD("2") + 1),
        statuses=("locked", "empty"),
        custody=("sold", "activated"),
        phone=PHONE,
        batch_id=batch_id,
        reseller_id=1,
        released=False,
        currency="USD",
    )
    assert parse_filter(db, serial=card.serial) == CardFilter(card_id=card.id)
    assert parse_filter(db) == CardFilter()


def test_a_card_that_is_valid_to_the_end_of_a_day_expires_on_that_day(db: Database, vault: Vault) -> None:
    card = scenes.card(db, vault, validity_days=10, validity_from="generation")
    day = f"{NOW + 10 * DAY:%Y-%m-%d}"
    after = f"{NOW + 11 * DAY:%Y-%m-%d}"
    for texts, found in (
        ({"expires_from": day, "expires_to": day}, [card.serial]),
        ({"expires_from": after}, []),
        ({"expires_to": f"{NOW + 9 * DAY:%Y-%m-%d}"}, []),
    ):
        assert [row.serial for row in page(db, parse_filter(db, **texts), NOW).rows] == found


@pytest.mark.parametrize(
    ("texts", "code", "field"),
    [
        ({"serial": "123"}, "bad_serial", "serial"),
        ({"serial_from": "10000000000"}, "bad_serial", "serial_from"),
        ({"serial_to": "x"}, "bad_serial", "serial_to"),
        ({"created_from": "20.11.2026"}, "bad_date", "created_from"),
        ({"created_to": "2026-02-30"}, "bad_date", "created_to"),
        ({"first_used_from": "2026-11-20 25:00"}, "bad_date", "first_used_from"),
        ({"expires_to": "２０２６-11-20"}, "bad_date", "expires_to"),
        ({"created_from": "2026-11-20", "created_to": "2026-11-19"}, "range_backwards", "created_to"),
        ({"balance_from": "5", "balance_to": "4.99"}, "range_backwards", "balance_to"),
        ({"balance_from": "1,5"}, "comma", "balance_from"),
        ({"balance_to": "-1"}, "negative", "balance_to"),
        ({"status": "asleep"}, "not_a_choice", "status"),
        ({"custody": ["sold", "lost"]}, "not_a_choice", "custody"),
        ({"released": "maybe"}, "not_a_choice", "released"),
        ({"phone": "nobody"}, "bad_caller", "phone"),
        ({"currency": "US"}, "currency", "currency"),
        ({"number": "123456", "serial": "10000000009"}, "number_or_serial", "number"),
    ],
)
def test_a_text_that_cannot_be_says_which_and_why(
    world: Database, texts: dict[str, Any], code: str, field: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_filter(world, **texts)
    assert (caught.value.code, caught.value.data["field"]) == (code, field)


@pytest.mark.parametrize(
    ("texts", "code"),
    [
        ({"number": "99999999"}, "card_not_found"),
        ({"batch": "None such"}, "batch_not_found"),
        ({"reseller": "None such"}, "unknown_reseller"),
    ],
)
def test_what_is_not_there_is_said(world: Database, texts: dict[str, Any], code: str) -> None:
    with pytest.raises(NotFound) as caught:
        parse_filter(world, **texts)
    assert caught.value.code == code


PAYLOADS = (
    "' OR '1'='1",
    "1; DROP TABLE card; --",
    "\\'; SELECT pg_sleep(9); --",
    '" OR ""="',
    "%(lo)s",
    "%s%%",
    ":now",
    "{0}",
    "\0",
    "\ud800",
    "Robert'); DELETE FROM card;--",
    "١٢٣",
    "9" * 400,
    "../../etc/passwd",
    "\u202e\u200b",
)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_text_reaches_the_sql(world: Database, payload: str) -> None:
    for field in FIELDS:
        with pytest.raises(EngineError):
            parse_filter(world, **{field: payload})
    with world.begin() as session:
        assert session.scalar(select(func.count()).select_from(Card)) == 305
