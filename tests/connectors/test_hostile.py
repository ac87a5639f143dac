"""What upstreams do to harm whoever sends to them, or because they are broken, beyond what `test_conformance` has."""

import asyncio
import time
from datetime import timedelta
from pathlib import Path

import pytest

from answering import (
    DISPATCH,
    KINDS,
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
from certificates import Certified, certified
from gateway.connectors.connector import InvalidConnectorSettings
from gateway.connectors.registry import open_connector
from gateway.domain.delivery import DEFAULT_SCHEDULE as SCHEDULE
from gateway.domain.delivery import LONGEST_WAIT, Outcome, OutcomeClass

pytestmark = pytest.mark.parametrize("kind", KINDS)


async def test_ten_gigabytes_are_not_read_however_honestly_they_are_announced(kind: str) -> None:
    written = 0

    async def announced(writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 10737418240\r\n\r\n")
        while True:
            writer.write(b"." * 262_144)
            await writer.drain()
            written += 262_144

    outcome = await outcome_with(kind, announced)
    assert (outcome.kind, outcome.status) == (OutcomeClass.unreachable, 500)
    assert written < 50_000_000


async def test_headers_without_end_are_read_no_further_than_a_bound(kind: str) -> None:
    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        await forever(writer, b"X-Flood: " + b"x" * 8000 + b"\r\n")

    outcome = await outcome_with(kind, endless)
    assert outcome.kind is OutcomeClass.ambiguous


async def test_an_answer_of_http_1_0_that_ends_with_its_connection_is_an_answer(kind: str) -> None:
    old = saying(b"HTTP/1.0 200 OK\r\n\r\n" + TAKEN.get(kind, b"ok"))
    assert (await outcome_with(kind, closing(old))).kind is OutcomeClass.delivered


@pytest.mark.parametrize(
    "junk",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffffff\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nX: \x00\r\n\r\na",
        b"HTTP/2 200\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
    ids=["huge-chunk", "two-lengths", "nul-in-header", "http-2", "http-2-preface"],
)
async def test_other_answers_that_break_http_are_ambiguous_too(kind: str, junk: bytes) -> None:
    assert (await outcome_with(kind, closing(saying(junk)))).kind is OutcomeClass.ambiguous


async def test_a_kept_connection_that_is_closed_under_the_next_request_is_ambiguous_and_then_gone(kind: str) -> None:
    """Nobody can know whether that request was read. The schedule sends it again, and not the attempt itself."""
    async with upstream(in_turn(taken(kind), hang_up, taken(kind))) as system, connected(kind, system.url) as connector:
        outcomes = [(await connector.send(DISPATCH)).kind for _ in range(3)]
    assert outcomes == [OutcomeClass.delivered, OutcomeClass.ambiguous, OutcomeClass.delivered]
    assert len(system.requests) == 3


async def hang_up(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


@pytest.mark.parametrize(
    ("header", "shortest", "longest"),
    [
        ("Retry-After: 0", timedelta(seconds=5), timedelta(seconds=5)),
        ("Retry-After: 3600", timedelta(hours=1), timedelta(hours=1)),
        ("Retry-After: Mon, 20 Jul 2026 09:00:00 GMT", timedelta(hours=1), timedelta(hours=1)),
        ("Retry-After: Mon, 20 Jul 2020 09:00:00 GMT", timedelta(seconds=5), timedelta(seconds=5)),
        ("Retry-After: -3600", timedelta(seconds=5), timedelta(seconds=5)),
        ("Retry-After: 315360000", LONGEST_WAIT, LONGEST_WAIT),
        ("Retry-After: Sun, 20 Jul 2036 09:00:00 GMT", LONGEST_WAIT, LONGEST_WAIT),
        ("Retry-After: soon\r\nRetry-After: 60", timedelta(seconds=5), timedelta(seconds=5)),
        ("Retry-After: 1e9", timedelta(seconds=5), timedelta(seconds=5)),
    ],
)
async def test_no_wait_that_is_asked_for_leaves_the_schedule_s_bounds(
    kind: str, header: str, shortest: timedelta, longest: timedelta
) -> None:
    outcome = await outcome_with(kind, answering("429 Too Many Requests", header))
    now = DISPATCH.attempted_at
    due = SCHEDULE.next_attempt_at(1, now, now, 0.0, outcome.retry_after)
    assert due is not None
    assert shortest <= due - now <= longest


# TLS


async def test_a_certificate_that_has_run_out_is_not_taken(kind: str, tmp_path: Path) -> None:
    server = certified("localhost", ended=timedelta(minutes=5))
    assert "expired" in (await _not_taken(kind, server, tmp_path)).reason


async def test_a_certificate_of_another_name_is_not_taken(kind: str, tmp_path: Path) -> None:
    await _not_taken(kind, certified("elsewhere.example"), tmp_path)


async def _not_taken(kind: str, server: Certified, directory: Path) -> Outcome:
    """What comes of an upstream with a certificate that no report may be sent to."""
    async with upstream(taken(kind), server.tls(directory)) as system:
        url = f"https://localhost:{system.port}/reports"
        outcome = await send_to(kind, url, {"ca_certificate": server.certificate})
    assert outcome.kind is OutcomeClass.unreachable
    assert system.requests == []
    return outcome


async def test_no_tls_where_it_should_be_is_unreachable_and_nothing_is_told_in_the_clear(kind: str) -> None:
    heard = bytearray()

    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.extend(await reader.read(4096))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(plain, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        outcome = await send_to(kind, f"https://localhost:{port}/reports")
    assert outcome.kind is OutcomeClass.unreachable
    assert heard[:1] == b"\x16"  # a handshake
    assert b"POST" not in heard


async def test_a_handshake_that_never_goes_on_ends_with_the_attempt_and_nothing_was_sent(kind: str) -> None:
    silent = asyncio.Event()

    async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await silent.wait()
        writer.close()

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        began = time.monotonic()
        outcome = await send_to(kind, f"https://localhost:{port}/reports", deadline=SHORT)
        assert time.monotonic() - began < SHORT + 2
        silent.set()
    assert outcome.kind is OutcomeClass.unreachable


# Addresses


@pytest.mark.parametrize(
    "host", ["127\u30020\u30020\u30021", "017700000001", "0x7f000001", "127.1", "%31%32%37.0.0.1", "[::ffff:7f00:1]"]
)
async def test_no_way_of_writing_an_address_leads_to_this_machine(kind: str, host: str) -> None:
    async with upstream(answering("200 OK")) as system:
        outcome = await send_to(kind, f"http://{host}:{system.port}/reports", private=False)
    assert outcome.kind is OutcomeClass.unreachable
    assert system.requests == []


@pytest.mark.parametrize(
    "url",
    [
        "http://0177.0.0.1/",
        "http://\u2460\u2461\u2466.0.0.1/",
        "http://a.example@127.0.0.1/",
        "http://127.0.0.1%2f@a.example/",
        "http://127.0.0.1:80\\@a.example/",
    ],
)
def test_a_url_that_different_readers_read_differently_does_not_open(kind: str, url: str) -> None:
    with pytest.raises(InvalidConnectorSettings, match="url"):
        open_connector(settings(kind, url))
