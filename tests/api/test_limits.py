"""Limits of clients: as many requests and reports as they say, counted over all processes, and not one more."""

import asyncio
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from uuid_utils.compat import uuid7

from factories import a_report, ndjson
from gateway.access import allowance as gateway_allowance
from gateway.access.allowance import Allowance
from gateway.access.limits import NONE, Limits
from gateway.access.scopes import Scope
from gateway.access.tokens import Caller
from gateway.api.deps import Gateway
from gateway.app import build_gateway
from gateway.db.allowances import take_requests
from gateway.domain.period import VIETNAM
from gateway.errors import TooManyRequests
from gateway_under_test import NewClient, add_account, bearer, connected, in_process, push, refused, shown

TOKEN = {"grant_type": "client_credentials"}


@pytest.fixture
async def registrar(client_for: NewClient) -> httpx.AsyncClient:
    return await client_for("clients:write")


async def limited(registrar: httpx.AsyncClient, **limits: Any) -> tuple[str, dict[str, str]]:
    """A client with limits: its id, and the header of its token."""
    asked = {"name": "x", "scopes": ["reports:write", "reports:read"], "limits": limits}
    answer = await registrar.post("/v1/clients", json=asked)
    assert answer.status_code == 201, answer.text
    new = shown(answer)
    token = await registrar.post("/oauth/token", data=TOKEN, auth=(new["id"], new["client_secret"]))
    return new["id"], {"Authorization": f"Bearer {shown(token)['access_token']}"}


async def test_more_than_a_burst_is_refused_until_there_is_more(registrar: httpx.AsyncClient) -> None:
    _, headers = await limited(registrar, requests_per_second=2, burst=4)
    answers = [await registrar.get("/v1/forms", headers=headers) for _ in range(6)]
    statuses = [answer.status_code for answer in answers]
    assert statuses[:3] == [200] * 3  # the token was the first request
    assert 429 in statuses[3:]
    problem = refused(answers[-1], 429, "too-many-requests")
    assert problem["limit"] == "requests_per_second"
    seconds = int(answers[-1].headers["retry-after"])
    assert seconds == 1
    await asyncio.sleep(seconds)
    assert (await registrar.get("/v1/forms", headers=headers)).status_code == 200


async def test_tokens_and_sdmx_are_limited_in_their_own_words(registrar: httpx.AsyncClient) -> None:
    new = shown(
        await registrar.post(
            "/v1/clients",
            json={"name": "x", "scopes": ["aggregates:read"], "limits": {"requests_per_second": 0.01, "burst": 1}},
        )
    )
    account = (new["id"], new["client_secret"])
    assert (await registrar.post("/oauth/token", data=TOKEN, auth=account)).status_code == 200
    answer = await registrar.post("/oauth/token", data=TOKEN, auth=account)
    assert (answer.status_code, shown(answer)["error"]) == (429, "temporarily_unavailable")
    assert 90 <= int(answer.headers["retry-after"]) <= 100
    answer = await registrar.get("/sdmx/v1/dataflow/VNGOV", auth=account)
    assert (answer.status_code, "retry-after" in answer.headers) == (429, True)
    assert answer.headers["content-type"].startswith("application/xml")


async def test_a_client_without_limits_asks_the_database_nothing(gateway: Gateway, client_for: NewClient) -> None:
    client = await client_for()
    for _ in range(20):
        assert (await client.get("/v1/forms")).status_code == 200
    async with connected(gateway.engine) as connection:
        assert await connection.fetchval("SELECT count(*) FROM client_buckets") == 0


async def test_the_setting_limits_whoever_has_no_limit_of_its_own(gateway: Gateway, engine: AsyncEngine) -> None:
    settings = gateway.settings.model_copy(update={"requests_per_second": 3.0})
    account = await add_account(engine, ["reports:read"], None)
    own = build_gateway(settings, engine)
    async with in_process(own, headers=bearer(own.tokens, account.id, ["reports:read"], None)) as client:
        statuses = [(await client.get("/v1/forms")).status_code for _ in range(6)]
    assert statuses[:3] == [200] * 3
    assert 429 in statuses


async def test_new_limits_hold_for_tokens_that_are_out(registrar: httpx.AsyncClient) -> None:
    identity, headers = await limited(registrar)
    assert (await registrar.get("/v1/forms", headers=headers)).status_code == 200
    answer = await registrar.put(f"/v1/clients/{identity}/limits", json={"requests_per_second": 0.1})
    assert shown(answer)["limits"] == {"requests_per_second": 0.1, "burst": None, "reports_per_day": None}
    began = time.monotonic()
    while (await registrar.get("/v1/forms", headers=headers)).status_code == 200:
        assert time.monotonic() - began < 5
        await asyncio.sleep(0.05)


async def test_a_client_of_a_subtree_does_not_set_its_own_limits(client_for: NewClient, gateway: Gateway) -> None:
    account = await add_account(gateway.engine, ["clients:write"], "H26")
    async with in_process(gateway, headers=bearer(gateway.tokens, account.id, ["clients:write"], "H26")) as client:
        answer = await client.put(f"/v1/clients/{account.id}/limits", json={})
        refused(answer, 403, "forbidden")


async def test_nor_by_way_of_another_client_that_has_none(client_for: NewClient, gateway: Gateway) -> None:
    account = await add_account(gateway.engine, ["clients:write"], "H26")
    caller = Caller(account.id, frozenset({Scope.clients_write}), "H26", limits=Limits(None, None, 1))
    token = gateway.tokens.issue(caller, datetime.now(UTC))
    async with in_process(gateway, headers={"Authorization": f"Bearer {token}"}) as client:
        asked = {"name": "x", "agency": "H26", "scopes": ["clients:write"]}
        refused(await client.post("/v1/clients", json=asked), 403, "forbidden")
        refused(await client.post("/v1/clients", json=asked | {"limits": {"reports_per_day": 2}}), 403, "forbidden")
        within = asked | {"limits": {"reports_per_day": 1}}
        assert (await client.post("/v1/clients", json=within)).status_code == 201


@pytest.mark.parametrize(
    "limits",
    [{"requests_per_second": 0}, {"requests_per_second": 0.0001}, {"burst": 0}, {"reports_per_day": -1}, {"x": 1}],
)
async def test_limits_that_are_none_are_refused(registrar: httpx.AsyncClient, limits: dict[str, Any]) -> None:
    identity, _ = await limited(registrar)
    refused(await registrar.put(f"/v1/clients/{identity}/limits", json=limits), 400, "malformed-request")


async def test_reports_beyond_a_days_are_refused_alone_and_in_a_batch(registrar: httpx.AsyncClient) -> None:
    _, headers = await limited(registrar, reports_per_day=4)
    registrar.headers.update(headers)
    assert (await push(registrar, a_report())).status_code == 201
    reports = [a_report(agency=agency) for agency in ("H01.18", "H05.18", "H12.18", "H29.18", "H30.18")]
    answer = await push(registrar, ndjson(*reports), to="/batch")
    lines = [line for line in answer.text.splitlines() if line]
    assert [("201" if '"status":"accepted"' in line else line.split('"status":')[1][:3]) for line in lines] == [
        *["201"] * 3,
        *["429"] * 2,
    ], answer.text[:2000]
    late = await push(registrar, a_report(agency="H29.18"))
    assert refused(late, 429, "too-many-requests")["limit"] == "reports_per_day"
    midnight = datetime.combine(datetime.now(VIETNAM).date() + timedelta(days=1), datetime.min.time(), VIETNAM)
    assert abs(int(late.headers["retry-after"]) - (midnight - datetime.now(UTC)).total_seconds()) < 5


async def test_another_day_begins_anew(gateway: Gateway) -> None:
    client = uuid7()
    one = Limits(reports_per_day=1)
    assert (await gateway.allowance.take_reports(client, one, 2))[0] == 1
    async with connected(gateway.engine) as connection:
        await connection.execute("UPDATE client_days SET day = day - 1")
    gateway.allowance._reports.clear()
    assert (await gateway.allowance.take_reports(client, one, 2))[0] == 1
    assert (await gateway.allowance.take_reports(client, one, 1))[0] == 0


RUSH = """
import asyncio, sys, time
from uuid import UUID
from gateway.access import allowance as gateway_allowance
from gateway.access.allowance import Allowance
from gateway.access.limits import NONE, Limits
from gateway.access.scopes import Scope
from gateway.access.tokens import Caller
from gateway.db.engine import open_engine
from gateway.errors import TooManyRequests
from gateway.settings import Settings

async def main(url, client, seconds):
    engine = open_engine(Settings(), url)
    allowance, limits, passed = Allowance(engine, NONE), Limits(50.0, 20), []
    async def rush():
        while time.time() < ends:
            try:
                await allowance.take_request(client, limits)
                passed.append(time.time())
            except TooManyRequests:
                await asyncio.sleep(0.002)
    async with engine.connect():
        pass
    print("ready", flush=True)
    sys.stdin.readline()
    ends = time.time() + seconds
    await asyncio.gather(*(rush() for _ in range(4)))
    await engine.dispose()
    print(*passed)

asyncio.run(main(sys.argv[1], UUID(sys.argv[2]), float(sys.argv[3])))
"""


async def rush(url: str, clients: list[UUID], seconds: float) -> list[float]:
    """When requests were let in of processes that make all they can, each for a client of 50 a second, 20 at once."""
    environment, pipe = {"PYTHONPATH": ":".join(sys.path)}, subprocess.PIPE
    running = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", RUSH, url, str(client), str(seconds)), stdin=pipe, stdout=pipe, env=environment
        )
        for client in clients
    ]
    for each in running:
        assert each.stdout
        assert await each.stdout.readline() == b"ready\n"
    written = await asyncio.gather(*(each.communicate(b"go\n") for each in running))
    return sorted(float(word) for out, _ in written for word in out.split())


BOUND = 20 + 2
"""One burst; a request is noted a little after it was let in."""


def most_beyond(passed: list[float], per_second: float) -> float:
    """By how many the busiest window of time exceeds what the rate alone would allow in it."""
    ahead = [index - per_second * at for index, at in enumerate(passed)]
    lowest, most = float("inf"), 0.0
    for value in ahead:
        lowest = min(lowest, value)
        most = max(most, value - lowest + 1)
    return most


async def test_eight_processes_together_let_in_no_more_than_the_limit_and_one_burst(
    database_url: str, engine: AsyncEngine
) -> None:
    client = uuid7()
    passed = await rush(database_url, [client] * 8, 1.5)
    again = await rush(database_url, [client] * 2, 0.3)  # other processes, after a restart of all of them
    assert 15 <= most_beyond(passed + again, 50.0) <= BOUND
    assert len(passed) >= 20 + 50 * 1.5 * 0.85


async def test_buckets_of_each_processs_own_would_be_found(database_url: str, engine: AsyncEngine) -> None:
    """The control."""
    assert most_beyond(await rush(database_url, [uuid7(), uuid7()], 0.3), 50.0) > BOUND


async def test_what_waits_together_asks_together(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0
    allowance = Allowance(gateway.engine, NONE)

    async def counted(*arguments: Any) -> Any:
        nonlocal asked
        asked += 1
        return await take_requests(*arguments)

    monkeypatch.setattr(gateway_allowance, "take_requests", counted)
    client, limits = uuid7(), Limits(1000.0, 150)
    results = await asyncio.gather(
        *(allowance.take_request(client, limits) for _ in range(200)), return_exceptions=True
    )
    refusals = [each for each in results if isinstance(each, TooManyRequests)]
    assert 30 <= len(refusals) <= 50
    assert asked == 1
    assert {each.retry_after for each in refusals} == {1}
