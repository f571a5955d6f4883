"""What must hold whoever races whom: nothing is spent twice, a hold ends once, a key counts once, no hold is left."""

from __future__ import annotations

import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Event, Thread
from typing import Any

import pytest
from sqlalchemy import select, text

from engine.calls.control import Authorized
from engine.calls.sweep import sweep
from engine.config import Keys
from engine.db import Database
from engine.errors import Conflict, EngineUnavailable, NotFound, Refused
from engine.funds.recharges import Adjusted, Recharged, adjust, recharge
from engine.people.switches import SwitchIdentity
from engine.refusal import Refusal
from engine.reports.verify import verify
from engine.schema import Cdr, LedgerEntry
from engine.vault import Vault
from tests import scenes
from tests.processes import preload, run_together
from tests.proof import scaled
from tests.scenes import BANGLADESH, BRITAIN, NOW, OPERATOR, USD, Line, TestCard, facts

preload(__name__)

SECOND = USD("0.01")
DECK = """prefix,destination,price,connect fee,first increment,increment
880,Bangladesh,0.60,0,1,1
44,United Kingdom,0.30,0.05,60,60
"""


def one(db: Database, sql: str) -> Any:
    with db.begin() as session:
        return session.execute(text(sql)).one()


# --- nothing is spent twice ---


def spend(
    url: str, keys: Keys, switch: SwitchIdentity, cards: list[TestCard], seed: int, seconds: float
) -> Counter[str]:
    """One of many processes that do what they can with the same poor cards, until the time is over."""
    db, chance, seen = Database(url), random.Random(seed), Counter[str]()
    line, live = Line(db, Vault(keys), switch), []
    until = time.monotonic() + seconds
    while time.monotonic() < until or live:
        card, ref = chance.choice(cards), f"{seed}-{seen.total()}"
        turn = chance.random() if time.monotonic() < until else 0.9
        try:
            if turn < 0.45:
                answer = line.authorize(
                    card, chance.choice([BANGLADESH, BRITAIN]), ref=ref, one_shot=turn < 0.3
                )
                if isinstance(answer, Authorized):
                    live.append(ref)
                seen[answer.reason if isinstance(answer, Refusal) else "authorized"] += 1
            elif turn < 0.6:
                amount = chance.randint(-40_000, 120_000) or 1
                adjust(db, card_id=card.id, amount=amount, reason="A race", actor=OPERATOR, now=line.now)
                seen["adjusted"] += 1
            elif live:
                said = live[0] if turn < 0.75 else live.pop(0)
                if turn < 0.75:
                    line.progress(chance.randint(0, 20), said)
                else:
                    line.later(chance.randint(0, 20)).end(said, seconds=chance.randint(0, 30))
                seen["ended" if turn >= 0.75 else "progress"] += 1
        except (Refused, EngineUnavailable) as refused:
            seen[refused.code] += 1
    db.close()
    return seen


def test_many_processes_on_three_poor_cards_never_spend_what_is_not_there(
    db: Database, database_url: str, vault: Vault, keys: Keys
) -> None:
    scenes.deck(db, DECK)
    scenes.setting(db, "slice_s", 10)
    cards = scenes.batch(db, vault, 3, "0.50", concurrency=6)
    switch = scenes.switch(db)
    lowest, stop = [], Event()

    def watch() -> None:
        while not stop.wait(0.01):
            lowest.append(one(db, "SELECT min(balance - held), min(held) FROM card"))

    watcher = Thread(target=watch)
    watcher.start()
    seconds = scaled(60, 4)
    tasks = [(database_url, keys, switch, cards, seed, seconds) for seed in range(16)]
    seen = sum(run_together(spend, tasks), Counter[str]())
    stop.set()
    watcher.join(20)
    assert seen["authorized"] == seen["ended"] > 16
    assert {"insufficient_balance", "adjusted"} <= set(seen)
    free, held = (min(column) for column in zip(*lowest, strict=True))
    assert 0 <= free < SECOND  # they did come down to the last cent, and no further
    assert held >= 0
    assert [(card.held, card.live_calls) for card in (facts(db, card) for card in cards)] == [(0, 0)] * 3


# --- a hold ends once ---


def test_racing_settlers_and_sweepers_end_every_call_once(db: Database, vault: Vault) -> None:
    calls, each = scaled(2_000, 100), 4
    scenes.deck(db, DECK)
    cards = scenes.batch(db, vault, calls // each, "50.00", concurrency=each)
    line = Line(db, vault, scenes.switch(db))
    refs = [(f"{card.serial}-{n}", card) for card in cards for n in range(each)]
    for ref, card in refs:
        line.open(card, ref=ref, one_shot=False)
        line.answer(ref)
    line.later(100)
    after_all = line.now + timedelta(hours=1)

    def settle(seed: int) -> dict[str, Any]:
        if seed >= 6:
            while sweep(db, after_all, limit=20).switches:
                pass
            return {}
        order = random.Random(seed).sample(refs, len(refs))
        return {ref: line.end(ref, seconds=60) for ref, _ in order}

    with ThreadPoolExecutor(8) as pool:
        answers = [answer for answer in pool.map(settle, range(8)) if answer]
    assert all(len({str(told[ref]) for told in answers}) == 1 for ref, _ in refs)
    assert one(db, "SELECT count(*), count(DISTINCT call_ref) FROM cdr") == (calls, calls)
    assert one(db, "SELECT count(*) FROM call") == (0,)
    # Whoever was first, sweep or end: each card paid four times a minute, no more and no less.
    spent = {(facts(db, card).balance, facts(db, card).held) for card in cards}
    assert spent == {(USD("50") - each * 60 * SECOND, 0)}


# --- a key counts once ---


def test_a_key_counts_once_however_often_and_altered_it_is_sent(db: Database, vault: Vault) -> None:
    writes, chance = scaled(5_000, 300), random.Random(7)
    cards = scenes.batch(db, vault, 20, "5.00")
    sent = []
    for n in range(writes):
        facts_of_it = (n % 3 == 0, chance.choice(cards), chance.randint(1, 1_000))
        sent += [(n, *facts_of_it)] * 3
        if n % 10 == 0:
            adjusts, card, amount = facts_of_it
            sent[-1] = (n, adjusts, *chance.choice([(card, amount + 1), (cards[card is cards[0]], amount)]))
    chance.shuffle(sent)

    def send(write: tuple[int, bool, TestCard, int]) -> Recharged | Adjusted | None:
        n, adjusts, card, amount = write
        given: dict[str, Any] = {"card_id": card.id, "key": f"write-{n}", "actor": OPERATOR, "now": NOW}
        try:
            if adjusts:
                return adjust(db, amount=amount, reason="A race", **given)
            return recharge(db, amount=amount, **given)
        except Conflict:
            return None

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(send, sent))
    told: dict[int, dict[tuple[int, int], list[Any]]] = {}
    for (n, _, card, amount), answer in zip(sent, answers, strict=True):
        told.setdefault(n, {}).setdefault((card.id, amount), []).append(answer)
    for versions in told.values():
        # One version of each write counted, and got one answer as often as it was sent; any other was refused.
        counted = [set(given) for given in versions.values() if set(given) != {None}]
        assert len(counted) == 1
        assert len(counted[0]) == 1
    assert {len(versions) for versions in told.values()} == {1, 2}
    with db.begin() as session:
        entries = session.scalars(select(LedgerEntry).where(LedgerEntry.kind != "opening")).all()
    assert len(entries) == writes


# --- every call ends, whatever its switch says in whatever order ---


def _messages(ref: str, chance: random.Random) -> list[tuple[str, int, int]]:
    """(message, seconds after the start, what it says), as an unreliable network brings them."""
    talk = chance.choice([0, 1, 7, 59, 60, 61, 130, 200])
    said = [("authorize", 0, 0)]
    if talk:
        said.append(("answer", 5, 0))
        said += [("progress", 5 + at, at) for at in range(40, talk, 40)]
    said.append(("end", 5 + talk, talk))
    if chance.random() < 0.2:
        said.pop()  # the end is lost
    said += [message for message in said if chance.random() < 0.3]
    for at in range(len(said) - 1):
        if chance.random() < 0.2:
            said[at], said[at + 1] = said[at + 1], said[at]
    return said


class Talk:
    """One call of the many, and what it was told."""

    def __init__(self, line: Line, card: TestCard, ref: str, chance: random.Random) -> None:
        self.card, self.ref = card, ref
        self.to, self.one_shot = chance.choice([BANGLADESH, BRITAIN]), chance.random() < 0.5
        self.messages = _messages(ref, chance)
        self.line = Line(line.db, line.vault, line.switch)
        self.opened: list[Authorized] = []
        self.charged: list[int] = []

    def happen(self) -> None:
        for message, at, says in self.messages:
            self.line.now = NOW + timedelta(seconds=at)
            try:
                self._say(message, says)
            except NotFound:
                assert not self.opened  # it came before its authorize, or the card could not pay
            except Conflict as conflict:
                assert conflict.code == "call_ended"  # it came after its end  # noqa: PT017

    def _say(self, message: str, says: int) -> None:
        if message == "authorize":
            answer = self.line.authorize(self.card, self.to, ref=self.ref, one_shot=self.one_shot)
            if isinstance(answer, Authorized):
                self.opened.append(answer)
        elif message == "answer":
            self.line.answer(self.ref)
        elif message == "progress":
            self.line.progress(says, self.ref)
        else:
            self.charged.append(self.line.end(self.ref, seconds=says).charged)


@pytest.mark.parametrize("seed", range(scaled(3, 1)))
def test_two_switches_with_lost_repeated_and_disordered_messages_leave_right_books_and_no_hold(
    db: Database, vault: Vault, seed: int
) -> None:
    chance = random.Random(seed)
    scenes.deck(db, DECK)
    scenes.setting(db, "slice_s", 60)
    cards = scenes.batch(db, vault, 25, "50.00", name="Rich", concurrency=20)
    cards += scenes.batch(db, vault, 25, "2.00", name="Poor", concurrency=20)
    lines = [Line(db, vault, scenes.switch(db, name)) for name in ("North", "South")]
    # The same call_refs at both switches: they are each switch's own.
    calls = [
        Talk(lines[n % 2], chance.choice(cards), f"call-{n // 2}", chance) for n in range(scaled(2_000, 300))
    ]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(Talk.happen, calls))
    opened = [call for call in calls if call.opened]
    assert all(len(set(call.opened)) == 1 for call in opened)
    assert all(len(set(call.charged)) <= 1 for call in opened)
    lost = one(db, "SELECT count(*) FROM call")[0]
    assert 0 < lost < len(opened) / 2
    swept, at = 0, NOW + timedelta(hours=6)
    while found := sweep(db, at, limit=50).switches:
        swept += sum(found.values())
    assert swept == lost
    assert one(db, "SELECT sum(held), sum(live_calls) FROM card") == (0, 0)
    assert verify(db, at) == []
    with db.begin() as session:
        ended = session.scalars(select(Cdr)).all()
    assert Counter((cdr.switch_id, cdr.call_ref) for cdr in ended) == Counter(
        (call.line.switch.id, call.ref) for call in opened
    )
    # Half of the lost ends turn up after all, and correct what the sweep assumed.
    late = [call for call in opened if not call.charged][::2]
    for call in late:
        call.line.now = at + timedelta(hours=1)
        call.line.end(call.ref, seconds=33)
    assert one(db, "SELECT count(*) FROM cdr_correction") == (len(late),)
    assert one(db, "SELECT min(balance) FROM card")[0] >= 0
