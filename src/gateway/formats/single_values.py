"""Single values as reports: each is said of which form, agency and period it is, of which row, and which indicator.

Values of one report and one row may stand anywhere in a file; two for the same cell are a finding at that cell.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from gateway.errors import Text
from gateway.formats.upload import Bounds, Cell, FiledReport, Row, Unreadable

Path: TypeAlias = tuple[int, ...]
"""Where a value stands: the numbers that its notation counts elements by."""


class Spelling:
    """How a notation writes where a value stands."""

    def path(self, path: Path) -> Text:
        """The place of a value."""
        raise NotImplementedError


class Observations:
    """Collects values into reports."""

    def __init__(self, spell: Spelling, *, is_sdmx: bool = False) -> None:
        self._spell, self._is_sdmx = spell, is_sdmx
        self._bounds = Bounds()
        self._found: dict[tuple[tuple[str, str], ...], _Growing] = {}

    @property
    def reports(self) -> list[FiledReport]:
        """Reports in the order in which the file begins them."""
        return [each.report for each in self._found.values()]

    def begin(self, said: Mapping[str, str], at: Mapping[str, Text]) -> None:
        """A report begins, or goes on: what is said of it, and where."""
        key = tuple(sorted(said.items()))
        if key not in self._found:
            places = _Places(self._spell)
            report = FiledReport(dict(said), dict(at), spot=places, is_sdmx=self._is_sdmx)
            self._bounds.report()
            self._found[key] = _Growing(report, places)
        self._current = self._found[key]

    def add(self, codes: Mapping[str, str], indicator: str, cell: Cell | None, path: Path) -> None:
        """Take a value of the report that was begun last; None is a blank."""
        number = self._current.row_of(codes, self._bounds)
        row = self._current.report.rows[number]
        places = self._current.places.cells[number]
        if indicator in places or indicator in codes:
            twice = self._spell.path(path)
            message = Text(
                f"Giá trị được nêu hai lần; lần thứ hai ở {twice.vi}.",
                f"The value is there twice; again at {twice.en}.",
            )
            row[indicator] = Unreadable(message, "duplicate")
        elif cell is not None:
            self._bounds.take((cell,))
            row[indicator] = cell
        places.setdefault(indicator, path)


class _Growing:
    """A report that grows, and its rows by their codes."""

    def __init__(self, report: FiledReport, places: "_Places") -> None:
        self.report, self.places = report, places
        self._rows: dict[tuple[tuple[str, str], ...], int] = {}

    def row_of(self, codes: Mapping[str, str], bounds: Bounds) -> int:
        key = tuple(sorted(codes.items()))
        number = self._rows.get(key)
        if number is None:
            bounds.row()
            bounds.take(codes.values())
            number = self._rows[key] = len(self.report.rows)
            row: Row = {name: code for name, code in codes.items() if code}
            self.report.rows.append(row)
            self.places.cells.append({})
        return number


class _Places:
    """Where the cells of a report stand; a row stands where its first value does."""

    def __init__(self, spell: Spelling) -> None:
        self._spell = spell
        self.cells: list[dict[str, Path]] = []

    def __call__(self, row: int, column: str | None) -> Text | None:
        if row >= len(self.cells) or not self.cells[row]:
            return None
        found = self.cells[row]
        path = found.get(column) if column is not None else None
        return self._spell.path(next(iter(found.values())) if path is None else path)


def counted(steps: Sequence[tuple[str, int]]) -> Text:
    """A path of elements, each with its number among those of its name, as XPath writes it."""
    path = "".join(f"/{name}[{number}]" if number else f"/{name}" for name, number in steps)
    return Text(path, path)
