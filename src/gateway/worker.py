"""The worker: claims deliveries, sends them through their connectors, and records what came of it.

Now and then it makes the deliveries that no report brings about: reminders of obligations.

Any number of workers share one database, and each may be killed at any moment: what it held is claimed again
when the lease runs out, so a report is sent at least once, always under the same id, and never lost.
"""

import asyncio
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, TypeVar

import structlog
from cryptography.fernet import MultiFernet
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.connectors.connector import Connector, ConnectorSettings, Dispatch, InvalidConnectorSettings
from gateway.connectors.registry import UnknownConnectorKind, open_connector
from gateway.db.claims import Claimed, Target, cancel_claimed, claim_due, record_attempt
from gateway.db.engine import database, driver, is_outage
from gateway.domain.delivery import DEFAULT_SCHEDULE, Event, Outcome, OutcomeClass, RetrySchedule
from gateway.flow.forward import MEDIA_TYPE, Message, conclude, message_of
from gateway.flow.load import Catalogues
from gateway.flow.remind import NothingToSend, Reminders
from gateway.flow.steer import opened
from gateway.keys import Keys, load_keys
from gateway.settings import Settings

_CONNECTIONS = 4
"""How many of the pool's connections a worker uses at once, so that it leaves the rest to the API."""
_SHORTEST_WAIT, _LONGEST_WAIT = 0.25, 5.0
"""Seconds between tries while the database is away, doubled from the one to the other."""

log = structlog.get_logger()
T = TypeVar("T")
_random = random.SystemRandom()


@dataclass(slots=True)
class _Open:
    """A connector that is open, as its row in storage was then, and how many attempts use it now."""

    target: Target
    connector: Connector
    users: int = 0


class Upstreams:
    """Connectors kept open between attempts, and opened anew when their row in storage has changed."""

    def __init__(self, secrets: MultiFernet, deadline_seconds: float) -> None:
        self._secrets, self._deadline_seconds = secrets, deadline_seconds
        self._open: dict[int, _Open] = {}

    @asynccontextmanager
    async def use(self, target: Target) -> AsyncIterator[Connector]:
        """The connector of a target; one that was replaced is closed when its last attempt has ended."""
        held, replaced = self._open.get(target.number), None
        if held is None or held.target != target:
            connector = open_connector(self._settings(target))
            held, replaced = _Open(target, connector), held
            self._open[target.number] = held
        held.users += 1
        try:
            if replaced is not None and not replaced.users:
                await replaced.connector.aclose()
            yield held.connector
        finally:
            held.users -= 1
            if not held.users and self._open.get(target.number) is not held:
                await held.connector.aclose()

    async def aclose(self) -> None:
        """Close every connector."""
        while self._open:
            await self._open.popitem()[1].connector.aclose()

    def _settings(self, target: Target) -> ConnectorSettings:
        return ConnectorSettings(
            target.name,
            target.kind,
            target.url,
            target.allow_private_addresses,
            opened(self._secrets, target.credentials),
            self._deadline_seconds,
        )


class _Lease(NamedTuple):
    """A claim by the loop's clock: when it was known, and until when it surely holds."""

    claimed: Claimed
    known: float
    ends: float

    def database_time(self, loop_time: float) -> datetime:
        """What the database's clock had reached at a moment of the loop's: never ahead of it."""
        return self.claimed.claimed_at + timedelta(seconds=loop_time - self.known)


class Worker:
    """One worker. ``run`` ends some time after ``stop``, when all that it was sending is recorded."""

    def __init__(
        self,
        settings: Settings,
        engine: AsyncEngine,
        catalogues: Catalogues,
        keys: Keys,
        schedule: RetrySchedule = DEFAULT_SCHEDULE,
    ) -> None:
        self._settings, self._engine, self._catalogues, self._schedule = settings, engine, catalogues, schedule
        self._upstreams = Upstreams(keys.secrets, settings.attempt_seconds)
        self._reminders = Reminders(engine, catalogues)
        self._connections = asyncio.Semaphore(_CONNECTIONS)
        self._sending: set[asyncio.Task[None]] = set()
        self._woken, self._stopping = asyncio.Event(), asyncio.Event()

    def wake(self) -> None:
        """Look for due deliveries now rather than at the next poll."""
        self._woken.set()

    def stop(self) -> None:
        """Claim nothing more, and end when what is being sent has been recorded."""
        self._stopping.set()
        self._woken.set()

    async def run(self) -> None:
        """Forward until told to stop. Nothing that fails, the database least of all, ends it."""
        log.info("worker started", concurrency=self._settings.worker_concurrency)
        failures = 0
        reminding = asyncio.create_task(self._remind())
        try:
            while not self._stopping.is_set():
                try:
                    has_more = await self._claim()
                    failures = 0
                except Exception as error:
                    failures += 1
                    _report(error, "deliveries could not be claimed")
                    await _wait(self._woken, _pause(failures))
                    continue
                if not has_more:
                    await _wait(self._woken, self._settings.worker_poll_seconds)
            await asyncio.wait({*self._sending, reminding}, timeout=self._settings.lease_seconds)
        finally:
            reminding.cancel()
            await self._upstreams.aclose()
            log.info("worker stopped", unrecorded=len(self._sending))

    async def _remind(self) -> None:
        """Make reminders now and every so often, until told to stop."""
        failures = 0
        while not self._stopping.is_set():
            pause = self._settings.remind_seconds
            try:
                async with self._connections:
                    made = await self._reminders.make()
                failures = 0
                if made:
                    log.info("reminders made", count=made)
                    self.wake()
            except Exception as error:
                failures += 1
                _report(error, "reminders could not be made")
                pause = min(pause, _pause(failures)) if is_outage(error) else pause
            await _wait(self._stopping, pause)

    async def _claim(self) -> bool:
        """Start sending what is due, as far as there is room; True when there may be more to claim at once."""
        self._woken.clear()
        loop = asyncio.get_running_loop()
        room = self._settings.worker_concurrency - len(self._sending)
        if not room:
            return False
        if self._catalogues.held is None:  # reading it whole takes a while, which a lease should not pay for
            await self._catalogues.newest()
        async with self._connections, driver(self._engine) as connection:
            ends = loop.time() + self._settings.lease_seconds
            claimed = await claim_due(connection, room, self._settings.lease)
        known = loop.time()
        for each in claimed:
            task = loop.create_task(self._forward(_Lease(each, known, ends)))
            self._sending.add(task)
            task.add_done_callback(self._ended)
        return bool(claimed)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._sending.discard(task)
        self._woken.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            # The lease runs out and the delivery is claimed again.
            log.error("an attempt was not recorded", exc_info=error)

    async def _forward(self, lease: _Lease) -> None:
        loop, claimed = asyncio.get_running_loop(), lease.claimed
        started = loop.time()
        try:
            outcome = await self._attempt(lease)
        except NothingToSend as reason:
            return await self._cancel(lease, f"not sent: {reason}")
        attempt = conclude(
            claimed,
            outcome,
            lease.database_time(started),
            lease.database_time(loop.time()),
            self._schedule,
            _random.uniform(-1, 1),
        )

        async def record() -> bool:
            async with self._connections, driver(self._engine) as connection:
                return await record_attempt(connection, claimed, attempt)

        is_ours = await _insist(record, until=lease.ends)
        log.info(
            "delivery attempted",
            delivery=str(claimed.id),
            connector=claimed.target.name,
            attempt=claimed.number,
            outcome=outcome.kind.value,
            state=attempt.state if is_ours else "lost to another worker",
        )

    async def _cancel(self, lease: _Lease, words: str) -> None:
        claimed = lease.claimed

        async def cancel() -> bool:
            async with self._connections, driver(self._engine) as connection:
                return await cancel_claimed(connection, claimed, words)

        if await _insist(cancel, until=lease.ends):
            log.info("delivery cancelled", delivery=str(claimed.id), connector=claimed.target.name, reason=words)

    async def _attempt(self, lease: _Lease) -> Outcome:
        claimed = lease.claimed
        is_sent = False
        try:
            message = await _insist(lambda: self._message(claimed), until=self._last_start(lease))
            async with self._upstreams.use(claimed.target) as connector:
                now = asyncio.get_running_loop().time()
                if now > self._last_start(lease):
                    return Outcome(OutcomeClass.unreachable, "not sent: too little of the lease was left")
                dispatch = Dispatch(
                    claimed.id,
                    claimed.report,
                    Event(claimed.event),
                    message.body,
                    MEDIA_TYPE,
                    message.occurred_at,
                    lease.database_time(now),
                )
                is_sent = True
                async with asyncio.timeout_at(lease.ends):
                    return await connector.send(dispatch)
        except (InvalidConnectorSettings, UnknownConnectorKind) as error:
            return Outcome(OutcomeClass.unreachable, f"not sent: {error}")
        except NothingToSend:
            raise
        except Exception as error:
            # Ours, or the connector's: recorded like any other failure, so that a person sees it and it is retried.
            _report(error, "a delivery could not be sent", delivery=str(claimed.id))
            words = f"failed within the gateway: {type(error).__name__}"
            if is_sent:
                return Outcome(OutcomeClass.ambiguous, words)
            return Outcome(OutcomeClass.unreachable, f"not sent, {words}")

    def _last_start(self, lease: _Lease) -> float:
        """Sending must not start after this: its whole deadline has to fit into the lease.

        An attempt that outlived its lease could reach the upstream after a later report of the same key.
        """
        return lease.ends - self._settings.attempt_seconds

    async def _message(self, claimed: Claimed) -> Message:
        async with self._connections:
            held = self._catalogues.held
            if held is not None and claimed.owed is None:  # what is owed changes with the catalogue, a report does not
                try:
                    async with driver(self._engine) as connection:
                        return await message_of(connection, claimed, held)
                except LookupError:  # a form or an agency newer than the catalogue held
                    pass
            catalogue = await self._catalogues.newest()
            async with driver(self._engine) as connection:
                return await message_of(connection, claimed, catalogue)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    """Wait for an event, but no longer than so many seconds."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass


async def _insist(act: Callable[[], Awaitable[T]], until: float) -> T:
    """Do something with the database, again and again while it is away and there is time left."""
    failures = 0
    while True:
        try:
            return await act()
        except Exception as error:
            failures += 1
            pause = _pause(failures)
            if not is_outage(error) or asyncio.get_running_loop().time() + pause > until:
                raise
            await asyncio.sleep(pause)


def _pause(failures: int) -> float:
    """Seconds to wait after so many failures on end, spread so that workers do not return together."""
    longest = min(_LONGEST_WAIT, _SHORTEST_WAIT * 2 ** min(failures - 1, 10))
    return _random.uniform(longest / 2, longest)


def _report(error: Exception, event: str, **about: object) -> None:
    if is_outage(error):
        log.warning(event, reason=type(error).__name__, **about)
    else:
        log.error(event, exc_info=error, **about)


async def main(settings: Settings) -> None:
    """Forward until SIGTERM or SIGINT, then finish what is being sent."""
    keys = load_keys(settings)
    loop = asyncio.get_running_loop()
    with database(settings) as engine:
        worker = Worker(settings, engine, Catalogues(engine), keys)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, worker.stop)
        try:
            await worker.run()
        finally:
            await engine.dispose()
