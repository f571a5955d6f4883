"""The verbs that move money: recharge and discard. The run is the document behind the ledger entries `run:ID`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from engine.bulk import steps, verbs
from engine.bulk.steps import CHANGE, Act, Group, Verb
from engine.bulk.verbs import DAMAGED, NOT_READY
from engine.cards.status import grace_end, validity_end
from engine.errors import Conflict
from engine.funds import ledger
from engine.funds.recharges import MOST
from engine.stock.conditions import CHARGED, IN_CALL, SOLD, USED

_GRACED, _GRACED_TOO_RICH = "expired?", "expired!"
"""Verdicts that wait for the end of a card's grace, which a zone's days decide."""


def room(params: Mapping[str, Any]) -> int:
    """The balance up to which a card can take what a recharge brings, in micro-units."""
    return MOST - int(params["amount"]) - int(params["bonus"])


def _settle(verdict: str, at: datetime | None, days: int | None, now: datetime, zone: ZoneInfo) -> str:
    if verdict not in (_GRACED, _GRACED_TOO_RICH):
        return verdict
    if at is None or grace_end(at, days or 0, zone) <= now:
        return "expired"
    return CHANGE if verdict == _GRACED else "amount_too_large"


def _recharge(act: Act, groups: list[Group]) -> None:
    amount, bonus = int(act.params["amount"]), int(act.params["bonus"])
    post(act, [amount] * len(act.changed), ledger.SALES, "recharge", f"run:{act.run_id}")
    if bonus:
        post(act, [bonus] * len(act.changed), ledger.BONUS, "bonus", f"run:{act.run_id}:bonus")
    steps.tell(act, "recharge", act.changed, amount=amount, bonus=bonus, currency=act.currency)
    for group in groups:
        # Only expired cards within their grace have an end here: they live again.
        if group.at is not None and group.b is not None:
            until = max(group.at, validity_end(act.now, group.b, act.zone))
            steps.move_ends(act, "reactivate", group.ids, [(group.at, until)])


def _discard(act: Act, groups: list[Group]) -> None:
    balances = act.run(
        "SELECT id, balance FROM card WHERE id = ANY(CAST(:ids AS bigint[])) ORDER BY id", ids=act.changed
    ).all()
    steps.tell_each(act, "discard", "jsonb_build_object('amount', card.balance)", currency=act.currency)
    worth = [(card_id, balance) for card_id, balance in balances if balance]
    if worth:
        _post(
            act,
            [row[0] for row in worth],
            [-row[1] for row in worth],
            ledger.SALES,
            "discard",
            f"run:{act.run_id}",
        )
    steps.void(act)


def post(act: Act, amounts: list[int], account: str, kind: str, key: str) -> None:
    """Post one amount on each changed card."""
    _post(act, act.changed, amounts, account, kind, key)


def _post(act: Act, ids: list[int], amounts: list[int], account: str, kind: str, key: str) -> None:
    posted = ledger.post_many(
        act.session,
        ids,
        amounts,
        account=account,
        kind=kind,
        reference=f"run:{act.run_id}",
        actor=act.actor,
        now=act.now,
        reason=act.reason,
        key=key,
    )
    if len(posted) != len(ids):
        # Cannot be: the cards are locked and were judged so.
        raise Conflict("targets_changed")
    act.amount += sum(amounts)


RECHARGE = Verb(
    f"""{DAMAGED}
    WHEN card.released_at IS NULL OR batch.ready_at IS NULL THEN 'not_activated'
    WHEN card.locked_at IS NOT NULL THEN 'locked'
    WHEN batch.kind = 'voucher' THEN 'voucher_not_allowed'
    WHEN card.currency <> :currency THEN 'currency_mismatch'
    WHEN card.expires_at <= :now AND batch.extension_days IS NULL THEN 'expired'
    WHEN card.expires_at <= :now AND card.balance > :room THEN '{_GRACED_TOO_RICH}'
    WHEN card.expires_at <= :now THEN '{_GRACED}'
    WHEN card.balance > :room THEN 'amount_too_large'""",
    _recharge,
    probe="""CASE WHEN card.expires_at <= :now THEN card.expires_at END,
    CASE WHEN card.expires_at <= :now THEN batch.grace_days END,
    CASE WHEN card.expires_at <= :now THEN batch.extension_days END""",
    values=lambda params: {"currency": params["currency"], "room": room(params)},
    settle=_settle,
)
DISCARD = Verb(
    f"""{NOT_READY} {DAMAGED}
    WHEN {CHARGED} THEN 'stock_charged' WHEN {SOLD} THEN 'stock_sold'
    WHEN {USED} THEN 'stock_used' WHEN {IN_CALL} THEN 'stock_in_call'
    WHEN card.currency <> :currency THEN 'currency_mismatch'""",
    _discard,
    values=lambda params: {"currency": params["currency"]},
)

VERBS: dict[str, Verb] = {**verbs.VERBS, "recharge": RECHARGE, "discard": DISCARD}
"""Every verb that changes cards."""


def moved(verb: str, params: Mapping[str, Any], cards: int, balance: int) -> int:
    """What a verb moves on so many cards that have so much together, in micro-units, signed as the cards see it."""
    if verb == "recharge":
        return cards * (int(params["amount"]) + int(params["bonus"]))
    return -balance if verb == "discard" else 0
