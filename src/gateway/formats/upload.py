"""What a pushed file holds, whatever its notation: reports, their rows as they are written, and where each stands.

A reader of a notation makes ``FiledReport``s of bytes. It knows no form: cells stay as they are written until one is
known (``typed``), and what cannot be read stays in its place as ``Unreadable``, to become a finding there.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NoReturn, TypeAlias

from gateway.domain.report import MAX_ROWS
from gateway.errors import ContentTooLarge, MalformedRequest, Place, Text

MAX_CELLS = 1_000_000
"""Cells with something in them that one file may hold."""
MAX_FILE_ROWS = 100_000
"""Rows of all the reports of one file."""
MAX_TEXT = 16 * 1024 * 1024
"""Characters of all cells together: a workbook may refer to one long text from any number of them."""
MAX_PARTS = 200
"""Reports of one file."""
MAX_FAULTS = 1000
"""Faults of a file that one answer names."""
MAX_DIGITS = 100
"""Characters of a number; no indicator takes as many."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A number as a spreadsheet keeps it, and whether it is shown as a percentage there."""

    value: Decimal
    is_percent: bool = False


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A cell that holds nothing to be taken: why not, the finding it comes to, and what is written there."""

    message: Text
    rule: str = "type"
    text: str | None = None


Cell: TypeAlias = str | bool | Figure | Unreadable
Row: TypeAlias = dict[str, Cell]
Spot: TypeAlias = Callable[[int, str | None], Text | None]
"""Where a row stands, or its cell in a column."""


def nowhere(_: int, __: str | None) -> Text | None:
    return None


@dataclass(slots=True)
class FiledReport:
    """A report as a file holds it.

    ``said`` is what the file says of it besides its rows (agency, period …) and ``at`` where. In SDMX columns and codes
    have names of its own (``is_sdmx``).
    """

    said: dict[str, str] = field(default_factory=dict)
    at: dict[str, Text] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    spot: Spot = nowhere
    is_sdmx: bool = False

    def place(self, pointer: str) -> Text | None:
        """Where that is in the file which a JSON Pointer into the report names."""
        steps = pointer.split("/")[1:]
        if len(steps) > 1 and steps[0] == "rows":
            return self.spot(int(steps[1]), steps[2] if len(steps) > 2 else None)
        return self.at.get(steps[0]) if len(steps) == 1 else None


@dataclass(slots=True)
class Faults:
    """What is wrong with a file that cannot be taken at all, place by place, so that its writer sees all at once."""

    places: list[Place] = field(default_factory=list)

    def add(self, spot: Text, message: Text) -> None:
        """Note a fault; raises what was noted when that is enough for one answer."""
        both = Text(f"{spot.vi}: {message.vi}", f"{spot.en}: {message.en}") if spot.en else message
        self.places.append(Place(spot.en, both))
        if len(self.places) >= MAX_FAULTS:
            self.settle()

    def settle(self) -> None:
        """Raises ``MalformedRequest`` if there was anything."""
        if self.places:
            count = len(self.places)
            raise MalformedRequest(
                Text(f"Số lỗi của tệp: {count}.", f"Faults of the file: {count}."), errors=self.places
            )


def malformed(message: Text, spot: Text | None = None) -> MalformedRequest:
    """The refusal of a file for one reason."""
    faults = Faults()
    faults.add(spot or Text("", ""), message)
    return MalformedRequest(faults.places[0].message, errors=faults.places)


@dataclass(slots=True)
class Bounds:
    """Counts what a file holds while it is read, and stops it in time."""

    reports: int = 0
    rows: int = 0
    cells: int = 0
    text: int = 0

    def report(self) -> None:
        """Count a report. Raises ``ContentTooLarge``."""
        self.reports += 1
        if self.reports > MAX_PARTS:
            _too_large(f"Tệp có quá {MAX_PARTS} báo cáo", f"The file has more than {MAX_PARTS} reports")

    def row(self) -> None:
        """Count a row. Raises ``ContentTooLarge``."""
        self.rows += 1
        if self.rows > MAX_FILE_ROWS:
            _too_large(f"Tệp có quá {MAX_FILE_ROWS} dòng", f"The file has more than {MAX_FILE_ROWS} rows")

    def take(self, cells: Iterable[Cell]) -> None:
        """Count cells and their texts. Raises ``ContentTooLarge``."""
        for cell in cells:
            self.cells += 1
            self.text += len(cell) if isinstance(cell, str) else 0
        if self.text > MAX_TEXT:
            _too_large(f"Các ô có quá {MAX_TEXT} ký tự", f"The cells have more than {MAX_TEXT} characters")
        if self.cells > MAX_CELLS:
            _too_large(f"Tệp có quá {MAX_CELLS} ô", f"The file has more than {MAX_CELLS} cells")


def _too_large(vi: str, en: str) -> NoReturn:
    raise ContentTooLarge(Text(f"{vi}; hãy chia thành nhiều tệp.", f"{en}: split it into several files."))


def require_few_rows(report: FiledReport) -> None:
    """Raises ``MalformedRequest`` for a report of too many rows, as of one in JSON."""
    if len(report.rows) > MAX_ROWS:
        raise MalformedRequest(
            errors=[
                Place("/rows", Text(f"Chỉ được tối đa {MAX_ROWS} phần tử.", f"Must have at most {MAX_ROWS} items."))
            ]
        )
