"""The country as it may become: about 5,000 agencies, and fifty regimes with a form each."""

from typing import Any

from benchmarks.reports import agencies

REGIMES, UNITS, MORE_DEPARTMENTS = 50, 30, 8
_TITLE = {"vi": "Đo tốc độ", "en": "For measuring"}


def documents() -> list[tuple[str, str, dict[str, Any]]]:
    """Units of ministries, more departments of provinces, and a form and a regime so many times."""
    found: list[tuple[str, str, dict[str, Any]]] = []
    roots = [code for code in agencies() if "." not in code]
    for root in roots:
        count = UNITS if root.startswith("G") else MORE_DEPARTMENTS
        for number in range(1, count + 1):
            code = f"{root}.B{number:02}"
            found.append((f"agency:{code}", "agency", _agency(code, root, "unit" if count == UNITS else "department")))
    for number in range(1, REGIMES + 1):
        code = f"REGIME_{number:02}"
        found.append((f"form:{code}", "form", _form(code)))
        found.append((f"regime:{code}", "regime", _regime(code)))
    return found


def _agency(code: str, parent: str, level: str) -> dict[str, Any]:
    return {"code": code, "name": f"Đơn vị {code}", "level": level, "parent": parent, "valid_from": "2020-01-01"}


def _form(code: str) -> dict[str, Any]:
    ways = {"over_agencies": "sum", "over_time": "sum"}
    return {
        "code": code,
        "version": 1,
        "title": _TITLE,
        "frequencies": ["monthly", "quarterly", "annual"],
        "indicators": [{"id": "amount", "title": _TITLE, "type": "integer", **ways}],
    }


def _regime(code: str) -> dict[str, Any]:
    return {
        "code": code,
        "legal_basis": "for measuring",
        "forms": [code],
        "frequency": "quarterly",
        "periods": ["Q1", "Q2", "Q3", "Y"],
        "who": [{"report_kind": "own"}],
        "lock_after_days": 3650,
    }
