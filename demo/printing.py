"""What is printed in the demo world: brands, designs, printers, runs that came out well and one that waits."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from io import BytesIO
from typing import Any

from PIL import Image, ImageDraw

from demo.people import CORNER
from demo.world import DAYS, World, run_work
from engine.actor import Actor
from engine.people import brands
from engine.stock.custody import Range
from engine.stock.printing import design, designs, files, printers, runs

SCRATCH, PLASTIC, RECEIPT = "Scratch card, A4", "Plastic card, English and Spanish", "Receipt, 80 mm"
_LOG_IN = "https://cards.example/card/log-in"
_FULL = design.starters()[RECEIPT].fields


def agenda(world: World) -> list[tuple[int, float, Callable[[], None]]]:
    """What is prepared and printed in the office, as (day, hour, what)."""
    return [
        (0, 13.0, lambda: _brands(world)),
        (1, 8.5, lambda: _designs(world)),
        (86, 13.0, lambda: _press(world)),
        (DAYS, 0.0, lambda: _waiting(world)),
    ]


def print_cards(world: World, cards: Range, name: str, printer: str, actor: Actor, at: datetime) -> None:
    """A run as somebody orders it; its file is made here and now, and it came out well."""
    run_id = _order(world, cards, name, printer, actor, at)
    with world.db.connection() as conn:
        row: Any = conn.execute("SELECT work_id FROM print_run WHERE id = %s", (run_id,)).fetchone()
    run_work(world, row.work_id, runs.KIND, at + timedelta(seconds=6))
    fetched = files.fetch(world.db, world.vault, run_id, actor, lambda: at + timedelta(minutes=2))
    for _ in fetched.pieces:
        pass  # to the printer
    runs.confirm(world.db, run_id, actor, at + timedelta(minutes=25))


def _order(world: World, cards: Range, name: str, printer: str, actor: Actor, at: datetime) -> int:
    design_id = next(one.id for one in designs.designs(world.db) if one.name == name)
    known = printers.printers(world.db, actor.reseller_id)
    return runs.order(
        world.db,
        world.vault,
        cards,
        design_id,
        world.files,
        actor,
        at,
        log_in_url=_LOG_IN,
        printer_id=next(one.id for one in known if one.name == printer),
    )


def _brands(world: World) -> None:
    at, help_ = world.at(0, 13.0), {"help_phone": "+1 800 555 0199", "help_hours": "Every day, 8 to 22"}
    brands.set_brand(
        world.db,
        None,
        "Long Distance Cards",
        "#0b6b64",
        world.who("operations"),
        at,
        logo=_logo("#0b6b64"),
        **help_,
    )
    brands.set_brand(
        world.db,
        world.resellers[CORNER],
        "Corner Calls",
        "#8a2a5b",
        world.people["corner"],
        world.at(0, 17.0),
        help_phone="+1 212 555 0142",
        logo=_logo("#8a2a5b"),
    )


def _logo(colour: str) -> bytes:
    """A call that goes out: a dot, and three waves."""
    picture = Image.new("RGBA", (480, 480))
    pen = ImageDraw.Draw(picture)
    pen.ellipse((20, 380, 100, 460), fill=colour)
    for reach in (180, 300, 420):
        pen.arc((60 - reach, 420 - reach, 60 + reach, 420 + reach), 270, 360, fill=colour, width=56)
    file = BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def _designs(world: World) -> None:
    operations, at = world.who("operations"), world.at(1, 8.5)
    made = {
        SCRATCH: design.Design("a4-10", tagline="Call home for less"),
        PLASTIC: design.Design("cr80", sides=2, languages=("en", "es"), fields=_FULL),
        RECEIPT: design.Design("receipt-80", fields=_FULL),
    }
    for name, one in made.items():
        designs.add(world.db, name, one, operations, at, for_resellers=name != PLASTIC)
    printers.add(world.db, "Office laser", (1_200, -400), operations, at)
    printers.add(world.db, "Till", (0, 800), world.people["corner-till"], world.at(1, 9.5))


def _press(world: World) -> None:
    """A batch that is printed in the house."""
    cards = world.lots["press"].whole
    print_cards(world, cards, SCRATCH, "Office laser", world.who("operations"), world.at(86, 13.0))


def _waiting(world: World) -> None:
    """Some cards of the newest batch were ordered just now: the jobs process will make their file."""
    first = world.lots["fresh"].first_id
    _order(world, Range(first, first + 9), SCRATCH, "Office laser", world.who("operations"), world.now)
