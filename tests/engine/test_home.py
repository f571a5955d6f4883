"""The first page's figures against the books themselves, in any zone, however much was counted; and what waits."""

from __future__ import annotations

import dataclasses
import random
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text

from engine import alarms, work
from engine.actor import Actor
from engine.db import Database
from engine.funds import recharges
from engine.people import consents
from engine.permissions import STAFF_ROLES
from engine.reports import alarmwords, buckets, home, today
from engine.reports.today import Figures, Today
from engine.schema import Work
from engine.vault import Vault
from tests import scenes
from tests.scenes import NOW, OPERATOR, USD, Line

ZONES = ("UTC", "Asia/Kathmandu", "America/New_York", "Pacific/Auckland")
LATER = NOW + timedelta(days=9, hours=2, minutes=7, seconds=30)


def nine_days(db: Database, vault: Vault, seed: int) -> None:
    """Calls, some unanswered, and recharges in two currencies over nine days."""
    chance = random.Random(seed)
    scenes.deck(db, {"880": "0.60"})
    scenes.deck(db, {"880": "0.30"}, name="Euro", currency="EUR")
    dollars = scenes.batch(db, vault, 2, "500.00", name="May")
    euros = scenes.batch(db, vault, 2, "500.00", name="Mai", currency="EUR", deck="Euro")
    line = Line(db, vault, scenes.switch(db))
    for number in range(70):
        line.later(chance.randrange(600, 22_000))
        if line.now > LATER - timedelta(minutes=5):
            break
        card = chance.choice([*dollars, *euros])
        line.open(card, ref=f"c{number}")
        talked = chance.choice([0, 30, 90, 200])
        line.later(talked).end(f"c{number}", seconds=talked)
        if number % 5 == 0:
            recharges.recharge(
                db, card_id=card.id, amount=USD("5"), key=f"r{number}", actor=OPERATOR, now=line.now
            )
    line.now = LATER - timedelta(minutes=2)
    line.open(dollars[0], ref="fresh")
    line.later(60).end("fresh", seconds=60)  # in the quarter that is still open


def expected(db: Database, start: datetime, end: datetime) -> dict[str, Figures]:
    """The same from the books alone."""
    with db.begin() as session:
        calls = session.execute(
            text(
                "SELECT currency, count(*), count(*) FILTER (WHERE duration_s > 0), sum(duration_s), sum(charged)"
                " FROM cdr WHERE ended_at >= :start AND ended_at < :end GROUP BY 1"
            ),
            {"start": start, "end": end},
        ).all()
        paid = session.execute(
            text(
                "SELECT currency, count(*), sum(amount) FROM payment WHERE at >= :start AND at < :end GROUP BY 1"
            ),
            {"start": start, "end": end},
        ).all()
    made = {row[0]: Figures(*map(int, row[1:])) for row in calls}
    for currency, number, amount in paid:
        made[currency] = dataclasses.replace(
            made.get(currency, Figures()), recharges=number, recharged=int(amount)
        )
    return made


def shown(found: Today, which: str) -> dict[str, Figures]:
    figures = {one.currency: getattr(one, which) for one in found.currencies}
    return {currency: one for currency, one in figures.items() if one != Figures()}


def test_today_and_a_week_ago_are_what_the_books_say(db: Database, vault: Vault) -> None:
    nine_days(db, vault, 20261120)
    buckets.aggregate(db, LATER - timedelta(minutes=20))
    buckets.aggregate(db, LATER - timedelta(minutes=3))
    for name in ZONES:
        zone = ZoneInfo(name)
        local = LATER.astimezone(zone)
        start = local.replace(hour=0, minute=0, second=0).astimezone(UTC)
        week = timedelta(days=7)
        found = today.today(db, zone, LATER)
        assert found.day == local.date()
        assert shown(found, "now") == expected(db, start, LATER), name
        assert shown(found, "before") == expected(db, start - week, LATER - week), name
        assert found.total.calls == sum(one.calls for one in expected(db, start, LATER).values())
        assert sum(hour.calls for hour in found.hours) == found.total.calls
        whole = expected(db, start - week, start - week + timedelta(days=1))
        assert sum(hour.calls_before for hour in found.hours) == sum(one.calls for one in whole.values())
        for one in found.currencies:
            assert len(one.days) == today.DAYS
            for day, revenue in one.days:
                begin = datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
                told = expected(db, begin, min(begin + timedelta(days=1), LATER))
                assert revenue == told.get(one.currency, Figures()).revenue, (name, day)
    assert found.counted is None


def test_what_nobody_counted_is_read_from_the_books(db: Database, vault: Vault) -> None:
    scenes.deck(db, {"880": "0.60"})
    card = scenes.card(db, vault, name="May")
    line = Line(db, vault, scenes.switch(db))
    line.open(card)
    line.later(60).end(seconds=60)
    line.open(card, ref="live")
    line.answer("live")
    found = today.today(db, ZoneInfo("UTC"), line.now + timedelta(seconds=30))
    assert found.total == Figures(1, 1, 60, USD("0.60"))
    assert [(one.currency, one.calls, one.cost) for one in found.live] == [("USD", 1, USD("0.30"))]
    assert found.cards.first_used == 1
    assert found.total.asr_permille == 1000
    assert found.total.acd_s == 60
    buckets.aggregate(db, line.now)
    later = today.today(db, ZoneInfo("UTC"), line.now + timedelta(hours=27))
    assert later.counted == buckets.quarter_of(line.now), "that nothing counts any more is told"


def test_liability_is_summed_at_once_over_few_cards_and_kept_over_many(
    db: Database, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenes.deck(db)
    scenes.batch(db, vault, 3, name="May")
    scenes.batch(db, vault, 3, name="Held", release="activation")
    assert today.liability_kept(db, NOW) == today.Owed(NOW, (("USD", USD("15")),))
    monkeypatch.setattr(today, "FEW_CARDS", 5)
    assert today.liability_kept(db, NOW) is None
    owed = today.liability(db, NOW)
    scenes.batch(db, vault, 1, name="June")
    assert today.liability_kept(db, NOW + timedelta(minutes=9)) == owed
    assert today.liability_kept(db, NOW + timedelta(minutes=11)) is None


def as_(role: str, number: int = 7) -> Actor:
    return Actor("staff", number, "Somebody", role)


def test_who_hears_of_what(db: Database, vault: Vault) -> None:
    scenes.deck(db)
    (card,) = scenes.batch(db, vault, 1, name="May")
    Line(db, vault, scenes.switch(db)).open(card, one_shot=False)
    with db.begin() as session:
        alarms.raise_alarm(session, "guessing", "door", NOW, more_than_a_minute=60)
        session.execute(text("UPDATE card SET printed_at = :now"), {"now": NOW})
        session.execute(
            text("INSERT INTO job_state (job, paused_at, paused_by) VALUES ('fees', :now, 'system')"),
            {"now": NOW},
        )
    consents.ask(
        db,
        action="card.recharge",
        subject=f"card:{card.serial}",
        facts={"amount": 1},
        reason="Why",
        actor=as_("admin"),
        now=NOW,
    )
    later = NOW + timedelta(hours=1)
    heard = {role: home.waiting(db, as_(role, 8), later) for role in STAFF_ROLES}
    assert [role for role in STAFF_ROLES if heard[role].alarms.count] == ["admin", "operator", "auditor"]
    assert [role for role in STAFF_ROLES if heard[role].paused] == ["admin", "operator", "auditor"]
    assert [role for role in STAFF_ROLES if heard[role].shred.count] == ["admin", "operator"]
    assert [role for role in STAFF_ROLES if heard[role].consents] == ["admin", "finance"]
    assert [role for role in STAFF_ROLES if heard[role].stuck] == ["admin", "operator", "support"]
    assert home.waiting(db, as_("admin", 7), later).consents == 0, "nobody decides what they asked"
    assert home.waiting(db, as_("auditor", 9), NOW).nothing is False


def test_failed_work_waits_until_somebody_saw_to_it(db: Database) -> None:
    with db.begin() as session:
        for kind in ("bulk", "generate"):
            session.add(
                Work(
                    kind=kind,
                    params={},
                    state="failed",
                    error="unavailable: Gone.",
                    created_by="staff:1",
                    created_at=NOW,
                    finished_at=NOW,
                )
            )
    assert home.waiting(db, as_("admin"), NOW).failed.count == 2
    with db.begin() as session:
        alarms.raise_alarm(session, "work_failed", "work:1", NOW, work="bulk", error="unavailable: Gone.")
    waiting = home.waiting(db, as_("admin"), NOW)
    assert (waiting.failed.count, waiting.alarms.count) == (2, 0), "it is told once"
    with db.begin() as session:
        alarms.clear_alarm(session, "work_failed", "work:1", OPERATOR, NOW)
    assert [line.view.id for line in home.waiting(db, as_("admin"), NOW).failed.items] == [2]


def test_work_that_nobody_begins_says_that_nothing_runs(db: Database) -> None:
    with db.begin() as session:
        work.enqueue(session, "bulk", {}, OPERATOR, NOW)
    assert not home.waiting(db, as_("admin"), NOW + timedelta(minutes=4)).asleep
    assert home.waiting(db, as_("admin"), NOW + timedelta(minutes=6)).asleep


def test_every_kind_of_alarm_is_told_in_words(db: Database) -> None:
    raised = {
        "lost_calls": ("switch:West", {"calls": 1, "switch_id": 1}),
        "guessing": ("door", {"more_than_a_minute": 60}),
        "lock_storm": ("door", {"locks": 50, "within_seconds": 600}),
        "account_exhausted": ("account:3", {"account": "Fund", "rule": "Keep", "card": "10000000017"}),
        "auto_recharge_failed": (
            "auto_recharge:2",
            {"rule": "Keep", "card": "10000000017", "error": "locked"},
        ),
        "job_failed": ("job:verify", {"error": "It broke."}),
        "job_hung": ("job:verify", {"since": NOW.isoformat(), "minutes": 9}),
        "work_failed": ("work:9", {"work": "bulk", "error": "unavailable: It broke."}),
        "books": ("x card:10000000017", {"code": "x", "about": "card:10000000017", "detail": "It is off."}),
        "payment_not_credited": (
            "payment:pay_1",
            {"amount": 5_000_000, "currency": "USD", "serial": "10000000017", "reason": "expired"},
        ),
        "payment_unknown": (
            "payment:pi_1",
            {"amount": 5_000_000, "currency": "USD", "checkout": "pay_1"},
        ),
        "refund_not_taken": (
            "payment:pay_1",
            {"amount": 5_000_000, "taken": 2_000_000, "currency": "USD", "serial": "10000000017"},
        ),
        "partitions": ("table:cdr", {"months_ahead": 1}),
    }
    assert raised.keys() == alarmwords.TOLD.keys()
    general = alarmwords.told(_alarm("nobody knows", "x", {})).matter
    for kind, (subject, data) in raised.items():
        told = alarmwords.told(_alarm(kind, subject, data))
        assert told.matter != general, kind
        assert told.matter.plain(str), kind
        assert told.advice.plain(str), kind
        assert alarmwords.told(_alarm(kind, subject, {"odd": 1})).advice.plain(str), kind


def _alarm(kind: str, subject: str, data: dict[str, object]) -> alarms.AlarmView:
    return alarms.AlarmView(1, kind, subject, "warning", data, NOW, NOW, 1, None, None)


def test_the_words_know_every_alarm_that_is_raised() -> None:
    found: set[str] = set()
    root = Path(alarmwords.__file__).parents[2]
    for folder in ("engine", "jobs"):
        for path in (root / folder).rglob("*.py"):
            source = path.read_text()
            found |= set(re.findall(r'raise_alarm\(\s*session,\s*"(\w+)"', source))
            found |= set(re.findall(r'^ALARM = "(\w+)"', source, re.MULTILINE))
            found |= set(re.findall(r'self\.alarm\(\s*db, "(\w+)"', source))
    assert found == alarmwords.TOLD.keys()
