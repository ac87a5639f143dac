"""Cells of a workbook: taken exactly as a spreadsheet shows them, or not at all, and then said why."""

from decimal import Decimal

import pytest

from factories import a_codelist, an_indicator, compiled
from gateway.domain.codelist import CodeList
from gateway.formats.typed_rows import typed_rows
from gateway.formats.upload import Unreadable
from gateway.formats.xlsx import read_xlsx
from workbooks import inline, line, packed, parts

CODELISTS = {"TTHC_SECTOR": CodeList.model_validate(a_codelist("LAND", id="TTHC_SECTOR"))}
FORM = compiled(
    indicators=[
        an_indicator(),
        an_indicator(id="rate", type="percent", required=False, min=None, over_agencies="none", over_time="none"),
        an_indicator(id="words", type="text", required=False, min=None, over_agencies="none", over_time="none"),
        an_indicator(id="price", type="decimal", scale=10, required=False, min=None),
    ]
)
IDS = ("sector", "amount", "rate", "words", "price")


def cell_of(column: str, cell: str) -> object:
    """What a cell comes to that is written by hand, as XML."""
    given = {"sector": inline("LAND"), "amount": "<c><v>5</v></c>"} | {column: cell}
    rows = line(1, *map(inline, IDS)) + line(2, *(given.get(name, "<c/>") for name in IDS))
    [report] = read_xlsx(packed(parts(rows, styles=STYLES)))
    place = report.place(f"/rows/0/{column}")
    assert place is not None
    assert place.en == f"Data!{'ABCDE'[IDS.index(column)]}2"
    return typed_rows(report, FORM, CODELISTS)[0][column]


STYLES = (
    '<numFmts><numFmt numFmtId="170" formatCode="dd/mm/yyyy"/><numFmt numFmtId="171" formatCode="0.0&quot;d&quot;"/>'
    '<numFmt numFmtId="172" formatCode="#,##0.00%"/><numFmt numFmtId="173" formatCode="[Red]General"/></numFmts>'
    '<cellXfs><xf numFmtId="0"/><xf numFmtId="14"/><xf numFmtId="170"/><xf numFmtId="171"/><xf numFmtId="9"/>'
    '<xf numFmtId="172"/><xf numFmtId="173"/></cellXfs>'
)


@pytest.mark.parametrize(
    ("column", "cell", "value"),
    [
        ("amount", "<c><v>5.0</v></c>", 5),
        ("amount", "<c><v>1E+3</v></c>", 1000),
        ("amount", "<c><v>999999999999999</v></c>", 999999999999999),
        ("amount", "<c s='3'><v>7</v></c>", 7),
        ("amount", "<c s='6'><v>7</v></c>", 7),
        ("amount", inline("2400"), 2400),
        ("amount", inline("123456789012345678901234567890"), 123456789012345678901234567890),
        ("price", "<c><v>0.30000000000000004</v></c>", "0.3"),
        ("price", "<c><v>8.4100000000000001</v></c>", "8.41"),
        ("price", "<c><v>0.1234567891</v></c>", "0.1234567891"),
        ("price", "<c><v>12345.678901</v></c>", "12345.678901"),
        ("price", inline("12.5"), "12.5"),
        ("rate", "<c s='4'><v>0.125</v></c>", "12.5"),
        ("rate", "<c s='5'><v>0.070000000000000007</v></c>", "7"),
        ("rate", "<c><v>12.5</v></c>", "12.5"),
        ("words", inline("=1+1"), "=1+1"),
        ("words", '<c t="str"><v>a_x000A_b</v></c>', "a\nb"),
        ("words", '<c t="inlineStr"><is><r><t>a </t></r><rPh><t>x</t></rPh><r><t>b</t></r></is></c>', "a b"),
    ],
)
def test_a_cell_is_taken_as_it_is_shown(column: str, cell: str, value: object) -> None:
    expected = Decimal(str(value)) if column in {"price", "rate"} else value
    found = cell_of(column, cell)
    assert (found, isinstance(found, int)) == (expected, isinstance(expected, int) or expected == 7)


@pytest.mark.parametrize(
    ("column", "cell", "words"),
    [
        ("amount", "<c><f>SUM(A1:A9)</f><v>5</v></c>", "formula"),
        ("amount", "<c><f>1+1</f></c>", "formula"),
        ("amount", '<c t="e"><v>#DIV/0!</v></c>', "error"),
        ("amount", '<c t="d"><v>2026-01-01</v></c>', "date"),
        ("amount", "<c s='1'><v>46000</v></c>", "date"),
        ("amount", "<c s='2'><v>46000</v></c>", "date"),
        ("amount", "<c s='4'><v>5</v></c>", "percentage"),
        ("amount", "<c><v>12345678901234567</v></c>", "15 digits"),
        ("amount", "<c><v>NaN</v></c>", "number"),
        ("amount", "<c><v>0x10</v></c>", "number"),
        ("amount", inline("2.400"), "without a point"),
        ("sector", "<c><v>1</v></c>", "format the cell as text"),
        ("words", "<c><v>1</v></c>", "text"),
        ("price", inline("12,5"), "point"),
    ],
)
def test_a_cell_that_cannot_be_taken_exactly_says_why(column: str, cell: str, words: str) -> None:
    found = cell_of(column, cell)
    assert isinstance(found, Unreadable)
    assert words in found.message.en
