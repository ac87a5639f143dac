"""The one seam to the HTTP client library: every exchange ends by a deadline and within a byte cap.

The client of `httpx` follows, inflates and remembers what it is not told not to, and resolves a name anew
after any check made beforehand. No upstream needs that, so this speaks to the connection pool below it,
`httpcore`, over a network that checks addresses as it connects.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import httpcore
import httpx

from gateway.connectors.connector import InvalidConnectorOptions, InvalidConnectorSettings
from gateway.connectors.network import CheckedNetwork
from gateway.connectors.tls import tls_of
from gateway.errors import Place, Text

CONNECT_SECONDS = 5.0
PHASE_SECONDS = 15.0
"""A read or write that makes no progress this long is dead; the deadline usually ends the attempt sooner."""

_TIMEOUTS = {
    "connect": CONNECT_SECONDS,
    "read": PHASE_SECONDS,
    "write": PHASE_SECONDS,
    "pool": PHASE_SECONDS,
}
_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "report-gateway"}
_LONGEST_REASON = 300


@dataclass(frozen=True, slots=True)
class Request:
    """What to send to an upstream."""

    url: str
    headers: Mapping[str, str]
    body: bytes
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer: status, headers (any case), and the body as it came over the wire, cut at the cap."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class NoReply:
    """No whole answer was read. `sent` tells whether any of the request left: if so, it may have arrived.

    `status` is there when the answer broke off after its first line.
    """

    sent: bool
    reason: str
    status: int | None = None


def open_client(
    url: str,
    *,
    allow_private_addresses: bool,
    credentials: Mapping[str, str] | None = None,
    other_url: str | None = None,
) -> httpcore.AsyncConnectionPool:
    """A client for the upstream at a URL, and at another one if it has two.

    It trusts what `ca_certificate` among the credentials signed, or else what the operating system trusts, and shows
    the client certificate if there is one. Raises `InvalidConnectorSettings` for a URL that cannot be requested, or
    that holds credentials, and for certificates that cannot be used.
    """
    schemes = {checked_url(url).scheme} | ({checked_url(other_url).scheme} if other_url else set())
    return httpcore.AsyncConnectionPool(
        ssl_context=tls_of(credentials or {}, is_https="https" in schemes),
        max_connections=100,
        max_keepalive_connections=20,
        keepalive_expiry=5.0,
        network_backend=CheckedNetwork(allow_private=allow_private_addresses),
    )


def checked_url(url: str, name: str = "url") -> httpx.URL:
    """A URL that can be requested and holds no credentials; raises `InvalidConnectorSettings` for any other."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise InvalidConnectorSettings(f"{name} is not a URL") from error
    if parsed.scheme not in {"http", "https"} or not parsed.host or not 0 < (parsed.port or 80) < 65_536:
        raise InvalidConnectorSettings(f"{name} must be http or https and name a host, at a port that exists")
    if parsed.userinfo or parsed.fragment:
        raise InvalidConnectorSettings(f"{name} may hold neither a user and password nor a fragment")
    return parsed


def check_option_url(url: str, option: str) -> None:
    """Refuse an option that should be a URL and cannot be; raises `InvalidConnectorOptions`."""
    try:
        checked_url(url, option)
    except InvalidConnectorSettings as error:
        message = Text(f"Không dùng được: {error}.", f"Cannot be used: {error}.")
        raise InvalidConnectorOptions([Place(f"/options/{option}", message)]) from error


async def exchange(
    client: httpcore.AsyncConnectionPool, request: Request, *, deadline_seconds: float, max_reply_bytes: int
) -> Reply | NoReply:
    """Send a request and read its answer within the deadline. Raises nothing that a network can cause."""
    progress = _Progress()
    url = httpx.URL(request.url)
    try:
        async with (
            asyncio.timeout(deadline_seconds),
            client.stream(
                request.method,
                httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
                headers=[("Host", url.netloc), *_HEADERS.items(), *request.headers.items()],
                content=request.body,
                extensions={"timeout": _TIMEOUTS, "trace": progress.note},
            ) as response,
        ):
            progress.status = response.status
            body = await _read(response, max_reply_bytes)
            return Reply(response.status, httpx.Headers(response.headers), body)
    except TimeoutError:
        return progress.ended(f"no whole answer within {deadline_seconds:.3g} s")
    except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, OSError) as error:
        return progress.ended(_words(error))


@dataclass(slots=True)
class _Progress:
    """How far an exchange got: the difference between "it never left" and "it may have arrived"."""

    sent: bool = False
    status: int | None = None

    async def note(self, event: str, _: object) -> None:
        if event.endswith("send_request_headers.started"):
            self.sent = True

    def ended(self, reason: str) -> NoReply:
        return NoReply(self.sent, reason, self.status)


async def _read(response: httpcore.Response, max_bytes: int) -> bytes:
    """The raw body up to the cap. What lies beyond is not read: the caller closes the connection."""
    body = bytearray()
    async for part in response.aiter_stream():
        body += part
        if len(body) >= max_bytes:
            break
    return bytes(body[:max_bytes])


def _words(error: Exception) -> str:
    """What went wrong, for a person; of a reply that is not HTTP nothing is quoted."""
    match error:
        case httpcore.ConnectTimeout():
            return f"no connection within {CONNECT_SECONDS:g} s"
        case httpcore.ConnectError():
            return f"could not connect: {error}"[:_LONGEST_REASON]
        case httpcore.PoolTimeout():
            return "no connection was free in time"
        case httpcore.RemoteProtocolError():
            return "the connection was closed without a whole answer, or the answer was not HTTP"
        case _:
            return f"the connection broke ({type(error).__name__})"
