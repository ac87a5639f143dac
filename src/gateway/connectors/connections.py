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


class Connections:
    """Connections over a network that checks addresses, trusting what the TLS context trusts."""

    def __init__(self, network: CheckedNetwork, tls: ssl.SSLContext | None) -> None:
        self._network, self._tls = network, tls
        self._idle: dict[tuple[bytes, bytes, int], deque[tuple[float, httpcore.AsyncHTTP11Connection]]] = {}
        self._is_closed = False

    @asynccontextmanager
    async def one(self, origin: httpcore.Origin) -> AsyncIterator[httpcore.AsyncHTTP11Connection]:
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

    async def _kept(self, origin: httpcore.Origin) -> httpcore.AsyncHTTP11Connection | None:
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

    async def _open(self, origin: httpcore.Origin) -> httpcore.AsyncHTTP11Connection:
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
        return httpcore.AsyncHTTP11Connection(origin, _Gathering(stream))


class _Gathering(httpcore.AsyncNetworkStream):
    """A stream that sends the head and the body of a request in one go unless they are long."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream, self._gathered = stream, b""

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 (the library's)
        self._gathered += buffer
        if len(self._gathered) > _MOST_GATHERED:
            await self._send(timeout)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 (the library's)
        if self._gathered:
            with suppress(httpcore.WriteError):  # an upstream may answer before it has read everything, and close
                await self._send(timeout)
        return await self._stream.read(max_bytes, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    async def _send(self, timeout: float | None) -> None:  # noqa: ASYNC109 (the library's)
        gathered, self._gathered = self._gathered, b""
        await self._stream.write(gathered, timeout)


def _key(origin: httpcore.Origin) -> tuple[bytes, bytes, int]:
    return origin.scheme, origin.host, origin.port
