"""Serials: a check digit that notices slips."""

from __future__ import annotations

import pytest

from engine.cards.serials import card_id_of, luhn_digit, serial_of
from engine.errors import InvalidInput


@pytest.mark.parametrize(
    ("body", "digit"), [("7992739871", "3"), ("0", "0"), ("18", "2"), ("400000000000000", "2"), ("", "0")]
)
def test_check_digits_of_known_numbers(body: str, digit: str) -> None:
    assert luhn_digit(body) == digit


def test_a_serial_is_the_card_id_and_a_check_digit() -> None:
    for card_id in (1_000_000_001, 1_000_000_002, 5_432_109_876, 9_999_999_999):
        serial = serial_of(card_id)
        assert len(serial) == 11
        assert serial[:10] == str(card_id)
        assert card_id_of(serial) == card_id


def test_serials_are_read_as_people_write_them() -> None:
    serial = serial_of(1_000_000_001)
    assert card_id_of(f" {serial[:4]} {serial[4:8]}-{serial[8:]} ") == 1_000_000_001


def test_every_single_wrong_digit_is_noticed() -> None:
    serial = serial_of(1_234_567_890)
    for place in range(11):
        for digit in "0123456789":
            other = serial[:place] + digit + serial[place + 1 :]
            if other != serial:
                with pytest.raises(InvalidInput, match="bad_serial"):
                    card_id_of(other)


@pytest.mark.parametrize(
    "text", ["", "1", "12345678901234", "1000000001a", "１0000000018", "-10000000018", "0" * 11]
)
def test_what_is_no_serial_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        card_id_of(text)
    assert refusal.value.code == "bad_serial"
    assert refusal.value.data["field"] == "serial"
