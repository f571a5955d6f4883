"""A call that the operator ends."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from engine.calls import ending
from engine.calls.control import Ended
from engine.db import Database
from engine.errors import NotFound
from engine.schema import AuditRow, CardEvent, Cdr
from engine.vault import Vault
from tests import scenes
from tests.scenes import OPERATOR, USD, Line


def finish(line: Line, ref: str = "call-1") -> Ended:
    return ending.end_call(
        line.db, switch="Asterisk", call_ref=ref, reason="stuck", actor=OPERATOR, now=line.now
    )


@pytest.fixture
def line(db: Database, vault: Vault) -> Line:
    return Line(db, vault, scenes.switch(db))


def test_a_call_that_was_answered_is_charged_until_now(line: Line) -> None:
    card = scenes.card(line.db, line.vault)
    line.open(card)
    line.later(10).answer()
    line.later(60)
    assert finish(line).charged == USD("0.0150")
    facts = scenes.facts(line.db, card)
    assert (facts.balance, facts.held, facts.live_calls) == (USD("4.9850"), 0, 0)


def test_a_call_that_only_rang_costs_nothing_and_frees_its_card(line: Line) -> None:
    card = scenes.card(line.db, line.vault)
    line.open(card)
    assert finish(line.later(500)).charged == 0
    line.open(card, ref="call-2")


def test_it_never_costs_more_than_was_granted(line: Line) -> None:
    card = scenes.card(line.db, line.vault, "0.0300")
    granted = line.open(card).max_seconds
    line.answer()
    assert finish(line.later(granted + 100)).charged == USD("0.0300")


def test_who_ended_it_and_why_is_kept(line: Line) -> None:
    card = scenes.card(line.db, line.vault)
    line.open(card)
    finish(line)
    with line.db.begin() as session:
        row = session.scalars(select(AuditRow).where(AuditRow.action == "call.end")).one()
        event = session.scalars(select(CardEvent).where(CardEvent.kind == "end_call")).one()
        cdr = session.scalars(select(Cdr)).one()
    assert (row.subject, row.reason, row.actor) == (f"card:{card.serial}", "stuck", str(OPERATOR))
    assert event.data["call_ref"] == "call-1"
    assert cdr.flags == ["swept", "ended_by_operator"]


def test_the_end_that_the_switch_sends_after_all_corrects_it(line: Line) -> None:
    card = scenes.card(line.db, line.vault)
    line.open(card)
    line.answer()
    finish(line.later(60))
    assert line.later(5).end(seconds=30).charged == USD("0.0075")
    assert scenes.facts(line.db, card).balance == USD("4.9925")


def test_ending_it_again_finds_no_call(line: Line) -> None:
    line.open(scenes.card(line.db, line.vault))
    finish(line)
    with pytest.raises(NotFound, match="call_not_found"):
        finish(line)
    with line.db.begin() as session:
        assert len(session.scalars(select(Cdr)).all()) == 1


def test_the_list_shows_what_goes_on(line: Line) -> None:
    card = scenes.card(line.db, line.vault)
    line.open(card)
    (shown,) = ending.live_calls(line.db)
    assert (shown.serial, shown.switch, shown.answered_at) == (card.serial, "Asterisk", None)
    finish(line)
    assert ending.live_calls(line.db) == []
