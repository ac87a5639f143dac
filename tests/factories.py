"""Things to test with: reports, forms and agencies that are right as they come, changed by what a test names."""

import json
from collections.abc import Mapping
from typing import Any

from gateway.domain.agency import Agencies, Agency
from gateway.domain.form import Form
from gateway.domain.form_document import FormDocument

TTHC_COLUMNS = (
    "received_total",
    "received_online",
    "received_offline",
    "carried_over",
    "resolved_total",
    "resolved_early",
    "resolved_on_time",
    "resolved_late",
    "pending_total",
    "pending_in_time",
    "pending_late",
)
"""Columns (3) to (13) of form II.06a."""


def a_row(**changes: object) -> dict[str, Any]:
    """A row of form II.06a that all its rules hold for."""
    figures = (2400, 2280, 105, 15, 2375, 1750, 625, 0, 25, 25, 0)
    return {"sector": "LAND", **dict(zip(TTHC_COLUMNS, figures, strict=True)), **changes}


def a_balanced_row(sector: str = "LAND", carried_over: int = 0, pending: int = 0) -> dict[str, Any]:
    """A row that begins with so many dossiers carried over and ends with so many pending."""
    return a_row(
        sector=sector,
        received_total=carried_over + 10 + pending,
        received_online=10 + pending,
        received_offline=0,
        carried_over=carried_over,
        resolved_total=carried_over + 10,
        resolved_early=0,
        resolved_on_time=carried_over + 10,
        resolved_late=0,
        pending_total=pending,
        pending_in_time=pending,
        pending_late=0,
    )


def a_report(**changes: object) -> dict[str, Any]:
    """A correct report of form II.06a by a department of Ha Noi, long before its deadline."""
    return {"form": "TTHC_06A", "agency": "H26.18", "period": "2098-Q3", "rows": [a_row()], **changes}


def a_monthly_row(**changes: object) -> dict[str, Any]:
    """A row of the socio-economic form."""
    return {
        "stage": "ACTUAL",
        "retail_sales": 5000,
        "budget_revenue": 900,
        "budget_expenditure": 700,
        "public_investment_plan": 1000,
        "public_investment_disbursed": 125,
        "disbursement_rate": 12.5,
        **changes,
    }


def a_monthly_report(**changes: object) -> dict[str, Any]:
    return {"form": "KTXH_01", "agency": "H26", "period": "2098-07", "rows": [a_monthly_row()], **changes}


def body(document: object) -> bytes:
    """A document as the bytes a client sends."""
    return json.dumps(document, ensure_ascii=False).encode()


def body_with(document: Mapping[str, object], **literals: str) -> bytes:
    """The bytes of a document in which each string ``"@name"`` is replaced by a literal, digit for digit."""
    text = body(document).decode()
    for name, literal in literals.items():
        assert f'"@{name}"' in text, name
        text = text.replace(f'"@{name}"', literal)
    return text.encode()


def ndjson(*documents: object, end: bytes = b"\n") -> bytes:
    """Documents as the lines of a batch; bytes stand for themselves."""
    return b"".join((each if isinstance(each, bytes) else body(each)) + end for each in documents)


def a_title(text: str = "Chỉ tiêu") -> dict[str, str]:
    return {"vi": text, "en": f"{text} (en)"}


def an_indicator(**changes: object) -> dict[str, Any]:
    return {
        "id": "amount",
        "title": a_title("Số lượng"),
        "type": "integer",
        "unit": "dossier",
        "min": 0,
        "required": True,
        "over_agencies": "sum",
        "over_time": "sum",
        **changes,
    }


def a_rule(**changes: object) -> dict[str, Any]:
    return {"id": "R1", "severity": "error", "check": "amount > 0", "message": a_title("Sai"), **changes}


def a_breakdown(**changes: object) -> dict[str, Any]:
    return {
        "id": "sector",
        "codelist": "TTHC_SECTOR",
        "total": "sum",
        "title": a_title("Lĩnh vực"),
        **changes,
    }


def a_form(**changes: object) -> dict[str, Any]:
    """A form of one figure for each sector, reported for every quarter."""
    return {
        "code": "TEST_01",
        "version": 1,
        "valid_from": "2020-01-01",
        "title": a_title("Biểu thử"),
        "frequencies": ["quarterly"],
        "breakdowns": [a_breakdown()],
        "indicators": [an_indicator()],
        "rules": [],
        **changes,
    }


def a_regime(**changes: object) -> dict[str, Any]:
    """A regime by which every department of Ha Noi reports the form ``a_form`` for every quarter."""
    return {
        "code": "TEST",
        "legal_basis": "Chế độ thử nghiệm",
        "forms": ["TEST_01"],
        "frequency": "quarterly",
        "who": [{"levels": ["department"], "under": "H26"}],
        **changes,
    }


def a_small_report(**changes: object) -> dict[str, Any]:
    """A correct report of the form ``a_form``."""
    rows = [{"sector": "LAND", "amount": 5}]
    return {"form": "TEST_01", "agency": "H26.18", "period": "2098-Q3", "rows": rows, **changes}


def an_agency(**changes: object) -> dict[str, Any]:
    """A unit under a department of Ha Noi."""
    return {
        "code": "H26.18.01",
        "name": "Chi cục thử nghiệm",
        "level": "unit",
        "parent": "H26.18",
        "valid_from": "2026-01-01",
        **changes,
    }


def a_code(code: str, **changes: object) -> dict[str, Any]:
    return {"code": code, "title": a_title(code), **changes}


def a_codelist(*codes: str, **changes: object) -> dict[str, Any]:
    found = [a_code(each) for each in codes or ("A", "B")]
    return {"id": "TEST_CODES", "title": a_title("Danh mục thử"), "codes": found, **changes}


def compiled(**changes: object) -> Form:
    """The form ``a_form``, ready to check reports with."""
    return Form(FormDocument.model_validate(a_form(**changes)))


def agencies(*documents: dict[str, Any]) -> Agencies:
    """These agencies taken together, with storage keys counted from 1."""
    versions = [Agency.model_validate(each) for each in documents]
    codes = sorted({each.code for each in versions})
    return Agencies(versions, {code: number for number, code in enumerate(codes, start=1)})
