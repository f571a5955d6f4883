"""Orders: what is refused at which field, what is warned about, and how well cards resist guessing."""

from __future__ import annotations

from typing import Any

import pytest

from engine.errors import InvalidInput
from engine.stock.orders import BatchOrder, check, problems, space_of, strength, warnings

MANY_FIELDS = {
    "name": "\u202eevil",
    "count": 0,
    "denomination": -1,
    "currency": "usd",
    "deck": None,
    "binding": "all",
    "validity_days": -1,
}


def order(**changes: Any) -> BatchOrder:
    given = {"name": "Batch", "count": 1000, "denomination": 5_000_000, "currency": "USD", "deck": "Standard"}
    return BatchOrder(**{**given, **changes})


@pytest.mark.parametrize(
    ("field", "changes", "code"),
    [
        ("count", {"count": 0}, "too_small"),
        ("count", {"count": -5}, "too_small"),
        ("count", {"count": 10**9}, "too_large"),
        ("count", {"count": 1_000_001}, "too_large"),
        ("count", {"count": 1.5}, "not_a_number"),
        ("count", {"count": True}, "not_a_number"),
        ("count", {"count": None}, "not_a_number"),
        ("denomination", {"denomination": -1}, "too_small"),
        ("denomination", {"denomination": 10**30}, "too_large"),
        ("denomination", {"kind": "voucher", "deck": None, "denomination": 0}, "too_small"),
        ("currency", {"currency": "usd"}, "currency"),
        ("currency", {"currency": "ZZZ"}, "currency"),
        ("validity_days", {"validity_days": -1}, "too_small"),
        ("validity_days", {"validity_days": 0}, "too_small"),
        ("grace_days", {"grace_days": -1}, "too_small"),
        ("number_prefix", {"number_prefix": "123456789012"}, "prefix_too_long"),
        ("number_prefix", {"number_prefix": "1234567890123"}, "prefix_too_long"),
        ("number_prefix", {"number_prefix": "12345678901", "luhn": True}, "prefix_too_long"),
        ("number_prefix", {"number_prefix": "８８"}, "not_digits"),
        ("number_prefix", {"number_prefix": "+88"}, "not_digits"),
        ("number_length", {"number_length": 33}, "too_large"),
        ("number_length", {"number_length": 19}, "too_many_free_digits"),
        ("password_length", {"password_length": 3}, "too_small"),
        ("password_length", {"password_length": 19}, "too_large"),
        ("kind", {"kind": "gift"}, "not_a_choice"),
        ("release", {"release": "later"}, "not_a_choice"),
        ("binding", {"binding": "all"}, "not_a_choice"),
        ("max_bound", {"binding": "multi"}, "max_bound_missing"),
        ("concurrency", {"concurrency": 0}, "too_small"),
        ("deck", {"deck": None}, "deck_missing"),
        ("deck", {"deck": ""}, "deck_missing"),
        ("language", {"language": "English"}, "bad_language"),
        ("maintenance_days", {"maintenance_fee": 10_000}, "maintenance_days_missing"),
        ("range_last", {"range_first": "1000"}, "range_incomplete"),
        ("range_first", {"range_last": "1000"}, "range_incomplete"),
        ("range_last", {"range_first": "1000", "range_last": "99999"}, "range_lengths_differ"),
        ("range_last", {"range_first": "9000", "range_last": "1000"}, "range_backwards"),
        ("range_last", {"range_first": "1000", "range_last": "1998"}, "range_too_small"),
        (
            "range_last",
            {"range_first": "1000", "range_last": "1007", "luhn": True, "count": 1},
            "range_too_small",
        ),
        ("range_last", {"range_first": "0" * 20, "range_last": "9" * 20}, "too_many_free_digits"),
        (
            "range_last",
            {"range_first": "0" * 20, "range_last": "9" * 20, "luhn": True},
            "too_many_free_digits",
        ),
        ("range_first", {"range_first": "10a0", "range_last": "1999"}, "not_a_card_number"),
        (
            "number_prefix",
            {"range_first": "100000", "range_last": "199999", "number_prefix": "1"},
            "range_or_prefix",
        ),
        ("name", {"name": ""}, "empty"),
        ("name", {"name": "   "}, "empty"),
        ("name", {"name": "x" * 101}, "too_long"),
        ("name", {"name": "Dhaka\u202e05"}, "invisible_character"),
        ("name", {"name": "Dha\u200bka"}, "invisible_character"),
        ("name", {"name": "Dhaka\ufeff"}, "invisible_character"),
        ("name", {"name": "Dha\x00ka"}, "control_character"),
        ("name", {"name": "Dha\nka"}, "control_character"),
        ("name", {"name": "\ud800"}, "invisible_character"),
    ],
)
def test_what_cannot_be_ordered_is_refused_at_its_field(
    field: str, changes: dict[str, Any], code: str
) -> None:
    with pytest.raises(InvalidInput) as refusal:
        check(order(**changes))
    assert (refusal.value.data["field"], refusal.value.code) == (field, code)


def test_all_problems_of_a_form_are_told_at_once() -> None:
    found = {problem.data["field"]: problem.code for problem in problems(order(**MANY_FIELDS))}
    assert found.keys() == MANY_FIELDS.keys()


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", '=HYPERLINK("http://x")', "Ελλάδα 5€", "'; DROP"]
)
def test_a_name_with_visible_signs_is_kept_as_it_is(name: str) -> None:
    assert list(problems(order(name=name))) == []


def test_a_voucher_needs_no_deck() -> None:
    assert check(order(kind="voucher", deck=None)).size == 10**12


def test_the_defaults_are_those_of_the_trade() -> None:
    standard = order()
    assert space_of(standard).length == 12
    assert (standard.password_length, standard.validity_days, standard.validity_from) == (8, 90, "first_use")
    assert (standard.release, standard.binding, standard.concurrency) == ("generation", "none", 1)
    assert standard.destination_rules == "Standard"
    assert warnings(standard, space_of(standard)) == ()


@pytest.mark.parametrize(
    ("changes", "guesses"),
    [
        ({"count": 100_000, "password_length": 6}, 10**13),
        ({"count": 10_000, "number_length": 6, "password_length": 4}, 10**6),
        ({"count": 9, "number_prefix": "88", "number_length": 12}, 10**18 // 9),
        ({"count": 100, "range_first": "5000", "range_last": "5999", "password_length": 4}, 10**5),
    ],
)
def test_the_strength_is_blind_tries_a_hit(changes: dict[str, Any], guesses: int) -> None:
    assert strength(order(**changes)) == guesses


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"number_length": 11}, ("short_number",)),
        ({"password_length": 5}, ("short_password",)),
        ({"number_length": 12, "password_length": 6}, ()),
        ({"number_length": 10, "password_length": 4}, ("short_number", "short_password")),
        ({"range_first": "100000000000", "range_last": "100000999999", "count": 1001}, ("dense_range",)),
        ({"range_first": "100000000000", "range_last": "100000999999", "count": 1000}, ()),
    ],
)
def test_weak_cards_are_warned_about(changes: dict[str, Any], said: tuple[str, ...]) -> None:
    weak = order(**changes)
    assert warnings(weak, check(weak)) == said
