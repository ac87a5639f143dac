"""Upstreams that do their worst, beside one that is well."""

import asyncio
import gzip

from proofs.scenario import Scenario
from proofs.stage import ATTEMPT, Stage
from proofs.upstream import Behaviour, Exchange

_PIECE = b"x" * 65_536
_MOST_GROWTH = 96 * 1024 * 1024
"""Bytes that a worker may grow by, whatever it is answered."""


async def stalls(exchange: Exchange) -> None:
    """Never answers."""
    exchange.note(None)
    await exchange.reader.read()


async def trickles(exchange: Exchange) -> None:
    """Answers one byte a second."""
    exchange.note(None)
    for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}":
        await exchange.write(bytes([byte]))
        await asyncio.sleep(1)


async def floods(exchange: Exchange) -> None:
    """Answers ten gigabytes."""
    exchange.note(200)
    await exchange.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n")
    while True:
        await exchange.write(_PIECE)


async def informs(exchange: Exchange) -> None:
    """Says that it goes on, without end."""
    exchange.note(None)
    while True:
        await exchange.write(b"HTTP/1.1 102 Processing\r\n\r\n" * 20)
        await asyncio.sleep(0.01)


async def bombs(exchange: Exchange) -> None:
    """Answers a gigabyte that is compressed to a megabyte."""
    await exchange.answer(200, _BOMB, "Content-Encoding: gzip")


async def resets(exchange: Exchange) -> None:
    """Ends the connection by a reset."""
    exchange.reset()


async def refuses(exchange: Exchange) -> None:
    """Refuses."""
    await exchange.answer(422, b"{}")


_BOMB = gzip.compress(bytes(256 * 1024 * 1024))
_UNCLEAR = ("ambiguous",)
_WORST: list[tuple[str, Behaviour, tuple[str, ...], tuple[str, ...]]] = [
    ("stalls", stalls, ("pending",), _UNCLEAR),
    ("trickles", trickles, ("pending",), _UNCLEAR),
    ("floods", floods, ("delivered", "pending"), ("delivered",)),
    ("informs", informs, ("pending",), _UNCLEAR),
    ("bombs", bombs, ("delivered", "pending"), ("delivered",)),
    ("resets", resets, ("pending",), _UNCLEAR),
    ("refuses", refuses, ("refused", "pending"), ("refused",)),
]


async def hostile_upstreams(stage: Stage) -> None:
    """One upstream is well; the others stall, trickle, flood, inform, bomb, reset, refuse, or speak no TLS."""
    await stage.serve()
    await stage.upstream("national")
    for name, behave, ends, outcomes in _WORST:
        # What an upstream did its worst with is not made to be well at the end.
        await stage.upstream(name, behave=behave, ends=ends, outcomes=outcomes, concurrency=4)
        stage.wells.discard(name)
    await stage.upstream("untrue", scheme="https", ends=("pending",), outcomes=("unreachable",))
    worker = await stage.work()
    await asyncio.sleep(1.5)
    before = worker.resident
    async with stage.load(senders=3, is_amended=False):
        await asyncio.sleep(4 * ATTEMPT)
    stage.measure("bytes that a worker grew by", worker.resident - before, _MOST_GROWTH)


SCENARIOS = [Scenario("hostile-upstreams", hostile_upstreams, ["takes-silence-for-yes", "reads-without-end"])]
