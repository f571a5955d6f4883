"""Auto-recharge: a card whose balance falls under a threshold by a call or a fee is recharged from a funding account.

The statement that takes money from a card notes in itself which thresholds its balance fell under (`ledger.crossings`):
a crossing is the rule, the card and the entry, and counts once. `run_due` does what is noted, each in a transaction of
its own; `catch_up` finds what was missed and enrols the cards that a rule's filter fits. A rule is armed again once the
balance is back at its threshold, since only then can it fall under it again. Holds don't count.

What became of a crossing: `done`; `capped`, where a limit of the day or month is reached; `recovered`, where somebody
else had brought the balance back before; `disabled` and `withdrawn`; what the card's state refuses, such as `locked`;
and any other rule of the business that a recharge would break, such as `amount_too_large`, which raises an alarm.
`account_exhausted` stays open and is tried again when its account has enough. What failed in a way that nobody foresaw
stays open too: it raises an alarm and is tried again, after those that weren't tried yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import text
from sqlalchemy.orm import Session

from engine import alarms, settings
from engine.actor import SYSTEM
from engine.cards.serials import serial_of
from engine.cards.status import end_of_day
from engine.db import Database, reruns
from engine.errors import EngineError, EngineUnavailable
from engine.funds.autorules import enrol_by_filters
from engine.funds.recharges import lock_target, recharge_refusal, recharge_step
from engine.house import zone_of

EXHAUSTED = "account_exhausted"
AGAIN = timedelta(minutes=5)
"""How long a crossing that failed unforeseen waits before it is tried again."""

_DUE = text(
    """
    SELECT x.card_id, x.rule_id, x.entry_id
    FROM auto_recharge_crossing x
    JOIN auto_recharge_rule r ON r.id = x.rule_id JOIN account a ON a.id = r.account_id
    WHERE x.done_at IS NULL AND (x.tried_at IS NULL OR x.tried_at <= :tried)
        AND (x.outcome IS NULL OR r.disabled_at IS NOT NULL
            OR (a.closed_at IS NULL AND a.balance - r.amount >= -a.credit_limit))
    ORDER BY x.tried_at NULLS FIRST, x.at, x.card_id, x.entry_id LIMIT :limit
    """
)


def run_due(db: Database, now: datetime, limit: int = 500) -> int:
    """Do up to `limit` crossings that are due; returns how many are done with, whatever came of them.

    May be run by many at once, killed, and run again: a crossing never recharges twice. One that fails keeps no other
    from its turn.
    """
    done = 0
    for row in _due(db, limit, now):
        try:
            done += _do(db, row.card_id, row.rule_id, row.entry_id, now)
        except Exception as error:  # whatever it was: the next crossing is another customer's
            _note_failure(db, row.card_id, row.rule_id, row.entry_id, error, now)
    return done


@reruns
def _due(db: Database, limit: int, now: datetime) -> Sequence[Any]:
    with db.begin() as session:
        return session.execute(_DUE, {"limit": limit, "tried": now - AGAIN}).all()


@reruns
def _note_failure(
    db: Database, card_id: int, rule_id: int, entry_id: int, error: Exception, now: datetime
) -> None:
    """Put a crossing that failed unforeseen behind the others, and raise an alarm. A lost database raises here."""
    with db.begin() as session:
        failed = session.execute(
            text(
                "UPDATE auto_recharge_crossing SET tried_at = :now WHERE card_id = :card AND rule_id = :rule"
                " AND entry_id = :entry AND done_at IS NULL RETURNING 1"
            ),
            {"card": card_id, "rule": rule_id, "entry": entry_id, "now": now},
        )
        if failed.one_or_none() is None:
            return  # somebody else did it meanwhile
        name = session.scalar(text("SELECT name FROM auto_recharge_rule WHERE id = :id"), {"id": rule_id})
        code = error.code if isinstance(error, EngineError) else type(error).__name__
        _alarm(session, rule_id, name or "", card_id, code, now)


def _alarm(session: Session, rule_id: int, rule: str, card_id: int, error: str, now: datetime) -> None:
    """One for each rule: a rule that fails on one card fails on many."""
    subject = f"auto_recharge:{rule_id}"
    facts = {"rule": rule, "card": serial_of(card_id), "error": error}
    alarms.raise_alarm(session, "auto_recharge_failed", subject, now, **facts)


@dataclass(frozen=True, slots=True)
class _Outcome:
    word: str
    payment_id: int | None = None


@reruns
def _do(db: Database, card_id: int, rule_id: int, entry_id: int, now: datetime) -> bool:
    """Do one crossing; False where it is not done with now, or somebody else did it meanwhile."""
    which = {"card": card_id, "rule": rule_id, "entry": entry_id}
    with db.begin() as session:
        card = lock_target(session, card_id)
        crossing = session.execute(
            text(
                "SELECT outcome FROM auto_recharge_crossing WHERE card_id = :card AND rule_id = :rule"
                " AND entry_id = :entry AND done_at IS NULL FOR UPDATE"
            ),
            which,
        ).one_or_none()
        if crossing is None:
            return False
        outcome = _recharge(session, card, rule_id, entry_id, now)
        waits = outcome.word == EXHAUSTED
        if waits and crossing.outcome == EXHAUSTED:
            return False  # it waited before
        session.execute(
            text(
                "UPDATE auto_recharge_crossing SET outcome = :word, payment_id = :payment, done_at = :done"
                " WHERE card_id = :card AND rule_id = :rule AND entry_id = :entry"
            ),
            {**which, "word": outcome.word, "payment": outcome.payment_id, "done": None if waits else now},
        )
        return not waits


def _recharge(session: Session, card: Any, rule_id: int, entry_id: int, now: datetime) -> _Outcome:
    rule = session.execute(
        text(
            "SELECT r.*, m.card_id IS NOT NULL AS enrolled, a.name AS account FROM auto_recharge_rule r"
            " JOIN account a ON a.id = r.account_id"
            " LEFT JOIN auto_recharge_member m ON m.rule_id = r.id AND m.card_id = :card WHERE r.id = :rule"
        ),
        {"rule": rule_id, "card": card.id},
    ).one()
    zone = zone_of(settings.load(session))
    refusal = _refusal(session, card, rule, now, zone)
    if refusal is not None:
        return _Outcome(refusal)
    try:
        with session.begin_nested():
            done = recharge_step(
                session,
                card,
                rule.amount,
                method="auto",
                actor=SYSTEM,
                now=now,
                zone=zone,
                account_id=rule.account_id,
                reason=f"Auto-recharge {rule.name}",
                key=f"auto:{rule_id}:{card.id}:{entry_id}",
            )
    except EngineUnavailable:
        raise
    except EngineError as error:
        if error.code not in (EXHAUSTED, "account_not_found"):
            # Asked again it would break the same rule again.
            _alarm(session, rule_id, rule.name, card.id, error.code, now)
            return _Outcome(error.code)
        alarms.raise_alarm(
            session,
            "account_exhausted",
            f"account:{rule.account_id}",
            now,
            account=rule.account,
            rule=rule.name,
            card=serial_of(card.id),
        )
        return _Outcome(EXHAUSTED)
    return _Outcome("done", done.payment_id)


def _refusal(session: Session, card: Any, rule: Any, now: datetime, zone: ZoneInfo) -> str | None:
    """Why a rule recharges a card not now, after all, or None."""
    if rule.disabled_at is not None:
        return "disabled"
    if not rule.enrolled:
        return "withdrawn"
    if card.balance >= rule.threshold:
        return "recovered"
    reason = recharge_refusal(card, now, zone)
    if reason is not None:
        return reason
    day, month = periods(now, zone)
    for limit, since in ((rule.day_limit, day), (rule.month_limit, month)):
        if limit is not None and _given(session, card.id, rule.id, since) + rule.amount > limit:
            return "capped"
    return None


def periods(now: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """When the day and the month of `now` began in the operator's zone."""
    today = now.astimezone(zone).date()
    one = timedelta(days=1)
    return end_of_day(today - one, zone), end_of_day(today.replace(day=1) - one, zone)


def _given(session: Session, card_id: int, rule_id: int, since: datetime) -> int:
    given = session.scalar(
        text(
            "SELECT sum(p.amount) FROM auto_recharge_crossing x JOIN payment p ON p.id = x.payment_id"
            " WHERE x.card_id = :card AND x.rule_id = :rule AND p.at >= :since"
        ),
        {"card": card_id, "rule": rule_id, "since": since},
    )
    return int(given or 0)


# An entry of a call that the operator bore a part of: that part was never on the card.
_BORNE = """coalesce((
    SELECT sum(o.amount) FROM ledger_entry o
    WHERE o.card_id = e.card_id AND o.id < e.id AND o.kind = 'overrun' AND o.reference = e.reference AND o.at = e.at
), 0)"""
_MISSED = text(
    f"""
    INSERT INTO auto_recharge_crossing (card_id, rule_id, entry_id, at)
    SELECT m.card_id, r.id, last.id, :now
    FROM auto_recharge_rule r
    JOIN auto_recharge_member m ON m.rule_id = r.id
    JOIN card c ON c.id = m.card_id AND c.balance < r.threshold AND c.damaged_at IS NULL
    CROSS JOIN LATERAL (
        SELECT e.id FROM ledger_entry e
        WHERE e.card_id = c.id AND e.at >= m.since AND e.at > r.armed_since
            AND e.kind IN ('usage', 'correction', 'fee')
            AND e.balance_after < r.threshold AND e.balance_after - e.amount - {_BORNE} >= r.threshold
        ORDER BY e.id DESC LIMIT 1
    ) last
    WHERE r.disabled_at IS NULL
        AND NOT EXISTS (
            SELECT 1 FROM auto_recharge_crossing x
            WHERE x.card_id = m.card_id AND x.rule_id = r.id AND x.entry_id >= last.id
        )
    ORDER BY m.card_id
    ON CONFLICT DO NOTHING
    RETURNING card_id
    """
)


def catch_up(db: Database, now: datetime) -> int:
    """Enrol the cards that a rule's filter fits, and note crossings of enrolled cards that were missed; returns how
    many of both there were.

    Missed is the last crossing of a card that is still under the threshold, since it was enrolled and since the rule
    stands as it is: with this threshold, and in force. A card that was under it before has crossed nothing.
    """
    enrolled = enrol_by_filters(db, now)
    return enrolled + _note_missed(db, now)


@reruns
def _note_missed(db: Database, now: datetime) -> int:
    with db.begin() as session:
        return len(session.execute(_MISSED, {"now": now}).all())
