"""Tally: a worker's counts of what its attempts came to, added to those of all workers every few seconds.

Counted in memory and stored apart from the attempts, so that no attempt waits for it. A worker that is killed takes
with it what it counted since it last stored; one that is told to stop stores the rest.
"""

import asyncio
import math
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.engine import driver, tell_failure
from gateway.db.tallies import TallyKey, add_tallies

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


class _Histogram:
    """How many observations there were up to each of some bounds, in seconds, and the sum of all."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds, self._counts, self._sum = bounds, [0] * len(bounds), 0.0

    def observe(self, seconds: float) -> None:
        seconds = max(seconds, 0.0)
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._sum += seconds

    def amounts(self) -> Iterator[tuple[str, float]]:
        """What was observed, by label."""
        found = [(_LABELS[bound], count) for bound, count in zip(self._bounds, self._counts, strict=True) if count]
        yield from found
        if found:
            yield SUM, self._sum


class _Attempts:
    """The attempts at one connector."""

    __slots__ = ("by_outcome", "latency", "took")

    def __init__(self) -> None:
        self.by_outcome = Counter[str]()
        self.took, self.latency = _Histogram(ATTEMPT_SECONDS), _Histogram(LATENCY_SECONDS)

    def amounts(self) -> Iterator[tuple[Measure, str, float]]:
        for measure, found in (
            (Measure.attempts, self.by_outcome.items()),
            (Measure.attempt_seconds, self.took.amounts()),
            (Measure.latency_seconds, self.latency.amounts()),
        ):
            yield from ((measure, label, amount) for label, amount in found)


class Tally:
    """The counts of one worker. ``connections`` bounds what it uses of the pool, together with its worker."""

    def __init__(self, engine: AsyncEngine, connections: asyncio.Semaphore, pause: float = _PAUSE) -> None:
        self._engine, self._connections, self._pause = engine, connections, pause
        self._attempts, self._amounts = defaultdict[int, _Attempts](_Attempts), defaultdict[TallyKey, float](float)

    def count_attempt(self, connector: int, outcome: str, seconds: float, latency: float | None = None) -> None:
        """An attempt that took so many seconds was recorded.

        ``latency`` is how many seconds after it had happened the upstream knew what it was told (None where it does
        not know, or where that was not looked up).
        """
        attempts = self._attempts[connector]
        attempts.by_outcome[outcome] += 1
        attempts.took.observe(seconds)
        if latency is not None:
            attempts.latency.observe(latency)

    def count_loss(self, connector: int) -> None:
        """A delivery was taken over from a worker that went away."""
        self._amounts[TallyKey(connector, Measure.leases_lost, "")] += 1

    def count_opening(self, connector: int) -> None:
        """A breaker opened."""
        self._amounts[TallyKey(connector, Measure.breaker_openings, "")] += 1

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
        counted = self._taken()
        if not counted:
            return
        try:
            async with asyncio.timeout(_PATIENCE), self._connections, driver(self._engine) as connection:
                await add_tallies(connection, counted)
        except BaseException as error:
            for key, amount in counted.items():
                self._amounts[key] += amount
            if not isinstance(error, Exception):
                raise
            tell_failure(error, "tallies could not be stored")

    def _taken(self) -> Mapping[TallyKey, float]:
        """All that was counted since it was taken last."""
        attempts, self._attempts = self._attempts, defaultdict(_Attempts)
        counted, self._amounts = self._amounts, defaultdict(float)
        for connector, each in attempts.items():
            for measure, label, amount in each.amounts():
                counted[TallyKey(connector, measure, label)] += amount
        return counted
