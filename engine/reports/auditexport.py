"""The audit trail as a source of full exports."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from engine.db import Database
from engine.errors import InvalidInput
from engine.people import audit
from engine.people.audit import AuditView
from engine.reports.exports import Asked, Block, Source, register

_BLOCK = 2_000
_COLUMNS = ("number", "at", "actor", "actor_name", "action", "subject", "reason", "data")
_TEXTS = ("actor", "action", "subject", "reason")
_INSTANTS = ("since", "until")


def filter_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """What `audit.search` takes, from a filter as JSON holds it. Raises `InvalidInput` ("bad_filter")."""
    if not given.keys() <= {*_TEXTS, *_INSTANTS} or not all(isinstance(part, str) for part in given.values()):
        raise InvalidInput("bad_filter", field="filter")
    try:
        times = {name: datetime.fromisoformat(given[name]) for name in _INSTANTS if name in given}
    except ValueError:
        raise InvalidInput("bad_filter", field="filter") from None
    return {**{name: given[name] for name in _TEXTS if name in given}, **times}


def _rows(db: Database, given: Mapping[str, Any], asked: Asked) -> Iterator[Block]:
    wanted = filter_of(given)
    # What was done after it was ordered is left out.
    wanted["until"] = min(wanted.get("until", asked.at), asked.at)
    before: int | None = None
    while True:
        page = audit.search(db, before=before, limit=_BLOCK, **wanted)
        yield [_row(row, asked) for row in page.rows]
        before = page.next
        if before is None:
            return


def _row(row: AuditView, asked: Asked) -> tuple[str, ...]:
    return (
        str(row.id),
        row.at.astimezone(asked.zone).isoformat(timespec="seconds"),
        row.actor,
        row.actor_name,
        row.action,
        row.subject,
        row.reason or "",
        json.dumps(row.data, ensure_ascii=False, sort_keys=True) if row.data else "",
    )


AUDIT = register(
    Source(
        "audit",
        "Audit trail",
        "audit.see",
        _COLUMNS,
        _rows,
        frozenset({"actor_name", "subject", "reason", "data"}),
        filter_of,
    )
)
