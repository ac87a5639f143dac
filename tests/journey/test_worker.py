"""Workers as processes of their own, killed and stopped at every point of a delivery's way."""

import asyncio
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import cycle, pairwise
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from forwarding import (
    BY,
    Upstream,
    attempts,
    connect_upstream,
    deliveries,
    receive,
    receive_revisions,
    states,
    until,
    until_all,
    upstream,
    working,
)
from gateway.api.deps import Gateway
from gateway.flow.take_up import retry_connector
from gateway.settings import Settings
from gateway_under_test import connected, shown

MAIN = """
import asyncio
from gateway.settings import Settings
from gateway.worker import main
asyncio.run(main(Settings()))
"""


class Workers:
    """Starts worker processes, which share the gateway's database and keys."""

    def __init__(self, settings: Settings, url: str) -> None:
        self._environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(sys.path),
            "GATEWAY_DATABASE_URL": url,
            "GATEWAY_DATA_DIR": str(settings.data_dir),
            "GATEWAY_LEASE_SECONDS": "3",
            "GATEWAY_ATTEMPT_SECONDS": "1.2",
            "GATEWAY_WORKER_POLL_SECONDS": "0.05",
        }
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, "-c", MAIN], env=self._environment)
        self.started.append(process)
        return process


@pytest.fixture
def workers(settings: Settings, database_url: str) -> Iterator[Workers]:
    found = Workers(settings, database_url)
    yield found
    for process in found.started:
        kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """``kill -9``: nothing is finished, nothing is said."""
    process.kill()
    process.wait()


@asynccontextmanager
async def locked(engine: AsyncEngine, table: str) -> AsyncIterator[asyncpg.Connection]:
    """Keep everybody else from a table."""
    async with connected(engine) as connection, connection.transaction():
        await connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        yield connection


async def waiting_for(engine: AsyncEngine, table: str) -> list[int]:
    """The server processes that wait for a table."""
    async with connected(engine) as connection:
        rows = await connection.fetch(
            "SELECT pid FROM pg_locks WHERE NOT granted AND relation = to_regclass($1)"
            " AND pid IN (SELECT pid FROM pg_stat_activity WHERE datname = current_database())",
            table,
        )
    return [row["pid"] for row in rows]


async def test_a_worker_killed_between_claiming_and_sending_loses_nothing(gateway: Gateway, workers: Workers) -> None:
    async with upstream() as national:
        await connect_upstream(gateway, national.url)
        report = await receive(gateway)
        async with locked(gateway.engine, "report_rows"):
            victim = workers.start()
            await until(lambda: _true_of(waiting_for(gateway.engine, "report_rows")))
            assert await states(gateway.engine) == ["sending"]
            workers.start()
            kill(victim)
        await until_all(gateway.engine, "delivered")
        assert [(each["id"], each["count"]) for each in await national.received()] == [(str(report), 1)]
    assert [each["outcome"] for each in await attempts(gateway.engine)] == ["ambiguous", "delivered"]


async def test_a_worker_killed_before_the_answer_came_leads_to_a_repeat_under_the_same_id(
    gateway: Gateway, workers: Workers
) -> None:
    async with upstream() as national:
        await connect_upstream(gateway, national.url)
        await national.behave(mode="stall", seconds=30, count=1)
        report = await receive(gateway)
        victim = workers.start()
        await until(lambda: _true_of(national.received()))
        workers.start()
        kill(victim)
        await until_all(gateway.engine, "delivered")
        assert [(each["id"], each["count"]) for each in await national.received()] == [(str(report), 2)]
    assert [each["status"] for each in await attempts(gateway.engine)] == [None, 200]


async def test_a_worker_killed_before_it_recorded_the_answer_leads_to_a_repeat_under_the_same_id(
    gateway: Gateway, workers: Workers
) -> None:
    async with upstream() as national:
        await connect_upstream(gateway, national.url)
        await national.behave(mode="stall", seconds=0.5, count=1)
        report = await receive(gateway)
        victim = workers.start()
        await until(lambda: _true_of(national.received()))
        async with locked(gateway.engine, "attempts") as connection:
            workers.start()
            await until(lambda: _true_of(waiting_for(gateway.engine, "attempts")))
            kill(victim)
            # Left alone, the server would still commit the statement that waits.
            for pid in await waiting_for(gateway.engine, "attempts"):
                await connection.execute("SELECT pg_terminate_backend($1)", pid)
        await until_all(gateway.engine, "delivered")
        assert [(each["id"], each["count"]) for each in await national.received()] == [(str(report), 2)]


async def test_a_worker_told_to_end_records_what_it_is_sending_and_ends_well(
    gateway: Gateway, workers: Workers
) -> None:
    async with upstream() as national:
        await connect_upstream(gateway, national.url)
        await national.behave(mode="stall", seconds=0.6)
        await receive(gateway)
        worker = workers.start()
        await until(lambda: _true_of(national.received()))
        worker.terminate()
        assert await asyncio.to_thread(worker.wait, 10) == 0
        assert await states(gateway.engine) == ["delivered"]
        assert [each["count"] for each in await national.received()] == [1]


async def _true_of(found: Any) -> bool:
    return bool(await found)


def out_of_order(arrived: list[dict[str, Any]], keys: list[list[UUID]]) -> list[str]:
    """Reports of which a repeat, or the first, came after a later revision of the same key did."""
    found = {each["id"]: each for each in arrived}
    return [
        str(later)
        for key in keys
        for earlier, later in pairwise(key)
        if found[str(earlier)]["last_at"] > found[str(later)]["first_at"]
    ]


async def test_workers_killed_again_and_again_lose_nothing_and_keep_the_order_of_every_key(
    gateway: Gateway, workers: Workers
) -> None:
    async with upstream() as national:
        await connect_upstream(gateway, national.url)
        running = [workers.start() for _ in range(2)]
        keys = await _push_keys(gateway, 6, 3)
        await until(lambda: _true_of(national.received()))
        for turn in range(3):
            await national.behave(mode="stall", seconds=0.3)
            keys += await _push_keys(gateway, 4, 3, first_year=2050 + turn)
            kill(running.pop(0))
            running.append(workers.start())
        await national.behave(mode="accept")
        await _until_delivered(gateway, national)
        arrived = await national.received()
    assert {each["id"] for each in arrived} == {str(report) for key in keys for report in key}
    assert out_of_order(arrived, keys) == []
    [repeats] = [sum(each["count"] - 1 for each in arrived)]
    lost = [each for each in await attempts(gateway.engine) if each["outcome"] == "ambiguous"]
    assert repeats <= len(lost)


async def _push_keys(gateway: Gateway, keys: int, revisions: int, first_year: int = 2030) -> list[list[UUID]]:
    """Reports of so many keys, of one agency and unlike quarters, with so many revisions each."""
    return [
        await receive_revisions(gateway, revisions, agency=agency, period=f"{first_year}-Q1")
        for agency, _ in zip(cycle(["H26.18", "H01.18", "H05.18", "H12.18", "H21.18", "H29.18"]), range(keys))
    ]


async def _until_delivered(gateway: Gateway, national: Upstream, seconds: float = 60) -> None:
    """Wait until all is delivered, hastening what waits out its back-off."""

    async def delivered() -> bool:
        await retry_connector(gateway.engine, "national", lambda _: True, BY)
        await asyncio.sleep(0.1)
        return set(await states(gateway.engine)) == {"delivered"}

    await until(delivered, seconds, lambda: deliveries(gateway.engine))


async def test_four_workers_keep_the_order_of_every_key_through_an_upstream_that_fails_in_every_way(
    gateway: Gateway,
) -> None:
    troubles: list[dict[str, Any]] = [
        {"mode": "drop", "count": 3},
        {"mode": "refuse", "status": 503, "count": 4},
        {"mode": "stall", "seconds": 5, "count": 2},
        {"mode": "throttle", "retry_after": 0, "count": 4},
        {"mode": "drop", "count": 5},
    ]
    async with upstream() as national, working(gateway, count=4, attempt_seconds=0.3):
        await connect_upstream(gateway, national.url)
        keys: list[list[UUID]] = []
        for turn, trouble in enumerate(troubles):
            await national.behave(**trouble)
            keys += await _push_keys(gateway, 3, 3, first_year=2050 + turn)
            await until(lambda: _is_over(national))
        await until_all(gateway.engine, "delivered")
        arrived = await national.received()
    assert {each["id"] for each in arrived} == {str(report) for key in keys for report in key}
    assert out_of_order(arrived, keys) == []
    outcomes = {each["outcome"] for each in await attempts(gateway.engine)}
    assert outcomes == {"delivered", "ambiguous", "unreachable", "throttled"}
    assert await _by_delivery_in_turn(gateway.engine)


async def _is_over(national: Upstream) -> bool:
    """Whether the upstream has done with its misbehaviour."""
    return bool(shown(await national.client.get("/behaviour"))["mode"] == "accept")


async def _by_delivery_in_turn(engine: AsyncEngine) -> bool:
    """Whether no two attempts at one key overlap, by the database's clock."""
    async with connected(engine) as connection:
        rows = await connection.fetch(
            "SELECT agency_id, period, started_at, a.finished_at"
            " FROM attempts a JOIN deliveries d ON d.id = delivery_id ORDER BY started_at"
        )
    keys = defaultdict(list)
    for row in rows:
        keys[row["agency_id"], row["period"]].append(row)
    return all(before["finished_at"] <= after["started_at"] for key in keys.values() for before, after in pairwise(key))
