"""The link that proofs break: each fault is what it says, and is over when it is healed."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from proofs.faults.link import Link, Way

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say back what was said, until the other is gone."""
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


@asynccontextmanager
async def linked(seed: int = 0) -> AsyncIterator[Link]:
    """A link to a server that echoes."""
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server, Link(server.sockets[0].getsockname()[:2], seed) as link:
        yield link


@asynccontextmanager
async def through(link: Link) -> AsyncIterator[Streams]:
    reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def say(streams: Streams, words: bytes) -> bytes:
    """Send words, and wait for as much to come back."""
    streams[1].write(words)
    return await streams[0].readexactly(len(words))


async def hears(streams: Streams) -> bool:
    """Whether anything comes, for a while."""
    try:
        async with asyncio.timeout(0.1):
            await streams[0].readexactly(1)
    except TimeoutError:
        return False
    return True


async def test_a_link_carries_and_counts_everything() -> None:
    said = bytes(range(256)) * 4096
    async with linked() as link:
        async with through(link) as streams:
            assert await say(streams, said) == said
            assert (link.accepted, link.open) == (1, 1)
        async with through(link) as streams:
            assert await say(streams, b"x") == b"x"
    assert link.carried == {Way.to_server: len(said) + 1, Way.to_client: len(said) + 1}


async def test_a_link_hands_on_that_a_party_has_said_all() -> None:
    async with linked() as link, through(link) as (reader, writer):
        writer.write(b"x")
        writer.write_eof()
        assert await reader.read() == b"x"


async def test_a_unix_socket_can_be_the_server(tmp_path: Path) -> None:
    server = await asyncio.start_unix_server(echo, tmp_path / "socket")
    async with server, Link(tmp_path / "socket") as link, through(link) as streams:
        assert await say(streams, b"x") == b"x"


async def test_a_slow_link_takes_its_time_in_both_directions() -> None:
    async with linked() as link, through(link) as streams:
        link.slow(latency=0.1, jitter=0.02)
        started = time.monotonic()
        await say(streams, b"x")
        assert 0.16 <= time.monotonic() - started < 1
        await link.heal()
        link.slow(rate=100_000)
        started = time.monotonic()
        await say(streams, b"x" * 20_000)
        assert 0.2 <= time.monotonic() - started < 2


async def test_a_reset_link_breaks_the_connection_at_once_and_takes_new_ones() -> None:
    async with linked() as link:
        async with through(link) as streams:
            await say(streams, b"x")
            link.reset()
            with pytest.raises(ConnectionResetError):
                await streams[0].readexactly(1)
        async with through(link) as streams:
            await say(streams, b"x")


@pytest.mark.parametrize("ways", [(), (Way.to_server,), (Way.to_client,)])
async def test_a_silent_link_keeps_the_connection_and_says_nothing_until_it_is_healed(ways: tuple[Way, ...]) -> None:
    async with linked() as link, through(link) as before:
        await say(before, b"x")
        link.silence(*ways)
        async with through(link) as after:
            for streams in (before, after):
                streams[1].write(b"y")
                assert not await hears(streams)
            assert link.carried[Way.to_server] == (3 if ways == (Way.to_client,) else 1)
            await link.heal()
            for streams in (before, after):
                assert await hears(streams)


async def test_a_silent_link_does_not_tell_that_a_party_is_gone() -> None:
    async with linked() as link, through(link) as streams:
        link.silence()
        streams[1].write_eof()
        assert not await hears(streams)
        await link.heal()
        assert await streams[0].read() == b""


@pytest.mark.parametrize("way", Way)
async def test_a_cut_link_breaks_after_so_many_bytes(way: Way) -> None:
    async with linked() as link, through(link) as (reader, writer):
        link.cut_after(5, way)
        writer.write(b"123456789")
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(9)
        assert link.carried[way] == 5


async def test_a_refusing_link_refuses_new_connections_only_and_keeps_its_port() -> None:
    async with linked() as link, through(link) as streams:
        await say(streams, b"x")
        link.refuse()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", link.port)
        await say(streams, b"x")
        await link.heal()
        async with through(link) as new:
            await say(new, b"x")


async def test_a_link_to_nobody_resets() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        address = gone.getsockname()[:2]
    async with Link(address) as link, through(link) as (reader, _):
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1)
