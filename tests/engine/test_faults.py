"""Power and links that fail in the middle of a write: it counted whole or not at all, and asking again tells which."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import cycle, product
from multiprocessing.process import BaseProcess
from typing import Any

import pytest
from sqlalchemy import text

from engine.calls.control import Authorized
from engine.calls.sweep import sweep
from engine.config import Keys
from engine.db import Database
from engine.errors import EngineUnavailable
from engine.funds import autorecharge
from engine.funds.accounts import deposit, open_account
from engine.funds.autorules import add_rule, enrol
from engine.funds.recharges import adjust, recharge
from engine.funds.replacements import replace_card
from engine.funds.transfers import transfer
from engine.people.switches import SwitchIdentity
from engine.reports.verify import verify
from engine.vault import Vault
from tests import scenes
from tests.processes import preload, start
from tests.proof import proving, scaled
from tests.proxy import Proxy, kill, proxied
from tests.scenes import BANGLADESH, NOW, OPERATOR, USD, Line, TestCard, facts

AFTER = NOW + timedelta(minutes=10)


@dataclass(frozen=True)
class Scene:
    """What a write needs; it can be sent to another process."""

    keys: Keys
    switch: SwitchIdentity
    card: TestCard
    voucher: TestCard
    other: TestCard
    ref: str

    def line(self, db: Database) -> Line:
        return Line(db, Vault(self.keys), self.switch, now=AFTER)


Write = Callable[[Database, Scene], Any]

# Each write, what makes it possible, and what it does to the card's balance.


def _open(db: Database, scene: Scene) -> None:
    line = scene.line(db)
    line.now = NOW
    line.open(scene.card, BANGLADESH, ref=scene.ref, one_shot=False)


def _open_and_sweep(db: Database, scene: Scene) -> None:
    _open(db, scene)
    sweep(db, NOW + timedelta(minutes=5))


def _nothing(db: Database, scene: Scene) -> None:
    pass


def settle(db: Database, scene: Scene) -> Any:
    return scene.line(db).end(scene.ref, seconds=30)


def settle_an_overrun(db: Database, scene: Scene) -> Any:
    return scene.line(db).end(scene.ref, seconds=600)


def authorize(db: Database, scene: Scene) -> Any:
    answer = scene.line(db).authorize(scene.card, BANGLADESH, ref=scene.ref, one_shot=False)
    assert isinstance(answer, Authorized)
    return answer


def progress(db: Database, scene: Scene) -> Any:
    return scene.line(db).progress(120, scene.ref)


def pay(db: Database, scene: Scene) -> Any:
    given: dict[str, Any] = {"card_id": scene.card.id, "key": scene.ref, "actor": OPERATOR, "now": AFTER}
    return recharge(db, amount=USD("1"), bonus=USD("0.5"), **given)


def correct(db: Database, scene: Scene) -> Any:
    given: dict[str, Any] = {"card_id": scene.card.id, "key": scene.ref, "actor": OPERATOR, "now": AFTER}
    return adjust(db, amount=-USD("0.25"), reason="A mistake", **given)


def redeem(db: Database, scene: Scene) -> Any:
    return scene.line(db).redeem(scene.card, scene.voucher, key=scene.ref)


def hand_on(db: Database, scene: Scene) -> Any:
    given: dict[str, Any] = {"key": scene.ref, "actor": OPERATOR, "now": AFTER}
    return transfer(db, from_id=scene.card.id, to_id=scene.other.id, amount=USD("1"), **given)


def stand_in(db: Database, scene: Scene) -> Any:
    given: dict[str, Any] = {"reason": "Lost", "actor": OPERATOR, "now": AFTER}
    return replace_card(db, old_id=scene.other.id, new_id=scene.card.id, **given)


def _cross(db: Database, scene: Scene) -> None:
    """A call that takes the card under the threshold of a rule."""
    by: dict[str, Any] = {"actor": OPERATOR, "now": NOW}
    account = open_account(db, name="Float", kind="funding", currency="USD", key="float", **by)
    deposit(db, account_id=account.id, amount=USD("1000"), key="float", **by)
    terms: dict[str, Any] = {"threshold": USD("2.80"), "amount": USD("1"), "account_id": account.id}
    rule = add_rule(db, name="Low", **terms, **by)
    enrol(db, rule_id=rule.id, card_ids=[scene.card.id], **by)
    _open(db, scene)
    settle(db, scene)


def recharge_by_rule(db: Database, scene: Scene) -> Any:
    autorecharge.run_due(db, AFTER)  # says how many it did, and doing it again does none


WRITES: dict[str, tuple[Write, Write, str, str]] = {
    # name: what comes before, the write, the balance after it, what is held after it
    "settle": (_open, settle, "2.70", "0"),
    "settle an overrun": (_open, settle_an_overrun, "0", "0"),
    "settle after the sweep": (_open_and_sweep, settle, "2.70", "0"),
    "authorize": (_nothing, authorize, "3.00", "0.60"),
    "progress": (_open, progress, "3.00", "1.80"),
    "recharge": (_nothing, pay, "4.50", "0"),
    "adjust": (_nothing, correct, "2.75", "0"),
    "voucher": (_nothing, redeem, "4.00", "0"),
    "transfer": (_nothing, hand_on, "2.00", "0"),
    "replace": (_nothing, stand_in, "6.00", "0"),
    "auto-recharge": (_cross, recharge_by_rule, "3.70", "0"),
}


@pytest.fixture
def proxy(database_url: str) -> Iterator[Proxy]:
    with proxied(database_url) as made:
        yield made


class Stage:
    """Cards and vouchers enough for many tries of each write."""

    def __init__(self, db: Database, vault: Vault, keys: Keys, count: int) -> None:
        scenes.deck(db, {"880": "0.60"})
        scenes.setting(db, "slice_s", 60)
        self.db, self.keys, self.switch = db, keys, scenes.switch(db)
        order: dict[str, Any] = {"validity_from": "generation"}
        self.cards = iter(scenes.batch(db, vault, count, "3.00", **order))
        self.vouchers = iter(scenes.vouchers(db, vault, count, "1.00", **order))
        self.others = iter(scenes.batch(db, vault, count, "3.00", name="Others", **order))
        self.count = 0

    def scene(self, before: Write) -> Scene:
        self.count += 1
        mine = next(self.cards), next(self.vouchers), next(self.others)
        made = Scene(self.keys, self.switch, *mine, f"try-{self.count}")
        before(self.db, made)
        return made

    def stands(self, scene: Scene, balance: str, held: str) -> bool:
        card = facts(self.db, scene.card)
        return (card.balance, card.held) == (USD(balance), USD(held))


preload(__name__)


# --- kill -9 ---


@pytest.mark.parametrize("name", WRITES)
def test_a_process_killed_at_any_statement_leaves_all_or_nothing_and_asking_again_counts_once(
    db: Database, vault: Vault, keys: Keys, proxy: Proxy, name: str
) -> None:
    before, write, balance, held = WRITES[name]
    stage = Stage(db, vault, keys, 200)
    _run_and_kill(proxy, write, stage.scene(before), None, done=False)
    length = proxy.statements
    # The first statements of a fresh process only look around; those at the end are where it matters.
    first = 1 if proving() else max(1, length - 6)
    stood = []
    for at, done in product(range(first, length + 2), [False, True] if proving() else [True]):
        scene = stage.scene(before)
        untouched = (facts(db, scene.card).balance, facts(db, scene.card).held)
        killed = _run_and_kill(proxy, write, scene, at, done=done)
        assert killed == (at <= length)
        _wait_until_alone(db)
        card = facts(db, scene.card)
        stood.append(stage.stands(scene, balance, held))
        assert stood[-1] or (card.balance, card.held) == untouched, f"half of it stands after statement {at}"
        again = write(db, scene)
        assert write(db, scene) == again
        assert stage.stands(scene, balance, held)
    # Up to some statement nothing stands, from there on all of it does.
    assert stood == sorted(stood)
    assert set(stood) == {False, True}
    assert verify(db, NOW) == []


def _run_and_kill(proxy: Proxy, write: Write, scene: Scene, at: int | None, *, done: bool) -> bool:
    """Run a write in a process that dies at its statement number `at`; False where it had fewer."""
    proxy.arm(None, done=done)
    process: BaseProcess = start(_write, proxy.url, write, scene)
    assert process.pid is not None
    proxy.arm(at, done=done, fault=kill(process.pid))
    process.join(60)
    assert process.exitcode in (0, -9), process.exitcode
    assert (process.exitcode == -9) == bool(proxy.fired)
    return bool(proxy.fired)


def _write(url: str, write: Write, scene: Scene) -> None:
    write(Database(url), scene)


def _wait_until_alone(db: Database) -> None:
    """Until the server has noticed that the dead process is gone, and undone what it had not committed."""
    with db.connection() as conn:
        for _ in range(2_000):
            busy = conn.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND pid <> pg_backend_pid() AND state <> 'idle'"
            ).fetchone()
            if busy is not None and busy[0] == 0:
                return
            conn.execute("SELECT pg_sleep(0.005)")
    raise AssertionError("somebody still works")


# --- a lost link ---


def test_a_link_lost_at_any_statement_is_mended_and_the_write_counts_once(
    db: Database, vault: Vault, keys: Keys, proxy: Proxy
) -> None:
    cuts, chance = scaled(200, 24), random.Random(3)
    stage = Stage(db, vault, keys, 2 * cuts + 3 * len(WRITES))
    through = Database(proxy.url)
    lengths = {name: _length(proxy, through, stage, name) for name in WRITES}
    happened, names = 0, cycle(WRITES)
    while happened < cuts:
        name = next(names)
        before, write, balance, held = WRITES[name]
        scene = stage.scene(before)
        proxy.arm(chance.randint(1, lengths[name]), done=chance.random() < 0.6)
        told = write(through, scene)
        happened += proxy.fired  # a write on fresh links may be over before its last statement on old ones
        assert write(db, scene) == told
        assert stage.stands(scene, balance, held), name
    through.close()
    assert verify(db, NOW) == []


def _length(proxy: Proxy, through: Database, stage: Stage, name: str) -> int:
    """How many statements a write takes at least: on links that stand, without those that only prepare others."""
    before, write, _, _ = WRITES[name]
    lengths = []
    for _ in range(3):
        scene = stage.scene(before)
        proxy.arm(None, done=False)
        write(through, scene)
        lengths.append(proxy.statements)
    return min(lengths)


@pytest.mark.parametrize("name", ["recharge", "voucher", "settle an overrun"])
@pytest.mark.parametrize("done", [False, True], ids=["not committed", "committed"])
def test_a_link_lost_at_commit_for_good_is_never_acknowledged_and_asking_again_finds_out(
    db: Database, vault: Vault, keys: Keys, proxy: Proxy, name: str, done: bool
) -> None:
    before, write, balance, held = WRITES[name]
    stage = Stage(db, vault, keys, 3)
    through = Database(proxy.url)
    for one in (stage.scene(before), stage.scene(before)):  # the first also learns the rules of the house
        proxy.arm(None, done=done)
        write(through, one)
    scene = stage.scene(before)
    untouched = (facts(db, scene.card).balance, facts(db, scene.card).held)

    def for_good(link: Any) -> None:
        proxy.close()
        link.cut()

    proxy.arm(proxy.commits, done=done, fault=for_good, commits=True)
    with pytest.raises(EngineUnavailable, match="unavailable"):
        write(through, scene)
    through.close()
    _wait_until_alone(db)
    card = facts(db, scene.card)
    assert stage.stands(scene, balance, held) if done else (card.balance, card.held) == untouched
    assert write(db, scene) == write(db, scene)
    assert stage.stands(scene, balance, held)


def test_what_a_lost_link_left_open_is_undone_by_the_server(
    db: Database, vault: Vault, keys: Keys, proxy: Proxy
) -> None:
    stage = Stage(db, vault, keys, 1)
    scene = stage.scene(_nothing)
    through = Database(proxy.url)

    def lose() -> None:
        with through.begin() as session:
            session.execute(text("UPDATE card SET concurrency = 9 WHERE id = :id"), {"id": scene.card.id})
            proxy.close()

    with pytest.raises(EngineUnavailable):
        lose()
    through.close()
    assert facts(db, scene.card).concurrency == 1
