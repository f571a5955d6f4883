"""The words of the money pages."""

from __future__ import annotations

from flask import Flask

from engine.messages import sentence
from portal import statements
from portal.formats import MINUS, amount, count, duration
from portal.operator.calls.refused import REASONS
from portal.operator.card.words import ACCOUNTS, DOORS
from portal.operator.words import ENTRY_KINDS

METHODS = {
    "operator": "By staff",
    "voucher": "Voucher",
    "auto": "Automatic",
    "reseller": "By a reseller",
    "online": "Paid online",
}
"""The ways a card is paid for."""
KINDS = {**ENTRY_KINDS, "discard": "Written off as unused stock"}
ACCOUNT_KINDS = {"funding": "Funding account", "reseller": "Reseller’s account"}
AGES = {
    0: "up to 30 days",
    31: "31 to 90 days",
    91: "91 to 180 days",
    181: "181 to 365 days",
    366: "more than a year",
}
SOURCES = {
    "address": "A browser’s address",
    "caller": "A caller’s number",
    "switch": "A switch",
    "number": "A card number",
    "web": "A web page",
}
__all__ = ["ACCOUNTS", "DOORS", "REASONS"]


def init_app(app: Flask) -> None:
    """Make them known to the templates."""
    app.jinja_env.filters.update(
        account_entry=lambda kind: statements.KINDS.get(kind, kind),
        account_kind=lambda kind: ACCOUNT_KINDS.get(kind, kind),
        figure=figure,
        method=lambda method: METHODS.get(method, method),
        percent_bp=percent_bp,
        told_reason=sentence,
    )


def percent_bp(bp: int) -> str:
    """Hundredths of a percent: `10 %`, `2.5 %`."""
    whole, rest = divmod(bp, 100)
    return f"{whole}" + (f".{rest:02}".rstrip("0") if rest else "") + "\u00a0%"


def figure(value: int | None, form: str, places: int = 2) -> str:
    """A figure of a report; a dash where there is none. `minutes` and `duration` are given in seconds.

    Amounts have `places` decimals, so that those of a column stand under each other.
    """
    if value is None:
        return "–"
    if form == "amount":
        return amount(value, places)
    if form == "minutes":
        sign = MINUS if value < 0 else ""
        tenths = (abs(value) * 10 + 30) // 60
        return f"{sign}{tenths // 10:,}.{tenths % 10}"
    if form == "permille":
        return f"{value // 10}.{value % 10}\u00a0%"
    return duration(value) if form == "duration" else count(value)
