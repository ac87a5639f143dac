"""Past states: an answer is repeated byte for byte, whatever happened since, and what changed since is told."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from factories import a_balanced_row, a_report, an_agency
from gateway.api.deps import Gateway
from gateway_under_test import NewClient, RunningServer, accepted, asked, connected, every_item, load, refused

Q3 = {"form": "TTHC_06A", "period": "2098-Q3"}
HERE = {**Q3, "under": "H26", "by": "agency"}
FORMATS = ("application/json", "text/csv", "application/x-ndjson")
Key = tuple[str, ...]
WITHDRAWN = """
WITH ended AS (
    UPDATE reports SET status = 'withdrawn', ended_xid = pg_current_xact_id() WHERE id = $1::uuid
    RETURNING id, client_id
)
INSERT INTO report_events (report_id, event, at, client_id)
SELECT id, 'withdrawn', clock_timestamp(), client_id FROM ended
"""


@pytest.fixture
async def client(client_for: NewClient) -> httpx.AsyncClient:
    return await client_for("aggregates:read", "reports:write", "reports:read", "reports:review")


async def pulled(client: httpx.AsyncClient, accept: str = "application/json", **asked_for: str) -> httpx.Response:
    answer = await client.get("/v1/aggregates", params=asked_for, headers={"Accept": accept})
    assert answer.status_code == 200, answer.text
    return answer


async def push(client: httpx.AsyncClient, agency: str, pending: int, **more: Any) -> dict[str, Any]:
    return await accepted(client, a_report(agency=agency, rows=[a_balanced_row(pending=pending)], **more))


async def end(client: httpx.AsyncClient, report: dict[str, Any], how: str) -> None:
    answer = await client.post(f"/v1/reports/{report['id']}/{how}", json={"reason": "thử"})
    assert answer.status_code == 200, answer.text


async def a_turbulent_day(client: httpx.AsyncClient, gateway: Gateway, reports: list[dict[str, Any]]) -> None:
    """Everything that may move a figure: a correction, a return, a withdrawal, a new report, a merger."""
    corrected, returned, withdrawn = reports
    await push(client, "H26.18", 70, corrects=corrected["id"], reason="sai")
    await end(client, returned, "return")
    await end(client, withdrawn, "withdraw")
    await push(client, "H26.21", 80)
    moved = an_agency(code="H26.19", level="department", parent="H29", valid_from="2098-01-01")
    await load(gateway.engine, ("agency", moved))


async def test_a_past_answer_is_repeated_byte_for_byte_in_every_format(
    client: httpx.AsyncClient, gateway: Gateway
) -> None:
    reports = [await push(client, agency, n) for n, agency in enumerate(("H26.18", "H26.19", "H26.20"), start=1)]
    for view in ("as_reported", "reorganised"):
        questions = [HERE | {"agencies": view}, Q3 | {"by": "agency,sector", "agencies": view}]
        before = [[await pulled(client, accept, **each) for accept in FORMATS] for each in questions]
        if view == "as_reported":
            await a_turbulent_day(client, gateway, reports)
        else:
            await push(client, "H26.12", 90)
        for each, answers in zip(questions, before, strict=True):
            for accept, answer in zip(FORMATS, answers, strict=True):
                again = await pulled(client, accept, **each, as_of=answer.headers["as-of"])
                assert again.content == answer.content
                assert again.headers["as-of"] == answer.headers["as-of"]
                assert (await pulled(client, accept, **each)).content != answer.content


async def test_another_process_repeats_it_too(
    client: httpx.AsyncClient, gateway: Gateway, server: RunningServer
) -> None:
    reports = [await push(client, agency, n) for n, agency in enumerate(("H26.18", "H26.19", "H26.20"), start=1)]
    before = await pulled(client, **HERE)
    await a_turbulent_day(client, gateway, reports)
    async with httpx.AsyncClient(base_url=server.url, headers=client.headers) as another:
        assert (await pulled(another, **HERE, as_of=before.json()["as_of"])).content == before.content


async def test_a_time_is_the_state_that_was_stored_by_then_and_stays_so(
    client: httpx.AsyncClient, gateway: Gateway
) -> None:
    reports = [await push(client, agency, n) for n, agency in enumerate(("H26.18", "H26.19", "H26.20"), start=1)]
    present = await pulled(client, **HERE)
    async with connected(gateway.engine) as connection:
        moment = (await connection.fetchval("SELECT clock_timestamp()")).astimezone(UTC)
    await a_turbulent_day(client, gateway, reports)
    name = moment.isoformat().replace("+00:00", "Z")
    then = await pulled(client, **HERE, as_of=name)
    assert {**then.json(), "as_of": None} == {**present.json(), "as_of": None}
    assert (await pulled(client, **HERE, as_of=then.json()["as_of"])).content == then.content
    in_viet_nam = moment.astimezone().isoformat()
    assert (await pulled(client, **HERE, as_of=in_viet_nam)).content == then.content
    async with connected(gateway.engine) as connection:
        first = await connection.fetchval("SELECT min(at) FROM report_events")
    before_all = (first - timedelta(microseconds=1)).astimezone(UTC).isoformat()
    assert (await pulled(client, **HERE, as_of=before_all)).json()["reports"] == 0


async def test_a_time_waits_for_writes_that_were_begun_before_it(client: httpx.AsyncClient, gateway: Gateway) -> None:
    report = await push(client, "H26.18", 1)
    async with connected(gateway.engine) as connection:
        async with connection.transaction():
            await connection.execute("UPDATE reports SET status = status WHERE id = $1::uuid", report["id"])
            moment = await connection.fetchval("SELECT clock_timestamp()")
            waiting = asyncio.create_task(pulled(client, **HERE, as_of=moment.astimezone(UTC).isoformat()))
            other = await pulled(client, **HERE)
            done, _ = await asyncio.wait([waiting], timeout=0.3)
            assert not done
            assert other.json()["reports"] == 1
        assert (await waiting).json()["reports"] == 1


async def test_what_was_still_open_when_an_answer_was_given_stays_out_of_it(
    client: httpx.AsyncClient, gateway: Gateway
) -> None:
    slow = await push(client, "H26.18", 1)
    async with connected(gateway.engine) as connection:
        async with connection.transaction():
            await connection.execute(WITHDRAWN, slow["id"])
            await push(client, "H26.19", 2)  # by a newer transaction, which commits first
            before = await pulled(client, **HERE)
        assert before.json()["reports"] == 2
    assert (await pulled(client, **HERE)).json()["reports"] == 1
    assert (await pulled(client, **HERE, as_of=before.json()["as_of"])).content == before.content


@pytest.mark.parametrize(
    "as_of", ["abc", "1.2.", "99999999", "2099-01-01T00:00:00Z", "2098-01-01", "1@2098", "0001-01-01T00:00:00+14:00"]
)
async def test_what_names_no_state_is_refused(client: httpx.AsyncClient, as_of: str) -> None:
    for path in ("aggregates", "observations"):
        answer = await client.get(f"/v1/{path}", params=HERE | {"as_of": as_of})
        assert [each["pointer"] for each in refused(answer, 400, "malformed-request")["errors"]] == ["as_of"]
    answer = await client.get("/v1/observations", params=HERE | {"updated_after": as_of})
    assert [each["pointer"] for each in refused(answer, 400, "malformed-request")["errors"]] == ["updated_after"]


@pytest.mark.parametrize("path", ["/v1/aggregates", "/v1/observations"])
async def test_a_tag_moves_only_when_the_ground_of_a_figure_does(client: httpx.AsyncClient, path: str) -> None:
    first = await push(client, "H26.18", 1)
    answer = await client.get(path, params=HERE)
    tag = answer.headers["etag"]
    await push(client, "H29", 5)
    same = await client.get(path, params=HERE, headers={"If-None-Match": f'"other", {tag}'})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
    assert same.headers["as-of"] != answer.headers["as-of"]
    as_csv = await client.get(path, params=HERE, headers={"If-None-Match": tag, "Accept": "text/csv"})
    assert as_csv.status_code == 200
    await push(client, "H26.18", 2, corrects=first["id"], reason="sai")
    moved = await client.get(path, params=HERE, headers={"If-None-Match": tag})
    assert (moved.status_code, moved.headers["etag"] == tag) == (200, False)


def by_key(items: list[dict[str, Any]]) -> dict[Key, Any]:
    found: dict[Key, Any] = {
        (each["agency"], each["period"], each["sector"], each["indicator"]): each["value"] for each in items
    }
    assert len(found) == len(items)
    return found


async def test_what_changed_since_a_state_leads_from_it_to_the_present_one(
    client: httpx.AsyncClient, gateway: Gateway
) -> None:
    """A copy that is brought up to date by changes alone is the present one, also where agencies moved."""
    rows = [a_balanced_row("LAND", 1, 1), a_balanced_row("HEALTH", 2, 2)]
    reports = [await push(client, "H26.19", 1)]
    reports += [await accepted(client, a_report(agency=agency, rows=rows)) for agency in ("H26.20", "H26.12")]
    for under in ({"under": "H26"}, {"under": "H29"}, {}):
        question = Q3 | under
        answer = await asked(client, "/observations", **question, limit=1000)
        state, copy = answer["as_of"], by_key(answer["items"])
        if under == {"under": "H26"}:
            early = state
            await a_turbulent_day(client, gateway, [await push(client, "H26.18", 4), reports[1], reports[2]])
        changed = await every_item(client, "/observations", **question, updated_after=early, limit=7)
        before = by_key((await asked(client, "/observations", **question, as_of=early, limit=1000))["items"])
        assert under != {"under": "H26"} or before == copy
        present = by_key((await asked(client, "/observations", **question, limit=1000))["items"])
        merged = {key: value for key, value in (before | by_key(changed)).items() if value is not None}
        assert merged == present
        assert changed


async def test_pages_are_all_of_one_state(client: httpx.AsyncClient, gateway: Gateway) -> None:
    reports = [await push(client, agency, n) for n, agency in enumerate(("H26.18", "H26.19", "H26.20"), start=1)]
    whole = await asked(client, "/observations", **Q3, limit=1000)
    page = await asked(client, "/observations", **Q3, limit=5)
    items = page["items"]
    await a_turbulent_day(client, gateway, reports)
    while page["next"] is not None:
        page = await asked(client, "/observations", **Q3, limit=5, cursor=page["next"])
        assert page["as_of"] == whole["as_of"]
        items += page["items"]
    assert items == whole["items"]


async def test_sdmx_reads_past_states_and_what_changed(client: httpx.AsyncClient, gateway: Gateway) -> None:
    async def data(**query: str) -> set[tuple[str, ...]]:
        address = "/sdmx/v2/data/dataflow/VNGOV/TTHC_06A/1.0.0/*.*.received_total._T"
        answer = await client.get(
            address, params=query, headers={"Accept": "application/vnd.sdmx.data+csv;version=2.0.0"}
        )
        assert answer.status_code == 200, answer.text
        return {tuple(line.split(",")[3:9]) for line in answer.text.splitlines()[1:]}

    reports = [await push(client, agency, n) for n, agency in enumerate(("H26.18", "H26.19", "H26.20"), start=1)]
    await push(client, "H29", 9)
    before = await data()
    await asyncio.sleep(0.001)
    moment = datetime.now(UTC).isoformat()
    await a_turbulent_day(client, gateway, reports)
    present = await data()
    assert before != present
    assert await data(asOf=moment) == before
    changed = await data(updatedAfter=moment)
    assert present - before <= changed <= present
    assert {each[1] for each in changed} >= {"H26", "H26-18", "H26-21", "_T"}
    assert await data(updatedAfter=datetime.now(UTC).isoformat()) == set()


async def test_a_tag_moves_where_only_an_agency_did(client: httpx.AsyncClient, gateway: Gateway) -> None:
    for agency in ("H26", "H26.19", "H29"):
        await push(client, agency, 1)
    question = Q3 | {"by": "agency"}
    before = await client.get("/v1/aggregates", params=question)
    moved = an_agency(code="H26.19", level="department", parent="H29", valid_from="2098-01-01")
    await load(gateway.engine, ("agency", moved))
    answer = await client.get("/v1/aggregates", params=question, headers={"If-None-Match": before.headers["etag"]})
    assert answer.status_code == 200
    assert answer.json()["rows"] != before.json()["rows"]
