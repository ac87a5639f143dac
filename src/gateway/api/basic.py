"""A client's id and secret by HTTP Basic: at the token endpoint, and for clients that know no tokens."""

import base64
import binascii
from datetime import datetime
from urllib.parse import unquote_plus
from uuid import UUID

from fastapi import Request
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.access.scopes import Scope
from gateway.access.secrets import matches
from gateway.access.tokens import Caller
from gateway.db.clients import find_client
from gateway.db.engine import server_now


async def authenticate(request: Request, engine: AsyncEngine) -> tuple[Caller, datetime] | None:
    """Who sent a request, and the database's time; None for an unknown client, a wrong secret, or neither given."""
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        # RFC 6749, 2.3.1: both halves are form-encoded before they are joined.
        name, _, secret = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
        client_id = UUID(unquote_plus(name))
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None
    async with engine.connect() as connection:
        client = await find_client(connection, client_id)
        now = await server_now(connection)
    if client is None or not matches(unquote_plus(secret), client.secret_sha256):
        return None
    return Caller(client_id, frozenset(Scope(scope) for scope in client.scopes), client.agency), now
