"""The one seam to the HTTP client library: every exchange ends by a deadline and within a byte cap.

The client of `httpx` follows, inflates and remembers what it is not told not to, and resolves a name anew
after any check made beforehand. No upstream needs that, so this speaks to the connections below it, those of
`httpcore`, over a network that checks addresses as it connects.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache

import httpcore
import httpx

from gateway.connectors.connections import CONNECT_SECONDS, Connections, TooLong
from gateway.connectors.connector import InvalidConnectorOptions, InvalidConnectorSettings
from gateway.connectors.network import CheckedNetwork
from gateway.connectors.tls import tls_of
from gateway.errors import Place, Text

PHASE_SECONDS = 15.0
"""A read or write that makes no progress this long is dead; the deadline usually ends the attempt sooner."""

_EXTENSIONS = {"timeout": {"read": PHASE_SECONDS, "write": PHASE_SECONDS}}
_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "report-gateway"}
_LONGEST_REASON = 300
_LONGEST_HEAD = 32 * 1024
"""Bytes before the body of an answer: its head, and the answers before it."""
_MOST_PARTS, _PART = 1000, 64
"""A body may come in so many parts, and one more for each so many bytes: a part costs the same whatever is in it."""


@dataclass(frozen=True, slots=True)
class Request:
    """What to send to an upstream."""

    url: str
    headers: Mapping[str, str]
    body: bytes
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer: status, headers by name in lower case, and the body as it came over the wire, cut at the cap."""

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
) -> Connections:
    """A client for the upstream at a URL, and at another one if it has two.

    It trusts what `ca_certificate` among the credentials signed, or else what the operating system trusts, and shows
    the client certificate if there is one. Raises `InvalidConnectorSettings` for a URL that cannot be requested, or
    that holds credentials, and for certificates that cannot be used.
    """
    schemes = {checked_url(url).scheme} | ({checked_url(other_url).scheme} if other_url else set())
    tls = tls_of(credentials or {}, is_https="https" in schemes)
    return Connections(CheckedNetwork(allow_private=allow_private_addresses), tls)


def checked_url(url: str, name: str = "url") -> httpx.URL:
    """A URL that can be requested and holds no credentials; raises `InvalidConnectorSettings` for any other."""
    try:
        parsed = httpx.URL(url)
        host = parsed.host
    except (httpx.InvalidURL, UnicodeError) as error:  # of a name that IDNA does not know
        raise InvalidConnectorSettings(f"{name} is not a URL") from error
    if parsed.scheme not in {"http", "https"} or not host or not 0 < (parsed.port or 80) < 65_536:
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
    client: Connections, request: Request, *, deadline_seconds: float, max_reply_bytes: int
) -> Reply | NoReply:
    """Send a request and read its answer within the deadline. Raises nothing that a network can cause."""
    url, host = _address(request.url)
    headers = {"Host": host, **_HEADERS, "Content-Length": str(len(request.body)), **request.headers}.items()
    sent = httpcore.Request(request.method, url, headers=[*headers], content=request.body, extensions=_EXTENSIONS)
    progress = NoReply(sent=False, reason="")
    try:
        async with asyncio.timeout(deadline_seconds), client.one(url.origin) as connection:
            progress = NoReply(sent=True, reason="")
            connection.may_read(_LONGEST_HEAD)
            response = await connection.handle_async_request(sent)
            progress = replace(progress, status=response.status)
            connection.may_read(max_reply_bytes + _LONGEST_HEAD)
            try:
                body = await _read(response, max_reply_bytes)
            finally:
                await response.aclose()
            return Reply(response.status, _headers(response.headers), body)
    except TimeoutError:
        return replace(progress, reason=f"no whole answer within {deadline_seconds:.3g} s")
    except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, OSError) as error:
        return replace(progress, reason=_words(error))


@lru_cache(maxsize=1024)
def _address(url: str) -> tuple[httpcore.URL, str]:
    """Where a request goes, and what its `Host` is."""
    parsed = httpx.URL(url)
    target = httpcore.URL(scheme=parsed.raw_scheme, host=parsed.raw_host, port=parsed.port, target=parsed.raw_path)
    return target, parsed.netloc.decode("ascii")


def _headers(raw: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers by their names in lower case; those that are there more than once in one, as RFC 9110 has it."""
    found: dict[str, str] = {}
    for name, value in raw:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        found[key] = f"{found[key]}, {text}" if key in found else text
    return found


async def _read(response: httpcore.Response, max_bytes: int) -> bytes:
    """The raw body up to the cap. What lies beyond is not read: the connection is closed."""
    body, parts = bytearray(), 0
    with suppress(TooLong):  # its chunks are more than what is in them
        async for part in response.aiter_stream():
            body += part
            parts += 1
            if len(body) >= max_bytes or parts > _MOST_PARTS + len(body) // _PART:
                break
    return bytes(body[:max_bytes])


def _words(error: Exception) -> str:
    """What went wrong, for a person; of a reply that is not HTTP nothing is quoted."""
    match error:
        case httpcore.ConnectTimeout():
            return f"no connection within {CONNECT_SECONDS:g} s"
        case httpcore.ConnectError():
            return f"could not connect: {error}"[:_LONGEST_REASON]
        case TooLong():
            return f"more than {_LONGEST_HEAD // 1024} KiB came before the body of an answer"
        case httpcore.RemoteProtocolError():
            return "the connection was closed without a whole answer, or the answer was not HTTP"
        case _:
            return f"the connection broke ({type(error).__name__})"
