"""Names that people know for whoever acted: `staff:3` is somebody, `switch:2` is a machine with a name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.schema import ResellerPerson, Staff, Switch

_OURS = {
    "system": "Cardtone",
    "console": "the command line",
    "failures": "Cardtone",
    "cardholder": "the cardholder",
}
"""Actors without a row. `failures` is what locks a card after too many wrong passwords."""


def actor_names(session: Session, actors: Iterable[str | None], *, at_desk: bool = False) -> dict[str, str]:
    """Names that people know for actors such as `staff:3` or `switch:2`, by actor.

    `at_desk`: as a reseller's people may know them: its own by name, anybody else is the operator.
    """
    wanted = {actor for actor in actors if actor}
    if at_desk:
        own = {actor for actor in wanted if actor.startswith("reseller:")}
        return {**dict.fromkeys(wanted - own, "the operator"), **actor_names(session, own)}
    names = {actor: name for actor in wanted for kind, name in _OURS.items() if actor.split(":")[0] == kind}
    tables: tuple[tuple[str, Any], ...] = (("staff", Staff), ("switch", Switch), ("reseller", ResellerPerson))
    for kind, table in tables:
        ids = [number for actor in wanted if (number := _number(actor, kind)) is not None]
        if ids:
            for row in session.execute(select(table.id, table.name).where(table.id.in_(ids))):
                names[f"{kind}:{row.id}"] = f"{kind} {row.name}" if kind == "switch" else row.name
    return {actor: names.get(actor, actor) for actor in wanted}


def _number(actor: str, kind: str) -> int | None:
    begin, _, number = actor.partition(":")
    return int(number) if begin == kind and number.isdecimal() else None
