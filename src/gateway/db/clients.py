"""API clients: accounts of systems, with hashed secrets, scopes and a subtree."""

from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.db.base import Instant, metadata

clients = sa.Table(
    "clients",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("agency", sa.Text),
    sa.Column("scopes", ARRAY(sa.Text), nullable=False),
    sa.Column("secret_sha256", sa.LargeBinary, nullable=False),
    sa.Column("made_at", Instant, nullable=False, server_default=sa.func.now()),
    sa.Column("revoked_at", Instant),
)


async def add_client(connection: AsyncConnection, values: dict[str, Any]) -> None:
    await connection.execute(sa.insert(clients).values(**values))


async def find_client(connection: AsyncConnection, client_id: UUID) -> sa.Row[Any] | None:
    """A client that has not been revoked."""
    statement = sa.select(clients).where(clients.c.id == client_id, clients.c.revoked_at.is_(None))
    return (await connection.execute(statement)).one_or_none()
