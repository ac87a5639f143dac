"""What only a process of its own shows: an answer comes after the commit, and a broken connection leaves nothing."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import httpx
from sqlalchemy.ext.asyncio import AsyncEngine

from factories import a_balanced_row, a_report, body
from gateway_under_test import (
    NOTHING,
    RunningServer,
    accepted,
    connected,
    counts,
    push,
    refused,
    shown,
    stalled_intake,
    until_waiting,
)


def at(server: RunningServer, client: httpx.AsyncClient) -> httpx.AsyncClient:
    """The client, at a server of its own."""
    return httpx.AsyncClient(base_url=server.url, headers=client.headers, timeout=20)


async def test_a_report_is_there_when_the_server_is_killed_right_after_its_answer(
    province: httpx.AsyncClient, engine: AsyncEngine, own_server: RunningServer
) -> None:
    async with at(own_server, province) as client:
        answer = await push(client, a_report(), key="k")
        own_server.kill()
    assert answer.status_code == 201
    kept = await counts(engine)
    assert (kept["reports"], kept["payloads"], kept["report_rows"], kept["idempotency_keys"]) == (1, 1, 1, 1)
    again = await push(province, a_report(), key="k")
    assert (again.status_code, again.content) == (201, answer.content)


async def test_no_answer_is_given_before_the_commit(
    province: httpx.AsyncClient, engine: AsyncEngine, server: RunningServer
) -> None:
    async with at(server, province) as client, connected(engine) as connection:
        await accepted(client, a_report(period="2098-Q1"))  # the server is up
        async with stalled_intake(connection):
            pushing = asyncio.create_task(push(client, a_report()))
            await until_waiting(connection)
            await asyncio.sleep(0.3)
            assert not pushing.done()
            assert (await counts(engine))["reports"] == 1
        assert (await pushing).status_code == 201


async def test_a_server_killed_before_its_commit_leaves_no_trace(
    province: httpx.AsyncClient, engine: AsyncEngine, own_server: RunningServer
) -> None:
    async with at(own_server, province) as client, connected(engine) as connection, stalled_intake(connection):
        pushing = asyncio.create_task(push(client, a_report(), key="k"))
        await until_waiting(connection)
        own_server.kill()
        with contextlib.suppress(httpx.TransportError):
            await pushing
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
    assert await counts(engine) == NOTHING
    await accepted(province, a_report(), key="k")


async def sessions(connection: asyncpg.Connection) -> int:
    """Connections other than this one that are in the middle of something."""
    number: int = await connection.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid() AND state <> 'idle'"
    )
    return number


@asynccontextmanager
async def half_a_request(
    server: RunningServer, client: httpx.AsyncClient, sent: bytes, length: int
) -> AsyncIterator[None]:
    """Begin a push of so many bytes, send these, and go when the block ends."""
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    head = (
        f"POST /v1/reports HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Authorization: {client.headers['authorization']}\r\nContent-Length: {length}\r\n\r\n"
    )
    writer.write(head.encode() + sent)
    await writer.drain()
    yield
    writer.close()
    await writer.wait_closed()


async def break_off(server: RunningServer, client: httpx.AsyncClient, sent: bytes, length: int) -> None:
    async with half_a_request(server, client, sent, length):
        await asyncio.sleep(0.05)


async def test_clients_that_go_in_the_middle_leave_nothing_and_no_connection(
    province: httpx.AsyncClient, engine: AsyncEngine, server: RunningServer
) -> None:
    sent = body(a_report())
    async with at(server, province) as client, connected(engine) as connection:
        assert (await client.get("/healthz")).status_code == 200
        await asyncio.gather(*(break_off(server, province, sent[:n], len(sent)) for n in range(60)))
        await asyncio.gather(*(client.get("/v1/reports") for _ in range(40)))  # more than the pool holds
        assert await counts(engine) == NOTHING
        assert await sessions(connection) == 0
        await accepted(client, a_report())


async def test_a_report_is_stored_whole_when_its_sender_goes_without_waiting(
    province: httpx.AsyncClient, engine: AsyncEngine, server: RunningServer
) -> None:
    sent = body(a_report())
    async with at(server, province) as client, connected(engine) as connection:
        assert (await client.get("/healthz")).status_code == 200
        async with stalled_intake(connection), half_a_request(server, province, sent, len(sent)):
            await until_waiting(connection)
        again = await push(client, a_report())
        assert again.status_code == 200
        kept = await counts(engine)
        assert (kept["reports"], kept["payloads"], kept["report_rows"], kept["report_events"]) == (1, 1, 1, 1)


async def test_a_body_that_does_not_come_is_given_up(
    province: httpx.AsyncClient, engine: AsyncEngine, server: RunningServer
) -> None:
    sent = body(a_report())

    async def slowly() -> AsyncIterator[bytes]:
        yield sent[:50]
        await asyncio.sleep(2)  # the server waits for one second
        yield sent[50:]

    async with at(server, province) as client:
        answer = await client.post("/v1/reports", content=slowly(), headers={"Content-Type": "application/json"})
    refused(answer, 400, "malformed-request")
    assert await counts(engine) == NOTHING


async def test_a_stopped_server_finishes_what_it_began(
    province: httpx.AsyncClient, engine: AsyncEngine, own_server: RunningServer
) -> None:
    async with at(own_server, province) as client, connected(engine) as connection:
        assert (await client.get("/healthz")).status_code == 200
        async with stalled_intake(connection):
            pushing = asyncio.create_task(push(client, a_report(rows=[a_balanced_row()])))
            await until_waiting(connection)
            own_server.process.terminate()
            await asyncio.sleep(0.2)
        answer = await pushing
    assert (answer.status_code, shown(answer)["revision"]) == (201, 1)
    assert own_server.process.wait(timeout=10) is not None
