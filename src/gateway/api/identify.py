"""Who sends a request, by a client's own credentials: its secret (HTTP Basic), or what it signed with its key."""

import base64
import binascii
import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import unquote_plus
from uuid import UUID

from fastapi import Request
from sqlalchemy import Row

from gateway.access.assertions import Assertion, prove
from gateway.access.limits import Limits
from gateway.access.scopes import Scope
from gateway.access.secrets import matches
from gateway.access.tokens import Caller
from gateway.api.address import address_of
from gateway.api.certificate import thumbprint_of
from gateway.api.deps import Gateway
from gateway.db.assertions import spend_assertion
from gateway.db.clients import KeptClient, find_client
from gateway.db.engine import server_now
from gateway.db.failures import Failures, find_failures, note_failure
from gateway.errors import Text, TooManyRequests

MOST_OF_CLIENT, MOST_OF_ADDRESS = 10, 100
"""Failures in five minutes: of one client from one address, and of one address in all."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Who a request says that it comes from, and by what it means to prove that."""

    client: UUID
    by: str | Assertion


def basic_claim(request: Request) -> Claim | None:
    """The id and secret in a request's header; None where there are none."""
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        # RFC 6749, 2.3.1: both halves are form-encoded before they are joined.
        name, _, secret = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
        return Claim(UUID(unquote_plus(name)), unquote_plus(secret))
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None


async def identify(request: Request, gateway: Gateway, claim: Claim | None) -> tuple[Caller, datetime] | None:
    """Who sent a request, and the database's time; None where that is not proven.

    Raises ``TooManyRequests`` after too many failures of the same client from the same address, or of the address.
    """
    if claim is None:
        return None
    address = address_of(request, gateway.settings.trusted_proxies) or "unknown"
    async with gateway.engine.connect() as connection:
        client = await find_client(connection, claim.client)
        failed = await find_failures(connection, claim.client, address)
        now = await server_now(connection)
    _require_few(failed, client, address)
    certificate = thumbprint_of(request, gateway.settings)
    credential = None if client is None else await _proven(gateway, client, claim, now)
    if client is None or credential is None or (client.row.certificate_bound and certificate is None):
        async with gateway.engine.begin() as connection:
            await note_failure(connection, None if client is None else claim.client, address)
        return None
    scopes = frozenset(Scope(scope) for scope in client.row.scopes)
    limits = Limits.of(client.row._asdict())
    return Caller(claim.client, scopes, client.row.agency, credential.id, limits, certificate), now


def _require_few(failed: Failures, client: KeptClient | None, address: str) -> None:
    """Raises ``TooManyRequests``; a client that was let in from an address before is not kept out by others there."""
    is_at_home = client is not None and any(each.last_address == address for each in client.credentials)
    if failed.client >= MOST_OF_CLIENT:
        seconds = failed.client_seconds
    elif failed.address >= MOST_OF_ADDRESS and not is_at_home:
        seconds = failed.address_seconds
    else:
        return
    raise TooManyRequests(
        Text("Quá nhiều lần xác thực không thành công.", "Too many failed attempts to authenticate."),
        retry_after=max(1, math.ceil(seconds)),
        extra={"limit": "failed_attempts"},
    )


async def _proven(gateway: Gateway, client: KeptClient, claim: Claim, now: datetime) -> Row[Any] | None:
    if isinstance(claim.by, str):
        return _by_secret(client, claim.by)
    return await _by_key(gateway, client, claim.by, now)


def _by_secret(client: KeptClient, secret: str) -> Row[Any] | None:
    for credential in client.credentials:
        if credential.kind == "secret" and matches(secret, credential.secret_sha256):
            return credential
    return None


async def _by_key(gateway: Gateway, client: KeptClient, assertion: Assertion, now: datetime) -> Row[Any] | None:
    issuer = gateway.settings.issuer
    proven = await prove(assertion, client, gateway.fetched_keys, {issuer, f"{issuer.rstrip('/')}/oauth/token"}, now)
    if proven is None:
        return None
    async with gateway.engine.begin() as connection:
        is_first = await spend_assertion(connection, client.row.id, proven.id, proven.until)
    return proven.credential if is_first else None
