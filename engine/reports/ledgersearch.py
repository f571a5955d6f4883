"""Ledger entries over all cards, newest first: by kind, account, card, time, amount, reference, actor.

The ledger has no index along its time but a summary of its blocks (BRIN), since every index would cost the call path.
So it is looked through in slices of time, newest first, each of them bounded: a slice with more than `SLICE` entries is
halved before it is read, a sparse one is followed by a wider one. What leads to a few cards (a card, a payment, a
transfer) is gathered by the key of the ledger instead. A page ends after `PATIENCE_S`: it is `partial`, it says how far
it looked back, and the next one goes on there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.cards.serials import card_id_of
from engine.db import Database
from engine.money import parse_currency
from engine.names import sought
from engine.reports.ledgerrows import LedgerRow, read
from engine.reports.moneyfilter import (
    Place,
    Range,
    actors_of,
    amounts_of,
    batch_of,
    chosen,
    given_of,
    plain,
    read_plain,
    span_of,
)
from engine.reports.payments import cards_of, times_of
from engine.schema import Account, CardTransfer, Payment
from engine.schema.funds import LEDGER_KINDS

KINDS = LEDGER_KINDS
ACCOUNTS = ("sales", "usage", "bonus", "transfer", "adjustment", "overrun_loss", "fees", "breakage")
"""Counter accounts by name; a reseller's or funding account stands there as `reseller:7`, `funding:3`."""
FIELDS = (
    *("kind", "account", "serial", "batch", "who", "reference", "at_from", "at_to"),
    *("amount_from", "amount_to", "currency"),
)
"""What a form may ask for."""
PATIENCE_S = 0.09
SLICE = 20_000
"""Entries of one slice; the entries of one second are never parted."""
NARROWEST = timedelta(seconds=1)
FIRST = timedelta(minutes=15)
SUMMED_S = 0.2
"""Summing up ends after this."""
MOST_ROWS = 2_000

_FIELDS = ("kind", "account", "card_ids", "batch_id", "actors", "reference", "at", "amount", "currency")


@dataclass(frozen=True, slots=True)
class LedgerFilter:
    """Entries that meet everything that is set. Ranges include their first end and not their second; None is open.

    `account` is the counter account as the ledger names it. `amount` is signed, as the card sees it.
    """

    kind: str | None = None
    account: str | None = None
    card_ids: tuple[int, ...] | None = None
    batch_id: int | None = None
    actors: tuple[str, ...] | None = None
    reference: str | None = None
    at: Range | None = None
    amount: Range | None = None
    currency: str | None = None


@dataclass(frozen=True, slots=True)
class LedgerList:
    """One page. `older`: where more may follow; None at the end. `partial`: it looked back to the time of `older`."""

    rows: tuple[LedgerRow, ...]
    older: Place | None = None
    partial: bool = False


@dataclass(frozen=True, slots=True)
class KindSum:
    """The entries of one kind in one currency: how many, what they gave to cards and what they took, in micro-units."""

    currency: str
    kind: str
    entries: int
    given: int
    taken: int

    @property
    def amount(self) -> int:
        """Both together, signed as cards see it."""
        return self.given + self.taken


@dataclass(frozen=True, slots=True)
class LedgerSums:
    """What a filter finds, per currency and kind. Not `whole`: only what was written since `since`."""

    sums: tuple[KindSum, ...]
    whole: bool
    since: datetime | None = None


def parse(db: Database, zone: ZoneInfo, texts: Mapping[str, str]) -> LedgerFilter:
    """The filter that texts name (`FIELDS`); what is empty is not looked for. Days and minutes are of `zone`.

    `account` is one of `ACCOUNTS` or the name of a funding or reseller's account; `reference` a document such as
    `payment:3`, `call:12`. Raises `InvalidInput` and `NotFound` with the `field` to blame.
    """
    given = given_of(texts)
    with db.begin() as session:
        account = _account(session, given)
        batch_id = batch_of(session, given)
        actors = actors_of(session, given)
        cards = _cards_of_document(session, given)
    if "serial" in given:
        card = card_id_of(given["serial"])
        cards = (card,) if cards is None or card in cards else ()
    return LedgerFilter(
        kind=chosen("kind", given, KINDS),
        account=account,
        card_ids=cards,
        batch_id=batch_id,
        actors=actors,
        reference=sought(given["reference"]) if "reference" in given else None,
        at=span_of(given, zone),
        amount=amounts_of(given, signed=True),
        currency=parse_currency(given["currency"].upper(), field="currency") if "currency" in given else None,
    )


def _account(session: Session, given: Mapping[str, str]) -> str | None:
    if "account" not in given or given["account"] in ACCOUNTS:
        return given.get("account")
    from_name = select(Account.kind, Account.id).where(Account.name == sought(given["account"]))
    found = session.execute(from_name).one_or_none()
    if found is None:
        chosen("account", given, ACCOUNTS)
        return None
    return f"{found.kind}:{found.id}"


def _cards_of_document(session: Session, given: Mapping[str, str]) -> tuple[int, ...] | None:
    """The cards that a document moved money of, where it is one that says so; None for any other."""
    kind, _, number = given.get("reference", "").partition(":")
    if not number.isdecimal() or not number.isascii() or len(number) > 18:
        return None
    if kind == "payment":
        row = session.execute(
            select(Payment.card_id, Payment.voucher_id).where(Payment.id == int(number))
        ).first()
    elif kind == "transfer":
        moved = select(CardTransfer.from_id, CardTransfer.to_id).where(CardTransfer.id == int(number))
        row = session.execute(moved).first()
    else:
        return None
    return () if row is None else tuple(card for card in row if card is not None)


def to_json(f: LedgerFilter) -> dict[str, Any]:
    """The filter as plain values for JSON; `from_json` reads it back."""
    return plain({field.name: getattr(f, field.name) for field in dataclasses.fields(f)})


def from_json(given: Mapping[str, Any]) -> LedgerFilter:
    """The filter that `to_json` wrote. Raises `InvalidInput` for anything else."""
    return LedgerFilter(**read_plain(given, _FIELDS))


def page(
    db: Database, f: LedgerFilter, now: datetime, *, before: Place | None = None, limit: int = 50
) -> LedgerList:
    """Up to `limit` entries that meet the filter, newest first, behind the place `before`."""
    limit = min(max(limit, 1), MOST_ROWS)
    with db.connection() as conn:
        found, stopped = _collect(conn, f, now, before, limit + 1, PATIENCE_S)
    rows = read(db, found[:limit])
    older = (found[limit - 1].at, found[limit - 1].id) if len(found) > limit else stopped
    return LedgerList(rows, older, len(found) <= limit and stopped is not None)


def block(
    db: Database, f: LedgerFilter, now: datetime, before: Place | None, limit: int
) -> tuple[tuple[LedgerRow, ...], Place | None]:
    """The next entries, however long that takes, and where to go on; for exports."""
    with db.connection() as conn:
        found, stopped = _collect(conn, f, now, before, limit, 5.0)
    full = len(found) >= limit
    return read(db, found), (found[-1].at, found[-1].id) if full else stopped


def sums(db: Database, f: LedgerFilter, now: datetime) -> LedgerSums:
    """What all entries that meet the filter come to by kind, or those that could be looked at in `SUMMED_S`."""
    until = monotonic() + SUMMED_S
    added: dict[tuple[str, str], list[int]] = {}
    with db.connection() as conn:
        checks, given = _conditions(conn, f)
        if f.card_ids is not None:
            _add(added, conn.execute(_summing(checks), {**given, **_span(f, None)}).fetchall())
            return LedgerSums(_summed(added), True)
        for low, end in _slices(conn, f, now, None):
            _add(
                added,
                conn.execute(_summing(checks, slice_=True), {**given, "low": low, "end": end}).fetchall(),
            )
            if monotonic() >= until:
                return LedgerSums(_summed(added), False, low)
    return LedgerSums(_summed(added), True)


def _summing(checks: list[str], *, slice_: bool = False) -> str:
    times = "e.at >= %(low)s AND e.at < %(end)s" if slice_ else "e.at >= %(at_first)s AND e.at < %(at_end)s"
    return (
        "SELECT c.currency, e.kind, count(*) AS entries,"
        " coalesce(sum(e.amount) FILTER (WHERE e.amount > 0), 0)::bigint AS given,"
        " coalesce(sum(e.amount) FILTER (WHERE e.amount < 0), 0)::bigint AS taken"
        f" FROM ledger_entry e JOIN card c ON c.id = e.card_id WHERE {' AND '.join((times, *checks))} GROUP BY 1, 2"
    )


_BEGIN, _END = datetime(1970, 1, 1, tzinfo=UTC), datetime(2300, 1, 1, tzinfo=UTC)


def _span(f: LedgerFilter, place: Place | None) -> dict[str, Any]:
    first, end = f.at or (None, None)
    return {"at_first": first or _BEGIN, "at_end": end or _END}


def _add(added: dict[tuple[str, str], list[int]], rows: list[Any]) -> None:
    for row in rows:
        held = added.setdefault((row.currency, row.kind), [0, 0, 0])
        for at, value in enumerate((row.entries, row.given, row.taken)):
            held[at] += value


def _summed(added: dict[tuple[str, str], list[int]]) -> tuple[KindSum, ...]:
    order = {kind: at for at, kind in enumerate(KINDS)}
    keys = sorted(added, key=lambda key: (key[0], order[key[1]]))
    return tuple(KindSum(*key, *added[key]) for key in keys)


# --- looking for them ---


def _conditions(conn: psycopg.Connection[Any], f: LedgerFilter) -> tuple[list[str], dict[str, Any]]:
    """The filter but for its times as conditions over an entry `e`, and their parameters."""
    found: list[str] = []
    given: dict[str, Any] = {}
    for name in ("kind", "account", "reference"):
        value = getattr(f, name)
        if value is not None:
            found.append(f"e.{name} = %({name})s")
            given[name] = value
    if f.card_ids is not None:
        found.append("e.card_id = ANY(%(card_ids)s)")
        given["card_ids"] = list(f.card_ids)
    if f.batch_id is not None:
        found.append("e.card_id BETWEEN %(first_card)s AND %(last_card)s")
        given |= cards_of(conn, f.batch_id)
    if f.actors is not None:
        found.append("e.actor = ANY(%(actors)s)")
        given["actors"] = list(f.actors)
    low, end = f.amount or (None, None)
    if low is not None:
        found.append("e.amount >= %(amount_low)s")
        given["amount_low"] = low
    if end is not None:
        found.append("e.amount < %(amount_end)s")
        given["amount_end"] = end
    if f.currency is not None:
        found.append("EXISTS (SELECT FROM card k WHERE k.id = e.card_id AND k.currency = %(currency)s)")
        given["currency"] = f.currency
    return found, given


def _collect(
    conn: psycopg.Connection[Any],
    f: LedgerFilter,
    now: datetime,
    place: Place | None,
    wanted: int,
    patience_s: float,
) -> tuple[list[Any], Place | None]:
    """The keys of the first entries, and where looking ended where it was no end of anything."""
    until = monotonic() + patience_s
    checks, given = _conditions(conn, f)
    if f.card_ids is not None:
        times, ends = times_of(f.at, place)
        rows = conn.execute(
            "SELECT card_id, id, at FROM"
            f" (SELECT * FROM ledger_entry AS e WHERE {' AND '.join(checks)} OFFSET 0) AS held"
            f" WHERE {times} ORDER BY at DESC, id DESC LIMIT %(wanted)s",
            {**given, **ends, "wanted": wanted},
        )
        return rows.fetchall(), None
    behind = "(e.at, e.id) < (%(place_at)s, %(place_id)s)" if place is not None else "true"
    where = " AND ".join(("e.at >= %(low)s AND e.at < %(end)s", behind, *checks))
    if place is not None:
        given |= {"place_at": place[0], "place_id": place[1]}
    found: list[Any] = []
    for low, end in _slices(conn, f, now, place):
        found += conn.execute(
            f"SELECT e.card_id, e.id, e.at FROM ledger_entry e WHERE {where}"
            " ORDER BY e.at DESC, e.id DESC LIMIT %(wanted)s",
            {**given, "low": low, "end": end, "wanted": wanted - len(found)},
        ).fetchall()
        if len(found) >= wanted:
            return found, None
        if monotonic() >= until:
            return found, (low, 0)
    return found, None


def _slices(
    conn: psycopg.Connection[Any], f: LedgerFilter, now: datetime, place: Place | None
) -> Iterator[tuple[datetime, datetime]]:
    """Slices of time that together hold all that the filter's times do, newest first, none with too many entries."""
    first, last = f.at or (None, None)
    edge: Any = conn.execute("SELECT min(created_at) AS at FROM batch").fetchone()
    if edge is None or edge.at is None:
        return
    # No entry is older than the first batch, nor written later than now but by clocks that differ a little.
    begin = max(edge.at, first) if first is not None else edge.at
    end = now + timedelta(days=1)
    end = min(end, last) if last is not None else end
    if place is not None:
        # A slice that was looked through begins with its own place; only a row's has others of its instant behind it.
        end = min(end, place[0] + timedelta(microseconds=1 if place[1] else 0))
    width = FIRST
    while end > begin:
        low = max(end - width, begin)
        count = _count(conn, low, end)
        while count > SLICE and end - low > NARROWEST:
            width = max((end - low) / 4, NARROWEST)
            low = max(end - width, begin)
            count = _count(conn, low, end)
        if count:
            yield low, end
        end = low
        width = min(width * (2 if count > SLICE // 8 else 8), timedelta(days=400))


def _count(conn: psycopg.Connection[Any], low: datetime, end: datetime) -> int:
    """How many entries a slice has; no more than one over the most are counted."""
    row: Any = conn.execute(
        "SELECT count(*) AS found FROM"
        f" (SELECT FROM ledger_entry WHERE at >= %(low)s AND at < %(end)s LIMIT {SLICE + 1}) AS held",
        {"low": low, "end": end},
    ).fetchone()
    return int(row.found)
