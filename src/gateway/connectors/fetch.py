"""Fetching a small public document, as safely as an upstream is spoken to: checked addresses, no redirects, a bound."""

from contextlib import aclosing

from gateway.connectors.connector import InvalidConnectorSettings
from gateway.connectors.transport import NoReply, Request, checked_url, exchange, open_client

_DEADLINE_SECONDS = 5.0
_MOST_BYTES = 64 * 1024


class FetchFailed(Exception):
    """A document could not be had; the message says why, without what was answered."""


def check_address(url: str, *, allow_private: bool) -> None:
    """Raises ``FetchFailed`` for an address that is never fetched: plain HTTP only where private addresses may be."""
    try:
        parsed = checked_url(url)
    except InvalidConnectorSettings as error:
        raise FetchFailed(str(error)) from error
    if parsed.scheme != "https" and not allow_private:
        raise FetchFailed("url must be https")


async def fetch_document(url: str, *, allow_private: bool) -> bytes:
    """The body at an address, at most 64 KiB, within 5 s. Raises ``FetchFailed``."""
    check_address(url, allow_private=allow_private)
    async with aclosing(open_client(url, allow_private_addresses=allow_private)) as client:
        reply = await exchange(
            client,
            Request(url, {}, b"", method="GET"),
            deadline_seconds=_DEADLINE_SECONDS,
            max_reply_bytes=_MOST_BYTES + 1,
        )
    if isinstance(reply, NoReply):
        raise FetchFailed(reply.reason)
    if reply.status != 200:
        raise FetchFailed(f"answered {reply.status}")
    if len(reply.body) > _MOST_BYTES:
        raise FetchFailed(f"holds more than {_MOST_BYTES} bytes")
    return reply.body
