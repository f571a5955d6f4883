"""A desk as its people see it, shown to staff: everything to read, nothing to change, and the audit trail knows."""

from __future__ import annotations

from engine.people import audit, resellers
from tests.portal.conftest import text_of
from tests.portal.desks import CORNER, HARBOUR, PASSWORD, Desks
from tests.scenes import NOW, OPERATOR


def test_staff_see_a_desk_and_leave_it(desks: Desks) -> None:
    staff, path = desks.staff("auditor"), f"/resellers/{desks.corner.id}"
    assert "See their desk" in staff.get(path).text
    begun = staff.submit(f"{path}/look")
    assert (begun.status_code, begun.location) == (303, "/desk")
    page = staff.get("/desk")
    assert page.status_code == 200
    assert f"You see what {CORNER} sees. Nothing can be changed from here." in text_of(page.text)
    assert CORNER not in page.text, "it is escaped"
    assert "Log out" not in page.text
    (row,) = audit.search(desks.db, action="reseller.look").rows
    assert row.subject == f"reseller:{desks.corner.id}"
    assert staff.get("/batches").status_code == 200, "the console stays open beside it"
    left = staff.submit("/desk/leave")
    assert (left.status_code, left.location) == (303, path)
    assert staff.get("/desk").location == "/desk/log-in"
    assert "looked at the desk of" in desks.staff("admin").get("/audit").text


def test_who_looks_sees_the_owners_pages_without_what_they_can_do_there(desks: Desks) -> None:
    visitor = desks.looking("finance")
    people = visitor.get("/desk/people")
    assert people.status_code == 200
    assert "corner-clerk" in people.text
    assert "harbour" not in people.text.lower()
    assert "Add somebody" not in people.text
    one = visitor.get(f"/desk/people/{desks.corner.clerk.id}")
    assert one.status_code == 200
    assert "New password" not in one.text
    assert "End it" not in one.text
    brand = visitor.get("/desk/brand")
    assert brand.status_code == 200
    assert "Save" not in brand.text
    assert visitor.get(f"/desk/people/{desks.harbour.clerk.id}").status_code == 404
    bar = text_of(visitor.get("/desk").text)
    assert "People" in bar
    assert "Brand" in bar


def test_what_would_change_something_is_refused_kindly_and_by_the_page_of_the_desk(desks: Desks) -> None:
    visitor = desks.looking("finance")
    for answer in (
        visitor.submit(f"/desk/people/{desks.corner.clerk.id}/disable"),
        visitor.get("/desk/people/new"),
        visitor.submit("/desk/brand", name="Mine", colour="#000000"),
        visitor.get("/desk/me"),
        visitor.submit("/desk/log-out"),
    ):
        assert answer.status_code == 403
        told = text_of(answer.text)
        assert "You only look at this desk" in told
        assert "Nothing was changed." in told
        assert f"You see what {CORNER} sees" in told
        assert "Leave" in told
    assert visitor.get("/desk/nowhere").status_code == 404


def test_one_desk_after_the_other_and_none_after_the_log_out(desks: Desks) -> None:
    staff = desks.stranger()
    assert staff.log_in("operator", PASSWORD).status_code == 303
    for shop, name in ((desks.corner, CORNER), (desks.harbour, HARBOUR)):
        assert staff.submit(f"/resellers/{shop.id}/look").status_code == 303
        assert f"You see what {name} sees" in text_of(staff.get("/desk").text)
    assert staff.submit("/resellers/99/look").status_code == 404
    assert f"You see what {HARBOUR} sees" in text_of(staff.get("/desk").text)
    resellers.disable_reseller(desks.db, desks.harbour.id, OPERATOR, NOW)
    assert staff.get("/desk").status_code == 200, "also what is closed can be looked into"
    assert staff.submit("/log-out").status_code == 303
    staff.log_in("operator", PASSWORD)
    assert staff.get("/desk").location == "/desk/log-in"


def test_only_who_may_see_resellers_looks_at_their_desks(desks: Desks) -> None:
    support, path = desks.staff("support"), f"/resellers/{desks.corner.id}/look"
    assert support.submit(path).status_code == 403
    assert support.get("/desk").location == "/desk/log-in"
    with support.session_transaction() as cookie:
        cookie["look"] = desks.corner.id
    assert support.get("/desk").location == "/desk/log-in", "not by a cookie of somebody else's either"
    assert support.get("/desk/nowhere").status_code == 404
    assert desks.owner.submit(path).location.startswith("/log-in"), "no reseller looks at another"
    with desks.owner.session_transaction() as cookie:
        cookie["look"] = desks.harbour.id
    assert CORNER in text_of(desks.owner.get("/desk").text)
    assert desks.owner.submit("/desk/leave").location == "/desk"
