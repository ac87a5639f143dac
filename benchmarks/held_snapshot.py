"""What a transaction that is held open does to claims: it keeps every row version that there was since."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from subprocess import DEVNULL, PIPE
from uuid import UUID

from benchmarks.delivery import AT_ONCE
from benchmarks.outbox import OPEN, connector, drained, emptied, fill, keep_reports
from benchmarks.outcome import Comparison
from benchmarks.processes import Bench, spawned
from benchmarks.reports import Keys

SECONDS = 30
_EVERY = 0.1
"""Seconds between two lots of deliveries."""
_RATE_SHARE = 0.6
"""Of what the worker can do: how fast the outbox is filled."""


@asynccontextmanager
async def _held(bench: Bench) -> AsyncIterator[None]:
    """A transaction that has read something, and does nothing more."""
    async with bench.connected() as connection, connection.transaction(isolation="repeatable_read"):
        await connection.fetchval("SELECT count(*) FROM deliveries")
        yield


async def _load(bench: Bench, names: Sequence[str], reports: Sequence[UUID], rate: float) -> tuple[float, float]:
    """Give so many deliveries a second to a worker, each connector all reports; from when to when."""
    began, made = time.time(), 0
    lot = max(1, int(rate * _EVERY))
    async with bench.connected() as connection:
        for name in names:
            async with connector(bench, name, "http://127.0.0.1:9/reports") as number:
                for first in range(0, len(reports), lot):
                    await asyncio.sleep(began + made / rate - time.time())
                    if time.time() - began > SECONDS:
                        return began, time.time()
                    await fill(connection, number, reports[first : first + lot])
                    made += len(reports[first : first + lot])
                await emptied(connection, OPEN, number)
    return began, time.time()


def _percentile(claims: list[tuple[float, float]], window: tuple[float, float], share: float) -> float:
    """Milliseconds within which that share of the claims of a time was made."""
    took = sorted(1000 * seconds for began, seconds in claims if window[0] <= began <= window[1])
    return took[int(len(took) * share)]


async def held_snapshot(bench: Bench, keys: Keys, rounds: int, count: int) -> list[Comparison]:
    """The 99th percentile of claims that gave something, without and with the transaction held."""
    reports = await keep_reports(bench, keys, count, 1)
    command = [sys.executable, "-m", "benchmarks.no_op", "ours", bench.database, str(AT_ONCE)]
    windows = []
    with spawned(command, bench.environment, stdout=PIPE, stderr=DEVNULL) as worker:
        async with connector(bench, "rate", "http://127.0.0.1:9/reports") as number:
            await drained(bench, number, reports[:300])
        async with connector(bench, "rate", "http://127.0.0.1:9/reports") as number:
            rate = _RATE_SHARE * count / await drained(bench, number, reports)
        for turn in range(rounds):
            await bench.fetch("VACUUM ANALYZE deliveries")
            without = await _load(bench, [f"free-{turn}-{each}" for each in range(1000)], reports, rate)
            await bench.fetch("VACUUM ANALYZE deliveries")
            async with _held(bench):
                held = await _load(bench, [f"held-{turn}-{each}" for each in range(1000)], reports, rate)
            windows.append((without, held))
        worker.terminate()
        told, _ = worker.communicate()
    claims: list[tuple[float, float]] = json.loads(told)
    both = [(_percentile(claims, free, 0.99), _percentile(claims, held, 0.99)) for free, held in windows]
    notes = {"p50": _percentile(claims, windows[-1][1], 0.5), "without": _percentile(claims, windows[-1][0], 0.5)}
    name = f"p99 of claims, a snapshot held for {SECONDS} s, {rate:,.0f} deliveries/s"
    return [Comparison(name, "ms", both, "≤ 2", notes)]
