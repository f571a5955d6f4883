"""What a reseller sold, earned and owes: statements of its accounts by month, and its sales by day and batch.

Months and days are those of the operator's zone. A statement is made of the account's entries, which never change, so
that a month that is over reads the same for ever: opening + entries = closing, to the micro-unit. What a sale earned is
the face value of the cards that were charged less what they cost. Each currency stands alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import text

from engine.cards.serials import serial_of
from engine.db import Database
from engine.errors import InvalidInput, NotFound
from engine.people.resellers import reseller_page

MOST_DAYS = 366


@dataclass(frozen=True, slots=True)
class Sold:
    """Cards that were charged (or, negative, given back): their number, face value and cost, in micro-units."""

    cards: int = 0
    face: int = 0
    paid: int = 0

    @property
    def earned(self) -> int:
        """What is left to the reseller of the face value."""
        return self.face - self.paid


@dataclass(frozen=True, slots=True)
class Recharges:
    """Recharges that a reseller made from its credit; `bonus` is what the operator put on top."""

    count: int = 0
    amount: int = 0
    bonus: int = 0


@dataclass(frozen=True, slots=True)
class MonthLine:
    """A month in which something happened on an account: its first day, how many entries, and what they came to."""

    account_id: int
    currency: str
    month: date
    entries: int
    amount: int
    running: bool


@dataclass(frozen=True, slots=True)
class Statement:
    """One account in one month: `opening` + the entries = `closing`. `totals`: by kind, how many entries and how much.

    `running`: the month is not over. `last_entry`: the account's newest entry when it was read. `charged` and
    `given_back` are the cards, `recharges` the cardholders' money.
    """

    reseller_id: int
    reseller: str
    account_id: int
    account: str
    currency: str
    month: date
    start: datetime
    end: datetime
    running: bool
    opening: int
    closing: int
    entries: int
    last_entry: int
    totals: dict[str, tuple[int, int]]
    charged: Sold
    given_back: Sold
    recharges: Recharges

    @property
    def earned(self) -> int:
        """What its sales earned, less what returns took back."""
        return self.charged.earned + self.given_back.earned


@dataclass(frozen=True, slots=True)
class StatementLine:
    """An entry: what it was about, and the account's balance after it.

    `first` and `last`: the serials of a range, or of the one card that was recharged; `face` and `cards` of what was
    charged.
    """

    at: datetime
    kind: str
    amount: int
    balance: int
    first: str | None
    last: str | None
    cards: int | None
    face: int | None
    batch: str | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class SalesLine:
    """What was charged and given back on one day, or of one batch."""

    key: date | str
    currency: str
    sold: Sold


@dataclass(frozen=True, slots=True)
class ResellerMonth:
    """A reseller's account in one month, for the operator's list of all of them."""

    reseller_id: int
    reseller: str
    account_id: int
    currency: str
    opening: int
    closing: int
    sold: Sold
    recharged: int


def month_of(day: date) -> date:
    """The first day of a day's month."""
    return day.replace(day=1)


def next_month(month: date) -> date:
    """The first day of the month after."""
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)


def months(db: Database, reseller_id: int, zone: ZoneInfo, now: datetime) -> list[MonthLine]:
    """The months in which something happened on a reseller's accounts, the newest first."""
    this = month_of(now.astimezone(zone).date())
    with db.begin() as session:
        rows = session.execute(_MONTHS, {"reseller": reseller_id, "zone": zone.key}).all()
    return [
        MonthLine(row.id, row.currency, row.month, row.entries, int(row.amount), row.month >= this)
        for row in rows
    ]


def statement(
    db: Database, reseller_id: int, account_id: int, month: date, zone: ZoneInfo, now: datetime
) -> Statement:
    """A month of an account. Raises `NotFound` ("account_not_found": also another reseller's)."""
    reseller = reseller_page(db, reseller_id)
    first = month_of(month)
    start, end = _instant(first, zone), _instant(next_month(first), zone)
    asked = {"account": account_id, "reseller": reseller_id, "start": start, "end": end}
    with db.begin() as session:
        # One moment for all of it: tills go on selling meanwhile.
        session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
        account = session.execute(_ACCOUNT, asked).one_or_none()
        if account is None or reseller is None:
            raise NotFound("account_not_found")
        asked["currency"] = account.currency
        last_entry = session.scalar(_LAST, asked)
        opening = int(session.scalar(_BEFORE, asked) or 0)
        totals = {row.kind: (row.entries, int(row.amount)) for row in session.execute(_TOTALS, asked)}
        sold = {row.kind: _sold(row) for row in session.execute(_SOLD, asked)}
        paid = session.execute(_RECHARGES, asked).one()
    return Statement(
        reseller_id=reseller_id,
        reseller=reseller.name,
        account_id=account_id,
        account=account.name,
        currency=account.currency,
        month=first,
        start=start,
        end=end,
        running=now < end + _COMMITS,
        opening=opening,
        closing=opening + sum(amount for _, amount in totals.values()),
        entries=sum(count for count, _ in totals.values()),
        last_entry=last_entry or 0,
        totals=totals,
        charged=sold.get("stock", Sold()),
        given_back=sold.get("return", Sold()),
        recharges=Recharges(paid.payments, int(paid.amount), int(paid.bonus)),
    )


def lines(db: Database, of: Statement, *, most: int | None = None) -> Iterator[StatementLine]:
    """The entries of a statement in their order; the first `most` of them.

    They are read page by page, as they are taken: who takes them slowly keeps no transaction open.
    """
    balance, left = of.opening, of.entries if most is None else most
    asked = {"account": of.account_id, "start": of.start, "end": of.end, "last": of.last_entry, "after": 0}
    while left > 0:
        with db.begin() as session:
            page = session.execute(_LINES, {**asked, "most": min(left, _PAGE)}).all()
        for row in page:
            balance += row.amount
            ends = (row.first_id, row.last_id) if row.card_id is None else (row.card_id, row.card_id)
            first, last = (None if end is None else serial_of(end) for end in ends)
            told = (row.at, row.kind, row.amount, balance, first, last, row.charged, row.face, row.name)
            yield StatementLine(*told, row.reason)
        if len(page) < _PAGE:
            return
        left -= len(page)
        asked["after"] = page[-1].id


def sales_by_day(db: Database, reseller_id: int, first: date, last: date, zone: ZoneInfo) -> list[SalesLine]:
    """What was charged and given back on each day from `first` to `last`, newest first.

    Raises `InvalidInput` ("period_too_long") over `MOST_DAYS`.
    """
    return _sales(db, _BY_DAY, reseller_id, first, last, zone)


def sales_by_batch(
    db: Database, reseller_id: int, first: date, last: date, zone: ZoneInfo
) -> list[SalesLine]:
    """The same for each batch, by the range's first card."""
    return _sales(db, _BY_BATCH, reseller_id, first, last, zone)


def all_in_month(db: Database, month: date, zone: ZoneInfo) -> list[ResellerMonth]:
    """Every account of a reseller in one month, by name: for the operator."""
    first = month_of(month)
    asked = {"start": _instant(first, zone), "end": _instant(next_month(first), zone)}
    with db.begin() as session:
        rows = session.execute(_ALL, asked).all()
    return [
        ResellerMonth(
            row.reseller_id,
            row.reseller,
            row.id,
            row.currency,
            int(row.opening),
            int(row.opening + row.amount),
            Sold(int(row.cards), int(row.face), int(row.paid)),
            int(row.recharged),
        )
        for row in rows
    ]


def _sales(
    db: Database, statement: Any, reseller_id: int, first: date, last: date, zone: ZoneInfo
) -> list[SalesLine]:
    if not 0 <= (last - first).days < MOST_DAYS or last == date.max:
        raise InvalidInput("period_too_long", field="to", days=MOST_DAYS)
    asked = {
        "reseller": reseller_id,
        "start": _instant(first, zone),
        "end": _instant(date.fromordinal(last.toordinal() + 1), zone),
        "zone": zone.key,
    }
    with db.begin() as session:
        rows = session.execute(statement, asked).all()
    return [SalesLine(row.key, row.currency, _sold(row)) for row in rows]


def _sold(row: Any) -> Sold:
    return Sold(int(row.cards), int(row.face), int(row.paid))


def _instant(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone)


_PAGE = 2_000
"""Lines that are read at once."""
_COMMITS = timedelta(minutes=1)
"""How long after its time an entry may still come in: that of the till's press, before its transaction."""
_MOVE = "m.id = CASE WHEN e.reference LIKE 'move:%' THEN CAST(substr(e.reference, 6) AS bigint) END"
_PAYMENT = "p.id = CASE WHEN e.reference LIKE 'payment:%' THEN CAST(substr(e.reference, 9) AS bigint) END"
_IN = "e.account_id = :account AND e.at >= :start AND e.at < :end"
_ACCOUNT = text("SELECT name, currency FROM account WHERE id = :account AND reseller_id = :reseller")
_LAST = text("SELECT max(id) FROM account_entry WHERE account_id = :account")
_BEFORE = text(
    "SELECT coalesce(sum(amount), 0) FROM account_entry WHERE account_id = :account AND at < :start"
)
_TOTALS = text(
    f"SELECT e.kind, count(*) AS entries, sum(e.amount) AS amount FROM account_entry e WHERE {_IN} GROUP BY 1"
)
# Cards are counted with their sign: what came back is taken off.
_COUNTED = """
    sum(CASE m.kind WHEN 'return' THEN -coalesce(m.charged, 0) ELSE coalesce(m.charged, 0) END) AS cards,
    sum(coalesce(m.face, m.amount)) AS face, sum(m.amount) AS paid
"""
# Told by the documents, not by the account: at a discount of all of the price it has no entry.
_CHARGES = """
    FROM stock_move m JOIN batch b ON b.first_id <= m.first_id AND b.last_id >= m.first_id
    WHERE m.reseller_id = :reseller AND m.at >= :start AND m.at < :end
        AND m.kind IN ('activate', 'sell', 'return') AND (coalesce(m.charged, 0) > 0 OR m.amount <> 0)
"""
_SOLD = text(
    f"SELECT CASE m.kind WHEN 'return' THEN 'return' ELSE 'stock' END AS kind, {_COUNTED} {_CHARGES}"
    " AND b.currency = :currency GROUP BY 1"
)
_RECHARGES = text(
    f"""
    SELECT count(*) AS payments, coalesce(sum(p.amount), 0) AS amount, coalesce(sum(p.bonus), 0) AS bonus
    FROM account_entry e JOIN payment p ON {_PAYMENT} WHERE {_IN} AND e.kind = 'recharge'
    """
)
_LINES = text(
    f"""
    SELECT e.id, e.at, e.kind, e.amount, e.reason, m.first_id, m.last_id, m.charged, m.face, b.name, p.card_id
    FROM account_entry e LEFT JOIN stock_move m ON {_MOVE} LEFT JOIN payment p ON {_PAYMENT}
        LEFT JOIN batch b ON b.first_id <= m.first_id AND b.last_id >= m.first_id
    WHERE {_IN} AND e.id > :after AND e.id <= :last ORDER BY e.id LIMIT :most
    """
)
_MONTHS = text(
    """
    SELECT a.id, a.currency, CAST(date_trunc('month', e.at AT TIME ZONE :zone) AS date) AS month,
        count(*) AS entries, sum(e.amount) AS amount
    FROM account a JOIN account_entry e ON e.account_id = a.id WHERE a.reseller_id = :reseller
    GROUP BY 1, 2, 3 ORDER BY 3 DESC, 2
    """
)
_BY_DAY = text(
    f"SELECT CAST(m.at AT TIME ZONE :zone AS date) AS key, b.currency, {_COUNTED} {_CHARGES}"
    " GROUP BY 1, 2 ORDER BY 1 DESC, 2"
)
_BY_BATCH = text(
    f"SELECT b.name AS key, b.currency, {_COUNTED} {_CHARGES} GROUP BY b.id, 1, 2 ORDER BY b.id DESC"
)
_ALL = text(
    f"""
    SELECT r.id AS reseller_id, r.name AS reseller, a.id, a.currency,
        coalesce((SELECT sum(amount) FROM account_entry e WHERE e.account_id = a.id AND e.at < :start), 0) AS opening,
        coalesce((SELECT sum(amount) FROM account_entry e
            WHERE e.account_id = a.id AND e.at >= :start AND e.at < :end), 0) AS amount,
        coalesce((SELECT sum(-amount) FROM account_entry e
            WHERE e.account_id = a.id AND e.kind = 'recharge' AND e.at >= :start AND e.at < :end), 0) AS recharged,
        coalesce(sold.cards, 0) AS cards, coalesce(sold.face, 0) AS face, coalesce(sold.paid, 0) AS paid
    FROM account a JOIN reseller r ON r.id = a.reseller_id LEFT JOIN LATERAL (
        SELECT {_COUNTED} {_CHARGES.replace(":reseller", "a.reseller_id")} AND b.currency = a.currency
    ) sold ON true
    WHERE a.created_at < :end ORDER BY r.name, a.currency
    """
)
