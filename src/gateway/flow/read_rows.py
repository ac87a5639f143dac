"""Read a report's rows against their form: each cell by the strict model, each row once, every fault a finding.

What is wrong is left out, so that the rules can still judge the rest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import islice
from operator import contains
from typing import Any

from msgspec.structs import replace
from pydantic import ValidationError

from gateway.domain.document import pointer
from gateway.domain.form import Form
from gateway.domain.form_document import Indicator, Type
from gateway.domain.report import Finding
from gateway.domain.rules import Codes
from gateway.errors import Text
from gateway.flow.cells import Kept
from gateway.flow.findings import MAX_FINDINGS, fault
from gateway.formats.upload import Unreadable

TOTAL_CODES = frozenset({"_t", "_z", "total", "tong", "tong_so", "tong_cong", "tổng số", "tổng cộng", "tổng"})


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a report that can be kept: its breakdown codes and its cells, in the form's order."""

    codes: Codes
    cells: Kept


@dataclass(slots=True)
class Reading:
    """A row while it is read: its codes and cells in the form's order, and the indicators already complained about.

    A row that repeats another, or holds a total, does not count.
    """

    form: Form
    index: int
    codes: Codes
    cells: Kept
    faulty: set[str] = field(default_factory=set)
    counted: bool = True

    @property
    def shown(self) -> dict[str, str]:
        """The row as findings name it: by its breakdowns."""
        named = zip(self.form.breakdowns, self.codes, strict=True)
        return {each.id: code for each, code in named if code is not None}


def read_rows(
    form: Form,
    rows: Sequence[dict[str, Any]],
    codes: Mapping[str, frozenset[str]],
    findings: list[Finding],
    *,
    is_computed: bool,
) -> list[Reading]:
    """The rows, as far as they can be read, and with them their findings.

    ``codes`` are those each breakdown may hold; where the rows were computed here, a blank is nobody's omission.
    """
    count = len(form.breakdowns)
    allowed = [codes[each.id] for each in form.breakdowns]
    readings: list[Reading] = []
    seen: dict[Codes, int] = {}
    for start in range(0, len(rows), _SLICE):
        sound, broken = _sound_rows(form, rows[start : start + _SLICE], start)
        for index, cells in enumerate(map(form.in_order, sound), start):
            own: Codes = tuple(cells[:count])
            row = Reading(form, index, own, cells[count:])
            if broken or None in cells or not all(map(contains, allowed, own)):
                for column, finding in broken.get(index, {}).items():
                    row.faulty.add(column)
                    findings.append(replace(finding, row=row.shown))
                _check_codes(form, row, codes, findings)
                if not is_computed:  # nobody can fill in what no sum or formula gives
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
    for each in error.errors(include_url=False, include_input=False):
        index, column = start + int(each["loc"][0]), str(each["loc"][1])
        place = pointer(("rows", index, column))
        cell = rows[index - start].get(column)
        if each["type"] == "extra_forbidden":
            rule, message = "column", _UNKNOWN_COLUMN
        elif isinstance(cell, Unreadable):
            rule, message = cell.rule, cell.message
        else:
            rule, message = "type", _wrong_cell(indicators.get(column))
        indicator = column if column in indicators else None
        broken.setdefault(index, {})[column] = fault(rule, place, message, None, indicator)
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


def _check_codes(form: Form, row: Reading, codes: Mapping[str, frozenset[str]], findings: list[Finding]) -> None:
    for breakdown, code in zip(form.breakdowns, row.codes, strict=True):
        if code in codes[breakdown.id] or breakdown.id in row.faulty:
            continue
        place = pointer(("rows", row.index, breakdown.id))
        if code is None:
            findings.append(fault("required", place, _blank(breakdown.title.text), row.shown))
        elif code.strip().casefold() in TOTAL_CODES:
            row.counted = False
            findings.append(fault("total_row", place, _TOTAL_ROW, row.shown))
        else:
            findings.append(fault("codelist", place, _not_a_code(breakdown.codelist), row.shown))


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


def _check_required(form: Form, row: Reading, findings: list[Finding]) -> None:
    if None not in row.cells:
        return
    for position in form.required_positions:
        indicator = form.indicators[position]
        if row.cells[position] is None and indicator.id not in row.faulty:
            row.faulty.add(indicator.id)
            place = pointer(("rows", row.index, indicator.id))
            findings.append(fault("required", place, _blank(indicator.title.text), row.shown, indicator.id))


def _duplicate(row: Reading, first: int) -> Finding:
    message = Text(
        f"Dòng trùng với dòng thứ {first + 1} (/rows/{first}).",
        f"The row repeats row {first + 1} (/rows/{first}).",
    )
    return fault("duplicate", pointer(("rows", row.index)), message, row.shown)
