"""A design seen before anything is printed: the first sheet as the run would make it, with cards of zeros."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pikepdf
import pypdfium2

from engine.money import MICROS
from engine.stock.printing import sheets
from engine.stock.printing.design import Design, Look, PrintCard
from engine.stock.printing.faces import Laid, lay_out
from engine.stock.printing.words import LANGUAGES

SAMPLE = PrintCard("00000000000", "0" * 12, "0" * 8, 10 * MICROS, "USD", None, 90)
"""A card that cannot be: no number and no password is all zeros with a serial of zeros."""


def sheet(design: Design, look: Look, *, sample: PrintCard = SAMPLE) -> bytes:
    """One full sheet as PDF, front and back, each card marked as a sample. Raises `InvalidInput` (design_too_full)."""
    laid = lay_out(design, look, sample)
    file = io.BytesIO()
    with (
        pikepdf.open(io.BytesIO(_sheet(laid, sample))) as pdf,
        pikepdf.open(io.BytesIO(_marks(laid))) as marks,
    ):
        for page, mark in zip(pdf.pages, marks.pages, strict=False):
            page.add_overlay(mark, pikepdf.Rectangle(*(float(side) for side in page.mediabox)))
        pdf.save(file)
    return file.getvalue()


def pictures(
    design: Design, look: Look, *, width_px: int = 900, sample: PrintCard = SAMPLE, one: bool = False
) -> list[bytes]:
    """The sides of one sheet as PNG pictures `width_px` wide; `one`: of the first card alone. Raises as `sheet`."""
    laid = lay_out(design, look, sample)
    return _drawn(_sheet(laid, sample, cards=1 if one else laid.paper.up), width_px, laid if one else None)


def _marks(laid: Laid) -> bytes:
    """A page for each side on which nothing stands but, over each card, that it is a sample."""
    from weasyprint import CSS, HTML  # loads the text libraries, which only printing needs
    from weasyprint.urls import URLFetcher

    at, words = laid.paper.measures, LANGUAGES[laid.language]
    size = min(at.height / 2, at.width / 6)
    sides = []
    for side in range(len(laid.faces)):
        corners = (laid.paper.corner(place, back=side == 1) for place in range(laid.paper.up))
        # Twice, beside one another: it is read on white and on any colour.
        marks = (
            f'<p class="under" style="left:{left + 0.5}mm;top:{top + 0.5}mm">{words.sample}</p>'
            f'<p style="left:{left}mm;top:{top}mm">{words.sample}</p>'
            for left, top in corners
        )
        sides.append(f"<section>{''.join(marks)}</section>")
    style = (
        f"@page {{ size: {laid.paper.page_width}mm {laid.paper.page_height}mm; margin: 0 }}"
        "body { margin: 0; font-family: 'Noto Sans', 'DejaVu Sans', sans-serif; font-weight: 700; color: #c00000 }"
        "section { break-after: page; position: relative; height: 1mm } section:last-child { break-after: auto }"
        f"p {{ position: absolute; margin: 0; opacity: 0.3; text-align: center; font-size: {size}mm;"
        f" width: {at.width}mm; line-height: {at.height}mm }}"
        ".under { color: #ffffff; opacity: 0.6 }"
    )
    nowhere = URLFetcher(allowed_protocols=())
    html = HTML(string=f'<body lang="{laid.language}">{"".join(sides)}', url_fetcher=nowhere)
    made: bytes = html.write_pdf(stylesheets=[CSS(string=style, url_fetcher=nowhere)])
    return made


def _sheet(laid: Laid, sample: PrintCard, cards: int | None = None) -> bytes:
    file = io.BytesIO()
    sheets.write(file, laid, [sample] * (cards or laid.paper.up))
    return file.getvalue()


def _drawn(pdf: bytes, width_px: int, card_of: Laid | None) -> list[bytes]:
    made = []
    with pypdfium2.PdfDocument(pdf) as document:
        for side, page in enumerate(document):
            width, height = page.get_size()
            crop = (0.0, 0.0, 0.0, 0.0) if card_of is None else _around(card_of, side, width, height)
            seen = width - crop[0] - crop[2]
            picture = page.render(scale=width_px / seen, crop=crop).to_pil()
            file = io.BytesIO()
            picture.convert("RGB").quantize(128).save(file, "PNG", optimize=True)
            made.append(file.getvalue())
            page.close()
    return made


def _around(laid: Laid, side: int, width: float, height: float) -> tuple[float, float, float, float]:
    """What is cut away (left, bottom, right, top; points) so that the first card is seen alone."""
    point = 72 / 25.4
    left, top = laid.paper.corner(0, back=side == 1)
    at = laid.paper.measures
    right, bottom = width - (left + at.width) * point, height - (top + at.height) * point
    cut: Sequence[float] = (left * point, bottom, right, top * point)
    return (max(cut[0], 0.0), max(cut[1], 0.0), max(cut[2], 0.0), max(cut[3], 0.0))
