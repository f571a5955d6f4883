"""What lists of payments and of ledger entries have in common: how the parts of their filters are read from texts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from engine.cards.searchform import a_range, a_time
from engine.db import Database
from engine.errors import InvalidInput, NotFound
from engine.money import parse_amount
from engine.names import sought
from engine.schema import Account, Batch, Reseller, ResellerPerson, Staff, Switch

Range = tuple[Any, Any]
Place = tuple[datetime, int]
"""Where a list goes on: when the last row shown was written, and its number."""

SYSTEMS = {"system": ("cardtone", "system"), "console": ("console", "command line", "the command line")}
"""What somebody may type for the actors that are nobody: Cardtone's own jobs, and the machine's command line."""
MOST_ACTORS = 200


def given_of(texts: Mapping[str, str]) -> dict[str, str]:
    """The parts that say anything, without spaces around them."""
    return {name: text.strip() for name, text in texts.items() if text.strip()}


def chosen(field: str, given: Mapping[str, str], allowed: tuple[str, ...]) -> str | None:
    """One of a list. Raises `InvalidInput` ("not_a_choice")."""
    value = given.get(field)
    if value is not None and value not in allowed:
        raise InvalidInput("not_a_choice", field=field, allowed=allowed)
    return value


def span_of(given: Mapping[str, str], zone: ZoneInfo) -> Range | None:
    """`at_from` to `at_to`, both included as a person means them: days of `zone`, or minutes."""
    first = a_time("at_from", given["at_from"], zone, is_end=False) if "at_from" in given else None
    last = a_time("at_to", given["at_to"], zone, is_end=True) if "at_to" in given else None
    return a_range("at", first, last)


def amounts_of(given: Mapping[str, str], *, signed: bool = False) -> Range | None:
    """`amount_from` to `amount_to` in micro-units, both included."""
    low, high = (
        parse_amount(given[name], field=name, allow_negative=signed) if name in given else None
        for name in ("amount_from", "amount_to")
    )
    return a_range("amount", low, None if high is None else high + 1)


def batch_of(session: Session, given: Mapping[str, str]) -> int | None:
    """The batch of a name. Raises `NotFound` ("batch_not_found")."""
    found = _named(session, Batch, given.get("batch"))
    if found is None and "batch" in given:
        raise NotFound("batch_not_found", name=given["batch"][:100], field="batch")
    return found


def reseller_of(session: Session, given: Mapping[str, str]) -> int | None:
    """The reseller of a name. Raises `NotFound` ("unknown_reseller")."""
    found = _named(session, Reseller, given.get("reseller"))
    if found is None and "reseller" in given:
        raise NotFound("unknown_reseller", name=given["reseller"][:100], field="reseller")
    return found


def account_of(session: Session, given: Mapping[str, str]) -> int | None:
    """The account of a name. Raises `NotFound` ("account_not_found")."""
    found = _named(session, Account, given.get("account"))
    if found is None and "account" in given:
        raise NotFound("account_not_found", name=given["account"][:100], field="account")
    return found


def _named(session: Session, table: Any, name: str | None) -> int | None:
    if name is None:
        return None
    found: int | None = session.scalar(select(table.id).where(table.name == sought(name)))
    return found


def scope_of(db: Database, texts: Mapping[str, str]) -> dict[str, int | None]:
    """The batch and reseller that a report is kept to. Raises `NotFound`."""
    given = given_of(texts)
    with db.begin() as session:
        return {"batch_id": batch_of(session, given), "reseller_id": reseller_of(session, given)}


def actors_of(session: Session, given: Mapping[str, str]) -> tuple[str, ...] | None:
    """The actors whose name or log-in holds what `who` says. Raises `NotFound` ("person_not_found")."""
    if "who" not in given:
        return None
    part = sought(given["who"])
    found = [actor for actor, words in SYSTEMS.items() if part.lower() in words]
    people: tuple[tuple[str, Any], ...] = (("staff", Staff), ("reseller", ResellerPerson), ("switch", Switch))
    for kind, table in people:
        columns = [table.name] if kind == "switch" else [table.name, table.login]
        meant = or_(*(func.lower(column).contains(part.lower(), autoescape=True) for column in columns))
        rows = session.scalars(select(table.id).where(meant).order_by(table.id).limit(MOST_ACTORS))
        found += [f"{kind}:{number}" for number in rows]
    if not found:
        raise NotFound("person_not_found", field="who")
    return tuple(found)


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Parts of a filter as plain values for JSON: only what is set, instants as ISO 8601 texts."""
    made: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, tuple):
            value = [one.isoformat() if isinstance(one, datetime) else one for one in value]
        if value is not None:
            made[name] = value
    return made


def read_plain(given: Mapping[str, Any], fields: tuple[str, ...]) -> dict[str, Any]:
    """What `plain` wrote. Raises `InvalidInput` ("unknown_group") for parts that no filter has."""
    unknown = given.keys() - set(fields)
    if unknown:
        raise InvalidInput("unknown_group", field="filter", name=", ".join(sorted(unknown)), known=fields)
    values = dict(given)
    if values.get("at") is not None:
        first, end = values["at"]
        values["at"] = (_instant(first), _instant(end))
    if values.get("amount") is not None:
        low, high = values["amount"]
        values["amount"] = (low, high)
    for name in ("actors", "card_ids"):
        if values.get(name) is not None:
            values[name] = tuple(values[name])
    return values


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text).astimezone(UTC)
