"""Incoming connections, each with so much time and room: for the head of a request, and for whoever does not read.

uvicorn bounds bodies and idle connections by what its application does; it waits for a head, for what is left of a
body that was refused, and for a peer that reads nothing, as long as they like. What is bounded here ends with an answer
where there is room for one, and always with the connection.
"""

import asyncio
from dataclasses import dataclass
from typing import Any, ClassVar

from uuid_utils.compat import uuid7
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from gateway.api.problems import PROBLEM, problem
from gateway.domain.exact import encode
from gateway.errors import GatewayError, HeadTooLarge, MalformedRequest, RequestTimeout, Text

MOST_HEAD_BYTES = 64 * 1024
MOST_HEADERS = 100


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long peers may take, in seconds, and how many connections are held at once."""

    head: float = 10
    """From the connection, or the first byte of a later request, to the end of the head."""
    left_over: float = 5
    """For the rest of a body that was answered before it had come."""
    unread: float = 60
    """For a peer that takes nothing of its answer."""
    connections: int = 10_000


class Incoming(HttpToolsProtocol):
    """One connection. Get the class from ``bounded``."""

    bounds: ClassVar[Bounds]
    resting: ClassVar[dict["Incoming", None]]
    """Connections on which nothing is being answered, the one that has rested longest first: they make room."""

    _in_head = False
    _since = 0.0
    """When what the connection waits for began."""
    _headers = _bytes = 0
    _due: float | None = None
    _timer: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    _refusal: GatewayError | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._in_head, self._since = True, self.loop.time()
        self.resting[self] = None
        if len(self.connections) > self.bounds.connections:
            next(iter(self.resting)).transport.abort()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self.resting.pop(self, None)
        for timer in (self._timer, self._unread):
            if timer is not None:
                timer.cancel()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        was_in_head = self._in_head
        super().data_received(data)
        if was_in_head and self._in_head:
            self._bytes += len(data)
            if self._bytes > MOST_HEAD_BYTES:
                self._refuse(HeadTooLarge())
        self._watch()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if not self._in_head:
            self._in_head, self._since = True, self.loop.time()
        self._headers = self._bytes = 0

    def on_url(self, url: bytes) -> None:
        self._count(0, len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(1, len(name) + len(value))
        if self._in_head:  # the fields of a trailer come too late to mean anything (RFC 9110, 6.5.1)
            super().on_header(name, value)

    def _count(self, headers: int, size: int) -> None:
        self._headers += headers
        self._bytes += size
        if self._headers > MOST_HEADERS or self._bytes > MOST_HEAD_BYTES:
            self._refusal = HeadTooLarge()
            raise ValueError("the head is too large")

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._headers = self._bytes = 0
        self.resting.pop(self, None)
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.transport.is_closing() and not self._is_busy:
            self.resting[self] = None
            if not self._in_head:
                self._since = self.loop.time()
        self._watch()

    @property
    def _is_busy(self) -> bool:
        """Whether a request is being answered, or waits for its turn."""
        return bool(self.pipeline) or (self.cycle is not None and not self.cycle.response_complete)

    def _watch(self) -> None:
        """Wait for what comes next no longer than its time."""
        if self.transport.is_closing():
            due = self.loop.time() + self.bounds.unread if self._due is None else self._due
        elif self._in_head:
            due = self._since + self.bounds.head
        elif self._is_busy:
            due = None
        elif self.cycle is not None and self.cycle.more_body:
            due = self._since + self.bounds.left_over
        else:  # whatever comes that begins no request does not prolong it
            due = self._since + self.timeout_keep_alive
        if due == self._due:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._due, self._timer = due, None if due is None else self.loop.call_at(due, self._too_late)

    def _too_late(self) -> None:
        self._due = self._timer = None
        if self.transport.is_closing():
            self.transport.abort()
        elif self._in_head and self._bytes:
            self._refuse(RequestTimeout())
        else:
            self.transport.close()
            self._watch()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(self.bounds.unread, self.transport.abort)

    def resume_writing(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        self._refuse(self._refusal or MalformedRequest(Text("Không phải HTTP hợp lệ.", "Not valid HTTP.")))

    def _refuse(self, error: GatewayError) -> None:
        """Say what is wrong, if no other answer is on its way, and end the connection."""
        begun = self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete
        if not begun and not self.pipeline and not self.transport.is_closing():
            self.transport.write(_answer(error))
        self.transport.close()
        self._watch()


def _answer(error: GatewayError) -> bytes:
    request_id = str(uuid7())
    body = encode(problem(error, "vi", request_id))
    fields = {
        "content-type": PROBLEM,
        "content-length": str(len(body)),
        "x-request-id": request_id,
        "x-content-type-options": "nosniff",
        "cache-control": "no-store",
        "connection": "close",
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return STATUS_LINE[error.status] + head.encode() + b"\r\n" + body


def bounded(bounds: Bounds) -> type[Incoming]:
    """The class of a server's connections."""
    members: dict[str, Any] = {"bounds": bounds, "resting": {}}
    return type("BoundedIncoming", (Incoming,), members)
