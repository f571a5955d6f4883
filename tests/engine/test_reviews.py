"""Flagged calls stay open until somebody says what it was; what they said stands."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import text

from engine.actor import Actor
from engine.calls import reviews
from engine.calls.cdrs import find_call
from engine.calls.explain import explain
from engine.calls.sweep import sweep
from engine.db import Database
from engine.errors import Conflict, InvalidInput, NotFound
from engine.vault import Vault
from tests import scenes
from tests.scenes import NOW, OPERATOR, Line, TestCard

CLERK = Actor("staff", 2, "Clerk", "finance")


@pytest.fixture
def card(db: Database, vault: Vault) -> TestCard:
    """Its first call was ordinary; of the next, one was reported too long, and of one no end came."""
    card = scenes.card(db, vault, "50.00", concurrency=5)
    line = Line(db, vault, scenes.switch(db))
    for ref in ("plain", "capped", "lost"):
        line.open(card, ref=ref, one_shot=False)
    line.answer("lost")
    line.later(30).end("plain", seconds=20)
    line.end("capped", seconds=4_000)
    sweep(db, NOW + timedelta(days=1))
    return card


def numbers(db: Database) -> dict[str, int]:
    with db.begin() as session:
        return {row.call_ref: row.id for row in session.execute(text("SELECT call_ref, id FROM cdr"))}


def refs(page: reviews.FlaggedPage) -> list[str]:
    return [one.row.call.call_ref for one in page.calls]


def test_flagged_calls_are_open_until_somebody_resolves_them(db: Database, card: TestCard) -> None:
    ids = numbers(db)
    assert reviews.open_count(db, NOW) == 2
    assert refs(reviews.flagged(db)) == ["lost", "capped"]
    assert refs(reviews.flagged(db, flag="duration_capped")) == ["capped"]
    assert refs(reviews.flagged(db, flag="overrun_loss")) == []
    assert refs(reviews.flagged(db, switch_id=99)) == []
    assert (
        reviews.resolve(
            db, calls=[(card.serial, ids["capped"])], reason="Its  clock", actor=OPERATOR, now=NOW
        )
        == 1
    )
    assert reviews.open_count(db, NOW) == 1
    assert refs(reviews.flagged(db)) == ["lost"]
    (one,) = reviews.flagged(db, state="resolved").calls
    assert one.review == reviews.Review(NOW, "Operator", "Its clock")
    assert reviews.review_of(db, card.serial, ids["capped"]) == one.review
    assert reviews.review_of(db, card.serial, ids["lost"]) is None


def test_what_was_resolved_stays_as_it_was_said_first(db: Database, card: TestCard) -> None:
    ids = numbers(db)
    both = [(card.serial, ids["capped"]), (card.serial, ids["lost"])]
    assert reviews.resolve(db, calls=both[:1], reason="First", actor=OPERATOR, now=NOW) == 1
    assert reviews.resolve(db, calls=both, reason="Second", actor=CLERK, now=NOW + timedelta(hours=1)) == 1
    assert reviews.resolve(db, calls=both, reason="Third", actor=CLERK, now=NOW) == 0
    found = reviews.flagged(db, state="resolved").calls
    assert [(one.row.call.call_ref, one.review and one.review.note) for one in found] == [
        ("lost", "Second"),
        ("capped", "First"),
    ]
    with db.begin() as session:
        told = session.execute(
            text("SELECT reason, data FROM audit WHERE action = 'call.resolve' ORDER BY id")
        ).all()
    assert [row.reason for row in told] == ["First", "Second"]
    assert told[1].data == {"calls": [f"{card.serial}-{ids['lost']}"]}


def test_of_several_calls_all_are_resolved_or_none(db: Database, card: TestCard) -> None:
    ids = numbers(db)
    good = (card.serial, ids["capped"])
    for other, refusal, code in (
        ((card.serial, ids["plain"]), Conflict, "call_not_flagged"),
        ((card.serial, 999), NotFound, "call_not_found"),
        (("12345678901", ids["capped"]), InvalidInput, "bad_serial"),
    ):
        with pytest.raises(refusal, match=code):
            reviews.resolve(db, calls=[good, other], reason="Looked at", actor=OPERATOR, now=NOW)
    for calls, reason, code in (
        ([], "x", "no_calls_chosen"),
        ([good], " ", "reason_missing"),
        ([(card.serial, n) for n in range(201)], "x", "too_many_calls_chosen"),
    ):
        with pytest.raises(InvalidInput, match=code):
            reviews.resolve(db, calls=calls, reason=reason, actor=OPERATOR, now=NOW)
    assert reviews.open_count(db, NOW) == 2


def test_pages_of_flagged_calls_follow_each_other(db: Database, card: TestCard) -> None:
    first = reviews.flagged(db, limit=1)
    assert refs(first) == ["lost"]
    second = reviews.flagged(db, limit=1, before=first.older)
    assert (refs(second), second.older) == (["capped"], None)


def test_a_capped_call_says_what_its_switch_reported_also_where_nothing_was_charged(
    db: Database, vault: Vault
) -> None:
    card = scenes.card(db, vault)
    line = Line(db, vault, scenes.switch(db))
    scenes.setting(db, "clock_tolerance_s", 0)
    line.open(card)
    line.end(seconds=600)
    (row,) = (one.row for one in reviews.flagged(db).calls)
    assert row.call.billed_s == 0
    assert "The switch reported 10 min, longer than since the call began" in explain(row.told)
    assert find_call(db, card.serial, row.id) == row
