"""One card filter for pages, commands and exports alike: what is looked for, exactly and page by page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class CardFilter:
    """Cards that meet everything that is set. Ranges include their first end and not their second, `None` is open.

    `card_id` is what a number or a serial was resolved to: a number is in no filter, so that no URL, log or work row
    can hold one.
    """

    card_id: int | None = None
    serials: tuple[int | None, int | None] | None = None
    created: tuple[datetime | None, datetime | None] | None = None
    first_used: tuple[datetime | None, datetime | None] | None = None
    expires: tuple[datetime | None, datetime | None] | None = None
    balance: tuple[int | None, int | None] | None = None
    statuses: tuple[str, ...] = ()
    phone: str | None = None
    batch_id: int | None = None
    reseller_id: int | None = None
    custody: tuple[str, ...] = ()
    released: bool | None = None
    currency: str | None = None
