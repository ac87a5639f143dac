"""Figures as they were reported and as reorganised: years before and after a merger compare, and no total moves."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from factories import TTHC_COLUMNS, a_balanced_row, a_form, a_report, an_agency, an_indicator, body
from gateway.api import deps
from gateway_under_test import NewClient, accepted, findings, refused, shown

SCOPES = ("aggregates:read", "catalog:write", "reports:write", "reports:read")
VIEWS = ("as_reported", "reorganised")
BEFORE, AFTER = date(2025, 6, 30), date(2025, 7, 1)
"""The last day of 63 provinces, and the first of 34: H40 and H25 were merged into H42."""

SetDay = Callable[[date], None]


@pytest.fixture
async def client(client_for: NewClient) -> httpx.AsyncClient:
    return await client_for(*SCOPES)


@pytest.fixture(autouse=True)
def on(app: FastAPI) -> Iterator[SetDay]:
    """Sets the day that it is, which is long after every merger unless a test sets another."""

    def set_day(day: date) -> None:
        app.dependency_overrides[deps.today] = lambda: day

    set_day(date(2026, 7, 1))
    yield set_day
    del app.dependency_overrides[deps.today]


async def pulled(client: httpx.AsyncClient, view: str, **parameters: str) -> dict[str, Any]:
    asked = {"form": "TTHC_06A", "agencies": view, **parameters}
    answer = await client.get("/v1/aggregates", params=asked)
    assert answer.status_code == 200, answer.text
    return shown(answer)


async def pending(client: httpx.AsyncClient, view: str, *keys: str, **parameters: str) -> dict[Any, int]:
    """The dossiers pending in each row, by what tells the rows apart."""
    found = await pulled(client, view, indicator="pending_total", **parameters)
    rows = {
        tuple(row[key] for key in keys) if len(keys) > 1 else row[keys[0]]: row["pending_total"]
        for row in found["rows"]
    }
    assert len(rows) == len(found["rows"])
    return rows


async def total(client: httpx.AsyncClient, view: str, **parameters: str) -> dict[str, Any]:
    (row,) = (await pulled(client, view, **parameters))["rows"]
    return {column: row[column] for column in TTHC_COLUMNS}


def added(rows: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    rows = list(rows)
    return {column: sum(row[column] for row in rows) for column in TTHC_COLUMNS}


async def push(client: httpx.AsyncClient, period: str, **pending_by_agency: int) -> None:
    """Reports of a period with so many dossiers pending; an underscore stands for a dot in an agency's code."""
    for agency, number in pending_by_agency.items():
        rows = [a_balanced_row("LAND", 0, number), a_balanced_row("HEALTH", 0, 1000 * number)]
        explanations = [{"rule": "R6", "row": {"sector": row["sector"]}, "text": "sáp nhập"} for row in rows]
        document = a_report(agency=agency.replace("_", "."), period=period, rows=rows, explanations=explanations)
        await accepted(client, document)


async def put(client: httpx.AsyncClient, **document: object) -> None:
    """An agency, or a version of one."""
    known = an_agency(**{"valid_from": "2024-01-01", **document})
    answer = await client.put(
        f"/v1/agencies/{known['code']}", content=body(known), headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 200, answer.text


MERGED = {"H25": 1, "H40": 10, "H42": 100}
"""The provinces that are H42 today."""


async def test_a_year_of_63_provinces_compares_with_one_of_34(client: httpx.AsyncClient) -> None:
    await push(client, "2024", **MERGED, H26=5000)
    await push(client, "2025", H42=700, H26=6000)
    asked = {"period": "2024,2025", "by": "agency,period"}
    assert await pending(client, "reorganised", "agency", "period", **asked) == {
        ("H26", "2024"): 5000 * 1001,
        ("H26", "2025"): 6000 * 1001,
        ("H42", "2024"): 111 * 1001,
        ("H42", "2025"): 700 * 1001,
    }
    assert await pending(client, "as_reported", "agency", "period", **asked) == {
        ("H25", "2024"): 1001,
        ("H26", "2024"): 5000 * 1001,
        ("H26", "2025"): 6000 * 1001,
        ("H40", "2024"): 10 * 1001,
        ("H42", "2024"): 100 * 1001,
        ("H42", "2025"): 700 * 1001,
    }
    plain = await client.get("/v1/aggregates", params={"form": "TTHC_06A", **asked})
    assert shown(plain) == await pulled(client, "as_reported", **asked), "as_reported is what comes unasked"


async def test_figures_of_merged_agencies_are_the_successors_own(client: httpx.AsyncClient) -> None:
    await push(client, "2025-Q2", **MERGED, H42_12=20000)
    for view, own, reports in (("as_reported", 100, 2), ("reorganised", 111, 4)):
        found = await pulled(client, view, period="2025-Q2", under="H42", by="agency", indicator="pending_total")
        assert found["rows"] == [
            {"agency": "H42", "own": True, "pending_total": own * 1001},
            {"agency": "H42.12", "own": False, "pending_total": 20000 * 1001},
        ]
        assert found["reports"] == reports
        whole = await pending(client, view, "sector", period="2025-Q2", under="H42", by="sector")
        assert whole == {"HEALTH": (own + 20000) * 1000, "LAND": own + 20000}
    country = await pending(client, "reorganised", "agency", period="2025-Q2", by="agency")
    assert country == {"H42": 20111 * 1001}


async def test_a_merger_within_a_year_leaves_every_total_as_it_was(client: httpx.AsyncClient, on: SetDay) -> None:
    await push(client, "2025-Q1", **MERGED, H26=5000)
    await push(client, "2025-Q2", H25=2, H40=20, H42=200, H26=6000)
    await push(client, "2025-Q3", H42=333, H26=7000)
    whole = {"period": "2025-Q1..2025-Q3"}
    seen = []
    for day in (BEFORE, AFTER):
        on(day)
        for view in VIEWS:
            by_period = (await pulled(client, view, **whole, by="period,sector"))["rows"]
            for by in ("agency,period,sector", "level,period,sector", "agency,level,period,sector"):
                rows = (await pulled(client, view, **whole, by=by))["rows"]
                for each in by_period:
                    same = [row for row in rows if (row["period"], row["sector"]) == (each["period"], each["sector"])]
                    assert added(same) == {column: each[column] for column in TTHC_COLUMNS}, (day, view, by)
            seen.append((await total(client, view, **whole), by_period))
    assert all(each == seen[0] for each in seen)
    assert await pending(client, "reorganised", "agency", **whole, by="agency") == {
        "H26": 7000 * 1001,
        "H42": 333 * 1001,
    }
    on(BEFORE)
    before = await pending(client, "reorganised", "agency", period="2025-Q2", by="agency")
    assert before == {"H25": 2002, "H26": 6000 * 1001, "H40": 20020, "H42": 200 * 1001}, "not merged yet on that day"


async def test_the_year_of_a_merged_province_balances_as_reorganised(client: httpx.AsyncClient) -> None:
    """What stood open at the beginning came from three provinces, and what stays open at the end is of one."""
    for period, stocks in (
        ("2025-Q1", {"H25": (1, 2), "H40": (10, 20), "H42": (100, 200)}),
        ("2025-Q2", {"H25": (2, 4), "H40": (20, 40), "H42": (200, 400)}),
        ("2025-Q3", {"H42": (444, 7)}),
    ):
        for agency, (carried, left) in stocks.items():
            moved = [{"rule": "R6", "row": {"sector": "LAND"}, "text": "Tiếp nhận từ tỉnh sáp nhập"}]
            rows = [a_balanced_row("LAND", carried, left)]
            await accepted(client, a_report(agency=agency, period=period, rows=rows, explanations=moved))
    asked = {"period": "2025-Q1..2025-Q3", "under": "H42"}
    row = await total(client, "reorganised", **asked)
    assert (row["carried_over"], row["pending_total"]) == (111, 7)
    assert row["received_total"] == row["resolved_total"] + row["pending_total"]
    alone = await total(client, "as_reported", **asked)
    assert alone["carried_over"] == 100
    assert alone["received_total"] != alone["resolved_total"] + alone["pending_total"]


async def test_recording_a_merger_moves_no_total(client: httpx.AsyncClient) -> None:
    names = ("H26.18.01", "H26.18.02", "H26.18.03")
    for code in names:
        await put(client, code=code)
    await push(client, "2025-Q2", H26_18_01=1, H26_18_02=10, H26_18_03=100)
    asked = {"period": "2025-Q2", "under": "H26"}
    before = [await total(client, view, **asked) for view in VIEWS]
    for code in names[:2]:
        await put(client, code=code, valid_to="2025-06-30", successor="H26.18.03")
    after = [await total(client, view, **asked) for view in VIEWS]
    assert before == after == [before[0]] * 2
    await push(client, "2025-Q3", H26_18_03=111)
    below = {"under": "H26.18", "by": "agency"}
    assert await pending(client, "as_reported", "agency", period="2025-Q2", **below) == {
        "H26.18.01": 1001,
        "H26.18.02": 10 * 1001,
        "H26.18.03": 100 * 1001,
    }
    for period in ("2025-Q2", "2025-Q3"):
        found = await pending(client, "reorganised", "agency", period=period, **below)
        assert found == {"H26.18.03": 111 * 1001}


async def test_successors_are_followed_through_every_merger(client: httpx.AsyncClient) -> None:
    await put(client, code="H26.18.01")
    await put(client, code="H26.18.02")
    await push(client, "2025-Q1", H26_18_01=1, H26_18_02=10, H29=100)
    await put(client, code="H26.18.01", valid_to="2025-06-30", successor="H26.18.02")
    await put(client, code="H26.18.02", valid_to="2026-01-31", successor="H29")
    asked = {"period": "2025-Q1", "by": "agency"}
    assert await pending(client, "as_reported", "agency", **asked) == {"H26": 11 * 1001, "H29": 100 * 1001}
    assert await pending(client, "reorganised", "agency", **asked) == {"H29": 111 * 1001}
    found = (await pulled(client, "reorganised", under="H29", indicator="pending_total", **asked))["rows"]
    assert found == [{"agency": "H29", "own": True, "pending_total": 111 * 1001}]


async def test_a_department_of_a_merged_province_stands_under_the_successor(client: httpx.AsyncClient) -> None:
    await put(client, code="H40.05", parent="H40", level="department")
    await put(client, code="H40.06", parent="H40", level="department", valid_to="2025-06-30")
    await push(client, "2024-Q3", H40=1, H40_05=10, H40_06=100, H42=1000)
    asked = {"period": "2024-Q3", "by": "agency"}
    assert await pending(client, "reorganised", "agency", "own", under="H42", **asked) == {
        ("H42", True): 1001 * 1001,
        ("H40.05", False): 10 * 1001,
        ("H40.06", False): 100 * 1001,
    }
    assert await pending(client, "reorganised", "agency", **asked) == {"H42": 1111 * 1001}
    assert await pending(client, "as_reported", "agency", **asked) == {"H40": 111 * 1001, "H42": 1000 * 1001}


async def test_an_agency_that_was_moved_counts_where_it_stands_today(client: httpx.AsyncClient) -> None:
    await put(client, code="H26.18.01", parent="H26.18")
    await push(client, "2025-Q2", H26_18_01=1, H26=10, H29=100)
    await put(client, parent="H29.18", valid_from="2026-01-01")
    await push(client, "2026-Q2", H26_18_01=2)
    asked = {"period": "2025-Q2,2026-Q2", "by": "period"}
    for view, under, expected in (
        ("as_reported", "H26", [11]),
        ("as_reported", "H29", [100, 2]),
        ("reorganised", "H26", [10]),
        ("reorganised", "H29", [101, 2]),
    ):
        found = await pending(client, view, "period", under=under, **asked)
        assert list(found.values()) == [each * 1001 for each in expected], (view, under)
    for view, under, number in (
        ("as_reported", "H26.18", 1),
        ("as_reported", "H29.18", 1),
        ("reorganised", "H29.18", 2),
    ):
        assert (await pulled(client, view, under=under, **asked))["reports"] == number, (view, under)
    totals = [await pending(client, view, "period", **asked) for view in VIEWS]
    assert totals[0] == totals[1] == {"2025-Q2": 111 * 1001, "2026-Q2": 2 * 1001}


async def test_a_level_is_that_of_the_successor(client: httpx.AsyncClient) -> None:
    await put(client, code="H26.18.01")
    await push(client, "2025-Q2", H26_18_01=1, H26_18=10)
    await put(client, code="H26.18.01", valid_to="2025-06-30", successor="H26.18")
    asked = {"period": "2025-Q2", "by": "level"}
    assert await pending(client, "as_reported", "level", **asked) == {"department": 10 * 1001, "unit": 1001}
    assert await pending(client, "reorganised", "level", **asked) == {"department": 11 * 1001}


async def test_formulas_are_computed_anew_over_what_was_merged(client: httpx.AsyncClient) -> None:
    rate = an_indicator(id="rate", type="percent", unit="percent", required=False)
    rate |= {"over_agencies": "formula", "over_time": "formula", "formula": "late / amount * 100"}
    form = a_form(breakdowns=[], indicators=[an_indicator(), an_indicator(id="late"), rate])
    answer = await client.put("/v1/forms/TEST_01/versions/1", json=form)
    assert answer.status_code == 200, answer.text
    for agency, late in (("H25", 100), ("H40", 50), ("H42", 0)):
        cells = {"amount": 400, "late": late, "rate": late / 4}
        await accepted(client, {"form": "TEST_01", "agency": agency, "period": "2024-Q3", "rows": [cells]})
    asked = {"form": "TEST_01", "period": "2024-Q3", "by": "agency", "indicator": "rate"}
    rows = {view: (await pulled(client, view, **asked))["rows"] for view in VIEWS}
    assert [(row["agency"], row["rate"]) for row in rows["as_reported"]] == [("H25", 25), ("H40", 12.5), ("H42", 0)]
    assert rows["reorganised"] == [{"agency": "H42", "own": False, "rate": 12.5}]


async def test_a_closed_agency_asked_for_is_answered_as_its_successor(client: httpx.AsyncClient) -> None:
    await push(client, "2024-Q3", **MERGED)
    asked = {"period": "2024-Q3", "by": "agency", "indicator": "pending_total"}
    found = await pulled(client, "reorganised", under="000-00-00-H40", **asked)
    assert found == await pulled(client, "reorganised", under="H42", **asked)
    assert (found["under"], found["reports"]) == ("H42", 3)
    reported = await pulled(client, "as_reported", under="H40", **asked)
    assert (reported["under"], reported["rows"][0]["pending_total"]) == ("H40", 10 * 1001)


@pytest.mark.parametrize("path", ["aggregates", "observations"])
async def test_the_reorganised_view_keeps_every_client_to_its_subtree(
    client: httpx.AsyncClient, client_for: NewClient, path: str
) -> None:
    await push(client, "2024-Q3", **MERGED, H26=1000)
    asked = {"form": "TTHC_06A", "period": "2024-Q3", "agencies": "reorganised", "indicator": "pending_total"}
    successor = await client_for("aggregates:read", agency="H42")
    assert (await successor.get(f"/v1/{path}", params=asked)).status_code == 200
    refused(await successor.get(f"/v1/{path}", params={**asked, "under": "H26"}), 403, "forbidden")
    refused(await successor.get(f"/v1/{path}", params={**asked, "under": "H40"}), 403, "forbidden")
    merged = await client_for("aggregates:read", agency="H40")
    for under in ({}, {"under": "H40"}, {"under": "H42"}):
        refused(await merged.get(f"/v1/{path}", params={**asked, **under}), 403, "forbidden")
    assert (await merged.get(f"/v1/{path}", params={**asked, "agencies": "as_reported"})).status_code == 200
    whole = await pulled(successor, "reorganised", period="2024-Q3", indicator="pending_total")
    assert (whole["under"], whole["rows"]) == ("H42", [{"pending_total": 111 * 1001}])


async def observed(client: httpx.AsyncClient, view: str, **parameters: str) -> list[tuple[str, str, int]]:
    asked = {"form": "TTHC_06A", "indicator": "pending_total", "agencies": view, **parameters}
    items = shown(await client.get("/v1/observations", params=asked))["items"]
    lines = await client.get("/v1/observations", params=asked, headers={"accept": "application/x-ndjson"})
    assert [httpx.Response(200, content=line).json() for line in lines.text.splitlines()] == items
    found = [(each["agency"], each["period"], each["value"]) for each in items if each["sector"] == "LAND"]
    return sorted(found)


async def test_single_values_stay_with_the_agency_that_gave_them(client: httpx.AsyncClient) -> None:
    await push(client, "2024-Q3", **MERGED, H26=1000)
    assert await observed(client, "reorganised", period="2024-Q3", under="H42") == [
        ("H25", "2024-Q3", 1),
        ("H40", "2024-Q3", 10),
        ("H42", "2024-Q3", 100),
    ]
    assert await observed(client, "as_reported", period="2024-Q3", under="H42") == [("H42", "2024-Q3", 100)]


async def test_single_values_of_an_agency_that_was_moved_are_those_of_its_time_there(
    client: httpx.AsyncClient,
) -> None:
    await put(client, code="H26.18.01", parent="H26.18")
    await push(client, "2025-Q2", H26_18_01=1)
    await put(client, parent="H29.18", valid_from="2026-01-01")
    await push(client, "2026-Q2", H26_18_01=2)
    first, second = ("H26.18.01", "2025-Q2", 1), ("H26.18.01", "2026-Q2", 2)
    both = {"period": "2025-Q2,2026-Q2"}
    for view, under, expected in (
        ("as_reported", "H26", [first]),
        ("as_reported", "H29", [second]),
        ("reorganised", "H26", []),
        ("reorganised", "H29", [first, second]),
    ):
        assert await observed(client, view, under=under, **both) == expected, (view, under)


async def test_the_state_token_moves_when_a_merger_takes_effect_and_not_from_day_to_day(
    client: httpx.AsyncClient, on: SetDay
) -> None:
    async def tokens(day: date) -> list[str]:
        on(day)
        return [(await pulled(client, view, period="2025-Q2"))["as_of"] for view in VIEWS]

    before, after, later = [await tokens(day) for day in (BEFORE, AFTER, date(2026, 7, 1))]
    assert before[0] == after[0], "as reported, nothing changed"
    assert before[1] != after[1] == later[1]


@pytest.mark.parametrize("path", ["aggregates", "observations"])
async def test_another_view_is_malformed(client: httpx.AsyncClient, path: str) -> None:
    asked = {"form": "TTHC_06A", "period": "2024-Q3", "agencies": "today"}
    problem = refused(await client.get(f"/v1/{path}", params=asked), 400, "malformed-request")
    assert [each["pointer"] for each in problem["errors"]] == ["agencies"]


@pytest.mark.parametrize("name", ["H40", "000.00.00.H40", "000-00-00-H40"])
async def test_a_closed_code_is_refused_by_all_its_names_and_the_successor_named(
    client: httpx.AsyncClient, name: str
) -> None:
    assert (await accepted(client, a_report(agency=name, period="2025-Q2")))["agency"] == "H40"
    answer = await client.post("/v1/reports", json=a_report(agency=name, period="2025-Q3"))
    (found,) = (each for each in findings(answer) if each["rule"] == "agency")
    assert "H42" in found["message"]
    assert shown(await client.get(f"/v1/agencies/{name}"))["successor"] == "H42"
