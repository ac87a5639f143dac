"""A TCP link that can be slow, silent, cut or refused, and healed again: between any two parties on loopback."""

import asyncio
import random
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Self

Address = tuple[str, int] | Path
"""Where the server listens: a host and port, or a unix socket."""
_CHUNK = 64 * 1024


class Way(StrEnum):
    """In which direction something goes."""

    to_server = "to server"
    to_client = "to client"


class Cut(Exception):
    """This connection is to end here, on both sides, by a reset."""


@dataclass(slots=True)
class _Pipe:
    """One direction of a connection."""

    way: Way
    source: asyncio.StreamReader
    sink: asyncio.StreamWriter
    carried: int = 0


@dataclass(slots=True)
class _Faults:
    latency: float = 0
    jitter: float = 0
    rate: float | None = None
    longest: dict[Way, int] = field(default_factory=dict)


class Link:
    """A link to a server; clients connect to ``port`` of loopback while the ``async with`` block runs.

    What goes wrong is set while it is in use, and concerns the open connections as well as the new ones; chance is
    drawn from ``seed``.
    """

    def __init__(self, server: Address, seed: int = 0) -> None:
        self.server = server
        self.port = 0
        self.accepted = 0
        """How many connections were accepted."""
        self.carried: Counter[Way] = Counter()
        """How many bytes were handed over, by direction."""
        self._random = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
        self._faults = _Faults()
        self._heard = {way: asyncio.Event() for way in Way}
        self._listening: asyncio.Server | None = None
        self._open: dict[asyncio.Task[None], tuple[asyncio.StreamWriter, ...]] = {}
        self._reserved = socket.socket()

    async def __aenter__(self) -> Self:
        # Bound but never listening: keeps the port ours, and connections refused, while the link refuses them.
        self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reserved.bind(("127.0.0.1", 0))
        self.port = self._reserved.getsockname()[1]
        await self.heal()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop_listening()
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        self._reserved.close()

    @property
    def open(self) -> int:
        """How many connections are open now."""
        return len(self._open)

    def slow(self, latency: float = 0, jitter: float = 0, rate: float | None = None) -> None:
        """Every byte takes ``latency`` seconds, more or less by up to ``jitter``; at most ``rate`` bytes a second."""
        self._faults.latency, self._faults.jitter, self._faults.rate = latency, jitter, rate

    def silence(self, *ways: Way) -> None:
        """Hand nothing over in these directions (in both, if none is named), not even that a party is gone."""
        for way in ways or Way:
            self._heard[way].clear()

    def cut_after(self, count: int, way: Way) -> None:
        """Reset each connection once so many bytes have been handed over in a direction."""
        self._faults.longest[way] = count

    def refuse(self) -> None:
        """Refuse new connections; the open ones stay."""
        self._stop_listening()

    def reset(self) -> None:
        """End every open connection by a reset."""
        for task, writers in self._open.items():
            for writer in writers:
                _reset(writer)
            task.cancel()

    async def heal(self) -> None:
        """Everything is well from now on; what a silence kept back is handed over."""
        self._faults = _Faults()
        for heard in self._heard.values():
            heard.set()
        if self._listening is None:
            await self._listen()

    async def _listen(self) -> None:
        listening = socket.socket(proto=socket.IPPROTO_TCP)  # named, or asyncio leaves Nagle's delay on
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", self.port))
        self._listening = await asyncio.start_server(self._accept, sock=listening, limit=_CHUNK, backlog=1024)

    def _stop_listening(self) -> None:
        if self._listening is not None:
            self._listening.close()
            self._listening = None

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.create_task(self._serve(reader, writer))
        self._open[task] = (writer,)
        task.add_done_callback(self._open.pop)

    async def _serve(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        writers: tuple[asyncio.StreamWriter, ...] = (client,)
        try:
            answers, server = await self._connect()
            writers = (client, server)
            task = asyncio.current_task()
            assert task is not None
            self._open[task] = writers
            for writer in writers:
                writer.transport.set_write_buffer_limits(0)  # drained is handed to the kernel
            relay = self._relay()
            async with asyncio.TaskGroup() as pipes:
                pipes.create_task(self._carry(_Pipe(Way.to_server, reader, server), relay, writers))
                pipes.create_task(self._carry(_Pipe(Way.to_client, answers, client), relay, writers))
        except* (OSError, Cut):
            for writer in writers:
                _reset(writer)
        finally:
            for writer in writers:
                writer.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self.server, Path):
            return await asyncio.open_unix_connection(self.server, limit=_CHUNK)
        return await asyncio.open_connection(*self.server, limit=_CHUNK)

    def _relay(self) -> "Relay":
        """What a new connection's bytes go through."""
        return Relay()

    async def _carry(self, pipe: _Pipe, relay: "Relay", writers: tuple[asyncio.StreamWriter, ...]) -> None:
        """Carry one direction of a connection to its end, and let the other side know of it."""
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(64)
        reading = asyncio.create_task(self._read(pipe, waiting))
        sinks = dict(zip((Way.to_client, Way.to_server), writers, strict=True))
        loop = asyncio.get_running_loop()
        try:
            data = b"-"
            while data:
                due, data = await waiting.get()
                await asyncio.sleep(max(0, due - loop.time()))
                async for way, part in relay.through(pipe.way, data):
                    await self._heard[way].wait()
                    await self._write(sinks[way], part, pipe)
            await self._heard[pipe.way].wait()
            pipe.sink.write_eof()
        except OSError:
            pass  # who does not read any more can still have said something: the other direction goes on
        finally:
            reading.cancel()

    async def _read(self, pipe: _Pipe, waiting: asyncio.Queue[tuple[float, bytes]]) -> None:
        """Read a direction and say when each part of it is due; its end is an empty part."""
        loop = asyncio.get_running_loop()
        due, data = loop.time(), b"-"
        while data:
            data = b""
            with suppress(OSError):
                data = await pipe.source.read(_CHUNK)
            faults = self._faults
            delay = faults.latency + self._random.uniform(-1, 1) * faults.jitter
            due = max(due, loop.time() + max(0, delay))
            parts = [data]
            if faults.rate is not None:  # as it would trickle in
                size = max(1, int(faults.rate / 20))
                parts = [data[start : start + size] for start in range(0, len(data), size)] or [b""]
            for part in parts:
                due += len(part) / faults.rate if faults.rate else 0
                await waiting.put((due, part))

    async def _write(self, sink: asyncio.StreamWriter, data: bytes, pipe: _Pipe) -> None:
        longest = self._faults.longest.get(pipe.way)
        kept = data if longest is None else data[: max(0, longest - pipe.carried)]
        sink.write(kept)
        await sink.drain()
        pipe.carried += len(kept)
        self.carried[pipe.way] += len(kept)
        if longest is not None and pipe.carried >= longest:
            raise Cut


class Relay:
    """What the bytes of one connection go through: here, nothing happens to them."""

    async def through(self, way: Way, data: bytes) -> AsyncIterator[tuple[Way, bytes]]:
        """What to hand over in which direction when ``data`` came (empty: its end). ``Cut`` ends the connection."""
        yield way, data


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection so that the other party's next word is answered by RST."""
    connection = writer.get_extra_info("socket")
    with suppress(OSError):
        if connection.family != socket.AF_UNIX:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
