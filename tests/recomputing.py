"""Figures computed a second time: by DuckDB, from the bytes that were pushed, with SQL written from the contract.

Nothing here knows the gateway's code or its tables. What the contract leaves to a formula is divided with fractions
(a ``DECIMAL`` cannot hold a third).
"""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import duckdb

from measured_form import INDICATORS, NUMBERS, VERSIONS, recomputed

Row = dict[str, Any]

ENDS = {"2097-Q1": "2097-03-14", "2097-Q2": "2097-06-14", "2097-Q3": "2097-09-14", "2097-Q4": "2097-12-14"}
"""The last days of the quarters (Decree 09/2019: from the 15th to the 14th)."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of the form: ``periods`` in order of time, ``today`` where the view is the reorganised one."""

    periods: tuple[str, ...]
    by: tuple[str, ...] = ()
    under: str | None = None
    today: str | None = None

    @property
    def is_over_time(self) -> bool:
        return len(self.periods) > 1 and "period" not in self.by


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What was known at a time: versions of agencies as they were put, and the form's versions."""

    agencies: tuple[Mapping[str, Any], ...]
    versions: tuple[int, ...]

    def newest(self, question: Question) -> int:
        """The form version whose columns and formulas an answer has."""
        last = max(ENDS[each] for each in question.periods)
        return max([each for each in self.versions if VERSIONS[each] <= last] or self.versions)


_TABLES = f"""
CREATE TABLE quarters (period VARCHAR, ends DATE);
INSERT INTO quarters VALUES {", ".join(f"('{period}', DATE '{end}')" for period, end in ENDS.items())};
CREATE TABLE agencies (catalogue INT, code VARCHAR, parent VARCHAR, level VARCHAR, successor VARCHAR,
                       valid_from DATE, valid_to DATE);
CREATE TABLE reports (report INT, agency VARCHAR, period VARCHAR, version INT);
CREATE TABLE figures (report INT, sector VARCHAR, stage VARCHAR,
                      {", ".join(f"{name} {each.column}" for name, each in INDICATORS.items())});
"""

# Where every agency counts: its branch is the child of $under (or the root) it stands below, or $under itself. Without
# $today each period has the tree of its own last day; with it every period has that day's, the closed as successors.
# One not in force on the day stands where it last stood, or where it first will.
_PLACED = """
WITH RECURSIVE days AS (
    SELECT period, coalesce($today::DATE, ends) AS day FROM quarters
), known AS (
    SELECT d.period, d.day, a.* FROM days d, agencies a WHERE a.catalogue = $catalogue
   QUALIFY row_number() OVER (PARTITION BY d.period, a.code
             ORDER BY valid_from <= day DESC, CASE WHEN valid_from <= day THEN valid_from END DESC, valid_from) = 1
), merged AS (
    SELECT period, code, successor FROM known WHERE $today IS NOT NULL AND valid_to < day AND successor IS NOT NULL
), heirs AS (
    SELECT period, code, code AS heir FROM known
     UNION
    SELECT h.period, h.code, m.successor FROM heirs h JOIN merged m ON m.period = h.period AND m.code = h.heir
), who AS (
    SELECT * FROM heirs h WHERE NOT EXISTS (FROM merged m WHERE m.period = h.period AND m.code = h.heir)
), parents AS (
    SELECT k.period, k.code, k.level, w.heir AS parent
      FROM known k LEFT JOIN who w ON w.period = k.period AND w.code = k.parent
), climbed AS (
    SELECT period, code AS agency, heir AS who, heir AS step FROM who
     UNION
    SELECT c.period, c.agency, c.who, p.parent FROM climbed c JOIN parents p ON p.period = c.period AND p.code = c.step
     WHERE p.parent IS NOT NULL AND c.step IS DISTINCT FROM $under
), placed AS (
    SELECT c.period, c.agency, c.step AS branch, c.step IS NOT DISTINCT FROM $under AS own, l.level
      FROM climbed c
      JOIN parents p ON p.period = c.period AND p.code = c.step
      JOIN parents l ON l.period = c.period AND l.code = c.who
     WHERE CASE WHEN $under IS NULL THEN p.parent IS NULL
                ELSE p.parent = $under AND c.step <> $under OR c.who = $under END
)
"""


class Recomputation:
    """An independent engine over all that was pushed and all that was known, by numbers that the test gives."""

    def __init__(self) -> None:
        self._duckdb = duckdb.connect(config={"threads": 1})
        self._duckdb.execute(_TABLES)
        self.catalogues: list[Catalogue] = []
        self._made: set[str] = set()

    def close(self) -> None:
        self._duckdb.close()

    def know(self, catalogue: Catalogue) -> int:
        """Take in what the catalogue was at a time; its number."""
        self.catalogues.append(catalogue)
        number = len(self.catalogues) - 1
        names = ("code", "parent", "level", "successor", "valid_from", "valid_to")
        rows = [(number, *(each.get(name) for name in names)) for each in catalogue.agencies]
        self._duckdb.executemany("INSERT INTO agencies VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        return number

    def take(self, report: int, version: int, payload: bytes) -> None:
        """Take in the bytes of a report; its numbers stay text until DuckDB reads them."""
        document = json.loads(payload, parse_int=str, parse_float=str)
        head = (report, document["agency"], document["period"], version)
        self._duckdb.execute("INSERT INTO reports VALUES (?, ?, ?, ?)", head)
        for row in document["rows"]:
            cells = [row["sector"], row["stage"], *(row.get(name) for name in INDICATORS)]
            self._duckdb.execute(f"INSERT INTO figures VALUES (?{', ?' * len(cells)})", [report, *cells])

    def heir(self, catalogue: int, code: str, today: str) -> str:
        """Who an agency is today."""
        given = {"catalogue": catalogue, "today": today, "under": code}
        ((heir,),) = self._rows(_PLACED + "SELECT DISTINCT heir FROM who WHERE code = $under", given)
        return str(heir)

    def within(self, catalogue: int, question: Question) -> set[tuple[str, str]]:
        """The agencies and periods whose reports count in an answer."""
        found = self._rows(f"SELECT agency, period FROM {self._placed(catalogue, question)}", {})
        return {(agency, period) for agency, period in found if period in question.periods}

    def versions(self, reports: Collection[int]) -> list[int]:
        """The form versions that reports followed."""
        found = self._rows(
            "SELECT DISTINCT version FROM reports WHERE report IN (SELECT unnest($reports)) ORDER BY version",
            {"reports": list(reports)},
        )
        return [version for (version,) in found]

    def rows(self, catalogue: int, question: Question, reports: Iterable[int]) -> list[Row]:
        """The rows of an answer that counts these reports."""
        version = self.catalogues[catalogue].newest(question)
        keys = _keys(question)
        shown = [name for name, each in INDICATORS.items() if each.since <= version]
        combined = ", ".join(f"{_combined(name, question)} AS {name}" for name in shown)
        statement = f"""
SELECT {", ".join(f"{expression} AS {name}" for name, expression in keys.items())}, count(*) AS number, {combined}
  FROM reports h JOIN figures f USING (report)
  JOIN {self._placed(catalogue, question)} p ON p.agency = h.agency AND p.period = h.period
 WHERE h.report IN (SELECT unnest($reports)) AND h.period IN (SELECT unnest($periods)) AND $first <= $last
 GROUP BY ALL
"""
        given = {"reports": list(reports), "periods": list(question.periods)}
        given |= {"first": question.periods[0], "last": question.periods[-1]}
        names = [*keys, "number", *shown]
        found = [dict(zip(names, row, strict=True)) for row in self._rows(statement, given)]
        return [_answered(row, question, version) for row in found]

    def cells(self, reports: Collection[int]) -> dict[tuple[int, str, str, str], object]:
        """Every value of some reports that is not blank, by report, sector, stage and indicator."""
        names = list(INDICATORS)
        statement = (
            f"SELECT report, sector, stage, {', '.join(names)} FROM figures WHERE report IN (SELECT unnest($reports))"
        )
        return {
            (report, sector, stage, name): value
            for report, sector, stage, *values in self._rows(statement, {"reports": list(reports)})
            for name, value in zip(names, values, strict=True)
            if value is not None
        }

    def _placed(self, catalogue: int, question: Question) -> str:
        """The table of where every agency counts, made once."""
        given = {"catalogue": catalogue, "today": question.today, "under": question.under}
        name = f'"{catalogue} {question.today} {question.under}"'
        if name not in self._made:
            self._duckdb.execute(f"CREATE TABLE {name} AS {_PLACED} SELECT * FROM placed", given)
            self._made.add(name)
        return name

    def _rows(self, statement: str, given: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        return self._duckdb.execute(statement, dict(given)).fetchall()


def _keys(question: Question) -> dict[str, str]:
    """What tells the rows of an answer apart: what was asked for, and always the stage, which is never added."""
    keys = {"stage": "f.stage"}
    for name, expression in (("level", "p.level"), ("period", "h.period"), ("sector", "f.sector")):
        if name in question.by:
            keys[name] = expression
    return keys | {"agency": "p.branch", "own": "p.own"} if "agency" in question.by else keys


def _combined(name: str, question: Question) -> str:
    """A figure of several rows, or of the rows of the first or the last period."""
    kind = INDICATORS[name]
    wanted = {"first": "FILTER (WHERE h.period = $first)", "last": "FILTER (WHERE h.period = $last)"}
    of = wanted.get(kind.over_time, "") if question.is_over_time else ""
    if kind.over_agencies == "sum":
        return f"sum({name}) {of}"
    return f"CASE WHEN count(*) {of} = 1 THEN min({name}) {of} END"


def _answered(row: Row, question: Question, version: int) -> Row:
    """A row as it has to be answered: formulas computed over combined figures, nothing that may not be combined."""
    figures = {name: Fraction(row[name]) for name in NUMBERS if row.get(name) is not None}
    alone = row.pop("number") == 1
    for name, kind in INDICATORS.items():
        if name not in row:
            continue
        if question.is_over_time and kind.over_time == "none":
            row[name] = None
        elif (kind.over_time if question.is_over_time else kind.over_agencies) == "formula" and (
            question.is_over_time or not alone
        ):
            row[name] = recomputed(name, version, figures)
        elif name in figures:
            row[name] = figures[name]
    return row
