"""Attempts: what came of every try at a delivery. Only added to, a partition each month, and dropped by the month.

An attempt is looked for by its delivery, in the months since that was made. A day of slack is for databases' clocks
that differ after a fail-over, and for the start of a lost attempt, which is told from the lease.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from gateway.db.base import Instant, metadata

attempts = sa.Table(
    "attempts",
    metadata,
    sa.Column("delivery_id", sa.Uuid, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("started_at", Instant, primary_key=True),
    sa.Column("finished_at", Instant, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("status", sa.SmallInteger),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("reply", sa.Text),
    postgresql_partition_by="RANGE (started_at)",
)

_UPKEEP = 0x47575550  # one worker at a time makes and drops partitions
_MOST_MAKING, _MOST_DROPPING = "5s", "30min"
"""How long one statement may take. Making moves rows where months were not made in time, and others wait for that."""


@dataclass(frozen=True, slots=True)
class KeptAttempt:
    """One attempt that was made."""

    number: int
    started_at: datetime
    finished_at: datetime
    outcome: str
    status: int | None
    reason: str
    reply: str | None


@dataclass(frozen=True, slots=True)
class Upkept:
    """The partitions that were made, and those that were dropped."""

    made: Sequence[str] = ()
    dropped: Sequence[str] = field(default=())


FIND = """
SELECT number, started_at, finished_at, outcome, status, reason, reply FROM attempts
 WHERE delivery_id = $1 AND started_at >= (SELECT made_at - interval '1 day' FROM deliveries WHERE id = $1)
 ORDER BY number
"""


async def find_attempts(connection: Any, delivery: UUID) -> list[KeptAttempt]:
    """The attempts at a delivery that are still kept, oldest first."""
    return [KeptAttempt(**row) for row in await connection.fetch(FIND, delivery)]


async def keep_up(connection: Any, days: int) -> Upkept:
    """Make the partitions of the months to come, and drop those that lie wholly more than so many days ago.

    Nothing where another worker is at it. Neither waits long for others nor keeps them waiting: what cannot be locked
    at once raises ``LockNotAvailableError``.
    """
    dropped: list[str] = []
    async with connection.transaction():
        if not await _is_alone(connection, _MOST_MAKING):
            return Upkept()
        made: list[str] = await connection.fetchval("SELECT make_attempt_parts()")
    while (part := await _drop(connection, days)) is not None:
        dropped.append(part)
    return Upkept(made, dropped)


async def _drop(connection: Any, days: int) -> str | None:
    """Drop the oldest partition that is old enough; its name, or None where there is none."""
    async with connection.transaction():
        if not await _is_alone(connection, _MOST_DROPPING):
            return None
        part: str | None = await connection.fetchval("SELECT drop_attempt_part($1)", days)
        return part


async def _is_alone(connection: Any, most: str) -> bool:
    """Whether nobody else makes or drops partitions until this transaction ends."""
    await connection.execute(f"SET LOCAL statement_timeout = '{most}'")
    alone: bool = await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", _UPKEEP)
    return alone
