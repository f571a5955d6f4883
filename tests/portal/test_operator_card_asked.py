"""The parts of a card's page by themselves, and the three questions that it answers, with htmx and without."""

from __future__ import annotations

import re

import pytest

from engine.cards import binding, lifecycle
from engine.cards.queries import card_page
from engine.db import Database
from engine.funds import autorules, recharges, transfers
from engine.funds.accounts import open_account
from engine.vault import Vault
from portal.operator.card.words import ATTEMPT_REASONS
from tests import scenes
from tests.portal.conftest import Clock, Visitor, text_of
from tests.scenes import BANGLADESH, NOW, OPERATOR, USD, Line, TestCard

CALLER = "447700900123"
PARTS = {
    "ask": "Ask",
    "calls": "Calls",
    "ledger": "Ledger",
    "timeline": "Timeline",
    "attempts": "Refused tries",
}


def tight(text: str) -> str:
    """Without spaces, which stand between elements here and there and nobody sees."""
    return text.replace(" ", "")


@pytest.fixture
def line(db: Database, vault: Vault) -> Line:
    return Line(db, vault, scenes.switch(db, "gw"))


@pytest.fixture
def card(db: Database, vault: Vault, line: Line) -> TestCard:
    """A card with a call, a refused try, a wrong password, a bound phone, a rule and a fee."""
    card = scenes.card(
        db,
        vault,
        "5.00",
        name="Dhaka",
        binding="multi",
        max_bound=2,
        maintenance_fee=USD("0.10"),
        maintenance_days=30,
        post_call_fee=USD("0.01"),
    )
    line.open(card, ref="a", caller=CALLER)
    line.answer("a")
    line.later(61).end("a", seconds=61)
    line.later(5).authenticate(card.with_password("0"), caller=CALLER)
    lifecycle.lock(db, card_id=card.id, reason="Lost in a <b>taxi</b>", actor=OPERATOR, now=line.later(5).now)
    line.later(5).authorize(card, caller=CALLER)
    return card


def test_every_part_stands_on_the_page_and_by_itself(
    visitor: Visitor, card: TestCard, line: Line, clock: Clock
) -> None:
    clock.now = line.now
    page = visitor.get(f"/cards/{card.serial}")
    assert page.status_code == 200
    for part, title in PARTS.items():
        assert f'<section id="{part}"' in page.text
        assert f'href="#{part}"' in page.text
        answer = visitor.part(f"/cards/{card.serial}?part={part}")
        assert "HX-Request-Type" in answer.headers["Vary"]
        assert answer.text.count("<section") == 1
        assert f'<section id="{part}"' in answer.text
        assert title in text_of(answer.text)
        assert "<html" not in answer.text
    assert len(page.data) < 60_000
    whole = visitor.get(f"/cards/{card.serial}?part=calls")
    assert whole.text.count("<section id=") >= 6
    for wrong in ("?part=nothing", "?ask=why", "?calls=x", "?events=1", "?tries=a-b", "?entries=-1"):
        assert visitor.get(f"/cards/{card.serial}{wrong}").status_code == 400


def test_facts_are_told_in_words(
    visitor: Visitor, db: Database, card: TestCard, line: Line, clock: Clock
) -> None:
    clock.now = line.now
    fund = open_account(db, name="Fund", kind="funding", currency="USD", actor=OPERATOR, now=NOW)
    rule = autorules.add_rule(
        db,
        name="Keep <going>",
        threshold=USD("1"),
        amount=USD("5"),
        account_id=fund.id,
        actor=OPERATOR,
        now=NOW,
    )
    autorules.enrol(db, rule_id=rule.id, card_ids=[card.id], actor=OPERATOR, now=line.now)
    binding.bind(db, card_id=card.id, caller="+442079460000", actor=OPERATOR, now=line.now)
    page = text_of(visitor.get(f"/cards/{card.serial}").text)
    for fact in (
        "Validity until the end of 18 Feb 2027",
        "90 days from its first use",
        "Whereabouts in stock",
        "Rate deck Standard",
        "Destination rules Standard",
        "up to 2 registered phones +447700900123 Take off +442079460000 Take off",
        "Auto-recharge Keep <going>",
        "Fees USD 0.10 every 30 days, next 21 Dec 2026",
        "USD 0.01 after each call",
        "Known to it 1 phone",
    ):
        assert tight(fact) in tight(page), fact


def test_both_sides_of_an_entry_are_named(
    visitor: Visitor, db: Database, vault: Vault, line: Line, clock: Clock
) -> None:
    one, other = scenes.batch(db, vault, 2, "5.00", name="Two")
    voucher = scenes.vouchers(db, vault)[0]
    line.redeem(one, voucher)
    recharges.recharge(db, card_id=one.id, amount=USD("1"), actor=OPERATOR, now=line.later(5).now)
    transfers.transfer(
        db, from_id=one.id, to_id=other.id, amount=USD("2"), actor=OPERATOR, now=line.later(5).now
    )
    clock.now = line.now
    ledger = visitor.part(f"/cards/{one.serial}?part=ledger").text
    told = text_of(ledger).replace(" ", "")
    for side in (
        f"to card {other.serial}",
        f"from card {voucher.serial}, payment 1",
        "from sales, payment 2",
        "from sales",
    ):
        assert side.replace(" ", "") in told, side
    assert f'href="/cards/{other.serial}"' in ledger
    assert "from card" in text_of(visitor.part(f"/cards/{other.serial}?part=ledger").text)


def test_the_guard_says_how_wrong_passwords_stand(
    visitor: Visitor, db: Database, vault: Vault, line: Line, clock: Clock
) -> None:
    card = scenes.card(db, vault, name="Guessed")

    def said() -> str:
        clock.now = line.now
        return text_of(visitor.part(f"/cards/{card.serial}?part=attempts").text)

    assert "No wrong password since the last right one; 20 in a row would lock the card." in said()
    assert "Nobody was refused with this card lately." in said()
    for _ in range(4):
        line.later(1).authenticate(card.with_password("0"), caller=CALLER)
    assert "4 wrong passwords since the last right one; the next try is heard in 2 s." in said()
    assert "at 20 the card is locked" in said()
    line.later(10)
    assert "the next try is heard at once" in said()
    assert tight(f"Wrong password 20 Nov 2026, 12:00 20 Nov 2026, 12:00 +{CALLER} Switch") in tight(said())


def test_each_reason_of_a_try_has_its_words() -> None:
    from engine.calls.answers import TOLD

    assert ATTEMPT_REASONS.keys() >= TOLD


def test_why_was_it_refused(visitor: Visitor, card: TestCard, line: Line, clock: Clock) -> None:
    clock.now = line.now
    page = text_of(visitor.get(f"/cards/{card.serial}?ask=refused").text)
    assert "The last 2 tries that were refused:" in page
    assert (
        "It had been locked on 20 Nov 2026, 12:01 by Front desk. The reason: Lost in a <b>taxi</b>." in page
    )
    assert "Refused still Now it would be refused as well. It is locked since 20 Nov 2026, 12:01." in page
    assert "The number was right and the password was wrong." in page
    clock.later(minutes=1)
    visitor.submit(f"/cards/{card.serial}/unlock")
    part = visitor.part(f"/cards/{card.serial}?part=ask&ask=refused&caller=%2B44+7700+900123")
    told = text_of(part.text)
    assert f"The last 2 tries from +{CALLER} that were refused:" in told
    assert (
        "Let through now Now it would be let through. Since then, on 20 Nov 2026, 12:02 by Front desk:"
        in told
    )
    assert 'value="+44 7700 900123"' in part.text
    nobody = text_of(visitor.get(f"/cards/{card.serial}?ask=refused&caller=%2B4930123456").text)
    assert "No try with this card from +4930123456 was refused in the last 90 days." in nobody
    wrong = visitor.get(f"/cards/{card.serial}?ask=refused&caller=nobody")
    assert wrong.status_code == 422
    assert "nobody is not a caller" in text_of(wrong.text)
    assert 'value="nobody"' in wrong.text
    assert 'aria-invalid="true"' in wrong.text


def test_where_did_the_money_go(visitor: Visitor, card: TestCard, line: Line, clock: Clock) -> None:
    clock.now = line.now
    page = text_of(visitor.get(f"/cards/{card.serial}?ask=spent").text)
    assert "Of USD 5.00: USD 0.01525 talk time in 1 call, USD 0.01 post-call fees in 1 call," in page
    assert "USD 0.00005 rounding." in page
    assert "USD 4.9747 are left." in page
    assert tight("Talk time 1 time 0.01525 60.3 %") in tight(page)
    assert tight("In all 0.0253") in tight(page)
    since = text_of(visitor.part(f"/cards/{card.serial}?part=ask&ask=spent&period=recharge").text)
    assert "Of USD 5.00" in since
    assert visitor.get(f"/cards/{card.serial}?ask=spent&period=year").status_code == 400


def test_what_would_a_call_cost(
    visitor: Visitor, card: TestCard, line: Line, db: Database, clock: Clock
) -> None:
    clock.now = line.now
    scenes.access_number(db, per_minute="0.01")
    locked = text_of(visitor.get(f"/cards/{card.serial}?ask=cost&number={BANGLADESH}").text)
    assert f"A call to +{BANGLADESH} would be refused now. The card is locked." in locked
    visitor.submit(f"/cards/{card.serial}/unlock")
    page = text_of(
        visitor.part(f"/cards/{card.serial}?part=ask&ask=cost&number={BANGLADESH}&access=18005550100").text
    )
    assert "would go through now." in page
    assert "at USD 0.025 a minute. USD 0.01 a minute of that are for the access number." in page
    assert tight("1 minute USD 0.035 5 minutes USD 0.135 10 minutes USD 0.26") in tight(page)
    found = card_page(db, card.serial, clock.now)
    assert found is not None
    seconds = (found.available - USD("0.01") + 50) * 60 // USD("0.025")
    hours, rest = divmod(seconds, 3600)
    assert tight(f"It could last {hours} h {rest // 60} min") in tight(page)
    empty = visitor.get(f"/cards/{card.serial}?ask=cost")
    assert empty.status_code == 422
    assert "Type the number that is to be called." in text_of(empty.text)
    invalid = text_of(visitor.get(f"/cards/{card.serial}?ask=cost&number=12").text)
    assert "12 is not a number that can be called." in invalid


def test_answers_have_an_address_without_javascript(visitor: Visitor, card: TestCard) -> None:
    page = visitor.get(f"/cards/{card.serial}").text
    forms = re.findall(r'<form class="sheet ask" method="(\w+)" action="([^"]+)"', page)
    assert forms == [("get", f"/cards/{card.serial}")] * 3
    assert card.number not in page
