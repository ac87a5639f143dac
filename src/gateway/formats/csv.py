"""CSV (RFC 4180, UTF-8): a header, then a line a row; a blank is an empty field.

A text that a spreadsheet would take for a formula comes after an apostrophe (OWASP, CSV Injection): it was written by
whoever sent it, and is opened by somebody else. Figures are figures, and begin as they do; exact texts are in JSON.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal

from gateway.errors import Text
from gateway.formats.tables import MAX_COLUMNS, Table, header
from gateway.formats.upload import Bounds, Faults, FiledReport, malformed

DELIMITERS = ",;\t"
"""What may stand between fields: Excel takes the list separator of the country, a semicolon in Viet Nam."""
_LONGEST_FIELD = 100_000
"""Characters; one of a report has at most 4,000."""
_MOST_DELIMITERS = 20_000
"""Commas and the like in one record, those in texts included."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def _text(value: object) -> object:
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) else value
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:f}" if isinstance(value, Decimal) else value


def csv_fields(values: Iterable[object]) -> str:
    """Fields of a longer line side by side, in quotes where they have to be."""
    sheet = io.StringIO()
    csv.writer(sheet).writerow([*map(_text, values), ""])
    return sheet.getvalue().removesuffix(",\r\n")


def csv_lines(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> bytes:
    """Rows as lines, each field in the order of the columns."""
    sheet = io.StringIO()
    csv.writer(sheet).writerows([_text(row.get(name)) for name in columns] for row in rows)
    return sheet.getvalue().encode()


def csv_header(columns: Sequence[str]) -> bytes:
    """The first line: the columns' names."""
    sheet = io.StringIO()
    csv.writer(sheet).writerow(columns)
    return sheet.getvalue().encode()


class CsvSpelling:
    """Places in a CSV file, as editors count lines; columns are fields."""

    def line(self, line: int) -> Text:
        return Text(f"dòng {line}", f"line {line}")

    def cell(self, line: int, column: int) -> Text:
        return Text(f"dòng {line}, cột {column}", f"line {line}, column {column}")


SPELL = CsvSpelling()


def read_csv(body: bytes) -> list[FiledReport]:
    """The reports of a CSV file. Raises ``MalformedRequest``, ``ContentTooLarge``."""
    records = csv_records(body)
    line, names = next(records, (1, []))
    if not names:
        raise malformed(_NO_HEADER)
    columns = header(dict(enumerate(names, start=1)), line, SPELL)
    table, faults = Table(columns, SPELL), Faults()
    for line, fields in records:
        if is_even(line, fields, len(names), faults):
            table.add(line, {n: field for n, field in enumerate(fields, start=1) if field}, faults)
    faults.settle()
    return table.reports


def is_even(line: int, fields: Sequence[str], expected: int, faults: Faults) -> bool:
    """Whether a record has as many fields as the header, up to blanks at its end; notes a fault if not."""
    if len(fields) == expected:
        return True
    if len(fields) > expected and not any(fields[expected:]):
        del fields[expected:]  # type: ignore[attr-defined]
        return True
    faults.add(
        SPELL.line(line),
        Text(
            f"Có {len(fields)} cột, dòng tiêu đề có {expected}. Nếu số thập phân viết bằng dấu phẩy, hãy đổi thành "
            "dấu chấm (12.5).",
            f"There are {len(fields)} fields, the header has {expected}. If a decimal is written with a comma, write "
            "it with a point (12.5).",
        ),
    )
    return False


def csv_records(body: bytes) -> Iterator[tuple[int, list[str]]]:
    """The records of a CSV file that are not blank, each with the line on which it begins, the header first.

    Raises ``MalformedRequest`` where it is no CSV, ``ContentTooLarge`` for too many columns.
    """
    text = _decoded(body)
    first = re.split(r"[\r\n]", text.lstrip("\r\n"), maxsplit=1)[0]
    if sum(first.count(each) for each in DELIMITERS) > MAX_COLUMNS:
        raise malformed(_TOO_WIDE, SPELL.line(1))
    used = [each for each in DELIMITERS if each in first]
    if len(used) > 1:
        raise malformed(_TWO_DELIMITERS, SPELL.line(1))
    lines = _Lines(text, used[0] if used else ",")
    records = csv.reader(lines, delimiter=lines.delimiter, strict=True)
    bounds, width = Bounds(), 0
    while True:
        begun = records.line_num + 1
        try:
            fields = next(records)
        except StopIteration:
            return
        except csv.Error:
            raise malformed(_UNBALANCED, SPELL.line(begun)) from None
        lines.held = 0
        if not any(fields):
            bounds.row()
            continue
        if any(len(field) > _LONGEST_FIELD for field in fields):
            raise malformed(_TOO_LONG, SPELL.line(begun))
        if not width:
            while fields and not fields[-1]:
                fields.pop()
            width = len(fields)
        yield begun, fields


class _Lines:
    """Lines as the reader of records takes them; it stops a record that goes on and on."""

    def __init__(self, text: str, delimiter: str) -> None:
        self._source, self.delimiter, self.held = io.StringIO(text, newline=""), delimiter, 0
        self._number = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._source)
        self._number += 1
        self.held += line.count(self.delimiter)
        if self.held > _MOST_DELIMITERS:
            raise malformed(_TOO_WIDE, SPELL.line(self._number))
        return line


def _decoded(body: bytes) -> str:
    """The text of a file, without the mark that spreadsheets put in front."""
    if body.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise malformed(_UTF_16)
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise malformed(_NOT_UTF_8, SPELL.line(body[: error.start].count(b"\n") + 1)) from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise malformed(Text("Tệp chứa ký tự NUL.", "The file contains a NUL character."), SPELL.line(line))
    return text


_NO_HEADER = Text(
    "Tệp không có dòng tiêu đề; xem GET /v1/forms/{code}/template.csv.",
    "The file has no header; see GET /v1/forms/{code}/template.csv.",
)
_TWO_DELIMITERS = Text(
    "Dòng tiêu đề dùng hơn một dấu phân cách: chỉ dùng dấu phẩy, hoặc chấm phẩy, hoặc tab.",
    "The header has more than one kind of delimiter: use commas, or semicolons, or tabs.",
)
_UTF_16 = Text(
    "Tệp là UTF-16: hãy lưu dạng 'CSV UTF-8 (Comma delimited)'.",
    "The file is UTF-16: save it as 'CSV UTF-8 (Comma delimited)'.",
)
_NOT_UTF_8 = Text(
    "Tệp không phải UTF-8: hãy lưu dạng 'CSV UTF-8 (Comma delimited)'.",
    "The file is not UTF-8: save it as 'CSV UTF-8 (Comma delimited)'.",
)
_UNBALANCED = Text(
    "Dấu nháy kép không khớp, hoặc đứng sai chỗ, trong bản ghi bắt đầu ở dòng này.",
    "A quotation mark is missing or out of place in the record that begins here.",
)
_TOO_WIDE = Text("Quá nhiều cột.", "There are too many columns.")
_TOO_LONG = Text("Một ô quá dài.", "A field is too long.")
