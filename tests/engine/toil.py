"""Workers that do what the house does all day and write down each answer they got, until somebody kills them.

A worker notes a deed before it asks the engine and the answer after it came, in a file of its own: what is noted as
answered was acknowledged, and what is only noted may or may not have happened.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from engine import work
from engine.bulk import handler, runs
from engine.bulk.orders import BulkOrder, Listed
from engine.bulk.runs import confirm
from engine.bulk.views import show
from engine.cards.lifecycle import lock, unlock
from engine.config import Keys
from engine.db import Database
from engine.errors import EngineUnavailable
from engine.funds.recharges import adjust, recharge
from engine.people.switches import SwitchIdentity
from engine.refusal import Refusal
from engine.vault import Vault
from tests.processes import preload
from tests.scenes import BANGLADESH, NOW, OPERATOR, Line, TestCard

preload(__name__)

# So that a run of few cards has many chunks to be killed between.
runs.CHUNK = 2
TALK = timedelta(minutes=2)
_PATIENCE_S = 120


@dataclass(frozen=True)
class World:
    """What workers need; it can be sent to another process. `vouchers` are the worker's own."""

    url: str
    keys: Keys
    switch: SwitchIdentity
    cards: list[TestCard]
    locked: list[TestCard]
    in_bulk: list[TestCard]
    vouchers: list[TestCard]


@dataclass(frozen=True)
class Deed:
    """One thing asked of the engine: all that is needed to ask for it again."""

    kind: str
    key: str
    cards: tuple[int, ...] = ()
    amount: int = 0


class Hand:
    """Does deeds. An answer is a plain value, the same one however often the deed is done."""

    def __init__(self, db: Database, world: World) -> None:
        self.db, self.world, self.vault = db, world, Vault(world.keys)
        known = [*world.cards, *world.locked, *world.in_bulk, *world.vouchers]
        self.cards = {card.id: card for card in known}

    def do(self, deed: Deed) -> Any:
        act: Callable[[Deed], Any] = getattr(self, f"_{deed.kind}")
        return act(deed)

    def _line(self, *, late: bool = True) -> Line:
        return Line(self.db, self.vault, self.world.switch, now=NOW + TALK if late else NOW)

    def _open(self, deed: Deed) -> Any:
        card = self.cards[deed.cards[0]]
        said = self._line(late=False).authorize(card, BANGLADESH, ref=deed.key, one_shot=False)
        return str(said.reason) if isinstance(said, Refusal) else "authorized"

    def _answer(self, deed: Deed) -> Any:
        self._line(late=False).answer(deed.key)
        return "answered"

    def _end(self, deed: Deed) -> Any:
        return asdict(self._line().end(deed.key, seconds=deed.amount))

    def _recharge(self, deed: Deed) -> Any:
        said = recharge(self.db, card_id=deed.cards[0], amount=deed.amount, key=deed.key, **_BY)
        return _plain(said)

    def _adjust(self, deed: Deed) -> Any:
        given: dict[str, Any] = {"card_id": deed.cards[0], "amount": deed.amount, "key": deed.key}
        return _plain(adjust(self.db, reason=deed.key, **given, **_BY))

    def _voucher(self, deed: Deed) -> Any:
        card, voucher = (self.cards[card_id] for card_id in deed.cards)
        said = self._line().redeem(card, voucher, key=deed.key)
        assert not isinstance(said, Refusal), said
        return asdict(said)

    def _lock(self, deed: Deed) -> Any:
        return lock(self.db, card_id=deed.cards[0], reason=deed.key, **_BY).changed

    def _unlock(self, deed: Deed) -> Any:
        return unlock(self.db, self.vault, card_id=deed.cards[0], reason=deed.key, **_BY).changed

    def _bulk(self, deed: Deed) -> Any:
        order = BulkOrder("recharge", Listed(deed.cards), {"amount": deed.amount})
        return confirm(self.db, order, OPERATOR, NOW, deed.key)

    def _work(self, deed: Deed) -> Any:
        """Work off a run; True where it was this worker who did the last of it."""
        work_id = show(self.db, deed.amount).work_id
        assert work_id is not None
        claimed = work.claim(self.db, "toil", ["bulk"], NOW, work_id=work_id)
        if claimed is not None:
            try:
                work.finish(self.db, claimed, NOW, handler.run(self.db, self.vault, claimed, lambda: NOW))
            except work.Stopped:
                return False  # an earlier try had finished it, and only the word of it was lost
        return claimed is not None


_BY: dict[str, Any] = {"actor": OPERATOR, "now": NOW}


def _plain(said: Any) -> Any:
    told = {name: value for name, value in asdict(said).items() if name not in ("repeated", "balance_now")}
    return json.loads(json.dumps(told, default=str))


def toil(world: World, name: str, notes: Path, stop: Path) -> None:
    """Do deed after deed until `stop` exists, and insist on each with the same key while the engine is unavailable."""
    db = Database(world.url)
    hand, chance, vouchers = Hand(db, world), random.Random(name), list(world.vouchers)
    out = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(deed: Deed, **more: Any) -> None:
        # At once, to the system: what was written is read even where the writer is killed in the next moment.
        os.write(out, (json.dumps([asdict(deed), more]) + "\n").encode())

    def insist(deed: Deed) -> Any:
        note(deed)
        until = time.monotonic() + _PATIENCE_S
        while True:
            try:
                said = hand.do(deed)
            except EngineUnavailable:
                if time.monotonic() > until:
                    raise
                db.forget_lost_links()
                time.sleep(chance.uniform(0.01, 0.05))
            else:
                note(deed, said=said)
                return said

    turn = 0
    while not stop.exists():
        turn += 1
        _something(world, f"{name}-{turn}", chance, vouchers, insist)
    db.close()


def _something(
    world: World, key: str, chance: random.Random, vouchers: list[TestCard], insist: Callable[[Deed], Any]
) -> None:
    card, drawn = chance.choice(world.cards).id, chance.random()
    if drawn < 0.45:
        if insist(Deed("open", key, (card,))) == "authorized":
            insist(Deed("answer", key))
            insist(Deed("end", key, amount=chance.randint(1, 50)))
    elif drawn < 0.65:
        insist(Deed("recharge", key, (card,), chance.randint(1, 2_000_000)))
    elif drawn < 0.8:
        insist(Deed("adjust", key, (card,), chance.choice([-1, 1]) * chance.randint(1, 100_000)))
    elif drawn < 0.88 and vouchers:
        insist(Deed("voucher", key, (card, vouchers.pop().id)))
    elif drawn < 0.95:
        locked = chance.choice(world.locked).id
        insist(Deed("lock", key, (locked,)))
        insist(Deed("unlock", key, (locked,)))
    else:
        cards = sorted(card.id for card in chance.sample(world.in_bulk, 7))
        run_id = insist(Deed("bulk", key, tuple(cards), chance.randint(1, 10_000)))
        insist(Deed("work", key, amount=run_id))


def read(notes: Path) -> Iterator[tuple[Deed, bool, Any]]:
    """The deeds of a worker in their order: what was asked, whether it was answered, and how."""
    told: dict[Deed, Any] = {}
    for line in notes.read_text().split("\n")[:-1]:
        given, more = json.loads(line)
        deed = Deed(**{**given, "cards": tuple(given["cards"])})
        told[deed] = more or told.get(deed)
    for deed, more in told.items():
        yield deed, bool(more), (more or {}).get("said")
