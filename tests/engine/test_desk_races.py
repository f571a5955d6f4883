"""Tills of one reseller at once, in processes of their own, on poor credit: books, stock and documents agree.

What one command does against another at an instant that is chosen for it is in `test_resale`.
"""

from __future__ import annotations

import random
from collections import Counter
from contextlib import suppress
from typing import Any

import pytest

from engine.cards.authentication import Authenticated
from engine.config import Keys
from engine.db import Database
from engine.errors import EngineUnavailable, Refused
from engine.people.switches import SwitchIdentity
from engine.stock import deskstock, resale
from engine.stock.custody import Range
from engine.stock.deskviews import card_at_till, look
from engine.vault import Vault
from tests import scenes
from tests.conftest import assert_books_verify
from tests.engine.test_resale import PRICE, Shop, credit, rows, shop, span, stocked
from tests.processes import preload, run_together
from tests.proof import scaled
from tests.scenes import NOW, OPERATOR, USD, TestCard, facts

preload(__name__)

RICH = USD("43.75")
"""Ten cards."""


def sell_all(url: str, owner: Shop, cards: Range, key: str) -> tuple[int, int]:
    """One till that activates and sells a range: cards that it changed, and what it paid."""
    db = Database(url)
    done = resale.activate_and_sell(db, cards, owner.till, NOW, key=key)
    db.close()
    return sum(one.changed for one in done if not one.repeated), sum(
        one.amount for one in done if not one.repeated
    )


def keep_shop(
    url: str, keys: Keys, owner: Shop, switch: SwitchIdentity, cards: list[TestCard], seed: int, turns: int
) -> Counter[str]:
    """One of many tills at which everything happens to the same cards, and customers who try them at once."""
    db, chance, seen = Database(url), random.Random(seed), Counter[str]()
    line = scenes.Line(db, Vault(keys), switch)
    for turn in range(turns):
        at = chance.randrange(len(cards) - 2)
        some, card = span(cards[at : at + chance.randint(1, 3)]), chance.choice(cards)
        act = chance.choice(["both", "activate", "sell", "return", "return", "recharge", "use"])
        try:
            if act == "use":
                used = isinstance(line.authenticate(card), Authenticated)
                seen["used" if used else "not used"] += 1
            elif act == "recharge":
                # Sent twice, as by a double click.
                asked: dict[str, Any] = {"card_id": card.id, "amount": USD("0.5"), "key": f"{seed}-{turn}"}
                first = resale.recharge(db, **asked, actor=owner.till, now=NOW)
                assert resale.recharge(db, **asked, actor=owner.till, now=NOW) == first
                seen[act] += 1
            elif act == "both":
                # Two tills may send the same: the key is of the turn, not of the till.
                resale.activate_and_sell(db, span(cards[:1]), owner.till, NOW, key=f"first-{turn}")
                seen[act] += 1
            else:
                command = {"activate": resale.activate, "sell": resale.sell, "return": resale.give_back}[act]
                seen[act] += command(db, some, owner.till, NOW).changed
        except (Refused, EngineUnavailable) as refused:
            seen[refused.code] += 1
    db.close()
    return seen


def test_two_tills_that_activate_and_sell_one_range_pay_for_it_once(
    db: Database, database_url: str, vault: Vault
) -> None:
    owner = shop(db, credit="1000")
    cards = stocked(db, vault, owner, 40)
    ahead = look(db, "both", span(cards[:20]), owner.id, NOW)
    tills = run_together(
        sell_all,
        [(database_url, owner, span(cards[:20]), key) for key in ("one", "other")]
        + [(database_url, owner, span(cards[20:]), "double click")] * 2,
    )
    assert [sum(column) for column in zip(*tills[:2], strict=True)] == [40, ahead.amount]
    # Sent twice, each of the two commands counts once; the second one may come first to the sale.
    assert [sum(column) for column in zip(*tills[2:], strict=True)] == [40, 20 * PRICE]
    assert credit(db, owner) == USD("1000") - 40 * PRICE
    assert deskstock.figures(db, owner.id, NOW).charged_this_month == 40
    assert_books_verify(db)


def test_what_ends_between_activation_and_sale_is_done_by_the_same_again(
    db: Database, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = shop(db)
    cards = stocked(db, vault, owner, 3)
    with monkeypatch.context() as patch:
        patch.setattr(
            resale, "sell", lambda *_, **__: (_ for _ in ()).throw(EngineUnavailable("unavailable"))
        )
        with suppress(EngineUnavailable):
            resale.activate_and_sell(db, span(cards), owner.till, NOW, key="k")
    assert card_at_till(db, cards[0].serial, owner.id, NOW).state == "activated"
    activated, sold = resale.activate_and_sell(db, span(cards), owner.till, NOW, key="k")
    assert (activated.repeated, sold.repeated, sold.changed, sold.amount) == (True, False, 3, 0)
    assert card_at_till(db, cards[0].serial, owner.id, NOW).state == "sold"
    assert credit(db, owner) == USD("100") - 3 * PRICE


def test_eight_tills_on_poor_credit_leave_books_stock_and_documents_that_agree(
    db: Database, database_url: str, vault: Vault, keys: Keys
) -> None:
    owner = shop(db, credit="43.75")
    cards, switch = stocked(db, vault, owner, 24, concurrency=8), scenes.switch(db)
    turns = scaled(600, 25)
    tasks = [(database_url, keys, owner, switch, cards, seed, turns) for seed in range(8)]
    seen = sum(run_together(keep_shop, tasks), Counter[str]())
    assert {"used", "recharge", "return", "activate", "sell", "both", "account_exhausted"} <= set(seen), seen
    lowest = rows(db, "SELECT min(balance_after) AS n FROM account_entry")[0].n
    assert 0 <= lowest < 3 * PRICE, "a range was too dear at last, and no more was spent than there was"
    charged = rows(db, "SELECT coalesce(sum(reseller_price), 0) AS n FROM card")[0].n
    paid = rows(db, "SELECT coalesce(sum(amount), 0) AS n FROM payment WHERE method = 'reseller'")[0].n
    documents = rows(db, "SELECT sum(amount) AS n FROM stock_move")[0].n
    entries = rows(
        db, "SELECT coalesce(-sum(amount), 0) AS n FROM account_entry WHERE kind IN ('stock', 'return')"
    )[0].n
    assert charged == documents == entries
    assert credit(db, owner) == RICH - charged - paid
    assert rows(db, "SELECT count(*) AS n FROM payment")[0].n == seen["recharge"], (
        "a double click counts once"
    )
    wrong = rows(
        db,
        "SELECT id FROM card WHERE (first_used_at IS NOT NULL OR activated_at IS NOT NULL OR sold_at IS NOT NULL)"
        " AND reseller_price IS NULL",
    )
    assert wrong == [], "nobody uses, and nothing is activated or sold, without its being paid for"
    states = deskstock.batch_stock(db, owner.id, facts(db, cards[0]).batch_id, NOW).states
    at_till = Counter(card_at_till(db, card.serial, owner.id, NOW).state for card in cards)
    assert states == at_till
    whole = look(db, "return", span(cards), owner.id, NOW)
    done = resale.give_back(db, span(cards), OPERATOR, NOW, reseller_id=owner.id)
    assert (whole.amount, whole.changed) == (done.amount, done.changed)
    assert_books_verify(db)
