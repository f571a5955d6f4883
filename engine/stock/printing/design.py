"""A design: what an operator fills in to have cards printed. No template: fixed places, filled with texts and colours.

Whatever is left open comes from the brand that the cards wear (`Look`): a reseller prints the same design with its own
name, colour and logo.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from types import MappingProxyType
from typing import Any

from engine.errors import InvalidInput
from engine.names import check_control
from engine.stock.printing.layouts import LABELS, LAYOUTS, Layout, Measures
from engine.stock.printing.words import LANGUAGES

FIELDS = (
    "denomination",
    "serial",
    "barcode",
    "qr",
    "access_numbers",
    "instructions",
    "expiry",
    "terms",
    "help",
)
"""What may be left out. The card number and the password are always there."""
ON_LABELS = ("denomination", "serial")
"""Those of them that a label has room for."""
MOST_LANGUAGES = 2
MOST_ACCESS_NUMBERS = 6
LONGEST_LINE, LONGEST_TEXT = 60, 1_000
_COLOUR = re.compile(r"#[0-9a-f]{6}", re.ASCII)
_NONE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Design:
    """How cards are printed.

    `layout`: a code of `layouts.LAYOUTS`; `measures` where the sheet is cut otherwise. `sides` 2: a front without
    secrets, and a back. `languages`: one or two of `words.LANGUAGES`, the first leads. `colour` (`#rrggbb`) and `title`
    None: the brand's. `logo`: whether one is printed. `instructions` and `terms` by language; where one has none,
    the standard instructions and no terms are printed. `fields`: which of `FIELDS`. `access_numbers`: which ones; none:
    all that are in use, at most `MOST_ACCESS_NUMBERS`.
    """

    layout: str = "a4-10"
    sides: int = 1
    languages: tuple[str, ...] = ("en",)
    colour: str | None = None
    logo: bool = True
    title: str | None = None
    tagline: str | None = None
    instructions: Mapping[str, str] = field(default_factory=lambda: _NONE)
    terms: Mapping[str, str] = field(default_factory=lambda: _NONE)
    fields: tuple[str, ...] = ("denomination", "serial", "barcode", "qr", "access_numbers", "expiry")
    access_numbers: tuple[str, ...] = ()
    measures: Measures | None = None

    @property
    def paper(self) -> Layout:
        """Its layout, cut as the design says."""
        return LAYOUTS[self.layout].with_measures(self.measures)


@dataclass(frozen=True, slots=True)
class Look:
    """What a design does not say itself: the brand's name, colour and logo (PNG), whom to ask for help, the access
    numbers as pairs of name and number, and the address that QR codes lead to.
    """

    name: str = "Cardtone"
    colour: str = "#0b6b64"
    logo: bytes | None = None
    help_phone: str | None = None
    access_numbers: tuple[tuple[str, str], ...] = ()
    log_in_url: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class PrintCard:
    """What is printed of one card. `amount` is its face value in micro-units; `last_day` where it is known already."""

    serial: str
    number: str
    password: str
    amount: int
    currency: str
    last_day: date | None = None
    validity_days: int | None = None

    def __repr__(self) -> str:
        return f"PrintCard({self.serial})"


def checked(design: Design) -> Design:
    """The design with its texts stripped. Raises `InvalidInput`: unknown_layout, not_a_choice, one_side_only,
    bad_colour, too_long, control_character, measures_fixed, cards_off_the_paper.
    """
    if design.layout not in LAYOUTS:
        raise InvalidInput("unknown_layout", field="layout")
    paper = design.paper
    if design.sides not in (1, 2):
        raise InvalidInput("not_a_choice", field="sides", allowed=(1, 2))
    if design.sides == 2 and not paper.two_sided:
        raise InvalidInput("one_side_only", field="sides")
    _check_choices(design.languages, LANGUAGES, "languages", least=1, most=MOST_LANGUAGES)
    _check_choices(design.fields, FIELDS, "fields", least=0, most=len(FIELDS))
    if len(set(design.access_numbers)) > MOST_ACCESS_NUMBERS:
        raise InvalidInput("too_many_choices", field="access_numbers", high=MOST_ACCESS_NUMBERS)
    colour = None if design.colour is None else design.colour.strip().lower()
    if colour is not None and not _COLOUR.fullmatch(colour):
        raise InvalidInput("bad_colour", field="colour")
    return replace(
        design,
        colour=colour,
        title=_line(design.title, "title"),
        tagline=_line(design.tagline, "tagline"),
        instructions=_texts(design.instructions, "instructions"),
        terms=_texts(design.terms, "terms"),
    )


def as_settings(design: Design) -> dict[str, Any]:
    """The design as JSON keeps it."""
    kept = {name: getattr(design, name) for name in _PLAIN}
    return {
        **kept,
        "languages": list(design.languages),
        "fields": list(design.fields),
        "access_numbers": list(design.access_numbers),
        "instructions": dict(design.instructions),
        "terms": dict(design.terms),
        "measures": None if design.measures is None else asdict(design.measures),
    }


def from_settings(kept: Mapping[str, Any]) -> Design:
    """The design of `as_settings`."""
    measures = kept.get("measures")
    return Design(
        **{name: kept[name] for name in _PLAIN},
        languages=tuple(kept["languages"]),
        fields=tuple(kept["fields"]),
        access_numbers=tuple(kept["access_numbers"]),
        instructions=dict(kept["instructions"]),
        terms=dict(kept["terms"]),
        measures=None if measures is None else Measures(**measures),
    )


def starters() -> dict[str, Design]:
    """Designs to begin with, by a name that says what they are for."""
    full = (
        "denomination",
        "serial",
        "barcode",
        "qr",
        "access_numbers",
        "instructions",
        "expiry",
        "terms",
        "help",
    )
    return {
        "A4 sheet, 10 cards": Design("a4-10"),
        "Letter sheet, 10 cards": Design("letter-10"),
        "Plastic card, two sides": Design("cr80", sides=2, fields=full),
        "Receipt, 80 mm": Design("receipt-80", fields=full),
        "Scratch labels, A4": Design("labels-a4-65", logo=False, fields=("serial",)),
    }


def shown_fields(design: Design) -> tuple[str, ...]:
    """The fields that have room on the layout: labels are too small for most of them."""
    if design.paper.kind == LABELS:
        return tuple(name for name in design.fields if name in ON_LABELS)
    return design.fields


_PLAIN = ("layout", "sides", "colour", "logo", "title", "tagline")


def _check_choices(given: tuple[str, ...], known: Any, name: str, *, least: int, most: int) -> None:
    if len(set(given)) != len(given) or not set(given) <= set(known):
        raise InvalidInput("not_a_choice", field=name, allowed=tuple(known))
    if not least <= len(given) <= most:
        raise InvalidInput("too_many_choices" if given else "empty", field=name, high=most)


def _line(text: str | None, name: str) -> str | None:
    line = (text or "").strip()
    _check_text(line, name, LONGEST_LINE)
    return line or None


def _texts(given: Mapping[str, str], name: str) -> dict[str, str]:
    kept: dict[str, str] = {}
    for language, text in given.items():
        if language not in LANGUAGES:
            raise InvalidInput("not_a_choice", field=name, allowed=tuple(LANGUAGES))
        lines = [line.strip() for line in text.replace("\r\n", "\n").split("\n")]
        stripped = "\n".join(lines).strip()
        for line in lines:
            _check_text(line, name, LONGEST_TEXT)
        if len(stripped) > LONGEST_TEXT:
            raise InvalidInput("too_long", field=name, high=LONGEST_TEXT)
        if stripped:
            kept[language] = stripped
    return kept


def _check_text(text: str, name: str, most: int) -> None:
    if len(text) > most:
        raise InvalidInput("too_long", field=name, high=most)
    check_control(text, field=name)
