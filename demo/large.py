"""A million cards and a million calls, for benchmarks: made by set statements, with books that verify all the same.

The cards come from the engine's own generation, and everything around them (staff, decks, resellers) from the demo
world's makers. Their history is written by `INSERT … SELECT` from series of numbers, since a million calls through the
doors would take an hour. Every figure follows from the card's id, so that balances, entries and calls agree.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from demo.history import STEPS
from demo.making import Made, count, prepare_decks, prepare_months, require_unused
from demo.people import LOCAL, settle_in
from demo.rates import WORLD
from demo.world import SIZES, ZONE, World, run_work, usd
from engine.cards import searchcopy
from engine.db import Database
from engine.people import auditchain
from engine.reports import buckets
from engine.reports.verify import verify
from engine.stock.batches import GENERATE, BatchOrder, order_batch
from engine.vault import Secret, Vault

CARDS = 1_000_000
BATCHES = 20
CHUNK = 50_000
"""Cards whose history is one transaction."""


def make(
    db: Database,
    vault: Vault,
    now: datetime,
    *,
    password: Secret | None = None,
    say: Callable[[str], None] = lambda text: None,
    cards: int = CARDS,
) -> Made:
    """Make the large world in a migrated database, up to `now`: as many calls as `cards`, spread over ninety days.

    Raises `Conflict` ("installation_used") before anything is written.
    """
    require_unused(db)
    world = World(db, vault, SIZES["small"], now, say, password=password)
    prepare_months(db, world.begins, now)
    say("Staff, switches, access numbers, resellers, rate decks.")
    settle_in(world)
    prepare_decks(world)
    _batches(world, cards)
    first, last = _bounds(db)
    for start in range(first, last + 1, CHUNK):
        _history(world, start, min(last, start + CHUNK - 1))
        say(f"{min(last, start + CHUNK - 1) - first + 1:,} of {cards:,} cards have their history.")
    say("Tidying the tables up.")
    with db.connection() as conn:
        conn.execute("SET statement_timeout = 0")
        # In life the ledger is written in the order of time, which is what its search by time counts on.
        conn.execute("CREATE INDEX ledger_by_time ON ledger_entry (at, id)")
        conn.execute("CLUSTER ledger_entry USING ledger_by_time")
        conn.execute("DROP INDEX ledger_by_time")
        for table in ("card", "cdr", "ledger_entry", "card_event", "attempt", "binding", "payment"):
            conn.execute(f"VACUUM ANALYZE {table}")
        conn.execute("RESET statement_timeout")
    say("Search, reports, audit chain.")
    auditchain.extend(db, now)
    searchcopy.refold(db, now)
    buckets.count_everything(db, now)
    say("Checking the books.")
    return Made(world.logins, world.switch_keys, count(db), 0, verify(db, now))


def _batches(world: World, cards: int) -> None:
    """Twenty batches of three denominations, ordered in the first days; a third of them valid for thirty days."""
    each = max(1, cards // BATCHES)
    for n in range(BATCHES):
        at = world.at(0, 12.0) + timedelta(minutes=10 * n)
        units = (5, 10, 20)[n % 3]
        order = BatchOrder(
            name=f"Large_{units}_{n + 1:02}",
            count=each if n < BATCHES - 1 else cards - each * (BATCHES - 1),
            denomination=usd(f"{units}.00"),
            currency="USD",
            deck=WORLD,
            number_length=14,
            validity_days=30 if n % 3 == 0 else 180,
            grace_days=60,
            binding="single" if n % 5 == 4 else "none",
            release="activation" if n == BATCHES - 1 else "generation",
        )
        ordered = order_batch(world.db, world.vault, order, world.who("operations"), at)
        run_work(world, ordered.work_id, GENERATE, at)
        world.say(f"{order.name}: {order.count:,} cards.")


def _bounds(db: Database) -> tuple[int, int]:
    """The first and the last card that have a past; the last batch is held back and has none."""
    with db.connection() as conn:
        row: Any = conn.execute(
            "SELECT min(first_id) AS first, max(last_id) AS last FROM batch WHERE release = 'generation'"
        ).fetchone()
    return int(row.first), int(row.last)


def _history(world: World, first: int, last: int) -> None:
    """The past of a span of cards, in one transaction."""
    resellers: list[int | None] = [None, *sorted(world.resellers.values())]
    with world.db.connection() as conn:
        row: Any = conn.execute(
            "SELECT v.id FROM deck_version v JOIN deck d ON d.id = v.deck_id WHERE d.name = %s ORDER BY v.id LIMIT 1",
            (WORLD,),
        ).fetchone()
    facts = {
        "first": first,
        "last": last,
        "begins": world.begins + timedelta(days=1),
        "now": world.now,
        "version_id": row.id,
        "switches": [switch.id for switch in world.switches],
        "resellers": resellers,
        "access_number": LOCAL,
        "actor": str(world.who("operations")),
        "zone": ZONE.key,
    }
    with world.db.raw() as conn:
        for step in STEPS:
            conn.execute(step, facts)
