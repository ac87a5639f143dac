"""Connections to an upstream, kept open between exchanges.

The pool of `httpcore` looks at every connection it has for each request and each answer, asking the operating system
about all that are idle. With thirty at once that takes longer than the exchange. One upstream needs less: the
connection that was used last, if it is still good, or else a new one.
"""

import ssl
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpcore

from gateway.connectors.network import CheckedNetwork

CONNECT_SECONDS = 5.0
_IDLE_SECONDS = 5.0
_MOST_IDLE = 100
"""As many as a connector may have in flight."""
_MOST_GATHERED = 128 * 1024


class TooLong(httpcore.ProtocolError):
    """More was to be read of an answer than may be."""


class Connection(httpcore.AsyncHTTP11Connection):
    """A connection of which so much ``may_read`` is read at most."""

    READ_NUM_BYTES = 4 * 1024
    """As many are taken off it before the loop serves others: an upstream can make each cost much."""

    def __init__(self, origin: httpcore.Origin, stream: httpcore.AsyncNetworkStream) -> None:
        self._bounded = _Bounded(stream)
        super().__init__(origin, self._bounded)

    def may_read(self, count: int) -> None:
        """Let so many bytes be read from now on; ``TooLong`` is raised for one more."""
        self._bounded.left = count


class Connections:
    """Connections over a network that checks addresses, trusting what the TLS context trusts."""

    def __init__(self, network: CheckedNetwork, tls: ssl.SSLContext | None) -> None:
        self._network, self._tls = network, tls
        self._idle: dict[tuple[bytes, bytes, int], deque[tuple[float, Connection]]] = {}
        self._is_closed = False

    @asynccontextmanager
    async def one(self, origin: httpcore.Origin) -> AsyncIterator[Connection]:
        """A connection for one exchange; it is kept if the exchange came to its end. Raises as `httpcore` does."""
        connection = await self._kept(origin) or await self._open(origin)
        try:
            yield connection
        finally:
            idle = self._idle.setdefault(_key(origin), deque())
            if connection.is_idle() and len(idle) < _MOST_IDLE and not self._is_closed:
                idle.append((time.monotonic() + _IDLE_SECONDS, connection))
            else:
                await connection.aclose()

    async def aclose(self) -> None:
        """Close what is idle now, and the rest when its exchange ends."""
        self._is_closed = True
        for idle in self._idle.values():
            while idle:
                await idle.pop()[1].aclose()

    async def _kept(self, origin: httpcore.Origin) -> Connection | None:
        """The connection used last that is still good; those that have been idle for too long are closed."""
        idle, now = self._idle.get(_key(origin)), time.monotonic()
        while idle and idle[0][0] < now:
            await idle.popleft()[1].aclose()
        while idle:
            _, connection = idle.pop()
            if not connection.has_expired():  # the upstream has not closed it
                return connection
            await connection.aclose()
        return None

    async def _open(self, origin: httpcore.Origin) -> Connection:
        host = origin.host.decode("ascii")
        stream = await self._network.connect_tcp(host, origin.port, CONNECT_SECONDS)
        if origin.scheme == b"https":
            if self._tls is None:
                raise RuntimeError("a connection that is to be encrypted needs a TLS context")
            self._tls.set_alpn_protocols(["http/1.1"])
            try:
                stream = await stream.start_tls(self._tls, host, CONNECT_SECONDS)
            except BaseException:  # also when the attempt ends meanwhile: nobody else knows of this connection
                await stream.aclose()
                raise
        return Connection(origin, stream)


class _Bounded(httpcore.AsyncNetworkStream):
    """A stream that sends the head and the body of a request in one go unless they are long, and reads with bounds.

    An answer may begin with other answers without end (RFC 9110, 15.2), and say more of its chunks than is in them
    (RFC 9112, 7.1.1): what counts is what was on the wire.
    """

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream, self._gathered, self.left = stream, b"", 0

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 (the library's)
        self._gathered += buffer
        if len(self._gathered) > _MOST_GATHERED:
            await self._send(timeout)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 (the library's)
        if self._gathered:
            with suppress(httpcore.WriteError):  # an upstream may answer before it has read everything, and close
                await self._send(timeout)
        if not self.left:
            raise TooLong("there is more of the answer than may be read")
        found = await self._stream.read(min(max_bytes, self.left), timeout)
        self.left -= len(found)
        return found

    async def aclose(self) -> None:
        await self._stream.aclose()

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    async def _send(self, timeout: float | None) -> None:  # noqa: ASYNC109 (the library's)
        gathered, self._gathered = self._gathered, b""
        await self._stream.write(gathered, timeout)


def _key(origin: httpcore.Origin) -> tuple[bytes, bytes, int]:
    return origin.scheme, origin.host, origin.port
