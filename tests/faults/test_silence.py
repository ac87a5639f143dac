"""A database that falls silent and ends no connection: everybody gets an answer, and all goes on when it speaks."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest
from proofs.faults.link import Way
from proofs.faults.wire import Fate, Wire, calling, order_of, server_of
from proofs.statements import STORING
from sqlalchemy.ext.asyncio import AsyncEngine

from factories import a_report
from forwarding import connect_upstream, receive, states, until_all, upstream, working
from gateway.api.deps import Gateway
from gateway.app import build_gateway
from gateway.db import deadline
from gateway.db.deadline import Watch, rows_in_time
from gateway.db.engine import driver, is_outage, open_engine
from gateway_under_test import Held, connected, counts, in_process, push, shown, until_nobody_waits

SECONDS = 1.0
"""How long one piece of work may use a connection in these tests."""


@asynccontextmanager
async def linked(gateway: Gateway) -> AsyncIterator[tuple[Wire, Gateway]]:
    """A link to a gateway's database, and a gateway like it behind that link."""
    settings = gateway.settings.model_copy(update={"database_seconds": SECONDS, "database_pool": 6})
    whole = gateway.engine.url.render_as_string(hide_password=False)
    async with Wire(server_of(whole)) as link:
        engine = open_engine(settings, link.url(whole))
        far = build_gateway(settings, engine)
        far.intake.patience = SECONDS
        Held.of(gateway.catalogues).put_back(far.catalogues)
        try:
            yield link, far
        finally:
            await link.heal()
            await asyncio.gather(*deadline._giving_up, return_exceptions=True)
            await engine.dispose()
            await asyncio.sleep(0.05)  # for connections to have been closed


def is_clear(answer: httpx.Response) -> bool:
    return answer.status_code == 503 and int(answer.headers["retry-after"]) > 0 and "receipt" not in shown(answer)


async def stored(client: httpx.AsyncClient, report: object, key: str | None = None) -> dict[str, Any]:
    """Push a report until it is stored, as its sender would: a busy machine may well take longer than is allowed."""
    for _ in range(20):
        answer = await push(client, report, key=key)
        if answer.status_code in {200, 201}:
            return shown(answer)
        assert is_clear(answer), answer.text
    raise AssertionError("it was never stored")


def lent(engine: AsyncEngine) -> int:
    """How many connections of a pool are out."""
    pool: Any = engine.pool
    out: int = pool.checkedout()
    return out


async def test_pushes_to_a_silent_database_are_answered_and_those_after_it_speaks_are_stored(
    gateway: Gateway, province: httpx.AsyncClient
) -> None:
    reports = [a_report(period=f"{year}-Q1") for year in range(2061, 2071)]
    headers = {"Authorization": province.headers["Authorization"]}
    async with linked(gateway) as (link, far), in_process(far, headers=headers) as client:
        await stored(client, a_report())
        link.silence()
        began = time.monotonic()
        answers = await asyncio.gather(*(push(client, each, key=each["period"]) for each in reports))
        assert all(is_clear(each) for each in answers), {each.status_code for each in answers}
        assert time.monotonic() - began < 12 * SECONDS
        assert lent(far.engine) == 0
        await link.heal()
        await asyncio.gather(*(stored(client, each, key=each["period"]) for each in reports))
    assert (await counts(gateway.engine))["reports"] == 1 + len(reports)


def deafen(link: Wire) -> Callable[[], Awaitable[None]]:
    async def silence() -> None:
        link.silence(Way.to_client)

    return silence


async def test_a_commit_that_was_done_in_silence_is_found_by_the_repeat(
    gateway: Gateway, province: httpx.AsyncClient
) -> None:
    headers = {"Authorization": province.headers["Authorization"]}
    async with linked(gateway) as (link, far), in_process(far, headers=headers) as client:
        await stored(client, a_report())
        storing = link.when(order_of(STORING), calling(deafen(link), Fate.forward))
        given = a_report(period="2097-Q1")
        answer = await push(client, given, key="k")
        assert storing.struck.is_set()
        assert is_clear(answer)
        assert (await counts(gateway.engine))["reports"] == 2
        link.rules.clear()
        await link.heal()
        again = await stored(client, given, key="k")
        history = await client.get(f"/v1/reports/{again['id']}/history")
        assert len(shown(history)["items"]) == 1
    assert (await counts(gateway.engine))["reports"] == 2


async def test_without_the_deadline_a_push_would_wait_for_as_long_as_its_sender(
    gateway: Gateway, province: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of the tests before."""
    monkeypatch.setattr(Watch, "go", lambda *_: None)
    headers = {"Authorization": province.headers["Authorization"]}
    async with linked(gateway) as (link, far), in_process(far, headers=headers) as client:
        await stored(client, a_report())
        link.silence()
        pushing = asyncio.create_task(push(client, a_report(period="2061-Q1")))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(pushing), 3 * SECONDS)
        link.reset()
        await link.heal()
        with suppress(httpx.HTTPError):
            await pushing


async def test_reading_a_token_and_readiness_are_answered_too(gateway: Gateway, province: httpx.AsyncClient) -> None:
    headers = {"Authorization": province.headers["Authorization"]}
    async with linked(gateway) as (link, far), in_process(far, headers=headers) as client:
        report = await stored(client, a_report())
        link.silence()
        began = time.monotonic()
        answers = await asyncio.gather(
            client.get(f"/v1/reports/{report['id']}"),
            client.post("/oauth/token", auth=(str(UUID(int=1)), "b"), data={"grant_type": "client_credentials"}),
            client.get("/readyz"),
        )
        assert {each.status_code for each in answers} == {503}
        assert time.monotonic() - began < 20 * SECONDS
        await link.heal()
        async with asyncio.timeout(60):
            while (await client.get(f"/v1/reports/{report['id']}")).status_code != 200:
                pass
            while (await client.get("/readyz")).status_code != 200:
                pass


async def test_workers_bear_with_a_silent_database_and_go_on(gateway: Gateway) -> None:
    async with linked(gateway) as (link, far), upstream() as national:
        await connect_upstream(gateway, national.url)
        async with working(far, lease_seconds=2.0):
            await receive(gateway)
            await until_all(gateway.engine, "delivered")
            link.silence()
            report = await receive(gateway, period="2097-Q1")
            await asyncio.sleep(2 * SECONDS)
            assert sorted(await states(gateway.engine))[0] == "delivered"
            await link.heal()
            await until_all(gateway.engine, "delivered")
        assert str(report) in {each["id"] for each in await national.received()}


async def test_a_reader_may_take_its_time_and_the_database_may_not(gateway: Gateway) -> None:
    """The time of a stream runs while the database is waited for, and rests while the reader is."""
    async with linked(gateway) as (link, far):
        taken = list[Any]()
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)) as silence:
            await read(far.engine, link, taken)
        assert len(taken) == 8
        assert is_outage(silence.value)


async def read(engine: AsyncEngine, link: Wire, taken: list[Any]) -> None:
    """Take rows two by two, slowly at first, from a database that falls silent in the end."""
    async with driver(engine) as connection, connection.transaction():
        async for row in rows_in_time(connection, "SELECT n FROM generate_series(1, 10) AS n", prefetch=2):
            taken.append(row)
            if len(taken) == 4:
                await asyncio.sleep(2 * SECONDS)
            if len(taken) == 8:
                link.silence()


async def test_what_a_slow_database_was_asked_is_given_up_there_too(gateway: Gateway) -> None:
    async with linked(gateway) as (_, far), connected(gateway.engine) as connection, connection.transaction():
        await connection.execute("LOCK TABLE tallies IN ACCESS EXCLUSIVE MODE")
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)):
            async with driver(far.engine) as slow:
                await slow.execute("SELECT count(*) FROM tallies")
        await until_nobody_waits(connection)
