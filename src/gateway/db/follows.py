"""How far an upstream has been followed: a gateway above, whose returns are made here too, or a witness of the log.

One narrow row a connector. A worker takes a row for a while, asks the upstream with nothing open, and puts it back.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from gateway.db.base import Instant, metadata
from gateway.db.claims import Target

follows = sa.Table(
    "follows",
    metadata,
    sa.Column("connector_id", sa.ForeignKey("connectors.id", ondelete="CASCADE"), primary_key=True),
    # Of the upstream's feed of changes, what was read of it already; of a witness, the size that it signed last. Null
    # before the first look.
    sa.Column("cursor", sa.Text),
    sa.Column("due_at", Instant, nullable=False, server_default=sa.func.now()),
    sa.Column("followed_at", Instant),
    sa.Column("failure", sa.Text),
)


@dataclass(frozen=True, slots=True)
class Followed:
    """An upstream to be asked, from a cursor on."""

    target: Target
    cursor: str | None


@dataclass(frozen=True, slots=True)
class KeptFollow:
    """When an upstream was last asked with success, and why the last look failed, if it did."""

    followed_at: datetime | None
    failure: str | None
    cursor: str | None


_BEGIN = """
INSERT INTO follows (connector_id)
SELECT id FROM connectors c
 WHERE kind = $1 AND removed_at IS NULL AND NOT EXISTS (SELECT FROM follows f WHERE f.connector_id = c.id)
    ON CONFLICT DO NOTHING
"""
_TAKE = """
UPDATE follows SET due_at = now() + $2::interval
  FROM (SELECT c.id, c.name, c.kind, c.url, c.allow_private_addresses, c.credentials, c.options::text AS options
          FROM follows f JOIN connectors c ON c.id = f.connector_id
         WHERE c.kind = $1 AND c.removed_at IS NULL AND c.paused_at IS NULL AND f.due_at <= now()
         ORDER BY f.due_at LIMIT 1 FOR NO KEY UPDATE OF f SKIP LOCKED) AS c
 WHERE connector_id = c.id RETURNING c.*, cursor
"""


async def take_follow(connection: Any, kind: str, lease: timedelta) -> Followed | None:
    """An upstream of a kind that is due to be asked; nobody else is given it for a lease."""
    await connection.execute(_BEGIN, kind)
    row = await connection.fetchrow(_TAKE, kind, lease)
    if row is None:
        return None
    target = Target(
        row["id"],
        row["name"],
        row["kind"],
        row["url"],
        row["allow_private_addresses"],
        row["credentials"],
        row["options"],
    )
    return Followed(target, row["cursor"])


async def put_follow(connection: Any, followed: Followed, cursor: str | None, pause: timedelta) -> None:
    """What was read up to a cursor has been done. Nothing changes where somebody else came further meanwhile."""
    await connection.execute(
        "UPDATE follows SET cursor = $3, due_at = now() + $4::interval, followed_at = now(), failure = NULL"
        " WHERE connector_id = $1 AND cursor IS NOT DISTINCT FROM $2",
        followed.target.number,
        followed.cursor,
        cursor,
        pause,
    )


async def put_failure(connection: Any, followed: Followed, failure: str, pause: timedelta) -> None:
    """The upstream could not be asked."""
    await connection.execute(
        "UPDATE follows SET due_at = now() + $3::interval, failure = $2 WHERE connector_id = $1",
        followed.target.number,
        failure,
        pause,
    )


async def find_follow(connection: Any, connector: int) -> KeptFollow | None:
    row = await connection.fetchrow(
        "SELECT followed_at, failure, cursor FROM follows WHERE connector_id = $1", connector
    )
    return None if row is None else KeptFollow(**row)
