"""The worker: claims deliveries, sends them through their connectors, and records what came of it.

Now and then it makes the deliveries that no report brings about: reminders of obligations.

Any number of workers share one database, and each may be killed at any moment: what it held is claimed again
when the lease runs out, so a report is sent at least once, always under the same id, and never lost. A worker that is
alive renews its leases, however long an attempt takes; one that cannot (it was stopped, or the database is away) ends
its attempts before another worker may begin them.
"""

import asyncio
import signal
from datetime import timedelta
from functools import partial

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.claims import Slots, claim_due
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
from gateway.keys import Keys, load_keys
from gateway.sending.attempt import Sender
from gateway.sending.endings import Endings
from gateway.sending.insist import LONGEST_WAIT, pause_after, wait
from gateway.sending.lease import STALLED_SECONDS, Lease, Leases
from gateway.sending.messages import Messages
from gateway.sending.record import Recorder
from gateway.settings import Settings
from gateway.upstreams import Upstreams
from gateway.witnessing import Witnessing

_CONNECTIONS = 4
"""How many of the pool's connections a worker uses at once, so that it leaves the rest to the API."""

_FEW, _GATHER_SECONDS = 0.25, 0.005
"""A worker that has less than a quarter of its places free lets some more become so: one claim fills them all."""

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
        self._recorder = Recorder(
            engine,
            self._connections,
            schedule,
            breaker or BreakerPolicy(failures=settings.breaker_failures),
            self._tally,
            Endings(engine, self._connections),
            settings.lease_seconds,
        )
        self._sending: set[asyncio.Task[None]] = set()
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
                free = self._slots().free
                if not has_more:  # a place is taken for no longer than it takes to stall
                    poll = self._settings.worker_poll_seconds
                    await wait(self._woken, poll if free > 0 else min(poll, STALLED_SECONDS))
                if free < self._settings.worker_concurrency * _FEW:
                    await asyncio.sleep(_GATHER_SECONDS)
            await self._drain(reminding)
        finally:
            await self._recorder.settle(LONGEST_WAIT)
            unrecorded = len(self._sending)
            ending = [reminding, *helping, *self._sending, *self._messages.reading]
            for task in ending:
                task.cancel()
            await asyncio.wait(ending, timeout=LONGEST_WAIT)
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
        slots = self._slots()
        if slots.free <= 0:
            return False
        if self._catalogues.held is None:  # reading it whole takes a while, which a lease should not pay for
            await self._catalogues.newest()
        async with self._connections, driver(self._engine, BRIEF_SECONDS) as connection:
            ends = loop.time() + self._settings.lease_seconds
            claimed = await claim_due(connection, slots, self._settings.lease, self._settings.loss_limit)
        if not claimed:
            return False
        for lease in self._leases.take(claimed, loop.time(), ends, self._messages.read_ahead(claimed)):
            task = loop.create_task(self._forward(lease))
            self._sending.add(task)
            task.add_done_callback(partial(self._ended, lease))
            if lease.claimed.is_lost:
                self._tally.count_loss(lease.claimed.target.number)
        return True

    def _slots(self) -> Slots:
        return self._leases.slots(self._settings.worker_concurrency)

    def _ended(self, lease: Lease, task: asyncio.Task[None]) -> None:
        self._sending.discard(task)
        self._leases.drop(lease)
        self._woken.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            # The lease runs out and the delivery is claimed again.
            log.error("an attempt was not recorded", exc_info=error)

    async def _forward(self, lease: Lease) -> None:
        try:
            attempted = await self._sender.attempt(lease)
        except NothingToSend as reason:
            return await self._recorder.cancel(lease, f"not sent: {reason}")
        lease.is_sent = True
        self._woken.set()
        await self._recorder.record(lease, attempted)


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
            await worker.run()
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            await sealer.dispose()
            await engine.dispose()
