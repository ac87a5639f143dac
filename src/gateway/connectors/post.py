"""Post to one URL, signed as Standard Webhooks 1.0 asks: what `http_json` and `webhook` have in common."""

import re
from collections.abc import Mapping

from gateway.connectors.connector import ConnectorSettings, Dispatch, InvalidConnectorSettings
from gateway.connectors.outcome import outcome_of
from gateway.connectors.signing import signatures, signing_keys
from gateway.connectors.transport import Request, exchange, open_client
from gateway.domain.delivery import Outcome

_BEARER = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""What RFC 6750 lets a bearer token be: nothing that could end the header it is put in."""


class SignedPost:
    """Sends to the URL of a connector, with its bearer token and signatures if it has credentials for them."""

    def __init__(self, settings: ConnectorSettings) -> None:
        self._settings = settings
        credentials = dict(settings.credentials or {})
        if unknown := credentials.keys() - {"signing_secret", "bearer"}:
            raise InvalidConnectorSettings(f"{settings.kind} has no credentials named {', '.join(sorted(unknown))}")
        secret = credentials.get("signing_secret")
        self.keys = [] if secret is None else signing_keys(secret)
        self._authorization = _authorization(credentials.get("bearer"))
        self._secrets = [word for each in credentials.values() for word in each.split(" ")]
        self._client = open_client(settings.url, allow_private_addresses=settings.allow_private_addresses)

    async def send(self, dispatch: Dispatch, body: bytes, headers: Mapping[str, str]) -> Outcome:
        """Make one attempt at a delivery: the same body in every attempt, the time and the signatures anew."""
        identity, at = str(dispatch.delivery), dispatch.attempted_at
        signed = {"webhook-signature": signatures(self.keys, identity, at, body)} if self.keys else {}
        answer = await exchange(
            self._client,
            Request(
                self._settings.url,
                {
                    **headers,
                    "webhook-id": identity,
                    "webhook-timestamp": str(int(at.timestamp())),
                    **signed,
                    **self._authorization,
                },
                body,
            ),
            deadline_seconds=self._settings.deadline_seconds,
            max_reply_bytes=self._settings.max_reply_bytes,
        )
        return outcome_of(answer, at, self._secrets)

    async def aclose(self) -> None:
        """Close the connections kept open."""
        await self._client.aclose()


def _authorization(bearer: str | None) -> dict[str, str]:
    if bearer is None:
        return {}
    if not _BEARER.fullmatch(bearer):
        raise InvalidConnectorSettings("bearer is not a token that can be put in a header (RFC 6750)")
    return {"Authorization": f"Bearer {bearer}"}
