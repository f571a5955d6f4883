"""The verbs that change cards and move no money; each does to many what the command on one card or range does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.bulk import steps
from engine.bulk.steps import SAME, Act, Group, Verb
from engine.cards.access import counter_key
from engine.cards.status import grace_end, validity_end
from engine.stock import conditions
from engine.stock.conditions import ASSIGN, HOLD_BACK, RELEASE, UNASSIGN

CODES = {
    "damaged": "damaged",
    "other_reseller": "stock_other_reseller",
    "charged": "stock_charged",
    "sold": "stock_sold",
    "used": "stock_used",
    "in_call": "stock_in_call",
    "resellers_stock": "resellers_stock",
    "printed_by_reseller": "stock_printed_by_reseller",
}
"""Codes of refusals by the words of `engine.stock.conditions`."""

NOT_READY = """
    WHEN batch.discarded_at IS NOT NULL THEN 'batch_discarded' WHEN batch.ready_at IS NULL THEN 'batch_not_ready'
"""
DAMAGED = f"WHEN {conditions.DAMAGED} THEN 'damaged'"


def _lock(act: Act, groups: list[Group]) -> None:
    steps.tell(act, "lock", act.changed)
    steps.change(act, "locked_at = :now, locked_by = :actor, lock_reason = :reason")
    steps.log_out(act)


def _unlock(act: Act, groups: list[Group]) -> None:
    steps.tell_each(act, "unlock", "jsonb_build_object('locked_by', locked_by, 'lock_reason', lock_reason)")
    steps.change(act, "locked_at = NULL, locked_by = NULL, lock_reason = NULL")
    _forget_failures(act)


def _forget_failures(act: Act) -> None:
    sources = act.run(
        f"SELECT card.number, k.source FROM card LEFT JOIN known_source k ON k.card_id = card.id WHERE {steps.MINE}",
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
    steps.tell(act, "damage", act.changed)
    steps.void(act)


def _activate(act: Act, groups: list[Group]) -> None:
    steps.tell(act, "activate", act.changed)
    steps.change(act, "activated_at = :now, released_at = :now")


def _hold_back(act: Act, groups: list[Group]) -> None:
    steps.tell(act, "hold_back", act.changed)
    steps.change(act, "activated_at = NULL, released_at = NULL")


def _extend(act: Act, groups: list[Group]) -> None:
    days = int(act.params["days"])
    by = validity_end(act.now, days, act.zone)
    ends = [(at, max(grace_end(at, days, act.zone), by)) for at in (group.at for group in groups) if at]
    steps.move_ends(act, "extend", act.changed, ends, days=days)


def _set_concurrency(act: Act, groups: list[Group]) -> None:
    calls = act.params["calls"]
    steps.tell_each(act, "set_concurrency", "jsonb_build_object('before', concurrency)", calls=calls)
    steps.change(act, "concurrency = :calls", calls=calls)


def _change_deck(act: Act, groups: list[Group]) -> None:
    before = "jsonb_build_object('before', (SELECT name FROM deck WHERE deck.id = card.deck_id))"
    steps.tell_each(act, "change_deck", before, deck=act.params["deck"])
    steps.change(act, "deck_id = :deck_id", deck_id=act.params["deck_id"])


def _change_rules(act: Act, groups: list[Group]) -> None:
    names = "(SELECT name FROM destination_rules r WHERE r.id = card.destination_rules_id)"
    steps.tell_each(act, "change_rules", f"jsonb_build_object('before', {names})", rules=act.params["rules"])
    steps.change(act, "destination_rules_id = :rules_id", rules_id=act.params["rules_id"])


def _assign(act: Act, groups: list[Group]) -> None:
    reseller_id = act.params["reseller_id"]
    if reseller_id is None:
        steps.tell_each(act, "unassign", "jsonb_build_object('reseller', reseller_id)")
    else:
        before = "jsonb_strip_nulls(jsonb_build_object('before', reseller_id))"
        steps.tell_each(act, "assign", before, reseller=reseller_id)
    steps.change(act, "reseller_id = CAST(:reseller_id AS bigint)", reseller_id=reseller_id)


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


def _cases(reasons: Mapping[str, str], *, same: str) -> str:
    """The cases of a verdict from the reasons of the command on a range; `same` is the one that it is so already."""
    return " ".join(
        f"WHEN {condition} THEN '{SAME if word == same else CODES[word]}'"
        for word, condition in reasons.items()
    )


_TO = "CAST(:reseller_id AS bigint)"
_BOUND = "FROM binding x WHERE x.card_id = card.id"
_KNOWN = f"EXISTS (SELECT 1 {_BOUND} AND x.caller = target.caller)"

VERBS: dict[str, Verb] = {
    "lock": Verb(
        f"{NOT_READY} {DAMAGED} WHEN card.locked_at IS NOT NULL AND card.locked_by <> 'failures' THEN '='",
        _lock,
    ),
    "unlock": Verb(f"{NOT_READY} {DAMAGED} WHEN card.locked_at IS NULL THEN '='", _unlock),
    "damage": Verb(f"{NOT_READY} WHEN card.damaged_at IS NOT NULL THEN '='", _damage),
    "activate": Verb(f"{NOT_READY} {_cases(RELEASE, same='released')}", _activate),
    "hold_back": Verb(f"{NOT_READY} {_cases(HOLD_BACK, same='held_back')}", _hold_back),
    "extend": Verb(
        f"{NOT_READY} {DAMAGED} WHEN card.expires_at IS NULL THEN 'nothing_to_extend'",
        _extend,
        probe="card.expires_at, NULL::int, NULL::int",
    ),
    "set_concurrency": Verb(
        f"{NOT_READY} WHEN card.concurrency = :calls THEN '='",
        _set_concurrency,
        values=lambda params: {"calls": params["calls"]},
    ),
    "change_deck": Verb(
        f"{NOT_READY} {DAMAGED} WHEN batch.kind = 'voucher' THEN 'voucher_not_allowed'"
        " WHEN card.currency <> :currency THEN 'currency_mismatch' WHEN card.deck_id = :deck_id THEN '='",
        _change_deck,
        values=lambda params: {"currency": params["currency"], "deck_id": params["deck_id"]},
    ),
    "change_rules": Verb(
        f"{NOT_READY} {DAMAGED} WHEN card.destination_rules_id = :rules_id THEN '='",
        _change_rules,
        values=lambda params: {"rules_id": params["rules_id"]},
    ),
    "assign": Verb(
        f"""WHEN EXISTS (SELECT 1 FROM reseller r WHERE r.id = {_TO} AND r.disabled_at IS NOT NULL)
            THEN 'stock_reseller_disabled'
        {NOT_READY}
        WHEN {_TO} IS NULL THEN CASE {_cases(UNASSIGN, same="unassigned")} ELSE '' END
        {_cases(ASSIGN, same="assigned")}""",
        _assign,
        values=lambda params: {name: params[name] for name in ("reseller_id", "transfer")},
    ),
    "bind": Verb(
        f"""{NOT_READY} {DAMAGED}
        WHEN batch.binding = 'none' AND NOT batch.pinless THEN 'binding_off'
        WHEN :pinless AND NOT batch.pinless THEN 'pinless_off'
        WHEN :pinless AND EXISTS (SELECT 1 FROM binding x WHERE x.caller = target.caller AND x.pinless
            AND x.card_id <> card.id) THEN 'pinless_elsewhere'
        WHEN EXISTS (SELECT 1 {_BOUND} AND x.caller = target.caller AND x.pinless = :pinless) THEN '='
        WHEN NOT {_KNOWN} AND (SELECT count(*) {_BOUND}) >= greatest(1, batch.max_bound) THEN 'binding_full'""",
        _bind,
        values=lambda params: {"pinless": params["pinless"]},
    ),
    "unbind": Verb(f"{NOT_READY} WHEN NOT {_KNOWN} THEN '='", _unbind),
}
"""All verbs that change cards and no money; those that move money are in `engine.bulk.money`."""
