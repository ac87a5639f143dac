"""Prepare a push: read it, and find the form, agency, period and obligation that it speaks of. Pure."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

from gateway.domain.agency import suggest_code
from gateway.domain.catalogue import Catalogue
from gateway.domain.form import Form
from gateway.domain.obligation import Obligation
from gateway.domain.period import Period, parse_period
from gateway.domain.report import ReportKind, Submission
from gateway.domain.signature import ReportSignature
from gateway.errors import ContentTooLarge, Forbidden, Language, NotFound, Text
from gateway.flow.read import read_submission
from gateway.flow.related import Series, Wanted, wanted
from gateway.flow.relay import FirstReceipt, require_same
from gateway.formats.typed_rows import typed_rows
from gateway.formats.upload import FiledReport

MAX_WORK = 40_000_000
"""Rows times the weight of the rules that one report may ask for: a few seconds of judging."""


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A report of a file that is not JSON: its envelope, its rows as the file has them, and how it was asked for.

    ``query`` are the parameters that said what the file does not, in one way of writing them. ``part`` counts the
    reports of a file that has several.
    """

    envelope: Submission
    report: FiledReport
    query: str
    part: int | None


@dataclass(frozen=True, slots=True)
class Push:
    """One body as it came, and in whose name. ``agency`` is the root of the sender's subtree.

    ``parts`` are the reports that a consolidation was made from here; None for whatever came from outside.
    ``first`` is the receipt of the gateway that took it first, if it comes by way of that one. ``signature`` is the
    agency's own over the body, if it came with one. ``unpacked`` is what a body holds that is not JSON.
    """

    body: bytes
    media_type: str
    client: UUID
    agency: str | None
    language: Language
    route: str = "POST /v1/reports"
    query: str = ""
    key: str | None = None
    parts: tuple[UUID, ...] | None = None
    first: FirstReceipt | None = None
    signature: ReportSignature | None = None
    unpacked: Unpacked | None = None

    @property
    def is_made_here(self) -> bool:
        return self.parts is not None

    def made_of(self, parts: tuple[UUID, ...]) -> "Push":
        """The same push as a consolidation of those reports."""
        return replace(self, parts=parts)


class ReportKey(NamedTuple):
    """What identifies a report through all its revisions."""

    agency: str
    form: str
    period: str
    kind: ReportKind


@dataclass(frozen=True, slots=True)
class Prepared:
    """A push that can be judged: readable, and about a form and an agency that exist.

    ``obligation`` is what it fulfils; without one it may only come where no regime has the form (``is_regulated``).
    ``within`` are the periods inside this one for which the agency owes the same report, where rules ask for them.
    """

    push: Push
    submission: Submission
    form: Form
    agency: str
    period: Period
    obligation: Obligation | None
    is_regulated: bool
    deadline: date | None
    within: Sequence[Period]
    sha256: bytes

    @property
    def said(self) -> tuple[str | None, int | None]:
        """What makes of the same bytes another report: the parameters, and which of the reports in them it is."""
        unpacked = self.push.unpacked
        return (None, None) if unpacked is None else (unpacked.query, unpacked.part)

    def taken_at(self, at: datetime) -> datetime:
        """When the report counts as received: when it was taken first, or now."""
        first = self.push.first
        return at if first is None else min(first.received_at, at)

    @property
    def key(self) -> ReportKey:
        return ReportKey(self.agency, self.form.code, self.period.code, self.submission.kind)

    @property
    def series(self) -> Series:
        return Series(self.agency, self.form.code, self.submission.kind)

    @property
    def wanted(self) -> Iterator[Wanted]:
        """The other reports that its rules look at."""
        return wanted(self.form, self.series, self.period, self.within)


def prepare(push: Push, catalogue: Catalogue, today: date) -> Prepared:
    """Read a push and find what it speaks of. Raises what the contract answers with 400, 403 and 404."""
    unpacked = push.unpacked
    submission = read_submission(push.body) if unpacked is None else unpacked.envelope
    agency = find_agency(catalogue, submission.agency, push.agency, today)
    obligations = catalogue.obligations
    obligation = obligations.of(submission.form, agency, submission.kind, submission.period)
    rule = obligations.rule(submission.form, submission.period)
    period = obligation.period if obligation else parse_period(submission.period, rule)
    form = _form(catalogue, submission, period)
    if unpacked is not None:
        rows = typed_rows(unpacked.report, form, catalogue.codelists)
        submission = submission.model_copy(update={"rows": rows})
    is_regulated = obligation is not None or obligations.is_regulated(form.code, period, agency)
    unregulated = None if is_regulated else obligations.unregulated_deadline(period.code)
    if len(submission.rows) * form.weight > MAX_WORK:
        raise ContentTooLarge(
            Text(
                f"Báo cáo có quá nhiều dòng so với các quy tắc của biểu (tối đa {MAX_WORK // form.weight} dòng).",
                f"The report has too many rows for the rules of its form (at most {MAX_WORK // form.weight}).",
            )
        )
    digest = hashlib.sha256(push.body)
    if push.first is not None:
        key = {"agency": agency, "form": form.code, "period": period.code, "kind": submission.kind.value}
        require_same(push.first, sha256=digest.hexdigest(), **key)
    return Prepared(
        push,
        submission,
        form,
        agency,
        period,
        obligation,
        is_regulated,
        obligation.deadline if obligation else unregulated,
        obligations.within(form.code, agency, submission.kind, period) if form.uses_within else (),
        digest.digest(),
    )


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
