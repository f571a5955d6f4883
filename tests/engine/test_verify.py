"""The self-check of the books: silent about right ones, and it names every way in which they can be wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from engine.actor import SYSTEM, Actor
from engine.calls.sweep import sweep
from engine.cards import lifecycle
from engine.db import Database
from engine.funds import autorecharge, checkouts, ledger
from engine.funds.accounts import deposit, open_account
from engine.funds.autorules import add_rule, enrol
from engine.funds.bonus import add_rule as add_bonus
from engine.funds.bonus import disable_rule as disable_bonus
from engine.funds.recharges import adjust, recharge
from engine.funds.replacements import replace_card
from engine.funds.transfers import transfer
from engine.people import resellers
from engine.reports.verify import CHECKS, GUARDS, IMMUTABLE, MOST, Finding, examine, verify
from engine.schema.funds import LEDGER_KINDS
from engine.stock import resale
from engine.stock.custody import Range
from engine.vault import Vault
from tests import scenes
from tests.conftest import Clones
from tests.scenes import NOW, OPERATOR, USD, Line, TestCard, facts

AFTER = NOW + timedelta(days=2)


@dataclass
class Books:
    """Books that are made once, for tests to spoil clones of them."""

    url: str
    cards: list[TestCard]


@contextmanager
def books(clones: Clones, make: Callable[[Database], list[TestCard]], like: str = "") -> Iterator[Books]:
    """Make them in a database of their own, on top of those in another."""
    url = clones.make(like=like)
    db = Database(url)
    cards = make(db)
    db.close()
    yield Books(url, cards)
    clones.drop(url)


@pytest.fixture(scope="module")
def busy_books(clones: Clones, vault: Vault) -> Iterator[Books]:
    with books(clones, lambda db: _be_busy(db, vault)) as made:
        yield made


@pytest.fixture(scope="module")
def rich_books(clones: Clones, busy_books: Books, vault: Vault) -> Iterator[Books]:
    with books(clones, lambda db: _be_rich(db, vault), busy_books.url) as made:
        yield made


@pytest.fixture
def database_url(clones: Clones, request: pytest.FixtureRequest) -> Iterator[str]:
    """A database of the test's own: with the books that it asks for, or without any."""
    asked = [name for name in ("rich", "busy") if name in request.fixturenames]
    url = clones.make(like=request.getfixturevalue(f"{asked[0]}_books").url if asked else "")
    yield url
    clones.drop(url)


@pytest.fixture
def busy(busy_books: Books) -> list[TestCard]:
    return busy_books.cards


@pytest.fixture
def rich(rich_books: Books) -> list[TestCard]:
    return rich_books.cards


def _be_busy(db: Database, vault: Vault) -> list[TestCard]:
    """Two cards that have seen everything: calls, a late end, an overrun, a recharge, a voucher, a live call."""
    scenes.deck(db, {"880": "0.60"})
    first, second = cards = scenes.batch(db, vault, 2, "5.00", concurrency=3)
    voucher = scenes.vouchers(db, vault, 1, "2.00")[0]
    line = Line(db, vault, scenes.switch(db))
    recharge(db, card_id=first.id, amount=USD("3"), bonus=USD("1"), key="a", actor=OPERATOR, now=NOW)
    adjust(db, card_id=second.id, amount=USD("-4"), reason="A mistake", key="b", actor=OPERATOR, now=NOW)
    line.redeem(first, voucher)
    line.open(first, ref="ended", one_shot=False)
    line.later(70).end("ended", seconds=61)
    line.open(second, ref="overrun")
    line.later(200).end("overrun", seconds=200)
    line.open(first, ref="swept", one_shot=False)
    line.answer("swept")
    sweep(db, line.later(2_000).now)
    line.later(60).end("swept", seconds=300)
    line.open(first, ref="lost", one_shot=False)
    sweep(db, line.later(2_000).now)
    line.open(first, ref="live", one_shot=False)
    return [*cards, voucher]


def _be_rich(db: Database, vault: Vault) -> list[TestCard]:
    """And an account that an auto-recharge was paid from, a transfer, a replacement, a fee and discarded stock."""
    by: dict[str, Any] = {"actor": OPERATOR, "now": NOW}
    source, target, void = cards = scenes.batch(db, vault, 3, "5.00", name="More")
    account = open_account(db, name="Float", kind="funding", currency="USD", **by)
    deposit(db, account_id=account.id, amount=USD("20"), key="c", **by)
    rule = add_rule(db, name="Low", threshold=USD("2"), amount=USD("3"), account_id=account.id, **by)
    enrol(db, rule_id=rule.id, card_ids=[target.id], **by)
    line = Line(db, vault, scenes.switch(db, "Another"))
    line.open(target, ref="crossing")
    line.later(400).end("crossing", seconds=400)
    assert autorecharge.run_due(db, NOW) == 1
    transfer(db, from_id=source.id, to_id=target.id, amount=USD("1"), key="d", **by)
    replace_card(db, old_id=target.id, new_id=source.id, reason="Lost", **by)
    with db.begin() as session:
        session.execute(
            text(
                "INSERT INTO charge_run (kind, currency, cards, amount, at)"
                " VALUES ('maintenance', 'USD', 1, 250000, now())"
            )
        )
        session.execute(
            text(
                "INSERT INTO bulk_run (command, params, cards, amount, actor, actor_name, created_at)"
                " VALUES ('discard', '{}', 1, -5000000, 'x', 'x', now())"
            )
        )
        ledger.post(
            session,
            card_id=source.id,
            amount=-USD("0.25"),
            account="fees",
            kind="fee",
            reference="charge:1",
            **by,
        )
        ledger.post(
            session,
            card_id=void.id,
            amount=-USD("5"),
            account="sales",
            kind="discard",
            reference="run:1",
            **by,
        )
    lifecycle.damage(db, card_id=void.id, reason="Discarded", **by)
    _resold(db, vault)
    _paid_online(db, source)
    return cards


def _resold(db: Database, vault: Vault) -> None:
    """A reseller activates two cards, and gives one back."""
    by: dict[str, Any] = {"actor": OPERATOR, "now": NOW}
    shop = resellers.add_reseller(db, "Bazaar", OPERATOR, NOW, discount_bp=1_000)
    credit = open_account(db, name="Bazaar", kind="reseller", currency="USD", reseller_id=shop.id, **by)
    deposit(db, account_id=credit.id, amount=USD("20"), **by)
    first, last = scenes.batch(db, vault, 2, "5.00", name="Stock", release="activation")
    resale.assign(db, Range(first.id, last.id), OPERATOR, NOW, reseller_id=shop.id)
    till = Actor("reseller", 9, "Clerk", "clerk", shop.id)
    resale.activate(db, Range(first.id, last.id), till, NOW)
    resale.give_back(db, Range(last.id, last.id), till, NOW)


def _paid_online(db: Database, card: TestCard) -> None:
    """A payment with a bonus, of which a part went back."""
    by: dict[str, Any] = {"actor": OPERATOR, "now": NOW}
    rule = add_bonus(db, name="Online", currency="USD", percent_bp=1_000, methods=["online"], **by)
    begun = checkouts.begin(
        db, card_id=card.id, amount=USD("10"), language="en", key="online", actor=SYSTEM, now=NOW
    )
    checkouts.paid(db, begun.ref, provider_ref="cs_1", amount=USD("10"), currency="USD", now=NOW)
    checkouts.refunded(db, begun.ref, USD("4"), "USD", NOW)
    disable_bonus(db, rule_id=rule.id, **by)


def test_right_books_are_called_right(db: Database, busy: list[TestCard]) -> None:
    assert facts(db, busy[1]).balance == 0  # the overrun took all, and the rest is the operator's loss
    told = examine(db, NOW)
    assert told.findings == ()
    # opening ×3, recharge, bonus, adjustment, voucher ×2, usage ×2, loss, correction
    assert (told.cards, told.entries, told.calls) == (3, 12, 5)


def test_books_with_every_kind_of_document_are_called_right(db: Database, rich: list[TestCard]) -> None:
    assert examine(db, NOW).findings == ()
    with db.begin() as session:
        kinds = set(session.scalars(text("SELECT DISTINCT kind FROM ledger_entry")))
    assert kinds == set(LEDGER_KINDS) - {"breakage"}


def test_an_empty_database_has_nothing_wrong(db: Database) -> None:
    told = examine(db, NOW)
    assert (told.findings, told.cards, told.entries, told.calls) == ((), 0, 0, 0)


def test_a_call_that_the_sweep_forgot_is_named_after_ten_minutes(db: Database, busy: list[TestCard]) -> None:
    with db.begin() as session:
        due = session.scalar(text("SELECT sweep_after FROM call"))
    assert verify(db, due + timedelta(minutes=10)) == []
    assert [finding.code for finding in verify(db, due + timedelta(minutes=10, seconds=1))] == ["overdue"]


# --- every way to be wrong ---

Breakage = tuple[str, str]
"""What is found, and the SQL that breaks it ({first}, {second}, {voucher}: card ids)."""

BROKEN: dict[str, Breakage] = {
    "a balance was raised": ("balance", "UPDATE card SET balance = balance + 1 WHERE id = {first}"),
    "a balance was lowered": ("balance", "UPDATE card SET balance = balance - 1 WHERE id = {first}"),
    "an entry vanished": ("balance", "DELETE FROM ledger_entry WHERE kind = 'adjustment'"),
    "an entry without a card's knowing": (
        "balance",
        "INSERT INTO ledger_entry (card_id, account, amount, balance_after, kind, reference, actor, at)"
        " SELECT {second}, 'adjustment', 5, 5, 'adjustment', 'x', 'x', now()",
    ),
    "an amount was changed": ("chain", "UPDATE ledger_entry SET amount = amount + 1 WHERE kind = 'recharge'"),
    "what was left was changed": (
        "chain",
        "UPDATE ledger_entry SET balance_after = balance_after + 1 WHERE kind = 'recharge'",
    ),
    "a card was born twice": ("opening", "UPDATE ledger_entry SET kind = 'opening' WHERE kind = 'bonus'"),
    "a card was never born": (
        "opening",
        "UPDATE ledger_entry SET kind = 'adjustment' WHERE kind = 'opening'",
    ),
    "another account": ("account", "UPDATE ledger_entry SET account = 'fees' WHERE kind = 'bonus'"),
    "a call was charged less than it cost": (
        "calls",
        "UPDATE cdr SET cost = cost + 1, charged = charged + 1 WHERE call_ref = 'ended'",
    ),
    "a loss was hidden": ("calls", "UPDATE cdr SET charged = cost WHERE call_ref = 'overrun'"),
    "a call vanished": ("calls", "DELETE FROM cdr WHERE call_ref = 'ended'"),
    "a call was never charged": (
        "calls",
        "UPDATE ledger_entry SET reference = 'call:0' WHERE kind = 'usage' AND card_id = {first}",
    ),
    "a correction was changed": ("calls", "UPDATE cdr_correction SET cost = cost + 1, charged = charged + 1"),
    "a correction of nothing": ("correction", "UPDATE cdr SET flags = '{{}}' WHERE call_ref = 'swept'"),
    "a payment vanished": ("payments", "DELETE FROM payment WHERE method = 'operator'"),
    "a bonus was changed": ("payments", "UPDATE payment SET bonus = bonus + 1 WHERE method = 'operator'"),
    "a voucher paid another card": (
        "payments",
        "UPDATE payment SET card_id = {second} WHERE method = 'voucher'",
    ),
    "a voucher has value again": ("voucher", "UPDATE card SET balance = 1 WHERE id = {voucher}"),
    "a card was born with too much": (
        "openings",
        "UPDATE ledger_entry SET amount = amount + 1 WHERE kind = 'opening' AND card_id = {first}",
    ),
    "a hold was left behind": ("holds", "DELETE FROM call"),
    "a hold was forgotten": ("holds", "UPDATE card SET held = 0 WHERE id = {first}"),
    "a live call was forgotten": ("holds", "UPDATE card SET live_calls = 0 WHERE id = {first}"),
    "a hold of another size": ("holds", "UPDATE call SET hold = hold - 1"),
    "a card has spent what it held": (
        "overspent",
        "ALTER TABLE card DROP CONSTRAINT ck_card_balance; UPDATE card SET balance = held - 1 WHERE id = {first}",
    ),
    "a batch lost a card": (
        "batch",
        "UPDATE card SET batch_id = (SELECT max(id) FROM batch) WHERE id = {first}",
    ),
    "a batch was called ready too early": (
        "batch",
        "ALTER TABLE batch DROP CONSTRAINT ck_batch_ready;"
        " UPDATE batch SET count = count + 1, last_id = last_id + 1",
    ),
    "a call ended twice": (
        "ends",
        "CREATE TEMP TABLE again AS SELECT * FROM cdr WHERE call_ref = 'ended';"
        " UPDATE again SET ended_at = ended_at + interval '1 day', cost = 0, charged = 0;"
        " INSERT INTO cdr SELECT * FROM again",
    ),
    "a call is live and ended": (
        "ends",
        "UPDATE cdr SET id = (SELECT id FROM call), card_id = (SELECT card_id FROM call) WHERE call_ref = 'lost'",
    ),
    "a key counted twice": (
        "key",
        "DROP INDEX uq_ledger_entry_idempotency;"
        " UPDATE ledger_entry SET idempotency_key = 'twice' WHERE card_id = {first}",
    ),
    "a payment's key counted twice": (
        "key",
        "ALTER TABLE payment DROP CONSTRAINT uq_payment_idempotency_key;"
        " UPDATE payment SET idempotency_key = 'twice'",
    ),
    "a voucher was redeemed twice": (
        "voucher",
        "ALTER TABLE payment DROP CONSTRAINT uq_payment_voucher_id;"
        " INSERT INTO payment (card_id, method, amount, bonus, currency, voucher_id, actor, at)"
        " SELECT card_id, method, amount, bonus, currency, voucher_id, actor, at FROM payment"
        " WHERE method = 'voucher'",
    ),
    "a card changed its currency": ("currency", "UPDATE card SET currency = 'EUR' WHERE id = {first}"),
    "a payment in another currency": ("currency", "UPDATE payment SET currency = 'EUR'"),
}


@pytest.mark.books_broken
@pytest.mark.parametrize("name", BROKEN)
def test_what_is_wrong_is_found(db: Database, busy: list[TestCard], name: str) -> None:
    code, damage = BROKEN[name]
    first, second, voucher = busy
    _break(db, damage, {"first": first.id, "second": second.id, "voucher": voucher.id})
    found = verify(db, NOW)
    assert code in {finding.code for finding in found}, found
    assert all(finding.detail.endswith(".") and finding.subject for finding in found)


# The same for what `rich` adds ({source} was transferred from, {target} replaced, {void} discarded).
BROKEN_DOCUMENTS: dict[str, Breakage] = {
    "a recharge from another account": (
        "payments",
        "UPDATE ledger_entry SET account = 'sales' WHERE account LIKE 'funding:%'",
    ),
    "a run recharged more than it says": (
        "runs",
        "UPDATE ledger_entry SET reference = 'run:1' WHERE kind = 'transfer' AND card_id = {source}",
    ),
    "what went back vanished": ("refunds", "DELETE FROM refund"),
    "more went back than the document says": ("refunds", "UPDATE refund SET taken = taken - 1"),
    "of a bonus less was taken than it says": ("refunds", "UPDATE refund SET bonus_taken = bonus_taken + 1"),
    "an online payment nobody asked for": ("checkouts", "DELETE FROM checkout"),
    "less was asked for than was paid": ("checkouts", "UPDATE checkout SET amount = amount - 1"),
    "more went back than the service told": ("checkouts", "UPDATE checkout SET refunded = refunded - 1"),
    "a transfer vanished": ("transfers", "DELETE FROM card_transfer WHERE kind = 'transfer'"),
    "a transfer of another size": ("transfers", "UPDATE card_transfer SET amount = amount + 1"),
    "a transfer to another card": (
        "transfers",
        "UPDATE card_transfer SET to_id = {void} WHERE kind = 'transfer'",
    ),
    "a replacement moved elsewhere": ("replacements", "UPDATE replacement SET new_id = {void}"),
    "a replaced card lives": (
        "replacements",
        "UPDATE card SET damaged_at = NULL, damaged_by = NULL WHERE id = {target}",
    ),
    "a fee run vanished": ("runs", "DELETE FROM charge_run"),
    "a fee run took more than it says": ("runs", "UPDATE charge_run SET amount = amount - 1"),
    "a fee run took from more cards": ("runs", "UPDATE charge_run SET cards = 2"),
    "a fee run was a write-off": ("runs", "UPDATE charge_run SET kind = 'breakage'"),
    "a bulk run moved more than it says": ("runs", "UPDATE bulk_run SET amount = 0"),
    "a bulk run vanished": ("runs", "DELETE FROM bulk_run"),
    "a discarded card lives": (
        "discards",
        "UPDATE card SET damaged_at = NULL, damaged_by = NULL WHERE id = {void}",
    ),
    "more was discarded than it was born with": (
        "discards",
        "UPDATE ledger_entry SET amount = 4000000 WHERE kind = 'opening' AND card_id = {void}",
    ),
    "an account has more than came in": ("account_balance", "UPDATE account SET balance = balance + 1"),
    "an account's entry vanished": ("account_balance", "DELETE FROM account_entry WHERE kind = 'deposit'"),
    "what was left of an account was changed": (
        "account_chain",
        "UPDATE account_entry SET balance_after = balance_after + 1 WHERE kind = 'deposit'",
    ),
    "an account paid for nothing": (
        "account_documents",
        "UPDATE account_entry SET reference = 'payment:0' WHERE kind = 'recharge'",
    ),
    "a recharge that its account did not pay": (
        "account_documents",
        "DELETE FROM account_entry WHERE kind = 'recharge'",
    ),
    "a payment from an account in another currency": ("currency", "UPDATE account SET currency = 'EUR'"),
    "a reseller was charged less than the document says": (
        "stock_prices",
        "UPDATE card SET reseller_price = reseller_price - 1 WHERE reseller_price IS NOT NULL",
    ),
    "a reseller was charged without a document": (
        "stock_prices",
        "UPDATE stock_move SET amount = 0",
    ),
    "a card that was charged is nobody's": (
        "stock_prices",
        "UPDATE card SET reseller_id = NULL WHERE reseller_price IS NOT NULL",
    ),
    "a card was charged in another currency": (
        "stock_prices",
        "UPDATE card SET currency = 'EUR' WHERE reseller_price IS NOT NULL",
    ),
    "an auto-recharge without a crossing": ("auto_recharge", "DELETE FROM auto_recharge_crossing"),
    "two crossings of one recharge": (
        "auto_recharge",
        "INSERT INTO auto_recharge_crossing SELECT card_id, rule_id, 0, at, outcome, payment_id, done_at"
        " FROM auto_recharge_crossing",
    ),
    "an account's key counted twice": (
        "key",
        "DROP INDEX uq_account_entry_idempotency; UPDATE account_entry SET idempotency_key = 'twice'",
    ),
    "a transfer's key counted twice": (
        "key",
        "ALTER TABLE card_transfer DROP CONSTRAINT uq_card_transfer_idempotency_key;"
        " UPDATE card_transfer SET idempotency_key = 'twice'",
    ),
    "an entry of no known kind of account": (
        "account",
        "UPDATE ledger_entry SET account = 'sales' WHERE kind = 'transfer'",
    ),
}


@pytest.mark.books_broken
@pytest.mark.parametrize("name", BROKEN_DOCUMENTS)
def test_what_is_wrong_with_a_document_is_found(db: Database, rich: list[TestCard], name: str) -> None:
    code, damage = BROKEN_DOCUMENTS[name]
    _break(db, damage, dict(zip(("source", "target", "void"), (card.id for card in rich), strict=True)))
    found = verify(db, NOW)
    assert code in {finding.code for finding in found}, found
    assert all(finding.detail.endswith(".") and finding.subject for finding in found)


def _break(db: Database, damage: str, cards: dict[str, int]) -> None:
    """As somebody with a grudge and the rights of the owner would, who leaves no trace of how."""
    with db.raw() as conn:
        for table in IMMUTABLE:
            conn.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        conn.execute(damage.format(**cards))
        for table in IMMUTABLE:
            conn.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


@pytest.mark.books_broken
@pytest.mark.parametrize("guard", GUARDS)
def test_a_guard_that_the_database_lost_is_named(db: Database, guard: str) -> None:
    with db.raw() as conn:
        conn.execute(_drop(conn.execute, guard))
    assert verify(db, NOW) == [
        Finding("guard", f"guard:{guard}", "The database does not guard this any more.")
    ]


def _drop(execute: Callable[..., object], guard: str) -> str:
    found = execute(
        "SELECT conrelid::regclass::text FROM pg_constraint WHERE conname = %s AND conparentid = 0", (guard,)
    ).fetchone()  # type: ignore[attr-defined]
    return (
        f"DROP INDEX {guard}" if found is None else f"ALTER TABLE {found[0]} DROP CONSTRAINT {guard} CASCADE"
    )


@pytest.mark.books_broken
@pytest.mark.parametrize(
    "how", ["DROP TRIGGER {0}_immutable ON {0}", "ALTER TABLE {0} DISABLE TRIGGER {0}_immutable"]
)
@pytest.mark.parametrize("table", IMMUTABLE)
def test_rows_that_could_be_changed_are_noticed(db: Database, table: str, how: str) -> None:
    with db.raw() as conn:
        conn.execute(how.format(table))
    assert [finding.subject for finding in verify(db, NOW)] == [f"guard:{table}_immutable"]


@pytest.mark.parametrize("change", ["UPDATE {0} SET {1} = {1}", "DELETE FROM {0}"])
@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("ledger_entry", "actor"),
        ("cdr", "cost"),
        ("cdr_correction", "cost"),
        ("payment", "actor"),
        ("audit", "actor"),
    ],
)
def test_the_database_itself_refuses_to_change_what_was_written(
    db: Database, busy: list[TestCard], table: str, column: str, change: str
) -> None:
    import psycopg

    with pytest.raises(psycopg.errors.RestrictViolation, match="never changed"), db.raw() as conn:
        conn.execute(change.format(table, column))


def test_every_check_is_seen_to_find_something() -> None:
    assert {check.code for check in CHECKS} - {
        code for code, _ in (*BROKEN.values(), *BROKEN_DOCUMENTS.values())
    } == {"overdue", "guard"}


@pytest.mark.books_broken
def test_a_flood_of_findings_is_cut_short(db: Database, vault: Vault) -> None:
    scenes.batch(db, vault, MOST + 5)
    with db.begin() as session:
        session.execute(text("UPDATE card SET balance = balance + 1"))
    found = verify(db, NOW)
    assert len(found) == MOST + 1
    assert found[-1] == Finding("balance", "card", f"There are more than {MOST} of these.")


def test_the_books_are_seen_as_they_stood_at_one_moment(db: Database, vault: Vault) -> None:
    """Calls go on while the books are read; a check that saw half of one would cry wolf."""
    from threading import Event, Thread

    scenes.deck(db, {"880": "0.60"})
    card = scenes.card(db, vault, "50.00")
    line = Line(db, vault, scenes.switch(db))
    stop = Event()

    def talk() -> None:
        for n in range(10_000):
            if stop.is_set():
                return
            line.open(card, ref=f"{n}", one_shot=False)
            line.later(1).end(f"{n}", seconds=1)

    talker = Thread(target=talk)
    talker.start()
    try:
        found = [verify(db, NOW) for _ in range(8)]
    finally:
        stop.set()
        talker.join(20)
    assert found == [[]] * 8
    assert facts(db, card).balance < USD("50")
