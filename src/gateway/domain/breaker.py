"""A circuit breaker: how much a connector may be sent at once, by how its last attempts went.

One that fails again and again is left alone for a while (open), then tried with a few attempts (half-open), and given
more with each success until it takes all that it is allowed (closed). All workers share it.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from gateway.domain.delivery import OutcomeClass

PROBES = 2
"""How many attempts at once try a connector that was left alone."""

_HEALTHY = frozenset({OutcomeClass.delivered, OutcomeClass.refused})


class BreakerState(StrEnum):
    """`closed`: sent all it may take; `open`: sent nothing; `half_open`: sent a little, and more with each success."""

    closed = "closed"
    open = "open"
    half_open = "half_open"


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When a breaker opens, and for how long.

    It takes `failures` in a row. The pause doubles from `shortest` to `longest` while the tries after it fail: an
    upstream that restarts is left alone for hardly longer than that takes, one that stays away is soon hardly tried.
    """

    failures: int = 10
    shortest: timedelta = timedelta(milliseconds=250)
    longest: timedelta = timedelta(minutes=5)

    def pause(self, openings: int) -> timedelta:
        """How long the so-manieth opening on end lasts."""
        factor = 1 << min(openings - 1, 32)
        return min(self.longest, self.shortest * factor)


@dataclass(frozen=True, slots=True)
class Breaker:
    """The breaker of one connector.

    `failures` in a row since `failing_since`. `limit` is None while it is closed; else the most that may be in flight
    after `until`, with nothing before. `openings` counts how often it opened since it was last closed.
    """

    failures: int = 0
    failing_since: datetime | None = None
    openings: int = 0
    until: datetime | None = None
    limit: int | None = None

    def state(self, now: datetime) -> BreakerState:
        """Whether anything may be sent now."""
        if self.limit is None or self.until is None:
            return BreakerState.closed
        return BreakerState.open if now < self.until else BreakerState.half_open


class Ended(NamedTuple):
    """An attempt that reached for the upstream: what it came to and when, and the wait that the upstream asked for."""

    kind: OutcomeClass
    started_at: datetime
    ended_at: datetime
    retry_after: timedelta | None = None

    @property
    def is_failure(self) -> bool:
        """Whether the upstream was not there to answer; `refused` is an answer."""
        return self.kind not in _HEALTHY


def after(breaker: Breaker, ended: Ended, concurrency: int, policy: BreakerPolicy) -> Breaker:
    """The breaker after one more attempt; `concurrency` is what the connector may have in flight when all is well."""
    if ended.is_failure:
        return _after_failure(breaker, ended, policy)
    return _after_success(breaker, ended, concurrency)


def _after_success(breaker: Breaker, ended: Ended, concurrency: int) -> Breaker:
    if breaker.limit is None or breaker.until is None:
        return Breaker()
    if ended.ended_at < breaker.until:  # begun before it opened: the upstream is back already
        return replace(breaker, failures=0, failing_since=None, until=ended.ended_at)
    limit = breaker.limit + 1  # one more for each success: twice as many in each round
    if limit >= concurrency:
        return Breaker()
    return replace(breaker, failures=0, failing_since=None, limit=limit)


def _after_failure(breaker: Breaker, ended: Ended, policy: BreakerPolicy) -> Breaker:
    since = breaker.failing_since or ended.ended_at
    failed = replace(breaker, failures=breaker.failures + 1, failing_since=since)
    if breaker.limit is not None and breaker.until is not None:
        # An attempt begun before the pause ended says nothing that is not known.
        return failed if ended.started_at < breaker.until else _opened(failed, ended, policy)
    return failed if failed.failures < policy.failures else _opened(failed, ended, policy)


def _opened(breaker: Breaker, ended: Ended, policy: BreakerPolicy) -> Breaker:
    openings = breaker.openings + 1
    asked = min(ended.retry_after or timedelta(), policy.longest)
    until = ended.ended_at + max(policy.pause(openings), asked)
    return replace(breaker, openings=openings, until=until, limit=PROBES)
