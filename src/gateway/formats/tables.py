"""Tables as reports: a line of ids, then a row a line; columns ``agency`` and ``period`` split them into several."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.errors import Text
from gateway.formats.upload import Bounds, Cell, Faults, Figure, FiledReport, Unreadable

SAID = ("agency", "period")
"""Columns that say whose report a row is of, and for which period; no form has an indicator of these names."""
MAX_COLUMNS = 1000
_ID = re.compile(r"[a-z][a-z0-9_]{0,48}")


def is_line_of_ids(cells: Iterable[object]) -> bool:
    """Whether a line is that of the ids: it holds nothing else."""
    found = [cell for cell in cells if cell is not None and cell != ""]
    return bool(found) and all(isinstance(cell, str) and _ID.fullmatch(cell) for cell in found)


class Spelling(Protocol):
    """How a notation names a line, and a cell of it."""

    def line(self, line: int) -> Text: ...
    def cell(self, line: int, column: int) -> Text: ...


class Table:
    """Collects the rows of a table into reports."""

    def __init__(self, columns: Mapping[int, str], spell: Spelling) -> None:
        """``columns`` are the ids by column, as ``header`` gives them."""
        self._columns, self._spell = columns, spell
        self._numbers = {name: column for column, name in columns.items()}
        self._said = [name for name in SAID if name in self._numbers]
        self._bounds = Bounds()
        self._found: dict[tuple[str | None, ...], tuple[FiledReport, list[int]]] = {}

    @property
    def reports(self) -> list[FiledReport]:
        """Reports in the order in which the table begins them."""
        return [report for report, _ in self._found.values()]

    def add(self, line: int, cells: Mapping[int, Cell], faults: Faults) -> None:
        """Take the cells of a line that hold something, by column."""
        self._bounds.row()
        self._bounds.take(cells.values())
        row = {self._columns[column]: cell for column, cell in cells.items()}
        said: dict[str, str] = {}
        for name in self._said:
            cell = row.pop(name, None)
            if name == "period" and isinstance(cell, Figure) and cell.value == cell.value.to_integral_value():
                cell = f"{cell.value:f}"  # a year, as spreadsheets keep it
            if isinstance(cell, str):
                said[name] = cell
            else:
                reason = cell.message if isinstance(cell, Unreadable) else _SAY_IT
                faults.add(self._spell.cell(line, self._numbers[name]), reason)
        key = tuple(said.get(name) for name in SAID)
        if key not in self._found:
            self._bounds.report()
            lines: list[int] = []
            at = {name: self._spell.cell(line, self._numbers[name]) for name in said}
            spots = _Spots(lines, self._numbers, self._spell)
            self._found[key] = FiledReport(said, at, spot=spots), lines
        report, lines = self._found[key]
        report.rows.append(row)
        lines.append(line)


_SAY_IT = Text(
    "Cột này phải có trong mọi dòng, dạng chữ.", "Every row says this, as text, where the table has a column for it."
)


@dataclass(frozen=True, slots=True)
class _Spots:
    lines: Sequence[int]
    names: Mapping[str, int]
    spell: Spelling

    def __call__(self, row: int, column: str | None) -> Text | None:
        if row >= len(self.lines):
            return None
        found = self.names.get(column) if column is not None else None
        return self.spell.line(self.lines[row]) if found is None else self.spell.cell(self.lines[row], found)


def header(names: Mapping[int, str], line: int, spell: Spelling) -> dict[int, str]:
    """The columns of a table by their number, of the cells of its line of ids. Raises ``MalformedRequest``."""
    faults = Faults()
    seen: dict[str, int] = {}
    for column, name in names.items():
        if seen.setdefault(name, column) != column:
            faults.add(spell.cell(line, column), Text("Tên cột xuất hiện hai lần.", "The column is named twice."))
        elif not _ID.fullmatch(name):
            faults.add(
                spell.cell(line, column),
                Text(
                    "Không phải mã cột: dòng đầu gồm mã phân tổ và mã chỉ tiêu như trong tệp mẫu.",
                    "Not the id of a column: the first line has ids of breakdowns and indicators, as in the template.",
                ),
            )
    faults.settle()
    return dict(names)
