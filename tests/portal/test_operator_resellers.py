"""Resellers in the console: added, changed, kept from selling; credit, stock, documents, people."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from flask import Flask

from engine.actor import CONSOLE
from engine.db import Database
from engine.funds import accounts
from engine.people import audit, resellerpeople, resellers, sessions, staff
from engine.stock import resale
from engine.stock.custody import Range
from engine.stock.stockviews import cards_of_resellers, stock_of
from engine.vault import Secret, Vault
from tests import scenes
from tests.portal.conftest import PASSWORD, Visitor, text_of
from tests.scenes import NOW, OPERATOR, USD, TestCard

NASTY = "<script>alert(1)</script>"
MADE = re.compile(r"\b(?:[a-z2-9]{5}-){3}[a-z2-9]{5}\b")


def seen_in(page: str) -> str:
    """What a look was about, as its form sends it back."""
    found = re.search(r'name="seen" value="([^"]*)"', page)
    assert found is not None
    return html.unescape(found[1])


@pytest.fixture
def cards(db: Database, vault: Vault) -> list[TestCard]:
    """Six cards that wait for their activation."""
    scenes.deck(db)
    return scenes.batch(db, vault, 6, name=f"May {NASTY}", release="activation")


@pytest.fixture
def shop(db: Database) -> int:
    """A reseller with a discount of ten percent and 100.00 of credit."""
    made = resellers.add_reseller(db, f"Corner {NASTY}", OPERATOR, NOW, discount_bp=1000)
    accounts.open_account(
        db,
        name="Corner",
        kind="reseller",
        currency="USD",
        credit_limit=USD("100"),
        reseller_id=made.id,
        actor=CONSOLE,
        now=NOW,
    )
    return made.id


def test_a_reseller_is_added_once_changed_and_kept_from_selling(visitor: Visitor, db: Database) -> None:
    form = {"key": "form-1", "name": f"Shop {NASTY}", "discount": "12.5", "reason": "New"}
    assert visitor.submit("/resellers/new", **form).status_code == 303
    assert visitor.submit("/resellers/new", **form).status_code == 303, "sent twice it counts once"
    (made,) = resellers.list_resellers(db)
    assert made.discount_bp == 1250
    page = visitor.get("/resellers")
    assert NASTY not in page.text
    assert f"Shop {NASTY}" in text_of(page.text)
    assert "12.5 %" in text_of(page.text)
    path = f"/resellers/{made.id}"
    assert 'value="12.5"' in visitor.get(f"{path}/change").text
    assert visitor.submit(f"{path}/change", name="Shop", discount="7", reason="").status_code == 303
    assert resellers.list_resellers(db)[0].discount_bp == 700
    assert visitor.submit(f"{path}/disable", reason="Did not pay").status_code == 303
    assert "Enable it again" in visitor.get(path).text
    assert visitor.submit(f"{path}/enable").status_code == 303
    assert resellers.list_resellers(db)[0].disabled_at is None
    assert visitor.get("/resellers/99").status_code == 404
    assert visitor.submit("/resellers/99/disable").status_code == 404


@pytest.mark.parametrize(
    "discount", ["", "-5", "100.01", "1e1", "NaN", "１２", "12,5", "12.345", "999", "' OR 1=1 --"]
)
def test_a_discount_that_is_none_is_told_at_its_field(visitor: Visitor, db: Database, discount: str) -> None:
    answer = visitor.submit("/resellers/new", name="Shop", discount=discount, reason="")
    assert answer.status_code == 422
    assert 'id="discount-error"' in answer.text
    assert 'value="Shop"' in answer.text
    assert resellers.list_resellers(db) == []


def test_a_name_that_is_taken_is_told(visitor: Visitor, shop: int) -> None:
    answer = visitor.submit("/resellers/new", name=f"Corner {NASTY}", discount="0", reason="")
    assert answer.status_code == 422
    assert NASTY not in answer.text


def test_stock_goes_out_is_charged_and_comes_back(
    visitor: Visitor, db: Database, shop: int, cards: list[TestCard]
) -> None:
    path = f"/resellers/{shop}"
    looks: list[str] = []

    def do(verb: str, first: int, last: int, key: str = "", **more: str) -> str:
        fields = {"from_serial": cards[first].serial, "to_serial": cards[last].serial, "reason": "", **more}
        looked = visitor.submit(f"{path}/{verb}", **fields)
        assert looked.status_code == 200, text_of(looked.text)
        looks.append(text_of(looked.text))
        sure = {"step": "do", "seen": seen_in(looked.text), "key": key or f"key-{verb}"}
        other = visitor.submit(f"{path}/{verb}", **{**fields, **sure, "to_serial": cards[5].serial})
        assert other.status_code in (200, 409, 422), "what was changed since is looked at again"
        answer = visitor.submit(f"{path}/{verb}", **fields, **sure)
        assert answer.status_code == 303, text_of(answer.text)
        return text_of(visitor.get(path).text)

    assert "4 cards given to Corner" in do("assign", 0, 3)
    assert cards_of_resellers(db) == {shop: 4}
    told = do("activate", 0, 1)
    assert "2 cards activated. Charged to its account: USD 9.00." in told
    assert "2 of 2 cards would be activated." in looks[-1]
    assert "It paysUSD 9.00" in looks[-1].replace("pays USD", "paysUSD")
    assert "can be used already" not in looks[0], "they wait for their activation"
    do("activate", 0, 1)
    assert stock_of(db, shop)[0].charged == USD("9"), "sent twice it is charged once"
    assert "1 card marked as sold. Charged to its account: USD 4.50." in do("sell", 2, 2)
    assert "Given back to its account: USD 4.50." in do("return", 1, 1, to_operator="y")
    told = do("unassign", 0, 3)
    assert "1 card taken back" in told
    assert "2 charged to their reseller" in told
    assert cards_of_resellers(db) == {shop: 2}
    page = visitor.get(path)
    assert NASTY not in page.text
    shown = text_of(page.text)
    assert "Can still spendUSD 91.00" in shown
    assert "/money/accounts/1" in page.text
    assert "Given to it: 4 cards" in shown


@pytest.mark.parametrize(
    ("first", "last", "at"),
    [("1", "10000000017", "from_serial"), ("10000000017", "abc", "to_serial"), ("", "", "from_serial")],
)
def test_what_is_no_serial_is_told_at_its_field(
    visitor: Visitor, db: Database, shop: int, cards: list[TestCard], first: str, last: str, at: str
) -> None:
    for verb in ("assign", "unassign", "activate", "sell", "return"):
        answer = visitor.submit(f"/resellers/{shop}/{verb}", from_serial=first, to_serial=last, reason="")
        assert answer.status_code == 422
        assert f'id="{at}-error"' in answer.text
    assert cards_of_resellers(db) == {}


def test_a_range_the_wrong_way_round_and_one_of_nobody_are_refused(
    visitor: Visitor, shop: int, cards: list[TestCard]
) -> None:
    ends = {"from_serial": cards[3].serial, "to_serial": cards[0].serial, "reason": ""}
    assert visitor.submit(f"/resellers/{shop}/assign", **ends).status_code == 422
    ends = {"from_serial": cards[0].serial, "to_serial": cards[0].serial, "reason": ""}
    nothing = visitor.submit(f"/resellers/{shop}/unassign", **ends).text
    assert "0 of 1 card would be taken back" in text_of(nothing)
    assert 'value="do"' not in nothing


def test_cards_that_work_already_are_told_before_they_are_given(
    visitor: Visitor, db: Database, vault: Vault, shop: int
) -> None:
    working = scenes.batch(db, vault, 3, name="June", number_prefix="77")
    ends = {"from_serial": working[0].serial, "to_serial": working[2].serial, "reason": ""}
    told = text_of(visitor.submit(f"/resellers/{shop}/assign", **ends).text)
    assert "3 cards can be used already." in told
    assert "pays for them only when they are marked as sold" in told
    told = text_of(
        visitor.submit("/batches/1/range", do="assign", reseller=str(shop), step="look", key="k", **ends).text
    )
    assert f"3 of 3 cards would be given to Corner {NASTY}." in told
    assert "3 cards can be used already" in told


def test_credit_that_does_not_reach_is_told_before_anything_is_done(
    visitor: Visitor, db: Database, shop: int, cards: list[TestCard]
) -> None:
    resale.assign(db, Range(cards[0].id, cards[5].id), OPERATOR, NOW, reseller_id=shop)
    accounts.change_account(db, account_id=1, credit_limit=USD("10"), reason="x", actor=OPERATOR, now=NOW)
    ends = {"from_serial": cards[0].serial, "to_serial": cards[5].serial, "reason": ""}
    looked = visitor.submit(f"/resellers/{shop}/activate", **ends)
    assert "Its credit is too low: USD 17.00 is missing." in text_of(looked.text)
    assert 'value="do"' not in looked.text


def test_a_new_reseller_is_shown_and_gets_its_account_from_there(
    app: Flask, visitor: Visitor, db: Database
) -> None:
    added = visitor.submit("/resellers/new", key="n", name="Kiosk", discount="5", reason="")
    page = visitor.get(added.location)
    assert "Kiosk is added." in text_of(page.text)
    assert "Ask somebody who keeps the accounts" in text_of(page.text)
    staff.add_staff(db, "money", "Money", "finance", Secret(PASSWORD), CONSOLE, NOW)
    keeper = app.test_client()
    assert isinstance(keeper, Visitor)
    keeper.log_in("money")
    page = keeper.get(added.location)
    opening = re.search(r'href="(/money/accounts/new\?reseller=\d+)"', page.text)
    assert opening is not None
    form = keeper.get(opening[1]).text
    assert 'value="Kiosk"' in form
    assert re.search(r'<option selected value="reseller">', form)


def test_its_people_get_log_ins_that_are_shown_once(
    visitor: Visitor, db: Database, vault: Vault, shop: int
) -> None:
    shown = visitor.submit(f"/resellers/{shop}/people/new", login="owner", name=f"Olu {NASTY}", role="owner")
    assert shown.status_code == 200
    password = MADE.search(text_of(shown.text))
    assert password is not None
    person = resellerpeople.log_in(db, vault, "owner", Secret(password[0]), None, NOW)
    assert isinstance(person, resellerpeople.ResellerIdentity)
    page = visitor.get(f"/resellers/{shop}")
    assert password[0] not in page.text
    assert NASTY not in page.text
    assert f"Olu {NASTY}" in text_of(page.text)
    path = f"/resellers/people/{person.id}"
    assert visitor.submit(f"{path}/disable").status_code == 422, "the last owner stays"
    assert visitor.submit(f"{path}/change", name="Olu", role="clerk").status_code == 422
    resellerpeople.open_session(db, person, "203.0.113.9", NOW)
    assert "203.0.113.9" in visitor.get(path).text
    ref = sessions.list_sessions(db, "reseller", person.id, NOW)[0].ref
    assert visitor.submit(f"{path}/sessions/{ref}/end").status_code == 303
    assert sessions.list_sessions(db, "reseller", person.id, NOW) == []
    new = MADE.search(text_of(visitor.submit(f"{path}/password").text))
    assert new is not None
    assert new[0] != password[0]
    clerk = visitor.submit(f"/resellers/{shop}/people/new", login="till", name="Till", role="clerk")
    assert clerk.status_code == 200
    assert (
        visitor.submit(f"/resellers/{shop}/people/new", login="x y", name="A", role="staff").status_code
        == 422
    )
    assert visitor.submit("/resellers/99/people/new", login="a", name="A", role="clerk").status_code == 404
    assert visitor.submit(f"{path}/second").status_code == 303
    assert {row.action for row in audit.search(db, action="reseller_person.").rows} >= {
        "reseller_person.add",
        "reseller_person.reset_password",
        "reseller_person.end_sessions",
    }


def test_who_only_looks_is_offered_nothing(db: Database, app: Any, shop: int, cards: list[TestCard]) -> None:
    resale.assign(db, Range(cards[0].id, cards[1].id), OPERATOR, NOW, reseller_id=shop)
    staff.add_staff(db, "auditor", "Auditor", "auditor", Secret(PASSWORD), CONSOLE, NOW)
    client: Visitor = app.test_client()
    client.log_in("auditor")
    page = client.get(f"/resellers/{shop}")
    assert page.status_code == 200
    for act in ("assign", "unassign", "activate", "sell", "return", "change", "disable", "people/new"):
        assert f"/resellers/{shop}/{act}" not in page.text
        assert client.submit(f"/resellers/{shop}/{act}").status_code == 403
