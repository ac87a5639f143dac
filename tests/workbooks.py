"""Workbooks to test with: by the library that others use, and by hand where that would not write such a thing."""

import io
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import openpyxl

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"


def a_workbook(rows: Sequence[Mapping[str, object]], **said: str) -> bytes:
    """Rows under a line of ids; ``said`` are columns that say the same in every row."""
    names = [*said, *dict.fromkeys(name for row in rows for name in row)]
    return a_sheet([names, *([(said | dict(row)).get(name) for name in names] for row in rows)])


def a_sheet(lines: Iterable[Sequence[object]], title: str = "Data") -> bytes:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = title
    for line in lines:
        sheet.append(line)
    return saved(book)


def saved(book: Any) -> bytes:
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def parts(
    cells: str = "",
    sheet: str | None = None,
    strings: str = "",
    styles: str = "",
    target: str = "worksheets/sheet1.xml",
) -> dict[str, bytes]:
    """The parts of a workbook by hand, of one sheet with the XML of its rows."""
    content = sheet if sheet is not None else f'<worksheet xmlns="{_MAIN}"><sheetData>{cells}</sheetData></worksheet>'
    found = {
        "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="rId1" '
        f'Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"><sheets>'
        '<sheet name="Data" sheetId="1" r:id="rId1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">'
        f'<Relationship Id="rId1" Type="{_OFFICE}/worksheet" Target="{target}"/>'
        f'<Relationship Id="rId2" Type="{_OFFICE}/styles" Target="styles.xml"/>'
        f'<Relationship Id="rId3" Type="{_OFFICE}/sharedStrings" Target="sharedStrings.xml"/></Relationships>',
        "xl/worksheets/sheet1.xml": content,
        "xl/styles.xml": f'<styleSheet xmlns="{_MAIN}">{styles}</styleSheet>',
        "xl/sharedStrings.xml": f'<sst xmlns="{_MAIN}">{strings}</sst>',
    }
    return {name: text.encode() for name, text in found.items()}


def packed(files: Mapping[str, bytes], level: int = 9) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def inline(text: str, reference: str = "", style: int = 0) -> str:
    place = f' r="{reference}"' if reference else ""
    return f'<c{place} t="inlineStr" s="{style}"><is><t>{text}</t></is></c>'


def line(number: int, *cells: str) -> str:
    return f'<row r="{number}">{"".join(cells)}</row>'


def figures(*literals: str) -> bytes:
    """A workbook of one report of the small form, whose amounts are written so."""
    rows = [line(n, inline(f"C{n}"), f"<c><v>{each}</v></c>") for n, each in enumerate(literals, start=2)]
    return packed(parts(line(1, inline("sector"), inline("amount")) + "".join(rows)))
