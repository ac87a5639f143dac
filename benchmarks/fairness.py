"""How evenly one worker serves twenty upstreams, one of which has a hundred times as much waiting as each other."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from uuid import UUID

from benchmarks.delivery import upstream
from benchmarks.outbox import FILL, connector, emptied, keep_reports
from benchmarks.outcome import Comparison
from benchmarks.processes import Bench
from benchmarks.reports import Keys

from gateway.flow.wake import CHANNEL

UPSTREAMS, EACH, BACKLOG = 20, 100, 10_000
_LEFT = """
SELECT EXISTS (SELECT FROM deliveries WHERE connector_id = ANY ($1) AND state = 'pending')
    OR EXISTS (SELECT FROM deliveries WHERE connector_id = ANY ($1) AND state = 'sending')
"""
_ENDS = """
SELECT connector_id, extract(epoch FROM finished_at - made_at)::float8 AS seconds
  FROM deliveries WHERE connector_id = ANY ($1) AND state = 'delivered' ORDER BY seconds
"""


async def fairness(bench: Bench, keys: Keys, rounds: int) -> list[Comparison]:
    """The longest that one with a hundred waiting takes, beside one with ten thousand, over beside its like."""
    reports = await keep_reports(bench, keys, BACKLOG, 1)
    times, evenness = [], []
    with upstream() as stub, bench.worker():
        await _drain(bench, stub.url, "first", reports[:EACH], reports[:EACH])
        for number in range(rounds):
            alike, _ = await _drain(bench, stub.url, f"alike-{number}", reports[:EACH], reports[:EACH])
            beside, even = await _drain(bench, stub.url, f"beside-{number}", reports[:EACH], reports)
            times.append((1000 * alike, 1000 * beside))
            evenness.append(100 * even)
    name = f"the slowest of {UPSTREAMS - 1} upstreams with {EACH} waiting, beside one with {BACKLOG:,}"
    return [Comparison(name, "ms", times, "≤ 1.5", {"Jain's index at the worst, %": min(evenness)})]


async def _drain(bench: Bench, url: str, name: str, few: Sequence[UUID], many: Sequence[UUID]) -> tuple[float, float]:
    """Give one upstream many reports, which are its first, and the others few each, at one moment.

    The seconds until the last of the others has all of its own; and Jain's index of what each of all the upstreams had
    been sent when the first of the others had everything: 1 where all had the same, 1/20 where one had it all.
    """
    async with AsyncExitStack() as stack:
        greedy, *others = [
            await stack.enter_async_context(connector(bench, f"{name}-{number}", url)) for number in range(UPSTREAMS)
        ]
        async with bench.connected() as connection:
            async with connection.transaction():
                for number in (greedy, *others):
                    await connection.execute(FILL, number, many if number == greedy else few)
                await connection.execute(f"NOTIFY {CHANNEL}")
            await emptied(connection, _LEFT, others)
            await connection.execute("DELETE FROM deliveries WHERE connector_id = $1 AND state = 'pending'", greedy)
            await emptied(connection, _LEFT, [greedy])
        ends = await bench.fetch(_ENDS, [greedy, *others])
    sent = dict.fromkeys([greedy, *others], 0)
    last = 0.0
    found = None
    for row in ends:
        sent[row["connector_id"]] += 1
        if row["connector_id"] != greedy:
            last = row["seconds"]
            if found is None and sent[row["connector_id"]] == len(few):
                found = _jain(list(sent.values()))
    if found is None or min(sent[number] for number in others) < len(few):
        raise RuntimeError("not everything was delivered")
    return last, found


def _jain(shares: Sequence[int]) -> float:
    return sum(shares) ** 2 / (len(shares) * sum(each**2 for each in shares))
