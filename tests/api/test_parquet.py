"""Parquet: what was pushed is read back exactly, by the libraries that statisticians use."""

import asyncio
import io
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from factories import a_balanced_row, a_form, a_report, a_small_report, an_indicator
from gateway.api.deps import Gateway
from gateway.domain.exact import encode
from gateway.formats import parquet
from gateway_under_test import NewClient, RunningServer, accepted, add_account, asked, every_item, load

PARQUET = "application/vnd.apache.parquet"


@pytest.fixture
async def client(client_for: NewClient) -> httpx.AsyncClient:
    return await client_for("aggregates:read", "reports:write")


async def table(client: httpx.AsyncClient, path: str, **asked_for: str) -> pa.Table:
    answer = await client.get(f"/v1/{path}", params=asked_for, headers={"Accept": PARQUET})
    assert (answer.status_code, answer.headers["content-type"]) == (200, PARQUET), answer.text
    found = pq.read_table(io.BytesIO(answer.content))
    assert found.schema.metadata[b"as_of"].decode() == answer.headers["as-of"]
    return found


async def test_aggregates_and_observations_are_those_of_json(client: httpx.AsyncClient, gateway: Gateway) -> None:
    indicators = [
        an_indicator(id="whole", type="integer"),
        an_indicator(id="exact", type="decimal", scale=10),
        an_indicator(id="share", type="percent", over_agencies="none", over_time="none"),
        an_indicator(id="done", type="boolean", over_agencies="none", over_time="none"),
        an_indicator(id="words", type="text", over_agencies="none", over_time="none"),
    ]
    await load(gateway.engine, ("form", a_form(breakdowns=[], indicators=indicators, rules=[])))
    row = {
        "whole": 10**27 + 1,
        "exact": Decimal("1234567890.0000000001"),
        "share": 12.5,
        "done": True,
        "words": 'a,"\n',
    }
    await accepted(client, encode(a_small_report(rows=[row])))
    asked_for = {"form": a_form()["code"], "period": a_small_report()["period"]}
    [found] = (await table(client, "aggregates", **asked_for, by="agency,level")).to_pylist()
    assert found == {
        "agency": "H26",
        "own": False,
        "level": "department",
        **row,
        "share": Decimal("12.50"),
    }
    observed = (await table(client, "observations", **asked_for)).to_pylist()
    items = await every_item(client, "/observations", **asked_for)
    assert [{**each, "text": None} | {"value": None} for each in items] == [
        {**each, "text": None, "value": None} for each in observed
    ]
    assert {each["indicator"]: each["value"] if each["text"] is None else each["text"] for each in observed} == {
        **row,
        "done": 1,
        "share": Decimal("12.5"),
    }


async def test_rows_come_in_groups_and_what_broke_off_is_no_file(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "_GROUP_ROWS", 4)
    rows = [a_balanced_row("LAND", 0, 1), a_balanced_row("HEALTH", 0, 2)]
    await accepted(client, a_report(rows=rows))
    address = "/v1/observations?form=TTHC_06A&period=2098-Q3"
    content = (await client.get(address, headers={"Accept": PARQUET})).content
    file = pq.ParquetFile(io.BytesIO(content))
    items = await every_item(client, "/observations", form="TTHC_06A", period="2098-Q3")
    assert (file.num_row_groups, file.metadata.num_rows) == (len(rows), len(items))  # whole rows of a report
    with pytest.raises(pa.ArrowInvalid):
        pq.read_table(io.BytesIO(content[:-20]))
    nothing = await table(client, "observations", form="TTHC_06A", period="2097-Q3")
    assert nothing.num_rows == 0


async def test_pandas_and_duckdb_add_up_the_same(client: httpx.AsyncClient, tmp_path: Path) -> None:
    for n, agency in enumerate(("H26.18", "H26.19", "H26.20"), start=1):
        await accepted(client, a_report(agency=agency, rows=[a_balanced_row("LAND", 0, n)]))
    answer = await client.get("/v1/observations?form=TTHC_06A&period=2098-Q3", headers={"Accept": PARQUET})
    (tmp_path / "figures.parquet").write_bytes(answer.content)
    total = (await asked(client, "/aggregates", form="TTHC_06A", period="2098-Q3"))["rows"][0]["pending_total"]
    frame = pandas.read_parquet(tmp_path / "figures.parquet")
    assert frame[frame.indicator == "pending_total"].value.sum() == total == 6
    query = "SELECT sum(value) FROM read_parquet(?) WHERE indicator = 'pending_total'"
    assert duckdb.execute(query, [str(tmp_path / "figures.parquet")]).fetchall() == [(Decimal(6),)]


async def test_the_lines_of_the_page_read_the_figures_in_a_notebook(
    client: httpx.AsyncClient, server: RunningServer, engine: AsyncEngine
) -> None:
    await accepted(client, a_report(period="2026-Q1", rows=[a_balanced_row(pending=7)]))
    account = await add_account(engine, ("aggregates:read",), None)
    page = (Path(__file__).parents[2] / "docs" / "pulling.md").read_text()
    [lines] = re.findall(r"```python\n(import pandas.*?)```", page, re.DOTALL)
    said: dict[str, Any] = {"G": server.url, "CLIENT": str(account.id), "SECRET": account.secret}
    await asyncio.to_thread(exec, lines, said)
    figures = said["figures"]
    assert figures[figures.indicator == "pending_total"].value.tolist() == [Decimal(7)]
