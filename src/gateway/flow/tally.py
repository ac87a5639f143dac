"""Tally: a worker's counts of what its attempts came to, added to those of all workers every few seconds.

Counted in memory and stored apart from the attempts, so that no attempt waits for it. A worker that is killed takes
with it what it counted since it last stored; one that is told to stop stores the rest.
"""

import asyncio
import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.engine import driver, tell_failure
from gateway.db.tallies import TallyKey, add_tallies
from gateway.domain.breaker import Ended
from gateway.domain.delivery import OutcomeClass

_PAUSE, _PATIENCE = 5.0, 3.0
"""Seconds between two times of storing, and for one."""

_HOUR = 3600.0
ATTEMPT_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, math.inf)
LATENCY_SECONDS = (
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0),
    *(_HOUR, 4 * _HOUR, 12 * _HOUR, 24 * _HOUR, 72 * _HOUR, 168 * _HOUR, math.inf),
)
"""Upper bounds of buckets."""
_LABELS = {each: str(each) for each in (*ATTEMPT_SECONDS, *LATENCY_SECONDS)}

SUM = "sum"
"""The label of a histogram's sum; its other labels are upper bounds."""


class Measure(StrEnum):
    """What is counted of a connector."""

    attempts = "attempts"
    attempt_seconds = "attempt_seconds"
    latency_seconds = "latency_seconds"
    leases_lost = "leases_lost"
    breaker_openings = "breaker_openings"

    __hash__ = str.__hash__  # it is a key for each attempt, and the one of enumerations is slow


class Tally:
    """The counts of one worker. ``connections`` bounds what it uses of the pool, together with its worker."""

    def __init__(self, engine: AsyncEngine, connections: asyncio.Semaphore, pause: float = _PAUSE) -> None:
        self._engine, self._connections, self._pause = engine, connections, pause
        self._amounts: defaultdict[tuple[int, str, str], float] = defaultdict(float)

    def count_attempt(self, connector: int, ended: Ended, occurred_at: datetime | None) -> None:
        """An attempt was recorded, to tell of what had ``occurred_at`` (None where that was not looked up)."""
        self._add(connector, Measure.attempts, ended.kind.value)
        self._observe(connector, Measure.attempt_seconds, ATTEMPT_SECONDS, ended.ended_at - ended.started_at)
        if ended.kind is OutcomeClass.delivered and occurred_at is not None:
            self._observe(connector, Measure.latency_seconds, LATENCY_SECONDS, ended.ended_at - occurred_at)

    def count_loss(self, connector: int) -> None:
        """A delivery was taken over from a worker that went away."""
        self._add(connector, Measure.leases_lost)

    def count_opening(self, connector: int) -> None:
        """A breaker opened."""
        self._add(connector, Measure.breaker_openings)

    async def keep(self) -> None:
        """Store what is counted, every so often until cancelled, and then once more."""
        try:
            while True:
                await asyncio.sleep(self._pause)
                await self._store()
        finally:
            await self._store()

    async def _store(self) -> None:
        """Add what was counted since to what is stored; while that cannot be done it goes on being counted."""
        counted, self._amounts = self._amounts, defaultdict(float)
        if not counted:
            return
        try:
            async with asyncio.timeout(_PATIENCE), self._connections, driver(self._engine) as connection:
                await add_tallies(connection, {TallyKey(*key): amount for key, amount in counted.items()})
        except BaseException as error:
            for key, amount in counted.items():
                self._amounts[key] += amount
            if not isinstance(error, Exception):
                raise
            tell_failure(error, "tallies could not be stored")

    def _add(self, connector: int, measure: Measure, label: str = "", amount: float = 1) -> None:
        self._amounts[connector, measure, label] += amount

    def _observe(self, connector: int, measure: Measure, bounds: Sequence[float], took: timedelta) -> None:
        seconds = max(took.total_seconds(), 0.0)
        self._add(connector, measure, _LABELS[bounds[bisect_left(bounds, seconds)]])
        self._add(connector, measure, SUM, seconds)
