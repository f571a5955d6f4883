"""What a check of the books is, and the words it says amounts in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from engine.money import format_amount


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold. `sql` gives a row for each place where it does not, `said` a sentence about a row.

    `subject` is a kind: the column of the same name, or `card_id`, tells which.
    """

    code: str
    subject: str
    sql: str
    said: Callable[[Any], str]


def money(micros: Any) -> str:
    """An amount in a sentence; nothing is zero."""
    return format_amount(int(micros or 0), 2)
