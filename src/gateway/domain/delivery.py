"""A delivery: one event on its way to one connector, what an attempt can end in, and when to try again."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import assert_never

LONGEST_WAIT = timedelta(hours=24)
"""The most that a `Retry-After` can postpone an attempt: an upstream may ask for patience, not oblivion."""

_SECONDS = re.compile(r"[0-9]{1,9}")
_SPREAD = 0.2


class DeliveryState(StrEnum):
    """Where a delivery stands. `refused`, `exhausted` and `cancelled` are left to a person to take up."""

    pending = "pending"
    sending = "sending"
    delivered = "delivered"
    refused = "refused"
    exhausted = "exhausted"
    cancelled = "cancelled"


class Event(StrEnum):
    """What the upstream is told: what became of a report, or that an obligation falls due or is overdue."""

    accepted = "accepted"
    returned = "returned"
    withdrawn = "withdrawn"
    due = "due"
    overdue = "overdue"


REMINDERS = frozenset({Event.due, Event.overdue})
"""Events of an obligation; all others are of a report."""


class OutcomeClass(StrEnum):
    """What one attempt came to.

    `unreachable`: the upstream did not take it (no connection, or it answered that it is failing);
    `ambiguous`: the request was sent and no whole answer was read, so it may or may not have arrived.
    """

    delivered = "delivered"
    refused = "refused"
    throttled = "throttled"
    unreachable = "unreachable"
    ambiguous = "ambiguous"


FINAL = frozenset({OutcomeClass.delivered, OutcomeClass.refused})
"""After these nothing is tried again by itself."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of one attempt: `reason` in words for a person, `reply` the start of the answer; no secrets.

    `receipt` is the upstream's own, verified, of the kinds that give one.
    """

    kind: OutcomeClass
    reason: str
    status: int | None = None
    reply: str | None = None
    retry_after: timedelta | None = None
    receipt: str | None = None


@dataclass(frozen=True, slots=True)
class Provenance:
    """When a report was received first, by whichever gateway, the receipt that says so, and its signature if any."""

    received_at: datetime
    receipt: str
    signature: str | None = None


@dataclass(frozen=True, slots=True)
class RetrySchedule:
    """The waits after failed attempts: `delays` in turn, then `every`, until `horizon` after the first."""

    delays: Sequence[timedelta]
    every: timedelta
    horizon: timedelta

    def next_attempt_at(
        self,
        attempts_made: int,
        first_attempt_at: datetime,
        now: datetime,
        jitter: float,
        retry_after: timedelta | None = None,
    ) -> datetime | None:
        """When to try again after `attempts_made` failed ones (from 1); None once the horizon has passed.

        `jitter`, in [-1, 1], moves the delay by up to 20 %, so that what failed together does not return
        together. `retry_after` can lengthen the wait, to 24 h at most, and never shortens it. The last
        attempt is made at the horizon itself, however long the wait would have been.
        """
        end = first_attempt_at + self.horizon
        if now >= end:
            return None
        wait = self._delay_after(attempts_made) * (1 + _SPREAD * jitter)
        if retry_after is not None:
            # Spread upwards only: whoever comes back earlier than asked is turned away again.
            wait = max(wait, min(retry_after * (1 + _SPREAD * abs(jitter)), LONGEST_WAIT))
        return min(now + wait, end)

    @property
    def attempts(self) -> int:
        """How many attempts there are at most until the horizon, if no wait is moved."""
        elapsed, count = timedelta(), 1
        for delay in self.delays:
            elapsed += delay
            if elapsed >= self.horizon:
                return count + 1
            count += 1
        return count + math.ceil((self.horizon - elapsed) / self.every)

    def _delay_after(self, attempts_made: int) -> timedelta:
        if attempts_made < 1:
            raise ValueError("the first attempt is due at once: there is no delay before it")
        return self.delays[attempts_made - 1] if attempts_made <= len(self.delays) else self.every


DEFAULT_SCHEDULE = RetrySchedule(
    delays=(
        timedelta(seconds=5),
        timedelta(seconds=30),
        timedelta(minutes=2),
        timedelta(minutes=10),
        timedelta(minutes=30),
        timedelta(hours=1),
        timedelta(hours=2),
    ),
    every=timedelta(hours=4),
    horizon=timedelta(days=7),
)


def schedule_of(delays_seconds: Sequence[int], horizon_hours: int) -> RetrySchedule:
    """A schedule as it is written for a connector: the last of its waits is the one that is repeated."""
    waits = [timedelta(seconds=each) for each in delays_seconds]
    return RetrySchedule(waits, waits[-1], timedelta(hours=horizon_hours))


def state_after(kind: OutcomeClass, next_attempt: datetime | None) -> DeliveryState:
    """The state that an attempt leaves its delivery in; `next_attempt` is what the schedule gave."""
    match kind:
        case OutcomeClass.delivered:
            return DeliveryState.delivered
        case OutcomeClass.refused:
            return DeliveryState.refused
        case OutcomeClass.throttled | OutcomeClass.unreachable | OutcomeClass.ambiguous:
            return DeliveryState.exhausted if next_attempt is None else DeliveryState.pending
        case _:
            assert_never(kind)


def parse_retry_after(header: str | None, now: datetime) -> timedelta | None:
    """The wait that a `Retry-After` header asks for (RFC 9110, 10.2.3): seconds or a date; None if garbled.

    A date in the past is no wait at all. The answer is not bounded here: the schedule bounds it.
    """
    text = (header or "").strip()
    if _SECONDS.fullmatch(text):
        return timedelta(seconds=int(text))
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:  # the two obsolete date forms carry no zone: HTTP dates are always in UTC
        moment = moment.replace(tzinfo=UTC)
    return max(moment - now, timedelta())
