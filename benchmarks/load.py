"""A load generator light enough not to be what is measured: raw HTTP/1.1 on keep-alive connections."""

import asyncio
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(slots=True)
class Load:
    """What came of a number of requests."""

    seconds: float = 0
    client_seconds: float = 0
    """CPU time of the load generator."""
    latencies: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.seconds

    def percentile(self, share: float) -> float:
        """Seconds within which that share of the requests was answered."""
        ordered = sorted(self.latencies)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


class Refused(RuntimeError):
    """A request was answered otherwise than expected, so that the figures would mean nothing."""


def request(path: str, port: int, body: bytes, headers: dict[str, str]) -> bytes:
    """A POST as it goes over the wire."""
    lines = [f"POST {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


class _Connection(asyncio.Protocol):
    """Sends the next request as soon as the last was answered and its own time has come."""

    def __init__(self, requests: Iterator[tuple[float, bytes]], expected: bytes, latencies: list[float]) -> None:
        self._requests, self._expected, self._latencies = requests, expected, latencies
        self._loop = asyncio.get_running_loop()
        self._received = b""
        self._sent_at = 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def send(self) -> None:
        following = next(self._requests, None)
        if following is None:
            self._transport.close()
            self.done.set_result(None)
            return
        at, content = following
        if at <= self._loop.time():
            self._write(content)
        else:
            self._loop.call_at(at, self._write, content)

    def _write(self, request: bytes) -> None:
        self._sent_at = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head = self._received.find(b"\r\n\r\n")
        length = _LENGTH.search(self._received, 0, head) if head >= 0 else None
        if length is None or len(self._received) < head + 4 + int(length[1]):
            return
        if not self._received.startswith(self._expected, 9):  # after "HTTP/1.1 "
            self._fail(self._received[:2000].decode(errors="replace"))
            return
        self._latencies.append(time.perf_counter() - self._sent_at)
        self._received = b""
        self.send()

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(f"the connection was lost: {error}")

    def _fail(self, reason: str) -> None:
        if not self.done.done():
            self.done.set_exception(Refused(reason))


async def send_all(
    port: int, requests: Sequence[bytes], connections: int, status: int = 201, rate: float | None = None
) -> Load:
    """Send every request once over so many connections, each waiting for its answer before its next.

    With a ``rate``, no more than so many a second in all. Raises ``Refused`` at the first answer of another status.
    """
    loop = asyncio.get_running_loop()
    load, first, every = Load(), loop.time(), 1 / rate if rate else 0
    left = ((first + number * every, each) for number, each in enumerate(requests))
    opened = [
        await loop.create_connection(lambda: _Connection(left, str(status).encode(), load.latencies), "127.0.0.1", port)
        for _ in range(connections)
    ]
    began, cpu = time.perf_counter(), time.process_time()
    for _, connection in opened:
        connection.send()
    await asyncio.gather(*(connection.done for _, connection in opened))
    load.seconds, load.client_seconds = time.perf_counter() - began, time.process_time() - cpu
    return load
