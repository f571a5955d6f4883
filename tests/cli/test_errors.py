"""How the command line says that something went wrong."""

from __future__ import annotations

import json

from engine.db import Database
from engine.vault import Vault
from tests import scenes
from tests.cli.conftest import Cardtone


def test_an_error_is_one_sentence(cardtone: Cardtone) -> None:
    ran = cardtone("cards", "show", "10000000017")
    assert (ran.status, ran.out) == (1, "")
    assert ran.err == "There is no such card.\n"


def test_with_json_it_is_one_object(cardtone: Cardtone) -> None:
    ran = cardtone("cards", "show", "10000000017", "--json")
    assert (ran.status, ran.out) == (1, "")
    assert json.loads(ran.err) == {"error": "card_not_found", "message": "There is no such card."}


def test_the_field_to_blame_is_named(cardtone: Cardtone) -> None:
    ran = cardtone("settings", "set", "slice_s", "0", "--json")
    assert json.loads(ran.err)["field"] == "slice_s"


def test_a_wrong_option_is_told_likewise(cardtone: Cardtone) -> None:
    ran = cardtone("cards", "list", "--json")
    assert json.loads(ran.err)["error"] == "failed"


def test_a_question_does_not_disturb_the_answer(cardtone: Cardtone, db: Database, vault: Vault) -> None:
    scenes.batch(db, vault, name="May")
    ran = cardtone("batches", "shred", "May", "--json")
    assert ran.out == ""
    assert "Go on?" in ran.err
    assert cardtone("batches", "shred", "May", "--yes", "--json").json["shredded"] is True


def test_live_calls_are_listed_and_one_is_ended(cardtone: Cardtone, db: Database, vault: Vault) -> None:
    card = scenes.card(db, vault)
    scenes.Line(db, vault, scenes.switch(db)).open(card)
    assert card.serial in cardtone("calls", "live").out
    ended = cardtone("calls", "end", "call-1", "--switch", "Asterisk", "--reason", "stuck")
    assert ended.out == "The call has ended: USD 0.00 charged, USD 5.00 left on the card.\n"
    assert cardtone("calls", "live").out == "There is no live call.\n"
