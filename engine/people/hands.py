"""Whether two log-ins are two people: whoever makes a log-in, or takes it over, holds it in their own hand.

Who adds somebody, resets their password or second factor, gives them another role or lets them in again could use that
log-in from then on. The audit trail tells who did, and so tells, for a while, whose yes is worth no more than the
asker's own.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.actor import Actor
from engine.permissions import may
from engine.schema import AuditRow, Staff

KEPT_DAYS = 7
"""So long before a question was asked a log-in counts as in the hand of who made or changed it."""

_TAKING = (
    "staff.add",
    "staff.change",
    "staff.enable",
    "staff.reset_password",
    "staff.reset_totp",
    "reseller_person.add",
    "reseller_person.change",
    "reseller_person.enable",
    "reseller_person.reset_password",
    "reseller_person.reset_totp",
)


def in_one_hand(session: Session, one: str, other: str, asked_at: datetime) -> bool:
    """Whether one of two log-ins (`staff:3`) was in the other's hand, or both in a third's, since `KEPT_DAYS` before.

    Through others, too: who resets the password of somebody who then resets another's holds both. The machine's own
    command line is nobody's hand: people are added there, and who has it has the database, too.
    """
    rows = session.execute(
        select(AuditRow.actor, AuditRow.action, AuditRow.subject, AuditRow.data)
        .where(AuditRow.action.in_(_TAKING), AuditRow.at >= asked_at - timedelta(days=KEPT_DAYS))
        .order_by(AuditRow.id.desc())
    ).all()
    hands = {one: {one}, other: {other}}
    # Backwards in time: a hand counts for what it did before its log-in went on to do something, not after.
    for actor, action, subject, data in rows:
        if ":" not in actor or (action.endswith(".change") and not _role_changed(data)):
            continue
        log_in = subject.replace("reseller_person:", "reseller:")  # as it is called when it acts
        for held in hands.values():
            if log_in in held:
                held.add(actor)
    return not hands[one].isdisjoint(hands[other])


def may_still(session: Session, who: str, permission: str) -> bool:
    """Whether a member of staff (`staff:3`) may log in and do this now, whatever they could when they did it."""
    kind, _, number = who.partition(":")
    row = session.get(Staff, int(number)) if kind == "staff" and number.isdigit() else None
    return (
        row is not None
        and row.disabled_at is None
        and may(Actor("staff", row.id, row.name, row.role), permission)
    )


def _role_changed(data: dict[str, dict[str, str]]) -> bool:
    return data.get("before", {}).get("role") != data.get("after", {}).get("role")
