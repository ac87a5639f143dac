"""Reports as files of other notations than JSON, and pushing them."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import httpx

from factories import a_report
from gateway.formats.xml import DECLARATION, element, escaped, start

CSV = "text/csv"


def a_csv(
    rows: Sequence[Mapping[str, object]], delimiter: str = ",", bom: bool = False, end: str = "\r\n", **said: str
) -> bytes:
    """Rows as a CSV file; ``said`` are columns that say the same in every row."""
    names = [*said, *dict.fromkeys(name for row in rows for name in row)]
    sheet = io.StringIO()
    writer = csv.writer(sheet, delimiter=delimiter, lineterminator=end)
    writer.writerow(names)
    writer.writerows([written((said | dict(row)).get(name)) for name in names] for row in rows)
    return (b"\xef\xbb\xbf" if bom else b"") + sheet.getvalue().encode()


def written(value: object) -> object:
    """A cell as CSV and XML write it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:f}" if isinstance(value, Decimal) else value


def envelope(document: Mapping[str, object] | None = None, **changes: object) -> dict[str, Any]:
    """What is said of a report beside its rows, as parameters."""
    said = {name: value for name, value in (document or a_report()).items() if name != "rows"} | changes
    return {name: value for name, value in said.items() if value is not None}


async def push_file(
    client: httpx.AsyncClient,
    content: bytes,
    media_type: str,
    key: str | None = None,
    to: str = "",
    headers: Iterable[tuple[str, str]] = (),
    **parameters: object,
) -> httpx.Response:
    """Push a file, with what it does not say as parameters."""
    given = {"Content-Type": media_type, "Accept-Language": "en", **dict(headers)}
    if key is not None:
        given["Idempotency-Key"] = key
    asked = {name: str(value) for name, value in parameters.items() if value is not None}
    return await client.post(f"/v1/reports{to}", content=content, headers=given, params=asked)


ADX = "application/adx+xml"
ADX_NAMESPACE = "urn:ihe:qrph:adx:2015"


def a_group(
    rows: Sequence[Mapping[str, object]],
    breakdowns: Sequence[str] = ("sector",),
    texts: Sequence[str] = (),
    **said: str,
) -> str:
    """A group of ADX; ``said`` are its attributes."""
    lines = [start("group", said)]
    for row in rows:
        codes = {name: str(row[name]) for name in breakdowns if row.get(name) is not None}
        for name, value in row.items():
            if name in breakdowns or value is None:
                continue
            given = {"dataElement": name, "value": "0" if name in texts else str(written(value))} | codes
            note = f"<annotation>{escaped(str(value))}</annotation>" if name in texts else ""
            lines.append(element("dataValue", given, note))
    return "".join([*lines, "</group>"])


def an_adx(*groups: str) -> bytes:
    inner = "".join(groups)
    return f'{DECLARATION}<adx xmlns="{ADX_NAMESPACE}" exported="2026-09-20T00:00:00Z">{inner}</adx>'.encode()
