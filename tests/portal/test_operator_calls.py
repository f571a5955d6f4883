"""Calls in the console: the list and its filters, one call, live ones, refused tries, flagged calls, exports."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import text

from engine.config import Keys
from engine.vault import Vault
from jobs.worker import run_until_done
from tests.conftest import Clones
from tests.portal.house import House, house
from tests.portal.world import CALLER, MARK
from tests.scenes import NOW

PART = {"HX-Request": "true", "HX-Request-Type": "partial"}
LATER = NOW + timedelta(minutes=10)


@pytest.fixture(scope="module")
def home(clones: Clones, keys: Keys, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(clones, keys, tmp_path_factory.mktemp("calls")) as made:
        yield made


def shown(home: House, path: str, *, role: str = "operator", status: int = 200, **more: object) -> str:
    answer = home.visitor(role).get(path, **more)
    assert answer.status_code == status, path
    return answer.get_data(as_text=True)


def rows(html: str) -> int:
    return len(re.findall(r'<th scope="row"><a href="/calls/[0-9]+/[0-9]+">', html))


def test_the_list_shows_calls_whole_and_as_a_part(home: House) -> None:
    whole = shown(home, "/calls")
    part = shown(home, "/calls", headers=PART)
    assert rows(whole) == rows(part) == 2
    assert whole.lstrip().startswith("<!doctype html>")
    assert part.lstrip().startswith('<div id="list"')
    assert MARK not in whole
    assert "Bangladesh &lt;img" in whole


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("destination=8801712345678", 2),
        ("destination=%2B880+1712-345678", 2),
        ("destination=880", 0),
        ("prefix=880", 2),
        ("prefix=44", 0),
        (f"caller={CALLER}", 2),
        ("caller=442079460000", 0),
        ("duration_from=1:00", 1),
        ("duration_from=30&duration_to=60", 1),
        ("flag=duration_capped", 1),
        ("flag=any", 1),
        ("flag=swept", 0),
        ("cause=16", 2),
        ("cause=17", 0),
        ("ended=last-hour", 2),
        ("ended_from=2026-11-20&ended_to=2026-11-20", 2),
        ("ended_to=2026-11-19", 0),
        ("ended_from=2026-11-20T12:01&ended_to=2026-11-20T12:01", 2),
        ("currency=EUR", 0),
        ("charged_from=0.01", 1),
        ("charged_to=0.0099", 1),
        ("call_ref=plain", 1),
    ],
)
def test_each_filter_finds_what_it_says(home: House, query: str, found: int) -> None:
    assert rows(shown(home, f"/calls?{query}")) == found


def test_filters_by_name_serial_batch_switch_and_reseller(home: House) -> None:
    serial = home.world.cards[0].serial
    asked = {
        "serial": serial,
        "batch": f"May {MARK}",
        "switch": f"Asterisk {MARK}",
        "name": f"Bangladesh {MARK}",
    }
    for name, value in asked.items():
        assert rows(shown(home, "/calls", query_string={name: value})) == 2, name
    assert rows(shown(home, "/calls", query_string={"reseller": f"Corner shop {MARK}"})) == 0
    assert rows(shown(home, "/calls", query_string={"serial": home.world.cards[1].serial})) == 0


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("destination=<script>", "Type digits only"),
        ("caller=12", "is not a caller"),
        ("serial=1", "serial"),
        ("ended=yesterday", "one of"),
        ("ended_from=2026-02-30", "date"),
        ("ended_from=2026-11-20&ended_to=2026-11-19", "ends before it begins"),
        ("ended=last-hour&ended_from=2026-11-20", "not both"),
        ("duration_from=-5", "duration in seconds"),
        ("cause=999", "between 0 and 127"),
        ("charged_from=1,50", ""),
        ("charged_from=NaN", ""),
        ("batch=Nobody", "no batch"),
        ("reseller=Nobody", "reseller"),
        ("switch=Nobody", "switch"),
        ("flag=odd", "one of"),
    ],
)
def test_a_mistake_is_told_at_its_field_and_nothing_is_looked_for(
    home: House, query: str, sentence: str
) -> None:
    html = shown(home, f"/calls?{query}", status=422)
    assert rows(html) == 0
    told = re.findall(r'<p class="error"[^>]*>(.*?)</p>', html)
    assert told
    assert sentence in " ".join(told)
    assert "<script>" not in html.replace("<script src", "")


@pytest.mark.parametrize(
    "query", ["columns=password", "per_page=1000000000", "before=x;drop", "before=1", "batch=%00"]
)
def test_what_no_form_sends_is_refused(home: House, query: str) -> None:
    shown(home, f"/calls?{query}", status=400)


def test_columns_can_be_chosen_and_pages_follow_each_other(home: House) -> None:
    html = shown(home, "/calls?columns=call_ref,deck&per_page=25")
    assert "Reference</th>" in html
    assert "Card</th>" not in html
    assert "capped &lt;img" in html


def test_sums_are_told_by_themselves(home: House) -> None:
    html = shown(home, "/calls/sums?destination=8801712345678", headers=PART)
    assert "2 calls" in html
    assert "1 min 36 s" in html  # 61 s, and what had passed of the other
    assert shown(home, "/calls/sums?destination=x", status=422, headers=PART)


def test_a_call_is_explained_with_links_to_all_it_belongs_to(home: House) -> None:
    serial, number = home.world.cards[0].serial, home.world.arguments["call_id"]
    html = shown(home, f"/calls/{serial}/{number}")
    assert "The switch reported 50 min, longer than since the call began" in html
    assert "The switch reported 50 min; 35 s counted" in html
    for link in (f"/cards/{serial}", "/batches/1", "/settings/switches", "/rates/"):
        assert f'href="{link}' in html, link
    shown(home, f"/calls/{home.world.cards[1].serial}/{number}", status=404)
    shown(home, "/calls/12345678901/1", status=404)


def test_a_live_call_costs_more_by_the_second_and_ends_by_hand(home: House) -> None:
    with home.app.app_context():
        from portal.installation import installation

        clock = installation().clock
    before = shown(home, "/calls/live", headers=PART)
    clock.now += timedelta(seconds=30)  # type: ignore[attr-defined]
    after = shown(home, "/calls/live", headers=PART)
    costs = [re.findall(r"Cost so far</dt><dd>.*?</span> ([0-9.]+)", html) for html in (before, after)]
    assert float(costs[1][0]) - float(costs[0][0]) == pytest.approx(0.0075)
    assert 'hx-trigger="every 4s"' in after
    path = f"/calls/live/{home.world.arguments['live_id']}/end"
    assert "ends" in shown(home, path) or "End the call" in shown(home, path)
    shown(home, path, role="finance", status=403)
    visitor = home.visitor("support")
    empty = visitor.post(path, data={"csrf_token": visitor.token(), "key": "end-1", "reason": ""})
    assert empty.status_code == 422
    done = visitor.post(path, data={"csrf_token": visitor.token(), "key": "end-1", "reason": "stuck"})
    assert done.status_code == 303
    assert "The call has ended" in shown(home, "/calls/live", role="support")
    shown(home, path, status=404)
    assert rows(shown(home, "/calls?flag=ended_by_operator")) == 1


def test_live_calls_are_sorted_and_narrowed(home: House) -> None:
    for query in ("order=cost", "order=newest", "order=held", "switch=1", "after=-5.3"):
        shown(home, f"/calls/live?{query}")
    for query in ("order=drop", "switch=x", "after=1;2"):
        shown(home, f"/calls/live?{query}", status=400)


def test_refused_tries_tell_their_inner_reason(home: House) -> None:
    html = shown(home, "/calls/refused")
    assert "Wrong password" in html
    assert "No number to call" in html
    assert (
        "Wrong password"
        not in re.sub(
            r"<select.*?</select>", "", shown(home, "/calls/refused?reason=expired"), flags=re.S
        ).split("</details>")[-1]
    )
    assert 'aria-invalid="true"' in shown(home, "/calls/refused?serial=12", status=422)
    for query in ("reason=x", "door=x", "period=x", "before=x"):
        shown(home, f"/calls/refused?{query}", status=400)


def test_flagged_calls_are_resolved_one_by_one_and_together(home: House) -> None:
    serial, number = home.world.cards[0].serial, home.world.arguments["call_id"]
    html = shown(home, "/calls/flagged")
    assert f'value="{serial}-{number}"' in html
    assert "50 min" in html
    assert "data-tick" not in shown(home, "/calls/flagged", role="auditor").replace("data-ticks", "")
    path = f"/calls/flagged/resolve?call={serial}-{number}"
    form = shown(home, path, role="finance")
    assert "Resolve 1 call" in form
    shown(home, path, role="auditor", status=403)
    shown(home, "/calls/flagged/resolve?call=drop", status=400)
    visitor = home.visitor("finance")
    data = {
        "csrf_token": visitor.token(),
        "calls": f"{serial}-{number}",
        "reason": f"The clock of the switch {MARK}",
    }
    assert visitor.post("/calls/flagged/resolve", data={**data, "reason": ""}).status_code == 422
    assert visitor.post("/calls/flagged/resolve", data=data).status_code == 303
    assert (
        visitor.post("/calls/flagged/resolve", data={**data, "reason": "Something else"}).status_code == 303
    )
    assert "their note stands" in shown(home, "/calls/flagged", role="finance")
    resolved = shown(home, "/calls/flagged?state=resolved")
    assert "The clock of the switch &lt;img" in resolved
    assert MARK not in resolved
    assert "Something else" not in resolved
    assert "Resolved" in shown(home, f"/calls/{serial}/{number}")


def test_an_export_is_ordered_made_and_fetched_by_its_maker(home: House, vault: Vault) -> None:
    assert "No exports yet" in shown(home, "/calls/exports", role="support")
    path = "/calls/exports/calls?destination=8801712345678"
    assert "Destination: 8801712345678" in shown(home, path, role="support")
    visitor = home.visitor("support")
    data = {"csrf_token": visitor.token(), "key": "export-1", "format": "csv"}
    assert visitor.post(path, data={**data, "format": "exe"}).status_code == 422
    for _ in range(2):
        assert visitor.post(path, data=data).status_code == 303
    with home.db.begin() as session:
        (work_id,) = session.scalars(
            text("SELECT id FROM work WHERE kind = 'report_export' AND created_by <> :admin"),
            {"admin": f"staff:{home.world.people['admin'].id}"},
        ).all()
    assert 'hx-trigger="load delay:1s' in shown(
        home, f"/calls/exports/{work_id}", role="support", headers=PART
    )
    assert visitor.get(f"/calls/exports/{work_id}/file").status_code == 409
    run_until_done(home.db, vault, work_id, lambda: LATER, patience_s=0)
    state = shown(home, f"/calls/exports/{work_id}", role="support", headers=PART)
    assert "Download" in state
    assert "hx-trigger" not in state
    file = visitor.get(f"/calls/exports/{work_id}/file")
    assert file.headers["Content-Disposition"] == f"attachment; filename=calls-{work_id}.csv"
    assert file.get_data(as_text=True).count("\r\n") == 1 + rows(
        shown(home, path.replace("exports/calls", "").replace("/?", "?"))
    )
    assert home.visitor("finance").get(f"/calls/exports/{work_id}/file").status_code == 404
    assert home.visitor("admin").get(f"/calls/exports/{work_id}/file").status_code == 200


def test_an_export_can_be_stopped(home: House) -> None:
    work_id = home.world.arguments["/calls/exports/work_id"]
    assert home.visitor("support").get(f"/calls/exports/{work_id}/cancel").status_code == 404
    visitor = home.visitor("admin")
    path = f"/calls/exports/{work_id}/cancel"
    assert visitor.get(path).status_code == 200
    assert visitor.post(path, data={"csrf_token": visitor.token(), "key": "stop-1"}).status_code == 303
    assert "Stopped" in shown(home, "/calls/exports", role="admin")
