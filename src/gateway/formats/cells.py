"""Cells as they are written, read by what their indicator takes: exactly, or not at all."""

import re
from decimal import Decimal

from gateway.domain.form_document import Indicator, Type
from gateway.errors import Text
from gateway.formats.upload import MAX_DIGITS, Cell, Figure, Unreadable

MAX_CODE = 100
"""Characters of a code; no list has longer ones. Findings name their row by its codes."""
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)")
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
_TRUTH = {"true": True, "false": False, "1": True, "0": False}


def typed(indicator: Indicator | None, cell: Cell) -> object:
    """A cell's value as JSON would have it; ``indicator`` is None for a code, and for a column that no form has."""
    if isinstance(cell, Unreadable):
        return cell
    if isinstance(cell, Figure):
        return _figure(indicator, cell)
    if indicator is None and isinstance(cell, str) and len(cell) > MAX_CODE:
        return Unreadable(_NO_CODE, "codelist", cell[:MAX_CODE])
    if not isinstance(cell, str) or indicator is None or indicator.type is Type.text:
        return cell
    if indicator.type is Type.boolean:
        return _TRUTH.get(cell.lower(), Unreadable(_NOT_TRUTH, text=cell))
    return _number(indicator.type, cell)


def shown(cell: object) -> object:
    """A typed cell as it is shown to readers of a rejected report: what cannot be read, as it is written."""
    return cell.text if isinstance(cell, Unreadable) else cell


def _number(kind: Type, text: str) -> object:
    if len(text) <= MAX_DIGITS:
        if kind is Type.integer and _INTEGER.fullmatch(text):
            return int(text)
        if kind is not Type.integer and _DECIMAL.fullmatch(text):
            return Decimal(text)
    return Unreadable(_what_is_wrong(kind, text), text=text[:MAX_DIGITS])


def _figure(indicator: Indicator | None, figure: Figure) -> object:
    value = figure.value
    if indicator is None:
        return Unreadable(_CODE_AS_NUMBER, text=f"{value:f}")
    if not indicator.is_number:
        return Unreadable(_TEXT_AS_NUMBER if indicator.type is Type.text else _NOT_TRUTH, text=f"{value:f}")
    if figure.is_percent:
        if indicator.type is not Type.percent:
            return Unreadable(_NO_PERCENT, text=f"{value:f}")
        value = value.scaleb(2)
    return int(value) if value == value.to_integral_value() else value


_NO_CODE = Text("Mã phân tổ không dài như vậy.", "No code of a breakdown is as long.")
_NOT_TRUTH = Text("Ô này phải là true hoặc false.", "This cell must be true or false.")
_CODE_AS_NUMBER = Text(
    "Mã phân tổ phải là chữ: hãy định dạng ô là Text rồi nhập lại mã (số làm mất các số 0 ở đầu).",
    "A code must be text: format the cell as text and enter the code again (a number loses leading zeros).",
)
_TEXT_AS_NUMBER = Text(
    "Ô này phải là chữ: hãy định dạng ô là Text rồi nhập lại.",
    "This cell must be text: format it as text and enter it again.",
)
_NO_PERCENT = Text(
    "Ô được định dạng phần trăm, nhưng chỉ tiêu không phải là tỷ lệ phần trăm.",
    "The cell is formatted as a percentage, and the indicator is none.",
)


def _what_is_wrong(kind: Type, text: str) -> Text:
    """Why a text is no number, in terms of how people and spreadsheets write them."""
    if text != text.strip():
        return Text("Có khoảng trắng trước hoặc sau số.", "There are blanks before or after the number.")
    if re.fullmatch(r"-?[0-9.,\s\u00a0\u202f']*[0-9]", text):
        if "," in text:
            return Text(
                "Số dùng dấu phẩy: phần thập phân phải viết bằng dấu chấm (12.5, không phải 12,5), không có dấu "
                "phân cách hàng nghìn (1234567, không phải 1.234.567 hay 1,234,567).",
                "The number has a comma: decimals are written with a point (12.5, not 12,5), and thousands are not "
                "separated (1234567, not 1,234,567).",
            )
        if text.count(".") > 1 or not re.fullmatch(r"-?[0-9.]+", text):
            return Text(
                "Không dùng dấu phân cách hàng nghìn (1234567, không phải 1.234.567 hay 1 234 567).",
                "Thousands are not separated (1234567, not 1.234.567 or 1 234 567).",
            )
        if kind is Type.integer and "." in text:
            return Text(
                "Ô này phải là số nguyên, viết không có dấu chấm (2400, không phải 2.400 hay 2400.0).",
                "This cell must be an integer, written without a point (2400, not 2.400 or 2400.0).",
            )
        return Text("Không viết số 0 thừa ở đầu.", "Numbers have no leading zeros.")
    if re.fullmatch(r"-?[0-9][0-9.,]*[eE][+-]?[0-9]+", text):
        return Text(
            "Số bị rút gọn (như 1.2E+11): hãy định dạng cột là Number để có đủ chữ số.",
            "The number is shortened (like 1.2E+11): format the column as a number to have all its digits.",
        )
    if text.startswith("="):
        return Text("Ô này là công thức, không phải số.", "This cell holds a formula, not a number.")
    if text.endswith("%"):
        return Text("Viết tỷ lệ phần trăm không có dấu % (12.5).", "Percentages are written without % (12.5).")
    return Text(
        "Ô này phải là số, phần thập phân viết bằng dấu chấm.", "This cell must be a number, with a point for decimals."
    )
