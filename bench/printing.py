"""How fast 10,000 cards become a PDF of ten a sheet, each with QR and bar code, against reportlab drawing the same.

Both draw the same design: reportlab draws every card anew, texts, frames, logo band and codes; its QR codes are given
to it as finished matrices (its own take ten milliseconds each). CPU seconds of one process, layout included. After
it the memory of one run of 100,000 cards, in a process of its own.
"""

from __future__ import annotations

import io
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import process_time

import numpy as np
from reportlab.graphics.barcode.code128 import Code128
from reportlab.lib.colors import HexColor
from reportlab.pdfgen.canvas import Canvas

from bench.report import Report, interleaved
from engine.stock.printing import faces, marks, sheets
from engine.stock.printing.design import Design, Look, PrintCard
from engine.stock.printing.markup import grouped

CARDS, MANY = 10_000, 100_000
ROUNDS = 3
GOAL = 0.8
MOST_MB = 300
MM = 72 / 25.4
DESIGN = Design("a4-10", tagline="Call home for less")
LOOK = Look(
    "Harbour Calling",
    "#123a7a",
    access_numbers=(("London", "+44 20 7946 0018"), ("Free", "0800 368 0018")),
    log_in_url="https://cards.example.com/card/log-in",
)


def run(report: Report, url: str) -> None:
    """Both in turn, the ratio of the medians; then the memory of a large run. The database is not asked."""
    scale = float(os.environ.get("CARDTONE_BENCH_SCALE", "1"))
    cards = list(_cards(max(100, int(CARDS * scale))))
    ours_s, peer_s = interleaved(ROUNDS, lambda: _timed(_ours, cards), lambda: _timed(_reportlab, cards))
    report.figure(
        f"printing: {len(cards):,} cards in {ours_s:.2f} CPU s, {len(cards) / ours_s:,.0f} a second"
    )
    report.figure(f"printing: reportlab in {peer_s:.2f} CPU s, {len(cards) / peer_s:,.0f} a second")
    report.ratio("printing", peer_s / ours_s, GOAL)
    many = max(100, int(MANY * scale))
    told = subprocess.run(
        [sys.executable, "-m", "bench.printing", str(many)], capture_output=True, check=True, text=True
    )
    peak = int(told.stdout)
    report.figure(f"printing: {many:,} cards in one run, at most {peak} MB")
    report.ratio("printing_memory", MOST_MB / peak, 1.0)


def _cards(count: int) -> Iterator[PrintCard]:
    """Cards that are the same in every run."""
    digits = random.Random(1)  # no card of anybody's
    for at in range(count):
        number, password = digits.randrange(10**12), digits.randrange(10**8)
        serial = f"{10_000_000_000 + at:011d}"
        yield PrintCard(serial, f"{number:012d}", f"{password:08d}", 10_000_000, "USD", None, 90)


def _timed(make: object, cards: list[PrintCard]) -> float:
    started = process_time()
    make(cards)  # type: ignore[operator]
    return process_time() - started


def _ours(cards: list[PrintCard]) -> None:
    laid = faces.lay_out(DESIGN, LOOK, cards[0])
    sheets.write(io.BytesIO(), laid, cards)


def _reportlab(cards: list[PrintCard]) -> None:
    paper = DESIGN.paper
    height = paper.page_height or 0
    canvas = Canvas(io.BytesIO(), pagesize=(paper.page_width * MM, height * MM), pageCompression=1)
    drawer = marks.QrDrawer(f"{LOOK.log_in_url}#", 12)
    for first in range(0, len(cards), paper.up):
        for place, card in enumerate(cards[first : first + paper.up]):
            left, top = paper.corner(place)
            canvas.saveState()
            canvas.translate(left * MM, (height - top - paper.measures.height) * MM)
            _card(canvas, card, drawer)
            canvas.restoreState()
        canvas.showPage()
    canvas.save()


def _card(canvas: Canvas, card: PrintCard, drawer: marks.QrDrawer) -> None:
    """One card as our design has it, by the means that reportlab has."""
    canvas.setFillColor(HexColor("#123a7a"))
    canvas.rect(0, 42 * MM, 85 * MM, 12 * MM, stroke=0, fill=1)
    canvas.setFillColor(HexColor("#ffffff"))
    for font, size, x, y, text in (
        ("Helvetica-Bold", 12, 9, 134, LOOK.name),
        ("Helvetica", 7, 9, 124, DESIGN.tagline),
        ("Helvetica-Bold", 16, 195, 130, "$10"),
    ):
        canvas.setFont(font, size)
        canvas.drawString(x, y, text)
    canvas.setFillColor(HexColor("#111111"))
    for label, y, digits, width in (
        ("Card number", 110, card.number, 100),
        ("Password", 84, card.password, 70),
    ):
        canvas.setFont("Helvetica", 6)
        canvas.drawString(9, y, label)
        canvas.roundRect(9, y - 18, width, 15, 2)
        canvas.setFont("Helvetica-Bold", 11)
        canvas.drawString(13, y - 14, grouped(digits))
    lines = [f"{number} {name}" for name, number in LOOK.access_numbers]
    canvas.setFont("Helvetica", 6.6)
    for at, line in enumerate((*lines, "Days of use from the first call: 90", "Balance and recharge")):
        canvas.drawString(9, 58 - 9 * at, line)
    canvas.drawString(9, 18, "Serial number")
    canvas.drawString(9, 9, grouped(card.serial))
    code = Code128(card.serial, barWidth=0.8, barHeight=16, humanReadable=False, quiet=False)
    code.drawOn(canvas, 110, 9)
    canvas.setFillColor(HexColor("#000000"))
    module = 57 / (drawer.size + 8)
    path = canvas.beginPath()
    for row, bits in enumerate(np.unpackbits(drawer.matrices([card.number])[0], axis=1)[:, : drawer.size]):
        edges = np.flatnonzero(np.diff(np.concatenate(([0], bits, [0]))))
        for start, end in zip(edges[::2], edges[1::2], strict=True):
            y = 55 + (drawer.size - row) * module
            path.rect(180 + float(start) * module, y, float(end - start) * module, module)
    canvas.drawPath(path, stroke=0, fill=1)


if __name__ == "__main__":

    class Nowhere(io.RawIOBase):
        """Takes everything and keeps nothing, as a file does."""

        def writable(self) -> bool:
            return True

        def write(self, data: object) -> int:
            return len(data)  # type: ignore[arg-type]

    wanted = int(sys.argv[1])
    laid_out = faces.lay_out(DESIGN, LOOK, next(_cards(1)))
    assert sheets.write(Nowhere(), laid_out, _cards(wanted)).cards == wanted  # type: ignore[arg-type]
    # Not getrusage: its peak would be that of the process we were forked from.
    (most,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    print(int(most) // 1024)
