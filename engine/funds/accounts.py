"""Accounts that recharges and stock are paid from: a reseller's credit, and the operator's funding accounts.

The same form as the ledger of a card: an entry is one movement, the balance their sum, and each write is guarded in
SQL, so that nobody spends under `-credit_limit`. The lock order is card, then call, then account.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from engine.actor import Actor
from engine.errors import NotFound, Refused
from engine.funds.ledger import Entry

_POST = text(
    """
    WITH moved AS (
        UPDATE account SET balance = balance + :amount
        WHERE id = :account_id AND closed_at IS NULL AND (balance + :amount >= -credit_limit OR :amount > 0)
        RETURNING id, balance
    )
    INSERT INTO account_entry
        (account_id, amount, balance_after, kind, reference, actor, reason, idempotency_key, at)
    SELECT id, :amount, balance, :kind, :reference, :actor, :reason, :key, :now FROM moved
    RETURNING id, balance_after
    """
)


def post(
    session: Session,
    *,
    account_id: int,
    amount: int,
    kind: str,
    reference: str,
    actor: Actor,
    now: datetime,
    reason: str | None = None,
    key: str | None = None,
) -> Entry:
    """Move `amount` micro-units, signed as the account sees it.

    `key` makes the entry unique on its account. A shared step: never commits. Raises `Refused` ("account_exhausted")
    where the account has not enough and no credit left, and `NotFound` ("account_not_found": none, or closed).
    """
    row = session.execute(
        _POST,
        {
            "account_id": account_id,
            "amount": amount,
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
    open_ = text("SELECT 1 FROM account WHERE id = :account_id AND closed_at IS NULL")
    if session.scalar(open_, {"account_id": account_id}) is None:
        raise NotFound("account_not_found")
    raise Refused("account_exhausted")
