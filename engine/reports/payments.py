"""Payments over all cards: recharges, vouchers, automatic recharges and those of resellers, newest first.

A page is read along the time of the payments, a bounded number at a time; a card's or a small batch's are gathered and
sorted instead. Where every criterion is wide and yet hardly a payment meets them all, the page ends after `PATIENCE_S`:
it is `partial`, says how far it looked back, and the next one goes on there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
from sqlalchemy import select

from engine.cards.names import actor_names
from engine.cards.serials import card_id_of, serial_of
from engine.db import Database
from engine.errors import NotFound
from engine.money import parse_currency
from engine.reports.moneyfilter import (
    Place,
    Range,
    account_of,
    actors_of,
    amounts_of,
    batch_of,
    chosen,
    given_of,
    plain,
    read_plain,
    reseller_of,
    span_of,
)
from engine.schema import Account, AutoRechargeRule, Batch, BonusRule, Card, Payment, Reseller

METHODS = ("operator", "voucher", "auto", "reseller", "online")
FIELDS = (
    *("method", "serial", "batch", "reseller", "account", "who", "at_from", "at_to"),
    *("amount_from", "amount_to", "currency"),
)
"""What a form may ask for."""
PATIENCE_S = 0.08
STEP = 10_000
"""Payments that are looked at in one go."""
GATHERED = 12_000
"""A batch with at most so many payments is gathered as a whole."""
SUMMED_S = 0.25
"""Summing up ends after this."""
MOST_ROWS = 2_000


@dataclass(frozen=True, slots=True)
class PaymentFilter:
    """Payments that meet everything that is set. Ranges include their first end and not their second; None is open.

    `card_id`: the card that was paid for, or the voucher that paid. `reseller_id`: on cards that are this reseller's
    now. `actors`: whoever did it, as the books name them.
    """

    method: str | None = None
    card_id: int | None = None
    batch_id: int | None = None
    reseller_id: int | None = None
    account_id: int | None = None
    actors: tuple[str, ...] | None = None
    at: Range | None = None
    amount: Range | None = None
    currency: str | None = None


@dataclass(frozen=True, slots=True)
class PaymentRow:
    """A payment as lists show it; amounts in micro-units of `currency`, `actor` a name that people know.

    `voucher`: the serial of the voucher that paid; `account`: the account that did; `bonus_rule`: what gave the bonus.
    """

    id: int
    at: datetime
    method: str
    serial: str
    batch_id: int
    batch: str
    reseller_id: int | None
    reseller: str | None
    amount: int
    bonus: int
    currency: str
    voucher: str | None
    account_id: int | None
    account: str | None
    bonus_rule_id: int | None
    bonus_rule: str | None
    rule_id: int | None
    rule: str | None
    actor: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class PaymentList:
    """One page. `older`: where more may follow; None at the end. `partial`: it looked back to the time of `older`."""

    rows: tuple[PaymentRow, ...]
    older: Place | None = None
    partial: bool = False


@dataclass(frozen=True, slots=True)
class PaymentSum:
    """What payments in one currency come to, in micro-units."""

    currency: str
    payments: int
    amount: int
    bonus: int


@dataclass(frozen=True, slots=True)
class PaymentSums:
    """What a filter finds, per currency. Not `whole`: there is more than was summed up, which began at `since`."""

    sums: tuple[PaymentSum, ...]
    whole: bool
    since: datetime | None = None


def parse(db: Database, zone: ZoneInfo, texts: Mapping[str, str]) -> PaymentFilter:
    """The filter that texts name (`FIELDS`); what is empty is not looked for. Days and minutes are of `zone`.

    Raises `InvalidInput` with the `field` to blame, and `NotFound` for a batch, reseller, account or person nobody
    knows.
    """
    given = given_of(texts)
    with db.begin() as session:
        found = {
            "batch_id": batch_of(session, given),
            "reseller_id": reseller_of(session, given),
            "account_id": account_of(session, given),
            "actors": actors_of(session, given),
        }
    return PaymentFilter(
        **found,  # type: ignore[arg-type]
        method=chosen("method", given, METHODS),
        card_id=card_id_of(given["serial"]) if "serial" in given else None,
        at=span_of(given, zone),
        amount=amounts_of(given),
        currency=parse_currency(given["currency"].upper(), field="currency") if "currency" in given else None,
    )


def to_json(f: PaymentFilter) -> dict[str, Any]:
    """The filter as plain values for JSON; `from_json` reads it back."""
    return plain({field.name: getattr(f, field.name) for field in dataclasses.fields(f)})


def from_json(given: Mapping[str, Any]) -> PaymentFilter:
    """The filter that `to_json` wrote. Raises `InvalidInput` for anything else."""
    fields = tuple(field.name for field in dataclasses.fields(PaymentFilter))
    return PaymentFilter(**read_plain(given, fields))


def page(db: Database, f: PaymentFilter, *, before: Place | None = None, limit: int = 50) -> PaymentList:
    """Up to `limit` payments that meet the filter, newest first, behind the place `before`."""
    limit = min(max(limit, 1), MOST_ROWS)
    with db.connection() as conn:
        found, stopped = _collect(conn, f, before, limit + 1, PATIENCE_S)
    rows = read(db, [row.id for row in found[:limit]])
    older = (found[limit - 1].at, found[limit - 1].id) if len(found) > limit else stopped
    return PaymentList(rows, older, len(found) <= limit and stopped is not None)


def block(
    db: Database, f: PaymentFilter, before: Place | None, limit: int
) -> tuple[tuple[PaymentRow, ...], Place | None]:
    """The next payments, however long that takes, and where to go on; for exports."""
    with db.connection() as conn:
        found, stopped = _collect(conn, f, before, limit, 5.0)
    full = len(found) >= limit
    return read(db, [row.id for row in found]), (found[-1].at, found[-1].id) if full else stopped


def sums(db: Database, f: PaymentFilter) -> PaymentSums:
    """What all payments that meet the filter come to, or the newest ones that could be looked at in `SUMMED_S`."""
    until = monotonic() + SUMMED_S
    added: dict[str, list[int]] = {}
    with db.connection() as conn:
        checks, given, narrow = _criteria(conn, f)
        where = " AND ".join(checks) or "true"
        place: Place | None = None
        while True:
            times, ends = times_of(f.at, place)
            along = f"FROM payment WHERE {times} ORDER BY at DESC, id DESC"
            source = "payment" if narrow else f"(SELECT * {along} LIMIT {STEP})"
            _add(
                added,
                conn.execute(
                    _SUMS.format(source, where if not narrow else f"{where} AND {times}"), {**given, **ends}
                ).fetchall(),
            )
            if narrow:
                break
            last = conn.execute(f"SELECT at, id {along} LIMIT 1 OFFSET {STEP - 1}", ends).fetchone()
            if last is None:
                break
            place = (last.at, last.id)
            if monotonic() >= until:
                return PaymentSums(_summed(added), False, last.at)
    return PaymentSums(_summed(added), True)


_SUMS = """
    SELECT p.currency, count(*) AS payments, sum(p.amount)::bigint AS amount, sum(p.bonus)::bigint AS bonus
    FROM {} AS p WHERE {} GROUP BY p.currency
"""


def _add(added: dict[str, list[int]], rows: Sequence[Any]) -> None:
    for row in rows:
        held = added.setdefault(row.currency, [0, 0, 0])
        for at, value in enumerate((row.payments, row.amount, row.bonus)):
            held[at] += value


def _summed(added: dict[str, list[int]]) -> tuple[PaymentSum, ...]:
    return tuple(PaymentSum(currency, *added[currency]) for currency in sorted(added))


def find(db: Database, payment_id: int) -> PaymentRow:
    """One payment. Raises `NotFound` ("payment_not_found")."""
    rows = read(db, [payment_id])
    if not rows:
        raise NotFound("payment_not_found", id=payment_id)
    return rows[0]


def read(db: Database, ids: Sequence[int]) -> tuple[PaymentRow, ...]:
    """The payments of these numbers in their order, with all that they lead to."""
    if not ids:
        return ()
    statement = (
        select(
            Payment, Card.batch_id, Batch.name, Card.reseller_id, Reseller.name, Account.name, BonusRule.name
        )
        .join(Card, Card.id == Payment.card_id)
        .join(Batch, Batch.id == Card.batch_id)
        .outerjoin(Reseller, Reseller.id == Card.reseller_id)
        .outerjoin(Account, Account.id == Payment.account_id)
        .outerjoin(BonusRule, BonusRule.id == Payment.bonus_rule_id)
        .where(Payment.id.in_(ids))
    )
    with db.begin() as session:
        found = {row[0].id: row for row in session.execute(statement)}
        names = actor_names(session, (row[0].actor for row in found.values()))
        autos = {key: rule_id_of(row[0]) for key, row in found.items()}
        known = select(AutoRechargeRule.id, AutoRechargeRule.name)
        rules = {
            row.id: row.name
            for row in session.execute(known.where(AutoRechargeRule.id.in_(set(autos.values()) - {None})))
        }
        return tuple(_row(*found[key], names, autos[key], rules) for key in ids if key in found)


def rule_id_of(payment: Payment) -> int | None:
    """The auto-recharge rule behind a payment, which its key names (`auto:RULE:…`); None for any other."""
    parts = (payment.idempotency_key or "").split(":")
    if payment.method != "auto" or len(parts) < 2 or not parts[1].isdecimal():
        return None
    return int(parts[1])


def _row(
    payment: Payment,
    batch_id: int,
    batch: str,
    reseller_id: int | None,
    reseller: str | None,
    account: str | None,
    bonus_rule: str | None,
    names: dict[str, str],
    rule_id: int | None,
    rules: dict[int, str],
) -> PaymentRow:
    same = ("id", "at", "method", "amount", "bonus", "currency", "account_id", "bonus_rule_id", "reason")
    return PaymentRow(
        serial=serial_of(payment.card_id),
        batch_id=batch_id,
        batch=batch,
        reseller_id=reseller_id,
        reseller=reseller,
        voucher=serial_of(payment.voucher_id) if payment.voucher_id is not None else None,
        account=account,
        bonus_rule=bonus_rule,
        rule_id=rule_id if rule_id in rules else None,
        rule=rules.get(rule_id) if rule_id is not None else None,
        actor=names[payment.actor],
        **{name: getattr(payment, name) for name in same},
    )


# --- looking for them ---


def _conditions(f: PaymentFilter) -> tuple[list[str], dict[str, Any]]:
    """The filter but for its times as conditions over a payment `p`, and their parameters."""
    found: list[str] = []
    given: dict[str, Any] = {}
    for name in ("method", "account_id", "currency"):
        value = getattr(f, name)
        if value is not None:
            found.append(f"p.{name} = %({name})s")
            given[name] = value
    if f.card_id is not None:
        found.append("(p.card_id = %(card_id)s OR p.voucher_id = %(card_id)s)")
        given["card_id"] = f.card_id
    if f.actors is not None:
        found.append("p.actor = ANY(%(actors)s)")
        given["actors"] = list(f.actors)
    low, end = f.amount or (None, None)
    if low is not None:
        found.append("p.amount >= %(amount_low)s")
        given["amount_low"] = low
    if end is not None:
        found.append("p.amount < %(amount_end)s")
        given["amount_end"] = end
    if f.batch_id is not None:
        found.append("p.card_id BETWEEN %(first_card)s AND %(last_card)s")
    if f.reseller_id is not None:
        found.append("EXISTS (SELECT FROM card c WHERE c.id = p.card_id AND c.reseller_id = %(reseller_id)s)")
        given["reseller_id"] = f.reseller_id
    return found, given


def _criteria(conn: psycopg.Connection[Any], f: PaymentFilter) -> tuple[list[str], dict[str, Any], bool]:
    """Conditions, parameters, and whether they lead to so few payments that all of these can be gathered."""
    checks, given = _conditions(f)
    if f.batch_id is not None:
        given |= cards_of(conn, f.batch_id)
    return checks, given, f.card_id is not None or (f.batch_id is not None and _few(conn, given))


def _collect(
    conn: psycopg.Connection[Any], f: PaymentFilter, place: Place | None, wanted: int, patience_s: float
) -> tuple[list[Any], Place | None]:
    """The first payments, and where looking ended where it was no end of anything."""
    until = monotonic() + patience_s
    checks, given, narrow = _criteria(conn, f)
    if narrow:
        return _gather(conn, checks, given, f, place, wanted), None
    found: list[Any] = []
    stopped = place
    while True:
        more, stopped = _walk(conn, checks, given, f, stopped, wanted - len(found))
        found += more
        if stopped is None or len(found) >= wanted or monotonic() >= until:
            return found, stopped if len(found) < wanted else None


def cards_of(conn: psycopg.Connection[Any], batch_id: int) -> dict[str, int]:
    """The span of a batch's cards; an empty one where there is no such batch."""
    row: Any = conn.execute("SELECT first_id, last_id FROM batch WHERE id = %s", (batch_id,)).fetchone()
    first, last = (0, -1) if row is None or row.first_id is None else (row.first_id, row.last_id)
    return {"first_card": first, "last_card": last}


def _few(conn: psycopg.Connection[Any], given: dict[str, Any]) -> bool:
    counted = conn.execute(
        "SELECT count(*) AS found FROM (SELECT FROM payment"
        f" WHERE card_id BETWEEN %(first_card)s AND %(last_card)s LIMIT {GATHERED + 1}) AS held",
        given,
    ).fetchone()
    return bool(counted is not None and counted.found <= GATHERED)


def _gather(
    conn: psycopg.Connection[Any],
    checks: list[str],
    given: dict[str, Any],
    f: PaymentFilter,
    place: Place | None,
    wanted: int,
) -> list[Any]:
    times, ends = times_of(f.at, place)
    return conn.execute(
        f"SELECT at, id FROM (SELECT * FROM payment AS p WHERE {' AND '.join(checks)} OFFSET 0) AS held"
        f" WHERE {times} ORDER BY at DESC, id DESC LIMIT %(wanted)s",
        {**given, **ends, "wanted": wanted},
    ).fetchall()


def _walk(
    conn: psycopg.Connection[Any],
    checks: list[str],
    given: dict[str, Any],
    f: PaymentFilter,
    place: Place | None,
    wanted: int,
) -> tuple[list[Any], Place | None]:
    """Payments among the next ones, and the last of these where nothing else ended the walk."""
    times, ends = times_of(f.at, place)
    scan = STEP if checks else wanted
    along = f"FROM payment WHERE {times} ORDER BY at DESC, id DESC"
    values = {**given, **ends, "wanted": wanted}
    found = conn.execute(
        f"SELECT p.at, p.id FROM (SELECT * {along} LIMIT {scan}) AS p"
        f" WHERE {' AND '.join(checks) or 'true'} LIMIT %(wanted)s",
        values,
    ).fetchall()
    if len(found) >= wanted or not checks:
        return found, None
    last = conn.execute(f"SELECT at, id {along} LIMIT 1 OFFSET {scan - 1}", values).fetchone()
    return found, None if last is None else (last.at, last.id)


def times_of(at: Range | None, place: Place | None) -> tuple[str, dict[str, Any]]:
    """The times of a filter behind a place as a condition over `at` and `id`."""
    first, end = at or (None, None)
    found = [] if first is None else ["at >= %(at_first)s"]
    found += [] if end is None else ["at < %(at_end)s"]
    if place is not None:
        found.append("at <= %(place_at)s AND (at, id) < (%(place_at)s, %(place_id)s)")
    at_, number = place or (None, None)
    values = {"at_first": first, "at_end": end, "place_at": at_, "place_id": number}
    return " AND ".join(found) or "true", values
