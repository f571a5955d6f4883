"""The audit trail: who did what to what, when and why, written in the transaction it tells of."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from engine.actor import Actor
from engine.schema import AuditRow


def record(
    session: Session,
    actor: Actor,
    action: str,
    subject: str,
    now: datetime,
    *,
    reason: str | None = None,
    **data: Any,
) -> None:
    """Add one row about a privileged act to the caller's transaction: it stands or falls with what it tells of.

    `action` is `noun.verb`, such as `card.lock`; `subject` names what was acted on, such as `card:10000000017` (by its
    serial) or `staff:3`. `data` holds plain values that JSON can hold: never a secret, never a card number.
    """
    session.add(
        AuditRow(
            at=now,
            actor=str(actor),
            actor_name=actor.name,
            action=action,
            subject=subject,
            reason=reason,
            data=data,
        )
    )
