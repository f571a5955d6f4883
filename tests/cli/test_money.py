"""Accounts, bonus rules, auto-recharge, transfer and replace as somebody at the machine types them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from engine.db import Database
from engine.vault import Vault
from tests import scenes
from tests.scenes import TestCard

from .conftest import Cardtone

EARLIER = datetime.now(UTC) - timedelta(hours=2)


@pytest.fixture
def vault(cardtone: Cardtone, db: Database) -> Vault:
    """The vault of the installation that the commands use."""
    from engine.config import Config

    return Vault(Config.from_env().load_keys())


@pytest.fixture
def cards(db: Database, vault: Vault) -> list[TestCard]:
    return scenes.batch(db, vault, 2, "5.00", name="Cards", now=EARLIER)


def test_an_account_from_its_opening_to_its_end(cardtone: Cardtone) -> None:
    assert cardtone("accounts", "list").out == "There is no account yet.\n"
    opened = cardtone("accounts", "open", "Float", "--currency", "USD", "--credit-limit", "10")
    assert opened.out == "The account Float has USD 0.00, and may go down to USD -10.00.\n"
    first = cardtone("accounts", "deposit", "Float", "50.00", "--key", "bank-1")
    assert first.out == "USD 50.00 for Float. Its balance is USD 50.00.\n"
    cardtone("accounts", "adjust", "Float", "-20", "--reason", "Charged back")
    again = cardtone("accounts", "deposit", "Float", "50.00", "--key", "bank-1")
    assert again.out == "This was done before: USD 50.00 for Float. Its balance is USD 30.00.\n"
    shown = cardtone("accounts", "show", "Float", "--json").json
    assert (shown["balance"], shown["available"]) == ("30.0000", "40.0000")
    assert [(entry["kind"], entry["amount"]) for entry in shown["entries"]] == [
        ("adjustment", "-20.0000"),
        ("deposit", "50.0000"),
    ]
    assert "Charged back" in cardtone("accounts", "show", "Float").out
    refused = cardtone("accounts", "change", "Float", "--close")
    assert (refused.status, refused.err) == (
        1,
        "The account has a balance of 30.00; bring it to zero before you close it.\n",
    )
    cardtone("accounts", "adjust", "Float", "-30", "--reason", "Paid out")
    assert cardtone("accounts", "change", "Float", "--close").out.endswith("It is closed.\n")
    assert cardtone("accounts", "list", "--json").json == {"accounts": []}
    assert "Float" in cardtone("accounts", "list", "--closed").out
    assert cardtone("accounts", "show", "Nobody").status == 1
    assert cardtone("accounts", "open", "X", "--currency", "USD", "--reseller", "Nobody").err.startswith(
        "There is no"
    )


def test_bonus_rules_are_added_counted_and_disabled(cardtone: Cardtone, cards: list[TestCard]) -> None:
    assert cardtone("bonus-rules", "list").out == "There is no bonus rule yet.\n"
    added = cardtone(
        *("bonus-rules", "add", "Spring", "--currency", "USD", "--percent", "12.5", "--fixed", "1"),
        *("--by", "operator", "--from", "2020-03-01", "--until", "2099-03-31"),
    )
    assert added.out == "The rule Spring gives 12.5% and USD 1.00.\n"
    paid = cardtone("cards", "recharge", cards[0].serial, "8.00", "--key", "a")
    assert paid.out == (
        f"USD 8.00 and a bonus of 2.00 on the card {cards[0].serial}; its balance is USD 15.00.\n"
    )
    cardtone("cards", "recharge", cards[0].serial, "1.00", "--bonus", "0")
    again = cardtone("cards", "recharge", cards[0].serial, "8.00", "--key", "a")
    assert again.out == (
        f"This was done before: USD 8.00 and a bonus of 2.00 on the card {cards[0].serial}; "
        "its balance is USD 16.00.\n"
    )
    (rule,) = cardtone("bonus-rules", "list", "--json").json["rules"]
    assert (rule["percent"], rule["starts_at"][:10], rule["ends_at"][:10]) == (
        "12.50",
        "2020-03-01",
        "2099-04-01",
    )
    assert cardtone("bonus-rules", "disable", "Spring").out == "The rule Spring counts no more.\n"
    assert "disabled" in cardtone("bonus-rules", "list").out
    assert (
        "two decimals" in cardtone("bonus-rules", "add", "X", "--currency", "USD", "--percent", "1.234").err
    )


def test_auto_recharge_rules_and_their_cards(cardtone: Cardtone, cards: list[TestCard]) -> None:
    assert cardtone("auto-recharge", "list").out == "There is no auto-recharge rule yet.\n"
    cardtone("accounts", "open", "Float", "--currency", "USD")
    terms = ("--under", "2", "--amount", "5", "--account", "Float")
    added = cardtone("auto-recharge", "add", "Low", *terms, "--day-limit", "10")
    assert added.out == "The rule Low puts USD 5.00 from Float on a card whose balance falls under 2.00.\n"
    serials = [card.serial for card in cards]
    assert cardtone("auto-recharge", "enrol", "Low", *serials).out == "2 cards were enrolled: Low.\n"
    once_more = cardtone("auto-recharge", "enrol", "Low", serials[0])
    assert once_more.out == "0 cards were enrolled: Low. 1 were so already, or may not be.\n"
    assert cardtone("auto-recharge", "withdraw", "Low", serials[0]).out == "1 card was withdrawn: Low.\n"
    (rule,) = cardtone("auto-recharge", "list", "--json").json["rules"]
    assert (rule["cards"], rule["day_limit"], rule["month_limit"]) == (1, "10.0000", None)
    changed = cardtone("auto-recharge", "change", "Low", "--day-limit", "none", "--disable", "--json").json
    assert (changed["day_limit"], changed["disabled"]) == (None, True)
    assert "disabled" in cardtone("auto-recharge", "list").out
    filtered = cardtone("auto-recharge", "add", "All", *terms, "--batch", "Cards")
    assert filtered.out.endswith("It enrols its cards by itself.\n")
    assert cardtone("auto-recharge", "add", "No", *terms, "--batch", "Nothing").err.startswith(
        "There is no batch"
    )


def test_money_goes_from_card_to_card(cardtone: Cardtone, cards: list[TestCard]) -> None:
    one, other = (card.serial for card in cards)
    moved = cardtone("cards", "transfer", one, other, "--amount", "1.50", "--key", "a")
    assert moved.out == f"USD 1.50 went from the card {one} to {other}; USD 3.50 are left on the first.\n"
    again = cardtone("cards", "transfer", one, other, "--amount", "1.50", "--key", "a", "--json").json
    assert (again["repeated"], again["from_balance"]) == (True, "3.5000")
    replaced = cardtone("cards", "replace", other, one, "--reason", "Lost", "--yes")
    assert replaced.out == (
        f"The card {one} replaces {other}, which is void; USD 6.50 went over, and its balance is USD 10.00.\n"
    )
    assert cardtone("cards", "replace", other, one, "--reason", "Lost", "--json").json["repeated"] is True
    refused = cardtone("cards", "transfer", other, one)
    assert (refused.status, refused.err) == (1, "The card was voided and can't be used any more.\n")
    shown = cardtone("cards", "show", one, "--json").json
    moves = [(entry["amount"], entry["other"]) for entry in shown["ledger"] if entry["kind"] == "transfer"]
    assert moves == [("6.5000", other), ("-1.5000", other)]
    assert "From or to" in cardtone("cards", "show", one).out
