"""Staff in the console: added, changed, kept out; secrets shown once; nobody locks the last administrator out."""

from __future__ import annotations

import re
from typing import Any

import pytest

from engine.actor import CONSOLE
from engine.db import Database
from engine.people import audit, resellerpeople, resellers, sessions, staff
from engine.people.logins import list_log_ins, log_in_page
from engine.permissions import STAFF_ROLES
from engine.vault import Secret
from tests import scenes
from tests.portal.conftest import PASSWORD, Visitor, text_of

MADE = re.compile(r"\b(?:[a-z2-9]{5}-){3}[a-z2-9]{5}\b")
NASTY = "<script>alert(1)</script>"


@pytest.fixture
def admin(db: Database, app: Any) -> Visitor:
    """An administrator who is logged in."""
    staff.add_staff(db, "head", "Head office", "admin", Secret(PASSWORD), CONSOLE, scenes.NOW)
    client: Visitor = app.test_client()
    assert client.log_in("head").status_code == 303
    return client


def other(db: Database, role: str = "support", **more: Any) -> int:
    made = staff.add_staff(
        db, f"{role}.1", f"One {NASTY}", role, Secret(PASSWORD), CONSOLE, scenes.NOW, **more
    )
    return made[0].id


def made_password(page: str) -> str:
    found = MADE.search(text_of(page))
    assert found is not None
    return found[0]


def test_somebody_is_added_and_their_password_is_shown_once(
    admin: Visitor, db: Database, app: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = admin.submit("/people/new", login="A.Rahman", name=f"Abdur {NASTY}", role="operator")
    assert shown.status_code == 200
    password = made_password(shown.text)
    assert NASTY not in shown.text
    listed = admin.get("/people")
    assert NASTY not in listed.text
    assert f"Abdur {NASTY}" in text_of(listed.text)
    assert password not in listed.text
    with admin.session_transaction() as cookie:
        assert password not in str(dict(cookie))
    assert password not in "".join(capsys.readouterr())
    assert password not in str(audit.search(db).rows)
    newcomer: Visitor = app.test_client()
    assert newcomer.log_in("a.rahman", password).status_code == 303
    again = admin.submit("/people/new", login="a.rahman", name="Abdur", role="operator")
    assert again.status_code == 422
    assert MADE.search(text_of(again.text)) is None


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"login": "", "name": "A", "role": "support"}, "login"),
        ({"login": "a b", "name": "A", "role": "support"}, "login"),
        ({"login": "ab", "name": "", "role": "support"}, "name"),
        ({"login": "ab", "name": "\u202eA", "role": "support"}, None),
        ({"login": "ab", "name": "A" * 101, "role": "support"}, "name"),
        ({"login": "ab", "name": "A", "role": "root"}, "role"),
    ],
)
def test_a_mistake_is_told_at_its_field_and_nobody_is_added(
    admin: Visitor, db: Database, fields: dict[str, str], wrong: str | None
) -> None:
    answer = admin.submit("/people/new", **fields)
    if wrong is None:  # what has no shape is not taken over
        assert answer.status_code == 200
        assert {one.name for one in staff.list_staff(db)} == {"A", "Head office"}
        return
    assert answer.status_code == 422
    assert f'id="{wrong}-error"' in answer.text
    assert len(staff.list_staff(db)) == 1


def test_the_last_administrator_stays_one(admin: Visitor, db: Database) -> None:
    me = staff.named(db, "head").id
    changed = admin.submit(f"/people/{me}/change", name="Head office", role="support")
    assert changed.status_code == 422
    assert "admin" in text_of(changed.text)
    assert admin.submit(f"/people/{me}/disable").status_code == 422
    assert staff.named(db, "head").role == "admin"
    own = admin.submit(f"/people/{me}/password")
    assert own.status_code == 422
    assert MADE.search(text_of(own.text)) is None


def test_somebody_is_changed_kept_out_and_let_in_again(admin: Visitor, db: Database, app: Any) -> None:
    person = other(db)
    theirs: Visitor = app.test_client()
    theirs.log_in("support.1")
    assert theirs.get("/me").status_code == 200
    assert admin.submit(f"/people/{person}/change", name="One", role="finance").status_code == 303
    asked = theirs.get("/me")
    assert (asked.status_code, asked.location) == (303, "/log-in?next=%2Fme")
    assert "finance now" in text_of(admin.get(f"/people/{person}").text)
    assert admin.submit(f"/people/{person}/disable", reason=f"Left {NASTY}").status_code == 303
    assert theirs.log_in("support.1").status_code == 422
    page = admin.get(f"/people/{person}")
    assert "Enable again" in page.text
    assert admin.submit(f"/people/{person}/disable").status_code == 422
    assert admin.submit(f"/people/{person}/enable").status_code == 303
    assert theirs.log_in("support.1").status_code == 303
    trail = admin.get("/audit")
    assert NASTY not in trail.text
    assert f"Left {NASTY}" in text_of(trail.text)


def test_a_new_password_ends_what_was_open_and_is_shown_once(admin: Visitor, db: Database, app: Any) -> None:
    person = other(db)
    theirs: Visitor = app.test_client()
    theirs.log_in("support.1")
    password = made_password(admin.submit(f"/people/{person}/password").text)
    assert theirs.get("/me").status_code == 303
    assert theirs.log_in("support.1", PASSWORD).status_code == 422
    assert theirs.log_in("support.1", password).status_code == 303


def test_a_log_in_is_ended_by_who_may_and_only_its_own(admin: Visitor, db: Database, app: Any) -> None:
    person, second = other(db), other(db, "finance")
    theirs: Visitor = app.test_client()
    theirs.log_in("support.1")
    ref = sessions.list_sessions(db, "staff", person, scenes.NOW)[0].ref
    assert admin.get(f"/people/{second}/sessions/{ref}/end").status_code == 404
    assert admin.submit(f"/people/{second}/sessions/{ref}/end").status_code == 404
    assert theirs.get("/me").status_code == 200
    assert theirs.get(f"/people/{person}/sessions/{ref}/end").status_code == 403
    assert admin.submit(f"/people/{person}/sessions/{ref}/end", reason="Lost laptop").status_code == 303
    assert theirs.get("/me").status_code == 303
    assert audit.search(db, action="staff.end_sessions").rows[0].reason == "Lost laptop"


@pytest.mark.parametrize("role", STAFF_ROLES)
def test_each_role_is_offered_what_it_may(db: Database, app: Any, role: str) -> None:
    person = other(db, role)
    client: Visitor = app.test_client()
    client.log_in(f"{role}.1")
    page = client.get("/people")
    assert page.status_code == (200 if role in ("admin", "auditor") else 403)
    assert ("/people/new" in page.text) is (role == "admin")
    assert client.get(f"/people/{person}").status_code == page.status_code
    assert client.get("/audit").status_code == page.status_code
    assert client.get("/people/consents").status_code == 200
    shops = client.get("/resellers")
    assert shops.status_code == (403 if role == "support" else 200)
    assert ("/resellers/new" in shops.text) is (role in ("admin", "operator"))
    assert client.get("/me").status_code == 200


def test_the_table_of_roles_says_what_the_permissions_say(admin: Visitor) -> None:
    page = admin.get("/people").text
    rows = re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL)

    def granted(words: str) -> str:
        row = next(row for row in rows if f">{words}<" in row)
        return "".join("+" if "✓" in cell else "-" for cell in re.findall(r"<td>(.*?)</td>", row, re.DOTALL))

    assert granted("Lock a card") == "+++--"
    assert granted("Deposit to an account") == "+--+-"
    assert granted("See the audit trail") == "+---+"


def test_log_ins_are_read_for_one_realm_and_one_reseller_only(db: Database, vault: Any) -> None:
    support = other(db)
    shop = resellers.add_reseller(db, "Shop", CONSOLE, scenes.NOW).id
    made, _ = resellerpeople.add_person(db, shop, "owner", "Owner", "owner", None, CONSOLE, scenes.NOW)
    assert [one.login for one in list_log_ins(db, staff.REALM)] == ["support.1"]
    theirs = list_log_ins(db, resellerpeople.REALM, reseller_id=shop)
    assert [(one.id, one.reseller_id, one.second_since, one.last_seen_at) for one in theirs] == [
        (made.id, shop, None, None)
    ]
    assert list_log_ins(db, resellerpeople.REALM, reseller_id=shop + 1) == []
    assert log_in_page(db, staff.REALM, support).last_seen_at is None
    identity = staff.log_in(db, vault, "support.1", Secret(PASSWORD), None, scenes.NOW)
    assert isinstance(identity, staff.StaffIdentity)
    assert log_in_page(db, staff.REALM, support).last_seen_at == scenes.NOW
