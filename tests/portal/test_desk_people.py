"""An owner manages the people of their own reseller, and its brand; nobody else's exist."""

from __future__ import annotations

import re
from io import BytesIO

from engine.people import audit, brands, resellerpeople
from tests import scenes
from tests.portal.conftest import text_of
from tests.portal.desks import MARK, PASSWORD, Desks, Keeper

MADE = re.compile(r"\b(?:[a-z2-9]{5}-){3}[a-z2-9]{5}\b")


def password_on(page: str) -> str:
    """The password that a page shows, this once."""
    found = MADE.search(text_of(page))
    assert found is not None, text_of(page)
    return found[0]


def can_log_in(desks: Desks, login: str, password: str) -> bool:
    answer = desks.stranger().submit("/desk/log-in", login=login, password=password)
    return answer.status_code == 303


def test_an_owner_adds_somebody_and_decides_what_becomes_of_their_log_in(desks: Desks) -> None:
    owner = desks.owner
    form = owner.get("/desk/people/new").text
    assert "Owner: Sells, recharges" in text_of(form)
    made = owner.submit("/desk/people/new", login="till", name=f"Till {MARK}", role="clerk")
    first = password_on(made.text)
    assert "http://localhost/desk" in made.text, "where they log in"
    listed = owner.get("/desk/people")
    assert first not in listed.text
    assert MARK not in listed.text
    assert f"Till {MARK}" in text_of(listed.text)
    person = resellerpeople.named(desks.db, "till")
    assert (person.role, person.reseller_id) == ("clerk", desks.corner.id)
    path = f"/desk/people/{person.id}"
    assert f'href="{path}"' in listed.text

    till = desks.stranger()
    till.enter("till", first)
    assert "127.0.0.1" in owner.get(path).text
    assert owner.submit(f"{path}/sessions/end").location == path
    assert till.get("/desk").status_code == 303
    assert owner.submit(f"{path}/change", name="Amina", role="owner").location == path
    assert resellerpeople.named(desks.db, "till").role == "owner"
    assert owner.submit(f"{path}/disable", reason="On leave").location == path
    assert not can_log_in(desks, "till", first)
    assert "Enable again" in owner.get(path).text
    assert owner.submit(f"{path}/enable").location == path
    second = password_on(owner.submit(f"{path}/password").text)
    assert can_log_in(desks, "till", second)
    assert not can_log_in(desks, "till", first)
    assert owner.submit(f"{path}/second").location == path
    rows = audit.search(desks.db, actor=f"reseller:{desks.corner.owner.id}", action="reseller_person.").rows
    assert {row.action.split(".")[1] for row in rows} >= {
        "add",
        "change",
        "disable",
        "enable",
        "reset_password",
    }


def test_one_log_in_of_somebody_is_ended(desks: Desks) -> None:
    clerk = desks.own["person_id"]
    path = f"/desk/people/{clerk}/sessions/{desks.own['/desk/people/ref']}/end"
    assert desks.owner.get(path).status_code == 200
    assert desks.owner.submit(path).status_code == 303
    assert desks.owner.submit(path).status_code == 404, "it is over"


def test_an_owner_does_not_lock_themselves_out(desks: Desks) -> None:
    owner, login = desks.keeper("harbour-owner"), "harbour-owner"
    path = f"/desk/people/{desks.harbour.owner.id}"
    page = owner.get(path).text
    assert "Your own log-in" in page
    assert f"{path}/password" not in page
    assert owner.submit(f"{path}/password").status_code == 422
    assert owner.submit(f"{path}/disable").status_code == 422, "the last owner stays"
    assert owner.submit(f"{path}/change", name="Me", role="clerk").status_code == 422
    assert can_log_in(desks, login, PASSWORD)


def test_what_cannot_be_is_told_at_the_form(desks: Desks) -> None:
    for fields in (
        {"login": "x y", "name": "A", "role": "clerk"},
        {"login": "harbour-clerk", "name": "A", "role": "clerk"},
        {"login": "new", "name": "", "role": "clerk"},
        {"login": "new", "name": "A", "role": "admin"},
    ):
        assert desks.owner.submit("/desk/people/new", **fields).status_code == 422, fields
    assert "harbour" not in text_of(desks.owner.get("/desk/people").text).lower()


def test_the_owner_dresses_the_pages_of_their_cards(desks: Desks) -> None:
    owner = desks.owner
    page = owner.get("/desk/brand")
    assert page.status_code == 200
    assert "Resellers" not in text_of(page.text)
    picture = (BytesIO(scenes.logo()), "logo.png")
    fields = {"name": f"Corner {MARK}", "colour": "#1d5585", "help_phone": "+49 30 1234567", "logo": picture}
    assert _send(owner, "/desk/brand", fields) == 303
    view = brands.brand_of(desks.db, desks.corner.id)
    assert view is not None
    assert (view.colour, view.logo is not None) == ("#1d5585", True)
    assert brands.brand_of(desks.db, desks.harbour.id) is None
    assert brands.brand_of(desks.db, None) is None
    shown = owner.get("/desk/brand")
    assert MARK not in shown.text
    assert "/desk/brand/remove-logo" in shown.text
    assert _send(owner, "/desk/brand", {**fields, "colour": "red", "logo": (BytesIO(b"GIF"), "x.png")}) == 422
    assert owner.submit("/desk/brand/remove-logo").location == "/desk/brand"
    assert owner.submit("/desk/brand/remove").location == "/desk/brand"
    assert brands.brand_of(desks.db, desks.corner.id) is None
    assert desks.clerk.get("/desk/brand").status_code == 403
    assert _send(desks.clerk, "/desk/brand", {"name": "Mine", "colour": "#1d5585"}) == 403


def _send(visitor: Keeper, path: str, fields: dict[str, object]) -> int:
    """Send a form with a file; the status of the answer."""
    data = {"csrf_token": visitor.token(), **fields}
    return visitor.post(path, data=data, content_type="multipart/form-data").status_code
