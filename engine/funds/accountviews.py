"""Accounts and their entries as pages and the command line show them. Answers are frozen; lists are read by key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.cards.queries import actor_names
from engine.cards.serials import serial_of
from engine.db import Database
from engine.errors import NotFound
from engine.names import sought
from engine.schema import Account, AccountEntry, Payment, Reseller, StockMove

PAGE = 25


@dataclass(frozen=True, slots=True)
class AccountView:
    """An account as it may be shown; amounts in micro-units of `currency`. `available`: balance and credit together."""

    id: int
    kind: str
    name: str
    reseller_id: int | None
    reseller: str | None
    currency: str
    balance: int
    credit_limit: int
    created_at: datetime
    closed_at: datetime | None

    @property
    def available(self) -> int:
        """What can still be spent."""
        return self.balance + self.credit_limit


@dataclass(frozen=True, slots=True)
class AccountLine:
    """An entry of an account, signed as the account sees it. `other`: the serial of the card that was recharged;
    `cards`: the first and last serial of the stock that was charged or returned.
    """

    id: int
    at: datetime
    kind: str
    amount: int
    balance_after: int
    reference: str
    other: str | None
    cards: tuple[str, str] | None
    actor: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class AccountPage:
    """An account and its entries, newest first; `older` is where the next page begins, or None."""

    account: AccountView
    entries: tuple[AccountLine, ...]
    older: int | None


def list_accounts(
    db: Database, *, kind: str | None = None, reseller_id: int | None = None, closed: bool = False
) -> list[AccountView]:
    """The accounts by name; those that were `closed` only where they are wanted."""
    statement = select(Account, Reseller.name).outerjoin(Reseller, Account.reseller_id == Reseller.id)
    if kind is not None:
        statement = statement.where(Account.kind == kind)
    if reseller_id is not None:
        statement = statement.where(Account.reseller_id == reseller_id)
    if not closed:
        statement = statement.where(Account.closed_at.is_(None))
    with db.begin() as session:
        rows = session.execute(statement.order_by(Account.name))
        return [_shown(account, reseller) for account, reseller in rows]


def account_named(db: Database, name: str) -> AccountView:
    """The account of a name, closed or not. Raises `NotFound` ("account_not_found")."""
    with db.begin() as session:
        account = session.scalar(select(Account).where(Account.name == sought(name)))
        if account is None:
            raise NotFound("account_not_found", name=name)
        return view_of(session, account)


def account_page(
    db: Database, account_id: int, *, before: int | None = None, at_desk: bool = False
) -> AccountPage:
    """An account with its entries, newest first, from before the entry `before` on. Raises `NotFound`.

    `at_desk`: whoever isn't of the reseller has no name.
    """
    with db.begin() as session:
        account = session.get(Account, account_id)
        if account is None:
            raise NotFound("account_not_found")
        statement = select(AccountEntry).where(AccountEntry.account_id == account_id)
        if before is not None:
            statement = statement.where(AccountEntry.id < before)
        rows = list(session.scalars(statement.order_by(AccountEntry.id.desc()).limit(PAGE + 1)))
        names = actor_names(session, [row.actor for row in rows], at_desk=at_desk)
        others, moved = _recharged(session, rows), _moved(session, rows)
        lines = tuple(_line(row, names.__getitem__, others, moved) for row in rows[:PAGE])
        return AccountPage(view_of(session, account), lines, rows[PAGE - 1].id if len(rows) > PAGE else None)


def _recharged(session: Session, rows: list[AccountEntry]) -> dict[str, str]:
    """The cards that the payments among the entries went to: reference → serial."""
    ids = [int(row.reference[8:]) for row in rows if row.reference.startswith("payment:")]
    found = session.execute(select(Payment.id, Payment.card_id).where(Payment.id.in_(ids))) if ids else ()
    return {f"payment:{row.id}": serial_of(row.card_id) for row in found}


def _moved(session: Session, rows: list[AccountEntry]) -> dict[str, tuple[str, str]]:
    """The stock that the entries are for: reference → first and last serial."""
    ids = [int(row.reference[5:]) for row in rows if row.reference.startswith("move:")]
    wanted = select(StockMove.id, StockMove.first_id, StockMove.last_id).where(StockMove.id.in_(ids))
    found = session.execute(wanted) if ids else ()
    return {f"move:{row.id}": (serial_of(row.first_id), serial_of(row.last_id)) for row in found}


def _line(
    row: AccountEntry,
    named: Callable[[str], str],
    others: dict[str, str],
    moved: dict[str, tuple[str, str]],
) -> AccountLine:
    same = ("id", "at", "kind", "amount", "balance_after", "reference", "reason")
    facts = {name: getattr(row, name) for name in same}
    other, cards = others.get(row.reference), moved.get(row.reference)
    return AccountLine(actor=named(row.actor), other=other, cards=cards, **facts)


def view_of(session: Session, account: Account) -> AccountView:
    """An account that was read, as it may be shown."""
    reseller = session.get(Reseller, account.reseller_id) if account.reseller_id is not None else None
    return _shown(account, reseller.name if reseller else None)


def _shown(account: Account, reseller: str | None) -> AccountView:
    facts = {name: getattr(account, name) for name in AccountView.__dataclass_fields__ if name != "reseller"}
    return AccountView(**facts, reseller=reseller)


def reseller_id_of(db: Database, name: str) -> int:
    """The id of the reseller of a name. Raises `NotFound` ("reseller_not_found")."""
    with db.begin() as session:
        found = session.scalar(select(Reseller.id).where(Reseller.name == sought(name)))
    if found is None:
        raise NotFound("reseller_not_found", name=name)
    return int(found)
