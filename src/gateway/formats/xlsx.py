"""XLSX (ECMA-376): the first visible sheet of a workbook, its figures as a person sees them and no other way.

A sheet is read from its text, never as binary numbers. What a formula gives, what is shown as a date, an error or a
number with more digits than a spreadsheet keeps is not taken, and said so at its cell.
"""

import posixpath
import re
from collections.abc import Iterable, Mapping
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Literal

from gateway.errors import Text
from gateway.formats.archive import Archive
from gateway.formats.tables import MAX_COLUMNS, Table, header, is_line_of_ids
from gateway.formats.upload import Cell, Faults, Figure, FiledReport, Unreadable, malformed
from gateway.formats.xml_reader import Reader

_OLE = b"\xd0\xcf\x11\xe0"
_HEADER_WITHIN = 50
"""The line of ids is among so many that hold something."""
_MOST_STRINGS = 500_000
_REFERENCE = re.compile(r"([A-Z]{1,3})([1-9][0-9]{0,6})")
_NUMBER = re.compile(r"-?[0-9]{1,60}(?:\.[0-9]{1,60})?(?:[eE][+-]?[0-9]{1,3})?")
_DIGITS = 15
"""Digits that a spreadsheet keeps of what is typed, and shows."""
_AS_SHOWN = Context(prec=_DIGITS, rounding=ROUND_HALF_UP)

Look = Literal["date", "percent"]


def read_xlsx(body: bytes) -> list[FiledReport]:
    """The reports of a workbook's first sheet. Raises ``MalformedRequest``, ``ContentTooLarge``."""
    if body.startswith(_OLE):
        raise malformed(_OLD_OR_LOCKED)
    archive = Archive(body)
    _require_harmless(archive)
    workbook = _part(archive, _related(archive, ""), "/officeDocument") or "xl/workbook.xml"
    sheets = _Sheets()
    _read(archive, workbook, sheets)
    if not sheets.found:
        raise malformed(_NO_SHEET)
    name, identifier = sheets.found[0]
    related = _related(archive, workbook)
    path = next((target for each, _, target in related if each == identifier), None)
    if path is None:
        raise malformed(_NO_SHEET)
    styles, strings = _Styles(), _Strings()
    for kind, handler in (("/styles", styles), ("/sharedStrings", strings)):
        part = _part(archive, related, kind)
        if part is not None:
            _read(archive, part, handler)
    sheet = _Sheet(name, styles.looks, strings.found)
    _read(archive, path, sheet)
    return sheet.reports()


class XlsxSpelling:
    """Places in a workbook, as spreadsheets name them: ``TTHC_06A!B7``, and ``TTHC_06A!7:7`` for a line."""

    def __init__(self, sheet: str) -> None:
        self._sheet = sheet if re.fullmatch(r"\w+", sheet) else "'" + sheet.replace("'", "''") + "'"

    def line(self, line: int) -> Text:
        place = f"{self._sheet}!{line}:{line}"
        return Text(place, place)

    def cell(self, line: int, column: int) -> Text:
        place = f"{self._sheet}!{_letters(column)}{line}"
        return Text(place, place)


def figure(text: str) -> Figure | Unreadable:
    """A number as it is written in a sheet, exactly; of more than 15 digits as spreadsheets show it.

    Programs write what they have calculated in binary, with 16 or 17 digits: 0.1 + 0.2 as 0.30000000000000004, and
    8.41 as 8.4100000000000001. What is typed has at most 15, so to round to 15 changes nothing that was typed. A whole
    number of more digits is no such trace, and not taken.
    """
    if not _NUMBER.fullmatch(text):
        return Unreadable(_NOT_A_NUMBER, text=text[:100])
    value = Decimal(text)
    if len(value.normalize(Context(prec=200)).as_tuple().digits) <= _DIGITS:
        return Figure(value)
    if value == value.to_integral_value(context=Context(prec=200)):
        return Unreadable(_TOO_MANY_DIGITS, text=text)
    return Figure(_AS_SHOWN.plus(value))


def _require_harmless(archive: Archive) -> None:
    lowered = [name.lower() for name in archive.names]
    if any(name.endswith("vbaproject.bin") or "/macrosheets/" in name for name in lowered):
        raise malformed(Text("Tệp có macro; hãy lưu dạng .xlsx.", "The workbook holds macros: save it as .xlsx."))
    if any("/externallinks/" in name for name in lowered):
        raise malformed(
            Text(
                "Tệp liên kết tới tệp khác; hãy bỏ liên kết (Data, Edit Links, Break Link).",
                "The workbook links to other files: break the links (Data, Edit Links).",
            )
        )


class _Handler:
    """Takes no notice of anything."""

    def opened(self, space: str, name: str, attributes: Mapping[str, str]) -> None: ...
    def closed(self, name: str, text: str) -> None: ...


def _read(archive: Archive, part: str, handler: _Handler) -> None:
    Reader(handler).read(archive.pieces(part))


class _Relations(_Handler):
    def __init__(self, base: str) -> None:
        self.found: list[tuple[str, str, str]] = []
        self._base = base

    def opened(self, space: str, name: str, attributes: Mapping[str, str]) -> None:
        if name == "Relationship" and attributes.get("TargetMode") != "External":
            target = posixpath.normpath(posixpath.join("/", self._base, attributes.get("Target", ""))).lstrip("/")
            self.found.append((attributes.get("Id", ""), attributes.get("Type", ""), target))


def _related(archive: Archive, part: str) -> list[tuple[str, str, str]]:
    """The parts that a part refers to, within the archive: id, type, name."""
    folder, _, name = part.rpartition("/")
    path = f"{folder}/_rels/{name}.rels" if folder else f"_rels/{name}.rels"
    relations = _Relations(folder)
    if path in archive:
        _read(archive, path, relations)
    return relations.found


def _part(archive: Archive, related: Iterable[tuple[str, str, str]], kind: str) -> str | None:
    return next((target for _, type_, target in related if type_.endswith(kind) and target in archive), None)


class _Sheets(_Handler):
    def __init__(self) -> None:
        self.found: list[tuple[str, str]] = []

    def opened(self, space: str, name: str, attributes: Mapping[str, str]) -> None:
        if name == "sheet" and attributes.get("state", "visible") == "visible":
            self.found.append((attributes.get("name", "")[:50], attributes.get(":id", "")))


_DATES = frozenset([*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)])
_PERCENTS = frozenset({9, 10})


class _Styles(_Handler):
    """How cells look, by the number of their format (section 18.8.30)."""

    def __init__(self) -> None:
        self.looks: list[Look | None] = []
        self._custom: dict[str, Look | None] = {}
        self._within = False

    def opened(self, space: str, name: str, attributes: Mapping[str, str]) -> None:
        if name == "numFmt":
            self._custom[attributes.get("numFmtId", "")] = _look(attributes.get("formatCode", ""))
        elif name == "cellXfs":
            self._within = True
        elif name == "xf" and self._within:
            number = attributes.get("numFmtId", "0")
            self.looks.append(self._custom[number] if number in self._custom else _built_in(number))

    def closed(self, name: str, text: str) -> None:
        if name == "cellXfs":
            self._within = False


def _built_in(number: str) -> Look | None:
    code = int(number) if re.fullmatch(r"[0-9]{1,9}", number) else 0
    return "date" if code in _DATES else "percent" if code in _PERCENTS else None


def _look(code: str) -> Look | None:
    """What a format of one's own shows: its quoted texts, escapes and brackets say nothing of that."""
    bare = re.sub(r'"[^"]*"|\\.|_.|\*.|\[[^\]]*\]', "", code[:500]).lower()
    if re.search(r"[dmyhs]", bare.replace("general", "").replace("standard", "")):
        return "date"
    return "percent" if "%" in bare else None


class _Strings(_Handler):
    """The texts that cells refer to; runs of one text are one, hints for its pronunciation are none."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self._runs: list[str] = []
        self._hints = 0

    def opened(self, space: str, name: str, attributes: Mapping[str, str]) -> None:
        if name == "si":
            self._runs = []
        elif name == "rPh":
            self._hints += 1

    def closed(self, name: str, text: str) -> None:
        if name == "t" and not self._hints:
            self._runs.append(text)
        elif name == "rPh":
            self._hints -= 1
        elif name == "si":
            if len(self.found) >= _MOST_STRINGS:
                raise malformed(Text("Tệp có quá nhiều chuỗi.", "The workbook has too many texts."))
            self.found.append(_unescaped("".join(self._runs)))


def _unescaped(text: str) -> str:
    """A text without the way that XML's forbidden characters are written (section 22.4.2.4)."""
    if "_x" not in text:
        return text
    return re.sub(r"_x([0-9A-Fa-f]{4})_", lambda each: _character(int(each[1], 16)), text)


def _character(number: int) -> str:
    return "\ufffd" if 0xD800 <= number <= 0xDFFF else chr(number)


class _Sheet(_Handler):
    """A sheet's cells, line by line; what stands above the line of ids is for people."""

    def __init__(self, name: str, looks: list[Look | None], strings: list[str]) -> None:
        self._spell = XlsxSpelling(name)
        self._looks, self._strings = looks, strings
        self._faults = Faults()
        self._table: Table | None = None
        self._columns: dict[int, str] = {}
        self._seen = self._line = self._column = 0
        self._cells: dict[int, Cell] = {}
        self._cell: dict[str, str] = {}
        self._value: str | None = None
        self._is_formula = False
        self._runs: list[str] = []
        self._hints = 0

    def reports(self) -> list[FiledReport]:
        """The reports of the sheet. Raises ``MalformedRequest``."""
        if self._table is None:
            raise malformed(_NO_IDS, self._spell.line(1))
        self._faults.settle()
        return self._table.reports

    def opened(self, space: str, name: str, attributes: Mapping[str, str]) -> None:
        if name == "row":
            line = attributes.get("r")
            number = int(line) if line is not None and re.fullmatch(r"[1-9][0-9]{0,6}", line) else self._line + 1
            if number <= self._line:
                raise malformed(_DAMAGED, self._spell.line(number))
            self._line, self._column, self._cells = number, 0, {}
        elif name == "c":
            self._begin(attributes)
        elif name == "f":
            self._is_formula = True
        elif name == "rPh":
            self._hints += 1

    def closed(self, name: str, text: str) -> None:
        if name == "v":
            self._value = text
        elif name == "t" and not self._hints:
            self._runs.append(text)
        elif name == "rPh":
            self._hints -= 1
        elif name == "c":
            cell = self._read()
            if cell is not None and cell != "":
                self._cells[self._column] = cell
        elif name == "row" and self._cells:
            self._take()

    def _begin(self, attributes: Mapping[str, str]) -> None:
        found = _REFERENCE.fullmatch(attributes.get("r", ""))
        column = _number(found[1]) if found else self._column + 1
        if column <= self._column or (found and int(found[2]) != self._line):
            raise malformed(_DAMAGED, self._spell.line(max(self._line, 1)))
        self._column, self._cell = column, dict(attributes)
        self._value, self._runs, self._is_formula = None, [], False

    def _read(self) -> Cell | None:
        """The cell that has just ended (section 18.3.1.4)."""
        kind, value = self._cell.get("t", "n"), self._value
        if self._is_formula:
            return Unreadable(_FORMULA, text=value)
        if kind == "inlineStr":
            return _unescaped("".join(self._runs))
        if value is None:
            return None
        match kind:
            case "s":
                known = re.fullmatch(r"[0-9]{1,9}", value) and int(value) < len(self._strings)
                if not known:
                    raise malformed(_DAMAGED, self._here)
                return self._strings[int(value)]
            case "str":
                return _unescaped(value)
            case "b":
                return value == "1"
            case "e":
                return Unreadable(_ERROR, text=value[:100])
            case "n":
                return self._number(value)
            case _:
                return Unreadable(_DATE, text=value[:100])

    def _number(self, text: str) -> Cell:
        style = self._cell.get("s", "0")
        index = int(style) if re.fullmatch(r"[0-9]{1,6}", style) else 0
        look = self._looks[index] if index < len(self._looks) else None
        if look == "date":
            return Unreadable(_DATE, text=text[:100])
        found = figure(text.strip())
        return Figure(found.value, True) if look == "percent" and isinstance(found, Figure) else found

    @property
    def _here(self) -> Text:
        return self._spell.cell(self._line, self._column)

    def _take(self) -> None:
        if self._table is not None:
            outside = [column for column in self._cells if column not in self._columns]
            for column in outside:
                self._faults.add(self._spell.cell(self._line, column), _OUTSIDE)
                del self._cells[column]
            if self._cells:
                self._table.add(self._line, self._cells, self._faults)
            return
        self._seen += 1
        if is_line_of_ids(self._cells.values()):
            if len(self._cells) > MAX_COLUMNS:
                raise malformed(Text("Quá nhiều cột.", "There are too many columns."), self._spell.line(self._line))
            ids = {column: str(cell) for column, cell in self._cells.items()}
            self._columns = header(ids, self._line, self._spell)
            self._table = Table(self._columns, self._spell)
        elif self._seen >= _HEADER_WITHIN:
            raise malformed(_NO_IDS, self._spell.line(self._line))


def _number(letters: str) -> int:
    value = 0
    for letter in letters:
        value = value * 26 + ord(letter) - 64
    return value


def _letters(number: int) -> str:
    found = ""
    while number:
        number, rest = divmod(number - 1, 26)
        found = chr(65 + rest) + found
    return found


_OLD_OR_LOCKED = Text(
    "Tệp là .xls cũ hoặc được đặt mật khẩu: hãy lưu dạng .xlsx không có mật khẩu.",
    "The file is an old .xls or has a password: save it as .xlsx without one.",
)
_NO_SHEET = Text("Tệp không có trang tính.", "The workbook has no sheet.")
_NO_IDS = Text(
    "Không có dòng mã cột (mã phân tổ và mã chỉ tiêu) như trong GET /v1/forms/{code}/template.xlsx.",
    "There is no line of ids (of breakdowns and indicators) as in GET /v1/forms/{code}/template.xlsx.",
)
_DAMAGED = Text("Trang tính bị hỏng.", "The sheet is damaged.")
_OUTSIDE = Text("Ô nằm ngoài các cột có mã.", "The cell stands outside the columns that have an id.")
_FORMULA = Text(
    "Ô chứa công thức, không được nhận: hãy dán giá trị (Paste Values).",
    "The cell holds a formula, which is not taken: paste its value in its place.",
)
_ERROR = Text("Ô chứa lỗi.", "The cell holds an error.")
_DATE = Text(
    "Ô được định dạng ngày tháng: hãy định dạng lại và nhập lại giá trị.",
    "The cell is formatted as a date: format it otherwise and enter its value again.",
)
_NOT_A_NUMBER = Text("Ô này phải là số.", "This cell must be a number.")
_TOO_MANY_DIGITS = Text(
    "Số có hơn 15 chữ số, bảng tính không giữ đúng: hãy định dạng ô là Text rồi nhập lại.",
    "The number has more than 15 digits, which no spreadsheet keeps: format the cell as text and enter it again.",
)
