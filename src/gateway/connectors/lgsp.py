"""Kind `lgsp`: signs in with OAuth 2.0 client credentials, then sends a report as `http_json` does.

A local service platform (LGSP) stands between the gateway and the upstream, mostly an API manager with a token URL
beside its services. The client authenticates there by HTTP Basic (RFC 6749, 2.3.1 and 4.4).
"""

import base64
from datetime import UTC, datetime
from urllib.parse import quote_plus, urlencode

from pydantic import Field

from gateway.connectors.connector import ConnectorSettings, Dispatch, InvalidConnectorSettings, options_of
from gateway.connectors.http_json import report_headers
from gateway.connectors.mapping import Mapper, MappingOptions, address
from gateway.connectors.outcome import reminder_refused
from gateway.connectors.post import SignedPost
from gateway.connectors.session import Granted, Session, granted_by, seconds_of
from gateway.connectors.transport import NoReply, Reply, Request, check_option_url
from gateway.domain.delivery import Outcome


class LgspOptions(MappingOptions):
    """Where tokens come from, and how reports are told."""

    token_url: str = Field(min_length=1, max_length=2000, description="Where to ask for a token.")
    scope: str | None = Field(
        None, pattern=r"^[\x21\x23-\x5B\x5D-\x7E]+( [\x21\x23-\x5B\x5D-\x7E]+)*$", max_length=1000
    )


class Lgsp:
    """An upstream behind an API manager. One token serves all attempts; one that is refused is renewed at once."""

    def __init__(self, settings: ConnectorSettings) -> None:
        self._options = options_of(settings, LgspOptions)
        check_option_url(self._options.token_url, "token_url")
        self._mapper, self._url = Mapper(self._options), settings.url
        takes = ("client_id", "client_secret", "signing_secret")
        self._post = SignedPost(self._mapper.fitted(settings), takes, other_url=self._options.token_url)
        identity, secret = (self._post.credentials.get(name) for name in ("client_id", "client_secret"))
        if not identity or not secret:
            raise InvalidConnectorSettings("client_id and client_secret are needed to ask for tokens")
        self._basic = base64.b64encode(f"{quote_plus(identity)}:{quote_plus(secret)}".encode()).decode("ascii")
        self._session = Session(self._ask)

    async def send(self, dispatch: Dispatch) -> Outcome:
        """Make one attempt: once more with another token, within its time, if the first was not taken any more."""
        if dispatch.report is None:
            return reminder_refused("lgsp")
        request = await self._mapper.prepare(dispatch)
        if isinstance(request, Outcome):
            return request
        told, until, url = request.dispatch, self._post.ends(), address(self._url, request.path)
        headers = report_headers(told) | request.headers

        async def post(token: str) -> Reply | NoReply:
            authorized = headers | {"Authorization": f"Bearer {token}"}
            return await self._post.post(told, told.body, authorized, until=until, url=url, method=request.how.method)

        def judged(answer: Reply | NoReply, token: str) -> Outcome:
            judged = self._post.judged(answer, dispatch.attempted_at, [token, self._basic])
            return request.judged(answer, judged)

        return await self._session.send(post, judged, until)

    async def aclose(self) -> None:
        """Close the connections kept open."""
        await self._session.aclose()
        await self._post.aclose()

    async def _ask(self) -> Granted | Outcome:
        scope = {} if self._options.scope is None else {"scope": self._options.scope}
        request = Request(
            self._options.token_url,
            {"Authorization": f"Basic {self._basic}", "Content-Type": "application/x-www-form-urlencoded"},
            urlencode({"grant_type": "client_credentials", **scope}).encode("ascii"),
        )
        answer = await self._post.exchange(request, until=self._post.ends())
        judged = self._post.judged(answer, datetime.now(UTC), [self._basic])
        return granted_by(answer, judged, "/access_token", lambda body: seconds_of(body.get("expires_in")))
