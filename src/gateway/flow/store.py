"""Store: what was decided of a push, as the rows that keep it. Pure; the intake hands them over in one statement."""

import json
from collections.abc import Iterable, Iterator
from datetime import date

import msgspec
import zstandard
from uuid_utils.compat import uuid7

from gateway.db.intake import ROW_SEPARATOR, NewDelivery, NewKey, NewReport
from gateway.db.signatures import KeptSignature
from gateway.domain.catalogue import Catalogue
from gateway.domain.form import Form
from gateway.domain.report import ReportKind
from gateway.flow.judge import Stored, fingerprint
from gateway.flow.prepare import Prepared, ReportKey
from gateway.flow.read_rows import Row

_compress = zstandard.ZstdCompressor(level=3).compress


def new_report(stored: Stored, catalogue: Catalogue) -> NewReport:
    """A decision as it is stored; of a rejected report the rows are only in its bytes."""
    prepared, head = stored.prepared, stored.head
    submission, form, first = prepared.submission, prepared.form, prepared.push.first
    rows = [] if head.revision is None else stored.rows
    return NewReport(
        id=head.id,
        agency=catalogue.agencies.ids[prepared.agency],
        form=catalogue.form_ids[prepared.form.code],
        version=prepared.form.version,
        period=prepared.period.code,
        start=prepared.period.start,
        end=prepared.period.end,
        kind=submission.kind.value,
        revision=head.revision,
        status=head.status.value,
        counted=is_counted(prepared, catalogue),
        nil=submission.nil.value if submission.nil else None,
        corrects=head.corrects,
        ends=stored.ends,
        reason=submission.reason,
        client=prepared.push.client,
        received_at=head.received_at,
        late=head.late,
        sha256=prepared.sha256,
        findings=msgspec.json.encode(head.findings).decode() if head.findings else "[]",
        explanations=json.dumps([each.model_dump(mode="json") for each in submission.explanations or ()]),
        receipt=head.receipt,
        media_type=prepared.push.media_type,
        body=_compress(prepared.push.body),
        codes=_joined([_codes(row) for row in rows]),
        figures=_joined([_figures(row, form) for row in rows]),
        texts=_joined([_texts(row, form) for row in rows]) if form.text_positions else None,
        parts=() if head.revision is None else prepared.push.parts or (),
        query=prepared.said[0],
        part=prepared.said[1],
        relay=None if head.revision is None or first is None else first.kept(prepared.push.client),
        signature=_signature(prepared),
    )


def _signature(prepared: Prepared) -> KeptSignature | None:
    signature = prepared.push.signature
    if signature is None:
        return None
    return KeptSignature(signature.jws, signature.signer, not signature.faults_for(prepared.agency))


def is_counted(prepared: Prepared, catalogue: Catalogue) -> bool:
    """Own figures are; a consolidation only if it was received, is owed, and its parts are not owed here."""
    if prepared.submission.kind is ReportKind.own:
        return True
    obligation = prepared.obligation
    if obligation is None or prepared.push.is_made_here:
        return False
    return catalogue.obligations.is_counted(obligation)


def _joined(literals: Iterable[str]) -> str | None:
    """Array literals of a report's rows as one value; None where there are no rows."""
    return ROW_SEPARATOR.join(literals) or None


def _codes(row: Row) -> str:
    return '{"' + '","'.join(row.codes) + '"}' if row.codes else "{}"


def _figures(row: Row, form: Form) -> str:
    cells = row.cells if form.has_only_numbers else [row.cells[position] for position in form.number_positions]
    if None in cells or not form.has_only_numbers:
        return "{" + ",".join([_figure(cell) for cell in cells]) + "}"
    return "{" + ",".join(map(str, cells)) + "}"


def _figure(cell: object) -> str:
    """A cell as PostgreSQL's ``numeric`` reads it, which takes every way that Python writes a number."""
    if cell is None:
        return "NULL"
    return str(int(cell)) if isinstance(cell, bool) else str(cell)


def _texts(row: Row, form: Form) -> str:
    return "{" + ",".join([_quoted(row.cells[position]) for position in form.text_positions]) + "}"


def _quoted(text: str | None) -> str:
    if text is None:
        return "NULL"
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def new_deliveries(stored: Stored, catalogue: Catalogue, today: date) -> Iterator[NewDelivery]:
    """The outbox: an accepted report's way to every upstream that takes it today."""
    if stored.head.revision is None:
        return
    key: ReportKey = stored.prepared.key
    hierarchy = catalogue.agencies.placed(today)
    for upstream in catalogue.upstreams:
        if upstream.takes(key.form, key.agency, key.kind.value, hierarchy):
            yield NewDelivery(
                id=uuid7(),
                connector=upstream.number,
                report=stored.head.id,
                event="accepted",
                reason=None,
                agency=catalogue.agencies.ids[key.agency],
                form=catalogue.form_ids[key.form],
                period=key.period,
                kind=key.kind.value,
            )


def new_keys(stored: Stored) -> Iterator[NewKey]:
    """The answer under the push's idempotency key, if it has one."""
    push, answer = stored.prepared.push, stored.answer
    if push.key is not None:
        yield NewKey(
            push.client,
            push.route,
            push.key,
            fingerprint(stored.prepared),
            answer.status,
            answer.location or "",
            answer.media_type,
            answer.body,
        )
