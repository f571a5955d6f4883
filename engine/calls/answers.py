"""Why was this caller refused? The last refused tries of a card: what was the matter then, and what would be so now.

What was so then is told by the card's timeline and ledger; what is so now by the rules that a call meets, asked without
a trace (`engine.calls.standing`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from engine.calls.standing import Standing, look, verdict
from engine.cards.attempts import AttemptLine, Guard, guard_of, read
from engine.cards.names import actor_names
from engine.cards.serials import card_id_of
from engine.cards.timelinewords import event_said
from engine.db import Database
from engine.errors import InvalidInput, NotFound
from engine.house import current
from engine.messages import sentence
from engine.money import Money
from engine.phone import parse_caller
from engine.refusal import Refusal
from engine.telling import Phone, Said, Span, Typed, Until, joined, said
from engine.vault import Vault

TRIES = 5
_VOUCHERS = ("voucher_used", "voucher_not_allowed", "currency_mismatch")


@dataclass(frozen=True, slots=True)
class RefusedTry:
    """One try: what was the matter `then`, and what is so `now`; `through`: it would be let through by now."""

    attempt: AttemptLine
    then: Said
    now: Said
    through: bool


@dataclass(frozen=True, slots=True)
class Refusals:
    """The last refused tries, newest first. `caller`: whose, where somebody's were asked for (E.164 digits).

    `today` says what a call would meet now where no try was refused; `kept_days`: for how long tries are kept.
    """

    caller: str | None
    tries: tuple[RefusedTry, ...]
    today: Said | None
    kept_days: int


def refusals_of(
    db: Database, vault: Vault, serial: str, now: datetime, *, caller: str | None = None
) -> Refusals:
    """Why a card was refused lately, to everybody or to one `caller` (as people write numbers).

    Raises `NotFound` ("card_not_found"), `InvalidInput` (bad_serial, bad_caller).
    """
    card_id = card_id_of(serial)
    rules = current(db).settings
    e164 = None
    if caller:
        e164 = parse_caller(caller, rules.home_country or None)
        if e164 is None:
            raise InvalidInput("bad_caller", field="caller", value=caller[:40])
    standing = look(db, card_id, now, caller=f"+{e164}" if e164 else None)
    guard = guard_of(db, vault, serial, now)
    if standing is None or guard is None:
        raise NotFound("card_not_found")
    with db.begin() as session:
        attempts = read(session, card_id, caller=e164, limit=TRIES)
        then = [_then(session, standing, attempt) for attempt in attempts]
        causes = [_cause(session, card_id, attempt) for attempt in attempts]
    tries = tuple(
        _told(db, card_id, guard, attempt, before, cause, now)
        for attempt, before, cause in zip(attempts, then, causes, strict=True)
    )
    today = None if tries else _today(db, standing, e164)
    return Refusals(e164, tries, today, rules.attempts_days)


def _told(
    db: Database,
    card_id: int,
    guard: Guard,
    attempt: AttemptLine,
    then: Said,
    cause: Said | None,
    now: datetime,
) -> RefusedTry:
    standing = look(db, card_id, now, caller=f"+{attempt.caller}" if attempt.caller else None)
    if standing is None:
        raise NotFound("card_not_found")
    phone = attempt.door != "web" and attempt.reason not in _VOUCHERS
    judged = verdict(db, standing, attempt.destination if phone else None, bound=phone)
    if isinstance(judged, Refusal):
        again = "as well" if judged.reason == attempt.reason else "for another reason"
        why = _why_now(standing, attempt, judged.reason)
        return RefusedTry(attempt, then, joined(Said(f"Now it would be refused {again}."), why), False)
    if attempt.reason in ("wrong_password", "throttled") and guard.wait_s:
        wait = said("Nobody new is heard for {wait} more.", wait=Span(guard.wait_s))
        return RefusedTry(attempt, then, wait, False)
    return RefusedTry(attempt, then, joined(_through(attempt), cause), True)


def _through(attempt: AttemptLine) -> Said:
    if attempt.reason in _VOUCHERS:
        return said("The card itself would be let through now; a voucher is judged when it is shown.")
    if attempt.reason in ("wrong_password", "throttled", "token_dead"):
        return said("With the right password it would be let through now.")
    return said("Now it would be let through.")


def _today(db: Database, standing: Standing, caller: str | None) -> Said:
    """What an inquiry from this caller, or from anywhere, would meet."""
    judged = verdict(db, standing, None, bound=caller is not None)
    if isinstance(judged, Refusal):
        return joined(said("A call would be refused now."), Said(sentence(judged.reason)))
    if standing.row.balance == 0:
        return said("It may log in, but its balance is zero: a call would be refused now.")
    return said("With the right password it would be let through now.")


# --- what was so then ---


def _then(session: Session, standing: Standing, attempt: AttemptLine) -> Said:
    tell = _THEN.get(attempt.reason)
    if tell is not None:
        return tell(session, standing, attempt)
    return Said(_PLAIN.get(attempt.reason) or sentence(attempt.reason))


_PLAIN = {
    "wrong_password": "The number was right and the password was wrong.",
    "throttled": "Too many wrong passwords had come shortly before, so nobody was heard for a while.",
    "token_dead": "The switch showed a token of this card that had run out or was another phone's.",
    "caller_unknown": "The phone was shown without a password, which isn't enough here.",
    "damaged": "The card had been voided.",
    "not_activated": "The card was held back and not activated.",
    "empty": "Its balance was zero.",
    "caller_required": "The phone withheld its number, and the card works only from phones that show theirs.",
    "too_many_calls": "It was in as many calls already as it may make at a time.",
    "voucher_used": "It was shown as a voucher, and had paid out before.",
    "voucher_not_allowed": "It was shown for something that vouchers, or all but vouchers, can't be used for.",
    "currency_mismatch": "It has another currency than the card that it was to pay into.",
}


def _locked(session: Session, standing: Standing, attempt: AttemptLine) -> Said:
    event = _event(
        session, standing.row.id, "AND at <= :at AND kind = 'lock' ORDER BY at DESC, id DESC", attempt
    )
    if event is None:
        return said("The card was locked.")
    who = actor_names(session, [event.actor])[event.actor]
    told = said("It had been locked on {at} by {who}.", at=event.at, who=Typed(who))
    if "failures" in event.data:
        return joined(
            told, said("{failures} wrong passwords had come.", failures=int(event.data["failures"]))
        )
    reason = event.data.get("reason")
    return joined(told, said("The reason: {reason}.", reason=Typed(str(reason))) if reason else None)


def _expired(session: Session, standing: Standing, attempt: AttemptLine) -> Said:
    moved = _event(
        session, standing.row.id, "AND at > :at AND kind IN ('extend', 'reactivate') ORDER BY at, id", attempt
    )
    end = datetime.fromisoformat(moved.data["before"]) if moved else standing.row.expires_at
    if end is None or end > attempt.at:
        return said("Its validity had ended.")
    return said("Its validity had lasted until {end}.", end=Until(end))


def _poor(session: Session, standing: Standing, attempt: AttemptLine) -> Said:
    balance = session.scalar(
        text(
            "SELECT balance_after FROM ledger_entry WHERE card_id = :card AND at <= :at ORDER BY id DESC LIMIT 1"
        ),
        {"card": standing.row.id, "at": attempt.at},
    )
    return said(
        "Its balance of {balance} did not pay the first seconds of a call to {number}.",
        balance=Money(int(balance or 0), standing.row.currency),
        number=Typed(attempt.destination or ""),
    )


def _not_bound(session: Session, standing: Standing, attempt: AttemptLine) -> Said:
    return said("{caller} is not a phone that the card was bound to.", caller=Phone(attempt.caller or ""))


def _destination(template: str) -> Callable[[Session, Standing, AttemptLine], Said]:
    def tell(session: Session, standing: Standing, attempt: AttemptLine) -> Said:
        return said(template, number=Typed(attempt.destination or "the number"))

    return tell


_THEN: dict[str, Callable[[Session, Standing, AttemptLine], Said]] = {
    "locked": _locked,
    "expired": _expired,
    "insufficient_balance": _poor,
    "caller_not_bound": _not_bound,
    "destination_invalid": _destination("{number} is not a number that can be called."),
    "destination_unknown": _destination("Its deck had no rate for {number}."),
    "destination_barred": _destination("Its destination rules barred {number}."),
}
TOLD = frozenset(_PLAIN) | frozenset(_THEN)
"""The inner reasons of tries that are told in their own words."""


# --- what has changed since, and what is so now ---

_CHANGES = {
    "locked": ("unlock",),
    "expired": ("extend", "reactivate"),
    "not_activated": ("activate",),
    "caller_not_bound": ("bind",),
    "empty": ("recharge", "voucher", "transfer_in", "adjust"),
    "insufficient_balance": ("recharge", "voucher", "transfer_in", "adjust"),
    "destination_barred": ("change_rules",),
    "destination_unknown": ("change_deck",),
    "too_many_calls": ("set_concurrency",),
    "wrong_password": ("reset_password",),
}


def _cause(session: Session, card_id: int, attempt: AttemptLine) -> Said | None:
    """The event that took away what was the matter, where one of the card's did."""
    kinds = _CHANGES.get(attempt.reason)
    if kinds is None:
        return None
    same = "AND data ->> 'caller' = :caller " if attempt.reason == "caller_not_bound" else ""
    event = _event(
        session,
        card_id,
        f"AND at > :at AND kind = ANY(:kinds) {same}ORDER BY at, id",
        attempt,
        kinds=list(kinds),
        **({"caller": attempt.caller} if same else {}),
    )
    if event is None:
        return None
    who = actor_names(session, [event.actor])[event.actor]
    return joined(
        said("Since then, on {at} by {who}:", at=event.at, who=Typed(who)), event_said(event.kind, event.data)
    )


def _why_now(standing: Standing, attempt: AttemptLine, reason: str) -> Said:
    row = standing.row
    if reason == "locked" and row.locked_at is not None:
        told = said("It is locked since {at}.", at=row.locked_at)
        return joined(
            told, said("The reason: {reason}.", reason=Typed(row.lock_reason)) if row.lock_reason else None
        )
    if reason == "expired" and row.expires_at is not None:
        return said("Its validity lasted until {end}.", end=Until(row.expires_at))
    if reason == "insufficient_balance":
        return said(
            "The {available} available don't pay its first seconds.",
            available=Money(standing.available, row.currency),
        )
    if reason == "destination_barred":
        return said("The destination rules {rules} bar it.", rules=Typed(row.rules))
    if reason == "caller_not_bound":
        return said("{caller} is not bound to it.", caller=Phone(attempt.caller or ""))
    return Said(sentence(reason))


def _event(session: Session, card_id: int, rest: str, attempt: AttemptLine, **values: Any) -> Any:
    # `rest` is our own text; what was tried is bound.
    return session.execute(
        text(f"SELECT at, kind, actor, data FROM card_event WHERE card_id = :card {rest} LIMIT 1"),
        {"card": card_id, "at": attempt.at, **values},
    ).one_or_none()
