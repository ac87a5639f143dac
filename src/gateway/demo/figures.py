"""Believable reports of form II.06a: who reports on which sectors, how much, and figures that add up.

Every figure is drawn from dice seeded with the agency's code, so each run has the same country. Agencies come
from the bundled catalogue; the volumes are invented and stand for nobody's real work.
"""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from gateway.catalog import AgencyDocument, bundled_agencies
from gateway.demo.periods import Period

FORM = "TTHC_06A"
CAPITAL = "H26"
"""Ha Noi, where the story of single reports is set."""
LAND_DEPARTMENT = "H26.18"
"""Reports by itself, in the story; so it is left out of the country's batches."""

_COMMUNE = {
    "AUTHENTICATION": 2600,
    "CIVIL_STATUS": 850,
    "LAND": 260,
    "SOCIAL_PROTECTION": 190,
    "BUSINESS_REGISTRATION": 70,
    "CONSTRUCTION": 45,
    "MERITORIOUS_PEOPLE": 40,
    "AGRICULTURE": 30,
    "EDUCATION": 25,
    "LABOUR": 20,
    "CULTURE": 14,
    "ENVIRONMENT": 10,
}
"""What a commune handles, most common first: typical dossiers in a quarter; a year has four."""
_FEWEST_SECTORS = 5

_DEPARTMENTS: Mapping[str, Mapping[str, int]] = {
    "10": {},
    "11": {},
    "12": {"LABOUR": 900, "RELIGION": 60, "MERITORIOUS_PEOPLE": 700},
    "13": {"CIVIL_STATUS": 5200, "NOTARY": 120},
    "14": {"BUSINESS_REGISTRATION": 4800, "INVESTMENT": 150, "FINANCE_TAX": 90},
    "15": {"INDUSTRY_TRADE": 1900},
    "16": {"CONSTRUCTION": 650, "HOUSING": 210, "TRANSPORT": 7400},
    "17": {"SCIENCE": 110, "INFORMATION": 60},
    "18": {"LAND": 3100, "ENVIRONMENT": 95, "WATER_RESOURCES": 70, "MINERALS": 25, "AGRICULTURE": 420},
    "19": {"CULTURE": 160, "TOURISM": 75},
    "20": {"EDUCATION": 540},
    "21": {"HEALTH": 800, "FOOD_SAFETY": 380},
}
"""By the department's number. The People's Committee's office and the inspectorate handle no procedures themselves:
they report that there is nothing to report."""
_PROVINCE = {"INVESTMENT": 45, "LAND": 130, "MINERALS": 12}

_MINISTRIES: Mapping[str, Mapping[str, int]] = {
    "G01": {"RESIDENCE": 61_000, "IDENTITY": 88_000},
    "G02": {"INDUSTRY_TRADE": 142_000},
    "G03": {"EDUCATION": 9_800},
    "G06": {"SCIENCE": 21_500, "INFORMATION": 7_300},
    "G08": {"AUTHENTICATION": 33_000},
    "G09": {"LABOUR": 4_600},
    "G10": {"AGRICULTURE": 27_000, "FISHERIES": 8_200, "ENVIRONMENT": 1_300, "MINERALS": 240, "WATER_RESOURCES": 180},
    "G12": {"FINANCE_TAX": 410_000, "INVESTMENT": 320},
    "G15": {"NOTARY": 1_100, "CIVIL_STATUS": 640},
    "G16": {"CULTURE": 5_900, "TOURISM": 2_700},
    "G17": {"TRANSPORT": 96_000, "CONSTRUCTION": 3_400},
    "G18": {"HEALTH": 38_000, "FOOD_SAFETY": 6_100},
    "G19": {"FINANCE_TAX": 2_200},
    "G21": {"RELIGION": 90},
}
"""Ministries that handle procedures themselves."""


@dataclass(frozen=True, slots=True)
class Row:
    """One sector of a report."""

    sector: str
    figures: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Report:
    """A report as a local system has it, before it is sent."""

    agency: str
    name: str
    level: str
    top: str
    """The ministry or province at the head of the agency's branch."""
    period: str
    rows: Sequence[Row]

    def body(self, **more: object) -> bytes:
        """The bytes a local system sends; ``more`` names further members, such as ``corrects``."""
        document: dict[str, object] = {
            "form": FORM,
            "agency": self.agency,
            "period": self.period,
            "rows": [{"sector": row.sector, **row.figures} for row in self.rows],
        }
        if not self.rows:
            document["nil"] = "nothing_to_report"
        return json.dumps(document | more, ensure_ascii=False, separators=(",", ":")).encode()


class Owing(NamedTuple):
    """An agency that owes a report."""

    name: str
    top: str
    """The ministry or province at the head of its branch."""


def a_row(
    sector: str, *, online: int, offline: int, carried: int, late: int, early: int, pending: int, overdue: int
) -> Row:
    """A row of which every total is the sum of its parts (rules R1 to R4)."""
    total = online + offline + carried
    resolved = total - pending
    return Row(
        sector,
        {
            "received_total": total,
            "received_online": online,
            "received_offline": offline,
            "carried_over": carried,
            "resolved_total": resolved,
            "resolved_early": early,
            "resolved_on_time": resolved - early - late,
            "resolved_late": late,
            "pending_total": pending,
            "pending_in_time": pending - overdue,
            "pending_late": overdue,
        },
    )


def country(period: Period, provinces: int) -> list[list[Report]]:
    """A report of every agency in force at the cut-off: a list for each province, Ha Noi first, then the ministries.

    Only so many provinces are taken.
    """
    branches: dict[str, list[Report]] = {"": []}
    for agency in bundled_agencies():
        if _exists(agency, period.cutoff) and agency["code"] != LAND_DEPARTMENT:
            report = _report(agency, period)
            if report is not None:
                branches.setdefault("" if agency["level"] == "ministry" else report.top, []).append(report)
    ministries = branches.pop("")
    chosen = sorted(branches, key=lambda code: (code != CAPITAL, code))[:provinces]
    return [*(branches[code] for code in chosen), ministries]


def owing(day: date) -> dict[str, Owing]:
    """Every agency in force on a day, by code: by the form's regime, each owes a report."""
    return {
        each["code"]: Owing(each["name"], each["parent"] or each["code"])
        for each in bundled_agencies()
        if _exists(each, day)
    }


def land_department(period: str, *rows: Row) -> Report:
    """A report of Ha Noi's department of agriculture and environment, as the story needs it."""
    return Report(LAND_DEPARTMENT, "Sở Nông nghiệp và Môi trường thành phố Hà Nội", "department", CAPITAL, period, rows)


def _exists(agency: AgencyDocument, day: date) -> bool:
    first, last = agency["valid_from"], agency["valid_to"]
    return (first is None or first <= day.isoformat()) and (last is None or day.isoformat() <= last)


def _report(agency: AgencyDocument, period: Period) -> Report | None:
    """The report of an agency; None for a ministry that handles no procedures itself."""
    code, level = agency["code"], agency["level"]
    if level == "ministry" and code not in _MINISTRIES:
        return None
    dice = random.Random(code)  # noqa: S311 - repeatable figures, not secrets
    rows = [_drawn(dice, sector, typical * period.quarters) for sector, typical in _work(agency, dice)]
    return Report(code, agency["name"], level, agency["parent"] or code, period.code, rows)


def _work(agency: AgencyDocument, dice: random.Random) -> Iterator[tuple[str, float]]:
    """The sectors an agency reports on, with its typical dossiers."""
    code, name = agency["code"], agency["name"]
    match agency["level"]:
        case "ministry":
            yield from _MINISTRIES[code].items()
        case "province":
            yield from _PROVINCE.items()
        case "department":
            size = _size(dice, 0.5)
            yield from ((sector, typical * size) for sector, typical in _DEPARTMENTS[code[-2:]].items())
        case _ if "đặc khu Hoàng Sa" not in name:
            size = _size(dice, 0.45) * _of_commune(name)
            count = dice.randint(_FEWEST_SECTORS, len(_COMMUNE))
            yield from ((sector, typical * size) for sector, typical in list(_COMMUNE.items())[:count])


def _of_commune(name: str) -> float:
    """Wards of cities have more to do than rural communes, islands less."""
    if "đặc khu" in name:
        return 0.15
    return 1.5 if "phường" in name else 0.8


def _size(dice: random.Random, spread: float) -> float:
    return dice.lognormvariate(0, spread)


def _drawn(dice: random.Random, sector: str, typical: float) -> Row:
    """Mostly online, little carried over, few late."""
    volume = max(1, round(typical * _size(dice, 0.35)))
    online = round(volume * dice.uniform(0.78, 0.99))
    carried = round(volume * dice.uniform(0, 0.05))
    pending = round((volume + carried) * dice.uniform(0.01, 0.06))
    resolved = volume + carried - pending
    late = round(resolved * dice.triangular(0, 0.02, 0.003))
    return a_row(
        sector,
        online=online,
        offline=volume - online,
        carried=carried,
        late=late,
        early=round((resolved - late) * dice.uniform(0.55, 0.85)),
        pending=pending,
        overdue=round(pending * dice.uniform(0, 0.06)),
    )
