"""SDMX requests: keys, filters, times, rights and refusals; figures equal to the aggregates of the same moment."""

import csv
import io
import re
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from factories import (
    a_balanced_row,
    a_breakdown,
    a_codelist,
    a_form,
    a_monthly_report,
    a_monthly_row,
    a_regime,
    a_report,
    a_small_report,
    an_indicator,
)
from gateway.api.deps import Gateway
from gateway_under_test import Account, NewClient, accepted, add_account, asked, in_process, load

CSV = "application/vnd.sdmx.data+csv;version=2.0.0"
PULL = ("aggregates:read", "reports:write")
Rows = list[dict[str, str]]


@pytest.fixture
async def client(client_for: NewClient) -> httpx.AsyncClient:
    return await client_for(*PULL)


async def data(client: httpx.AsyncClient, path: str, **query: Any) -> Rows:
    """Observations, as SDMX-CSV says them."""
    parameters = {key.replace("__", "[") + "]" if "__" in key else key: value for key, value in query.items()}
    answer = await client.get(f"/sdmx/v2/data/dataflow/VNGOV/{path}", params=parameters, headers={"Accept": CSV})
    assert answer.status_code == 200, answer.text
    return list(csv.DictReader(io.StringIO(answer.text)))


async def refusal(client: httpx.AsyncClient, path: str) -> tuple[int, int]:
    """Status and SDMX code of an error."""
    answer = await client.get(f"/sdmx{path}")
    if path.startswith("/v1"):
        assert answer.headers["content-type"] == "application/xml"
        code = re.search(r'code="(\d+)"', answer.text)
        assert code, answer.text
        return answer.status_code, int(code[1])
    assert answer.headers["content-type"] == "application/json"
    return answer.status_code, answer.json()["errors"][0]["code"]


def column(rows: Rows, name: str) -> list[str]:
    return sorted({row[name] for row in rows})


def by_key(rows: Rows, *names: str) -> dict[tuple[str, ...], str]:
    found = {tuple(row[name] for name in names): row["OBS_VALUE"] for row in rows}
    assert len(found) == len(rows)
    return found


async def push_sectors(client: httpx.AsyncClient, period: str = "2098-Q1") -> None:
    await accepted(client, a_report(agency="H26", period=period, rows=[a_balanced_row("LAND", 1, 1)]))
    rows = [a_balanced_row("LAND", 3, 3), a_balanced_row("HEALTH", 8, 8)]
    await accepted(client, a_report(agency="H26.18", period=period, rows=rows))
    await accepted(client, a_report(agency="H29", period=period, rows=[a_balanced_row("LAND", 100, 100)]))


async def test_every_figure_is_the_aggregate_of_that_agency_and_code(client: httpx.AsyncClient) -> None:
    for period in ("2098-Q1", "2098-Q2", "2098"):
        await push_sectors(client, period)
    rows = await data(client, "TTHC_06A/1.0.0")
    seen = 0
    for agency in column(rows, "AGENCY"):
        own = [row for row in rows if row["AGENCY"] == agency]
        under = {} if agency == "_T" else {"under": agency.replace("-", ".")}
        for by in ("period", "period,sector"):
            answer = await asked(client, "/aggregates", form="TTHC_06A", period="2098-Q1,2098-Q2,2098", by=by, **under)
            for row in answer["rows"]:
                key = row.pop("period"), row.pop("sector", "_T")
                found = {each["INDICATOR"]: each["OBS_VALUE"] for each in own if _place(each) == key}
                assert found == {name: str(value) for name, value in row.items()}
                seen += len(found)
    assert seen == len(rows) > 100


def _place(row: Mapping[str, str]) -> tuple[str, str]:
    return row["TIME_PERIOD"], row["SECTOR"]


async def test_an_agency_that_moved_is_in_the_subtree_it_stood_in(client: httpx.AsyncClient, gateway: Gateway) -> None:
    moved = {"code": "H26.77", "name": "Đơn vị", "level": "unit"}
    await load(
        gateway.engine,
        ("agency", {**moved, "parent": "H26.18", "valid_from": "2020-01-01"}),
        ("agency", {**moved, "parent": "H29", "valid_from": "2098-06-01"}),
    )
    for period, pending in (("2098-Q1", 5), ("2098-Q2", 5), ("2098-Q3", 5)):
        await accepted(
            client, a_report(agency="H26.77", period=period, rows=[a_balanced_row("LAND", pending, pending)])
        )
    rows = await data(client, "TTHC_06A/1.0.0/Q..pending_total._T")
    assert {key for key in by_key(rows, "AGENCY", "TIME_PERIOD")} == {
        ("_T", "2098-Q1"),
        ("_T", "2098-Q2"),
        ("_T", "2098-Q3"),
        ("H26", "2098-Q1"),
        ("H26-18", "2098-Q1"),
        ("H26-77", "2098-Q1"),
        ("H26-77", "2098-Q2"),
        ("H26-77", "2098-Q3"),
        ("H29", "2098-Q2"),
        ("H29", "2098-Q3"),
    }


async def test_a_breakdown_that_is_never_added_has_no_total_and_texts_are_left_out(client: httpx.AsyncClient) -> None:
    rows = [a_monthly_row(stage="PLAN", remark="x", is_preliminary=True), a_monthly_row(stage="ACTUAL")]
    await accepted(client, a_monthly_report(rows=rows))
    found = await data(client, "KTXH_01/1.0.0/M.H26")
    assert column(found, "STAGE") == ["ACTUAL", "PLAN"]
    assert "remark" not in column(found, "INDICATOR")
    one = {(row["INDICATOR"], row["STAGE"]): row for row in found}
    assert one["is_preliminary", "PLAN"]["OBS_VALUE"] == "1"
    rate = one["disbursement_rate", "ACTUAL"]
    assert (rate["OBS_VALUE"], rate["UNIT_MEASURE"], rate["DECIMALS"], rate["OBS_STATUS"]) == (
        "12.5",
        "percent",
        "2",
        "A",
    )
    structure = await client.get("/sdmx/v1/datastructure/VNGOV/KTXH_01/latest?references=children")
    assert 'id="PLAN_STAGE"' in structure.text
    assert "PLAN_STAGE-T" not in structure.text


async def test_decimals_keep_every_digit(client: httpx.AsyncClient, gateway: Gateway) -> None:
    indicator = an_indicator(id="amount", type="decimal", scale=10)
    await load(gateway.engine, ("form", a_form(indicators=[indicator])))
    digits = "123456789012345678901234567890.0123456789"
    body = f'{{"form":"TEST_01","agency":"H26.18","period":"2098-Q3","rows":[{{"sector":"LAND","amount":{digits}}}]}}'
    await accepted(client, body.encode())
    assert column(await data(client, "TEST_01/1.0.0"), "OBS_VALUE") == [digits]


@pytest.mark.parametrize(
    ("path", "agencies", "sectors"),
    [
        ("Q.H26.pending_total._T", ["H26"], ["_T"]),
        ("Q.H26+H29.pending_total.", ["H26", "H29"], ["HEALTH", "LAND", "_T"]),
        (".H26-18.pending_total.LAND", ["H26-18"], ["LAND"]),
        ("*.*.pending_total.HEALTH", ["H26", "H26-18", "_T"], ["HEALTH"]),
        ("Q.H29.pending_total.LAND,Q.H26.pending_total._T", ["H26", "H29"], ["LAND", "_T"]),
        ("Q.H26", ["H26"], ["HEALTH", "LAND", "_T"]),
        ("Q.H99", [], []),
        ("W", [], []),
    ],
)
async def test_keys_choose(client: httpx.AsyncClient, path: str, agencies: list[str], sectors: list[str]) -> None:
    await push_sectors(client)
    rows = await data(client, f"TTHC_06A/1.0.0/{path}")
    assert (column(rows, "AGENCY"), column(rows, "SECTOR")) == (agencies, sectors)
    if "," in path:
        assert by_key(rows, "AGENCY", "SECTOR") == {("H29", "LAND"): "100", ("H26", "_T"): "12"}


@pytest.mark.parametrize(
    ("component", "value", "agencies"),
    [
        ("AGENCY", "H26,H29", ["H26", "H29"]),
        ("AGENCY", "ne:_T+ne:H29", ["H26", "H26-18"]),
        ("AGENCY", "sw:H26", ["H26", "H26-18"]),
        ("AGENCY", "ew:8", ["H26-18"]),
        ("AGENCY", "co:26-,eq:H29", ["H26-18", "H29"]),
        ("AGENCY", "nc:H", ["_T"]),
        ("SECTOR", "HEALTH", ["H26", "H26-18", "_T"]),
        ("TIME_PERIOD", "ge:2098-Q2", []),
        ("TIME_PERIOD", "ge:2098+le:2098-03", ["H26", "H26-18", "H29", "_T"]),
        ("TIME_PERIOD", "2098-Q1", ["H26", "H26-18", "H29", "_T"]),
    ],
)
async def test_filters_choose(client: httpx.AsyncClient, component: str, value: str, agencies: list[str]) -> None:
    await push_sectors(client)
    assert column(await data(client, "TTHC_06A/1.0.0", **{f"c__{component}": value}), "AGENCY") == agencies


async def test_half_years_nine_months_and_ad_hoc_periods_have_their_own_frequencies(
    client: httpx.AsyncClient, gateway: Gateway
) -> None:
    frequencies = ["half_yearly", "nine_months", "annual", "ad_hoc", "weekly"]
    await load(gateway.engine, ("form", a_form(frequencies=frequencies)))
    for period in ("2097-S1", "2097-9M", "2097", "2097-07-20/P14D", "2097-W30"):
        await accepted(client, a_small_report(period=period))
    rows = await data(client, "TEST_01/1.0.0/.H26..LAND")
    assert {(row["FREQ"], row["TIME_PERIOD"]) for row in rows} == {
        ("S", "2097-S1"),
        ("M9", "2096-12-15/P9M"),
        ("A", "2097"),
        ("I", "2097-07-20/P14D"),
        ("W", "2097-W30"),
    }
    within = await data(client, "TEST_01/1.0.0/.H26..LAND", startPeriod="2097-01", endPeriod="2096-12-15/P9M")
    assert column(within, "FREQ") == ["I", "M9", "S", "W"], "an end taken from the data takes in that very period"


async def test_the_first_and_last_observations_are_those_of_each_series(client: httpx.AsyncClient) -> None:
    for period in ("2098-Q1", "2098-Q2", "2098-Q3"):
        await push_sectors(client, period)
    path = "TTHC_06A/1.0.0/Q.H26+H29.pending_total._T"
    for query, periods in (
        ({"firstNObservations": 1}, ["2098-Q1"]),
        ({"lastNObservations": 2}, ["2098-Q2", "2098-Q3"]),
        ({"firstNObservations": 1, "lastNObservations": 1}, ["2098-Q1", "2098-Q3"]),
        ({"firstNObservations": 2, "lastNObservations": 2}, ["2098-Q1", "2098-Q2", "2098-Q3"]),
    ):
        rows = await data(client, path, **query)
        assert (column(rows, "TIME_PERIOD"), len(rows)) == (periods, 2 * len(periods)), query


async def test_nominal_quarters_are_compared_and_not_their_cut_offs(client: httpx.AsyncClient) -> None:
    await push_sectors(client, "2098-Q1")
    assert await data(client, "TTHC_06A/1.0.0", startPeriod="2098-01-01", endPeriod="2098-03-31")
    assert not await data(client, "TTHC_06A/1.0.0", startPeriod="2097-12-15", endPeriod="2098-03-14")


async def test_less_than_everything_is_written(client: httpx.AsyncClient) -> None:
    await push_sectors(client)
    rows = await data(client, "TTHC_06A/1.0.0/Q.H26.pending_total._T", attributes="UNIT_MEASURE", measures="none")
    assert list(rows[0]) == [
        *("STRUCTURE", "STRUCTURE_ID", "ACTION", "FREQ", "AGENCY", "INDICATOR", "SECTOR", "TIME_PERIOD"),
        "UNIT_MEASURE",
    ]
    keys = await client.get("/sdmx/v1/data/TTHC_06A/Q.H26.pending_total._T?detail=serieskeysonly")
    assert keys.text.count("<gen:Series>") == 1
    assert "<gen:Obs>" not in keys.text


async def test_a_form_s_newest_version_of_today_is_the_latest(client: httpx.AsyncClient, gateway: Gateway) -> None:
    later = an_indicator(id="later", required=False)
    await load(
        gateway.engine,
        ("form", a_form(valid_to="2097-12-31")),
        ("form", a_form(version=2, valid_from="2098-01-01", indicators=[an_indicator(), later])),
    )
    await accepted(client, a_small_report(rows=[{"sector": "LAND", "amount": 5, "later": 7}]))
    assert column(await data(client, "TEST_01/1.0.0"), "INDICATOR") == ["amount"]
    assert column(await data(client, "TEST_01"), "STRUCTURE_ID") == ["VNGOV:TEST_01(1.0.0)"]
    assert column(await data(client, "TEST_01/2.0.0"), "INDICATOR") == ["amount", "later"]
    flows = await client.get("/sdmx/v1/dataflow/VNGOV/TEST_01/all")
    assert re.findall(r'<str:Dataflow [^>]*version="([^"]+)"', flows.text) == ["1.0.0", "2.0.0"]
    assert await refusal(client, "/v2/data/dataflow/VNGOV/TEST_01/*") == (501, 501)


async def test_totals_and_codes_of_too_many_breakdowns_at_once_are_too_much(
    client: httpx.AsyncClient, gateway: Gateway
) -> None:
    names = [f"b{place}" for place in range(7)]
    breakdowns = [a_breakdown(id=name, codelist="TEST_CODES") for name in names]
    await load(gateway.engine, ("codelist", a_codelist()), ("form", a_form(breakdowns=breakdowns)))
    await accepted(client, a_small_report(rows=[{**dict.fromkeys(names, "A"), "amount": 5}]))
    assert await refusal(client, "/v1/data/TEST_01") == (413, 130)
    assert len(await data(client, "TEST_01/1.0.0/Q.H26.amount._T._T._T._T._T._T")) == 2
    codes = {f"c__{name.upper()}": "A" for name in names}
    assert column(await data(client, "TEST_01/1.0.0/Q.H26", **codes), "OBS_VALUE") == ["5"]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/data/TTHC_06A?nonsense=1", 400, 140),
        ("/v1/data/TTHC_06A?startPeriod=soon", 400, 140),
        ("/v1/data/TTHC_06A?lastNObservations=0", 400, 140),
        ("/v1/data/TTHC_06A?detail=some", 400, 140),
        ("/v1/data/A,B,C,D", 400, 140),
        ("/v1/data/TTHC_06A?updatedAfter=yesterday", 400, 140),
        ("/v2/data/dataflow/VNGOV/TTHC_06A?updateAfter=2026-01-01T00:00:00%2B07:00", 404, 100),
        ("/v2/data/dataflow/VNGOV/TTHC_06A?asOf=2026-01-01", 404, 100),
        ("/v2/data/dataflow/VNGOV/TTHC_06A?asOf=2099-01-01T00:00:00", 400, 140),
        ("/v2/data/dataflow/VNGOV/TTHC_06A?asOf=0001-01-01", 400, 140),
        ("/v2/availability/dataflow/VNGOV/TTHC_06A?updatedAfter=2026-01-01", 501, 501),
        ("/v2/structure/dataflow?asOf=2026-01-01", 404, 100),
        ("/v1/data/TTHC_06A?dimensionAtObservation=AGENCY", 501, 501),
        ("/v1/data/TTHC_06A?includeHistory=true", 501, 501),
        ("/v1/data/TTHC_06A/Q.H26.x._T.more", 403, 150),
        ("/v2/data/dataflow/VNGOV/TTHC_06A?c[PLANET]=EARTH", 403, 150),
        ("/v2/data/dataflow/VNGOV/TTHC_06A?c[OBS_VALUE]=gt:5", 501, 501),
        ("/v2/data/provisionagreement/VNGOV/TTHC_06A", 501, 501),
        ("/v2/data/*/*/*", 501, 501),
        ("/v2/data/dataflow/VNGOV/NOTHING", 404, 100),
        ("/v2/data/dataflow/VNGOV/TTHC_06A/9.0.0", 404, 100),
        ("/v1/data/TTHC_06A/all/SOMEONE", 404, 100),
        ("/v1/dataflow/OTHERS/all/latest", 404, 100),
        ("/v1/provisionagreement/VNGOV", 501, 501),
        ("/v2/metadata/anything", 501, 501),
        ("/v1/dataflow/VNGOV/all/latest/items/more", 400, 140),
        ("/v1/availableconstraint/TTHC_06A?mode=available", 501, 501),
        ("/v2/availability/dataflow/VNGOV/TTHC_06A", 404, 100),
        ("/v2/data/dataflow/VNGOV/TTHC_06A", 404, 100),
        ("/v3/data", 404, 100),
        ("/v1/data/TTHC%0A06A", 404, 100),
        ("/v1/data/TTHC_06A%00", 404, 100),
    ],
)
async def test_what_cannot_be_answered_is_an_sdmx_error(
    client: httpx.AsyncClient, path: str, status: int, code: int
) -> None:
    assert await refusal(client, path) == (status, code)


async def test_a_method_that_there_is_not_is_an_sdmx_error(client: httpx.AsyncClient) -> None:
    answer = await client.post("/sdmx/v1/data/TTHC_06A")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")
    assert answer.headers["content-type"] == "application/xml"


async def test_another_format_is_406_with_those_there_are(client: httpx.AsyncClient) -> None:
    for path in ("/sdmx/v1/data/TTHC_06A", "/sdmx/v2/structure/dataflow"):
        answer = await client.get(path, headers={"Accept": "image/png"})
        assert answer.status_code == 406
        assert "application/vnd.sdmx." in answer.text


async def test_errors_are_in_the_language_asked_for(client: httpx.AsyncClient) -> None:
    path = "/sdmx/v2/structure/dataflow/VNGOV/NOTHING"
    said = [
        (await client.get(path, headers={"Accept-Language": each})).json()["errors"][0]["title"]
        for each in ("vi", "en")
    ]
    assert said == ["Không tìm thấy", "Not found"]


async def test_a_province_sees_its_subtree_and_nothing_else(client: httpx.AsyncClient, client_for: NewClient) -> None:
    await push_sectors(client)
    province = await client_for("aggregates:read", agency="H26")
    rows = await data(province, "TTHC_06A/1.0.0")
    assert column(rows, "AGENCY") == ["H26", "H26-18"]
    for key in ("Q.H29", "Q._T", "Q.H26+H29"):
        assert await refusal(province, f"/v1/data/TTHC_06A/{key}") == (403, 110)
        assert await refusal(province, f"/v1/availableconstraint/TTHC_06A/{key}") == (403, 110)
    assert await refusal(province, "/v2/data/dataflow/VNGOV/TTHC_06A?c[AGENCY]=H29") == (403, 110)
    region = (await province.get("/sdmx/v1/availableconstraint/TTHC_06A")).text
    assert re.search(r'id="AGENCY">(.*?)</com:KeyValue>', region)[1] == (  # type: ignore[index]  # else it fails
        "<com:Value>H26</com:Value><com:Value>H26-18</com:Value>"
    )


async def test_availability_says_what_there_is_of_a_selection(client: httpx.AsyncClient) -> None:
    await push_sectors(client)
    answer = await client.get("/sdmx/v1/availableconstraint/TTHC_06A/Q.H26+H29.pending_total.HEALTH")
    values = dict(re.findall(r'<com:KeyValue id="(\w+)">(?:<com:Value>)(.*?)</com:Value></com:KeyValue>', answer.text))
    assert values == {"FREQ": "Q", "AGENCY": "H26", "INDICATOR": "pending_total", "SECTOR": "HEALTH"}
    assert ">2098-01-01<" in answer.text
    assert ">2098-03-31<" in answer.text
    one = await client.get("/sdmx/v2/availability/dataflow/VNGOV/TTHC_06A/1.0.0/*/SECTOR")
    assert re.findall(r'KeyValue id="(\w+)"', one.text) == ["SECTOR"]


async def test_basic_takes_a_client_s_secret_and_no_other(client: httpx.AsyncClient, gateway: Gateway) -> None:
    await push_sectors(client)
    account = await add_account(gateway.engine, ("aggregates:read",), None)
    writer = await add_account(gateway.engine, ("reports:write",), None)
    async with in_process(gateway) as anybody:

        async def status(path: str, who: Account, secret: str) -> int:
            return (await anybody.get(path, auth=(str(who.id), secret))).status_code

        structures, figures = "/sdmx/v1/dataflow/VNGOV", "/sdmx/v1/data/TTHC_06A"
        assert await status(figures, account, account.secret) == 200
        assert await status(structures, writer, writer.secret) == 200
        assert await status(figures, writer, writer.secret) == 403
        for secret in ("", "wrong", writer.secret):
            assert await status(structures, account, secret) == 401
        answer = await anybody.get(structures)
        assert (answer.status_code, answer.headers["www-authenticate"][:5]) == (401, "Basic")


async def test_regimes_are_categories_of_their_forms(client: httpx.AsyncClient, gateway: Gateway) -> None:
    title = {"vi": "Chế độ", "en": "Regime <&>"}
    await load(gateway.engine, ("form", a_form()), ("regime", a_regime(title=title)))
    answer = await client.get("/sdmx/v1/categoryscheme/VNGOV/REGIMES/latest?references=parentsandsiblings")
    assert "Regime &lt;&amp;&gt;" in answer.text
    assert '<str:Categorisation id="TEST-TEST_01"' in answer.text
    assert '<str:Dataflow id="TEST_01"' in answer.text
