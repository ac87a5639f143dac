"""What follows from a form without anyone writing it: JSON Schema, an example report, a CSV template."""

import csv
import io
from collections.abc import Mapping
from typing import Any

from gateway.domain.agency import AGENCY_CODE
from gateway.domain.form import Form
from gateway.domain.form_document import LARGEST, Indicator, Type
from gateway.domain.period import PERIOD_PATTERN, Frequency
from gateway.domain.report import Nil, ReportKind

_EXAMPLE_PERIODS = {
    Frequency.weekly: "2026-W30",
    Frequency.monthly: "2026-07",
    Frequency.quarterly: "2026-Q3",
    Frequency.half_yearly: "2026-S1",
    Frequency.nine_months: "2026-9M",
    Frequency.annual: "2026",
    Frequency.ad_hoc: "2026-07-20/P14D",
}


def json_schema(form: Form, codes: Mapping[str, frozenset[str]]) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a report; ``codes`` are those each breakdown may hold today."""
    cells: dict[str, Any] = {
        each.id: {"title": each.title.vi, "description": each.title.en, "enum": sorted(codes[each.id])}
        for each in form.breakdowns
    }
    cells |= {each.id: _cell(each) for each in form.indicators}
    required = [*(each.id for each in form.breakdowns), *(each.id for each in form.indicators if each.required)]
    text = {"type": "string"}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": form.document.title.vi,
        "description": form.document.title.en,
        "type": "object",
        "additionalProperties": False,
        "required": ["form", "agency", "period", "rows"],
        "properties": {
            "form": {"const": form.code},
            "agency": {"type": "string", "description": f"An identifier code ({AGENCY_CODE}) or an alias."},
            "period": {"type": "string", "pattern": PERIOD_PATTERN},
            "rows": {
                "type": "array",
                "items": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": required,
                    "properties": cells,
                },
            },
            "kind": {"enum": [each.value for each in ReportKind]},
            "explanations": {
                "type": ["array", "null"],
                "items": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["rule", "text"],
                    "properties": {"rule": text, "row": {"type": ["object", "null"]}, "text": text},
                },
            },
            "nil": {"enum": [None, *(each.value for each in Nil)]},
            "corrects": {"type": ["string", "null"], "format": "uuid"},
            "reason": {"type": ["string", "null"]},
            "form_version": {"enum": [None, form.version]},
            "classification": {"const": "none"},
        },
    }


def _cell(indicator: Indicator) -> dict[str, Any]:
    kinds = {
        Type.integer: "integer",
        Type.decimal: "number",
        Type.percent: "number",
        Type.text: "string",
        Type.boolean: "boolean",
    }
    kind = kinds[indicator.type]
    cell: dict[str, Any] = {
        "title": indicator.title.vi,
        "description": indicator.title.en,
        "type": kind if indicator.required else [kind, "null"],
    }
    low, high = indicator.min, indicator.max
    if indicator.type is Type.percent:
        cell |= {"minimum": low if low is not None else 0, "maximum": high if high is not None else 100}
    elif indicator.is_number:
        cell["minimum"] = low if low is not None else -LARGEST
        cell["maximum"] = high if high is not None else LARGEST
    return cell


def example(form: Form, codes: Mapping[str, frozenset[str]], agency: str) -> dict[str, Any]:
    """A report of zeros in the form's shape, to be filled in; zeros satisfy sums and balances."""
    row: dict[str, Any] = {each.id: min(codes[each.id]) for each in form.breakdowns}
    zeros = {Type.text: None, Type.boolean: False}
    row |= {each.id: zeros.get(each.type, each.min or 0) for each in form.indicators}
    return {
        "form": form.code,
        "agency": agency,
        "period": _EXAMPLE_PERIODS[form.document.frequencies[0]],
        "rows": [row],
    }


def template_csv(form: Form) -> bytes:
    """The form's columns as a CSV header (RFC 4180), with the mark that makes spreadsheets read UTF-8."""
    sheet = io.StringIO()
    csv.writer(sheet).writerow([*(each.id for each in form.breakdowns), *form.columns])
    return b"\xef\xbb\xbf" + sheet.getvalue().encode()
