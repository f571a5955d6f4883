"""QR codes and Code 128 as PDF operators: paths that any printer draws at its own resolution.

**QR** (ISO/IEC 18004): codes of one run differ only in digits at the end of the address. For a fixed version and mask a
code is an affine function of its bits (the error correction is linear), so `segno` draws one for each digit at each
place, once, and every other code is the exclusive or of those.

**Code 128** (ISO/IEC 15417), for digits: pairs in set C, and where their number is odd the first one in set B.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt
import segno

from engine.errors import InvalidInput

QUIET_QR, QUIET_CODE = 4, 10
"""Modules that stay white around a code."""
_MASK = 3
_OVERLAP = 0.03
"""Of a module: neighbours overlap as much, or some viewers show a hair line between them."""


class QrDrawer:
    """Draws codes of an address that ends in digits, `length` of them.

    `size` and `quiet` are in modules. Raises `InvalidInput` ("address_too_long") where no code holds it.
    """

    def __init__(self, address: str, length: int) -> None:
        zero = address + "0" * length
        try:
            version = segno.make(zero, error="m", micro=False, boost_error=False).version
        except segno.DataOverflowError:
            raise InvalidInput("address_too_long", field="log_in_url") from None

        def matrix(text: str) -> npt.NDArray[np.uint8]:
            code = segno.make(text, version=version, error="m", mask=_MASK, mode="byte", boost_error=False)
            return np.array([list(row) for row in code.matrix], np.uint8) & np.uint8(1)

        base = matrix(zero)
        self.size = len(base)
        flips = [
            [
                base ^ matrix(address + "0" * place + str(digit) + "0" * (length - place - 1))
                for digit in range(10)
            ]
            for place in range(length)
        ]
        self._base = np.packbits(base, axis=1)
        self._flips = np.packbits(np.array(flips, np.uint8), axis=3)
        self._parts = _row_parts(self._base.shape[1])

    def matrices(self, numbers: Sequence[str]) -> npt.NDArray[np.uint8]:
        """The codes of some numbers, as rows of packed bits."""
        digits = np.frombuffer("".join(numbers).encode(), np.uint8).reshape(len(numbers), -1) - ord("0")
        made = np.repeat(self._base[np.newaxis], len(numbers), axis=0)
        for place in range(digits.shape[1]):
            made ^= self._flips[place][digits[:, place]]
        return made

    def paths(self, numbers: Sequence[str]) -> list[bytes]:
        """The codes as filled paths, one module a unit, downwards and to the right from the origin."""
        row_bytes, parts = self._base.shape[1], self._parts
        down = b"f 1 0 0 1 0 -1 cm\n"  # no row of a code is empty
        made = []
        for code in self.matrices(numbers):
            flat = code.tobytes()
            rows = []
            for at in range(0, len(flat), row_bytes):
                rows += [parts[column][flat[at + column]] for column in range(row_bytes)]
                rows.append(down)
            made.append(b"".join(rows))
        return made


def _row_parts(row_bytes: int) -> list[list[bytes]]:
    """For each byte of a row and each value of it: the rectangles of its black modules, under the origin."""
    return [[_rectangles(value, 8 * column) for value in range(256)] for column in range(row_bytes)]


def _rectangles(value: int, start: int) -> bytes:
    made, at = [], 0
    while at < 8:
        width = 0
        while at + width < 8 and value >> (7 - at - width) & 1:
            width += 1
        if width:
            made.append(f"{start + at} -1.03 {width + _OVERLAP:g} 1.03 re\n")
        at += width or 1
    return "".join(made).encode()


# --- Code 128 ---

_WIDTHS = (
    "212222222122222221121223121322131222122213122312132212221213221312231212112232122132122231113222"
    "123122123221223211221132221231213212223112312131311222321122321221312212322112322211212123212321"
    "232121111323131123131321112313132113132311211313231113231311112133112331132131113123113321133121"
    "313121211331231131213113213311213131311123311321331121312113312311332111314111221411431111111224"
    "111422121124121421141122141221112214112412122114122411142112142211241211221114413111241112134111"
    "111242121142121241114212124112124211411212421112421211212141214121412121111143111341131141114113"
    "114311411113411311113141114131311141411131211412211214211232"
)
"""Bars and spaces of the symbols 0 to 105, six digits each."""
_STOP = "2331112"
_START_B, _START_C, _CODE_C = 104, 105, 99


def code128_symbols(digits: str) -> list[int]:
    """The symbols of a string of ASCII digits, with start and check symbol, without stop."""
    symbols = [_START_C]
    if len(digits) % 2:
        symbols = [_START_B, ord(digits[0]) - 32, _CODE_C]
        digits = digits[1:]
    symbols += [int(digits[at : at + 2]) for at in range(0, len(digits), 2)]
    check = symbols[0] + sum(place * symbol for place, symbol in enumerate(symbols[1:], 1))
    return [*symbols, check % 103]


def code128_modules(digits: str) -> int:
    """How wide the code is, in modules, without its quiet zones."""
    return 11 * len(code128_symbols(digits)) + 13


def code128_path(digits: str) -> bytes:
    """The bars as a filled path: a module is one unit wide, the bars one unit high, to the right from the origin."""
    symbols = code128_symbols(digits)
    parts = [_bars(symbol, 11 * place) for place, symbol in enumerate(symbols)]
    return b"".join(parts) + _bars(106, 11 * len(symbols)) + b"f\n"


@cache
def _bars(symbol: int, start: int) -> bytes:
    widths = _STOP if symbol == 106 else _WIDTHS[6 * symbol : 6 * symbol + 6]
    made, at = [], start
    for place, width in enumerate(map(int, widths)):
        if place % 2 == 0:
            made.append(f"{at} 0 {width} 1 re\n")
        at += width
    return "".join(made).encode()
