"""Money in the console: payments, the ledger, accounts, the check of the books."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import text

from engine import jobruns
from engine.config import Keys
from engine.funds import accountviews
from engine.people import consents
from engine.reports import exports
from jobs import tasks
from jobs.worker import run_until_done
from portal.installation import installation
from tests import scenes
from tests.conftest import Clones
from tests.portal.conftest import Clock, text_of
from tests.portal.house import House, house
from tests.portal.world import MARK
from tests.scenes import NOW, USD

PART = {"HX-Request": "true", "HX-Request-Type": "partial"}
LATER = NOW + timedelta(minutes=10)
PAGES = (
    "/money",
    "/money/ledger",
    "/money/accounts",
    "/money/reports",
    "/settings/auto-recharge",
    "/settings/bonus",
)


@pytest.fixture(scope="module")
def home(clones: Clones, keys: Keys, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(clones, keys, tmp_path_factory.mktemp("money")) as made:
        yield made


def shown(home: House, path: str, *, role: str = "finance", status: int = 200, **more: object) -> str:
    answer = home.visitor(role).get(path, **more)
    assert answer.status_code == status, path
    return answer.get_data(as_text=True)


def sent(home: House, path: str, *, role: str = "finance", status: int = 303, **fields: str) -> str:
    answer = home.visitor(role).submit(path, **fields)
    assert answer.status_code == status, answer.get_data(as_text=True)
    return answer.get_data(as_text=True)


def rows(html: str) -> int:
    return html.count('<th scope="row">')


def errors(html: str) -> str:
    return " ".join(re.findall(r'<p class="error"[^>]*>(.*?)</p>', html))


@pytest.mark.parametrize("path", PAGES)
def test_support_sees_no_money(home: House, path: str) -> None:
    shown(home, path, role="support", status=403)
    assert path not in shown(home, "/", role="support")
    for role in ("admin", "operator", "finance", "auditor"):
        assert MARK not in shown(home, path, role=role)


@pytest.mark.parametrize(
    ("path", "start"), [("/money", '<div id="list"'), ("/money/ledger", '<div id="list"')]
)
def test_a_list_is_a_page_or_a_part_of_one(home: House, path: str, start: str) -> None:
    whole, part = shown(home, path), shown(home, path, headers=PART)
    assert whole.lstrip().startswith("<!doctype html>")
    assert part.lstrip().startswith(start)
    assert rows(whole) == rows(part) > 0


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", 1),
        ("?method=operator", 1),
        ("?method=voucher", 0),
        ("?amount_from=2&amount_to=2", 1),
        ("?amount_from=2.01", 0),
        ("?at_from=2026-11-20&at_to=2026-11-20", 1),
        ("?at_to=2026-11-19", 0),
        ("?who=operator", 0),
        ("?currency=usd", 1),
        ("?currency=EUR", 0),
        (f"?batch=May+{MARK}", 1),
        ("?batch=Vouchers", 0),
    ],
)
def test_payments_are_found_by_what_the_form_asks(home: House, query: str, found: int) -> None:
    if "who" in query:
        query = "?who=admin"
        found = 1
    html = shown(home, f"/money{query}")
    assert rows(html) == found
    sums = shown(home, f"/money/sums{query}", headers=PART)
    assert (f"{found} payment" in text_of(f"<body>{sums}")) is bool(found)


def test_a_payment_leads_to_all_that_it_belongs_to(home: House) -> None:
    html = shown(home, "/money/payments/1")
    serial = home.world.cards[2].serial
    for address in (f"/cards/{serial}", "/settings/bonus", "/batches/1", "/money/ledger?reference=payment:1"):
        assert f'href="{address}"' in html
    assert "USD 0.20" in text_of(html)
    entries = shown(home, "/money/ledger?reference=payment:1")
    assert rows(entries) == 2
    assert f"/cards/{serial}" in entries
    shown(home, "/money/payments/999", status=404)


def test_entries_are_summed_up_by_kind(home: House) -> None:
    assert rows(shown(home, "/money/ledger?kind=adjustment")) == 1
    told = text_of("<body>" + shown(home, "/money/ledger/sums?kind=adjustment", headers=PART))
    assert "1 0.0000 −1.0000 USD −1.0000" in told
    assert "A mistake &lt;img" in shown(home, "/money/ledger?kind=adjustment")


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/money?serial=1", "serial"),
        ("/money?method=cash", "one of"),
        ("/money?at_from=2026-02-30", "date"),
        ("/money?at_from=2026-11-20&at_to=2026-11-19", "ends before it begins"),
        ("/money?amount_from=1,50", "point"),
        ("/money?amount_from=-5", "negative"),
        ("/money?amount_to=NaN", "plain number"),
        ("/money?batch=Nobody", "no batch"),
        ("/money?who=Nobody+here", "no such person"),
        ("/money?currency=dollars", ""),
        ("/money/ledger?kind=gift", "one of"),
        ("/money/ledger?account=<script>", "one of"),
        ("/money/ledger?serial=<script>", "serial"),
        ("/money/ledger?amount_from=1e9", "plain number"),
        ("/money/reports/traffic?from=2026-02-30", "no such day"),
        ("/money/reports/traffic?from=2026-11-02&to=2026-11-01", "ends before"),
        ("/money/reports/traffic?batch=Nobody", "no batch"),
        ("/settings/bonus?amount=1,50", "such as 10.00"),
    ],
)
def test_a_mistake_is_told_at_its_field(home: House, path: str, sentence: str) -> None:
    html = shown(home, path, status=422)
    assert sentence in errors(html)
    assert errors(html)
    assert "<script>" not in html


@pytest.mark.parametrize(
    "path",
    [
        "/money?before=x;drop",
        "/money?batch=%00",
        "/money/ledger?before=1",
        "/money/reports/traffic?by=password",
        "/money/reports/traffic?period=ever",
        "/money/reports/traffic?currency=XXX",
        "/money/accounts?kind=secret",
        "/money/accounts/1?before=x",
    ],
)
def test_what_no_form_sends_is_refused(home: House, path: str) -> None:
    shown(home, path, status=400)


def test_empty_fields_make_a_short_address(home: House) -> None:
    answer = home.visitor("finance").get("/money?method=voucher&serial=&at_from=")
    assert answer.status_code == 303
    assert answer.location == "/money?method=voucher"


@pytest.mark.parametrize(
    ("list_", "name"), [("/money", "payments"), ("/money/ledger", "ledger")], ids=["payments", "ledger"]
)
def test_a_list_is_exported_with_formulas_guarded(home: House, list_: str, name: str) -> None:
    with home.db.begin() as session:
        session.execute(text("ALTER TABLE ledger_entry DISABLE TRIGGER USER"))
        session.execute(text("ALTER TABLE payment DISABLE TRIGGER USER"))
        session.execute(text("UPDATE payment SET reason = '=HYPERLINK(1)' WHERE id = 1"))
        session.execute(
            text("UPDATE ledger_entry SET reason = '=HYPERLINK(1)' WHERE reference = 'payment:1'")
        )
        session.execute(text("ALTER TABLE ledger_entry ENABLE TRIGGER USER"))
        session.execute(text("ALTER TABLE payment ENABLE TRIGGER USER"))
    sent(home, f"{list_}/export", format="csv", key=f"export-{name}")
    sent(home, f"{list_}/export", format="csv", key=f"export-{name}")
    work = session_of(home, name)
    with home.app.app_context():
        here = installation()
        run_until_done(here.db, here.vault, work, lambda: LATER)
    answer = home.visitor("finance").get(f"/calls/exports/{work}/file")
    lines = list(csv.DictReader(io.StringIO(answer.get_data(as_text=True))))
    assert len(lines) == exports_rows(home, name)
    assert "'=HYPERLINK(1)" in {line["reason"] for line in lines}
    assert not any(value.startswith("=") for line in lines for value in line.values())


def session_of(home: House, name: str) -> int:
    """The one export of a list that was ordered."""
    with home.db.begin() as session:
        found = session.scalars(
            text("SELECT id FROM work WHERE kind = :kind AND params ->> 'source' = :name"),
            {"kind": exports.KIND, "name": name},
        ).all()
    assert len(found) == 1
    return int(found[0])


def exports_rows(home: House, name: str) -> int:
    table = {"payments": "payment", "ledger": "ledger_entry"}[name]
    with home.db.begin() as session:
        return int(session.scalar(text(f"SELECT count(*) FROM {table}")) or 0)


def test_an_account_is_opened_filled_corrected_changed_and_closed_once_each(home: House) -> None:
    opened = {
        "name": "Petty <b>cash",
        "kind": "funding",
        "currency": "usd",
        "credit_limit": "0",
        "key": "open-1",
    }
    for _ in range(2):
        sent(home, "/money/accounts/new", **opened)
    one = accountviews.account_named(home.db, "Petty <b>cash")
    page = f"/money/accounts/{one.id}"
    for _ in range(2):
        sent(home, f"{page}/deposit", amount="50", reason=f"Cash {MARK}", key="deposit-1")
        sent(home, f"{page}/adjust", amount="-50", reason="Counted wrongly", key="adjust-1")
    told = accountviews.account_page(home.db, one.id)
    assert told.account.balance == 0
    assert [line.amount for line in told.entries] == [-USD("50"), USD("50")]
    html = shown(home, page)
    assert "Petty &lt;b&gt;cash" in html
    assert MARK not in html
    sent(home, f"{page}/change", name="Petty", credit_limit="20", reason="", key="c")
    assert accountviews.account_page(home.db, one.id).account.credit_limit == USD("20")
    sent(home, f"{page}/close", reason="No more", key="x")
    assert accountviews.account_page(home.db, one.id).account.closed_at is not None
    assert "Petty" not in shown(home, "/money/accounts")
    assert "Petty" in shown(home, "/money/accounts?closed=1")
    shown(home, f"{page}/deposit", role="operator", status=403)


@pytest.mark.parametrize("amount", ["-5", "1e9", "NaN", "1,50", "0.00000005", "１２", "9" * 30, "0", ""])
def test_a_deposit_of_no_amount_is_told_and_writes_nothing(home: House, amount: str) -> None:
    account = home.world.arguments["account_id"]
    before = accountviews.account_page(home.db, account).account.balance
    html = sent(home, f"/money/accounts/{account}/deposit", status=422, amount=amount, reason="Kept", key="d")
    assert errors(html)
    assert 'value="Kept"' in html
    assert accountviews.account_page(home.db, account).account.balance == before


def test_a_large_deposit_waits_for_a_second_person(home: House) -> None:
    account = home.world.arguments["account_id"]
    scenes.setting(home.db, "consent_recharge_over", 1_000)
    fields = {"amount": "100000", "reason": "A year ahead", "key": "large-1"}
    html = sent(home, f"/money/accounts/{account}/deposit", status=422, **fields)
    assert "A second person has to agree first" in html
    waiting = [one for one in consents.list_open(home.db, LATER) if one.action == "account.deposit"]
    assert len(waiting) == 1
    scenes.setting(home.db, "consent_recharge_over", 0)


def test_an_account_needs_a_reason_to_be_corrected_and_a_reseller_where_it_is_one(home: House) -> None:
    account = home.world.arguments["account_id"]
    assert errors(sent(home, f"/money/accounts/{account}/adjust", status=422, amount="1", reason="", key="a"))
    html = sent(
        home,
        "/money/accounts/new",
        status=422,
        name="Nobody’s",
        kind="reseller",
        currency="USD",
        credit_limit="0",
        key="o",
    )
    assert errors(html)


def test_the_books_are_checked_when_asked_and_findings_are_told(home: House) -> None:
    path = "/money/reports/books"
    assert "were not checked yet" in shown(home, path)
    shown(home, f"{path}/check", role="finance", status=403)
    sent(home, f"{path}/check", role="operator", reason="")
    assert "A check was asked for" in shown(home, path)
    run = jobruns.claim_asked(home.db, "verify", LATER, "test")
    assert run is not None
    jobruns.finish(home.db, run, LATER, tasks.verify_books(home.db, lambda: LATER))
    assert "The books were right on" in text_of(shown(home, path))
    with home.db.begin() as session:
        session.execute(
            text("UPDATE card SET balance = balance + 1 WHERE id = :id"), {"id": home.world.cards[11].id}
        )
    with home.app.app_context():
        clock = installation().clock
    assert isinstance(clock, Clock)
    clock.later(minutes=1)
    sent(home, f"{path}/check", role="operator", reason="")
    run = jobruns.claim_asked(home.db, "verify", clock.now, "test")
    assert run is not None
    jobruns.finish(home.db, run, clock.now, tasks.verify_books(home.db, clock))
    html = text_of(shown(home, path))
    assert "found 1 thing that is not as it must be, and locked 1 card" in html
    assert "Open findings" in html
