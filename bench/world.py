"""A world for the benchmarks of the call path: a deck, and cards that have been used before, with their passwords."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from engine import work
from engine.actor import SYSTEM
from engine.calls.decks import import_deck
from engine.config import Keys
from engine.db import Database
from engine.people.switches import SwitchIdentity, add_switch
from engine.stock import generation
from engine.stock.batches import BatchOrder, order_batch
from engine.vault import Sealer, Vault

PRICE_PER_MINUTE = 1_000
DESTINATION_PREFIXES = [str(prefix) for prefix in range(10, 100)]


def clock() -> datetime:
    """Now, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class World:
    """What a worker needs to make calls: keys, the switch and its key, and (number, password) of every card."""

    url: str
    keys: Keys
    switch: SwitchIdentity
    switch_key: str
    cards: list[tuple[str, str]]


def make(url: str, cards: int) -> World:
    """Build the world with the engine's own commands; every card is rich, used before, and may make 1,000 calls."""
    db = Database(url)
    keys = Keys({1: secrets.token_bytes(32)}, {1: secrets.token_bytes(32)}, secrets.token_bytes(32))
    vault = Vault(keys)
    rows = "".join(f"{prefix},Destination {prefix},0.001\n" for prefix in DESTINATION_PREFIXES)
    data = f"prefix,destination,price\n{rows}".encode()
    import_deck(db, name="Bench", currency="USD", data=data, filename="bench.csv", actor=SYSTEM, now=clock())
    order = BatchOrder(
        name="Bench",
        count=cards,
        denomination=1_000_000_000_000,
        currency="USD",
        deck="Bench",
        concurrency=1000,
    )
    order_batch(db, vault, order, SYSTEM, clock())
    claimed = work.claim(db, "bench", ["generate"], clock())
    assert claimed is not None
    generation.run(db, vault, claimed, clock)
    with db.raw() as conn:
        conn.execute("UPDATE card SET first_used_at = created_at")
        wrapped, master, batch = _one(conn, "SELECT wrapped, master, batch_id FROM batch_key")
        sealer = Sealer(vault.unwrap(wrapped, master), batch)
        found = conn.execute("SELECT id, number, sealed FROM card").fetchall()
    with db.connection() as conn:
        conn.execute("VACUUM ANALYZE card")
    secrets_of = [(number, sealer.open(card_id, sealed).decode()) for card_id, number, sealed in found]
    switch, key = add_switch(db, "bench", SYSTEM, clock())
    db.close()
    return World(url, keys, switch, key.value, secrets_of)


def _one(conn: Any, query: str) -> Any:
    row = conn.execute(query).fetchone()
    assert row is not None
    return row
