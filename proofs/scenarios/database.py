"""Answers of PostgreSQL that do not come, PostgreSQL restarted under load, and a transaction that holds it up."""

import asyncio
import os
import signal
from collections.abc import Sequence

from proofs.faults.wire import Wire, drop, notification, order_of, swallow, with_rows
from proofs.ledger import Answered, Arrived, Fault, Measured
from proofs.scenario import Scenario
from proofs.stage import ATTEMPT, LEASE, Stage
from proofs.statements import CLAIMING, RECORDING, STORING

_REPORTS, _MORE = 800, ("audit", "finance", "planning", "statistics")
"""How many reports, with these upstreams besides the usual three, make 5,200 deliveries."""
_TOGETHER = 32
_POLL = 0.3
"""Seconds between two polls of a worker, here."""
_POLLING = {"GATEWAY_WORKER_POLL_SECONDS": str(_POLL)}
_OWN = 1.0
"""Seconds that claiming, reading a report and a busy machine may add to a poll and an attempt."""
_FORWARDING = (RECORDING, CLAIMING)


async def lose_commits(stage: Stage) -> None:
    """Connections of the API and of a worker break at their statements: before these arrive, or when they are
    committed and the answer is on its way."""
    api, worker = await _wire(stage), await _wire(stage)
    await stage.begin(1, api_port=api.port, worker_port=worker.port)
    async with stage.load():
        for _ in range(12):
            await asyncio.gather(_lose(stage, api, "api", [STORING]), _lose(stage, worker, "worker", _FORWARDING))


async def lose_notifications(stage: Stage) -> None:
    """Workers are never told that there is something to forward: a poll finds it."""
    wire = await _wire(stage)
    wire.when(notification, swallow, times=None)
    await stage.begin(worker_port=wire.port)
    async with stage.load(senders=2, pause=0.5, is_amended=False):
        await asyncio.sleep(6)
    await asyncio.sleep(2)
    _measure_delay(stage, _POLL + ATTEMPT + _OWN)


async def restart_postgres(stage: Stage) -> None:
    """PostgreSQL is stopped, stopped at once and killed while workers forward a backlog; each time it comes back.

    Before that a claim is committed of which its worker never learns.
    """
    wire = await _wire(stage)
    await stage.begin(0)
    wire.lose_answer(with_rows(CLAIMING), skip=stage.chance.randrange(3))
    for name in _MORE:
        await stage.upstream(name)
    together = asyncio.Semaphore(_TOGETHER)

    async def push() -> None:
        async with together:
            await stage.client.push(stage.key())

    await asyncio.gather(*(push() for _ in range(_REPORTS)))
    for _ in range(2):
        await stage.work(wire.port)
    for number, order in enumerate((signal.SIGINT, signal.SIGQUIT, signal.SIGKILL), start=1):
        await _until_arrived(stage, number * _REPORTS)
        _end_postgres(stage, order)
        await stage.wait(0, 2)
        await stage.postgres.start()
    overdue, listening = await _watch(stage)
    stage.ledger.write(Measured(what="seconds past the end of a lease", value=overdue, most=LEASE + _OWN))
    stage.ledger.write(Measured(what="workers that do not listen", value=len(stage.workers) - listening, most=0))


async def hold_snapshot(stage: Stage) -> None:
    """A transaction stays open all the time: nothing that was updated can be cleared away, and it may yet commit."""
    await stage.begin()
    async with (
        stage.postgres.connected(stage.database) as connection,
        connection.transaction(isolation="repeatable_read"),
    ):
        await connection.execute("SELECT pg_current_xact_id(), (SELECT count(*) FROM deliveries)")
        async with stage.load(pause=0):
            await asyncio.sleep(12)
        await asyncio.sleep(3)
        before = len(stage.ledger.lines())
        async with stage.load(senders=2, pause=0.5, is_amended=False):
            await asyncio.sleep(4)
        await asyncio.sleep(2)
        _measure_delay(stage, _POLL + ATTEMPT + _OWN, before)


async def _wire(stage: Stage) -> Wire:
    wire: Wire = await stage.entered(Wire(stage.postgres.socket, stage.chance.getrandbits(32)))
    return wire


async def _lose(stage: Stage, wire: Wire, who: str, statements: Sequence[str]) -> None:
    """Break a connection at one of the next statements; the ledger learns of it."""
    statement, skip = stage.chance.choice(statements), stage.chance.randrange(3)
    if stage.chance.random() < 0.6:
        rule, what = wire.lose_answer(statement, skip=skip), "lose answer"
    else:
        rule, what = wire.when(order_of(statement), drop, skip=skip), "lose statement"
    try:
        async with asyncio.timeout(3 * LEASE):
            await rule.struck.wait()
    except TimeoutError:
        pass  # there was nothing to do of that kind
    else:
        stage.note(what, who)
    finally:
        wire.rules.remove(rule)


def _measure_delay(stage: Stage, most: float, first: int = 0) -> None:
    """Put down the longest time from a report's acceptance, as its sender learnt of it, to its first arrivals."""
    taken: dict[str, float] = {}
    arrived: dict[tuple[str, str], float] = {}
    for line in stage.ledger.lines()[first:]:
        if isinstance(line, Answered) and line.status == 201 and line.report is not None:
            taken[line.report] = line.at
        elif isinstance(line, Arrived):
            arrived.setdefault((line.connector, line.report), line.at)
    longest = max(at - taken.get(report, at) for (_, report), at in arrived.items()) if arrived else most * 2
    stage.ledger.write(Measured(what="seconds from acceptance to arrival", value=longest, most=most))


async def _until_arrived(stage: Stage, count: int) -> None:
    """Wait until the upstreams have received so much."""
    while sum(len(each.arrivals) for each in stage.upstreams.values()) < count:  # noqa: ASYNC110 - not ours to signal
        await asyncio.sleep(0.02)


def _end_postgres(stage: Stage, order: signal.Signals) -> None:
    """Send the postmaster a signal: SIGINT stops PostgreSQL, SIGQUIT does so at once, SIGKILL leaves orphans."""
    pid = (stage.postgres.socket.parent / "data" / "postmaster.pid").read_text().split()[0]
    os.kill(int(pid), order)
    stage.ledger.write(Fault(what=order.name, who="postgres"))


async def _watch(stage: Stage) -> tuple[float, int]:
    """Over some leases, the longest time that a delivery was nobody's in, in seconds; and how many workers listen."""
    longest, listening = 0.0, 0
    async with stage.postgres.connected(stage.database) as connection:
        for _ in range(30):
            await asyncio.sleep(LEASE / 10)
            overdue, listening = await connection.fetchrow(
                "SELECT (SELECT coalesce(extract(epoch FROM max(now() - due_at)), 0)::float8"
                "          FROM deliveries WHERE state = 'sending'),"
                "       (SELECT count(*) FROM pg_stat_activity"
                "         WHERE datname = current_database() AND query LIKE 'LISTEN%')"
            )
            longest = max(longest, overdue)
    return longest, listening


SCENARIOS = [
    Scenario("lose-commits", lose_commits, ["answers-before-commit", "takes-silence-for-commit"], seconds=150),
    Scenario("lose-notifications", lose_notifications, ["never-polls"], _POLLING),
    Scenario("restart-postgres", restart_postgres, ["never-takes-over"], _POLLING, seconds=180),
    Scenario("hold-snapshot", hold_snapshot, ["waits-for-open-transactions"], settings=_POLLING, seconds=90),
]
