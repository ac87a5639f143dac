"""Connections that mean no good, against a real server: each ends by a deadline, and nobody else waits for it."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import psutil
import pytest

from factories import a_report, body
from gateway.api.deps import Gateway
from gateway_under_test import MOST_CONNECTIONS, RunningServer, add_account, bearer, connected

HOST = b"Host: gateway.test\r\n"
PLAIN = b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n"
SLACK = 4.0
"""Seconds by which a busy machine may miss a deadline of one or two."""


class Peer:
    """A client that writes whatever it likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer

    async def send(self, *pieces: bytes, pause: float = 0) -> None:
        """Send pieces until there are no more, or nobody takes them."""
        try:
            for piece in pieces:
                self.writer.write(piece)
                await self.writer.drain()
                await asyncio.sleep(pause)
        except ConnectionError:
            return

    async def rest(self) -> bytes:
        """Whatever still comes until the connection ends."""
        found = b""
        try:
            while piece := await self._reader.read(65536):
                found += piece
        except ConnectionError:
            pass
        return found


@asynccontextmanager
async def connection(server: RunningServer) -> AsyncIterator[Peer]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        yield Peer(reader, writer)
    finally:
        writer.close()


async def ended(server: RunningServer, *pieces: bytes, pause: float = 0, within: float) -> bytes:
    """What is answered to pieces on a connection that the server is to end."""
    async with connection(server) as peer:
        sending = asyncio.create_task(peer.send(*pieces, pause=pause))
        try:
            async with asyncio.timeout(within + SLACK):
                return await peer.rest()
        finally:
            sending.cancel()


def problem_in(answer: bytes, status: int) -> dict[str, object]:
    """The one answer there is: a problem of that status, whole, with an id."""
    head, _, content = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), answer[:500]
    assert answer.count(b"HTTP/1.1 ") == 1, answer[:2000]
    fields = head.lower()
    for field in (b"content-type: application/problem+json", b"x-request-id: ", b"connection: close"):
        assert field in fields, head
    found: dict[str, object] = json.loads(content)
    assert found["status"] == status
    return found


@pytest.fixture
async def headers(gateway: Gateway) -> bytes:
    """What a sender of reports says of itself."""
    account = await add_account(gateway.engine, ["reports:write"], None)
    token = bearer(gateway.tokens, account.id, ["reports:write"], None)["Authorization"]
    return HOST + f"Authorization: {token}\r\nContent-Type: application/json\r\n".encode()


async def test_a_head_that_comes_byte_by_byte_is_given_up_and_others_are_served_meanwhile(
    server: RunningServer,
) -> None:
    drip = [bytes([each]) for each in b"GET /healthz HTTP/1.1\r\nX-Slow: " + b"a" * 1000]
    slow = [asyncio.create_task(ended(server, *drip, pause=0.05, within=1)) for _ in range(50)]
    async with httpx.AsyncClient(base_url=server.url) as client:
        while not all(each.done() for each in slow):
            assert (await client.get("/healthz")).status_code == 200
            await asyncio.sleep(0.02)
    for each in slow:
        assert problem_in(await each, 408)["type"] == "urn:report-gateway:problem:request-timeout"


async def test_a_connection_on_which_nothing_comes_is_ended_without_a_word(server: RunningServer) -> None:
    assert await ended(server, within=1) == b""


async def test_a_second_head_on_a_connection_has_no_more_time_than_the_first(server: RunningServer) -> None:
    drip = [b"GET /", *([b"a"] * 200)]
    answer = await ended(server, PLAIN, *drip, pause=0.05, within=1)
    assert [answer.count(b"HTTP/1.1 %d" % status) for status in (200, 408)] == [1, 1]


async def test_line_ends_between_requests_keep_no_connection_open(server: RunningServer) -> None:
    answer = await ended(server, PLAIN, *([b"\r\n"] * 200), pause=0.05, within=2)
    assert answer.count(b"HTTP/1.1") == 1


TOO_LARGE = {
    "one long field": [b"GET / HTTP/1.1\r\n" + HOST + b"X-A: ", *([b"a" * 8192] * 12)],
    "one field without an end": [b"GET / HTTP/1.1\r\n" + HOST + b"X-A: ", *([b"a" * 4096] * 1000)],
    "a long name": [b"GET / HTTP/1.1\r\n" + b"X" * 100_000 + b": a\r\n\r\n"],
    "many fields": [b"GET / HTTP/1.1\r\n" + HOST + b"X-A: a\r\n" * 200 + b"\r\n"],
    "a long address": [b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n"],
    "a long query in pieces": [b"GET /v1/forms?cursor=", *([b"a" * 8192] * 12), b" HTTP/1.1\r\n" + HOST + b"\r\n"],
}


@pytest.mark.parametrize("pieces", TOO_LARGE.values(), ids=TOO_LARGE.keys())
async def test_a_head_without_measure_is_refused(server: RunningServer, pieces: Sequence[bytes]) -> None:
    answer = await ended(server, *pieces, within=1)
    assert answer == b"" or problem_in(answer, 431)["type"] == "urn:report-gateway:problem:head-too-large"


def post(headers: bytes, fields: bytes, content: bytes) -> bytes:
    return b"POST /v1/reports/validate HTTP/1.1\r\n" + headers + fields + b"\r\n" + content


HIDDEN = b"GET /healthz?hidden HTTP/1.1\r\nHost: gateway.test\r\n\r\n"
SMUGGLED = {
    "a length and chunks": (b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n" + HIDDEN),
    "chunks and a length": (b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", b"0\r\n\r\n" + HIDDEN),
    "two lengths": (b"Content-Length: 5\r\nContent-Length: 0\r\n", HIDDEN),
    "a list of lengths": (b"Content-Length: 5, 0\r\n", HIDDEN),
    "a signed length": (b"Content-Length: +5\r\n", HIDDEN),
    "a negative length": (b"Content-Length: -1\r\n", HIDDEN),
    "a length in hexadecimal": (b"Content-Length: 0x5\r\n", HIDDEN),
    "an enormous length": (b"Content-Length: " + b"9" * 40 + b"\r\n", HIDDEN),
    "an unknown coding": (b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n" + HIDDEN),
    "chunked, then something": (b"Transfer-Encoding: chunked, identity\r\n", b"0\r\n\r\n" + HIDDEN),
    "a space before the colon": (b"Transfer-Encoding : chunked\r\n", b"0\r\n\r\n" + HIDDEN),
    "a folded line": (b"X-A: a\r\n Transfer-Encoding: chunked\r\n", HIDDEN),
    "a bare carriage return": (b"X-A: a\rTransfer-Encoding: chunked\r\n", HIDDEN),
    "a NUL in a value": (b"X-A: a\x00b\r\n", HIDDEN),
    "a size that is no number": (b"Transfer-Encoding: chunked\r\n", b"zz\r\n" + HIDDEN),
    "a size that overflows": (b"Transfer-Encoding: chunked\r\n", b"FFFFFFFFFFFFFFFFF\r\n" + HIDDEN),
    "a signed size": (b"Transfer-Encoding: chunked\r\n", b"-1\r\n" + HIDDEN),
    "a chunk longer than it says": (b"Transfer-Encoding: chunked\r\n", b"1\r\nabc\r\n0\r\n\r\n" + HIDDEN),
}


@pytest.mark.parametrize(("fields", "content"), SMUGGLED.values(), ids=SMUGGLED.keys())
async def test_a_request_whose_end_could_be_read_in_two_ways_hides_no_other(
    server: RunningServer, headers: bytes, fields: bytes, content: bytes
) -> None:
    problem_in(await ended(server, post(headers, fields, content), within=1), 400)


async def test_of_a_request_that_is_no_http_nothing_is_said_but_that(server: RunningServer) -> None:
    for sent in (
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET / HTTP/9.9\r\n\r\n",
        b"hello\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n",
    ):
        answer = await ended(server, sent, HOST + b"\r\n", within=1)
        assert problem_in(answer, 400)["type"] == "urn:report-gateway:problem:malformed-request"


HOSTS = {
    "none": b"",
    "two": HOST + b"Host: other.test\r\n",
    "with a path": b"Host: gateway.test/docs\r\n",
    "with a query": b"Host: gateway.test?\r\n",
    "with a fragment": b"Host: gateway.test#\r\n",
    "with a user": b"Host: a@gateway.test\r\n",
    "with a space": b"Host: gateway test\r\n",
    "not of this alphabet": b"Host: g\xc3\xa1teway.test\r\n",
}


@pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS.keys())
async def test_a_host_that_could_be_read_as_part_of_the_address_is_refused(server: RunningServer, host: bytes) -> None:
    """CVE-2026-48710: a path in `Host` became one of `request.url`."""
    answer = await ended(server, b"GET /v1/forms HTTP/1.1\r\n" + host + b"Connection: close\r\n\r\n", within=1)
    assert problem_in(answer, 400)["type"] == "urn:report-gateway:problem:malformed-request"


async def test_requests_that_come_in_one_piece_are_answered_in_order(server: RunningServer) -> None:
    asked = [b"GET /%s%d HTTP/1.1\r\n" % (name, at) + HOST for at in range(25) for name in (b"healthz?", b"none")]
    last = b"GET /healthz HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
    answer = await ended(server, b"\r\n".join([*asked, last]), within=2)
    statuses = [int(each[:3]) for each in answer.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [200, 404] * 25 + [200]


async def test_a_trailer_without_end_is_cut_off_and_means_nothing(server: RunningServer, headers: bytes) -> None:
    trailer = [b"0\r\n", *([b"Authorization: Bearer x\r\n" * 50] * 1000)]
    began = time.monotonic()
    head = post(headers, b"Transfer-Encoding: chunked\r\n", b"2\r\n{}\r\n")
    answer = await ended(server, head, *trailer, within=1)
    assert answer == b"" or problem_in(answer, 431)
    assert time.monotonic() - began < 1 + SLACK


async def test_a_body_that_was_refused_already_is_not_awaited_for_ever(server: RunningServer, headers: bytes) -> None:
    head = post(headers.replace(b"application/json", b"text/plain"), b"Content-Length: 999999\r\n", b"")
    problem = problem_of_first(await ended(server, head, *([b"a"] * 400), pause=0.05, within=3))
    assert problem["status"] == 415


def problem_of_first(answer: bytes) -> dict[str, object]:
    assert answer.count(b"HTTP/1.1 ") == 1
    found: dict[str, object] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return found


async def test_whoever_takes_nothing_of_an_answer_is_let_go(server: RunningServer) -> None:
    """Some tens of answers of half a megabyte do not fit into what the kernel holds for a connection."""
    asked = b"GET /openapi.json HTTP/1.1\r\n" + HOST + b"\r\n"
    async with AsyncExitStack() as stack:
        peers = [await stack.enter_async_context(connection(server)) for _ in range(5)]
        for peer in peers:
            peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await peer.send(asked * 100)
        for _ in range(200):
            if not held_by(server):
                return
            await asyncio.sleep(0.05)
    pytest.fail(f"{held_by(server)} connections are still held")


def held_by(server: RunningServer) -> int:
    """Connections of clients that a server holds."""
    found = psutil.Process(server.process.pid).net_connections("tcp")
    return sum(each.status == "ESTABLISHED" and each.laddr.port == server.port for each in found)


async def test_more_connections_than_are_held_shut_nobody_out(server: RunningServer) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(MOST_CONNECTIONS + 100):
            await stack.enter_async_context(connection(server))
        held = psutil.Process(server.process.pid).num_fds()
        async with httpx.AsyncClient(base_url=server.url) as client:
            assert (await client.get("/healthz")).status_code == 200
    assert held < MOST_CONNECTIONS + 100


async def test_clients_that_go_away_in_the_middle_of_a_body_leave_nothing_behind(
    server: RunningServer, gateway: Gateway, headers: bytes
) -> None:
    content = body(a_report())
    length = b"Content-Length: %d\r\n" % len(content)
    whole = b"POST /v1/reports HTTP/1.1\r\n" + headers + length + b"\r\n" + content
    cuts = range(len(whole) - len(content) - 20, len(whole), len(content) // 60)

    async def go_away(cut: int) -> None:
        async with connection(server) as peer:
            await peer.send(whole[:cut])
            peer.writer.transport.abort()

    for _ in range(4):
        await asyncio.gather(*(go_away(cut) for cut in cuts))
    async with connected(gateway.engine) as held:
        for _ in range(100):
            left = await held.fetchval(_LEFT)
            if not left:
                break
            await asyncio.sleep(0.05)
        assert left == 0
        assert await held.fetchval("SELECT count(*) FROM reports") == 0
    answer = await ended(server, whole.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1), within=2)
    assert answer.startswith(b"HTTP/1.1 201")


_LEFT = """
SELECT count(*) FROM pg_stat_activity
 WHERE datname = current_database() AND state <> 'idle' AND pid <> pg_backend_pid()
"""
