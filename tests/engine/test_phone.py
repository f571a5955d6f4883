"""Numbers as people dial them and switches write them, in many countries, and everything that is no number."""

from __future__ import annotations

import os
import re

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.phone import GROUPS, parse_caller, parse_destination

FUZZ = 20_000 if os.environ.get("CARDTONE_PROVE") == "1" else 1_000

N, X, P, S = "national", "international", "premium", "satellite"


@pytest.mark.parametrize(
    ("raw", "country", "e164", "groups"),
    [
        # Without a country: digits are E.164, however they are introduced.
        ("442079460000", None, "442079460000", {X}),
        ("+442079460000", None, "442079460000", {X}),
        ("00442079460000", None, "442079460000", {X}),
        ("011442079460000", None, "442079460000", {X}),
        ("+44 (20) 7946-00.00", None, "442079460000", {X}),
        ("+44 (0)20 7946 0000", None, "442079460000", {X}),
        # United Kingdom
        ("020 7946 0000", "GB", "442079460000", {N}),
        ("2079460000", "GB", "442079460000", {N}),
        ("442079460000", "GB", "442079460000", {N}),
        ("0033140205050", "GB", "33140205050", {X}),
        ("07700900123", "GB", "447700900123", {N}),  # fictional, in no numbering plan
        ("01534 123456", "GB", "441534123456", {X}),  # Jersey
        ("09061234567", "GB", "449061234567", {N, P}),
        ("+449061234567", None, "449061234567", {X, P}),
        ("+44906123456799", None, "44906123456799", {X, P}),  # digits behind a premium number
        ("07012345678", "GB", "447012345678", {N, "personal"}),
        ("08001111000", "GB", "448001111000", {N, "toll_free"}),
        # North America
        ("212 555 1234", "US", "12125551234", {N}),
        ("1-212-555-1234", "us", "12125551234", {N}),
        ("011 44 20 7946 0000", "US", "442079460000", {X}),
        ("876 555 1234", "US", "18765551234", {X}),  # Jamaica
        ("18765551234", "JM", "18765551234", {N}),
        ("+14165551234", "US", "14165551234", {X}),  # Canada
        ("19005551234", "US", "19005551234", {N, P}),
        ("19005551234", None, "19005551234", {X, P}),
        # Trunk prefixes of all kinds
        ("0612345678", "IT", "390612345678", {N}),  # Italian zeros belong to the number
        ("+390612345678", None, "390612345678", {X}),
        ("3331234567", "IT", "393331234567", {N}),
        ("011 5621234", "IT", "390115621234", {N}),  # Torino, not an American prefix
        ("0707123456", "CI", "2250707123456", {N}),
        ("8 495 123-45-67", "RU", "74951234567", {N}),
        ("810442079460000", "RU", "442079460000", {X}),
        ("+77071234567", "RU", "77071234567", {X}),  # Kazakhstan
        ("06 1 234 5678", "HU", "3612345678", {N}),
        ("030 12345678", "DE", "493012345678", {N}),
        ("4915112345678", "DE", "4915112345678", {N}),
        ("0041446681800", "BR", "41446681800", {X}),
        ("0 15 11 2345-6789", "BR", "551123456789", {N}),  # carrier 15
        ("011 4321-1234", "AR", "541143211234", {N}),
        ("011 15 1234-5678", "AR", "5491112345678", {N}),
        ("+5491112345678", None, "5491112345678", {X}),
        ("55 1234 5678", "MX", "525512345678", {N}),
        ("+52 1 55 1234 5678", None, "525512345678", {X}),  # mobile, as written until 2019
        ("0011 44 20 7946 0000", "AU", "442079460000", {X}),
        ("0412 345 678", "AU", "61412345678", {N}),
        ("010 44 20 7946 0000", "JP", "442079460000", {X}),
        ("09012345678", "JP", "819012345678", {N}),
        ("09876543210", "IN", "919876543210", {N}),
        ("9876543210", "IN", "919876543210", {N}),
        ("13123456789", "CN", "8613123456789", {N}),
        ("01712345678", "BD", "8801712345678", {N}),
        ("0801 234 5678", "NG", "2348012345678", {N}),
        ("011 123 4567", "ZA", "27111234567", {N}),  # Johannesburg
        ("912345678", "ES", "34912345678", {N}),
        ("06 12 34 56 78", "FR", "33612345678", {N}),
        ("0899 12 34 56", "FR", "33899123456", {N, P}),
        ("001 1 212 555 1234", "HK", "12125551234", {X}),
        # Behind no country
        ("+8816 1234 5678", None, "881612345678", {X, S}),
        ("870773112345", "GB", "870773112345", {X, S}),
        ("+882161234567", None, "882161234567", {X, S}),
        ("+979123456789", None, "979123456789", {X, P}),
        ("+80012345678", None, "80012345678", {X, "toll_free"}),
        ("999123456789", None, "999123456789", {X}),  # nobody has this code: a matter of rates
        ("442079460000", "XX", "442079460000", {X}),
    ],
)
def test_destinations(raw: str, country: str | None, e164: str, groups: set[str]) -> None:
    destination = parse_destination(raw, country)
    assert destination is not None
    assert destination.e164 == e164
    assert destination.groups == groups
    assert groups <= set(GROUPS)


@pytest.mark.parametrize("country", [None, "GB", "US", "IT", "DE", "IN"])
@pytest.mark.parametrize(
    "raw",
    [
        "",
        " ",
        "+",
        "00",
        "123",
        "112",
        "911",
        "999",
        "+112",
        "+44999",
        "+1911",
        "0",
        "000000000000",
        "1" * 16,
        "4" * 40,
        "+" + "4" * 15_000,
        "+0442079460000",
        "++442079460000",
        "44+2079460000",
        "44207946000a",
        "500&PJSIP/x/19005551234",
        "4420794600;00",
        "44207946/0000",
        "44207946%0000",
        "442079460000\n",
        "\t442079460000",
        "442079460000\x00",
        "\uff14\uff14\uff12\uff10\uff17\uff19\uff14\uff16\uff10\uff10\uff10\uff10",
        "٤٤٢٠٧٩٤٦٠٠٠٠",
        "44²0794600000",
        "4420794600\u200b00",
        "*31#442079460000",
        "tel:+442079460000",
        "4.47E+11",
        "';--",
    ],
)
def test_what_no_destination_can_be(raw: str, country: str | None) -> None:
    assert parse_destination(raw, country) is None
    assert parse_caller(raw, country) is None


@pytest.mark.parametrize(
    ("raw", "country"),
    [
        ("+19115551234", None),  # networks that connect 911 whatever follows
        ("1 911 555 1234", "US"),
        ("+44118500", None),  # directory enquiries, dialled without any prefix
        ("+49116117", None),
        ("0999", "GB"),
        ("020 7946 00", "GB"),
    ],
)
def test_emergency_short_and_incomplete_numbers_are_invalid(raw: str, country: str | None) -> None:
    assert parse_destination(raw, country) is None


@pytest.mark.parametrize(
    ("raw", "country", "e164"),
    [
        ("+442079460000", None, "442079460000"),
        ("020 7946 0000", "GB", "442079460000"),
        ("2079460000", "GB", "442079460000"),
        ("2125551234", "US", "12125551234"),
        ("anonymous", None, None),
        ("Restricted", "GB", None),
        ("unavailable", "US", None),
        ("';--", None, None),
        ("", None, None),
        (None, "GB", None),
        ("1234", "GB", None),
    ],
)
def test_callers(raw: str | None, country: str | None, e164: str | None) -> None:
    assert parse_caller(raw, country) == e164


COSTS = {
    phonenumbers.PhoneNumberType.PREMIUM_RATE: "premium",
    phonenumbers.PhoneNumberType.TOLL_FREE: "toll_free",
    phonenumbers.PhoneNumberType.SHARED_COST: "shared_cost",
    phonenumbers.PhoneNumberType.PERSONAL_NUMBER: "personal",
}


def test_the_example_of_every_kind_in_every_country_is_read_as_phonenumbers_reads_it() -> None:
    seen = 0
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        for kind in phonenumbers.PhoneNumberType.values():
            example = phonenumbers.example_number_for_type(region, kind)
            if example is None:
                continue
            e164 = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)[1:]
            if not 7 <= len(e164) <= 15:
                continue
            cost = COSTS.get(phonenumbers.number_type(example))
            costs = {cost} if cost else set()
            national = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.NATIONAL)
            national = re.sub(r"[^0-9 ()-]", "", national)
            for raw, country in (
                (e164, None),
                (f"+{e164}", region),
                (f"00{e164}", None),
                (national, region),
            ):
                destination = parse_destination(raw, country)
                assert destination is not None, (region, kind, raw)
                assert destination.e164 == e164, (region, kind, raw)
                assert destination.groups - {N, X} == costs, (region, kind, raw)
                assert (N in destination.groups) == (country is not None), (region, kind, raw)
                seen += 1
    assert seen > 4_000


ALPHABET = "0123456789+-.() &/;\n%a\x00\uff11²#*"


@settings(max_examples=FUZZ, deadline=None)
@given(
    st.one_of(
        st.text(max_size=80),
        st.text(ALPHABET, max_size=24),
        st.from_regex(r"\A(\+|00|011|0)?[0-9]{3,18}\Z"),
    ),
    st.sampled_from(
        [None, "US", "GB", "IT", "AR", "BR", "MX", "JP", "RU", "HU", "AU", "CN", "JM", "SM", "XX"]
    ),
)
def test_nothing_raises_and_whatever_is_taken_can_be_dialled(raw: str, country: str | None) -> None:
    destination = parse_destination(raw, country)
    if destination is not None:
        assert re.fullmatch("[1-9][0-9]{6,14}", destination.e164, re.ASCII)
        assert (N in destination.groups) != (X in destination.groups)
        again = parse_destination(f"+{destination.e164}")
        assert again is not None
        assert again.e164 == destination.e164
    assert parse_caller(raw, country) == (destination and destination.e164)
