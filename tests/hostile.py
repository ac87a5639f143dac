"""Files made to harm: each with its media type. None of them may be taken, and none may cost much."""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator

from files import ADX, ADX_NAMESPACE, CSV
from gateway.flow.unpack import SDMX_CSV, SDMX_GENERIC, SDMX_SPECIFIC
from workbooks import XLSX, inline, line, packed, parts

MIB = 1024 * 1024
_SDMX = "http://www.sdmx.org/resources/sdmxml/schemas/v2_1"


def adx(inner: str, before: str = "", attributes: str = "") -> bytes:
    head = f'<?xml version="1.0" encoding="UTF-8"?>{before}<adx xmlns="{ADX_NAMESPACE}" {attributes}>'
    group = '<group dataSet="TTHC_06A" orgUnit="H26.18" period="2098-Q3">'
    return f"{head}{group}{inner}</group></adx>".encode()


def value(text: str = "1", element: str = "received_total", more: str = "") -> str:
    return f'<dataValue dataElement="{element}" value="{text}" sector="LAND" {more}/>'


def sdmx(inner: str, before: str = "", root: str = "GenericData") -> bytes:
    names = f'xmlns:mes="{_SDMX}/message" xmlns:gen="{_SDMX}/data/generic"'
    return f'<?xml version="1.0"?>{before}<mes:{root} {names}>{inner}</mes:{root}>'.encode()


LAUGHS = (
    '<!DOCTYPE adx [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(10))
    + "]>"
)
QUADRATIC = f'<!DOCTYPE adx [<!ENTITY a "{"x" * 50_000}">]>'
OUTSIDE = '<!DOCTYPE adx [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
PARAMETER = '<!DOCTYPE adx [<!ENTITY % a SYSTEM "http://127.0.0.1:1/a.dtd"> %a;]>'
BY_REFERENCE = '<!DOCTYPE adx SYSTEM "http://127.0.0.1:1/a.dtd">'

XML: dict[str, Callable[[], bytes]] = {
    "billion laughs": lambda: adx(value("&k;"), LAUGHS),
    "quadratic blowup": lambda: adx(value("&a;" * 10_000), QUADRATIC),
    "external entity": lambda: adx(f"{value()}<annotation>&a;</annotation>", OUTSIDE),
    "parameter entity": lambda: adx(value(), PARAMETER),
    "external document type": lambda: adx(value(), BY_REFERENCE),
    "empty document type": lambda: adx(value(), "<!DOCTYPE adx>"),
    "an entity of nobody": lambda: adx(value("&nbsp;")),
    "xinclude": lambda: adx('<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="file:///etc/passwd"/>'),
    "deep": lambda: adx("<annotation>" * 100_000),
    "a tag of 8 MiB": lambda: adx(value(more="x" * (8 * MIB))),
    "an attribute of 8 MiB": lambda: adx(value("9" * (8 * MIB))),
    "a comment of 12 MiB": lambda: adx(f"<!--{'x' * (12 * MIB)}"),
    "a text of 12 MiB": lambda: adx(f'<dataValue dataElement="a" value="1"><annotation>{"x" * (12 * MIB)}'),
    "very many attributes": lambda: adx(value(more=" ".join(f'a{n}="1"' for n in range(100_000)))),
    "very many values": lambda: adx(value() * 10_000 + "<end/>"),
    "very many groups": lambda: adx(
        "</group>" + "".join(f'<group dataSet="A" orgUnit="H{n}" period="2098"/>' for n in range(100_000)) + "<group>"
    ),
    "utf-16": lambda: adx(value()).decode().encode("utf-16"),
    "another encoding": lambda: adx(value()).replace(b"UTF-8", b"ISO-8859-1"),
    "a nul": lambda: adx(value("1\0")),
    "truncated": lambda: adx(value())[:-20],
    "two roots": lambda: adx(value()) * 2,
    "not utf-8": lambda: adx(value()).replace(b"LAND", b"L\xff"),
    "no xml": lambda: b"PK\x03\x04",
    "nothing": lambda: b"",
    "another vocabulary": lambda: b"<html/>",
    "an unknown element": lambda: adx("<script/>"),
    "an unknown attribute of a group": lambda: adx(value()).replace(b"<group ", b'<group category="x" '),
}
SDMX: dict[str, tuple[str, Callable[[], bytes]]] = {
    "sdmx: billion laughs": (SDMX_GENERIC, lambda: sdmx("&k;", LAUGHS.replace("adx", "mes:GenericData"))),
    "sdmx: another root": (SDMX_SPECIFIC, lambda: sdmx("")),
    "sdmx: no structure": (SDMX_GENERIC, lambda: sdmx('<mes:DataSet structureRef="X"/>')),
    "sdmx: a deletion": (SDMX_GENERIC, lambda: sdmx('<mes:DataSet structureRef="X" action="Delete"/>')),
    "sdmx: very many elements": (SDMX_GENERIC, lambda: sdmx("<a/>" * 1_100_000)),
    "sdmx-csv: no header of it": (SDMX_CSV, lambda: b"a,b\n1,2\n"),
    "sdmx-csv: a deletion": (
        SDMX_CSV,
        lambda: (
            b"STRUCTURE,STRUCTURE_ID,ACTION,FREQ,AGENCY,INDICATOR,TIME_PERIOD,OBS_VALUE\n"
            b"dataflow,VNGOV:TTHC_06A(1.0.0),D,Q,H26-18,received_total,2098-Q3,\n"
        ),
    ),
}


def rows(more: str = "") -> str:
    return line(1, inline("sector"), inline("received_total")) + line(2, inline("LAND"), "<c><v>1</v></c>") + more


def zeros(size: int) -> Iterator[bytes]:
    for _ in range(size // MIB):
        yield b"0" * MIB


def with_entry(name: str, content: bytes = b"x", **changes: bytes) -> bytes:
    return packed(parts(rows()) | {name: content} | changes)


def a_bomb(part: str, size: int = 70 * MIB, before: bytes = b"", after: bytes = b"") -> bytes:
    """A workbook one part of which inflates to hundreds of MiB."""
    files = {name: content for name, content in parts(rows()).items() if name != part}
    file = io.BytesIO(packed(files))
    with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as archive, archive.open(part, "w") as entry:
        entry.write(before)
        for piece in zeros(size):
            entry.write(piece)
        entry.write(after)
    return file.getvalue()


def lying(body: bytes, name: bytes) -> bytes:
    """The same archive, whose entry says that it is small."""
    found = bytearray(body)
    central = found.rindex(name) - 46
    struct.pack_into("<L", found, central + 24, 100)
    return bytes(found)


def flagged(body: bytes, flag: int) -> bytes:
    """The same archive, with a flag set on its first entry."""
    found = bytearray(body)
    central = found.index(b"PK\x01\x02")
    found[central + 8] |= flag
    return bytes(found)


def overlapping() -> bytes:
    """Entries that all have the same bytes: few of them make much."""
    body = bytearray(packed(parts(rows())))
    first = body.index(b"PK\x01\x02")
    second = body.index(b"PK\x01\x02", first + 4)
    struct.pack_into("<L", body, second + 42, 0)
    return bytes(body)


def doubled() -> bytes:
    body = packed(parts(rows()) | {"xl/worksheets/sheet2.xml": b"x"})
    return body.replace(b"sheet2.xml", b"sheet1.xml")


def renamed(old: bytes, new: bytes) -> bytes:
    return with_entry(old.decode()).replace(old, new)


def damaged() -> bytes:
    body = bytearray(packed(parts(rows())))
    place = body.index(b"sheet1.xml") + 20
    body[place : place + 8] = zlib.crc32(b"").to_bytes(4, "big") * 2
    return bytes(body)


_HEAD = b'<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><si><t>'
_DTD = (
    '<!DOCTYPE worksheet [<!ENTITY a "x">]><worksheet><sheetData><row><c><v>&a;</v></c></row></sheetData></worksheet>'
)
WORKBOOKS: dict[str, Callable[[], bytes]] = {
    "a bomb of a text": lambda: a_bomb("xl/sharedStrings.xml", before=_HEAD),
    "a bomb of a sheet": lambda: a_bomb("xl/worksheets/sheet1.xml", before=b"<worksheet><sheetData>"),
    "a bomb of blanks": lambda: a_bomb("xl/styles.xml", 0, b"<styleSheet>" + (b" " * 9999 + b"<a/>") * 9000),
    "a bomb that says it is small": lambda: lying(
        a_bomb("xl/sharedStrings.xml", before=_HEAD), b"xl/sharedStrings.xml"
    ),
    "nested": lambda: with_entry("xl/worksheets/sheet1.xml", packed(parts(rows()))),
    "overlapping entries": overlapping,
    "two entries of a name": doubled,
    "zip slip": lambda: renamed(b"xl/aaaaaaaaaa", b"xl/../../../e"),
    "an absolute name": lambda: renamed(b"xaaaa", b"/aaaa"),
    "a drive": lambda: renamed(b"xaaaa", b"C:aaa"),
    "a backslash": lambda: renamed(b"xaaaa", b"x\\aaa"),
    "an encrypted entry": lambda: flagged(packed(parts(rows())), 1),
    "very many entries": lambda: packed(parts(rows()) | {f"{n}": b"" for n in range(5000)}, 1),
    "truncated": lambda: packed(parts(rows()))[:-30],
    "something behind it": lambda: packed(parts(rows())) + b"x",
    "damaged": damaged,
    "an old workbook, or one with a password": lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(1000),
    "no zip": lambda: b"sector,amount\n",
    "nothing": lambda: b"",
    "a zip without a workbook": lambda: packed({"a.txt": b"x"}),
    "macros": lambda: with_entry("xl/vbaProject.bin"),
    "macros of excel 4": lambda: with_entry("xl/macrosheets/sheet1.xml"),
    "external links": lambda: with_entry("xl/externalLinks/externalLink1.xml"),
    "a sheet elsewhere": lambda: packed(parts(rows(), target="../../../../etc/passwd")),
    "a sheet at an address": lambda: packed(parts(rows(), target="http://127.0.0.1:1/x.xml")),
    "a document type": lambda: packed(parts(sheet=_DTD)),
    "a text that is not there": lambda: packed(parts(rows(line(3, '<c t="s"><v>99</v></c>')))),
    "a text of a negative number": lambda: packed(parts(rows(line(3, '<c t="s"><v>-1</v></c>')))),
    "rows out of order": lambda: packed(parts(rows(line(1, inline("LAND"))))),
    "a cell twice": lambda: packed(parts(rows(line(3, inline("A", "A3"), inline("B", "A3"))))),
    "a cell of another row": lambda: packed(parts(rows(line(3, inline("A", "A4"))))),
    "a cell far away": lambda: packed(parts(rows(line(1048576, inline("A", "XFD1048576"))))),
    "very many columns": lambda: packed(parts(line(1, *(inline(f"c{n}") for n in range(16_000))))),
    "one long text in many cells": lambda: packed(
        parts(
            rows("".join(line(n, '<c t="s"><v>0</v></c>') for n in range(3, 2000))),
            strings=f"<si><t>{'x' * 90_000}</t></si>",
        )
    ),
    "very many cells": lambda: packed(
        parts(
            line(1, *(inline(f"c{n}") for n in range(900)))
            + "".join(f"<row>{'<c><v>1</v></c>' * 900}</row>" for _ in range(1200))
        )
    ),
}
TABLES: dict[str, Callable[[], bytes]] = {
    "16 MiB of commas": lambda: b"," * (16 * MIB),
    "16 MiB of commas below a header": lambda: b"a,b\n" + b"," * (16 * MIB - 4),
    "16 MiB of line ends": lambda: b"\n" * (16 * MIB),
    "16 MiB of line ends below a header": lambda: b"a\n" + b"\n" * (16 * MIB - 2),
    "16 MiB of quotation marks": lambda: b'"' * (16 * MIB - 1),
    "a quoted field of 16 MiB": lambda: b'a\n"' + b"x\n" * (8 * MIB - 2),
    "8 million short rows": lambda: b"a\n" + b"1\n" * (8 * MIB - 1),
    "16 MiB of letters": lambda: b"x" * (16 * MIB),
}


def corpus() -> Iterator[tuple[str, str, Callable[[], bytes]]]:
    """Every hostile file: its name, its media type, and how it is made."""
    yield from ((f"xml: {name}", ADX, make) for name, make in XML.items())
    yield from ((name, media_type, make) for name, (media_type, make) in SDMX.items())
    yield from ((f"xlsx: {name}", XLSX, make) for name, make in WORKBOOKS.items())
    yield from ((f"csv: {name}", CSV, make) for name, make in TABLES.items())
