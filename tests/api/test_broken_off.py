"""An answer that cannot be finished never looks finished, in any format: the connection breaks, and no end is sent."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
import uvicorn
from asyncpg import Connection
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.types import Message, Receive, Scope, Send

from factories import a_balanced_row, a_report, ndjson
from gateway.api import observations, sdmx_data, stream
from gateway.db import figures, observed
from gateway.formats import parquet
from gateway_under_test import NewClient, connected, push

SECTORS = ("LAND", "HOUSING", "HEALTH")
OBSERVATIONS = "/v1/observations?form=TTHC_06A&period=2098-Q3"
AGGREGATES = "/v1/aggregates?form=TTHC_06A&period=2098-Q3&under=H26&by=agency,sector"
SDMX = "data/dataflow/VNGOV/TTHC_06A"
PARQUET = "application/vnd.apache.parquet"
ANSWERS = [
    *((OBSERVATIONS, accept) for accept in ("text/csv", "application/x-ndjson", PARQUET)),
    *((AGGREGATES, accept) for accept in ("application/json", "text/csv", "application/x-ndjson", PARQUET)),
    ("/sdmx/v1/data/TTHC_06A", "application/vnd.sdmx.genericdata+xml;version=2.1"),
    ("/sdmx/v1/data/TTHC_06A", "application/vnd.sdmx.structurespecificdata+xml;version=2.1"),
    (f"/sdmx/v2/{SDMX}", "application/vnd.sdmx.data+xml;version=3.0.0"),
    (f"/sdmx/v2/{SDMX}", "application/vnd.sdmx.data+csv;version=2.0.0"),
    (f"/sdmx/v2/{SDMX}", "application/vnd.sdmx.data+csv;version=1.0.0"),
]
_READING = "datname = current_database() AND xact_start IS NOT NULL AND pid <> pg_backend_pid()"


class Interrupted:
    """The API, whose connection to the database ends in the middle of an answer, once it is told to."""

    def __init__(self, app: FastAPI, connection: Connection) -> None:
        self._app, self._connection = app, connection
        self.is_due = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        pieces = 0

        async def sent(message: Message) -> None:
            nonlocal pieces
            pieces += message["type"] == "http.response.body"
            if self.is_due and pieces == 3:
                self.is_due = False
                await self._connection.fetch(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {_READING}")
            await send(message)

        await self._app(scope, receive, sent)


@asynccontextmanager
async def served(app: Interrupted) -> AsyncIterator[str]:
    """The API of this process on a socket, as uvicorn serves it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None))
        serving = asyncio.create_task(server.serve([listening]))
        while not server.started:  # noqa: ASYNC110 - it tells in no other way
            await asyncio.sleep(0.01)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        await serving


@pytest.fixture
def in_small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Row after row is read and sent, so that an answer of little is on its way for a while."""
    for module, name in (
        (figures, "PREFETCH"),
        (observed, "_AT_ONCE"),
        (observations, "_PIECE_VALUES"),
        (stream, "_PIECE_ROWS"),
        (sdmx_data, "_PIECE_SERIES"),
        (parquet, "_GROUP_ROWS"),
    ):
        monkeypatch.setattr(module, name, 1)


async def test_every_format_breaks_off_where_the_database_goes_away(
    app: FastAPI, client_for: NewClient, engine: AsyncEngine, in_small_pieces: None
) -> None:
    client = await client_for("aggregates:read", "reports:write")
    rows = [a_balanced_row(sector, 5, 5) for sector in SECTORS]
    reports = [a_report(agency=f"H26.{number}", rows=rows) for number in range(10, 16)]
    assert (await push(client, ndjson(*reports), to="/batch")).text.count('"status":"accepted"') == len(reports)
    async with connected(engine) as connection:
        interrupted = Interrupted(app, connection)
        async with (
            served(interrupted) as address,
            httpx.AsyncClient(base_url=address, headers=client.headers, timeout=20) as reader,
        ):
            for path, accept in ANSWERS:
                whole = await reader.get(path, headers={"Accept": accept})
                assert whole.status_code == 200, whole.text
                interrupted.is_due = True
                broken = await _broken_off(reader, path, accept)
                assert 0 < len(broken) < len(whole.content), f"{path} as {accept}"
                assert whole.content.startswith(broken) or path.startswith("/sdmx"), "what came is what is there"


async def _broken_off(reader: httpx.AsyncClient, path: str, accept: str) -> bytes:
    """What came before the connection broke, which it has to."""
    found = b""
    try:
        async with reader.stream("GET", path, headers={"Accept": accept}) as answer:
            assert answer.status_code == 200
            async for piece in answer.aiter_raw():
                found += piece
    except (httpx.RemoteProtocolError, httpx.ReadError):
        return found
    pytest.fail(f"{path} as {accept} ended as if it were whole")
