"""What each verb does to a chunk of cards, as set statements that mean what the single-card command means.

A verb first judges: one query gives each locked card its verdict, with the facts that Python needs to finish it (days
end at midnight of a zone, which is `engine.cards.status`'s to say). Then it writes the timeline, reading the cards as
they still are, and changes them. The preview asks the same verdicts of the cards of a filter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from psycopg.types.json import Json
from sqlalchemy import text
from sqlalchemy.orm import Session

from engine.actor import Actor
from engine.vault import Vault

CHANGE, SAME = "", "="
"""Verdicts: to be changed, and as it should be already. Any other is the code of a refusal."""

NO_PROBE = "NULL::timestamptz, NULL::int, NULL::int"


@dataclass(slots=True)
class Act:
    """What one transaction of a run knows: who does what to which locked cards, and what came of it."""

    session: Session
    vault: Vault
    actor: Actor
    run_id: int
    params: Mapping[str, Any]
    reason: str | None
    currency: str | None
    now: datetime
    zone: ZoneInfo
    ids: list[int]
    callers: list[str] | None
    changed: list[int] = field(default_factory=list)
    unchanged: int = 0
    refused: dict[str, list[int]] = field(default_factory=dict)
    amount: int = 0

    def run(self, statement: str, **values: Any) -> Any:
        """One statement; it may also use `:now`, `:actor` and `:reason`."""
        known = {"now": self.now, "actor": str(self.actor), "reason": self.reason}
        used = {name: value for name, value in known.items() if f":{name}" in statement}
        return self.session.execute(text(statement), {**used, **values})

    def told(self, **data: Any) -> Json:
        """What every line on the timelines holds: the verb's facts, the run, the reason."""
        return Json({**data, "run": self.run_id, **({} if self.reason is None else {"reason": self.reason})})

    def refuse(self, code: str, ids: Sequence[int]) -> None:
        """Leave cards out, for a reason."""
        if ids:
            self.refused.setdefault(code, []).extend(ids)


@dataclass(frozen=True, slots=True)
class Group:
    """Cards with one verdict and the same facts; `at`, `a` and `b` are the verb's probe."""

    verdict: str
    at: datetime | None
    a: int | None
    b: int | None
    ids: list[int]


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb in SQL: the cases of its verdict (over `card`, its `batch`, and `target.caller`), the facts it needs
    besides, and what is done to those that are to be changed.

    `settle` may give a group another verdict in Python.
    """

    cases: str
    apply: Callable[[Act, list[Group]], None]
    probe: str = NO_PROBE
    values: Callable[[Mapping[str, Any]], dict[str, Any]] = lambda params: {}
    settle: Callable[[str, datetime | None, int | None, datetime, ZoneInfo], str] | None = None

    @property
    def verdict(self) -> str:
        """The verdict as one SQL expression."""
        return f"CASE {self.cases} ELSE '' END"


def perform(verb: Verb, act: Act) -> None:
    """Judge the locked cards of a chunk and change those that are to be changed."""
    rows = act.session.execute(
        text(
            f"""
            SELECT {verb.verdict} AS verdict, {verb.probe}, array_agg(card.id ORDER BY card.id) AS ids
            FROM unnest(CAST(:ids AS bigint[]), CAST(:callers AS text[])) AS target (id, caller)
            JOIN card ON card.id = target.id JOIN batch ON batch.id = card.batch_id
            GROUP BY 1, 2, 3, 4
            """
        ),
        {"ids": act.ids, "callers": act.callers, **bound(verb, act.params, act.now)},
    )
    changing: list[Group] = []
    for verdict, at, a, b, ids in rows:
        if verb.settle is not None:
            verdict = verb.settle(verdict, at, a, act.now, act.zone)
        if verdict == CHANGE:
            changing.append(Group(verdict, at, a, b, ids))
            act.changed.extend(ids)
        elif verdict == SAME:
            act.unchanged += len(ids)
        else:
            act.refuse(verdict, ids)
    act.changed.sort()
    if changing:
        verb.apply(act, changing)


def bound(verb: Verb, params: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """The values of a verb's verdict and probe."""
    values = {"now": now, **verb.values(params)}
    return {name: value for name, value in values.items() if f":{name}" in verb.cases + verb.probe}


# --- statements that verbs share ---

_LINES = """
    INSERT INTO card_event (card_id, at, kind, actor, data)
    SELECT id, :now, :kind, :actor, CAST(:data AS jsonb) FROM unnest(CAST(:ids AS bigint[])) AS id
"""
_LINES_OF_CARDS = """
    INSERT INTO card_event (card_id, at, kind, actor, data)
    SELECT card.id, :now, :kind, :actor, CAST(:data AS jsonb) || {more}
    FROM card WHERE card.id = ANY(CAST(:ids AS bigint[])) ORDER BY card.id
"""
MINE = "card.id = ANY(CAST(:ids AS bigint[]))"


def tell(act: Act, kind: str, ids: Sequence[int], **data: Any) -> None:
    """The same line on many timelines."""
    act.run(_LINES, kind=kind, ids=list(ids), data=act.told(**data))


def tell_each(act: Act, kind: str, more: str, **data: Any) -> None:
    """A line on each changed card's timeline, with more data as SQL over `card` as it still is."""
    act.run(_LINES_OF_CARDS.format(more=more), kind=kind, ids=act.changed, data=act.told(**data))


def change(act: Act, sets: str, **values: Any) -> None:
    """Change all cards that are to be changed."""
    act.run(f"UPDATE card SET {sets} WHERE {MINE}", ids=act.changed, **values)


def log_out(act: Act) -> None:
    """No earlier proof of a password counts any more, as `engine.cards.tokens.log_out` does it for one."""
    act.run("DELETE FROM card_token WHERE card_id = ANY(CAST(:ids AS bigint[]))", ids=act.changed)
    act.run(
        "DELETE FROM web_session WHERE realm = 'cardholder' AND subject_id = ANY(CAST(:ids AS bigint[]))",
        ids=act.changed,
    )


def void(act: Act) -> None:
    """Void cards for good, as `engine.cards.lifecycle.void` does it for one."""
    change(act, "damaged_at = :now, damaged_by = :actor, damage_reason = :reason")
    act.run(
        "UPDATE binding SET pinless = false WHERE card_id = ANY(CAST(:ids AS bigint[])) AND pinless",
        ids=act.changed,
    )
    act.run("DELETE FROM pending_binding WHERE card_id = ANY(CAST(:ids AS bigint[]))", ids=act.changed)
    log_out(act)


def move_ends(
    act: Act, kind: str, ids: Sequence[int], ends: Sequence[tuple[datetime, datetime]], **data: Any
) -> None:
    """Give cards another end of their validity by the one they have, with a line on each timeline."""
    moves = {
        "befores": [before for before, _ in ends],
        "afters": [after for _, after in ends],
        "befores_told": [before.isoformat() for before, _ in ends],
        "afters_told": [after.isoformat() for _, after in ends],
    }
    act.run(
        f"""
        INSERT INTO card_event (card_id, at, kind, actor, data)
        SELECT card.id, :now, :kind, :actor,
            CAST(:data AS jsonb) || jsonb_build_object('before', moved.before_told, 'expires_at', moved.after_told)
        FROM card JOIN unnest(CAST(:befores AS timestamptz[]), CAST(:befores_told AS text[]),
            CAST(:afters_told AS text[])) AS moved (before, before_told, after_told)
            ON moved.before = card.expires_at
        WHERE {MINE} ORDER BY card.id
        """,
        kind=kind,
        ids=list(ids),
        data=act.told(**data) if kind != "reactivate" else Json({"run": act.run_id}),
        **{name: moves[name] for name in ("befores", "befores_told", "afters_told")},
    )
    act.run(
        f"""
        UPDATE card SET expires_at = moved.after
        FROM unnest(CAST(:befores AS timestamptz[]), CAST(:afters AS timestamptz[])) AS moved (before, after)
        WHERE {MINE} AND card.expires_at = moved.before
        """,
        ids=list(ids),
        befores=moves["befores"],
        afters=moves["afters"],
    )
