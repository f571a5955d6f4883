"""The engine against a model of plain dicts that knows nothing of it: whatever is done in whatever order, after each
step the card has what the model says, and at the end its ledger tells the same story.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from engine.calls.control import Authorized, Progress
from engine.calls.sweep import sweep
from engine.cards import lifecycle
from engine.cards.status import status_of
from engine.db import Database
from engine.errors import Conflict, NotFound, Refused
from engine.funds import autorecharge
from engine.funds.accounts import deposit, open_account
from engine.funds.autorules import add_rule, enrol
from engine.funds.recharges import adjust, recharge
from engine.funds.transfers import transfer
from engine.funds.vouchers import Redeemed
from engine.refusal import Refusal
from engine.vault import Vault
from tests import scenes
from tests.proof import scaled
from tests.scenes import BANGLADESH, BRITAIN, NOW, OPERATOR, USD, Line, TestCard, facts

SECOND, MINUTE, CONNECT = USD("0.01"), USD("0.30"), USD("0.05")
SLICE_S, CAP_S = 60, 300
DENOMINATION, VOUCHER = USD("3.00"), USD("1.00")
DECK = """prefix,destination,price,connect fee,first increment,increment
880,Bangladesh,0.60,0,1,1
44,United Kingdom,0.30,0.05,60,60
"""
THRESHOLD, AUTO = USD("1.00"), USD("0.70")
VALID_DAYS, GRACE_DAYS, EXTENSION_DAYS = 30, 10, 20


def cost(destination: str, seconds: int) -> int:
    """What so many seconds cost: by the second to Bangladesh, by the minute and with a connect fee to Britain."""
    if destination == BANGLADESH:
        return SECOND * seconds
    return CONNECT + MINUTE * -(-seconds // 60) if seconds else 0


def affordable(destination: str, funds: int) -> int:
    """The seconds that funds buy, found by looking at every one."""
    return max((s for s in range(1, CAP_S + 1) if cost(destination, s) <= funds), default=0)


def midnight_after(day: datetime) -> datetime:
    return day.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)


class World:
    """One database for many lives of cards; cards and vouchers come from it by the dozen."""

    def __init__(self, db: Database, vault: Vault) -> None:
        self.db, self.vault = db, vault
        scenes.setting(db, "slice_s", SLICE_S)
        scenes.setting(db, "call_cap_s", CAP_S)
        scenes.deck(db, DECK)
        self.switch = scenes.switch(db)
        self.cards = self._supply("Cards", DENOMINATION)
        self.vouchers = self._supply("Vouchers", VOUCHER, kind="voucher", deck=None, validity_days=None)
        self.partners = self._supply("Partners", DENOMINATION, validity_days=None)
        self.lives = itertools.count()
        by: dict[str, Any] = {"actor": OPERATOR, "now": NOW}
        account = open_account(db, name="Float", kind="funding", currency="USD", **by)
        deposit(db, account_id=account.id, amount=USD("1000000"), **by)
        terms: dict[str, Any] = {"threshold": THRESHOLD, "amount": AUTO, "account_id": account.id}
        self.rule = add_rule(db, name="Low", **terms, **by)

    def _supply(self, name: str, value: int, **order: Any) -> Iterator[TestCard]:
        terms = {
            "validity_from": "generation",
            "validity_days": VALID_DAYS,
            "grace_days": GRACE_DAYS,
            "extension_days": EXTENSION_DAYS,
            "concurrency": 2,
            **order,
        }
        for n in itertools.count():
            amount = str(value // USD("1"))
            yield from scenes.batch(self.db, self.vault, 120, amount, name=f"{name} {n}", **terms)


class Life(RuleBasedStateMachine):
    """One card, by what is done to it and by what the model says it must be."""

    world: World

    def __init__(self) -> None:
        super().__init__()
        self.db, self.vault = self.world.db, self.world.vault
        self.card = next(self.world.cards)
        self.vouchers = [next(self.world.vouchers) for _ in range(2)]
        self.partner, self.partner_has = next(self.world.partners), DENOMINATION
        enrol(self.db, rule_id=self.world.rule.id, card_ids=[self.card.id], actor=OPERATOR, now=NOW)
        self.crossings = 0
        self.line = Line(self.db, self.vault, self.world.switch)
        self.name = next(self.world.lives)
        self.refs = itertools.count()
        self.live: dict[str, dict[str, Any]] = {}
        self.ended: dict[str, dict[str, Any]] = {}
        self.paid: dict[str, tuple[TestCard, Redeemed]] = {}
        self.model: dict[str, Any] = {
            "balance": DENOMINATION,
            "expires_at": midnight_after(NOW + timedelta(days=VALID_DAYS)),
            "locked": False,
            "used": False,
            "entries": [("opening", DENOMINATION)],
        }

    # --- the model's rules ---

    @property
    def now(self) -> datetime:
        return self.line.now

    @property
    def held(self) -> int:
        return sum(call["hold"] for call in self.live.values())

    @property
    def expired(self) -> bool:
        return bool(self.model["expires_at"] <= self.now)

    @property
    def graced(self) -> bool:
        return bool(self.now < self.model["expires_at"] + timedelta(days=GRACE_DAYS))

    def moved(self, kind: str, amount: int) -> None:
        if amount:
            self.model["balance"] += amount
            self.model["entries"].append((kind, amount))

    def take(self, kind: str, price: int, borne: int) -> None:
        """A call or its correction takes money; where the balance falls under the threshold by it, that is noted."""
        before = self.model["balance"]
        self.moved("overrun", borne)
        self.moved(kind, -price)
        self.crossings += before >= THRESHOLD > self.model["balance"]

    def money_refused(self) -> str | None:
        if self.model["locked"]:
            return "locked"
        return "expired" if self.expired and not self.graced else None

    def revived(self) -> None:
        if self.expired:
            self.model["expires_at"] = midnight_after(self.now + timedelta(days=EXTENSION_DAYS))

    def settled(self, ref: str, seconds: int, how: dict[str, Any]) -> dict[str, Any]:
        """A live call ends: the card pays what it can, the operator bears the rest."""
        call = self.live.pop(ref)
        price = cost(call["to"], seconds)
        paid = min(price, call["hold"] + self.model["balance"] - self.held - call["hold"])
        self.take("usage", price, price - paid)
        call |= {
            "cost": price,
            "paid": paid,
            "seconds": seconds,
            "ended": self.now,
            "after": self.model["balance"],
            **how,
        }
        self.ended[ref] = call
        return call

    def talked(self, call: dict[str, Any], reported: int, wall: timedelta) -> int:
        """What a reported duration counts: not longer than the wall saw, and the grant where it was just cut late."""
        seconds = min(reported, wall // timedelta(seconds=1) + 5)
        return call["granted"] if call["granted"] < seconds <= call["granted"] + 2 else seconds

    # --- money ---

    @rule(amount=st.integers(1, 2_000_000), bonus=st.sampled_from([0, 0, 1, 500_000]))
    def recharge(self, amount: int, bonus: int) -> None:
        refused = self.money_refused()
        key = f"{self.name}-{next(self.refs)}"

        def pay() -> Any:
            return recharge(
                self.db,
                card_id=self.card.id,
                amount=amount,
                bonus=bonus,
                key=key,
                actor=OPERATOR,
                now=self.now,
            )

        if refused:
            with pytest.raises(Refused, match=refused):
                pay()
            return
        self.moved("recharge", amount)
        self.moved("bonus", bonus)
        self.revived()
        done = pay()
        assert (done.balance, done.expires_at) == (self.model["balance"], self.model["expires_at"])
        assert pay() == done

    @rule(amount=st.integers(-600_000, 300_000).filter(bool))
    def adjust(self, amount: int) -> None:
        def correct() -> Any:
            return adjust(
                self.db, card_id=self.card.id, amount=amount, reason="A mistake", actor=OPERATOR, now=self.now
            )

        if self.model["balance"] + amount < self.held:
            with pytest.raises(Refused, match="insufficient_balance"):
                correct()
        else:
            self.moved("adjustment", amount)
            assert correct().balance == self.model["balance"]

    @rule(amount=st.sampled_from([1, 200_000, 1_000_000, None]))
    def send(self, amount: int | None) -> None:
        """To another card, which never expires."""
        refused = "locked" if self.model["locked"] else "expired" if self.expired else None
        if refused is None and self.live:
            refused = "too_many_calls"
        if refused is None and self.model["balance"] == 0:
            refused = "empty"
        if refused is None and amount is not None and amount > self.model["balance"]:
            refused = "insufficient_balance"
        value = self.model["balance"] if amount is None else amount
        if refused is None:
            self.moved("transfer", -value)
            self.partner_has += value
        self.hand_over(self.card, self.partner, amount, refused)

    @rule(amount=st.sampled_from([1, 500_000, None]))
    def receive(self, amount: int | None) -> None:
        """From the other card."""
        refused = "empty" if self.partner_has == 0 else None
        if refused is None and amount is not None and amount > self.partner_has:
            refused = "insufficient_balance"
        refused = refused or self.money_refused()
        value = self.partner_has if amount is None else amount
        if refused is None:
            self.partner_has -= value
            self.moved("transfer", value)
            self.revived()
        self.hand_over(self.partner, self.card, amount, refused)

    def hand_over(self, source: TestCard, target: TestCard, amount: int | None, refused: str | None) -> None:
        given: dict[str, Any] = {"amount": amount, "key": f"{self.name}-{next(self.refs)}", "actor": OPERATOR}

        def move() -> Any:
            return transfer(self.db, from_id=source.id, to_id=target.id, now=self.now, **given)

        if refused is not None:
            with pytest.raises(Refused, match=refused):
                move()
        else:
            done = move()
            assert {done.from_balance, done.to_balance} == {self.model["balance"], self.partner_has}
            assert move() == done

    @rule()
    def due(self) -> None:
        """Auto-recharges that were noted are made, as far as they still are called for."""
        autorecharge.run_due(self.db, self.now)
        for _ in range(self.crossings):
            if self.model["balance"] < THRESHOLD and self.money_refused() is None:
                self.moved("recharge", AUTO)
                self.revived()
        self.crossings = 0
        assert autorecharge.catch_up(self.db, self.now) == 0

    @rule(pick=st.integers(0, 1))
    def redeem(self, pick: int) -> None:
        voucher = self.vouchers[pick]
        key = f"{self.name}-{next(self.refs)}"
        refused = self.money_refused()
        if refused is None:
            self.model["used"] = True
            refused = "voucher_used" if any(voucher is used for used, _ in self.paid.values()) else None
        answer = self.line.redeem(self.card, voucher, key=key)
        if refused:
            assert isinstance(answer, Refusal)
            assert answer.reason == refused
            return
        self.moved("voucher", VOUCHER)
        self.revived()
        assert answer == Redeemed(VOUCHER, self.model["balance"], "USD")
        self.paid[key] = (voucher, answer)

    @precondition(lambda self: self.paid)
    @rule(pick=st.integers(0, 7))
    def redeem_again(self, pick: int) -> None:
        key = list(self.paid)[pick % len(self.paid)]
        voucher, first = self.paid[key]
        assert self.line.redeem(self.card, voucher, key=key) == first

    # --- calls ---

    @rule(to=st.sampled_from([BANGLADESH, BRITAIN]), one_shot=st.booleans())
    def authorize(self, to: str, one_shot: bool) -> None:
        ref = f"{self.name}-{next(self.refs)}"
        buys = affordable(to, self.model["balance"] - self.held)
        refused = None
        if self.model["locked"]:
            refused = "locked"
        elif self.expired:
            refused = "expired"
        else:
            self.model["used"] = True
            if self.model["balance"] == 0:
                refused = "empty"
            elif len(self.live) == 2:
                refused = "too_many_calls"
            elif buys == 0:
                refused = "insufficient_balance"
        answer = self.line.authorize(self.card, to, ref=ref, one_shot=one_shot)
        if refused:
            assert isinstance(answer, Refusal)
            assert answer.reason == refused
            return
        granted = buys if one_shot else min(buys, SLICE_S)
        assert isinstance(answer, Authorized)
        assert (answer.max_seconds, answer.affordable_seconds) == (granted, buys)
        self.live[ref] = {
            "to": to,
            "one_shot": one_shot,
            "granted": granted,
            "hold": cost(to, granted),
            "confirmed": 0,
            "start": self.now,
            "answered": None,
            "sweep": self.now + timedelta(seconds=granted + (180 if one_shot else 60)),
        }
        assert self.line.authorize(self.card, to, ref=ref, one_shot=one_shot) == answer

    @rule(to=st.sampled_from([BANGLADESH, BRITAIN]), one_shot=st.booleans(), wait=st.integers(0, 400))
    def authorize_and_wait(self, to: str, one_shot: bool, wait: int) -> None:
        """What a call mostly does, so that many get somewhere."""
        before = set(self.live)
        self.authorize(to, one_shot)
        for ref in set(self.live) - before:
            self.answer(list(self.live).index(ref))
            self.later(wait + 1)

    def a_live(self, pick: int) -> tuple[str, dict[str, Any]]:
        ref = list(self.live)[pick % len(self.live)]
        return ref, self.live[ref]

    @precondition(lambda self: self.live)
    @rule(pick=st.integers(0, 1))
    def answer(self, pick: int) -> None:
        ref, call = self.a_live(pick)
        self.line.answer(ref)
        if call["answered"] is None:
            call["answered"] = self.now
            if not call["one_shot"]:
                call["sweep"] += self.now - call["start"]

    @precondition(lambda self: self.live)
    @rule(pick=st.integers(0, 1), elapsed=st.integers(0, 200))
    def progress(self, pick: int, elapsed: int) -> None:
        ref, call = self.a_live(pick)
        heard = min(elapsed, (self.now - call["start"]) // timedelta(seconds=1) + 5)
        buys = call["granted"]
        if not self.model["locked"]:
            funds = call["hold"] + self.model["balance"] - self.held
            buys = max(buys, affordable(call["to"], funds))
        granted = buys if call["one_shot"] else max(call["granted"], min(buys, heard + SLICE_S))
        left = max(0, buys - heard)
        assert self.line.progress(elapsed, ref) == Progress(granted, left <= 60, left)
        call["granted"] = granted
        call["hold"] = max(call["hold"], cost(call["to"], granted))
        call["confirmed"] = max(call["confirmed"], heard)
        call["answered"] = call["answered"] or max(call["start"], self.now - timedelta(seconds=heard))
        start, wait = (call["start"], 180) if call["one_shot"] else (call["answered"], 60)
        call["sweep"] = max(call["sweep"], start + timedelta(seconds=granted + wait))

    @precondition(lambda self: self.live)
    @rule(pick=st.integers(0, 1), seconds=st.integers(0, 400), at_the_wall=st.booleans())
    def end(self, pick: int, seconds: int, at_the_wall: bool) -> None:
        ref, call = self.a_live(pick)
        if at_the_wall:
            seconds = (self.now - call["start"]) // timedelta(seconds=1)
        told = self.settled(ref, self.talked(call, seconds, self.now - call["start"]), {"told": seconds})
        ended = self.line.end(ref, seconds=seconds)
        assert (ended.charged, ended.balance) == (told["paid"], told["after"])

    @precondition(lambda self: self.live)
    @rule(wait=st.sampled_from([0, 0, 120, 600]))
    def sweep(self, wait: int) -> None:
        self.later(wait)
        due = [ref for ref, call in self.live.items() if call["sweep"] <= self.now]
        assert sum(sweep(self.db, self.now).switches.values()) == len(due)
        for ref in sorted(due, key=lambda ref: self.live[ref]["sweep"]):
            call = self.live[ref]
            seconds = call["confirmed"]
            if call["one_shot"] and call["answered"]:
                seconds = max(seconds, 1 if call["to"] == BANGLADESH else 60)
            self.settled(ref, min(seconds, call["granted"]), {"told": None})

    @precondition(lambda self: self.ended)
    @rule(pick=st.integers(0, 30), seconds=st.integers(0, 400))
    def end_again(self, pick: int, seconds: int) -> None:
        """Late, repeated or contradicted: whatever a switch may say of a call that has ended."""
        ref = list(self.ended)[pick % len(self.ended)]
        call = self.ended[ref]
        if self.now - call["ended"] > timedelta(days=62):
            with pytest.raises(NotFound, match="call_not_found"):
                self.line.end(ref, seconds=seconds)
            return
        if call["told"] is None and self.now - call["ended"] <= timedelta(days=1):
            self.corrected(call, seconds)
        elif call["told"] is None or call["told"] != seconds:
            with pytest.raises(
                Conflict, match="end_too_late" if call["told"] is None else "call_ref_conflict"
            ):
                self.line.end(ref, seconds=seconds)
            return
        ended = self.line.end(ref, seconds=seconds)
        assert (ended.charged, ended.balance) == (call["paid"], call["after"])

    def corrected(self, call: dict[str, Any], seconds: int) -> None:
        """The end came after the sweep: the difference is charged as far as the card can pay, or given back."""
        price = cost(call["to"], self.talked(call, seconds, call["ended"] - call["start"]))
        more = price - call["cost"]
        loss = max(0, more - (self.model["balance"] - self.held))
        self.take("correction", more, loss)
        call |= {
            "told": seconds,
            "cost": price,
            "paid": call["paid"] + more - loss,
            "after": self.model["balance"],
        }

    # --- the card and the clock ---

    @precondition(lambda self: not self.model["locked"])
    @rule()
    def lock(self) -> None:
        lifecycle.lock(self.db, card_id=self.card.id, reason="Lost", actor=OPERATOR, now=self.now)
        self.model["locked"] = True

    @precondition(lambda self: self.model["locked"])
    @rule()
    def unlock(self) -> None:
        lifecycle.unlock(self.db, self.vault, card_id=self.card.id, actor=OPERATOR, now=self.now)
        self.model["locked"] = False

    @rule(seconds=st.integers(1, 100))
    def later(self, seconds: int) -> None:
        self.line.later(seconds)

    @rule(days=st.sampled_from([0, 0, 0, 1, 9, 33]))
    def days_later(self, days: int) -> None:
        self.line.later(days * 86_400)

    # --- what must be ---

    @invariant()
    def the_card_is_as_the_model_says(self) -> None:
        card = facts(self.db, self.card)
        expected = (self.model["balance"], self.held, len(self.live), self.model["expires_at"])
        assert (card.balance, card.held, card.live_calls, card.expires_at) == expected
        assert status_of(card, self.now) == self.status()
        assert facts(self.db, self.partner).balance == self.partner_has

    def status(self) -> str:
        if self.model["locked"]:
            return "locked"
        if self.expired:
            return "expired"
        if self.model["balance"] == 0:
            return "empty"
        return "active" if self.model["used"] else "unused"

    def teardown(self) -> None:
        for ref in list(self.live):
            self.settled(ref, 0, {"told": 0})
            self.line.end(ref, seconds=0)
        with self.db.connection() as conn:
            rows = conn.execute(
                "SELECT kind, amount FROM ledger_entry WHERE card_id = %s", (self.card.id,)
            ).fetchall()
        # Calls that fall due at one moment are swept in any order; all else was compared step by step.
        assert sorted(tuple(row) for row in rows) == sorted(self.model["entries"])
        assert facts(self.db, self.card).held == 0


def test_a_card_is_what_a_model_of_plain_dicts_says(db: Database, vault: Vault) -> None:
    class InThisWorld(Life):
        world = World(db, vault)

    lives = settings(
        max_examples=scaled(2_000, 30),
        stateful_step_count=50,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(InThisWorld, settings=lives)
