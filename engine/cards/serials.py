"""Serials: the public name of a card, safe to say to support. They say nothing about its number.

A card's id is the serial without its last digit; that digit is the check digit of Luhn's formula (ISO/IEC 7812-1,
annex B), so that a slip of the tongue or a swapped pair is noticed.
"""

from __future__ import annotations

import re

from engine.errors import InvalidInput

_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
_SERIAL = re.compile(r"[1-9][0-9]{10}", re.ASCII)


def luhn_digit(digits: str) -> str:
    """The check digit that belongs after `digits` (ASCII digits, any length)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = ord(digit) - 48
        total += value if place % 2 else _DOUBLED[value]
    return str(-total % 10)


def serial_of(card_id: int) -> str:
    """The serial of a card: its id (10 digits) and the check digit."""
    body = str(card_id)
    return body + luhn_digit(body)


def card_id_of(serial: str) -> int:
    """The card id that a serial names; spaces and hyphens between digits, as people write them, are ignored.

    Whether such a card exists is not asked. Raises `InvalidInput("bad_serial")`, with `mistyped` in its data where
    only the check digit is wrong.
    """
    plain = serial.replace(" ", "").replace("-", "")
    if not _SERIAL.fullmatch(plain):
        raise InvalidInput("bad_serial", field="serial", serial=serial[:40])
    if luhn_digit(plain[:-1]) != plain[-1]:
        raise InvalidInput("bad_serial", field="serial", serial=plain, mistyped=plain)
    return int(plain[:-1])
