"""The catalogue over HTTP: read by any token, changed by whole documents that fit or leave no trace."""

import asyncio
import csv
import io

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from factories import (
    a_breakdown,
    a_codelist,
    a_form,
    a_report,
    a_rule,
    a_small_report,
    an_agency,
    an_indicator,
)
from gateway.domain.agency_faults import agency_faults
from gateway.flow.load import Catalogues
from gateway_under_test import (
    NewClient,
    accepted,
    connected,
    findings,
    push,
    put,
    refused,
    rules,
    shown,
    stalled_intake,
    until_waiting,
)

EDITOR = ("catalog:write", "reports:write", "reports:read")


@pytest.fixture
async def editor(client_for: NewClient) -> httpx.AsyncClient:
    """A client of the whole country that changes the catalogue."""
    return await client_for(*EDITOR)


async def revision(engine: AsyncEngine) -> int:
    async with connected(engine) as connection:
        number: int = await connection.fetchval("SELECT max(revision) FROM catalog_revisions")
    return number


async def test_forms_are_listed_and_read_in_todays_version(country: httpx.AsyncClient) -> None:
    page = shown(await country.get("/v1/forms"))
    assert ([form["code"] for form in page["items"]], page["next"]) == (["KTXH_01", "TTHC_06A"], None)
    form = shown(await country.get("/v1/forms/TTHC_06A"))
    assert form == page["items"][1] == shown(await country.get("/v1/forms/TTHC_06A/versions/1"))
    assert [indicator["column"] for indicator in form["indicators"]] == [f"({n})" for n in range(3, 14)]


async def test_lists_of_forms_have_pages(country: httpx.AsyncClient) -> None:
    first = shown(await country.get("/v1/forms", params={"limit": 1}))
    second = shown(await country.get("/v1/forms", params={"limit": 1, "cursor": first["next"]}))
    assert [form["code"] for form in first["items"] + second["items"]] == ["KTXH_01", "TTHC_06A"]
    assert second["next"] is None


@pytest.mark.parametrize(
    "path", ["/forms/X1", "/forms/TTHC_06A/versions/2", "/forms/X1/schema", "/codelists/X1", "/agencies/H99"]
)
async def test_what_the_catalogue_lacks_is_not_found(country: httpx.AsyncClient, path: str) -> None:
    refused(await country.get(f"/v1{path}"), 404, "not-found")


@pytest.mark.parametrize("version", ["0", "1000", "x", "-1"])
async def test_a_version_is_a_number_from_1_to_999(country: httpx.AsyncClient, version: str) -> None:
    refused(await country.get(f"/v1/forms/TTHC_06A/versions/{version}"), 400, "malformed-request")


@pytest.mark.parametrize("form", ["TTHC_06A", "KTXH_01"])
async def test_the_example_of_a_form_is_accepted(country: httpx.AsyncClient, form: str) -> None:
    example = shown(await country.get(f"/v1/forms/{form}/example"))
    assert shown(await push(country, example, to="/validate"))["accepted"] is True


@pytest.mark.parametrize("form", ["TTHC_06A", "KTXH_01"])
async def test_the_schema_names_every_column_and_what_is_required(country: httpx.AsyncClient, form: str) -> None:
    document = shown(await country.get(f"/v1/forms/{form}"))
    schema = shown(await country.get(f"/v1/forms/{form}/schema"))
    row = schema["properties"]["rows"]["items"]
    columns = [each["id"] for each in document["breakdowns"] + document["indicators"]]
    required = [each["id"] for each in document["breakdowns"]]
    required += [each["id"] for each in document["indicators"] if each["required"]]
    assert (list(row["properties"]), row["required"]) == (columns, required)
    assert (row["additionalProperties"], schema["additionalProperties"]) == (False, False)


async def test_the_template_is_the_forms_header_as_spreadsheets_read_it(country: httpx.AsyncClient) -> None:
    answer = await country.get("/v1/forms/TTHC_06A/template.csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.content.startswith(b"\xef\xbb\xbf")
    header = next(csv.reader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert header == list(a_report()["rows"][0])


async def test_a_new_form_takes_reports_at_once(editor: httpx.AsyncClient) -> None:
    answer = await put(editor, "/forms/TEST_01/versions/1", a_form())
    assert (answer.status_code, shown(answer)["code"]) == (200, "TEST_01")
    await accepted(editor, a_small_report())
    found = findings(await push(editor, a_small_report(period="2098-Q4", rows=[{"sector": "LAND"}])))
    assert rules(found) == ["required"]


async def test_the_name_of_a_document_may_be_left_to_its_address(editor: httpx.AsyncClient) -> None:
    document = a_form()
    del document["code"], document["version"]
    assert shown(await put(editor, "/forms/TEST_01/versions/1", document))["version"] == 1


async def test_a_name_that_disagrees_with_its_address_is_malformed(editor: httpx.AsyncClient) -> None:
    for path, document, place in (
        ("/forms/TEST_01/versions/2", a_form(), "/version"),
        ("/forms/TEST_02/versions/1", a_form(), "/code"),
        ("/codelists/OTHER", a_codelist(), "/id"),
        ("/agencies/H26.18.02", an_agency(), "/code"),
    ):
        problem = refused(await put(editor, path, document), 400, "malformed-request")
        assert [each["pointer"] for each in problem["errors"]] == [place]


@pytest.mark.parametrize("sent", [b"", b"[]", b"{", b'{"code": NaN}', b'{"code": "TEST_01", "code": "TEST_01"}'])
async def test_a_document_is_strict_json(editor: httpx.AsyncClient, engine: AsyncEngine, sent: bytes) -> None:
    refused(await put(editor, "/forms/TEST_01/versions/1", sent), 400, "malformed-request")
    assert await revision(engine) == 1


async def test_every_fault_of_a_form_is_named_and_nothing_is_loaded(
    editor: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    wrong = a_form(
        frequencies=["daily"],
        note="x",
        indicators=[an_indicator(type="number"), an_indicator(id="Amount")],
        rules=[a_rule(severity="fatal")],
    )
    problem = refused(await put(editor, "/forms/TEST_01/versions/1", wrong), 422, "invalid-catalogue")
    assert sorted(each["pointer"] for each in problem["errors"]) == [
        "/frequencies/0",
        "/indicators/0/type",
        "/indicators/1/id",
        "/note",
        "/rules/0/severity",
    ]
    assert await revision(engine) == 1
    refused(await editor.get("/v1/forms/TEST_01"), 404, "not-found")


async def test_parts_of_a_form_that_do_not_fit_are_all_named(editor: httpx.AsyncClient, engine: AsyncEngine) -> None:
    wrong = a_form(
        breakdowns=[a_breakdown(), a_breakdown(id="amount"), a_breakdown(id="level")],
        indicators=[an_indicator(), an_indicator(id="total", over_time="formula", formula="amount + missing")],
        rules=[
            a_rule(check="amount >"),
            a_rule(check="amount == absent"),
            a_rule(id="codelist"),
            a_rule(id="R4", check="amount"),
        ],
    )
    problem = refused(await put(editor, "/forms/TEST_01/versions/1", wrong), 422, "invalid-catalogue")
    assert sorted(each["pointer"] for each in problem["errors"]) == [
        "/breakdowns/2/id",
        "/indicators/0/id",
        "/indicators/1/formula",
        "/indicators/1/id",
        "/rules/0/check",
        "/rules/1/check",
        "/rules/1/id",
        "/rules/2/id",
        "/rules/3/check",
    ]
    assert await revision(engine) == 1


async def test_a_form_of_an_unknown_code_list_is_refused(editor: httpx.AsyncClient) -> None:
    wrong = a_form(breakdowns=[a_breakdown(), a_breakdown(id="stage", codelist="NOWHERE")])
    problem = refused(await put(editor, "/forms/TEST_01/versions/1", wrong), 422, "invalid-catalogue")
    assert [each["pointer"] for each in problem["errors"]] == ["/breakdowns/1/codelist"]


async def test_a_form_version_changes_until_a_report_uses_it(editor: httpx.AsyncClient, engine: AsyncEngine) -> None:
    path = "/forms/TEST_01/versions/1"
    await put(editor, path, a_form())
    assert (await put(editor, path, a_form(number="Biểu 1"))).status_code == 200
    await accepted(editor, a_small_report())
    before = await revision(engine)
    refused(await put(editor, path, a_form(number="Biểu 2")), 409, "catalogue-conflict")
    assert (await put(editor, path, a_form(number="Biểu 1"))).status_code == 200
    assert shown(await editor.get(f"/v1{path}"))["number"] == "Biểu 1"
    assert await revision(engine) == before


async def test_a_rejected_report_uses_a_version_too(editor: httpx.AsyncClient) -> None:
    path = "/forms/TEST_01/versions/1"
    await put(editor, path, a_form())
    assert (await push(editor, a_small_report(rows=[]))).status_code == 422
    refused(await put(editor, path, a_form(number="2")), 409, "catalogue-conflict")


async def test_a_form_version_does_not_change_under_a_report_on_its_way(
    editor: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    path = "/forms/TEST_01/versions/1"
    await put(editor, path, a_form())
    async with connected(engine) as connection:
        async with stalled_intake(connection):
            pushing = asyncio.create_task(push(editor, a_small_report()))
            await until_waiting(connection)
            changing = asyncio.create_task(put(editor, path, a_form(indicators=[an_indicator(id="other")])))
            await until_waiting(connection, "relation")
        assert (await pushing).status_code == 201
        refused(await changing, 409, "catalogue-conflict")


async def test_two_changes_at_once_do_not_make_a_cycle_between_them(
    editor: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    one, other = an_agency(code="H26.18.01"), an_agency(code="H26.18.02")
    for each in (one, other):
        await put(editor, f"/agencies/{each['code']}", each)
    async with connected(engine) as connection:
        async with connection.transaction():
            await connection.execute("LOCK TABLE reports IN ROW EXCLUSIVE MODE")  # as a report on its way does
            changing = [
                asyncio.create_task(put(editor, f"/agencies/{each['code']}", {**each, "parent": parent["code"]}))
                for each, parent in ((one, other), (other, one))
            ]
            await until_waiting(connection, "relation", 2)
        answers = await asyncio.gather(*changing)
    assert sorted(answer.status_code for answer in answers) == [200, 422]
    catalogue = await Catalogues(engine).newest()
    assert agency_faults(catalogue.agencies.versions) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "decimal", "scale": 2},
        {"unit": "vnd"},
        {"over_agencies": "none"},
        {"over_time": "last"},
    ],
    ids=lambda changes: next(iter(changes)),
)
async def test_an_indicator_keeps_its_meaning_through_all_versions(
    editor: httpx.AsyncClient, changes: dict[str, object]
) -> None:
    await put(editor, "/forms/TEST_01/versions/1", a_form(valid_to="2029-12-31"))
    second = a_form(version=2, valid_from="2030-01-01", indicators=[an_indicator(**changes)])
    refused(await put(editor, "/forms/TEST_01/versions/2", second), 409, "catalogue-conflict")


async def test_the_version_of_a_report_is_the_one_in_force_on_the_periods_last_day(
    editor: httpx.AsyncClient,
) -> None:
    await put(editor, "/forms/TEST_01/versions/1", a_form(valid_to="2098-03-13"))
    second = a_form(version=2, valid_from="2098-03-14", indicators=[an_indicator(title={"vi": "x", "en": "x"}, max=9)])
    assert (await put(editor, "/forms/TEST_01/versions/2", second)).status_code == 200
    before = await accepted(editor, a_small_report(period="2097-Q4"))
    after = await accepted(editor, a_small_report(period="2098-Q1"))
    assert (before["form_version"], after["form_version"]) == (1, 2)
    answer = await push(editor, a_small_report(period="2098-Q2", form_version=1))
    assert rules(findings(answer)) == ["form_version"]


async def test_a_code_is_closed_and_never_removed(editor: httpx.AsyncClient) -> None:
    await put(editor, "/codelists/TEST_CODES", a_codelist("A", "B"))
    problem = refused(await put(editor, "/codelists/TEST_CODES", a_codelist("A")), 422, "invalid-catalogue")
    assert [each["pointer"] for each in problem["errors"]] == ["/codes"]
    closed = a_codelist("A", "B")
    closed["codes"][1]["valid_to"] = "2098-06-30"
    assert (await put(editor, "/codelists/TEST_CODES", closed)).status_code == 200
    await put(editor, "/forms/TEST_01/versions/1", a_form(breakdowns=[a_breakdown(id="part", codelist="TEST_CODES")]))
    row = {"part": "B", "amount": 1}
    await accepted(editor, a_small_report(period="2098-Q2", rows=[row]))
    assert rules(findings(await push(editor, a_small_report(rows=[row])))) == ["codelist"]


async def test_a_code_list_is_read_as_it_was_written(editor: httpx.AsyncClient) -> None:
    await put(editor, "/codelists/TEST_CODES", a_codelist("A", "B"))
    found = shown(await editor.get("/v1/codelists/TEST_CODES"))
    assert [code["code"] for code in found["codes"]] == ["A", "B"]


async def test_a_code_list_with_a_code_twice_or_an_unknown_parent_is_refused(
    editor: httpx.AsyncClient,
) -> None:
    orphan = a_codelist("A", "B")
    orphan["codes"][0]["parent"] = "C"
    for wrong in (a_codelist("A", "A"), orphan, a_codelist(codes=[])):
        refused(await put(editor, "/codelists/TEST_CODES", wrong), 422, "invalid-catalogue")


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("H38", "H38"),
        ("000.00.00.H38", "H38"),
        ("000-00-00-H38", "H38"),
        ("GSO:01", "H26"),
        ("H26-18", "H26.18"),
        ("GSO:00004", "H26.00004"),
        ("H40", "H40"),
    ],
)
async def test_an_agency_is_found_by_code_alias_and_other_separators(
    country: httpx.AsyncClient, name: str, code: str
) -> None:
    assert shown(await country.get(f"/v1/agencies/{name}"))["code"] == code


async def test_agencies_are_those_of_a_day(country: httpx.AsyncClient) -> None:
    async def provinces(at: str) -> set[str]:
        asked = {"level": "province", "at": at, "limit": "1000"}
        return {each["code"] for each in shown(await country.get("/v1/agencies", params=asked))["items"]}

    assert "H40" in await provinces("2024-12-14")
    assert "H40" in await provinces("2025-06-30")
    assert "H40" not in await provinces("2025-07-01")
    assert len(await provinces("2026-09-14")) == 34


async def test_agencies_below_one_are_listed_in_pages_without_gaps(country: httpx.AsyncClient) -> None:
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = shown(await country.get("/v1/agencies", params={"under": "H26", "limit": "50", **cursor}))
        found += [each["code"] for each in page["items"]]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert found == sorted(set(found))
    assert len(found) == 1 + 12 + 126
    assert all(code.startswith("H26") for code in found)


async def test_a_list_of_agencies_under_an_unknown_one_is_not_found(country: httpx.AsyncClient) -> None:
    refused(await country.get("/v1/agencies", params={"under": "H99"}), 404, "not-found")
    refused(await country.get("/v1/agencies", params={"at": "yesterday"}), 400, "malformed-request")
    refused(await country.get("/v1/agencies", params={"level": "village"}), 400, "malformed-request")


async def test_a_new_agency_reports_at_once(editor: httpx.AsyncClient) -> None:
    answer = await put(editor, "/agencies/H26.18.01", an_agency(aliases=["HN-NN-01"]))
    assert (answer.status_code, shown(answer)["name"]) == (200, "Chi cục thử nghiệm")
    taken = await accepted(editor, a_report(agency="HN-NN-01"))
    assert taken["agency"] == "H26.18.01"


async def test_a_later_version_of_an_agency_leaves_the_earlier_one_in_its_time(
    editor: httpx.AsyncClient, client_for: NewClient
) -> None:
    await put(editor, "/agencies/H26.18.01", an_agency(valid_from="2025-01-01"))
    moved = an_agency(valid_from="2026-06-01", parent="H29.18", name="Chi cục đã chuyển")
    assert shown(await put(editor, "/agencies/H26.18.01", moved))["name"] == "Chi cục đã chuyển"
    for under, at, expected in (
        ("H26", "2026-05-31", True),
        ("H29", "2026-05-31", False),
        ("H26", "2026-06-01", False),
        ("H29", "2026-06-01", True),
    ):
        asked = {"under": under, "at": at, "level": "unit"}
        found = shown(await editor.get("/v1/agencies", params=asked))["items"]
        assert ([each["code"] for each in found] == ["H26.18.01"]) is expected, (under, at)


AGENCY_FAULTS = {
    "an unknown parent": {"parent": "H26.99"},
    "an unknown successor": {"successor": "H26.99"},
    "itself as its parent": {"parent": "H26.18.01"},
    "an alias of another": {"aliases": ["GSO:01"]},
    "the code of another as alias": {"aliases": ["H29"]},
    "an unknown level": {"level": "village"},
    "a malformed code as parent": {"parent": "h26"},
    "an end before its beginning": {"valid_to": "2025-12-31"},
    "no name": {"name": ""},
    "a malformed day": {"valid_from": "2026-02-30"},
}


@pytest.mark.parametrize("changes", AGENCY_FAULTS.values(), ids=AGENCY_FAULTS.keys())
async def test_an_agency_that_does_not_fit_is_refused(
    editor: httpx.AsyncClient, engine: AsyncEngine, changes: dict[str, object]
) -> None:
    answer = await put(editor, "/agencies/H26.18.01", an_agency(**changes))
    assert len(refused(answer, 422, "invalid-catalogue")["errors"]) == 1
    assert await revision(engine) == 1


@pytest.mark.parametrize("code", ["h26", "H2", "H26.", "H26..1", "26", "H26.á", "H26" + ".1" * 17])
async def test_a_malformed_agency_code_is_refused(editor: httpx.AsyncClient, code: str) -> None:
    answer = await put(editor, f"/agencies/{code}", an_agency(code=code))
    refused(answer, 422, "invalid-catalogue")


async def test_a_cycle_among_agencies_is_refused(editor: httpx.AsyncClient, engine: AsyncEngine) -> None:
    province = an_agency(code="H26", name="Hà Nội", level="province", parent="H26.18", valid_from="2026-01-01")
    problem = refused(await put(editor, "/agencies/H26", province), 422, "invalid-catalogue")
    assert "its own ancestor" in problem["errors"][0]["message"]
    assert await revision(engine) == 1


async def test_a_client_of_a_subtree_changes_agencies_below_its_own_and_nothing_else(
    client_for: NewClient,
) -> None:
    province = await client_for("catalog:write", agency="H26")
    assert (await put(province, "/agencies/H26.18.01", an_agency())).status_code == 200
    for path, document in (
        ("/agencies/H26", an_agency(code="H26", parent=None)),
        ("/agencies/H26", an_agency(code="H26", parent="H26")),
        ("/agencies/H29.18", an_agency(code="H29.18", parent="H26")),
        ("/agencies/H29.99", an_agency(code="H29.99", parent="H29")),
        ("/agencies/H26.18", an_agency(code="H26.18", parent="H29")),
        ("/agencies/H26.98", an_agency(code="H26.98", parent=None)),
        ("/agencies/H26.98", an_agency(code="H26.98", parent=["H26"])),
        ("/forms/TEST_01/versions/1", a_form()),
        ("/codelists/TEST_CODES", a_codelist()),
    ):
        refused(await put(province, path, document), 403, "forbidden")


async def test_reports_pushed_while_the_catalogue_changes_are_judged_by_the_new_one(
    editor: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    await put(editor, "/codelists/TEST_CODES", a_codelist("A", "B"))
    await put(editor, "/forms/TEST_01/versions/1", a_form(breakdowns=[a_breakdown(id="part", codelist="TEST_CODES")]))
    first = a_small_report(rows=[{"part": "A", "amount": 1}])
    await accepted(editor, first)  # the catalogue is held by now
    closed = a_codelist("A", "B")
    closed["codes"][0]["valid_to"] = "2020-01-01"
    assert (await put(editor, "/codelists/TEST_CODES", closed)).status_code == 200
    answer = await push(editor, a_small_report(period="2098-Q4", rows=[{"part": "A", "amount": 1}]))
    assert rules(findings(answer)) == ["codelist"]
