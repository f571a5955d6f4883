"""An attacker who knows real numbers and has thousands of addresses and phones, and eight processes at once."""

from __future__ import annotations

import heapq
import math
import random
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from engine.alarms import open_alarms
from engine.calls.control import Credentials
from engine.cards.authentication import Authenticated
from engine.cards.weblogin import CardProof, log_in_card
from engine.config import Keys
from engine.db import Database
from engine.people.switches import SwitchIdentity
from engine.refusal import Refusal
from engine.schema import Attempt, CardEvent
from engine.settings import DEFAULTS, Settings
from engine.vault import Secret, Vault
from tests import scenes
from tests.engine.test_lockout import CountingVault
from tests.processes import preload, run_together
from tests.proof import scaled
from tests.scenes import NOW, Line, TestCard

preload(__name__)

NUMBERS, ADDRESSES, STORM_LOCKS = scaled(1_000, 30), scaled(5_000, 150), scaled(50, 5)
HOURS = 9
THREADS = 4
PROCESSES = 8


def guesses_in(rules: Settings, seconds: float) -> int:
    """How many passwords of one number can be compared in a time that begins without failures."""
    compared, now, delay_s = rules.free_failures + 1, 0, rules.first_delay_s
    while (now := now + delay_s) <= seconds:
        compared += 1
        delay_s = min(2 * delay_s, rules.max_delay_s)
    return compared


def most_hits(expected: float) -> int:
    """More hits than this come by chance once in a million."""
    chance, hits = math.exp(-expected), 0
    left = 1 - chance
    while left > 1e-6:
        hits += 1
        chance *= expected / hits
        left -= chance
    return hits


@dataclass
class Attacker:
    """Guesses at every number as soon as it hears, from any of its addresses, phones, or without a caller."""

    db: Database
    vault: CountingVault
    line: SwitchIdentity
    cards: list[TestCard]
    dice: random.Random
    hits: set[int] = field(default_factory=set)
    answers: Counter[str] = field(default_factory=Counter)
    due: list[tuple[float, int]] = field(default_factory=list)
    tried: dict[int, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.due = [(0.0, n) for n in range(len(self.cards))]
        for n in range(len(self.cards)):
            self.tried[n] = self.dice.sample([f"{guess:04}" for guess in range(10_000)], 200)

    def round(self, pool: ThreadPoolExecutor, until_s: float) -> None:
        """Everything that is due until then, in the order of its times and in parallel where they are the same."""
        while self.due and self.due[0][0] < until_s:
            at_s = self.due[0][0]
            batch = []
            while self.due and self.due[0][0] == at_s:
                batch.append(heapq.heappop(self.due)[1])
            now = NOW + timedelta(seconds=at_s)
            guesses = [(n, self._source(), now) for n in batch]
            for n, answer in zip(batch, pool.map(self._guess, guesses), strict=True):
                self._note(n, answer, at_s)

    def _source(self) -> tuple[str, str | None]:
        kind = self.dice.choice(["address", "address", "caller", "withheld"])
        # Half of it comes from a few favourite places, so that the limits on places have something to hold.
        place = self.dice.randrange(5) if self.dice.random() < 0.5 else self.dice.randrange(ADDRESSES)
        if kind == "address":
            return kind, f"10.{place >> 16}.{place >> 8 & 255}.{place & 255}"
        return kind, f"1999{place:07}" if kind == "caller" else None

    def _guess(self, planned: tuple[int, tuple[str, str | None], datetime]) -> Any:
        n, (kind, place), now = planned
        guess = Credentials(self.cards[n].number, Secret(self.tried[n][-1]))
        if kind == "address":
            assert guess.number is not None
            assert guess.password is not None
            return log_in_card(self.db, self.vault, guess.number, guess.password, place or "", None, now)
        return Line(self.db, self.vault, self.line, now).authenticate(guess, place)

    def _note(self, n: int, answer: Any, at_s: float) -> None:
        if not isinstance(answer, Refusal) or answer.serial is not None:
            self.hits.add(n)
            return
        self.answers[answer.reason] += 1
        if answer.reason == "bad_credentials":
            self.tried[n].pop()
            heapq.heappush(self.due, (at_s + 1, n))
        else:
            # It can't tell whether the number or the place has to wait: it tries from another one soon.
            wait_s = answer.retry_after_s or 0
            heapq.heappush(self.due, (at_s + (wait_s if wait_s not in (60, 600) else 5), n))


def test_an_attack_on_known_numbers_from_thousands_of_places_gets_no_further_than_its_budget(
    db: Database, vault: Vault, keys: Keys
) -> None:
    scenes.deck(db)
    scenes.setting(db, "storm_locks", STORM_LOCKS)
    switch = scenes.switch(db)
    cards = scenes.batch(db, vault, NUMBERS, name="Attacked", password_length=4)
    others = scenes.batch(db, vault, 20, name="Others")
    phones = {card.id: f"1555{n:07}" for n, card in enumerate(cards)}
    for card in cards:  # every owner was in before, half by phone and half by browser
        assert let_in(db, vault, switch, card, phones[card.id], NOW - timedelta(days=1))

    attacker = Attacker(db, CountingVault(keys), switch, cards, random.Random(7))
    visitors, switched = cards[: NUMBERS // 2], Counter[str]()
    with ThreadPoolExecutor(THREADS) as pool:
        for hour in range(1, HOURS + 1):
            attacker.round(pool, hour * 3600)
            now = NOW + timedelta(hours=hour)
            for n, other in enumerate(others):
                answer = Line(db, vault, switch, now).authenticate(
                    other, f"1777{n:03}{hour:04}" if n % 2 else None
                )
                switched[type(answer).__name__] += 1
            if hour % 3 == 0:  # in the midst of it, and the count of their numbers begins anew
                for card in visitors:
                    assert let_in(db, vault, switch, card, phones[card.id], now), "an owner was kept out"

    end = NOW + timedelta(hours=HOURS, seconds=1)
    for card in cards:
        assert let_in(db, vault, switch, card, phones[card.id], end), "an owner was kept out"
    assert switched == {"Authenticated": len(others) * HOURS}, "a switch was throttled"

    budget = len(visitors) * 3 * guesses_in(DEFAULTS, HOURS / 3 * 3600)
    budget += (NUMBERS - len(visitors)) * guesses_in(DEFAULTS, HOURS * 3600)
    compared = attacker.vault.digests
    assert budget / 2 < compared <= budget
    assert len(attacker.hits) <= most_hits(compared / 10_000)
    assert attacker.answers["throttled"] > compared / 2
    assert_places_kept_to_their_limits(db)
    assert_locks_kept_to_their_limit(db)
    assert {alarm.kind for alarm in open_alarms(db)} == {"guessing", "lock_storm"}
    assert len(open_alarms(db)) == 2


def let_in(
    db: Database, vault: Vault, switch: SwitchIdentity, card: TestCard, phone: str, now: datetime
) -> bool:
    """An owner comes: by the phone they know, or with their browser from the attacker's favourite address."""
    if card.id % 2:
        return isinstance(Line(db, vault, switch, now).authenticate(card, phone), Authenticated)
    proof = log_in_card(db, vault, card.number, Secret(card.password), "10.0.0.1", f"browser {phone}", now)
    return isinstance(proof, CardProof)


def assert_places_kept_to_their_limits(db: Database) -> None:
    """No address and no caller had more passwords compared in any time than two of its windows hold."""
    with db.begin() as session:
        wrong = session.execute(
            select(Attempt.door, Attempt.source, Attempt.caller, Attempt.at)
            .where(Attempt.reason == "wrong_password")
            .order_by(Attempt.at)
        ).all()
    times: dict[tuple[str, str], list[datetime]] = {}
    for door, source, caller, at in wrong:
        place = source if door == "web" else caller
        if place is not None:
            times.setdefault((door, place), []).append(at)
    assert max(map(len, times.values())) > 6, "no place was used enough to be held up"
    for (door, place), failures in times.items():
        allowed, window_s = (
            (DEFAULTS.address_failures, DEFAULTS.address_window_s)
            if door == "web"
            else (DEFAULTS.caller_failures, DEFAULTS.caller_window_s)
        )
        assert most_within(failures, window_s) <= 2 * allowed - 1, place


def assert_locks_kept_to_their_limit(db: Database) -> None:
    with db.begin() as session:
        locks = session.scalars(
            select(CardEvent.at)
            .where(CardEvent.kind == "lock", CardEvent.actor == "failures")
            .order_by(CardEvent.at)
        ).all()
    assert most_within(list(locks), DEFAULTS.storm_window_s) == STORM_LOCKS


def most_within(times: list[datetime], seconds: int) -> int:
    """The most of some sorted times that lie within so many seconds of each other."""
    first, most = 0, 0
    for last, at in enumerate(times):
        while at - times[first] >= timedelta(seconds=seconds):
            first += 1
        most = max(most, last - first + 1)
    return most


# --- eight processes ---


def guess_together(
    url: str, keys: Keys, switch: SwitchIdentity, guesses: list[tuple[str, str, str | None]], start: float
) -> tuple[int, Counter[str]]:
    """One process: digests computed, and answers by their reason. It warms up first, and begins with the others."""
    db, vault = Database(url), CountingVault(keys)
    Line(db, vault, switch).authenticate(Credentials(token=Secret("ctt_none")))
    time.sleep(max(0.0, start - time.time()))
    answers: Counter[str] = Counter()
    with ThreadPoolExecutor(2) as pool:
        for answer in pool.map(lambda guess: try_one(db, vault, switch, *guess), guesses):
            answers[answer] += 1
    db.close()
    return vault.digests, answers


def try_one(
    db: Database, vault: Vault, switch: SwitchIdentity, number: str, password: str, caller: str | None
) -> str:
    answer = Line(db, vault, switch).authenticate(Credentials(number, Secret(password)), caller)
    return answer.reason if isinstance(answer, Refusal) else "right"


Guess = Callable[[TestCard, int, int], tuple[str, str, str | None]]


@pytest.mark.parametrize(
    ("guess", "compared"),
    [
        # on one number, from callers without end
        (lambda card, process, n: (card.number, f"{process:04}{n:04}", f"1555{process:03}{n:04}"), (4, 4)),
        # from one caller, on numbers without end
        (lambda card, process, n: (f"99{process:05}{n:05}", "00000000", "15551230001"), (6, 6)),
        # on one number without a caller: each process may be one look ahead of the count
        (lambda card, process, n: (card.number, f"{process:04}{n:04}", None), (4, 4 + PROCESSES)),
    ],
    ids=["number", "caller", "withheld"],
)
def test_eight_processes_at_once_get_the_guesses_of_one(
    db: Database, vault: Vault, keys: Keys, guess: Guess, compared: tuple[int, int]
) -> None:
    scenes.deck(db)
    switch, card = scenes.switch(db), scenes.card(db, vault)
    start = time.time() + 6
    tasks = [
        (db.url, keys, switch, [guess(card, process, n) for n in range(20)], start)
        for process in range(PROCESSES)
    ]
    told = run_together(guess_together, tasks)
    least, most = compared
    assert least <= sum(digests for digests, _ in told) <= most
    answers = sum((answers for _, answers in told), Counter[str]())
    assert set(answers) == {"bad_credentials", "throttled"}
    assert answers["bad_credentials"] <= least
    assert sum(answers.values()) == PROCESSES * 20
