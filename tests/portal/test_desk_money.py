"""What a shop has, sold and earned: credit, sales, statements and their files, at the desk and in the console."""

from __future__ import annotations

import csv
import io
import re
from decimal import Decimal
from urllib.parse import quote

import pypdfium2
import pytest

from engine.funds import accounts
from engine.people import resellers
from engine.stock import resale
from engine.stock.custody import Range
from tests.portal.conftest import text_of
from tests.portal.desks import Desks
from tests.scenes import NOW, OPERATOR, USD

MONTH = f"{NOW:%Y-%m}"


def told(page: str) -> str:
    """What a reader sees, with a space between cells."""
    for tag in ("td", "th", "dt", "dd"):
        page = page.replace(f"</{tag}>", f" </{tag}>")
    return text_of(page)


def lines_of(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"))))


def pdf_text(data: bytes) -> str:
    with pypdfium2.PdfDocument(data) as document:
        return " ".join(" ".join(page.get_textpage().get_text_range() for page in document).split())


def test_credit_shows_what_can_be_spent_and_every_entry(desks: Desks) -> None:
    page = told(desks.owner.get("/desk/credit").text)
    # 200.00 paid in; three cards of 5.00 less 10 %.
    assert "You can still spend USD" in page
    assert "Cards activated or sold" in page
    assert re.search(r"activated or sold: [0-9 \u202f\u00a0]+ to [0-9 \u202f\u00a0]+ ", page)
    assert "Deposit" in page
    assert "Your discount 10 %" in page
    other = desks.harbour.account_id
    assert desks.owner.get(f"/desk/credit?account={other}").status_code == 404
    assert desks.owner.get("/desk/credit?account=x").status_code == 400


def test_sales_tell_what_was_earned(desks: Desks) -> None:
    page = told(desks.owner.get("/desk/sales?period=today").text)
    assert "In all, USD 3 USD 15.00 USD 13.50 USD 1.50" in page
    none = told(desks.owner.get("/desk/sales?period=yesterday").text)
    assert "Nothing was sold in these days" in none
    wrong = desks.owner.get("/desk/sales?period=own&from=2026-02-30")
    assert wrong.status_code == 422
    assert "There is no such day" in wrong.text
    assert desks.owner.get("/desk/sales?period=own&from=2020-01-01").status_code == 422
    assert desks.owner.get("/desk/sales?period=fortnight").status_code == 400


@pytest.mark.parametrize("path", ["/desk/credit", "/desk/sales", "/desk/statements"])
def test_money_is_the_owners(desks: Desks, path: str) -> None:
    assert desks.owner.get(path).status_code == 200
    refused = desks.clerk.get(path)
    assert refused.status_code == 403
    assert "You can't open this Your role doesn't allow this." in told(refused.text)


def test_a_statement_adds_up_on_the_page_in_csv_and_on_paper(desks: Desks) -> None:
    shop = desks.corner
    resale.recharge(desks.db, card_id=shop.held[0].id, amount=USD("2.50"), actor=shop.owner, now=NOW)
    resale.give_back(desks.db, Range(shop.held[2].id, shop.held[2].id), shop.owner, NOW)
    at = f"/desk/statements/{shop.account_id}/{MONTH}"
    listed = desks.owner.get("/desk/statements")
    assert at in listed.text
    assert "Still running" in listed.text
    page = told(desks.owner.get(at).text)
    assert "Given back −1 −5.00 −4.50 −0.50" in page
    assert "In all 2 10.00 9.00 1.00 USD" in page
    assert "Recharges for cardholders: 1, together USD 2.50." in page
    made = desks.owner.get(at + ".csv")
    assert made.mimetype == "text/csv"
    rows = lines_of(made.data)
    assert (rows[0]["kind"], rows[-1]["kind"]) == ("opening", "closing")
    moved = sum(Decimal(row["amount"] or "0") for row in rows)
    assert Decimal(rows[0]["balance"]) + moved == Decimal(rows[-1]["balance"])
    assert not any(card.number in made.text for card in shop.held)
    paper = pdf_text(desks.owner.get(at + ".pdf").data)
    for words in ("Statement,", shop.name, "Sold and earned", rows[-1]["balance"], "Recharge of a card"):
        assert words in paper
    for wrong in (
        f"{at}.xls",
        f"/desk/statements/{shop.account_id}/2026-13",
        f"/desk/statements/{shop.account_id}/x",
    ):
        assert desks.owner.get(wrong).status_code == 404


def test_anothers_statement_is_nowhere(desks: Desks) -> None:
    for ending in ("", ".pdf", ".csv"):
        path = f"/desk/statements/{desks.harbour.account_id}/{MONTH}{ending}"
        assert desks.owner.get(path).status_code == 404
        console = f"/resellers/{desks.corner.id}/statements/{desks.harbour.account_id}/{MONTH}{ending}"
        assert desks.staff("admin").get(console).status_code == 404


def test_the_console_has_each_statement_and_all_of_a_month(desks: Desks) -> None:
    shop, staff = desks.corner, desks.staff("finance")
    listed = staff.get(f"/resellers/{shop.id}/statements")
    at = f"/resellers/{shop.id}/statements/{shop.account_id}/{MONTH}"
    assert at in listed.text
    assert "Balance before" in told(staff.get(at).text)
    paper = staff.get(at + ".pdf")
    assert pdf_text(paper.data).count(shop.name) >= 1
    assert f"-{shop.name.split()[0].lower()}-" in paper.headers["Content-Disposition"]
    foreign = resellers.add_reseller(desks.db, "Łódź নগদ", OPERATOR, desks.clock.now)
    account = accounts.open_account(
        desks.db,
        name="Łódź",
        kind="reseller",
        currency="USD",
        reseller_id=foreign.id,
        actor=OPERATOR,
        now=desks.clock.now,
    )
    named = staff.get(f"/resellers/{foreign.id}/statements/{account.id}/{MONTH}.csv").headers
    assert named["Content-Disposition"].isascii(), "servers send nothing else"
    assert quote("łódź") in named["Content-Disposition"]
    month = staff.get(f"/resellers/statements?month={MONTH}")
    assert shop.name in told(month.text)
    assert desks.harbour.name in told(month.text)
    rows = list(
        csv.DictReader(
            io.StringIO(staff.get(f"/resellers/statements?month={MONTH}&csv=1").data.decode("utf-8-sig"))
        )
    )
    assert {row["reseller"] for row in rows} >= {shop.name, desks.harbour.name}
    assert staff.get("/resellers/statements?month=soon").status_code == 404
    assert desks.staff("support").get("/resellers/statements").status_code == 403
