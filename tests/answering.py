"""An upstream on loopback that answers as badly as one can, and connectors of any kind that send to it."""

import asyncio
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from gateway.connectors.connector import Connector, ConnectorSettings, Dispatch
from gateway.connectors.registry import open_connector
from gateway.domain.delivery import Event, Outcome

PATIENT, SHORT = 10.0, 0.5
AT = datetime(2026, 7, 20, 8, 0, tzinfo=UTC)
KEY = b"a signing key of 32 bytes, or so"
SECRET = "whsec_" + b64encode(KEY).decode()
NEEDED: Mapping[str, Mapping[str, str]] = {"http_json": {}, "webhook": {"signing_secret": SECRET}}
"""The credentials that each kind cannot do without."""
DISPATCH = Dispatch(
    delivery=UUID("01981111-0000-7000-8000-000000000001"),
    report=UUID("01982222-0000-7000-8000-000000000002"),
    event=Event.accepted,
    body=b'{"id":"01982222-0000-7000-8000-000000000002","status":"accepted"}',
    media_type="application/json",
    occurred_at=AT - timedelta(hours=1),
    attempted_at=AT,
)

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass(slots=True)
class Upstream:
    """A server that reads each request whole and then does as its script says."""

    answer: Answer
    port: int = 0
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/reports"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await self._read_request(reader)
                await self.answer(writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _read_request(self, reader: asyncio.StreamReader) -> None:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[1:-2]
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        self.requests.append((headers, await reader.readexactly(int(headers["content-length"]))))


@asynccontextmanager
async def upstream(answer: Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[Upstream]:
    """An upstream on a free port of loopback, gone with all its connections at the end."""
    script = Upstream(answer)
    serving: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.create_task(script.serve(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    script.port = server.sockets[0].getsockname()[1]
    try:
        yield script
    finally:
        server.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


def saying(text: str | bytes) -> Answer:
    """Always these bytes."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(text.encode() if isinstance(text, str) else text)

    return answer


def answering(status: str, *headers: str, body: bytes = b"") -> Answer:
    """A proper answer."""
    head = "\r\n".join((f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "", ""))
    return saying(head.encode() + body)


async def forever(writer: asyncio.StreamWriter, part: bytes, pause: float = 0.0) -> None:
    """The same bytes until the other side has had enough."""
    while True:
        writer.write(part)
        await writer.drain()
        await asyncio.sleep(pause)


def settings(
    kind: str,
    url: str,
    credentials: Mapping[str, str] | None = None,
    *,
    private: bool = True,
    deadline: float = PATIENT,
) -> ConnectorSettings:
    return ConnectorSettings(
        name="national",
        kind=kind,
        url=url,
        allow_private_addresses=private,
        credentials={**NEEDED[kind], **(credentials or {})},
        deadline_seconds=deadline,
    )


@asynccontextmanager
async def connected(
    kind: str,
    url: str,
    credentials: Mapping[str, str] | None = None,
    *,
    private: bool = True,
    deadline: float = PATIENT,
) -> AsyncIterator[Connector]:
    connector = open_connector(settings(kind, url, credentials, private=private, deadline=deadline))
    try:
        yield connector
    finally:
        await connector.aclose()


async def send_to(
    kind: str,
    url: str,
    credentials: Mapping[str, str] | None = None,
    *,
    private: bool = True,
    deadline: float = PATIENT,
    dispatch: Dispatch = DISPATCH,
) -> Outcome:
    async with connected(kind, url, credentials, private=private, deadline=deadline) as connector:
        return await connector.send(dispatch)


async def outcome_with(
    kind: str, answer: Answer, credentials: Mapping[str, str] | None = None, deadline: float = PATIENT
) -> Outcome:
    async with upstream(answer) as system:
        return await send_to(kind, system.url, credentials, deadline=deadline)
