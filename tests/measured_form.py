"""A form with an indicator of every kind, and what the contract says of each, written down a second time.

``documents`` is what the gateway is given; ``INDICATORS`` and ``FORMULAS`` are what figures are recomputed by.
"""

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, NamedTuple

Figures = Mapping[str, Fraction]
"""Combined figures by indicator; a blank raises ``KeyError``, which makes what is computed of it blank."""

CODE = "EXACT_01"
SECTORS, STAGES = ("LAND", "HEALTH", "EDUCATION"), ("PLAN", "ACTUAL")
REFUSED = 13
"""What no report may say that it received."""
VERSIONS = {1: "2020-01-01", 2: "2097-08-01"}
"""The first day of each version; both stay in force."""


class Kind(NamedTuple):
    """An indicator: how DuckDB holds it, its decimals, both ways to combine it, and the version that brought it."""

    column: str
    places: int
    over_agencies: str
    over_time: str
    since: int = 1


INDICATORS = {
    "mark": Kind("DECIMAL(38,0)", 0, "sum", "sum"),
    "received": Kind("DECIMAL(38,0)", 0, "sum", "sum"),
    "opening": Kind("DECIMAL(38,0)", 0, "sum", "first"),
    "closing": Kind("DECIMAL(38,3)", 3, "sum", "last"),
    "spent": Kind("DECIMAL(38,10)", 10, "sum", "sum"),
    "planned": Kind("DECIMAL(38,2)", 2, "sum", "sum"),
    "capacity": Kind("DECIMAL(38,1)", 1, "sum", "none"),
    "handled": Kind("DECIMAL(38,0)", 0, "sum", "formula"),
    "rate": Kind("DECIMAL(5,2)", 2, "formula", "formula"),
    "unit_cost": Kind("DECIMAL(38,4)", 4, "formula", "formula"),
    "pace": Kind("DECIMAL(38,1)", 1, "formula", "none"),
    "grade": Kind("DECIMAL(5,2)", 2, "none", "none"),
    "first_rank": Kind("DECIMAL(38,0)", 0, "none", "first"),
    "last_rank": Kind("DECIMAL(38,2)", 2, "none", "last"),
    "note": Kind("VARCHAR", 0, "none", "none"),
    "urgent": Kind("BOOLEAN", 0, "none", "none"),
    "extra": Kind("DECIMAL(38,0)", 0, "sum", "sum", 2),
}
NUMBERS = {name: each.places for name, each in INDICATORS.items() if each.column.startswith("DECIMAL")}
PERCENTAGES = {"rate", "grade"}


def _unit_cost(f: Figures) -> Fraction:
    least = min(f["received"], abs(f["closing"]))
    return (f["spent"] - least) / 7 if f["planned"] == 0 else half_away(f["spent"] / f["planned"], 3) + least / 3


FORMULAS: dict[str, dict[int, tuple[str, Callable[[Figures], Fraction]]]] = {
    "handled": {1: ("received / 2 + opening", lambda f: f["received"] / 2 + f["opening"])},
    "rate": {
        1: ("100 * spent / planned", lambda f: 100 * f["spent"] / f["planned"]),
        2: ("100 * (spent + extra) / planned", lambda f: 100 * (f["spent"] + f["extra"]) / f["planned"]),
    },
    "unit_cost": {
        1: (
            "if(planned == 0, (spent - min(received, abs(closing))) / 7,"
            " round(spent / planned, 3) + min(received, abs(closing)) / 3)",
            _unit_cost,
        )
    },
    "pace": {1: ("(opening - received) / 20", lambda f: (f["opening"] - f["received"]) / 20)},
}
"""By indicator and the form version since which it holds: a formula, and the same in Python. Halves are frequent."""


def half_away(value: Fraction, places: int) -> Fraction:
    """Rounded to some decimals, a half away from zero."""
    whole = (abs(value) * 10**places * 2 + 1) // 2
    return Fraction(whole if value >= 0 else -whole, 10**places)


def formula(name: str, version: int) -> tuple[str, Callable[[Figures], Fraction]]:
    """A formula as a version of the form has it."""
    return max((since, found) for since, found in FORMULAS[name].items() if since <= version)[1]


def recomputed(name: str, version: int, figures: Figures) -> Fraction | None:
    """An indicator by its formula; None where an operand is blank or something is divided by zero."""
    try:
        return half_away(formula(name, version)[1](figures), INDICATORS[name].places)
    except (KeyError, ZeroDivisionError):
        return None


def form_document(version: int) -> dict[str, Any]:
    """A version of the form, as the gateway is given it."""
    return {
        "code": CODE,
        "version": version,
        "valid_from": VERSIONS[version],
        "title": _title("Biểu đo"),
        "frequencies": ["quarterly"],
        "breakdowns": [
            {"id": "sector", "codelist": "TTHC_SECTOR", "total": "sum", "title": _title("Lĩnh vực")},
            {"id": "stage", "codelist": "PLAN_STAGE", "total": "none", "title": _title("Giai đoạn")},
        ],
        "indicators": [_indicator(name, version) for name, each in INDICATORS.items() if each.since <= version],
        "rules": [{"id": "R1", "severity": "error", "check": f"received != {REFUSED}", "message": _title("Sai")}],
    }


def _indicator(name: str, version: int) -> dict[str, Any]:
    kind = INDICATORS[name]
    document: dict[str, Any] = {"id": name, "title": _title(name), "type": _type(name)}
    document |= {"over_agencies": kind.over_agencies, "over_time": kind.over_time}
    if document["type"] == "decimal":
        document["scale"] = kind.places
    if name in FORMULAS:
        document["formula"] = formula(name, version)[0]
    return document


def _type(name: str) -> str:
    column, places = INDICATORS[name].column, INDICATORS[name].places
    if name in PERCENTAGES:
        return "percent"
    if column == "VARCHAR":
        return "text"
    if column == "BOOLEAN":
        return "boolean"
    return "decimal" if places else "integer"


def _title(text: str) -> dict[str, str]:
    return {"vi": text, "en": text}
