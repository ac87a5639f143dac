"""Parquet (Apache Arrow's table format): rows in groups, one after the other, each column of the type of its indicator.

A file without its last lines is no Parquet file: one that broke off never looks whole.
"""

import asyncio
import io
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.domain.observation import Line
from gateway.formats.observations import in_pieces, parquet_columns

if TYPE_CHECKING:
    import pyarrow as pa

_GROUP_ROWS = 20_000
_DIGITS = 38

Row = Mapping[str, object]


class Kind(NamedTuple):
    """What a column holds: ``text``, ``boolean``, ``integer`` (64 bits), or ``number`` with so many decimals.

    A ``value`` is of any indicator: a column for numbers, in which true and false are 1 and 0, and one for texts.
    """

    name: str
    scale: int = 0


TEXT, BOOLEAN, INTEGER, VALUE = Kind("text"), Kind("boolean"), Kind("integer"), Kind("value", 10)


def number(scale: int) -> Kind:
    """Exact numbers of up to 38 digits, so many of them decimals."""
    return Kind("number", scale)


async def parquet(
    columns: Sequence[str], kinds: Mapping[str, Kind], as_of: str, rows: AsyncIterator[Row]
) -> AsyncGenerator[bytes, None]:
    """The file, piece by piece; no more than one group of rows is held. A column without a kind is of texts.

    Raises ``ArrowInvalid`` for a figure of more than 38 digits.
    """
    file = _File(_kinds(columns, kinds), as_of)
    group: list[Row] = []
    async for row in rows:
        group.append(row)
        if len(group) == _GROUP_ROWS:
            yield await asyncio.to_thread(file.write_rows, group)
            group = []
    if group:
        yield await asyncio.to_thread(file.write_rows, group)
    yield await asyncio.to_thread(file.end)


async def parquet_lines(
    columns: Sequence[str], kinds: Mapping[str, Kind], as_of: str, lines: AsyncIterator[Sequence[Line]]
) -> AsyncGenerator[bytes, None]:
    """The file of observations, likewise; a group is of about as many, whole lines.

    Raises ``ArrowInvalid`` for a figure of more than 38 digits.
    """
    file = _File(_kinds(columns, kinds), as_of)
    async for group in in_pieces(lines, _GROUP_ROWS):
        yield await asyncio.to_thread(file.write_lines, group)
    yield await asyncio.to_thread(file.end)


def _kinds(columns: Sequence[str], kinds: Mapping[str, Kind]) -> list[tuple[str, Kind]]:
    return [(name, kinds.get(name, TEXT)) for name in columns]


class _File:
    """A Parquet file being written; what was written so far is handed over each time."""

    def __init__(self, columns: Sequence[tuple[str, Kind]], as_of: str) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._columns = columns
        self._buffer = io.BytesIO()
        fields = [field for name, kind in columns for field in _fields(name, kind)]
        self._schema = pa.schema(fields, metadata={"as_of": as_of})
        self._writer = pq.ParquetWriter(pa.PythonFile(self._buffer, mode="w"), self._schema, compression="zstd")

    def write_rows(self, rows: Sequence[Row]) -> bytes:
        import pyarrow as pa

        return self._write(
            [
                pa.array(values, self._schema.field(place).type)
                for place, values in enumerate(
                    values for name, kind in self._columns for values in _values([row[name] for row in rows], kind)
                )
            ]
        )

    def write_lines(self, lines: Sequence[Line]) -> bytes:
        return self._write(parquet_columns(lines, self._schema))

    def end(self) -> bytes:
        self._writer.close()
        return self._taken()

    def _write(self, arrays: "list[pa.Array]") -> bytes:
        import pyarrow as pa

        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema))
        return self._taken()

    def _taken(self) -> bytes:
        taken = self._buffer.getvalue()
        self._buffer.seek(0)
        self._buffer.truncate()
        return taken


def _fields(name: str, kind: Kind) -> "list[pa.Field]":
    import pyarrow as pa

    match kind.name:
        case "value":
            return [pa.field(name, pa.decimal128(_DIGITS, kind.scale)), pa.field("text", pa.string())]
        case "number":
            return [pa.field(name, pa.decimal128(_DIGITS, kind.scale))]
        case "boolean":
            return [pa.field(name, pa.bool_())]
        case "integer":
            return [pa.field(name, pa.int64())]
        case _:
            return [pa.field(name, pa.string())]


def _values(values: Sequence[Any], kind: Kind) -> list[list[Any]]:
    match kind.name:
        case "value":
            numbers = [None if isinstance(each, str) or each is None else Decimal(each) for each in values]
            return [numbers, [each if isinstance(each, str) else None for each in values]]
        case "number":
            return [[None if each is None else Decimal(each) for each in values]]
        case "text":
            return [[None if each is None else str(each) for each in values]]
        case _:
            return [list(values)]
