"""The worker: claims deliveries, sends them through their connectors, and records what came of it.

Now and then it makes the deliveries that no report brings about: reminders of obligations.

Any number of workers share one database, and each may be killed at any moment: what it held is claimed again
when the lease runs out, so a report is sent at least once, always under the same id, and never lost. A worker that is
alive renews its leases, however long an attempt takes; one that cannot (it was stopped, or the database is away) ends
its attempts before another worker may begin them.
"""

import asyncio
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.connectors.connector import Dispatch, InvalidConnectorSettings
from gateway.connectors.registry import UnknownConnectorKind
from gateway.db.breakers import note_attempt
from gateway.db.claims import Claimed, Slots, Target, cancel_claimed, claim_due, record_attempt, renew_claims
from gateway.db.engine import database, driver, is_outage
from gateway.db.schema import require_fit
from gateway.domain.breaker import Breaker, BreakerPolicy, Ended
from gateway.domain.delivery import DEFAULT_SCHEDULE, Event, Outcome, OutcomeClass, RetrySchedule
from gateway.flow.forward import Message, conclude, message_of
from gateway.flow.load import Catalogues
from gateway.flow.remind import NothingToSend, Reminders
from gateway.flow.tally import Tally
from gateway.flow.upkeep import upkeep
from gateway.flow.wake import listen
from gateway.following import Following
from gateway.keys import Keys, load_keys
from gateway.settings import Settings
from gateway.upstreams import Upstreams

_CONNECTIONS = 4
"""How many of the pool's connections a worker uses at once, so that it leaves the rest to the API."""
_SHORTEST_WAIT, _LONGEST_WAIT = 0.25, 5.0
"""Seconds between tries while the database is away, doubled from the one to the other."""

_GRACE = 1.0
"""Seconds beyond its deadline after which an attempt is ended whatever its connector does."""

log = structlog.get_logger()
T = TypeVar("T")
_random = random.SystemRandom()


@dataclass(slots=True)
class _Lease:
    """A claim by the loop's clock: when it was known, and until when it surely holds.

    ``sending`` ends the attempt that is under way when the lease does. ``occurred_at``, once it is known, is when
    that happened which the upstream is told.
    """

    claimed: Claimed
    known: float
    ends: float
    sending: asyncio.Timeout | None = None
    occurred_at: datetime | None = None

    def renew(self, ends: float) -> None:
        """The lease holds until then; an end that has passed is at once."""
        self.ends = ends
        if self.sending is not None and not self.sending.expired():
            self.sending.reschedule(ends)

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
        breaker: BreakerPolicy | None = None,
    ) -> None:
        self._settings, self._engine, self._catalogues, self._schedule = settings, engine, catalogues, schedule
        self._upstreams = Upstreams(keys.secrets, settings.attempt_seconds)
        self._reminders = Reminders(engine, catalogues)
        self._following = Following(engine, catalogues, self._upstreams, timedelta(seconds=settings.follow_seconds))
        self._connections = asyncio.Semaphore(_CONNECTIONS)
        self._tally = Tally(engine, self._connections)
        self._breaker = breaker or BreakerPolicy(failures=settings.breaker_failures)
        self._sending: set[asyncio.Task[None]] = set()
        self._leases: dict[UUID, _Lease] = {}
        self._woken, self._stopping, self._abandoning = asyncio.Event(), asyncio.Event(), asyncio.Event()

    def wake(self) -> None:
        """Look for due deliveries now rather than at the next poll."""
        self._woken.set()

    @property
    def is_stopping(self) -> bool:
        """Whether it was told to stop."""
        return self._stopping.is_set()

    def stop(self) -> None:
        """Claim nothing more, and end when what is being sent has been recorded; the second time, end at once."""
        if self._stopping.is_set():
            self._abandoning.set()
        self._stopping.set()
        self._woken.set()

    async def run(self) -> None:
        """Forward until told to stop. Nothing that fails, the database least of all, ends it."""
        log.info("worker started", concurrency=self._settings.worker_concurrency)
        failures = 0
        reminding = asyncio.create_task(self._remind())
        helping: list[asyncio.Task[None]] = [
            asyncio.create_task(self._renew()),
            asyncio.create_task(listen(self._engine, self.wake)),
            asyncio.create_task(self._following.run()),
            asyncio.create_task(self._tally.keep()),
            asyncio.create_task(upkeep(self._engine, self._settings.attempts_days)),
        ]
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
            await self._drain(reminding)
        finally:
            unrecorded = len(self._sending)
            ending = [reminding, *helping, *self._sending]
            for task in ending:
                task.cancel()
            await asyncio.wait(ending, timeout=_LONGEST_WAIT)
            await self._upstreams.aclose()
            log.info("worker stopped", unrecorded=unrecorded)

    async def _drain(self, reminding: asyncio.Task[None]) -> None:
        """Let what is under way come to its end, unless it takes too long or is not waited for any more."""
        under_way = asyncio.create_task(asyncio.wait({reminding, *self._sending}))
        abandoned = asyncio.create_task(self._abandoning.wait())
        waiting = (under_way, abandoned)
        await asyncio.wait(waiting, timeout=self._settings.drain_seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()

    async def _renew(self) -> None:
        """Renew the leases of what is being sent, several times within each, until cancelled."""
        loop, lease = asyncio.get_running_loop(), self._settings.lease_seconds
        while True:
            await asyncio.sleep(lease / 4)
            held = [each for each in self._leases.values() if each.ends - loop.time() < lease * 0.75]
            if not held:
                continue
            ends = loop.time() + lease
            try:
                async with asyncio.timeout(lease / 4), driver(self._engine) as connection:
                    ours = await renew_claims(connection, [each.claimed for each in held], self._settings.lease)
            except Exception as error:
                _report(error, "leases could not be renewed")
                continue
            for each in held:
                # Whatever took one over may be sending it now: ours ends.
                each.renew(ends if each.claimed.id in ours else loop.time())

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
            claimed = await claim_due(connection, self._slots(room), self._settings.lease, self._settings.loss_limit)
        known = loop.time()
        for each in claimed:
            lease = _Lease(each, known, ends)
            task = loop.create_task(self._forward(lease))
            self._sending.add(task)
            self._leases[each.id] = lease
            task.add_done_callback(partial(self._ended, lease))
            if each.is_lost:
                self._tally.count_loss(each.target.number)
        return bool(claimed)

    def _slots(self, free: int) -> Slots:
        held = [each.claimed for each in self._leases.values()]
        return Slots(free, Counter(each.target.number for each in held), any(each.is_suspect for each in held))

    def _ended(self, lease: _Lease, task: asyncio.Task[None]) -> None:
        self._sending.discard(task)
        if self._leases.get(lease.claimed.id) is lease:
            del self._leases[lease.claimed.id]
        self._woken.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            # The lease runs out and the delivery is claimed again.
            log.error("an attempt was not recorded", exc_info=error)

    async def _forward(self, lease: _Lease) -> None:
        loop, claimed = asyncio.get_running_loop(), lease.claimed
        started = loop.time()
        try:
            outcome, is_sent = await self._attempt(lease)
        except NothingToSend as reason:
            return await self._cancel(lease, f"not sent: {reason}")
        started_at, ended_at = lease.database_time(started), lease.database_time(loop.time())
        attempt = conclude(claimed, outcome, started_at, ended_at, self._schedule, _random.uniform(-1, 1))
        ended = Ended(outcome.kind, started_at, ended_at, outcome.retry_after)

        async def record() -> bool:
            async with self._connections, driver(self._engine) as connection:
                recorded = await record_attempt(connection, claimed, attempt)
                if is_sent and recorded.is_ours and (recorded.is_troubled or ended.is_failure):
                    await self._note(connection, claimed.target, ended)
                return recorded.is_ours

        # What nobody took over when the lease ended can still be recorded.
        is_ours = await _insist(record, until=lambda: lease.ends + self._settings.lease_seconds)
        if is_ours:
            self._tally.count_attempt(claimed.target.number, ended, lease.occurred_at)
        log.info(
            "delivery attempted",
            delivery=str(claimed.id),
            connector=claimed.target.name,
            attempt=claimed.number,
            outcome=outcome.kind.value,
            state=attempt.state if is_ours else "lost to another worker",
        )

    async def _note(self, connection: Any, target: Target, ended: Ended) -> None:
        """Let an attempt count for its connector's breaker; one that cannot be noted is not missed."""
        try:
            before, now = await note_attempt(connection, target.number, ended, self._breaker)
        except Exception as error:
            return _report(error, "an attempt was not noted", connector=target.name)
        if now.openings > before.openings:
            self._tally.count_opening(target.number)
            log.warning("connector left alone", connector=target.name, failures=now.failures, until=str(now.until))
        elif now == Breaker() and before.openings:
            log.info("connector works again", connector=target.name)

    async def _cancel(self, lease: _Lease, words: str) -> None:
        claimed = lease.claimed

        async def cancel() -> bool:
            async with self._connections, driver(self._engine) as connection:
                return await cancel_claimed(connection, claimed, words)

        if await _insist(cancel, until=lambda: lease.ends):
            log.info("delivery cancelled", delivery=str(claimed.id), connector=claimed.target.name, reason=words)

    async def _attempt(self, lease: _Lease) -> tuple[Outcome, bool]:
        """Make one attempt; what it came to, and whether it reached for the upstream."""
        claimed, loop = lease.claimed, asyncio.get_running_loop()
        is_sent = False
        try:
            message = await _insist(lambda: self._message(claimed), until=lambda: self._last_start(lease))
            lease.occurred_at = message.occurred_at
            async with self._upstreams.use(claimed.target) as connector:
                now = loop.time()
                if now > self._last_start(lease):
                    return Outcome(OutcomeClass.unreachable, "not sent: too little of the lease was left"), False
                dispatch = Dispatch(
                    claimed.id,
                    claimed.report,
                    Event(claimed.event),
                    message.body,
                    message.media_type,
                    message.occurred_at,
                    lease.database_time(now),
                    message.provenance,
                )
                is_sent = True
                async with asyncio.timeout(self._settings.attempt_seconds + _GRACE), _within(lease):
                    return await connector.send(dispatch), True
        except (InvalidConnectorSettings, UnknownConnectorKind) as error:
            return Outcome(OutcomeClass.unreachable, f"not sent: {error}"), False
        except NothingToSend:
            raise
        except Exception as error:
            # Ours, or the connector's: recorded like any other failure, so that a person sees it and it is retried.
            _report(error, "a delivery could not be sent", delivery=str(claimed.id))
            words = f"failed within the gateway: {type(error).__name__}"
            if is_sent:
                return Outcome(OutcomeClass.ambiguous, words), True
            return Outcome(OutcomeClass.unreachable, f"not sent, {words}"), False

    def _last_start(self, lease: _Lease) -> float:
        """Sending must not start after this: as much of the lease has to be left as it takes to renew it."""
        return lease.ends - self._settings.lease_seconds / 4

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


@asynccontextmanager
async def _within(lease: _Lease) -> AsyncIterator[None]:
    """End what runs in the block when the lease ends, whenever that comes to be.

    An attempt that outlived its lease could reach the upstream after a later report of the same key.
    """
    async with asyncio.timeout_at(lease.ends) as lease.sending:
        try:
            yield
        finally:
            lease.sending = None


async def _wait(event: asyncio.Event, seconds: float) -> None:
    """Wait for an event, but no longer than so many seconds."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass


async def _insist(act: Callable[[], Awaitable[T]], until: Callable[[], float]) -> T:
    """Do something with the database, again and again while it is away and there is time left."""
    failures = 0
    while True:
        try:
            return await act()
        except Exception as error:
            failures += 1
            pause = _pause(failures)
            if not is_outage(error) or asyncio.get_running_loop().time() + pause > until():
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


async def _require_fit(engine: AsyncEngine) -> None:
    """Refuse a schema this version does not run on; a database that is away is waited for by the worker itself."""
    try:
        await require_fit(engine)
    except Exception as error:
        if not is_outage(error):
            raise
        _report(error, "the schema could not be looked at")


async def main(settings: Settings) -> None:
    """Forward until SIGTERM or SIGINT, then finish what is being sent; a second signal ends it at once.

    Raises ``UnfitSchema``.
    """
    keys = load_keys(settings)
    loop = asyncio.get_running_loop()
    with database(settings) as engine:
        await _require_fit(engine)
        worker = Worker(settings, engine, Catalogues(engine), keys)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, worker.stop)
        try:
            await worker.run()
        finally:
            await engine.dispose()
