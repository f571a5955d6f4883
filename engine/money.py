"""Money as whole micro-units: 1,000,000 of them are one unit of a currency. No float ever comes near it.

Text enters through `parse_amount`, which never rounds and never guesses, and leaves through `format_amount`
(JSON, files) or `format_money` (people).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from engine.errors import InvalidInput

MICROS = 1_000_000
"""Micro-units in one unit of any currency."""

DECIMALS = 6
MAX_UNITS = 10**12
"""The largest amount that is accepted, in units; with room to spare in a BIGINT of micro-units."""

_PLAIN = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]+))?", re.ASCII)
_WITH_COMMA = re.compile(r"[+-]?[0-9.,]*,[0-9.,]*", re.ASCII)

_CODES = (
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD "
    "CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF "
    "GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK "
    "LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD "
    "OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN "
    "SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VED VES VND VUV WST XAF XCD XCG "
    "XOF XPF YER ZAR ZMW ZWG "
)
_CURRENCIES = frozenset(_CODES.split())


class AmountError(InvalidInput, ValueError):
    """A text that is not an amount of money: `code` says why, `text` is what was written, cut at 40 characters.

    Codes: `empty`, `not_a_number`, `comma` (a decimal or a thousands comma: ask), `negative`, `too_fine` (more
    than six decimals), `too_large`; and `currency` (not a code in use), `currency_mismatch`.
    """

    def __init__(self, code: str, text: str, field: str | None = None) -> None:
        shown = text[:40]
        data = {"text": shown} if field is None else {"text": shown, "field": field}
        super().__init__(code, **data)
        self.text = shown
        self.field = field


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in one currency; mixing two in a sum raises `AmountError("currency_mismatch")`."""

    micros: int
    currency: str

    def __add__(self, other: Money) -> Money:
        return Money(self.micros + self._same(other).micros, self.currency)

    def __sub__(self, other: Money) -> Money:
        return Money(self.micros - self._same(other).micros, self.currency)

    def __neg__(self) -> Money:
        return Money(-self.micros, self.currency)

    def _same(self, other: Money) -> Money:
        if other.currency != self.currency:
            raise AmountError("currency_mismatch", f"{self.currency}, {other.currency}")
        return other

    def __str__(self) -> str:
        return format_money(self.micros, self.currency)


def parse_amount(text: str, *, field: str | None = None, allow_negative: bool = False) -> int:
    """Micro-units from a plain decimal such as `5`, `5.00` or `0.0123`; nothing is rounded, nothing guessed.

    Surrounding spaces are ignored. A sign is accepted only with `allow_negative`. Raises `AmountError`;
    `field` travels in its data, for the form that asked.
    """
    plain = text.strip(" ")
    match = _PLAIN.fullmatch(plain)
    if match is None or not (match[2] or match[3]):
        raise AmountError(_why_not(plain), text, field)
    sign, whole, fraction = match[1], match[2] or "0", match[3] or ""
    if sign and not allow_negative:
        raise AmountError("negative" if sign == "-" else "not_a_number", text, field)
    if len(fraction) > DECIMALS:
        raise AmountError("too_fine", text, field)
    if len(whole.lstrip("0")) > len(str(MAX_UNITS)):
        raise AmountError("too_large", text, field)
    micros = int(whole + fraction.ljust(DECIMALS, "0"))
    if micros > MAX_UNITS * MICROS:
        raise AmountError("too_large", text, field)
    return -micros if sign == "-" else micros


def _why_not(plain: str) -> str:
    if not plain:
        return "empty"
    return "comma" if _WITH_COMMA.fullmatch(plain) else "not_a_number"


def format_amount(micros: int, decimals: int = 4) -> str:
    """A plain decimal, exact: at least `decimals` places (0 to 6), more where needed: `1.2500`, `0.000123`."""
    whole, rest = divmod(abs(micros), MICROS)
    fraction = f"{rest:06d}".rstrip("0").ljust(decimals, "0")
    sign = "-" if micros < 0 else ""
    return f"{sign}{whole}.{fraction}" if fraction else f"{sign}{whole}"


def format_money(micros: int, currency: str) -> str:
    """An amount for people, exact: the code, thousands apart, two decimals or more: `USD 1,205.00`, `USD 0.0123`."""
    whole, _, fraction = format_amount(abs(micros), 2).partition(".")
    return f"{currency} {'-' if micros < 0 else ''}{int(whole):,}.{fraction}"


def parse_currency(text: str, *, field: str | None = None) -> str:
    """The text itself where it is an ISO 4217 code in use, in capitals; else `AmountError("currency")`."""
    if text not in _CURRENCIES:
        raise AmountError("currency", text, field)
    return text
