"""What a design wears on paper: the brand of whose cards they are, the house's access numbers, the log-in's address."""

from __future__ import annotations

import phonenumbers
from sqlalchemy import select

from engine.db import Database
from engine.people import brands
from engine.schema import AccessNumber, PrintDesign
from engine.stock.printing.design import MOST_ACCESS_NUMBERS, Design, Look

PLAIN = Look()
_IN_USE = select(AccessNumber).where(AccessNumber.disabled_at.is_(None))
_NATIONAL = 9
"""Digits from which a number may be an international one; shorter ones are printed as they are."""


def look(
    db: Database,
    design: Design,
    *,
    reseller_id: int | None,
    log_in_url: str,
    design_id: int | None = None,
    logo: bytes | None = None,
) -> Look:
    """The look of cards of a reseller (None: the operator's own): its brand, else the operator's, else a plain one.

    The logo is `logo` (a PNG), else that of the design, else the brand's.
    """
    worn = brands.worn(db, reseller_id=reseller_id)
    picture = logo or _own_logo(db, design_id)
    if picture is None and worn is not None:
        picture = brands.logo_of(db, worn.id)
    return Look(
        PLAIN.name if worn is None else worn.name,
        PLAIN.colour if worn is None else worn.colour,
        picture,
        None if worn is None else worn.help_phone,
        _access_numbers(db, design),
        log_in_url,
    )


def _own_logo(db: Database, design_id: int | None) -> bytes | None:
    if design_id is None:
        return None
    with db.begin() as session:
        row = session.get(PrintDesign, design_id)
        return None if row is None else row.logo


def _access_numbers(db: Database, design: Design) -> tuple[tuple[str, str], ...]:
    """Those that the design names and that are in use, in its order; where it names none, the first in use."""
    with db.begin() as session:
        kept = {row.number: row for row in session.scalars(_IN_USE)}
    wanted = design.access_numbers or tuple(sorted(kept))
    found = [kept[number] for number in wanted if number in kept]
    return tuple((row.name, _as_dialled(row.number)) for row in found[:MOST_ACCESS_NUMBERS])


def _as_dialled(number: str) -> str:
    """An international number with `+` and its groups; any other as it stands."""
    if len(number) < _NATIONAL or number.startswith("0"):
        return number
    try:
        parsed = phonenumbers.parse(f"+{number}")
    except phonenumbers.NumberParseException:
        return number
    if not phonenumbers.is_valid_number(parsed):
        return number
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.INTERNATIONAL)
