"""The audit trail and the consents in the console: found, told in sentences, exported, verified; decided by two."""

from __future__ import annotations

import io
import json
import re
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text

from engine.actor import CONSOLE, Actor
from engine.db import Database
from engine.people import audit, consents, policy, staff
from engine.people.staff import StaffIdentity
from engine.permissions import COMMANDS, PERMISSIONS
from engine.reports import auditexport, exports
from engine.vault import Secret
from portal.operator.people.actwords import ACTS, LOOKS, NOUNS, SECTIONS, asked_words, done_words
from tests.portal.conftest import PASSWORD, Visitor, text_of
from tests.scenes import NOW, USD

NASTY = "<img src=x onerror=alert(1)>"


@pytest.fixture
def admin(db: Database, app: Any) -> Visitor:
    """An administrator who is logged in. They were added long before, by nobody who asks for anything."""
    staff.add_staff(db, "head", "Head office", "admin", Secret(PASSWORD), CONSOLE, NOW)
    client: Visitor = app.test_client()
    assert client.log_in("head").status_code == 303
    return client


def write(
    db: Database,
    action: str,
    subject: str,
    who: Actor,
    *,
    minutes: int = 0,
    reason: str | None = None,
    **data: Any,
) -> None:
    with db.begin() as session:
        audit.record(session, who, action, subject, NOW + timedelta(minutes=minutes), reason=reason, **data)


def listed(page: str) -> list[str]:
    """The rows of the list as a reader sees them."""
    rows = re.findall(r"<tr>(.*?)</tr>", page.split('<div id="list">')[1], re.DOTALL)
    return [text_of(row) for row in rows[1:]]


def test_every_act_has_words_and_a_section() -> None:
    assert {name for name in (*COMMANDS, *PERMISSIONS) if name not in ACTS and name not in LOOKS} == set()
    sections = [noun for _, nouns in SECTIONS for noun in nouns]
    assert {name.split(".")[0] for name in ACTS} == set(sections)
    assert len(sections) == len(set(sections))
    for name in ACTS:
        assert name.split(".")[0] in NOUNS or "{}" not in "".join(ACTS[name]), name
        assert "{" not in asked_words(name) + done_words(name)
        assert "_" not in asked_words(name) + done_words(name)


def test_the_trail_is_found_by_person_act_subject_reason_and_day(
    admin: Visitor, db: Database, person: StaffIdentity
) -> None:
    desk = Actor("staff", person.id, person.name, person.role)
    write(db, "card.lock", "card:10000000017", desk, reason=f"Lost 100% {NASTY}")
    write(db, "card.recharge", "card:10000000017", desk, minutes=24 * 60, amount=USD("5"), currency="USD")
    write(db, "reseller.add", "reseller:7", CONSOLE, reason="Lost cause")
    page = admin.get("/audit", query_string={"subject": "10000000017"}).text
    assert NASTY not in page
    newest, oldest = listed(page)
    assert "Front desk recharged the card 10000000017." in newest
    assert "AmountUSD 5.00" in newest
    assert f"Front desk locked the card 10000000017. Why: Lost 100% {NASTY}" in oldest

    def found(**asked: str) -> int:
        return len(listed(admin.get("/audit", query_string=asked).text))

    assert found(person=f"staff:{person.id}") == 2
    assert found(action="card.lock") == 1
    assert found(action="card.") == 2
    assert found(reason="lost") == 2
    assert found(reason="100%") == 1
    assert found(reason="1__%") == 0
    day = (NOW + timedelta(days=1)).date()
    assert found(since=day.isoformat(), subject="card:10000000017") == 1
    assert found(until=NOW.date().isoformat(), subject="card:10000000017") == 1
    for odd in ({"action": "card.fly"}, {"since": "2026-02-30"}, {"before": "x"}, {"reason": "a\x00b"}):
        assert admin.get("/audit", query_string=odd).status_code == 400
    assert "Nothing fits" in admin.get("/audit", query_string={"person": "'; drop table audit --"}).text


def test_pages_follow_each_other_and_text_is_looked_for_further_back(
    admin: Visitor, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(db, "card.lock", "card:10000000017", CONSOLE, reason="A needle")
    for number in range(60):
        write(db, "card.unlock", "card:10000000017", CONSOLE, reason=f"Hay {number}")
    first = admin.get("/audit", query_string={"subject": "10000000017"}).text
    assert len(listed(first)) == 50
    older = re.search(r'rel="next" href="([^"]+)"', first)
    assert older is not None
    assert len(listed(admin.get(older[1].replace("&amp;", "&")).text)) == 11
    part = admin.part("/audit?subject=10000000017")
    assert part.text.lstrip().startswith('<div id="list">')
    monkeypatch.setattr(audit, "LOOKED_THROUGH", 20)
    place, pages = None, 0
    while True:
        page = audit.search(db, reason="NEEDLE", subject="card:10000000017", before=place)
        pages += 1
        if page.next is None:
            break
        assert page.rows == []
        place = page.next
    assert [row.reason for row in page.rows] == ["A needle"]
    assert pages == 4


def test_the_chain_is_verified_on_a_button_and_says_what_is_wrong(admin: Visitor, db: Database) -> None:
    write(db, "card.lock", "card:10000000017", CONSOLE)
    answer = admin.submit("/audit/verify")
    assert answer.status_code == 200
    assert "The trail is whole" in text_of(answer.text)
    head = admin.submit("/audit/head")
    assert head.headers["Content-Disposition"].startswith('attachment; filename="audit-head-')
    whole = admin.post(
        "/audit/verify",
        data={"csrf_token": admin.token(), "head": (io.BytesIO(head.data), "head.json")},
    )
    assert "The trail is whole" in text_of(whole.text)
    forged = json.dumps({**json.loads(head.text), "seq": 1}).encode()
    told = admin.post(
        "/audit/verify", data={"csrf_token": admin.token(), "head": (io.BytesIO(forged), "head.json")}
    )
    assert "not exported by this installation" in text_of(told.text)
    for junk in (b"{}", b"\xff", b'{"seq": "1", "hash": 1, "at": 2, "signature": 3}', b"[" * 50_000):
        bad = admin.post(
            "/audit/verify", data={"csrf_token": admin.token(), "head": (io.BytesIO(junk), "head.json")}
        )
        assert bad.status_code == 422
        assert 'id="head-error"' in bad.text
    with db.begin() as session:
        session.execute(text("ALTER TABLE audit DISABLE TRIGGER USER"))
        session.execute(text("UPDATE audit SET reason = 'slipped in' WHERE action = 'card.lock'"))
        session.execute(text("ALTER TABLE audit ENABLE TRIGGER USER"))
    broken = text_of(admin.submit("/audit/verify").text)
    assert "The trail is not whole." in broken
    assert re.search(r"Row \d+ of the trail \(link \d+\) was altered", broken)
    assert audit.search(db, action="audit.verify").rows[0].data["problems"] == 1


def test_the_trail_is_exported_and_no_reason_is_a_formula(admin: Visitor, db: Database) -> None:
    write(db, "card.lock", "card:10000000017", CONSOLE, reason="=1+1")
    ordered = admin.submit("/audit/export?action=card.lock", format="csv")
    assert (ordered.status_code, ordered.location) == (303, "/calls/exports")
    asked = exports.Asked(zone=ZoneInfo("UTC"), at=NOW + timedelta(hours=1))
    rows = [row for block in auditexport.AUDIT.iterate(db, {"action": "card.lock"}, asked) for row in block]
    assert [(row[4], row[6]) for row in rows] == [("card.lock", "=1+1")]
    assert "reason" in auditexport.AUDIT.written
    assert "actor_name" in auditexport.AUDIT.written
    assert list(auditexport.AUDIT.iterate(db, {"since": "2999-01-01T00:00:00+00:00"}, asked)) == [[]]


def ask(db: Database, person: StaffIdentity, *, amount: str = "500", reason: str = f"Because {NASTY}") -> int:
    return consents.ask(
        db,
        action="card.recharge",
        subject="card:10000000017",
        facts={"amount": USD(amount), "currency": "USD", "bonus": 0},
        reason=reason,
        actor=Actor("staff", person.id, person.name, person.role),
        now=NOW,
    )


def test_what_waits_is_said_in_a_sentence_and_decided_by_somebody_else(
    admin: Visitor, visitor: Visitor, db: Database, person: StaffIdentity
) -> None:
    number = ask(db, person)
    own = visitor.get("/people/consents")
    assert "Waits for somebody else" in own.text
    assert "/approve" not in own.text
    assert visitor.submit(f"/people/consents/{number}/approve").status_code == 403
    page = admin.get("/people/consents")
    assert NASTY not in page.text
    assert f"Front desk asks to recharge the card 10000000017: USD 500.00. Why: Because {NASTY}" in text_of(
        page.text
    )
    done = admin.submit(f"/people/consents/{number}/approve", reason="Known customer")
    assert done.status_code == 303
    assert consents.show(db, number, NOW).state == "approved"
    again = admin.submit(f"/people/consents/{number}/approve")
    assert again.status_code == 303, "the same once more changes nothing"
    assert admin.submit(f"/people/consents/{number}/refuse").status_code == 422
    after = visitor.get("/people/consents")
    assert "Now do it once more" in text_of(after.text)
    assert 'href="/cards/10000000017"' in after.text
    decided = audit.search(db, action="consent.decide").rows
    assert [row.reason for row in decided] == ["Known customer"]
    assert admin.get("/people/consents/999/approve").status_code == 404


def test_who_asked_does_not_decide_though_they_could(admin: Visitor, db: Database) -> None:
    number = ask(db, staff.named(db, "head"))
    assert "You asked for this yourself" in text_of(admin.get("/people/consents").text)
    answer = admin.submit(f"/people/consents/{number}/approve")
    assert answer.status_code in (403, 422)
    assert consents.show(db, number, NOW).state == "open"


def test_others_see_only_what_they_asked_for(visitor: Visitor, admin: Visitor, db: Database) -> None:
    ask(db, staff.named(db, "head"), reason="A secret deal")
    page = text_of(visitor.get("/people/consents").text)
    assert "A secret deal" not in page
    assert "You see what you asked for" in page
    assert "A secret deal" in text_of(admin.get("/people/consents").text)


def test_a_setting_that_waits_says_from_what_to_what(admin: Visitor, db: Database) -> None:
    second = staff.add_staff(db, "second", "Second", "admin", Secret(PASSWORD), CONSOLE, NOW)[0]
    facts = policy.consent_facts(before=True, after=False)
    who = Actor("staff", second.id, second.name, "admin")
    consents.ask(
        db,
        action="setting.set",
        subject="setting:consent_exports",
        facts=facts,
        reason="Why not",
        actor=who,
        now=NOW,
    )
    page = text_of(admin.get("/people/consents").text)
    assert re.search(r"Second asks to change the setting “[^”]+” from yes to no\.", page)
