"""The conformance of `http_json`, to a real upstream on loopback that answers as badly as one can."""

import asyncio
import gzip
import hashlib
import socket
import ssl
import time
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.connectors.connector import Connector, ConnectorSettings, Dispatch, InvalidConnectorSettings
from gateway.connectors.http_json import signature
from gateway.connectors.registry import UnknownConnectorKind, open_connector
from gateway.domain.delivery import Event, Outcome, OutcomeClass

PATIENT, SHORT = 10.0, 0.5
AT = datetime(2026, 7, 20, 8, 0, tzinfo=UTC)
KEY = b"a signing key of 32 bytes, or so"
SECRET = "whsec_" + b64encode(KEY).decode()
DISPATCH = Dispatch(
    delivery=UUID("01981111-0000-7000-8000-000000000001"),
    report=UUID("01982222-0000-7000-8000-000000000002"),
    event=Event.accepted,
    body=b'{"id":"01982222-0000-7000-8000-000000000002","status":"accepted"}',
    media_type="application/json",
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
    url: str,
    credentials: Mapping[str, str] | None = None,
    *,
    private: bool = True,
    deadline: float = PATIENT,
) -> ConnectorSettings:
    return ConnectorSettings(
        name="national",
        kind="http_json",
        url=url,
        allow_private_addresses=private,
        credentials=credentials,
        deadline_seconds=deadline,
    )


@asynccontextmanager
async def connected(
    url: str,
    credentials: Mapping[str, str] | None = None,
    *,
    private: bool = True,
    deadline: float = PATIENT,
) -> AsyncIterator[Connector]:
    connector = open_connector(settings(url, credentials, private=private, deadline=deadline))
    try:
        yield connector
    finally:
        await connector.aclose()


async def send_to(
    url: str,
    credentials: Mapping[str, str] | None = None,
    *,
    private: bool = True,
    deadline: float = PATIENT,
) -> Outcome:
    async with connected(url, credentials, private=private, deadline=deadline) as connector:
        return await connector.send(DISPATCH)


async def outcome_with(
    answer: Answer, credentials: Mapping[str, str] | None = None, deadline: float = PATIENT
) -> Outcome:
    async with upstream(answer) as system:
        return await send_to(system.url, credentials, deadline=deadline)


# What is sent


async def test_the_body_and_what_identifies_it_reach_the_upstream_unchanged() -> None:
    async with upstream(answering("201 Created", body=b"{}")) as system:
        outcome = await send_to(system.url, {"signing_secret": SECRET, "bearer": "a.token"})
    [(headers, body)] = system.requests
    assert outcome.kind is OutcomeClass.delivered
    assert body == DISPATCH.body
    assert headers["host"] == f"127.0.0.1:{system.port}"
    assert headers["content-type"] == "application/json"
    assert headers["idempotency-key"] == f"{DISPATCH.report}:accepted"
    assert b64decode(headers["content-digest"][9:-1]) == hashlib.sha256(DISPATCH.body).digest()
    assert headers["webhook-id"] == str(DISPATCH.delivery)
    assert headers["webhook-timestamp"] == str(int(AT.timestamp()))
    assert headers["webhook-signature"] == signature(KEY, str(DISPATCH.delivery), AT, DISPATCH.body)
    assert headers["authorization"] == "Bearer a.token"
    assert headers["accept-encoding"] == "identity"


def test_a_signature_is_the_one_that_other_implementations_of_standard_webhooks_give() -> None:
    key = b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    at = datetime.fromtimestamp(1614265330, UTC)
    signed = signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", at, b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_without_credentials_nothing_is_signed_or_authorized() -> None:
    async with upstream(answering("200 OK")) as system:
        await send_to(system.url)
    [(headers, _)] = system.requests
    assert headers.keys().isdisjoint({"webhook-signature", "authorization", "cookie"})


async def test_the_environment_adds_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert (await outcome_with(answering("200 OK"))).kind is OutcomeClass.delivered


async def test_one_connector_serves_many_attempts_at_once_and_remembers_no_cookie() -> None:
    async with (
        upstream(answering("200 OK", "Set-Cookie: session=1; Path=/")) as system,
        connected(system.url) as connector,
    ):
        outcomes = await asyncio.gather(*(connector.send(DISPATCH) for _ in range(40)))
        outcomes.append(await connector.send(DISPATCH))
    assert {outcome.kind for outcome in outcomes} == {OutcomeClass.delivered}
    assert len(system.requests) == 41
    assert not any("cookie" in headers for headers, _ in system.requests)


# What is answered


@pytest.mark.parametrize(
    ("status", "headers", "kind"),
    [
        ("200 OK", (), OutcomeClass.delivered),
        ("202 Accepted", (), OutcomeClass.delivered),
        ("301 Moved Permanently", (), OutcomeClass.refused),
        ("302 Found", ("Location: /elsewhere",), OutcomeClass.refused),
        ("302 Found", ("Location: http://[",), OutcomeClass.refused),
        ("302 Found", ("Location: http://a:b/",), OutcomeClass.refused),
        ("303 See Other", ("Location: http://\xff\xfe/",), OutcomeClass.refused),
        ("400 Bad Request", (), OutcomeClass.refused),
        ("401 Unauthorized", (), OutcomeClass.refused),
        ("404 Not Found", (), OutcomeClass.refused),
        ("408 Request Timeout", (), OutcomeClass.unreachable),
        ("409 Conflict", (), OutcomeClass.refused),
        ("409 Conflict", ("Retry-After: 1",), OutcomeClass.throttled),
        ("410 Gone", (), OutcomeClass.refused),
        ("413 Content Too Large", (), OutcomeClass.refused),
        ("422 Unprocessable Content", (), OutcomeClass.refused),
        ("425 Too Early", (), OutcomeClass.unreachable),
        ("429 Too Many Requests", (), OutcomeClass.throttled),
        ("500 Internal Server Error", (), OutcomeClass.unreachable),
        ("503 Service Unavailable", (), OutcomeClass.unreachable),
        ("503 Service Unavailable", ("Retry-After: 1",), OutcomeClass.throttled),
        ("504 Gateway Timeout", (), OutcomeClass.unreachable),
    ],
)
async def test_each_status_has_its_class_and_its_words(
    status: str, headers: tuple[str, ...], kind: OutcomeClass
) -> None:
    outcome = await outcome_with(answering(status, *headers, body=b"why"))
    assert (outcome.kind, outcome.status, outcome.reply) == (kind, int(status[:3]), "why")
    assert status[:3] in outcome.reason


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("Retry-After: 120", timedelta(minutes=2)),
        ("Retry-After: Mon, 20 Jul 2026 08:01:00 GMT", timedelta(minutes=1)),
        ("Retry-After: later", None),
        ("X-Other: 1", None),
    ],
)
async def test_throttling_carries_the_wait_that_was_asked_for(header: str, wait: timedelta | None) -> None:
    outcome = await outcome_with(answering("429 Too Many Requests", header))
    assert (outcome.kind, outcome.retry_after) == (OutcomeClass.throttled, wait)


async def test_a_redirect_is_refused_and_nothing_goes_to_the_other_place() -> None:
    async with upstream(answering("200 OK")) as other:
        elsewhere = f"Location: http://127.0.0.1:{other.port}/"
        outcome = await outcome_with(answering("307 Temporary Redirect", elsewhere), {"bearer": "a.token"})
    assert outcome.kind is OutcomeClass.refused
    assert "not followed" in outcome.reason
    assert other.requests == []


async def test_a_kept_reply_is_cut_to_two_kilobytes_of_printable_text() -> None:
    outcome = await outcome_with(answering("422 No", body="\x00\x1b[31mĐã \u202eghi nhận\n".encode() * 500))
    assert outcome.reply is not None
    assert outcome.reply.startswith("\ufffd\ufffd[31mĐã \ufffdghi nhận\n")
    assert 2000 < len(outcome.reply.encode()) <= 2048


async def test_a_secret_that_the_upstream_echoes_is_not_kept() -> None:
    outcome = await outcome_with(answering("400 No", body=b"bad token: top.secret"), {"bearer": "top.secret"})
    assert outcome.reply == "bad token: ***"
    assert "top.secret" not in outcome.reason


# When the upstream is not there


async def test_a_refused_connection_is_unreachable() -> None:
    async with upstream(answering("200 OK")) as system:
        pass
    outcome = await send_to(system.url)
    assert (outcome.kind, outcome.status) == (OutcomeClass.unreachable, None)
    assert "could not connect" in outcome.reason


@pytest.mark.parametrize("host", ["a" * 64, "nowhere.invalid"])
async def test_a_name_without_an_address_is_unreachable(host: str) -> None:
    outcome = await send_to(f"http://{host}/reports")
    assert outcome.kind is OutcomeClass.unreachable


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]"])
async def test_a_private_address_is_not_connected_to_however_it_is_written(host: str) -> None:
    async with upstream(answering("200 OK")) as system:
        outcome = await send_to(f"http://{host}:{system.port}/reports", private=False)
    assert outcome.kind is OutcomeClass.unreachable
    assert "may not connect to" in outcome.reason
    assert system.requests == []


@pytest.mark.parametrize("host", ["169.254.169.254", "[fe80::1]", "0.0.0.0", "[::]"])  # noqa: S104 (a target)
async def test_a_link_local_or_unspecified_address_is_never_connected_to(host: str) -> None:
    outcome = await send_to(f"http://{host}/latest/meta-data", private=True)
    assert outcome.kind is OutcomeClass.unreachable
    assert "may not connect to" in outcome.reason


async def test_an_allowed_name_is_reached_at_the_first_of_its_addresses_that_answers() -> None:
    async with upstream(answering("200 OK")) as system:
        outcome = await send_to(f"http://localhost:{system.port}/reports")
    assert outcome.kind is OutcomeClass.delivered
    assert system.requests[0][0]["host"] == f"localhost:{system.port}"


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Let names resolve to these addresses, one answer a look-up; gives the names that were looked up."""
    asked: list[str] = []

    async def lookup(host: str, port: int, **_: object) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        asked.append(host)
        addresses = answers[len(asked) - 1]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", lookup)
    return asked


async def test_a_name_is_looked_up_once_and_the_address_that_was_checked_is_the_one_connected_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with upstream(answering("200 OK")) as system:
        asked = resolving(monkeypatch, ["127.0.0.1"], ["169.254.169.254"])
        outcome = await send_to(f"http://rebound.example:{system.port}/reports")
    assert outcome.kind is OutcomeClass.delivered
    assert asked == ["rebound.example"]


async def test_a_name_with_one_address_out_of_bounds_among_others_is_not_connected_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolving(monkeypatch, ["1.1.1.1", "10.0.0.1"])
    outcome = await send_to("http://mixed.example/reports", private=False)
    assert outcome.kind is OutcomeClass.unreachable
    assert "10.0.0.1" in outcome.reason


async def test_an_ipv6_address_keeps_its_brackets_in_the_host_header() -> None:
    async with upstream(answering("200 OK")) as system:
        await send_to(f"http://[::ffff:127.0.0.1]:{system.port}/reports")
    assert system.requests[0][0]["host"] == f"[::ffff:127.0.0.1]:{system.port}"


# When the upstream misbehaves


async def test_a_stall_ends_at_the_deadline_and_is_ambiguous() -> None:
    async with upstream(lambda _: asyncio.sleep(60)) as system:
        started = time.monotonic()
        outcome = await send_to(system.url, deadline=SHORT)
        elapsed = time.monotonic() - started
    assert (outcome.kind, outcome.status) == (OutcomeClass.ambiguous, None)
    assert len(system.requests) == 1
    assert SHORT <= elapsed < SHORT + 2


async def test_a_trickle_of_single_bytes_is_ended_by_the_deadline_of_the_whole_attempt() -> None:
    async def trickle(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        await forever(writer, b"x", pause=0.05)

    started = time.monotonic()
    outcome = await outcome_with(trickle, deadline=SHORT)
    assert (outcome.kind, outcome.status) == (OutcomeClass.ambiguous, 200)
    assert time.monotonic() - started < SHORT + 2


async def test_answers_before_the_answer_without_end_are_ended_by_the_deadline() -> None:
    async def hint(writer: asyncio.StreamWriter) -> None:
        await forever(writer, b"HTTP/1.1 103 Early Hints\r\n\r\n", pause=0.001)

    outcome = await outcome_with(hint, deadline=SHORT)
    assert outcome.kind is OutcomeClass.ambiguous


async def test_a_connection_closed_without_an_answer_is_ambiguous() -> None:
    async def close(writer: asyncio.StreamWriter) -> None:
        writer.close()

    assert (await outcome_with(close)).kind is OutcomeClass.ambiguous


async def test_a_reset_in_the_middle_of_a_reply_is_ambiguous_though_it_began_well() -> None:
    async def reset(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\nhalf")
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.transport.abort()

    outcome = await outcome_with(reset)
    assert (outcome.kind, outcome.status) == (OutcomeClass.ambiguous, 201)


@pytest.mark.parametrize(
    "junk",
    [
        b"\x16\x03\x01 this is not HTTP\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnot a chunk\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X-Flood: 1\r\n" * 100_000 + b"\r\n",
    ],
    ids=["not-http", "negative-length", "bad-chunk", "header-flood"],
)
async def test_an_answer_that_breaks_http_is_ambiguous_and_not_quoted(junk: bytes) -> None:
    outcome = await outcome_with(saying(junk))
    assert outcome.kind is OutcomeClass.ambiguous
    assert "not HTTP" in outcome.reason


async def test_a_body_without_end_is_read_no_further_than_the_cap() -> None:
    written = 0

    async def endless(writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
            await writer.drain()
            written += 65_536

    outcome = await outcome_with(endless)
    assert (outcome.kind, outcome.reply) == (OutcomeClass.delivered, "x" * 2048)
    assert written < 50_000_000


async def test_a_compressed_reply_that_nobody_asked_for_is_not_inflated() -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    outcome = await outcome_with(answering("200 OK", "Content-Encoding: gzip", body=bomb))
    assert (outcome.kind, outcome.reply) == (
        OutcomeClass.delivered,
        f"({min(len(bomb), 65_536)} bytes encoded as gzip, not opened)",
    )


async def test_a_kept_connection_that_the_upstream_closed_is_not_used_again() -> None:
    async def once(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async with upstream(once) as system, connected(system.url) as connector:
        for _ in range(3):
            assert (await connector.send(DISPATCH)).kind is OutcomeClass.delivered
            await asyncio.sleep(0.02)
    assert len(system.requests) == 3


async def test_an_attempt_that_is_cancelled_leaves_the_connector_working() -> None:
    answers = iter((lambda _: asyncio.sleep(60), answering("200 OK")))

    async def next_answer(writer: asyncio.StreamWriter) -> None:
        await next(answers)(writer)

    async with upstream(next_answer) as system, connected(system.url) as connector:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(connector.send(DISPATCH), 0.1)
        assert (await connector.send(DISPATCH)).kind is OutcomeClass.delivered


# TLS


def certified(folder: Path, name: str) -> tuple[ssl.SSLContext, Path]:
    """A server's TLS for one name, and the certificate to trust it by."""
    key, subject = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]),
    )
    now = datetime.now(UTC)
    names: list[x509.GeneralName] = [x509.DNSName(name), x509.IPAddress(ip_address("127.0.0.2"))]
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    trusted, both = folder / "trusted.pem", folder / "both.pem"
    trusted.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    both.write_bytes(private + trusted.read_bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    return context, trusted


async def test_tls_is_verified_for_the_name_in_the_url_though_the_connection_is_by_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls, trusted = certified(tmp_path, "localhost")
    async with upstream(answering("200 OK"), tls) as system:
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
        right = await send_to(f"https://localhost:{system.port}/reports")
        wrong = await send_to(f"https://127.0.0.1:{system.port}/reports")
        monkeypatch.delenv("SSL_CERT_FILE")
        untrusted = await send_to(f"https://localhost:{system.port}/reports")
    assert right.kind is OutcomeClass.delivered
    assert (wrong.kind, untrusted.kind) == (OutcomeClass.unreachable, OutcomeClass.unreachable)
    assert "certificate" in wrong.reason
    assert "certificate" in untrusted.reason
    assert len(system.requests) == 1


# Settings


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a.example/",
        "//a.example",
        "http://",
        "http://user:pw@a.example/",
        "http://a:99999/",
        "http://a/#b",
        "\0",
    ],
)
def test_a_url_that_can_never_work_or_hides_a_password_does_not_open(url: str) -> None:
    with pytest.raises(InvalidConnectorSettings, match="url"):
        open_connector(settings(url))


@pytest.mark.parametrize(
    "credentials",
    [
        {"signing_secret": SECRET.removeprefix("whsec_")},
        {"signing_secret": "whsec_not base64"},
        {"signing_secret": "whsec_c2hvcnQ="},
        {"bearer": "two\r\nX-Lines: 1"},
        {"bearer": "bí mật"},
        {"password": "unheard-of"},
    ],
)
def test_credentials_that_cannot_be_used_do_not_open_and_are_not_quoted(credentials: dict[str, str]) -> None:
    [secret] = credentials.values()
    with pytest.raises(InvalidConnectorSettings) as refusal:
        open_connector(settings("http://a.example/", credentials))
    assert secret not in str(refusal.value)


def test_credentials_are_in_no_repr() -> None:
    assert SECRET not in repr(settings("http://a.example/", {"signing_secret": SECRET}))


def test_an_unknown_kind_does_not_open() -> None:
    with pytest.raises(UnknownConnectorKind, match="pigeon"):
        open_connector(ConnectorSettings(name="x", kind="pigeon", url="http://a.example/"))
