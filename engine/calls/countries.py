"""Countries as people name them, in eight languages, and as telephone numbers begin.

Names come from the CLDR; what it calls otherwise than people do is in `_ALSO`. Countries are ISO 3166 alpha-2.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache

from babel import Locale
from phonenumbers import (
    COUNTRY_CODE_TO_REGION_CODE,
    SUPPORTED_REGIONS,
    PhoneMetadata,
    PhoneNumber,
    region_code_for_number,
)

LANGUAGES = ("en", "es", "fr", "pt", "ru", "ar", "bn", "zh")
MOST_FOUND = 12
_TELLING = {"1": 3, "7": 1}
"""The digits behind a shared code that tell its countries apart, where they are fewer than for others."""
_MOST_TELLING = 6
_NOWHERE = "001"
_ALIKE = str.maketrans({"ة": "ه", "ى": "ي", "ک": "ك", "ی": "ي", "’": " "})
_ALSO = {
    **dict.fromkeys(
        ("usa", "us", "america", "united states of america", "ee uu", "eeuu", "eua", "сша"), "US"
    ),
    **dict.fromkeys(
        ("estados unidos da america", "etats unis d amerique", "امريكا", "আমেরিকা", "америка"), "US"
    ),
    **dict.fromkeys(("uk", "great britain", "britain", "england", "scotland", "wales"), "GB"),
    **dict.fromkeys(("inglaterra", "angleterre", "англия", "انجلترا", "بريطانيا", "ইংল্যান্ড", "英国"), "GB"),
    **dict.fromkeys(("uae", "emirates", "dubai", "abu dhabi", "оаэ", "الامارات", "দুবাই", "迪拜"), "AE"),
    **dict.fromkeys(("ksa", "saudi", "السعوديه", "সৌদি", "саудовская аравия"), "SA"),
    **dict.fromkeys(("holland", "holanda", "hollande", "голландия", "هولندا"), "NL"),
    **dict.fromkeys(("czech republic", "republica checa", "republique tcheque"), "CZ"),
    **dict.fromkeys(("korea", "south korea", "corea", "coree", "корея", "كوريا"), "KR"),
    **dict.fromkeys(("burma", "birmania", "birmanie", "бирма"), "MM"),
    **dict.fromkeys(("ivory coast", "costa de marfil", "costa do marfim"), "CI"),
    **dict.fromkeys(("drc", "dr congo", "rdc", "democratic republic of congo", "zaire"), "CD"),
    **dict.fromkeys(("congo brazzaville", "republic of congo"), "CG"),
    **dict.fromkeys(("turkey", "turkiye"), "TR"),
    **dict.fromkeys(("palestine", "palestina", "فلسطين"), "PS"),
    **dict.fromkeys(("hong kong", "hongkong", "香港"), "HK"),
    **dict.fromkeys(("macau", "macao", "澳门"), "MO"),
    **dict.fromkeys(("cape verde", "cabo verde"), "CV"),
    **dict.fromkeys(("swaziland",), "SZ"),
    **dict.fromkeys(("macedonia",), "MK"),
    **dict.fromkeys(("east timor",), "TL"),
    **dict.fromkeys(("vatican",), "VA"),
}
"""What countries are also called, as `plain` writes it."""


@dataclass(frozen=True, slots=True)
class Found:
    """Countries that a name fits. `exact`: the one that has this very name; `others`: those it is a part of."""

    exact: str | None
    others: tuple[str, ...]


def plain(text: str) -> str:
    """A text as it is compared: without case, accents, signs, and what one alphabet writes in two ways."""
    decomposed = unicodedata.normalize("NFKD", text).casefold()
    kept = "".join(_kept(character) for character in decomposed).translate(_ALIKE)
    words = ("st" if word == "saint" else word for word in kept.split() if word not in ("and", "the"))
    return " ".join(words)


def _kept(character: str) -> str:
    category = unicodedata.category(character)
    if category in ("Mn", "Me", "Cf") or character == "\u0640":
        return ""  # accents, vowel points, invisible marks, the Arabic stretching of a word
    return character if category[0] in "LN" or category == "Mc" else " "


def find(text: str, language: str) -> Found:
    """The countries that a text names, in whatever language, in whole or in part; the likeliest first.

    Parts of names count in English and in the reader's `language`, and in all where neither has any; where nothing
    fits, names that are nearly written so do.
    """
    wanted = plain(text)
    if not wanted:
        return Found(None, ())
    names = _names()
    exact = _ALSO.get(wanted) or next((code for code, known in names if wanted in known.values()), None)
    if exact is None and len(wanted) == 2 and wanted.isascii() and wanted.upper() in _countries():
        exact = wanted.upper()
    parts = _in_part(wanted, {"en", language}) or ([] if exact else _in_part(wanted, set(LANGUAGES)))
    if exact is None and not parts:
        parts = _nearly(wanted)
    return Found(exact, tuple(code for code in parts if code != exact)[:MOST_FOUND])


def _in_part(wanted: str, languages: set[str]) -> list[str]:
    if len(wanted) < 2 and wanted.isascii():
        return []
    found = []
    for code, known in _names():
        rank = min((_rank(wanted, name) for at, name in known.items() if at in languages), default=3)
        if rank < 3:
            found.append((rank, known["en"], code))
    if len(wanted) >= 3 or not wanted.isascii():
        found += [(1, name, code) for name, code in _ALSO.items() if name.startswith(wanted)]
    return list(dict.fromkeys(code for _, _, code in sorted(found)))


def _rank(wanted: str, name: str) -> int:
    if name.startswith(wanted):
        return 0
    if f" {wanted}" in name:
        return 1
    inside = len(wanted) >= 4 or not wanted.isascii()
    return 2 if inside and wanted in name else 3


def _nearly(wanted: str) -> list[str]:
    if len(wanted) < 4:
        return []
    known = {name: code for code, names in _names() for name in names.values()} | _ALSO
    close = get_close_matches(wanted, known, n=6, cutoff=0.78)
    return list(dict.fromkeys(known[name] for name in close))


@lru_cache(maxsize=1)
def _names() -> tuple[tuple[str, dict[str, str]], ...]:
    """Every country that can be called, with its plain name by language."""
    territories = {language: Locale.parse(language).territories for language in LANGUAGES}
    return tuple(
        (code, {language: plain(known[code]) for language, known in territories.items() if code in known})
        for code in sorted(_countries())
        if code in territories["en"]
    )


@lru_cache(maxsize=1)
def _countries() -> frozenset[str]:
    return frozenset(SUPPORTED_REGIONS)


# --- by telephone numbers ---


def code_of(digits: str) -> str | None:
    """The country code that digits begin with; None where nobody has it."""
    for length in (1, 2, 3):
        if digits[:length] in _CODES:
            return digits[:length]
    return None


_CODES = {
    str(code): () if regions == (_NOWHERE,) else tuple(regions)
    for code, regions in COUNTRY_CODE_TO_REGION_CODE.items()
}


def countries_of(code: str) -> tuple[str, ...]:
    """The countries that share a code, the main one first; () for codes of no country, such as satellites."""
    return _CODES.get(code, ())


def country_of(digits: str) -> str | None:
    """The country whose numbers begin so: of those that share a code, the one they tell, else the main one."""
    code = code_of(digits)
    regions = _CODES.get(code or "", ())
    if code is None or len(regions) < 2 or digits == code:
        return regions[0] if regions else None
    return _among(code, digits[len(code) :][: _TELLING.get(code, _MOST_TELLING)]) or regions[0]


@lru_cache(maxsize=65_536)
def _among(code: str, begins: str) -> str | None:
    main = PhoneMetadata.metadata_for_region(countries_of(code)[0], None)
    lengths = main.general_desc.possible_length if main and main.general_desc else ()
    for length in sorted(lengths, reverse=True):
        for rest in ("2345678901234", "1234567890123", "0000000000000"):
            national = (begins + rest)[:length]
            leading = len(national) - len(national.lstrip("0"))
            number = PhoneNumber(
                int(code),
                int(national),
                italian_leading_zero=leading > 0 or None,
                number_of_leading_zeros=leading if leading > 1 else None,
            )
            found = region_code_for_number(number)
            if found is not None:
                return found
    return None


def dialled(country: str) -> str | None:
    """A pattern for the numbers of a country, E.164 digits from the first on; None where they can't be told so.

    The main country of those that share a code has all of it.
    """
    metadata = PhoneMetadata.metadata_for_region(country, None)
    if metadata is None:
        return None
    code = str(metadata.country_code)
    if countries_of(code)[:1] == (country,):
        return f"^{code}"
    leading = metadata.leading_digits
    if not leading or not re.fullmatch(r"[0-9|()?:\[\]\\d-]+", leading):
        return None
    return f"^{code}(?:{leading})"


def samples(country: str) -> tuple[str, ...]:
    """Numbers of a country and no other, E.164 digits: a fixed line, a mobile telephone."""
    metadata = PhoneMetadata.metadata_for_region(country, None)
    if metadata is None:
        return ()
    kinds = (metadata.fixed_line, metadata.mobile)
    found = (
        f"{metadata.country_code}{kind.example_number}" for kind in kinds if kind and kind.example_number
    )
    return tuple(dict.fromkeys(number for number in found if country_of(number) == country))


def in_use(digits: str) -> bool:
    """Whether E.164 digits are a number that a numbering plan knows."""
    code = code_of(digits)
    national = "" if code is None else digits[len(code) :]
    if code is None or not national or national.startswith("0"):
        return False
    return region_code_for_number(PhoneNumber(int(code), int(national))) is not None
