"""ADX and SDMX: messages of single values are reports, with findings at the value."""

import httpx
import pytest

from factories import a_report, a_row
from files import ADX, a_group, an_adx, push_file
from gateway.api.deps import Gateway
from gateway.flow.unpack import SDMX_CSV, SDMX_GENERIC, SDMX_ML_3, SDMX_SPECIFIC
from gateway.formats.adx import period_code
from gateway.formats.sdmx_read import period_of
from gateway_under_test import NOTHING, NewClient, accepted, asked, counts, findings, push, refused, rules, shown

SAID = {"dataSet": "TTHC_06A", "orgUnit": "H26.18", "period": "2098-07-01/P3M"}
ROWS = [a_row(), a_row(sector="HOUSING")]


async def test_an_adx_message_is_a_report_that_says_everything_itself(province: httpx.AsyncClient) -> None:
    sent = an_adx(a_group(ROWS, **SAID, completeDate="2098-09-20"))
    taken = shown(await push_file(province, sent, ADX))
    assert (taken["form"], taken["agency"], taken["period"]) == ("TTHC_06A", "H26.18", "2098-Q3")
    assert (await asked(province, f"/reports/{taken['id']}"))["rows"] == ROWS
    kept = await province.get(f"/v1/reports/{taken['id']}/payload")
    assert (kept.content, kept.headers["content-type"]) == (sent, ADX)


async def test_findings_of_an_adx_message_are_those_of_json_at_the_value(province: httpx.AsyncClient) -> None:
    rows = [a_row(received_total=2401), a_row(sector="HOUSNG", resolved_late=None)]
    in_json = findings(await push(province, a_report(rows=rows), Accept_Language="en"))
    found = findings(await push_file(province, an_adx(a_group(rows, **SAID)), ADX))
    places = {each["pointer"]: each.pop("place", None) for each in found}
    assert found == in_json
    assert places["/rows/0/received_total"] == "/adx/group[1]/dataValue[1]"
    assert places["/rows/1/sector"] == "/adx/group[1]/dataValue[12]"


async def test_groups_are_reports_of_their_own_and_two_of_one_key_are_one(province: httpx.AsyncClient) -> None:
    other = SAID | {"orgUnit": "H26.19"}
    sent = an_adx(a_group(ROWS[:1], **SAID), a_group(ROWS, **other), a_group(ROWS[1:], **SAID))
    parts = shown(await push_file(province, sent, ADX, key="k"))["parts"]
    assert [(each["part"], each["agency"]) for each in parts] == [(1, "H26.18"), (2, "H26.19")]
    assert (await asked(province, f"/reports/{parts[0]['id']}"))["rows"] == ROWS


async def test_a_value_that_is_there_twice_is_a_finding_that_names_both(province: httpx.AsyncClient) -> None:
    sent = an_adx(a_group(ROWS[:1], **SAID)).replace(
        b"</group>", b'<dataValue dataElement="resolved_late" value="0" sector="LAND"/></group>'
    )
    found = findings(await push_file(province, sent, ADX))
    assert rules(found) == ["duplicate"]
    assert found[1]["place"] == "/adx/group[1]/dataValue[8]"
    assert "dataValue[12]" in found[1]["message"]


async def test_a_breakdown_and_an_indicator_that_the_form_does_not_have_are_findings(
    province: httpx.AsyncClient,
) -> None:
    sent = an_adx(a_group([a_row(surprise=1)], **SAID)).replace(b'value="2400"', b'value="2400" gender="F"')
    found = findings(await push_file(province, sent, ADX))
    assert {each["pointer"] for each in found if each["rule"] == "column"} == {"/rows/0/gender", "/rows/1/surprise"}


async def test_every_fault_of_a_message_is_named_at_its_place(gateway: Gateway, province: httpx.AsyncClient) -> None:
    sent = an_adx(
        a_group([], dataSet="TTHC_06A", orgUnit="H26.18", period="soon"),
        a_group([], dataSet="TTHC_06A", orgUnit="H26.18"),
        a_group([], **SAID, partner="x"),
    ).replace(b"</adx>", b'<group><dataValue dataElement="a"/></group></adx>')
    problem = refused(await push_file(province, sent, ADX), 400, "malformed-request")
    assert {each["pointer"] for each in problem["errors"]} == {
        "/adx/group[3]/@partner",
        "/adx/group[4]/dataValue[1]",
    }
    sent = sent.replace(b' partner="x"', b"").replace(b'<dataValue dataElement="a"/>', b"")
    problem = refused(await push_file(province, sent, ADX), 400, "malformed-request")
    assert {each["pointer"] for each in problem["errors"]} == {"/adx/group[1]/@period", "period", "form", "agency"}
    assert await counts(gateway.engine) == NOTHING


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("2026-01-01/P1M", "2026-01"),
        ("2026-10-01/P3M", "2026-Q4"),
        ("2026-07-01/P6M", "2026-S2"),
        ("2026-01-01/P9M", "2026-9M"),
        ("2026-01-01/P1Y", "2026"),
        ("2026-01-01/P12M", "2026"),
        ("2025-12-29/P7D", "2026-W01"),
        ("2026-01-05/P1W", "2026-W02"),
        ("2026-07-20/P14D", "2026-07-20/P14D"),
        ("2026-02-01/P3M", "2026-02-01/P3M"),
        ("2026-01-15/P1M", "2026-01-15/P1M"),
        ("2026-Q3", "2026-Q3"),
        ("2026-02-30/P1M", "2026-02-30/P1M"),
    ],
)
def test_a_period_of_adx_is_named_by_its_days(written: str, code: str) -> None:
    assert period_code(written) == code


@pytest.mark.parametrize(
    ("written", "frequency", "code"),
    [
        ("2026", "A", "2026"),
        ("2026-A1", "A", "2026"),
        ("2026-M07", "M", "2026-07"),
        ("2026-Q3", "Q", "2026-Q3"),
        ("2025-12-15/P9M", "M9", "2026-9M"),
        ("2026-01-01/P9M", "M9", "2026-9M"),
        ("2026-07-20/P14D", "I", "2026-07-20/P14D"),
        ("2026-Q3", "M", None),
        ("2026-T1", "Q", None),
        ("2026-13-01/P9M", "M9", None),
        ("2026-Q3", "X", None),
    ],
)
def test_a_period_of_sdmx_has_to_be_of_its_frequency(written: str, frequency: str, code: str | None) -> None:
    assert period_of(written, frequency) == code


@pytest.mark.parametrize(
    ("base", "accept", "media_type"),
    [
        ("v1", SDMX_GENERIC, f"{SDMX_GENERIC};version=2.1"),
        ("v1", SDMX_SPECIFIC, f"{SDMX_SPECIFIC};version=2.1"),
        ("v1", f"{SDMX_CSV};version=1.0.0", f"{SDMX_CSV}; version=1.0.0; labels=id; charset=utf-8"),
        ("v2", f"{SDMX_CSV};version=2.0.0", f"{SDMX_CSV};version=2.0.0"),
        ("v2", SDMX_ML_3, f"{SDMX_ML_3}; version=3.0.0"),
    ],
)
async def test_what_is_given_as_sdmx_here_can_be_pushed_back(
    client_for: NewClient, base: str, accept: str, media_type: str
) -> None:
    client = await client_for("reports:read", "reports:write", "aggregates:read")
    rows = [a_row(), a_row(sector="HOUSING")]
    first = await accepted(client, a_report(rows=rows))
    key = "Q.H26-18..LAND+HOUSING" if base == "v1" else "Q.H26-18.*.LAND,Q.H26-18.*.HOUSING"
    path = f"/sdmx/v1/data/TTHC_06A/{key}" if base == "v1" else f"/sdmx/v2/data/dataflow/VNGOV/TTHC_06A/1.0.0/{key}"
    given = await client.get(path, headers={"Accept": accept})
    assert given.status_code == 200, given.text
    answer = await push_file(client, given.content, media_type, corrects=first["id"], reason="như cũ")
    taken = shown(answer)
    assert answer.status_code == 201, answer.text
    assert (taken["corrects"], taken["form_version"], taken["period"]) == (first["id"], 1, "2098-Q3")
    read = await asked(client, f"/reports/{taken['id']}")
    assert sorted(read["rows"], key=str) == sorted(rows, key=str)


SDMX_LINES = (
    "DATAFLOW,FREQ,AGENCY,INDICATOR,SECTOR,TIME_PERIOD,OBS_VALUE,OBS_STATUS\n"
    "VNGOV:TTHC_06A(1.0.0),Q,H26-18,received_total,LAND,2098-Q3,5,{0}\n"
)


async def test_a_value_that_is_not_normal_is_a_finding(province: httpx.AsyncClient) -> None:
    found = findings(await push_file(province, SDMX_LINES.format("E").encode(), SDMX_CSV))
    [wrong] = [each for each in found if each["rule"] == "type"]
    assert (wrong["place"], "OBS_STATUS" in wrong["message"]) == ("line 2, column 7", True)


async def test_faults_of_sdmx_lines_are_named_all_at_once(gateway: Gateway, province: httpx.AsyncClient) -> None:
    lines = SDMX_LINES.format("A") + "TTHC_06A,Q,H26-18,received_total,LAND,2098-Q3,5,A\n"
    lines += (
        "VNGOV:TTHC_06A(1.0.0),Q,,received_total,LAND,2098-Q3,5,A\nVNGOV:TTHC_06A(1.0.0),Q,H26,a,LAND,2098-07,5,A\n"
    )
    problem = refused(await push_file(province, lines.encode(), SDMX_CSV), 400, "malformed-request")
    assert [each["pointer"] for each in problem["errors"]] == ["line 3", "line 4", "line 5"]
    assert await counts(gateway.engine) == NOTHING
