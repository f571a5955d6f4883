"""The stock of a reseller at its desk: figures, batches, ranges in the same state, and files of serials."""

from __future__ import annotations

import csv
import io

from engine.stock import resale
from engine.stock.custody import Range
from engine.stock.deskstock import stock
from tests.portal.conftest import text_of
from tests.portal.desks import MARK, Desks
from tests.scenes import OPERATOR


def batch_ids(desks: Desks) -> list[int]:
    """The corner shop's batches: June, then May."""
    return [batch.id for batch in stock(desks.db, desks.corner.id, desks.clock.now).batches]


def test_stock_is_shown_by_batch_with_what_may_still_be_sold(desks: Desks) -> None:
    page = desks.clerk.get("/desk/stock")
    text = text_of(page.text)
    assert "To sell 11 Ready to sell 4 Held back 7 Activated or sold this month 3" in text
    assert f"May {MARK}" in text
    assert MARK not in page.text
    assert "Cards of USD 10.00" in text
    for batch_id in batch_ids(desks):
        assert f'href="/desk/stock/{batch_id}"' in page.text


def test_a_batch_is_shown_by_ranges_that_lead_to_what_can_be_done(desks: Desks) -> None:
    path, held = f"/desk/stock/{batch_ids(desks)[1]}", desks.corner.held
    page = desks.clerk.get(path)
    text = text_of(page.text)
    assert "All 10" in text
    assert "Held back 7" in text
    assert f"/desk/range?do=both&amp;first={held[3].serial}&amp;last={held[9].serial}" in page.text
    assert f"/desk/range?do=sell&amp;first={held[0].serial}&amp;last={held[1].serial}" in page.text
    assert f'href="/desk?serial={held[2].serial}"' in page.text, "one card leads to the till"
    assert held[0].number not in page.text
    looked = desks.clerk.get(f"/desk/range?do=sell&first={held[0].serial}&last={held[1].serial}")
    assert "2 of 2 cards would be sold." in text_of(looked.text)
    only = desks.clerk.get(f"{path}?state=waiting")
    assert held[2].serial in only.text
    assert held[3].serial not in only.text
    assert "No card is in this state" in text_of(desks.clerk.get(f"{path}?state=locked").text)


def test_a_file_of_serials_has_those_of_a_state_and_range_and_no_number(desks: Desks) -> None:
    path, held = f"/desk/stock/{batch_ids(desks)[1]}/serials.csv", desks.corner.held
    ends = {"first": held[5].serial, "last": held[8].serial}
    answer = desks.clerk.get(path, query_string={"state": "held_back", **ends})
    assert answer.mimetype == "text/csv"
    rows = list(csv.reader(io.StringIO(answer.text.lstrip("\ufeff"))))
    assert rows[0] == ["serial", "state", "currency", "face_value", "expires_at"]
    assert rows[1:] == [[card.serial, "held_back", "USD", "5.00", ""] for card in held[5:9]]
    whole = desks.clerk.get(path)
    assert len(whole.text.splitlines()) == 11
    assert not any(card.number in whole.text for card in held)
    for wrong in (
        {"first": "x"},
        {"last": held[0].serial},
        {"first": held[1].serial, "last": held[0].serial},
    ):
        assert desks.clerk.get(path, query_string=wrong).status_code == 400


def test_a_batch_without_own_cards_does_not_exist(desks: Desks) -> None:
    may, nobodys = batch_ids(desks)[1], desks.harbour.june
    at = desks.keeper("harbour-owner")
    resale.unassign(desks.db, Range(nobodys[0].id, nobodys[-1].id), OPERATOR, desks.clock.now)
    for rest in ("", "/serials.csv"):
        shown = at.get(f"/desk/stock/{may}{rest}")
        assert shown.status_code == 200
        assert desks.harbour.held[3].serial in shown.text
        assert desks.corner.held[3].serial not in shown.text
        assert at.get(f"/desk/stock/{batch_ids(desks)[0]}{rest}").status_code == 404
        assert at.get(f"/desk/stock/999{rest}").status_code == 404


def test_who_looks_at_a_desk_sees_its_stock_and_is_offered_no_act(desks: Desks) -> None:
    page = desks.looking().get(f"/desk/stock/{batch_ids(desks)[1]}")
    assert page.status_code == 200
    assert "/desk/range" not in page.text
