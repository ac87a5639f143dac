"""Stub upstreams: take what a connector sends, put every arrival down in the ledger, and answer as they are told."""

import asyncio
import hashlib
import json
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from socket import SO_LINGER, SOL_SOCKET
from types import TracebackType
from typing import Any, Self

from proofs.ledger import Arrived, Ledger, Replied

_LONGEST_HEAD = 64 * 1024


@dataclass(slots=True)
class Exchange:
    """One request that arrived whole, and the way to answer it."""

    arrived: Arrived
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    _ledger: Ledger
    _is_answered: bool = False

    @property
    def sender_port(self) -> int:
        """The port that the request came from."""
        return int(self.writer.get_extra_info("peername")[1])

    async def answer(self, status: int, body: bytes = b"", *headers: str) -> None:
        """Give a proper answer."""
        head = "\r\n".join((f"HTTP/1.1 {status} OK", *headers, f"Content-Length: {len(body)}", "", ""))
        self.note(status)
        await self.write(head.encode() + body)

    async def write(self, data: bytes) -> None:
        """Send any bytes at all."""
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """End the connection by a reset, without an answer."""
        self.note(None)
        connection = self.writer.get_extra_info("socket")
        connection.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def note(self, status: int | None) -> None:
        """Put down what is about to be answered; once."""
        if not self._is_answered:
            self._is_answered = True
            self._ledger.write(Replied(connector=self.arrived.connector, number=self.arrived.number, status=status))


Behaviour = Callable[[Exchange], Awaitable[None]]


async def taking(exchange: Exchange) -> None:
    """What an upstream does that is well."""
    await exchange.answer(201, b'{"taken":true}')


@dataclass(slots=True)
class Upstream:
    """An upstream on a port of this machine while the ``async with`` block runs; ``behave`` may change any time."""

    name: str
    ledger: Ledger
    behave: Behaviour = taking
    tls: ssl.SSLContext | None = None
    port: int = 0
    sock: socket.socket | None = None
    """What it listens on, if not on a port that is free."""
    arrivals: list[Arrived] = field(default_factory=list)
    _connections: set[asyncio.Task[None]] = field(default_factory=set)
    _listening: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        opened = self.sock or socket.create_server(("127.0.0.1", 0))
        self._listening = await asyncio.start_server(self._accept, sock=opened, ssl=self.tls, limit=_LONGEST_HEAD)
        self.port = self._listening.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.refuse()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def refuse(self) -> None:
        """Listen no more."""
        if self._listening is not None:
            self._listening.close()
            self._listening = None

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                headers = _headers(head)
                body = await reader.readexactly(int(headers["content-length"]))
                exchange = Exchange(self._arrived(headers, body), reader, writer, self.ledger)
                await self.behave(exchange)
                exchange.note(None)
        except (asyncio.IncompleteReadError, OSError, ssl.SSLError):
            pass
        finally:
            with suppress(OSError):
                writer.close()

    def _arrived(self, headers: dict[str, str], body: bytes) -> Arrived:
        about = _read(json.loads(body))
        arrived = Arrived(
            connector=self.name,
            number=len(self.arrivals) + 1,
            delivery=headers.get("webhook-id", ""),
            repeat_key=headers.get("idempotency-key", ""),
            sha256=hashlib.sha256(body).hexdigest(),
            **about,
        )
        self.arrivals.append(arrived)
        self.ledger.write(arrived)
        return arrived


def _headers(head: bytes) -> dict[str, str]:
    lines = head.decode("latin-1").split("\r\n")[1:-2]
    return {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}


def _read(document: dict[str, Any]) -> dict[str, Any]:
    """What a body is about, of kind http_json or webhook."""
    if str(document.get("type", "")).startswith("report."):
        document = document["data"]
    if "event" in document:
        return {"event": document["event"], "report": document["report"]}
    return {
        "event": "accepted",
        "report": document["id"],
        "revision": document["revision"],
        "report_sha256": document["sha256"],
    }
