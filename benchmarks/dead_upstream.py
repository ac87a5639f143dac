"""What healthy upstreams notice of a dead one with a long backlog: the time from acceptance to delivery."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import UUID

from benchmarks.delivery import upstream
from benchmarks.load import request, send_all
from benchmarks.outbox import connector, emptied, fill, keep_reports
from benchmarks.outcome import Comparison
from benchmarks.processes import Bench
from benchmarks.reports import Keys, body

HEALTHY, WAITING = 3, 100_000
_RATE, _CONNECTIONS = 60.0, 8
"""Reports a second, each for every healthy upstream."""
_REAL = 1_000
"""Waiting deliveries that are of reports: the first, which are all that a dead upstream gets to."""
_BACKLOG = """
INSERT INTO deliveries (id, connector_id, report_id, event, agency_id, form_id, period, kind)
SELECT gen_random_uuid(), $1, gen_random_uuid(), 'accepted', agencies.id, 1, n::text, 'own'
  FROM generate_series(1, $2::int / 1000 + 1) AS n, (SELECT id FROM agencies LIMIT 1000) AS agencies LIMIT $2
"""
_FIRST = "UPDATE deliveries SET due_at = now() - interval '1 hour' WHERE connector_id = $1 AND report_id = ANY ($2)"
_LEFT = "SELECT EXISTS (SELECT FROM deliveries WHERE connector_id = ANY ($1) AND state IN ('pending', 'sending'))"
_TIMES = """
SELECT extract(epoch FROM finished_at - made_at)::float8 AS seconds
  FROM deliveries WHERE connector_id = ANY ($1) AND state = 'delivered' ORDER BY 1
"""


async def _latencies(bench: Bench, keys: Keys, url: str, name: str, seconds: float) -> list[float]:
    """Seconds from acceptance to delivery of reports that are pushed for so long, in order."""
    async with AsyncExitStack() as stack:
        names = [f"{name}-{number}" for number in range(HEALTHY)]
        numbers = [await stack.enter_async_context(connector(bench, each, url, "own")) for each in names]
        requests = [_request(bench, keys, variant) for variant in range(int(_RATE * seconds))]
        await send_all(bench.api.port, requests, _CONNECTIONS, rate=_RATE)
        async with bench.connected() as connection:
            await emptied(connection, _LEFT, numbers)
        found = [row["seconds"] for row in await bench.fetch(_TIMES, numbers)]
    if len(found) != len(requests) * HEALTHY:
        raise RuntimeError(f"{len(found)} deliveries were made of {len(requests)} reports to {HEALTHY} upstreams")
    return found


def _request(bench: Bench, keys: Keys, variant: int) -> bytes:
    agency, period = next(keys)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {bench.token}"}
    return request("/v1/reports", bench.api.port, body("BENCH_11", agency, period, 1, variant), headers)


@asynccontextmanager
async def _dead(bench: Bench, name: str, url: str, reports: Sequence[UUID]) -> AsyncIterator[None]:
    """An upstream that is away, and all that waits for it."""
    async with connector(bench, name, url) as number, bench.connected() as connection:
        await connection.execute(_BACKLOG, number, WAITING - len(reports))
        await fill(connection, number, reports)
        await connection.execute(_FIRST, number, reports)
        await connection.execute("ANALYZE deliveries")
        yield
        await connection.execute("DELETE FROM deliveries WHERE connector_id = $1 AND state = 'pending'", number)
    await bench.fetch("VACUUM ANALYZE deliveries")


async def dead_upstream(bench: Bench, keys: Keys, rounds: int, seconds: float) -> list[Comparison]:
    """The 99th percentile without and with a dead upstream: one that refuses connections, one that never answers."""
    reports = await keep_reports(bench, keys, _REAL, 1)
    found = []
    with upstream() as stub, bench.worker():
        await _latencies(bench, keys, stub.url, "first", 1)
        for way, url in (("refuses connections", "http://127.0.0.1:9/"), ("never answers", stub.silent)):
            times, middle = [], []
            for number in range(rounds):
                name = f"{way.split()[0]}-{number}"
                without = await _latencies(bench, keys, stub.url, f"{name}-without", seconds)
                async with _dead(bench, f"{name}-dead", url, reports):
                    beside = await _latencies(bench, keys, stub.url, f"{name}-beside", seconds)
                times.append((_percentile(without, 0.99), _percentile(beside, 0.99)))
                middle.append((_percentile(without, 0.5), _percentile(beside, 0.5)))
            name = f"p99 of healthy upstreams beside one that {way}, {WAITING:,} waiting"
            notes = {"p50": sorted(each[1] for each in middle)[rounds // 2], "without": sorted(middle)[rounds // 2][0]}
            found.append(Comparison(name, "ms", times, "≤ 1.5", notes))
    return found


def _percentile(ordered: list[float], share: float) -> float:
    """Milliseconds within which that share of some ordered seconds lies."""
    return 1000 * ordered[min(int(len(ordered) * share), len(ordered) - 1)]
