"""Streamed answers: rows as bytes, piece by piece, from a snapshot that is open exactly as long as needed."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass
from typing import Any, Protocol

from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from gateway.api.accept import liked
from gateway.api.freshness import freshness, is_known
from gateway.domain.exact import encode
from gateway.errors import NotAcceptable
from gateway.formats.csv import csv_header, csv_lines
from gateway.formats.parquet import Kind, parquet

JSON, CSV, NDJSON = "application/json", "text/csv", "application/x-ndjson"
PARQUET = "application/vnd.apache.parquet"
FORMATS = (JSON, CSV, NDJSON, PARQUET)
_MEANT = {"*/*": JSON, "application/*": JSON, JSON: JSON, "text/*": CSV, CSV: CSV, NDJSON: NDJSON, PARQUET: PARQUET}
_PIECE_ROWS = 500

TABLES: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            CSV: {"schema": {"type": "string"}},
            NDJSON: {"schema": {"type": "string"}},
            PARQUET: {"schema": {"type": "string", "format": "binary"}},
        }
    },
    304: {"description": "What `If-None-Match` names still holds: no figure's ground has moved."},
}
"""How routes answer whose tables are `Streamed`, for the document."""

Row = Mapping[str, object]


class Body(Protocol):
    """What is streamed: ``as_of`` names the state it comes from, and ``mark`` is equal for equal contents."""

    @property
    def as_of(self) -> str: ...
    @property
    def mark(self) -> bytes: ...
    def written(self, media_type: str, /) -> AsyncGenerator[bytes, None]:
        """It as bytes in a format, piece by piece."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows to be written. ``head`` is what JSON says before them; ``kinds`` are what columns hold that are not of
    texts."""

    head: Row
    as_of: str
    mark: bytes
    columns: list[str]
    kinds: Mapping[str, Kind]
    rows: AsyncIterator[Row]

    def written(self, media_type: str) -> AsyncGenerator[bytes, None]:
        return _written(self, media_type)


class Streamed(StreamingResponse):
    """A body in one of the formats; a failure half-way breaks the connection and never ends it cleanly."""

    def __init__(
        self, request: Request, media_type: str, opens: Callable[[], AbstractAsyncContextManager[Body]]
    ) -> None:
        super().__init__((), media_type=f"{CSV}; charset=utf-8; header=present" if media_type == CSV else media_type)
        self._request, self._format, self._opens = request, media_type, opens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # The snapshot is opened before the first byte, so that a database that is away is still a 503.
        async with self._opens() as body, aclosing(body.written(self._format)) as pieces:
            headers = freshness(body.as_of, body.mark, self._format)
            if is_known(self._request, headers):
                await Response(status_code=304, headers=headers)(scope, receive, send)
                return
            self.headers.update(headers)
            self.body_iterator = pieces
            await super().__call__(scope, receive, send)


def chosen_format(request: Request, offered: Sequence[str] = FORMATS) -> str:
    """The media type to answer in, by ``Accept``; raises ``NotAcceptable`` when it is none of those offered."""
    served = [each for each in liked(request) if _MEANT.get(each.name) in offered]
    if not served:
        raise NotAcceptable(extra={"available": list(offered)})
    return _MEANT[max(served, key=lambda each: each.quality).name]


async def _written(table: Table, media_type: str) -> AsyncGenerator[bytes, None]:
    if media_type == CSV:
        yield csv_header(table.columns)
        async for piece in _pieces(table.rows):
            yield csv_lines(table.columns, piece)
    elif media_type == PARQUET:
        async with aclosing(parquet(table.columns, table.kinds, table.as_of, table.rows)) as pieces:
            async for written in pieces:
                yield written
    elif media_type == NDJSON:
        async for piece in _pieces(table.rows):
            yield b"".join(encode(row) + b"\n" for row in piece)
    else:
        yield encode(table.head)[:-1] + b',"rows":['
        separator = b""
        async for piece in _pieces(table.rows):
            yield separator + b",".join(encode(row) for row in piece)
            separator = b","
        yield b"]}"


async def _pieces(rows: AsyncIterator[Row]) -> AsyncIterator[list[Row]]:
    piece: list[Row] = []
    async for row in rows:
        piece.append(row)
        if len(piece) == _PIECE_ROWS:
            yield piece
            piece = []
    if piece:
        yield piece
