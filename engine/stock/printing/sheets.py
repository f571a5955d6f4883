"""The pages of cards: the faces as form XObjects, placed on each sheet, and what differs stamped over them.

Positions come from the layout (`faces`), fonts from the pages of signs behind the faces: subset by whoever laid them
out, embedded once for all pages. A page is a few hundred bytes a card, made and compressed one after the other.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, BinaryIO, cast

import pikepdf
from pikepdf import Array, Dictionary, Name

from engine.stock.printing import marks
from engine.stock.printing.design import PrintCard
from engine.stock.printing.faces import Laid, Slot
from engine.stock.printing.layouts import MARKS, SINGLE, Layout
from engine.stock.printing.markup import TEXT_SLOTS, text_of

_MM = 72 / 25.4
_QUICK = 1
"""How hard pages are compressed: smaller files take twice the time."""


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a run: pages (two a sheet where it has a back) and cards on them."""

    pages: int
    cards: int


def pages_of(paper: Layout, sides: int, cards: int, start_at: int = 1) -> int:
    """How many pages so many cards take, the first at place `start_at` (from 1) of its sheet."""
    return -(-(cards + start_at - 1) // paper.up) * sides


def write(
    file: BinaryIO | io.RawIOBase,
    laid: Laid,
    cards: Iterable[PrintCard],
    *,
    start_at: int = 1,
    offset_um: tuple[int, int] = (0, 0),
    on_cards: Callable[[int], None] = lambda cards: None,
) -> Written:
    """Write a PDF of all cards into `file`, which only has to be written to.

    `start_at`: the place (from 1) on the first sheet, for one that was used in part. `offset_um`: how far everything is
    moved to the right and down, in micrometres. `on_cards` is told after each sheet how many cards there were so far.
    """
    with pikepdf.new() as pdf:
        stamp = _Stamp(pdf, laid, offset_um)
        done, source, first = 0, iter(cards), start_at - 1
        while sheet := list(islice(source, laid.paper.up - first)):
            for side in range(len(laid.faces)):
                stamp.add_page(sheet, first, side)
            done, first = done + len(sheet), 0
            on_cards(done)
        pages = len(pdf.pages)
        pdf.save(
            cast(BinaryIO, file), compress_streams=False, object_stream_mode=pikepdf.ObjectStreamMode.generate
        )
    return Written(pages, done)


class _Stamp:
    """Makes the pages of one file."""

    def __init__(self, pdf: pikepdf.Pdf, laid: Laid, offset_um: tuple[int, int]) -> None:
        self.pdf, self.laid, self.paper = pdf, laid, laid.paper
        self.height = (laid.paper.page_height or 0) * _MM
        self.moved = (offset_um[0] / 1000 * _MM, -offset_um[1] / 1000 * _MM)
        with pikepdf.open(io.BytesIO(laid.pdf)) as source:
            faces = [
                pdf.copy_foreign(source.pages[side].as_form_xobject()) for side in range(len(laid.faces))
            ]
            fonts = _Fonts(pdf, source, len(faces), laid.alphabets)
        self.resources = pdf.make_indirect(
            Dictionary(
                XObject=Dictionary({f"/Face{side}": face for side, face in enumerate(faces)}), Font=fonts.used
            )
        )
        self.texts = {name: _Text(fonts.signs[name]) for name in TEXT_SLOTS}
        self.drawers: dict[int, marks.QrDrawer] = {}
        self.crop = _crop_marks(self.paper) if self.paper.kind == SINGLE else b""

    def add_page(self, cards: Sequence[PrintCard], first: int, side: int) -> None:
        """One side of a sheet, with cards from place `first` on."""
        stamped = self._stamped(cards, side)
        parts = [b"1 0 0 1 %.3f %.3f cm\n" % self.moved] if self.moved != (0.0, 0.0) else []
        edge = self.paper.bleed * _MM
        for place, card in enumerate(stamped, first):
            left, top = self.paper.corner(place, back=side == 1)
            bottom = self.height - (top + self.paper.measures.height) * _MM
            parts.append(b"q 1 0 0 1 %.3f %.3f cm\n" % (left * _MM, bottom))
            parts.append(b"q 1 0 0 1 %.3f %.3f cm /Face%d Do Q\n" % (-edge, -edge, side))
            parts += [card, self.crop, b"Q\n"]
        content = self.pdf.make_stream(zlib.compress(b"".join(parts), _QUICK), Filter=Name.FlateDecode)
        page = Dictionary(
            Type=Name.Page,
            MediaBox=Array([0, 0, _number(self.paper.page_width * _MM), _number(self.height)]),
            Resources=self.resources,
            Contents=content,
        )
        if self.paper.kind == SINGLE:
            page.TrimBox, page.BleedBox = self._box(0.0), self._box(self.paper.bleed)
        self.pdf.pages.append(pikepdf.Page(self.pdf.make_indirect(page)))

    def _box(self, around: float) -> Array:
        at = self.paper.measures
        left, bottom = at.left - around, (self.paper.page_height or 0) - at.top - at.height - around
        corners = (left, bottom, left + at.width + 2 * around, bottom + at.height + 2 * around)
        return Array([_number(corner * _MM) for corner in corners])

    def _stamped(self, cards: Sequence[PrintCard], side: int) -> list[bytes]:
        """What differs on a face, for each card, as operators from the card's lower left corner."""
        parts: list[list[bytes]] = [[] for _ in cards]
        for slot in self.laid.faces[side]:
            for card, drawn in zip(parts, self._drawn(slot, cards), strict=True):
                card.append(drawn)
        return [b"".join(card) for card in parts]

    def _drawn(self, slot: Slot, cards: Sequence[PrintCard]) -> Iterator[bytes]:
        if slot.name == "qr":
            for card in cards:
                drawer = self._drawer(len(card.number))
                module = slot.width / (drawer.size + 2 * marks.QUIET_QR)
                at = marks.QUIET_QR * module
                placed = (module, module, slot.x + at, slot.y + slot.height - at)
                yield b"q 0 g %.4f 0 0 %.4f %.3f %.3f cm\n" % placed + drawer.paths([card.number])[0] + b"Q\n"
        elif slot.name == "barcode":
            for card in cards:
                module = slot.width / (marks.code128_modules(card.serial) + 2 * marks.QUIET_CODE)
                placed = (module, slot.height, slot.x + marks.QUIET_CODE * module, slot.y)
                yield (
                    b"q 0 g %.4f 0 0 %.3f %.3f %.3f cm\n" % placed + marks.code128_path(card.serial) + b"Q\n"
                )
        else:
            text = self.texts[slot.name]
            for card in cards:
                yield text.drawn(slot, text_of(card, slot.name, self.laid.language))

    def _drawer(self, length: int) -> marks.QrDrawer:
        if length not in self.drawers:
            self.drawers[length] = marks.QrDrawer(self.laid.log_in_url + "#", length)
        return self.drawers[length]


@dataclass(frozen=True, slots=True)
class _Sign:
    """How a sign is shown: the font's name on the page, its code there in hex, how far it moves on (1/1000 em)."""

    font: str
    code: str
    advance: float


class _Fonts:
    """The fonts of the pages of signs, and how each slot's signs are shown in them."""

    def __init__(self, pdf: pikepdf.Pdf, source: pikepdf.Pdf, first: int, alphabets: dict[str, str]) -> None:
        self.used = Dictionary()
        self.signs: dict[str, dict[str, _Sign]] = {}
        for page, (slot, signs) in enumerate(alphabets.items(), first):
            shown = list(_shown(source.pages[page]))
            fonts = source.pages[page].Resources.Font
            widths = {name: _widths(fonts[name]) for name in {name for name, _ in shown}}
            for name in widths:
                if name not in self.used:
                    self.used[name] = pdf.copy_foreign(fonts[name])
            self.signs[slot] = {
                sign: _Sign(name, f"{code:04x}", widths[name].get(code, 0.0))
                for sign, (name, code) in zip(signs, shown, strict=True)
            }


def _shown(page: pikepdf.Page) -> Iterator[tuple[str, int]]:
    """The signs of a page in the order they are shown: font and code (two bytes)."""
    font = ""
    for instruction in pikepdf.parse_content_stream(page):
        operator = str(instruction.operator)
        if operator == "Tf":
            font = str(instruction.operands[0])
        elif operator == "TJ":
            for part in instruction.operands[0]:
                if isinstance(part, pikepdf.String):
                    codes = bytes(part)
                    for at in range(0, len(codes), 2):
                        yield font, int.from_bytes(codes[at : at + 2], "big")


def _widths(font: Any) -> dict[int, float]:
    """How far each code of a font moves on: its array of runs, `first [width …]` or `first last width`."""
    made: dict[int, float] = {}
    runs = list(font.DescendantFonts[0].W)
    while runs:
        first, second = int(runs.pop(0)), runs.pop(0)
        if isinstance(second, Array):
            made.update({first + at: float(width) for at, width in enumerate(second)})
        else:
            made.update(dict.fromkeys(range(first, int(second) + 1), float(runs.pop(0))))
    return made


class _Text:
    """Draws the text of one slot."""

    def __init__(self, signs: dict[str, _Sign]) -> None:
        self.signs = signs

    def drawn(self, slot: Slot, text: str) -> bytes:
        """The text in its slot."""
        if not text:
            return b""
        signs = [self.signs[sign] for sign in text]
        width = sum(sign.advance for sign in signs) * slot.size / 1000
        x = slot.x + (slot.width - width) * (slot.align + 1) / 2
        runs, font = [], ""
        for sign in signs:
            if sign.font != font:
                runs.append(f"{'> Tj ' if font else ''}{sign.font} {slot.size:.3f} Tf <")
                font = sign.font
            runs.append(sign.code)
        red, green, blue = slot.colour
        start = f"BT {red:.4g} {green:.4g} {blue:.4g} rg 1 0 0 1 {x:.3f} {slot.baseline:.3f} Tm "
        return f"{start}{''.join(runs)}> Tj ET\n".encode()


def _crop_marks(paper: Layout) -> bytes:
    """Lines outside the bleed that say where a card is cut, from its lower left corner."""
    width, height = paper.measures.width * _MM, paper.measures.height * _MM
    near, far = paper.bleed * _MM, (paper.bleed + MARKS - 1) * _MM
    lines = []
    for x in (0.0, width):
        lines += [(x, -near, x, -far), (x, height + near, x, height + far)]
    for y in (0.0, height):
        lines += [(-near, y, -far, y), (width + near, y, width + far, y)]
    drawn = b"".join(b"%.3f %.3f m %.3f %.3f l\n" % line for line in lines)
    return b"q 0 G 0.25 w\n" + drawn + b"S Q\n"


def _number(value: float) -> float:
    return round(value, 3)
