"""What is not a report at all: 400 with every wrong place, and no trace."""

from urllib.parse import urlencode

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from factories import a_report, a_row, body, body_with
from gateway_under_test import NOTHING, NewClient, counts, findings, push, refused, rules

RIGHT = body(a_report())
NOT_STRICT_JSON = {
    "NaN": body_with(a_report(rows=[a_row(received_total="@n")]), n="NaN"),
    "Infinity": body_with(a_report(rows=[a_row(received_total="@n")]), n="Infinity"),
    "minus Infinity": body_with(a_report(rows=[a_row(received_total="@n")]), n="-Infinity"),
    "a duplicate key in the envelope": RIGHT.replace(b'{"form"', b'{"form": "KTXH_01", "form"', 1),
    "a duplicate key in a row": RIGHT.replace(b'{"sector"', b'{"sector": "WATER", "sector"', 1),
    "a byte order mark": b"\xef\xbb\xbf" + RIGHT,
    "UTF-16": RIGHT.decode().encode("utf-16"),
    "UTF-16 without a mark": RIGHT.decode().encode("utf-16-le"),
    "Latin-1": body(a_report(reason="Đính chính")).decode().encode("cp1258", "replace"),
    "half a surrogate pair": body_with(a_report(reason="@text"), text='"\\ud800"'),
    "a raw control character": body_with(a_report(reason="@text"), text='"\x00"'),
    "a comma at the end": RIGHT[:-1] + b",}",
    "a comment": RIGHT + b" // yes",
    "two documents": RIGHT + RIGHT,
    "half a document": RIGHT[: len(RIGHT) // 2],
    "single quotes": RIGHT.replace(b'"', b"'"),
    "a plus sign": body_with(a_report(rows=[a_row(received_total="@n")]), n="+1"),
    "a leading zero": body_with(a_report(rows=[a_row(received_total="@n")]), n="01"),
    "a hexadecimal number": body_with(a_report(rows=[a_row(received_total="@n")]), n="0x10"),
    "a number of 5,000 digits": body_with(a_report(rows=[a_row(received_total="@n")]), n="9" * 5000),
    "an exponent no decimal has": body_with(a_report(rows=[a_row(received_total="@n")]), n="1e" + "9" * 30),
    "a depth of 50,000": b'{"form":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "nothing": b"",
    "an array": b"[" + RIGHT + b"]",
    "a string": b'"report"',
    "null": b"null",
}


@pytest.mark.parametrize("sent", NOT_STRICT_JSON.values(), ids=NOT_STRICT_JSON.keys())
@pytest.mark.parametrize("route", ["", "/validate"])
async def test_what_is_not_strict_json_is_refused_and_leaves_no_trace(
    province: httpx.AsyncClient, engine: AsyncEngine, sent: bytes, route: str
) -> None:
    answer = await push(province, sent, key="k", to=route)
    problem = refused(answer, 400, "malformed-request")
    assert [set(each) for each in problem["errors"]] == [{"pointer", "message"}]
    assert await counts(engine) == NOTHING


async def test_a_nul_character_is_refused_with_every_place_that_has_one(province: httpx.AsyncClient) -> None:
    document = a_report(reason="@nul", rows=[a_row(sector="@nul"), a_row(x="a\\u0000 in plain letters")])
    answer = await push(province, body_with(document, nul='"a\\u0000b"'))
    places = [each["pointer"] for each in refused(answer, 400, "malformed-request")["errors"]]
    assert sorted(places) == ["/reason", "/rows/0/sector"]


async def test_the_letters_of_a_nul_escape_are_not_a_nul(province: httpx.AsyncClient) -> None:
    answer = await push(province, a_report(reason=r"Đường dẫn C:\u0000"))
    assert answer.status_code == 201


WRONG_ENVELOPES = {
    "an unknown field": ({"note": "x"}, "/note"),
    "the reserved name attachments": ({"attachments": []}, "/attachments"),
    "the reserved name narrative": ({"narrative": "x"}, "/narrative"),
    "a form that is a number": ({"form": 6}, "/form"),
    "an agency that is null": ({"agency": None}, "/agency"),
    "a period that is a number": ({"period": 2026}, "/period"),
    "rows that are an object": ({"rows": {}}, "/rows"),
    "a row that is a list": ({"rows": [[]]}, "/rows/0"),
    "an unknown kind": ({"kind": "draft"}, "/kind"),
    "an unknown nil": ({"nil": "nothing"}, "/nil"),
    "a form_version in a string": ({"form_version": "1"}, "/form_version"),
    "a form_version of true": ({"form_version": True}, "/form_version"),
    "a form_version with a decimal point": ({"form_version": 1.0}, "/form_version"),
    "a form_version of zero": ({"form_version": 0}, "/form_version"),
    "a corrects that is no UUID": ({"corrects": "1"}, "/corrects"),
    "a corrects of 36 other characters": ({"corrects": "x" * 36}, "/corrects"),
    "a reason that is a number": ({"reason": 5}, "/reason"),
    "a reason longer than 4,000 characters": ({"reason": "x" * 4001}, "/reason"),
    "an explanation without text": ({"explanations": [{"rule": "R6"}]}, "/explanations/0/text"),
    "an explanation with an unknown field": (
        {"explanations": [{"rule": "R6", "text": "x", "by": "y"}]},
        "/explanations/0/by",
    ),
    "an explanation of a row by a number": (
        {"explanations": [{"rule": "R6", "text": "x", "row": {"sector": 1}}]},
        "/explanations/0/row/sector",
    ),
}


@pytest.mark.parametrize(("changes", "place"), WRONG_ENVELOPES.values(), ids=WRONG_ENVELOPES.keys())
async def test_a_wrong_envelope_is_refused_with_its_place(
    province: httpx.AsyncClient, engine: AsyncEngine, changes: dict[str, object], place: str
) -> None:
    problem = refused(await push(province, a_report(**changes)), 400, "malformed-request")
    assert [each["pointer"] for each in problem["errors"]] == [place]
    assert await counts(engine) == NOTHING


@pytest.mark.parametrize("name", ["form", "agency", "period", "rows"])
async def test_a_missing_required_field_is_named(province: httpx.AsyncClient, name: str) -> None:
    document = a_report()
    del document[name]
    problem = refused(await push(province, document), 400, "malformed-request")
    assert [each["pointer"] for each in problem["errors"]] == [f"/{name}"]


async def test_every_wrong_place_of_an_envelope_is_named_at_once(province: httpx.AsyncClient) -> None:
    document = a_report(form=6, kind="draft", note="x", corrects="1", rows=[[]])
    problem = refused(await push(province, document), 400, "malformed-request")
    places = {each["pointer"] for each in problem["errors"]}
    assert places == {"/form", "/kind", "/note", "/corrects", "/rows/0"}


PERIODS = [
    "2026-Q5",
    "2026-Q0",
    "2026-q3",
    "2026-3Q",
    "2026-S3",
    "2026-13",
    "2026-7",
    "26-07",
    "2026-W54",
    "2026-W00",
    "2026-8M",
    "1999",
    "2100",
    "2026-07-20",
    "2026-07-20/P0D",
    "2026-02-30/P1D",
    "2026-07-20/P1D1W",
    "2026/Q3",
    "2026-Q3..2026-Q4",
    "2026-Q1,2026-Q2",
    "２０２６",
]


@pytest.mark.parametrize("period", [*PERIODS, " 2026-Q3", "2026-Q3\n"])
async def test_a_period_outside_the_grammar_is_malformed(
    province: httpx.AsyncClient, engine: AsyncEngine, period: str
) -> None:
    problem = refused(await push(province, a_report(period=period)), 400, "malformed-request")
    assert [each["pointer"] for each in problem["errors"]] == ["/period"]
    assert await counts(engine) == NOTHING


async def test_null_is_the_same_as_absent_for_every_optional_field(province: httpx.AsyncClient) -> None:
    optional = ("kind", "explanations", "nil", "corrects", "reason", "form_version", "classification")
    answer = await push(province, a_report(**dict.fromkeys(optional)))
    assert answer.status_code == 201, answer.text


async def test_a_number_beyond_all_range_is_a_finding_and_not_a_crash(province: httpx.AsyncClient) -> None:
    for literal in ("1e400", "1e-400", "-1", "1" + "0" * 30, "9" * 4000, "1e999999999"):
        sent = body_with(a_report(rows=[a_row(received_total="@n")]), n=literal)
        assert rules(findings(await push(province, sent))) == ["type"], literal


SECRET = "Tài liệu 0123456789 mật"


@pytest.mark.parametrize(
    "changes",
    [
        {"form": SECRET},
        {"period": SECRET},
        {"kind": SECRET},
        {"nil": SECRET},
        {"corrects": SECRET},
        {"form_version": SECRET},
        {"rows": SECRET},
        {"explanations": SECRET},
        {"explanations": [{"rule": SECRET * 9, "text": "x"}]},
        {"reason": SECRET * 1000},
        {"classification": SECRET},
    ],
    ids=lambda changes: next(iter(changes)),
)
async def test_a_problem_never_echoes_what_was_refused(client_for: NewClient, changes: dict[str, object]) -> None:
    province = await client_for(agency="H26")
    for language in ("vi", "en"):
        answer = await push(province, a_report(**changes), Accept_Language=language)
        assert answer.status_code in {400, 403, 404}
        assert "0123456789" not in answer.text


SAID = {
    "form": "TTHC_06A",
    "agency": "H26.18",
    "kind": "own",
    "form_version": "1",
    "classification": "none",
    "part": "1",
    "explanations": '[{"rule": "R6", "text": "Sáp nhập"}]',
    "note": "another's name is nobody's business here",
}
EXPLAINED = a_report(form_version=1, explanations=[{"rule": "R6", "text": "Sáp nhập"}])
OTHERWISE = {
    "form": "KTXH_01",
    "agency": "H29.18",
    "period": "2026-Q1",
    "kind": "consolidation",
    "nil": "None",
    "explanations": "[",
    "corrects": "01998a3e-5f10-7c4e-9b1a-3d5f7a9c1e20",
    "reason": "Đính chính",
    "form_version": "2",
    "classification": "secret",
    "part": "2",
}


@pytest.mark.parametrize("route", ["", "/validate"])
async def test_parameters_that_contradict_a_report_in_json_are_named(
    province: httpx.AsyncClient, engine: AsyncEngine, route: str
) -> None:
    same = await push(province, EXPLAINED, to=f"/validate?{urlencode(SAID)}")
    assert same.status_code == 200, same.text
    answer = await push(province, EXPLAINED, to=f"{route}?{urlencode(SAID)}&{urlencode(OTHERWISE)}")
    problem = refused(answer, 400, "malformed-request")
    assert sorted(each["pointer"] for each in problem["errors"]) == sorted(OTHERWISE)
    assert await counts(engine) == NOTHING
