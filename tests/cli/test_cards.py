"""`cardtone cards` and `cardtone verify` as somebody at the counter types them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, text

from engine.calls.sweep import sweep
from engine.db import Database
from engine.schema import AuditRow
from engine.vault import Vault
from tests import scenes
from tests.scenes import USD, Line, TestCard, facts

from .conftest import Cardtone


@pytest.fixture
def vault(cardtone: Cardtone, db: Database) -> Vault:
    """The vault of the installation that the commands use."""
    from engine.config import Config

    return Vault(Config.from_env().load_keys())


@pytest.fixture
def card(db: Database, vault: Vault) -> TestCard:
    return scenes.card(db, vault, "5.00", now=datetime.now(UTC) - timedelta(hours=2))


@pytest.fixture
def line(db: Database, vault: Vault) -> Line:
    """A switch whose clock stands a little before the commands'."""
    return Line(db, vault, scenes.switch(db), now=datetime.now(UTC) - timedelta(hours=1))


# --- show ---


def test_show_tells_facts_ledger_and_explained_calls(cardtone: Cardtone, line: Line, card: TestCard) -> None:
    line.open(card, ref="one")
    line.later(61).end("one", seconds=61)
    line.open(card, ref="two", one_shot=False)
    told = cardtone("cards", "show", card.serial).out
    for part in (
        f"Card {card.serial}: active",
        "USD 4.9847",
        "Destination 880 (prefix 880): 1 min 1 s of talk",
        "USD 0.015 a minute",
        "holds USD 0.15",
        "opening",
        "usage",
        "-0.0153",
        "switch Asterisk",
    ):
        assert part in told
    assert card.number not in told
    assert card.password not in told


def test_show_for_a_script(cardtone: Cardtone, line: Line, card: TestCard) -> None:
    line.open(card, ref="one")
    line.later(60).end("one", seconds=60)
    line.open(card, ref="two", one_shot=False)
    ran = cardtone("cards", "show", card.serial, "--json")
    told = ran.json
    assert (told["serial"], told["status"], told["currency"]) == (card.serial, "active", "USD")
    assert (told["balance"], told["held"], told["available"]) == ("4.9850", "0.1500", "4.8350")
    assert [(call["call_ref"], call["charged"]) for call in told["calls"]] == [("one", "0.0150")]
    assert told["calls"][0]["explanation"].startswith("Destination 880")
    assert [call["call_ref"] for call in told["live_calls"]] == ["two"]
    assert [entry["kind"] for entry in told["ledger"]] == ["usage", "opening"]
    assert datetime.fromisoformat(told["expires_at"]) == facts(line.db, card).expires_at
    assert card.number not in ran.out
    assert card.password not in ran.out


def test_show_says_who_locked_a_card_and_why(cardtone: Cardtone, card: TestCard) -> None:
    cardtone("cards", "lock", card.serial, "--reason", "Lost on a bus")
    told = cardtone("cards", "show", card.serial).out
    assert f"Card {card.serial}: locked" in told
    assert "by the command line: Lost on a bus" in told


def test_show_explains_a_call_by_its_correction(cardtone: Cardtone, line: Line, card: TestCard) -> None:
    line.open(card, one_shot=False)
    line.answer()
    line.later(1_000)
    sweep(line.db, line.now)
    line.end(seconds=120)
    told = cardtone("cards", "show", card.serial).out
    assert "2 min of talk" in told
    assert "[late end, swept]" in told


# --- serials ---


def test_a_mistyped_serial_is_noticed(cardtone: Cardtone, card: TestCard) -> None:
    mistyped = card.serial[:-1] + str((int(card.serial[-1]) + 1) % 10)
    ran = cardtone("cards", "show", mistyped)
    assert ran.status == 1
    assert ran.err == (
        f"The last digit of the serial {mistyped} does not fit the others; one of them may be mistyped.\n"
    )
    assert "it has 11 digits" in cardtone("cards", "lock", "12", "--reason", "x").err


def test_a_serial_without_a_card_is_told(cardtone: Cardtone, card: TestCard) -> None:
    nobody = TestCard(card.id + 1, "", "").serial
    for arguments in (
        ["show", nobody],
        ["lock", nobody, "--reason", "x"],
        ["recharge", nobody, "1"],
        ["reset-password", nobody],
    ):
        ran = cardtone("cards", *arguments)
        assert (ran.status, ran.out, ran.err) == (1, "", "There is no such card.\n")


# --- acts ---


def test_lock_and_unlock_say_what_changed(cardtone: Cardtone, db: Database, card: TestCard) -> None:
    lock = ("cards", "lock", card.serial, "--reason", "Lost")
    unlock = ("cards", "unlock", card.serial, "--reason", "Found")
    assert cardtone(*lock).out == f"The card {card.serial} is locked.\n"
    assert cardtone(*lock).out == f"The card {card.serial} was locked already.\n"
    assert cardtone(*lock, "--json").json == {"serial": card.serial, "changed": False}
    assert cardtone(*unlock).out == f"The card {card.serial} is unlocked.\n"
    assert cardtone(*unlock).out == f"The card {card.serial} was not locked.\n"
    with db.begin() as session:
        rows = session.scalars(select(AuditRow).where(AuditRow.subject == f"card:{card.serial}")).all()
    assert [(row.action, row.actor, row.reason) for row in rows] == [
        ("card.lock", "console", "Lost"),
        ("card.unlock", "console", "Found"),
    ]


def test_a_recharge_with_a_key_counts_once(cardtone: Cardtone, db: Database, card: TestCard) -> None:
    pay = ("cards", "recharge", card.serial, "10.00", "--bonus", "1.50", "--key", "receipt-17")
    told = f"USD 10.00 and a bonus of 1.50 on the card {card.serial}; its balance is USD 16.50.\n"
    assert cardtone(*pay).out == told
    assert cardtone(*pay).out == f"This was done before: {told}"
    assert cardtone(*pay, "--json").json["balance"] == "16.5000"
    assert facts(db, card).balance == USD("16.5")
    other = cardtone("cards", "recharge", card.serial, "11.00", "--key", "receipt-17")
    assert (other.status, other.out) == (1, "")
    assert "used before" in other.err


def test_a_refused_recharge_says_why(cardtone: Cardtone, card: TestCard) -> None:
    cardtone("cards", "damage", card.serial, "--reason", "Stolen")
    ran = cardtone("cards", "recharge", card.serial, "1.00")
    assert (ran.status, ran.err) == (1, "The card was voided and can't be used any more.\n")


@pytest.mark.parametrize("amount", ["", "0", "1,50", "1e9", "NaN", "0.00000005", "１２", "9" * 30])
def test_an_amount_is_never_guessed(cardtone: Cardtone, db: Database, card: TestCard, amount: str) -> None:
    ran = cardtone("cards", "recharge", card.serial, amount)
    assert ran.status == 1
    assert ran.err.endswith(".\n")
    assert facts(db, card).balance == USD("5")


def test_an_adjustment_takes_and_gives(cardtone: Cardtone, db: Database, card: TestCard) -> None:
    assert (
        "it is USD 4.50." in cardtone("cards", "adjust", card.serial, "-0.50", "--reason", "Paid twice").out
    )
    assert "it is USD 4.75." in cardtone("cards", "adjust", card.serial, "0.25", "--reason", "Goodwill").out
    ran = cardtone("cards", "adjust", card.serial, "-4.76", "--reason", "Too much")
    assert (ran.status, ran.err) == (1, "The balance is too low for this.\n")
    assert cardtone("cards", "adjust", card.serial, "-1").status == 1  # a reason is asked for
    assert facts(db, card).balance == USD("4.75")


def test_extend_says_until_when(cardtone: Cardtone, line: Line, card: TestCard) -> None:
    refused = cardtone("cards", "extend", card.serial, "--days", "10")
    assert refused.status == 1
    assert "no expiry date yet" in refused.err
    line.authenticate(card)
    before = facts(line.db, card).expires_at
    assert before is not None
    told = cardtone("cards", "extend", card.serial, "--days", "10", "--json").json
    assert datetime.fromisoformat(told["expires_at"]) == before + timedelta(days=10)
    last_day = (before + timedelta(days=10)).date()
    said = cardtone("cards", "extend", card.serial, "--days", "1").out
    assert said == f"The card {card.serial} is valid until the end of {last_day}.\n"
    assert f"the end of {last_day}" in cardtone("cards", "show", card.serial).out


def test_a_reset_password_is_shown_once_and_works(cardtone: Cardtone, line: Line, card: TestCard) -> None:
    first, second = cardtone("cards", "reset-password", card.serial).out.splitlines()
    assert second == "It is shown this once."
    password = first.rsplit(" ", 1)[1]
    assert password not in cardtone("cards", "show", card.serial).out
    granted = line.later(3_700).open(card.with_password(password))
    assert granted.serial == card.serial


def test_callers_are_bound_and_unbound(cardtone: Cardtone, db: Database, vault: Vault) -> None:
    card = scenes.card(db, vault, binding="single", now=datetime.now(UTC))
    assert "is bound" in cardtone("cards", "bind", card.serial, "+8801912345678").out
    assert "+8801912345678" in cardtone("cards", "show", card.serial).out
    assert "already" in cardtone("cards", "bind", card.serial, "8801912345678").out
    assert (
        cardtone("cards", "bind", card.serial, "nobody").err
        == "nobody is not a caller; write it like +14155550123.\n"
    )
    assert "any more" in cardtone("cards", "unbind", card.serial, "+8801912345678").out


def test_concurrency_is_set(cardtone: Cardtone, db: Database, card: TestCard) -> None:
    assert cardtone("cards", "concurrency", card.serial, "3").out == (
        f"The card {card.serial} may make 3 calls at once.\n"
    )
    assert facts(db, card).concurrency == 3


# --- verify ---


def test_verify_says_that_the_books_are_right(cardtone: Cardtone, line: Line, card: TestCard) -> None:
    line.open(card)
    line.later(60).end(seconds=60)
    ran = cardtone("verify")
    assert (ran.status, ran.out) == (0, "The books are right: 1 card, 2 entries, 1 call checked.\n")
    assert cardtone("verify", "--json").json == {
        "right": True,
        "cards": 1,
        "entries": 2,
        "calls": 1,
        "findings": [],
    }


@pytest.mark.books_broken
def test_verify_names_what_is_wrong_and_ends_with_status_1(
    cardtone: Cardtone, db: Database, card: TestCard
) -> None:
    with db.begin() as session:
        session.execute(text("UPDATE card SET balance = balance + 1"))
    ran = cardtone("verify")
    assert ran.status == 1
    assert ran.out.splitlines() == [
        f"card:{card.serial}: Its balance is 5.000001, but its entries sum to 5.00.",
        "The books are wrong in 1 place: 1 card, 1 entry, 0 calls checked.",
    ]
    told = cardtone("verify", "--json")
    assert told.status == 1
    assert told.json["findings"][0]["code"] == "balance"
