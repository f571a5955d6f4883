"""The order form: what is typed is kept, what is wrong is told at its field, what is ordered is ordered once."""

from __future__ import annotations

import re
from typing import Any

import pytest

from engine import work
from engine.actor import CONSOLE
from engine.db import Database
from engine.people import staff
from engine.schema import Batch
from engine.stock import generation
from engine.vault import Secret, Vault
from tests import scenes
from tests.portal.conftest import PASSWORD, Visitor, text_of

FIELDS = {
    "kind": "calling",
    "region": "Dhaka",
    "count": "50",
    "denomination": "5",
    "deck": "Standard",
    "currency": "",
    "name": "",
    "number_length": "12",
    "number_prefix": "",
    "range_first": "",
    "range_last": "",
    "password_length": "8",
    "validity_days": "90",
    "validity_from": "first_use",
    "first_use": "authentication",
    "grace_days": "0",
    "extension_days": "",
    "binding": "none",
    "max_bound": "0",
    "auto_bind": "y",
    "concurrency": "1",
    "destination_rules": "Standard",
    "language": "en",
    "post_call_fee": "0",
    "maintenance_fee": "0",
    "maintenance_days": "",
    "release": "generation",
    "reseller": "",
    "key": "form-1",
}
_HIDDEN = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)"')


@pytest.fixture(autouse=True)
def _deck(db: Database) -> None:
    scenes.deck(db)


def batches(db: Database) -> list[Batch]:
    with db.begin() as session:
        return session.query(Batch).order_by(Batch.id).all()


def test_five_fields_a_last_look_and_it_is_ordered_once(visitor: Visitor, db: Database) -> None:
    look = visitor.submit("/batches/new", step="look", **FIELDS)
    assert look.status_code == 200
    text = text_of(look.text)
    assert "Dhaka_5_November" in text
    assert "one blind try in 2 million million million" in text
    assert "USD 250.00" in text
    assert batches(db) == []
    fields = dict(_HIDDEN.findall(look.text))
    fields.pop("csrf_token")
    for _ in range(2):
        done = visitor.submit("/batches/new", step="order", **fields)
        assert (done.status_code, done.headers["Location"]) == (303, "/batches/1")
    (batch,) = batches(db)
    assert (batch.name, batch.count, batch.denomination, batch.auto_bind) == (
        "Dhaka_5_November",
        50,
        scenes.USD("5"),
        True,
    )
    assert batch.created_by == "staff:1"
    assert "The batch is ordered." in text_of(visitor.get("/batches/1").text)
    # And back from the last look, everything is still there.
    form = visitor.submit("/batches/new", step="change", **fields)
    assert 'value="Dhaka"' in form.text


def test_the_form_is_filled_with_what_is_usual_a_preset_or_a_batch_that_exists(
    visitor: Visitor, db: Database, vault: Vault
) -> None:
    page = visitor.get("/batches/new").text
    assert '<option selected value="Standard">' in page
    for name, value in (("number_length", 12), ("password_length", 8), ("validity_days", 90)):
        assert re.search(rf'name="{name}"[^>]* value="{value}"', page), name
    assert 'hx-trigger="load, input delay:500ms from:#order"' in page
    page = visitor.submit("/batches/new", preset="tier-50", **{**FIELDS, "region": "Lagos"}).text
    assert re.search(r'name="denomination"[^>]* value="50.00"', page)
    assert re.search(r'name="validity_days"[^>]* value="365"', page)
    assert '<option selected value="single">' in page
    assert 'value="Lagos"' in page
    assert "Filled in: a year, one registered phone" in page
    page = visitor.submit("/batches/new", preset="bind-high", **FIELDS).text
    assert re.search(r'name="denomination"[^>]* value="5"', page)
    assert '<option selected value="activation">' in page
    assert visitor.get("/batches/new?preset=x").status_code == 400
    scenes.batch(db, vault, 7, "20.00", name="Manila_20_May", binding="multi", max_bound=3, grace_days=9)
    page = visitor.get("/batches/new?like=1").text
    for name, value in (("region", "Manila"), ("count", "7"), ("denomination", "20.00"), ("grace_days", "9")):
        assert re.search(rf'name="{name}"[^>]* value="{value}"', page), name
    assert visitor.get("/batches/new?like=99").status_code == 404


def test_the_outlook_is_a_part_of_its_own_and_no_refusal(visitor: Visitor, db: Database) -> None:
    part = {"HX-Request": "true", "HX-Request-Type": "partial"}
    seen = visitor.submit("/batches/new/outlook", headers=part, **FIELDS)
    assert (seen.status_code, seen.text.lstrip()[:8]) == (200, "<article")
    assert "One blind try in 2 million million million" in text_of(seen.text)
    assert "load" not in re.search(r'hx-trigger="([^"]*)"', seen.text)[1]  # type: ignore[index]
    seen = visitor.submit(
        "/batches/new/outlook", headers=part, **{**FIELDS, "count": "", "denomination": "x"}
    )
    assert seen.status_code == 200
    text = text_of(seen.text)
    assert "Still to fill in: Number of cards." in text
    assert "Face value: " in text
    short = visitor.submit(
        "/batches/new/outlook",
        headers=part,
        **{**FIELDS, "number_length": "11", "password_length": "5"},
    )
    assert "Card numbers with fewer than 12 digits are easier to guess." in text_of(short.text)
    assert batches(db) == []


def error_at(page: str, name: str) -> str:
    """The sentence at a field."""
    found = re.search(rf'id="{name}-error">([^<]*)<', page)
    return found[1] if found else ""


TYPED: tuple[dict[str, tuple[str, str]], ...] = (
    {
        "denomination": ("-5", ""),
        "count": ("1e9", "whole number"),
        "validity_days": ("-1", "between 1"),
        "max_bound": ("101", "between 0 and 100"),
    },
    {
        "denomination": ("1e9", ""),
        "count": ("0", "between 1 and 1,000,000"),
        "grace_days": ("²", "plain digits"),
    },
    {"denomination": ("NaN", ""), "count": ("1000000000", "between 1 and 1,000,000")},
    {"denomination": ("1,50", "point"), "count": ("１２", "plain digits"), "name": ("x" * 101, "100")},
    {
        "denomination": ("0.00000005", ""),
        "count": ("9" * 30, "whole number"),
        "concurrency": ("", "Fill this in."),
    },
    {"denomination": ("1" + "0" * 30, ""), "number_length": ("33", "between 4 and 32")},
)
"""Values that a field itself refuses, and a part of what is said there."""
RULED: tuple[tuple[dict[str, str], dict[str, str]], ...] = (
    (
        {"name": "Dha\u202eka", "number_prefix": "123456789012", "language": "??"},
        {"name": "U+202E", "number_prefix": "no digits free", "language": ""},
    ),
    ({"name": "Dha\u200bka", "number_prefix": "12a"}, {"name": "U+200B", "number_prefix": ""}),
    ({"number_length": "7", "count": "100000"}, {"number_length": "Use longer numbers"}),
    (
        {"range_first": "123456789012", "binding": "multi"},
        {"range_last": "both ends", "max_bound": "how many"},
    ),
    ({"currency": "EUR"}, {"deck": ""}),
    ({"maintenance_fee": "1"}, {"maintenance_days": "every how many days"}),
)
"""Values that the rules for batches refuse, and what is said where."""


def test_the_outlook_asked_for_as_a_page_is_the_whole_form(visitor: Visitor, db: Database) -> None:
    assert 'value="Hanoi"' in visitor.submit("/batches/new/outlook", **{**FIELDS, "region": "Hanoi"}).text
    wrong = visitor.submit("/batches/new/outlook", **{**FIELDS, "count": "0"})
    assert (wrong.status_code, 'id="count-error"' in wrong.text) == (422, True)


def test_what_is_wrong_is_told_at_its_field_and_kept(visitor: Visitor, db: Database) -> None:
    """No amount is rounded, no digit guessed, nothing that was typed is lost, nothing is written."""
    cases = [
        ({name: one[0] for name, one in wrong.items()}, {name: one[1] for name, one in wrong.items()})
        for wrong in TYPED
    ]
    for change, told in (*cases, *RULED):
        page = visitor.submit("/batches/new", step="order", **{**FIELDS, **change})
        assert page.status_code == 422, change
        for name, words in told.items():
            said = error_at(page.text, name)
            assert said, (name, change)
            assert words in said, (name, said)
        for name, value in change.items():
            assert f'value="{value}"' in page.text, (name, value)
    page = visitor.submit("/batches/new", step="order", **{**FIELDS, "deck": "Nowhere", "kind": "gift"})
    assert error_at(page.text, "deck") == error_at(page.text, "kind") == "Choose one of the list."
    assert batches(db) == []


def test_names_are_shown_as_they_are_and_run_nowhere(visitor: Visitor, db: Database, vault: Vault) -> None:
    for key, name in enumerate(("<script>alert(1)</script>", '=HYPERLINK("http://x")')):
        fields = {**FIELDS, "name": name, "key": f"k{key}"}
        look = visitor.submit("/batches/new", step="look", **fields)
        assert look.status_code == 200
        assert "<script>alert" not in look.text
        done = visitor.submit("/batches/new", step="order", proposed="", **fields)
        assert done.status_code == 303
        assert name in text_of(visitor.get(done.headers["Location"]).text)
        claimed = work.claim(db, "test", ["generate"], scenes.NOW)
        assert claimed is not None
        generation.run(db, vault, claimed, lambda: scenes.NOW)
    file = visitor.submit(
        "/batches/2/export", form="csv", with_passwords="y", recipient="", reason="", key="e"
    )
    assert b"'=HYPERLINK" in file.data.replace(b'"', b"")
    assert file.headers["Content-Disposition"].startswith("attachment")


def test_a_voucher_needs_a_currency_and_a_field_that_nobody_asked_for_counts_nothing(
    visitor: Visitor, db: Database
) -> None:
    more = {"imported": "y", "ready_at": "2020-01-01", "generated": "50", "reseller_id": "1", "id": "77"}
    assert (
        visitor.submit("/batches/new", step="order", **{**FIELDS, "name": "Plain"}, **more).status_code == 303
    )
    (batch,) = batches(db)
    assert (batch.id, batch.imported, batch.ready_at, batch.generated, batch.reseller_id) == (
        1,
        False,
        None,
        0,
        None,
    )
    fields = {**FIELDS, "kind": "voucher", "deck": "", "name": "V", "key": "form-2"}
    page = visitor.submit("/batches/new", step="order", **fields)
    assert (page.status_code, error_at(page.text, "currency")) == (422, "Fill this in.")
    assert visitor.submit("/batches/new", step="order", **{**fields, "currency": "EUR"}).status_code == 303
    assert batches(db)[1].currency == "EUR"


def test_without_a_token_or_a_role_nothing_is_ordered(visitor: Visitor, app: Any, db: Database) -> None:
    assert visitor.post("/batches/new", data={**FIELDS, "step": "order"}).status_code == 403
    staff.add_staff(db, "eyes", "Eyes", "auditor", Secret(PASSWORD), CONSOLE, scenes.NOW)
    eyes = app.test_client()
    eyes.log_in("eyes")
    assert eyes.get("/batches").status_code == 200
    assert "/batches/new" not in eyes.get("/batches").text
    for path in ("/batches/new", "/batches/import", "/templates/new"):
        assert eyes.get(path).status_code == 403
        assert eyes.submit(path, step="order", **FIELDS).status_code == 403
    assert batches(db) == []
