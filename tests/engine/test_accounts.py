"""Accounts: deposits, corrections, a credit limit that nobody spends past, and what pages are told of them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import select, text

from engine.db import Database
from engine.errors import Conflict, ConsentNeeded, InvalidInput, NotFound, Refused
from engine.funds import accounts
from engine.funds.accounts import adjust_account, change_account, deposit, open_account
from engine.funds.accountviews import PAGE, AccountView, account_named, account_page, list_accounts
from engine.schema import AccountEntry, AuditRow, Reseller
from tests import scenes
from tests.proof import scaled
from tests.scenes import NOW, OPERATOR, USD

BY: dict[str, Any] = {"actor": OPERATOR, "now": NOW}


def funding(db: Database, name: str = "Float", **more: Any) -> AccountView:
    return open_account(db, name=name, kind="funding", currency=more.pop("currency", "USD"), **BY, **more)


def reseller(db: Database, name: str = "Corner shop") -> int:
    with db.begin() as session:
        row = Reseller(name=name, created_at=NOW)
        session.add(row)
        session.flush()
        return int(row.id)


def balance(db: Database, account: AccountView) -> int:
    return account_page(db, account.id).account.balance


def test_an_account_is_opened_filled_and_corrected_and_every_step_is_an_entry(db: Database) -> None:
    account = funding(db, credit_limit=USD("10"))
    assert (account.balance, account.available) == (0, USD("10"))
    first = deposit(db, account_id=account.id, amount=USD("50"), reason="Bank 17", **BY)
    assert (first.amount, first.balance, first.currency) == (USD("50"), USD("50"), "USD")
    adjust_account(db, account_id=account.id, amount=-USD("55"), reason="Charged back", **BY)
    page = account_page(db, account.id)
    assert (page.account.balance, page.account.available, page.older) == (-USD("5"), USD("5"), None)
    assert [(line.kind, line.amount, line.balance_after, line.reason) for line in page.entries] == [
        ("adjustment", -USD("55"), -USD("5"), "Charged back"),
        ("deposit", USD("50"), USD("50"), "Bank 17"),
    ]
    with db.begin() as session:
        told = session.scalars(select(AuditRow.action).order_by(AuditRow.id)).all()
    assert told == ["account.open", "account.deposit", "account.adjust"]


def test_a_key_counts_once_and_the_repeat_says_so_and_what_there_is_now(db: Database) -> None:
    account = funding(db)
    first = deposit(db, account_id=account.id, amount=USD("5"), key="a", **BY)
    deposit(db, account_id=account.id, amount=USD("1"), key="b", **BY)
    again = deposit(db, account_id=account.id, amount=USD("5"), key="a", **BY)
    assert again == first
    assert (first.repeated, again.repeated, again.balance_now) == (False, True, USD("6"))
    with pytest.raises(Conflict, match="key_reused"):
        deposit(db, account_id=account.id, amount=USD("6"), key="a", **BY)
    with db.begin() as session:
        session.execute(text("DELETE FROM idempotent_request"))
    with pytest.raises(Conflict, match="key_reused"):
        deposit(db, account_id=account.id, amount=USD("5"), key="a", **BY)
    assert balance(db, account) == USD("6")


def test_opening_twice_under_one_key_opens_one(db: Database) -> None:
    assert funding(db, key="a") == funding(db, key="a")
    with pytest.raises(Conflict, match="name_taken"):
        funding(db)
    assert [account.name for account in list_accounts(db)] == ["Float"]


def test_a_reseller_has_one_account_a_currency(db: Database) -> None:
    shop = reseller(db)
    given: dict[str, Any] = {"kind": "reseller", "reseller_id": shop, **BY}
    first = open_account(db, name="Shop", currency="USD", **given)
    assert (first.reseller, first.kind) == ("Corner shop", "reseller")
    with pytest.raises(Conflict, match="account_exists"):
        open_account(db, name="Shop 2", currency="USD", **given)
    open_account(db, name="Shop EUR", currency="EUR", **given)
    assert [one.name for one in list_accounts(db, reseller_id=shop)] == ["Shop", "Shop EUR"]
    for kind, owner in (("reseller", None), ("funding", shop)):
        with pytest.raises(InvalidInput, match="reseller_missing"):
            open_account(db, name="X", kind=kind, currency="USD", reseller_id=owner, **BY)
    with pytest.raises(NotFound, match="reseller_not_found"):
        open_account(db, name="X", kind="reseller", currency="USD", reseller_id=shop + 1, **BY)


def test_amounts_that_cannot_be_are_refused(db: Database) -> None:
    account = funding(db)
    for amount, code in ((0, "amount_too_small"), (-1, "negative"), (1.5, "not_a_number")):
        with pytest.raises(InvalidInput, match=code):
            deposit(db, account_id=account.id, amount=amount, **BY)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="amount_zero"):
        adjust_account(db, account_id=account.id, amount=0, reason="x", **BY)
    with pytest.raises(InvalidInput, match="reason_missing"):
        adjust_account(db, account_id=account.id, amount=1, reason=" ", **BY)
    with pytest.raises(Refused, match="account_exhausted"):
        adjust_account(db, account_id=account.id, amount=-1, reason="x", **BY)
    with pytest.raises(NotFound, match="account_not_found"):
        deposit(db, account_id=account.id + 1, amount=1, **BY)
    deposit(db, account_id=account.id, amount=accounts.MOST, **BY)
    with pytest.raises(InvalidInput, match="amount_too_large"):
        deposit(db, account_id=account.id, amount=1, **BY)


def test_an_account_is_renamed_limited_and_closed(db: Database) -> None:
    account = funding(db, credit_limit=USD("10"))
    adjust_account(db, account_id=account.id, amount=-USD("4"), reason="Lent", **BY)
    changed = change_account(db, account_id=account.id, name="Main", credit_limit=USD("4"), **BY)
    assert (changed.name, changed.available) == ("Main", 0)
    assert change_account(db, account_id=account.id, name="Main", credit_limit=USD("4"), **BY) == changed
    with pytest.raises(Conflict, match="account_owes"):
        change_account(db, account_id=account.id, credit_limit=USD("3.99"), **BY)
    with pytest.raises(Conflict, match="account_not_empty"):
        change_account(db, account_id=account.id, close=True, **BY)
    deposit(db, account_id=account.id, amount=USD("4"), **BY)
    closed = change_account(db, account_id=account.id, close=True, **BY)
    assert closed.closed_at == NOW
    assert change_account(db, account_id=account.id, close=True, **BY) == closed
    with pytest.raises(NotFound, match="account_not_found"):
        deposit(db, account_id=account.id, amount=1, **BY)
    with pytest.raises(NotFound, match="account_not_found"):
        change_account(db, account_id=account.id, name="Other", **BY)
    assert list_accounts(db) == []
    assert [one.id for one in list_accounts(db, closed=True)] == [account.id]
    assert account_named(db, "main".title()).id == account.id
    with db.begin() as session:
        rows = session.scalars(select(AuditRow).where(AuditRow.action == "account.change")).all()
    assert [row.data.get("name") for row in rows] == ["Main", None]


def test_large_deposits_adjustments_and_credit_need_a_second_persons_consent(db: Database) -> None:
    scenes.setting(db, "consent_recharge_over", 10)
    by: dict[str, Any] = {"actor": OPERATOR, "now": NOW}
    account = open_account(db, name="Float", kind="funding", currency="USD", credit_limit=USD("10"), **by)
    small: dict[str, Any] = {"account_id": account.id, "amount": USD("10"), **by}
    deposit(db, **small)
    adjust_account(db, reason="x", **small)
    large: dict[str, Any] = {**small, "amount": USD("10.01")}
    acts: list[tuple[str, str, Callable[[], Any]]] = [
        ("account.deposit", f"account:{account.id}", lambda: deposit(db, key="a", **large)),
        ("account.adjust", f"account:{account.id}", lambda: adjust_account(db, reason="x", key="b", **large)),
        (
            "account.change",
            f"account:{account.id}",
            lambda: change_account(db, account_id=account.id, credit_limit=USD("21"), **by),
        ),
        (
            "account.open",
            "account:Other",
            lambda: open_account(
                db, name="Other", kind="funding", currency="USD", credit_limit=USD("11"), key="c", **by
            ),
        ),
    ]
    for action, subject, act in acts:
        with pytest.raises(ConsentNeeded) as needed:
            act()
        assert (needed.value.data["action"], needed.value.data["subject"]) == (action, subject)
        scenes.consented(db, needed.value)
        act()
        act()  # the same again asks nobody
    adjust_account(db, account_id=account.id, amount=-USD("30"), reason="x", **by)
    assert account_named(db, "Float").balance == USD("10.02")
    change_account(db, account_id=account.id, credit_limit=0, **by)


def test_entries_are_read_page_by_page(db: Database) -> None:
    account = funding(db)
    for cents in range(1, PAGE + 6):
        deposit(db, account_id=account.id, amount=cents, **BY)
    first = account_page(db, account.id)
    rest = account_page(db, account.id, before=first.older)
    assert [line.amount for line in (*first.entries, *rest.entries)] == list(range(PAGE + 5, 0, -1))
    assert (len(first.entries), rest.older) == (PAGE, None)


def test_credit_spent_from_eight_threads_never_falls_under_the_limit(db: Database) -> None:
    account = funding(db, credit_limit=USD("1.00"))
    deposit(db, account_id=account.id, amount=USD("2.00"), **BY)
    each, tries = USD("0.07"), scaled(2_000, 200)

    def spend(turn: int) -> str:
        try:
            with db.begin() as session:
                accounts.post(
                    session, account_id=account.id, amount=-each, kind="stock", reference=f"x:{turn}", **BY
                )
        except Refused as refused:
            return refused.code
        return "spent"

    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(spend, range(tries)))
    assert set(told) == {"spent", "account_exhausted"}
    spent = told.count("spent")
    assert spent == USD("3.00") // each
    assert balance(db, account) == USD("2.00") - spent * each
    with db.begin() as session:
        left = session.scalars(select(AccountEntry.balance_after).order_by(AccountEntry.id)).all()
    assert min(left) >= -USD("1.00")
    adjust_account(db, account_id=account.id, amount=spent * each, reason="A game, undone", **BY)
    with db.raw() as conn:  # entries without a document were for the game only
        conn.execute("ALTER TABLE account_entry DISABLE TRIGGER USER")
        conn.execute(
            "UPDATE account_entry SET kind = 'adjustment', reference = 'adjustment' WHERE kind = 'stock'"
        )
        conn.execute("ALTER TABLE account_entry ENABLE TRIGGER USER")
    assert balance(db, account) == USD("2.00")
