"""Telephone numbers as they arrive from switches and keypads, brought to E.164 and told apart by what they cost.

E.164 (ITU-T) is up to fifteen digits, country code first; inside the engine a number is those digits without `+`.
Every call brings a new number, so nothing here goes through a general parser: numbering plans are compiled once per
country code out of phonenumbers' metadata, and a number then costs a few dictionary and pattern look-ups.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata
from phonenumbers.phonemetadata import PhoneNumberDesc

LEAST_DIGITS = 7
MOST_DIGITS = 15

GROUPS = ("national", "international", "premium", "satellite", "shared_cost", "toll_free", "personal")
"""The destination groups that a number can be in; `personal` are follow-me numbers at the holder's price (UK 070)."""

_LONGEST_INPUT = 64
_TOLERATED = {ord(character): None for character in " -.()"}
_NANP = "1"
_NON_GEOGRAPHIC = "001"
_SATELLITE = frozenset({"870", "881", "882", "883"})
_COSTS = ("premium_rate", "toll_free", "shared_cost", "personal_number")
_TYPES = (*_COSTS, "fixed_line", "mobile", "voip", "pager", "uan", "voicemail")


@dataclass(frozen=True, slots=True)
class Destination:
    """A number that may be dialled: E.164 digits, and the groups (of `GROUPS`) that rules allow or bar it by."""

    e164: str
    groups: frozenset[str]


def parse_destination(raw: str, country: str | None = None) -> Destination | None:
    """The number somebody wants to reach, or None where it cannot be one.

    `country` (ISO 3166 alpha-2) is that of the access number: then numbers as dialled inside it and its own
    international prefix are understood. Otherwise digits are taken as E.164, with or without `+`, `00` or `011`.
    Spaces, dashes, dots and parentheses are ignored; any other character makes it invalid, as do emergency and short
    numbers and fewer than 7 or more than 15 digits. A country code that nobody has is not invalid: it has no rate.
    """
    if len(raw) > _LONGEST_INPUT:
        return None
    return _destination(raw, country)


def parse_caller(raw: str | None, country: str | None = None) -> str | None:
    """The E.164 digits of who calls, read like a destination; None where withheld, anonymous or not a number."""
    if not raw or len(raw) > _LONGEST_INPUT:
        return None
    return _caller(raw, country)


@lru_cache(maxsize=65_536)
def _destination(raw: str, country: str | None) -> Destination | None:
    home = _region(country) if country else None
    e164 = _normalise(raw, home)
    if e164 is None:
        return None
    return Destination(e164, _groups(e164, home))


@lru_cache(maxsize=65_536)
def _caller(raw: str, country: str | None) -> str | None:
    return _normalise(raw, _region(country) if country else None)


def _normalise(raw: str, home: _Region | None) -> str | None:
    text = raw.translate(_TOLERATED)
    international = text[:1] == "+"
    digits = text[1:] if international else text
    if not (digits.isascii() and digits.isdigit()):
        return None
    if not international:
        if home is not None:
            return _checked(_dialled_in(home, digits))
        digits = _without_generic_prefix(digits)
    return _checked(digits)


def _dialled_in(home: _Region, digits: str) -> str:
    """The E.164 reading of digits dialled in a country; not yet checked.

    Where two readings are possible the one that is a valid number wins. A number without the trunk prefix that it
    demands in its country is taken as national only where it is no valid number of another country.
    """
    if digits.startswith("00") and _is_valid(digits[2:]):
        # Before the country's own prefix: in Brazil 0041 chooses a carrier, but to us it means Switzerland.
        return digits[2:]
    abroad = home.international.match(digits)
    if abroad is not None:
        return digits[abroad.end() :]
    plan = _plan(home.code)
    national = home.national_reading(digits, plan.valid)
    trunk = bool(home.trunk) and digits.startswith(home.trunk)
    if national is not None:
        if not trunk and home.demands_trunk(national) and _is_valid(digits):
            return digits
        return home.code + national
    if trunk and len(digits) - len(home.trunk) in home.lengths and not _is_valid(digits):
        # Not in the numbering plan as we know it, but plans grow; the deck knows whether there is a rate.
        return home.code + digits[len(home.trunk) :]
    return _without_generic_prefix(digits)


def _without_generic_prefix(digits: str) -> str:
    if digits.startswith("00"):
        return digits[2:]
    return digits[3:] if digits.startswith("011") else digits


def _checked(digits: str) -> str | None:
    """The digits where they can be dialled as E.164, brought to the form in use; else None."""
    if not LEAST_DIGITS <= len(digits) <= MOST_DIGITS or digits[0] == "0":
        return None
    plan = _plan_of(digits)
    if plan is None:
        return digits
    number = digits[len(plan.code) :]
    if plan.trunks and number.startswith(plan.trunks) and not plan.valid.fullmatch(number):
        # +44 (0)20 …: a trunk prefix that has no place behind a country code.
        corrected = plan.corrected(number)
        if corrected is not None:
            return plan.code + corrected
    if plan.code == _NANP and number[1:3] == "11":
        return None  # 911 and its kin are never area codes, and some networks connect them whatever follows.
    if len(number) < LEAST_DIGITS and plan.short.fullmatch(number) and not plan.valid.fullmatch(number):
        return None
    return digits


def _groups(e164: str, home: _Region | None) -> frozenset[str]:
    plan = _plan_of(e164)
    if plan is None:
        return _group_set("international", None)
    number = e164[len(plan.code) :]
    inside = home is not None and home.code == plan.code and plan.is_inside(home, number)
    return _group_set("national" if inside else "international", plan.kind(number))


@lru_cache(maxsize=64)
def _group_set(reach: str, kind: str | None) -> frozenset[str]:
    return frozenset({reach} if kind is None else {reach, kind})


def _is_valid(digits: str) -> bool:
    plan = _plan_of(digits)
    return plan is not None and plan.valid.fullmatch(digits[len(plan.code) :]) is not None


# Numbering plans.

_REGIONS_OF = {str(code): regions for code, regions in COUNTRY_CODE_TO_REGION_CODE.items()}
_NEVER = re.compile(r"(?!)")


class _Region:
    """How one country dials: its code, its prefixes and what a valid number of it looks like."""

    def __init__(self, metadata: PhoneMetadata) -> None:
        self.name = metadata.id
        self.code = str(metadata.country_code)
        self.trunk = metadata.national_prefix or ""
        self.international = re.compile(metadata.international_prefix or r"(?!)")
        self.valid = _pattern([metadata], _TYPES)
        self.lengths = (
            frozenset(metadata.general_desc.possible_length) if metadata.general_desc else frozenset()
        )
        self._prefix = re.compile(metadata.national_prefix_for_parsing or r"(?!)")
        self._rule = metadata.national_prefix_transform_rule
        self._formats = [
            (
                re.compile(one.leading_digits_pattern[-1] if one.leading_digits_pattern else ""),
                re.compile(one.pattern or r"(?!)"),
                self.trunk in (one.national_prefix_formatting_rule or ""),
            )
            for one in metadata.number_format
        ]

    def national_reading(self, digits: str, valid: re.Pattern[str]) -> str | None:
        """The national number of digits as dialled inside the country, where that is `valid`; else None."""
        stripped = self._stripped(digits)
        if stripped is not None and valid.fullmatch(stripped):
            return stripped
        return digits if valid.fullmatch(digits) else None

    def demands_trunk(self, national: str) -> bool:
        """Whether people in the country write a trunk prefix before this number (in China: not before mobile ones)."""
        if not self.trunk or self.code == _NANP:
            return False
        for leading, shape, prefixed in self._formats:
            if leading.match(national) and shape.fullmatch(national):
                return prefixed
        return True

    def _stripped(self, digits: str) -> str | None:
        match = self._prefix.match(digits)
        if match is None or match.end() == 0:
            return None
        if self._rule is None or (match.re.groups and match[match.re.groups] is None):
            return digits[match.end() :]
        return match.expand(self._rule) + digits[match.end() :]


class _Plan:
    """The numbers behind one country code, in whatever countries share it."""

    def __init__(self, code: str, regions: tuple[str, ...]) -> None:
        self.code = code
        metadata = list(_metadata(code, regions))
        self._regions = [_Region(one) for one in metadata]
        self.valid = _pattern(metadata, _TYPES)
        self.trunks = _trunks(self._regions)
        self.short = _short_numbers(regions)
        self._premium = _pattern(metadata, ["premium_rate"])
        self._kinds = [
            (kind.removesuffix("_rate").removesuffix("_number"), pattern)
            for kind in _COSTS
            if (pattern := _pattern(metadata, [kind])) is not _NEVER
        ]
        if code in _SATELLITE:
            self._kinds.insert(0, ("satellite", re.compile(r"[0-9]*")))

    def kind(self, number: str) -> str | None:
        """What the number costs more or less than others for: a word of `GROUPS`, or None."""
        for kind, pattern in self._kinds:
            if pattern.fullmatch(number):
                return kind
        # Digits after the end of a premium number are connected as if they were not there.
        if self._premium.match(number) and not self.valid.fullmatch(number):
            return "premium"
        return None

    def is_inside(self, home: _Region, number: str) -> bool:
        """Whether the number is in `home`, one of the countries that share this code.

        A number that no numbering plan knows counts as the leading country's own, as Jersey's and Guernsey's plans
        are small beside Britain's. Not so in North America, where an area code that we don't know may be abroad.
        """
        if len(self._regions) == 1:
            return True
        if home.valid.fullmatch(number):
            return True
        leads = home.name == self._regions[0].name and self.code != _NANP
        return leads and self.valid.fullmatch(number) is None

    def corrected(self, number: str) -> str | None:
        """A national number freed of a trunk prefix, where it is valid then."""
        if self.code == "52" and self.valid.fullmatch(number[1:]):
            return number[1:]  # Mexican mobile numbers were written +52 1 … until 2019.
        for region in self._regions:
            national = region.national_reading(number, self.valid)
            if national is not None:
                return national
        return None


def _plan_of(digits: str) -> _Plan | None:
    """The plan of the country code that the digits begin with; codes are prefix-free, so one at most."""
    for length in (1, 2, 3):
        code = digits[:length]
        if code in _REGIONS_OF:
            return _plan(code)
    return None


@lru_cache(maxsize=512)
def _plan(code: str) -> _Plan:
    return _Plan(code, _REGIONS_OF[code])


@lru_cache(maxsize=512)
def _region(country: str) -> _Region | None:
    metadata = PhoneMetadata.metadata_for_region(country.upper(), None)
    return None if metadata is None else _Region(metadata)


def _metadata(code: str, regions: Iterable[str]) -> Iterator[PhoneMetadata]:
    for region in regions:
        if region == _NON_GEOGRAPHIC:
            metadata = PhoneMetadata.metadata_for_nongeo_region(int(code), None)
        else:
            metadata = PhoneMetadata.metadata_for_region(region, None)
        if metadata is not None:
            yield metadata


def _pattern(metadata: Iterable[PhoneMetadata], types: Iterable[str]) -> re.Pattern[str]:
    """One pattern for the national numbers of these types in all these countries; `_NEVER` where there are none."""
    kinds = list(types)
    alternatives: dict[str, None] = {}
    for one in metadata:
        for kind in kinds:
            desc: PhoneNumberDesc | None = getattr(one, kind)
            if desc is not None and desc.national_number_pattern:
                alternatives[desc.national_number_pattern] = None
    return re.compile("|".join(f"(?:{one})" for one in alternatives)) if alternatives else _NEVER


def _trunks(regions: Iterable[_Region]) -> tuple[str, ...]:
    """What a national number may wrongly begin with: the trunk prefixes, and the 1 of old Mexican mobile numbers."""
    trunks = {region.trunk for region in regions if region.trunk}
    if any(region.code == "52" for region in regions):
        trunks.add("1")
    return tuple(sorted(trunks))


def _short_numbers(regions: Iterable[str]) -> re.Pattern[str]:
    """Emergency numbers and service codes, which are dialled without any prefix and only inside their country."""
    alternatives: dict[str, None] = {}
    for region in regions:
        metadata = PhoneMetadata.short_metadata_for_region(region, None)
        if metadata is not None and metadata.short_code and metadata.short_code.national_number_pattern:
            alternatives[metadata.short_code.national_number_pattern] = None
    return re.compile("|".join(f"(?:{one})" for one in alternatives)) if alternatives else _NEVER
