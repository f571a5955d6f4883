"""`cardtone jobs`, `cardtone alarms` and `cardtone reports` as an administrator types them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from engine import alarms, jobruns
from engine.db import Database
from engine.reports import buckets
from engine.timetable import JOBS
from engine.vault import Vault
from tests import scenes

from .conftest import Cardtone


def test_jobs_are_listed_with_when_and_how_they_ran(db: Database, cardtone: Cardtone) -> None:
    now = datetime.now(UTC)
    run = jobruns.claim_due(db, JOBS["fees"], ZoneInfo("UTC"), now, "here")
    assert run is not None
    jobruns.fail(db, run, now + timedelta(seconds=2), "The batch June was discarded.")
    lines = {line.split()[0]: line for line in cardtone("jobs", "list").out.splitlines()}
    assert list(lines) == ["Job", *JOBS]
    assert "every 1 h" in lines["fees"]
    assert "failed" in lines["fees"]
    assert "daily at 04:10" in lines["verify"]
    assert "never ran" in lines["verify"]
    shown = cardtone("jobs", "history", "fees")
    assert "failed" in shown.out
    assert "2.0" in shown.out
    assert "The batch June was discarded." in shown.out
    assert cardtone("jobs", "history", "fees", "--json").json["runs"][0]["state"] == "failed"
    assert "It has not run yet." in cardtone("jobs", "history", "verify").out


def test_a_job_is_asked_for_paused_and_continued(db: Database, cardtone: Cardtone) -> None:
    assert "runs as soon as" in cardtone("jobs", "run", "verify", "--reason", "A look").out
    assert cardtone("jobs", "run", "verify").status == 0
    assert [run.state for run in jobruns.history(db, "verify")] == ["asked"]
    assert cardtone("jobs", "pause", "verify").out == "verify is paused.\n"
    assert cardtone("jobs", "pause", "verify").out == "verify was paused already.\n"
    assert "(paused)" in cardtone("jobs", "list").out
    assert cardtone("jobs", "continue", "verify", "--json").json == {
        "job": "verify",
        "paused": False,
        "changed": True,
    }
    unknown = cardtone("jobs", "run", "nonsense")
    assert (unknown.status, unknown.err) == (1, "There is no job named nonsense.\n")


def test_alarms_are_listed_and_cleared(db: Database, cardtone: Cardtone) -> None:
    assert cardtone("alarms", "list").out == "All is well: there is no alarm.\n"
    with db.begin() as session:
        alarms.raise_alarm(session, "lost_calls", "switch:Asterisk", scenes.NOW, calls=3)
    listed = cardtone("alarms", "list")
    assert "switch:Asterisk" in listed.out
    assert "calls 3" in listed.out
    (alarm,) = alarms.open_alarms(db)
    assert cardtone("alarms", "clear", str(alarm.id)).out == f"Alarm {alarm.id} is cleared.\n"
    assert "cleared already" in cardtone("alarms", "clear", str(alarm.id)).out
    assert cardtone("alarms", "clear", "999").err == "There is no such alarm.\n"


def test_reports_are_printed(db: Database, vault: Vault, cardtone: Cardtone) -> None:
    assert cardtone("reports", "traffic").out == "There is nothing in these days.\n"
    assert cardtone("reports", "liability").out == "Nothing is owed.\n"
    card = scenes.card(db, vault, denomination="50.00")
    line = scenes.Line(db, vault, scenes.switch(db))
    line.open(card)
    line.later(121).end(seconds=120)
    buckets.count_everything(db, line.now)
    days = ("--from", "2026-11-01", "--to", "2026-11-30")
    shown = cardtone("reports", "traffic", *days)
    assert shown.out.splitlines()[1].split() == [
        "2026-11-20",
        "USD",
        "1",
        "100.0",
        "%",
        "120",
        "2",
        "0.03",
        "0.00",
    ]
    assert (
        cardtone("reports", "traffic", *days, "--by", "switch", "--json").json["lines"][0]["key"]
        == "Asterisk"
    )
    assert "opening" in cardtone("reports", "funds", *days).out
    assert "There is nothing" in cardtone("reports", "recharges", *days).out
    assert "There is nothing" in cardtone("reports", "failures", *days).out
    assert "USD 49.97 in all" in cardtone("reports", "liability").out
    assert "First used" in cardtone("reports", "stock").out
    assert cardtone("reports", "stock", "--weeks").status == 0
