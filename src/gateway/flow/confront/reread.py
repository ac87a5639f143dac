"""Read the bytes of a report again, as they were read when it was taken: what it says, and its rows. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from gateway.db.confronting import KeptHead
from gateway.db.reading import KeptRow
from gateway.domain.catalogue import Catalogue
from gateway.domain.entry import digest
from gateway.domain.form import Form
from gateway.errors import GatewayError
from gateway.flow.prepare import Prepared, Push, prepare
from gateway.flow.read_rows import read_rows
from gateway.flow.store import is_counted
from gateway.flow.unpack import OF_ONE, READERS, kind_of, read_parameters, unpack

_NOBODY = UUID(int=0)
_ANY_DAY = date(2000, 1, 1)
"""A client of the whole country may name every agency on every day."""


@dataclass(frozen=True, slots=True)
class Reread:
    """What a report's bytes say by the catalogue of then: columns of its row, and its rows as they are kept."""

    says: Mapping[str, object]
    form: Form
    rows: Sequence[KeptRow]


class Rereading:
    """Reads reports again, one after another; of a file with several reports all are read at once."""

    def __init__(self) -> None:
        self._file: tuple[bytes, str, str] | None = None
        self._parts: dict[int | None, Push] = {}

    def read(self, head: KeptHead, media_type: str, body: bytes, catalogue: Catalogue, is_made_here: bool) -> Reread:
        """Raises ``GatewayError`` where the bytes are no report any more."""
        push = Push(body, media_type, _NOBODY, None, "en", query=head.query or "")
        if kind_of(media_type) in READERS:
            push = self._part(push, head)
        if is_made_here:
            push = push.made_of(())
        prepared = prepare(push, catalogue, _ANY_DAY)
        return Reread(_says(prepared, catalogue), prepared.form, list(_rows(prepared, catalogue)))

    def _part(self, push: Push, head: KeptHead) -> Push:
        if head.part is None:
            return unpack(push)[0]
        file = (head.sha256, push.media_type, push.query)
        if file != self._file:
            self._file, self._parts = file, _parts(push)
        if head.part in self._parts:
            return self._parts[head.part]
        asked = {**read_parameters(push.query), "part": str(head.part)}
        return unpack(replace(push, query=urlencode(asked)))[0]


def _parts(push: Push) -> dict[int | None, Push]:
    """All reports of a file, unless what was asked is about one of them, or another cannot be read."""
    try:
        if any(name in read_parameters(push.query) for name in OF_ONE):
            return {}
        return {each.unpacked.part: each for each in unpack(push) if each.unpacked is not None}
    except GatewayError:
        return {}


def _says(prepared: Prepared, catalogue: Catalogue) -> dict[str, object]:
    submission = prepared.submission
    return {
        "agency": prepared.agency,
        "form": prepared.form.code,
        "form_version": prepared.form.version,
        "period": prepared.period.code,
        "period_start": prepared.period.start,
        "period_end": prepared.period.end,
        "kind": submission.kind.value,
        "nil": None if submission.nil is None else submission.nil.value,
        "counted": is_counted(prepared, catalogue),
        "reason": submission.reason,
        "explanations": [each.model_dump(mode="json") for each in submission.explanations or ()],
    }


def _rows(prepared: Prepared, catalogue: Catalogue) -> Iterator[KeptRow]:
    form = prepared.form
    codes = catalogue.codes_of(form, prepared.period.end)
    for row in read_rows(form, prepared.submission.rows, codes, [], is_computed=True):
        figures = [_figure(row.cells[position]) for position in form.number_positions]
        texts = [row.cells[position] for position in form.text_positions] if form.text_positions else None
        yield KeptRow([str(code) for code in row.codes], figures, texts)


def _figure(cell: Any) -> Decimal | None:
    if cell is None:
        return None
    return Decimal(int(cell)) if isinstance(cell, bool) else Decimal(cell)


def rows_fault(read: Reread, kept: Sequence[KeptRow]) -> str | None:
    """In what the rows that are kept differ from those in the bytes; the first place is named."""
    if len(read.rows) != len(kept):
        return f"there are {len(kept)} rows, and by its bytes {len(read.rows)}"
    for number, (expected, found) in enumerate(zip(read.rows, kept, strict=True)):
        if expected == found:
            continue
        if expected.codes != found.codes:
            return f"row {number} is about something else than by its bytes"
        ids = [each.id for each in read.form.indicators]
        for positions, ours, theirs in (
            (read.form.number_positions, expected.figures, found.figures),
            (read.form.text_positions, expected.texts or [], found.texts or []),
        ):
            for place, position in enumerate(positions):
                if place >= len(theirs) or ours[place] != theirs[place]:
                    return f"{ids[position]} of row {number} is not what its bytes say"
        return f"row {number} has more than its bytes say"
    return None


def kept_digest(head: KeptHead, rows: Sequence[KeptRow]) -> str:
    """A hash of what stays of a report once its bytes are erased: its rows, but for texts, and what they are of."""
    figures = [[row.codes, [None if each is None else f"{each.normalize():f}" for each in row.figures]] for row in rows]
    days = [head.period_start.isoformat(), head.period_end.isoformat()]
    return digest({"counted": head.counted, "days": days, "nil": head.nil, "rows": figures})
