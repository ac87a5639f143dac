"""An upstream on loopback that answers as badly as one can, and connectors of any kind that send to it."""

import asyncio
import hashlib
import json
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit
from uuid import UUID

from joserfc.jwk import OKPKey

from gateway.connectors.connector import Connector, ConnectorSettings, Dispatch
from gateway.connectors.registry import open_connector
from gateway.domain.delivery import Event, Outcome, Provenance
from gateway.evidence.receipts import Signer
from gateway.keys import SigningKeys

PATIENT, SHORT = 10.0, 0.5
AT = datetime(2026, 7, 20, 8, 0, tzinfo=UTC)
KEY = b"a signing key of 32 bytes, or so"
SECRET = "whsec_" + b64encode(KEY).decode()
OTHER_SECRET = "whsec_" + b64encode(b"the secret before this one").decode()
TOKEN = "a.token.of.the.upstream"
NEEDED: Mapping[str, Mapping[str, str]] = {
    "gateway": {"client_id": "h26", "client_secret": "key"},
    "http_json": {},
    "webhook": {"signing_secret": SECRET},
    "lgsp": {"client_id": "gateway", "client_secret": "key"},
    "ndxp": {"username": "h26", "password": "key"},
    "dhis2": {"token": "d2pat_key"},
}
"""The credentials that each kind cannot do without."""
SECRETS: Mapping[str, Mapping[str, str]] = {
    "gateway": {"client_secret": "top.secret"},
    "http_json": {"bearer": "top.secret", "signing_secret": f"{SECRET} {OTHER_SECRET}"},
    "webhook": {"bearer": "top.secret", "signing_secret": f"{SECRET} {OTHER_SECRET}"},
    "lgsp": {"client_secret": "top.secret", "signing_secret": f"{SECRET} {OTHER_SECRET}"},
    "ndxp": {"password": "top.secret", "signing_secret": f"{SECRET} {OTHER_SECRET}"},
    "dhis2": {"token": "top.secret"},
}
"""All that each kind can keep secret."""
KINDS = list(NEEDED)
ABOVE = OKPKey.import_key(OKPKey.generate_key("Ed25519").as_pem(private=True), {"kid": "above-1"})
"""The key of a gateway that reports are relayed to."""


def published(*keys: OKPKey) -> bytes:
    """A JSON Web Key Set of public keys."""
    return json.dumps({"keys": [{**key.as_dict(private=False), "kid": key.kid} for key in keys]}).encode()


SIGN_INS: dict[str, bytes] = {
    "/token": b'{"access_token": "%s", "token_type": "Bearer", "expires_in": 3600}' % TOKEN.encode(),
    "/login": b'{"token": "%s"}' % TOKEN.encode(),
    "/jwks.json": published(ABOVE),
}
"""Where upstreams are signed in to, or asked for their keys, and what they answer when it goes well."""
DISPATCH = Dispatch(
    delivery=UUID("01981111-0000-7000-8000-000000000001"),
    report=UUID("01982222-0000-7000-8000-000000000002"),
    event=Event.accepted,
    body=b'{"id":"01982222-0000-7000-8000-000000000002","status":"accepted","form":"TTHC_06A","agency":"H26.18",'
    b'"period":"2026-Q2","kind":"own","revision":1,"rows":[{"sector":"LAND","received_total":2400}]}',
    media_type="application/json",
    occurred_at=AT - timedelta(hours=1),
    attempted_at=AT,
    provenance=Provenance(AT - timedelta(hours=1), "the.first.receipt"),
)


def acknowledged(signing: OKPKey = ABOVE, **claims: object) -> bytes:
    """What a gateway answers that took the report of ``DISPATCH``; ``claims`` of its receipt differ from the truth."""
    said = {"report": str(DISPATCH.report), "sha256": hashlib.sha256(DISPATCH.body).hexdigest(), **claims}
    receipt = Signer(SigningKeys((signing,)), "https://above.example").sign(said, AT)
    return json.dumps({"id": str(DISPATCH.report), "status": "accepted", "receipt": receipt}).encode()


TAKEN: Mapping[str, bytes] = {
    "dhis2": b'{"status":"SUCCESS","importCount":{"imported":1,"updated":0,"ignored":0,"deleted":0}}',
    "gateway": acknowledged(),
}
"""What an upstream answers that has taken a report, of kinds that are judged by more than the status."""

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass(slots=True)
class Upstream:
    """A server that reads each request whole and then does as its script says.

    Sign-ins it grants, unless it is told what else to do with them.
    """

    answer: Answer
    port: int = 0
    sign_in: Answer | None = None
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    methods: list[str] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)
    sign_ins: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/reports"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await (await self._next(reader))(writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _next(self, reader: asyncio.StreamReader) -> Answer:
        """Read a request; what to answer it."""
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        request = headers, await reader.readexactly(int(headers.get("content-length", "0")))
        method, target, _ = first.split(" ")
        granted = next((body for path, body in SIGN_INS.items() if target.partition("?")[0].endswith(path)), None)
        if granted is not None:
            self.sign_ins.append(request)
            return self.sign_in or answering("200 OK", body=granted)
        self.requests.append(request)
        self.methods.append(method)
        self.targets.append(target)
        return self.answer


@asynccontextmanager
async def upstream(
    answer: Answer, tls: ssl.SSLContext | None = None, sign_in: Answer | None = None
) -> AsyncIterator[Upstream]:
    """An upstream on a free port of loopback, gone with all its connections at the end."""
    script = Upstream(answer, sign_in=sign_in)
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


def closing(answer: Answer) -> Answer:
    """The same, and then the connection is closed."""

    async def answer_and_close(writer: asyncio.StreamWriter) -> None:
        await answer(writer)
        await writer.drain()
        writer.close()

    return answer_and_close


def in_turn(*answers: Answer) -> Answer:
    """To each request the next."""
    rest = iter(answers)

    async def answer_next(writer: asyncio.StreamWriter) -> None:
        await next(rest)(writer)

    return answer_next


async def forever(writer: asyncio.StreamWriter, part: bytes, pause: float = 0.0) -> None:
    """The same bytes until the other side has had enough."""
    while True:
        writer.write(part)
        await writer.drain()
        await asyncio.sleep(pause)


def taken(kind: str) -> Answer:
    """What an upstream of a kind answers when it has taken a report."""
    return answering("200 OK", body=TAKEN.get(kind, b"why"))


def needed_options(kind: str, url: str) -> dict[str, object] | None:
    """The options that a kind cannot do without, for an upstream at a URL."""
    parts = urlsplit(url)
    options: dict[str, dict[str, object]] = {
        "lgsp": {"token_url": f"{parts.scheme}://{parts.netloc}/token"},
        "ndxp": {
            "dstcode": "VN:GOV:000.00.00.G22:reports",
            "provider_url": "http://provider.example:8080/api?v=1",
            "service": "/reports/push",
            "login": {"service": "/session/login"},
        },
        "dhis2": {
            "forms": {"TTHC_06A": {"indicators": {"received_total": "fbfJHSPpUQD"}}},
            "org_units": {"H26.18": "DiszpKrYNg8"},
        },
    }
    return options.get(kind)


def settings(
    kind: str,
    url: str,
    credentials: Mapping[str, str] | None = None,
    *,
    private: bool = True,
    deadline: float = PATIENT,
    options: Mapping[str, object] | None = None,
) -> ConnectorSettings:
    return ConnectorSettings(
        name="national",
        kind=kind,
        url=url,
        allow_private_addresses=private,
        credentials={**NEEDED[kind], **(credentials or {})},
        deadline_seconds=deadline,
        options=options or needed_options(kind, url),
    )


@asynccontextmanager
async def connected(
    kind: str,
    url: str,
    credentials: Mapping[str, str] | None = None,
    *,
    private: bool = True,
    deadline: float = PATIENT,
    options: Mapping[str, object] | None = None,
) -> AsyncIterator[Connector]:
    connector = open_connector(settings(kind, url, credentials, private=private, deadline=deadline, options=options))
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
    options: Mapping[str, object] | None = None,
) -> Outcome:
    async with connected(kind, url, credentials, private=private, deadline=deadline, options=options) as connector:
        return await connector.send(dispatch)


async def outcome_with(
    kind: str, answer: Answer, credentials: Mapping[str, str] | None = None, deadline: float = PATIENT
) -> Outcome:
    async with upstream(answer) as system:
        return await send_to(kind, system.url, credentials, deadline=deadline)
