"""Taking runs back: the reverse orders, for the cards that a run changed and nobody has changed since."""

from __future__ import annotations

from typing import Any

import pytest

from engine.bulk import runs, undo, views
from engine.bulk.orders import VERBS, BulkOrder
from engine.cards import binding, lifecycle
from engine.db import Database
from engine.errors import Conflict, NotFound
from engine.people.resellers import add_reseller
from engine.vault import Vault
from tests import scenes
from tests.engine.bulkscenes import LATER, bulk, listed
from tests.scenes import NOW, OPERATOR, TestCard, facts


@pytest.fixture
def cards(db: Database, vault: Vault, monkeypatch: pytest.MonkeyPatch) -> list[TestCard]:
    """Six unused cards; runs take four at a time."""
    monkeypatch.setattr(runs, "CHUNK", 4)
    return scenes.batch(db, vault, 6, name="May", binding="multi", max_bound=2)


def run(db: Database, vault: Vault, verb: str, cards: list[TestCard], **params: Any) -> int:
    return bulk(db, vault, BulkOrder(verb, listed(*cards), params, "by mistake")).id


def take_back(db: Database, vault: Vault, run_id: int, before: str | None = None) -> views.RunView:
    """Do the reverse order of one part of a run."""
    part = next(part for part in undo.parts(db, run_id) if part.before == before)
    targets = undo.changed_cards(db, run_id, before)
    assert len(targets.card_ids) == part.cards
    return bulk(db, vault, BulkOrder(part.verb, targets, part.params, "undo"))


def test_a_lock_is_taken_off_where_the_run_put_it(db: Database, vault: Vault, cards: list[TestCard]) -> None:
    lifecycle.lock(db, card_id=cards[0].id, reason="stolen", actor=OPERATOR, now=NOW)
    run_id = run(db, vault, "lock", cards)
    # One was unlocked and locked again by somebody else in the meantime: theirs stands.
    other = {"card_id": cards[1].id, "reason": "lost again", "actor": OPERATOR}
    lifecycle.unlock(db, vault, **other, now=LATER)
    lifecycle.lock(db, **other, now=LATER.replace(minute=5))
    done = take_back(db, vault, run_id)
    assert (done.verb, done.changed) == ("unlock", 4)
    assert [facts(db, card).locked_at is None for card in cards] == [False, False, True, True, True, True]
    with pytest.raises(Conflict, match="nothing_to_undo"):
        undo.changed_cards(db, run_id)
    assert undo.parts(db, run_id) == ()


def test_what_was_activated_is_held_back_again(db: Database, vault: Vault) -> None:
    cards = scenes.batch(db, vault, 3, name="Held", release="activation")
    run_id = run(db, vault, "activate", cards)
    assert take_back(db, vault, run_id).verb == "hold_back"
    assert all(facts(db, card).released_at is None for card in cards)
    again = take_back(db, vault, run_id + 1)
    assert (again.verb, again.changed) == ("activate", 3)


def test_different_values_before_are_orders_of_their_own(
    db: Database, vault: Vault, cards: list[TestCard]
) -> None:
    run(db, vault, "set_concurrency", cards[:2], calls=5)
    run_id = run(db, vault, "set_concurrency", cards, calls=3)
    found = {part.before: (part.cards, part.params) for part in undo.parts(db, run_id)}
    assert found == {"1": (4, {"calls": 1}), "5": (2, {"calls": 5})}
    take_back(db, vault, run_id, "5")
    assert [facts(db, card).concurrency for card in cards] == [5, 5, 3, 3, 3, 3]
    assert [part.before for part in undo.parts(db, run_id)] == ["1"]


def test_decks_resellers_and_callers_go_back(db: Database, vault: Vault, cards: list[TestCard]) -> None:
    before = facts(db, cards[0]).deck_id
    scenes.deck(db, name="Dear")
    run_id = run(db, vault, "change_deck", cards, deck="Dear")
    assert facts(db, cards[0]).deck_id != before
    take_back(db, vault, run_id, undo.parts(db, run_id)[0].before)
    assert facts(db, cards[0]).deck_id == before

    shop = add_reseller(db, "Shop", OPERATOR, NOW)
    given = run(db, vault, "assign", cards, reseller_id=shop.id)
    taken = take_back(db, vault, given)
    assert facts(db, cards[0]).reseller_id is None
    back = take_back(db, vault, taken.id, str(shop.id))
    assert (back.changed, facts(db, cards[0]).reseller_id) == (6, shop.id)

    binding.bind(db, card_id=cards[0].id, caller="+491711234567", actor=OPERATOR, now=NOW)
    off = run(db, vault, "unbind", cards, caller="491711234567")
    assert take_back(db, vault, off).changed == 1
    assert undo.parts(db, off) == ()


def test_what_cannot_be_taken_back_says_so(db: Database, vault: Vault, cards: list[TestCard]) -> None:
    run_id = run(db, vault, "damage", cards)
    for ask in (undo.parts, undo.changed_cards):
        with pytest.raises(Conflict, match="no_undo"):
            ask(db, run_id)
        with pytest.raises(NotFound, match="run_not_found"):
            ask(db, run_id + 1)
    ways = {verb: undo.reverse_verb(verb) for verb in VERBS}
    assert {verb for verb, back in ways.items() if back is None} == {
        *("damage", "extend", "recharge", "discard", "export")
    }
    assert all(back is None or ways[back] == verb for verb, back in ways.items())


def test_runs_are_listed_by_verb_and_person(db: Database, vault: Vault, cards: list[TestCard]) -> None:
    locked, unlocked = run(db, vault, "lock", cards), run(db, vault, "unlock", cards)
    assert [view.id for view in views.list_runs(db)] == [unlocked, locked]
    assert [view.id for view in views.list_runs(db, verb="lock")] == [locked]
    assert [view.id for view in views.list_runs(db, actor=str(OPERATOR))] == [unlocked, locked]
    assert views.list_runs(db, actor="staff:99") == []
    assert views.actors(db) == {str(OPERATOR): OPERATOR.name}
