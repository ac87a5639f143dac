"""Recording what attempts came to, each under its claim, and letting them count for breakers and figures."""

import asyncio
import random
from dataclasses import dataclass
from functools import lru_cache

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.breakers import note_attempt
from gateway.db.claims import Target
from gateway.db.deadline import BRIEF_SECONDS
from gateway.db.engine import driver, tell_failure
from gateway.db.recording import cancel_claimed
from gateway.domain.breaker import Breaker, BreakerPolicy, Ended
from gateway.domain.delivery import RetrySchedule, schedule_of
from gateway.domain.exact import decode
from gateway.flow.forward import conclude
from gateway.flow.tally import Tally
from gateway.sending.attempt import Attempted
from gateway.sending.endings import Endings
from gateway.sending.insist import insist
from gateway.sending.lease import Lease

log = structlog.get_logger()
_random = random.SystemRandom()


@lru_cache(maxsize=256)
def _own(retry: str | None) -> RetrySchedule | None:
    """The retry schedule of a connector, as it is kept; None where it has none of its own."""
    return None if retry is None else schedule_of(**decode(retry.encode()))


@dataclass(frozen=True, slots=True)
class Recorder:
    """Records attempts made under leases of so many seconds. ``connections`` bounds what it uses of the pool."""

    engine: AsyncEngine
    connections: asyncio.Semaphore
    schedule: RetrySchedule
    breaker: BreakerPolicy
    tally: Tally
    endings: Endings
    lease_seconds: float

    async def record(self, lease: Lease, attempted: Attempted) -> None:
        """Record an attempt, unless its delivery is another worker's by now; insist while the database is away."""
        claimed, outcome = lease.claimed, attempted.outcome
        started_at, ended_at = attempted.started_at, attempted.ended_at
        schedule = _own(claimed.target.retry) or self.schedule
        attempt = conclude(claimed, outcome, started_at, ended_at, schedule, _random.uniform(-1, 1))
        ended = Ended(outcome.kind, started_at, ended_at, outcome.retry_after)

        # What nobody took over when the lease ended can still be recorded.
        recorded = await insist(
            lambda: self.endings.store(claimed, attempt), until=lambda: lease.ends + self.lease_seconds
        )
        if recorded.is_ours:
            self.tally.count_attempt(claimed.target.number, ended, lease.occurred_at)
            if attempted.is_sent and (recorded.is_troubled or ended.is_failure):
                await self._note(claimed.target, ended)
        log.info(
            "delivery attempted",
            delivery=str(claimed.id),
            connector=claimed.target.name,
            attempt=claimed.number,
            outcome=outcome.kind.value,
            state=attempt.state if recorded.is_ours else "lost to another worker",
        )

    async def cancel(self, lease: Lease, words: str) -> None:
        """Give up a delivery of which nothing was sent."""
        claimed = lease.claimed

        async def cancel() -> bool:
            async with self.connections, driver(self.engine, BRIEF_SECONDS) as connection:
                return await cancel_claimed(connection, claimed, words)

        if await insist(cancel, until=lambda: lease.ends):
            log.info("delivery cancelled", delivery=str(claimed.id), connector=claimed.target.name, reason=words)

    async def settle(self, seconds: float) -> None:
        """Wait until all that ended is recorded, but no longer than so many seconds."""
        await self.endings.settle(seconds)

    async def _note(self, target: Target, ended: Ended) -> None:
        """Let an attempt count for its connector's breaker; one that cannot be noted is not missed."""
        try:
            async with self.connections, driver(self.engine, BRIEF_SECONDS) as connection:
                before, now = await note_attempt(connection, target.number, ended, self.breaker)
        except Exception as error:
            return tell_failure(error, "an attempt was not noted", connector=target.name)
        if now.openings > before.openings:
            self.tally.count_opening(target.number)
            log.warning("connector left alone", connector=target.name, failures=now.failures, until=str(now.until))
        elif now == Breaker() and before.openings:
            log.info("connector works again", connector=target.name)
