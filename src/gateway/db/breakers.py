"""The circuit breakers of connectors, shared by all workers. Few and narrow rows: one for each connector that failed.

A row is changed only under its own lock, never under its connector's, so that recording never waits for claims.
"""

from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from gateway.db.base import Instant, metadata
from gateway.db.engine import clock
from gateway.domain.breaker import Breaker, BreakerPolicy, Ended, after

breakers = sa.Table(
    "breakers",
    metadata,
    sa.Column("connector_id", sa.ForeignKey("connectors.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("failures", sa.Integer, nullable=False, server_default="0"),
    sa.Column("failing_since", Instant),
    sa.Column("openings", sa.Integer, nullable=False, server_default="0"),
    # The most that may be in flight after `opens_until`, and nothing before; null while it is closed.
    sa.Column("opens_until", Instant),
    sa.Column("room", sa.Integer),
    sa.CheckConstraint("(opens_until IS NULL) = (room IS NULL)", name="room"),
    # Rows are few and often changed: room on the page keeps the changes there.
    postgresql_with={"fillfactor": "50"},
)

_FIND = "SELECT failures, failing_since, openings, opens_until AS until, room AS limit FROM breakers"


class Known(NamedTuple):
    """A connector's breaker, by the database's clock."""

    breaker: Breaker
    now: datetime


async def find_breaker(connection: Any, connector: int) -> Known:
    """The breaker of a connector, and the moment at which to read it."""
    now = await clock(connection)
    row = await connection.fetchrow(_FIND + " WHERE connector_id = $1", connector)
    return Known(Breaker() if row is None else Breaker(**row), now)


async def note_attempt(connection: Any, connector: int, ended: Ended, policy: BreakerPolicy) -> tuple[Breaker, Breaker]:
    """Let an attempt count; the breaker before and after. A connector that is gone has none."""
    async with connection.transaction():
        await connection.execute(
            "INSERT INTO breakers (connector_id) SELECT id FROM connectors WHERE id = $1 ON CONFLICT DO NOTHING",
            connector,
        )
        row = await connection.fetchrow(_FIND + " WHERE connector_id = $1 FOR UPDATE", connector)
        concurrency = await connection.fetchval("SELECT concurrency FROM connectors WHERE id = $1", connector)
        if row is None or concurrency is None:
            return Breaker(), Breaker()
        before = Breaker(**row)
        found = after(before, ended, concurrency, policy)
        if found != before:
            await connection.execute(
                "UPDATE breakers SET failures = $2, failing_since = $3, openings = $4, opens_until = $5, room = $6"
                " WHERE connector_id = $1",
                connector,
                found.failures,
                found.failing_since,
                found.openings,
                found.until,
                found.limit,
            )
        return before, found


async def probe_now(connection: Any, connector: int) -> None:
    """End the pause of a breaker that is open: the next claim tries its connector."""
    await connection.execute(
        "UPDATE breakers SET opens_until = now() WHERE connector_id = $1 AND opens_until > now()", connector
    )
