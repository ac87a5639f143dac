"""Batches: many reports in one body, a line each, committed in chunks, answered in order."""

import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TypeAlias

from gateway.api.problems import problem
from gateway.domain.exact import encode
from gateway.errors import ContentTooLarge, GatewayError, Language, Text
from gateway.flow.judge import Answer
from gateway.flow.prepare import Push
from gateway.flow.receive import MAX_TOGETHER, Intake, Reply

MOST_LINES = 10_000
_CHUNK_BYTES = 4 * 1024 * 1024
Allow: TypeAlias = Callable[[int], Awaitable[tuple[int, GatewayError | None]]]
"""How many of some reports the sender may still send, and what the others are refused with."""
_SPOOL_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a batch, counted from 1; ``body`` is None where the line was too long to be taken."""

    number: int
    body: bytes | None


async def lines(pieces: AsyncIterator[bytes], most: int) -> AsyncGenerator[Line, None]:
    """The lines of a body, without their ends and without blank ones; at most ``most`` bytes of one are held."""
    number, held, too_long = 0, bytearray(), False
    async for piece in pieces:
        start = 0
        while (end := piece.find(b"\n", start)) >= 0:
            number += 1
            line = _line(number, held + piece[start:end], too_long, most)
            if line.body is None or line.body.strip():
                yield line
            held, too_long, start = bytearray(), False, end + 1
        held += piece[start:]
        if len(held) > most + 1:
            held, too_long = bytearray(), True
    if held.strip() or too_long:
        yield _line(number + 1, held, too_long, most)


def _line(number: int, held: bytearray, too_long: bool, most: int) -> Line:
    body = bytes(held).removesuffix(b"\r")
    return Line(number, None if too_long or len(body) > most else body)


class Spool:
    """Answers kept until the whole body has been read: in memory, then on disk."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES)  # noqa: SIM115 - closed by ``read``

    def add(self, line: int, reply: Reply, language: Language) -> None:
        body = reply.body if isinstance(reply, Answer) else encode(problem(reply, language))
        self._file.write(b'{"line":%d,' % line + body[1:] + b"\n")

    def read(self) -> Iterator[bytes]:
        with self._file as file:
            file.seek(0)
            while piece := file.read(256 * 1024):
                yield piece

    def close(self) -> None:
        self._file.close()


async def receive_batch(intake: Intake, source: AsyncIterator[Line], pattern: Push, allow: Allow) -> Spool:
    """Receive every line as a report of its own, in the way of ``pattern``; line n's key gets ``/n``."""
    spool = Spool()
    try:
        waiting: list[Line] = []
        size = count = 0
        async for line in source:
            count += 1
            if count > MOST_LINES:
                await _receive(intake, waiting, pattern, spool, allow)
                spool.add(line.number, ContentTooLarge(_TOO_MANY), pattern.language)
                return spool
            waiting.append(line)
            size += len(line.body or b"")
            if len(waiting) >= MAX_TOGETHER or size >= _CHUNK_BYTES:
                await _receive(intake, waiting, pattern, spool, allow)
                waiting, size = [], 0
        await _receive(intake, waiting, pattern, spool, allow)
    except BaseException:
        with suppress(OSError):
            spool.close()
        raise
    return spool


async def _receive(intake: Intake, waiting: list[Line], pattern: Push, spool: Spool, allow: Allow) -> None:
    pushes = [
        replace(pattern, body=line.body, key=f"{pattern.key}/{line.number}" if pattern.key else None)
        for line in waiting
        if line.body is not None
    ]
    try:
        allowed, refusal = await allow(len(pushes))
        taken = await intake.receive_all(pushes[:allowed]) if allowed else []
        replies: Iterator[Reply] = iter([*taken, *([refusal] * (len(pushes) - allowed) if refusal else [])])
    except GatewayError as error:
        replies = iter([error] * len(pushes))
    for line in waiting:
        reply = ContentTooLarge(_TOO_LONG) if line.body is None else next(replies)
        spool.add(line.number, reply, pattern.language)


_TOO_MANY = Text(
    f"Mỗi lô tối đa {MOST_LINES} dòng; từ dòng này trở đi không được nhận.",
    f"A batch holds at most {MOST_LINES} lines; this line and those after it were not taken.",
)
_TOO_LONG = Text("Dòng quá dài.", "The line is too long.")
