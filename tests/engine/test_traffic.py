"""The aggregates are the books: whatever happens, any zone's day sums up to what the raw tables say."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text

from engine import settings
from engine.calls.sweep import sweep
from engine.db import Database
from engine.errors import InvalidInput
from engine.funds.recharges import recharge
from engine.reports import buckets, pruning, traffic
from engine.reports.traffic import Span
from engine.schema import Attempt
from engine.stock import custody
from engine.stock.custody import Range
from engine.vault import Vault
from tests import scenes
from tests.proof import scaled
from tests.scenes import USD

UTC_ZONE = ZoneInfo("UTC")
ZONES = [UTC_ZONE, ZoneInfo("Asia/Kathmandu"), ZoneInfo("America/New_York"), ZoneInfo("Australia/Lord_Howe")]
EVER = Span(datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC), UTC_ZONE)


def raw(db: Database, statement: str, **values: Any) -> list[tuple[Any, ...]]:
    with db.begin() as session:
        return [tuple(row) for row in session.execute(text(statement), values)]


def day_of(column: str) -> str:
    return f"({column} AT TIME ZONE :zone)::date"


def assert_buckets_are_the_books(db: Database, zone: ZoneInfo) -> None:
    """Every report by day in a zone, beside the same sum over the raw tables."""
    span = Span(EVER.start, EVER.end, zone)
    calls = raw(
        db,
        f"SELECT day, currency, sum(calls), sum(answered), sum(seconds), sum(charged), sum(loss) FROM ("
        f" SELECT {day_of('ended_at')} AS day, currency, 1 AS calls, (duration_s > 0)::int AS answered,"
        f"  duration_s AS seconds, charged, cost - charged AS loss FROM cdr"
        f" UNION ALL SELECT {day_of('x.at')}, d.currency, 0, (x.duration_s > 0)::int - (d.duration_s > 0)::int,"
        f"  x.duration_s - d.duration_s, x.charged - d.charged, x.cost - x.charged - d.cost + d.charged"
        f"  FROM cdr_correction x JOIN cdr d ON d.id = x.cdr_id"
        f") told GROUP BY 1, 2 ORDER BY 1, 2",
        zone=zone.key,
    )
    lines = traffic.traffic(db, span)
    assert [
        (line.key, line.currency, line.calls, line.answered, line.seconds, line.revenue, line.loss)
        for line in lines
    ] == calls
    entries = raw(
        db,
        f"SELECT {day_of('at')}, currency, count(*), sum(amount) FROM ledger_entry e JOIN card c ON c.id = card_id"
        " GROUP BY 1, 2 ORDER BY 1, 2",
        zone=zone.key,
    )
    assert [
        (line.key, line.currency, line.entries, line.amount) for line in traffic.funds(db, span, "day")
    ] == entries
    payments = raw(
        db,
        f"SELECT {day_of('at')}, currency, count(*), sum(amount), sum(bonus) FROM payment GROUP BY 1, 2 ORDER BY 1, 2",
        zone=zone.key,
    )
    assert [
        (line.key, line.currency, line.payments, line.amount, line.bonus)
        for line in traffic.recharges(db, span, "day")
    ] == payments
    tries = raw(db, f"SELECT {day_of('at')}, sum(times) FROM attempt GROUP BY 1 ORDER BY 1", zone=zone.key)
    assert [(line.key, line.attempts) for line in traffic.failures(db, span, "day")] == tries
    stock: Counter[tuple[str, date]] = Counter()
    for fact in ("sold", "activated", "first_used"):
        for day, cards in raw(
            db,
            f"SELECT {day_of(fact + '_at')}, count(*) FROM card WHERE {fact}_at IS NOT NULL GROUP BY 1",
            zone=zone.key,
        ):
            stock[fact, day] = cards
    flow = traffic.stock_flow(db, span, "day")
    assert stock == Counter(
        {
            (fact, line.key): getattr(line, fact)
            for line in flow
            for fact in ("sold", "activated", "first_used")
            if getattr(line, fact)
        }
    )


class World:
    """Cards of two currencies and some hours in which things happen to them."""

    def __init__(self, db: Database, vault: Vault, seed: int) -> None:
        self.db, self.vault, self.draw = db, vault, random.Random(seed)
        self.now = scenes.NOW - timedelta(days=3)
        self.cards = scenes.batch(db, vault, 6, name="Dollars", now=self.now, release="activation")
        self.cards += scenes.batch(
            db, vault, 4, name="Euros", now=self.now, currency="EUR", deck="Euro", denomination="1.00"
        )
        self.switches = [scenes.switch(db, name) for name in ("Asterisk", "Kamailio")]
        self.refs = 0

    def step(self) -> None:
        self.now += timedelta(seconds=self.draw.randrange(1, 5400))
        card = self.draw.choice(self.cards)
        self.draw.choice((self.call, self.call, self.call, self.pay, self.stock, self.fail))(card)

    def call(self, card: scenes.TestCard) -> None:
        self.refs += 1
        ref = f"call-{self.refs}"
        line = scenes.Line(self.db, self.vault, self.draw.choice(self.switches), self.now)
        destination = self.draw.choice((scenes.BANGLADESH, scenes.BRITAIN))
        if not isinstance(line.authorize(card, destination, ref=ref), scenes.Authorized):
            return
        fate = self.draw.randrange(3)
        seconds = self.draw.randrange(0, 600)
        if fate == 0:  # its end never comes, or comes late
            line.answer(ref)
            line.later(20_000)
            sweep(self.db, line.now)
            if self.draw.random() < 0.8:
                line.later(1200).end(ref, seconds=seconds)
        else:
            line.later(seconds + 1).end(ref, seconds=seconds if fate > 1 or seconds % 2 else 0)
        self.now = line.now

    def pay(self, card: scenes.TestCard) -> None:
        if scenes.facts(self.db, card).released_at is not None:
            recharge(
                self.db,
                card_id=card.id,
                amount=USD("2.00"),
                bonus=self.draw.choice((0, USD("0.10"))),
                actor=scenes.OPERATOR,
                now=self.now,
            )

    def stock(self, card: scenes.TestCard) -> None:
        act = self.draw.choice((custody.mark_sold, custody.activate, custody.hold_back))
        act(self.db, Range(card.id, card.id), scenes.OPERATOR, self.now)

    def fail(self, card: scenes.TestCard) -> None:
        with self.db.begin() as session:
            session.add(
                Attempt(
                    at=self.now,
                    door="http",
                    source=self.draw.choice(("switch:1", "address:192.0.2.1")),
                    reason=self.draw.choice(("wrong_password", "unknown_number")),
                    card_id=card.id,
                    times=self.draw.choice((1, 1, 7)),
                )
            )


@pytest.mark.parametrize("seed", range(scaled(20, 2)))
def test_any_zones_day_sums_up_to_the_books(db: Database, vault: Vault, seed: int) -> None:
    world = World(db, vault, seed)
    for turn in range(scaled(200, 40)):
        world.step()
        if turn % 7 == 0:
            buckets.aggregate(db, world.now)  # now and then, with stops between, and once at the end
    buckets.aggregate(db, world.now)
    buckets.recount(db, world.now)  # activations that were taken back
    for zone in ZONES:
        assert_buckets_are_the_books(db, zone)
    kept = everything(db)
    assert all(kept.values()), "there was something of everything"
    assert any(line.corrected for line in traffic.traffic(db, EVER))
    buckets.aggregate(db, world.now)
    assert everything(db) == kept, "counting again changes nothing"
    buckets.count_everything(db, world.now)
    assert everything(db) == kept


def everything(db: Database) -> dict[str, list[tuple[Any, ...]]]:
    tables = ("traffic_bucket", "funds_bucket", "payment_bucket", "attempt_bucket", "stock_bucket")
    return {table: sorted(raw(db, f"SELECT * FROM {table}"), key=repr) for table in tables}


def test_a_row_that_came_after_its_quarter_was_counted_is_counted_all_the_same(db: Database) -> None:
    def fail(moment: datetime) -> None:
        with db.begin() as session:
            session.add(Attempt(at=moment, door="http", source="switch:1", reason="wrong_password"))

    def counted() -> int:
        return sum(line.attempts for line in traffic.failures(db, EVER))

    now = scenes.NOW
    fail(now - timedelta(days=3))
    assert buckets.aggregate(db, now) == 3 * 96 + 2
    fail(now - timedelta(minutes=14))
    assert buckets.aggregate(db, now + timedelta(minutes=1)) == 2
    assert counted() == 2
    fail(now - timedelta(days=1))
    buckets.aggregate(db, now + timedelta(minutes=2))
    assert counted() == 2
    buckets.recount(db, now + timedelta(minutes=2))
    assert counted() == 3
    # Three days in which nobody counted; and a clock that was an hour ahead meanwhile.
    ahead = now + timedelta(days=3, hours=1)
    fail(now + timedelta(days=1))
    fail(ahead)
    assert buckets.aggregate(db, ahead) == 3 * 96 + 4 + 3 * 4 + 1, "and three hours further back"
    assert counted() == 5
    fail(ahead - timedelta(hours=1))
    buckets.aggregate(db, ahead - timedelta(hours=1))
    assert counted() == 6


def test_what_is_committed_long_after_its_time_is_counted_within_minutes(db: Database, vault: Vault) -> None:
    """As what a bulk command does, all of which bears the time of its beginning."""
    card = scenes.card(db, vault)
    began = scenes.NOW + timedelta(hours=1)
    for minute in range(100):
        buckets.aggregate(db, began + timedelta(minutes=minute))
    recharge(db, card_id=card.id, amount=USD("3.00"), actor=scenes.OPERATOR, now=began)
    counts = [buckets.aggregate(db, began + timedelta(minutes=100 + minute)) for minute in range(6)]
    assert raw(db, "SELECT at, payments, amount FROM payment_bucket") == [(began, 1, USD("3.00"))]
    assert sorted(counts)[:4] == [2, 2, 2, 2], "most looks are short"
    # It was the last thing before a stop of four days, and nothing counted it.
    recharge(db, card_id=card.id, amount=USD("1.00"), actor=scenes.OPERATOR, now=began)
    buckets.aggregate(db, began + timedelta(days=4))
    assert raw(db, "SELECT payments FROM payment_bucket") == [(2,)]


def test_a_recount_reaches_back_to_two_days_before_the_last(db: Database, vault: Vault) -> None:
    card = scenes.card(db, vault)
    now = scenes.NOW + timedelta(days=10)
    buckets.recount(db, now)
    buckets.aggregate(db, now)
    recharge(db, card_id=card.id, amount=USD("3.00"), actor=scenes.OPERATOR, now=now - timedelta(days=1))
    buckets.aggregate(db, now + timedelta(days=5))
    assert raw(db, "SELECT payments FROM payment_bucket") == []
    buckets.recount(db, now + timedelta(days=5))
    assert raw(db, "SELECT payments FROM payment_bucket") == [(1,)]


def test_failed_tries_stay_counted_when_they_are_deleted(db: Database) -> None:
    def keep(days: int) -> None:
        with db.begin() as session:
            settings.put(session, "attempts_days", days)

    def fail(moment: datetime) -> None:
        with db.begin() as session:
            session.add(Attempt(at=moment, door="http", source="switch:1", reason="wrong_password"))

    def counted() -> int:
        return sum(line.attempts for line in traffic.failures(db, EVER))

    now = scenes.NOW
    keep(1)
    for minute in range(0, 60, 10):
        fail(now + timedelta(minutes=minute))
    later = now + timedelta(days=1, minutes=37)
    assert pruning.prune(db, later)["tries"] == 3, "whole quarters, although nobody had counted them before"
    assert counted() == 6
    for count in (buckets.recount, buckets.aggregate, buckets.count_everything):
        count(db, later)
        assert counted() == 6
    # To keep them longer brings none of them back.
    keep(90)
    assert pruning.prune(db, later)["tries"] == 0
    buckets.recount(db, later)
    assert counted() == 6
    fail(now + timedelta(minutes=31))
    buckets.recount(db, later)
    assert counted() == 7, "what is still there is still counted"


def test_traffic_is_grouped_and_its_ratios_are_whole_numbers(db: Database, vault: Vault) -> None:
    card, other = scenes.batch(db, vault, count=2, denomination="50.00")
    line = scenes.Line(db, vault, scenes.switch(db))
    for number, seconds in enumerate((60, 121, 0)):
        line.open(card if number else other, ref=f"b{number}")
        line.later(seconds + 1).end(f"b{number}", seconds=seconds)
    line.open(card, scenes.BRITAIN, ref="gb")
    line.later(40).end("gb", seconds=30)
    buckets.aggregate(db, line.now)
    by_place = traffic.traffic(db, EVER, "destination")
    assert [(one.key, one.calls, one.answered) for one in by_place] == [
        ("Destination 44", 1, 1),
        ("Destination 880", 3, 2),
    ]
    assert (by_place[1].asr_permille, by_place[1].acd_s) == (667, 91)
    assert by_place[1].revenue == USD("0.0453")
    (by_switch,) = traffic.traffic(db, EVER, "switch")
    assert (by_switch.key, by_switch.id, by_switch.calls) == ("Asterisk", line.switch.id, 4)
    (by_batch,) = traffic.traffic(db, EVER, "batch")
    assert by_batch.currency == "USD"
    assert [one.key for one in traffic.traffic(db, EVER, "reseller")] == [None]
    assert not traffic.traffic(db, Span(EVER.start, EVER.end, UTC_ZONE, currency="EUR"))
    assert not traffic.traffic(db, Span(EVER.start, EVER.end, UTC_ZONE, reseller_id=5))
    with pytest.raises(InvalidInput, match="unknown_group"):
        traffic.traffic(db, EVER, "card")


def test_the_hours_and_days_of_a_zone(db: Database) -> None:
    berlin = ZoneInfo("Europe/Berlin")
    night = datetime(2026, 10, 24, 22, 0, tzinfo=UTC)  # the clocks go back at 01:00 UTC
    with db.begin() as session:
        for quarter in range(100):
            moment = night + quarter * timedelta(minutes=15)
            session.add(Attempt(at=moment, door="http", source="switch:1", reason="wrong_password"))
    buckets.aggregate(db, night + timedelta(days=2))
    span = Span(night, night + timedelta(hours=25), berlin)
    (day,) = traffic.failures(db, span, "day")
    assert (day.key, day.attempts) == (date(2026, 10, 25), 100), "a day of 25 hours"
    hours = traffic.failures(db, span, "hour")
    assert [(hour.key, hour.attempts) for hour in hours] == [
        (night + timedelta(hours=n), 4) for n in range(25)
    ]
    assert [line.key for line in traffic.failures(db, span, "source")] == ["switch"]
    (week,) = traffic.failures(db, span, "week")
    assert week.key == date(2026, 10, 19)


def test_what_is_owed_by_currency_batch_and_age(db: Database, vault: Vault) -> None:
    now = scenes.NOW
    old = now - timedelta(days=100)
    first = scenes.batch(db, vault, 3, name="Old", now=old, validity_days=30, validity_from="generation")
    scenes.batch(db, vault, 2, name="Held back", release="activation")
    new = scenes.batch(db, vault, 2, name="New", denomination="1.00")
    custody.activate(db, Range(new[0].id, new[0].id), scenes.OPERATOR, now)
    lines = traffic.liability(db, now)
    assert [(line.batch, line.age_days, line.cards, line.balance, line.expired) for line in lines] == [
        ("New", 0, 2, USD("2.00"), 0),
        ("Old", 91, 3, USD("15.00"), USD("15.00")),
    ]
    assert len(first) == 3


def test_sold_against_activated_tells_what_was_activated_without_being_sold(
    db: Database, vault: Vault
) -> None:
    cards = scenes.batch(db, vault, 5, name="Till", release="activation")
    first = cards[0].id
    custody.mark_sold(db, Range(first, first + 1), scenes.OPERATOR, scenes.NOW)
    custody.activate(db, Range(first + 1, first + 3), scenes.OPERATOR, scenes.NOW + timedelta(days=7))
    (state,) = traffic.stock_state(db)
    assert (state.cards, state.released, state.sold, state.activated, state.first_used) == (5, 3, 2, 3, 0)
    assert state.unsold == 2
    assert traffic.stock_state(db, batch_id=state.batch_id) == [state]
    buckets.aggregate(db, scenes.NOW + timedelta(days=8))
    weeks = traffic.stock_flow(db, EVER)
    assert [(week.key, week.sold, week.activated) for week in weeks] == [
        (date(2026, 11, 16), 2, 0),
        (date(2026, 11, 23), 0, 3),
    ]
    assert datetime.combine(weeks[0].key, time(), UTC).isoweekday() == 1
