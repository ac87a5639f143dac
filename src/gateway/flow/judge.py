"""Judge one push by what is known: who sent it, what is current, what the form says. Pure.

Several pushes are judged one after another against one ``Knowledge``, which grows with each decision, so
that a later line of a batch sees the earlier ones.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple, TypeAlias
from uuid import UUID

from uuid_utils.compat import uuid7

from gateway.domain.agency import suggest_code
from gateway.domain.catalogue import Catalogue
from gateway.domain.form import Form, Type
from gateway.domain.period import Period, is_late, parse_period, preceding
from gateway.domain.report import CURRENT, Head, ReportKind, Status, Submission
from gateway.domain.rules import Cells
from gateway.errors import (
    ContentTooLarge,
    Forbidden,
    GatewayError,
    IdempotencyKeyReused,
    Language,
    NotFound,
    RevisionConflict,
    Text,
)
from gateway.flow.read import read_submission
from gateway.flow.validate import Codes, Row, Verdict, exact_cells, validate

MAX_WORK = 20_000_000
"""Rows times the length of the rules that one report may ask for: a few seconds of judging."""


@dataclass(frozen=True, slots=True)
class Push:
    """One body as it came, and in whose name. ``agency`` is the root of the sender's subtree."""

    body: bytes
    media_type: str
    client: UUID
    agency: str | None
    language: Language
    route: str = "POST /v1/reports"
    query: str = ""
    key: str | None = None


class ReportKey(NamedTuple):
    """What identifies a report through all its revisions."""

    agency: str
    form: str
    period: str
    kind: ReportKind


@dataclass(frozen=True, slots=True)
class Prepared:
    """A push that can be judged: readable, and about a form and an agency that exist."""

    push: Push
    submission: Submission
    form: Form
    agency: str
    period: Period
    sha256: bytes

    @property
    def key(self) -> ReportKey:
        return ReportKey(self.agency, self.form.code, self.period.code, self.submission.kind)


def prepare(push: Push, catalogue: Catalogue, today: date) -> Prepared:
    """Read a push and find what it speaks of. Raises what the contract answers with 400, 403 and 404."""
    submission = read_submission(push.body)
    period = parse_period(submission.period)
    agency = find_agency(catalogue, submission.agency, push.agency, today)
    form = _form(catalogue, submission, period)
    if len(submission.rows) * form.weight > MAX_WORK:
        raise ContentTooLarge(
            Text(
                f"Báo cáo có quá nhiều dòng so với các quy tắc của biểu (tối đa {MAX_WORK // form.weight} dòng).",
                f"The report has too many rows for the rules of its form (at most {MAX_WORK // form.weight}).",
            )
        )
    return Prepared(push, submission, form, agency, period, hashlib.sha256(push.body).digest())


def find_agency(catalogue: Catalogue, text: str, root: str | None, today: date) -> str:
    """The agency a client names, if it lies in the client's subtree.

    Raises ``Forbidden`` outside the subtree, ``NotFound`` (to clients of the whole country) for no such agency.
    """
    code = catalogue.agencies.resolve(text)
    if root is None:
        if code is not None:
            return code
        hint = suggest_code(text)
        if hint is not None and hint in catalogue.agencies:
            raise NotFound(
                Text(
                    f"Không có cơ quan mã {text}; có thể là {hint}.",
                    f"There is no agency {text}; it may be {hint}.",
                ),
                extra={"suggestion": hint},
            )
        raise NotFound(Text("Không có cơ quan này.", "There is no such agency."))
    if code is None or not catalogue.agencies.placed(today).covers(root, code):
        raise Forbidden(
            Text(f"Cơ quan không thuộc phạm vi {root}.", f"The agency is not within the subtree of {root}.")
        )
    return code


def _form(catalogue: Catalogue, submission: Submission, period: Period) -> Form:
    versions = catalogue.forms.get(submission.form)
    if not versions:
        raise NotFound(Text("Không có biểu mẫu này.", "There is no such form."))
    if submission.form_version is not None:
        named = catalogue.form_version(submission.form, submission.form_version)
        if named is None:
            raise NotFound(Text("Biểu mẫu không có phiên bản này.", "The form has no such version."))
        return named
    return catalogue.form_on(submission.form, period.end) or versions[-1]


@dataclass(frozen=True, slots=True)
class Revision:
    """A kept revision of a report."""

    id: UUID
    number: int
    status: Status
    late: bool | None
    sha256: bytes


@dataclass(frozen=True, slots=True)
class Earlier:
    """A current report with its rows, that a later period's rules may look back to."""

    period: Period
    rows: Mapping[Codes, Cells]


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
    """What pushes are judged by: the state in storage, and on top of it what was decided since."""

    catalogue: Catalogue
    at: datetime
    revisions: dict[ReportKey, list[Revision]] = field(default_factory=dict)
    earlier: dict[tuple[str, str, ReportKind], list[Earlier]] = field(default_factory=dict)
    keys: dict[tuple[UUID, str, str], bytes] = field(default_factory=dict)
    answers: dict[tuple[UUID, str, str], Answer] = field(default_factory=dict)
    heads: dict[UUID, Head] = field(default_factory=dict)
    _codes: dict[tuple[str, int, date], Mapping[str, frozenset[str]]] = field(default_factory=dict)

    def codes(self, form: Form, day: date) -> Mapping[str, frozenset[str]]:
        name = (form.code, form.version, day)
        if name not in self._codes:
            self._codes[name] = self.catalogue.codes_of(form, day)
        return self._codes[name]

    def previous(self, key: ReportKey, form: Form, period: Period) -> Mapping[Codes, Cells] | None:
        """The rows of the report whose period ends the day before this one starts."""
        if not form.uses_previous:
            return None
        known = self.earlier.get((key.agency, key.form, key.kind), [])
        by_period = {each.period: each for each in known}
        candidates = preceding(period, by_period)
        return by_period[candidates[0]].rows if candidates else None


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
    current = next((each for each in revisions if each.status in CURRENT), None)
    for revision in revisions if current is not None else ():  # after a withdrawal the same bytes are a new report
        if revision.sha256 == prepared.sha256 and revision.status is not Status.withdrawn:
            head = knowledge.heads.get(revision.id)
            return Known(revision.id, push.language) if head is None else render(head, 200, push.language)
    last = max(revisions, key=lambda each: each.number, default=None)
    conflict = _conflict(prepared.submission.corrects, current, last)
    return conflict or _decide(prepared, knowledge, current, last, render, sign)


def _replayed(answer: Answer) -> Answer:
    return Answer(answer.status, answer.body, answer.media_type, answer.location, replayed=True)


def _conflict(corrects: UUID | None, current: Revision | None, last: Revision | None) -> GatewayError | None:
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
    late = current.late if current is not None else is_late(knowledge.at, prepared.period)
    revision = None if verdict.refused else (last.number if last else 0) + 1
    head = _head(prepared, verdict, revision, None if verdict.refused else late, knowledge.at, sign)
    answer = render(head, 422 if verdict.refused else 201, prepared.push.language)
    ends = current.id if current is not None and not verdict.refused else None
    stored = Stored(prepared, head, verdict.rows, ends, answer)
    _remember(stored, knowledge)
    return stored


def verdict_on(prepared: Prepared, knowledge: Knowledge) -> Verdict:
    """What validation says of a push, given what is known."""
    form, period = prepared.form, prepared.period
    return validate(
        prepared.submission,
        form,
        period,
        knowledge.catalogue.agencies,
        prepared.agency,
        knowledge.codes(form, period.end),
        knowledge.previous(prepared.key, form, period),
    )


def _head(
    prepared: Prepared, verdict: Verdict, revision: int | None, late: bool | None, at: datetime, sign: Sign
) -> Head:
    identity = {
        "report": str(uuid7()),
        "sha256": prepared.sha256.hex(),
        "agency": prepared.agency,
        "form": prepared.form.code,
        "period": prepared.period.code,
        "kind": prepared.submission.kind.value,
        "revision": revision,
        "received_at": f"{at:%Y-%m-%dT%H:%M:%S.%f}Z",
    }
    return Head(
        id=UUID(str(identity["report"])),
        status=Status.rejected if revision is None else Status.accepted,
        form=prepared.form.code,
        form_version=prepared.form.version,
        agency=prepared.agency,
        period=prepared.period.code,
        kind=prepared.submission.kind,
        revision=revision,
        corrects=prepared.submission.corrects,
        received_at=at,
        late=late,
        sha256=prepared.sha256.hex(),
        findings=verdict.findings,
        receipt=None if revision is None else sign(identity, at),
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
        Revision(each.id, each.number, Status.superseded, each.late, each.sha256) if each.id == stored.ends else each
        for each in knowledge.revisions.get(key, [])
    ]
    new = Revision(head.id, head.revision, head.status, head.late, prepared.sha256)
    knowledge.revisions[key] = [*kept, new]
    knowledge.heads[head.id] = head
    if prepared.form.uses_previous:
        rows = {row.codes: exact_cells(prepared.form, row.cells) for row in stored.rows}
        name_of = (key.agency, key.form, key.kind)
        others = [each for each in knowledge.earlier.get(name_of, []) if each.period != prepared.period]
        knowledge.earlier[name_of] = [*others, Earlier(prepared.period, rows)]


def day_before(period: Period) -> date:
    """The last day of whatever period precedes this one."""
    return period.start - timedelta(days=1)


def cells_from_storage(form: Form, kept: Form, figures: Iterable[str | None]) -> Cells:
    """Kept figures in the order of a form's indicators, as rules read them; absent indicators are blank."""
    by_id = dict(zip((kept.indicators[p].id for p in kept.number_positions), figures, strict=True))
    return [_figure(each.type, by_id.get(each.id)) for each in form.indicators]


def _figure(kind: Type, text: str | None) -> int | Fraction | bool | None:
    if text is None or kind is Type.text:
        return None
    if kind is Type.boolean:
        return text != "0"
    return int(text) if kind is Type.integer else Fraction(Decimal(text))
