"""The log-in of the desk, what each of its people does about their own, and who is shown out."""

from __future__ import annotations

import base64
import itertools
import re

import pytest

from engine.people import resellerpeople, resellers, secondfactor, sessions, totp
from engine.people.resellerpeople import REALM
from engine.vault import Secret
from portal.operator.people.entering import NO, NO_CODE
from tests import scenes
from tests.portal.conftest import text_of
from tests.portal.desks import CORNER, PASSWORD, Desks, Keeper, Shop
from tests.scenes import NOW, OPERATOR

NEW = "eight louder mountains"
TICKET = re.compile(r'name="ticket"[^>]*value="([^"]+)"')
RECOVERY = re.compile(r"\b[a-z2-9]{5}-[a-z2-9]{5}\b(?!-)")
_NUMBERS = itertools.count(1)


def somebody(desks: Desks, shop: Shop | None = None, role: str = "clerk") -> str:
    """The log-in name of somebody new at the corner shop, who has the password of all."""
    shop, login = shop or desks.corner, f"somebody-{next(_NUMBERS)}"
    resellerpeople.add_person(desks.db, shop.id, login, "Somebody", role, Secret(PASSWORD), OPERATOR, NOW)
    return login


def log_in(visitor: Keeper, login: str, password: str = PASSWORD, **more: str) -> tuple[int, str]:
    answer = visitor.submit("/desk/log-in", login=login, password=password, **more)
    return answer.status_code, answer.location or text_of(answer.text)


def app_code(page: str, desks: Desks) -> str:
    """The code that an app shows which was told the secret on this page."""
    found = re.search(r'id="second-secret"[^>]*>([A-Z2-7 ]+)<', page)
    assert found is not None
    return totp.hotp(base64.b32decode(found[1].replace(" ", "")), totp.step_at(desks.clock()))


def test_the_log_in_leads_to_the_desk_and_to_the_page_that_was_wanted(desks: Desks) -> None:
    login, visitor = somebody(desks), desks.stranger()
    assert visitor.get("/desk").location == "/desk/log-in"
    assert visitor.get("/desk/me?x=1").location == "/desk/log-in?next=%2Fdesk%2Fme%3Fx%3D1"
    page = visitor.get("/desk/log-in?next=/desk/me")
    assert "the desk of those who sell cards" in text_of(page.text)
    assert 'value="/desk/me"' in page.text
    assert log_in(visitor, login, next="/desk/me") == (303, "/desk/me")
    assert visitor.get("/desk/log-in").location == "/desk", "who is logged in goes on"
    assert CORNER in text_of(visitor.get("/desk").text)
    assert visitor.get("/batches").location.startswith("/log-in"), "the console is somewhere else"
    assert visitor.get("/card").location.startswith("/card/log-in")
    assert visitor.submit("/desk/log-out").location == "/desk/log-in"
    assert visitor.get("/desk").location == "/desk/log-in"


@pytest.mark.parametrize(
    "wanted", ["/batches", "//evil.example", "/desk\\x", "/deskx", "https://evil.example/desk"]
)
def test_a_log_in_leads_nowhere_but_to_the_desk(desks: Desks, wanted: str) -> None:
    assert log_in(desks.stranger(), somebody(desks), next=wanted) == (303, "/desk")


def test_who_does_not_work_here_is_refused_in_the_same_words(desks: Desks) -> None:
    visitor = desks.stranger()
    for login, password in (("corner-owner", "wrong"), ("nobody", PASSWORD), ("admin", PASSWORD)):
        status, told = log_in(visitor, login, password)
        assert (status, NO in told) == (422, True), login
    assert visitor.log_in("corner-owner", PASSWORD).status_code == 422, "no way into the console"
    status, told = log_in(visitor, "", "")
    assert (status, "Fill in your log-in name." in told) == (422, True)


def test_a_second_factor_is_set_up_and_asked_for_and_given_up(desks: Desks) -> None:
    login, visitor = somebody(desks), desks.stranger()
    visitor.enter(login)
    assert "Set it up" in visitor.get("/desk/me").text
    assert visitor.submit("/desk/me/second", password="wrong").status_code == 422
    shown = visitor.submit("/desk/me/second", password=PASSWORD)
    ticket = TICKET.search(shown.text)
    assert ticket is not None
    wrong = visitor.submit("/desk/me/second/confirm", ticket=ticket[1], code="000000")
    assert wrong.status_code == 422
    code = app_code(shown.text, desks)
    codes = RECOVERY.findall(
        text_of(visitor.submit("/desk/me/second/confirm", ticket=ticket[1], code=code).text)
    )
    assert len(codes) == 10
    assert "10 recovery codes left" in text_of(visitor.get("/desk/me").text)

    other = desks.stranger()
    assert log_in(other, login, next="/desk/me") == (303, "/desk/log-in/code?next=/desk/me")
    assert other.get("/desk/me").location.startswith("/desk/log-in"), "the first step opens nothing"
    assert 'autocomplete="one-time-code"' in other.get("/desk/log-in/code").text
    refused = other.submit("/desk/log-in/code", code="000000")
    assert (refused.status_code, NO_CODE in text_of(refused.text)) == (422, True)
    assert other.submit("/log-in/code", code=codes[0]).location == "/log-in?next=/", "not for the console"
    assert log_in(other, login)[0] == 303
    assert other.submit("/desk/log-in/code", code=codes[0], next="/desk/me").location == "/desk/me"

    more = visitor.submit("/desk/me/second/codes", code=codes[1])
    assert len(RECOVERY.findall(text_of(more.text))) == 10
    assert visitor.submit("/desk/me/second/codes", code=codes[2]).status_code == 422, "the old ones are void"
    new = RECOVERY.findall(text_of(more.text))
    gone = visitor.submit("/desk/me/second/remove", password=PASSWORD, code=new[0])
    assert gone.location == "/desk/log-in?next=/desk/me"
    assert other.get("/desk").status_code == 303, "it ends every log-in"
    assert log_in(other, login) == (303, "/desk")


def test_where_the_house_wants_a_second_factor_who_has_none_sets_one_up_first(desks: Desks) -> None:
    login, visitor = somebody(desks), desks.stranger()
    scenes.setting(desks.db, "totp_required", True)
    try:
        assert log_in(visitor, login, next="/desk/me") == (303, "/desk/log-in/enrol?next=/desk/me")
    finally:
        scenes.setting(desks.db, "totp_required", False)
    assert visitor.get("/desk").status_code == 303
    assert "One more step" in visitor.get("/desk/log-in/enrol?next=/desk/me").text
    shown = visitor.submit("/desk/log-in/enrol?next=/desk/me", step="begin")
    assert 'action="/desk/log-in/enrol?next=/desk/me"' in shown.text
    done = visitor.submit(
        "/desk/log-in/enrol?next=/desk/me", step="confirm", code=app_code(shown.text, desks)
    )
    assert len(RECOVERY.findall(text_of(done.text))) == 10
    assert 'href="/desk/me"' in done.text
    assert visitor.get("/desk/me").status_code == 200
    person = resellerpeople.named(desks.db, login)
    assert secondfactor.standing(desks.db, REALM, person.id).since is not None
    assert desks.stranger().get("/desk/log-in/enrol").location == "/desk/log-in?next=/desk"
    assert desks.stranger().get("/desk/log-in/code").location == "/desk/log-in?next=/desk"


def test_a_password_is_changed_by_who_knows_it(desks: Desks) -> None:
    login, visitor = somebody(desks), desks.stranger()
    visitor.enter(login)
    path = "/desk/me/password"
    assert visitor.submit(path, old="wrong", password=NEW, again=NEW).status_code == 422
    assert visitor.submit(path, old=PASSWORD, password=NEW, again=NEW + "x").status_code == 422
    assert visitor.submit(path, old=PASSWORD, password="short", again="short").status_code == 422
    assert (
        visitor.submit(path, old=PASSWORD, password=NEW, again=NEW).location == "/desk/log-in?next=/desk/me"
    )
    assert visitor.get("/desk").status_code == 303
    assert log_in(visitor, login)[0] == 422
    assert log_in(visitor, login, NEW) == (303, "/desk")


def test_other_log_ins_are_seen_and_ended(desks: Desks) -> None:
    login = somebody(desks)
    one, two, three = (desks.stranger() for _ in range(3))
    for visitor in (one, two, three):
        visitor.enter(login)
    person = resellerpeople.named(desks.db, login)
    refs = {found.ref for found in sessions.list_sessions(desks.db, "reseller", person.id, desks.clock())}
    page = one.get("/desk/me").text
    (own,) = [ref for ref in refs if f"/desk/me/sessions/{ref}/end" not in page]
    assert one.submit(f"/desk/me/sessions/{sorted(refs - {own})[0]}/end").location == "/desk/me"
    assert len([visitor for visitor in (two, three) if visitor.get("/desk").status_code == 200]) == 1
    assert one.submit("/desk/me/sessions/end-others").location == "/desk/me"
    assert [visitor.get("/desk").status_code for visitor in (one, two, three)] == [200, 303, 303]


def test_the_people_of_a_disabled_reseller_are_shown_out_at_once(desks: Desks) -> None:
    shop = desks.harbour
    visitor = desks.keeper("harbour-clerk")
    assert visitor.get("/desk").status_code == 200
    resellers.disable_reseller(desks.db, shop.id, OPERATOR, NOW)
    assert visitor.get("/desk").location == "/desk/log-in"
    assert log_in(visitor, "harbour-clerk")[0] == 422
    resellers.enable_reseller(desks.db, shop.id, OPERATOR, NOW)
    assert visitor.get("/desk").status_code == 303, "what was ended stays so"
    assert log_in(visitor, "harbour-clerk") == (303, "/desk")


def test_errors_keep_the_shell_of_the_desk_for_its_people_alone(desks: Desks) -> None:
    page = desks.clerk.get("/desk/nowhere")
    assert page.status_code == 404
    assert CORNER in text_of(page.text)
    assert 'href="/desk"' in page.text
    for visitor in (desks.stranger(), desks.staff("support")):
        page = visitor.get("/desk/nowhere")
        assert page.status_code == 404
        assert CORNER not in text_of(page.text)
    shut = desks.clerk.get("/desk/people")
    assert shut.status_code == 403
    assert "Your role doesn't allow this" in text_of(shut.text)
    bar = text_of(desks.clerk.get("/desk").text)
    assert "People" not in bar
    assert "Brand" not in bar
    assert "People" in text_of(desks.owner.get("/desk").text)
