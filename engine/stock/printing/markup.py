"""A design as HTML and CSS for WeasyPrint: fixed places, into which texts are put escaped, whatever they hold.

There is no template that anybody could write: `{{ 7 * 7 }}` or `<b>` in a text is printed as it was typed.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from decimal import Decimal
from html import escape

from babel import Locale
from babel.numbers import format_currency

from engine.money import MICROS
from engine.stock.printing.design import Design, Look, PrintCard, shown_fields
from engine.stock.printing.layouts import LABELS, RECEIPT, SINGLE, Layout
from engine.stock.printing.words import LANGUAGES, Words

TEXT_SLOTS = ("number", "password", "serial", "denomination", "last_day")
GROUP = 4
"""Digits that stand together."""
_TALL_LABEL = 18.0
"""Millimetres from which a label has its words above the digits, not beside them."""
_BARE = {ord(mark): None for mark in "\u200e\u200f\u061c"}
_FONTS = (
    '"Noto Sans", "Noto Sans Arabic", "Noto Sans Bengali", "DejaVu Sans", "Droid Sans Fallback", sans-serif'
)


def grouped(digits: str) -> str:
    """Digits in groups of `GROUP`."""
    return " ".join(digits[at : at + GROUP] for at in range(0, len(digits), GROUP))


def price(amount: int, currency: str, language: str) -> str:
    """A denomination as the language writes it, in one direction: cents only where there are any."""
    locale = Locale.parse(language)
    value = Decimal(amount) / MICROS
    pattern = locale.currency_formats["standard"].pattern.split(";")[0]
    pattern = pattern.replace("0.00", "0" if value == value.to_integral_value() else "0.00####")
    text = format_currency(
        value, currency, pattern, locale=locale, currency_digits=False, numbering_system="latn"
    )
    return text.translate(_BARE)


def text_of(card: PrintCard, slot: str, language: str) -> str:
    """What stands in a text slot of a card."""
    if slot == "denomination":
        return price(card.amount, card.currency, language)
    if slot == "last_day":
        return card.last_day.isoformat() if card.last_day else ""
    digits: str = getattr(card, slot)
    return grouped(digits)


def alphabet(slot: str, sample: PrintCard, language: str) -> str:
    """The signs that a text slot may hold for cards such as `sample`, each once."""
    signs = set("0123456789")
    if slot == "denomination":
        signs |= set(price(1_234_567_890_000, sample.currency, language))
    elif slot == "last_day":
        signs.add("-")
    return "".join(sorted(signs | {" "}))


def document(design: Design, look: Look, sample: PrintCard, alphabets: dict[str, str]) -> str:
    """The HTML: a section for each face, then one for each alphabet."""
    made = _Face(design, look, sample)
    if design.paper.kind == LABELS:
        faces = [made.label()]
    elif design.paper.kind == RECEIPT:
        faces = [made.receipt()]
    elif design.sides == 2:
        faces = [made.front(), made.back()]
    else:
        faces = [made.whole()]
    signs = (f'<div class="alphabet {slot}">{escape(text)}</div>' for slot, text in alphabets.items())
    return f"<!doctype html><html><body>{''.join(faces)}{''.join(signs)}</body></html>"


class _Face:
    """The parts of a face."""

    def __init__(self, design: Design, look: Look, sample: PrintCard) -> None:
        self.design, self.look, self.sample = design, look, sample
        self.fields = set(shown_fields(design))
        self.words: list[tuple[str, Words]] = [(code, LANGUAGES[code]) for code in design.languages]
        self.lead = self.words[0][1]
        self.tall = design.paper.measures.height >= _TALL_LABEL

    # --- whole faces ---

    def whole(self) -> str:
        """All on one side."""
        return self._section(
            "one side0",
            self._head(amount=True)
            + f'<div class="body">{self._codes()}{self._secrets()}{self._call()}{self._small()}</div>',
            self._foot(),
        )

    def front(self) -> str:
        """The side that a shop shows: no secret is on it."""
        tagline = self._line("tagline", self.design.tagline)
        body = (
            f'<div class="top">{self._logo()}</div><div class="name">{escape(self._title())}</div>{tagline}'
            f"{self._amount()}"
        )
        return self._section("front side0", f'<div class="body">{body}</div>', self._call())

    def back(self) -> str:
        """The side with the number, the password and how to use them."""
        return self._section(
            "rear side1",
            f'<div class="body">{self._codes()}{self._secrets()}{self._small()}</div>',
            self._foot(),
        )

    def receipt(self) -> str:
        """A strip from a till."""
        tagline = self._line("tagline", self.design.tagline)
        name = f'<div class="name">{escape(self._title())}</div>'
        body = (
            f"{self._logo()}{name}{tagline}{self._amount()}{self._secrets()}{self._call()}{self._small()}"
            f"{self._codes()}{self._foot()}"
        )
        return self._section("strip side0", f'<div class="body">{body}</div>', "")

    def label(self) -> str:
        """A small label: the secrets, and whose they are."""
        amount = self._slot("denomination") if "denomination" in self.fields else ""
        serial = self._slot("serial") if "serial" in self.fields else ""
        line = f'<table class="foot"><tr><td>{serial}</td><td class="end">{amount}</td></tr></table>'
        return self._section(
            "tag side0 tall" if self.tall else "tag side0",
            f'<div class="body">{self._secrets()}{line if serial or amount else ""}</div>',
            "",
        )

    # --- parts ---

    def _section(self, kind: str, inner: str, foot: str) -> str:
        way = "rtl" if self.lead.right_to_left else "ltr"
        language = self.design.languages[0]
        pinned = f'<div class="pinned">{foot}</div>' if foot else ""
        return f'<section class="face {kind}" lang="{language}" dir="{way}">{inner}{pinned}</section>'

    def _head(self, *, amount: bool) -> str:
        tagline = self._line("tagline", self.design.tagline)
        logo = self._logo()
        cells = [f'<td class="logo">{logo}</td>'] if logo else []
        cells.append(f'<td class="title"><div class="name">{escape(self._title())}</div>{tagline}</td>')
        if amount and "denomination" in self.fields:
            cells.append(f'<td class="end">{self._amount()}</td>')
        return f'<table class="head"><tr>{"".join(cells)}</tr></table>'

    def _foot(self) -> str:
        serial = code = ""
        if "serial" in self.fields:
            serial = f'<div class="label">{self._each("serial")}</div>{self._slot("serial")}'
        if "barcode" in self.fields:
            code = '<div class="slot barcode" data-slot="barcode"></div>'
        if not serial and not code:
            return ""
        return f'<table class="foot"><tr><td>{serial}</td><td class="end">{code}</td></tr></table>'

    def _secrets(self) -> str:
        if self.design.paper.kind == LABELS and not self.tall:
            # Beside the digits there is room for one language.
            told = {word: escape(getattr(self.lead, word)) for word in ("card_number", "password")}
        else:
            told = {word: self._each(word) for word in ("card_number", "password")}
        return "".join(
            f'<div class="secret"><div class="label">{told[word]}</div>{self._slot(slot)}</div>'
            for word, slot in (("card_number", "number"), ("password", "password"))
        )

    def _codes(self) -> str:
        if "qr" not in self.fields or not self.look.log_in_url:
            return ""
        told = self._each("scan")
        return f'<div class="codes"><div class="slot qr" data-slot="qr"></div><div class="label">{told}</div></div>'

    def _amount(self) -> str:
        return self._slot("denomination") if "denomination" in self.fields else ""

    def _call(self) -> str:
        if "access_numbers" not in self.fields or not self.look.access_numbers:
            return ""
        numbers = " ".join(
            f'<span class="dial"><b dir="ltr">{_solid(number)}</b> <bdi>{escape(name)}</bdi></span>'
            for name, number in self.look.access_numbers
        )
        return f'<div class="call"><span class="label">{self._each("call")}</span> {numbers}</div>'

    def _small(self) -> str:
        parts: list[str] = []
        if "expiry" in self.fields:
            parts.append(self._expiry())
        if "instructions" in self.fields:
            parts += [self._steps(code, words) for code, words in self.words]
        if "terms" in self.fields:
            parts += [
                _texts("terms", code, words, (self.design.terms[code],))
                for code, words in self.words
                if code in self.design.terms
            ]
        if "help" in self.fields and self.look.help_phone:
            number = f'<b dir="ltr">{_solid(self.look.help_phone)}</b>'
            parts.append(f'<div class="help">{self._each("help")}: {number}</div>')
        return "".join(parts)

    def _expiry(self) -> str:
        if self.sample.last_day is not None:
            return (
                f'<div class="expiry">{self._each("valid_until")}: {self._slot("last_day", tag="span")}</div>'
            )
        if self.sample.validity_days is None:
            return ""
        days = f'<span dir="ltr">{self.sample.validity_days}</span>'
        lines = (
            _own(code, words, escape(words.valid_for).replace("{days}", days), "div")
            for code, words in self.words
        )
        return f'<div class="expiry">{"".join(lines)}</div>'

    def _steps(self, code: str, words: Words) -> str:
        own = self.design.instructions.get(code)
        if own is not None:
            return _texts("steps", code, words, own.split("\n"))
        return _texts("steps", code, words, [f"{n}. {step}" for n, step in enumerate(words.steps, 1)])

    def _slot(self, name: str, *, tag: str = "div") -> str:
        ghost = escape(text_of(self.sample, name, self.design.languages[0]))
        return f'<{tag} class="slot {name}" data-slot="{name}" dir="ltr"><span class="ghost">{ghost}</span></{tag}>'

    def _each(self, word: str) -> str:
        """A word in each of the languages."""
        made = (_own(code, words, escape(getattr(words, word))) for code, words in self.words)
        return " · ".join(made)

    def _title(self) -> str:
        return self.design.title or self.look.name

    def _logo(self) -> str:
        if not self.design.logo or self.look.logo is None:
            return ""
        data = base64.b64encode(self.look.logo).decode()
        return f'<img class="logo" alt="" src="data:image/png;base64,{data}">'

    def _line(self, kind: str, text: str | None) -> str:
        return f'<div class="{kind}" dir="auto">{escape(text)}</div>' if text else ""


def _own(code: str, words: Words, html: str, tag: str = "span") -> str:
    way = "rtl" if words.right_to_left else "ltr"
    return f'<{tag} lang="{code}" dir="{way}">{html}</{tag}>'


def _texts(kind: str, code: str, words: Words, lines: Iterable[str]) -> str:
    return _own(code, words, f'<div class="{kind}">' + "<br>".join(map(escape, lines)) + "</div>", "div")


def _solid(number: str) -> str:
    """A number that no line end cuts."""
    return escape(number.replace(" ", "\u00a0"))


# --- the look ---


def style(design: Design, look: Look, paper: Layout, scales: list[float]) -> str:
    """The CSS; the texts of each face are `scales` times as large as they are meant."""
    at, around = paper.measures, paper.bleed
    plain = paper.kind in (RECEIPT, LABELS)
    colour = "#000000" if plain else (design.colour or look.colour)
    ink = ink_on(colour)
    qr = min(0.40 * at.height, 0.30 * at.width, 22.0) if paper.kind != RECEIPT else 0.6 * at.width
    values = {
        "W": f"{at.width + 2 * around}mm",
        "H": f"{at.height + 2 * around}mm",
        "AROUND": f"{around}mm",
        "PAD": f"{1.2 if paper.kind == LABELS else 0 if paper.kind == RECEIPT else 3.2}mm",
        "SIZE": f"{_size(paper):.3f}pt",
        "HIGHLOGO": f"{min(8.0, 0.15 * at.height):.2f}mm",
        "ROOM": f"{min(1.5, 0.026 * at.height):.2f}mm",
        "COLOUR": colour,
        "INK": ink,
        "QR": f"{qr:.2f}mm",
        "LOGO": f"{min(26.0, 0.3 * at.width):.2f}mm",
        "BAR": f"{min(38.0, 0.52 * at.width):.2f}mm",
        "BARHIGH": f"{6.0 if paper.kind != SINGLE else 5.5}mm",
        "FONTS": _FONTS,
    }
    css = _CSS
    for name in sorted(values, key=len, reverse=True):
        css = css.replace(f"${name}", values[name])
    return css + "".join(f".side{side} {{ font-size: {scale}em }}\n" for side, scale in enumerate(scales))


def _size(paper: Layout) -> float:
    """Points of plain text."""
    if paper.kind == RECEIPT:
        return 9.0
    if paper.kind != LABELS:
        return 6.6
    wide, high = (paper.measures.width - 2.4) / 0.3528, (paper.measures.height - 2.4) / 0.3528
    # Digits as large as the label is wide, or three lines as it is high.
    return (
        min(wide / 15.5, high / 7.6) if paper.measures.height >= _TALL_LABEL else min(wide / 15.5, high / 4.7)
    )


def ink_on(colour: str) -> str:
    """Black or white, whichever is easier to read on `#rrggbb`."""
    parts = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    light = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return "#ffffff" if 1.05 / (light + 0.05) >= (light + 0.05) / 0.05 else "#000000"


_CSS = """
@page face { size: $W $H; margin: 0 }
@page signs { size: 600mm 40mm; margin: 5mm }
html, body { margin: 0; padding: 0; font-family: $FONTS; font-size: $SIZE; line-height: 1.25; color: #111111 }
.face { text-align: left; page: face; break-after: page; position: relative; overflow: hidden; width: $W; height: $H }
.face[dir=rtl], .face[dir=rtl] .slot { text-align: right }
.alphabet { page: signs; break-after: page; font-kerning: none; font-variant-ligatures: none;
  white-space: pre }
.alphabet:last-child { break-after: auto }
.ghost { visibility: hidden; white-space: pre }
table { border-collapse: collapse; width: 100% }
td { padding: 0; vertical-align: middle }
td.end { text-align: right; padding-left: 1.5mm }
[dir=rtl] td.end, .face[dir=rtl] td.end .slot { text-align: left; padding-left: 0; padding-right: 1.5mm }
td.end .slot { text-align: right }
.name { font-weight: 700; font-size: 1.75em; line-height: 1.15 }
.tagline { font-size: 1em }
.label { font-size: 0.82em; color: #333333 }
.slot { white-space: nowrap }
.number, .password { font-weight: 700; font-size: 1.75em; line-height: 1.3 }
.serial { font-size: 1.15em; font-weight: 400 }
.denomination { font-weight: 700; font-size: 2.4em; line-height: 1.1 }
.last_day { font-weight: 700 }
.secret { margin-bottom: 0.45em }
.secret .slot { display: inline-block; background: #ffffff; border: 0.25mm solid #555555; border-radius: 0.8mm;
  padding: 0 1.6mm }
.qr { width: $QR; height: $QR; background: #ffffff }
.barcode { width: $BAR; height: $BARHIGH; display: inline-block; background: #ffffff }
.call { margin: 0.2em 0 0.35em }
.dial { display: inline-block; margin: 0 0.6em 0 0 }
[dir=rtl] .dial { margin: 0 0 0 0.6em }
.dial b { font-size: 1.2em; white-space: nowrap }
.expiry, .help, .steps, .terms { margin-top: 0.3em; text-align: start }
.terms { font-size: 0.8em; color: #333333 }
.pinned { position: absolute; left: $PAD; right: $PAD; bottom: $PAD; margin: $AROUND }

.one .head { background: $COLOUR; color: $INK; padding: 0 }
.one .head td { padding: $ROOM 0 }
.one .head td:first-child { padding-left: $PAD }
.one .head td:last-child { padding-right: $PAD }
[dir=rtl].one .head td:first-child { padding-left: 0; padding-right: $PAD }
[dir=rtl].one .head td:last-child { padding-right: 0; padding-left: $PAD }
.one .head td.logo { width: 1%; padding-right: 1.5mm }
[dir=rtl].one .head td.logo { padding-left: 1.5mm }
img.logo { max-height: $HIGHLOGO; max-width: $LOGO; display: block }
.one .head img.logo { background: #ffffff; padding: 0.6mm; border-radius: 0.8mm }
.one .body, .rear .body { padding: 1.6mm $PAD 0 }
.codes { float: right; width: $QR; margin: -1.2mm 0 0 2mm; text-align: center }
[dir=rtl] .codes { float: left; margin: -1.2mm 2mm 0 0 }
.codes .label { font-size: 0.7em; line-height: 1.15; margin-top: -1mm }

.front { background: $COLOUR; color: $INK }
.front .body { padding: $PAD; margin: $AROUND }
.front .label { color: $INK }
.front img.logo { max-height: 11mm; max-width: 40mm; background: #ffffff; padding: 1mm; border-radius: 1mm }
.front .name { font-size: 2.4em; margin-top: 0.25em }
.front .tagline { font-size: 1.3em }
.front .denomination { font-size: 4em; margin-top: 0.15em }
.rear .body { padding: $PAD $PAD 0; margin: $AROUND $AROUND 0 }

.face.strip, .face.strip .slot { text-align: center }
.strip { height: auto; overflow: visible }
.strip .body { padding: 0 }
.strip img.logo { display: inline-block; margin-bottom: 1.5mm; max-width: 70%; max-height: 16mm }
.strip .codes { float: none; margin: 2.5mm 0 0; width: 100%; text-align: center }
.strip .codes .qr { display: inline-block }
.strip .codes .label { font-size: 0.9em }
.strip .secret .slot { display: block; font-size: 1.7em; border-radius: 0 }
.strip .expiry, .strip .help, .strip .steps, .strip .terms { margin-top: 0.8em }
.strip .call { text-align: start; margin-top: 0.8em }
.strip .dial { display: block }
.strip .foot td { display: block; text-align: center; padding: 0.4em 0 0 }
.strip .foot { margin-top: 2mm }
.strip .barcode { width: 42mm; height: 10mm }

.tag .body { padding: $PAD }
.tag .secret { margin: 0 0 0.15em; white-space: nowrap }
.tag .secret .label { display: inline-block; width: 40% }
.tag .secret .slot { display: inline-block; border: 0; padding: 0; font-size: 1.25em }
.tag .denomination, .tag .serial { font-size: 1em }
.tag.tall .secret .label { display: block; width: auto }
.tag.tall .secret .slot { font-size: 1.75em; line-height: 1.15 }
"""
