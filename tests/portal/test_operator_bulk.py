"""Many cards at once: a form, a look at what it would do, the last step, the run and what came of it."""

from __future__ import annotations

import html
import io
import re
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text
from werkzeug.test import TestResponse

from engine import work
from engine.actor import CONSOLE, Actor
from engine.bulk import handler, views
from engine.bulk.export import remove_old
from engine.bulk.orders import VERBS
from engine.bulk.views import RunView
from engine.cards import lifecycle, searchcopy
from engine.cards.serials import serial_of
from engine.db import Database
from engine.people import consents, staff
from engine.people.resellers import add_reseller
from engine.permissions import may
from engine.vault import Secret, Vault
from tests import scenes
from tests.portal.conftest import PASSWORD, Clock, Visitor, text_of
from tests.scenes import NOW, OPERATOR, USD, TestCard, facts

MARK = "<img src=x onerror=alert(1)>"
TILE = re.compile(r"<dt>([^<]+)</dt><dd>(.*?)</dd>")
HIDDEN = re.compile(r"<input([^>]*)>")
NAME, VALUE = re.compile(r'\sname="([^"]*)"'), re.compile(r'\svalue="([^"]*)"')


@pytest.fixture
def cards(db: Database, vault: Vault) -> list[TestCard]:
    """Six cards; the second is locked already, the third is void."""
    made = scenes.batch(db, vault, 6, name=f"May {MARK}", binding="multi", max_bound=1)
    lifecycle.lock(db, card_id=made[1].id, reason="lost", actor=OPERATOR, now=NOW)
    lifecycle.damage(db, card_id=made[2].id, reason="torn", actor=OPERATOR, now=NOW)
    searchcopy.refold(db, NOW)
    return made


def begin(visitor: Visitor, verb: str, cards: list[TestCard] = [], **more: Any) -> TestResponse:  # noqa: B006
    """Tick cards in a list and choose a verb."""
    data = {"csrf_token": visitor.token(), "verb": verb, "card": [card.serial for card in cards], **more}
    return visitor.post("/bulk/new", data=data)


def carried(page: TestResponse) -> dict[str, str]:
    """What the form of a page sends along unseen."""
    form = page.text[page.text.index('action="/bulk/new/') :]
    fields = [attributes for attributes in HIDDEN.findall(form) if 'type="hidden"' in attributes]
    return {
        NAME.search(one)[1]: html.unescape(VALUE.search(one)[1]) if VALUE.search(one) else ""  # type: ignore[index]
        for one in fields
    }


def tiles(page: TestResponse | str) -> dict[str, str]:
    """The figures of a look."""
    source = page if isinstance(page, str) else page.text
    return {term: text_of(value) for term, value in TILE.findall(source)}


def step(visitor: Visitor, page: TestResponse, verb: str, step: str, **fields: Any) -> TestResponse:
    """Send the form of a page on, with a button of it."""
    return visitor.post(f"/bulk/new/{verb}", data={**carried(page), **fields, "step": step})


def run_of(db: Database, answer: TestResponse) -> RunView:
    assert answer.status_code == 303, text_of(answer.text)
    return views.show(db, int(answer.location.rsplit("/", 1)[1]))


def do(db: Database, vault: Vault, run: RunView, clock: Clock) -> RunView:
    """Work off a run as a jobs process does."""
    claimed = work.claim(db, "test", ["bulk"], clock(), work_id=run.work_id)
    assert claimed is not None
    work.finish(db, claimed, clock(), handler.run(db, vault, claimed, clock))
    return views.show(db, run.id)


def test_ticked_cards_are_looked_at_locked_and_unlocked_again(
    visitor: Visitor, db: Database, vault: Vault, cards: list[TestCard], clock: Clock
) -> None:
    look = begin(visitor, "lock", cards[:4])
    seen = text_of(look.text)
    assert tiles(look) == {"Cards": "4", "Would change": "2", "Are so already": "1", "Would be refused": "1"}
    assert "The card was voided" in seen
    assert "Lock: 4 cards" in seen
    missing = step(visitor, look, "lock", "go", reason="")
    assert (missing.status_code, "Fill this in." in missing.text) == (422, True)
    sent = carried(missing) | {"reason": f"Stolen {MARK}", "step": "go"}
    first, again = (visitor.post("/bulk/new/lock", data=sent) for _ in range(2))
    assert first.location == again.location
    done = do(db, vault, run_of(db, first), clock)
    assert (done.changed, done.unchanged, dict(done.reasons)) == (2, 1, {"damaged": 1})
    # Sent once more when it is long done, the first run is the answer.
    assert visitor.post("/bulk/new/lock", data=sent).location == first.location
    page = visitor.get(first.location).text
    assert "2 cards were locked. 1 was so already. 1 was refused." in text_of(page)
    assert MARK not in page
    refused = visitor.get(f"{first.location}/refused.csv")
    assert refused.text.splitlines()[0] == "serial,reason,sentence"
    assert refused.text.splitlines()[1].startswith(f"{cards[2].serial},damaged,")
    assert "attachment" in refused.headers["Content-Disposition"]

    assert "Undo: unlock" in page
    back = visitor.get(f"/bulk/new/unlock?run={done.id}")
    assert tiles(back) == {"Cards": "2", "Would change": "2"}
    clock.later(minutes=1)
    undone = do(db, vault, run_of(db, step(visitor, back, "unlock", "go", reason="Found")), clock)
    assert (undone.verb, undone.changed) == ("unlock", 2)
    assert [facts(db, card).locked_at is None for card in cards[:2]] == [True, False]
    nothing = visitor.get(f"/bulk/new/unlock?run={done.id}")
    assert (nothing.status_code, "Nothing of this run is left to undo." in nothing.text) == (422, True)


def test_money_wants_the_count_and_says_what_it_moves(
    visitor: Visitor, db: Database, vault: Vault, cards: list[TestCard], clock: Clock
) -> None:
    form = begin(visitor, "recharge", every="1", query="batch=" + f"May+{MARK.replace('=', '%3D')}")
    assert "No bonus is added" in form.text
    assert "All cards that your search finds." in form.text
    for bad in ("", "0", "-5", "1,50", "1e9", "NaN", "１２", "0.00000005", "9" * 30):
        refused = step(visitor, form, "recharge", "look", amount=bad)
        assert (refused.status_code, 'id="amount-error"' in refused.text) == (422, True), bad
        assert f'value="{bad}"' in refused.text
    look = step(visitor, form, "recharge", "look", amount="2.50")
    assert tiles(look) == {
        "Cards": "6",
        "Would change": "4",
        "Would be refused": "2",
        "Moved in all": "USD 10.00",
    }
    for count in ("", "5", "x"):
        refused = step(visitor, look, "recharge", "go", count=count)
        assert (refused.status_code, 'id="count-error"' in refused.text) == (422, True)
    assert views.list_runs(db) == []
    changed = step(visitor, look, "recharge", "change")
    assert 'value="2.50"' in changed.text
    run = run_of(db, step(visitor, look, "recharge", "go", count="6", reason="Gift"))
    assert run.filter is not None
    done = do(db, vault, run, clock)
    assert (done.changed, done.amount) == (4, USD("10"))
    assert facts(db, cards[0]).balance == USD("7.50")
    page = text_of(visitor.get(f"/bulk/{run.id}").text)
    assert "+10.00 USD on these cards in all." in page
    assert "Money that was given stays on the cards." in page
    assert "batch May <img" in page


def test_where_the_cards_changed_meanwhile_the_look_is_shown_anew(
    visitor: Visitor, db: Database, vault: Vault, cards: list[TestCard], clock: Clock
) -> None:
    look = begin(visitor, "damage", every="1", query="status=unused")
    assert tiles(look)["Cards"] == "4"
    lifecycle.lock(db, card_id=cards[5].id, reason="lost", actor=OPERATOR, now=NOW)
    moved = step(visitor, look, "damage", "go", reason="Water", count="4")
    assert moved.status_code == 422
    assert "The cards have changed since you looked: there were 4, now there are 3." in text_of(moved.text)
    assert views.list_runs(db) == []
    # Where something else is missing as well, it is said, too.
    late = step(visitor, look, "damage", "go", reason="", count="4")
    assert "The cards have changed since you looked. This is how it is now." in text_of(late.text)
    assert run_of(db, step(visitor, moved, "damage", "go", reason="Water", count="3")).cards == 3


def test_a_list_is_typed_or_sent_as_a_file(
    visitor: Visitor, db: Database, vault: Vault, cards: list[TestCard], clock: Clock
) -> None:
    lines = f"serial,phone\n{cards[0].serial}, +491711234567\n{cards[3].serial};+491711234568\n"
    form = visitor.get("/bulk/new/bind")
    nobody = f"{serial_of(cards[5].id + 1)}, +491711234567"
    for sent, said in (
        ({"list": ""}, "one of the two"),
        ({"list": lines, "file": (io.BytesIO(b"x"), "a.csv")}, "one of the two"),
        ({"list": "12345, +491711234567"}, "Line 1: 12345 is not a serial"),
        ({"list": f"{cards[0].serial}, 12"}, "Line 1: 12 is not a caller"),
        ({"file": (io.BytesIO(b"PK\x03\x04"), "a.xlsx")}, "Save it as CSV"),
        ({"list": nobody}, "There is no such card"),
    ):
        refused = step(visitor, form, "bind", "look", **sent)
        assert (refused.status_code, said in text_of(refused.text)) == (422, True), sent
    assert nobody in refused.text  # what was typed is still there
    look = step(visitor, form, "bind", "look", file=(io.BytesIO(lines.encode("utf-16")), "list.csv"))
    assert tiles(look) == {"Cards": "2", "Would change": "2"}
    assert "+491711234567" in step(visitor, look, "bind", "change").text
    run = do(db, vault, run_of(db, step(visitor, look, "bind", "go")), clock)
    assert run.changed == 2
    off = begin(visitor, "unbind", cards[:4])
    for caller, said in (("x", "is not a caller"), ("", "Say which callers")):
        assert said in text_of(step(visitor, off, "unbind", "look", caller=caller).text)
    look = step(visitor, off, "unbind", "look", caller="+49 171 1234567")
    assert tiles(look)["Would change"] == "1"
    # Somebody else's list is nowhere, and a list of a day ago is gone.
    foreign = carried(step(visitor, form, "lock", "look", list=cards[0].serial))
    with db.begin() as session:
        session.execute(text("UPDATE upload SET actor = 'staff:99'"))
    refused = visitor.post("/bulk/new/lock", data={**foreign, "step": "look"})
    assert refused.status_code == 422


def test_each_verb_asks_for_what_it_needs_and_does_what_it_showed(
    visitor: Visitor, db: Database, vault: Vault, cards: list[TestCard], clock: Clock
) -> None:
    shop = add_reseller(db, f"Shop {MARK}", OPERATOR, NOW)
    scenes.deck(db, name=f"Dear {MARK}")
    asked: dict[str, dict[str, str]] = {
        "unlock": {},
        "hold_back": {},
        "activate": {},
        "extend": {"days": "30"},
        "set_concurrency": {"calls": "2"},
        "change_deck": {"deck": f"Dear {MARK}"},
        "change_rules": {"rules": "No bars"},
        "assign": {"reseller": str(shop.id)},
        "export": {"format": "xlsx"},
    }
    for verb, fields in asked.items():
        page = begin(visitor, verb, cards)
        if fields:
            nothing = step(visitor, page, verb, "look", **dict.fromkeys(fields, "drop table card"))
            assert nothing.status_code == 422, verb
            page = step(visitor, page, verb, "look", **fields, balance="1", reseller_id="1")
        assert page.status_code == 200, (verb, text_of(page.text))
        assert MARK not in page.text
        figures = tiles(page)
        changing = figures.get("Would change") or figures["In the file"]
        if changing == "0":
            assert "Nothing to do" in page.text
            continue
        run = do(db, vault, run_of(db, step(visitor, page, verb, "go", reason=f"So {MARK}")), clock)
        assert run.changed == int(changing), verb
        shown = visitor.get(f"/bulk/{run.id}").text
        assert MARK not in shown
        clock.later(minutes=1)
    assert facts(db, cards[0]).concurrency == 2
    assert facts(db, cards[0]).reseller_id == shop.id
    (rules,) = views.list_runs(db, verb="change_rules")
    back = visitor.get(f"/bulk/{rules.id}/undo").text
    link = re.search(r'href="(/bulk/new/change_rules[^"]+)"', back)
    assert link
    look = visitor.get(html.unescape(link[1]))
    assert tiles(look)["Would change"] == "5"
    run_of(db, step(visitor, look, "change_rules", "go"))
    missing = begin(visitor, "lock")
    assert (missing.status_code, "Tick the cards first" in missing.text) == (422, True)
    assert begin(visitor, "drop").status_code == 400


def test_an_export_is_fetched_by_its_maker_for_a_day(
    visitor: Visitor, app: Flask, db: Database, vault: Vault, cards: list[TestCard], clock: Clock
) -> None:
    look = step(visitor, begin(visitor, "export", cards), "export", "look", format="csv")
    run = run_of(db, step(visitor, look, "export", "go"))
    early = visitor.get(f"/bulk/{run.id}/file", follow_redirects=True)
    assert "This run is not done yet." in early.text
    do(db, vault, run, clock)
    file = visitor.get(f"/bulk/{run.id}/file")
    assert file.mimetype == "text/csv"
    assert file.headers["Content-Disposition"] == f"attachment; filename=cards-{run.id}.csv"
    assert "no-store" in file.headers["Cache-Control"]
    assert len(file.data.splitlines()) == 7
    staff.add_staff(db, "other", "Other", "operator", Secret(PASSWORD), OPERATOR, NOW)
    other: Any = app.test_client()
    other.log_in("other")
    assert other.get(f"/bulk/{run.id}/file").location == f"/bulk/{run.id}"
    assert other.get(f"/bulk/{run.id}").text.count("Only who made this file can download it.") == 2
    remove_old(db, clock() + timedelta(days=2))
    assert "The file is not there any more" in visitor.get(f"/bulk/{run.id}").text
    assert visitor.get(f"/bulk/{run.id}/file").location == f"/bulk/{run.id}"


def test_a_run_shows_how_far_it_is_and_is_stopped_and_taken_up(
    visitor: Visitor, db: Database, vault: Vault, cards: list[TestCard], clock: Clock
) -> None:
    url = step(visitor, begin(visitor, "unlock", cards), "unlock", "go").location
    run = views.show(db, int(url.rsplit("/", 1)[1]))
    part = visitor.part(url).text
    assert "hx-trigger" in part
    assert "<html" not in part
    assert "Nobody has begun" not in part
    clock.later(minutes=2)
    assert "Nobody has begun" in visitor.part(url).text
    # Who held it is killed: the lease runs out, and the page says who goes on.
    assert work.claim(db, "test", ["bulk"], clock(), work_id=run.work_id)
    assert "Running" in visitor.part(url).text
    clock.later(minutes=2)
    assert "Waiting for another process to go on" in visitor.part(url).text
    assert visitor.submit(f"{url}/cancel", reason="Not now").status_code == 303
    stopped = visitor.get(url).text
    assert "Stopped" in stopped
    assert "hx-trigger" not in stopped.partition('id="run"')[2].partition(">")[0]
    assert "6 cards were not reached" in text_of(stopped)
    assert visitor.submit(f"{url}/cancel").status_code == 303
    assert visitor.submit(f"{url}/resume").status_code == 303
    assert visitor.submit(f"{url}/resume").status_code == 422
    assert do(db, vault, run, clock).state == "done"
    listed = text_of(visitor.get("/bulk?verb=unlock").text)
    assert "Unlock" in listed
    assert "Front desk" in listed
    assert "No run fits" in visitor.get("/bulk?verb=lock").text
    assert visitor.get("/bulk?verb=drop").status_code == 400
    assert visitor.get("/bulk?who=staff:99").status_code == 400


def test_much_money_wants_a_second_person(
    visitor: Visitor, db: Database, vault: Vault, cards: list[TestCard], clock: Clock
) -> None:
    scenes.setting(db, "consent_recharge_over", 5)
    look = step(visitor, begin(visitor, "recharge", cards[:1] + cards[3:]), "recharge", "look", amount="2")
    waits = step(visitor, look, "recharge", "go", count="4", reason="Fair")
    assert waits.status_code == 422
    assert "A second person has to agree first" in waits.text
    (asked,) = consents.list_consents(db, now=clock())
    assert asked.action == "bulk.recharge"
    boss = staff.add_staff(db, "boss", "Boss", "admin", Secret(PASSWORD), CONSOLE, NOW)[0]
    whose = Actor("staff", boss.id, boss.name, "admin")
    consents.decide(db, consent_id=asked.id, approve=True, actor=whose, now=clock())
    run = run_of(db, step(visitor, waits, "recharge", "go", count="4", reason="Fair"))
    assert run.cards == 4


def test_each_verb_is_for_whom_its_permission_names(app: Flask, db: Database, cards: list[TestCard]) -> None:
    # The verbs' own pages are walked with all others; a list leads to them by one address for all verbs.
    for role in ("support", "finance"):
        staff.add_staff(db, role, role, role, Secret(PASSWORD), OPERATOR, NOW)
        client: Any = app.test_client()
        assert client.log_in(role).status_code == 303
        data = {"csrf_token": client.token(), "card": [cards[0].serial]}
        for verb in VERBS:
            allowed = may(Actor("staff", 1, role, role), f"bulk.{verb}")
            answer = client.post("/bulk/new", data={**data, "verb": verb})
            assert (answer.status_code != 403) == allowed, (role, verb)
    assert views.list_runs(db) == []
