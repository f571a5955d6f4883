"""`cardtone resellers`, and what every command on a range of serials says."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from engine.db import Database
from engine.funds import accounts
from engine.people.resellers import find_reseller
from engine.stock import custody
from engine.vault import Vault
from tests import scenes
from tests.cli.conftest import Cardtone
from tests.scenes import OPERATOR, USD

NOW = datetime.now(UTC)


@pytest.fixture
def cards(db: Database, vault: Vault) -> list[scenes.TestCard]:
    return scenes.batch(db, vault, 10, name="Dhaka 5", release="activation", now=NOW)


def span(cards: list[scenes.TestCard]) -> tuple[str, ...]:
    return ("--from", cards[0].serial, "--to", cards[-1].serial)


def credit(db: Database, name: str = "Bazaar") -> None:
    account = accounts.open_account(
        db,
        name=name,
        kind="reseller",
        currency="USD",
        reseller_id=find_reseller(db, name).id,
        actor=OPERATOR,
        now=NOW,
    )
    accounts.deposit(db, account_id=account.id, amount=USD("30"), actor=OPERATOR, now=NOW)


def test_resellers_are_added_changed_and_disabled(cardtone: Cardtone) -> None:
    assert cardtone("resellers", "list").out == "There is no reseller yet.\n"
    assert (
        cardtone("resellers", "add", "Bazaar", "--discount", "12.5").out
        == "Bazaar buys cards at 12.5 % off.\n"
    )
    assert (
        cardtone("resellers", "change", "Bazaar", "--discount", "7").out == "Bazaar buys cards at 7 % off.\n"
    )
    data = cardtone("resellers", "disable", "Bazaar", "--json").json
    assert (data["name"], data["discount"], data["disabled"]) == ("Bazaar", "7.00", True)
    assert "disabled" in cardtone("resellers", "list").out
    assert cardtone("resellers", "enable", "Bazaar").out == "Bazaar can sell again.\n"
    assert cardtone("resellers", "show", "Bazaar").out == (
        "Bazaar: active, 7 % off, 0 people.\n\nIt has no account.\n\nIt has no cards.\n"
    )


@pytest.mark.parametrize("discount", ["100.01", "0.001", "12,5", "-1"])
def test_a_discount_that_cannot_be_is_refused(cardtone: Cardtone, discount: str) -> None:
    ran = cardtone("resellers", "add", "Bazaar", f"--discount={discount}")
    assert (ran.status, ran.out) == (1, "")
    assert "discount" in ran.err


def test_stock_goes_out_is_sold_and_comes_back(
    cardtone: Cardtone, db: Database, cards: list[scenes.TestCard]
) -> None:
    cardtone("resellers", "add", "Bazaar", "--discount", "10")
    credit(db)
    assert cardtone("resellers", "assign", "Bazaar", *span(cards)).out == "10 cards assigned.\n"
    told = cardtone("resellers", "sell", "Bazaar", *span(cards[:2])).out
    assert told == "2 cards sold. USD 9.00 charged. Its account has USD 21.00 now.\n"
    told = cardtone("resellers", "activate", "Bazaar", *span(cards[:3])).out
    assert told == "3 cards activated. USD 4.50 charged. Its account has USD 16.50 now.\n"
    refused = cardtone("resellers", "sell", "Bazaar", *span(cards))
    assert (refused.status, refused.out) == (1, "")
    assert "not enough credit" in refused.err
    back = cardtone("resellers", "return", "Bazaar", *span(cards[:5]), "--to-operator", "--json").json
    assert (back["changed"], back["charged"], back["balance"]) == (5, "-13.50", "30.00")
    kinds = [move["kind"] for move in cardtone("resellers", "moves", "Bazaar", "--json").json["moves"]]
    assert kinds == ["return", "activate", "sell", "assign"]
    assert "USD 13.50" in cardtone("resellers", "moves", "Bazaar").out.replace("-", "")
    shown = cardtone("resellers", "show", "Bazaar", "--json").json
    assert [(line["batch"], line["cards"]) for line in shown["stock"]] == [("Dhaka 5", 5)]
    assert "Dhaka 5" in cardtone("resellers", "show", "Bazaar").out
    told = cardtone("resellers", "unassign", "Bazaar", *span(cards)).out
    assert told == "5 cards taken back; 5 left as they were: 5 in nobody's stock.\n"


def test_a_key_counts_once_at_the_command_line_too(
    cardtone: Cardtone, db: Database, cards: list[scenes.TestCard]
) -> None:
    cardtone("resellers", "add", "Bazaar")
    credit(db)
    cardtone("resellers", "assign", "Bazaar", *span(cards))
    ask = ("resellers", "activate", "Bazaar", *span(cards[:2]), "--key", "k", "--json")
    assert [cardtone(*ask).json["repeated"] for _ in range(2)] == [False, True]
    ask = ("resellers", "recharge", "Bazaar", cards[0].serial, "2.50", "--key", "k")
    assert [cardtone(*ask).out for _ in range(2)] == [f"{cards[0].serial} has USD 7.50 now.\n"] * 2
    assert accounts_balance(cardtone) == "17.50"


def accounts_balance(cardtone: Cardtone) -> str:
    shown: str = cardtone("resellers", "show", "Bazaar", "--json").json["accounts"][0]["balance"]
    return shown


def test_a_range_over_several_batches_is_asked_about(
    cardtone: Cardtone,
    db: Database,
    vault: Vault,
    cards: list[scenes.TestCard],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    more = scenes.batch(db, vault, 5, name="Dhaka 10", release="activation", now=NOW)
    whole = span([cards[0], more[-1]])
    prompts: list[str] = []

    def no(prompt: str) -> str:
        prompts.append(prompt)
        return "n"

    monkeypatch.setattr("click.termui.visible_prompt_func", no)
    asked = cardtone("batches", "sold", *whole)
    assert (asked.status, asked.out) == (130, "")
    assert "2 batches: Dhaka 5, Dhaka 10. Go on?" in asked.err + "".join(prompts)
    told = cardtone("batches", "sold", *whole, "--yes").out
    assert told == "15 cards sold. The range runs over 2 batches.\n"
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda prompt: "y")
    data = cardtone("batches", "sold", *whole, "--json").json
    assert (data["left"], data["why"], data["batches"]) == (15, {"sold": 15}, ["Dhaka 5", "Dhaka 10"])


def test_cards_that_are_not_held_back_are_told_with_the_reason(
    cardtone: Cardtone, db: Database, vault: Vault, cards: list[scenes.TestCard]
) -> None:
    custody.activate(db, custody.Range(cards[0].id, cards[7].id), OPERATOR, NOW)
    line = scenes.Line(db, vault, scenes.switch(db), NOW)
    line.authenticate(cards[0])
    told = cardtone("batches", "hold-back", *span(cards)).out
    assert told == "7 cards held back; 3 left as they were: 2 held back already, 1 used.\n"
