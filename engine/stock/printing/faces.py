"""The faces of a card, laid out once: WeasyPrint sets everything that all cards share, and tells where the rest goes.

A design is filled into fixed HTML (`markup`), every text of it escaped; nothing is fetched from anywhere. What differs
from card to card (number, password, serial, denomination, last day, codes) stands in it as placeholders. After the
layout their places are read from WeasyPrint's own tree of boxes. The text in them is not drawn: it is stamped later
(`sheets`), in the same fonts, whose signs stand on pages of their own at the end.

Text that does not fit makes everything smaller, step by step; where that is not enough the design is refused.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from engine.errors import InvalidInput
from engine.stock.printing import markup
from engine.stock.printing.design import Design, Look, PrintCard
from engine.stock.printing.layouts import RECEIPT, Layout, Measures

_SCALES = (1.15, 1.07, 1.0, 0.94, 0.88, 0.82, 0.77, 0.72, 0.67, 0.62)
_POINT = 0.75
"""Points of a CSS pixel."""
_MM = 72 / 25.4
_LONG_ROLL, _TEAR = 600.0, 6.0
_CLEAR = 3.0
"""Pixels that stay free between parts, and between letters and the edge."""
_HAIR = 0.01
"""Pixels that rounding takes."""
_ALIGN = {"left": -1, "start": -1, "center": 0, "right": 1, "end": 1}


@dataclass(frozen=True, slots=True)
class Slot:
    """A place on a face, in points from its lower left corner (that of the cut card where there is a bleed).

    For text: its `baseline`, the `size` of its letters, `align` (-1 left, 0 centre, 1 right), its colour (red, green,
    blue from 0 to 1).
    """

    name: str
    x: float
    y: float
    width: float
    height: float
    baseline: float = 0.0
    size: float = 0.0
    align: int = -1
    colour: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Laid:
    """A design as it was laid out. `pdf`: a page for each face (`faces` tells their slots), then one for each of
    `alphabets`, on which the signs stand, in this order, that the slot of that name may hold. `paper` has its height.
    """

    paper: Layout
    pdf: bytes
    faces: tuple[tuple[Slot, ...], ...]
    alphabets: dict[str, str]
    language: str
    log_in_url: str


def lay_out(design: Design, look: Look, sample: PrintCard) -> Laid:
    """Lay the faces out for cards such as `sample`, whose texts are as long as any of theirs.

    Raises `InvalidInput` ("design_too_full").
    """
    paper = design.paper
    if paper.kind == RECEIPT:
        # As long as what is on it, and a little to tear off.
        long = _render(design, look, sample, replace(paper, measures=_tall(paper, _LONG_ROLL)), [1.0])
        content = next(box for box in _walk(long.boxes[0]) if "body" in _classes(box))
        at = _tall(paper, round(_bottom_of(content) * _POINT / _MM + 0.5, 1))
        paper = replace(paper, page_height=at.height + 2 * at.top + _TEAR, measures=at)
        return _laid(design, look, paper, sample, _render(design, look, sample, paper, [1.0]))

    @cache
    def at_step(step: int) -> _Rendered:
        return _render(design, look, sample, paper, [_SCALES[step]] * design.sides)

    # What fits in one size fits in each smaller one: the largest is found by halves, for each side by itself.
    steps = [
        bisect_left(range(len(_SCALES)), True, key=lambda step, side=side: _fits(at_step(step), side))  # type: ignore[misc]
        for side in range(design.sides)
    ]
    if max(steps) == len(_SCALES):
        raise InvalidInput("design_too_full", field="terms" if design.terms else "fields")
    if len(set(steps)) == 1:
        return _laid(design, look, paper, sample, at_step(steps[0]))
    scales = [_SCALES[step] for step in steps]
    return _laid(design, look, paper, sample, _render(design, look, sample, paper, scales))


def _tall(paper: Layout, height: float) -> Measures:
    return replace(paper.measures, height=height)


# --- the layout ---


@dataclass(frozen=True, slots=True)
class _Rendered:
    document: Any
    alphabets: dict[str, str]

    @property
    def boxes(self) -> list[Any]:
        """The root box of each page."""
        return [page._page_box for page in self.document.pages]


def _render(design: Design, look: Look, sample: PrintCard, paper: Layout, scales: list[float]) -> _Rendered:
    from weasyprint import CSS, HTML  # loads the text libraries, which only printing needs
    from weasyprint.urls import URLFetcher

    language = design.languages[0]
    alphabets = {slot: markup.alphabet(slot, sample, language) for slot in markup.TEXT_SLOTS}
    nowhere = URLFetcher(allowed_protocols=["data"])
    style = CSS(string=markup.style(design, look, paper, scales), url_fetcher=nowhere)
    html = HTML(string=markup.document(design, look, sample, alphabets), url_fetcher=nowhere)
    return _Rendered(html.render(stylesheets=[style]), alphabets)


def _laid(design: Design, look: Look, paper: Layout, sample: PrintCard, rendered: _Rendered) -> Laid:
    edge = paper.bleed * _MM
    faces = tuple(tuple(_slots(box, edge)) for box in rendered.boxes[: design.sides])
    pdf = rendered.document.write_pdf()
    return Laid(paper, pdf, faces, rendered.alphabets, design.languages[0], look.log_in_url)


def _fits(rendered: _Rendered, side: int) -> bool:
    """Whether everything on a face stands inside its card, and nothing on something else."""
    parts = [box for root in rendered.boxes for box in _walk(root) if f"side{side}" in _classes(box)]
    if len(parts) > 1:
        return False  # it goes on on a second page
    face = parts[0]
    body = next(box for box in _walk(face) if "body" in _classes(box))
    pinned = next((box for box in _walk(face) if "pinned" in _classes(box)), None)
    floor = _bottom_of(face) if pinned is None else pinned.position_y + pinned.margin_top - _CLEAR
    floats = [box for box in _walk(body) if "codes" in _classes(box)]
    left, right = face.position_x + _CLEAR, face.position_x + face.width - _CLEAR
    labels = [box for box in _walk(face) if "label" in _classes(box) and getattr(box, "width", None)]
    return (
        max(_bottom_of(box) for box in (body, *floats)) <= floor
        and all(left <= box.position_x and box.position_x + box.width <= right for box in _lines(face))
        and all(line.width <= box.width + _HAIR for box in labels for line in _lines(box))
    )


def _bottom_of(box: Any) -> float:
    return float(box.position_y + box.margin_height())


def _lines(box: Any) -> Iterator[Any]:
    return (part for part in _walk(box) if hasattr(part, "pango_layout"))


def _walk(box: Any) -> Iterator[Any]:
    yield box
    for child in getattr(box, "children", ()):
        yield from _walk(child)


def _classes(box: Any) -> list[str]:
    element = getattr(box, "element", None)
    return (
        (element.get("class") or "").split() if element is not None and box.element_tag == element.tag else []
    )


def _slots(root: Any, edge: float) -> Iterator[Slot]:
    height = root.height * _POINT
    seen = set()
    for box in _walk(root):
        element = getattr(box, "element", None)
        name = element.get("data-slot") if element is not None else None
        if name is None or id(element) in seen:
            continue
        seen.add(id(element))
        yield _slot(name, box, height, edge)


def _slot(name: str, box: Any, page_height: float, edge: float) -> Slot:
    text = next(_lines(box), None)
    x, y = box.content_box_x() * _POINT, page_height - (box.content_box_y() + box.height) * _POINT
    slot = Slot(name, x - edge, y - edge, box.width * _POINT, box.height * _POINT)
    if text is None:
        return slot
    red, green, blue = box.style["color"].to("srgb").coordinates[:3]
    return replace(
        slot,
        baseline=page_height - (text.position_y + text.baseline) * _POINT - edge,
        size=text.style["font_size"] * _POINT,
        align=_ALIGN.get(box.style["text_align_all"], -1),
        colour=(float(red), float(green), float(blue)),
    )
