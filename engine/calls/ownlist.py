"""A card's calls as its holder may read them: each with what explains its charge, page by page by key.

Corrections are laid over what they corrected. What belongs to the operator alone (switches, references, causes) is left
out.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import text

from engine import house
from engine.calls import countries
from engine.calls.cdrs import CallRow, Key, read_calls
from engine.calls.prices import LONGEST_WANTED, digits_of
from engine.cards.lines import live_calls
from engine.cards.searchform import a_range, a_time
from engine.db import Database
from engine.phone import parse_destination

PAGE = 20
Place = tuple[datetime, int]


@dataclass(frozen=True, slots=True)
class OwnCall:
    """A call that ended. Amounts in micro-units of `currency`; `charged` is what the card paid of `cost`.

    `why` is how it came to its cost: `not_answered`, `no_talk` (answered, yet no second is known), `grace` (short
    enough to be free), `free` (billed, at no price) or `billed`. `price_per_minute` holds `access_per_minute`, the
    access number's surcharge; `connect_fee`, `access_per_call` and `post_call_fee` are apart from each other.
    `country` is ISO, or None.
    """

    id: int
    began_at: datetime
    ended_at: datetime
    caller: str | None
    destination: str
    destination_name: str
    country: str | None
    why: str
    talked_s: int
    billed_s: int
    first_increment: int
    increment: int
    grace: int
    price_per_minute: int
    access_per_minute: int
    connect_fee: int
    access_per_call: int
    post_call_fee: int
    cost: int
    charged: int
    balance_after: int
    currency: str
    corrected: bool

    @property
    def borne(self) -> int:
        """What the card could not pay."""
        return self.cost - self.charged


@dataclass(frozen=True, slots=True)
class LiveNow:
    """A call that goes on. `hold` is what is kept for it, in micro-units."""

    destination: str
    destination_name: str
    country: str | None
    began_at: datetime
    answered_at: datetime | None
    hold: int


@dataclass(frozen=True, slots=True)
class CallWish:
    """Which calls are looked for: those that began to end in a span (either end may be open), and `to` whom."""

    ended: tuple[datetime | None, datetime | None] = (None, None)
    to: str = ""

    @property
    def narrow(self) -> bool:
        """Whether it leaves anything out."""
        return self.ended != (None, None) or bool(self.to)


@dataclass(frozen=True, slots=True)
class OwnCalls:
    """A page of calls, newest first; `older` and `newer` are where the pages beside it begin, None where none is."""

    calls: tuple[OwnCall, ...]
    older: Place | None
    newer: Place | None


def wish(first: str, last: str, to: str, zone: ZoneInfo) -> CallWish:
    """What a form asks for: days as `2026-11-30`, both included, and a number, country or destination.

    Raises `InvalidInput` (bad_date, range_backwards) with its `field`: ended_from, ended_to.
    """
    span = span_of("ended", first, last, zone)
    return CallWish(span, " ".join(to[:LONGEST_WANTED].split()))


def span_of(name: str, first: str, last: str, zone: ZoneInfo) -> tuple[datetime | None, datetime | None]:
    """The instants of days, the second not included. Raises `InvalidInput` (bad_date, range_backwards)."""
    begin = a_time(f"{name}_from", first.strip(), zone, is_end=False) if first.strip() else None
    end = a_time(f"{name}_to", last.strip(), zone, is_end=True) if last.strip() else None
    return a_range(name, begin, end) or (None, None)


def own_calls(
    db: Database,
    card_id: int,
    wanted: CallWish,
    *,
    before: Place | None = None,
    after: Place | None = None,
    limit: int = PAGE,
) -> OwnCalls:
    """Calls of a card, those that ended last first: behind `before`, or those that come just in front of `after`."""
    backwards = after is not None
    keys = _keys(db, card_id, wanted, after if backwards else before, backwards, limit + 1)
    more = len(keys) > limit
    keys = keys[:limit]
    if backwards:
        keys.reverse()
    calls = tuple(_call(row) for row in read_calls(db, keys))
    if not keys:
        return OwnCalls((), None, None)
    first, last = (keys[0][1], keys[0][2]), (keys[-1][1], keys[-1][2])
    if backwards:
        return OwnCalls(calls, last, first if more else None)
    return OwnCalls(calls, last if more else None, None if before is None else first)


def live_now(db: Database, card_id: int) -> tuple[LiveNow, ...]:
    """The calls of a card that go on now."""
    with db.begin() as session:
        return tuple(
            LiveNow(
                one.destination,
                one.destination_name,
                countries.country_of(one.destination),
                one.authorized_at,
                one.answered_at,
                one.hold,
            )
            for one in live_calls(session, card_id)
        )


def _keys(
    db: Database, card_id: int, wanted: CallWish, place: Place | None, backwards: bool, limit: int
) -> list[Key]:
    conditions, given = _conditions(db, wanted)
    sign, order = (">", "ASC") if backwards else ("<", "DESC")
    if place is not None:
        conditions.append(f"ended_at {sign}= :place_at AND (ended_at, id) {sign} (:place_at, :place_id)")
        given |= {"place_at": place[0], "place_id": place[1]}
    where = " AND ".join(("card_id = :card_id", *conditions))
    statement = text(
        f"SELECT card_id, ended_at, id FROM cdr WHERE {where} ORDER BY ended_at {order}, id {order} LIMIT :limit"
    )
    with db.begin() as session:
        rows = session.execute(statement, {**given, "card_id": card_id, "limit": limit}).all()
    return [(row.card_id, row.ended_at, row.id) for row in rows]


def _conditions(db: Database, wanted: CallWish) -> tuple[list[str], dict[str, Any]]:
    found: list[str] = []
    given: dict[str, Any] = {}
    first, end = wanted.ended
    if first is not None:
        found.append("ended_at >= :first")
        given["first"] = first
    if end is not None:
        found.append("ended_at < :end")
        given["end"] = end
    if wanted.to:
        digits = digits_of(wanted.to)
        if digits is not None:
            found.append("strpos(destination, :digits) > 0")
            given["digits"] = _sought_digits(db, digits)
        else:
            named, more = _named(wanted.to)
            found.append(named)
            given |= more
    return found, given


def _sought_digits(db: Database, digits: str) -> str:
    """A number as it stands in a CDR, or the part of it that was given."""
    target = parse_destination(digits, house.current(db).settings.home_country or None)
    return target.e164 if target is not None else digits.lstrip("+").lstrip("0") or "0"


def _named(to: str) -> tuple[str, dict[str, Any]]:
    """Calls to a destination that is called so, or to a country that is, in any language."""
    named = countries.find(to, "en")
    sure = named.exact or (named.others[0] if len(named.others) == 1 else None)
    numbers = countries.dialled(sure) if sure else None
    plain = "strpos(lower(destination_name), lower(:name)) > 0"
    given = {"name": to.replace("\0", "\N{REPLACEMENT CHARACTER}")}
    if numbers is None:
        return plain, given
    return f"({plain} OR destination ~ :numbers)", {**given, "numbers": numbers}


def _call(row: CallRow) -> OwnCall:
    call, told = row.call, row.told
    return OwnCall(
        id=call.id,
        began_at=call.authorized_at,
        ended_at=call.ended_at,
        caller=call.caller,
        destination=call.destination,
        destination_name=call.destination_name,
        country=countries.country_of(call.destination),
        why=_why(told),
        talked_s=told.duration_s,
        billed_s=told.billed_s,
        first_increment=call.first_increment,
        increment=call.increment,
        grace=call.grace,
        price_per_minute=call.price_per_minute,
        access_per_minute=call.access_per_minute,
        connect_fee=call.connect_fee - call.access_per_call - call.post_call_fee,
        access_per_call=call.access_per_call,
        post_call_fee=call.post_call_fee,
        cost=told.cost,
        charged=told.charged,
        balance_after=told.balance_after,
        currency=call.currency,
        corrected=call.correction is not None,
    )


def _why(call: Any) -> str:
    if call.billed_s:
        return "billed" if call.cost else "free"
    if call.answered_at is None and call.duration_s == 0:
        return "not_answered"
    return "grace" if call.duration_s else "no_talk"
