"""Reports: what they show is what the engine says, exactly; their files; the days they are over."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from datetime import date, timedelta

import pytest
from sqlalchemy import text

from engine.config import Keys
from engine.money import format_amount
from engine.reports import traffic
from portal.operator.money.figures import REPORTS
from portal.operator.money.periods import days_of, own_days
from portal.operator.money.words import figure
from tests.conftest import Clones
from tests.portal.conftest import text_of
from tests.portal.house import House, house
from tests.portal.world import MARK
from tests.scenes import NOW, USD

PART = {"HX-Request": "true", "HX-Request-Type": "partial"}
LATER = NOW + timedelta(minutes=10)


@pytest.fixture(scope="module")
def home(clones: Clones, keys: Keys, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(clones, keys, tmp_path_factory.mktemp("reports")) as made:
        yield made


def shown(home: House, path: str, *, role: str = "auditor", status: int = 200, **more: object) -> str:
    answer = home.visitor(role).get(path, **more)
    assert answer.status_code == status, path
    return answer.get_data(as_text=True)


def file_of(home: House, path: str) -> list[dict[str, str]]:
    answer = home.visitor("auditor").get(path)
    assert answer.mimetype == "text/csv"
    assert answer.headers["Content-Disposition"].endswith('.csv"')
    return list(csv.DictReader(io.StringIO(answer.get_data(as_text=True))))


@pytest.mark.parametrize(
    ("name", "by"), [(name, by) for name, report in REPORTS.items() for by in report.groups]
)
def test_every_report_by_everything_it_can_be_grouped_by(home: House, name: str, by: str) -> None:
    html = shown(home, f"/money/reports/{name}?by={by}&period=this-month")
    part = shown(home, f"/money/reports/{name}?by={by}&period=this-month", headers=PART)
    assert part.lstrip().startswith('<div id="list"')
    assert MARK not in html
    lines = file_of(home, f"/money/reports/{name}/file?by={by}&period=this-month")
    assert html.count('<th scope="row"') >= len(lines)
    assert ("Nothing in this time" in html) is not bool(lines)
    assert not any(value.startswith(("=", "+", "@")) for line in lines for value in line.values())


def test_traffic_says_what_the_calls_say(home: House) -> None:
    with home.db.begin() as session:
        calls, answered, seconds, charged, lost = session.execute(
            text(
                "SELECT count(*), count(*) FILTER (WHERE duration_s > 0), sum(duration_s), sum(charged)::bigint,"
                " sum(cost - charged)::bigint FROM cdr"
            )
        ).one()
    assert calls == 2
    for by in ("day", "destination", "batch"):
        lines = file_of(home, f"/money/reports/traffic/file?by={by}")
        assert sum(int(line["Calls"]) for line in lines) == calls
        assert [line["Revenue"] for line in lines] == [format_amount(charged, 2)]
        assert [line["Borne"] for line in lines] == [format_amount(lost, 2)]
        assert [line["ASR"] for line in lines] == [f"{answered * 1000 // calls / 10}"]
        assert [line["ACD"] for line in lines] == [str((2 * seconds + answered) // (2 * answered))]
    assert "Together" not in shown(home, "/money/reports/traffic")


def test_liability_is_the_sum_of_the_balances(home: House) -> None:
    with home.db.begin() as session:
        owed = session.scalar(
            text("SELECT sum(balance)::bigint FROM card WHERE released_at IS NOT NULL AND balance > 0")
        )
    for by in ("batch", "age", "currency"):
        lines = file_of(home, f"/money/reports/liability/file?by={by}")
        assert sum(USD(line["Owed"]) for line in lines) == owed
    told = traffic.owed(home.db, LATER, "age")
    assert [line.key for line in told] == [0]
    assert traffic.owed(home.db, LATER, "batch", "EUR") == []
    assert "up to 30 days" in shown(home, "/money/reports/liability?by=age")


def test_recharges_and_funds_agree(home: House) -> None:
    recharges = file_of(home, "/money/reports/recharges/file")
    assert [(line["Kind"], line["Amount"], line["Bonus"]) for line in recharges] == [
        ("By staff", "2.00", "0.20")
    ]
    kinds = {line["Kind"]: line["Amount"] for line in file_of(home, "/money/reports/funds/file")}
    assert kinds["Recharge"] == "2.00"
    assert kinds["Bonus"] == "0.20"
    assert kinds["Adjustment"] == "-1.00"


def test_a_report_keeps_to_a_batch_or_a_reseller(home: House) -> None:
    with_batch = shown(home, "/money/reports/traffic", query_string={"batch": f"May {MARK}", "by": "batch"})
    assert "/batches/1" in with_batch
    other = shown(home, "/money/reports/traffic", query_string={"batch": "Vouchers"})
    assert "Nothing in this time" in other
    stock = shown(home, "/money/reports/stock-now", query_string={"reseller": f"Corner shop {MARK}"})
    assert stock.count('<th scope="row"') == 1
    assert "Corner shop &lt;img" in stock


def test_stock_as_it_stands_is_that_of_the_cards(home: House) -> None:
    with home.db.begin() as session:
        counted = session.execute(
            text(
                "SELECT b.name, coalesce(r.name, ''), count(*), count(c.sold_at),"
                " count(*) FILTER (WHERE c.activated_at IS NOT NULL AND c.sold_at IS NULL) FROM card c"
                " JOIN batch b ON b.id = c.batch_id LEFT JOIN reseller r ON r.id = c.reseller_id GROUP BY 1, 2"
            )
        ).all()
    lines = file_of(home, "/money/reports/stock-now/file")
    told = {
        (line["Batch"], line["Details"], int(line["Cards"]), int(line["Sold"]), int(line["Active, unsold"]))
        for line in lines
    }
    assert told == {tuple(row) for row in counted}
    assert sum(row[3] for row in told) == 1


def test_failures_are_told_by_reason_and_source_in_words(home: House) -> None:
    told = text_of(shown(home, "/money/reports/failures?by=reason"))
    assert "Wrong password" in told
    assert "wrong_password" not in told
    assert int(file_of(home, "/money/reports/failures/file?by=source")[0]["Tries"]) > 0


def test_the_chart_holds_every_day(home: House) -> None:
    html = shown(home, "/money/reports/traffic?period=last-7-days")
    assert len(re.findall(r'<rect class="now"', html)) == 7
    assert "<svg" not in shown(home, "/money/reports/traffic?by=destination")


def test_a_report_that_there_is_not(home: House) -> None:
    shown(home, "/money/reports/secrets", status=404)
    shown(home, "/money/reports/secrets/file", status=404)
    shown(home, "/money/reports/traffic/file?from=2026-02-30", status=400)


def test_periods_are_days_of_the_calendar() -> None:
    today = date(2026, 3, 15)
    assert days_of("today", today) == (today, today)
    assert days_of("yesterday", today) == (date(2026, 3, 14), date(2026, 3, 14))
    assert days_of("last-7-days", today) == (date(2026, 3, 9), today)
    assert days_of("this-month", today) == (date(2026, 3, 1), today)
    assert days_of("last-month", date(2026, 1, 31)) == (date(2025, 12, 1), date(2025, 12, 31))
    assert own_days("2026-03-01", "", today) == ((date(2026, 3, 1), today), {})
    for first, last, field in (
        ("9999-12-31", "", "from"),
        ("2026-3-1", "", "from"),
        ("2026-03-02", "2026-03-01", "to"),
        ("2001-01-01", "2026-03-01", "from"),
        ("", "２０２６-03-01", "to"),
    ):
        assert list(own_days(first, last, today)[1]) == [field]


def test_figures_in_words() -> None:
    assert figure(None, "amount") == "–"
    assert figure(USD("-1.5"), "amount", 4) == "−1.5000"
    assert figure(90, "minutes") == "1.5"
    assert figure(-90, "minutes") == "−1.5"
    assert figure(667, "permille") == "66.7\u00a0%"
    assert figure(65, "duration") == "1 min 5 s"
    assert figure(1234, "count") == "1,234"
