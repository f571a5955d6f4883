"""Taking a run back: the reverse order, for the cards that the run changed and nobody has changed since.

Which cards a run changed stands on their timelines. Where the cards had different values before, there is an order for
each of them. Money that was moved, validity that was given, and cards that were voided stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from engine.bulk.orders import Listed
from engine.db import Database
from engine.errors import Conflict, NotFound
from engine.schema import BulkRun

MOST_PARTS = 20
"""Values before a run that are told apart."""


@dataclass(frozen=True, slots=True)
class _Way:
    """How a verb is undone: by which verb, and of which cards: those that are `still` as the run left them.

    `before` is what a card had, in SQL over its `event` of one of the `kinds`; `set_by` the parameter of the run that
    `still` compares with.
    """

    verb: str
    still: str
    before: str = "NULL::text"
    set_by: str | None = None
    kinds: tuple[str, ...] = ()


_HAS = "EXISTS (SELECT 1 FROM binding b WHERE b.card_id = card.id AND b.caller = event.data ->> 'caller')"
_BEFORE = "event.data ->> 'before'"
_SET = "IS NOT DISTINCT FROM CAST(:set_to AS bigint)"
_WAYS: dict[str, _Way] = {
    "lock": _Way("unlock", "card.locked_at = event.at"),
    "unlock": _Way("lock", "card.locked_at IS NULL"),
    "activate": _Way("hold_back", "card.released_at = event.at"),
    "hold_back": _Way("activate", "card.released_at IS NULL"),
    "bind": _Way("unbind", _HAS),
    "unbind": _Way("bind", f"NOT {_HAS}"),
    "change_deck": _Way("change_deck", f"card.deck_id {_SET}", _BEFORE, "deck_id"),
    "change_rules": _Way("change_rules", f"card.destination_rules_id {_SET}", _BEFORE, "rules_id"),
    "set_concurrency": _Way("set_concurrency", f"card.concurrency {_SET}", _BEFORE, "calls"),
    "assign": _Way(
        "assign",
        f"card.reseller_id {_SET}",
        f"CASE event.kind WHEN 'assign' THEN {_BEFORE} ELSE event.data ->> 'reseller' END",
        "reseller_id",
        ("assign", "unassign"),
    ),
}


@dataclass(frozen=True, slots=True)
class Part:
    """Cards of a run that one reverse order is for: how many, and its parameters.

    `before` is what they had: a deck's or rules' name, calls at once, a reseller's id (None: the operator's); None
    where the verb leaves no choice.
    """

    verb: str
    cards: int
    params: Mapping[str, Any]
    before: str | None


def reverse_verb(verb: str) -> str | None:
    """The verb that takes another back, or None where nothing does."""
    way = _WAYS.get(verb)
    return None if way is None else way.verb


def parts(db: Database, run_id: int) -> tuple[Part, ...]:
    """The orders that would take a run back now, that for the most cards first; none where nothing is left to undo.

    Raises `NotFound` ("run_not_found") and `Conflict` ("no_undo").
    """
    with db.begin() as session:
        run, way = _way(session, run_id)
        asked = f"SELECT before, count(*) AS cards FROM ({_changed(way)}) c GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT :most"
        rows = session.execute(text(asked), {**_values(run, way), "most": MOST_PARTS}).all()
        return tuple(Part(way.verb, row.cards, _params(way.verb, row.before), row.before) for row in rows)


def changed_cards(db: Database, run_id: int, before: str | None = None) -> Listed:
    """The cards of one of the `parts`, with their callers where it is about callers.

    Raises `NotFound` ("run_not_found") and `Conflict` (no_undo, nothing_to_undo).
    """
    with db.begin() as session:
        run, way = _way(session, run_id)
        asked = f"SELECT id, caller FROM ({_changed(way)}) c WHERE before IS NOT DISTINCT FROM :before ORDER BY id"
        rows = session.execute(text(asked), {**_values(run, way), "before": before}).all()
    if not rows:
        raise Conflict("nothing_to_undo", id=run_id)
    callers = tuple(row.caller for row in rows) if way.verb in ("bind", "unbind") else ()
    return Listed(tuple(row.id for row in rows), callers)


def params_of(db: Database, run_id: int, before: str | None) -> dict[str, Any]:
    """The parameters of the reverse order of a part. Raises as `changed_cards`."""
    with db.begin() as session:
        _, way = _way(session, run_id)
    return _params(way.verb, before)


def _way(session: Any, run_id: int) -> tuple[BulkRun, _Way]:
    run = session.get(BulkRun, run_id)
    if run is None:
        raise NotFound("run_not_found", id=run_id)
    way = _WAYS.get(run.command)
    if way is None:
        raise Conflict("no_undo", id=run_id)
    return run, way


def _changed(way: _Way) -> str:
    # From the frozen targets to each card's own lines: no index leads from a run to them.
    return f"""
        SELECT card.id, event.data ->> 'caller' AS caller, {way.before} AS before
        FROM bulk_chunk chunk CROSS JOIN LATERAL unnest(chunk.card_ids) AS target (id)
        JOIN card ON card.id = target.id
        JOIN card_event event ON event.card_id = card.id AND event.kind = ANY(CAST(:kinds AS text[]))
            AND event.data ->> 'run' = :run
        WHERE chunk.run_id = :run_id AND chunk.done_at IS NOT NULL AND {way.still}
    """


def _values(run: BulkRun, way: _Way) -> dict[str, Any]:
    values = {"run_id": run.id, "run": str(run.id), "kinds": list(way.kinds or (run.command,))}
    return values if way.set_by is None else {**values, "set_to": run.params[way.set_by]}


def _params(verb: str, before: str | None) -> dict[str, Any]:
    made: dict[str, dict[str, Any]] = {
        "change_deck": {"deck": before},
        "change_rules": {"rules": before},
        "set_concurrency": {"calls": int(before) if before and before.isdecimal() else None},
        "assign": {"reseller_id": int(before) if before and before.isdecimal() else None, "transfer": True},
        "bind": {"pinless": False},
    }
    return made.get(verb, {})
