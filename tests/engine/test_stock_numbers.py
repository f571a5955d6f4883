"""Numbers and passwords: unbiased draws, exact spaces, sources that use every free number and then say so."""

from __future__ import annotations

import numpy as np
import pytest

from engine.cards.serials import luhn_digit
from engine.stock import numbers
from engine.stock.numbers import (
    DenseSource,
    Source,
    SpaceFull,
    SparseSource,
    distinct,
    draw,
    prefix_space,
    range_space,
    source_for,
)


def texts(rows: numbers.Digits) -> list[str]:
    return [row.tobytes().decode() for row in rows]


@pytest.mark.parametrize(
    ("prefix", "length", "luhn", "size", "first", "last"),
    [
        ("", 12, False, 10**12, "000000000000", "999999999999"),
        ("88", 12, False, 10**10, "880000000000", "889999999999"),
        ("88", 12, True, 10**9, "880000000005", "889999999994"),
        ("12345678901234", 32, False, 10**18, "12345678901234" + "0" * 18, "12345678901234" + "9" * 18),
    ],
)
def test_a_prefix_leaves_a_space(
    prefix: str, length: int, luhn: bool, size: int, first: str, last: str
) -> None:
    space = prefix_space(prefix, length, luhn)
    assert (space.size, space.length, space.first, space.last) == (size, length, first, last)


@pytest.mark.parametrize(
    ("first", "last", "luhn", "size", "low", "high"),
    [
        ("1000", "1999", False, 1000, "1000", "1999"),
        ("5555", "5555", False, 1, "5555", "5555"),
        ("0098", "0102", False, 5, "0098", "0102"),
        ("1000", "1099", True, 10, "1008", "1099"),
        ("1009", "1099", True, 9, "1016", "1099"),
        ("1008", "1098", True, 9, "1008", "1081"),
    ],
)
def test_a_range_holds_the_numbers_between_its_ends(
    first: str, last: str, luhn: bool, size: int, low: str, high: str
) -> None:
    space = range_space(first, last, luhn)
    assert (space.size, space.first, space.last) == (size, low, high)
    every = texts(space.numbers(np.arange(space.low, space.high + 1, dtype=np.uint64)))
    wanted = [f"{n:04d}" for n in range(int(first), int(last) + 1)]
    assert every == [n for n in wanted if not luhn or luhn_digit(n[:-1]) == n[-1]]


def test_a_range_without_one_number_that_checks_is_full() -> None:
    with pytest.raises(SpaceFull):
        range_space("1000", "1007", luhn=True)


@pytest.mark.parametrize("luhn", [False, True])
def test_bodies_become_numbers_and_back(luhn: bool) -> None:
    space = prefix_space("4477", 14, luhn)
    bodies = draw(2000, space.size)
    rows = space.numbers(bodies)
    assert (space.bodies(rows) == bodies).all()
    for number in texts(rows):
        assert number.startswith("4477")
        assert len(number) == 14
        assert not luhn or luhn_digit(number[:-1]) == number[-1]


def test_numbers_of_other_spaces_have_no_body_here() -> None:
    space = range_space("880100", "880199", luhn=False)
    others = np.frombuffer(b"880099880150880200990150", np.uint8).reshape(-1, 6)
    assert list(space.bodies(others)) == [50 + space.low]


def test_draws_favour_no_number() -> None:
    # A plain remainder of 64 random bits would fall into the first 45 % of this space 46 % of the time: 12 sigma off.
    size, count = 10**18, 200_000
    border = 2**64 % size
    below = int((draw(count, size) < border).sum())
    expected = count * border / size
    assert abs(below - expected) < 6 * (expected * (1 - border / size)) ** 0.5


def test_draws_stay_below_their_size_and_reach_every_value() -> None:
    assert set(draw(2000, 10).tolist()) == set(range(10))
    assert set(draw(50, 1).tolist()) == {0}


def test_passwords_keep_their_leading_zeros() -> None:
    made = texts(numbers.passwords(5000, 4))
    assert {len(password) for password in made} == {4}
    assert {password[0] for password in made} == set("0123456789")


@pytest.mark.parametrize(("count", "size"), [(0, 5), (5, 5), (3, 1000), (900, 1000), (501, 1000)])
def test_a_random_selection_has_no_repetition(count: int, size: int) -> None:
    chosen = distinct(count, size).tolist()
    assert len(set(chosen)) == len(chosen) == count
    assert all(0 <= value < size for value in chosen)


@pytest.mark.parametrize("source", ["dense", "sparse"])
def test_a_source_gives_every_number_of_its_space_once_and_then_says_that_it_is_full(source: str) -> None:
    space = range_space("7000", "7999", luhn=False)
    made: Source = DenseSource(space, []) if source == "dense" else SparseSource(space, 500)
    given = np.concatenate([made.take(500), made.take(1), made.take(499)])
    assert sorted(texts(space.numbers(given))) == [f"{n}" for n in range(7000, 8000)]
    with pytest.raises(SpaceFull):
        made.take(1)


def test_a_dense_source_leaves_out_what_is_taken() -> None:
    space = range_space("7000", "7999", luhn=False)
    taken = np.arange(space.low, space.low + 990, dtype=np.uint64)
    source = DenseSource(space, [taken[:500], taken[400:]])
    with pytest.raises(SpaceFull) as full:
        source.take(11)
    assert full.value.data == {"free": 10, "wanted": 11}
    source.note_taken(taken[:10])
    assert sorted(source.take(10).tolist()) == list(range(space.low + 990, space.low + 1000))


def test_numbers_do_not_come_in_order() -> None:
    # Serials are given in this order: neighbours must not tell each other's numbers.
    for source in (
        DenseSource(range_space("700000", "709999", luhn=False), []),
        SparseSource(prefix_space("", 12, luhn=False), 10_000),
    ):
        given = source.take(10_000).astype(np.int64)
        rising = int((np.diff(given) > 0).sum())
        assert 4_600 < rising < 5_400


def test_only_a_small_space_is_kept_number_by_number() -> None:
    assert isinstance(source_for(range_space("700000", "709999", False), 5, lambda: []), DenseSource)
    assert isinstance(source_for(prefix_space("", 12, False), 5, lambda: []), SparseSource)
