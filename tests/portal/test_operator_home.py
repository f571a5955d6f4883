"""Home: what needs a person, today's figures for whom they concern, and the guide of a new installation."""

from __future__ import annotations

import html
import re
from datetime import timedelta
from io import BytesIO

from engine import alarms, settings
from engine.actor import CONSOLE
from engine.calls import trial
from engine.db import Database
from engine.people import jobdesk, staff
from engine.reports import buckets
from engine.schema import JobRun, Work
from engine.stock.export import export_batch
from engine.vault import Secret, Vault
from tests import scenes
from tests.portal.conftest import LOGIN, PASSWORD, Clock, Visitor, text_of
from tests.scenes import NOW, OPERATOR, Line

BAD = "<script>alert(1)</script>"


def read(page: str) -> str:
    """The words of a page, those of neighbouring elements apart."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())


def in_role(db: Database, app_visitor: Visitor, role: str) -> Visitor:
    """Another browser with somebody of a role."""
    staff.add_staff(db, role, f"The {role}", role, Secret(PASSWORD), CONSOLE, NOW)
    other = app_visitor.application.test_client()
    assert isinstance(other, Visitor)
    assert other.log_in(role).status_code == 303
    return other


def test_the_log_in_leads_home_and_strangers_to_the_log_in(stranger: Visitor, person: object) -> None:
    assert stranger.get("/").location == "/log-in"
    assert stranger.log_in(LOGIN).location == "/"
    assert stranger.get("/").status_code == 200


def test_an_empty_installation_shows_the_way_and_no_figures(visitor: Visitor) -> None:
    text = text_of(visitor.get("/").text)
    assert "From nothing to the first charged call" in text
    assert "Use the sample deck" in text
    assert "It needs rates first" in text
    assert "Nothing waits for you" in text
    assert "Revenue" not in text
    assert "Done" not in text


def test_the_guide_is_done_step_by_step(visitor: Visitor, db: Database, vault: Vault) -> None:
    scenes.deck(db)
    assert text_of(visitor.get("/").text).count("Done") == 1
    card = scenes.card(db, vault, name="May")
    scenes.switch(db)
    page = text_of(visitor.get("/").text)
    assert page.count("Done") == 3
    assert "Make a trial call" in page
    line = Line(db, vault, scenes.switch(db, "Another"))
    line.open(card)
    assert "Trial call" not in text_of(visitor.get("/").text)
    assert "All of it is done" in text_of(visitor.get("/guide").text)


def test_the_switch_of_trial_calls_is_no_first_switch(visitor: Visitor, db: Database, vault: Vault) -> None:
    scenes.deck(db)
    card = scenes.card(db, vault, name="May")
    trial.start(
        db, vault, serial=card.serial, destination=scenes.BANGLADESH, key="k", actor=OPERATOR, now=NOW
    )
    page = text_of(visitor.get("/").text)
    assert "Almost set up" in page
    assert "First switch Done" not in page


def test_the_guide_can_be_hidden_and_found_again(visitor: Visitor) -> None:
    assert visitor.submit("/guide/hide").location == "/"
    text = text_of(visitor.get("/").text)
    assert "First batch" not in text
    assert "show the guide" in text
    assert "First batch" in text_of(visitor.get("/guide").text)


def test_what_needs_a_person_is_told_with_its_next_step(
    visitor: Visitor, db: Database, vault: Vault, clock: Clock
) -> None:
    scenes.deck(db)
    cards = scenes.batch(db, vault, 2, name=f"May {BAD}")
    line = Line(db, vault, scenes.switch(db, f"Asterisk {BAD}"))
    line.open(cards[0])
    line.later(10).end(seconds=300)  # longer than there was time
    line.open(cards[1], ref="left", one_shot=False)
    with db.begin() as session:
        alarms.raise_alarm(session, "lost_calls", f"switch:Asterisk {BAD}", NOW, calls=2, switch_id=1)
        alarms.raise_alarm(session, "odd", "thing:1", NOW)
        session.add(
            Work(
                kind="generate",
                params={"batch_id": 1},
                state="failed",
                error=f"unavailable: Broken {BAD}",
                created_by="staff:1",
                created_at=NOW,
                finished_at=NOW,
            )
        )
        session.add(JobRun(job="watch", due_at=NOW - timedelta(hours=2), state="done"))
        session.add(
            JobRun(
                job="verify",
                due_at=NOW - timedelta(days=1),
                state="running",
                started_at=NOW - timedelta(days=1),
                lease_until=NOW,
            )
        )
    jobdesk.pause(db, job="sweep", actor=OPERATOR, now=NOW)
    clock.now = line.now + timedelta(minutes=25)
    page = visitor.get("/").text
    assert BAD not in page
    text = text_of(page)
    for said in (
        "Nothing has run in the background since",
        "never said that 2 calls ended",
        "Something happened that a person should look at",
        f"Broken {BAD}",
        "One call is flagged",
        "One call holds money",
        "“Self-check of the books” has been running since",
        "“Calls without an end” was paused by",
    ):
        assert said in text, said
    assert "All is well" not in text


def test_batches_wait_to_be_shredded_once_they_are_handed_out(
    visitor: Visitor, db: Database, vault: Vault
) -> None:
    scenes.deck(db)
    scenes.batch(db, vault, 2, name="May")
    assert "Shred" not in text_of(visitor.get("/").text)
    export_batch(db, vault, "May", "csv", BytesIO(), OPERATOR, NOW)
    text = text_of(visitor.get("/").text)
    assert "One batch has passwords that can still be read here" in text


def test_figures_and_their_money_are_for_whom_they_concern(
    visitor: Visitor, db: Database, vault: Vault, clock: Clock
) -> None:
    scenes.deck(db, {"880": "0.60"})
    card = scenes.card(db, vault, name="May")
    line = Line(db, vault, scenes.switch(db))
    line.open(card, ref="a")
    line.later(60).end("a", seconds=60)
    line.open(card, ref="b")
    line.answer("b")
    clock.now = line.later(30).now
    text = read(visitor.get("/").text)
    assert "USD 0.60 0.00 a week ago" in text
    assert "4.40" in text
    assert "Live calls 1 USD 0.30 so far" in text
    assert "Calls 1 0 a week ago" in text
    desk = read(in_role(db, visitor, "support").get("/").text)
    assert "Calls 1 0 a week ago" in desk
    for money in ("Revenue", "Owed", "USD"):
        assert money not in desk


def test_its_parts_refresh_themselves_and_nothing_else(visitor: Visitor, db: Database, vault: Vault) -> None:
    page = visitor.get("/").text
    assert 'hx-get="/?part=needs"' in page
    part = visitor.part("/?part=needs").text
    assert part.strip().startswith("<section")
    assert "<html" not in part
    today = visitor.part("/?part=today&owed=1").text
    assert today.strip().startswith("<section")
    assert "Today until 12:00" in read(today)
    assert visitor.get("/?part=elsewhere").status_code == 400


def test_who_may_not_see_jobs_hears_of_none(visitor: Visitor, db: Database) -> None:
    with db.begin() as session:
        alarms.raise_alarm(session, "guessing", "door", NOW, more_than_a_minute=60)
    assert "guessed" in read(visitor.get("/").text)
    assert "guessed" not in read(in_role(db, visitor, "finance").get("/").text)


def test_a_day_is_the_readers(visitor: Visitor, db: Database, vault: Vault, clock: Clock) -> None:
    scenes.deck(db, {"880": "0.60"}, now=NOW - timedelta(days=1))
    card = scenes.card(db, vault, name="May")
    line = Line(db, vault, scenes.switch(db), NOW - timedelta(minutes=65))
    line.open(card)
    line.later(60).end(seconds=60)  # 10:56 in UTC
    buckets.aggregate(db, line.now)
    with db.begin() as session:
        settings.put(session, "zone", "Pacific/Auckland")  # thirteen hours ahead: 23:56 there
    clock.now = NOW.replace(hour=10, minute=59)
    assert "Calls 1 0 a week ago" in read(visitor.get("/").text)
    clock.later(minutes=2)
    assert "Calls 0 0 a week ago" in read(visitor.get("/").text)
