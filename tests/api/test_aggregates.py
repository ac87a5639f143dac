"""Aggregates are right at every moment: equal to the sums of what was pushed, done again here by hand."""

import csv
import io
import random
from collections.abc import Iterable, Mapping
from typing import Any

import httpx
import pytest

from factories import (
    TTHC_COLUMNS,
    a_balanced_row,
    a_form,
    a_monthly_report,
    a_monthly_row,
    a_report,
    a_small_report,
    an_indicator,
    body_with,
)
from gateway.api.deps import Gateway
from gateway.errors import CatalogueConflict
from gateway_under_test import NewClient, accepted, load

PULL = ("aggregates:read", "reports:write", "reports:read", "reports:review")
STOCKS = {"carried_over": 0, "pending_total": -1, "pending_in_time": -1, "pending_late": -1}
"""Stocks of form II.06a, with the place in time they are taken from: first or last."""


@pytest.fixture
async def client(client_for: NewClient) -> httpx.AsyncClient:
    return await client_for(*PULL)


async def aggregates(client: httpx.AsyncClient, **parameters: str) -> dict[str, Any]:
    answer = await client.get("/v1/aggregates", params={"form": "TTHC_06A", **parameters})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def added(rows: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    rows = list(rows)
    return {column: sum(row[column] for row in rows) for column in TTHC_COLUMNS}


def figures(row: Mapping[str, Any]) -> dict[str, int]:
    return {column: row[column] for column in TTHC_COLUMNS}


async def test_a_report_is_in_the_figures_as_soon_as_its_receipt_was_given(client: httpx.AsyncClient) -> None:
    rows = [a_balanced_row("LAND", 3, 7), a_balanced_row("HEALTH", 1, 2)]
    await accepted(client, a_report(rows=rows))
    found = await aggregates(client, period="2098-Q3")
    assert found["rows"] == [added(rows)]
    assert (found["reports"], found["form_versions"], found["under"], found["by"]) == (1, [1], None, [])
    assert found["expected"] == found["missing"] + 1 > 3000


async def test_without_reports_the_one_row_is_blank(client: httpx.AsyncClient) -> None:
    found = await aggregates(client, period="2098-Q3")
    assert found["reports"] == 0
    assert found["rows"] == [dict.fromkeys(TTHC_COLUMNS)]


async def test_a_correction_replaces_and_a_return_or_withdrawal_removes_at_once(client: httpx.AsyncClient) -> None:
    first = await accepted(client, a_report(rows=[a_balanced_row(pending=5)]))
    second = await accepted(client, a_report(rows=[a_balanced_row(pending=9)], corrects=first["id"], reason="x"))
    assert (await aggregates(client, period="2098-Q3"))["rows"][0]["pending_total"] == 9
    answer = await client.post(f"/v1/reports/{second['id']}/return", json={"reason": "lệch"})
    assert answer.status_code == 200
    assert (await aggregates(client, period="2098-Q3"))["reports"] == 0
    third = await accepted(client, a_report(rows=[a_balanced_row(pending=4)], corrects=second["id"], reason="y"))
    assert (await aggregates(client, period="2098-Q3"))["rows"][0]["pending_total"] == 4
    answer = await client.post(f"/v1/reports/{third['id']}/withdraw", json={"reason": "nhầm"})
    assert answer.status_code == 200
    assert (await aggregates(client, period="2098-Q3"))["rows"] == [dict.fromkeys(TTHC_COLUMNS)]


async def test_children_and_the_own_row_add_up_to_the_total(client: httpx.AsyncClient) -> None:
    pushed = {
        "H26": [a_balanced_row("LAND", 0, 1)],
        "H26.18": [a_balanced_row("LAND", 2, 3), a_balanced_row("HEALTH", 1, 8)],
        "H26.00004": [a_balanced_row("HEALTH", 0, 6)],
        "H29": [a_balanced_row("LAND", 0, 100)],
    }
    for agency, rows in pushed.items():
        await accepted(client, a_report(agency=agency, rows=rows))
    found = (await aggregates(client, period="2098-Q3", under="H26", by="agency"))["rows"]
    assert [(row["agency"], row["own"]) for row in found] == [("H26", True), ("H26.00004", False), ("H26.18", False)]
    for row in found:
        assert figures(row) == added(pushed[row["agency"]])
    total = (await aggregates(client, period="2098-Q3", under="H26"))["rows"][0]
    assert figures(total) == added(found)
    country = (await aggregates(client, period="2098-Q3", by="agency"))["rows"]
    assert [(row["agency"], row["own"]) for row in country] == [("H26", False), ("H29", False)]
    assert figures(country[0]) == figures(total)


async def test_figures_can_be_kept_apart_by_sector_level_and_period(client: httpx.AsyncClient) -> None:
    await accepted(client, a_report(agency="H26", rows=[a_balanced_row("LAND", 0, 1)]))
    await accepted(
        client, a_report(agency="H26.18", rows=[a_balanced_row("LAND", 0, 2), a_balanced_row("HEALTH", 0, 4)])
    )
    found = (await aggregates(client, period="2098-Q3", by="level,sector", indicator="pending_total"))["rows"]
    assert found == [
        {"level": "department", "sector": "HEALTH", "pending_total": 4},
        {"level": "department", "sector": "LAND", "pending_total": 2},
        {"level": "province", "sector": "LAND", "pending_total": 1},
    ]


async def test_over_time_flows_add_and_stocks_are_first_or_last(client: httpx.AsyncClient) -> None:
    quarters = {"2098-Q1": (5, 7), "2098-Q2": (7, 2), "2098-Q3": (2, 9)}
    rows = {}
    for period, (carried, pending) in quarters.items():
        rows[period] = a_balanced_row("LAND", carried, pending)
        await accepted(client, a_report(period=period, rows=[rows[period]]))
    found = (await aggregates(client, period="2098-Q1..2098-Q3"))["rows"][0]
    in_time = list(rows.values())
    for column in TTHC_COLUMNS:
        if column in STOCKS:
            assert found[column] == in_time[STOCKS[column]][column], column
        elif column != "received_total":
            assert found[column] == sum(row[column] for row in in_time), column
    assert found["received_total"] == found["received_online"] + found["received_offline"] + found["carried_over"]
    assert found["received_total"] == found["resolved_total"] + found["pending_total"], "R4 holds for the year too"


@pytest.mark.parametrize(
    ("period", "named"), [("2098-Q1,2098-Q3", "gap"), ("2098,2098-Q2", "overlap"), ("2098-Q1,2098-Q2,2099-Q2", "gap")]
)
async def test_periods_that_leave_gaps_or_overlap_are_refused_by_name(
    client: httpx.AsyncClient, period: str, named: str
) -> None:
    answer = await client.get("/v1/aggregates", params={"form": "TTHC_06A", "period": period})
    assert answer.status_code == 400
    assert named in answer.json()["detail"]
    assert "2098-Q" in answer.json()["detail"]
    apart = await aggregates(client, period=period, by="period")
    assert apart["reports"] == 0


async def test_percentages_are_recomputed_and_never_added(client: httpx.AsyncClient) -> None:
    for agency, plan, spent, rate in (("H26", 1000, 125, "12.5"), ("H29", 3000, 1000, "33.33")):
        row = a_monthly_row(public_investment_plan=plan, public_investment_disbursed=spent, disbursement_rate="@rate")
        answer = await client.post(
            "/v1/reports",
            content=body_with(a_monthly_report(agency=agency, rows=[row]), rate=rate),
            headers={"content-type": "application/json"},
        )
        assert answer.status_code == 201, answer.text
    found = await aggregates(client, form="KTXH_01", period="2098-07")
    assert [row["stage"] for row in found["rows"]] == ["ACTUAL"], "plan and actual are kept apart"
    row = found["rows"][0]
    assert row["public_investment_disbursed"] == 1125
    assert row["disbursement_rate"] == 28.13, "1125 of 4000, rounded once, half away from zero"
    single = await aggregates(client, form="KTXH_01", period="2098-07", under="H26")
    assert single["rows"][0]["disbursement_rate"] == 12.5


async def test_plan_and_actual_are_never_added(client: httpx.AsyncClient) -> None:
    rows = [a_monthly_row(stage="PLAN", retail_sales=100), a_monthly_row(stage="ACTUAL", retail_sales=90)]
    await accepted(client, a_monthly_report(rows=rows))
    found = await aggregates(client, form="KTXH_01", period="2098-07", indicator="retail_sales")
    assert found["rows"] == [{"stage": "ACTUAL", "retail_sales": 90}, {"stage": "PLAN", "retail_sales": 100}]


async def test_decimals_keep_every_digit_through_sums(client: httpx.AsyncClient) -> None:
    large = "123456789012345678901234567890.1"
    for agency in ("H26", "H29"):
        document = a_monthly_report(agency=agency, rows=[a_monthly_row(retail_sales="@large")])
        answer = await client.post(
            "/v1/reports", content=body_with(document, large=large), headers={"content-type": "application/json"}
        )
        assert answer.status_code == 201, answer.text
    answer = await client.get("/v1/aggregates?form=KTXH_01&period=2098-07&indicator=retail_sales")
    assert '"retail_sales":246913578024691357802469135780.2' in answer.text


async def test_texts_and_flags_show_in_single_rows_and_are_null_in_combined_ones(client: httpx.AsyncClient) -> None:
    for agency in ("H26", "H29"):
        row = a_monthly_row(remark="tạm tính", is_preliminary=True)
        await accepted(client, a_monthly_report(agency=agency, rows=[row]))
    one = (await aggregates(client, form="KTXH_01", period="2098-07", under="H26"))["rows"][0]
    assert (one["remark"], one["is_preliminary"]) == ("tạm tính", True)
    both = (await aggregates(client, form="KTXH_01", period="2098-07"))["rows"][0]
    assert (both["remark"], both["is_preliminary"]) == (None, None)


async def test_a_merged_province_is_counted_where_it_stood_then(client: httpx.AsyncClient) -> None:
    await accepted(client, a_report(agency="H40", period="2024-Q3", rows=[a_balanced_row(pending=4)]))
    await accepted(client, a_report(agency="H42", period="2024-Q3", rows=[a_balanced_row(pending=6)]))
    found = (await aggregates(client, period="2024-Q3", by="agency", indicator="pending_total"))["rows"]
    assert found == [
        {"agency": "H40", "own": False, "pending_total": 4},
        {"agency": "H42", "own": False, "pending_total": 6},
    ]


async def test_a_consolidation_that_nobody_owes_is_never_added_to_the_figures_it_is_made_of(
    client: httpx.AsyncClient, gateway: Gateway
) -> None:
    await load(gateway.engine, ("form", a_form()))
    await accepted(client, a_small_report())
    await accepted(client, a_small_report(agency="H26", kind="consolidation"))
    found = await aggregates(client, form="TEST_01", period="2098-Q3")
    assert (found["reports"], found["rows"]) == (1, [{"amount": 5}])


async def test_a_client_sees_its_subtree_and_nothing_else(client_for: NewClient, client: httpx.AsyncClient) -> None:
    for agency in ("H26.18", "H29"):
        await accepted(client, a_report(agency=agency, rows=[a_balanced_row(pending=4)]))
    hanoi = await client_for("aggregates:read", agency="H26")
    found = await aggregates(hanoi, period="2098-Q3")
    assert (found["under"], found["reports"]) == ("H26", 1)
    for under in ("H29", "H99", "G01"):
        answer = await hanoi.get("/v1/aggregates", params={"form": "TTHC_06A", "period": "2098-Q3", "under": under})
        assert answer.status_code == 403, under
    writer = await client_for("reports:write")
    assert (await writer.get("/v1/aggregates?form=TTHC_06A&period=2098-Q3")).status_code == 403


@pytest.mark.parametrize("name", ["H38", "000.00.00.H38", "000-00-00-H38", "000_00_00_H38", "GSO:15"])
async def test_an_agency_is_one_by_all_its_names_in_pushes_pulls_and_the_catalogue(
    client: httpx.AsyncClient, name: str
) -> None:
    report = await accepted(client, a_report(agency=name))
    await accepted(client, a_report(agency="H26"))
    assert report["agency"] == (await client.get(f"/v1/agencies/{name}")).json()["code"] == "H38"
    found = await aggregates(client, period="2098-Q3", under=name)
    assert (found["under"], found["reports"]) == ("H38", 1)
    asked = {"form": "TTHC_06A", "period": "2098-Q3", "under": name}
    items = (await client.get("/v1/observations", params=asked)).json()["items"]
    assert {(item["agency"], item["report"]) for item in items} == {("H38", report["id"])}


async def test_csv_and_ndjson_hold_the_same_rows_as_json(client: httpx.AsyncClient) -> None:
    for agency in ("H26.18", "H26.19"):
        await accepted(client, a_report(agency=agency, rows=[a_balanced_row(pending=4)]))
    address = "/v1/aggregates?form=TTHC_06A&period=2098-Q3&by=agency,sector"
    rows = (await client.get(address)).json()["rows"]
    as_csv = await client.get(address, headers={"accept": "text/csv"})
    assert as_csv.headers["content-type"].startswith("text/csv")
    lines = list(csv.DictReader(io.StringIO(as_csv.text)))
    assert list(lines[0]) == ["agency", "own", "sector", *TTHC_COLUMNS]
    assert [
        {name: str(cell).lower() if name == "own" else str(cell) for name, cell in row.items()} for row in rows
    ] == lines
    as_lines = await client.get(address, headers={"accept": "application/x-ndjson"})
    assert [httpx.Response(200, content=line).json() for line in as_lines.text.splitlines()] == rows
    refused = await client.get(address, headers={"accept": "application/pdf"})
    assert refused.status_code == 406
    assert "text/csv" in refused.json()["available"]


async def test_the_state_token_moves_only_when_something_changes(client: httpx.AsyncClient) -> None:
    first = (await aggregates(client, period="2098-Q3"))["as_of"]
    assert (await aggregates(client, period="2098-Q3"))["as_of"] == first
    await accepted(client, a_report())
    assert (await aggregates(client, period="2098-Q3"))["as_of"] != first


@pytest.mark.parametrize(
    ("query", "place"),
    [
        ("form=TTHC_06A&period=2098-Q5", "period"),
        ("form=TTHC_06A&period=2098-Q3&by=nonsense", "by"),
        ("form=TTHC_06A&period=2098-Q3&by=sector,sector", "by"),
        ("form=TTHC_06A&period=2098-Q3&indicator=nonsense", "indicator"),
        ("form=TTHC_06A&period=2098-Q3&as_of=abc", "as_of"),
        ("form=TTHC_06A", "period"),
    ],
)
async def test_a_wrong_parameter_is_named(client: httpx.AsyncClient, query: str, place: str) -> None:
    answer = await client.get(f"/v1/aggregates?{query}")
    assert answer.status_code == 400
    assert [each["pointer"] for each in answer.json()["errors"]] == [place]
    assert (await client.get("/v1/aggregates?form=NOPE_1&period=2098-Q3")).status_code == 404


async def test_observations_are_single_values_with_their_report_in_pages_and_as_a_stream(
    client: httpx.AsyncClient,
) -> None:
    reports = [
        await accepted(
            client, a_report(agency=agency, rows=[a_balanced_row("LAND", 0, 1), a_balanced_row("HEALTH", 0, 2)])
        )
        for agency in ("H26.18", "H26.19", "H26.20")
    ]
    address = "/v1/observations?form=TTHC_06A&period=2098-Q3&limit=7"
    paged: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = (await client.get(address + cursor)).json()
        paged += page["items"]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert len(paged) == 3 * 2 * 11
    assert len({(item["report"], item["sector"], item["indicator"]) for item in paged}) == len(paged)
    assert {item["report"] for item in paged} == {report["id"] for report in reports}
    assert {item["revision"] for item in paged} == {1}
    stream = await client.get(address, headers={"accept": "application/x-ndjson"})
    assert [httpx.Response(200, content=line).json() for line in stream.text.splitlines()] == paged
    pending = [item["value"] for item in paged if item["indicator"] == "pending_total"]
    assert sum(pending) == (await aggregates(client, period="2098-Q3"))["rows"][0]["pending_total"]


async def test_any_history_of_pushes_corrections_returns_and_withdrawals_adds_up(
    client: httpx.AsyncClient, gateway: Gateway
) -> None:
    """A seeded walk over random changes, compared after each with sums over what should count."""
    choose = random.Random(20260920)  # noqa: S311 - the same walk each time
    agencies = ["H26", "H26.18", "H26.19", "H29", "H29.10", "G12"]
    counted: dict[tuple[str, str], tuple[str, list[dict[str, Any]]]] = {}
    returned: dict[tuple[str, str], str] = {}
    for step in range(60):
        key = (choose.choice(agencies), choose.choice(["2098-Q1", "2098-Q2"]))
        rows = [a_balanced_row(sector, 0, choose.randrange(1000)) for sector in choose.sample(["LAND", "HEALTH"], 2)]
        known = counted.get(key)
        action = choose.choice(["push", "push", "return", "withdraw"])
        if action == "push":
            corrects = known[0] if known else returned.pop(key, None)
            document = a_report(
                agency=key[0],
                period=key[1],
                rows=rows,
                corrects=corrects,
                explanations=[{"rule": "R6", "row": {"sector": row["sector"]}, "text": "thử"} for row in rows],
            )
            counted[key] = ((await accepted(client, document))["id"], rows)
        elif known:
            del counted[key]
            answer = await client.post(f"/v1/reports/{known[0]}/{action}", json={"reason": f"bước {step}"})
            assert answer.status_code == 200, answer.text
            if action == "return":
                returned[key] = known[0]
        for period in ("2098-Q1", "2098-Q2"):
            inputs = [row for (_, when), (_, rows_) in counted.items() if when == period for row in rows_]
            found = await aggregates(client, period=period)
            expected = added(inputs) if inputs else dict.fromkeys(TTHC_COLUMNS)
            assert found["rows"] == [expected], (step, period)


def two_versions(breakdowns: list[list[str]], indicators: list[list[str]]) -> list[tuple[str, dict[str, Any]]]:
    """A form's two versions: the first valid to the middle of 2098, the second from then on."""
    spans = [("2020-01-01", "2098-06-30"), ("2098-07-01", None)]
    lists = {"sector": "TTHC_SECTOR", "stage": "PLAN_STAGE"}
    title = {"vi": "Thử", "en": "Test"}
    return [
        (
            "form",
            {
                "code": "TWO_1",
                "version": number,
                "valid_from": first,
                "valid_to": last,
                "title": title,
                "frequencies": ["quarterly"],
                "breakdowns": [{"id": name, "codelist": lists[name], "total": "sum", "title": title} for name in names],
                "indicators": [
                    {"id": name, "title": title, "type": "integer", "over_agencies": "sum", "over_time": "sum"}
                    for name in figures_
                ],
            },
        )
        for number, ((first, last), names, figures_) in enumerate(zip(spans, breakdowns, indicators, strict=True), 1)
    ]


async def test_an_indicator_that_a_version_lacks_is_blank_there_whatever_stands_in_its_place(
    client: httpx.AsyncClient, gateway: Gateway
) -> None:
    await load(gateway.engine, *two_versions([["sector"], ["sector"]], [["a", "b"], ["a", "c"]]))
    for period, cells in (("2098-Q2", {"a": 1, "b": 100}), ("2098-Q3", {"a": 2, "c": 7})):
        await accepted(
            client, {"form": "TWO_1", "agency": "H26", "period": period, "rows": [{"sector": "LAND", **cells}]}
        )
    found = await aggregates(client, form="TWO_1", period="2098-Q2..2098-Q3")
    assert found["rows"] == [{"a": 3, "c": 7}]
    apart = await aggregates(client, form="TWO_1", period="2098-Q2..2098-Q3", by="period")
    assert [row["c"] for row in apart["rows"]] == [None, 7]


async def test_breakdowns_keep_their_order_through_all_versions_of_a_form(gateway: Gateway) -> None:
    with pytest.raises(CatalogueConflict):
        await load(gateway.engine, *two_versions([["sector", "stage"], ["stage", "sector"]], [["a"], ["a"]]))


async def test_without_reports_a_subtree_has_the_one_blank_row_too(client: httpx.AsyncClient) -> None:
    found = await aggregates(client, period="2098-Q3", under="H26")
    assert found["rows"] == [dict.fromkeys(TTHC_COLUMNS)]


@pytest.mark.parametrize(("over_time", "share"), [("first", 10), ("last", 50)])
async def test_a_share_that_is_a_stock_is_that_of_its_period(
    client: httpx.AsyncClient, gateway: Gateway, over_time: str, share: int
) -> None:
    by_formula = {"type": "percent", "unit": "percent", "required": False, "formula": "100 * done / planned"}
    indicators = [
        an_indicator(id="done"),
        an_indicator(id="planned"),
        an_indicator(id="share", over_agencies="formula", over_time=over_time, **by_formula),
    ]
    await load(gateway.engine, ("form", a_form(breakdowns=[], indicators=indicators)))
    for period, done in (("2098-Q1", 10), ("2098-Q2", 50)):
        for agency in ("H26", "H29"):
            rows = [{"done": done, "planned": 100, "share": done}]
            await accepted(client, {"form": "TEST_01", "agency": agency, "period": period, "rows": rows})
    answer = await client.get("/v1/aggregates", params={"form": "TEST_01", "period": "2098-Q1..2098-Q2"})
    assert answer.json()["rows"] == [{"done": 120, "planned": 400, "share": share}]
