"""The rate decks of the demo world: large, importable, plausible, and the same every time."""

from __future__ import annotations

import csv
import hashlib
import io
import subprocess
import sys
from decimal import Decimal

import pytest

from demo import rates
from engine.calls.deckfile import read_deck
from tests.conftest import ROOT


def _rows(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode())))


def test_the_world_has_twenty_thousand_prefixes_and_nothing_that_an_import_would_refuse() -> None:
    found = read_deck(rates.world_csv(), zone="America/New_York", currency="USD")
    assert not found.problems
    assert len({row.prefix for row in found.rows}) >= 20_000
    assert all(len(row.destination_name) <= 100 for row in found.rows)


def test_prices_are_those_of_a_prepaid_card() -> None:
    rows = _rows(rates.world_csv())
    prices = {row["Prefix"]: Decimal(row["Price"]) for row in rows}
    assert all(Decimal("0.005") <= price <= Decimal("7.00") for price in prices.values())
    assert prices["44"] < Decimal("0.10") < prices["881"]
    assert prices["44770"] > prices["4420"]  # mobile above fixed
    assert {row["Billing increments"] for row in rows} >= {"1/1", "60/60", "30/6", "6/6"}
    assert any(Decimal(row["Connect fee"]) for row in rows)
    assert any(row["Hours"] for row in rows)
    assert not [row for row in rows if row["Destination"].startswith("Country code")]


def test_the_same_seed_gives_the_same_prices_in_another_process() -> None:
    digest = "import hashlib; from demo import rates; print(hashlib.sha256(rates.world_csv()).hexdigest())"
    told = subprocess.run(
        [sys.executable, "-c", digest], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == hashlib.sha256(rates.world_csv()).hexdigest()


@pytest.mark.parametrize(("data", "currency"), [(rates.americas_csv, "USD"), (rates.europe_csv, "EUR")])
def test_the_smaller_decks_can_be_imported(data: object, currency: str) -> None:
    found = read_deck(data(), zone="UTC", currency=currency)  # type: ignore[operator]
    assert not found.problems
    assert 1_000 < len(found.rows) < 10_000


def test_a_later_version_changes_one_price_in_eight() -> None:
    before, after = _rows(rates.world_csv()), _rows(rates.world_csv(dearer=1.12, salt="second"))
    changed = sum(one["Price"] != other["Price"] for one, other in zip(before, after, strict=True))
    assert 0.09 * len(before) < changed < 0.16 * len(before)
