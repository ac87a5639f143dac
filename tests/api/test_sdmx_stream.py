"""Large SDMX answers are streamed as they are read, and one that cannot be finished never looks finished."""

import asyncio
import re
from datetime import date

import httpx
import pytest
from asyncpg import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

from factories import TTHC_COLUMNS, a_balanced_row, a_report, ndjson
from gateway.api.deps import Gateway
from gateway_under_test import NewClient, RunningServer, Worker, add_account, connected, push

SECTORS = ("LAND", "HOUSING", "HEALTH", "EDUCATION", "LABOUR", "CULTURE", "CONSTRUCTION", "TRANSPORT", "NOTARY")
ADDRESS = "/sdmx/v1/data/TTHC_06A/Q...?dimensionAtObservation=AllDimensions"


@pytest.fixture
async def observations(gateway: Gateway, client_for: NewClient) -> int:
    """How many observations a country of some hundred communes has."""
    tree = (await gateway.catalogues.newest()).agencies.on(date(2098, 9, 14))
    communes = [code for province in ("H26", "H29") for code in tree.children[province] if len(code) == 9]
    rows = [a_balanced_row(sector, 5, 5) for sector in SECTORS]
    client = await client_for("reports:write")
    answer = await push(client, ndjson(*(a_report(agency=each, rows=rows) for each in communes)), to="/batch")
    assert answer.text.count('"status":"accepted"') == len(communes) > 200
    return (len(communes) + 3) * (len(SECTORS) + 1) * len(TTHC_COLUMNS)


async def test_a_large_answer_is_whole_and_one_that_breaks_off_is_seen_to(
    observations: int, worker: Worker, server: RunningServer, engine: AsyncEngine
) -> None:
    account = await add_account(worker.engine, ("aggregates:read",), None)
    login = httpx.BasicAuth(str(account.id), account.secret)
    async with (
        httpx.AsyncClient(base_url=server.url, auth=login, timeout=60) as client,
        connected(engine) as connection,
    ):
        async with client.stream("GET", ADDRESS) as answer:
            pieces = [piece async for piece in answer.aiter_bytes()]
        assert len(pieces) > 20
        whole = b"".join(pieces)
        assert whole.count(b"<gen:Obs>") == observations > 20_000
        assert whole.endswith(b"</mes:DataSet></mes:GenericData>")
        with pytest.raises(httpx.RemoteProtocolError):
            await _read_while_the_database_goes(client, connection)


async def _read_while_the_database_goes(client: httpx.AsyncClient, connection: Connection) -> None:
    async with client.stream("GET", ADDRESS) as answer:
        assert answer.status_code == 200
        pieces = answer.aiter_bytes()
        assert re.match(rb"<\?xml", await anext(pieces))
        await _break_off_the_reader(connection)
        async for _ in pieces:
            pass


async def _break_off_the_reader(connection: Connection) -> None:
    """End the one connection that is in the middle of a transaction, which waits for its client to read on."""
    for _ in range(500):
        broken = await connection.fetchval(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND state = 'idle in transaction'"
        )
        if broken:
            return
        await asyncio.sleep(0.01)
    raise TimeoutError("nobody was reading")
