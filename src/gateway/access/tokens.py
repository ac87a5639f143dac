"""Access tokens: short-lived JWTs (RFC 9068 in shape) that carry a client's scopes and subtree."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from joserfc import jwt
from joserfc.errors import JoseError
from uuid_utils.compat import uuid7

from gateway.access.clock import DatabaseClock
from gateway.access.limits import NONE, Limits
from gateway.access.scopes import Scope
from gateway.errors import Text, Unauthenticated
from gateway.keys import SigningKeys

SKEW_SECONDS = 60
_CACHED_TOKENS = 10_000


@dataclass(frozen=True, slots=True)
class Caller:
    """A client that proved who it is. ``agency`` is the root of its subtree; None is the whole country."""

    client: UUID
    scopes: frozenset[Scope]
    agency: str | None
    credential: UUID | None = None
    """By which it did; None in tokens of the version before."""
    limits: Limits = NONE
    certificate: str | None = None
    """The thumbprint of the certificate a token is bound to (RFC 8705, 3.1)."""


class Tokens:
    """Issues and verifies tokens of one issuer, which is also their audience.

    Time is the database's, which all processes share.
    """

    def __init__(self, keys: SigningKeys, issuer: str, seconds: int, clock: DatabaseClock | None = None) -> None:
        self._keys, self._issuer, self.seconds = keys, issuer, seconds
        self._verified: dict[str, tuple[float, Caller]] = {}
        self._generation = keys.generation
        self._clock = clock or DatabaseClock()
        self._claims = jwt.JWTClaimsRegistry(
            now=lambda: int(self._clock.now()),
            leeway=SKEW_SECONDS,
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": issuer},
            exp={"essential": True},
            sub={"essential": True},
        )

    def issue(self, caller: Caller, at: datetime) -> str:
        """A token for a client, good for ``seconds`` from ``at`` by the database's clock."""
        self._clock.learn(at)
        now = int(at.timestamp())
        claims: dict[str, object] = {
            "iss": self._issuer,
            "aud": self._issuer,
            "sub": str(caller.client),
            "client_id": str(caller.client),
            "scope": " ".join(sorted(caller.scopes)),
            "agency": caller.agency,
            "credential": caller.credential and str(caller.credential),
            "iat": now,
            "exp": now + self.seconds,
            "jti": str(uuid7()),
        }
        if limits := caller.limits.shown():
            claims["limits"] = limits
        if caller.certificate is not None:
            claims["cnf"] = {"x5t#S256": caller.certificate}
        header = {"alg": "Ed25519", "typ": "at+jwt", "kid": self._keys.current.kid}
        return jwt.encode(header, claims, self._keys.current, algorithms=["Ed25519"])

    def verify(self, token: str) -> Caller:
        """Who a token speaks for. Raises ``Unauthenticated`` when it is expired, forged or not for us.

        A verified token is remembered until it expires, since the signature is most of the cost.
        """
        if self._generation != self._keys.generation:  # a key may have been taken away
            self._verified.clear()
            self._generation = self._keys.generation
        known = self._verified.get(token)
        if known is not None and known[0] > self._clock.now():
            return known[1]
        try:
            decoded = jwt.decode(token, self._keys.set, algorithms=["Ed25519"])
            if decoded.header.get("typ") != "at+jwt":
                raise ValueError("not an access token")
            self._claims.validate(decoded.claims)
            caller = Caller(
                UUID(decoded.claims["sub"]),
                frozenset(Scope(scope) for scope in str(decoded.claims["scope"]).split()),
                decoded.claims["agency"],
                UUID(credential) if (credential := decoded.claims.get("credential")) else None,
                Limits.read(decoded.claims.get("limits") or {}),
                decoded.claims["cnf"]["x5t#S256"] if "cnf" in decoded.claims else None,
            )
        except (JoseError, ValueError, KeyError, AttributeError, TypeError) as error:
            raise Unauthenticated(
                Text("Token không hợp lệ hoặc đã hết hạn.", "The token is invalid or has expired.")
            ) from error
        if len(self._verified) >= _CACHED_TOKENS:
            self._verified.clear()
        self._verified[token] = (float(decoded.claims["exp"]) + SKEW_SECONDS, caller)
        return caller
