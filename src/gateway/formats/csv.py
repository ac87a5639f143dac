"""CSV (RFC 4180, UTF-8): a header, then a line a row; a blank is an empty field.

A text that a spreadsheet would take for a formula comes after an apostrophe (OWASP, CSV Injection): it was written by
whoever sent it, and is opened by somebody else. Figures are figures, and begin as they do; exact texts are in JSON.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def _text(value: object) -> object:
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) else value
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:f}" if isinstance(value, Decimal) else value


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
