"""Where a card may call: destination groups of the operator's own, and the rules that bar or allow groups.

The groups that every number falls into by itself (national, premium, satellite …) are `engine.phone.GROUPS`; the
operator adds groups as lists of prefixes. A change counts from the next call on: processes keep rules and groups in
`engine.house` and read them anew when its revision has moved.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from engine.actor import Actor
from engine.db import Database
from engine.errors import Conflict, InvalidInput, NotFound
from engine.house import Rules
from engine.names import checked_name, sought
from engine.people import audit
from engine.permissions import command
from engine.phone import GROUPS
from engine.schema import DestinationGroup, DestinationRules

BUILT_IN = frozenset(GROUPS)
_PREFIX = re.compile(r"[0-9]{1,15}", re.ASCII)


@dataclass(frozen=True, slots=True)
class GroupView:
    """A group of the operator's own: its prefixes in E.164 digits, sorted."""

    name: str
    prefixes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RulesView:
    """A set of rules as a list shows it: the groups it bars, and, where `allowed` is set, the only ones it allows."""

    id: int
    name: str
    barred: tuple[str, ...]
    allowed: tuple[str, ...] | None


def allowed(rules: Rules, groups: frozenset[str], e164: str, own: Mapping[str, tuple[str, ...]]) -> bool:
    """Whether the rules let a number through. Pure.

    `groups` are the built-in ones that the number (`e164`: digits) falls into, `own` the prefixes of the operator's
    groups by name. A bar wins over an allowance. A group that no longer exists holds no number.
    """
    if _in_any(rules.barred, groups, e164, own):
        return False
    return rules.allowed is None or _in_any(rules.allowed, groups, e164, own)


def barring(
    rules: Rules, groups: frozenset[str], e164: str, own: Mapping[str, tuple[str, ...]]
) -> tuple[str, ...] | None:
    """What keeps a number from being let through: the barred groups it is in; () where it is only not among the allowed
    ones; None where it is let through. Pure."""
    if allowed(rules, groups, e164, own):
        return None
    return tuple(sorted(name for name in rules.barred if _in_any(frozenset({name}), groups, e164, own)))


def _in_any(
    names: frozenset[str], groups: frozenset[str], e164: str, own: Mapping[str, tuple[str, ...]]
) -> bool:
    if not names.isdisjoint(groups):
        return True
    return not names <= BUILT_IN and any(
        e164.startswith(own[name]) for name in names - BUILT_IN if name in own
    )


@command("destination_group.set")
def set_group(db: Database, name: str, prefixes: Iterable[str], actor: Actor, now: datetime) -> GroupView:
    """Make a group, or give one that exists these prefixes in place of its old ones.

    Prefixes are E.164 digits; a leading `+` or `00` is taken off. Raises `InvalidInput` (bad_prefix, prefixes_missing,
    group_is_built_in, and what `engine.names` refuses).
    """
    name = _checked_group_name(name)
    wanted = _checked_prefixes(prefixes)
    with db.begin() as session:
        group = session.get(DestinationGroup, name, with_for_update=True)
        before = list(group.prefixes) if group is not None else None
        statement = insert(DestinationGroup).values(name=name, prefixes=wanted)
        session.execute(
            statement.on_conflict_do_update(
                index_elements=[DestinationGroup.name], set_={"prefixes": statement.excluded.prefixes}
            )
        )
        audit.record(
            session,
            actor,
            "destination_group.set",
            f"destination_group:{name}",
            now,
            prefixes=wanted,
            before=before,
        )
    return GroupView(name, tuple(wanted))


@command("destination_group.remove")
def remove_group(db: Database, name: str, actor: Actor, now: datetime) -> None:
    """Remove a group. Raises `NotFound("group_not_found")`, `Conflict("group_in_use")` while rules name it."""
    with db.begin() as session:
        group = session.get(DestinationGroup, sought(name), with_for_update=True)
        if group is None:
            raise NotFound("group_not_found", name=name)
        users = session.scalars(
            select(DestinationRules.name)
            .where(
                or_(
                    DestinationRules.barred.any_() == group.name,
                    DestinationRules.allowed.any_() == group.name,
                )
            )
            .order_by(DestinationRules.name)
        ).all()
        if users:
            raise Conflict("group_in_use", name=group.name, rules=list(users))
        session.execute(delete(DestinationGroup).where(DestinationGroup.name == group.name))
        audit.record(
            session,
            actor,
            "destination_group.remove",
            f"destination_group:{group.name}",
            now,
            prefixes=list(group.prefixes),
        )


def list_groups(db: Database) -> list[GroupView]:
    """The operator's own groups, by name."""
    with db.begin() as session:
        rows = session.scalars(select(DestinationGroup).order_by(func.lower(DestinationGroup.name)))
        return [GroupView(row.name, tuple(row.prefixes)) for row in rows]


@command("destination_rules.add")
def add_rules(
    db: Database,
    name: str,
    actor: Actor,
    now: datetime,
    *,
    barred: Iterable[str] = (),
    allowed: Iterable[str] | None = None,
) -> RulesView:
    """Add a set of rules that batches and cards may be given.

    `barred` and `allowed` name groups, built in or the operator's own; `allowed` None allows all that is not barred.
    Raises `InvalidInput` (unknown_group, nothing_allowed), `Conflict("rules_exist")`.
    """
    name = checked_name(name)
    with db.begin() as session:
        bars, allows = _checked_groups(session, barred, allowed)
        rules_id = session.scalar(
            insert(DestinationRules)
            .values(name=name, barred=bars, allowed=allows)
            .on_conflict_do_nothing()
            .returning(DestinationRules.id)
        )
        if rules_id is None:
            raise Conflict("rules_exist", name=name)
        audit.record(
            session,
            actor,
            "destination_rules.add",
            f"destination_rules:{rules_id}",
            now,
            name=name,
            barred=bars,
            allowed=allows,
        )
    return RulesView(rules_id, name, tuple(bars), None if allows is None else tuple(allows))


@command("destination_rules.change")
def change_rules(
    db: Database,
    name: str,
    actor: Actor,
    now: datetime,
    *,
    barred: Iterable[str] = (),
    allowed: Iterable[str] | None = None,
) -> RulesView:
    """Give a set of rules other groups, for every card that has it, from the next call on.

    Raises `NotFound("rules_not_found")`, `InvalidInput` as `add_rules`.
    """
    with db.begin() as session:
        rules = session.scalar(
            select(DestinationRules).where(DestinationRules.name == sought(name)).with_for_update()
        )
        if rules is None:
            raise NotFound("rules_not_found", name=name)
        bars, allows = _checked_groups(session, barred, allowed)
        before = {"barred": list(rules.barred), "allowed": rules.allowed and list(rules.allowed)}
        rules.barred, rules.allowed = bars, allows
        audit.record(
            session,
            actor,
            "destination_rules.change",
            f"destination_rules:{rules.id}",
            now,
            barred=bars,
            allowed=allows,
            before=before,
        )
        return RulesView(rules.id, rules.name, tuple(bars), None if allows is None else tuple(allows))


def list_rules(db: Database) -> list[RulesView]:
    """Every set of rules, in the order they were made."""
    with db.begin() as session:
        rows = session.scalars(select(DestinationRules).order_by(DestinationRules.id))
        return [
            RulesView(
                row.id, row.name, tuple(row.barred), None if row.allowed is None else tuple(row.allowed)
            )
            for row in rows
        ]


def _checked_group_name(name: str) -> str:
    tidy = checked_name(name)
    if tidy in BUILT_IN:
        raise InvalidInput("group_is_built_in", field="name", name=tidy)
    return tidy


def _checked_prefixes(prefixes: Iterable[str]) -> list[str]:
    """E.164 digits (a leading `+` or `00` is taken off), sorted, each once."""
    digits = set()
    for prefix in prefixes:
        bare = prefix.strip().removeprefix("+").removeprefix("00")
        if not _PREFIX.fullmatch(bare):
            raise InvalidInput("bad_prefix", field="prefixes", value=prefix[:40])
        digits.add(bare)
    if not digits:
        raise InvalidInput("prefixes_missing", field="prefixes")
    return sorted(digits)


def _checked_groups(
    session: Session, barred: Iterable[str], allowed: Iterable[str] | None
) -> tuple[list[str], list[str] | None]:
    """Both lists tidied. The operator's groups among them are locked, so that none is removed meanwhile."""
    lists = {"barred": _tidy(barred), "allowed": None if allowed is None else _tidy(allowed)}
    if lists["allowed"] == []:
        raise InvalidInput("nothing_allowed", field="allowed")
    named = {name for names in lists.values() for name in names or ()} - BUILT_IN
    rows = (
        select(DestinationGroup.name).where(DestinationGroup.name.in_(named)).order_by(DestinationGroup.name)
    )
    known = BUILT_IN.union(session.scalars(rows.with_for_update(read=True)))
    for field, names in lists.items():
        for name in names or ():
            if name not in known:
                there = BUILT_IN.union(session.scalars(select(DestinationGroup.name)))
                raise InvalidInput("unknown_group", field=field, name=name[:40], known=sorted(there))
    return lists["barred"] or [], lists["allowed"]


def _tidy(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(sought(name) for name in names))
