"""Access numbers: what cardholders dial to reach us, with a country, a language and surcharges of their own.

A change counts from the next call on (`engine.house`). A number that is not listed works all the same: in the home
country and without surcharge.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from phonenumbers import SUPPORTED_REGIONS
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from engine.actor import Actor
from engine.db import Database
from engine.errors import Conflict, InvalidInput, NotFound
from engine.money import MICROS
from engine.names import checked_name
from engine.people import audit
from engine.permissions import command
from engine.phone import parse_caller
from engine.schema import AccessNumber

MOST_SURCHARGE = 1_000_000 * MICROS
_SPACING = {ord(character): None for character in " -.()/"}
_NUMBER = re.compile(r"[0-9]{3,15}", re.ASCII)
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*", re.ASCII)


@dataclass(frozen=True, slots=True)
class AccessNumberView:
    """An access number in digits. `country` is ISO 3166 alpha-2; surcharges in micro-units of the card's currency."""

    number: str
    name: str
    country: str | None
    language: str | None
    per_minute: int
    per_call: int
    created_at: datetime
    disabled_at: datetime | None


@command("access_number.add")
def add_access_number(
    db: Database,
    number: str,
    name: str,
    actor: Actor,
    now: datetime,
    *,
    country: str | None = None,
    language: str | None = None,
    per_minute: int = 0,
    per_call: int = 0,
) -> AccessNumberView:
    """List an access number. `number` is what the switch presents: 3 to 15 digits, a `+` and spacing are taken off.

    `country`: numbers dialled through it are understood as dialled there. `per_minute` and `per_call` (micro-units)
    add to the price and to the connect fee. Raises `InvalidInput` (bad_access_number, bad_country, bad_language,
    bad_surcharge, bad names), `Conflict("access_number_exists")`.
    """
    values: dict[str, Any] = {
        "number": _checked_number(number),
        "name": checked_name(name),
        "country": _checked_country(country),
        "language": _checked_language(language),
        "per_minute": _checked_surcharge(per_minute, "per_minute"),
        "per_call": _checked_surcharge(per_call, "per_call"),
    }
    with db.begin() as session:
        added = session.scalar(
            insert(AccessNumber)
            .values(**values, created_at=now)
            .on_conflict_do_nothing()
            .returning(AccessNumber.number)
        )
        if added is None:
            raise Conflict("access_number_exists", number=values["number"])
        audit.record(session, actor, "access_number.add", _subject(added), now, **values)
        return _view(_locked(session, added))


@command("access_number.change")
def change_access_number(
    db: Database,
    number: str,
    actor: Actor,
    now: datetime,
    *,
    name: str | None = None,
    country: str | None = None,
    language: str | None = None,
    per_minute: int | None = None,
    per_call: int | None = None,
) -> AccessNumberView:
    """Change what is not None; an empty `country` or `language` takes it away.

    Raises `NotFound("access_number_not_found")`, `InvalidInput` as `add_access_number`.
    """
    changes: dict[str, Any] = {}
    if name is not None:
        changes["name"] = checked_name(name)
    if country is not None:
        changes["country"] = _checked_country(country)
    if language is not None:
        changes["language"] = _checked_language(language)
    if per_minute is not None:
        changes["per_minute"] = _checked_surcharge(per_minute, "per_minute")
    if per_call is not None:
        changes["per_call"] = _checked_surcharge(per_call, "per_call")
    with db.begin() as session:
        row = _locked(session, _checked_number(number))
        before = {key: getattr(row, key) for key in changes}
        for key, value in changes.items():
            setattr(row, key, value)
        audit.record(
            session, actor, "access_number.change", _subject(row.number), now, **changes, before=before
        )
        return _view(row)


@command("access_number.disable")
def disable_access_number(db: Database, number: str, actor: Actor, now: datetime) -> AccessNumberView:
    """Treat the number as not listed from the next call on. Calls that are live keep the rate they were told.

    Raises `NotFound`, `Conflict("access_number_disabled")`.
    """
    with db.begin() as session:
        row = _locked(session, _checked_number(number))
        if row.disabled_at is not None:
            raise Conflict("access_number_disabled", number=row.number)
        row.disabled_at = now
        audit.record(session, actor, "access_number.disable", _subject(row.number), now)
        return _view(row)


@command("access_number.enable")
def enable_access_number(db: Database, number: str, actor: Actor, now: datetime) -> AccessNumberView:
    """List a disabled number again. Raises `NotFound`, `Conflict("access_number_enabled")`."""
    with db.begin() as session:
        row = _locked(session, _checked_number(number))
        if row.disabled_at is None:
            raise Conflict("access_number_enabled", number=row.number)
        row.disabled_at = None
        audit.record(session, actor, "access_number.enable", _subject(row.number), now)
        return _view(row)


def list_access_numbers(db: Database) -> list[AccessNumberView]:
    """Every access number, disabled ones too, by number."""
    with db.begin() as session:
        return [_view(row) for row in session.scalars(select(AccessNumber).order_by(AccessNumber.number))]


@dataclass(frozen=True, slots=True)
class Dialable:
    """An access number to call: `digits` are E.164 where `international`, else as they are dialled in `country`."""

    name: str
    digits: str
    international: bool
    country: str | None
    per_minute: int
    per_call: int


def dialable(db: Database) -> list[Dialable]:
    """The access numbers in force, by country and name."""
    with db.begin() as session:
        rows = session.scalars(
            select(AccessNumber)
            .where(AccessNumber.disabled_at.is_(None))
            .order_by(AccessNumber.country, AccessNumber.name, AccessNumber.number)
        ).all()
        return [_dialable(row) for row in rows]


def _dialable(row: AccessNumber) -> Dialable:
    e164 = parse_caller(row.number, row.country) if row.country else None
    return Dialable(row.name, e164 or row.number, e164 is not None, row.country, row.per_minute, row.per_call)


def _locked(session: Session, number: str) -> AccessNumber:
    row = session.get(AccessNumber, number, with_for_update=True)
    if row is None:
        raise NotFound("access_number_not_found", number=number)
    return row


def _view(row: AccessNumber) -> AccessNumberView:
    return AccessNumberView(
        row.number,
        row.name,
        row.country,
        row.language,
        row.per_minute,
        row.per_call,
        row.created_at,
        row.disabled_at,
    )


def _subject(number: str) -> str:
    return f"access_number:{number}"


def _checked_number(number: str) -> str:
    digits = number.translate(_SPACING).removeprefix("+")
    if not _NUMBER.fullmatch(digits):
        raise InvalidInput("bad_access_number", field="number", value=number[:40])
    return digits


def _checked_country(country: str | None) -> str | None:
    if not country:
        return None
    code = country.strip().upper()
    if code not in SUPPORTED_REGIONS:
        raise InvalidInput("bad_country", field="country", value=country[:40])
    return code


def _checked_language(language: str | None) -> str | None:
    """A language tag (BCP 47) such as `en`, `pt-BR`, by its form; what prompts exist is the switch's business."""
    if not language:
        return None
    if not _LANGUAGE.fullmatch(language.strip()):
        raise InvalidInput("bad_language", field="language", value=language[:40])
    return language.strip()


def _checked_surcharge(micros: int, field: str) -> int:
    if not 0 <= micros <= MOST_SURCHARGE:
        raise InvalidInput("bad_surcharge", field=field)
    return micros
