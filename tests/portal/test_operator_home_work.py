"""Alarms, background work and the timetable: in words, with what may be done about them, for whom it is."""

from __future__ import annotations

from datetime import timedelta

from engine import alarms, jobruns, work
from engine.actor import CONSOLE
from engine.db import Database
from engine.people import audit, staff
from engine.schema import JobRun, Work
from engine.stock.batches import BatchOrder, discard, order_batch, stop
from engine.timetable import JOBS
from engine.vault import Secret, Vault
from portal.operator.home.words import JOB_TITLES, due_when
from tests import scenes
from tests.portal.conftest import PASSWORD, Visitor, text_of
from tests.scenes import NOW, OPERATOR, USD

MARK = "<img src=x onerror=alert(1)>"


def admin(visitor: Visitor, db: Database, role: str = "admin") -> Visitor:
    staff.add_staff(db, role, f"The {role}", role, Secret(PASSWORD), CONSOLE, NOW)
    other = visitor.application.test_client()
    assert isinstance(other, Visitor)
    other.log_in(role)
    return other


def test_an_alarm_is_told_and_cleared(visitor: Visitor, db: Database) -> None:
    assert "No alarm is open" in text_of(visitor.get("/alarms").text)
    with db.begin() as session:
        for _ in range(2):
            alarms.raise_alarm(session, "lost_calls", f"switch:{MARK}", NOW, calls=1, switch_id=1)
    page = visitor.get("/alarms")
    assert MARK not in page.text
    assert f"The switch {MARK} never said that a call ended" in text_of(page.text)
    assert "2 times" in text_of(page.text)
    form = visitor.get("/alarms/1/clear")
    assert "never said that a call ended" in text_of(form.text)
    for _ in range(2):
        assert visitor.submit("/alarms/1/clear", key="k", reason="Mended").location == "/alarms"
    assert len(audit.search(db, action="alarm.clear").rows) == 1
    assert "cleared 20 Nov 2026, 12:00 by Front desk" in text_of(visitor.get("/alarms?state=cleared").text)
    assert visitor.get("/alarms/2/clear").status_code == 404
    assert visitor.get("/alarms?state=odd").status_code == 400
    auditor = admin(visitor, db, "auditor")
    assert auditor.get("/alarms/1/clear").status_code == 403


def test_cleared_alarms_go_on_by_key(visitor: Visitor, db: Database) -> None:
    with db.begin() as session:
        for number in range(51):
            alarms.raise_alarm(session, "odd", f"thing:{number}", NOW)
            alarms.clear_alarm(session, "odd", f"thing:{number}", OPERATOR, NOW)
    first = visitor.get("/alarms?state=cleared").text
    assert first.count('<li class="sheet">') == 50
    assert "before=2" in first
    assert visitor.get("/alarms?state=cleared&before=2").text.count('<li class="sheet">') == 1


def test_work_is_listed_in_words_with_its_way_on(visitor: Visitor, db: Database, vault: Vault) -> None:
    assert "No background work yet" in text_of(visitor.get("/work").text)
    scenes.deck(db)
    ordered = order_batch(
        db, vault, BatchOrder(f"May {MARK}", 50, USD("5"), "USD", "Standard"), OPERATOR, NOW
    )
    with db.begin() as session:
        session.add(
            Work(
                kind="bulk",
                params={"run_id": 7},
                state="failed",
                error=f"unavailable: It broke {MARK}.",
                created_by="staff:1",
                created_at=NOW,
                finished_at=NOW,
            )
        )
        work.enqueue(session, "of tomorrow", {}, CONSOLE, NOW)
    page = visitor.get("/work")
    assert MARK not in page.text
    text = text_of(page.text)
    for said in (f"Making cards: May {MARK}", "Many cards at once", "Background work", f"It broke {MARK}."):
        assert said in text
    assert f'href="/batches/{ordered.batch_id}/stop"' in page.text
    failed = visitor.get("/work?state=failed").text
    assert "Many cards at once" in failed
    assert "Making cards:" not in failed
    assert "No work is like that" in visitor.get("/work?kind=replay").text
    assert visitor.get("/work?kind=odd").status_code == 400
    one = visitor.get(f"/work/{ordered.work_id}")
    assert f"Making cards: May {MARK}" in text_of(one.text)
    part = visitor.part(f"/work/{ordered.work_id}").text
    assert part.strip().startswith('<div class="state"')
    assert visitor.get("/work/999").status_code == 404
    stop(db, f"May {MARK}", OPERATOR, NOW)
    resume = f'href="/batches/{ordered.batch_id}/resume"'
    assert resume in visitor.get("/work").text
    discard(db, f"May {MARK}", OPERATOR, NOW)
    assert resume not in visitor.get("/work").text, "a discarded batch goes on no more"


def test_work_whose_process_died_waits_for_another(visitor: Visitor, db: Database) -> None:
    with db.begin() as session:
        session.add(
            Work(
                kind="bulk",
                params={},
                state="running",
                created_by="system",
                created_at=NOW - timedelta(hours=1),
                started_at=NOW - timedelta(hours=1),
                claimed_by="gone",
                lease_until=NOW - timedelta(minutes=1),
            )
        )
    text = text_of(visitor.get("/work").text)
    assert "Waiting for another process to go on" in text
    assert "Running" not in text


def test_every_job_is_told_in_words(visitor: Visitor) -> None:
    assert JOB_TITLES.keys() == JOBS.keys()
    text = text_of(visitor.get("/work/timetable").text)
    for name, job in JOBS.items():
        assert JOB_TITLES[name] in text
        assert job.words in text
        assert visitor.get(f"/work/timetable/{name}").status_code == 200
    assert due_when(JOBS["verify"]) == "daily at 04:10"
    assert due_when(JOBS["aggregates"]) == "every minute"
    assert due_when(JOBS["tokens"]) == "every 10 min"
    assert visitor.get("/work/timetable/nothing").status_code == 404


def test_a_job_is_run_paused_and_continued(visitor: Visitor, db: Database) -> None:
    boss = admin(visitor, db)
    place = "/work/timetable/verify"
    for _ in range(2):
        assert boss.submit(f"{place}/run", key="k", reason=MARK).location == place
    assert [run.state for run in jobruns.history(db, "verify")] == ["asked"]
    assert "asked for by The admin" in text_of(boss.get(place).text)
    assert boss.submit(f"{place}/pause", key="p").location == place
    assert "Paused" in text_of(boss.get("/work/timetable").text)
    assert "Let it go on" in boss.get(place).text
    assert boss.submit(f"{place}/continue", key="c").location == place
    assert "Paused" not in text_of(boss.get(place).text)
    assert len(audit.search(db, action="job.").rows) == 3
    assert visitor.get(f"{place}/pause").status_code == 403
    for act in ("run", "pause", "continue"):
        assert boss.submit(f"/work/timetable/nothing/{act}").status_code == 404


def test_the_history_of_a_job(visitor: Visitor, db: Database) -> None:
    with db.begin() as session:
        for day in range(52):
            due = NOW - timedelta(days=day)
            session.add(
                JobRun(
                    job="verify",
                    due_at=due,
                    state="failed" if day == 1 else "done",
                    started_at=due,
                    finished_at=due + timedelta(seconds=75),
                    result={"findings": 0, "cards": 1200},
                    error=MARK if day == 1 else None,
                )
            )
    page = visitor.get("/work/timetable/verify").text
    assert MARK not in page
    text = text_of(page)
    assert "1 min 15 s" in text
    assert "cards 1,200" in text
    assert "findings" not in text
    assert page.count('<th scope="row">') == 50
    older = page.split('rel="next" href="')[1].split('"')[0].replace("&amp;", "&")
    assert visitor.get(older).text.count('<th scope="row">') == 2


def test_who_may_not_see_jobs(visitor: Visitor, db: Database) -> None:
    other = admin(visitor, db, "support")
    for path in ("/alarms", "/work", "/work/1", "/work/timetable", "/work/timetable/verify"):
        assert other.get(path).status_code == 403
