"""When jobs fall due: on the grid of their interval, or once on each local date, whatever the clocks of a zone do."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from engine import jobruns
from engine.db import Database
from engine.errors import InvalidInput, NotFound
from engine.people import alarmdesk, jobdesk
from engine.timetable import JOBS, Job, Turn, find_job, turn_of
from tests import scenes
from tests.processes import run_together
from tests.proof import scaled

UTC_ZONE = ZoneInfo("UTC")
HOURLY = Job("fees", "Hourly.", every_s=3600)
RACERS = scaled(8, 4)


def nightly(at: str) -> Job:
    return Job("verify", "Nightly.", at=time.fromisoformat(at))


def test_an_interval_falls_due_on_its_grid() -> None:
    now = datetime(2026, 3, 29, 1, 59, 59, tzinfo=UTC)
    begin = datetime(2026, 3, 29, 1, tzinfo=UTC)
    assert turn_of(HOURLY, ZoneInfo("Europe/Berlin"), now) == Turn(begin, begin + timedelta(hours=1))


@pytest.mark.parametrize(
    ("zone", "at", "day", "due"),
    [
        # The clocks jump from 2:00 to 3:00; from 3:00 back to 2:00; the first 2:30 counts.
        ("Europe/Berlin", "02:30", "2026-03-29", "2026-03-29T01:30+00:00"),
        ("Europe/Berlin", "02:30", "2026-10-25", "2026-10-25T00:30+00:00"),
        ("Europe/Berlin", "02:30", "2026-10-26", "2026-10-26T01:30+00:00"),
        ("America/New_York", "02:30", "2026-03-08", "2026-03-08T07:30+00:00"),
        ("America/New_York", "01:40", "2026-11-01", "2026-11-01T05:40+00:00"),
        # Half an hour, and at two in the morning.
        ("Australia/Lord_Howe", "02:10", "2026-10-04", "2026-10-03T15:40+00:00"),
        ("Asia/Kathmandu", "00:20", "2026-07-01", "2026-06-30T18:35+00:00"),
    ],
)
def test_a_time_of_day_falls_due_once_where_it_is_skipped_or_comes_twice(
    zone: str, at: str, day: str, due: str
) -> None:
    here = ZoneInfo(zone)
    noon = datetime.combine(date.fromisoformat(day), time(12), here).astimezone(UTC)
    assert turn_of(nightly(at), here, noon).due_at == datetime.fromisoformat(due)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Beirut"])
@pytest.mark.parametrize("at", ["00:20", "02:30", "03:10", "23:50"])
def test_through_a_year_of_minutes_every_local_date_has_one_turn(zone: str, at: str) -> None:
    here, job = ZoneInfo(zone), nightly(at)
    now, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
    turns = []
    while now < end:
        turn = turn_of(job, here, now)
        assert turn.due_at <= now < turn.until
        turns += [turn] if turn not in turns[-1:] else []
        now += timedelta(minutes=17)
    assert [turn.until for turn in turns[:-1]] == [turn.due_at for turn in turns[1:]]
    days = [turn.due_at.astimezone(here).date() for turn in turns]
    assert days == [days[0] + timedelta(days=n) for n in range(len(days))]


def days_run(db: Database, job: Job, zone: ZoneInfo, start: datetime, hours: int) -> list[date]:
    """The local dates on which a process that looks every ten minutes did a job."""
    done = []
    for minute in range(0, hours * 60, 10):
        now = start + timedelta(minutes=minute)
        run = jobruns.claim_due(db, job, zone, now, "here")
        if run is not None:
            assert jobruns.finish(db, run, now, {})
            done.append(run.due_at.astimezone(zone).date())
    return done


@pytest.mark.parametrize(
    ("zone", "start"),
    [
        ("Europe/Berlin", "2026-03-27T12:00+00:00"),
        ("Europe/Berlin", "2026-10-23T12:00+00:00"),
        ("America/New_York", "2026-10-30T12:00+00:00"),
        ("Australia/Lord_Howe", "2026-10-02T12:00+00:00"),
    ],
)
def test_a_daily_job_runs_once_a_day_when_clocks_change(db: Database, zone: str, start: str) -> None:
    done = days_run(db, nightly("02:30"), ZoneInfo(zone), datetime.fromisoformat(start), 96)
    assert done == [done[0] + timedelta(days=n) for n in range(5)]


def test_after_a_stop_of_three_days_a_job_is_caught_up_with_once(db: Database) -> None:
    job, start = nightly("02:30"), scenes.NOW
    assert len(days_run(db, job, UTC_ZONE, start, 1)) == 1
    again = start + timedelta(days=3, hours=5)
    assert days_run(db, job, UTC_ZONE, again, 6) == [again.date()]
    fees = Job("sessions", "Hourly.", every_s=3600)
    days_run(db, fees, UTC_ZONE, start, 2)
    run = jobruns.claim_due(db, fees, UTC_ZONE, again, "here")
    assert run is not None
    assert jobruns.finish(db, run, again, {})
    assert jobruns.claim_due(db, fees, UTC_ZONE, again, "here") is None


@pytest.mark.parametrize("name", [name for name, job in JOBS.items() if job.at is not None])
def test_a_machine_that_is_off_at_night_does_its_daily_jobs_in_the_morning(db: Database, name: str) -> None:
    zone, days = ZoneInfo("Europe/Berlin"), []
    for day in range(5):
        for hour in range(9, 18):
            now = datetime(2026, 11, 20 + day, hour, tzinfo=UTC)
            run = jobruns.claim_due(db, JOBS[name], zone, now, "here")
            if run is not None:
                assert jobruns.finish(db, run, now, {})
                days.append((now.day, now.hour))
    assert days == [(20 + day, 9) for day in range(5)]


@pytest.mark.parametrize("hours", [1, -1])
def test_a_clock_that_is_put_an_hour_on_or_back_does_no_turn_twice(db: Database, hours: int) -> None:
    job, zone = nightly("02:30"), UTC_ZONE
    before = datetime(2026, 11, 20, 2, 0, tzinfo=UTC)
    first = days_run(db, job, zone, before - timedelta(days=1), 25)
    moved = before + timedelta(hours=1 + hours)
    later = days_run(db, job, zone, moved, 48)
    assert [*first, *later] == [
        date(2026, 11, 18) + timedelta(days=n) for n in range(len(first) + len(later))
    ]
    dues = [run.due_at for run in jobruns.history(db, "verify")]
    assert len(set(dues)) == len(dues)


def test_a_change_of_the_zone_gives_a_local_date_no_second_turn(db: Database) -> None:
    job = nightly("03:10")
    now = datetime(2026, 11, 20, 3, 10, tzinfo=UTC)
    assert len(days_run(db, job, UTC_ZONE, now, 1)) == 1
    tokyo = ZoneInfo("Asia/Tokyo")
    assert jobruns.claim_due(db, job, tokyo, now + timedelta(hours=9), "here") is None
    assert jobruns.claim_due(db, job, tokyo, datetime(2026, 11, 20, 18, 10, tzinfo=UTC), "here") is not None


def race(url: str, name: str, hours: int) -> list[datetime]:
    """What one of several schedulers does in some hours that pass at once.

    Their clocks drift apart: a lease of all the hours keeps a slow one from being taken for dead.
    """
    db, claimed = Database(url), []
    for minute in range(hours * 60):
        now = scenes.NOW + timedelta(minutes=minute)
        run = jobruns.claim_due(db, HOURLY, UTC_ZONE, now, name, lease_s=hours * 3600)
        if run is not None:
            claimed.append(run.due_at)
            jobruns.finish(db, run, now, {"by": name})
    db.close()
    return claimed


def test_schedulers_that_race_do_each_turn_once(db: Database) -> None:
    hours = scaled(24, 6)
    claimed = run_together(race, [(db.url, f"racer {n}", hours) for n in range(RACERS)])
    dues = sorted(due for each in claimed for due in each)
    assert len(set(dues)) == len(dues), "no turn is done twice"
    assert set(dues) <= {scenes.NOW + timedelta(hours=n) for n in range(hours)}
    assert [run.state for run in jobruns.history(db, "fees")] == ["done"] * len(dues)


def test_a_run_whose_process_died_is_lost_and_its_turn_is_done_again(db: Database) -> None:
    now = scenes.NOW
    dead = jobruns.claim_due(db, HOURLY, UTC_ZONE, now, "dead", lease_s=60)
    assert dead is not None
    assert jobruns.extend(db, dead, now, 60)
    assert jobruns.claim_due(db, HOURLY, UTC_ZONE, now + timedelta(seconds=59), "heir") is None
    heir = jobruns.claim_due(db, HOURLY, UTC_ZONE, now + timedelta(seconds=60), "heir")
    assert heir is not None
    assert (heir.due_at, heir.lost) == (now + timedelta(seconds=60), 1)
    assert not jobruns.extend(db, dead, now)
    assert not jobruns.finish(db, dead, now, {"cards": 1})
    assert jobruns.finish(db, heir, now + timedelta(seconds=61), {"cards": 1})
    done, lost = jobruns.history(db, "fees")
    assert (lost.state, lost.error) == ("lost", "The process that ran it ended without a word.")
    assert (done.state, done.claimed_by) == ("done", "heir")
    assert jobruns.claim_due(db, HOURLY, UTC_ZONE, now + timedelta(minutes=5), "third") is None


def test_a_run_that_kills_its_process_every_time_is_not_begun_for_ever(db: Database) -> None:
    begun = 0
    for minute in range(59):
        now = scenes.NOW + timedelta(minutes=minute)
        begun += jobruns.claim_due(db, HOURLY, UTC_ZONE, now, "here", lease_s=60) is not None
    assert begun == jobruns.MAX_TRIES
    assert {run.state for run in jobruns.history(db, "fees")} == {"lost"}


def test_a_run_that_was_let_go_is_none_of_the_tries(db: Database) -> None:
    """Somebody restarts the process again and again while the job runs."""
    now = scenes.NOW
    for _ in range(2 * jobruns.MAX_TRIES):
        run = jobruns.claim_due(db, HOURLY, UTC_ZONE, now, "restarted")
        assert run is not None
        assert jobruns.let_go(db, run, now)
        now += timedelta(seconds=1)
    for _ in range(jobruns.MAX_TRIES):
        run = jobruns.claim_due(db, HOURLY, UTC_ZONE, now, "here")
        assert run is not None
        assert jobruns.fail(db, run, now, "No.")
        now += timedelta(seconds=jobruns.AGAIN_S)
    assert jobruns.claim_due(db, HOURLY, UTC_ZONE, now, "here") is None


def test_a_run_that_took_too_long_is_given_up_for_another(db: Database) -> None:
    now, hour = scenes.NOW, timedelta(seconds=HOURLY.longest_s)
    slow = jobruns.claim_due(db, HOURLY, UTC_ZONE, now, "slow")
    assert slow is not None
    assert jobruns.extend(db, slow, now + hour - timedelta(seconds=5))
    assert jobruns.claim_due(db, HOURLY, UTC_ZONE, now + hour, "heir") is None
    heir = jobruns.claim_due(db, HOURLY, UTC_ZONE, now + hour + timedelta(minutes=1), "heir")
    assert heir is not None
    assert jobruns.history(db, "fees")[1].error == "It ran for too long and was given up."


def test_one_run_is_asked_for_at_a_time_and_told_once(db: Database) -> None:
    now = scenes.NOW
    due = jobdesk.run_now(db, job="fees", actor=scenes.OPERATOR, now=now)
    assert jobdesk.run_now(db, job="fees", actor=scenes.OPERATOR, now=now) == due
    assert jobdesk.run_now(db, job="fees", actor=scenes.OPERATOR, now=now + timedelta(seconds=1)) == due
    assert jobruns.asked_jobs(db) == ["fees"]
    run = jobruns.claim_asked(db, "fees", now, "here")
    assert run is not None
    assert jobruns.claim_asked(db, "fees", now, "there") is None
    assert jobdesk.run_now(db, job="fees", actor=scenes.OPERATOR, now=now) == due
    # Its own turn is not had by that: it falls due all the same, at the very same moment.
    assert jobruns.finish(db, run, now, {})
    assert due == turn_of(HOURLY, UTC_ZONE, now).due_at
    own = jobruns.claim_due(db, HOURLY, UTC_ZONE, now, "here")
    assert own is not None
    assert own.due_at == now + timedelta(microseconds=1)
    later = jobdesk.run_now(db, job="fees", actor=scenes.OPERATOR, now=now + timedelta(hours=1))
    assert later == now + timedelta(hours=1)


def test_what_is_not_there_can_be_neither_run_nor_cleared(db: Database) -> None:
    for act in (jobdesk.run_now, jobdesk.pause, jobdesk.go_on):
        with pytest.raises(NotFound, match="job_not_found"):
            act(db, job="nonsense", actor=scenes.OPERATOR, now=scenes.NOW)
    with pytest.raises(NotFound, match="alarm_not_found"):
        alarmdesk.clear(db, alarm_id=1, actor=scenes.OPERATOR, now=scenes.NOW)
    assert find_job("verify") is JOBS["verify"]


@pytest.mark.parametrize("reason", ["x" * 501, "fine\x1b[2Knothing", "a\x00b"])
def test_a_reason_is_a_line_that_can_be_read(db: Database, reason: str) -> None:
    for act in (jobdesk.run_now, jobdesk.pause, jobdesk.go_on):
        with pytest.raises(InvalidInput):
            act(db, job="fees", reason=reason, actor=scenes.OPERATOR, now=scenes.NOW)
    with pytest.raises(InvalidInput):
        alarmdesk.clear(db, alarm_id=1, reason=reason, actor=scenes.OPERATOR, now=scenes.NOW)


def test_every_job_says_what_it_does() -> None:
    for name, job in JOBS.items():
        assert name == job.name
        assert job.words[0].isupper()
        assert job.words.endswith(".")
        assert (job.every_s is None) != (job.at is None)
        assert 60 <= job.longest_s <= 86_400
