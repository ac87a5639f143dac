"""The demonstration: run whole, and shown to fail when the gateway's figures are not those that were sent."""

import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from pathlib import Path

import httpx
import pytest
from rich.console import Console

from gateway.demo.compare import check_figures
from gateway.demo.complete import check_completeness
from gateway.demo.conclude import Outcome, conclude
from gateway.demo.errors import DemoError
from gateway.demo.figures import LAND_DEPARTMENT, Report, a_row, country, owing
from gateway.demo.ledger import Difference, Ledger, differences
from gateway.demo.periods import Period, Periods, chosen
from gateway.demo.place import fresh
from gateway.demo.processes import Processes
from gateway.demo.show import Show
from gateway.demo.stage import Stage
from gateway.domain.agency import Level


def a_period(code: str, start: date, cutoff: date) -> Period:
    """As the regime has it: a deadline for each level, and no lock."""
    days = {"ministry": 25, "province": 25, "department": 20, "commune": 18}
    return Period(code, start, cutoff, {level: cutoff.replace(day=day) for level, day in days.items()}, {})


def periods_of_year(year: int) -> list[Period]:
    """Three quarters and the year, in order of time: from the 15th of a month to the 14th of another."""
    opens, months = date(year - 1, 12, 15), (3, 6, 9)
    starts = [opens, *(date(year, month, 15) for month in months[:-1])]
    quarters = [
        a_period(f"{year}-Q{place}", start, date(year, month, 14))
        for place, (start, month) in enumerate(zip(starts, months, strict=True), 1)
    ]
    return [*quarters, a_period(str(year), opens, date(year, 12, 14))]


def periods_on(day: date) -> Periods:
    return chosen([each for year in range(day.year - 1, day.year + 2) for each in periods_of_year(year)], day)


PERIODS = periods_on(date(2026, 11, 23))
YEAR = PERIODS.current


def a_report(online: int = 90) -> Report:
    row = a_row("LAND", online=online, offline=9, carried=1, late=0, early=50, pending=20, overdue=2)
    return Report("H26.00004", "Ủy ban nhân dân phường Ba Đình", "commune", "H26", YEAR.code, [row])


def a_ledger(*reports: Report) -> Ledger:
    ledger = Ledger()
    for report in reports or (a_report(),):
        ledger.count(report)
    return ledger


def test_the_demonstration_runs_to_its_end_and_leaves_nothing_running(tmp_path: Path) -> None:
    command = (sys.executable, "-m", "gateway", "demo", "--once", "--provinces", "1")
    environment = {**os.environ, "GATEWAY_DATA_DIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=150, check=False)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "both counts agree" in ended.stdout
    assert "nothing lost, nothing doubled" in ended.stdout
    with fresh(tmp_path / "demo"):
        pass  # it could not be had while a process of the demonstration lived


async def checked(sent: Ledger, held: Ledger) -> list[str]:
    """The faults found when one thing was sent and the gateway, which here can only answer, holds another."""
    period = YEAR.code
    grouped = {
        None: held.sums(period),
        "agency": held.sums(period, by=lambda report, _: report.top),
        "level": held.sums(period, by=lambda report, _: report.level),
        "sector": held.sums(period, by=lambda _, row: row.sector),
    }

    def answer(request: httpx.Request) -> httpx.Response:
        if "codelists" in request.url.path:
            return httpx.Response(200, json={"codes": [{"code": "LAND", "title": {"vi": "Đất đai"}}]})
        by = request.url.params.get("by")
        own = {"own": False} if by == "agency" else {}
        rows = [{**({by: place} if by else {}), **own, **figures} for place, figures in grouped[by].items()]
        return httpx.Response(200, json={"reports": held.reports(period), "rows": rows})

    show, processes = Show(Console(file=StringIO())), Processes(Path(), {}, 0)
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://gateway.test") as http:
        stage = Stage(Path(), show, processes, PERIODS, http, http, http, http, http, sent)
        await check_figures(stage)
        return stage.faults


def completeness(received: set[str]) -> dict[str, object]:
    """What the gateway answers that has these agencies' reports, all in time."""
    owed = owing(YEAR.cutoff)

    def counts(group: set[str]) -> dict[str, object]:
        missing = [{"agency": each, "name": each, "state": "upcoming"} for each in sorted(group - received)]
        on_time = len(group) - len(missing)
        numbers = {"expected": len(group), "received": on_time, "on_time": on_time, "late": 0, "missing": len(missing)}
        return {**numbers, "missing_agencies": missing}

    branches: dict[str, set[str]] = {}
    for code, each in owed.items():
        branches.setdefault(each.top, set()).add(code)
    rows = [{"agency": top, **counts(branch)} for top, branch in branches.items()]
    return {**counts({*owed}), "rows": rows}


async def found_missing(sent: Ledger, answered: dict[str, object]) -> list[str]:
    """The faults found when the gateway answers this of what was sent."""
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=answered))
    show, processes = Show(Console(file=StringIO())), Processes(Path(), {}, 0)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway.test") as http:
        stage = Stage(Path(), show, processes, PERIODS, http, http, http, http, http, sent)
        await check_completeness(stage)
        return stage.faults


async def test_the_same_names_missing_at_both_ends_are_no_fault() -> None:
    assert await found_missing(a_ledger(), completeness({a_report().agency})) == []


async def test_an_agency_that_is_missing_at_one_end_only_is_a_fault_in_the_country_and_its_province() -> None:
    faults = await found_missing(a_ledger(), completeness({a_report().agency, "H26.00008"}))

    assert "wrongly missing or not in the country: ['H26.00008']" in faults
    assert "wrongly missing or not in H26: ['H26.00008']" in faults


async def test_the_same_figures_at_both_ends_are_no_fault() -> None:
    assert await checked(a_ledger(), a_ledger()) == []


async def test_one_figure_that_is_off_by_one_is_a_fault_wherever_it_shows() -> None:
    faults = await checked(a_ledger(), a_ledger(a_report(online=91)))

    for grouping in ("total received_online: 91, not 90", "by=agency H26", "by=level commune", "by=sector LAND"):
        assert any(fault.startswith(grouping) for fault in faults), (grouping, faults)


async def test_a_report_that_is_not_counted_is_a_fault() -> None:
    other = replace(a_report(), agency="H26.00008")

    assert "1 reports are counted, not 2" in await checked(a_ledger(a_report(), other), a_ledger())


def test_a_place_that_only_one_of_the_counts_has_differs_in_every_figure() -> None:
    found = differences({"H26": {"received_total": 5}}, {"H01": {"received_total": 5}})

    assert Difference("H26", "received_total", 5, None) in found
    assert Difference("H01", "received_total", None, 5) in found


@pytest.mark.parametrize(("faults", "good"), [([], True), (["one figure differs"], False)])
def test_any_fault_makes_the_demonstration_fail(faults: list[str], good: bool) -> None:
    outcome = Outcome(PERIODS, 1, 1.0, 1, 1.0, 1, faults)

    assert conclude(Show(Console(file=StringIO())), outcome, 1.0) is good


def test_a_correction_takes_the_place_of_what_it_corrects_and_a_return_leaves_nothing() -> None:
    ledger = a_ledger(a_report(online=90), a_report(online=95))
    assert ledger.sums(YEAR.code)[""]["received_online"] == 95

    ledger.leave_out(a_report())
    assert ledger.sums(YEAR.code) == {}


@pytest.mark.parametrize(
    ("today", "current", "earlier", "preceding"),
    [
        (date(2026, 3, 25), "2026-Q1", "2025", "2025"),
        (date(2026, 3, 26), "2026-Q2", "2026-Q1", "2026-Q1"),
        (date(2026, 9, 25), "2026-Q3", "2026-Q2", "2026-Q2"),
        (date(2026, 9, 26), "2026", "2026-Q3", "2025"),
        (date(2026, 12, 25), "2026", "2026-Q3", "2025"),
        (date(2026, 12, 26), "2027-Q1", "2026", "2026"),
        (date(2027, 1, 1), "2027-Q1", "2026", "2026"),
    ],
)
def test_the_period_whose_deadline_comes_next_for_provinces_is_played(
    today: date, current: str, earlier: str, preceding: str
) -> None:
    assert [each.code for each in periods_on(today)] == [current, earlier, preceding]


def test_the_reports_before_are_each_sent_once_and_in_order_of_time() -> None:
    assert [each.code for each in periods_on(date(2026, 11, 23)).past] == ["2025", "2026-Q3"]
    assert [each.code for each in periods_on(date(2026, 8, 1)).past] == ["2026-Q2"]


def test_each_level_is_late_after_its_own_deadline_in_viet_nam() -> None:
    midnight = datetime(2026, 12, 20, 17, 0, tzinfo=UTC)  # 00:00 of 21 December in Viet Nam

    assert not YEAR.is_late("department", midnight - timedelta(seconds=1))
    assert YEAR.is_late("department", midnight)
    assert YEAR.is_late("commune", midnight)
    assert not YEAR.is_late("province", midnight)


def test_every_agency_of_the_country_reports_figures_that_add_up() -> None:
    reports = [report for batch in country(YEAR, 34) for report in batch]
    levels = [report.level for report in reports]

    assert levels.count(Level.commune) == 3321
    assert levels.count(Level.department) == 34 * 12 - 1, "all but the one that the story is about"
    assert levels.count(Level.province) == 34
    assert LAND_DEPARTMENT not in {report.agency for report in reports}
    assert {report.agency for report in reports} < owing(YEAR.cutoff).keys()
    for row in (row for report in reports for row in report.rows):
        of = row.figures
        assert min(of.values()) >= 0
        assert of["received_total"] == of["received_online"] + of["received_offline"] + of["carried_over"]
        assert of["resolved_total"] == of["resolved_early"] + of["resolved_on_time"] + of["resolved_late"]
        assert of["pending_total"] == of["pending_in_time"] + of["pending_late"]
        assert of["received_total"] == of["resolved_total"] + of["pending_total"]


def test_the_country_is_the_same_in_every_run() -> None:
    assert country(YEAR, 2) == country(YEAR, 2)


def test_a_directory_that_holds_anything_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "demo.lock").touch()
    (tmp_path / "postgresql").mkdir()
    (tmp_path / "thesis.odt").write_text("mine")

    with pytest.raises(DemoError, match=r"thesis\.odt"), fresh(tmp_path):
        pass
    assert sorted(file.name for file in tmp_path.iterdir()) == ["demo.lock", "postgresql", "thesis.odt"]


def test_a_directory_without_our_mark_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "postgresql").mkdir()

    with pytest.raises(DemoError), fresh(tmp_path):
        pass
    assert (tmp_path / "postgresql").exists()


def test_a_directory_that_a_demonstration_uses_is_not_given_to_another(tmp_path: Path) -> None:
    with fresh(tmp_path), pytest.raises(DemoError, match="still runs"), fresh(tmp_path):
        pass
