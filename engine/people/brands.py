"""Brands: the operator's and each reseller's own. What the cardholder's pages are called, their colour and logo, and
whom they name for help.

A card of a reseller that has a brand wears that one, every other card the operator's; where there is none, the pages
are plain. A reseller's owner changes the reseller's own; another's, and the operator's, don't exist for them.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, case, delete, func, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from engine.actor import Actor
from engine.db import Database, reruns
from engine.errors import InvalidInput, NotFound
from engine.names import checked_name, tidied
from engine.people import audit
from engine.people.logos import read_logo
from engine.permissions import command
from engine.schema import Brand, Reseller

LONGEST_NAME = 40
_COLOUR = re.compile(r"#[0-9a-f]{6}", re.ASCII)
_PHONE = re.compile(r"\+?[0-9][0-9 ().-]{2,28}", re.ASCII)
# Narrower than addresses may be: what stands here is put into links.
_EMAIL = re.compile(r"[a-z0-9._+-]{1,64}@[a-z0-9-]+(\.[a-z0-9-]+)*\.[a-z]{2,63}", re.ASCII | re.IGNORECASE)
_FACTS = ("name", "colour", "help_phone", "help_email", "help_hours")


@dataclass(frozen=True, slots=True)
class BrandView:
    """A brand without its logo; `reseller_id` None: the operator's. `colour`: `#rrggbb`, as it was chosen.

    `version` changes with whatever is changed; `logo` is a digest of the logo, None where there is none.
    """

    id: int
    reseller_id: int | None
    name: str
    colour: str
    logo: str | None
    help_phone: str | None
    help_email: str | None
    help_hours: str | None
    version: str


@command("brand.set")
@reruns
def set_brand(
    db: Database,
    reseller_id: int | None,
    name: str,
    colour: str,
    actor: Actor,
    now: datetime,
    *,
    help_phone: str | None = None,
    help_email: str | None = None,
    help_hours: str | None = None,
    logo: bytes | None = None,
) -> BrandView:
    """Make the brand of a reseller (None: the operator) so; a `logo` (a file as it was sent) None leaves it.

    Said again with the same facts it changes nothing. Raises `InvalidInput` (bad_colour, bad_help_phone,
    bad_help_email, and those of `checked_name` and `read_logo`) and `NotFound` (reseller_not_found, another's too for
    an owner).
    """
    wanted: dict[str, Any] = {
        "name": _checked_line(name, "name"),
        "colour": _checked_colour(colour),
        "help_phone": _checked(help_phone, _PHONE, "help_phone"),
        "help_email": _checked(help_email, _EMAIL, "help_email"),
        "help_hours": None
        if not (help_hours or "").strip()
        else checked_name(help_hours or "", field="help_hours"),
    }
    if logo is not None:
        wanted["logo"] = read_logo(logo)
    with db.begin() as session:
        _check_owner(session, reseller_id, actor)
        fresh = dict(wanted, reseller_id=reseller_id, changed_at=now, changed_by=str(actor))
        made = session.scalar(insert(Brand).values(fresh).on_conflict_do_nothing().returning(Brand.id))
        row = _locked(session, reseller_id)
        if made is not None:
            _tell(session, "set", row, actor, now, after=_told(wanted))
        else:
            before = {field: getattr(row, field) for field in wanted}
            new = {field: value for field, value in wanted.items() if before[field] != value}
            if new:
                for field, value in new.items():
                    setattr(row, field, value)
                row.changed_at, row.changed_by = now, str(actor)
                _tell(session, "set", row, actor, now, before=_told(before, new), after=_told(new))
        return _view(session, row)


@command("brand.remove_logo")
@reruns
def remove_logo(db: Database, reseller_id: int | None, actor: Actor, now: datetime) -> BrandView:
    """Show the brand's name instead of a logo from now on; twice is as once. Raises `NotFound` (brand_not_found, and
    as `set_brand`)."""
    with db.begin() as session:
        _check_owner(session, reseller_id, actor)
        row = _locked(session, reseller_id)
        if row.logo is not None:
            row.logo = None
            row.changed_at, row.changed_by = now, str(actor)
            _tell(session, "remove_logo", row, actor, now)
        return _view(session, row)


@command("brand.remove")
@reruns
def remove_brand(db: Database, reseller_id: int | None, actor: Actor, now: datetime) -> None:
    """Give a brand up: a reseller's cards wear the operator's, and the operator's pages are plain.

    Raises as `remove_logo`.
    """
    with db.begin() as session:
        _check_owner(session, reseller_id, actor)
        row = _locked(session, reseller_id)
        _tell(session, "remove", row, actor, now, name=row.name)
        session.execute(delete(Brand).where(Brand.id == row.id))


# --- what pages ask for ---


def brand_of(db: Database, reseller_id: int | None) -> BrandView | None:
    """The brand of a reseller (None: the operator's); None where it has none of its own."""
    with db.begin() as session:
        return _first(session, _owner(reseller_id))


def brand_page(db: Database, brand_id: int) -> BrandView | None:
    """A brand by its number."""
    with db.begin() as session:
        return _first(session, Brand.id == brand_id)


def worn(db: Database, *, reseller_id: int | None = None, seen: int | None = None) -> BrandView | None:
    """What a page wears: the brand of the card's reseller, or the one that a browser saw last (`seen`), else the
    operator's; None: plain."""
    wanted: list[ColumnElement[bool]] = [Brand.reseller_id.is_(None)]
    if reseller_id is not None:
        wanted.append(Brand.reseller_id == reseller_id)
    if seen is not None:
        wanted.append(Brand.id == seen)
    with db.begin() as session:
        return _first(session, or_(*wanted))


def logo_of(db: Database, brand_id: int) -> bytes | None:
    """The logo of a brand as PNG."""
    with db.begin() as session:
        return session.scalar(select(Brand.logo).where(Brand.id == brand_id))


# --- steps ---


def _owner(reseller_id: int | None) -> ColumnElement[bool]:
    return Brand.reseller_id.is_(None) if reseller_id is None else Brand.reseller_id == reseller_id


def _first(session: Session, wanted: ColumnElement[bool]) -> BrandView | None:
    """One brand, a reseller's before the operator's, without reading its logo."""
    facts = [getattr(Brand, field) for field in _FACTS]
    logo = case((Brand.logo.is_(None), None), else_=func.md5(Brand.logo))
    own_first = Brand.reseller_id.is_(None)
    row = session.execute(
        select(Brand.id, Brand.reseller_id, logo.label("logo"), *facts)
        .where(wanted)
        .order_by(own_first)
        .limit(1)
    ).one_or_none()
    if row is None:
        return None
    told = repr((row.logo, *(getattr(row, field) for field in _FACTS)))
    return BrandView(**row._mapping, version=hashlib.sha256(told.encode()).hexdigest()[:12])


def _view(session: Session, row: Brand) -> BrandView:
    session.flush()
    found = _first(session, Brand.id == row.id)
    if found is None:
        raise NotFound("brand_not_found")
    return found


def _check_owner(session: Session, reseller_id: int | None, actor: Actor) -> None:
    """That the actor may dress these pages: staff all of them, a reseller's owner their own."""
    mine = actor.kind != "reseller" or (reseller_id is not None and actor.reseller_id == reseller_id)
    if not mine or (reseller_id is not None and session.get(Reseller, reseller_id) is None):
        raise NotFound("reseller_not_found")


def _locked(session: Session, reseller_id: int | None) -> Brand:
    row = session.scalar(select(Brand).where(_owner(reseller_id)).with_for_update())
    if row is None:
        raise NotFound("brand_not_found")
    return row


def _tell(session: Session, verb: str, row: Brand, actor: Actor, now: datetime, **data: Any) -> None:
    subject = "brand:operator" if row.reseller_id is None else f"reseller:{row.reseller_id}"
    audit.record(session, actor, f"brand.{verb}", subject, now, **data)


def _told(facts: dict[str, Any], only: dict[str, Any] | None = None) -> dict[str, Any]:
    """Facts as the audit trail keeps them: of a logo only whether there is one."""
    told = {field: value for field, value in facts.items() if only is None or field in only}
    if "logo" in told:
        told["logo"] = told["logo"] is not None
    return told


def _checked_line(text: str, field: str) -> str:
    name = checked_name(text, field=field)
    if len(name) > LONGEST_NAME:
        raise InvalidInput("too_long", field=field, high=LONGEST_NAME)
    return name


def _checked_colour(colour: str) -> str:
    colour = colour.strip().lower()
    if not _COLOUR.fullmatch(colour):
        raise InvalidInput("bad_colour", field="colour")
    return colour


def _checked(text: str | None, shape: re.Pattern[str], field: str) -> str | None:
    """Text of a shape, None where nothing was given. Its code is `bad_` and the field's name."""
    given = tidied(text or "")
    if not given:
        return None
    if len(given) > 254 or not shape.fullmatch(given):
        raise InvalidInput("bad_help_phone" if field == "help_phone" else "bad_help_email", field=field)
    return given
