"""Shipments in the console and at the desk: looked at, sent once, packed, arrived."""

from __future__ import annotations

import html
import re

import pypdfium2
import pytest

from engine.stock import shipments
from tests.portal.conftest import text_of
from tests.portal.desks import Desks
from tests.scenes import OPERATOR


def told(page: str) -> str:
    for tag in ("td", "th", "dt", "dd"):
        page = page.replace(f"</{tag}>", f" </{tag}>")
    return text_of(page)


def test_a_shipment_is_looked_at_then_sent_once_then_arrives(desks: Desks) -> None:
    staff, shop = desks.staff("operator"), desks.corner
    first, last = shop.june[0].serial, shop.june[1].serial
    fields = {
        "key": "form-one",
        "reseller": str(shop.id),
        "serials": f"{first[:4]} {first[4:8]} {first[8:]} to {last}\n\n{shop.june[2].serial}-{shop.june[3].serial}\n",
        "address": "1 Quay\nPort",
        "carrier": "Post",
    }
    seen = staff.submit("/shipments/new", step="look", **fields)
    assert seen.status_code == 200
    page = told(seen.text)
    assert "Send 4 cards" in page
    assert "In all, USD 4 USD 40.00" in page
    assert shipments.shipments(desks.db, OPERATOR, reseller_id=shop.id).shipments[0].cards == 9, "only looked"
    other = staff.submit("/shipments/new", step="send", seen=f"{shop.id} {first}", **fields)
    assert "Send 4 cards" in other.text, "what was changed since the look is looked at again"
    fields["seen"] = html.unescape(re.findall(r'name="seen" value="([^"]*)"', seen.text)[0])
    sent = staff.submit("/shipments/new", step="send", **fields)
    assert sent.status_code == 303
    assert staff.submit("/shipments/new", step="send", **fields).location == sent.location
    page = told(staff.get(sent.location).text)
    assert "On the way" in page
    assert "1 Quay" in page
    assert "10.00" not in page.split("What is in it")[0]
    paper = staff.get(sent.location + "/packing-list.pdf")
    with pypdfium2.PdfDocument(paper.data) as document:
        text = " ".join(document[0].get_textpage().get_text_range().split())
    for words in ("Packing list, shipment", "1 Quay", "Post", "USD 40.00", "Received by", first[:4]):
        assert words in text
    assert not any(card.number in text for card in shop.june)
    number = sent.location.rsplit("/", 1)[1]
    changed = staff.submit(
        f"{sent.location}/change", carrier="Courier", tracking="CC 77", note="", key="form-two"
    )
    assert changed.status_code == 303
    assert "CC 77" in desks.clerk.get(f"/desk/shipments/{number}").text
    listed = told(desks.clerk.get("/desk/shipments").text)
    assert f"Shipment {number}" in listed
    assert desks.clerk.submit(f"/desk/shipments/{number}/receive", key="form-three").status_code == 303
    assert "Arrived" in told(staff.get(sent.location).text)
    assert "Everything that left has arrived" not in staff.get("/shipments?way=1").text
    assert f"Shipment {number}" not in staff.get("/shipments?way=1").text


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"serials": ""}, "Type the serials that are in it."),
        ({"serials": "10000000017\nten cards"}, "Line 2 is no serial and no range of serials: “ten cards”."),
        ({"serials": "10000000017\n -- "}, "Line 2 is no serial and no range of serials: “--”."),
        ({"serials": ";"}, "Line 1 is no serial"),
        ({"serials": "99999999990"}, "belong to no card"),
        ({"serials": "OTHERS"}, "are in shipment"),
        ({"serials": "FREE", "reseller": "", "recipient": ""}, "Fill in the recipient."),
        ({"serials": "FREE", "note": "x" * 501}, "too long"),
        ({"serials": "FREE", "reseller": "999"}, "Choose one of the list."),
    ],
)
def test_what_is_wrong_is_said_in_the_form_and_nothing_is_sent(
    desks: Desks, fields: dict[str, str], words: str
) -> None:
    serials = {"OTHERS": desks.corner.held[0].serial, "FREE": desks.unassigned[0].serial}
    asked = {"reseller": str(desks.harbour.id), **fields}
    asked["serials"] = serials.get(asked["serials"], asked["serials"])
    before = len(shipments.shipments(desks.db, OPERATOR).shipments)
    asked["seen"] = f"{asked['reseller']} {' '.join(asked['serials'].split())}"
    answer = desks.staff("operator").submit("/shipments/new", step="send", key="form-x", **asked)
    assert answer.status_code == 422, answer.status_code
    assert words.lower() in text_of(answer.text).lower()
    assert len(shipments.shipments(desks.db, OPERATOR).shipments) == before


def test_a_shipment_that_came_back_is_taken_back(desks: Desks) -> None:
    staff = desks.staff("operator")
    number = shipments.shipments(desks.db, OPERATOR, reseller_id=desks.corner.id).shipments[0].id
    page = f"/shipments/{number}"
    assert "It came back" in staff.get(page).text
    assert staff.submit(page + "/take-back", key="form-b", reason="Refused").status_code == 303
    shown = told(staff.get(page).text)
    for words in ("Taken back", "Refused"):
        assert words in shown
    assert "It arrived" not in shown
    theirs = told(desks.clerk.get(f"/desk{page}").text)
    assert "Taken back" in theirs
    assert "Refused" not in theirs
    assert desks.clerk.submit(f"/desk{page}/receive", key="form-c").status_code == 422


def test_anothers_shipment_is_nowhere(desks: Desks) -> None:
    theirs = shipments.shipments(desks.db, OPERATOR, reseller_id=desks.harbour.id).shipments[0].id
    assert desks.owner.get(f"/desk/shipments/{theirs}").status_code == 404
    assert desks.owner.submit(f"/desk/shipments/{theirs}/receive", key="form-y").status_code == 404
    assert f"Shipment {theirs}" not in desks.owner.get("/desk/shipments").text
    assert desks.staff("support").get("/shipments").status_code == 403
