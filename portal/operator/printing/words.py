"""The sentences of printing: papers, fields of a card, why cards are left out, what a run's state means."""

from __future__ import annotations

from collections.abc import Mapping

from engine.stock.printing.design import Design
from engine.stock.printing.layouts import LABELS, LAYOUTS, RECEIPT, SHEET, SINGLE, Layout
from portal.formats import cards_that

KIND_WORDS = {SINGLE: "Single cards", RECEIPT: "Receipts", LABELS: "Scratch labels"}
FIELD_WORDS = {
    "denomination": "Face value",
    "serial": "Serial number",
    "barcode": "Serial number as a barcode, for scanners",
    "qr": "QR code that opens the cardholder's page",
    "access_numbers": "Access numbers",
    "instructions": "How to call, in steps",
    "expiry": "How long it is valid",
    "terms": "Terms",
    "help": "The brand's help line",
}
LEFT_WORDS = {
    "issued": "were printed or handed out before",
    "no_password": "have no password that could be printed any more",
    "damaged": "are voided",
    "used": "are in use already",
    "locked": "are locked",
    "expired": "are expired",
    "sold": "are sold already",
    "not_charged": "can be used without being paid for. Activate them first, then print",
}
"""After a count of cards, for more than one."""
STATES = {
    "queued": ("calm", "Waiting"),
    "making": ("calm", "Being made"),
    "ready": ("good", "Ready to print"),
    "confirmed": ("good", "Printed"),
    "gone": ("faint", "Deleted"),
    "cancelled": ("warn", "Cancelled"),
    "failed": ("bad", "Failed"),
}


def papers() -> list[tuple[str, list[Layout]]]:
    """Every paper, in groups as people look for them."""
    groups: dict[str, list[Layout]] = {}
    for layout in LAYOUTS.values():
        name = f"Sheets, {layout.paper}" if layout.kind == SHEET else KIND_WORDS[layout.kind]
        groups.setdefault(name, []).append(layout)
    return list(groups.items())


def paper_of(design: Design) -> str:
    """What a design is printed on, and on how many sides."""
    own = ", own measures" if design.measures else ""
    return f"{design.paper.name}{own}{', front and back' if design.sides == 2 else ''}"


def left_out(why: Mapping[str, int]) -> list[str]:
    """Why cards of a range are not printed: a sentence for each reason."""
    return [f"{cards_that(cards, LEFT_WORDS.get(reason, reason))}." for reason, cards in why.items() if cards]


def sheets_of(cards: int, start_at: int, paper: Layout) -> int:
    """How many sheets so many cards need, the first of which is used up to before `start_at`."""
    return -(-(cards + start_at - 1) // paper.up)


def way(micrometres: int, over: str, under: str) -> str:
    """How far and in which direction: `1.5 mm right`."""
    return f"{abs(micrometres) / 1000:g} mm {under if micrometres < 0 else over}"
