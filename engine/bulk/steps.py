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
from engine.cards.access import counter_key
from engine.cards.status import grace_end, validity_end
from engine.errors import Conflict
from engine.vault import Vault

CHANGE, SAME = "", "="
"""Verdicts: to be changed, and as it should be already. Any other is the code of a refusal."""

_NOT_READY = """
    WHEN batch.discarded_at IS NOT NULL THEN 'batch_discarded' WHEN batch.ready_at IS NULL THEN 'batch_not_ready'
"""
_DAMAGED = "WHEN card.damaged_at IS NOT NULL THEN 'damaged'"
_FACE = """
    CASE WHEN batch.imported THEN
        (SELECT entry.amount FROM ledger_entry entry WHERE entry.card_id = card.id AND entry.kind = 'opening')
    ELSE batch.denomination END
"""
_USED = f"card.first_used_at IS NOT NULL OR card.balance <> {_FACE}"
_IN_CALL = "card.held > 0 OR card.live_calls > 0"
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
_MINE = "card.id = ANY(CAST(:ids AS bigint[]))"


def tell(act: Act, kind: str, ids: Sequence[int], **data: Any) -> None:
    """The same line on many timelines."""
    act.run(_LINES, kind=kind, ids=list(ids), data=act.told(**data))


def tell_each(act: Act, kind: str, more: str, **data: Any) -> None:
    """A line on each changed card's timeline, with more data as SQL over `card` as it still is."""
    act.run(_LINES_OF_CARDS.format(more=more), kind=kind, ids=act.changed, data=act.told(**data))


def change(act: Act, sets: str, **values: Any) -> None:
    """Change all cards that are to be changed."""
    act.run(f"UPDATE card SET {sets} WHERE {_MINE}", ids=act.changed, **values)


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
    log_out(act)


# --- the verbs ---


def _lock(act: Act, groups: list[Group]) -> None:
    tell(act, "lock", act.changed)
    change(act, "locked_at = :now, locked_by = :actor, lock_reason = :reason")
    log_out(act)


def _unlock(act: Act, groups: list[Group]) -> None:
    tell_each(act, "unlock", "jsonb_build_object('locked_by', locked_by, 'lock_reason', lock_reason)")
    change(act, "locked_at = NULL, locked_by = NULL, lock_reason = NULL")
    _forget_failures(act)


def _forget_failures(act: Act) -> None:
    sources = act.run(
        f"SELECT card.number, k.source FROM card LEFT JOIN known_source k ON k.card_id = card.id WHERE {_MINE}",
        ids=act.changed,
    ).all()
    keys = {counter_key(act.vault, number) for number, _ in sources}
    keys.update(counter_key(act.vault, number, source) for number, source in sources if source is not None)
    act.run(
        "DELETE FROM failure_counter WHERE key IN (SELECT key FROM failure_counter"
        " WHERE key = ANY(CAST(:keys AS bytea[])) ORDER BY key FOR UPDATE)",
        keys=sorted(keys),
    )


def _damage(act: Act, groups: list[Group]) -> None:
    tell(act, "damage", act.changed)
    void(act)


def _activate(act: Act, groups: list[Group]) -> None:
    tell(act, "activate", act.changed)
    change(act, "activated_at = :now, released_at = :now")


def _extend(act: Act, groups: list[Group]) -> None:
    days = int(act.params["days"])
    by = validity_end(act.now, days, act.zone)
    ends = [(at, max(grace_end(at, days, act.zone), by)) for at in (group.at for group in groups) if at]
    move_ends(act, "extend", act.changed, ends, days=days)


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
        WHERE {_MINE} ORDER BY card.id
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
        WHERE {_MINE} AND card.expires_at = moved.before
        """,
        ids=list(ids),
        befores=moves["befores"],
        afters=moves["afters"],
    )


def _set_concurrency(act: Act, groups: list[Group]) -> None:
    calls = act.params["calls"]
    tell_each(act, "set_concurrency", "jsonb_build_object('before', concurrency)", calls=calls)
    change(act, "concurrency = :calls", calls=calls)


def _change_deck(act: Act, groups: list[Group]) -> None:
    before = "jsonb_build_object('before', (SELECT name FROM deck WHERE deck.id = card.deck_id))"
    tell_each(act, "change_deck", before, deck=act.params["deck"])
    change(act, "deck_id = :deck_id", deck_id=act.params["deck_id"])


def _change_rules(act: Act, groups: list[Group]) -> None:
    names = "(SELECT name FROM destination_rules r WHERE r.id = card.destination_rules_id)"
    tell_each(act, "change_rules", f"jsonb_build_object('before', {names})", rules=act.params["rules"])
    change(act, "destination_rules_id = :rules_id", rules_id=act.params["rules_id"])


def _assign(act: Act, groups: list[Group]) -> None:
    reseller_id = act.params["reseller_id"]
    if reseller_id is None:
        tell_each(act, "unassign", "jsonb_build_object('reseller', reseller_id)")
    else:
        before = "jsonb_strip_nulls(jsonb_build_object('before', reseller_id))"
        tell_each(act, "assign", before, reseller=reseller_id)
    change(act, "reseller_id = CAST(:reseller_id AS bigint)", reseller_id=reseller_id)


def _bind(act: Act, groups: list[Group]) -> None:
    callers = dict(zip(act.ids, act.callers or (), strict=True))
    values = {"pinless": act.params["pinless"], "callers": [callers[card_id] for card_id in act.changed]}
    act.run(
        """
        INSERT INTO binding (card_id, caller, pinless, created_at, created_by)
        SELECT id, caller, :pinless, :now, :actor
        FROM unnest(CAST(:ids AS bigint[]), CAST(:callers AS text[])) AS target (id, caller)
        ON CONFLICT (card_id, caller) DO UPDATE SET pinless = excluded.pinless
        """,
        ids=act.changed,
        **values,
    )
    _tell_callers(act, "bind", values["callers"], pinless=values["pinless"])


def _unbind(act: Act, groups: list[Group]) -> None:
    callers = dict(zip(act.ids, act.callers or (), strict=True))
    named = [callers[card_id] for card_id in act.changed]
    act.run(
        """
        DELETE FROM binding USING unnest(CAST(:ids AS bigint[]), CAST(:callers AS text[])) AS target (id, caller)
        WHERE binding.card_id = target.id AND binding.caller = target.caller
        """,
        ids=act.changed,
        callers=named,
    )
    _tell_callers(act, "unbind", named)


def _tell_callers(act: Act, kind: str, callers: list[str], **data: Any) -> None:
    act.run(
        """
        INSERT INTO card_event (card_id, at, kind, actor, data)
        SELECT id, :now, :kind, :actor, CAST(:data AS jsonb) || jsonb_build_object('caller', caller)
        FROM unnest(CAST(:ids AS bigint[]), CAST(:callers AS text[])) AS target (id, caller) ORDER BY id
        """,
        kind=kind,
        ids=act.changed,
        callers=callers,
        data=act.told(**data),
    )


def _one_currency(act: Act) -> str:
    if act.currency is None:
        raise Conflict("currency_mismatch")
    return act.currency


_BOUND = "FROM binding x WHERE x.card_id = card.id"
_KNOWN = f"EXISTS (SELECT 1 {_BOUND} AND x.caller = target.caller)"

VERBS: dict[str, Verb] = {
    "lock": Verb(
        f"{_NOT_READY} {_DAMAGED} WHEN card.locked_at IS NOT NULL AND card.locked_by <> 'failures' THEN '='",
        _lock,
    ),
    "unlock": Verb(f"{_NOT_READY} {_DAMAGED} WHEN card.locked_at IS NULL THEN '='", _unlock),
    "damage": Verb(f"{_NOT_READY} WHEN card.damaged_at IS NOT NULL THEN '='", _damage),
    "activate": Verb(f"{_NOT_READY} {_DAMAGED} WHEN card.released_at IS NOT NULL THEN '='", _activate),
    "extend": Verb(
        f"{_NOT_READY} {_DAMAGED} WHEN card.expires_at IS NULL THEN 'nothing_to_extend'",
        _extend,
        probe="card.expires_at, NULL::int, NULL::int",
    ),
    "set_concurrency": Verb(
        f"{_NOT_READY} WHEN card.concurrency = :calls THEN '='",
        _set_concurrency,
        values=lambda params: {"calls": params["calls"]},
    ),
    "change_deck": Verb(
        f"{_NOT_READY} {_DAMAGED} WHEN batch.kind = 'voucher' THEN 'voucher_not_allowed'"
        " WHEN card.currency <> :currency THEN 'currency_mismatch' WHEN card.deck_id = :deck_id THEN '='",
        _change_deck,
        values=lambda params: {"currency": params["currency"], "deck_id": params["deck_id"]},
    ),
    "change_rules": Verb(
        f"{_NOT_READY} {_DAMAGED} WHEN card.destination_rules_id = :rules_id THEN '='",
        _change_rules,
        values=lambda params: {"rules_id": params["rules_id"]},
    ),
    "assign": Verb(
        f"""{_NOT_READY}
        WHEN card.reseller_id IS NOT DISTINCT FROM CAST(:reseller_id AS bigint) THEN '='
        WHEN CAST(:reseller_id AS bigint) IS NOT NULL AND card.damaged_at IS NOT NULL THEN 'damaged'
        WHEN CAST(:reseller_id AS bigint) IS NOT NULL AND card.reseller_id IS NOT NULL AND NOT :transfer
            THEN 'stock_other_reseller'
        WHEN card.reseller_price IS NOT NULL THEN 'stock_charged'
        WHEN CAST(:reseller_id AS bigint) IS NOT NULL AND card.sold_at IS NOT NULL THEN 'stock_sold'
        WHEN {_USED} THEN 'stock_used' WHEN {_IN_CALL} THEN 'stock_in_call'""",
        _assign,
        values=lambda params: {name: params[name] for name in ("reseller_id", "transfer")},
    ),
    "bind": Verb(
        f"""{_NOT_READY} {_DAMAGED}
        WHEN batch.binding = 'none' AND NOT batch.pinless THEN 'binding_off'
        WHEN :pinless AND NOT batch.pinless THEN 'pinless_off'
        WHEN :pinless AND EXISTS (SELECT 1 FROM binding x WHERE x.caller = target.caller AND x.pinless
            AND x.card_id <> card.id) THEN 'pinless_elsewhere'
        WHEN EXISTS (SELECT 1 {_BOUND} AND x.caller = target.caller AND x.pinless = :pinless) THEN '='
        WHEN NOT {_KNOWN} AND (SELECT count(*) {_BOUND}) >= greatest(1, batch.max_bound) THEN 'binding_full'""",
        _bind,
        values=lambda params: {"pinless": params["pinless"]},
    ),
    "unbind": Verb(f"{_NOT_READY} WHEN NOT {_KNOWN} THEN '='", _unbind),
}
"""All verbs that change cards and no money; those that move money are in `engine.bulk.money`."""

USED, IN_CALL, NOT_READY, DAMAGED = _USED, _IN_CALL, _NOT_READY, _DAMAGED
