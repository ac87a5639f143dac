"""How fast a worker empties a queue whose jobs do nothing: ours, Procrastinate and PgQueuer, in turns."""

import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from subprocess import DEVNULL
from uuid import UUID

import asyncpg
from benchmarks.delivery import AT_ONCE
from benchmarks.no_op import JOB, rival_app
from benchmarks.outbox import connector, drained, emptied, keep_reports
from benchmarks.outcome import Comparison
from benchmarks.processes import Bench, spawned
from benchmarks.reports import Keys
from pgqueuer.db import AsyncpgDriver
from pgqueuer.queries import Queries

from gateway.api.batch import MOST_LINES

_SHARE = {"ours": 1.0, "procrastinate": 0.25, "pgqueuer": 1.0, "pgqueuer-unbounded": 1.0}
"""Of the jobs in a round: who is slow gets fewer, since its rate does not depend on how many there are."""
_WARM_UP = 200
_TIMES = 4
"""So many times the jobs of other measurements: a queue of two thousand is empty in less than a second."""

Drain = Callable[[int], Awaitable[float]]
"""Gives so many jobs to a queue and tells how many seconds its worker takes for them once they are there."""


def _command(name: str, url: str) -> list[str]:
    return [sys.executable, "-m", "benchmarks.no_op", name, url, str(AT_ONCE)]


@asynccontextmanager
async def ours(bench: Bench, reports: Sequence[UUID]) -> AsyncIterator[Drain]:
    rounds = iter(range(10**9))

    async def drain(count: int) -> float:
        async with connector(bench, f"no-op-{next(rounds)}", "http://127.0.0.1:9/reports") as number:
            return await drained(bench, number, reports[:count])

    with spawned(_command("ours", bench.database), bench.environment, stdout=DEVNULL, stderr=DEVNULL):
        yield drain


async def _database(bench: Bench, name: str) -> str:
    """A database of its own on the same server; its URL."""
    async with bench.connected() as connection:
        await connection.execute(f"CREATE DATABASE {name}")
    return bench.database.replace("/gateway?", f"/{name}?")


@asynccontextmanager
async def procrastinate(bench: Bench) -> AsyncIterator[Drain]:
    url = await _database(bench, "bench_procrastinate")
    app = rival_app(url)
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        task = app.tasks[JOB]
        connection = await asyncpg.connect(url)

        async def drain(count: int) -> float:
            await task.batch_defer_async(*({} for _ in range(count)))
            began = time.perf_counter()
            await emptied(
                connection, "SELECT EXISTS (SELECT FROM procrastinate_jobs WHERE status IN ('todo', 'doing'))"
            )
            return time.perf_counter() - began

        with spawned(_command("procrastinate", url), {}, stderr=DEVNULL):
            yield drain
        await connection.close()


@asynccontextmanager
async def pgqueuer(bench: Bench, name: str) -> AsyncIterator[Drain]:
    url = await _database(bench, f"bench_{name.replace('-', '_')}")
    connection, watching = await asyncpg.connect(url), await asyncpg.connect(url)
    queries = Queries(AsyncpgDriver(connection))
    await queries.install()

    async def drain(count: int) -> float:
        await queries.enqueue([JOB] * count, [None] * count, [0] * count)
        began = time.perf_counter()
        await emptied(watching, "SELECT EXISTS (SELECT FROM pgqueuer)")
        return time.perf_counter() - began

    with spawned(_command(name, url), {}, stderr=DEVNULL):
        yield drain
    await connection.close()
    await watching.close()


async def queues(bench: Bench, keys: Keys, rounds: int, count: int) -> list[Comparison]:
    """Jobs a second of each over so many rounds; every worker runs all the time, and has work in turn."""
    count = min(_TIMES * count, MOST_LINES)
    reports = await keep_reports(bench, keys, count, 1)
    rates: dict[str, list[float]] = {name: [] for name in _SHARE}
    async with AsyncExitStack() as stack:
        opened = [ours(bench, reports), procrastinate(bench), *(pgqueuer(bench, name) for name in list(_SHARE)[2:])]
        drains = {name: await stack.enter_async_context(each) for name, each in zip(_SHARE, opened, strict=True)}
        for drain in drains.values():
            await drain(_WARM_UP)
        for _ in range(rounds):
            for name, drain in drains.items():
                jobs = int(count * _SHARE[name])
                rates[name].append(jobs / await drain(jobs))
    names = {
        "procrastinate": f"no-op jobs, {AT_ONCE} at once, over Procrastinate",
        "pgqueuer": f"no-op jobs, {AT_ONCE} at once, over PgQueuer",
        "pgqueuer-unbounded": f"no-op jobs, {AT_ONCE} at once, over PgQueuer without bounds",
    }
    return [
        Comparison(name, "jobs/s", list(zip(rates[key], rates["ours"], strict=True)), "> 1")
        for key, name in names.items()
    ]
