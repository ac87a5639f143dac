"""Making API clients, and saying whose reports they may relay."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from uuid_utils.compat import uuid7

from gateway.access.scopes import Scope
from gateway.access.secrets import new_secret, secret_hash
from gateway.db.clients import add_client, find_client
from gateway.db.engine import driver
from gateway.db.relays import trust_issuer
from gateway.errors import NotFound, StateConflict, Text


async def create_client(
    connection: AsyncConnection, name: str, scopes: Iterable[Scope], agency: str | None
) -> tuple[str, str]:
    """Make a client and give its id and secret, which is kept only as a hash."""
    client, secret = uuid7(), new_secret()
    await add_client(
        connection,
        {
            "id": client,
            "name": name,
            "agency": agency,
            "scopes": sorted({scope.value for scope in scopes}),
            "secret_sha256": secret_hash(secret),
        },
    )
    return str(client), secret


async def trust(engine: AsyncEngine, client: UUID, issuer: str, keys: list[dict[str, Any]]) -> int:
    """Let a client bring reports by the receipts of an issuer; how many of its keys are known now.

    Raises ``NotFound`` for no such client, ``StateConflict`` for one without the scope to relay.
    """
    async with engine.connect() as connection:
        found = await find_client(connection, client)
    if found is None:
        raise NotFound(Text("Không có client này.", "There is no such client."))
    if Scope.reports_relay not in found.scopes:
        raise StateConflict(Text("Client không có quyền reports:relay.", "The client has no scope reports:relay."))
    async with driver(engine) as connection:
        return await trust_issuer(connection, client, issuer, keys)
