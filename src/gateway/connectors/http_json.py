"""Kind `http_json`: POSTs a report as JSON to one URL, signed as Standard Webhooks 1.0 asks."""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import datetime

from gateway.connectors.connector import ConnectorSettings, Dispatch, InvalidConnectorSettings
from gateway.connectors.outcome import outcome_of
from gateway.connectors.transport import Request, exchange, open_client
from gateway.domain.delivery import Outcome

_PREFIX = "whsec_"
_SHORTEST_KEY = 24
"""Bytes: the least that Standard Webhooks allows a signing key to have."""
_BEARER = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""What RFC 6750 lets a bearer token be: nothing that could end the header it is put in."""


class HttpJson:
    """An upstream that takes one report a request at one URL and knows repeats by their `Idempotency-Key`."""

    def __init__(self, settings: ConnectorSettings) -> None:
        self._settings = settings
        self._credentials = dict(settings.credentials or {})
        self._key = _signing_key(self._credentials)
        self._authorization = _authorization(self._credentials)
        self._client = open_client(settings.url, allow_private_addresses=settings.allow_private_addresses)

    async def send(self, dispatch: Dispatch) -> Outcome:
        """Make one attempt."""
        answer = await exchange(
            self._client,
            Request(self._settings.url, self._headers(dispatch), dispatch.body),
            deadline_seconds=self._settings.deadline_seconds,
            max_reply_bytes=self._settings.max_reply_bytes,
        )
        return outcome_of(answer, dispatch.attempted_at, self._credentials.values())

    async def aclose(self) -> None:
        """Close the connections kept open."""
        await self._client.aclose()

    def _headers(self, dispatch: Dispatch) -> dict[str, str]:
        identity, at = str(dispatch.delivery), dispatch.attempted_at
        return {
            "Content-Type": dispatch.media_type,
            "Content-Digest": content_digest(dispatch.body),
            "Idempotency-Key": f"{dispatch.report}:{dispatch.event}",
            "webhook-id": identity,
            "webhook-timestamp": str(int(at.timestamp())),
            **({"webhook-signature": signature(self._key, identity, at, dispatch.body)} if self._key else {}),
            **self._authorization,
        }


def content_digest(body: bytes) -> str:
    """The value of `Content-Digest` for a body (RFC 9530)."""
    return f"sha-256=:{_base64(hashlib.sha256(body).digest())}:"


def signature(key: bytes, identity: str, at: datetime, body: bytes) -> str:
    """The value of `webhook-signature`: HMAC-SHA256 over `id.timestamp.body`, version `v1`."""
    signed = f"{identity}.{int(at.timestamp())}.".encode() + body
    return f"v1,{_base64(hmac.digest(key, signed, 'sha256'))}"


def _signing_key(credentials: Mapping[str, str]) -> bytes | None:
    if (secret := credentials.get("signing_secret")) is None:
        return None
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(_PREFIX) or len(key) < _SHORTEST_KEY:
        raise InvalidConnectorSettings(f"signing_secret is {_PREFIX} and at least {_SHORTEST_KEY} bytes in base64")
    return key


def _authorization(credentials: Mapping[str, str]) -> dict[str, str]:
    if unknown := credentials.keys() - {"signing_secret", "bearer"}:
        raise InvalidConnectorSettings(f"http_json has no credentials named {', '.join(sorted(unknown))}")
    if (token := credentials.get("bearer")) is None:
        return {}
    if not _BEARER.fullmatch(token):
        raise InvalidConnectorSettings("bearer is not a token that can be put in a header (RFC 6750)")
    return {"Authorization": f"Bearer {token}"}


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")
