"""Kind `ndxp`: POSTs a report as JSON through the national data exchange platform, by an adapter of its X-Road servers.

The adapter forwards to a service of another agency, which it finds by a destination code and the provider's address.
The provider is signed in to first, through the adapter too, and gives a token for its session. As observed in
provincial systems: `…/RestService/forward/<service path>?dstcode=VN:GOV:<agency>:<provider>&providerurl=<base>`, where
the agency's code is one of QCVN 102:2016/BTTTT.
"""

from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import quote

from pydantic import AfterValidator, Field, StringConstraints

from gateway.connectors.connector import ConnectorSettings, Dispatch, InvalidConnectorSettings, options_of
from gateway.connectors.http_json import report_headers
from gateway.connectors.mapping import Mapper, MappingOptions
from gateway.connectors.outcome import reminder_refused
from gateway.connectors.post import SignedPost
from gateway.connectors.session import Granted, Session, granted_by
from gateway.connectors.transport import NoReply, Reply, Request, check_option_url
from gateway.domain.delivery import Outcome
from gateway.domain.document import Document, refusal
from gateway.domain.exact import encode

_FORWARD = "/RestService/forward"
_OURS = frozenset({"host", "connection", "content-length", "content-type", "transfer-encoding", "te", "upgrade"})


def _free(header: str) -> str:
    if header.lower() in _OURS:
        raise refusal("Tiêu đề này đã có công dụng khác", "This header has another use")
    return header


_Path = Annotated[str, StringConstraints(pattern=r"^(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+/?$", max_length=500)]
_Word = Annotated[str, StringConstraints(min_length=1, max_length=200)]
_Text = Annotated[str, StringConstraints(max_length=2000)]


class NdxpLogin(Document):
    """How the provider is signed in to, and how it is shown the token that it gave."""

    service: _Path
    username_field: _Word = "username"
    password_field: _Word = "password"  # noqa: S105 (the name of a field)
    fields: dict[_Word, _Text] = Field(default_factory=dict, description="What else the body holds.")
    token: str = Field("/token", pattern=r"^(/[^/]+)+$", max_length=200, description="Where it is: a JSON Pointer.")
    seconds: int | None = Field(None, ge=1, description="How long a token holds; null: until it is not taken any more.")
    header: Annotated[str, AfterValidator(_free)] = Field("Authorization", pattern=r"^[A-Za-z0-9-]{1,100}$")
    prefix: str = Field("Bearer ", pattern=r"^([A-Za-z]{1,20} )?$", description="What goes before it in the header.")


class NdxpOptions(MappingOptions):
    """Whose service takes the reports, and how they are told."""

    dstcode: str = Field(pattern=r"^VN:GOV:[0-9]{3}\.[0-9]{2}\.[0-9]{2}\.[A-Z][0-9]{2}:[A-Za-z0-9._-]{1,100}$")
    provider_url: str = Field(min_length=1, max_length=2000)
    service: _Path
    login: NdxpLogin


class Ndxp:
    """A service of another agency, behind the adapter at the URL."""

    def __init__(self, settings: ConnectorSettings) -> None:
        self._options = options_of(settings, NdxpOptions)
        check_option_url(self._options.provider_url, "provider_url")
        self._mapper = Mapper(self._options)
        self._post = SignedPost(self._mapper.fitted(settings), ("username", "password", "signing_secret"))
        if "?" in settings.url:
            raise InvalidConnectorSettings(f"url may hold no query: it is the adapter's address before {_FORWARD}")
        self._base = settings.url.rstrip("/") + _FORWARD
        username, password = (self._post.credentials.get(name) for name in ("username", "password"))
        if not username or not password:
            raise InvalidConnectorSettings("username and password are needed to sign in to the provider")
        login = self._options.login
        self._login = encode({**login.fields, login.username_field: username, login.password_field: password})
        self._session = Session(self._ask)

    async def send(self, dispatch: Dispatch) -> Outcome:
        """Make one attempt: once more in another session, within its time, if the first was not taken any more."""
        if dispatch.report is None:
            return reminder_refused("ndxp")
        request = await self._mapper.prepare(dispatch)
        if isinstance(request, Outcome):
            return request
        told, until, login = request.dispatch, self._post.ends(), self._options.login
        headers = report_headers(told) | request.headers
        url = self._address(self._options.service + request.path)

        async def post(token: str) -> Reply | NoReply:
            shown = headers | {login.header: f"{login.prefix}{token}"}
            return await self._post.post(told, told.body, shown, until=until, url=url, method=request.how.method)

        def judged(answer: Reply | NoReply, token: str) -> Outcome:
            return request.judged(answer, self._post.judged(answer, dispatch.attempted_at, [token]))

        return await self._session.send(post, judged, until)

    async def aclose(self) -> None:
        """Close the connections kept open."""
        await self._session.aclose()
        await self._post.aclose()

    async def _ask(self) -> Granted | Outcome:
        login = self._options.login
        request = Request(self._address(login.service), {"Content-Type": "application/json"}, self._login)
        answer = await self._post.exchange(request, until=self._post.ends())
        judged = self._post.judged(answer, datetime.now(UTC))
        return granted_by(answer, judged, login.token, lambda _: login.seconds)

    def _address(self, service: str) -> str:
        provider = quote(self._options.provider_url, safe="")
        joint = "&" if "?" in service else "?"
        return f"{self._base}{service}{joint}dstcode={self._options.dstcode}&providerurl={provider}"
