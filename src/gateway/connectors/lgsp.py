"""Kind `lgsp`: signs in with OAuth 2.0 client credentials, then sends a report as `http_json` does.

A local service platform (LGSP) stands between the gateway and the upstream, mostly an API manager with a token URL
beside its services. The client authenticates there by HTTP Basic (RFC 6749, 2.3.1 and 4.4).
"""

from pydantic import Field

from gateway.connectors.connector import ConnectorSettings, Dispatch, options_of
from gateway.connectors.credentials import ClientCredentials
from gateway.connectors.http_json import report_headers
from gateway.connectors.mapping import Mapper, MappingOptions, address
from gateway.connectors.outcome import reminder_refused
from gateway.connectors.post import SignedPost
from gateway.connectors.session import Session
from gateway.connectors.transport import NoReply, Reply, check_option_url
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
        self._credentials = ClientCredentials(self._post, self._options.token_url, self._options.scope)
        self._session = Session(self._credentials.ask)

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
            judged = self._post.judged(answer, dispatch.attempted_at, [token, self._credentials.basic])
            return request.judged(answer, judged)

        return await self._session.send(post, judged, until)

    async def aclose(self) -> None:
        """Close the connections kept open."""
        await self._session.aclose()
        await self._post.aclose()
