"""The till of a reseller: one card by its serial, many by a range, money onto a card, each once for its key."""

from __future__ import annotations

import re

import pytest
from werkzeug.test import TestResponse

from engine.actor import Actor
from engine.cards import lifecycle
from engine.funds import accounts, accountviews
from engine.people import resellerpeople
from engine.stock import resale
from engine.stock.custody import Range
from engine.stock.stockviews import moves_of
from tests import scenes
from tests.portal.conftest import parse, text_of
from tests.portal.desks import Desks, Keeper, Shop
from tests.scenes import OPERATOR, USD, facts

_KEY = re.compile(r'name="key" value="([^"]+)"|name="key"[^>]*value="([^"]+)"')


def key_of(page: TestResponse) -> str:
    """The key that the form of a page carries."""
    found = _KEY.search(page.text)
    assert found is not None, page.text
    return found[1] or found[2]


def buttons(page: TestResponse) -> list[str]:
    """What the shown card offers."""
    return [button.get("value") for button in parse(page).iter("button") if button.get("name") == "act"]


def undo_of(page: TestResponse) -> str:
    """Where a page offers to take back what was done."""
    found = re.search(r'href="(/desk/range\?do=return[^"]+)"', page.text)
    assert found is not None, page.text
    return found[1].replace("&amp;", "&")


def hidden(page: TestResponse) -> dict[str, str]:
    """All that the form of a page would send, but its button."""
    form = next(one for one in parse(page).iter("form") if "/desk/range" in one.get("action", ""))
    sent = {one.get("name"): one.get("value", "") for one in form.iter("input") if one.get("name")}
    chosen = next(one for one in form.iter("option") if "selected" in one.attrib)
    return {**sent, "act": chosen.get("value", "")}


def at_work(desks: Desks) -> Actor:
    """The clerk of the corner shop, as commands know them."""
    return resellerpeople.named(desks.db, "corner-clerk").actor


def credit(desks: Desks, shop: Shop | None = None) -> int:
    return accountviews.list_accounts(desks.db, reseller_id=(shop or desks.corner).id)[0].balance


def at_till(desks: Desks, at: Keeper, act: str, serial: str, key: str | None = None) -> TestResponse:
    """Press a button of the card that a page shows."""
    shown = at.get("/desk", query_string={"serial": serial})
    return at.submit("/desk", serial=serial, act=act, key=key or key_of(shown))


def test_a_scanned_card_is_activated_sold_and_taken_back(desks: Desks) -> None:
    clerk, card = desks.clerk, desks.corner.held[4]
    typed = f"{card.serial[:4]} {card.serial[4:8]}-{card.serial[8:]}\t"
    shown = clerk.get("/desk", query_string={"serial": typed})
    text = text_of(shown.text)
    assert "Held back" in text
    assert "It costs you USD 4.50" in text
    assert buttons(shown) == ["both", "activate", "sell"]
    assert card.number not in shown.text
    box = next(one for one in parse(shown).iter("input") if one.get("id") == "serial")
    assert (box.get("value"), "autofocus" in box.attrib) == (None, True), "empty for the next card"

    before = credit(desks)
    done = at_till(desks, clerk, "both", card.serial)
    assert done.location == "/desk"
    page = clerk.get(done.location)
    text = text_of(page.text)
    assert "activated and sold. USD 4.50 charged." in text
    assert text.count("Activated and sold: 1 card") == 1, "one press, one line"
    assert buttons(page) == [], "no card"
    assert credit(desks) == before - USD("4.50")
    sold = facts(desks.db, card)
    assert sold.sold_at == sold.activated_at == sold.released_at == desks.clock.now

    again = text_of(clerk.get("/desk", query_string={"serial": card.serial}).text)
    assert "It can be used." in again
    assert "by clerk <img" in again, "who sold it, and nothing of a name runs"
    looked = clerk.get(undo_of(page))
    assert "1 of 1 card would be returned." in text_of(looked.text)
    undone = clerk.submit("/desk/range", step="do", **hidden(looked))
    assert undone.location == "/desk"
    assert "1 card returned. USD 4.50 given back." in text_of(clerk.get("/desk").text)
    assert credit(desks) == before
    assert "0 of 1 card would be returned." in text_of(clerk.get(undo_of(page)).text), (
        "nothing is left to undo"
    )


def test_a_double_click_counts_once(desks: Desks) -> None:
    card = desks.corner.held[5]
    before = credit(desks)
    key = key_of(desks.owner.get(f"/desk?serial={card.serial}"))
    for turn in ("", " It was sent twice, and counted once."):
        assert at_till(desks, desks.owner, "activate", card.serial, key).status_code == 303
        assert f"activated. USD 4.50 charged.{turn}" in text_of(desks.owner.get("/desk").text)
    assert credit(desks) == before - USD("4.50")
    # Another till, whose page is older than that.
    late = at_till(desks, desks.clerk, "activate", card.serial)
    assert late.location == "/desk"
    assert "Nothing was changed. Left as they were: 1 activated already." in text_of(
        desks.clerk.get("/desk").text
    )
    assert credit(desks) == before - USD("4.50")


@pytest.mark.parametrize(
    ("serial", "status", "said"),
    [
        ("harbour", 404, "No card of your stock has this serial."),
        ("nobody", 404, "No card of your stock has this serial."),
        ("10000000019", 422, "one of them may be mistyped"),
        ("<b>", 422, "A serial has 11 digits"),
    ],
)
def test_what_is_no_own_card_is_said_under_the_box(desks: Desks, serial: str, status: int, said: str) -> None:
    known = {"harbour": desks.harbour.held[0].serial, "nobody": desks.unassigned[0].serial}
    shown = desks.clerk.get("/desk", query_string={"serial": known.get(serial, serial)})
    assert shown.status_code == status
    assert said in text_of(shown.text)
    assert buttons(shown) == []
    for act in ("both", "return"):
        tried = desks.clerk.submit("/desk", serial=known.get(serial, serial), act=act, key="x")
        assert tried.status_code == status
    assert desks.clerk.get("/desk?serial=").status_code == 200


@pytest.mark.parametrize(
    "typed", ["NUMBER", "https://cards.example.com/card/log-in#NUMBER", "10000000019", "<b>"]
)
def test_what_is_typed_gets_into_an_address_only_where_it_is_a_serial(desks: Desks, typed: str) -> None:
    card = desks.corner.held[3]
    typed = typed.replace("NUMBER", card.number)
    box = next(one for one in parse(desks.clerk.get("/desk")).iter("form") if one.get("class") == "scan")
    assert (box.get("method"), box.get("action")) == ("post", "/desk/look")
    refused = desks.clerk.submit("/desk/look", serial=typed)
    assert refused.status_code == 422
    assert "serial" in text_of(refused.text)
    for page in (refused, desks.clerk.get("/desk", query_string={"serial": typed})):
        assert typed not in text_of(page.text), "not said again"
    for fields in (
        {"from_serial": typed, "to_serial": card.serial},
        {"from_serial": card.serial, "to_serial": typed},
    ):
        told = desks.clerk.submit("/desk/range", act="sell", step="look", **fields)
        assert typed not in text_of(told.text)
    scanned = f"{card.serial[:4]} {card.serial[4:]}\r\n"
    assert desks.clerk.submit("/desk/look", serial=scanned).location == f"/desk?serial={card.serial}"


def test_an_undo_leaves_what_was_sold_before(desks: Desks) -> None:
    at, cards = desks.keeper("harbour-clerk"), desks.harbour.held[3:6]
    clerk = resellerpeople.named(desks.db, "harbour-clerk").actor
    resale.activate_and_sell(
        desks.db, Range(cards[1].id, cards[1].id), clerk, desks.clock.now, key="last week"
    )
    before = credit(desks, desks.harbour)
    ends = {"from_serial": cards[0].serial, "to_serial": cards[2].serial}
    looked = at.submit("/desk/range", act="both", step="look", **ends)
    assert at.submit("/desk/range", step="do", **hidden(looked)).status_code == 303
    page = at.get("/desk/range")
    back = at.get(undo_of(page))
    assert "2 of 3 cards would be returned. Left as they are: 1 charged before, or changed since." in text_of(
        back.text
    )
    assert at.submit("/desk/range", step="do", **hidden(back)).status_code == 303
    assert credit(desks, desks.harbour) == before
    assert facts(desks.db, cards[1]).sold_at is not None
    tampered = {**hidden(back), "undoes": "7;DROP", "seen": ""}
    assert at.submit("/desk/range", step="look", **tampered).status_code == 400
    # Paid for before: selling it charges nothing, and there is nothing to undo.
    resale.activate(desks.db, Range(cards[0].id, cards[0].id), clerk, desks.clock.now)
    assert at_till(desks, at, "sell", cards[0].serial).status_code == 303
    assert "do=return" not in at.get("/desk").text
    resale.give_back(desks.db, Range(cards[0].id, cards[2].id), clerk, desks.clock.now)


def test_a_card_that_was_taken_back_while_it_was_shown_is_said_at_the_till(desks: Desks) -> None:
    card = desks.unassigned[1]
    answer = desks.clerk.submit("/desk", serial=card.serial, act="sell", key="taken")
    assert answer.status_code == 404
    assert "No card of your stock has this serial." in text_of(answer.text)
    assert 'class="scan"' in answer.text


def test_a_card_that_cannot_be_sold_says_why(desks: Desks) -> None:
    card = desks.corner.held[6]
    lifecycle.lock(desks.db, card_id=card.id, reason="x", actor=OPERATOR, now=desks.clock.now)
    shown = desks.clerk.get(f"/desk?serial={card.serial}")
    assert "Only the operator unlocks it." in text_of(shown.text)
    assert buttons(shown) == [], "nobody pays for a locked card"
    lifecycle.damage(desks.db, card_id=card.id, reason="x", actor=OPERATOR, now=desks.clock.now)
    shown = desks.clerk.get(f"/desk?serial={card.serial}")
    assert "Ask the operator for another card." in text_of(shown.text)
    assert buttons(shown) == []
    used = desks.corner.june[0]
    scenes.Line(desks.db, desks.vault, scenes.switch(desks.db)).authenticate(used)
    assert at_till(desks, desks.clerk, "sell", used.serial).status_code == 303
    shown = desks.clerk.get(f"/desk?serial={used.serial}")
    assert "A customer has used it, so it can't come back." in text_of(shown.text)
    assert "return" not in buttons(shown)


def test_where_the_credit_does_not_reach_the_till_says_how_much_is_missing(desks: Desks) -> None:
    owner, card = desks.harbour, desks.harbour.held[3]
    at, credit_ = (
        desks.keeper("harbour-clerk"),
        accountviews.list_accounts(desks.db, reseller_id=desks.harbour.id),
    )
    accounts.adjust_account(
        desks.db,
        account_id=owner.account_id,
        amount=USD("3") - credit_[0].balance,
        reason="x",
        actor=OPERATOR,
        now=desks.clock.now,
    )
    shown = at.get(f"/desk?serial={card.serial}")
    assert "Your credit is too low: USD 1.50 is missing." in text_of(shown.text)
    refused = at_till(desks, at, "both", card.serial)
    assert refused.status_code == 409
    assert "nothing was done. Pay the operator" in text_of(refused.text)
    ends = {"from_serial": card.serial, "to_serial": owner.held[5].serial}
    looked = at.submit("/desk/range", act="activate", step="look", **ends)
    assert "USD 10.50 is missing. Take a shorter range" in text_of(looked.text)
    assert 'value="do"' not in looked.text
    pushed = at.submit(
        "/desk/range", act="activate", step="do", seen="|".join(("activate", *ends.values(), "")), **ends
    )
    assert pushed.status_code == 422
    assert "nothing was done. Pay the operator" in text_of(pushed.text)
    assert facts(desks.db, card).activated_at is None
    asked = at.submit("/desk/recharge", serial=owner.held[0].serial, amount="4", step="look")
    assert "USD 1.00 is missing" in text_of(asked.text)
    assert 'value="do"' not in asked.text


def test_a_range_is_looked_at_before_it_is_sold(desks: Desks) -> None:
    at, cards = desks.clerk, desks.corner.held
    form = at.get("/desk/range")
    key = key_of(form)
    first = at.submit(
        "/desk/range", act="both", from_serial=cards[7].serial, to_serial="", step="look", key=key
    )
    assert first.status_code == 200
    assert "Now scan the last one." in text_of(first.text)
    assert [one.get("name") for one in parse(first).iter("input") if "autofocus" in one.attrib] == [
        "to_serial"
    ]
    ends = {"from_serial": cards[7].serial, "to_serial": f" {cards[9].serial} "}
    looked = at.submit("/desk/range", act="both", step="look", key=key, **ends)
    text = text_of(looked.text)
    assert "3 of 3 cards would be activated." in text
    assert "Face value USD 15.00 You pay USD 13.50" in text
    before, moves = credit(desks), len(moves_of(desks.db, desks.corner.id).moves)
    seen = re.search(r'name="seen" value="([^"]+)"', looked.text)
    assert seen is not None
    changed = at.submit("/desk/range", act="activate", step="do", key=key, seen=seen[1], **ends)
    assert "would be activated" in text_of(changed.text), "what was changed is looked at again"
    assert credit(desks) == before
    for _ in range(2):
        done = at.submit("/desk/range", act="both", step="do", key=key, seen=seen[1], **ends)
        assert done.location == "/desk/range"
        page = at.get(done.location)
        assert "3 cards activated and sold. USD 13.50 charged." in text_of(page.text)
    assert credit(desks) == before - USD("13.50")
    assert len(moves_of(desks.db, desks.corner.id).moves) == moves + 2
    back = at.get(undo_of(page))
    assert "3 of 3 cards would be returned." in text_of(back.text)
    assert "You get back USD 13.50" in text_of(back.text)


def test_a_range_that_holds_anothers_card_is_refused(desks: Desks) -> None:
    ends = {"from_serial": desks.corner.held[9].serial, "to_serial": desks.harbour.held[1].serial}
    for step in ({"step": "look"}, {"step": "do", "seen": "|".join(("return", *ends.values(), ""))}):
        answer = desks.clerk.submit("/desk/range", act="return", **step, **ends)
        assert answer.status_code == 404
        assert "2 serials are not in your stock." in text_of(answer.text)
    backwards = {"from_serial": ends["from_serial"], "to_serial": desks.corner.held[0].serial}
    answer = desks.clerk.submit("/desk/range", act="return", step="look", **backwards)
    assert answer.status_code == 422
    answer = desks.clerk.submit("/desk/range", act="return", step="look", from_serial="x", to_serial="y")
    assert answer.status_code == 422
    assert 'id="from_serial-error"' in answer.text


def test_a_customers_card_is_recharged_after_a_look(desks: Desks) -> None:
    at, card = desks.clerk, desks.corner.held[0]
    page = at.get(f"/desk/recharge?serial={card.serial}")
    asked = {"serial": card.serial, "amount": "60", "key": key_of(page)}
    looked = at.submit("/desk/recharge", step="look", **asked)
    text = text_of(looked.text)
    assert "USD 60.00 is a lot for such a card." in text
    assert "On the card then USD 65.00" in text
    before = credit(desks)
    seen = f"{card.serial}|{USD('60')}"
    other = at.submit("/desk/recharge", step="do", seen=seen, **{**asked, "amount": "6"})
    assert "Put USD 6.00 on the card" in text_of(other.text), "what was changed is looked at again"
    for turn in range(2):
        done = at.submit("/desk/recharge", step="do", seen=seen, **asked)
        assert done.location == "/desk"
        told = text_of(at.get("/desk").text)
        assert "USD 60.00 put on" in told
        assert ("It was sent twice" in told) == bool(turn)
    assert credit(desks) == before - USD("60")
    assert facts(desks.db, card).balance == USD("65")


@pytest.mark.parametrize(
    ("which", "amount", "status", "said"),
    [
        ("held", "1", 422, "This card is held back. Activate it first."),
        ("harbour", "1", 404, "No card of your stock has this serial."),
        ("own", "0", 422, "It must be more than zero."),
        ("own", "5,00", 422, "comma"),
        ("own", "999999999999", 422, "too large"),
        ("typed", "1", 422, "A serial has 11 digits"),
    ],
)
def test_a_recharge_that_cannot_be_says_why(
    desks: Desks, which: str, amount: str, status: int, said: str
) -> None:
    corner, harbour = desks.corner, desks.harbour
    serials = {"held": corner.held[3], "harbour": harbour.held[0], "own": corner.held[0]}
    serial = serials[which].serial if which in serials else which
    seen = f"{serial}|{USD('1')}"
    for step in ({"step": "look"}, {"step": "do", "seen": seen}):
        answer = desks.clerk.submit("/desk/recharge", serial=serial, amount=amount, **step)
        assert answer.status_code == status
        assert said in text_of(answer.text)


def test_who_looks_at_a_desk_sees_the_till_and_changes_nothing(desks: Desks) -> None:
    at, card = desks.looking(), desks.corner.held[3]
    shown = at.get(f"/desk?serial={card.serial}")
    assert shown.status_code == 200
    assert buttons(shown) == []
    assert at.submit("/desk", serial=card.serial, act="both", key="x").status_code == 403
    for path in ("/desk/range", "/desk/recharge"):
        assert at.get(path).status_code == 403
        assert path not in shown.text
    assert facts(desks.db, card).activated_at is None
