"""Making the demo world from an installation that nobody has worked with yet, and saying what is in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from demo import life, night, rates
from demo.people import settle_in
from demo.rates import AMERICAS, EUROPE, WORLD
from demo.world import DAYS, SIZES, Login, World
from engine.calls.decks import import_deck
from engine.cards import searchcopy
from engine.db import Database
from engine.errors import Conflict
from engine.migrations.partitions import PARTITIONED, ensure_partition, month_start
from engine.people import auditchain
from engine.reports import buckets
from engine.reports.verify import Finding, verify
from engine.vault import Secret, Vault

_USED = {
    **{
        table: f"SELECT 1 FROM {table} LIMIT 1"
        for table in ("batch", "deck", "switch", "reseller", "access_number", "account")
    },
    "staff": "SELECT 1 FROM staff OFFSET 1 LIMIT 1",
    "audit": "SELECT 1 FROM audit WHERE action NOT IN ('staff.add', 'staff.log_in') LIMIT 1",
}
"""What tells for each table that somebody has worked here. An older installation may not have all of them."""


@dataclass(frozen=True, slots=True)
class Made:
    """What stands now. `findings`: what is wrong with the books, which is nothing."""

    logins: list[Login]
    switch_keys: dict[str, Secret]
    counts: dict[str, int]
    live_calls: int
    findings: list[Finding]


def require_unused(db: Database) -> None:
    """Raise `Conflict` ("installation_used") where somebody has worked here: nobody's books get a demo into them.

    For an installation of any version, or none yet.
    """
    with db.connection() as conn:
        for table, used in _USED.items():
            there: Any = conn.execute("SELECT to_regclass(%s) AS name", [table]).fetchone()
            if there.name is not None and conn.execute(used).fetchone() is not None:
                raise Conflict("installation_used")


def make(
    db: Database,
    vault: Vault,
    now: datetime,
    files: Path,
    *,
    size: str = "normal",
    password: Secret | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Made:
    """Make the world in a migrated database, up to `now`; `password` is everybody's, or each gets a random one.

    `files`: the folder in which print runs wait to be fetched, as the portal has it.

    Raises `Conflict` ("installation_used") before anything is written.
    """
    require_unused(db)
    world = World(db, vault, SIZES[size], now, say, files, password)
    prepare_months(db, world.begins, now)
    say("Staff, switches, access numbers, resellers.")
    settle_in(world)
    say("Rate decks.")
    prepare_decks(world)
    lived = life.live(world)
    live_calls = life.go_on(lived)
    night.look_at_alarms(world)
    say("Search, reports, audit chain.")
    auditchain.extend(db, now)
    searchcopy.fold(db, now)
    searchcopy.refold(db, now)
    buckets.count_everything(db, now)
    say("Checking the books.")
    return Made(world.logins, world.switch_keys, count(db), live_calls, verify(db, now))


def prepare_months(db: Database, begins: datetime, now: datetime) -> None:
    """The partitions of the past months, so that its rows don't all lie in the default one."""
    with db.engine.begin() as connection:
        for table in PARTITIONED:
            month = month_start(begins, -1)
            while month <= now:
                ensure_partition(connection, table, month)
                month = month_start(month, 1)


def prepare_decks(world: World) -> None:
    """The rate decks and their versions, past, in force and to come."""
    operations, first = world.who("operations"), world.at(0, 11.0)
    coming = (world.now + timedelta(days=9)).date()

    def load(name: str, currency: str, data: bytes, file: str, now: datetime, **more: Any) -> None:
        import_deck(
            world.db,
            name=name,
            currency=currency,
            data=data,
            filename=file,
            actor=operations,
            now=now,
            **more,
        )

    load(WORLD, "USD", rates.world_csv(), "world-1.csv", first, timezone="America/New_York")
    load(AMERICAS, "USD", rates.americas_csv(), "americas-1.csv", first)
    load(EUROPE, "EUR", rates.europe_csv(), "europe.csv", first, rounding="up")
    if world.size.name != "small":
        dearer = rates.world_csv(dearer=1.12, salt="second")
        load(WORLD, "USD", dearer, "world-2.csv", first, effective_from=world.at(40).date())
    later = rates.americas_csv(dearer=0.9, salt="next")
    load(AMERICAS, "USD", later, "americas-2.csv", world.at(DAYS), effective_from=coming)


def count(db: Database) -> dict[str, int]:
    """How many there are of what a visitor will look for."""
    tables = (
        "batch",
        "card",
        "cdr",
        "call",
        "attempt",
        "ledger_entry",
        "payment",
        "deck_rate",
        "audit",
        "alarm",
    )
    with db.connection() as conn:
        found = {}
        for table in tables:
            row: Any = conn.execute(f"SELECT count(*) AS found FROM {table}").fetchone()
            found[table] = row.found
    return found
