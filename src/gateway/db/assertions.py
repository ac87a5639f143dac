"""Assertions that clients proved themselves by: each is good once."""

from datetime import UTC, datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.db.base import Instant, metadata

spent_assertions = sa.Table(
    "spent_assertions",
    metadata,
    sa.Column("client_id", sa.ForeignKey("clients.id"), primary_key=True),
    sa.Column("id", sa.Text, primary_key=True),
    # From then on it would not be taken anyhow.
    sa.Column("until", Instant, nullable=False, index=True),
)


async def spend_assertion(connection: AsyncConnection, client: UUID, name: str, until: int) -> bool:
    """Whether an assertion had not been used yet; some that have run out are forgotten along with it."""
    table = spent_assertions
    old = (
        sa.select(table.c.client_id, table.c.id).where(table.c.until < sa.func.now()).order_by(table.c.until).limit(10)
    )
    locked = old.with_for_update(skip_locked=True)
    await connection.execute(sa.delete(table).where(sa.tuple_(table.c.client_id, table.c.id).in_(locked)))
    added = await connection.execute(
        insert(table)
        .values(client_id=client, id=name, until=datetime.fromtimestamp(until, UTC))
        .on_conflict_do_nothing()
        .returning(table.c.id)
    )
    return added.first() is not None
