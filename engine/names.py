"""Names that people give to things, as they are kept and as they may be."""

from __future__ import annotations

import unicodedata

from engine.errors import InvalidInput

LONGEST = 100
# Letters by their category, yet blank to the eye (Hangul fillers, the Braille blank); and what stands for lost text.
_BLANK = frozenset("\u115f\u1160\u3164\uffa0\u2800\ufffd")


def tidied(name: str) -> str:
    """The name as it is kept and looked for: composed (Unicode NFC), single spaces, none around it."""
    return " ".join(part for part in unicodedata.normalize("NFC", name).split(" ") if part)


def checked_name(name: str, *, field: str = "name") -> str:
    """The tidied name, 1 to 100 characters, of any script and with any visible sign.

    What has no shape of its own (control characters, zero width, marks that turn the direction of writing) would make
    two names look like one. Raises `InvalidInput` (empty, too_long, control_character, invisible_character).
    """
    tidy = tidied(name)
    if not tidy:
        raise InvalidInput("empty", field=field)
    if len(tidy) > LONGEST:
        raise InvalidInput("too_long", field=field, high=LONGEST)
    for character in tidy:
        category = unicodedata.category(character)
        if category in ("Cc", "Zl", "Zp"):
            raise InvalidInput("control_character", field=field, character=f"U+{ord(character):04X}")
        if category in ("Cf", "Cs", "Co", "Cn") or character in _BLANK:
            raise InvalidInput("invisible_character", field=field, character=f"U+{ord(character):04X}")
    return tidy


def sought(name: str) -> str:
    """The name as it is looked for. What PostgreSQL does not take (NUL, half a surrogate pair) becomes a sign that no
    name holds, so that nothing is found."""
    whole = name.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return tidied(whole.replace("\0", "\N{REPLACEMENT CHARACTER}"))
