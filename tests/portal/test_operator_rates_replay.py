"""Replays in the console: asked for, watched, read, stopped, and whoever may."""

from __future__ import annotations

from datetime import timedelta

from flask import Flask

from engine import work
from engine.db import Database
from engine.reports import replay as handler
from engine.vault import Vault
from tests import scenes
from tests.portal.conftest import Clock, Visitor
from tests.portal.test_operator_rates import as_role, text_of
from tests.scenes import NOW, Line

DAYS = {"first": "2026-11-20", "last": "2026-11-21"}


def calls(db: Database, vault: Vault) -> None:
    """A call of a minute to Bangladesh (0.06) and one to Britain (0.03)."""
    scenes.deck(db, {"880": "0.06", "44": "0.03"})
    line = Line(db, vault, scenes.switch(db))
    card = scenes.card(db, vault, name="Plain")
    for ref, to in (("a", scenes.BANGLADESH), ("b", scenes.BRITAIN)):
        line.open(card, to, ref=ref)
        line.later(60).end(ref, seconds=60)


def run(db: Database, vault: Vault, work_id: int, clock: Clock) -> None:
    claimed = work.claim(db, "test", ["replay"], clock.now, work_id=work_id)
    assert claimed is not None
    work.finish(db, claimed, clock.now, handler.run(db, vault, claimed, clock))


def test_calls_are_replayed_watched_and_read(
    visitor: Visitor, db: Database, vault: Vault, clock: Clock
) -> None:
    calls(db, vault)
    scenes.deck(db, {"880": "0.09"}, effective_from=NOW + timedelta(days=9))
    clock.later(minutes=5)
    asked = visitor.get("/rates/1/replay?version=2").text
    assert 'value="2026-10-01"' in asked  # last month, by itself
    assert 'value="2026-10-31"' in asked
    assert "9" in asked
    for _ in range(2):
        answer = visitor.submit("/rates/1/replay", key="once", version="2", **DAYS)
        assert answer.status_code == 303
    url = answer.location
    waiting = visitor.get(url).text
    assert "Waiting" in waiting
    assert 'hx-trigger="load delay:1s' in waiting
    assert "No call of this deck" not in waiting
    work_id = int(url.rsplit("/", 1)[1])
    run(db, vault, work_id, clock)
    part = visitor.part(url).text
    assert "hx-trigger" not in part
    shown = text_of(visitor.get(url).text)
    assert (
        "Calls 2 2 minutes billed Charged then USD 0.09 At these rates USD 0.09 Difference USD 0.00" in shown
    )
    assert "1 call has no rate here and counts as nothing in the sum" in shown
    assert "0.06 0.09 +0.03" in shown
    assert "0.03 0.00 −0.03" in shown
    by_name = visitor.part(f"{url}?order=name").text
    assert by_name.index("Destination 44") < by_name.index("Destination 880")
    assert visitor.get(f"{url}?order=x").status_code == 400
    assert visitor.get(f"{url}?order=charged&name=a&from=x").status_code == 400
    lines = visitor.get(f"{url}.csv").text.splitlines()
    assert lines[1:] == [
        "Destination 44,1,1.0,0.0300,0.0000,-0.0300,1",
        "Destination 880,1,1.0,0.0600,0.0900,0.0300,0",
    ]
    assert url in visitor.get("/rates/1").text
    assert visitor.get("/rates/replays/99").status_code == 404


def test_what_the_calls_earned_is_told_against_the_buy_deck(
    visitor: Visitor, db: Database, vault: Vault, clock: Clock
) -> None:
    calls(db, vault)
    scenes.deck(db, {"880": "0.02", "44": "0.05"}, name="Carrier", now=clock.now)
    clock.later(minutes=5)
    assert visitor.submit("/rates/1/replay", key="k", version="costs", **DAYS).status_code == 422
    visitor.submit("/rates/1/buy-deck", key="k", buy_deck="2")
    answer = visitor.submit("/rates/1/replay", key="k", version="costs", **DAYS)
    run(db, vault, int(answer.location.rsplit("/", 1)[1]), clock)
    shown = text_of(visitor.get(answer.location).text)
    assert "Charged then USD 0.09 Cost us USD 0.07 Earned USD +0.02 +22.2 % of what was charged" in shown
    assert "0.03 0.05 −0.02 Loss" in shown


def test_a_replay_can_be_stopped_and_odd_orders_are_told_at_their_field(
    visitor: Visitor, db: Database, vault: Vault, clock: Clock
) -> None:
    calls(db, vault)
    for given, said in (
        ({"version": "9"}, "Choose one of the list."),
        ({"first": "2026-11-22"}, "The period ends before it begins."),
        ({"first": "2025-01-01"}, "The period is too long"),
        ({"first": "2026-12-01", "last": "2026-12-02"}, "The period has not begun yet."),
        ({"first": "2026-02-30"}, "There is no such day"),
        ({"last": ""}, "Fill this in."),
    ):
        refused = visitor.submit("/rates/1/replay", key="k", **{"version": "1", **DAYS, **given})
        assert refused.status_code == 422
        assert said in text_of(refused.text)
    url = visitor.submit("/rates/1/replay", key="k", version="1", **DAYS).location
    assert visitor.get(f"{url}/stop").status_code == 200
    assert visitor.submit(f"{url}/stop", key="k").status_code == 303
    shown = text_of(visitor.get(url).text)
    assert "Cancelled" in shown
    assert "Ask for it again" in shown
    assert work.claim(db, "test", ["replay"], clock.now) is None


def test_support_sees_no_revenue_and_an_auditor_asks_for_none(
    app: Flask, visitor: Visitor, db: Database, vault: Vault
) -> None:
    calls(db, vault)
    url = visitor.submit("/rates/1/replay", key="k", version="1", **DAYS).location
    support, auditor = as_role(app, db, "support"), as_role(app, db, "auditor")
    assert support.get(url).status_code == support.get(f"{url}.csv").status_code == 403
    assert url not in support.get("/rates/1").text
    assert auditor.get(url).status_code == 200
    assert f"{url}/stop" not in auditor.get(url).text
    for path in (f"{url}/stop", "/rates/1/replay"):
        assert auditor.submit(path, key="k", version="1", **DAYS).status_code == 403
