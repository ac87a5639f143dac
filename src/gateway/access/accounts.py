"""Making API clients."""

from collections.abc import Iterable

from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils.compat import uuid7

from gateway.access.scopes import Scope
from gateway.access.secrets import new_secret, secret_hash
from gateway.db.clients import add_client


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
