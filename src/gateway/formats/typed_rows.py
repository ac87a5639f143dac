"""Rows of a file as its form has them: columns by their ids, codes as in their lists, cells as JSON would have them."""

from collections.abc import Iterable, Mapping
from typing import Any

from gateway.domain.codelist import CodeList
from gateway.domain.form import Form
from gateway.formats.cells import typed
from gateway.formats.sdmx_codes import breakdown_id, code_ids
from gateway.formats.upload import FiledReport, Row


def typed_rows(report: FiledReport, form: Form, codelists: Mapping[str, CodeList]) -> list[dict[str, Any]]:
    """The rows that a report in JSON would have had; what cannot be read is ``Unreadable`` in its place."""
    indicators = {each.id: each for each in form.indicators}
    rows = _named(report.rows, form, codelists) if report.is_sdmx else report.rows
    return [{name: typed(indicators.get(name), cell) for name, cell in row.items()} for row in rows]


def _named(rows: Iterable[Row], form: Form, codelists: Mapping[str, CodeList]) -> list[Row]:
    """Rows with dimensions and codes of SDMX, by the names they have here; unknown ones stay as they are."""
    names = {breakdown_id(each): each.id for each in form.breakdowns}
    codes = {
        breakdown_id(each): {identifier: code for code, identifier in code_ids(codelists[each.codelist]).items()}
        for each in form.breakdowns
    }
    return [
        {
            names.get(name, name): codes[name].get(cell, cell) if name in names and isinstance(cell, str) else cell
            for name, cell in row.items()
        }
        for row in rows
    ]
