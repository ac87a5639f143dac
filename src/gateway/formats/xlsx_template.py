"""A form as a workbook to be filled in: titles in both languages, drop-downs of codes, and the line of ids."""

import io
from collections.abc import Mapping
from datetime import UTC, datetime

import xlsxwriter

from gateway.domain.codelist import CodeList
from gateway.domain.form import Form
from gateway.domain.form_document import LARGEST, Indicator, Type

_LINES = 1000
"""Lines that are made ready; there may be more."""
_IDS, _FIRST = 3, 4
"""The line of ids, and that of the first row, counted from 0."""
_CODES = "Danh mục"
_WORDS = {
    Type.integer: ("số nguyên", "integer"),
    Type.decimal: ("số thập phân", "decimal"),
    Type.percent: ("tỷ lệ %, 0–100", "percentage, 0–100"),
    Type.text: ("chữ", "text"),
    Type.boolean: ("TRUE hoặc FALSE", "TRUE or FALSE"),
}


def template_xlsx(form: Form, codelists: Mapping[str, CodeList], codes: Mapping[str, frozenset[str]]) -> bytes:
    """The workbook; ``codes`` are those each breakdown may hold today."""
    file = io.BytesIO()
    with xlsxwriter.Workbook(file, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False}) as book:
        book.set_properties({"title": form.document.title.vi, "created": datetime(2026, 1, 1, tzinfo=UTC)})
        sheet, lists = book.add_worksheet(form.code[:31]), book.add_worksheet(_CODES)
        bold, small = book.add_format({"bold": True, "text_wrap": True}), book.add_format({"text_wrap": True})
        grey = book.add_format({"font_color": "#808080", "font_size": 8, "num_format": "@"})
        text, whole = book.add_format({"num_format": "@"}), book.add_format({"num_format": "0"})
        sheet.write_string(0, 0, f"{form.document.number or form.code} · {form.document.title.vi}", bold)
        for column, breakdown in enumerate(form.breakdowns):
            sheet.write_string(1, column, f"{breakdown.title.vi} (mã, bắt buộc)", bold)
            sheet.write_string(2, column, f"{breakdown.title.en} (code, required)", small)
            sheet.write_string(_IDS, column, breakdown.id, grey)
            sheet.set_column(column, column, 18, text)
            known = [each for each in codelists[breakdown.codelist].codes if each.code in codes[breakdown.id]]
            lists.write_string(0, 3 * column, breakdown.title.vi, bold)
            for line, code in enumerate(known, start=1):
                for offset, words in enumerate((code.code, code.title.vi, code.title.en)):
                    lists.write_string(line, 3 * column + offset, words)
            if known:
                letters = xlsxwriter.utility.xl_col_to_name(3 * column)
                source = f"='{_CODES}'!${letters}$2:${letters}${len(known) + 1}"
                known_codes = {"validate": "list", "source": source, "error_title": "Mã / Code"}
                sheet.data_validation(_FIRST, column, _FIRST + _LINES, column, known_codes)
        for column, indicator in enumerate(form.indicators, start=len(form.breakdowns)):
            vi, en = _WORDS[indicator.type]
            needed = (", bắt buộc", ", required") if indicator.required else ("", "")
            number = f"{indicator.column} " if indicator.column else ""
            unit = f"; {indicator.unit}" if indicator.unit else ""
            sheet.write_string(1, column, f"{number}{indicator.title.vi} ({vi}{needed[0]}{unit})", bold)
            sheet.write_string(2, column, f"{indicator.title.en} ({en}{needed[1]}{unit})", small)
            sheet.write_string(_IDS, column, indicator.id, grey)
            look = text if indicator.type is Type.text else whole if indicator.type is Type.integer else None
            sheet.set_column(column, column, 16, look)
            options = _validation(indicator)
            if options:
                sheet.data_validation(_FIRST, column, _FIRST + _LINES, column, options)
        sheet.freeze_panes(_FIRST, len(form.breakdowns))
        lists.set_column(0, max(3 * len(form.breakdowns), 1), 30)
    return file.getvalue()


def _validation(indicator: Indicator) -> dict[str, object] | None:
    """What a spreadsheet is to warn of while one types; the gateway judges it again."""
    if indicator.type is Type.boolean:
        return {"validate": "list", "source": ["TRUE", "FALSE"], "error_type": "warning"}
    if not indicator.is_number:
        return None
    low, high = indicator.min, indicator.max
    if indicator.type is Type.percent:
        low, high = low if low is not None else 0, high if high is not None else 100  # type: ignore[assignment]
    return {
        "validate": "integer" if indicator.type is Type.integer else "decimal",
        "criteria": "between",
        "minimum": float(-LARGEST if low is None else low),
        "maximum": float(LARGEST if high is None else high),
        "error_type": "warning",
        "ignore_blank": True,
    }
