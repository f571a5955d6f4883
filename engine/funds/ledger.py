"""The ledger: the only writer of what a card has (`balance`), reserves (`held`) and how many calls it has open.

An entry is one movement between a card and a counter account, in one row; a card's balance is the sum of its
entries. No counter account has a row of its own to fight over: its total is a sum over entries. Every write is
guarded in SQL, so that two calls can never spend the same cent: `balance - held` never falls below zero.

The call path composes the fragments below into single statements; commands use `post`. The lock order is card,
then call, then everything else; two cards by ascending id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from engine.actor import Actor
from engine.errors import NotFound, Refused

SALES = "sales"
USAGE = "usage"
BONUS = "bonus"
TRANSFER = "transfer"
ADJUSTMENT = "adjustment"
OVERRUN_LOSS = "overrun_loss"
FEES = "fees"
BREAKAGE = "breakage"


def hold(condition: str) -> str:
    """SQL that reserves an amount for a new call, if the card still is as it was read and `condition` holds.

    One row (id, balance), or none.
    """
    return f"""
    UPDATE card SET held = held + %(hold)s, live_calls = live_calls + 1
    WHERE id = %(card_id)s
      AND balance - held >= %(hold)s
      AND live_calls < concurrency
      AND locked_at IS NULL AND damaged_at IS NULL AND released_at IS NOT NULL
      AND (expires_at IS NULL OR expires_at > %(now)s)
      AND digest = %(digest)s
      AND {condition}
    RETURNING id, balance
    """


EXTEND_HOLD = """
    UPDATE card SET held = held + %(more)s
    FROM locked_call
    WHERE card.id = %(card_id)s AND balance - held >= %(more)s
      AND locked_at IS NULL AND damaged_at IS NULL
    RETURNING card.id
"""
"""Reserve more for a call that `locked_call` names. One row, or none."""

LOCK_CARD = "SELECT id FROM card WHERE id = %(card_id)s FOR NO KEY UPDATE"
"""First in every statement that also touches a call, so that locks are always taken in one order."""

SETTLE = """
    UPDATE card SET
        balance = balance - %(charged)s,
        held = held - %(hold)s,
        live_calls = live_calls - 1
    FROM gone
    WHERE card.id = %(card_id)s AND balance - held >= %(charged)s - %(hold)s
    RETURNING card.id, card.balance
"""
"""End the hold of the call that `gone` removed and take what it costs."""

CROSSING_KINDS = ("usage", "correction", "fee")
"""The entries by which a balance may fall under the threshold of an auto-recharge rule."""


def crossings(now: str, before: str) -> str:
    """A CTE that notes which rules' thresholds the balance fell under by the entries of the CTE `entry`.

    `before` is SQL for what the card had before; holds don't count. A card that no rule recharges costs one look into
    an index. What is noted is due work for `engine.funds.autorecharge`.
    """
    return f"""
    crossed AS (
        INSERT INTO auto_recharge_crossing (card_id, rule_id, entry_id, at)
        SELECT entry.card_id, rule.id, entry.id, {now}
        FROM entry
        JOIN auto_recharge_member member ON member.card_id = entry.card_id
        JOIN auto_recharge_rule rule ON rule.id = member.rule_id
        WHERE entry.balance_after < rule.threshold AND {before} >= rule.threshold
            AND entry.kind IN ('usage', 'correction', 'fee') AND rule.disabled_at IS NULL
    )
    """


CALL_CROSSINGS = crossings("%(now)s", "entry.balance_after + %(charged)s")
"""The same for the end of a call. What the operator bore of it was never on the card."""

SETTLE_ENTRY = """
    INSERT INTO ledger_entry (card_id, account, amount, balance_after, kind, reference, actor, at)
    SELECT id, 'usage', -%(charged)s, balance, 'usage', 'call:' || %(call_id)s::text, %(actor)s, %(now)s
    FROM settled WHERE %(charged)s > 0
    RETURNING card_id, id, kind, balance_after
"""
"""The entry of an ordinary call, whose whole cost the card paid."""

OVERRUN_ENTRIES = """
    INSERT INTO ledger_entry (card_id, account, amount, balance_after, kind, reference, actor, at)
    SELECT id, entry.account, entry.amount, balance + entry.above, entry.kind,
           'call:' || %(call_id)s::text, %(actor)s, %(now)s
    FROM settled, (VALUES
        (1, 'overrun_loss', 'overrun', %(cost)s - %(charged)s, %(cost)s::bigint),
        (2, 'usage', 'usage', -%(cost)s, 0::bigint)
    ) AS entry (turn, account, kind, amount, above)
    ORDER BY entry.turn
    RETURNING card_id, id, kind, balance_after
"""
"""The entries of a call that cost more than its card could pay: the operator bears the rest, then the call is paid."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A posted ledger entry: its id, and the card's balance after it in micro-units."""

    id: int
    balance_after: int


_MOVE = """
    WITH moved AS (
        UPDATE card SET balance = balance + :amount
        WHERE id = :card_id AND balance + :amount >= held
        RETURNING id, balance
    ), entry AS (
        INSERT INTO ledger_entry
            (card_id, account, amount, balance_after, kind, reference, actor, reason, idempotency_key, at)
        SELECT id, :account, :amount, balance, :kind, :reference, :actor, :reason, :key, :now FROM moved
        RETURNING card_id, id, kind, amount, balance_after
    ){crossed}
    SELECT id, balance_after FROM entry
"""
_CROSSED = ", " + crossings(":now", "entry.balance_after - entry.amount - :borne")
_POST = text(_MOVE.format(crossed=""))
_POST_AND_CROSS = text(_MOVE.format(crossed=_CROSSED))


def post(
    session: Session,
    *,
    card_id: int,
    amount: int,
    account: str,
    kind: str,
    reference: str,
    actor: Actor,
    now: datetime,
    reason: str | None = None,
    key: str | None = None,
    borne: int = 0,
) -> Entry:
    """Move `amount` micro-units (signed, as the card sees it) between a card and a counter account.

    `key` makes the entry unique on its card. `borne` is what the operator put onto the card just before, to bear a
    part of this. A shared step: never commits. Raises `Refused` ("insufficient_balance") where the card's balance
    would fall under what its calls hold, and `NotFound`.
    """
    crosses = {"borne": borne} if kind in CROSSING_KINDS else {}
    row = session.execute(
        _POST_AND_CROSS if crosses else _POST,
        {
            **crosses,
            "card_id": card_id,
            "amount": amount,
            "account": account,
            "kind": kind,
            "reference": reference,
            "actor": str(actor),
            "reason": reason,
            "key": key,
            "now": now,
        },
    ).one_or_none()
    if row is not None:
        return Entry(row.id, row.balance_after)
    if session.scalar(text("SELECT 1 FROM card WHERE id = :card_id"), {"card_id": card_id}) is None:
        raise NotFound("card_not_found")
    raise Refused("insufficient_balance")


def lock_cards(session: Session, *card_ids: int) -> None:
    """Lock cards for a command that touches several, in the one order that cannot deadlock."""
    session.execute(
        text("SELECT id FROM card WHERE id = ANY(:ids) ORDER BY id FOR NO KEY UPDATE"),
        {"ids": sorted(card_ids)},
    )


_MOVE_MANY = """
    WITH moved AS (
        UPDATE card SET balance = balance + asked.amount
        FROM unnest(CAST(:card_ids AS bigint[]), CAST(:amounts AS bigint[]), CAST(:keys AS text[]))
            AS asked (card_id, amount, key)
        WHERE card.id = asked.card_id AND balance + asked.amount >= held
        RETURNING card.id, asked.amount, asked.key, card.balance
    ), entry AS (
        INSERT INTO ledger_entry
            (card_id, account, amount, balance_after, kind, reference, actor, reason, idempotency_key, at)
        SELECT id, :account, amount, balance, :kind, :reference, :actor, :reason, key, :now FROM moved
        RETURNING card_id, id, kind, amount, balance_after
    ){crossed}
    SELECT card_id FROM entry
"""
_POST_MANY = text(_MOVE_MANY.format(crossed=""))
_POST_MANY_AND_CROSS = text(
    _MOVE_MANY.format(crossed=", " + crossings(":now", "entry.balance_after - entry.amount"))
)


def post_many(
    session: Session,
    card_ids: Sequence[int],
    amounts: Sequence[int],
    *,
    account: str,
    kind: str,
    reference: str,
    actor: Actor,
    now: datetime,
    reason: str | None = None,
    key: str | Sequence[str] | None = None,
) -> list[int]:
    """Move an amount on each of many cards, as `post` does on one; returns the ids of the cards that were posted to.

    A card whose balance would fall under what its calls hold is left out, and so is one that doesn't exist. The caller
    has locked the cards in ascending order. `key` is one for all the cards or one for each, and unique on its card.
    Raises ValueError where a card stands twice, or not every card has an amount and a key: one UPDATE would move the
    first of two only.
    """
    keys = [key] * len(card_ids) if key is None or isinstance(key, str) else list(key)
    if not len(set(card_ids)) == len(card_ids) == len(amounts) == len(keys):
        raise ValueError("each card once, with an amount and a key")
    done = session.execute(
        _POST_MANY_AND_CROSS if kind in CROSSING_KINDS else _POST_MANY,
        {
            "card_ids": list(card_ids),
            "amounts": list(amounts),
            "account": account,
            "kind": kind,
            "reference": reference,
            "actor": str(actor),
            "reason": reason,
            "keys": keys,
            "now": now,
        },
    )
    return list(done.scalars())
