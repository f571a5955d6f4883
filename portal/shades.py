"""From one colour to the three that pages need, in the light and in the dark theme, all of them readable (WCAG 2 AA).

The hue stays as it was chosen; its lightness is moved until text in it can be read on every ground of the theme.
"""

from __future__ import annotations

import colorsys
from bisect import bisect_left
from dataclasses import dataclass
from functools import lru_cache

CONTRAST = 4.5
"""What WCAG 2 AA asks of text."""
LIGHT = {
    "ground": "#f3f6f6",
    "surface": "#ffffff",
    "sunk": "#eaf0ef",
    "ink": "#14211f",
    "muted": "#55666a",
    "line": "#dbe3e2",
    "edge": "#7d8f8e",
}
DARK = {
    "ground": "#0d1414",
    "surface": "#141d1d",
    "sunk": "#1c2727",
    "ink": "#e3eceb",
    "muted": "#9db0ae",
    "line": "#263332",
    "edge": "#6b807e",
}
"""The colours of app.css that no brand changes, by the names of their custom properties."""
_GROUNDS = ("ground", "surface", "sunk")
_STEPS = 200
_HOVERED = 0.88
"""How much of the accent a button shows under the pointer; the rest is ink."""

Rgb = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Shades:
    """`accent`: links and buttons; `ink`: text on it; `soft`: the ground of what is marked. Each `#rrggbb`."""

    accent: str
    ink: str
    soft: str


@lru_cache(maxsize=256)
def light(colour: str) -> Shades:
    """The shades of `#rrggbb` in the light theme: the colour itself where it can be read, else darker."""
    soft = _soft(colour, 0.93)
    return _shades(colour, "#ffffff", soft, LIGHT, towards=0.0)


@lru_cache(maxsize=256)
def dark(colour: str) -> Shades:
    """The shades of `#rrggbb` in the dark theme: the colour itself where it can be read, else lighter."""
    soft = _soft(colour, 0.15)
    return _shades(colour, _soft(colour, 0.05), soft, DARK, towards=1.0)


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours, 1 to 21."""
    first, second = sorted((luminance(one), luminance(other)))
    return (second + 0.05) / (first + 0.05)


def luminance(colour: str) -> float:
    """Relative luminance, 0 to 1."""
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in _rgb(colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def hovered(accent: str, ink: str) -> str:
    """The accent of a button under the pointer, as app.css mixes it."""
    mixed = (_HOVERED * a + (1 - _HOVERED) * b for a, b in zip(_rgb(accent), _rgb(ink), strict=True))
    return _hex(tuple(mixed))  # type: ignore[arg-type]


def _shades(colour: str, ink: str, soft: str, theme: dict[str, str], *, towards: float) -> Shades:
    grounds = (*(theme[name] for name in _GROUNDS), soft)
    hue, start, saturation = colorsys.rgb_to_hls(*_rgb(colour))

    def moved(step: int) -> str:
        if step == 0:
            return colour
        return _hex(colorsys.hls_to_rgb(hue, start + (towards - start) * step / _STEPS, saturation))

    def readable(step: int) -> bool:
        accent = moved(step)
        on_it = min(contrast(ink, accent), contrast(ink, hovered(accent, theme["ink"])))
        return min(on_it, *(contrast(accent, ground) for ground in grounds)) >= CONTRAST

    # The further, the better it can be read: the first step that will do is found by halves.
    return Shades(moved(bisect_left(range(_STEPS), True, key=readable)), ink, soft)


def _soft(colour: str, lightness: float) -> str:
    hue, _, saturation = colorsys.rgb_to_hls(*_rgb(colour))
    return _hex(colorsys.hls_to_rgb(hue, lightness, min(saturation, 0.6)))


def _rgb(colour: str) -> Rgb:
    red, green, blue = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    return red, green, blue


def _hex(rgb: Rgb) -> str:
    return "#" + "".join(f"{round(part * 255):02x}" for part in rgb)
