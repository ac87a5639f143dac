"""Whatever notation a report comes in, it is the same report: the same rows, and the same findings."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from factories import a_breakdown, a_codelist, a_form, a_rule, an_agency, an_indicator
from files import a_csv, a_group, an_adx, written
from gateway.domain.catalogue import Catalogue
from gateway.domain.exact import encode
from gateway.domain.form import Form
from gateway.flow.judge import Knowledge, verdict_on
from gateway.flow.load import catalogue_of
from gateway.flow.prepare import Push, prepare
from gateway.flow.unpack import ADX, CSV, JSON, SDMX_CSV, SDMX_GENERIC, SDMX_ML_3, SDMX_SPECIFIC, XLSX, unpack
from gateway.flow.validate import Verdict
from gateway.formats.sdmx_codes import code_ids
from gateway.formats.sdmx_csv import CsvData
from gateway.formats.sdmx_mapping import Structures
from gateway.formats.sdmx_ml import ML_2_1, ML_3_0
from gateway.formats.sdmx_ml_data import GenericData, Shown, SpecificData
from gateway.formats.sdmx_structures import Header, Series
from gateway.formats.xml import escaped
from workbooks import inline, line, packed, parts

PERIODS = {"2098": "A", "2098-S1": "S", "2098-Q3": "Q", "2098-07": "M", "2098-W07": "W", "2098-9M": "M9"}
FREQUENCIES = ["annual", "half_yearly", "quarterly", "monthly", "weekly", "nine_months", "ad_hoc"]
CODES = ("LAND", "1.2", "1-2", "x_y")
STAGES = ("PLAN", "ACTUAL")
ENVELOPE = {"form": "TEST_01", "agency": "H26.18"}
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Case:
    """A form, and a report of it."""

    catalogue: Catalogue
    form: Form
    period: str
    rows: list[Row]

    def judged(self, media_type: str, content: bytes, **said: str) -> Verdict:
        """What is said of the report in one notation."""
        nobody = UUID(int=0)
        [push] = unpack(Push(content, media_type, nobody, None, "en", query=urlencode(said)))
        prepared = prepare(push, self.catalogue, date(2098, 1, 1))
        return verdict_on(prepared, Knowledge(self.catalogue, datetime(2098, 1, 1, tzinfo=UTC)))

    @property
    def texts(self) -> list[str]:
        return [each.id for each in self.form.indicators if each.type == "text"]


def the_rest(kind: str) -> dict[str, object]:
    never: dict[str, object] = {"over_agencies": "none", "over_time": "none", "min": None}
    known: dict[str, dict[str, object]] = {"integer": {"min": -5}, "decimal": {"scale": 4, "min": None}}
    return known.get(kind, never)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    kinds = draw(
        st.lists(st.sampled_from(["integer", "decimal", "percent", "text", "boolean"]), min_size=1, max_size=5)
    )
    needed = draw(st.lists(st.booleans(), min_size=len(kinds), max_size=len(kinds)))
    indicators = [
        an_indicator(id=f"i{n}", type=kind, required=needed[n], **the_rest(kind)) for n, kind in enumerate(kinds)
    ]
    numbers = [f"i{n}" for n, kind in enumerate(kinds) if kind in {"integer", "decimal"}]
    rules = [a_rule(id=f"R{n}", check=f"{a} >= {b}") for n, (a, b) in enumerate(itertools.pairwise(numbers))]
    breakdowns = [a_breakdown(codelist="TEST_CODES")]
    if draw(st.booleans()):
        breakdowns.append(
            a_breakdown(id="agency_b" if draw(st.booleans()) else "freq", codelist="STAGES", total="none")
        )
    document = a_form(indicators=indicators, rules=rules, breakdowns=breakdowns, frequencies=FREQUENCIES)
    catalogue = catalogue_of(
        [
            ("form", document),
            ("codelist", a_codelist(*CODES)),
            ("codelist", a_codelist(*STAGES, id="STAGES")),
            ("agency", an_agency(code="H26.18", parent=None, level="province", valid_from=None)),
        ]
    )
    form = catalogue.forms["TEST_01"][0]
    names = [each.id for each in form.breakdowns]
    rows = [draw(a_row(form, dict(zip(names, codes, strict=False)))) for codes in draw(keys())]
    return Case(catalogue, form, draw(st.sampled_from(sorted(PERIODS))), rows)


def keys() -> st.SearchStrategy[list[tuple[str, str]]]:
    wrong = ("LAND", "1.2", "1-2", "x_y", "WRONG", "_T")
    pairs = st.tuples(st.sampled_from(wrong), st.sampled_from(STAGES))
    return st.lists(pairs, min_size=1, max_size=6, unique_by=lambda each: each[0])


LETTERS = st.characters(exclude_categories=["Cc", "Cs", "Cn"], exclude_characters="\ufffe\uffff")
TEXTS = st.text(st.one_of(LETTERS, st.sampled_from(' ",;\t\n<>&=|')), min_size=1, max_size=12)


def cell_of(kind: str) -> st.SearchStrategy[object]:
    match kind:
        case "integer":
            return st.one_of(st.integers(-9, 99), st.integers(10**20, 10**31))
        case "decimal":
            return st.decimals(-(10**6), 10**25, places=5, allow_nan=False, allow_infinity=False)
        case "percent":
            return st.decimals(-1, 101, places=2, allow_nan=False, allow_infinity=False)
        case "boolean":
            return st.booleans()
        case _:
            return TEXTS


@st.composite
def a_row(draw: st.DrawFn, form: Form, codes: Mapping[str, str]) -> Row:
    names = [each.id for each in form.breakdowns]
    row: Row = {name: codes[name] for name in names}
    cells = {each.id: draw(st.one_of(st.none(), cell_of(each.type))) for each in form.indicators}
    if all(cell is None for cell in cells.values()):  # a row that says nothing is none where values stand alone
        cells[form.indicators[0].id] = draw(cell_of(form.indicators[0].type))
    return row | cells


def in_json(case: Case) -> Verdict:
    return case.judged(JSON, encode(ENVELOPE | {"period": case.period, "rows": case.rows}))


def in_csv(case: Case, delimiter: str = ",") -> Verdict:
    return case.judged(CSV, a_csv(case.rows, delimiter, bom=delimiter == ";"), **ENVELOPE, period=case.period)


def in_xlsx(case: Case) -> Verdict:
    names = list(case.rows[0])
    lines = [line(1, *map(inline, names))]
    for number, row in enumerate(case.rows, start=2):
        lines.append(line(number, *(sheet_cell(row[name]) for name in names)))
    return case.judged(XLSX, packed(parts("".join(lines))), **ENVELOPE, period=case.period)


def sheet_cell(value: object) -> str:
    """A cell as a program writes it that loses nothing: what has too many digits as text."""
    match value:
        case None:
            return "<c/>"
        case bool():
            return f'<c t="b"><v>{int(value)}</v></c>'
        case int() | Decimal() if len(f"{value:f}".strip("-0").replace(".", "")) <= 15:
            return f"<c><v>{value:f}</v></c>"
        case _:
            return inline(escaped(str(written(value))).replace("_x", "_x005F_x"))


def in_adx(case: Case) -> Verdict:
    said = {"dataSet": "TEST_01", "orgUnit": "H26.18", "period": case.period}
    group = a_group(case.rows, [each.id for each in case.form.breakdowns], case.texts, **said)
    return case.judged(ADX, an_adx(group))


def in_sdmx(media_type: str, flat: bool = False) -> Callable[[Case], Verdict]:
    return lambda case: case.judged(media_type, sdmx(case, media_type, flat))


def sdmx(case: Case, media_type: str, flat: bool) -> bytes:
    """The message that this gateway itself would make of the rows."""
    structures = Structures(case.catalogue, "VNGOV", date(2098, 1, 1))
    structure, flow = structures.structure(case.form), structures.dataflow(case.form).reference
    shown = Shown(frozenset({"OBS_STATUS", "DECIMALS"}), flat=flat)
    name, _, version = media_type.partition(";version=")
    writers: dict[str, Callable[[], Any]] = {
        SDMX_CSV: lambda: CsvData(int(version[0]), flow, structure, shown),
        SDMX_GENERIC: lambda: GenericData(structure, shown),
        SDMX_SPECIFIC: lambda: SpecificData(ML_2_1, structure, shown),
        SDMX_ML_3: lambda: SpecificData(ML_3_0, structure, shown),
    }
    writer = writers[name]()
    said = Header("M1", "2098-01-01T00:00:00Z", "VNGOV")
    quote = quoted if name == SDMX_CSV else str  # texts, which the gateway's own messages have none of
    pieces = writer.pieces(series for row in case.rows for series in series_of(case, row, quote))
    return bytes(writer.opening(said) + writer.data_set() + pieces + writer.closing(False))


def quoted(text: str) -> str:
    """A field of CSV (RFC 4180, 2)."""
    return '"' + text.replace('"', '""') + '"'


def series_of(case: Case, row: Row, quote: Callable[[str], str]) -> list[Series]:
    written_period = "2097-12-15/P9M" if case.period == "2098-9M" else case.period
    codes = [
        code_ids(case.catalogue.codelists[each.codelist]).get(row[each.id], row[each.id])
        for each in case.form.breakdowns
    ]
    return [
        Series(
            (PERIODS[case.period], "H26-18", each.id, *codes),
            {"OBS_STATUS": "A", "DECIMALS": "0"},
            [(written_period, quote(str(written(row[each.id]))))],
        )
        for each in case.form.indicators
        if row[each.id] is not None
    ]


def findings(verdict: Verdict) -> list[object]:
    """What is found, but for the place in the file."""
    return sorted((msgspec.structs.replace(each, place=None) for each in verdict.findings), key=repr)


NOTATIONS: dict[str, Callable[[Case], Verdict]] = {
    "CSV": in_csv,
    "CSV of Excel": lambda case: in_csv(case, ";"),
    "XLSX": in_xlsx,
    "ADX": in_adx,
    "SDMX-CSV 1.0": in_sdmx(f"{SDMX_CSV};version=1.0.0"),
    "SDMX-CSV 2.0": in_sdmx(f"{SDMX_CSV};version=2.0.0"),
    "SDMX-ML 2.1 generic": in_sdmx(SDMX_GENERIC),
    "SDMX-ML 2.1 generic, flat": in_sdmx(SDMX_GENERIC, flat=True),
    "SDMX-ML 2.1 specific": in_sdmx(SDMX_SPECIFIC),
    "SDMX-ML 3.0": in_sdmx(SDMX_ML_3),
    "SDMX-ML 3.0, flat": in_sdmx(SDMX_ML_3, flat=True),
}


@pytest.mark.parametrize("notation", NOTATIONS)
@settings(max_examples=10, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(case=cases())
def test_a_report_is_the_same_in_every_notation(notation: str, case: Case) -> None:
    expected, found = in_json(case), NOTATIONS[notation](case)
    assert found.rows == expected.rows
    assert findings(found) == findings(expected)
    assert found.refused == expected.refused
    assert all(each.place for each in found.findings if each.pointer.startswith("/rows/"))
