"""Recording what attempts came to, each under its claim, and letting them count for breakers and figures.

Whatever ends while others are being stored waits for the next turn, and shares its one statement and one commit.
"""

import asyncio
import math
import random
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.breakers import note_attempt
from gateway.db.deadline import BRIEF_SECONDS
from gateway.db.engine import driver, is_outage, tell_failure
from gateway.db.recording import NewAttempt, Recorded, cancel_claimed
from gateway.domain.breaker import Breaker, BreakerPolicy, Ended
from gateway.domain.delivery import FINAL, OutcomeClass, RetrySchedule, schedule_of
from gateway.domain.exact import decode
from gateway.flow.forward import conclude
from gateway.flow.tally import Tally
from gateway.sending.attempt import Attempted
from gateway.sending.endings import store_endings
from gateway.sending.insist import insist, pause_after
from gateway.sending.lease import Lease

MAX_TOGETHER = 64
_TURNS = 2
"""How many turns run at once: one that waits for a lock does not hold up all others."""

log = structlog.get_logger()
_random = random.SystemRandom()


@lru_cache(maxsize=256)
def _own(retry: str | None) -> RetrySchedule | None:
    """The retry schedule of a connector, as it is kept; None where it has none of its own."""
    return None if retry is None else schedule_of(**decode(retry.encode()))


class _Waiting(NamedTuple):
    """An attempt that is to be recorded, and what is to be recorded of it."""

    lease: Lease
    attempted: Attempted
    attempt: NewAttempt


class Recorder:
    """Records attempts made under leases of so many seconds, and then tells ``ended`` each lease.

    ``connections`` bounds what it uses of the pool, together with its worker.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        connections: asyncio.Semaphore,
        schedule: RetrySchedule,
        breaker: BreakerPolicy,
        tally: Tally,
        lease_seconds: float,
        ended: Callable[[Lease], None],
    ) -> None:
        self._engine, self._connections, self._tally = engine, connections, tally
        self._schedule, self._breaker, self._lease_seconds, self._ended = schedule, breaker, lease_seconds, ended
        self._waiting: list[_Waiting] = []
        self._turns, self._noting = set[asyncio.Task[None]](), set[asyncio.Task[None]]()
        self._log = log.bind()  # found once: there is a line for each attempt

    def record(self, lease: Lease, attempted: Attempted) -> None:
        """Record an attempt in the next turn, unless its delivery is another worker's by then.

        It is tried again while the database is away: what nobody took over when its lease ended can still be recorded.
        """
        outcome = attempted.outcome
        schedule = _own(lease.claimed.target.retry) or self._schedule
        jitter = 0.0 if outcome.kind in FINAL else _random.uniform(-1, 1)
        started_at, ended_at = lease.database_time(attempted.started), lease.database_time(attempted.ended)
        attempt = conclude(lease.claimed, outcome, started_at, ended_at, schedule, jitter)
        self._waiting.append(_Waiting(lease, attempted, attempt))
        if sum(not each.done() for each in self._turns) < _TURNS:  # one that is over stays among them for a moment
            _keep(self._turns, asyncio.create_task(self._take_turns()))

    async def cancel(self, lease: Lease, words: str) -> None:
        """Give up a delivery of which nothing was sent."""
        claimed = lease.claimed

        async def cancel() -> bool:
            async with self._connections, driver(self._engine, BRIEF_SECONDS) as connection:
                return await cancel_claimed(connection, claimed, words)

        if await insist(cancel, until=lambda: lease.ends):
            log.info("delivery cancelled", delivery=str(claimed.id), connector=claimed.target.name, reason=words)
        self._ended(lease)

    async def settle(self, seconds: float | None = None) -> None:
        """Wait until all that ended is recorded, but no longer than so many seconds: what is left then is given up."""
        loop = asyncio.get_running_loop()
        until = math.inf if seconds is None else loop.time() + seconds
        while running := self._turns | self._noting:
            left = until - loop.time()
            if left <= 0:
                for task in running:
                    task.cancel()
                return
            await asyncio.wait(running, timeout=None if seconds is None else left)

    async def _take_turns(self) -> None:
        while self._waiting:
            together, self._waiting = self._waiting[:MAX_TOGETHER], self._waiting[MAX_TOGETHER:]
            await self._take_turn(together)

    async def _take_turn(self, together: Sequence[_Waiting]) -> None:
        try:
            await self._store(together)
        except BaseException as error:
            for each in together:  # what is not renewed any more is claimed again when its lease runs out
                self._ended(each.lease)
            if not isinstance(error, Exception):
                raise
            log.error("attempts were not recorded", exc_info=error)

    async def _store(self, together: Sequence[_Waiting]) -> None:
        failures = 0
        while together:
            endings = [(each.lease.claimed, each.attempt) for each in together]
            found = await store_endings(self._engine, self._connections, endings)
            failures += 1
            pause, again = pause_after(failures), list[_Waiting]()
            now = asyncio.get_running_loop().time()
            for each, recorded in zip(together, found, strict=True):
                if isinstance(recorded, Recorded):
                    self._count(each, recorded)
                    continue
                if is_outage(recorded) and now + pause < each.lease.ends + self._lease_seconds:
                    again.append(each)
                    continue
                # The lease runs out and the delivery is claimed again.
                tell_failure(recorded, "an attempt was not recorded", delivery=str(each.lease.claimed.id))
                self._ended(each.lease)
            if again:
                await asyncio.sleep(pause)
            together = again

    def _count(self, waiting: _Waiting, recorded: Recorded) -> None:
        lease, attempted, attempt = waiting
        claimed, outcome, is_noted = lease.claimed, attempted.outcome, False
        if recorded.is_ours:
            ended = Ended(outcome.kind, attempt.started_at, attempt.finished_at, outcome.retry_after)
            latency = None
            if lease.occurred_at is not None and attempt.outcome == OutcomeClass.delivered:
                latency = (attempt.finished_at - lease.occurred_at).total_seconds()
            took = attempted.ended - attempted.started
            self._tally.count_attempt(claimed.target.number, attempt.outcome, took, latency)
            if is_noted := attempted.is_sent and (recorded.is_troubled or ended.is_failure):
                _keep(self._noting, asyncio.create_task(self._note(lease, ended)))
        if not is_noted:
            self._ended(lease)
        is_plain = recorded.is_ours and attempt.outcome == OutcomeClass.delivered
        (self._log.debug if is_plain else self._log.info)(
            "delivery attempted",
            delivery=claimed.id,
            connector=claimed.target.name,
            attempt=claimed.number,
            outcome=attempt.outcome,
            state=attempt.state if recorded.is_ours else "lost to another worker",
        )

    async def _note(self, lease: Lease, ended: Ended) -> None:
        """Let an attempt count for its connector's breaker; one that cannot be noted is not missed.

        Until then it is held, so that of one that fails no more is taken on than can be noted.
        """
        target = lease.claimed.target
        try:
            async with self._connections, driver(self._engine, BRIEF_SECONDS) as connection:
                before, now = await note_attempt(connection, target.number, ended, self._breaker)
        except Exception as error:
            return tell_failure(error, "an attempt was not noted", connector=target.name)
        finally:
            self._ended(lease)
        if now.openings > before.openings:
            self._tally.count_opening(target.number)
            log.warning("connector left alone", connector=target.name, failures=now.failures, until=str(now.until))
        elif now == Breaker() and before.openings:
            log.info("connector works again", connector=target.name)


def _keep(tasks: set[asyncio.Task[None]], task: asyncio.Task[None]) -> None:
    """Hold on to a task until it is done."""
    tasks.add(task)
    task.add_done_callback(tasks.discard)
