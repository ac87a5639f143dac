"""``private_key_jwt``: a client proves who it is by a short statement that it signed itself (RFC 7523, 2.2 and 3)."""

import binascii
from base64 import urlsafe_b64decode
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from joserfc import jwt
from joserfc.errors import JoseError
from sqlalchemy import Row

from gateway.access.fetched_keys import FetchedKeys
from gateway.access.key_sets import import_pinned
from gateway.access.tokens import SKEW_SECONDS
from gateway.db.clients import KeptClient
from gateway.domain.exact import decode

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
LONGEST_SECONDS = 300
"""How far ahead an assertion may say that it ends."""
_LONGEST_ID = 200
_NAMES = {"Ed25519": ["Ed25519", "EdDSA"]}
"""Other names that a header may call a pinned algorithm by (RFC 9864)."""


@dataclass(frozen=True, slots=True)
class Assertion:
    """A statement as it came: who it says signed it, with which key; nothing of it is proven."""

    text: str
    client: UUID
    kid: str | None


@dataclass(frozen=True, slots=True)
class Proven:
    """The credential an assertion was signed by, and the id under which it may be used this once, until a time."""

    credential: Row[Any]
    id: str
    until: int


def read_assertion(text: str) -> Assertion | None:
    """What an assertion says of itself; None for what is none."""
    try:
        header, claims = (decode(urlsafe_b64decode(part + "==")) for part in text.split(".")[:2])
        kid = header.get("kid")
        return Assertion(text, UUID(claims["sub"]), kid) if kid is None or isinstance(kid, str) else None
    except (ValueError, binascii.Error, KeyError, AttributeError, TypeError):
        return None


async def prove(
    assertion: Assertion, client: KeptClient, fetched: FetchedKeys, audiences: set[str], now: datetime
) -> Proven | None:
    """The credential whose key signed an assertion that is in time and for us; None where there is none.

    Only the algorithm pinned to the key is taken, whatever the header says.
    """
    for credential in client.credentials:
        key = await _key(credential, assertion.kid, fetched)
        if key is None:
            continue
        try:
            algorithms = _NAMES.get(key["alg"], [key["alg"]])
            claims = jwt.decode(assertion.text, import_pinned(key), algorithms=algorithms).claims
        except (JoseError, ValueError):
            continue
        if _is_good(claims, str(client.row.id), audiences, now.timestamp()):
            return Proven(credential, claims["jti"], int(claims["exp"]) + SKEW_SECONDS)
    return None


async def _key(credential: Row[Any], kid: str | None, fetched: FetchedKeys) -> dict[str, str] | None:
    """The key an assertion names; one that names none means the only one that is registered."""
    if credential.kind == "jwks_uri" and kid is not None:
        return await fetched.find(credential.uri, kid)
    keys: list[dict[str, str]] = credential.keys["keys"] if credential.kind == "jwks" else []
    if kid is None:
        return keys[0] if len(keys) == 1 else None
    return next((key for key in keys if key["kid"] == kid), None)


def _is_good(claims: dict[str, Any], client: str, audiences: set[str], now: float) -> bool:
    audience = claims.get("aud")
    named = {each for each in (audience if isinstance(audience, list) else [audience]) if isinstance(each, str)}
    times = [claims.get("exp"), claims.get("nbf", now), claims.get("iat", now)]
    if not all(isinstance(each, int | float) and not isinstance(each, bool) for each in times):
        return False
    ends, begins, made = map(float, times)
    name = claims.get("jti")
    return (
        claims.get("iss") == claims.get("sub") == client
        and bool(named & audiences)
        and now - SKEW_SECONDS < ends <= now + LONGEST_SECONDS + SKEW_SECONDS
        and max(begins, made) <= now + SKEW_SECONDS
        and isinstance(name, str)
        and 1 <= len(name) <= _LONGEST_ID
    )
