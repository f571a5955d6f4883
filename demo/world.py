"""What the makers of the demo world share: the database, the days that it lives through, and who and what is in it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from sqlalchemy import select

from demo.prices import SEED
from engine import work
from engine.actor import SYSTEM, Actor
from engine.bulk import handler as bulk_handler
from engine.calls.control import Credentials
from engine.db import Database
from engine.money import MICROS
from engine.people.switches import SwitchIdentity
from engine.schema import BatchKey, Card
from engine.stock import generation
from engine.stock.custody import Range
from engine.stock.printing import making as print_making
from engine.stock.printing import runs as print_runs
from engine.vault import Sealer, Secret, Vault

ZONE = ZoneInfo("America/New_York")
"""The operator of the demo world sits there."""
DAYS = 90


@dataclass(frozen=True, slots=True)
class Size:
    """How much of everything: a factor for the cards of each batch, and how many calls in all the days."""

    name: str
    cards: float
    calls: int
    live: int
    threads: int


SIZES = {
    "small": Size("small", 0.1, 260, 6, 2),
    "normal": Size("normal", 1.0, 4_600, 34, 4),
}


@dataclass(frozen=True, slots=True)
class Piece:
    """A card as its holder knows it, and its inner id."""

    id: int
    number: str = field(repr=False)
    password: str = field(repr=False)

    @property
    def credentials(self) -> Credentials:
        """What its holder presents."""
        return Credentials(self.number, Secret(self.password))


@dataclass(frozen=True, slots=True)
class Login:
    """Somebody who may log in: where, as whom, with what. `code_secret` where an app's code is asked for, too."""

    realm: str
    login: str
    name: str
    role: str
    password: Secret
    code_secret: Secret | None = None


@dataclass(slots=True)
class Lot:
    """A batch of the demo world: its name, its cards where somebody knows their passwords, and its ids."""

    name: str
    batch_id: int
    first_id: int
    last_id: int
    cards: list[Piece] = field(default_factory=list)

    @property
    def whole(self) -> Range:
        """All of its cards."""
        return Range(self.first_id, self.last_id)


@dataclass(slots=True)
class World:
    """The demo world while it is made. `begins` is the midnight before its first day, `now` when it meets the clock.

    `files`: the folder in which print runs wait to be fetched.
    """

    db: Database
    vault: Vault
    size: Size
    now: datetime
    say: Callable[[str], None]
    files: Path = Path()
    password: Secret | None = None
    people: dict[str, Actor] = field(default_factory=dict)
    logins: list[Login] = field(default_factory=list)
    switches: list[SwitchIdentity] = field(default_factory=list)
    switch_keys: dict[str, Secret] = field(default_factory=dict)
    resellers: dict[str, int] = field(default_factory=dict)
    accounts: dict[str, int] = field(default_factory=dict)
    lots: dict[str, Lot] = field(default_factory=dict)
    calls: int = 0

    @property
    def begins(self) -> datetime:
        """The first midnight, in the operator's zone."""
        today = self.now.astimezone(ZONE).date()
        return datetime.combine(today - timedelta(days=DAYS), time(0), ZONE).astimezone(UTC)

    def at(self, day: int, hour: float = 9.0) -> datetime:
        """A time of the operator's day: day 0 is the first, `DAYS` is today. Never later than now."""
        date = self.now.astimezone(ZONE).date() - timedelta(days=DAYS - day)
        midnight = datetime.combine(date, time(0), ZONE)
        return min(self.now, (midnight + timedelta(hours=hour)).astimezone(UTC))

    def dice(self, salt: str) -> random.Random:
        """A seeded random for what is no secret: the same salt throws the same."""
        return random.Random(f"{SEED}/{salt}")

    def who(self, login: str) -> Actor:
        """One of the staff by log-in name."""
        return self.people[login]


HANDLERS = {
    generation.GENERATE: generation.run,
    bulk_handler.KIND: bulk_handler.run,
    print_runs.KIND: print_making.make,
}
"""The background work that the demo world does itself."""


def usd(text: str) -> int:
    """Micro-units of whole units and cents, written as `12.50`."""
    units, _, cents = text.partition(".")
    return int(units) * MICROS + int((cents or "0").ljust(2, "0")) * (MICROS // 100)


def run_work(world: World, work_id: int, kind: str, at: datetime) -> None:
    """Do background work here and now, as the jobs process would have done it at `at`."""
    claimed = work.claim(world.db, "demo", [kind], at, work_id=work_id)
    if claimed is None:
        raise RuntimeError(f"work {work_id} ({kind}) is not there to be done")
    result = HANDLERS[kind](world.db, world.vault, claimed, lambda: at)
    work.finish(world.db, claimed, at, result)


def pieces_of(world: World, batch_id: int, count: int) -> list[Piece]:
    """The first `count` cards of a batch with their passwords, opened from their seals as printing does."""
    with world.db.begin() as session:
        key = session.get_one(BatchKey, batch_id)
        if key.wrapped is None:
            raise RuntimeError(f"batch {batch_id} is shredded")
        sealer = Sealer(world.vault.unwrap(key.wrapped, key.master), batch_id)
        query = select(Card.id, Card.number, Card.sealed).where(Card.batch_id == batch_id).order_by(Card.id)
        rows = session.execute(query.limit(count)).all()
        return [
            Piece(row.id, row.number, sealer.open(row.id, row.sealed).decode()) for row in rows if row.sealed
        ]


__all__ = [
    "DAYS",
    "SIZES",
    "SYSTEM",
    "ZONE",
    "Login",
    "Lot",
    "Piece",
    "Size",
    "World",
    "pieces_of",
    "run_work",
    "usd",
]
