"""Things to test forwarding with: an upstream that does as it is told, fast workers, and reports to forward."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
from sqlalchemy.ext.asyncio import AsyncEngine
from uuid_utils.compat import uuid7

from factories import a_report, a_row, body
from gateway.api.deps import Gateway
from gateway.db.claims import Claimed, Slots, Target, claim_due
from gateway.db.engine import driver, open_engine
from gateway.db.recording import record_attempts
from gateway.db.roles import Role
from gateway.domain.breaker import BreakerPolicy
from gateway.domain.calendar import civil_date
from gateway.domain.connector_document import ConnectorDocument
from gateway.domain.delivery import Outcome, OutcomeClass, RetrySchedule
from gateway.domain.report import Status
from gateway.flow.connect import change_connector
from gateway.flow.forward import conclude
from gateway.flow.judge import Answer
from gateway.flow.prepare import Push
from gateway.flow.review import Ending, end_report
from gateway.flow.steer import Cause
from gateway.sandbox.server import sandbox_server
from gateway.settings import Settings
from gateway.worker import Worker
from gateway_under_test import connected, shown

CLIENT = uuid7()
BY = Cause(CLIENT)
"""An operator who does not say why."""
SOON = RetrySchedule(
    delays=(timedelta(milliseconds=30),), every=timedelta(milliseconds=60), horizon=timedelta(minutes=5)
)
"""A schedule for tests that wait for retries."""


def hasty(settings: Settings, **changes: object) -> Settings:
    """Settings for tests that wait for a worker."""
    fast: dict[str, object] = {
        "lease_seconds": 5.0,
        "attempt_seconds": 0.6,
        "worker_poll_seconds": 0.05,
        "follow_seconds": 0.1,
    }
    return settings.model_copy(update=fast | changes)


@dataclass(frozen=True, slots=True)
class Upstream:
    """A sandbox at work."""

    url: str
    client: httpx.AsyncClient

    async def behave(self, **behaviour: object) -> None:
        (await self.client.post("/behaviour", json=behaviour)).raise_for_status()

    async def received(self) -> list[dict[str, Any]]:
        """What arrived, oldest first."""
        items: list[dict[str, Any]] = shown(await self.client.get("/received"))["items"]
        return items[::-1]


@asynccontextmanager
async def upstream(secret: str | None = None) -> AsyncIterator[Upstream]:
    """A sandbox on a real server."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        server = sandbox_server(secret=secret)
        serving = asyncio.create_task(server.serve([listening]))
        try:
            async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
                yield Upstream(f"{url}/reports", client)
        finally:
            server.should_exit = True
            await serving


@asynccontextmanager
async def working(
    gateway: Gateway,
    count: int = 1,
    schedule: RetrySchedule = SOON,
    breaker: BreakerPolicy | None = None,
    **changes: object,
) -> AsyncIterator[list[Worker]]:
    """Workers at work in this process; stopped, and their last attempts recorded, at the end."""
    settings = hasty(gateway.settings, **changes)
    url = gateway.engine.url.render_as_string(hide_password=False)
    engine = open_engine(settings, url, Role.worker)
    workers = [Worker(settings, engine, gateway.catalogues, gateway.keys, schedule, breaker) for _ in range(count)]
    running = [asyncio.create_task(worker.run()) for worker in workers]
    try:
        yield workers
    finally:
        for worker in workers:
            if not worker.is_stopping:
                worker.stop()
        await asyncio.gather(*running)
        await engine.dispose()


async def connect_upstream(gateway: Gateway, url: str, name: str = "national", **changes: object) -> int:
    """Make or change a connector; its storage key."""
    given = {"kind": "http_json", "url": url, "allow_private_addresses": True, **changes}
    row, _ = await change_connector(
        gateway.engine,
        gateway.catalogues,
        gateway.keys.secrets,
        CLIENT,
        civil_date(datetime.now(UTC)),
        name,
        ConnectorDocument.model_validate(given),
        lambda _: True,
    )
    number: int = row.id
    return number


async def receive(gateway: Gateway, **changes: object) -> UUID:
    """Have a report accepted; its id."""
    pushed = Push(body(a_report(**changes)), "application/json", CLIENT, None, "en")
    reply = await gateway.intake.receive(pushed)
    assert isinstance(reply, Answer)
    assert reply.status == 201, reply.body
    assert reply.location
    return UUID(reply.location.rpartition("/")[2])


async def receive_revisions(gateway: Gateway, count: int, **changes: object) -> list[UUID]:
    """Have a report accepted and corrected again and again; the ids in order."""
    found: list[UUID] = []
    for number in range(count):
        rows = [a_row(received_online=2280 - number, received_offline=105 + number)]
        corrects = {"corrects": str(found[-1]), "reason": "sai số liệu"} if found else {}
        found.append(await receive(gateway, rows=rows, **corrects, **changes))
    return found


async def end(gateway: Gateway, report: UUID, status: Status, reason: str = "sai số liệu") -> None:
    """Return or withdraw a report."""
    await end_report(gateway.engine, await gateway.catalogues.newest(), report, Ending(status, CLIENT, reason))


async def deliveries(engine: AsyncEngine) -> list[dict[str, Any]]:
    """Every delivery as it is stored, in order."""
    async with connected(engine) as connection:
        return [dict(row) for row in await connection.fetch("SELECT * FROM deliveries ORDER BY seq")]


async def attempts(engine: AsyncEngine) -> list[dict[str, Any]]:
    """Every attempt as it is stored, in the order of deliveries."""
    async with connected(engine) as connection:
        rows = await connection.fetch(
            "SELECT a.* FROM attempts a JOIN deliveries d ON d.id = delivery_id ORDER BY seq, number"
        )
        return [dict(row) for row in rows]


async def states(engine: AsyncEngine) -> list[str]:
    return [each["state"] for each in await deliveries(engine)]


async def many_deliveries(engine: AsyncEngine, connector: int, count: int) -> None:
    """So many refused deliveries of reports that nobody looks for, each of a key of its own."""
    async with connected(engine) as connection:
        await connection.execute(
            "INSERT INTO deliveries (id, connector_id, report_id, event, agency_id, form_id, period, kind, state,"
            " finished_at) SELECT gen_random_uuid(), $1, gen_random_uuid(), 'accepted', 1, 1, '9' || n, 'own',"
            " 'refused', now() FROM generate_series(1, $2::int) AS n",
            connector,
            count,
        )


async def until(
    condition: Callable[[], Awaitable[bool]], seconds: float = 60, told: Callable[[], Awaitable[object]] | None = None
) -> None:
    """Wait until something holds; ``told`` says what there is instead, when it never does."""
    deadline = time.monotonic() + seconds
    while not await condition():
        if time.monotonic() > deadline:
            raise AssertionError(await told() if told else "it never came to that")
        await asyncio.sleep(0.02)


async def until_all(engine: AsyncEngine, state: str, seconds: float = 60) -> None:
    """Wait until every delivery is in a state."""

    async def all_are() -> bool:
        return set(await states(engine)) == {state}

    await until(all_are, seconds, lambda: deliveries(engine))


LEASE = timedelta(seconds=15)
NOWHERE = "http://127.0.0.1:9/reports"
TAKEN = Outcome(OutcomeClass.delivered, "taken", 201)
REFUSED = Outcome(OutcomeClass.refused, "refused", 422)
AWAY = Outcome(OutcomeClass.unreachable, "away")
UNKNOWN = Outcome(OutcomeClass.ambiguous, "no answer")
AT_ONCE = RetrySchedule(delays=(timedelta(),), every=timedelta(), horizon=timedelta(minutes=5))


TARGET = Target(1, "national", "http_json", NOWHERE, True, None)
A_CLAIM = Claimed(
    uuid4(),
    uuid4(),
    TARGET,
    report=uuid4(),
    owed=None,
    event="accepted",
    reason=None,
    number=1,
    earlier=0,
    first_at=None,
    claimed_at=datetime(2026, 9, 1, tzinfo=UTC),
)


def anybody(under: str | None) -> bool:
    return True


async def claim(engine: AsyncEngine, slots: int = 100, lease: timedelta = LEASE) -> list[Claimed]:
    async with driver(engine) as connection:
        return await claim_due(connection, Slots(slots), lease, is_shared=False)


async def finish(
    engine: AsyncEngine, claimed: Claimed, outcome: Outcome = TAKEN, schedule: RetrySchedule = AT_ONCE
) -> bool:
    """Record how an attempt that began with its claim ended."""
    ended_at = datetime.now(UTC)
    attempt = conclude(claimed, outcome, claimed.claimed_at, max(ended_at, claimed.claimed_at), schedule, 0)
    async with driver(engine) as connection:
        [recorded] = await record_attempts(connection, [(claimed, attempt)])
    return recorded.is_ours


async def run_out(engine: AsyncEngine) -> None:
    """Let every lease run out."""
    async with connected(engine) as connection:
        await connection.execute("UPDATE deliveries SET due_at = now() WHERE state = 'sending'")


async def outbox(engine: AsyncEngine, connector: int, count: int, keys: int = 1) -> None:
    """Deliveries of reports that are not there, in turn of so many keys."""
    async with connected(engine) as connection:
        await connection.execute(
            "INSERT INTO deliveries (id, connector_id, report_id, event, agency_id, form_id, period, kind)"
            " SELECT gen_random_uuid(), $1, gen_random_uuid(), 'accepted', n % $3, 1, '2098', 'own'"
            " FROM generate_series(1, $2::int) AS n",
            connector,
            count,
            keys,
        )


async def a_refused_and_a_waiting(gateway: Gateway) -> tuple[UUID, UUID]:
    """The deliveries of two revisions of one report: the first was refused, the second is due."""
    await receive_revisions(gateway, 2)
    [claimed] = await claim(gateway.engine)
    await finish(gateway.engine, claimed, REFUSED)
    first, second = [each["id"] for each in await deliveries(gateway.engine)]
    return first, second
