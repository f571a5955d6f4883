"""Accounts that recharges and stock are paid from: a reseller's credit, and the operator's funding accounts.

The same form as the ledger of a card: an entry is one movement, the balance their sum, and each write is guarded in
SQL, so that nobody spends under `-credit_limit`. The lock order is card, then call, then account.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from engine import idempotency
from engine.actor import Actor
from engine.cards.serials import serial_of
from engine.cards.timeline import checked_reason
from engine.db import Database, reruns
from engine.errors import Conflict, InvalidInput, NotFound, Refused
from engine.funds.accountviews import AccountView, view_of
from engine.funds.large import need_consent
from engine.funds.ledger import Entry
from engine.money import MAX_UNITS, MICROS, format_amount, parse_currency
from engine.names import checked_name
from engine.people import audit
from engine.permissions import command
from engine.schema import Account, AutoRechargeRule, Reseller

FUNDING, RESELLER = "funding", "reseller"
KINDS = (FUNDING, RESELLER)
MOST = MAX_UNITS * MICROS


@dataclass(frozen=True, slots=True)
class Moved:
    """A deposit or adjustment as it stands in the books: `amount` is signed, `balance` the account's after it.

    `repeated`: its key had counted before, and nothing was moved now; `balance_now` is what the account has at the
    moment of the answer. Neither is part of what is compared.
    """

    account_id: int
    name: str
    amount: int
    balance: int
    currency: str
    repeated: bool = field(default=False, compare=False)
    balance_now: int = field(default=0, compare=False)


_POST = text(
    """
    WITH moved AS (
        UPDATE account SET balance = balance + :amount
        WHERE id = :account_id AND closed_at IS NULL AND (balance + :amount >= -credit_limit OR :amount > 0)
        RETURNING id, balance
    )
    INSERT INTO account_entry
        (account_id, amount, balance_after, kind, reference, actor, reason, idempotency_key, at)
    SELECT id, :amount, balance, :kind, :reference, :actor, :reason, :key, :now FROM moved
    RETURNING id, balance_after
    """
)


def post(
    session: Session,
    *,
    account_id: int,
    amount: int,
    kind: str,
    reference: str,
    actor: Actor,
    now: datetime,
    reason: str | None = None,
    key: str | None = None,
) -> Entry:
    """Move `amount` micro-units, signed as the account sees it.

    `key` makes the entry unique on its account. A shared step: never commits. Raises `Refused` ("account_exhausted")
    where the account has not enough and no credit left, and `NotFound` ("account_not_found": none, or closed).
    """
    row = session.execute(
        _POST,
        {
            "account_id": account_id,
            "amount": amount,
            "kind": kind,
            "reference": reference,
            "actor": str(actor),
            "reason": reason,
            "key": key,
            "now": now,
        },
    ).one_or_none()
    if row is not None:
        return Entry(row.id, row.balance_after)
    open_ = text("SELECT 1 FROM account WHERE id = :account_id AND closed_at IS NULL")
    if session.scalar(open_, {"account_id": account_id}) is None:
        raise NotFound("account_not_found")
    raise Refused("account_exhausted")


def counter_account(session: Session, account_id: int, card: Any) -> str:
    """The name under which an account stands in a card's ledger: `funding:3`, `reseller:7` (by the account's id).

    Raises `Refused` ("currency_mismatch") and `NotFound` ("account_not_found": none, or closed).
    """
    account = session.execute(
        text("SELECT kind, currency FROM account WHERE id = :id AND closed_at IS NULL"), {"id": account_id}
    ).one_or_none()
    if account is None:
        raise NotFound("account_not_found")
    if account.currency != card.currency:
        raise Refused("currency_mismatch", serial=serial_of(card.id))
    return f"{account.kind}:{account_id}"


# --- commands ---


@command("account.open")
def open_account(
    db: Database,
    *,
    name: str,
    kind: str,
    currency: str,
    reseller_id: int | None = None,
    credit_limit: int = 0,
    key: str | None = None,
    reason: str | None = None,
    actor: Actor,
    now: datetime,
) -> AccountView:
    """Open an account with nothing in it: `funding` of the operator, or the one of a reseller in a currency.

    The same `key` with the same facts counts once. Raises `Conflict` (name_taken, account_exists: a reseller has one a
    currency; key_reused), `InvalidInput` (not_a_choice, reseller_missing, currency, amounts, names), `NotFound`
    ("reseller_not_found"), and `ConsentNeeded` where the credit limit is large (`engine.funds.large`).
    """
    facts: dict[str, Any] = {
        "kind": kind,
        "name": checked_name(name),
        "reseller_id": reseller_id,
        "currency": parse_currency(currency, field="currency"),
        "credit_limit": _checked("credit_limit", credit_limit, low=0),
    }
    if kind not in KINDS:
        raise InvalidInput("not_a_choice", field="kind", allowed=KINDS)
    if (kind == RESELLER) != (reseller_id is not None):
        raise InvalidInput("reseller_missing", field="reseller")
    return _open(db, facts, key or idempotency.new_key(), checked_reason(reason), actor, now)


@reruns
def _open(
    db: Database, facts: dict[str, Any], key: str, reason: str | None, actor: Actor, now: datetime
) -> AccountView:
    asked = idempotency.fingerprint(facts, reason)
    try:
        with db.begin() as session:
            first = idempotency.claim(session, "account.open", key, asked, now)
            if first is not None:
                return view_of(session, session.get_one(Account, first["id"]))
            asked_for = {fact: facts[fact] for fact in ("credit_limit", "currency")}
            subject = f"account:{facts['name']}"
            need_consent(session, actor, "account.open", subject, facts["credit_limit"], asked_for, now)
            account = open_step(session, facts, actor, now, reason)
            idempotency.keep(session, "account.open", key, {"id": account.id})
            return view_of(session, account)
    except IntegrityError as error:
        raise _taken(error, facts["name"]) from None


def open_step(
    session: Session, facts: dict[str, Any], actor: Actor, now: datetime, reason: str | None = None
) -> Account:
    """Open an account in the caller's transaction, with its audit row. A name or reseller that is taken shows as an
    `IntegrityError` of the database. Raises `NotFound` ("reseller_not_found")."""
    if facts["reseller_id"] is not None and session.get(Reseller, facts["reseller_id"]) is None:
        raise NotFound("reseller_not_found")
    account = Account(**facts, balance=0, created_at=now)
    session.add(account)
    session.flush()
    audit.record(session, actor, "account.open", f"account:{account.id}", now, reason=reason, **facts)
    return account


def _taken(error: IntegrityError, name: str) -> Exception:
    if "uq_account_name" in str(error.orig):
        return Conflict("name_taken", name=name)
    if "uq_account_reseller_id_currency" in str(error.orig):
        return Conflict("account_exists")
    return error


@command("account.change")
@reruns
def change_account(
    db: Database,
    *,
    account_id: int,
    name: str | None = None,
    credit_limit: int | None = None,
    close: bool = False,
    reason: str | None = None,
    actor: Actor,
    now: datetime,
) -> AccountView:
    """Give an account another name or credit limit, or close it for good; what is None stays. Twice is as once.

    Raises `Conflict` (name_taken; account_owes: the limit would be under what it owes already; account_not_empty and
    account_in_use, where it can't be closed), `InvalidInput`, `NotFound` ("account_not_found"), and `ConsentNeeded`
    where the credit limit is raised by a large amount.
    """
    wanted: dict[str, Any] = {}
    if name is not None:
        wanted["name"] = checked_name(name)
    if credit_limit is not None:
        wanted["credit_limit"] = _checked("credit_limit", credit_limit, low=0)
    why = checked_reason(reason)
    try:
        with db.begin() as session:
            account = session.get(Account, account_id, with_for_update={"key_share": True})
            if account is None or (account.closed_at is not None and not close):
                raise NotFound("account_not_found")
            changed = {fact: value for fact, value in wanted.items() if getattr(account, fact) != value}
            if close and account.closed_at is None:
                _check_closing(session, account)
                changed["closed_at"] = now
            if not changed:
                return view_of(session, account)
            if account.balance < -changed.get("credit_limit", account.credit_limit):
                raise Conflict("account_owes", amount=-account.balance)
            credit = changed.get("credit_limit", account.credit_limit)
            facts = {"credit_limit": credit, "currency": account.currency}
            more = credit - account.credit_limit
            need_consent(session, actor, "account.change", f"account:{account_id}", more, facts, now)
            for fact, value in changed.items():
                setattr(account, fact, value)
            told = {**changed, "closed_at": now.isoformat()} if "closed_at" in changed else changed
            audit.record(session, actor, "account.change", f"account:{account_id}", now, reason=why, **told)
            session.flush()
            return view_of(session, account)
    except IntegrityError as error:
        raise _taken(error, wanted.get("name", "")) from None


def _check_closing(session: Session, account: Account) -> None:
    if account.balance != 0:
        raise Conflict("account_not_empty", amount=account.balance)
    using = select(AutoRechargeRule.name).where(
        AutoRechargeRule.account_id == account.id, AutoRechargeRule.disabled_at.is_(None)
    )
    rule = session.scalar(using.order_by(AutoRechargeRule.id).limit(1))
    if rule is not None:
        raise Conflict("account_in_use", name=rule)


@command("account.deposit")
def deposit(
    db: Database,
    *,
    account_id: int,
    amount: int,
    key: str | None = None,
    reason: str | None = None,
    actor: Actor,
    now: datetime,
) -> Moved:
    """Money came in for an account. The same `key` with the same facts counts once and gets the first answer.

    Raises `InvalidInput` (amount_too_small, amount_too_large, negative), `Conflict` ("key_reused"), `NotFound`, and
    `ConsentNeeded` where the amount is large (`engine.funds.large`).
    """
    _checked("amount", amount, low=1)
    why = checked_reason(reason)
    return _move(db, "deposit", account_id, amount, key or idempotency.new_key(), why, actor, now)


@command("account.adjust")
def adjust_account(
    db: Database,
    *,
    account_id: int,
    amount: int,
    reason: str,
    key: str | None = None,
    actor: Actor,
    now: datetime,
) -> Moved:
    """Correct an account by a signed amount, never to below its credit limit. `key` as in `deposit`.

    Raises `Refused` ("account_exhausted"), `InvalidInput` (reason_missing, amount_zero, amount_too_large), `Conflict`
    ("key_reused"), `NotFound`, and `ConsentNeeded` where a large amount is to come in.
    """
    if amount == 0:
        raise InvalidInput("amount_zero", field="amount")
    _checked("amount", abs(amount) if type(amount) is int else amount, low=0)
    why = checked_reason(reason, required=True)
    return _move(db, "adjustment", account_id, amount, key or idempotency.new_key(), why, actor, now)


_VERBS = {"deposit": "account.deposit", "adjustment": "account.adjust"}


@reruns
def _move(
    db: Database,
    kind: str,
    account_id: int,
    amount: int,
    key: str,
    reason: str | None,
    actor: Actor,
    now: datetime,
) -> Moved:
    verb = _VERBS[kind]
    asked = idempotency.fingerprint(account_id, amount, reason)
    try:
        with db.begin() as session:
            first = idempotency.claim(session, verb, key, asked, now)
            if first is not None:
                balance = session.get_one(Account, account_id).balance
                return Moved(**first, repeated=True, balance_now=balance)
            entry = post(
                session,
                account_id=account_id,
                amount=amount,
                kind=kind,
                reference=kind,
                actor=actor,
                now=now,
                reason=reason,
                key=f"{kind}:{key}",
            )
            account = session.get_one(Account, account_id)
            if amount > 0:
                _checked("amount", max(entry.balance_after, 0), low=0)
            # Asked once the account is locked, as the order of locks has it; without a consent nothing is posted.
            facts = {"amount": amount, "currency": account.currency}
            need_consent(session, actor, verb, f"account:{account_id}", amount, facts, now)
            answer = Moved(account_id, account.name, amount, entry.balance_after, account.currency)
            kept = {n: v for n, v in asdict(answer).items() if n not in ("repeated", "balance_now")}
            told = {"amount": amount, "currency": account.currency, "balance": entry.balance_after}
            audit.record(session, actor, verb, f"account:{account_id}", now, reason=reason, **told)
            idempotency.keep(session, verb, key, kept)
            return replace(answer, balance_now=answer.balance)
    except IntegrityError as error:
        if "uq_account_entry_idempotency" not in str(error.orig):
            raise
        raise Conflict("key_reused") from None  # the entries remember a key longer than its answer is kept


def _checked(field: str, amount: int, *, low: int) -> int:
    if type(amount) is not int:
        raise InvalidInput("not_a_number", field=field)
    if amount < 0:
        raise InvalidInput("negative", field=field, text=format_amount(amount, 2))
    if amount < low:
        raise InvalidInput("amount_too_small", field=field)
    if amount > MOST:
        raise InvalidInput("amount_too_large", field=field, high=MOST)
    return amount
