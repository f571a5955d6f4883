"""Two-person consent: somebody asks to do one act, another person says yes or no, and a yes counts once.

What is consented to is exact: the action, its subject and its facts (amount, target, file) go into one fingerprint, so
that a yes for 100.00 never pays 1,000.00. The act itself calls `need` in its own transaction, which uses the yes up; an
act that fails leaves it unused. Which acts need one is a matter of settings and is decided where the act is.

There are two people, each known: the command line without a proof of who sits there asks for nothing and uses nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from engine import settings
from engine.actor import Actor
from engine.db import Database, reruns
from engine.errors import Conflict, ConsentNeeded, Forbidden, InvalidInput, NotFound
from engine.idempotency import canonical, fingerprint
from engine.names import check_control, checked_reason
from engine.people import audit, hands
from engine.permissions import PERMISSIONS, command, require
from engine.schema import Consent

LONGEST_SUBJECT = 200
LONGEST_FACTS = 4_000
"""Characters of the facts, written as JSON."""
DEEPEST_FACTS = 4
_PEOPLE = ("staff", "reseller")


@dataclass(frozen=True, slots=True)
class ConsentView:
    """A consent as lists show it. `state`: open, approved, refused, used or expired, as of the time it was read."""

    id: int
    action: str
    subject: str
    facts: dict[str, Any]
    asked_by: str
    asked_name: str
    reason: str | None
    asked_at: datetime
    expires_at: datetime
    decided_by: str | None
    decided_name: str | None
    decided_at: datetime | None
    used_at: datetime | None
    state: str


def need(
    session: Session,
    actor: Actor,
    action: str,
    subject: str,
    facts: dict[str, Any],
    now: datetime,
    *,
    use: bool = True,
) -> int | None:
    """Use up this actor's approved consent to exactly these facts, in the caller's transaction; returns its number.

    `facts` are plain values that JSON can hold, amounts in micro-units, never a secret. The system needs none (None).
    Of several acts that race for one consent one gets it. `use=False` only asks whether there is one, for an act that
    is long and ends with the use. A yes is worth as much as who gave it: nothing, once they are disabled or may no
    longer decide. Raises `ConsentNeeded` (data: action, subject, facts; "consent_at_console" for the command line).
    """
    if actor.kind == "system":
        return None
    if actor.kind not in _PEOPLE:
        raise ConsentNeeded("consent_at_console", action=action, subject=subject, facts=facts)
    asked = fingerprint(action, subject, facts)
    _take_turns(session, asked)
    approved = session.scalars(
        select(Consent)
        .where(
            Consent.fingerprint == asked,
            Consent.asked_by == str(actor),
            Consent.approved.is_(True),
            Consent.used_at.is_(None),
            Consent.expires_at > now,
        )
        .order_by(Consent.id)
        .with_for_update()
    ).all()
    standing = (row for row in approved if hands.may_still(session, row.decided_by or "", "consent.decide"))
    row = next(standing, None)
    if row is None:
        raise ConsentNeeded("consent_needed", action=action, subject=subject, facts=facts)
    if use:
        row.used_at = now
        session.flush()
    return row.id


@command("consent.ask")
@reruns
def ask(
    db: Database,
    *,
    action: str,
    subject: str,
    facts: dict[str, Any],
    reason: str,
    actor: Actor,
    now: datetime,
) -> int:
    """Ask for a second person's consent to one act, and return its number; again while it is open, the same number.

    Whoever may not do the act may not ask for it either, nor may the command line without a proof of who sits there.
    Raises `Forbidden` (not_permitted, consent_asked_by_person), `InvalidInput` (unknown_action, reason_missing,
    too_long, control_character, bad_facts).
    """
    if actor.kind not in _PEOPLE:
        raise Forbidden("consent_asked_by_person")
    if action not in PERMISSIONS:
        raise InvalidInput("unknown_action", field="action", value=action)
    require(actor, action)
    why = checked_reason(reason, required=True)
    _check_subject(subject)
    _check_facts(facts)
    asked = fingerprint(action, subject, facts)
    with db.begin() as session:
        _take_turns(session, asked)
        open_id = session.scalar(
            select(Consent.id).where(
                Consent.fingerprint == asked,
                Consent.asked_by == str(actor),
                Consent.decided_at.is_(None),
                Consent.expires_at > now,
            )
        )
        if open_id is not None:
            return open_id
        row = Consent(
            action=action,
            subject=subject,
            facts=facts,
            fingerprint=asked,
            asked_by=str(actor),
            asked_name=actor.name,
            reason=why,
            asked_at=now,
            expires_at=now + timedelta(hours=settings.load(session).consent_hours),
        )
        session.add(row)
        session.flush()
        audit.record(
            session,
            actor,
            "consent.ask",
            f"consent:{row.id}",
            now,
            reason=why,
            asked={"action": action, "subject": subject, "facts": facts},
        )
        return row.id


@command("consent.decide")
@reruns
def decide(
    db: Database, *, consent_id: int, approve: bool, actor: Actor, now: datetime, reason: str | None = None
) -> ConsentView:
    """Say yes or no to what somebody else asked. Saying the same again changes nothing.

    The one who decides is a person who proved who they are: never the command line by itself, never whoever asked, nor
    a log-in that is in the asker's hand (`engine.people.hands`). Raises `Forbidden` (consent_own, consent_one_hand,
    consent_by_person), `NotFound`, `Conflict` (consent_decided, consent_expired), `InvalidInput` as for a reason.
    """
    if actor.kind != "staff":
        raise Forbidden("consent_by_person")
    why = checked_reason(reason)
    with db.begin() as session:
        row = session.get(Consent, consent_id, with_for_update=True)
        if row is None:
            raise NotFound("consent_not_found", id=consent_id)
        if row.asked_by == str(actor):
            raise Forbidden("consent_own")
        if row.decided_at is not None:
            if row.decided_by == str(actor) and row.approved is approve:
                return _view(row, now)
            raise Conflict("consent_decided", name=row.decided_name)
        if row.expires_at <= now:
            raise Conflict("consent_expired")
        if approve and hands.in_one_hand(session, row.asked_by, str(actor), row.asked_at):
            raise Forbidden("consent_one_hand", days=hands.KEPT_DAYS)
        row.approved = approve
        row.decided_by, row.decided_name, row.decided_at = str(actor), actor.name, now
        audit.record(
            session,
            actor,
            "consent.decide",
            f"consent:{row.id}",
            now,
            reason=why,
            approved=approve,
            asked={"action": row.action, "subject": row.subject, "facts": row.facts},
        )
        session.flush()
        return _view(row, now)


def show(db: Database, consent_id: int, now: datetime) -> ConsentView:
    """One consent. Raises `NotFound`."""
    with db.begin() as session:
        row = session.get(Consent, consent_id)
        if row is None:
            raise NotFound("consent_not_found", id=consent_id)
        return _view(row, now)


def list_open(db: Database, now: datetime) -> list[ConsentView]:
    """What waits for somebody's yes or no, oldest first."""
    with db.begin() as session:
        rows = session.scalars(
            select(Consent).where(Consent.decided_at.is_(None), Consent.expires_at > now).order_by(Consent.id)
        )
        return [_view(row, now) for row in rows]


def list_consents(
    db: Database, now: datetime, *, asked_by: str | None = None, before: int | None = None, limit: int = 50
) -> list[ConsentView]:
    """Consents of any state, newest first; `before`: the number of the last one seen, for the next page."""
    wanted = select(Consent).order_by(Consent.id.desc()).limit(limit)
    if asked_by is not None:
        wanted = wanted.where(Consent.asked_by == asked_by)
    if before is not None:
        wanted = wanted.where(Consent.id < before)
    with db.begin() as session:
        return [_view(row, now) for row in session.scalars(wanted)]


def _take_turns(session: Session, asked: bytes) -> None:
    """Whoever asks for or uses a consent to the same facts waits for the other's transaction."""
    session.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended('consent ' || :asked, 0))"),
        {"asked": asked.hex()},
    )


def _check_subject(subject: str) -> None:
    if not subject.strip():
        raise InvalidInput("empty", field="subject")
    if len(subject) > LONGEST_SUBJECT:
        raise InvalidInput("too_long", field="subject", high=LONGEST_SUBJECT)
    check_control(subject, field="subject")


def _check_facts(facts: dict[str, Any]) -> None:
    """Facts that the one who decides can read: plain values, no control characters, not too many of them."""
    _check_fact(facts, DEEPEST_FACTS)
    if len(canonical(facts)) > LONGEST_FACTS:
        raise InvalidInput("too_long", field="facts", high=LONGEST_FACTS)


def _check_fact(value: Any, depth: int) -> None:
    if isinstance(value, str):
        check_control(value, field="facts")
    elif isinstance(value, dict | list):
        if depth == 0:
            raise InvalidInput("bad_facts", field="facts")
        for part in [*value, *value.values()] if isinstance(value, dict) else value:
            _check_fact(part, depth - 1)
    elif value is not None and not (isinstance(value, bool | int) and abs(value) < 2**63):
        raise InvalidInput("bad_facts", field="facts")


def _view(row: Consent, now: datetime) -> ConsentView:
    if row.used_at is not None:
        state = "used"
    elif row.approved is False:
        state = "refused"
    elif row.expires_at <= now:
        state = "expired"
    else:
        state = "approved" if row.approved else "open"
    return ConsentView(
        row.id,
        row.action,
        row.subject,
        row.facts,
        row.asked_by,
        row.asked_name,
        row.reason,
        row.asked_at,
        row.expires_at,
        row.decided_by,
        row.decided_name,
        row.decided_at,
        row.used_at,
        state,
    )
