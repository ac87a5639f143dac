"""Validate a report: every finding in one pass, so that the first mistake does not hide the rest.

Pure: the same report, form, code lists and preceding report always give the same findings.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from fractions import Fraction
from itertools import islice
from operator import contains
from typing import Any, TypeAlias

from msgspec.structs import replace
from pydantic import ValidationError

from gateway.domain.agency import Agencies
from gateway.domain.document import pointer
from gateway.domain.form import CompiledRule, Form, Indicator, Severity, Type
from gateway.domain.period import Period
from gateway.domain.report import Explanation, Finding, Submission
from gateway.domain.rules import Cells, Judgement, Number, Scope, Undecided, to_text
from gateway.errors import Text

Codes: TypeAlias = tuple[str, ...]
Stored: TypeAlias = list[Any]
"""The cells of a row as they are kept: integers, decimals, booleans, texts and blanks."""

TOTAL_CODES = frozenset({"_t", "_z", "total", "tong", "tong_so", "tong_cong", "tổng số", "tổng cộng", "tổng"})


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a report that can be kept: its breakdown codes and its cells, in the form's order."""

    codes: Codes
    cells: Stored


@dataclass(frozen=True, slots=True)
class Verdict:
    """What validation says: the findings, whether they refuse, and the rows to keep if they do not."""

    findings: list[Finding]
    refused: bool
    rows: list[Row]


@dataclass(slots=True)
class _Reading:
    """A row while it is read: what it holds, and the indicators already complained about."""

    form: Form
    index: int
    codes: Codes
    cells: Stored
    faulty: set[str] = field(default_factory=set)
    counted: bool = True

    @property
    def shown(self) -> dict[str, str]:
        """The row as findings name it: by its breakdowns."""
        named = zip(self.form.breakdowns, self.codes, strict=True)
        return {each.id: code for each, code in named if code is not None}


def validate(
    submission: Submission,
    form: Form,
    period: Period,
    agencies: Agencies,
    agency: str,
    codes: Mapping[str, frozenset[str]],
    previous: Mapping[Codes, Cells] | None,
) -> Verdict:
    """Check a report against its form.

    ``codes`` are the codes each breakdown may hold; ``previous`` the rows of the preceding report in this
    form's order of indicators, None where there is none.
    """
    findings = list(_standing(submission, form, period, agencies, agency))
    if submission.nil is None and not submission.rows:
        findings.append(_fault("required", "/rows", _EMPTY))
    if submission.nil is not None and submission.rows:
        findings.append(_fault("column", "/rows", _NIL_ROWS))
    rows = _read_rows(form, submission.rows, codes, findings)
    if rows and len(findings) <= MAX_FINDINGS:
        _apply_rules(form, rows, previous, findings)
    findings.extend(_unknown_explanations(form, submission.explanations or ()))
    findings.sort(key=_row_number)
    explained = {(each.rule, _row_key(each.row)) for each in submission.explanations or ()}
    refused = any(
        finding.severity is Severity.error
        or (finding.severity is Severity.explain and (finding.rule, _row_key(finding.row)) not in explained)
        for finding in findings
    )
    return Verdict(_bounded(findings), refused, [Row(row.codes, row.cells) for row in rows])


MAX_FINDINGS = 5000
"""Findings of one report that are kept and shown; a report with more is wrong altogether."""


def _bounded(findings: list[Finding]) -> list[Finding]:
    if len(findings) <= MAX_FINDINGS:
        return findings
    more = len(findings) - MAX_FINDINGS
    message = Text(f"Còn {more} phát hiện nữa không được liệt kê.", f"{more} more findings are not listed.")
    return [*findings[:MAX_FINDINGS], _fault("column", "/rows", message)]


_EMPTY = Text(
    "Báo cáo không có dòng nào; nếu không có số liệu, hãy khai 'nil'.",
    "The report has no rows; say so with 'nil' if there is nothing to report.",
)
_NIL_ROWS = Text("Báo cáo khai 'nil' thì không được có dòng.", "A report with 'nil' has no rows.")


def _fault(
    rule: str,
    place: str,
    message: Text,
    row: Mapping[str, str] | None = None,
    indicator: str | None = None,
    severity: Severity = Severity.error,
) -> Finding:
    return Finding(rule, severity, place, message, row, indicator)


def _standing(submission: Submission, form: Form, period: Period, agencies: Agencies, agency: str) -> Iterator[Finding]:
    """Whether this agency may report this form for this period."""
    if agencies.at(agency, period.end) is None:
        yield _fault("agency", "/agency", _not_in_force(agencies, agency, period.end))
    if not form.document.is_valid_on(period.end):
        yield _fault(
            "form_version",
            "/form_version",
            Text(
                f"Phiên bản {form.version} của biểu {form.code} không có hiệu lực cho kỳ {period.code}.",
                f"Version {form.version} of form {form.code} is not in force for period {period.code}.",
            ),
        )
    if period.frequency not in form.document.frequencies:
        yield _fault(
            "obligation",
            "/period",
            Text(
                f"Biểu {form.code} không báo cáo theo kỳ loại này ({period.code}).",
                f"Form {form.code} is not reported for periods of this kind ({period.code}).",
            ),
        )


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


def _read_rows(
    form: Form,
    rows: Sequence[dict[str, Any]],
    codes: Mapping[str, frozenset[str]],
    findings: list[Finding],
) -> list[_Reading]:
    count = len(form.breakdowns)
    allowed = [codes[each.id] for each in form.breakdowns]
    readings: list[_Reading] = []
    seen: dict[Codes, int] = {}
    for start in range(0, len(rows), _SLICE):
        sound, broken = _sound_rows(form, rows[start : start + _SLICE], start)
        for index, cells in enumerate(map(form.in_order, sound), start):
            own: Codes = tuple(cells[:count])
            row = _Reading(form, index, own, cells[count:])
            if broken or None in cells or not all(map(contains, allowed, own)):
                for column, finding in broken.get(index, {}).items():
                    row.faulty.add(column)
                    findings.append(replace(finding, row=row.shown))
                _check_codes(form, row, codes, findings)
                _check_required(form, row, findings)
            if None not in own:
                first = seen.setdefault(own, index)
                if first != index:
                    findings.append(_duplicate(row, first))
                    row.counted = False
            readings.append(row)
        if len(findings) > MAX_FINDINGS:
            break  # all of them errors: the report is refused, and more of the same helps nobody
    return readings


_SLICE = 200
"""Rows looked at together, so that a body made of mistakes is given up early."""
_SPARE_COLUMNS = 100


def _sound_rows(
    form: Form, rows: Sequence[dict[str, Any]], start: int
) -> tuple[list[dict[str, Any]], dict[int, dict[str, Finding]]]:
    """Rows that fit the form's model, and findings for the cells that had to be left out; rows count from ``start``."""
    most = len(form.breakdowns) + len(form.indicators) + _SPARE_COLUMNS
    if any(len(row) > most for row in rows):
        rows = [dict(islice(row.items(), most)) for row in rows]
    try:
        return form.rows_model.validate_python(rows), {}
    except ValidationError as error:
        return _salvage(form, rows, error, start)


def _salvage(
    form: Form, rows: Sequence[dict[str, Any]], error: ValidationError, start: int
) -> tuple[list[dict[str, Any]], dict[int, dict[str, Finding]]]:
    """The rows with their wrong cells left blank, and a finding for each of those cells."""
    broken: dict[int, dict[str, Finding]] = {}
    indicators = {each.id: each for each in form.indicators}
    for fault in error.errors(include_url=False, include_input=False):
        index, column = start + int(fault["loc"][0]), str(fault["loc"][1])
        place = pointer(("rows", index, column))
        unknown = fault["type"] == "extra_forbidden"
        message = _UNKNOWN_COLUMN if unknown else _wrong_cell(indicators.get(column))
        indicator = column if column in indicators else None
        broken.setdefault(index, {})[column] = _fault("column" if unknown else "type", place, message, None, indicator)
    cleaned = [
        {name: cell for name, cell in row.items() if name not in broken.get(index, {})}
        for index, row in enumerate(rows, start)
    ]
    return form.rows_model.validate_python(cleaned), broken


_UNKNOWN_COLUMN = Text("Biểu mẫu không có cột này.", "The form has no such column.")


def _wrong_cell(indicator: Indicator | None) -> Text:
    if indicator is None:
        return Text("Mã phân tổ phải là chuỗi ký tự.", "A breakdown's code is a string.")
    low, high = indicator.min, indicator.max
    if indicator.type is Type.percent:
        low, high = low if low is not None else Decimal(0), high if high is not None else Decimal(100)
    vi, en = {
        Type.integer: ("số nguyên", "an integer"),
        Type.decimal: (
            f"số có tối đa {indicator.places} chữ số thập phân",
            f"a number with at most {indicator.places} decimals",
        ),
        Type.percent: (
            "tỷ lệ phần trăm có tối đa 2 chữ số thập phân",
            "a percentage with at most 2 decimals",
        ),
        Type.text: (
            "chuỗi tối đa 4000 ký tự, không có ký tự điều khiển",
            "a string of at most 4000 characters, without control characters",
        ),
        Type.boolean: ("true hoặc false", "true or false"),
    }[indicator.type]
    if low is not None:
        vi, en = f"{vi}, không nhỏ hơn {low:f}", f"{en}, not below {low:f}"
    if high is not None:
        vi, en = f"{vi}, không lớn hơn {high:f}", f"{en}, not above {high:f}"
    return Text(f"Ô này phải là {vi}.", f"This cell must be {en}.")


def _check_codes(form: Form, row: _Reading, codes: Mapping[str, frozenset[str]], findings: list[Finding]) -> None:
    for breakdown, code in zip(form.breakdowns, row.codes, strict=True):
        if code in codes[breakdown.id] or breakdown.id in row.faulty:
            continue
        place = pointer(("rows", row.index, breakdown.id))
        if code is None:
            findings.append(_fault("required", place, _blank(breakdown.title.text), row.shown))
        elif code.strip().casefold() in TOTAL_CODES:
            row.counted = False
            findings.append(_fault("total_row", place, _TOTAL_ROW, row.shown))
        else:
            findings.append(_fault("codelist", place, _not_a_code(breakdown.codelist), row.shown))


_TOTAL_ROW = Text(
    "Không gửi dòng tổng cộng: hệ thống tự cộng từ các dòng.",
    "Do not send the total row: it is computed from the rows.",
)


def _blank(title: Text) -> Text:
    return Text(f"Bắt buộc nhập: {title.vi}.", f"Required: {title.en}.")


def _not_a_code(codelist: str) -> Text:
    return Text(
        f"Mã không có trong danh mục {codelist} hoặc không còn hiệu lực trong kỳ.",
        f"The code is not in code list {codelist}, or not in force in the period.",
    )


def _check_required(form: Form, row: _Reading, findings: list[Finding]) -> None:
    if None not in row.cells:
        return
    for position in form.required_positions:
        indicator = form.indicators[position]
        if row.cells[position] is None and indicator.id not in row.faulty:
            row.faulty.add(indicator.id)
            place = pointer(("rows", row.index, indicator.id))
            findings.append(_fault("required", place, _blank(indicator.title.text), row.shown, indicator.id))


def _duplicate(row: _Reading, first: int) -> Finding:
    message = Text(
        f"Dòng trùng với dòng thứ {first + 1} (/rows/{first}).",
        f"The row repeats row {first + 1} (/rows/{first}).",
    )
    return _fault("duplicate", pointer(("rows", row.index)), message, row.shown)


def exact_cells(form: Form, cells: Stored) -> Cells:
    """Cells as rules read them: decimals as exact fractions."""
    if not form.exact_positions:
        return cells
    exact = list(cells)
    for position in form.exact_positions:
        value = exact[position]
        if value is not None:
            exact[position] = Fraction(value)
    return exact


def _apply_rules(
    form: Form, rows: list[_Reading], previous: Mapping[Codes, Cells] | None, findings: list[Finding]
) -> None:
    counted = [row for row in rows if row.counted]
    if not counted:
        return
    cells = [exact_cells(form, row.cells) for row in counted]
    whole = Scope(None, cells, None, None if previous is None else list(previous.values()))
    before = [None if previous is None else previous.get(row.codes) for row in counted]
    faulty = set().union(*(row.faulty for row in rows))
    unanswered: set[tuple[str, str]] = set()
    for rule in form.rules:
        if not rule.check.row_level:
            if not faulty & rule.check.operands:
                _judge(form, rule, whole, None, findings, unanswered)
            continue
        surely = rule.check.surely
        if surely is not None and rule.check.uses_previous and previous is None:
            _judge(form, rule, whole.at(cells[0], None), counted[0], findings, unanswered)  # the same for every row
            continue
        for row, own, earlier in zip(counted, cells, before, strict=True):
            if surely is not None and surely(own, earlier):
                continue
            if not row.faulty & rule.check.operands:
                _judge(form, rule, whole.at(own, earlier), row, findings, unanswered)


def _judge(
    form: Form,
    rule: CompiledRule,
    scope: Scope,
    row: _Reading | None,
    findings: list[Finding],
    unanswered: set[tuple[str, str]],
) -> None:
    try:
        judgement = rule.check.judge(scope)
    except Undecided as reason:
        if reason.reason == "no_previous_report":  # true of the whole report: said once a rule
            if (rule.document.id, reason.operand) in unanswered:
                return
            unanswered.add((rule.document.id, reason.operand))
            row = None
        findings.append(_undecided(form, rule, row, reason))
    else:
        if not judgement.passed:
            findings.append(_broken(form, rule, row, judgement))


def _place(row: _Reading | None, indicator: str | None) -> str:
    if row is None:
        return "/rows"
    return pointer(("rows", row.index) if indicator is None else ("rows", row.index, indicator))


def _broken(form: Form, rule: CompiledRule, row: _Reading | None, judgement: Judgement) -> Finding:
    target = rule.check.target
    scale = form.columns[target].scale if target is not None else None

    def text(value: Number | None) -> str | None:
        return None if value is None else to_text(value, scale)

    expected, actual = judgement.expected, judgement.actual
    difference = actual - expected if actual is not None and expected is not None else None
    return Finding(
        rule.document.id,
        rule.document.severity,
        _place(row, target),
        rule.document.message.text,
        row.shown if row else None,
        target,
        text(expected),
        text(actual),
        text(difference),
    )


def _undecided(form: Form, rule: CompiledRule, row: _Reading | None, reason: Undecided) -> Finding:
    name, operand = rule.document.id, reason.operand
    message = {
        "blank": Text(
            f"Chưa kiểm tra được quy tắc {name}: {operand} để trống.",
            f"Rule {name} could not be checked: {operand} is blank.",
        ),
        "division_by_zero": Text(
            f"Chưa kiểm tra được quy tắc {name}: {operand} bằng 0.",
            f"Rule {name} could not be checked: {operand} is zero.",
        ),
        "too_large": Text(
            f"Chưa kiểm tra được quy tắc {name}: {operand} có quá nhiều chữ số.",
            f"Rule {name} could not be checked: {operand} has too many digits.",
        ),
        "no_previous_report": Text(
            f"Chưa kiểm tra được quy tắc {name}: không có báo cáo kỳ trước.",
            f"Rule {name} could not be checked: there is no report of the preceding period.",
        ),
    }[reason.reason]
    indicator = operand if operand in form.columns else rule.check.target
    place = _place(row, indicator if row else None)
    return _fault(name, place, message, row.shown if row else None, indicator, Severity.warning)


def _row_number(finding: Finding) -> int:
    """Findings stand in the order of the rows they are about, those about the whole report first."""
    steps = finding.pointer.split("/")
    return int(steps[2]) if len(steps) > 2 and steps[1] == "rows" else -1


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
            yield _fault(each.rule, place, message, severity=Severity.warning)
