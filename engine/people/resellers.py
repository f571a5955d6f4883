"""Resellers: the parties that sell cards for the operator, their discount, and whether they may.

A reseller that is disabled sells nothing more: its people are logged out at once, and the commands of `stock.resale`
refuse. What it owes or has, and the cards it holds, stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from engine import idempotency
from engine.actor import Actor
from engine.db import Database, reruns
from engine.errors import Conflict, InvalidInput, NotFound
from engine.names import checked_name, sought
from engine.people import audit, sessions
from engine.permissions import command, require
from engine.schema import Reseller, ResellerPerson

REALM = "reseller"
MOST_DISCOUNT = 10_000
"""All of the price, in hundredths of a percent."""


@dataclass(frozen=True, slots=True)
class ResellerView:
    """A reseller as it may be shown. `discount_bp`: hundredths of a percent off the face value of a card.

    `people` counts those who may log in.
    """

    id: int
    name: str
    discount_bp: int
    people: int
    created_at: datetime
    disabled_at: datetime | None


@command("reseller.add")
@reruns
def add_reseller(
    db: Database,
    name: str,
    actor: Actor,
    now: datetime,
    *,
    discount_bp: int = 0,
    key: str | None = None,
    reason: str | None = None,
) -> ResellerView:
    """Add a reseller, which buys cards at `discount_bp` hundredths of a percent under their face value.

    The same `key` with the same facts counts once. Raises `InvalidInput` (discount_out_of_range, and those of
    `checked_name`) and `Conflict` (name_taken, key_reused).
    """
    name = checked_name(name)
    _check_discount(discount_bp)
    asked = idempotency.fingerprint(name, discount_bp, reason)
    with db.begin() as session:
        if key is not None:
            first = idempotency.claim(session, "reseller.add", key, asked, now)
            if first is not None:
                return _view(session, session.get_one(Reseller, first["id"]))
        reseller = Reseller(name=name, discount_bp=discount_bp, created_at=now)
        session.add(reseller)
        _flush(session, name)
        _tell(session, "add", reseller, actor, now, reason, name=name, discount_bp=discount_bp)
        if key is not None:
            idempotency.keep(session, "reseller.add", key, {"id": reseller.id})
        return _view(session, reseller)


@command("reseller.change")
@reruns
def change_reseller(
    db: Database,
    reseller_id: int,
    actor: Actor,
    now: datetime,
    *,
    name: str | None = None,
    discount_bp: int | None = None,
    reason: str | None = None,
) -> ResellerView:
    """Give a reseller another name or discount; None leaves it. Cards that were charged keep the price they had.

    Raises as `add_reseller`, and `NotFound` ("reseller_not_found").
    """
    wanted: dict[str, Any] = {}
    if name is not None:
        wanted["name"] = checked_name(name)
    if discount_bp is not None:
        _check_discount(discount_bp)
        wanted["discount_bp"] = discount_bp
    with db.begin() as session:
        reseller = _locked(session, reseller_id)
        before = {field: getattr(reseller, field) for field in wanted}
        if before != wanted:
            for field, value in wanted.items():
                setattr(reseller, field, value)
            _flush(session, reseller.name)
            _tell(session, "change", reseller, actor, now, reason, before=before, after=wanted)
        return _view(session, reseller)


@command("reseller.disable")
@reruns
def disable_reseller(
    db: Database, reseller_id: int, actor: Actor, now: datetime, *, reason: str | None = None
) -> ResellerView:
    """Let a reseller sell nothing more and log its people out, at once. Twice is as once. Raises `NotFound`."""
    with db.begin() as session:
        reseller = _locked(session, reseller_id)
        if reseller.disabled_at is None:
            reseller.disabled_at = now
            people = session.scalars(
                select(ResellerPerson.id).where(ResellerPerson.reseller_id == reseller_id)
            ).all()
            ended = sum(sessions.close_all(session, REALM, person) for person in people)
            _tell(session, "disable", reseller, actor, now, reason, sessions_ended=ended)
        return _view(session, reseller)


@command("reseller.enable")
@reruns
def enable_reseller(
    db: Database, reseller_id: int, actor: Actor, now: datetime, *, reason: str | None = None
) -> ResellerView:
    """Let a reseller sell again, and its people log in. Twice is as once. Raises `NotFound`."""
    with db.begin() as session:
        reseller = _locked(session, reseller_id)
        if reseller.disabled_at is not None:
            reseller.disabled_at = None
            _tell(session, "enable", reseller, actor, now, reason)
        return _view(session, reseller)


def list_resellers(db: Database) -> list[ResellerView]:
    """All of them, disabled ones too, by name."""
    with db.begin() as session:
        statement = (
            select(Reseller, func.count(ResellerPerson.id))
            .outerjoin(
                ResellerPerson,
                (ResellerPerson.reseller_id == Reseller.id) & ResellerPerson.disabled_at.is_(None),
            )
            .group_by(Reseller.id)
            .order_by(Reseller.name)
        )
        return [_shown(row, people) for row, people in session.execute(statement)]


def find_reseller(db: Database, name: str) -> ResellerView:
    """A reseller by its name. Raises `NotFound` ("reseller_not_found")."""
    with db.begin() as session:
        row = session.scalar(select(Reseller).where(Reseller.name == sought(name)))
        if row is None:
            raise NotFound("reseller_not_found", name=name[:100])
        return _view(session, row)


def reseller_page(db: Database, reseller_id: int) -> ResellerView | None:
    """A reseller by its id, or None."""
    with db.begin() as session:
        row = session.get(Reseller, reseller_id)
        return None if row is None else _view(session, row)


def look(db: Database, reseller_id: int, actor: Actor, now: datetime) -> ResellerView:
    """Let staff see a reseller's desk as its people do; who looked is kept. Raises `Forbidden`, `NotFound`."""
    require(actor, "resellers.see")
    with db.begin() as session:
        row = session.get(Reseller, reseller_id)
        if row is None:
            raise NotFound("reseller_not_found")
        _tell(session, "look", row, actor, now, None)
        return _view(session, row)


# --- steps ---


def trading(session: Session, reseller_id: int) -> Reseller:
    """A reseller that may buy and sell. Raises `NotFound` and `Conflict` ("reseller_disabled")."""
    reseller = session.get(Reseller, reseller_id)
    if reseller is None:
        raise NotFound("reseller_not_found")
    if reseller.disabled_at is not None:
        raise Conflict("reseller_disabled", name=reseller.name)
    return reseller


def _locked(session: Session, reseller_id: int) -> Reseller:
    reseller = session.get(Reseller, reseller_id, with_for_update={"key_share": True})
    if reseller is None:
        raise NotFound("reseller_not_found")
    return reseller


def _check_discount(discount_bp: int) -> None:
    if type(discount_bp) is not int or not 0 <= discount_bp <= MOST_DISCOUNT:
        raise InvalidInput("discount_out_of_range", field="discount")


def _flush(session: Session, name: str) -> None:
    try:
        session.flush()
    except IntegrityError as error:
        if "uq_reseller_name" not in str(error.orig):
            raise
        raise Conflict("name_taken", name=name) from None


def _tell(
    session: Session,
    verb: str,
    reseller: Reseller,
    actor: Actor,
    now: datetime,
    reason: str | None,
    **data: Any,
) -> None:
    audit.record(session, actor, f"reseller.{verb}", f"reseller:{reseller.id}", now, reason=reason, **data)


def _view(session: Session, row: Reseller) -> ResellerView:
    people = session.scalar(
        select(func.count())
        .select_from(ResellerPerson)
        .where(ResellerPerson.reseller_id == row.id, ResellerPerson.disabled_at.is_(None))
    )
    return _shown(row, people or 0)


def _shown(row: Reseller, people: int) -> ResellerView:
    return ResellerView(row.id, row.name, row.discount_bp, people, row.created_at, row.disabled_at)
