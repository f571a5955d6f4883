"""Rating against the table of worked cases and against a slow oracle that shares no code with it."""

from __future__ import annotations

import csv
import math
import os
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from engine.calls.rating import Rate, billed_seconds, charge, max_seconds, seconds_from_ms, with_fees

CASES = Path(__file__).parents[1] / "cases" / "rating.csv"
TARIFFS = 20_000 if os.environ.get("CARDTONE_PROVE") == "1" else 2_000


def cases() -> list[dict[str, str]]:
    with CASES.open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_worked_case() -> None:
    rows = cases()
    assert len(rows) >= 400
    for line, row in enumerate(rows, start=2):
        rounding = row.pop("rounding")
        n = {name: int(value) for name, value in row.items()}
        rate = Rate(
            price_per_minute=n["price_per_minute"],
            connect_fee=n["connect_fee"],
            first_increment=n["first_increment"],
            increment=n["increment"],
            grace=n["grace"],
            precision=n["precision"],
            rounding=rounding,
        )
        got = (
            billed_seconds(rate, n["duration"]),
            charge(rate, n["duration"]),
            max_seconds(rate, n["balance"], n["cap"]),
        )
        assert got == (n["billed_seconds"], n["charge"], n["max_seconds"]), f"line {line}: {rate}"


# The oracle: exact fractions, increments counted one by one, durations found by bisection over a charge table.


def oracle_billed(rate: Rate, duration_s: int) -> int:
    if duration_s == 0 or duration_s <= rate.grace:
        return 0
    billed = rate.first_increment
    while billed < duration_s:
        billed += rate.increment
    return billed


def oracle_charge(rate: Rate, duration_s: int) -> int:
    billed = oracle_billed(rate, duration_s)
    if billed == 0:
        return 0
    units = Fraction(rate.connect_fee, 1_000_000) + Fraction(rate.price_per_minute, 1_000_000) * billed / 60
    scaled = units * 10**rate.precision
    if rate.rounding == "up":
        whole = math.ceil(scaled)
    elif rate.rounding == "down":
        whole = math.floor(scaled)
    else:
        whole = math.floor(scaled)
        if scaled - whole >= Fraction(1, 2):
            whole += 1
    micros = Fraction(whole, 10**rate.precision) * 1_000_000
    assert micros.denominator == 1
    return micros.numerator


def oracle_max(rate: Rate, available: int, cap_s: int) -> int:
    if oracle_charge(rate, rate.grace + 1) > available:
        return 0
    low, high = 0, cap_s
    while low < high:
        middle = (low + high + 1) // 2
        if oracle_charge(rate, middle) <= available:
            low = middle
        else:
            high = middle - 1
    return low


prices = st.one_of(
    st.sampled_from([0, 1, 59, 60, 61, 100, 8_300, 333_333, 4_999_999]), st.integers(0, 100_000_000)
)
increments = st.one_of(st.sampled_from([1, 6, 10, 30, 60, 180]), st.integers(1, 400))
rates = st.builds(
    Rate,
    price_per_minute=prices,
    connect_fee=st.one_of(st.just(0), st.integers(0, 2_000_000)),
    first_increment=increments,
    increment=increments,
    grace=st.one_of(st.just(0), st.integers(0, 200)),
    precision=st.integers(0, 6),
    rounding=st.sampled_from(["half_up", "up", "down"]),
)
durations = st.one_of(st.integers(0, 200), st.integers(0, 14_400))
balances = st.one_of(st.integers(0, 3), st.integers(0, 100_000), st.integers(0, 1_000_000_000))

fewer = settings(max_examples=TARIFFS // 4, deadline=None, suppress_health_check=list(HealthCheck))
many = settings(max_examples=TARIFFS, deadline=None, suppress_health_check=list(HealthCheck))


@many
@given(rates, durations, balances, st.one_of(st.integers(0, 30), st.integers(0, 14_400)))
@example(Rate(0, rounding="down"), 1, 0, 1)
@example(Rate(1, 0, 1, 30, 20, 4, "half_up"), 31, 0, 14_400)
@example(Rate(60_000_000, 0, 60, 60, 0, 0, "half_up"), 60, 59_500_000, 14_400)
def test_random_tariffs_agree_with_the_oracle(
    rate: Rate, duration_s: int, available: int, cap_s: int
) -> None:
    assert billed_seconds(rate, duration_s) == oracle_billed(rate, duration_s)
    assert charge(rate, duration_s) == oracle_charge(rate, duration_s)
    assert max_seconds(rate, available, cap_s) == oracle_max(rate, available, cap_s)


@fewer
@given(rates, durations, durations)
def test_a_longer_call_never_costs_less(rate: Rate, one: int, other: int) -> None:
    shorter, longer = sorted((one, other))
    assert billed_seconds(rate, shorter) <= billed_seconds(rate, longer)
    assert charge(rate, shorter) <= charge(rate, longer)


@many
@given(rates, balances, st.integers(1, 14_400), st.integers(0, 500_000), st.integers(0, 500_000))
def test_what_is_granted_is_covered_and_one_second_more_is_not(
    rate: Rate, available: int, cap_s: int, per_minute: int, per_call: int
) -> None:
    rate = with_fees(rate, per_minute, per_call)
    granted = max_seconds(rate, available, cap_s)
    assert 0 <= granted <= cap_s
    if granted == 0:
        assert charge(rate, rate.grace + 1) > available
    else:
        assert charge(rate, granted) <= available
        assert granted == cap_s or charge(rate, granted + 1) > available


@fewer
@given(st.integers(0, 14_400), durations, st.sampled_from(["half_up", "up", "down"]))
def test_precision_six_loses_less_than_a_micro_unit(price: int, duration_s: int, rounding: str) -> None:
    exact = Fraction(price * duration_s, 60)
    got = charge(Rate(price_per_minute=price, precision=6, rounding=rounding), duration_s)
    assert abs(got - exact) < 1


def test_the_first_increment_counts_when_seconds_are_announced() -> None:
    """A minute at 0.60 with sixty seconds at least: 0.59 buys nothing, 0.60 a whole minute."""
    rate = Rate(price_per_minute=600_000, first_increment=60, increment=60)
    assert max_seconds(rate, 590_000, 14_400) == 0
    assert max_seconds(rate, 600_000, 14_400) == 60
    assert max_seconds(rate, 1_199_900, 14_400) == 60


def test_thirty_seconds_at_sixty_cents_cost_thirty_cents_exactly() -> None:
    assert charge(Rate(price_per_minute=600_000, first_increment=6, increment=6), 30) == 300_000


def test_grace_seconds_do_not_make_a_poor_card_rich() -> None:
    rate = Rate(price_per_minute=600_000, grace=10)
    assert charge(rate, 10) == 0
    assert max_seconds(rate, 0, 14_400) == 0
    assert max_seconds(rate, 109_999, 14_400) == 0
    assert max_seconds(rate, 110_000, 14_400) == 11


def test_a_free_rate_lasts_up_to_the_cap_and_a_debt_buys_nothing() -> None:
    assert max_seconds(Rate(price_per_minute=0), 0, 14_400) == 14_400
    for rounding in ("half_up", "up", "down"):
        assert max_seconds(Rate(price_per_minute=0, rounding=rounding), -1, 14_400) == 0
    assert max_seconds(Rate(price_per_minute=100), 10**9, 0) == 0


def test_fees_are_rounded_together_with_the_call() -> None:
    """0.0333 + 0.0333 a minute over 50 seconds is 0.0555 rounded once; rounded apart it would be 0.0556."""
    rate = Rate(price_per_minute=33_300, precision=4)
    assert charge(with_fees(rate, 33_300, 0), 50) == 55_500
    assert 2 * charge(rate, 50) == 55_600
    assert with_fees(rate, 10_000, 250_000) == Rate(price_per_minute=43_300, connect_fee=250_000)
    assert with_fees(rate, 0, 0) is rate


@pytest.mark.parametrize(
    ("duration_ms", "seconds"),
    [(0, 0), (1, 0), (200, 0), (201, 1), (999, 1), (7000, 7), (7004, 7), (7200, 7), (7201, 8), (59_999, 60)],
)
def test_a_switch_may_be_a_fifth_of_a_second_late(duration_ms: int, seconds: int) -> None:
    assert seconds_from_ms(duration_ms) == seconds


def test_the_tolerance_is_a_parameter() -> None:
    assert seconds_from_ms(7_500, tolerance_ms=500) == 7
    assert seconds_from_ms(7_001, tolerance_ms=0) == 8


@pytest.mark.parametrize(
    "wrong",
    [
        {"price_per_minute": -1},
        {"connect_fee": -1},
        {"first_increment": 0},
        {"increment": 0},
        {"increment": -6},
        {"grace": -1},
        {"precision": 7},
        {"precision": -1},
        {"rounding": "bankers"},
        {"price_per_minute": 0.5},
        {"price_per_minute": "100"},
        {"increment": True},
    ],
)
def test_a_rate_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    (name,) = wrong
    with pytest.raises(ValueError, match=name):
        Rate(**{"price_per_minute": 100, **wrong})  # type: ignore[arg-type]


def test_a_negative_duration_is_refused() -> None:
    rate = Rate(price_per_minute=100)
    for call in (lambda: billed_seconds(rate, -1), lambda: charge(rate, -1), lambda: seconds_from_ms(-1)):
        with pytest.raises(ValueError, match="negative"):
            call()
