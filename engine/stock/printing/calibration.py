"""A page to measure a printer by: where each card should be, and rulers that say how far beside it everything went."""

from __future__ import annotations

from collections.abc import Iterator

from engine.errors import InvalidInput
from engine.stock.printing.layouts import LABELS, SHEET, Layout

_RULER = 30
"""Millimetres of a ruler."""
_ROOM = 60
"""Millimetres that the text needs across; where cards are narrower it stands over them."""


def page(paper: Layout, offset_um: tuple[int, int] = (0, 0)) -> bytes:
    """A PDF of one page of a sheet: the outline of each card, a cross where the first one's corner should be, rulers.

    With an `offset_um` (right and down, in micrometres) it prints as the cards would: the outlines should lie on the
    perforation. Raises `InvalidInput` ("one_card_a_page"): there is nothing to line up on other paper.
    """
    from weasyprint import CSS, HTML  # loads the text libraries, which only printing needs
    from weasyprint.urls import URLFetcher

    if paper.kind not in (SHEET, LABELS):
        raise InvalidInput("one_card_a_page", field="layout")
    nowhere = URLFetcher(allowed_protocols=())
    right, down = offset_um[0] / 1000, offset_um[1] / 1000
    html = HTML(
        string=f"<!doctype html><body>{''.join(_parts(paper, right, down))}</body>", url_fetcher=nowhere
    )
    style = CSS(
        string=_CSS + f"@page {{ size: {paper.page_width}mm {paper.page_height}mm; margin: 0 }}",
        url_fetcher=nowhere,
    )
    made: bytes = html.write_pdf(stylesheets=[style])
    return made


def _parts(paper: Layout, right: float, down: float) -> Iterator[str]:
    at = paper.measures
    for place in range(paper.up):
        left, top = paper.corner(place)
        yield _box("card", left + right, top + down, at.width, at.height)
    left, top = paper.corner(0)
    # The rulers stand where the paper says the card's edges are: the distance to the perforation is read off them.
    for step in range(-_RULER // 2, _RULER // 2 + 1):
        length = 4.0 if step % 5 == 0 else 2.0
        yield _box("tick", left + right + step, top + down + at.height / 2, 0, length)
        yield _box("tick", left + right + at.width / 2, top + down + step, length, 0)
    yield _told(paper, right, down)


def _told(paper: Layout, right: float, down: float) -> str:
    at = paper.measures
    told = (
        f"<b>{paper.name}</b><br>Print this page on plain paper at 100 %, without “fit to page”. Lay it on a cut "
        "sheet and hold both against the light. The ticks are 1 mm apart. If the perforation is to the right of the "
        "line, the offset to the right is that many millimetres; if it is below the line, the offset down is. Now: "
        f"{abs(right):.1f} mm {'left' if right < 0 else 'right'}, {abs(down):.1f} mm {'up' if down < 0 else 'down'}."
    )
    if at.width < _ROOM or paper.up == 1:
        middle = (paper.page_width - _ROOM) / 2
        return (
            f'<p class="over" style="left:{middle}mm;top:{paper.page_width / 2}mm;width:{_ROOM}mm">{told}</p>'
        )
    left, top = paper.corner(paper.columns)
    return f'<p style="left:{left + right + 2}mm;top:{top + down + 1}mm;width:{at.width - 4}mm">{told}</p>'


def _box(kind: str, left: float, top: float, width: float, height: float) -> str:
    return f'<i class="{kind}" style="left:{left}mm;top:{top}mm;width:{width}mm;height:{height}mm"></i>'


_CSS = """
body { font: 7pt "Noto Sans", "DejaVu Sans", sans-serif; margin: 0 }
i, p { position: absolute; margin: 0; display: block }
.over { background: #ffffff; padding: 2mm; outline: 0.15mm solid #000000 }
.card { outline: 0.15mm solid #000000 }
.tick { outline: 0.05mm solid #000000 }
"""
