"""XLSX: the same report as in JSON, with findings that name the cell; figures exact or refused."""

import io

import httpx
import openpyxl
from openpyxl.styles import numbers

from factories import (
    a_form,
    a_monthly_report,
    a_monthly_row,
    a_report,
    a_row,
    a_small_report,
)
from files import envelope, push_file
from gateway.api.deps import Gateway
from gateway_under_test import NOTHING, NewClient, asked, counts, findings, have, push, refused, rules, shown
from workbooks import XLSX, a_sheet, a_workbook, saved

ROWS = [a_row(), a_row(sector="HOUSING")]


async def test_a_workbook_is_a_report_like_any_other(province: httpx.AsyncClient) -> None:
    sent = a_workbook(ROWS)
    taken = shown(await push_file(province, sent, XLSX, **envelope()))
    assert (await asked(province, f"/reports/{taken['id']}"))["rows"] == ROWS
    kept = await province.get(f"/v1/reports/{taken['id']}/payload")
    assert (kept.content, kept.headers["content-type"]) == (sent, XLSX)


async def test_the_template_of_a_form_is_filled_in_and_pushed(province: httpx.AsyncClient) -> None:
    answer = await province.get("/v1/forms/TTHC_06A/template.xlsx")
    assert (answer.status_code, answer.headers["content-type"]) == (200, XLSX)
    book = openpyxl.load_workbook(io.BytesIO(answer.content))
    sheet = book["TTHC_06A"]
    ids = [cell.value for cell in sheet[4]]
    assert ids == list(a_row())
    assert "Lĩnh vực" in sheet["A2"].value
    assert "Sector" in sheet["A3"].value
    assert sheet.data_validations.dataValidation[0].formula1.startswith("'Danh mục'!$A$2:$A$")
    assert "LAND" in [cell.value for cell in book["Danh mục"]["A"]]
    for number, row in enumerate(ROWS, start=5):
        for column, name in enumerate(ids, start=1):
            sheet.cell(number, column, row[name])
    taken = shown(await push_file(province, saved(book), XLSX, **envelope()))
    assert (await asked(province, f"/reports/{taken['id']}"))["rows"] == ROWS


async def test_the_template_as_it_comes_is_a_report_without_rows(province: httpx.AsyncClient) -> None:
    empty = (await province.get("/v1/forms/TTHC_06A/template.xlsx")).content
    taken = shown(await push_file(province, empty, XLSX, **envelope(nil="nothing_to_report")))
    assert taken["status"] == "accepted"


async def test_the_template_of_any_types_of_indicators_can_be_read_back(country: httpx.AsyncClient) -> None:
    answer = await country.get("/v1/forms/KTXH_01/template.xlsx")
    book = openpyxl.load_workbook(io.BytesIO(answer.content))
    sheet = book.worksheets[0]
    row = a_monthly_row(is_preliminary=True, remark="ghi chú")
    for column, cell in enumerate(sheet[4], start=1):
        sheet.cell(5, column, row.get(cell.value))
    taken = shown(await push_file(country, saved(book), XLSX, **envelope(a_monthly_report())))
    read = (await asked(country, f"/reports/{taken['id']}"))["rows"][0]
    assert {name: value for name, value in read.items() if value is not None} == row


async def test_findings_are_those_of_json_and_name_the_cell_besides(province: httpx.AsyncClient) -> None:
    rows = [a_row(received_total=2401, typo=7), a_row(sector="HOUSNG", resolved_late=None), a_row()]
    in_json = findings(await push(province, a_report(rows=rows), Accept_Language="en"))
    found = findings(await push_file(province, a_workbook(rows), XLSX, **envelope()))
    places = {each["pointer"]: each.pop("place", None) for each in found}
    assert found == in_json
    assert places["/rows/0/received_total"] == "Data!B2"
    assert places["/rows/0/typo"] == "Data!M2"
    assert places["/rows/1/sector"] == "Data!A3"
    assert places["/rows/2"] == "Data!4:4"


async def test_dates_and_formulas_as_a_library_writes_them_are_findings(province: httpx.AsyncClient) -> None:
    book = openpyxl.load_workbook(io.BytesIO(a_workbook([a_row()])))
    book.active["B2"] = "=C2+D2+E2"
    book.active["C2"].number_format = numbers.FORMAT_DATE_DDMMYY
    found = findings(await push_file(province, saved(book), XLSX, **envelope()))
    assert [(each["place"], each["rule"]) for each in found if each["severity"] == "error"] == [
        ("Data!B2", "type"),
        ("Data!C2", "type"),
    ]


async def test_several_reports_come_in_one_workbook(province: httpx.AsyncClient) -> None:
    rows = [{"agency": each, "period": "2098-Q3", **a_row()} for each in ("H26.18", "H26.19")]
    answer = await push_file(province, a_workbook(rows), XLSX, form="TTHC_06A")
    assert [each["agency"] for each in shown(answer)["parts"]] == ["H26.18", "H26.19"]


async def test_what_stands_outside_the_columns_is_refused_and_not_passed_over(province: httpx.AsyncClient) -> None:
    lines: list[list[object]] = [["sector", "received_total"], ["LAND", 5, None, "ghi chú"], [None, None, 7]]
    problem = refused(await push_file(province, a_sheet(lines), XLSX, **envelope()), 400, "malformed-request")
    assert [each["pointer"] for each in problem["errors"]] == ["Data!D2", "Data!C3"]


async def test_a_sheet_without_ids_is_refused(gateway: Gateway, province: httpx.AsyncClient) -> None:
    sheets: list[list[list[object]]] = [[], [["Lĩnh vực", "Tổng số"], ["LAND", 5]], [["Lĩnh vực"]] * 60]
    for lines in sheets:
        problem = refused(await push_file(province, a_sheet(lines), XLSX, **envelope()), 400, "malformed-request")
        assert "line of ids" in problem["errors"][0]["message"]
    assert await counts(gateway.engine) == NOTHING


async def test_a_rejected_workbook_is_shown_with_its_rows(province: httpx.AsyncClient) -> None:
    answer = await push_file(province, a_workbook([a_row(received_total=2401)]), XLSX, **envelope())
    assert rules(findings(answer)) == ["R1", "R4"]
    assert (await asked(province, f"/reports/{shown(answer)['report']}"))["rows"] == [a_row(received_total=2401)]


async def test_a_form_without_breakdowns_has_a_template_too(client_for: NewClient) -> None:
    country = await client_for("catalog:write", "reports:read", "reports:write")
    await have(country, "/forms/TEST_01/versions/1", a_form(breakdowns=[]))
    book = openpyxl.load_workbook(io.BytesIO((await country.get("/v1/forms/TEST_01/template.xlsx")).content))
    book.active["A5"] = 5
    taken = shown(await push_file(country, saved(book), XLSX, **envelope(a_small_report())))
    assert (await asked(country, f"/reports/{taken['id']}"))["rows"] == [{"amount": 5}]


async def test_a_year_as_a_spreadsheet_keeps_it_is_a_period(country: httpx.AsyncClient) -> None:
    sent = a_workbook([{"period": 2098, **a_row()}])
    taken = shown(await push_file(country, sent, XLSX, **envelope(period=None)))
    assert taken["period"] == "2098"


async def test_a_sheet_that_is_hidden_is_not_read(province: httpx.AsyncClient) -> None:
    book = openpyxl.load_workbook(io.BytesIO(a_workbook([a_row()])))
    book.create_sheet("Hidden", 0).sheet_state = "hidden"
    taken = shown(await push_file(province, saved(book), XLSX, **envelope()))
    assert (await asked(province, f"/reports/{taken['id']}"))["rows"] == [a_row()]


async def test_a_code_of_any_length_is_never_given_back_whole(province: httpx.AsyncClient) -> None:
    answer = await push_file(province, a_workbook([a_row(sector="x" * 30_000)]), XLSX, **envelope())
    assert "codelist" in rules(findings(answer))
    assert len(answer.content) < 5000
    assert len((await province.get(f"/v1/reports/{shown(answer)['report']}")).content) < 5000
