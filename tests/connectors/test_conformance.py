"""What every kind of connector does, whatever its upstream answers, on a real upstream on loopback."""

import asyncio
import gzip
import json
import socket
import time
from base64 import b64encode
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import pytest

from answering import (
    DISPATCH,
    KINDS,
    SECRET,
    SECRETS,
    SHORT,
    TAKEN,
    answering,
    closing,
    connected,
    forever,
    in_turn,
    outcome_with,
    saying,
    send_to,
    settings,
    taken,
    upstream,
)
from certificates import certified
from gateway.connectors.connector import InvalidConnectorSettings
from gateway.connectors.registry import open_connector
from gateway.domain.delivery import OutcomeClass

pytestmark = pytest.mark.parametrize("kind", KINDS)


# What is sent


async def test_the_environment_adds_no_proxy(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert (await outcome_with(kind, taken(kind))).kind is OutcomeClass.delivered


async def test_one_connector_serves_many_attempts_at_once_and_remembers_no_cookie(kind: str) -> None:
    async with (
        upstream(answering("200 OK", "Set-Cookie: session=1; Path=/", body=TAKEN.get(kind, b""))) as system,
        connected(kind, system.url) as connector,
    ):
        outcomes = await asyncio.gather(*(connector.send(DISPATCH) for _ in range(40)))
        outcomes.append(await connector.send(DISPATCH))
    assert {outcome.kind for outcome in outcomes} == {OutcomeClass.delivered}
    assert len(system.requests) == 41
    assert not any("cookie" in headers for headers, _ in system.requests)


# What is answered


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        ("200 OK", (), OutcomeClass.delivered),
        ("202 Accepted", (), OutcomeClass.delivered),
        ("301 Moved Permanently", (), OutcomeClass.refused),
        ("302 Found", ("Location: /elsewhere",), OutcomeClass.refused),
        ("302 Found", ("Location: http://[",), OutcomeClass.refused),
        ("302 Found", ("Location: http://a:b/",), OutcomeClass.refused),
        ("303 See Other", ("Location: http://\xff\xfe/",), OutcomeClass.refused),
        ("408 Request Timeout", (), OutcomeClass.unreachable),
        ("409 Conflict", ("Retry-After: 1",), OutcomeClass.throttled),
        ("410 Gone", (), OutcomeClass.refused),
        ("425 Too Early", (), OutcomeClass.unreachable),
        ("429 Too Many Requests", (), OutcomeClass.throttled),
        ("500 Internal Server Error", (), OutcomeClass.unreachable),
        ("502 Bad Gateway", (), OutcomeClass.unreachable),
        ("503 Service Unavailable", (), OutcomeClass.unreachable),
        ("503 Service Unavailable", ("Retry-After: 1",), OutcomeClass.throttled),
        ("504 Gateway Timeout", (), OutcomeClass.unreachable),
    ],
)
async def test_each_status_has_its_class_and_its_words(
    kind: str, status: str, headers: tuple[str, ...], expected: OutcomeClass
) -> None:
    body = TAKEN.get(kind, b"why")
    outcome = await outcome_with(kind, answering(status, *headers, body=body))
    assert (outcome.kind, outcome.status, outcome.reply) == (expected, int(status[:3]), body.decode())
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
async def test_throttling_carries_the_wait_that_was_asked_for(kind: str, header: str, wait: timedelta | None) -> None:
    outcome = await outcome_with(kind, answering("429 Too Many Requests", header))
    assert (outcome.kind, outcome.retry_after) == (OutcomeClass.throttled, wait)


async def test_a_redirect_is_refused_and_nothing_goes_to_the_other_place(kind: str) -> None:
    async with upstream(answering("200 OK")) as other:
        elsewhere = f"Location: http://127.0.0.1:{other.port}/"
        outcome = await outcome_with(kind, answering("307 Temporary Redirect", elsewhere), SECRETS[kind])
    assert outcome.kind is OutcomeClass.refused
    assert "not followed" in outcome.reason
    assert other.requests == []


async def test_a_kept_reply_is_cut_to_two_kilobytes_of_printable_text(kind: str) -> None:
    outcome = await outcome_with(kind, answering("422 No", body="\x00\x1b[31mĐã \u202eghi nhận\n".encode() * 500))
    assert outcome.reply is not None
    assert outcome.reply.startswith("\ufffd\ufffd[31mĐã \ufffdghi nhận\n")
    assert 2000 < len(outcome.reply.encode()) <= 2048


async def test_a_secret_that_the_upstream_echoes_is_not_kept(kind: str) -> None:
    words = [word for each in SECRETS[kind].values() for word in each.split(" ")]
    said = [written for word in words for written in (word, quote(word, safe=""), json.dumps(word).replace("/", r"\/"))]
    outcome = await outcome_with(kind, answering("400 No", body=", ".join(said).encode()), SECRETS[kind])
    assert (outcome.reply or "").replace('"', "") == ", ".join("***" for _ in said)
    assert "top.secret" not in outcome.reason


# When the upstream is not there


async def test_a_refused_connection_is_unreachable(kind: str) -> None:
    async with upstream(answering("200 OK")) as system:
        pass
    outcome = await send_to(kind, system.url)
    assert (outcome.kind, outcome.status) == (OutcomeClass.unreachable, None)
    assert "could not connect" in outcome.reason


@pytest.mark.parametrize("host", ["a" * 64, "nowhere.invalid"])
async def test_a_name_without_an_address_is_unreachable(kind: str, host: str) -> None:
    outcome = await send_to(kind, f"http://{host}/reports")
    assert outcome.kind is OutcomeClass.unreachable


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]"])
async def test_a_private_address_is_not_connected_to_however_it_is_written(kind: str, host: str) -> None:
    async with upstream(answering("200 OK")) as system:
        outcome = await send_to(kind, f"http://{host}:{system.port}/reports", private=False)
    assert outcome.kind is OutcomeClass.unreachable
    assert "may not connect to" in outcome.reason
    assert system.requests == []


@pytest.mark.parametrize("host", ["169.254.169.254", "[fe80::1]", "0.0.0.0", "[::]"])  # noqa: S104 (a target)
async def test_a_link_local_or_unspecified_address_is_never_connected_to(kind: str, host: str) -> None:
    outcome = await send_to(kind, f"http://{host}/latest/meta-data", private=True)
    assert outcome.kind is OutcomeClass.unreachable
    assert "may not connect to" in outcome.reason


async def test_an_allowed_name_is_reached_at_the_first_of_its_addresses_that_answers(kind: str) -> None:
    async with upstream(taken(kind)) as system:
        outcome = await send_to(kind, f"http://localhost:{system.port}/reports")
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
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with upstream(taken(kind)) as system:
        asked = resolving(monkeypatch, ["127.0.0.1"], ["169.254.169.254"])
        outcome = await send_to(kind, f"http://rebound.example:{system.port}/reports")
    assert outcome.kind is OutcomeClass.delivered
    assert asked == ["rebound.example"]


async def test_a_name_with_one_address_out_of_bounds_among_others_is_not_connected_to(
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolving(monkeypatch, ["1.1.1.1", "10.0.0.1"])
    outcome = await send_to(kind, "http://mixed.example/reports", private=False)
    assert outcome.kind is OutcomeClass.unreachable
    assert "10.0.0.1" in outcome.reason


async def test_an_ipv6_address_keeps_its_brackets_in_the_host_header(kind: str) -> None:
    async with upstream(answering("200 OK")) as system:
        await send_to(kind, f"http://[::ffff:127.0.0.1]:{system.port}/reports")
    assert system.requests[0][0]["host"] == f"[::ffff:127.0.0.1]:{system.port}"


# When the upstream misbehaves


async def test_a_stall_ends_at_the_deadline_and_is_ambiguous(kind: str) -> None:
    async with upstream(lambda _: asyncio.sleep(60)) as system:
        started = time.monotonic()
        outcome = await send_to(kind, system.url, deadline=SHORT)
        elapsed = time.monotonic() - started
    assert (outcome.kind, outcome.status) == (OutcomeClass.ambiguous, None)
    assert len(system.requests) == 1
    assert SHORT <= elapsed < SHORT + 2


async def test_a_trickle_of_single_bytes_is_ended_by_the_deadline_of_the_whole_attempt(kind: str) -> None:
    async def trickle(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        await forever(writer, b"x", pause=0.05)

    started = time.monotonic()
    outcome = await outcome_with(kind, trickle, deadline=SHORT)
    assert (outcome.kind, outcome.status) == (OutcomeClass.ambiguous, 200)
    assert time.monotonic() - started < SHORT + 2


async def test_answers_before_the_answer_without_end_are_ended_by_the_deadline(kind: str) -> None:
    async def hint(writer: asyncio.StreamWriter) -> None:
        await forever(writer, b"HTTP/1.1 103 Early Hints\r\n\r\n", pause=0.001)

    outcome = await outcome_with(kind, hint, deadline=SHORT)
    assert outcome.kind is OutcomeClass.ambiguous


async def test_answers_before_the_answer_are_read_no_further_than_a_bound(kind: str) -> None:
    """Each costs as much as a whole answer: without a bound they keep the worker from all that it sends beside."""

    async def hint(writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </later>\r\n\r\n" * 100)
            await writer.drain()

    outcome = await outcome_with(kind, hint)
    assert outcome.kind is OutcomeClass.ambiguous
    assert "more than 32 KiB came before the body of an answer" in outcome.reason


async def test_some_answers_before_the_answer_do_no_harm(kind: str) -> None:
    early = b"HTTP/1.1 100 Continue\r\n\r\n" + b"HTTP/1.1 103 Early Hints\r\nLink: </later>\r\n\r\n" * 200
    body = TAKEN.get(kind, b"ok")
    final = saying(early + b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    assert (await outcome_with(kind, final)).kind is OutcomeClass.delivered


async def test_a_connection_closed_without_an_answer_is_ambiguous(kind: str) -> None:
    assert (await outcome_with(kind, closing(saying("")))).kind is OutcomeClass.ambiguous


async def test_a_reset_in_the_middle_of_a_reply_is_ambiguous_though_it_began_well(kind: str) -> None:
    async def reset(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\nhalf")
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.transport.abort()

    outcome = await outcome_with(kind, reset)
    assert (outcome.kind, outcome.status) == (OutcomeClass.ambiguous, 201)


@pytest.mark.parametrize(
    "junk",
    [
        b"\x16\x03\x01 this is not HTTP\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnot a chunk\r\n",
    ],
    ids=["not-http", "negative-length", "bad-chunk"],
)
async def test_an_answer_that_breaks_http_is_ambiguous_and_not_quoted(kind: str, junk: bytes) -> None:
    outcome = await outcome_with(kind, saying(junk))
    assert outcome.kind is OutcomeClass.ambiguous
    assert "not HTTP" in outcome.reason


def _whatever_it_says(kind: str) -> OutcomeClass:
    """What a 200 comes to whose body means nothing."""
    return OutcomeClass.ambiguous if kind in TAKEN else OutcomeClass.delivered


async def test_a_body_without_end_is_read_no_further_than_the_cap(kind: str) -> None:
    written = 0

    async def endless(writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
            await writer.drain()
            written += 65_536

    outcome = await outcome_with(kind, endless)
    assert (outcome.kind, outcome.reply) == (_whatever_it_says(kind), "x" * 2048)
    assert written < 50_000_000


async def test_a_compressed_reply_that_nobody_asked_for_is_not_inflated(kind: str) -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)  # 48 KB, below every cap
    outcome = await outcome_with(kind, answering("200 OK", "Content-Encoding: gzip", body=bomb))
    assert (outcome.kind, outcome.reply) == (
        _whatever_it_says(kind),
        f"({len(bomb)} bytes encoded as gzip, not opened)",
    )


async def test_a_kept_connection_that_the_upstream_closed_is_not_used_again(kind: str) -> None:
    async with upstream(closing(taken(kind))) as system, connected(kind, system.url) as connector:
        for _ in range(3):
            assert (await connector.send(DISPATCH)).kind is OutcomeClass.delivered
            await asyncio.sleep(0.02)
    assert len(system.requests) == 3


async def test_an_attempt_that_is_cancelled_leaves_the_connector_working(kind: str) -> None:
    answers = in_turn(lambda _: asyncio.sleep(60), taken(kind))
    async with upstream(answers) as system, connected(kind, system.url) as connector:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(connector.send(DISPATCH), 0.1)
        assert (await connector.send(DISPATCH)).kind is OutcomeClass.delivered


# TLS


async def test_tls_is_verified_for_the_name_in_the_url_though_the_connection_is_by_address(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, trusted = certified("localhost"), tmp_path / "trusted.pem"
    trusted.write_text(server.certificate)
    async with upstream(taken(kind), server.tls(tmp_path)) as system:
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
        right = await send_to(kind, f"https://localhost:{system.port}/reports")
        wrong = await send_to(kind, f"https://127.0.0.1:{system.port}/reports")
        monkeypatch.delenv("SSL_CERT_FILE")
        untrusted = await send_to(kind, f"https://localhost:{system.port}/reports")
    assert right.kind is OutcomeClass.delivered
    assert (wrong.kind, untrusted.kind) == (OutcomeClass.unreachable, OutcomeClass.unreachable)
    assert "certificate" in wrong.reason
    assert "certificate" in untrusted.reason
    assert len(system.requests) == 1


async def test_a_private_ca_is_trusted_and_no_other(kind: str, tmp_path: Path) -> None:
    server, other = certified("localhost"), certified("other")
    async with upstream(taken(kind), server.tls(tmp_path)) as system:
        url = f"https://localhost:{system.port}/reports"
        right = await send_to(kind, url, {"ca_certificate": other.certificate + server.certificate})
        wrong = await send_to(kind, url, {"ca_certificate": other.certificate})
    assert (right.kind, wrong.kind) == (OutcomeClass.delivered, OutcomeClass.unreachable)
    assert "certificate" in wrong.reason
    assert len(system.requests) == 1


async def test_an_upstream_that_asks_for_a_certificate_is_shown_the_one_there_is(kind: str, tmp_path: Path) -> None:
    server, client = certified("localhost"), certified("gateway")
    trust = {"ca_certificate": server.certificate}
    shown = trust | {"client_certificate": client.certificate, "client_key": client.key}
    async with upstream(taken(kind), server.tls(tmp_path, client.certificate)) as system:
        url = f"https://localhost:{system.port}/reports"
        known = await send_to(kind, url, shown)
        unknown = await send_to(kind, url, trust)
    assert known.kind is OutcomeClass.delivered
    assert unknown.kind in {OutcomeClass.unreachable, OutcomeClass.ambiguous}
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
def test_a_url_that_can_never_work_or_hides_a_password_does_not_open(kind: str, url: str) -> None:
    with pytest.raises(InvalidConnectorSettings, match="url"):
        open_connector(settings(kind, url))


@pytest.mark.parametrize(
    "credentials",
    [
        {"signing_secret": SECRET.removeprefix("whsec_")},
        {"signing_secret": "whsec_not base64"},
        {"signing_secret": "whsec_c2hvcnQ="},
        {"signing_secret": f"{SECRET} whsec_c2hvcnQ="},
        {"signing_secret": f"{SECRET}  {SECRET}"},
        {"signing_secret": "whsk_c2hvcnQ="},
        {"signing_secret": "whsk_" + b64encode(bytes(64)).decode()},
        {"signing_secret": "whpk_" + b64encode(bytes(32)).decode()},
        {"bearer": "two\r\nX-Lines: 1"},
        {"bearer": "bí mật"},
        {"passphrase": "unheard-of"},
    ],
)
def test_credentials_that_cannot_be_used_do_not_open_and_are_not_quoted(kind: str, credentials: dict[str, str]) -> None:
    [secret] = credentials.values()
    with pytest.raises(InvalidConnectorSettings) as refusal:
        open_connector(settings(kind, "http://a.example/", credentials))
    assert secret not in str(refusal.value)


def test_credentials_are_in_no_repr(kind: str) -> None:
    assert SECRET not in repr(settings(kind, "http://a.example/", {"signing_secret": SECRET}))
