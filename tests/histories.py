"""Histories of reports and agencies, drawn by hypothesis: who tells which story, and what changes meanwhile."""

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import product
from typing import Any, NamedTuple

from hypothesis import strategies as st

from factories import body
from measured_form import CODE, INDICATORS, NUMBERS, PERCENTAGES, REFUSED, SECTORS, STAGES
from recomputing import ENDS

Key = tuple[str, str, str]
"""Agency, period and kind of a report."""

PROVINCES, DEPARTMENTS = ("X01", "X02", "X03"), ("X01.01", "X01.02", "X02.01", "X03.01")
UNITS, APART = ("X01.01.01", "X02.01.01", "X03.01.01"), "X09"
"""``APART`` owes a consolidation of what nobody below it reports here, so that it is counted."""
MERGED = {"X03.02": ("2097-04-30", "X03.03"), "X03.03": ("2097-07-31", "X02.01")}
"""Agencies that are closed one after the other, with their last days and into whom they are merged."""
MOVED = ("X01.02", "2097-08-01", "X02")
"""An agency, and from which day on it stands under whom."""
LATER = ("X01.03", "X02.02", "X03.02.01")
"""Agencies that there may be later, each with the one it would be put under."""
DAYS = ("2097-05-01", "2097-08-01", "2097-11-01")
"""When agencies may change: between the last days of the quarters."""
TODAY = "2098-06-01"


class Step(NamedTuple):
    """Something a sender does; ``seed`` gives the figures."""

    what: str
    seed: int


class Reform(NamedTuple):
    """A change to the catalogue: what happens to an agency from a day on, ``other`` being its new parent or heir."""

    what: str
    agency: str
    other: str
    day: str


class Phase(NamedTuple):
    """What happens at the same time: stories of reports, changes to the catalogue, consolidations made here."""

    stories: Mapping[Key, list[Step]]
    reforms: list[Reform]
    consolidations: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class History:
    """One phase after another, and where to begin among the questions there are."""

    phases: list[Phase]
    seed: int


def a_root(code: str, level: str = "province") -> dict[str, Any]:
    return {"code": code, "name": code, "level": level, "parent": None, "valid_from": "2020-01-01", "valid_to": None}


def a_branch(code: str, parent: str, **changes: object) -> dict[str, Any]:
    """An agency below another; its level follows from its code."""
    level = "department" if code.count(".") == 1 else "unit"
    return a_root(code, level) | {"parent": parent, "successor": None} | changes


FIRST = [
    *(a_root(code) for code in PROVINCES),
    a_root(APART, "ministry"),
    *(a_branch(code, code.rsplit(".", 1)[0]) for code in (*DEPARTMENTS, *UNITS)),
    a_branch(MOVED[0], MOVED[2], valid_from=MOVED[1]),
    *(a_branch(code, "X03", valid_to=end, successor=heir) for code, (end, heir) in MERGED.items()),
]
"""The agencies there are at first."""
REGIME = {
    "code": CODE,
    "legal_basis": "Chế độ đo",
    "forms": [CODE],
    "frequency": "quarterly",
    "who": [
        *({"under": code} for code in PROVINCES),
        *({"agencies": [code], "report_kind": "consolidation"} for code in (APART, PROVINCES[1])),
    ],
}
_ALWAYS: list[Key] = [(next(iter(MERGED)), "2097-Q1", "own"), (MOVED[0], "2097-Q2", "own")]
_RECEIVED: list[Key] = [(APART, "2097-Q2", "consolidation"), (APART, "2097-Q3", "consolidation")]
_REPORTING = (*PROVINCES, *DEPARTMENTS, *UNITS, *LATER)
_OWN = [each for each in product(_REPORTING, ENDS, ["own"]) if each not in _ALWAYS]
NOT_COUNTED: list[Key] = [(PROVINCES[1], "2097-Q2", "consolidation")]
_PLACES = 15
"""Reports whose revision a sum of marks can tell: 30 digits, two for each."""

_steps = st.builds(
    Step,
    st.sampled_from(["push"] * 5 + ["nil", "return", "return", "withdraw", "wrong", "again", "clash"]),
    st.integers(0, 2**32),
)
_days = st.sampled_from(DAYS)


def _reforms() -> st.SearchStrategy[Reform]:
    """Agencies of each rank move below, and are merged into, agencies of the rank that such a thing can happen to."""
    below = st.builds(Reform, st.just("move"), st.sampled_from(DEPARTMENTS), st.sampled_from(PROVINCES), _days)
    units = st.builds(
        Reform, st.just("move"), st.sampled_from(UNITS), st.sampled_from((*PROVINCES, *DEPARTMENTS)), _days
    )
    merged = [
        st.builds(
            Reform, st.sampled_from(["merge", "merge", "close"]), st.sampled_from(rank), st.sampled_from(rank), _days
        )
        for rank in (PROVINCES, DEPARTMENTS, UNITS)
    ]
    begun = st.builds(Reform, st.just("begin"), st.sampled_from(LATER), st.sampled_from(DEPARTMENTS), _days)
    version = st.just(Reform("version", "", "", ""))
    return st.one_of(below, units, *merged, begun, version)


@st.composite
def histories(draw: st.DrawFn) -> History:
    keys = [
        *draw(st.lists(st.sampled_from(_OWN), min_size=8, max_size=_PLACES - 5, unique=True)),
        *_ALWAYS,
        *_RECEIVED,
        *NOT_COUNTED,
    ]
    phases = [
        Phase(
            {key: draw(st.lists(_steps, min_size=1, max_size=3)) for key in keys},
            draw(st.lists(_reforms(), min_size=1, max_size=2)),
            [(PROVINCES[0], draw(st.sampled_from(list(ENDS))))],
        )
        for _ in range(2)
    ]
    return History(phases, draw(st.integers(0, 2**32)))


def a_measured_report(key: Key, version: int, mark: int | None, step: Step, **changes: object) -> bytes:
    """The bytes of a report; ``mark`` None is one with nothing to report. One row carries the mark."""
    agency, period, kind = key
    chance = random.Random(step.seed)  # noqa: S311 - to be repeated, not secret
    places = chance.sample(list(product(SECTORS, STAGES)), chance.randint(1, 4))
    rows = [_row(chance, version, sector, stage) for sector, stage in places] if mark is not None else []
    if mark is not None:
        rows[0]["mark"] = mark
    if step.what == "wrong":
        rows[0]["received"] = REFUSED
    nil = "nothing_to_report" if mark is None else None
    document = {"form": CODE, "form_version": version, "agency": agency, "period": period, "kind": kind}
    return re.sub(rb'"@([^"]*)"', rb"\1", body(document | {"rows": rows, "nil": nil} | changes))


def _row(chance: random.Random, version: int, sector: str, stage: str) -> dict[str, Any]:
    row: dict[str, Any] = {"sector": sector, "stage": stage}
    for name, kind in INDICATORS.items():
        if name == "mark" or kind.since > version or chance.random() < 0.15:
            continue
        if name == "note":
            row[name] = chance.choice(["tạm tính", "số liệu sơ bộ", "-"])
        elif name == "urgent":
            row[name] = chance.random() < 0.5
        else:
            row[name] = _number(chance, name)
    return row


def _number(chance: random.Random, name: str) -> int | str:
    """A figure with few digits or with very many, half of them negative; ``@`` stands before one with a point."""
    places = NUMBERS[name]
    if name in PERCENTAGES:
        return f"@{Decimal(chance.randint(0, 10_000)) / 100:f}"
    digits = chance.choice([0, 1, 3, 12, min(30 + places, 36)])
    value = chance.randrange(-(10**digits) + 1, 10**digits)
    return f"@{Decimal(f'{value}e-{places}'):f}" if places else value
