"""Post to a URL, signed as Standard Webhooks 1.0 asks: what all kinds that speak HTTP have in common."""

import asyncio
import re
from collections.abc import Collection, Mapping
from datetime import datetime

from gateway.connectors.connector import ConnectorSettings, Dispatch, InvalidConnectorSettings
from gateway.connectors.outcome import harmless, outcome_of
from gateway.connectors.signing import signatures, signing_keys
from gateway.connectors.tls import TLS_CREDENTIALS
from gateway.connectors.transport import NoReply, Reply, Request, exchange, open_client
from gateway.domain.delivery import Outcome

_BEARER = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""What RFC 6750 lets a bearer token be: nothing that could end the header it is put in."""
_NOT_SECRET = TLS_CREDENTIALS | {"client_id", "username"}
"""Credentials that are not taken out of replies: they are never sent, or are names."""


class SignedPost:
    """Sends to the URL of a connector, with its bearer token and signatures if it has credentials for them.

    `takes` names the credentials of the kind besides certificates; `other_url` is where else it sends.
    """

    def __init__(
        self,
        settings: ConnectorSettings,
        takes: Collection[str] = ("signing_secret", "bearer"),
        other_url: str | None = None,
    ) -> None:
        self._settings = settings
        self.credentials = dict(settings.credentials or {})
        if unknown := self.credentials.keys() - {*takes, *TLS_CREDENTIALS}:
            raise InvalidConnectorSettings(f"{settings.kind} has no credentials named {', '.join(sorted(unknown))}")
        secret = self.credentials.get("signing_secret")
        self.keys = [] if secret is None else signing_keys(secret)
        self.authorization = _authorization(self.credentials.get("bearer"))
        self._secrets = [
            word
            for name, each in self.credentials.items()
            if name not in _NOT_SECRET
            for word in (each.split(" ") if name == "signing_secret" else [each])
        ]
        self._client = open_client(
            settings.url,
            allow_private_addresses=settings.allow_private_addresses,
            credentials=self.credentials,
            other_url=other_url,
        )

    def ends(self) -> float:
        """When an attempt that begins now has to be over, by the loop's clock."""
        return asyncio.get_running_loop().time() + self._settings.deadline_seconds

    async def send(self, dispatch: Dispatch, body: bytes, headers: Mapping[str, str]) -> Outcome:
        """Make one attempt at a delivery: the same body in every attempt, the time and the signatures anew."""
        return self.judged(await self.post(dispatch, body, headers, until=self.ends()), dispatch.attempted_at)

    async def post(
        self,
        dispatch: Dispatch,
        body: bytes,
        headers: Mapping[str, str],
        *,
        until: float,
        url: str | None = None,
        method: str = "POST",
    ) -> Reply | NoReply:
        """Send the body of a delivery, signed, and read the answer."""
        identity, at = str(dispatch.delivery), dispatch.attempted_at
        signed = {"webhook-signature": signatures(self.keys, identity, at, body)} if self.keys else {}
        sent = {
            "webhook-id": identity,
            "webhook-timestamp": str(int(at.timestamp())),
            **signed,
            **self.authorization,
            **headers,
        }
        return await self.exchange(Request(url or self._settings.url, sent, body, method), until=until)

    async def get(self, url: str, *, most: int) -> Reply | NoReply:
        """Read what is at a URL, with the bearer token; so many bytes of it at most."""
        return await self.exchange(Request(url, self.authorization, b"", "GET"), until=self.ends(), most=most)

    async def exchange(self, request: Request, *, until: float, most: int | None = None) -> Reply | NoReply:
        """Send any request and read its answer."""
        left = until - asyncio.get_running_loop().time()
        if left <= 0:
            return NoReply(False, "not sent: no time was left of the attempt")
        return await exchange(
            self._client, request, deadline_seconds=left, max_reply_bytes=most or self._settings.max_reply_bytes
        )

    def judged(self, answer: Reply | NoReply, at: datetime, secrets: Collection[str] = ()) -> Outcome:
        """What an answer means; `secrets` are those that the credentials do not hold."""
        return outcome_of(answer, at, [*self._secrets, *secrets])

    def harmless(self, text: str, secrets: Collection[str] = ()) -> str:
        """What an upstream wrote, without anything secret."""
        return harmless(text, [*self._secrets, *secrets])

    async def aclose(self) -> None:
        """Close the connections kept open."""
        await self._client.aclose()


def is_header_token(token: str) -> bool:
    """Whether a bearer token is one that a header can carry."""
    return _BEARER.fullmatch(token) is not None


def _authorization(bearer: str | None) -> dict[str, str]:
    if bearer is None:
        return {}
    if not is_header_token(bearer):
        raise InvalidConnectorSettings("bearer is not a token that can be put in a header (RFC 6750)")
    return {"Authorization": f"Bearer {bearer}"}
