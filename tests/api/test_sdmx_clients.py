"""The real clients of statisticians, sdmx1 and pysdmx, read back what was pushed; every message is valid SDMX."""

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from factories import TTHC_COLUMNS, a_balanced_row, a_monthly_report, a_report
from gateway_under_test import RunningServer, Worker, accepted, add_account, clean

TESTS, DOCS = Path(__file__).parents[1], Path(__file__).parents[2] / "docs"
QUARTERS = ("2098-Q1", "2098-Q2")
PUSHED = {
    "H26": [a_balanced_row("LAND", 1, 1)],
    "H26.18": [a_balanced_row("LAND", 3, 3), a_balanced_row("HEALTH", 8, 8)],
    "H26.00004": [a_balanced_row("HEALTH", 6, 6)],
    "H29": [a_balanced_row("LAND", 100, 100)],
}
SUBTREES = {
    "_T": list(PUSHED),
    "H26": ["H26", "H26.18", "H26.00004"],
    "H26-18": ["H26.18"],
    "H26-00004": ["H26.00004"],
    "H29": ["H29"],
}
CSV_2, CSV_1 = (f"application/vnd.sdmx.data+csv;version={version}.0.0" for version in (2, 1))
JSON = "application/vnd.sdmx.structure+json;version=2.0.0"
SPECIFIC = "application/vnd.sdmx.structurespecificdata+xml;version=2.1"
REQUESTS = [
    ("/sdmx/v1/dataflow/VNGOV/all/latest", "*/*"),
    ("/sdmx/v1/dataflow/VNGOV/TTHC_06A/latest?references=all", "*/*"),
    ("/sdmx/v1/datastructure/VNGOV/TTHC_06A/latest?references=all", "*/*"),
    ("/sdmx/v1/codelist/VNGOV/CL_AGENCY/latest", "*/*"),
    ("/sdmx/v1/codelist/VNGOV/CL_AGENCY/latest/H26+H26-18", "*/*"),
    ("/sdmx/v1/conceptscheme/VNGOV/TTHC_06A/latest", "*/*"),
    ("/sdmx/v1/agencyscheme/VNGOV/AGENCIES/latest", "*/*"),
    ("/sdmx/v1/contentconstraint/VNGOV/TTHC_06A/latest", "*/*"),
    ("/sdmx/v1/categoryscheme/VNGOV/all/latest?references=parentsandsiblings", "*/*"),
    ("/sdmx/v1/structure/VNGOV/all/all?detail=allstubs", "*/*"),
    ("/sdmx/v1/dataflow/VNGOV/TTHC_06A/latest?references=descendants&detail=referencestubs", "*/*"),
    ("/sdmx/v1/data/TTHC_06A", "*/*"),
    ("/sdmx/v1/data/TTHC_06A", SPECIFIC),
    ("/sdmx/v1/data/TTHC_06A?dimensionAtObservation=AllDimensions", "*/*"),
    ("/sdmx/v1/data/TTHC_06A?dimensionAtObservation=AllDimensions", SPECIFIC),
    ("/sdmx/v1/data/TTHC_06A?detail=serieskeysonly", "*/*"),
    ("/sdmx/v1/data/TTHC_06A?detail=dataonly", "*/*"),
    ("/sdmx/v1/data/TTHC_06A/W..", "*/*"),
    ("/sdmx/v1/data/NOTHING", "*/*"),
    ("/sdmx/v1/data/TTHC_06A/A.B.C.D.E", "*/*"),
    ("/sdmx/v1/data/TTHC_06A?asOf=2026-01-01T00:00:00Z", "*/*"),
    ("/sdmx/v1/availableconstraint/TTHC_06A/.H26.", "*/*"),
    ("/sdmx/v1/availableconstraint/TTHC_06A/W", "*/*"),
    ("/sdmx/v2/structure/dataflow/VNGOV/*/+", "*/*"),
    ("/sdmx/v2/structure/*/*/*/*", "*/*"),
    ("/sdmx/v2/structure/*/*/*/*", JSON),
    ("/sdmx/v2/structure/dataflow?detail=allcompletestubs", JSON),
    ("/sdmx/v2/structure/codelist/VNGOV/CL_AGENCY/", JSON),
    ("/sdmx/v2/structure/datastructure?detail=referencepartial&references=descendants", JSON),
    ("/sdmx/v2/structure/conceptscheme/VNGOV/TTHC_06A?references=codelist", JSON),
    ("/sdmx/v2/structure/dataflow/VNGOV/TTHC_06A?detail=referencepartial&references=parentsandsiblings", JSON),
    ("/sdmx/v2/structure/nothing", "*/*"),
    ("/sdmx/v2/structure/nothing", "application/xml"),
    ("/sdmx/v2/structure/dataflow/VNGOV/NOTHING", JSON),
    ("/sdmx/v2/schema/dataflow/VNGOV/TTHC_06A/1.0.0/", JSON),
    ("/sdmx/v2/schema/dataflow/VNGOV/TTHC_06A/1.0.0/", "*/*"),
    ("/sdmx/v2/availability/dataflow/VNGOV/TTHC_06A/1.0.0?references=all", JSON),
    ("/sdmx/v2/availability/*/VNGOV/TTHC_06A/+/*/*", "*/*"),
    ("/sdmx/v2/data/*/VNGOV/TTHC_06A/+", "*/*"),
    ("/sdmx/v2/data/*/VNGOV/TTHC_06A/+?dimensionAtObservation=AllDimensions", "*/*"),
    ("/sdmx/v2/data/*/VNGOV/TTHC_06A/+/W", "*/*"),
    ("/sdmx/v2/data/*/VNGOV/TTHC_06A/+/W", "application/vnd.sdmx.data+xml"),
]
"""Every kind of message, as the clients ask for it."""


def expected() -> set[tuple[str, ...]]:
    """Every observation there is, added up here by hand: key, period and value."""
    found: set[tuple[str, ...]] = set()
    for quarter in QUARTERS:
        for agency, parts in SUBTREES.items():
            rows = [row for part in parts for row in PUSHED[part]]
            for sector in {"_T", *(row["sector"] for row in rows)}:
                counted = [row for row in rows if sector in {"_T", row["sector"]}]
                for name in TTHC_COLUMNS:
                    found.add(("Q", agency, name, sector, quarter, str(sum(row[name] for row in counted))))
    return found


def exact(figures: Iterable[list[str]]) -> set[tuple[str, ...]]:
    """Observations as a client read them; clients read numbers as floats."""
    figures = list(figures)
    found = {(*row[:-1], re.sub(r"\.0$", "", row[-1])) for row in figures}
    assert len(found) == len(figures), "no observation comes twice"
    return found


@dataclass(frozen=True, slots=True)
class Heard:
    """What the clients read, and the messages themselves with what is wrong with each."""

    sdmx1: dict[str, Any]
    pysdmx: dict[str, Any]
    statuses: dict[tuple[str, str], int]
    bodies: dict[tuple[str, str], str]
    faults: dict[tuple[str, str], str | None]


def documented(heading: str, url: str) -> str:
    """The lines of the documentation for a client, for this server."""
    page = (DOCS / "sdmx.md").read_text(encoding="utf-8")
    found = re.search(rf"^## {heading}$.*?```python\n(.*?)```", page, re.DOTALL | re.MULTILINE)
    assert found
    lines = found[1].replace("http://CLIENT:SECRET@127.0.0.1:8000", url)
    assert len([line for line in lines.splitlines() if line]) == 3
    assert lines != found[1]
    return lines


async def in_its_own_process(script: str, job: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(TESTS / "statisticians" / script),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    said, complaint = await process.communicate(job.encode())
    assert process.returncode == 0, complaint.decode()[-2000:]
    return said.decode()


async def push(server: RunningServer, account: httpx.BasicAuth) -> None:
    async with httpx.AsyncClient(base_url=server.url) as client:
        token = await client.post("/oauth/token", data={"grant_type": "client_credentials"}, auth=account)
        client.headers["Authorization"] = f"Bearer {token.json()['access_token']}"
        for quarter in QUARTERS:
            for agency, rows in PUSHED.items():
                await accepted(client, a_report(agency=agency, period=quarter, rows=rows))
        await accepted(client, a_monthly_report())


@pytest.fixture(scope="module")
async def heard(worker: Worker, server: RunningServer) -> Heard:
    await clean(worker.engine)
    account = await add_account(worker.engine, ("aggregates:read", "reports:write"), None)
    login = httpx.BasicAuth(str(account.id), account.secret)
    await push(server, login)
    statuses, bodies = {}, {}
    async with httpx.AsyncClient(base_url=server.url, auth=login) as client:
        for path, accept in REQUESTS:
            answer = await client.get(path, headers={"Accept": accept})
            statuses[path, accept], bodies[path, accept] = answer.status_code, answer.text
    url = server.url.replace("http://", f"http://{account.id}:{account.secret}@")

    def job(heading: str) -> str:
        return json.dumps({"url": url, "secret": account.secret, "documented": documented(heading, url)})

    messages = "\n".join(json.dumps({"body": body}) for body in bodies.values())
    said = await asyncio.gather(
        in_its_own_process("sdmx1_client.py", job("sdmx1")),
        in_its_own_process("pysdmx_client.py", job("pysdmx")),
        in_its_own_process("validate.py", messages),
    )
    faults = dict(zip(bodies, map(json.loads, said[2].splitlines()), strict=True))
    return Heard(json.loads(said[0]), json.loads(said[1]), statuses, bodies, faults)


def test_every_message_is_valid_by_the_official_schemas(heard: Heard) -> None:
    assert {request: fault for request, fault in heard.faults.items() if fault} == {}


def test_every_request_of_the_clients_is_answered(heard: Heard) -> None:
    refused = {request[0]: status for request, status in heard.statuses.items() if status != 200}
    assert refused == {
        "/sdmx/v1/data/NOTHING": 404,
        "/sdmx/v1/data/TTHC_06A/A.B.C.D.E": 403,
        "/sdmx/v1/data/TTHC_06A?asOf=2026-01-01T00:00:00Z": 404,
        "/sdmx/v2/structure/nothing": 501,
        "/sdmx/v2/structure/dataflow/VNGOV/NOTHING": 404,
        "/sdmx/v2/data/*/VNGOV/TTHC_06A/+/W": 404,
    }


@pytest.mark.parametrize("reading", ["all", "specific", "all_3"])
def test_sdmx1_reads_back_every_figure_that_was_pushed(heard: Heard, reading: str) -> None:
    assert exact(heard.sdmx1[reading]) == expected()


@pytest.mark.parametrize("reading", ["all", "pandas"])
def test_pysdmx_reads_back_every_figure_that_was_pushed(heard: Heard, reading: str) -> None:
    assert exact(heard.pysdmx[reading]) == expected()


def test_sdmx1_reads_the_structures(heard: Heard) -> None:
    found = heard.sdmx1
    assert found["flows"] == found["flows_3"] == ["KTXH_01", "TTHC_06A"]
    assert found["dimensions"] == ["FREQ", "AGENCY", "INDICATOR", "SECTOR", "TIME_PERIOD"]
    assert found["attributes"] == ["OBS_STATUS", "UNIT_MEASURE", "DECIMALS"]
    assert found["lists"] == ["CL_AGENCY", "CL_FREQ", "CL_OBS_STATUS", "TTHC_06A-INDICATOR", "TTHC_SECTOR-T"]
    assert found["names"].keys() == {"vi", "en"}
    assert (found["parent"], found["concepts"]) == ("H26", 9)
    assert "VNGOV" in found["agencies"]
    assert found["categorised"] == ["KSTT-TTHC_06A", "KTXH-KTXH_01"]
    assert (found["constraints"], found["structures"]) == (["TTHC_06A"], ["KTXH_01"])
    assert found["region"] == {
        "FREQ": ["Q"],
        "AGENCY": ["H26"],
        "INDICATOR": sorted(TTHC_COLUMNS),
        "SECTOR": ["HEALTH", "LAND", "_T"],
    }


def test_sdmx1_asks_by_key_and_time(heard: Heard) -> None:
    found = heard.sdmx1
    pushed = expected()
    received = {row for row in pushed if row[2] == "received_total"}
    assert exact(found["keyed"]) == {
        row for row in received if row[1] in {"H26", "H29"} and row[3] == "_T" and row[4] == "2098-Q2"
    }
    assert exact(found["by_name"]) == {row for row in received if row[1] in {"H26", "H29"}}
    assert [row[4] for row in found["last"]] == ["2098-Q2"]
    assert found["preview"] == len({row[:4] for row in pushed})
    assert found["specific_type"].startswith("application/vnd.sdmx.structurespecificdata+xml")


def test_sdmx1_is_told_of_what_is_empty_unknown_or_forbidden(heard: Heard) -> None:
    found = heard.sdmx1
    assert found["empty"] == []
    assert (found["unknown_flow"], found["unknown_structure"]) == (404, 404)
    assert found["changed"] == found["all"]
    assert found["refused"] == 401


def test_pysdmx_reads_the_structures(heard: Heard) -> None:
    found = heard.pysdmx
    components = ["FREQ", "AGENCY", "INDICATOR", "SECTOR", "TIME_PERIOD", "OBS_VALUE"]
    components += ["OBS_STATUS", "UNIT_MEASURE", "DECIMALS"]
    assert found["flows"] == found["registry_flows"] == found["structures"] == ["KTXH_01", "TTHC_06A"]
    assert sorted(found["components"]) == sorted(found["schema"]) == sorted(components)
    assert found["agency"] == found["labels"] == "Sở Nông nghiệp và Môi trường thành phố Hà Nội"
    assert (found["concepts"], found["details"], found["agencies"]) == (9, 9, ["VNGOV"])
    assert found["categories"] == ["KSTT", "KTXH"]
    assert found["codes"] > 3000
    assert found["read"] == ["Message", "Message"]


def test_pysdmx_filters(heard: Heard) -> None:
    found = heard.pysdmx
    total = {row for row in expected() if row[2:4] == ("received_total", "_T")}
    assert exact(found["filtered"]) == {row for row in total if row[1] == "H26" and row[4] == "2098-Q2"}
    assert exact(found["between"]) == {row for row in total if row[1] in {"H26", "H29"} and row[4] == "2098-Q1"}
    assert found["like"] == ["H26", "H26-00004", "H26-18"]


def test_pysdmx_is_told_of_what_is_empty_unknown_or_forbidden(heard: Heard) -> None:
    found = heard.pysdmx
    assert found["empty"] == []
    assert found["pandas_empty"].startswith("NotFound")
    assert found["unknown_flow"].startswith("NotFound")
    assert found["refused"].startswith("Invalid: Client error 401")
    assert "100" in found["read_error"]
    assert "There is no such dataflow" in found["read_error"]


@pytest.mark.parametrize("client", ["sdmx1", "pysdmx"])
def test_the_three_lines_of_the_documentation_show_the_figures(heard: Heard, client: str) -> None:
    said: str = getattr(heard, client)["documented"]
    values = {row[5] for row in expected() if row[1:4] == ("H26", "received_total", "_T")}
    assert values
    assert all(re.search(rf"\b{value}(\.0)?\b", said) for value in values), said
