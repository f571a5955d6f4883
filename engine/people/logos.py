"""Logos as they are sent, and as they are kept: read as a picture, and written anew as a small PNG.

Nothing of a file that somebody sent is kept or shown to anybody, only what was seen in it. What can carry a script
(SVG, HTML) is no picture here, whatever its name says, and what would unfold to more than a logo needs is refused by
its header, before any of it is unfolded.
"""

from __future__ import annotations

import struct
from io import BytesIO

from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from engine.errors import InvalidInput

FORMATS = ("PNG", "JPEG", "WEBP")
MOST_BYTES = 2_000_000
MOST_SIDE = 3_000
"""Pixels of the longer side of what is sent."""
LEAST_SIDE = 16
BOX = (528, 144)
"""What a kept logo fits into: three pixels for each point of the largest that a page shows."""
MOST_KEPT = 10_000
"""Bytes of what is kept: all that a first page loads must fit a slow line."""
_TRIES = ((1, None), (1, 256), (2, 256), (2, 64), (3, 32), (4, 16))
"""Ways to keep it, the best first: the share of the box, and colours (None: all of them)."""


def read_logo(data: bytes, *, box: tuple[int, int] = BOX, most: int = MOST_KEPT) -> bytes:
    """The picture of a file, without empty edges, as a PNG of at most `most` bytes that fits into `box` (pixels).

    The same file gives the same bytes. Raises `InvalidInput` (logo_empty, logo_too_large, logo_not_a_picture,
    logo_too_wide, logo_too_small, logo_blank).
    """
    if not data:
        raise InvalidInput("logo_empty", field="logo")
    if len(data) > MOST_BYTES:
        raise InvalidInput("logo_too_large", field="logo", high=MOST_BYTES // 1_000_000)
    picture = _cropped(_opened(data))
    if min(_fitted(picture, box).size) < LEAST_SIDE:
        raise InvalidInput("logo_too_small", field="logo", low=LEAST_SIDE)
    for share, colours in _TRIES:
        made = _written(picture, (box[0] // share, box[1] // share), colours)
        if len(made) <= most:
            break
    return made


def _opened(data: bytes) -> Image.Image:
    """The picture as it is seen: its first frame, turned as its camera says."""
    # The library that makes PDF files turns this on for the whole process, as soon as it is loaded.
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        _check_size(*(_webp_size(data) or (0, 0)))
        with Image.open(BytesIO(data), formats=FORMATS) as image:
            _check_size(*image.size)
            image.load()
            seen = _upright(image).convert("RGBA")
            # What is seen alone: nothing else that the file says comes along.
            return Image.frombytes("RGBA", seen.size, seen.tobytes())
    except InvalidInput:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise InvalidInput("logo_too_wide", field="logo", high=MOST_SIDE) from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, EOFError, struct.error, MemoryError):
        raise InvalidInput("logo_not_a_picture", field="logo") from None


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except (OSError, ValueError, SyntaxError, KeyError, struct.error):
        return image  # what its camera said can't be read; the picture can


def _check_size(width: int, height: int) -> None:
    if max(width, height) > MOST_SIDE:
        raise InvalidInput("logo_too_wide", field="logo", high=MOST_SIDE)


def _webp_size(data: bytes) -> tuple[int, int] | None:
    """Width and height that the header of a WebP says: its reader makes room for a whole picture when it opens it."""
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP" or len(data) < 30:
        return None
    if data[12:16] == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if data[12:16] == b"VP8L":
        packed = int.from_bytes(data[21:25], "little")
        return 1 + (packed & 0x3FFF), 1 + (packed >> 14 & 0x3FFF)
    return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF


def _cropped(picture: Image.Image) -> Image.Image:
    """Without the edges in which nothing is seen."""
    seen = picture.getchannel("A").point(lambda alpha: 255 if alpha > 8 else 0).getbbox()
    if seen is None:
        raise InvalidInput("logo_blank", field="logo")
    return picture.crop(seen)


def _fitted(picture: Image.Image, box: tuple[int, int]) -> Image.Image:
    """Made smaller where it doesn't fit; never larger."""
    fits = picture.width <= box[0] and picture.height <= box[1]
    return picture if fits else ImageOps.contain(picture, box, Image.Resampling.LANCZOS)


def _written(picture: Image.Image, box: tuple[int, int], colours: int | None) -> bytes:
    small = _fitted(picture, box)
    if colours is not None:
        small = small.quantize(colours, Image.Quantize.FASTOCTREE)
    made = BytesIO()
    small.save(made, "PNG", optimize=True)
    return made.getvalue()
