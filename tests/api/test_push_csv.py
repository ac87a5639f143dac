"""CSV: the same report as in JSON, with findings that say line and column."""

import hashlib
import json
from typing import Any

import httpx
import pytest

from factories import a_monthly_report, a_monthly_row, a_report, a_row
from files import CSV, a_csv, envelope, push_file
from gateway.api.deps import Gateway
from gateway_under_test import NOTHING, accepted, asked, counts, findings, push, refused, rules, shown

ROWS = [a_row(), a_row(sector="HOUSING")]


@pytest.mark.parametrize("bom", [False, True])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
async def test_a_csv_file_is_a_report_like_any_other(province: httpx.AsyncClient, delimiter: str, bom: bool) -> None:
    sent = a_csv(ROWS, delimiter, bom)
    taken = shown(await push_file(province, sent, CSV, **envelope(reason="Kỳ đầu")))
    assert taken["sha256"] == hashlib.sha256(sent).hexdigest()
    assert "part" not in taken
    read = await asked(province, f"/reports/{taken['id']}")
    assert (read["rows"], read["reason"]) == (ROWS, "Kỳ đầu")
    kept = await province.get(f"/v1/reports/{taken['id']}/payload")
    assert (kept.content, kept.headers["content-type"].partition(";")[0]) == (sent, CSV)


async def test_findings_are_those_of_json_and_say_line_and_column_besides(province: httpx.AsyncClient) -> None:
    rows = [a_row(received_total=2401, typo=7), a_row(sector="HOUSNG", resolved_late=None), a_row(sector=None), a_row()]
    in_json = findings(await push(province, a_report(rows=rows), Accept_Language="en"))
    in_csv = findings(await push_file(province, a_csv(rows), CSV, **envelope()))
    places = [each.pop("place", None) for each in in_csv]
    assert in_csv == in_json
    assert len(in_csv) >= 6
    found = {each["pointer"]: place for each, place in zip(in_csv, places, strict=True)}
    assert found == {
        "/rows": None,
        "/rows/0/received_total": "line 2, column 2",
        "/rows/0/typo": "line 2, column 13",
        "/rows/1/sector": "line 3, column 1",
        "/rows/1/resolved_late": "line 3, column 9",
        "/rows/2/sector": "line 4, column 1",
        "/rows/3": "line 5",
    } | {name: found[name] for name in found if name == "/rows/0/carried_over"}


WRITTEN = [
    ("12,5", "point"),
    ("1.234.567", "Thousands"),
    ("1 234", "Thousands"),
    ("1.2E+11", "shortened"),
    ("12.5%", "without %"),
    ("=1+1", "formula"),
    (" 5", "blanks"),
    ("007", "leading zeros"),
    ("many", "a number"),
    ("٣", "a number"),
    ("9" * 200, "a number"),
]


@pytest.mark.parametrize(("text", "words"), WRITTEN)
async def test_a_number_that_is_written_another_way_is_a_finding_that_says_how_to_write_it(
    country: httpx.AsyncClient, text: str, words: str
) -> None:
    sent = a_csv([a_monthly_row(retail_sales=text)], ";")
    found = findings(await push_file(country, sent, CSV, **envelope(a_monthly_report())))
    [wrong] = [each for each in found if each["rule"] == "type"]
    assert (wrong["pointer"], wrong["place"]) == ("/rows/0/retail_sales", "line 2, column 2")
    assert words in wrong["message"] or text == "9" * 200


async def test_a_rejected_file_is_shown_with_what_was_written_in_it(province: httpx.AsyncClient) -> None:
    rows = [a_row(received_total="2.400,0")]
    answer = await push_file(province, a_csv(rows, ";"), CSV, **envelope())
    assert rules(findings(answer)) == ["type"]
    read = await asked(province, f"/reports/{shown(answer)['report']}")
    assert read["rows"] == rows


FAULTS = {
    "empty": (b"", "no header"),
    "blank lines alone": (b"\n\n\r\n", "no header"),
    "utf-16": ("sector,amount\n".encode("utf-16"), "UTF-16"),
    "windows-1258": (b"sector,remark\nLAND,\xd0\xe3\n", "line 2: The file is not UTF-8"),
    "nul": (b"sector,amount\nLAND,\0\n", "line 2: The file contains a NUL"),
    "unbalanced": (b'sector,amount\nLAND,"5\nWATER,6\n', "line 2: A quotation mark"),
    "quote in the middle": (b'sector,amount\n"LAND"x,5\n', "line 2: A quotation mark"),
    "two delimiters": (b"sector;amount,extra\nLAND;5,6\n", "more than one kind"),
    "a column twice": (b"sector,amount,amount\nLAND,5,5\n", "line 1, column 3: The column is named twice"),
    "titles for ids": ("Lĩnh vực,Tổng số\nLAND,5\n".encode(), "line 1, column 1: Not the id of a column"),
    "an unnamed column": (b"sector,,amount\nLAND,1,5\n", "line 1, column 2: Not the id of a column"),
    "uneven": (b"sector,amount\nLAND,5\nLAND,12,5\nWATER\n", "line 3: There are 3 fields, the header has 2"),
    "a million columns": (b"a," * 1_000_000, "too many columns"),
    "a million fields": (b"a,b\n" + b"1," * 1_000_000, "too many columns"),
    "a field of a megabyte": (b"a,b\n" + b"1" * 1_000_000 + b",2\n", "quotation mark"),
    "an endless record": (b'a,b\n"x",' + b'"\n",' * 100_000, "too many columns"),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_a_file_that_is_no_table_is_refused_with_its_places_and_leaves_no_trace(
    gateway: Gateway, province: httpx.AsyncClient, name: str
) -> None:
    sent, words = FAULTS[name]
    problem = refused(await push_file(province, sent, CSV, **envelope()), 400, "malformed-request")
    assert words in " ".join(each["message"] for each in problem["errors"])
    if name == "uneven":
        assert [each["pointer"] for each in problem["errors"]] == ["line 3", "line 4"]
    assert await counts(gateway.engine) == NOTHING


async def test_a_file_of_too_many_rows_is_refused(gateway: Gateway, province: httpx.AsyncClient) -> None:
    many = b"sector\n" + b"LAND\n" * 20_001
    assert refused(await push_file(province, many, CSV, **envelope()), 400, "malformed-request")
    too_many = b"sector\n" + b"LAND\n" * 100_001
    refused(await push_file(province, too_many, CSV, **envelope()), 413, "content-too-large")
    assert await counts(gateway.engine) == NOTHING


async def test_blank_lines_and_columns_that_spreadsheets_leave_behind_are_nothing(province: httpx.AsyncClient) -> None:
    sent = a_csv(ROWS, ";").replace(b"\r\n", b";;\r\n") + b";;;;;;;;;;;;;\r\n\r\n;;\r\n"
    taken = shown(await push_file(province, sent, CSV, **envelope()))
    assert (await asked(province, f"/reports/{taken['id']}"))["rows"] == ROWS


async def test_text_that_looks_like_a_formula_is_just_text(country: httpx.AsyncClient) -> None:
    remark = "=cmd|' /C calc'!A0, \"x\"\ny"
    sent = a_csv([a_monthly_row(remark=remark, is_preliminary=True)])
    taken = shown(await push_file(country, sent, CSV, **envelope(a_monthly_report())))
    read = await asked(country, f"/reports/{taken['id']}")
    assert (read["rows"][0]["remark"], read["rows"][0]["is_preliminary"]) == (remark, True)


@pytest.mark.parametrize(
    ("parameters", "names"),
    [
        ({"agency": None, "period": None, "form": None}, ["form", "agency", "period"]),
        ({"period": "2026-Q5", "kind": "mine"}, ["period", "kind"]),
        ({"surprise": "1"}, ["surprise"]),
        ({"form_version": "one"}, ["form_version"]),
        ({"corrects": "x"}, ["corrects"]),
        ({"explanations": "[{}"}, ["explanations"]),
        ({"explanations": '[{"rule": 5}]'}, ["explanations/0/rule", "explanations/0/text"]),
        ({"part": "2"}, ["part"]),
    ],
    ids=str,
)
async def test_wrong_parameters_are_named_all_at_once(
    gateway: Gateway, province: httpx.AsyncClient, parameters: dict[str, Any], names: list[str]
) -> None:
    answer = await push_file(province, a_csv(ROWS), CSV, **envelope(**parameters))
    assert [each["pointer"] for each in refused(answer, 400, "malformed-request")["errors"]] == names
    assert await counts(gateway.engine) == NOTHING


async def test_a_parameter_that_comes_twice_is_refused(province: httpx.AsyncClient) -> None:
    target = "/v1/reports?form=TTHC_06A&agency=H26.18&period=2098-Q3&agency=H26.19"
    answer = await province.post(target, content=a_csv(ROWS), headers={"Content-Type": CSV})
    assert [each["pointer"] for each in refused(answer, 400, "malformed-request")["errors"]] == ["agency"]


async def test_a_classified_file_is_refused_and_not_kept(gateway: Gateway, province: httpx.AsyncClient) -> None:
    answer = await push_file(province, a_csv(ROWS), CSV, **envelope(classification="secret"))
    refused(answer, 403, "classified")
    assert await counts(gateway.engine) == NOTHING


@pytest.mark.parametrize("media_type", ["text/csv; charset=windows-1258", "text/csv; header=absent", "text/plain", ""])
async def test_other_media_types_are_refused_with_those_that_are_taken(
    province: httpx.AsyncClient, media_type: str
) -> None:
    problem = refused(await push_file(province, a_csv(ROWS), media_type), 415, "unsupported-media-type")
    assert {"application/json", CSV} <= set(problem["accepted"])


async def test_nothing_to_report_is_a_header_alone(province: httpx.AsyncClient) -> None:
    taken = shown(await push_file(province, b"sector\n", CSV, **envelope(nil="nothing_to_report")))
    read = await asked(province, f"/reports/{taken['id']}")
    assert (read["nil"], read["rows"]) == ("nothing_to_report", [])


async def test_explanations_come_as_a_parameter(province: httpx.AsyncClient) -> None:
    await accepted(province, a_report(period="2098-Q2"))
    unexplained = await push_file(province, a_csv([a_row()]), CSV, **envelope())
    assert rules(findings(unexplained), "explain") == ["R6"]
    said = json.dumps([{"rule": "R6", "row": {"sector": "LAND"}, "text": "sáp nhập"}])
    taken = shown(await push_file(province, a_csv([a_row()]), CSV, **envelope(explanations=said)))
    assert (await asked(province, f"/reports/{taken['id']}"))["explanations"] == json.loads(said)


async def test_the_same_file_again_is_the_same_report(province: httpx.AsyncClient) -> None:
    first = await push_file(province, a_csv(ROWS), CSV, **envelope())
    again = await push_file(province, a_csv(ROWS), CSV, **envelope())
    assert (first.status_code, again.status_code) == (201, 200)
    assert shown(again)["id"] == shown(first)["id"]


async def test_a_correction_back_to_an_earlier_file_is_a_correction_and_not_a_repeat(
    province: httpx.AsyncClient,
) -> None:
    one, other = a_csv([a_row()]), a_csv([a_row(sector="HOUSING")])
    first = shown(await push_file(province, one, CSV, **envelope()))
    second = shown(await push_file(province, other, CSV, **envelope(corrects=first["id"], reason="sai")))
    third = await push_file(province, one, CSV, **envelope(corrects=second["id"], reason="lại"))
    assert (third.status_code, shown(third)["revision"]) == (201, 3)
    again = await push_file(province, one, CSV, **envelope(corrects=second["id"], reason="lại"))
    assert (again.status_code, shown(again)["revision"]) == (200, 3)


async def test_a_key_stands_for_body_media_type_and_parameters(province: httpx.AsyncClient) -> None:
    first = await push_file(province, a_csv(ROWS), CSV, key="k", **envelope())
    again = await push_file(province, a_csv(ROWS), CSV, key="k", **envelope())
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["idempotent-replayed"] == "true"
    other = await push_file(province, a_csv(ROWS), CSV, key="k", **envelope(reason="khác"))
    refused(other, 422, "idempotency-key-reused")


async def test_validation_of_a_file_stores_nothing(gateway: Gateway, province: httpx.AsyncClient) -> None:
    answer = await push_file(province, a_csv([a_row(received_total=1)]), CSV, to="/validate", **envelope())
    said = shown(answer)
    assert (answer.status_code, said["accepted"], rules(said["findings"])) == (200, False, ["R1", "R4"])
    assert await counts(gateway.engine) == NOTHING


TWO = [
    {"agency": "H26.18", "period": "2098-Q3", **a_row()},
    {"agency": "H26.19", "period": "2098-Q3", **a_row(sector="HOUSING")},
    {"agency": "H26.18", "period": "2098-Q3", **a_row(sector="HOUSING")},
]


async def test_a_file_of_several_reports_is_answered_for_each_and_safe_to_repeat(province: httpx.AsyncClient) -> None:
    sent = a_csv(TWO)
    answer = await push_file(province, sent, CSV, key="k", form="TTHC_06A")
    assert answer.status_code == 201, answer.text
    parts = shown(answer)["parts"]
    assert [(each["part"], each["agency"], each["status"]) for each in parts] == [
        (1, "H26.18", "accepted"),
        (2, "H26.19", "accepted"),
    ]
    assert {each["sha256"] for each in parts} == {hashlib.sha256(sent).hexdigest()}
    read = await asked(province, f"/reports/{parts[0]['id']}")
    assert (read["part"], [row["sector"] for row in read["rows"]]) == (1, ["LAND", "HOUSING"])
    again = await push_file(province, sent, CSV, form="TTHC_06A")
    assert again.status_code == 200
    assert [each["id"] for each in shown(again)["parts"]] == [each["id"] for each in parts]


async def test_a_wrong_report_among_several_is_named_and_does_not_hold_up_the_others(
    province: httpx.AsyncClient,
) -> None:
    rows = [TWO[0], TWO[1] | {"received_total": 1}, {**TWO[0], "agency": "H29"}]
    answer = await push_file(province, a_csv(rows), CSV, form="TTHC_06A")
    parts = refused(answer, 422, "parts-refused")["parts"]
    assert [(each["part"], each["status"]) for each in parts] == [(1, "accepted"), (2, 422), (3, 403)]
    assert parts[1]["findings"][1]["place"] == "line 3, column 4"
    read = await asked(province, f"/reports/{parts[1]['report']}")
    assert (read["part"], read["rows"][0]["received_total"]) == (2, 1)
    only = await push_file(province, a_csv(rows), CSV, form="TTHC_06A", part=1)
    assert (only.status_code, shown(only)["id"]) == (200, parts[0]["id"])


async def test_one_report_of_a_file_can_be_corrected_by_naming_its_part(province: httpx.AsyncClient) -> None:
    first = shown(await push_file(province, a_csv(TWO), CSV, form="TTHC_06A"))["parts"][1]
    changed = a_csv([TWO[0], TWO[1] | {"sector": "LAND"}])
    named = {"form": "TTHC_06A", "corrects": first["id"], "reason": "sai"}
    problem = refused(await push_file(province, changed, CSV, **named), 400, "malformed-request")
    assert [each["pointer"] for each in problem["errors"]] == ["corrects"]
    taken = shown(await push_file(province, changed, CSV, **named, part=2))
    assert (taken["revision"], taken["corrects"], taken["part"]) == (2, first["id"], 2)


async def test_what_file_and_parameters_say_differently_is_refused(province: httpx.AsyncClient) -> None:
    answer = await push_file(province, a_csv(TWO), CSV, form="TTHC_06A", agency="H26.18")
    assert (
        "line 3, column 1: The file says something else"
        in refused(answer, 400, "malformed-request")["errors"][0]["message"]
    )


async def test_two_names_of_one_agency_in_a_file_never_hide_a_row(province: httpx.AsyncClient) -> None:
    rows = [TWO[0] | {"agency": "H26"}, TWO[1] | {"agency": "GSO:01"}]
    parts = refused(await push_file(province, a_csv(rows), CSV, form="TTHC_06A"), 422, "parts-refused")["parts"]
    assert [each["status"] for each in parts] == ["accepted", 409]
    assert parts[1]["type"].endswith("revision-conflict")


async def test_a_file_of_too_many_reports_is_refused(gateway: Gateway, province: httpx.AsyncClient) -> None:
    rows = [{"agency": f"H26.{number}", "period": "2098-Q3", **a_row()} for number in range(201)]
    refused(await push_file(province, a_csv(rows), CSV, form="TTHC_06A"), 413, "content-too-large")
    assert await counts(gateway.engine) == NOTHING
