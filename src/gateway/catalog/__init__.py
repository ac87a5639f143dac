"""The catalogue shipped with the gateway, as the documents its API takes: code lists, forms, agencies, calendars
and regimes.

The files hold what was read; the People's Committees of communes and the provincial departments are derived
from a rule (see README.md here) and say so with `"derived": true`. Nothing is validated here.
"""

import csv
import json
from collections.abc import Iterator
from enum import StrEnum
from importlib.resources import files
from typing import NamedTuple, TypedDict

COMMUNES_VALID_FROM = "2025-07-01"  # QĐ 19/2025/QĐ-TTg: communes directly under the province


class DocumentKind(StrEnum):
    """What a document is, in the order in which documents refer to others."""

    CODELIST = "codelist"
    FORM = "form"
    AGENCY = "agency"
    CALENDAR = "calendar"
    REGIME = "regime"


class AgencyDocument(TypedDict):
    """An agency as the API takes it; `derived` marks a code made by this product, not by a decision."""

    code: str
    name: str
    level: str
    parent: str | None
    valid_from: str | None
    valid_to: str | None
    successor: str | None
    aliases: list[str]
    derived: bool


class BundledDocument(NamedTuple):
    kind: DocumentKind
    document: dict[str, object]


def bundled_documents() -> Iterator[BundledDocument]:
    """Every bundled document, each after those it refers to."""
    for kind, folder in ((DocumentKind.CODELIST, "codelists"), (DocumentKind.FORM, "forms")):
        for document in _json_documents(folder):
            yield BundledDocument(kind, document)
    for agency in bundled_agencies():
        yield BundledDocument(DocumentKind.AGENCY, {**agency})
    for kind, folder in ((DocumentKind.CALENDAR, "calendars"), (DocumentKind.REGIME, "regimes")):
        for document in _json_documents(folder):
            yield BundledDocument(kind, document)


def bundled_agencies() -> Iterator[AgencyDocument]:
    """Ministries and provinces (a successor before those merged into it), then departments, then communes."""
    listed = sorted(_table("agencies.csv"), key=lambda row: bool(row["successor"]))
    yield from (_listed(row) for row in listed)
    provinces = {row["gso_code"]: row for row in listed if row["level"] == "province" and not row["valid_to"]}
    departments = _table("departments.csv")
    yield from (_department(row, province) for province in provinces.values() for row in departments)
    yield from (_commune(row, provinces[row["province_gso_code"]]) for row in _table("communes.csv"))


def _listed(row: dict[str, str]) -> AgencyDocument:
    return {
        "code": row["code"],
        "name": row["name_vi"],
        "level": row["level"],
        "parent": None,
        "valid_from": row["valid_from"] or None,
        "valid_to": row["valid_to"] or None,
        "successor": row["successor"] or None,
        "aliases": _territory(row["gso_code"]),
        "derived": False,
    }


def _department(row: dict[str, str], province: dict[str, str]) -> AgencyDocument:
    territory = province["name_vi"].removeprefix("Ủy ban nhân dân ")
    return {
        "code": f"{province['code']}.{row['number']}",
        "name": f"{row['name_vi']} {territory}",
        "level": "department",
        "parent": province["code"],
        "valid_from": row["valid_from"],
        "valid_to": None,
        "successor": None,
        "aliases": [],
        "derived": True,
    }


def _commune(row: dict[str, str], province: dict[str, str]) -> AgencyDocument:
    territory = row["name_vi"]
    return {
        "code": f"{province['code']}.{row['gso_code']}",
        "name": f"Ủy ban nhân dân {territory[0].lower()}{territory[1:]}",
        "level": "commune",
        "parent": province["code"],
        "valid_from": COMMUNES_VALID_FROM,
        "valid_to": None,
        "successor": None,
        "aliases": _territory(row["gso_code"]),
        "derived": True,
    }


def _territory(gso_code: str) -> list[str]:
    """The alias of an agency by the territory it governs; the prefix keeps it apart from identifier codes."""
    return [f"GSO:{gso_code}"] if gso_code else []


def _json_documents(folder: str) -> Iterator[dict[str, object]]:
    for file in sorted((files(__name__) / folder).iterdir(), key=lambda file: file.name):
        if file.name.endswith(".json"):
            document: dict[str, object] = json.loads(file.read_text(encoding="utf-8"))
            yield document


def _table(name: str) -> list[dict[str, str]]:
    with (files(__name__) / "agencies" / name).open(encoding="utf-8") as lines:
        return list(csv.DictReader(lines))
