"""Validate a report: every finding in one pass, so that the first mistake does not hide the rest.

Pure: the same report, form, code lists and related reports always give the same findings.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from msgspec.structs import replace

from gateway.domain.agency import Agencies
from gateway.domain.document import pointer
from gateway.domain.form import Form
from gateway.domain.form_document import Severity
from gateway.domain.period import Period
from gateway.domain.report import Explanation, Finding, Submission
from gateway.errors import Text
from gateway.flow.apply_rules import apply_rules
from gateway.flow.findings import MAX_FINDINGS, bounded, fault, in_order
from gateway.flow.read_rows import Row, read_rows
from gateway.flow.related import NOTHING_RELATED, Related


@dataclass(frozen=True, slots=True)
class Verdict:
    """What validation says: the findings, whether they refuse, and the rows to keep if they do not."""

    findings: list[Finding]
    refused: bool
    rows: list[Row]


def validate(
    submission: Submission,
    form: Form,
    period: Period,
    agencies: Agencies,
    agency: str,
    codes: Mapping[str, frozenset[str]],
    related: Related = NOTHING_RELATED,
    *,
    is_owed: bool = True,
    is_made_here: bool = False,
    others: Iterable[Finding] = (),
) -> Verdict:
    """Check a report against its form.

    ``codes`` are the codes each breakdown may hold; ``related`` the other reports that its rules look at. A
    consolidation made here is explained by its parts. ``others`` are findings that come from elsewhere.
    """
    findings = list(_standing(submission, form, period, agencies, agency))
    if not is_owed and not findings:  # an agency or a kind of period that is wrong altogether says it better
        findings.append(fault("obligation", "/period", _nothing_owed(submission, agency)))
    findings.extend(others)
    if submission.nil is None and not submission.rows:
        findings.append(fault("required", "/rows", _EMPTY))
    if submission.nil is not None and submission.rows:
        findings.append(fault("column", "/rows", _NIL_ROWS))
    rows = read_rows(form, submission.rows, codes, findings, is_computed=is_made_here)
    if rows and len(findings) <= MAX_FINDINGS:
        apply_rules(form, rows, related, findings)
    findings.extend(_unknown_explanations(form, submission.explanations or ()))
    if is_made_here:
        findings = [_cited(each, submission.explanations or ()) for each in findings]
    findings = in_order(findings)
    explained = {(each.rule, _row_key(each.row)) for each in submission.explanations or ()}
    refused = any(
        finding.severity is Severity.error
        or (finding.severity is Severity.explain and (finding.rule, _row_key(finding.row)) not in explained)
        for finding in findings
    )
    return Verdict(bounded(findings), refused, [Row(row.codes, row.cells) for row in rows])


_EMPTY = Text(
    "Báo cáo không có dòng nào; nếu không có số liệu, hãy khai 'nil'.",
    "The report has no rows; say so with 'nil' if there is nothing to report.",
)
_NIL_ROWS = Text("Báo cáo khai 'nil' thì không được có dòng.", "A report with 'nil' has no rows.")


def _standing(submission: Submission, form: Form, period: Period, agencies: Agencies, agency: str) -> Iterator[Finding]:
    """Whether this agency may report this form for this period."""
    if agencies.at(agency, period.end) is None:
        yield fault("agency", "/agency", _not_in_force(agencies, agency, period.end))
    if not form.document.is_valid_on(period.end):
        yield fault(
            "form_version",
            "/form_version",
            Text(
                f"Phiên bản {form.version} của biểu {form.code} không có hiệu lực cho kỳ {period.code}.",
                f"Version {form.version} of form {form.code} is not in force for period {period.code}.",
            ),
        )
    if period.frequency not in form.document.frequencies:
        yield fault(
            "obligation",
            "/period",
            Text(
                f"Biểu {form.code} không báo cáo theo kỳ loại này ({period.code}).",
                f"Form {form.code} is not reported for periods of this kind ({period.code}).",
            ),
        )


def _nothing_owed(submission: Submission, agency: str) -> Text:
    kind = submission.kind
    return Text(
        f"{agency} không có nghĩa vụ gửi báo cáo '{kind}' biểu {submission.form} cho kỳ {submission.period}; "
        f"xem GET /v1/obligations?agency={agency}.",
        f"{agency} owes no '{kind}' report of form {submission.form} for period {submission.period}; "
        f"see GET /v1/obligations?agency={agency}.",
    )


def _cited(finding: Finding, explanations: Sequence[Explanation]) -> Finding:
    """A finding about a consolidation made here: what must be explained was, or had no reason to be, below."""
    if finding.severity is not Severity.explain:
        return finding
    key = (finding.rule, _row_key(finding.row))
    given = next((each.text for each in explanations if (each.rule, _row_key(each.row)) == key), None)
    words = given or Text("Không có giải trình ở cấp dưới.", "Nothing was explained below.")
    vi, en = (words, words) if isinstance(words, str) else words
    message = Text(f"{finding.message.vi} [{vi}]", f"{finding.message.en} [{en}]")
    return replace(finding, severity=Severity.warning, message=message)


def _not_in_force(agencies: Agencies, code: str, day: date) -> Text:
    closed = agencies.closed_before(code, day)
    if closed is not None and closed.successor is not None:
        return Text(
            f"Mã {code} đã đóng từ sau ngày {closed.valid_to}; cơ quan kế thừa: {closed.successor}.",
            f"Code {code} was closed after {closed.valid_to}; its successor is {closed.successor}.",
        )
    return Text(
        f"Mã {code} không có hiệu lực vào ngày cuối kỳ ({day}).",
        f"Code {code} is not in force on the period's last day ({day}).",
    )


def _row_key(row: Mapping[str, str] | None) -> frozenset[tuple[str, str]]:
    return frozenset((row or {}).items())


def _unknown_explanations(form: Form, explanations: Sequence[Explanation]) -> Iterator[Finding]:
    known = {rule.document.id for rule in form.rules}
    for index, each in enumerate(explanations):
        if each.rule not in known:
            message = Text(
                f"Giải trình cho quy tắc {each.rule} không có trong biểu mẫu.",
                f"Explains rule {each.rule}, which the form does not have.",
            )
            place = pointer(("explanations", index, "rule"))
            yield fault(each.rule, place, message, severity=Severity.warning)
