"""Whatever goes wrong, the answer is a problem that says what and nothing more, under the request's id."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import UUID

import httpx
import pytest
import structlog
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.types import Message

from factories import a_report, body
from gateway.api.deps import Gateway
from gateway.app import build_gateway
from gateway.db.engine import open_engine
from gateway_under_test import (
    NOTHING,
    accepted,
    connected,
    counts,
    in_process,
    push,
    refused,
    shown,
    stalled_intake,
    until_waiting,
)


@asynccontextmanager
async def on_another_database(gateway: Gateway, url: str) -> AsyncIterator[httpx.AsyncClient]:
    """The API on a database at another address."""
    engine = open_engine(gateway.settings, url)
    other = replace(build_gateway(gateway.settings, engine), tokens=gateway.tokens, standing=gateway.standing)
    try:
        async with in_process(other) as client:
            yield client
    finally:
        await engine.dispose()


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/nothing", "/v2/reports", "/v1/reports/x/y/z", "/%00"])
async def test_an_unknown_path_is_not_found(country: httpx.AsyncClient, path: str) -> None:
    refused(await country.get(path), 404, "not-found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/v1/reports", {"GET", "POST"}),
        ("POST", "/v1/agencies/H26", {"GET", "PUT"}),
        ("POST", "/v1/connectors/national", {"DELETE", "GET", "PUT"}),
        ("PUT", "/healthz", {"GET"}),
        ("GET", "/v1/reports/batch/", None),
        ("PATCH", "/v1/forms/TTHC_06A", {"GET"}),
    ],
)
async def test_another_method_is_not_allowed_and_those_that_are_are_named(
    country: httpx.AsyncClient, method: str, path: str, allowed: set[str] | None
) -> None:
    answer = await country.request(method, path)
    if allowed is None:
        assert answer.status_code in {307, 404}
        return
    refused(answer, 405, "method-not-allowed")
    assert set(answer.headers["allow"].split(", ")) == allowed


async def test_a_problem_names_the_request_and_speaks_the_language_asked_for(
    province: httpx.AsyncClient,
) -> None:
    for language, title in (("vi", "Không tìm thấy"), ("en", "Not found")):
        answer = await province.get("/v1/nothing", headers={"Accept-Language": language})
        problem = refused(answer, 404, "not-found")
        assert problem["title"] == title
        assert problem["instance"] == f"urn:request:{answer.headers['x-request-id']}"


async def test_every_answer_has_a_request_id_and_is_not_cached(country: httpx.AsyncClient) -> None:
    answers = [
        await country.get("/healthz"),
        await country.get("/v1/nothing"),
        await country.get("/v1/forms"),
        await country.delete("/v1/reports"),
        await push(country, a_report()),
        await push(country, b"{"),
        await push(country, a_report(), to="/batch"),
        await country.get("/v1/reports", headers={"Authorization": ""}),
        await country.post("/oauth/token"),
        await country.get("/openapi.json"),
    ]
    made = [answer.headers["x-request-id"] for answer in answers]
    assert {UUID(each).version for each in made} == {7}
    assert len(set(made)) == len(made)
    assert {answer.headers["cache-control"] for answer in answers} == {"no-store"}
    assert {answer.headers["x-content-type-options"] for answer in answers} == {"nosniff"}


@pytest.mark.parametrize("given", ["a", "A-1_2.z", "x" * 64, "00-4bf92f3577b34da6a3ce929d0e0e4736-01"])
async def test_a_plain_request_id_is_kept(country: httpx.AsyncClient, given: str) -> None:
    answer = await country.get("/v1/nothing", headers={"X-Request-Id": given})
    assert answer.headers.get_list("x-request-id") == [given]
    assert refused(answer, 404, "not-found")["instance"] == f"urn:request:{given}"


HOSTILE = (b"", b"two words", b"x" * 65, "mã".encode(), b"a;b", b"<script>", b"a\tb", b"\x1b[31m", b"{}", b"a,b")


@pytest.mark.parametrize("given", HOSTILE)
async def test_a_hostile_request_id_is_replaced(country: httpx.AsyncClient, given: bytes) -> None:
    answer = await country.get("/healthz", headers=[(b"x-request-id", given)])
    assert re.fullmatch(r"[0-9a-f-]{36}", answer.headers["x-request-id"])


async def test_a_fault_of_our_own_is_500_and_says_nothing_of_it(province: httpx.AsyncClient, gateway: Gateway) -> None:
    never_migrated = gateway.engine.url.set(database="postgres").render_as_string(hide_password=False)
    async with on_another_database(gateway, never_migrated) as client:
        for answer in (
            await push(client, a_report(), **dict(province.headers)),
            await client.get("/v1/reports", headers=province.headers),
        ):
            problem = refused(answer, 500, "internal-error")
            assert set(problem) == {"type", "title", "status", "instance"}
            assert "catalog" not in answer.text


NO_SOCKET = "postgresql+asyncpg://gateway@/gateway?host=/nonexistent"
CLOSED_PORT = "postgresql+asyncpg://gateway@127.0.0.1:1/gateway"


@pytest.mark.parametrize("url", [NO_SOCKET, CLOSED_PORT])
async def test_a_database_that_is_away_is_503_with_a_time_to_retry(
    province: httpx.AsyncClient, gateway: Gateway, url: str
) -> None:
    async with on_another_database(gateway, url) as client:
        client.headers = province.headers
        for answer in (
            await push(client, a_report(), key="k"),
            await push(client, a_report(), to="/validate"),
            await client.get("/v1/reports"),
            await client.get("/v1/forms"),
        ):
            refused(answer, 503, "unavailable")
            assert int(answer.headers["retry-after"]) > 0
        token = await client.post(
            "/oauth/token", data={"grant_type": "client_credentials"}, auth=(str(UUID(int=1)), "x")
        )
        assert token.status_code == 503
        assert (await client.get("/healthz")).status_code == 200
        ready = await client.get("/readyz")
        assert (ready.status_code, shown(ready)["checks"]["database"]) == (503, False)


async def test_each_line_of_a_batch_is_503_while_the_database_is_away(
    province: httpx.AsyncClient, gateway: Gateway
) -> None:
    async with on_another_database(gateway, NO_SOCKET) as client:
        client.headers = province.headers
        answer = await push(client, body(a_report()) + b"\n" + body(a_report()), to="/batch")
    assert answer.status_code == 200
    assert [line[:9] for line in answer.text.splitlines()] == ['{"line":1', '{"line":2']
    assert all('"status":503' in line for line in answer.text.splitlines())


async def test_a_push_that_the_database_breaks_off_is_503_and_can_be_sent_again(
    province: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    async with connected(engine) as connection, stalled_intake(connection):
        pushing = asyncio.create_task(push(province, a_report(), key="k"))
        await until_waiting(connection)
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        refused(await pushing, 503, "unavailable")
    assert await counts(engine) == NOTHING
    await accepted(province, a_report(), key="k")


async def test_a_client_that_goes_away_is_no_fault_of_ours(app: FastAPI, province: httpx.AsyncClient) -> None:
    async def gone() -> Message:
        return {"type": "http.disconnect"}

    async def unheard(_: Message) -> None:
        return

    headers = [
        (b"host", b"a"),
        (b"authorization", province.headers["authorization"].encode()),
        (b"content-type", b"application/json"),
    ]
    scope = {"type": "http", "method": "POST", "path": "/v1/reports", "query_string": b"", "headers": headers}
    with structlog.testing.capture_logs() as events:
        await app(scope, gone, unheard)
    assert [event for event in events if event["log_level"] == "error"] == []


@pytest.mark.parametrize("path", ["/v1/reports/batch", "/v1/reports/validate"])
async def test_a_name_that_a_route_has_for_itself_is_no_id_of_another(country: httpx.AsyncClient, path: str) -> None:
    for method in ("GET", "DELETE"):
        answer = await country.request(method, path)
        refused(answer, 405, "method-not-allowed")
        assert answer.headers["allow"] == "POST"
