"""What the jobs do: calls without end, breaches of the books, work that failed, tables of coming months, pruning."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import func, select, text

from engine import alarms, jobruns, limits, work
from engine.actor import CONSOLE, Actor
from engine.cards import lifecycle, phones
from engine.db import Database
from engine.errors import Conflict
from engine.migrations.partitions import ensure_partition, month_start
from engine.people import alarmdesk, sessions
from engine.reports import pruning
from engine.schema import Attempt, Call, CardToken, Cdr
from engine.timetable import JOBS
from engine.vault import Vault
from jobs import tasks
from tests import scenes


def at(moment: datetime) -> Callable[[], datetime]:
    """A clock that stands."""
    return lambda: moment


def open_alarms(db: Database, kind: str) -> dict[str, alarms.AlarmView]:
    return {alarm.subject: alarm for alarm in alarms.open_alarms(db) if alarm.kind == kind}


def watched(**counts: int) -> dict[str, int]:
    """What a look around tells: nothing new, but for these."""
    return {"failed": 0, "lost": 0, "hung": 0, "mended": 0, **counts}


def count(db: Database, table: str) -> int:
    with db.begin() as session:
        return session.scalar(text(f"SELECT count(*) FROM {table}")) or 0


def test_the_sweep_ends_calls_without_end_and_alarms_for_their_switch(db: Database, vault: Vault) -> None:
    card = scenes.card(db, vault)
    switch = scenes.switch(db)
    scenes.Line(db, vault, switch).open(card)
    assert tasks.sweep_calls(db, at(scenes.NOW)) == {"settled": 0, "voided": 0, "failed": 0}
    assert not open_alarms(db, "lost_calls")
    later = scenes.NOW + timedelta(days=1)
    assert tasks.sweep_calls(db, at(later)) == {"settled": 0, "voided": 1, "failed": 0}
    alarm = open_alarms(db, "lost_calls")["switch:Asterisk"]
    assert (alarm.data, alarm.opened_at) == ({"calls": 1, "switch_id": switch.id}, later)
    with db.begin() as session:
        assert session.scalar(select(func.count()).select_from(Call)) == 0
        assert session.scalar(select(func.count()).select_from(Cdr)) == 1
    assert scenes.facts(db, card).held == 0


@pytest.mark.books_broken
def test_a_breach_of_the_books_is_an_alarm_and_locks_its_card_once(db: Database, vault: Vault) -> None:
    wrong, right = scenes.batch(db, vault, count=2)
    now = scenes.NOW
    assert tasks.verify_books(db, at(now))["findings"] == 0
    with db.begin() as session:
        session.execute(text("UPDATE card SET balance = balance + 1 WHERE id = :id"), {"id": wrong.id})
    found = tasks.verify_books(db, at(now))
    assert (found["findings"], found["locked"], found["cards"]) == (1, 1, 2)
    (alarm,) = open_alarms(db, "books").values()
    assert (alarm.subject, alarm.severity) == (f"balance card:{wrong.serial}", "critical")
    assert "but its entries sum to" in alarm.data["detail"]
    facts = scenes.facts(db, wrong)
    assert (facts.locked_by, scenes.facts(db, right).locked_at) == ("system", None)
    # Somebody looks into it and lets the card be used meanwhile: the next check doesn't lock it again.
    lifecycle.unlock(db, vault, card_id=wrong.id, actor=scenes.OPERATOR, now=now)
    assert tasks.verify_books(db, at(now + timedelta(days=1)))["locked"] == 0
    assert scenes.facts(db, wrong).locked_at is None
    assert open_alarms(db, "books")[alarm.subject].times == 2
    # Cleared, and still wrong: that is a new one.
    alarmdesk.clear(db, alarm_id=alarm.id, actor=scenes.OPERATOR, now=now)
    assert tasks.verify_books(db, at(now + timedelta(days=2)))["locked"] == 1


def test_failed_work_is_an_alarm_until_it_is_done_after_all(db: Database) -> None:
    now = scenes.NOW
    with db.begin() as session:
        work_id = work.enqueue(session, "count", {}, CONSOLE, now)
    claimed = work.claim(db, "test", ["count"], now)
    assert claimed is not None
    assert tasks.watch(db, at(now)) == watched()
    work.fail(db, claimed, Conflict("batch_discarded", name="June"), now)
    assert tasks.watch(db, at(now)) == watched(failed=1)
    assert tasks.watch(db, at(now)) == watched(), "told once"
    alarm = open_alarms(db, "work_failed")[f"work:{work_id}"]
    assert alarm.data == {"work": "count", "error": "batch_discarded: The batch June was discarded."}
    assert alarmdesk.clear(db, alarm_id=alarm.id, reason="Seen", actor=scenes.OPERATOR, now=now)
    assert not alarmdesk.clear(db, alarm_id=alarm.id, actor=scenes.OPERATOR, now=now)
    assert tasks.watch(db, at(now)) == watched(), "cleared is cleared"
    with db.begin() as session:
        work.resume(session, work_id, CONSOLE, now)
    again = work.claim(db, "test", ["count"], now)
    assert again is not None
    later = now + timedelta(minutes=1)
    work.fail(db, again, Conflict("batch_discarded", name="June"), later)
    assert tasks.watch(db, at(later)) == watched(failed=1), "it failed again"
    with db.begin() as session:
        work.resume(session, work_id, CONSOLE, now)
    assert tasks.watch(db, at(later)) == watched(mended=1)
    assert not open_alarms(db, "work_failed")


def test_a_job_that_nobody_could_end_is_an_alarm(db: Database) -> None:
    now = scenes.NOW
    for minute in range(jobruns.MAX_TRIES):
        at_work = now + timedelta(minutes=minute)
        assert jobruns.claim_due(db, JOBS["fees"], ZoneInfo("UTC"), at_work, "dead", lease_s=60) is not None
        assert tasks.watch(db, at(at_work)) == watched(), "somebody is at it"
    now += timedelta(minutes=10)
    assert jobruns.claim_due(db, JOBS["fees"], ZoneInfo("UTC"), now, "heir") is None
    assert tasks.watch(db, at(now))["lost"] == 0, "it may yet be begun again"
    later = now + timedelta(minutes=5)
    assert tasks.watch(db, at(later))["lost"] == 1
    assert open_alarms(db, "job_failed")["job:fees"].severity == "warning"
    assert tasks.watch(db, at(later))["lost"] == 0, "told once"


def test_a_job_that_was_let_go_is_no_alarm(db: Database) -> None:
    """The machine was switched off in its midst, and goes on with it whenever it is on again."""
    run = jobruns.claim_due(db, JOBS["fees"], ZoneInfo("UTC"), scenes.NOW, "here")
    assert run is not None
    assert jobruns.let_go(db, run, scenes.NOW)
    assert tasks.watch(db, at(scenes.NOW + timedelta(days=1))) == watched()


def test_a_job_that_hangs_is_an_alarm_until_its_run_is_over(db: Database) -> None:
    job, zone, now = JOBS["verify"], ZoneInfo("UTC"), scenes.NOW
    run = jobruns.claim_due(db, job, zone, now, "here")
    assert run is not None
    late = now + timedelta(seconds=job.longest_s)
    for hour in range(1, job.longest_s // 3600 + 1):
        assert jobruns.extend(db, run, now + timedelta(hours=hour))
    assert tasks.watch(db, at(late - timedelta(seconds=1))) == watched()
    assert tasks.watch(db, at(late)) == watched(hung=1)
    alarm = open_alarms(db, "job_hung")["job:verify"]
    assert alarm.data == {"since": now.isoformat(), "minutes": job.longest_s // 60}
    assert tasks.watch(db, at(late + timedelta(hours=1))) == watched(), "told once"
    alarmdesk.clear(db, alarm_id=alarm.id, actor=scenes.OPERATOR, now=late)
    assert tasks.watch(db, at(late + timedelta(hours=2))) == watched(), "cleared is cleared"
    heir = jobruns.claim_due(db, job, zone, late + timedelta(hours=2), "heir")
    assert heir is not None, "its process no longer kept it"
    over = late + timedelta(hours=2, seconds=job.longest_s)
    assert tasks.watch(db, at(over)) == watched(hung=1), "another run, another alarm"
    assert jobruns.finish(db, heir, over, {})
    tasks.watch(db, at(over))
    assert not open_alarms(db, "job_hung")


def test_the_tables_of_the_coming_months_are_made(db: Database) -> None:
    future = month_start(datetime.now(UTC), 20)
    tasks.make_partitions(db, at(future))
    tasks.make_partitions(db, at(future))
    with db.begin() as session:
        for table in ("cdr", "attempt"):
            name = f"{table}_{month_start(future, 3):%Y_%m}"
            assert session.scalar(text("SELECT to_regclass(:name)"), {"name": name}) is not None
    assert not open_alarms(db, "partitions")


def test_an_alarm_tells_when_the_tables_of_coming_months_cannot_be_made(db: Database) -> None:
    future = month_start(datetime.now(UTC), 20)
    with db.begin() as session:
        session.execute(text("ALTER TABLE cdr RENAME TO cdr_elsewhere"))
    with pytest.raises(Exception, match="cdr"):
        tasks.make_partitions(db, at(future))
    with db.begin() as session:
        session.execute(text("ALTER TABLE cdr_elsewhere RENAME TO cdr"))
    assert open_alarms(db, "partitions")["table:cdr"].data == {"months_ahead": 0}
    tasks.make_partitions(db, at(future))
    assert not open_alarms(db, "partitions")


def test_dead_tokens_go_and_those_of_live_calls_stay(db: Database, vault: Vault) -> None:
    first, second = scenes.batch(db, vault, count=2)
    line = scenes.Line(db, vault, scenes.switch(db))
    idle = line.authenticate(first)
    calling = line.authenticate(second)
    line.open(scenes.Credentials(token=calling.card_token), ref="live")
    clock = at(scenes.NOW + timedelta(hours=2))
    assert tasks.prune_tokens(db, at(scenes.NOW + timedelta(minutes=59))) == {"deleted": 0, "phones": 0}
    assert tasks.prune_tokens(db, clock) == {"deleted": 1, "phones": 0}
    with db.begin() as session:
        kept = session.scalars(select(CardToken.card_id)).all()
    assert list(kept) == [second.id]
    assert idle.card_token != calling.card_token


def test_phones_that_waited_a_day_in_vain_go(db: Database, vault: Vault) -> None:
    card = scenes.card(db, vault, binding="single")
    holder = Actor("cardholder", card.id, card.serial)
    phones.add_phone(db, card_id=card.id, caller="+491711234567", actor=holder, now=scenes.NOW)
    assert tasks.prune_tokens(db, at(scenes.NOW + timedelta(hours=23)))["phones"] == 0
    assert tasks.prune_tokens(db, at(scenes.NOW + timedelta(hours=24)))["phones"] == 1


def test_old_failures_and_log_ins_that_are_over_go(db: Database) -> None:
    now = scenes.NOW
    with db.begin() as session:
        for number in range(3):
            limits.count_failure(session, bytes([number]), now, free=3, first_delay_s=2, max_delay_s=10)
    sessions.open_session(db, "staff", 1, None, now)
    assert tasks.prune_failures(db, at(now)) == {"deleted": 0}
    assert tasks.prune_sessions(db, at(now)) == {"deleted": 0}
    later = at(now + timedelta(days=31))
    assert tasks.prune_failures(db, later) == {"deleted": 3}
    assert tasks.prune_sessions(db, later) == {"deleted": 1}


def attempts(db: Database, *days_ago: int) -> None:
    with db.begin() as session:
        for days in days_ago:
            moment = scenes.NOW - timedelta(days=days)
            session.add(Attempt(at=moment, door="http", source="switch:1", reason="wrong_password"))


def test_failed_tries_go_by_whole_months_and_the_rest_by_rows(db: Database) -> None:
    for months in range(-6, 1):
        with db.engine.begin() as connection:
            ensure_partition(connection, "attempt", month_start(scenes.NOW, months))
    attempts(db, 0, 89, 91, 120, 150, 170, 400)
    told = pruning.prune(db, scenes.NOW)
    assert told["tries"] == 2, "of the month that is cut, and of the one that never had a table"
    assert told["months_of_tries"] == 3
    assert count(db, "attempt") == 2
    assert not any(pruning.prune(db, scenes.NOW).values())


def test_work_and_runs_that_are_over_go_and_what_a_page_tells_of_stays(db: Database, vault: Vault) -> None:
    now, old = scenes.NOW, scenes.NOW - timedelta(days=31)
    scenes.batch(db, vault, now=old)
    with db.begin() as session:
        for _ in range(3):
            work.enqueue(session, "count", {}, CONSOLE, old)
    for moment in (old, now):
        claimed = work.claim(db, "test", ["count"], moment)
        assert claimed is not None
        work.finish(db, claimed, moment)
    before = count(db, "work")
    assert tasks.prune(db, at(now))["work"] == 1
    assert count(db, "work") == before - 1, "queued, lately done, and of a batch"
    for days in (40, 35, 1):
        jobruns.sum_up(db, "sweep", now - timedelta(days=days), "here", 0.1, {"settled": 1})
    jobruns.sum_up(db, "expiry", now - timedelta(days=40), "here", 0.1, {"cards": 1})
    assert tasks.prune(db, at(now))["runs"] == 2
    assert len(jobruns.history(db, "sweep")) == len(jobruns.history(db, "expiry")) == 1


def test_answers_to_repeated_requests_are_kept_for_sixty_days(db: Database) -> None:
    with db.begin() as session:
        for key, days in (("old", 61), ("young", 59)):
            values: dict[str, Any] = {"key": key, "at": scenes.NOW - timedelta(days=days)}
            session.execute(
                text(
                    "INSERT INTO idempotent_request (scope, key, fingerprint, answer, at)"
                    " VALUES ('recharge', :key, '', '{}', :at)"
                ),
                values,
            )
    assert tasks.prune(db, at(scenes.NOW))["answers"] == 1
    assert count(db, "idempotent_request") == 1
