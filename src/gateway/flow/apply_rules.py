"""Apply a form's rules to the rows of a report, and to what related reports say."""

from collections.abc import Sequence

from gateway.domain.document import pointer
from gateway.domain.form import CompiledRule, Form
from gateway.domain.form_document import Severity
from gateway.domain.report import Finding
from gateway.domain.rules import Judgement, Number, Scope, Undecided, to_text
from gateway.errors import Text
from gateway.flow.cells import exact_cells
from gateway.flow.findings import fault
from gateway.flow.read_rows import Reading
from gateway.flow.related import Related


def apply_rules(form: Form, rows: Sequence[Reading], related: Related, findings: list[Finding]) -> None:
    """Judge the rows that count; each rule is silent on rows where something it reads was complained about already."""
    counted = [row for row in rows if row.counted]
    if not counted:
        return
    previous = related.previous
    cells = [exact_cells(form, row.cells) for row in counted]
    before = [None if previous is None else previous.get(row.codes) for row in counted]
    whole = Scope(
        None,
        cells,
        None,
        None if previous is None else list(previous.values()),
        within=related.within,
        forms=related.forms,
    )
    faulty = set().union(*(row.faulty for row in rows))
    unanswered: set[tuple[str, str]] = set()
    for rule in form.rules:
        check = rule.check
        if check.uses_within and not related.within:
            continue  # nothing is owed within the period: it holds
        if not check.row_level:
            if not faulty & check.operands:
                _judge(form, rule, whole, None, findings, unanswered)
            continue
        surely = check.surely
        if surely is not None and check.uses_previous and previous is None:
            _judge(form, rule, whole.at(cells[0], None), counted[0], findings, unanswered)  # the same for every row
            continue
        if surely is not None and all(map(surely, cells, before)):
            continue
        for row, own, earlier in zip(counted, cells, before, strict=True):
            if surely is not None and surely(own, earlier):
                continue
            if not row.faulty & check.operands:
                _judge(form, rule, whole.at(own, earlier, row.codes), row, findings, unanswered)


def _judge(
    form: Form,
    rule: CompiledRule,
    scope: Scope,
    row: Reading | None,
    findings: list[Finding],
    unanswered: set[tuple[str, str]],
) -> None:
    try:
        judgement = rule.check.judge(scope)
    except Undecided as reason:
        if reason.is_absence:  # true of the whole report: said once a rule
            if (rule.document.id, reason.operand) in unanswered:
                return
            unanswered.add((rule.document.id, reason.operand))
            row = None
        findings.append(_undecided(form, rule, row, reason))
    else:
        if not judgement.passed:
            findings.append(_broken(form, rule, row, judgement))


def _place(row: Reading | None, indicator: str | None) -> str:
    if row is None:
        return "/rows"
    return pointer(("rows", row.index) if indicator is None else ("rows", row.index, indicator))


def _broken(form: Form, rule: CompiledRule, row: Reading | None, judgement: Judgement) -> Finding:
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


def _undecided(form: Form, rule: CompiledRule, row: Reading | None, reason: Undecided) -> Finding:
    name, operand = rule.document.id, reason.operand
    vi, en = {
        "blank": (f"{operand} để trống", f"{operand} is blank"),
        "division_by_zero": (f"{operand} bằng 0", f"{operand} is zero"),
        "too_large": (f"{operand} có quá nhiều chữ số", f"{operand} has too many digits"),
        "no_previous_report": ("không có báo cáo kỳ trước", "there is no report of the preceding period"),
        "no_report_within": (f"không có báo cáo kỳ {operand}", f"there is no report of period {operand}"),
        "no_report_of_form": (
            f"không có báo cáo biểu {operand} của cùng kỳ",
            f"there is no report of form {operand} for the same period",
        ),
    }[reason.reason]
    message = Text(f"Chưa kiểm tra được quy tắc {name}: {vi}.", f"Rule {name} could not be checked: {en}.")
    indicator = operand if operand in form.columns else rule.check.target
    place = _place(row, indicator if row else None)
    return fault(name, place, message, row.shown if row else None, indicator, Severity.warning)
