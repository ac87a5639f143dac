"""The worker: claims deliveries, sends them through their connectors, and records what came of it.

Now and then it makes the deliveries that no report brings about: reminders of obligations.

Any number of workers share one database, and each may be killed at any moment: what it held is claimed again
when the lease runs out, so a report is sent at least once, always under the same id, and never lost. A worker that is
alive renews its leases, however long an attempt takes; one that cannot (it was stopped, or the database is away) ends
its attempts before another worker may begin them.
"""

import asyncio
import signal
from collections.abc import Sequence
from datetime import timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.claims import Claimed, claim_due
from gateway.db.deadline import BRIEF_SECONDS
from gateway.db.engine import driver, is_outage, tell_failure, ways
from gateway.db.roles import Role, require_role, taking
from gateway.db.schema import require_fit
from gateway.domain.breaker import BreakerPolicy
from gateway.domain.delivery import DEFAULT_SCHEDULE, RetrySchedule
from gateway.evidence.note import LogSigner
from gateway.evidence.sealer import Sealer
from gateway.flow.load import Catalogues
from gateway.flow.remind import NothingToSend, Reminders
from gateway.flow.tally import Tally
from gateway.flow.upkeep import upkeep
from gateway.flow.wake import listen
from gateway.following import Following
from gateway.garbage import spare
from gateway.keys import Keys, load_keys
from gateway.sending.attempt import Sender
from gateway.sending.insist import LONGEST_WAIT, pause_after, wait
from gateway.sending.lease import Lease, Leases
from gateway.sending.messages import Messages
from gateway.sending.record import Recorder
from gateway.sending.runners import Runners
from gateway.settings import Settings
from gateway.upstreams import Upstreams
from gateway.witnessing import Witnessing

_CONNECTIONS = 4
"""How many of the pool's connections a worker uses at once, so that it leaves the rest to the API."""

log = structlog.get_logger()


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
        self._settings, self._engine, self._catalogues = settings, engine, catalogues
        self._upstreams = Upstreams(keys.secrets, settings.attempt_seconds)
        self._reminders = Reminders(engine, catalogues)
        self._following = Following(engine, catalogues, self._upstreams, timedelta(seconds=settings.follow_seconds))
        self._witnessing = Witnessing(engine, self._upstreams, timedelta(seconds=settings.follow_seconds))
        self._connections = asyncio.Semaphore(_CONNECTIONS)
        self._tally = Tally(engine, self._connections)
        self._leases = Leases(engine, settings.lease_seconds)
        self._messages = Messages(engine, self._connections, catalogues)
        self._sender = Sender(self._messages, self._upstreams, settings.attempt_seconds, settings.lease_seconds)
        self._runners = Runners(settings.worker_concurrency, self._forward)
        self._recorder = Recorder(
            engine,
            self._connections,
            schedule,
            breaker or BreakerPolicy(failures=settings.breaker_failures),
            self._tally,
            settings.lease_seconds,
            self._done,
        )
        self._beginning = set[asyncio.Task[None]]()
        self._woken, self._stopping, self._abandoning = asyncio.Event(), asyncio.Event(), asyncio.Event()

    def wake(self) -> None:
        """Look for due deliveries now rather than at the next poll."""
        self._woken.set()

    @property
    def engine(self) -> AsyncEngine:
        """The way to the database, by which it takes its role."""
        return self._engine

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
            asyncio.create_task(self._leases.renew()),
            asyncio.create_task(listen(self._engine, self.wake)),
            asyncio.create_task(self._following.run()),
            asyncio.create_task(self._witnessing.run()),
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
                    tell_failure(error, "deliveries could not be claimed")
                    await wait(self._woken, pause_after(failures))
                    continue
                if not has_more:
                    await wait(self._woken, self._settings.worker_poll_seconds)
            await self._drain(reminding)
        finally:
            await _cancel([*self._beginning])
            await self._runners.cancel(LONGEST_WAIT)
            await self._recorder.settle(LONGEST_WAIT)
            await _cancel([reminding, *helping])
            await self._upstreams.aclose()
            log.info("worker stopped", unrecorded=self._leases.count)

    async def _drain(self, reminding: asyncio.Task[None]) -> None:
        """Let what is under way come to its end, unless it takes too long or is not waited for any more."""
        under_way = asyncio.create_task(self._settle(reminding))
        abandoned = asyncio.create_task(self._abandoning.wait())
        waiting = (under_way, abandoned)
        await asyncio.wait(waiting, timeout=self._settings.drain_seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()

    async def _settle(self, reminding: asyncio.Task[None]) -> None:
        """Wait for what is under way."""
        await asyncio.wait({reminding, *self._beginning})
        await self._runners.finish()
        await self._recorder.settle()

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
                tell_failure(error, "reminders could not be made")
                pause = min(pause, pause_after(failures)) if is_outage(error) else pause
            await wait(self._stopping, pause)

    async def _claim(self) -> bool:
        """Start sending what is due, as far as there is room; True when there may be more to claim at once."""
        self._woken.clear()
        loop = asyncio.get_running_loop()
        slots = self._leases.slots(self._settings.worker_concurrency)
        if not slots.free:
            return False
        if self._catalogues.held is None:  # reading it whole takes a while, which a lease should not pay for
            await self._catalogues.newest()
        async with self._connections, driver(self._engine, BRIEF_SECONDS) as connection:
            ends = loop.time() + self._settings.lease_seconds
            claimed = await claim_due(connection, slots, self._settings.lease, self._settings.loss_limit)
        if not claimed:
            return False
        task = loop.create_task(self._begin(claimed, self._leases.take(claimed, loop.time(), ends)))
        self._beginning.add(task)
        task.add_done_callback(self._beginning.discard)
        return True

    async def _begin(self, claimed: Sequence[Claimed], leases: Sequence[Lease]) -> None:
        """Read ahead what was claimed together, and let each be sent."""
        try:
            ahead = await self._messages.read_ahead(claimed)
        except BaseException:
            for lease in leases:
                self._let_go(lease)
            raise
        for lease in leases:
            lease.ahead = ahead
            if lease.claimed.is_lost:
                self._tally.count_loss(lease.claimed.target.number)
        self._runners.add(leases)

    async def _forward(self, lease: Lease) -> None:
        self._leases.begin(lease)
        self._woken.set()
        try:
            await self._attempt(lease)
        except BaseException as error:
            self._let_go(lease)
            if not isinstance(error, Exception):
                raise
            log.error("an attempt was not recorded", exc_info=error)

    async def _attempt(self, lease: Lease) -> None:
        try:
            attempted = await self._sender.attempt(lease)
        except NothingToSend as reason:
            return await self._recorder.cancel(lease, f"not sent: {reason}")
        lease.is_sent = True
        self._woken.set()
        self._recorder.record(lease, attempted)

    def _let_go(self, lease: Lease) -> None:
        """Renew it no more: the lease runs out, and the delivery is claimed again. At the end, what is left is told."""
        if not self.is_stopping:
            self._done(lease)

    def _done(self, lease: Lease) -> None:
        self._leases.drop(lease)
        self._woken.set()


async def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    """End tasks, and wait for that a while."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=LONGEST_WAIT)


async def _require_fit(engine: AsyncEngine, settings: Settings, role: Role) -> None:
    """Refuse a schema this version does not run on, and in production rights that a role must not have.

    A database that is away is waited for by the worker itself.
    """
    try:
        with taking(role):
            await require_fit(engine)
        if settings.mode == "production":
            await require_role(engine, role)
    except Exception as error:
        if not is_outage(error):
            raise
        tell_failure(error, "the schema could not be looked at")


async def main(settings: Settings) -> None:
    """Forward until SIGTERM or SIGINT, then finish what is being sent; a second signal ends it at once.

    Raises ``UnfitSchema`` and ``UnfitRole``.
    """
    keys = load_keys(settings)
    loop = asyncio.get_running_loop()
    with ways(settings) as way:
        engine = way(Role.worker)
        worker = Worker(settings, engine, Catalogues(engine), keys)
        sealer = way(Role.sealer)
        beside: list[asyncio.Task[None]] = []
        try:
            await _require_fit(engine, settings, Role.worker)
            await _require_fit(sealer, settings, Role.sealer)
            beside.append(asyncio.create_task(Sealer(sealer, LogSigner(keys.log, settings.issuer)).run()))
            beside.append(asyncio.create_task(keys.follow()))
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, worker.stop)
            spare()
            await worker.run()
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            await sealer.dispose()
            await engine.dispose()
