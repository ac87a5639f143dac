"""Observations as CSV, NDJSON and Parquet: a row of a report at once, so that what its cells share is written once."""

import re
from collections.abc import AsyncIterator, Iterable, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING

from gateway.domain.exact import encode
from gateway.domain.form_document import Type
from gateway.domain.observation import Field, Line
from gateway.formats.csv import csv_fields

if TYPE_CHECKING:
    import pyarrow as pa

_TINY = re.compile(r"-?0\.0{6}\d")
"""What JSON writes with an exponent."""
_REMEMBERED = 4096
"""Of how many different rows of a form it is known how their codes are written."""


async def in_pieces(lines: AsyncIterator[Sequence[Line]], most: int) -> AsyncIterator[list[Line]]:
    """Lines as they come, so many values at once that there are just ``most`` or, by the last line, more."""
    piece: list[Line] = []
    size = 0
    async for some in lines:
        for line in some:
            piece.append(line)
            size += len(line.values)
            if size >= most:
                yield piece
                piece, size = [], 0
    if piece:
        yield piece


class CsvLines:
    """Lines as CSV; equal heads and labels, which follow each other, are put together once."""

    def __init__(self) -> None:
        self._report: object = None
        self._head = self._tail = ""
        self._fields: Sequence[Field] = ()
        self._labels: list[str] = []
        self._texts: list[int] = []

    def written(self, lines: Iterable[Line]) -> bytes:
        """The observations of some lines, one after another."""
        found: list[str] = []
        for line in lines:
            before, after = self._around(line)
            values = self._values(line)
            if line.is_gone:
                found += [f"{before}{label}{after}" for label in self._labels]
            elif None in values:
                told = zip(self._labels, values, strict=True)
                found += [f"{before}{label}{value}{after}" for label, value in told if value is not None]
            else:
                found += [f"{before}{label}{value}{after}" for label, value in zip(self._labels, values, strict=True)]
        return "".join(found).encode()

    def _around(self, line: Line) -> tuple[str, str]:
        if line.report is not self._report and line.report != self._report:
            self._head = csv_fields([line.form, line.form_version, line.agency, line.period])
            self._tail = f",{line.report},{line.revision}\r\n"
        self._report = line.report
        if line.fields is not self._fields:
            self._fields = line.fields
            self._labels = [f",{csv_fields([each.id])}," for each in line.fields]
            self._texts = [place for place, each in enumerate(line.fields) if each.type is Type.text]
        return self._head + _csv_codes(tuple(line.codes)), self._tail

    def _values(self, line: Line) -> Sequence[str | None]:
        if not self._texts:
            return line.values
        values = [*line.values]
        for place in self._texts:
            text = values[place]
            values[place] = None if text is None else csv_fields([text])
        return values


class JsonLines:
    """Lines as NDJSON (one object a line); equal heads and labels, which follow each other, are put together once."""

    def __init__(self) -> None:
        self._report: object = None
        self._head = self._tail = ""
        self._fields: Sequence[Field] = ()
        self._labels: list[str] = []
        self._others: list[int] = []

    def written(self, lines: Iterable[Line]) -> bytes:
        """The observations of some lines, one after another."""
        found: list[str] = []
        for line in lines:
            before, after = self._around(line)
            values = ["null" for _ in line.fields] if line.is_gone else self._values(line)
            told = zip(self._labels, values, strict=True)
            found += [f"{before}{label}{value}{after}" for label, value in told if value is not None]
        return "".join(found).encode()

    def _around(self, line: Line) -> tuple[str, str]:
        if line.report is not self._report and line.report != self._report:
            shared = {"form": line.form, "form_version": line.form_version, "agency": line.agency}
            self._head = _members(shared | {"period": line.period})
            self._tail = f",{_members({'report': line.report, 'revision': line.revision})}}}\n"
        self._report = line.report
        if line.fields is not self._fields:
            self._fields = line.fields
            self._labels = [f',{_members({"indicator": each.id})},"value":' for each in line.fields]
            self._others = [
                place for place, each in enumerate(line.fields) if each.type not in {Type.integer, Type.boolean}
            ]
        return "{" + self._head + _json_codes(tuple(line.breakdowns), tuple(line.codes)), self._tail

    def _values(self, line: Line) -> Sequence[str | None]:
        if not self._others:
            return line.values
        values = [*line.values]
        for place in self._others:
            value = values[place]
            if value is None:
                continue
            if line.fields[place].type is Type.text:
                values[place] = encode(value).decode()
            elif _TINY.match(value):
                values[place] = str(Decimal(value))
        return values


@lru_cache(_REMEMBERED)
def _csv_codes(codes: tuple[str, ...]) -> str:
    return f",{csv_fields(codes)}" if codes else ""


@lru_cache(_REMEMBERED)
def _json_codes(breakdowns: tuple[str, ...], codes: tuple[str, ...]) -> str:
    return f",{_members(dict(zip(breakdowns, codes, strict=True)))}" if codes else ""


def _members(values: dict[str, object]) -> str:
    """The members of an object without its braces."""
    return encode(values)[1:-1].decode()


def parquet_columns(lines: Sequence[Line], schema: "pa.Schema") -> "list[pa.Array]":
    """The observations of lines as columns: the shared fields, the indicator, its value as a number or a text, and the
    report.

    Raises ``ArrowInvalid`` for a figure of more than 38 digits.
    """
    import pyarrow as pa

    told = [[*line.told()] for line in lines]
    of_line = pa.array([number for number, cells in enumerate(told) for _ in cells], pa.int32())
    fields = [field for cells in told for field, _ in cells]
    values = [(field.type, value) for cells in told for field, value in cells]
    numbers = [
        _NUMBERS.get(value, value) if kind is not Type.text and value is not None else None for kind, value in values
    ]
    texts = [value if kind is Type.text else None for kind, value in values]
    codes: list[list[object]] = [[line.codes[n] for line in lines] for n in range(len(lines[0].codes))]
    shared: list[list[object]] = [
        [line.form for line in lines],
        [line.form_version for line in lines],
        [line.agency for line in lines],
        [line.period for line in lines],
        *codes,
    ]
    last: list[list[object]] = [[str(line.report) for line in lines], [line.revision for line in lines]]
    kinds = [each.type for each in schema]

    def repeated(columns: list[list[object]], first: int) -> "list[pa.Array]":
        return [pa.array(column, kinds[first + n]).take(of_line) for n, column in enumerate(columns)]

    place = len(shared)
    return [
        *repeated(shared, 0),
        pa.array([each.id for each in fields], kinds[place]),
        pa.array(numbers, pa.string()).cast(kinds[place + 1]),
        pa.array(texts, kinds[place + 2]),
        *repeated(last, place + 3),
    ]


_NUMBERS = {"true": "1", "false": "0"}
