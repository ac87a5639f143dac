"""Connectors (upstreams) in storage. Removing one only marks it: its deliveries stay readable."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.db.base import Instant, metadata
from gateway.db.turns import take_turn
from gateway.domain.upstream import Subscriber

connectors = sa.Table(
    "connectors",
    metadata,
    sa.Column("id", sa.Integer, sa.Identity(always=True), primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("forms", ARRAY(sa.Text)),
    sa.Column("under", sa.Text),
    sa.Column("what", sa.Text, nullable=False),
    sa.Column("from_day", sa.Date),
    sa.Column("concurrency", sa.Integer, nullable=False),
    sa.Column("rate", sa.Numeric),
    # Up to when the rate is used up by what was claimed.
    sa.Column("paced_until", Instant),
    sa.Column("allow_private_addresses", sa.Boolean, nullable=False),
    sa.Column("credentials", sa.LargeBinary),
    # What its kind asks for beyond the URL and the credentials.
    sa.Column("options", JSONB(none_as_null=True)),
    # What of obligations it is reminded of, and the day since which it has asked for just that.
    sa.Column("remind", JSONB(none_as_null=True)),
    sa.Column("remind_since", sa.Date),
    # Its own retry schedule; null: that of all others.
    sa.Column("retry", JSONB(none_as_null=True)),
    sa.Column("made_at", Instant, nullable=False, server_default=sa.func.now()),
    sa.Column("paused_at", Instant),
    sa.Column("removed_at", Instant),
    sa.CheckConstraint("what in ('own', 'consolidation', 'all', 'none')", name="what"),
    sa.CheckConstraint("(remind IS NULL) = (remind_since IS NULL)", name="remind"),
    sa.Index("uq_connectors_name", "name", unique=True, postgresql_where=sa.text("removed_at IS NULL")),
)

_present = connectors.c.removed_at.is_(None)


async def all_connectors(connection: AsyncConnection) -> list[sa.Row[Any]]:
    """Every connector that has not been removed."""
    return list(await connection.execute(sa.select(connectors).where(_present).order_by(connectors.c.name)))


async def find_connector(connection: AsyncConnection, name: str) -> sa.Row[Any] | None:
    rows = await connection.execute(sa.select(connectors).where(_present, connectors.c.name == name))
    return rows.one_or_none()


async def lock_subscribers(connection: AsyncConnection) -> list[Subscriber]:
    """Every connector that asks for reminders, none of which changes until the transaction ends."""
    statement = sa.select(connectors).where(_present, connectors.c.remind.is_not(None)).order_by(connectors.c.id)
    rows = await connection.execute(statement.with_for_update(read=True))
    return [
        Subscriber(
            row.id,
            None if row.forms is None else frozenset(row.forms),
            row.under,
            row.remind["due_in_days"],
            row.remind["overdue"],
            row.remind_since,
        )
        for row in rows
    ]


async def lock_connector(connection: Any, number: int) -> None:
    """Keep claims of a connector's deliveries, and other changes to it, waiting until the transaction ends."""
    await connection.execute("SELECT FROM connectors WHERE id = $1 FOR NO KEY UPDATE", number)
    await take_turn(connection, number)


async def hold_connector(connection: Any, number: int) -> bool:
    """As ``lock_connector``; False when it has been removed."""
    found = await connection.fetchval(
        "SELECT id FROM connectors WHERE id = $1 AND removed_at IS NULL FOR NO KEY UPDATE", number
    )
    if found is not None:
        await take_turn(connection, number)
    return found is not None


async def put_connector(connection: AsyncConnection, name: str, values: dict[str, Any]) -> bool:
    """Make or change a connector; True when it is new. One at a time: under the catalogue's lock."""
    changed = await connection.execute(
        sa.update(connectors).where(_present, connectors.c.name == name).values(**values)
    )
    if changed.rowcount:
        return False
    await connection.execute(sa.insert(connectors).values(name=name, **values))
    return True


async def pause_connector(connection: AsyncConnection, name: str, paused: bool) -> None:
    """Stop or resume sending. What is being sent already goes on."""
    at = sa.func.coalesce(connectors.c.paused_at, sa.func.now()) if paused else sa.null()
    await connection.execute(sa.update(connectors).where(_present, connectors.c.name == name).values(paused_at=at))


async def remove_connector(connection: AsyncConnection, name: str) -> None:
    """Mark a connector as removed and forget its credentials."""
    await connection.execute(
        sa.update(connectors)
        .where(_present, connectors.c.name == name)
        .values(removed_at=sa.func.now(), credentials=None)
    )


async def connectors_ever(connection: AsyncConnection) -> list[sa.Row[Any]]:
    """Storage key, name and subtree of every connector there ever was."""
    statement = sa.select(connectors.c.id, connectors.c.name, connectors.c.under)
    return list(await connection.execute(statement))


async def encrypted_credentials(connection: Any) -> list[tuple[int, str, bytes]]:
    """The number, name and encrypted credentials of every connector that has some."""
    rows = await connection.fetch(
        "SELECT id, name, credentials FROM connectors WHERE credentials IS NOT NULL ORDER BY id"
    )
    return [(row["id"], row["name"], row["credentials"]) for row in rows]


async def replace_credentials(connection: Any, number: int, kept: bytes, anew: bytes) -> bool:
    """Keep the same credentials encrypted anew, unless somebody has changed them meanwhile."""
    changed = await connection.fetchval(
        "UPDATE connectors SET credentials = $3 WHERE id = $1 AND credentials = $2 RETURNING true", number, kept, anew
    )
    return changed is True
