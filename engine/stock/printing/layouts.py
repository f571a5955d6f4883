"""The paper that cards are printed on, in millimetres: sheets, single cards, receipts and labels.

Sheets and labels have the measures of the common perforated papers; where somebody's sheet is cut otherwise, a design
brings measures of its own (`Measures`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from engine.errors import InvalidInput

SHEET, SINGLE, RECEIPT, LABELS = "sheet", "single", "receipt", "labels"
BLEED, MARKS = 3.0, 5.0
"""Around a single card: how far its ground goes over the cut, and how long the crop marks beyond are."""
LEAST_CARD, MOST_PAPER = 10.0, 330.0


@dataclass(frozen=True, slots=True)
class Measures:
    """Where the cards of a sheet are: from its edges to the first one, each card's size, and between them."""

    left: float
    top: float
    width: float
    height: float
    gap_x: float
    gap_y: float


@dataclass(frozen=True, slots=True)
class Layout:
    """One kind of paper. `height` None: as long as the receipt gets. `two_sided`: it may have a back."""

    code: str
    kind: str
    paper: str
    name: str
    page_width: float
    page_height: float | None
    columns: int
    rows: int
    measures: Measures
    two_sided: bool = False

    @property
    def up(self) -> int:
        """Cards on a page."""
        return self.columns * self.rows

    @property
    def bleed(self) -> float:
        """How far a face goes over the cut."""
        return BLEED if self.kind == SINGLE else 0.0

    def corner(self, place: int, *, back: bool = False) -> tuple[float, float]:
        """Left and top of the card at `place` (0: the first, by rows). On the back the columns run the other way."""
        row, column = divmod(place, self.columns)
        if back:
            column = self.columns - 1 - column
        at = self.measures
        # The back of a sheet is turned around its long edge: what is left in front is right behind.
        left = at.left if not back else self.page_width - at.left - self._across()
        return left + column * (at.width + at.gap_x), at.top + row * (at.height + at.gap_y)

    def with_measures(self, own: Measures | None) -> Layout:
        """The same paper, cut otherwise. Raises `InvalidInput` (measures_fixed, cards_off_the_paper)."""
        if own is None:
            return self
        if self.kind not in (SHEET, LABELS):
            raise InvalidInput("measures_fixed", field="measures")
        made = replace(self, measures=own)
        small = min(own.left, own.top, own.gap_x, own.gap_y) < 0 or min(own.width, own.height) < LEAST_CARD
        right, bottom = own.left + made._across(), own.top + self.rows * (own.height + own.gap_y) - own.gap_y
        if small or right > self.page_width + 0.05 or bottom > (self.page_height or MOST_PAPER) + 0.05:
            raise InvalidInput("cards_off_the_paper", field="measures", paper=self.paper)
        return made

    def _across(self) -> float:
        at = self.measures
        return self.columns * (at.width + at.gap_x) - at.gap_x


def _sheet(code: str, paper: str, columns: int, rows: int, *measures: float, kind: str = SHEET) -> Layout:
    width, height = _PAPERS[paper]
    at = Measures(*measures)
    size = f"{at.width:g} × {at.height:g} mm"
    noun = "labels" if kind == LABELS else "cards"
    name = f"{paper}, {columns * rows} {noun} a sheet, {size}"
    return Layout(code, kind, paper, name, width, height, columns, rows, at, two_sided=kind == SHEET)


_PAPERS = {"A4": (210.0, 297.0), "Letter": (215.9, 279.4)}


def _receipt(code: str, roll: float, printable: float) -> Layout:
    at = Measures((roll - printable) / 2, 2.0, printable, 0.0, 0.0, 0.0)
    return Layout(code, RECEIPT, f"{roll:g} mm roll", f"Receipt, {roll:g} mm roll", roll, None, 1, 1, at)


_AROUND = BLEED + MARKS
LAYOUTS = {
    made.code: made
    for made in (
        _sheet("a4-8", "A4", 2, 4, 15, 25.5, 85, 54, 10, 10),
        _sheet("a4-10", "A4", 2, 5, 15, 13.5, 85, 54, 10, 0),
        _sheet("a4-12", "A4", 3, 4, 7.25, 4.5, 63.5, 72, 2.5, 0),
        _sheet("letter-8", "Letter", 2, 4, 17.4625, 14.8, 85.725, 59.267, 9.525, 4.233),
        _sheet("letter-10", "Letter", 2, 5, 19.05, 12.7, 88.9, 50.8, 0, 0),
        _sheet("letter-12", "Letter", 2, 6, 19.05, 12.7, 88.9, 42.333, 0, 0),
        Layout(
            "cr80",
            SINGLE,
            "CR80",
            "Single plastic card (CR80), 85.6 × 53.98 mm, with bleed and crop marks",
            85.6 + 2 * _AROUND,
            53.98 + 2 * _AROUND,
            1,
            1,
            Measures(_AROUND, _AROUND, 85.6, 53.98, 0, 0),
            two_sided=True,
        ),
        _receipt("receipt-58", 58, 48),
        _receipt("receipt-80", 80, 72),
        _sheet("labels-a4-65", "A4", 5, 13, 4.75, 10.7, 38.1, 21.2, 2.5, 0, kind=LABELS),
        _sheet("labels-letter-80", "Letter", 4, 20, 7.62, 12.7, 44.45, 12.7, 7.62, 0, kind=LABELS),
    )
}
"""Every paper by its code."""
