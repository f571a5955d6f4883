"""The icons of an installed copy, drawn: a brand's logo, the first letter of its name, or the sign of the house.

`to_the_edge`: for devices that cut icons into shapes of their own; what they may cut off stays plain.
"""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO

from PIL import Image, ImageDraw, ImageFont, ImageOps

_BARS = ((8, 13, 19), (13, 10, 22), (18, 12, 20), (23, 14, 18))
"""The sign of the house on a field of 32: x, top and bottom of each bar."""
_SHARPER = 4
"""Everything is drawn so many times larger, so that edges are smooth."""
_WIDEST = 2.2
"""A logo that is wider for its height would be too small to be seen in a square."""
_LETTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")


@lru_cache(maxsize=64)
def of_the_house(size: int, to_the_edge: bool, colour: str) -> bytes:
    """The sign of the house on a field of `#rrggbb`, as PNG, `size` pixels wide and high."""
    image, pen, field = _field(size, to_the_edge, colour)
    unit = field / (44 if to_the_edge else 34)
    for x, top, bottom in _BARS:
        across, half = field / 2 + (x - 15.5) * unit, 1.3 * unit
        above, below = (field / 2 + (y - 16) * unit for y in (top, bottom))
        pen.rounded_rectangle((across - half, above - half, across + half, below + half), half, fill="#fff")
    return _png(image, size)


@lru_cache(maxsize=64)
def of_a_brand(
    size: int, to_the_edge: bool, colour: str, name: str, logo: bytes | None, ground: str
) -> bytes:
    """A brand's logo on `ground`, else its first letter on `colour`; the sign of the house where neither can be."""
    if logo is not None:
        with Image.open(BytesIO(logo), formats=("PNG",)) as picture:
            shown = picture.convert("RGBA")
        if shown.width <= _WIDEST * shown.height:
            return _with_logo(size, to_the_edge, shown, ground)
    letter = name[:1].upper()
    if letter not in _LETTERS:
        return of_the_house(size, to_the_edge, colour)
    image, pen, field = _field(size, to_the_edge, colour)
    font = ImageFont.load_default(field * (0.5 if to_the_edge else 0.65))
    pen.text((field / 2, field / 2), letter, fill="#fff", font=font, anchor="mm", stroke_width=field // 90)
    return _png(image, size)


def _with_logo(size: int, to_the_edge: bool, logo: Image.Image, ground: str) -> bytes:
    corner = logo.getpixel((0, 0))
    if isinstance(corner, tuple) and corner[3] == 255:
        ground = "#{:02x}{:02x}{:02x}".format(*corner)  # it brings its own ground along
    image, _, field = _field(size, to_the_edge, ground)
    room = int(field * (0.6 if to_the_edge else 0.8))
    fitted = ImageOps.contain(logo, (room, room), Image.Resampling.LANCZOS)
    image.alpha_composite(fitted, ((field - fitted.width) // 2, (field - fitted.height) // 2))
    return _png(image, size)


def _field(size: int, to_the_edge: bool, colour: str) -> tuple[Image.Image, ImageDraw.ImageDraw, int]:
    side = size * _SHARPER
    image = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    pen = ImageDraw.Draw(image)
    pen.rounded_rectangle((0, 0, side - 1, side - 1), 0 if to_the_edge else side // 5, fill=colour)
    return image, pen, side


def _png(image: Image.Image, size: int) -> bytes:
    made = BytesIO()
    image.resize((size, size), Image.Resampling.LANCZOS).save(made, "PNG", optimize=True)
    return made.getvalue()
