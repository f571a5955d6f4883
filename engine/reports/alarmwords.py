"""What each alarm means and what to do about it, as sentences whose facts are still values (`engine.telling`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from engine import alarms
from engine.alarms import AlarmView
from engine.cards.names import actor_names
from engine.db import Database
from engine.errors import NotFound
from engine.messages import sentence
from engine.money import Money
from engine.schema import Alarm
from engine.telling import Fact, Said, Serial, Span, Typed, joined, said

_UNKNOWN = (
    said("Something happened that a person should look at."),
    said("Look at the log of that time, then clear the alarm."),
)


@dataclass(frozen=True, slots=True)
class AlarmTold:
    """An alarm in words: what is the matter, and what to do. `to` and `key` name what it leads to.

    `to`: a `switch`, `work`, `job`, `account`, `rule`, `card`, `attempts`, `payment` or None; `key`: its number, name
    or serial.
    """

    alarm: AlarmView
    matter: Said
    advice: Said
    to: str | None
    key: str | None


def told(alarm: AlarmView) -> AlarmTold:
    """An alarm in words. One whose facts are not as they should be is still told, in general words."""
    tell = TOLD.get(alarm.kind)
    to, _, key = alarm.subject.partition(":")
    try:
        matter, advice = tell(alarm.data, key) if tell is not None else _UNKNOWN
    except (KeyError, TypeError, ValueError):
        matter, advice = _UNKNOWN
    if alarm.kind == "books":
        to, _, key = str(alarm.data.get("about", "")).partition(":")
    if alarm.kind in ("guessing", "lock_storm"):
        to, key = "attempts", ""
    to = "rule" if to == "auto_recharge" else to
    known = to in ("switch", "work", "job", "account", "rule", "card", "attempts", "payment")
    return AlarmTold(alarm, matter, advice, to if known else None, key or None)


PAGE = 50


@dataclass(frozen=True, slots=True)
class AlarmPage:
    """Cleared alarms, those opened last first, each with the name of who cleared it; `older`: where it goes on."""

    lines: tuple[tuple[AlarmTold, str], ...]
    older: int | None


def open_told(db: Database) -> tuple[AlarmTold, ...]:
    """Every open alarm in words, the gravest first."""
    return tuple(told(alarm) for alarm in alarms.open_alarms(db))


def cleared_told(db: Database, before: int | None = None) -> AlarmPage:
    """Cleared alarms in words, under the number `before`."""
    wanted = select(Alarm).where(Alarm.cleared_at.is_not(None)).order_by(Alarm.id.desc()).limit(PAGE + 1)
    if before is not None:
        wanted = wanted.where(Alarm.id < before)
    with db.begin() as session:
        found = [alarms.view_of(row) for row in session.scalars(wanted)]
        names = actor_names(session, (alarm.cleared_by for alarm in found))
    lines = tuple((told(alarm), names.get(alarm.cleared_by or "", "")) for alarm in found[:PAGE])
    return AlarmPage(lines, found[PAGE - 1].id if len(found) > PAGE else None)


def find_told(db: Database, alarm_id: int) -> AlarmTold:
    """One alarm in words. Raises `NotFound` ("alarm_not_found")."""
    with db.begin() as session:
        row = session.get(Alarm, alarm_id)
        if row is None:
            raise NotFound("alarm_not_found", id=alarm_id)
        return told(alarms.view_of(row))


Words = tuple[Said, Said]


def _lost_calls(data: dict[str, Any], switch: str) -> Words:
    one = data["calls"] == 1
    return (
        said(
            "The switch {switch} never said that a call ended, so Cardtone closed it."
            if one
            else "The switch {switch} never said that {calls} calls ended, so Cardtone closed them.",
            switch=Typed(switch),
            calls=int(data["calls"]),
        ),
        said(
            "See whether the switch reaches Cardtone at the end of each call, then look at the flagged calls."
        ),
    )


def _guessing(data: dict[str, Any], _: str) -> Words:
    return (
        said(
            "Passwords are being guessed: over all cards more than {rate} wrong ones come in a minute.",
            rate=int(data["more_than_a_minute"]),
        ),
        said("Look where the refused tries come from, and shut that source out at the switch."),
    )


def _lock_storm(data: dict[str, Any], _: str) -> Words:
    return (
        said(
            "Wrong passwords locked {locks} cards within {span}. So that nobody can lock out everybody, no more cards"
            " are locked for now; they are only made to wait.",
            locks=int(data["locks"]),
            span=Span(int(data["within_seconds"])),
        ),
        said("Look where the refused tries come from, shut that source out, then unlock the cards together."),
    )


def _account_exhausted(data: dict[str, Any], _: str) -> Words:
    return (
        said(
            "The account {account} can't pay what the auto-recharge {rule} asks of it, last for the card {card}.",
            account=Typed(str(data["account"])),
            rule=Typed(str(data["rule"])),
            card=_card(data["card"]),
        ),
        said("Make a deposit, or raise the account's limit. What was missed is then made up for by itself."),
    )


def _auto_recharge_failed(data: dict[str, Any], _: str) -> Words:
    return (
        said(
            "The auto-recharge {rule} could not recharge the card {card}. {why}",
            rule=Typed(str(data["rule"])),
            card=_card(data["card"]),
            why=sentence(str(data["error"])),
        ),
        said("Look at the card, and at the rule's threshold and amounts."),
    )


def _job_failed(data: dict[str, Any], _: str) -> Words:
    return (
        said("A job of the timetable fails: {why}", why=Typed(str(data["error"]))),
        said("See in its history since when. It is tried again by itself; once it works, this alarm goes."),
    )


def _job_hung(data: dict[str, Any], _: str) -> Words:
    return (
        said(
            "A job of the timetable has been running since {since}, longer than it may.",
            since=datetime.fromisoformat(str(data["since"])),
        ),
        said("If it does not end, start the jobs process again; the job's turn is then done anew."),
    )


def _work_failed(data: dict[str, Any], _: str) -> Words:
    why = str(data["error"] or "").partition(": ")[2]
    return (
        said("Background work failed: {why}", why=Typed(why)),
        said("Mend what it names and let the work go on, or clear this where it is no longer wanted."),
    )


def _books(data: dict[str, Any], _: str) -> Words:
    kind, _, serial = str(data["about"]).partition(":")
    about: Fact = _card(serial) if kind == "card" else Typed(str(data["about"]))
    return (
        said(
            "The self-check of the books found something wrong with {about}. {what}",
            about=about,
            what=Typed(str(data["detail"])),
        ),
        said(
            "The card, where it is one, is locked. Compare its ledger with its balance before you unlock it."
        ),
    )


def _partitions(data: dict[str, Any], table: str) -> Words:
    return (
        said(
            "The monthly tables of {what} are made for only {months} more months.",
            what={"cdr": "calls", "attempt": "refused tries"}.get(table, "calls"),
            months=int(data["months_ahead"]),
        ),
        said("Run the job that makes them. If it fails, its history says why."),
    )


def _payment_not_credited(data: dict[str, Any], _: str) -> Words:
    return (
        said(
            "{amount} were paid online for the card {card}, which could not take it.",
            amount=Money(int(data["amount"]), str(data["currency"])),
            card=_card(data["serial"]),
        ),
        joined(
            Said(sentence(str(data["reason"]))),
            said("Mend that and credit it again, or give the money back where it was paid."),
        ),
    )


def _payment_unknown(data: dict[str, Any], _: str) -> Words:
    return (
        said(
            "The payment service told of {amount} that nobody here asked for.",
            amount=Money(int(data["amount"]), str(data["currency"])),
        ),
        said("See there who paid it and for what, and give it back."),
    )


def _refund_not_taken(data: dict[str, Any], _: str) -> Words:
    return (
        said(
            "{amount} of an online payment went back to who paid it, but the card {card} could give back only {taken}.",
            amount=Money(int(data["amount"]), str(data["currency"])),
            card=_card(data["serial"]),
            taken=Money(int(data["taken"]), str(data["currency"])),
        ),
        said("The rest was spent. If the card was replaced, take it off the new one."),
    )


TOLD: dict[str, Callable[[dict[str, Any], str], Words]] = {
    "lost_calls": _lost_calls,
    "guessing": _guessing,
    "lock_storm": _lock_storm,
    "account_exhausted": _account_exhausted,
    "auto_recharge_failed": _auto_recharge_failed,
    "payment_not_credited": _payment_not_credited,
    "payment_unknown": _payment_unknown,
    "refund_not_taken": _refund_not_taken,
    "job_failed": _job_failed,
    "job_hung": _job_hung,
    "work_failed": _work_failed,
    "books": _books,
    "partitions": _partitions,
}
"""What tells each kind, from its facts and what stands behind the colon of its subject."""


def _card(serial: Any) -> Fact:
    text = str(serial)
    return Serial(text) if text.isascii() and text.isdecimal() else Typed(text)
