"""What people do in the demo world besides calling: they sell, recharge, help, lock, replace, correct and decide."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from demo.customers import Customer
from demo.people import FUNDING
from demo.stock import PLANS
from demo.world import Piece, World, run_work, usd
from engine.bulk import runs
from engine.bulk.orders import BulkOrder
from engine.cards import binding, lifecycle
from engine.cards.search import CardFilter
from engine.errors import ConsentNeeded, EngineError, Refused
from engine.funds import accounts, autorules, bonus, recharges, replacements, transfers
from engine.funds.vouchers import Redeemed, redeem_voucher
from engine.people import consents, policy
from engine.stock import custody
from engine.stock.custody import Range
from engine.vault import Secret

Task = tuple[int, float, Callable[[], None]]

_LOCK_REASONS = ("Card reported lost", "Calls from two cities within minutes", "Chargeback at the shop")
_DAMAGE_REASONS = ("Scratch panel was open when sold", "Card stolen from the shop", "Number printed wrong")


@dataclass(slots=True)
class Office:
    """Today's desk: who is served, which vouchers are left in the drawer."""

    world: World
    dice: random.Random
    vouchers: list[Piece] = field(default_factory=list)
    spent: list[Piece] = field(default_factory=list)
    rule_id: int = 0
    keys: int = 0

    def key(self) -> str:
        """A key for a write that must count once, however often a line breaks."""
        self.keys += 1
        return f"demo-{self.keys}"


def agenda(office: Office) -> list[Task]:
    """What is planned long before, as (day, hour, what)."""
    world = office.world
    return [
        (4, 9.0, lambda: _bonus(world, "Welcome", 4, first_only=True, percent_bp=1_000, least=usd("5.00"))),
        (50, 9.0, lambda: _bonus(world, "Autumn", 50, days=21, percent_bp=500, least=usd("10.00"))),
        (7, 12.0, lambda: office.vouchers.extend(_drawer(world))),
        (15, 9.2, lambda: _auto_rule(office)),
        (28, 14.0, lambda: _deposit(world, "Corner Phone Shop", "1000.00", 28)),
        (47, 14.0, lambda: _deposit(world, "Airport Kiosks", "2500.00", 47)),
        (63, 14.0, lambda: _deposit(world, "Harbour Grocers", "750.00", 63)),
        (70, 14.0, lambda: _deposit(world, FUNDING, "1500.00", 70)),
        (26, 7.0, lambda: _bulk(office, "extend", "promo", 26, "Network was down for a day", days=14)),
        (
            56,
            7.0,
            lambda: _bulk(office, "recharge", "latin", 56, "Holiday present", amount=usd("1.00"), bonus=0),
        ),
        (
            74,
            7.0,
            lambda: _bulk(office, "change_rules", "family", 74, "Asked by their reseller", rules="Careful"),
        ),
        (
            60,
            9.0,
            lambda: policy.set_setting(
                world.db, "consent_recharge_over", 75, world.who("admin"), world.at(60)
            ),
        ),
    ]


def serve(office: Office, people: list[Customer], day: int) -> None:
    """Customers whose last call was refused come to the desk, or don't."""
    hour = 9.5
    for one in people:
        if not one.wants or one.gone or one.starts >= day:
            continue
        hour = min(18.0, hour + 0.02)
        at = office.world.at(day, hour)
        if at <= one.free_from:
            continue
        if one.wants == "recharge":
            _recharged(office, one, day, hour)
        elif one.wants == "extension" and office.dice.random() < 0.3:
            _extended(office, one, day, hour)
        else:
            one.gone = True
        one.wants, one.free_from = "", at + timedelta(minutes=5)


def _recharged(office: Office, one: Customer, day: int, hour: float) -> None:
    world, dice = office.world, office.dice
    draw, at = dice.random(), world.at(day, hour)
    if draw < 0.22 and office.vouchers and one.key != "europe":
        voucher = office.vouchers.pop(0)
        custody.mark_sold(world.db, Range(voucher.id, voucher.id), world.who("operations"), at)
        told = redeem_voucher(
            world.db,
            world.vault,
            switch=world.switches[one.switch],
            credentials=one.piece.credentials,
            caller=one.caller,
            voucher_number=voucher.number,
            voucher_password=Secret(voucher.password),
            key=office.key(),
            now=at + timedelta(minutes=2),
        )
        if isinstance(told, Redeemed):
            office.spent.append(voucher)
    elif draw < 0.5:
        recharge(office, one, dice.choice(("5.00", "10.00", "10.00", "20.00")), day, hour)
    else:
        one.gone = draw < 0.85  # the others come back another day


def recharge(office: Office, one: Customer, amount: str, day: int, hour: float, **more: str) -> None:
    """An operator recharges a card; what its state forbids is said at the counter, and nothing is written."""
    try:
        recharges.recharge(
            office.world.db,
            card_id=one.piece.id,
            amount=usd(amount),
            key=office.key(),
            actor=office.world.who(more.get("by", "operations")),
            reason=more.get("reason", "Paid at the counter"),
            now=office.world.at(day, hour),
        )
    except Refused:
        one.gone = True


def _extended(office: Office, one: Customer, day: int, hour: float) -> None:
    lifecycle.extend(
        office.world.db,
        card_id=one.piece.id,
        days=30,
        key=office.key(),
        reason="Goodwill, asked at the hotline",
        actor=office.world.who("support"),
        now=office.world.at(day, hour),
    )


def desk(office: Office, people: list[Customer], day: int) -> None:
    """A few cards of each day are looked after: locked, unlocked, voided, replaced, moved, corrected."""
    present = [one for one in people if one.known and not one.gone and one.starts < day]
    if len(present) < 6:
        return
    acts = (_lock, _unlock_later, _damage, _replace, _transfer, _adjust, _care, _lend, _bind)
    for n in range(1 + (day % 3 == 0)):
        act, one = acts[(day + 4 * n) % len(acts)], office.dice.choice(present)
        at = office.world.at(day, 10.5 + n)
        if one.free_from < at:
            try:
                act(office, one, present, day, 10.5 + n)
            except EngineError:
                continue  # the card's state forbids it, which is what the desk would have seen, too
            one.free_from = at + timedelta(minutes=10)


def _lock(office: Office, one: Customer, others: list[Customer], day: int, hour: float) -> None:
    world = office.world
    reason = office.dice.choice(_LOCK_REASONS)
    lifecycle.lock(
        world.db, card_id=one.piece.id, reason=reason, actor=world.who("support"), now=world.at(day, hour)
    )
    one.gone = True


def _unlock_later(office: Office, one: Customer, others: list[Customer], day: int, hour: float) -> None:
    world, support = office.world, office.world.who("support")
    at = world.at(day, hour)
    lifecycle.lock(world.db, card_id=one.piece.id, reason="Card reported lost", actor=support, now=at)
    lifecycle.unlock(
        world.db,
        world.vault,
        card_id=one.piece.id,
        reason="Found again; holder knew the last three calls",
        actor=world.who("night"),
        now=at + timedelta(minutes=8),
    )


def _damage(office: Office, one: Customer, others: list[Customer], day: int, hour: float) -> None:
    world = office.world
    reason = office.dice.choice(_DAMAGE_REASONS)
    lifecycle.damage(
        world.db, card_id=one.piece.id, reason=reason, actor=world.who("night"), now=world.at(day, hour)
    )
    one.gone = True


def _replace(office: Office, one: Customer, others: list[Customer], day: int, hour: float) -> None:
    """The next unsold card of the same batch takes the place of a lost one."""
    world, lot = office.world, office.world.lots[one.key]
    taken = {other.piece.id for other in others}
    spare = next((piece for piece in reversed(lot.cards) if piece.id not in taken), None)
    if spare is None or spare == one.piece or PLANS[one.key].order.get("release"):
        return
    replacements.replace_card(
        world.db,
        old_id=one.piece.id,
        new_id=spare.id,
        reason="Card unreadable after it was scratched",
        actor=world.who("support"),
        now=world.at(day, hour),
    )
    lot.cards.remove(spare)
    one.piece = spare


def _transfer(office: Office, one: Customer, others: list[Customer], day: int, hour: float) -> None:
    world = office.world
    target = next((other for other in others if other is not one and other.key == one.key), None)
    if target is None:
        return
    transfers.transfer(
        world.db,
        from_id=one.piece.id,
        to_id=target.piece.id,
        key=office.key(),
        reason="Two cards made one at the holder's wish",
        actor=world.who("operations"),
        now=world.at(day, hour),
    )
    one.gone = True
    target.free_from = max(target.free_from, world.at(day, hour) + timedelta(minutes=5))


def _adjust(office: Office, one: Customer, others: list[Customer], day: int, hour: float) -> None:
    world = office.world
    cents = office.dice.choice((50, 75, 120, 200))
    recharges.adjust(
        world.db,
        card_id=one.piece.id,
        amount=cents * 10_000,
        reason="Call dropped twice, complaint upheld",
        key=office.key(),
        actor=world.who("finance"),
        now=world.at(day, hour),
    )


def _care(office: Office, one: Customer, others: list[Customer], day: int, hour: float) -> None:
    world = office.world
    new = lifecycle.reset_password(
        world.db,
        world.vault,
        card_id=one.piece.id,
        reason="Holder forgot it; proved the card by its receipt",
        actor=world.who("support"),
        now=world.at(day, hour),
    )
    one.piece = Piece(one.piece.id, one.piece.number, new.value)


def _lend(office: Office, one: Customer, others: list[Customer], day: int, hour: float) -> None:
    world = office.world
    lifecycle.set_concurrency(
        world.db,
        card_id=one.piece.id,
        calls=2,
        reason="Shared by two at home",
        actor=world.who("operations"),
        now=world.at(day, hour),
    )


def _bind(office: Office, one: Customer, others: list[Customer], day: int, hour: float) -> None:
    world = office.world
    bound = next((other for other in others if other.plan.order.get("binding")), None)
    if bound is None:
        return
    binding.unbind(
        world.db,
        card_id=bound.piece.id,
        caller=bound.caller,
        reason="New phone number",
        actor=world.who("support"),
        now=world.at(day, hour),
    )
    bound.known = False  # the next call from there binds it again


def _bonus(world: World, name: str, day: int, *, days: int = 0, **rule: int | bool) -> None:
    ends = world.at(day) + timedelta(days=days) if days else None
    bonus.add_rule(
        world.db,
        name=name,
        currency="USD",
        ends_at=ends,
        actor=world.who("finance"),
        now=world.at(day),
        **rule,
    )


def _drawer(world: World) -> list[Piece]:
    fives, tens = world.lots["voucher5"].cards, world.lots["voucher10"].cards
    return [piece for pair in zip(fives, tens, strict=False) for piece in pair]


def _auto_rule(office: Office) -> None:
    world = office.world
    rule = autorules.add_rule(
        world.db,
        name="Business never empty",
        threshold=usd("10.00"),
        amount=usd("20.00"),
        account_id=world.accounts[FUNDING],
        day_limit=usd("40.00"),
        month_limit=usd("200.00"),
        actor=world.who("finance"),
        now=world.at(15, 9.2),
    )
    office.rule_id = rule.id
    autorules.enrol(
        world.db,
        rule_id=rule.id,
        card_ids=[piece.id for piece in world.lots["business"].cards],
        reason="Contract customers",
        actor=world.who("finance"),
        now=world.at(15, 9.4),
    )


def _bulk(office: Office, verb: str, key: str, day: int, reason: str, **params: Any) -> None:
    """One command for all cards of a batch, done as the background work that it leaves."""
    world, at = office.world, office.world.at(day, 7.0)
    order = BulkOrder(verb, CardFilter(batch_id=world.lots[key].batch_id), params, reason)
    run_id = runs.confirm(world.db, order, world.who("operations"), at, office.key())
    with world.db.connection() as conn:
        row: Any = conn.execute("SELECT work_id FROM bulk_run WHERE id = %s", (run_id,)).fetchone()
    run_work(world, row.work_id, runs.KIND, at + timedelta(seconds=4))


def _deposit(world: World, account: str, amount: str, day: int) -> None:
    finance, at = world.who("finance"), world.at(day, 14.0)
    asked = {"account_id": world.accounts[account], "amount": usd(amount), "reason": "Bank transfer"}
    try:
        accounts.deposit(world.db, actor=finance, now=at, **asked)  # type: ignore[arg-type]
    except ConsentNeeded as needed:
        consent_id = consents.ask(
            world.db, **needed.data, reason="It is on our statement", actor=finance, now=at
        )
        later = at + timedelta(minutes=20)
        consents.decide(world.db, consent_id=consent_id, approve=True, actor=world.who("admin"), now=later)
        accounts.deposit(world.db, actor=finance, now=later + timedelta(minutes=5), **asked)  # type: ignore[arg-type]


def consent(office: Office, one: Customer, day: int, amount: str, *, decide: bool) -> None:
    """A large recharge needs a second person: asked for, and given where `decide`."""
    world, at = office.world, office.world.at(day, 13.0)
    operations, key = world.who("operations"), office.key()
    asked = {"card_id": one.piece.id, "amount": usd(amount), "bonus": None, "reason": "Paid by invoice"}
    try:
        recharges.recharge(world.db, key=key, actor=operations, now=at, **asked)  # type: ignore[arg-type]
    except ConsentNeeded as needed:
        consent_id = consents.ask(world.db, **needed.data, reason="Invoice is paid", actor=operations, now=at)
        if not decide:
            return
        later = at + timedelta(minutes=30)
        consents.decide(world.db, consent_id=consent_id, approve=True, actor=world.who("finance"), now=later)
        recharges.recharge(world.db, key=key, actor=operations, now=later + timedelta(minutes=5), **asked)  # type: ignore[arg-type]


__all__ = ["Office", "agenda", "consent", "desk", "recharge", "serve"]
