"""What was acknowledged is there: however often workers are killed and however often the database crashes."""

from __future__ import annotations

import logging
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from engine import embedded, work
from engine.bulk import handler
from engine.bulk.views import show
from engine.calls.sweep import sweep
from engine.config import Config, Keys
from engine.db import Database
from engine.migrations import upgrade
from engine.reports.verify import verify
from engine.vault import Vault
from portal import create_app
from tests import scenes
from tests.engine.toil import Deed, Hand, World, read, toil
from tests.portal.conftest import config_for
from tests.portal.switches import Switch, call_of, code, proof
from tests.processes import start
from tests.proof import scaled
from tests.scenes import NOW

LATER = NOW + timedelta(hours=6)
log = logging.getLogger(__name__)


@dataclass
class Crew:
    """Workers side by side, each with a file of notes; one that was killed is followed by a new one."""

    world: World
    folder: Path
    each: int
    lives: int = 0
    working: list[BaseProcess] = field(default_factory=list)

    @property
    def stop(self) -> Path:
        return self.folder / "stop"

    def begin(self) -> BaseProcess:
        """Start one more worker, with vouchers that nobody else has."""
        self.lives += 1
        mine = self.world.vouchers[self.each * (self.lives - 1) : self.each * self.lives]
        name = f"life-{self.lives}"
        own = replace(self.world, vouchers=mine)
        process = start(toil, own, name, self.folder / f"{name}.notes", self.stop)
        self.working.append(process)
        return process

    def kill(self, process: BaseProcess) -> None:
        process.kill()
        process.join(60)
        assert process.exitcode == -signal.SIGKILL
        self.working.remove(process)

    def finish(self) -> None:
        """Let all come to the end of what they do."""
        self.stop.touch()
        for process in self.working:
            process.join(120)
            assert process.exitcode == 0
        self.working.clear()

    def deeds(self) -> Iterator[tuple[Deed, bool, Any]]:
        for notes in sorted(self.folder.glob("*.notes")):
            yield from read(notes)

    def wait(self, size: int) -> None:
        """Until so many bytes more are noted: somebody gets on."""
        enough = self._noted() + size
        _until(lambda: self._noted() >= enough)

    def _noted(self) -> int:
        return sum(notes.stat().st_size for notes in self.folder.glob("*.notes"))


@contextmanager
def crew_of(world: World, folder: Path, each: int) -> Iterator[Crew]:
    """A crew of which nobody is left afterwards."""
    folder.mkdir()
    crew = Crew(world, folder, each)
    try:
        yield crew
    finally:
        for process in crew.working:
            process.kill()
            process.join(60)


def furnish(db: Database, keys: Keys, vouchers: int) -> World:
    vault = Vault(keys)
    scenes.deck(db, {"880": "0.60"})
    scenes.setting(db, "slice_s", 60)
    order: dict[str, Any] = {"validity_from": "generation", "concurrency": 1_000}
    cards = scenes.batch(db, vault, 12, "900.00", **order)
    locked = scenes.batch(db, vault, 6, "5.00", name="Locked", **order)
    in_bulk = scenes.batch(db, vault, 20, "5.00", name="In bulk", **order)
    papers = scenes.vouchers(db, vault, vouchers, "1.00", validity_from="generation")
    return World(db.url, keys, scenes.switch(db), cards, locked, in_bulk, papers)


# --- what must be found afterwards ---


def lost(db: Database, deeds: list[tuple[Deed, bool, Any]]) -> list[Deed]:
    """The deeds that were acknowledged and are not in the database exactly once."""
    with db.begin() as session:

        def table(sql: str) -> list[tuple[Any, ...]]:
            return [tuple(row) for row in session.execute(text(sql))]

        ended = Counter(table("SELECT call_ref, charged FROM cdr"))
        calls = Counter(ref for (ref,) in table("SELECT call_ref FROM call"))
        calls.update(ref for ref, _ in ended.elements())
        payments = table("SELECT idempotency_key, id, card_id, amount FROM payment")
        # Before the key may stand what it is a key of.
        paid = Counter(((key or "").rpartition(":")[2], *more) for key, *more in payments)
        redeemed = Counter(
            table("SELECT voucher_id, card_id, amount FROM payment WHERE voucher_id IS NOT NULL")
        )
        adjusted = Counter(table("SELECT idempotency_key, card_id, amount FROM ledger_entry"))
        events = Counter(table("SELECT kind, card_id, data ->> 'reason' FROM card_event"))
        runs = Counter(table("SELECT idempotency_key, id FROM bulk_run"))
        worked = Counter(
            table("SELECT id, changed FROM bulk_run WHERE finished_at IS NOT NULL AND cards = changed")
        )
    times = {
        "open": lambda deed, said: calls[deed.key] if said == "authorized" else 1,
        "answer": lambda deed, said: calls[deed.key],
        "end": lambda deed, said: ended[deed.key, said["charged"]] if calls[deed.key] == 1 else 0,
        "recharge": lambda deed, said: paid[deed.key, said["payment_id"], deed.cards[0], deed.amount],
        "adjust": lambda deed, said: adjusted[f"adjust:{deed.key}", deed.cards[0], deed.amount],
        "voucher": lambda deed, said: redeemed[deed.cards[1], deed.cards[0], said["credited"]],
        # Whoever found the card so already has nothing to find; nor who asked again after a lost link.
        "lock": lambda deed, said: events["lock", deed.cards[0], deed.key] or not said,
        "unlock": lambda deed, said: events["unlock", deed.cards[0], deed.key] or not said,
        "bulk": lambda deed, said: runs[deed.key, said],
        "work": lambda deed, said: worked[deed.amount, 7] or not said,
    }
    return [deed for deed, acked, said in deeds if acked and int(times[deed.kind](deed, said)) != 1]


def check_all(db: Database, crew: Crew) -> Counter[str]:
    """Everything acknowledged is there once, asking again changes nothing, and what was left open comes to an end."""
    deeds = list(crew.deeds())
    acknowledged = Counter(deed.kind for deed, acked, _ in deeds if acked)
    unanswered = sum(not acked for _, acked, _ in deeds)
    log.info("%d acknowledged, %d unanswered: %s", acknowledged.total(), unanswered, dict(acknowledged))
    assert lost(db, deeds) == []
    hand = Hand(db, replace(crew.world, url=db.url))
    _work_off(db, hand.vault)
    keyed = [one for one in deeds if one[0].kind in ("end", "recharge", "adjust", "voucher", "bulk")]
    before = _state(db)
    known = [(deed, said) for deed, acked, said in keyed if acked]
    for deed, said in random.Random(1).sample(known, min(len(known), scaled(4_000, 300))):
        assert hand.do(deed) == said, deed
    assert _state(db) == before
    # What was asked without an answer counts once, whether it had counted or not.
    again = [(deed, True, hand.do(deed)) for deed, acked, _ in keyed if not acked]
    assert lost(db, again) == []
    settled = _state(db)
    assert [hand.do(deed) for deed, _, _ in again] == [said for _, _, said in again]
    assert _state(db)[:3] == settled[:3]
    _work_off(db, hand.vault)
    while sweep(db, LATER, limit=500).switches:
        pass
    assert lost(db, [one for one in (*deeds, *again) if one[1]]) == []
    with db.begin() as session:
        opened = session.execute(text("SELECT count(*), count(DISTINCT call_ref) FROM cdr")).one()
        assert opened[0] == opened[1] >= acknowledged["end"]
        left = session.execute(
            text("SELECT sum(held), sum(live_calls), (SELECT count(*) FROM call) FROM card")
        )
        assert tuple(left.one()) == (0, 0, 0)
    _check_runs(db)
    assert verify(db, LATER) == []
    return acknowledged


def _state(db: Database) -> tuple[int, ...]:
    """What moves when anything counts."""
    with db.begin() as session:
        sql = "SELECT (SELECT count(*) FROM ledger_entry), (SELECT count(*) FROM payment), sum(balance) FROM card"
        return tuple(session.execute(text(sql)).one())


def _work_off(db: Database, vault: Vault) -> None:
    """Another process takes the runs whose workers are dead, after their leases."""
    with db.begin() as session:
        runs = session.execute(text("SELECT id FROM bulk_run ORDER BY id")).scalars().all()
    for run_id in runs:
        run = show(db, run_id)
        if run.state != "done":
            assert run.work_id is not None
            claimed = work.claim(db, "after", ["bulk"], LATER, work_id=run.work_id)
            assert claimed is not None
            work.finish(db, claimed, LATER, handler.run(db, vault, claimed, lambda: LATER))


def _check_runs(db: Database) -> None:
    """Each run paid each of its cards once."""
    with db.begin() as session:
        rows = session.execute(
            text(
                "SELECT r.id, r.cards, r.changed, r.amount, (r.params ->> 'amount')::bigint AS each,"
                " (SELECT count(*) FROM ledger_entry WHERE reference = 'run:' || r.id) AS entries,"
                " (SELECT count(DISTINCT card_id) FROM ledger_entry WHERE reference = 'run:' || r.id) AS paid"
                " FROM bulk_run r"
            )
        ).all()
    assert all(row.cards == row.changed == row.entries == row.paid == 7 for row in rows)
    assert all(row.amount == 7 * row.each for row in rows)


# --- kill -9 of workers ---


def test_nothing_acknowledged_is_lost_however_often_workers_are_killed(
    db: Database, keys: Keys, tmp_path: Path
) -> None:
    kills, chance = scaled(500, 10), random.Random()
    with crew_of(furnish(db, keys, 2 * (kills + 4)), tmp_path / "notes", 2) as crew:
        for _ in range(4):
            crew.begin()
        for _ in range(kills):
            crew.wait(500)
            time.sleep(chance.uniform(0, 0.12))
            crew.kill(crew.working[0])
            crew.begin()
        crew.finish()
        log.info("%d kills", kills)
        acknowledged = check_all(db, crew)
    assert acknowledged["end"] > 0 < acknowledged["recharge"]


def _until(true: Callable[[], bool], seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.002)


# --- crashes of the database ---


class OwnServer:
    """A PostgreSQL of the test's own, as durable as a real one, that may be stopped at once and started again."""

    def __init__(self, home: Path) -> None:
        self.config = Config(home=home)
        self._attachment = embedded.attach(self.config)
        self.url = self._attachment.url
        upgrade(self.url, datetime.now(UTC))

    def crash(self, how: signal.Signals) -> None:
        """SIGQUIT is `pg_ctl stop -m immediate`: no checkpoint, no good-bye. SIGKILL leaves the backends orphaned."""
        pid = self._attachment.postmaster
        assert pid is not None
        os.kill(pid, how)
        _until(lambda: self._attachment.postmaster is None)

    def restart(self) -> None:
        """Start it and let it recover; it lives on for whoever attached before."""
        with embedded.running(self.config):
            pass

    def remove(self) -> None:
        self._attachment.detach()
        embedded.remove(self.config)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnServer]:
    made = OwnServer(tmp_path_factory.mktemp("own") / "home")
    yield made
    made.remove()


@pytest.fixture
def own(server: OwnServer) -> Iterator[Database]:
    """The database of that server. Its links are closed before it stops."""
    database = Database(server.url)
    yield database
    database.close()


def test_nothing_acknowledged_is_lost_however_often_the_database_crashes(
    server: OwnServer, own: Database, keys: Keys, tmp_path: Path
) -> None:
    crashes, chance = scaled(34, 2), random.Random()
    with crew_of(furnish(own, keys, 4 * scaled(60, 10)), tmp_path / "notes", scaled(60, 10)) as crew:
        for _ in range(4):
            crew.begin()
        for n in range(crashes):
            crew.wait(scaled(20_000, 10_000))
            time.sleep(chance.uniform(0, 0.3))
            server.crash(signal.SIGKILL if n % 3 == 1 else signal.SIGQUIT)
            time.sleep(chance.uniform(0, 0.3))
            server.restart()
        crew.wait(5_000)
        crew.finish()
        own.forget_lost_links()
        log.info("%d crashes", crashes)
        acknowledged = check_all(own, crew)
    assert acknowledged["end"] > 0 < acknowledged["recharge"]


# --- what a switch sees of it ---


def test_while_the_database_is_down_a_switch_is_told_to_ask_again_and_soon_after_all_is_well(
    server: OwnServer, own: Database, keys: Keys, tmp_path: Path
) -> None:
    card = scenes.card(own, Vault(keys), "50.00", name="By HTTP", validity_from="generation", concurrency=100)
    app = create_app(config_for(server.url, keys, tmp_path))
    switch, waits = Switch.added(app, own, "By HTTP"), []
    for n in range(scaled(30, 2)):
        ref = f"http-{n}"
        assert switch.post("calls", call_of(card, ref, one_shot=False)).status_code == 200
        server.crash(signal.SIGQUIT)
        for answer in (
            switch.post("authenticate", proof(card)),
            switch.post(f"calls/{ref}/end", {"duration_seconds": 5}),
            switch.get(f"calls/{ref}"),
        ):
            assert code(answer) == (503, "unavailable")
            assert int(answer.headers["Retry-After"]) == 5
        assert switch.client.get("/healthz").status_code == 503
        _until(lambda: switch.client.get("/readyz").status_code == 503)  # its answer is kept for a second
        server.restart()
        since, tries = time.monotonic(), 0
        while {switch.client.get(path).status_code for path in ("/healthz", "/readyz")} != {200}:
            tries += 1
            assert tries < 50
            time.sleep(0.1)
        waits.append(time.monotonic() - since)
        # The call is still there, and ends once, however often that is said.
        told = switch.post(f"calls/{ref}/end", {"duration_seconds": 5})
        assert told.status_code == 200
        assert switch.post(f"calls/{ref}/end", {"duration_seconds": 5}).json == told.json
    log.info("%d stops, healthy again within %.3f s", len(waits), max(waits))
    app.extensions["cardtone"].db.close()
    assert verify(own, NOW) == []
