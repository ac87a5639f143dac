"""Show a report whole: its head, its rows as they were pushed, and what happened to it."""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
import zstandard

from gateway.db.reading import KeptEvent, KeptReport, KeptRow, WrittenRow, find_events, find_payload, find_rows
from gateway.domain.catalogue import Catalogue
from gateway.domain.exact import encode
from gateway.domain.form import Form
from gateway.domain.form_document import Type
from gateway.domain.report import Status
from gateway.errors import Language
from gateway.flow.unpack import JSON, rows_sent


def cells_shown(form: Form, figures: Sequence[Any], texts: Sequence[str | None] | None) -> list[object]:
    """The value of each indicator, as JSON shows it: integers, exact decimals, true or false, texts."""
    numbers = [
        kept if kept is None or cast is None else cast(kept)
        for cast, kept in zip(form.number_casts, figures, strict=True)
    ]
    if not form.text_positions:
        return numbers
    number, text = iter(numbers), iter(texts or ())
    return [next(text) if each.type is Type.text else next(number) for each in form.indicators]


def row_shown(form: Form, row: KeptRow) -> dict[str, object]:
    """A row with breakdown codes and figures side by side; blanks are null."""
    return dict(zip(form.names, [*row.codes, *cells_shown(form, row.figures, row.texts)], strict=True))


def row_written(form: Form, row: WrittenRow) -> bytes:
    """The same row as JSON. Numbers stay as they are written where all are numbers: JSON writes them so, too."""
    if not form.has_only_numbers:
        return encode(row_shown(form, row.read()))
    numbers = row.figures[1:-1].replace("NULL", "null").split(",")
    if "." in row.figures:  # as an integer may have been pushed
        casts = zip(numbers, form.number_casts, strict=True)
        numbers = [number if cast is None else number.partition(".")[0] for number, cast in casts]
    codes = [encode(code).decode() for code in row.codes]
    return (form.row_pattern % (*codes, *numbers)).encode()


def decompress(body: bytes) -> bytes:
    """A kept body as it was sent."""
    return zstandard.ZstdDecompressor().decompress(body)


async def report_shown(
    connection: Any, kept: KeptReport, catalogue: Catalogue, language: Language
) -> dict[str, object]:
    """What ``GET /v1/reports/{id}`` answers."""
    events = (await find_events(connection, [kept.head.id]))[kept.head.id]
    return head_shown(kept, language) | {"ended": ended(events), "rows": await _rows(connection, kept, catalogue)}


def head_shown(kept: KeptReport, language: Language) -> dict[str, object]:
    """A report without what became of it and without its rows."""
    return kept.head.shown(language) | {
        "nil": kept.nil,
        "reason": kept.reason,
        "explanations": kept.explanations,
    }


def rows_shown(kept: KeptReport, rows: Sequence[KeptRow], catalogue: Catalogue) -> list[object]:
    """The rows of an accepted report. Raises ``LookupError`` for one of a form that the catalogue does not have."""
    form = _form_of(kept, catalogue)
    return [row_shown(form, row) for row in rows]


def rows_written(kept: KeptReport, rows: Sequence[WrittenRow], catalogue: Catalogue) -> msgspec.Raw:
    """The same as JSON."""
    form = _form_of(kept, catalogue)
    return msgspec.Raw(b"[" + b",".join([row_written(form, row) for row in rows]) + b"]")


def _form_of(kept: KeptReport, catalogue: Catalogue) -> Form:
    head = kept.head
    form = catalogue.form_version(head.form, head.form_version)
    if form is None:
        raise LookupError(f"form {head.form} version {head.form_version} is not in the catalogue")
    return form


def ended(events: list[KeptEvent]) -> dict[str, object] | None:
    """When, how and why a report was returned or withdrawn; the last of those counts."""
    last = [each for each in events if each.event in {"returned", "withdrawn"}][-1:]
    return {"event": last[0].event, "at": last[0].at, "reason": last[0].reason} if last else None


async def _rows(connection: Any, kept: KeptReport, catalogue: Catalogue) -> list[object]:
    if kept.head.status is not Status.rejected:
        return rows_shown(kept, await find_rows(connection, kept), catalogue)
    payload = await find_payload(connection, kept)
    if payload is None:
        return []
    form = _form_of(kept, catalogue)
    body = decompress(payload[1])
    if payload[0] == JSON:
        return rows_sent(JSON, body, None, form, catalogue)
    return await asyncio.to_thread(rows_sent, payload[0], body, kept.head.part, form, catalogue)
