"""Connections that are kept: used again when the exchange came to its end, and never otherwise."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import h11
import pytest

from answering import Upstream, answering, upstream
from gateway.connectors import connections
from gateway.connectors.network import CheckedNetwork
from gateway.connectors.transport import NoReply, Reply, Request, exchange, open_client

OK = answering("200 OK", body=b"taken")


@asynccontextmanager
async def client_of(system: Upstream) -> AsyncIterator[connections.Connections]:
    client = open_client(system.url, allow_private_addresses=True)
    try:
        yield client
    finally:
        await client.aclose()


async def ask(
    client: connections.Connections, system: Upstream, seconds: float = 5.0, most: int = 1000
) -> Reply | NoReply:
    return await exchange(client, Request(system.url, {}, b"{}"), deadline_seconds=seconds, max_reply_bytes=most)


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The ports to which connections were opened."""
    opened: list[int] = []
    honest = CheckedNetwork.connect_tcp

    async def connect_tcp(self: CheckedNetwork, host: str, port: int, *given: Any) -> object:
        opened.append(port)
        return await honest(self, host, port, *given)

    monkeypatch.setattr(CheckedNetwork, "connect_tcp", connect_tcp)
    return opened


async def test_exchanges_one_after_another_share_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = counted(monkeypatch)
    async with upstream(OK) as system, client_of(system) as client:
        for _ in range(5):
            assert isinstance(await ask(client, system), Reply)
    assert len(opened) == 1


async def test_exchanges_at_once_each_have_their_own_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = counted(monkeypatch)
    async with upstream(OK) as system, client_of(system) as client:
        found = await asyncio.gather(*(ask(client, system) for _ in range(5)))
        assert all(isinstance(each, Reply) for each in found)
        await asyncio.gather(*(ask(client, system) for _ in range(5)))
    assert len(opened) == 5


async def test_a_connection_that_the_upstream_closed_meanwhile_is_not_used_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened = counted(monkeypatch)

    async def once(writer: asyncio.StreamWriter) -> None:
        await OK(writer)
        await writer.drain()
        writer.close()

    async with upstream(once) as system, client_of(system) as client:
        for _ in range(3):
            assert isinstance(await ask(client, system), Reply)
            await asyncio.sleep(0.05)  # for the end of the connection to arrive
    assert len(opened) == 3


async def test_a_late_answer_is_never_taken_for_that_of_the_next_request(monkeypatch: pytest.MonkeyPatch) -> None:
    opened, numbers = counted(monkeypatch), iter(range(10))

    async def late_at_first(writer: asyncio.StreamWriter) -> None:
        number = next(numbers)
        await asyncio.sleep(0.4 if number == 0 else 0)
        await answering("200 OK", body=str(number).encode())(writer)

    async with upstream(late_at_first) as system, client_of(system) as client:
        assert isinstance(await ask(client, system, seconds=0.1), NoReply)
        await asyncio.sleep(0.5)
        second = await ask(client, system)
    assert isinstance(second, Reply)
    assert second.body == b"1"
    assert len(opened) == 2


async def test_an_answer_longer_than_its_length_makes_the_connection_one_of_the_past(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What came too much would otherwise be the beginning of the next answer."""
    opened = counted(monkeypatch)

    async def two_answers(writer: asyncio.StreamWriter) -> None:
        await answering("200 OK", body=b"first")(writer)
        await writer.drain()
        await asyncio.sleep(0.02)
        await answering("500 Internal Server Error", body=b"smuggled")(writer)

    async with upstream(two_answers) as system, client_of(system) as client:
        for _ in range(2):
            found = await ask(client, system)
            assert isinstance(found, Reply)
            assert found.body == b"first"
            await asyncio.sleep(0.1)
    assert len(opened) == 2


async def test_what_has_been_idle_for_too_long_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = counted(monkeypatch)
    monkeypatch.setattr(connections, "_IDLE_SECONDS", 0.0)
    async with upstream(OK) as system, client_of(system) as client:
        for _ in range(2):
            assert isinstance(await ask(client, system), Reply)
            await asyncio.sleep(0.01)
    assert len(opened) == 2


async def test_a_client_that_is_closed_keeps_nothing_open() -> None:
    async with upstream(OK) as system:
        async with client_of(system) as client:
            assert isinstance(await ask(client, system), Reply)
        assert not any(client._idle.values())


async def test_a_body_of_single_bytes_is_cut_long_before_it_is_long() -> None:
    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"1\r\nx\r\n" * 1000)
            await writer.drain()

    async with upstream(endless) as system, client_of(system) as client:
        found = await ask(client, system, most=1024 * 1024)
    assert isinstance(found, Reply)
    assert 1000 <= len(found.body) < 1100


async def test_a_body_is_cut_by_what_it_takes_on_the_wire() -> None:
    """Its chunks have extensions that are longer than what is in them (RFC 9112, 7.1.1)."""

    async def padded(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"1;" + b"x" * 1000 + b"\r\nx\r\n")
            await writer.drain()

    async with upstream(padded) as system, client_of(system) as client:
        found = await ask(client, system, most=32 * 1024)
    assert isinstance(found, Reply)
    assert len(found.body) < 100


async def test_a_body_in_many_parts_is_whole() -> None:
    body = bytes(range(256)) * 400
    chunked = b"".join(b"40\r\n" + body[at : at + 64] + b"\r\n" for at in range(0, len(body), 64)) + b"0\r\n\r\n"

    async def patient(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked)

    async with upstream(patient) as system, client_of(system) as client:
        for _ in range(2):
            found = await ask(client, system, most=1024 * 1024)
            assert isinstance(found, Reply)
            assert found.body == body


async def test_the_loop_serves_others_after_each_few_kilobytes_of_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """What costs most to read is not long: three hundred answers before the answer are 16 KiB."""
    turn, read_in, next_event = 0, Counter[int](), h11.Connection.next_event

    def counted_event(self: h11.Connection) -> Any:
        event = next_event(self)
        read_in[turn] += isinstance(event, h11.InformationalResponse)
        return event

    async def hint(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </later>\r\n\r\n" * 300)
        await OK(writer)

    monkeypatch.setattr(h11.Connection, "next_event", counted_event)
    async with upstream(hint) as system, client_of(system) as client:
        asking = asyncio.create_task(ask(client, system))
        while not asking.done():
            await asyncio.sleep(0)
            turn += 1
    assert isinstance(asking.result(), Reply)
    assert read_in.total() == 300
    assert max(read_in.values()) < 100
