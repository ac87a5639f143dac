"""OAuth 2.0 client credentials (RFC 6749, 4.4): how an upstream with a token URL is signed in to, by HTTP Basic."""

import base64
from datetime import UTC, datetime
from urllib.parse import quote_plus, urlencode

from gateway.connectors.connector import InvalidConnectorSettings
from gateway.connectors.post import SignedPost
from gateway.connectors.session import Granted, granted_by, seconds_of
from gateway.connectors.transport import Request
from gateway.domain.delivery import Outcome


class ClientCredentials:
    """Asks for tokens with the ``client_id`` and ``client_secret`` of a connector.

    Raises `InvalidConnectorSettings` where it has none.
    """

    def __init__(self, post: SignedPost, token_url: str, scope: str | None = None) -> None:
        identity, secret = (post.credentials.get(name) for name in ("client_id", "client_secret"))
        if not identity or not secret:
            raise InvalidConnectorSettings("client_id and client_secret are needed to ask for tokens")
        self._post = post
        self.basic = base64.b64encode(f"{quote_plus(identity)}:{quote_plus(secret)}".encode()).decode("ascii")
        asked = {} if scope is None else {"scope": scope}
        self._request = Request(
            token_url,
            {"Authorization": f"Basic {self.basic}", "Content-Type": "application/x-www-form-urlencoded"},
            urlencode({"grant_type": "client_credentials", **asked}).encode("ascii"),
        )

    async def ask(self) -> Granted | Outcome:
        """A token, or what its absence means for a delivery."""
        answer = await self._post.exchange(self._request, until=self._post.ends())
        judged = self._post.judged(answer, datetime.now(UTC), [self.basic])
        return granted_by(answer, judged, "/access_token", lambda body: seconds_of(body.get("expires_in")))
