"""Names that people give to things, and the reasons they give, as they are kept and as they may be."""

from __future__ import annotations

import unicodedata

from engine.errors import InvalidInput

LONGEST = 100
LONGEST_REASON = 500
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


def checked_reason(reason: str | None, *, required: bool = False) -> str | None:
    """The reason on one line with single spaces, or None where none was given.

    Raises `InvalidInput` (reason_missing where it is `required`, too_long over 500 characters, control_character).
    """
    tidy = " ".join((reason or "").split())
    if not tidy:
        if required:
            raise InvalidInput("reason_missing", field="reason")
        return None
    if len(tidy) > LONGEST_REASON:
        raise InvalidInput("too_long", field="reason", high=LONGEST_REASON)
    check_control(tidy, field="reason")
    return tidy


def check_control(text: str, *, field: str) -> None:
    """Refuse what no text holds that people write: control characters, half of a surrogate pair."""
    for character in text:
        if unicodedata.category(character) in ("Cc", "Cs"):
            raise InvalidInput("control_character", field=field, character=f"U+{ord(character):04X}")


def sought(name: str) -> str:
    """The name as it is looked for. What PostgreSQL does not take (NUL, half a surrogate pair) becomes a sign that no
    name holds, so that nothing is found."""
    whole = name.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return tidied(whole.replace("\0", "\N{REPLACEMENT CHARACTER}"))
