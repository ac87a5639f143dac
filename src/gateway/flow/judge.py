"""Judge one push by what is known: who sent it, what is current, what the form says. Pure.

Several pushes are judged one after another against one ``Knowledge``, which grows with each decision, so
that a later line of a batch sees the earlier ones.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from functools import partial
from typing import TypeAlias
from uuid import UUID

import msgspec
from uuid_utils.compat import uuid7

from gateway.domain.calendar import civil_date
from gateway.domain.catalogue import Catalogue
from gateway.domain.form import Form
from gateway.domain.obligation import Obligation, day_of, is_late
from gateway.domain.report import CURRENT, Head, Status
from gateway.domain.rules import Cells, Codes
from gateway.errors import (
    GatewayError,
    IdempotencyKeyReused,
    Language,
    PeriodLocked,
    RevisionConflict,
    StateConflict,
    Text,
)
from gateway.flow.cells import exact_cells
from gateway.flow.check_signature import signature_findings
from gateway.flow.prepare import Prepared, Push, ReportKey
from gateway.flow.read_rows import Row
from gateway.flow.related import Current, CurrentReports
from gateway.flow.validate import Verdict, validate


@dataclass(frozen=True, slots=True)
class Revision:
    """A kept revision of a report; ``returned_at`` where it has been returned.

    ``relayed`` is its number at the gateway that took it first, if it came by way of another one; ``said`` is what was
    said of its bytes beside them.
    """

    id: UUID
    number: int
    status: Status
    late: bool | None
    sha256: bytes
    returned_at: datetime | None = None
    relayed: int | None = None
    said: tuple[str | None, int | None] = (None, None)

    def is_of(self, prepared: Prepared) -> bool:
        """Whether it holds just what is pushed."""
        return self.sha256 == prepared.sha256 and self.said == prepared.said


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back to the sender, byte for byte."""

    status: int
    body: bytes
    media_type: str
    location: str | None = None
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Stored:
    """A report to be stored, accepted or rejected."""

    prepared: Prepared
    head: Head
    rows: list[Row]
    ends: UUID | None
    answer: Answer


@dataclass(frozen=True, slots=True)
class Known:
    """Bytes that were kept before: the revision that holds them."""

    report: UUID
    language: Language


@dataclass(frozen=True, slots=True)
class Replay:
    """An idempotency key whose answer is in storage."""

    push: Push


Decision: TypeAlias = Stored | Known | Replay | Answer | GatewayError
Render: TypeAlias = Callable[[Head, int, Language], Answer]
Sign: TypeAlias = Callable[[Mapping[str, object], datetime], str]


@dataclass(slots=True)
class Knowledge:
    """What pushes are judged by: the state in storage, and on top of it what was decided since.

    ``ids`` are those that pushes bring along and reports have already.
    """

    catalogue: Catalogue
    at: datetime
    revisions: dict[ReportKey, list[Revision]] = field(default_factory=dict)
    reports: CurrentReports = field(default_factory=CurrentReports)
    keys: dict[tuple[UUID, str, str], bytes] = field(default_factory=dict)
    answers: dict[tuple[UUID, str, str], Answer] = field(default_factory=dict)
    heads: dict[UUID, Head] = field(default_factory=dict)
    ids: set[UUID] = field(default_factory=set)
    _codes: dict[tuple[str, int, date], Mapping[str, frozenset[str]]] = field(default_factory=dict)

    def codes(self, form: Form, day: date) -> Mapping[str, frozenset[str]]:
        name = (form.code, form.version, day)
        if name not in self._codes:
            self._codes[name] = self.catalogue.codes_of(form, day)
        return self._codes[name]


def fingerprint(prepared: Prepared) -> bytes:
    """What an idempotency key stands for: body, media type and query."""
    push = prepared.push
    return hashlib.sha256(b"\0".join([prepared.sha256, push.media_type.encode(), push.query.encode()])).digest()


def judge(prepared: Prepared, knowledge: Knowledge, render: Render, sign: Sign) -> Decision:
    """Decide what becomes of a push, and remember it for the pushes after it."""
    push = prepared.push
    if push.key is not None:
        name = (push.client, push.route, push.key)
        kept = knowledge.keys.get(name)
        if kept is not None and kept != fingerprint(prepared):
            return IdempotencyKeyReused()
        if kept is not None:
            answer = knowledge.answers.get(name)
            return Replay(push) if answer is None else _replayed(answer)
    revisions = knowledge.revisions.get(prepared.key, [])
    if push.first is not None and push.first.report in knowledge.ids:
        return _came_before(prepared, push.first.report, revisions, knowledge, render)
    current = next((each for each in revisions if each.status in CURRENT), None)
    for revision in revisions if current is not None else ():  # after a withdrawal the same bytes are a new report
        if revision.is_of(prepared) and revision.status is not Status.withdrawn:
            return _known(revision, push, knowledge, render)
    last = max(revisions, key=lambda each: each.number, default=None)
    conflict = _locked(prepared, revisions, knowledge.at) or _conflict(prepared, current, last)
    return conflict or _decide(prepared, knowledge, current, last, render, sign)


def _known(revision: Revision, push: Push, knowledge: Knowledge, render: Render) -> Known | Answer:
    head = knowledge.heads.get(revision.id)
    return Known(revision.id, push.language) if head is None else render(head, 200, push.language)


def _came_before(
    prepared: Prepared, report: UUID, revisions: Sequence[Revision], knowledge: Knowledge, render: Render
) -> Decision:
    """What a relayed report is answered whose id is known here: the same bytes are a repeat, whatever became of it."""
    known = next((each for each in revisions if each.id == report), None)
    if known is not None and known.is_of(prepared):
        return _known(known, prepared.push, knowledge, render)
    return StateConflict(
        Text("Mã báo cáo đã thuộc về một báo cáo khác.", "Another report has this id."), extra={"state": "taken"}
    )


def _replayed(answer: Answer) -> Answer:
    return Answer(answer.status, answer.body, answer.media_type, answer.location, replayed=True)


def _locked(prepared: Prepared, revisions: Sequence[Revision], at: datetime) -> PeriodLocked | None:
    """Whether the period is locked for the sender: a return of any revision opens it for the regime's days.

    What is made here from counted reports changes no figure, and is never locked.
    """
    obligation = prepared.obligation
    if obligation is None or prepared.push.is_made_here:
        return None
    returned = max((each.returned_at for each in revisions if each.returned_at is not None), default=None)
    return locked(obligation, civil_date(prepared.taken_at(at)), day_of(returned))


def locked(obligation: Obligation, day: date, returned_on: date | None) -> PeriodLocked | None:
    """The refusal of a change to a report on a day on which its period is locked."""
    until = obligation.taken_until
    if until is None or obligation.still_taken_on(day, returned_on):
        return None
    receiver = obligation.regime.document.receiver
    since = until + timedelta(days=1)
    ask = receiver or "Chính phủ / the Government"
    return PeriodLocked(
        Text(
            f"Kỳ {obligation.period.code} của biểu {obligation.form} đã khóa với {obligation.agency} từ {since}. "
            f"Đề nghị cơ quan nhận báo cáo ({ask}) gia hạn hoặc trả lại báo cáo.",
            f"Period {obligation.period.code} of form {obligation.form} has been locked for {obligation.agency} since "
            f"{since}. Ask the receiving agency ({ask}) for an extension, or to return the report.",
        ),
        extra={
            "locked_since": since.isoformat(),
            "deadline": obligation.deadline and obligation.deadline.isoformat(),
            "regime": obligation.regime.code,
            "ask": receiver,
        },
    )


def _conflict(prepared: Prepared, current: Revision | None, last: Revision | None) -> GatewayError | None:
    corrects, first = prepared.submission.corrects, prepared.push.first
    if first is not None and (current is None or (current.relayed is not None and current.relayed < first.revision)):
        return None  # it corrects what was current where it was taken first; a revision between may have been refused
    if current is not None and corrects != current.id:
        return RevisionConflict(
            Text(
                f"Đã có báo cáo hiện hành (lần {current.number}); muốn đính chính, hãy gửi 'corrects' là mã của nó.",
                f"Revision {current.number} is current; to correct it, send its id as 'corrects'.",
            ),
            extra={"current": {"id": str(current.id), "revision": current.number}},
        )
    if current is None and corrects is not None and (last is None or corrects != last.id):
        return RevisionConflict(
            Text("Không có báo cáo nào để đính chính.", "There is no current report to correct."),
            extra={"current": None},
        )
    return None


def _decide(
    prepared: Prepared,
    knowledge: Knowledge,
    current: Revision | None,
    last: Revision | None,
    render: Render,
    sign: Sign,
) -> Stored:
    verdict = verdict_on(prepared, knowledge)
    late = current.late if current is not None else is_late(prepared.taken_at(knowledge.at), prepared.deadline)
    revision = None if verdict.refused else (last.number if last else 0) + 1
    corrects = prepared.submission.corrects if current is None else current.id
    head = _head(prepared, verdict, revision, None if verdict.refused else late, corrects, knowledge.at, sign)
    answer = render(head, 422 if verdict.refused else 201, prepared.push.language)
    ends = current.id if current is not None and not verdict.refused else None
    stored = Stored(prepared, head, verdict.rows, ends, answer)
    _remember(stored, knowledge)
    return stored


def verdict_on(prepared: Prepared, knowledge: Knowledge) -> Verdict:
    """What validation says of a push, given what is known."""
    form, period = prepared.form, prepared.period
    verdict = validate(
        prepared.submission,
        form,
        period,
        knowledge.catalogue.agencies,
        prepared.agency,
        knowledge.codes(form, period.end),
        knowledge.reports.related(form, prepared.series, period, prepared.within),
        is_owed=prepared.obligation is not None or prepared.push.is_made_here or not prepared.is_regulated,
        is_made_here=prepared.push.is_made_here,
        others=signature_findings(prepared),
    )
    unpacked = prepared.push.unpacked
    if unpacked is None:
        return verdict
    findings = [msgspec.structs.replace(each, place=unpacked.report.place(each.pointer)) for each in verdict.findings]
    return replace(verdict, findings=findings)


def _head(
    prepared: Prepared,
    verdict: Verdict,
    revision: int | None,
    late: bool | None,
    corrects: UUID | None,
    at: datetime,
    sign: Sign,
) -> Head:
    first, part = prepared.push.first, prepared.said[1]
    identity: dict[str, object] = {
        "report": str(uuid7() if first is None or revision is None else first.report),
        "sha256": prepared.sha256.hex(),
        "agency": prepared.agency,
        "form": prepared.form.code,
        "period": prepared.period.code,
        "kind": prepared.submission.kind.value,
        "revision": revision,
        "received_at": f"{at:%Y-%m-%dT%H:%M:%S.%f}Z",
    }
    if part is not None:
        identity["part"] = part
    return Head(
        id=UUID(str(identity["report"])),
        status=Status.rejected if revision is None else Status.accepted,
        form=prepared.form.code,
        form_version=prepared.form.version,
        agency=prepared.agency,
        period=prepared.period.code,
        kind=prepared.submission.kind,
        revision=revision,
        corrects=corrects,
        received_at=at,
        late=late,
        sha256=prepared.sha256.hex(),
        findings=verdict.findings,
        receipt=None if revision is None else sign(identity, at),
        part=part,
    )


def _remember(stored: Stored, knowledge: Knowledge) -> None:
    prepared, head, push = stored.prepared, stored.head, stored.prepared.push
    if push.key is not None:
        name = (push.client, push.route, push.key)
        knowledge.keys[name] = fingerprint(prepared)
        knowledge.answers[name] = stored.answer
    if head.revision is None:
        return
    key = prepared.key
    kept = [
        replace(each, status=Status.superseded) if each.id == stored.ends else each
        for each in knowledge.revisions.get(key, [])
    ]
    first = push.first
    new = Revision(
        head.id,
        head.revision,
        head.status,
        head.late,
        prepared.sha256,
        relayed=None if first is None else first.revision,
        said=prepared.said,
    )
    knowledge.ids.add(head.id)
    knowledge.revisions[key] = [*kept, new]
    knowledge.heads[head.id] = head
    read = partial(_exact_rows, prepared.form, stored.rows)
    knowledge.reports.add(prepared.series, Current(head.id, prepared.period, prepared.form, read))


def _exact_rows(form: Form, rows: Sequence[Row]) -> Mapping[Codes, Cells]:
    return {row.codes: exact_cells(form, row.cells) for row in rows}
