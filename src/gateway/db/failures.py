"""Failed proofs of identity, counted by who was named and from where, for some minutes."""

from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.db.base import Instant, metadata

WINDOW = timedelta(minutes=5)
_ANYBODY = UUID(int=0)
"""In place of a client: all failures of an address."""

failures = sa.Table(
    "failed_attempts",
    metadata,
    sa.Column("address", sa.Text, primary_key=True),
    sa.Column("client_id", sa.Uuid, primary_key=True),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("since", Instant, nullable=False, index=True),
)


class Failures(NamedTuple):
    """Failures of one client from one address, and of the address in all, with the seconds until each is forgotten."""

    client: int
    client_seconds: float
    address: int
    address_seconds: float


async def find_failures(connection: AsyncConnection, client: UUID, address: str) -> Failures:
    """How often it was tried in vain lately."""
    clock = sa.func.clock_timestamp()
    left = sa.func.extract("epoch", failures.c.since + WINDOW - clock)
    statement = sa.select(failures.c.client_id, failures.c.number, left).where(
        failures.c.address == address,
        failures.c.client_id.in_([client, _ANYBODY]),
        failures.c.since > clock - WINDOW,
    )
    found = {row[0]: (row[1], float(row[2])) for row in await connection.execute(statement)}
    return Failures(*found.get(client, (0, 0.0)), *found.get(_ANYBODY, (0, 0.0)))


async def note_failure(connection: AsyncConnection, client: UUID | None, address: str) -> None:
    """Count a failure: of the address, and of the client if there is one; some old ones are forgotten along with it."""
    old = (
        sa.select(failures.c.address, failures.c.client_id)
        .where(failures.c.since < sa.func.now() - WINDOW)
        .order_by(failures.c.since)
        .limit(10)
        .with_for_update(skip_locked=True)
    )
    await connection.execute(sa.delete(failures).where(sa.tuple_(failures.c.address, failures.c.client_id).in_(old)))
    is_over = failures.c.since < sa.func.now() - WINDOW
    # In one order everywhere, so that two processes do not wait for each other.
    for each in [_ANYBODY, *([client] if client is not None else [])]:
        await connection.execute(
            insert(failures)
            .values(address=address, client_id=each, number=1, since=sa.func.now())
            .on_conflict_do_update(
                index_elements=["address", "client_id"],
                set_={
                    "number": sa.case((is_over, 1), else_=failures.c.number + 1),
                    "since": sa.case((is_over, sa.func.now()), else_=failures.c.since),
                },
            )
        )
