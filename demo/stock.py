"""The batches of the demo world: one in every stage that a batch can be in, ordered on the days when they were."""

from __future__ import annotations

import csv
import io
import secrets
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from demo.people import CORNER, RESELLERS
from demo.rates import AMERICAS, EUROPE, WORLD
from demo.world import DAYS, Lot, World, pieces_of, run_work, usd
from engine.stock import custody, resale, shipments, shredding
from engine.stock.batches import GENERATE, BatchOrder, discard, order_batch
from engine.stock.custody import Range
from engine.stock.export import export_batch
from engine.stock.imports import import_cards

LEAST = 12
"""Cards of a batch in the smallest world."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A batch as it is planned. Days count from the first; None: it does not come to that.

    `custody` holds until which stage it comes; what is "printed" is printed in the house (`demo.printing`). `live`: the
    days between which its cards come into use, and what part of them.
    """

    region: str
    count: int
    price: str
    day: int
    order: dict[str, Any] = field(default_factory=dict)
    custody: str = "shipped"
    shred: bool = False
    live: tuple[int, int, float] | None = None
    appetite: float = 1.0


PLANS = {
    "corner": Plan("Corner", 360, "5.00", 1, {}, "sold", True, (4, 84, 0.4)),
    "airport": Plan(
        "Airport", 300, "10.00", 1, {"grace_days": 30, "extension_days": 60}, "sold", True, (5, 86, 0.35)
    ),
    "promo": Plan(
        "Promo", 140, "2.00", 2, {"validity_days": 30, "grace_days": 15}, "sold", True, (4, 30, 0.6), 2.2
    ),
    "pinless": Plan(
        "Direct",
        120,
        "20.00",
        5,
        {"binding": "single", "pinless": True, "deck": WORLD},
        "sold",
        True,
        (8, 80, 0.45),
        1.6,
    ),
    "family": Plan(
        "Family", 110, "10.00", 8, {"binding": "multi", "max_bound": 3}, "sold", False, (11, 82, 0.4)
    ),
    "business": Plan(
        "Business",
        160,
        "50.00",
        10,
        {"release": "activation", "concurrency": 3},
        "sold",
        False,
        (16, 80, 0.15),
    ),
    "latin": Plan(
        "Latin", 130, "5.00", 14, {"deck": AMERICAS, "language": "es"}, "sold", True, (18, 85, 0.45), 1.4
    ),
    "europe": Plan(
        "Europe", 120, "10.00", 18, {"currency": "EUR", "deck": EUROPE}, "sold", False, (22, 84, 0.35)
    ),
    "budget": Plan(
        "Budget",
        100,
        "5.00",
        20,
        {
            "maintenance_fee": usd("0.49"),
            "maintenance_days": 14,
            "post_call_fee": usd("0.05"),
            "destination_rules": "Careful",
        },
        "sold",
        False,
        (23, 75, 0.45),
    ),
    "fortnight": Plan(
        "Fortnight",
        100,
        "3.00",
        44,
        {"validity_days": 28, "validity_from": "generation", "grace_days": 120, "extension_days": 30},
        "sold",
        False,
        (47, 70, 0.4),
    ),
    "summer": Plan(
        "Summer",
        90,
        "5.00",
        3,
        {"validity_days": 35, "validity_from": "generation", "grace_days": 14},
        "sold",
        True,
        (5, 36, 0.4),
    ),
    "harbour": Plan("Harbour", 200, "5.00", 30, {"release": "activation"}, "shipped", False, (34, 84, 0.3)),
    "transit": Plan("Airport", 240, "20.00", 82, {}, "shipped"),
    "counter": Plan("Counter", 80, "10.00", 48, {"release": "activation"}, "made"),
    "press": Plan("Corner", 220, "10.00", 86, {}, "printed"),
    "fresh": Plan("Harbour", 300, "10.00", DAYS - 1, {}, "made"),
}
"""Every calling card batch by its key; vouchers, the imported and the discarded one follow."""

VOUCHERS = {
    "voucher5": Plan("Voucher", 160, "5.00", 6, {"kind": "voucher", "deck": None}, "sold"),
    "voucher10": Plan("Voucher", 110, "10.00", 6, {"kind": "voucher", "deck": None}, "sold"),
}

RESELLER_OF = {
    "corner": CORNER,
    "airport": "Airport Kiosks",
    "harbour": "Harbour Grocers",
    "transit": "Airport Kiosks",
}
"""Whose stock a batch is once it was shipped."""


def agenda(world: World) -> list[tuple[int, float, Callable[[], None]]]:
    """What the stock room does, as (day, hour, what)."""
    tasks: list[tuple[int, float, Callable[[], None]]] = []
    for key, plan in {**PLANS, **VOUCHERS}.items():
        tasks.append((plan.day, 9.5, lambda key=key, plan=plan: _order(world, key, plan)))
        if plan.custody in ("shipped", "sold"):
            tasks.append((plan.day, 15.0, lambda key=key, plan=plan: _print(world, key, plan)))
            tasks.append((plan.day + 1, 11.0, lambda key=key, plan=plan: _ship(world, key, plan)))
        if plan.shred:
            tasks.append((plan.day + 2, 16.5, lambda key=key, plan=plan: _shred(world, key, plan)))
    tasks.append((12, 10.0, lambda: _import_old(world)))
    tasks.append((13, 11.0, lambda: _discard(world)))
    return tasks


def sell(world: World, key: str, ids: list[int], day: int) -> None:
    """Cards that stand side by side go over the counter; what is held back is activated there.

    A reseller's are sold by its own till, which its account is charged for. Harbour activates some without telling
    that they were sold, so that the report of such cards has something to show.
    """
    cards, at = Range(min(ids), max(ids)), world.at(day, 9.2)
    held = PLANS[key].order.get("release") == "activation"
    if key in RESELLER_OF:
        till = world.people[f"{RESELLERS[RESELLER_OF[key]][3]}-till"]
        if held:
            resale.activate(world.db, cards, till, at)
        if not held or day % 4:
            resale.sell(world.db, cards, till, at + timedelta(minutes=2))
        return
    operations = world.who("operations")
    custody.mark_sold(world.db, cards, operations, at)
    if held:
        custody.activate(world.db, cards, operations, at + timedelta(minutes=3), "Contract signed")


def name_of(world: World, plan: Plan) -> str:
    """Region, denomination, month, as the order form proposes it."""
    return f"{plan.region}_{plan.price.split('.')[0]}_{world.at(plan.day):%b}"


def count_of(world: World, plan: Plan) -> int:
    """How many cards of it this size of the world has."""
    return max(LEAST, round(plan.count * world.size.cards))


def _order(world: World, key: str, plan: Plan) -> None:
    at = world.at(plan.day, 9.5)
    order = BatchOrder(
        **{
            "name": name_of(world, plan),
            "count": count_of(world, plan),
            "denomination": usd(plan.price),
            "currency": "USD",
            "deck": WORLD,
            "number_prefix": "70",
            **plan.order,
        }
    )
    ordered = order_batch(world.db, world.vault, order, world.who("operations"), at)
    run_work(world, ordered.work_id, GENERATE, at + timedelta(seconds=20))
    used = 1.0 if plan.live is None or "release" in plan.order else plan.live[2]
    wanted = round(order.count * min(1.0, used + 0.1)) if plan.live or order.kind == "voucher" else 0
    first = _first_id(world, ordered.batch_id)
    cards = pieces_of(world, ordered.batch_id, wanted) if wanted else []
    world.lots[key] = Lot(order.name, ordered.batch_id, first, first + order.count - 1, cards)


def _first_id(world: World, batch_id: int) -> int:
    with world.db.connection() as conn:
        row: Any = conn.execute("SELECT first_id FROM batch WHERE id = %s", (batch_id,)).fetchone()
    return int(row.first_id)


def _print(world: World, key: str, plan: Plan) -> None:
    """The file for the printer is handed out (and, in the demo world, thrown away), then the print is confirmed."""
    lot, at = world.lots[key], world.at(plan.day, 15.0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{lot.name}.csv"
        export_batch(
            world.db,
            world.vault,
            lot.name,
            "csv",
            path,
            world.who("operations"),
            at,
            reason="For the printer",
        )
    custody.mark_printed(world.db, lot.whole, world.who("operations"), at + timedelta(hours=2))


def _ship(world: World, key: str, plan: Plan) -> None:
    """Out of the warehouse; it arrives the next morning, but for what is under way still."""
    cards, at = world.lots[key].whole, world.at(plan.day + 1, 11.0)
    reseller = RESELLER_OF.get(key)
    if reseller is not None:
        resale.assign(
            world.db,
            cards,
            world.who("operations"),
            at,
            reseller_id=world.resellers[reseller],
            reason="Their order",
        )
    sent = shipments.send(
        world.db,
        [cards],
        None if reseller else "Our own counter",
        world.who("night"),
        at + timedelta(minutes=10),
        reseller_id=world.resellers[reseller] if reseller else None,
        carrier="Parcel service" if reseller else "Own van",
        tracking=f"PS {plan.day:03}-{cards.first % 10_000:04}" if reseller else None,
    )
    if plan.live or key in VOUCHERS:
        who = world.people[RESELLERS[reseller][3]] if reseller else world.who("operations")
        shipments.receive(world.db, sent.id, who, world.at(plan.day + 2, 8.5))


def _shred(world: World, key: str, plan: Plan) -> None:
    shredding.shred(
        world.db,
        world.lots[key].name,
        world.who("operations"),
        world.at(plan.day + 2, 16.5),
        "Print run confirmed",
    )


def _import_old(world: World) -> None:
    """Cards of the system that the operator had before, with what was left on them."""
    count, at = max(8, round(80 * world.size.cards)), world.at(12, 10.0)
    dice = world.dice("old")
    text = io.StringIO()
    sheet = csv.writer(text, lineterminator="\n")
    sheet.writerow(("card number", "pin", "balance", "expiry", "status"))
    for n in range(count):
        number, pin = f"31{secrets.randbelow(10**10):010}", f"{secrets.randbelow(10**6):06}"
        state = "active" if n % 9 else dice.choice(("locked", "unused", "expired"))
        expiry = (
            world.at(5) if state == "expired" else world.at(DAYS) + timedelta(days=dice.randrange(20, 200))
        )
        sheet.writerow((number, pin, f"{dice.randrange(20, 900) / 100:.2f}", f"{expiry:%Y-%m-%d}", state))
    order = BatchOrder(
        name="Old system",
        count=1,
        denomination=0,
        currency="USD",
        deck=WORLD,
        grace_days=30,
        extension_days=30,
    )
    import_cards(
        world.db, world.vault, order, text.getvalue().encode(), "old-cards.csv", world.who("operations"), at
    )


def _discard(world: World) -> None:
    """Somebody ordered ten times too many, and saw it at once."""
    at, operations = world.at(13, 11.0), world.who("operations")
    order = BatchOrder(
        name="Promo_2_typo", count=15_000, denomination=usd("2.00"), currency="USD", deck=WORLD
    )
    order_batch(world.db, world.vault, order, operations, at)
    discard(world.db, order.name, operations, at + timedelta(minutes=1), "Wrong count, ordered again")
