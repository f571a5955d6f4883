"""The rules in the console: settings, switches and their keys, access numbers, destination rules."""

from __future__ import annotations

import re
from typing import Any

import pytest

from engine import settings
from engine.actor import CONSOLE
from engine.calls.access_numbers import list_access_numbers
from engine.calls.destinations import list_rules
from engine.db import Database
from engine.errors import Unauthorized
from engine.people import audit, staff
from engine.people.switches import authenticate_key, list_switches
from engine.vault import Secret
from tests import scenes
from tests.portal.conftest import PASSWORD, Visitor, text_of

KEY = re.compile(r"ctsw_[\w-]{20,}")


@pytest.fixture
def admin(db: Database, app: Any) -> Visitor:
    """An administrator who is logged in."""
    staff.add_staff(db, "head", "Head office", "admin", Secret(PASSWORD), CONSOLE, scenes.NOW)
    client: Visitor = app.test_client()
    assert client.log_in("head").status_code == 303
    return client


def setting(db: Database, key: str) -> Any:
    with db.begin() as session:
        return getattr(settings.load(session), key)


def test_a_setting_is_changed_told_and_put_back(admin: Visitor, db: Database) -> None:
    done = admin.submit("/settings/change/lock_failures", value="10")
    assert (done.status_code, done.location) == (303, "/settings")
    page = text_of(admin.get("/settings").text)
    assert "Lock after: 10 wrong passwords." in page
    assert "delivered: 20 wrong passwords" in page
    assert setting(db, "lock_failures") == 10
    assert admin.submit("/settings/reset/lock_failures").status_code == 303
    assert setting(db, "lock_failures") == 20
    actions = [row.action for row in audit.search(db, action="setting.set").rows]
    assert actions == ["setting.set", "setting.set"]


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("lock_failures", "-5", "It must be between 1 and 10,000."),
        ("lock_failures", "1e9", "Type a whole number in plain digits"),
        ("lock_failures", "NaN", "Type a whole number in plain digits"),
        ("lock_failures", "１２", "Type a whole number in plain digits"),
        ("lock_failures", "9" * 30, "Type a whole number in plain digits"),
        ("lock_failures", "", "Fill this in."),
        ("zone", "Mars/Olympus", "Choose one of the list."),
        ("home_country", "XX", "Choose one of the list."),
    ],
)
def test_a_bad_setting_is_told_at_its_field_and_nothing_changes(
    admin: Visitor, db: Database, key: str, value: str, said: str
) -> None:
    before = setting(db, key)
    answer = admin.submit(f"/settings/change/{key}", value=value)
    assert answer.status_code == 422
    assert said in text_of(answer.text)
    if value and key not in ("zone", "home_country"):
        assert f'value="{value}"' in answer.text
    assert setting(db, key) == before


def test_an_unknown_setting_is_nothing(admin: Visitor) -> None:
    assert admin.get("/settings/change/balance").status_code == 404
    assert admin.submit("/settings/reset/__class__").status_code == 404


def test_operators_read_the_rules_and_are_offered_no_change(visitor: Visitor) -> None:
    page = visitor.get("/settings")
    assert page.status_code == 200
    assert "/settings/change/" not in page.text
    assert visitor.get("/settings/change/zone").status_code == 403
    assert visitor.submit("/settings/change/zone", value="UTC").status_code == 403


def test_a_switch_gets_its_key_once(admin: Visitor, db: Database) -> None:
    shown = admin.submit(
        "/settings/switches/new", name="Asterisk <b>", addresses="10.0.0.7\n10.1.0.0/16", trusted="y"
    )
    assert shown.status_code == 200
    key = KEY.search(shown.text)
    assert key is not None
    assert authenticate_key(db, key[0], "10.0.0.7").name == "Asterisk <b>"
    listed = admin.get("/settings/switches")
    assert key[0] not in listed.text
    assert "Asterisk <b>" in text_of(listed.text)
    assert "<b>" not in listed.text
    again = admin.submit("/settings/switches/new", name="Asterisk <b>", addresses="", trusted="y")
    assert again.status_code == 422
    assert KEY.search(again.text) is None
    assert len(list_switches(db)) == 1


def test_a_key_is_replaced_without_stopping_calls(admin: Visitor, db: Database) -> None:
    first = KEY.search(admin.submit("/settings/switches/new", name="VOS", addresses="", trusted="y").text)
    path = f"/settings/switches/{list_switches(db)[0].id}"
    second = KEY.search(admin.submit(f"{path}/rotate").text)
    assert first is not None
    assert second is not None
    assert authenticate_key(db, first[0], "10.0.0.7").name == authenticate_key(db, second[0], "10.0.0.7").name
    assert admin.submit(f"{path}/rotate").status_code == 422
    assert admin.submit(f"{path}/finish").status_code == 303
    with pytest.raises(Unauthorized):
        authenticate_key(db, first[0], "10.0.0.7")
    assert admin.submit(f"{path}/revoke-key", prefix=second[0][:11]).status_code == 303
    with pytest.raises(Unauthorized):
        authenticate_key(db, second[0], "10.0.0.7")
    assert admin.submit(f"{path}/revoke").status_code == 303
    assert list_switches(db)[0].revoked_at is not None
    assert admin.submit("/settings/switches/99/revoke").status_code == 404


def test_a_bad_address_of_a_switch_is_told_at_its_field(admin: Visitor, db: Database) -> None:
    answer = admin.submit(
        "/settings/switches/new", name="VOS", addresses="10.0.0.0/8\n10.0.0.300", trusted="y"
    )
    assert answer.status_code == 422
    assert "10.0.0.300" in text_of(answer.text)
    assert 'id="addresses-error"' in answer.text
    assert list_switches(db) == []


def test_an_access_number_is_listed_changed_and_disabled(visitor: Visitor, db: Database) -> None:
    added = visitor.submit(
        "/settings/access-numbers/new",
        number="+44 20 7946 0000",
        name="London",
        country="GB",
        language="en",
        per_minute="0.01",
        per_call="0",
    )
    assert added.status_code == 303
    listed = list_access_numbers(db)[0]
    assert (listed.number, listed.country, listed.per_minute) == ("442079460000", "GB", 10_000)
    bad = visitor.submit(
        "/settings/access-numbers/442079460000/change",
        name="London",
        country="GB",
        language="",
        per_minute="1,50",
        per_call="0",
    )
    assert bad.status_code == 422
    assert 'value="1,50"' in bad.text
    assert 'id="per_minute-error"' in bad.text
    changed = visitor.submit(
        "/settings/access-numbers/442079460000/change",
        name="City",
        country="",
        language="",
        per_minute="0",
        per_call="0.05",
    )
    assert changed.status_code == 303
    listed = list_access_numbers(db)[0]
    assert (listed.name, listed.country, listed.per_minute, listed.per_call) == ("City", None, 0, 50_000)
    assert visitor.submit("/settings/access-numbers/442079460000/disable").status_code == 303
    page = visitor.get("/settings/access-numbers")
    assert "Enable it again" in page.text
    assert visitor.submit("/settings/access-numbers/442079460000/enable").status_code == 303
    assert visitor.submit("/settings/access-numbers/1/enable").status_code == 404


def test_destination_rules_are_made_and_changed(visitor: Visitor, db: Database) -> None:
    assert (
        visitor.submit(
            "/settings/destinations/new", name="At home", barred="premium", only="1", allowed="national"
        ).status_code
        == 303
    )
    made = next(rules for rules in list_rules(db) if rules.name == "At home")
    assert (made.barred, made.allowed) == (("premium",), ("national",))
    nothing = visitor.submit(f"/settings/destinations/{made.id}/change", barred="premium", only="1")
    assert nothing.status_code == 422
    unknown = visitor.submit(f"/settings/destinations/{made.id}/change", barred="moon", only="")
    assert unknown.status_code == 422
    assert (
        visitor.submit(f"/settings/destinations/{made.id}/change", barred="satellite", only="").status_code
        == 303
    )
    changed = next(rules for rules in list_rules(db) if rules.name == "At home")
    assert (changed.barred, changed.allowed) == (("satellite",), None)
    assert (
        visitor.submit("/settings/destinations/new", name="At home", barred="premium", only="").status_code
        == 422
    )


def test_the_form_of_an_act_is_a_part_for_htmx_and_a_page_without_it(visitor: Visitor) -> None:
    part = visitor.part("/settings/destinations/new")
    assert part.text.lstrip().startswith("<form")
    assert visitor.get("/settings/destinations/new").text.lstrip().startswith("<!doctype")
