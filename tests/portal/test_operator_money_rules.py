"""Rules of auto-recharge and of bonuses in the console."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

import pytest

from engine.config import Keys
from engine.funds import autorules, autoviews, bonus
from engine.funds.bonus import would_give
from tests.conftest import Clones
from tests.portal.conftest import text_of
from tests.portal.house import House, house
from tests.portal.world import MARK
from tests.scenes import NOW, OPERATOR, USD

AUTO, BONUS = "/settings/auto-recharge", "/settings/bonus"
PART = {"HX-Request": "true", "HX-Request-Type": "partial"}


@pytest.fixture(scope="module")
def home(clones: Clones, keys: Keys, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(clones, keys, tmp_path_factory.mktemp("rules")) as made:
        yield made


def shown(home: House, path: str, *, role: str = "finance", status: int = 200, **more: object) -> str:
    answer = home.visitor(role).get(path, **more)
    assert answer.status_code == status, path
    return answer.get_data(as_text=True)


def sent(home: House, path: str, *, role: str = "finance", status: int = 303, **fields: str) -> str:
    answer = home.visitor(role).submit(path, **fields)
    assert answer.status_code == status, answer.get_data(as_text=True)
    return answer.get_data(as_text=True)


def errors(html: str) -> str:
    return " ".join(re.findall(r'<p class="error"[^>]*>(.*?)</p>', html))


def terms(home: House, **other: str) -> dict[str, str]:
    account = str(home.world.arguments["account_id"])
    return {"account_id": account, "threshold": "2", "amount": "5", "day_limit": "10", **other}


def test_a_rule_is_added_changed_disabled_and_enabled(home: House) -> None:
    for _ in range(2):
        sent(home, f"{AUTO}/new", name="Never <b>empty", **terms(home, batch=f"May {MARK}"))
    rule = autorules.rule_named(home.db, "Never <b>empty")
    page = f"{AUTO}/{rule.id}"
    assert (rule.threshold, rule.amount, rule.day_limit, rule.month_limit) == (
        USD("2"),
        USD("5"),
        USD("10"),
        None,
    )
    assert autorules.enrol_by_filters(home.db, NOW) > 0
    html = shown(home, page)
    assert "Never &lt;b&gt;empty" in html
    assert MARK not in html
    assert "batch May &lt;img" in html
    assert f"/cards/{home.world.cards[0].serial}" in html
    sent(home, f"{page}/change", **terms(home, amount="4", day_limit="", month_limit="40"))
    changed = autorules.find_rule(home.db, rule.id)
    assert (changed.amount, changed.day_limit, changed.month_limit) == (USD("4"), None, USD("40"))
    assert changed.card_filter == rule.card_filter
    for _ in range(2):
        sent(home, f"{page}/disable", reason="Not now")
    assert autorules.find_rule(home.db, rule.id).disabled_at is not None
    sent(home, f"{page}/enable", reason="")
    sent(home, f"{page}/who", batch="", reseller="", reason="")
    ended = autorules.find_rule(home.db, rule.id)
    assert ended.disabled_at is None
    assert ended.card_filter is None
    assert "Never &lt;b&gt;empty" in shown(home, AUTO)
    for act in ("change", "who", "disable", "enable", "enrol", "withdraw"):
        sent(home, f"{page}/{act}", role="operator", status=403)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"threshold": "-5"}, "negative"),
        ({"threshold": "0"}, "more than zero"),
        ({"amount": "1,50"}, "point"),
        ({"amount": "1e9"}, "plain number"),
        ({"day_limit": "4"}, ""),
        ({"batch": "Nobody"}, "no batch"),
        ({"reseller": "Nobody"}, "no reseller"),
        ({"account_id": "999"}, "Choose one"),
        ({"name": ""}, "Fill this in"),
        ({"name": "Hidden\u200b"}, ""),
    ],
)
def test_a_rule_with_a_mistake_is_told_at_its_field_and_kept(
    home: House, fields: dict[str, str], sentence: str
) -> None:
    before = len(autorules.list_rules(home.db))
    given = {"name": "Wrong", **terms(home), **fields}
    answer = home.visitor("finance").submit(f"{AUTO}/new", **given)
    if "\u200b" in given["name"]:
        assert answer.status_code == 303  # what can't be seen is dropped, and the rest is a name
        return
    html = answer.get_data(as_text=True)
    assert answer.status_code == 422
    assert sentence in errors(html)
    assert errors(html)
    assert len(autorules.list_rules(home.db)) == before


def test_cards_are_enrolled_and_withdrawn_by_list_and_by_batch(home: House) -> None:
    rule = autorules.add_rule(
        home.db,
        name="By hand",
        threshold=USD("1"),
        amount=USD("2"),
        account_id=home.world.arguments["account_id"],
        actor=OPERATOR,
        now=NOW,
    )
    page, cards = f"{AUTO}/{rule.id}", home.world.cards
    lines = f"{cards[4].serial}\n{cards[5].serial}, {cards[4].serial}"
    for _ in range(2):
        sent(home, f"{page}/enrol", serials=lines)
    assert [card for card, _ in autoviews.members(home.db, rule.id)[0]] == [cards[4].id, cards[5].id]
    sent(home, f"{page}/enrol", batch=f"May {MARK}")
    first, more = autoviews.members(home.db, rule.id, limit=5)
    rest, end = autoviews.members(home.db, rule.id, after=more, limit=50)
    assert [card for card, _ in (*first, *rest)] == [card.id for card in cards]
    assert end is None
    sent(home, f"{page}/withdraw", serials=cards[4].serial)
    assert autorules.find_rule(home.db, rule.id).cards == len(cards) - 1
    for given, sentence in (
        ({"serials": "123"}, "serial"),
        ({"serials": ""}, ""),
        ({"serials": "", "batch": "Nobody"}, "no batch"),
    ):
        html = sent(home, f"{page}/enrol", status=422, **given)
        assert sentence in errors(html)
        assert errors(html)


def test_doings_of_a_month_are_those_of_the_crossings(home: House) -> None:
    assert autoviews.doings(home.db, NOW + timedelta(days=60)) == {}
    assert "0 recharges" in text_of(shown(home, AUTO))


def test_a_bonus_rule_is_added_shown_by_example_and_disabled(home: House) -> None:
    fields = {
        "name": "Double",
        "currency": "USD",
        "percent": "12.5",
        "fixed": "1",
        "least": "5",
        "methods": "operator",
    }
    for _ in range(2):
        sent(home, f"{BONUS}/new", **fields)
    rule = bonus.rule_named(home.db, "Double")
    assert (rule.percent_bp, rule.fixed, rule.least, rule.methods) == (
        1250,
        USD("1"),
        USD("5"),
        ("operator",),
    )
    told = text_of("<body>" + shown(home, f"{BONUS}?amount=10", headers=PART))
    assert "A recharge of USD 10.00 now gets USD 2.25 by Double" in told
    assert "A recharge of USD 4.00 now gets USD 0.40 by Ten" in text_of(shown(home, f"{BONUS}?amount=4"))
    for _ in range(2):
        sent(home, f"{BONUS}/{rule.id}/disable", reason="Over")
    assert "USD 1.00 by Ten" in text_of(shown(home, BONUS))
    assert bonus.find_rule(home.db, rule.id).disabled_at is not None
    shown(home, f"{BONUS}/new", role="operator", status=403)
    shown(home, f"{BONUS}/999/disable", status=404)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"percent": "0.001"}, "two decimals"),
        ({"percent": "NaN"}, "plain number"),
        ({"percent": "5000"}, ""),
        ({"percent": "0", "fixed": "0"}, ""),
        ({"fixed": "-1"}, "negative"),
        ({"currency": "XXX"}, "Choose one"),
        ({"methods": "gift"}, "Choose from"),
        ({"ends_at": "2026-02-30T10:00"}, "Type a day and a time"),
        ({"ends_at": "2026-01-01T10:00"}, ""),
    ],
)
def test_a_bonus_rule_with_a_mistake_is_told_at_its_field(
    home: House, fields: dict[str, str], sentence: str
) -> None:
    given = {
        "name": "Wrong",
        "currency": "USD",
        "percent": "10",
        "fixed": "0",
        "least": "0",
        "methods": "operator",
    }
    html = sent(home, f"{BONUS}/new", status=422, **{**given, **fields})
    assert sentence in errors(html)
    assert errors(html)


def test_the_example_chooses_as_a_recharge_does(home: House) -> None:
    for name, more in (
        ("First only", {"percent_bp": 5000, "first_only": True}),
        ("To come", {"percent_bp": 9000, "starts_at": NOW + timedelta(days=9)}),
        ("Over soon", {"percent_bp": 8000, "ends_at": NOW + timedelta(minutes=1)}),
    ):
        bonus.add_rule(home.db, name=name, currency="USD", actor=OPERATOR, now=NOW, **more)  # type: ignore[arg-type]
    rules, later = bonus.list_rules(home.db), NOW + timedelta(minutes=2)
    assert would_give(rules, "USD", USD("10"), "voucher", later)[0] == USD("1")
    assert would_give(rules, "USD", USD("10"), "voucher", later, first=True)[0] == USD("5")
    assert would_give(rules, "USD", USD("10"), "voucher", NOW)[0] == USD("8")
    assert would_give(rules, "EUR", USD("10"), "voucher", later) == (0, None)
    with home.db.begin() as session:
        for card in (
            home.world.cards[2],
            home.world.cards[8],
        ):  # one that was recharged before, one that never was
            gift = bonus.bonus_for(session, Known(card.id, "USD"), USD("10"), "voucher", later)
            first = card is home.world.cards[8]
            assert gift.amount == would_give(rules, "USD", USD("10"), "voucher", later, first=first)[0]


class Known:
    """As much of a card as a bonus depends on."""

    def __init__(self, card_id: int, currency: str) -> None:
        self.id, self.currency = card_id, currency
