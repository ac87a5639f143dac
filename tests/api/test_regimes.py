"""Reporting regimes over HTTP: set by the whole country or by a province for its own units, and never contradictory."""

import asyncio
from typing import Any

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from factories import a_form, a_monthly_report, a_regime, a_report, a_small_report, body
from gateway_under_test import (
    NewClient,
    accepted,
    asked,
    connected,
    every_item,
    findings,
    have,
    push,
    put,
    refused,
    rules,
    shown,
)

FREQUENCIES = ["weekly", "monthly", "quarterly", "half_yearly", "nine_months", "annual", "ad_hoc"]
COMMUNES = {"levels": ["commune"], "under": "H26"}


@pytest.fixture
async def editor(client_for: NewClient) -> httpx.AsyncClient:
    """A client of the whole country, with a form that may be reported for any period and is in no regime."""
    client = await client_for("catalog:write", "reports:write", "reports:read")
    await have(client, "/forms/TEST_01/versions/1", a_form(frequencies=FREQUENCIES))
    return client


@pytest.fixture
async def hanoi(editor: httpx.AsyncClient, client_for: NewClient) -> httpx.AsyncClient:
    """A client that may assign reports within Ha Noi (H26)."""
    return await client_for("catalog:write", "reports:write", "reports:read", agency="H26")


async def put_regime(client: httpx.AsyncClient, **changes: object) -> httpx.Response:
    document = a_regime(**changes)
    return await put(client, f"/regimes/{document['code']}", document)


async def have_regime(client: httpx.AsyncClient, **changes: object) -> dict[str, Any]:
    answer = await put_regime(client, **changes)
    assert answer.status_code == 200, answer.text
    return shown(answer)


async def owing(client: httpx.AsyncClient, period: str, form: str = "TEST_01") -> set[str]:
    items = await every_item(client, "/obligations", form=form, period=period, limit=1000)
    return {each["agency"] for each in items}


def places(answer: httpx.Response) -> list[str]:
    """The places that a refused document names."""
    return [each["pointer"] for each in refused(answer, 422, "invalid-catalogue")["errors"]]


async def revision(engine: AsyncEngine) -> int:
    async with connected(engine) as connection:
        number: int = await connection.fetchval("SELECT max(revision) FROM catalog_revisions")
    return number


async def test_the_bundled_regimes_are_listed_and_read(client_for: NewClient) -> None:
    client = await client_for("aggregates:read", agency="H29.18")
    page = await asked(client, "/regimes")
    assert ([each["code"] for each in page["items"]], page["next"]) == (["KSTT", "KTXH"], None)
    assert await asked(client, "/regimes/KSTT") == page["items"][0]
    assert page["items"][0]["periods"] == ["Q1", "Q2", "Q3", "Y"]
    assert (page["items"][1]["lock_after_days"], page["items"][1]["who"][0]["levels"]) == (10, ["province"])
    refused(await client.get("/v1/regimes/XX"), 404, "not-found")
    only = await asked(client, "/regimes", form="KTXH_01")
    assert [each["code"] for each in only["items"]] == ["KTXH"]
    assert (await asked(client, "/regimes", form="NOPE"))["items"] == []


async def test_lists_of_regimes_have_pages(country: httpx.AsyncClient) -> None:
    first = await asked(country, "/regimes", limit=1)
    second = await asked(country, "/regimes", limit=1, cursor=first["next"])
    assert [each["code"] for each in first["items"] + second["items"]] == ["KSTT", "KTXH"]
    assert second["next"] is None


async def test_a_regime_is_put_and_read_back_with_its_defaults_and_its_reports_are_owed_at_once(
    editor: httpx.AsyncClient,
) -> None:
    assert await owing(editor, "2098-Q3") == set()
    made = await have_regime(editor)
    assert made == await asked(editor, "/regimes/TEST")
    defaults: dict[str, Any] = {
        "owner": None,
        "receiver": None,
        "kind": "periodic",
        "periods": None,
        "cutoff": None,
        "deadlines": {},
        "lock_after_days": None,
        "reopen_days": None,
        "valid_from": None,
        "valid_to": None,
    }
    assert {name: made[name] for name in defaults} == defaults
    assert await owing(editor, "2098-Q3") == {f"H26.{number}" for number in range(10, 22)}


async def test_putting_the_same_regime_again_changes_nothing(editor: httpx.AsyncClient, engine: AsyncEngine) -> None:
    first = await have_regime(editor)
    before = await revision(engine)
    assert await have_regime(editor) == first
    assert await revision(engine) == before


async def test_a_regime_may_be_replaced_while_no_report_depends_on_its_days(editor: httpx.AsyncClient) -> None:
    await have_regime(editor)
    await have_regime(editor, who=[{"agencies": ["H26.18"]}], cutoff={"day": 20})
    assert await owing(editor, "2098-Q3") == {"H26.18"}
    found = await asked(editor, "/periods", regime="TEST", year=2098)
    assert [each["cutoff"] for each in found["items"]] == ["2098-03-20", "2098-06-20", "2098-09-20", "2098-12-20"]


async def test_the_address_and_the_document_must_agree(editor: httpx.AsyncClient) -> None:
    problem = refused(await put(editor, "/regimes/OTHER", a_regime()), 400, "malformed-request")
    assert [each["pointer"] for each in problem["errors"]] == ["/code"]


NAMES_NOTHING: tuple[tuple[dict[str, Any], list[str]], ...] = (
    ({"forms": ["TEST_01", "NOPE_1"]}, ["/forms/1"]),
    ({"frequency": "annual", "forms": ["KTXH_01"]}, ["/forms/0"]),
    ({"forms": ["TEST_01", "KTXH_01"], "periods": ["Q1", "07"]}, ["/forms/1"]),
    ({"owner": "H99"}, ["/owner"]),
    ({"receiver": "H99"}, ["/receiver"]),
    ({"who": [{"under": "H26"}, {"under": "H99"}]}, ["/who/1/under"]),
    ({"who": [{"agencies": ["H26", "H99", "H98"]}]}, ["/who/0/agencies/1", "/who/0/agencies/2"]),
    ({"forms": ["NOPE_1"], "owner": "H99", "who": [{"under": "H98"}]}, ["/forms/0", "/owner", "/who/0/under"]),
)
WRONG: tuple[tuple[dict[str, Any], list[str]], ...] = (
    ({"note": "?"}, ["/note"]),
    ({"who": [{"level": ["commune"]}]}, ["/who/0/level"]),
    ({"deadlines": {"province": {"day": 25, "hour": 12}}}, ["/deadlines/province/hour"]),
    ({"cutoff": {"dayy": 14}}, ["/cutoff/dayy"]),
    ({"legal_basis": ""}, ["/legal_basis"]),
    ({"forms": []}, ["/forms"]),
    ({"who": []}, ["/who"]),
    ({"who": [{"levels": []}]}, ["/who/0/levels"]),
    ({"who": [{"agencies": []}]}, ["/who/0/agencies"]),
    ({"who": [{"levels": ["ward"]}]}, ["/who/0/levels/0"]),
    ({"who": [{"under": "H26", "report_kind": "draft"}]}, ["/who/0/report_kind"]),
    ({"kind": "daily"}, ["/kind"]),
    ({"frequency": "daily"}, ["/frequency"]),
    ({"frequency": "ad_hoc"}, [""]),
    ({"periods": []}, ["/periods"]),
    ({"periods": ["Q1", "Q1"]}, [""]),
    ({"periods": ["Q5"]}, [""]),
    ({"periods": [""]}, [""]),
    ({"periods": ["Q1\n"]}, [""]),
    ({"periods": ["2026-07\n"]}, [""]),
    ({"periods": ["2026-02-30/P1D"]}, [""]),
    ({"cutoff": {"day": 32}}, ["/cutoff/day"]),
    ({"cutoff": {"day": 0, "weekday": 8}}, ["/cutoff/day", "/cutoff/weekday"]),
    ({"deadlines": {"default": {}}}, ["/deadlines/default"]),
    ({"deadlines": {"default": {"day": 20, "days": 3}}}, ["/deadlines/default"]),
    ({"deadlines": {"default": {"days": 3, "months_after": 1}}}, ["/deadlines/default"]),
    ({"deadlines": {"default": {"date": "2026-07-20"}}}, [""]),
    ({"frequency": "weekly", "deadlines": {"default": {"day": 20}}}, [""]),
    ({"lock_after_days": -1, "reopen_days": 0}, ["/lock_after_days", "/reopen_days"]),
    ({"lock_after_days": 100000}, ["/lock_after_days"]),
    ({"lock_after_days": "10"}, ["/lock_after_days"]),
    ({"valid_from": "2026-07-20", "valid_to": "2026-07-19"}, [""]),
    ({"valid_from": "20/07/2026"}, ["/valid_from"]),
)


@pytest.mark.parametrize("table", [NAMES_NOTHING, WRONG], ids=["names nothing", "wrong"])
async def test_what_is_wrong_with_a_regime_is_named_and_nothing_is_kept(
    editor: httpx.AsyncClient, engine: AsyncEngine, table: tuple[tuple[dict[str, Any], list[str]], ...]
) -> None:
    before = await revision(engine)
    answers = {str(changes): await put_regime(editor, **changes) for changes, _ in table}
    assert {changes: places(answer) for changes, answer in answers.items()} == {
        str(changes): named for changes, named in table
    }
    for answer in answers.values():
        assert all(len(each["message"]) > 5 for each in shown(answer)["errors"])
    assert await revision(engine) == before


async def test_what_a_regime_lacks_is_named_together(editor: httpx.AsyncClient) -> None:
    answer = await put(editor, "/regimes/TEST", {"code": "TEST"})
    assert places(answer) == ["/legal_basis", "/forms", "/frequency", "/who"]


FIELDS = [*a_regime(), "title", "owner", "kind", "periods", "receiver", "cutoff", "deadlines"]
FIELDS += ["lock_after_days", "reopen_days", "valid_from", "valid_to", "unknown"]
MALFORMED: list[Any] = [
    *(None, True, 0, -1, 1.5, 10**40, -(10**400), "", "x", "Q1\n", "5", "\u0001", "9999-12-31", "0001-01-01"),
    *([], {}, [None], [1], [[]], [{}], [""], ["\n"], ["Q1\n"], ["W53"], ["2026-02-30/P1D"], ["x" * 5000]),
    *({"a": 1}, {"under": 5}, {"default": None}, {"default": []}, {"default": {"day": None}}),
    {"default": {"working_days": 10**9}},
    {"commune": {"day": 1, "days": 2}, "ward": {"day": 3}, "": {}},
    *({"day": 0}, {"day": "14"}, {"day": 10**40}, {"weekday": 8}),
    *([{"agencies": 5}], [{"agencies": [5, None]}], [{"agencies": "H26"}], [{"agencies": []}]),
    *([{"under": "H26", "levels": "commune"}], [{"under": "H26", "levels": [5]}], [{"under": ["H26"]}]),
    *([{"under": "H26", "report_kind": 5}], [{"under": "H26", "more": 1}], ["H26"], [["H26"]]),
]


@pytest.mark.parametrize("field", FIELDS)
async def test_a_malformed_document_is_refused_and_never_a_fault_of_the_gateway(
    editor: httpx.AsyncClient, hanoi: httpx.AsyncClient, field: str
) -> None:
    wrong: list[tuple[object, int]] = []
    for client, code in ((editor, "WHOLE"), (hanoi, "PART")):
        for value in MALFORMED:
            # One year each, so that no regime stands in another's way.
            document = a_regime(code=code, valid_from="2098-01-01", valid_to="2098-12-31") | {field: value}
            answer = await put(client, f"/regimes/{code}", document)
            if answer.status_code not in {200, 400, 403, 422}:
                wrong.append((value, answer.status_code))
    assert wrong == []


async def test_a_body_that_is_no_document_is_malformed(editor: httpx.AsyncClient, hanoi: httpx.AsyncClient) -> None:
    for content in (b"", b"{", b"[]", b"null", b"5", b'"x"', b'{"code": 5}', b'{"a": 1, "a": 2}'):
        for client in (editor, hanoi):
            refused(await put(client, "/regimes/TEST", content), 400, "malformed-request")


async def test_a_day_is_written_as_year_month_and_day_only(editor: httpx.AsyncClient) -> None:
    for field in ("valid_from", "valid_to"):
        for day in ("2026-W01-1", "2026-W53-7", "20260101", "2026-1-1", " 2026-01-01", "２０２６-01-01"):
            assert places(await put_regime(editor, **{field: day})) == [f"/{field}"], day


async def test_a_version_may_begin_on_the_first_day_there_is(editor: httpx.AsyncClient) -> None:
    await have_regime(editor)
    answer = await put_regime(editor, valid_from="0001-01-01")
    assert answer.status_code in {200, 422}, answer.text


async def test_a_far_deadline_leaves_everything_answering(editor: httpx.AsyncClient) -> None:
    period = "2098-07-20/P14D"
    answer = await put_regime(
        editor,
        kind="thematic",
        frequency="ad_hoc",
        periods=[period],
        deadlines={"default": {"date": "9999-12-31"}},
        lock_after_days=10,
    )
    assert answer.status_code in {200, 422}, answer.text
    for path in ("/periods?regime=TEST&year=2098", f"/obligations?form=TEST_01&period={period}"):
        assert (await editor.get(f"/v1{path}")).status_code in {200, 404}
    assert (await push(editor, a_small_report(period=period))).status_code == 201


OVERLAPPING: tuple[tuple[str, dict[str, Any]], ...] = (
    ("the same agencies", {}),
    ("one agency of them", {"who": [{"agencies": ["H26.18"]}]}),
    ("everybody", {"who": [{}]}),
    ("as a consolidation", {"who": [{"agencies": ["H26.18"], "report_kind": "consolidation"}]}),
    ("some periods of the frequency", {"frequency": "annual", "periods": ["Q2", "Y"]}),
    ("on the last day", {"valid_from": "2030-12-31"}),
    ("own figures of an agency above", {"who": [{"agencies": ["H26"]}]}),
    ("own figures of agencies below", {"who": [{"agencies": ["H26.18.01"]}]}),
)


@pytest.mark.parametrize(("why", "changes"), OVERLAPPING, ids=[why for why, _ in OVERLAPPING])
async def test_a_form_frequency_and_agency_are_covered_by_one_regime_on_a_day(
    editor: httpx.AsyncClient, why: str, changes: dict[str, Any]
) -> None:
    unit = {"code": "H26.18.01", "name": "Chi cục", "level": "unit", "parent": "H26.18", "valid_from": "2026-01-01"}
    await have(editor, "/agencies/H26.18.01", unit)
    await have_regime(editor, code="FIRST", valid_to="2030-12-31")
    answer = await put_regime(editor, code="SECOND", **changes)
    assert places(answer) == [""], why
    message = shown(answer)["errors"][0]["message"]
    assert "FIRST" in message
    assert "SECOND" in message
    assert (await editor.get("/v1/regimes/SECOND")).status_code == 404


BESIDE: tuple[tuple[str, dict[str, Any]], ...] = (
    ("other agencies", {"who": [{"levels": ["department"], "under": "H29"}]}),
    ("another frequency", {"frequency": "monthly"}),
    ("other periods", {"frequency": "annual", "periods": ["Y"]}),
    ("other days", {"valid_from": "2031-01-01"}),
    ("a consolidation above", {"who": [{"agencies": ["H26"], "report_kind": "consolidation"}]}),
)


@pytest.mark.parametrize(("why", "changes"), BESIDE, ids=[why for why, _ in BESIDE])
async def test_regimes_that_do_not_meet_stand_beside_each_other(
    editor: httpx.AsyncClient, why: str, changes: dict[str, Any]
) -> None:
    await have_regime(editor, code="FIRST", valid_to="2030-12-31")
    await have_regime(editor, code="SECOND", **changes)
    assert (await asked(editor, "/regimes/SECOND"))["code"] == "SECOND", why


async def test_a_bundled_form_is_not_assigned_again_below(hanoi: httpx.AsyncClient) -> None:
    answer = await put_regime(hanoi, forms=["TTHC_06A"], who=[COMMUNES])
    assert places(answer) == [""]
    assert "KSTT" in shown(answer)["errors"][0]["message"]


async def test_a_province_assigns_reports_to_its_own_units(
    hanoi: httpx.AsyncClient, country: httpx.AsyncClient
) -> None:
    made = await have_regime(hanoi, who=[COMMUNES], deadlines={"commune": {"working_days": 2}}, lock_after_days=10)
    assert (made["owner"], made["receiver"]) == ("H26", "H26")
    found = await owing(country, "2098-Q3")
    assert "H26.00004" in found
    assert {code.split(".")[0] for code in found} == {"H26"}
    assert len(found) == 126
    refused(await hanoi.get("/v1/obligations", params={"under": "H29"}), 403, "forbidden")


async def test_a_province_names_whom_it_wants_as_receiver(hanoi: httpx.AsyncClient) -> None:
    assert (await have_regime(hanoi, receiver="H26.18"))["receiver"] == "H26.18"


MINE: tuple[dict[str, Any], ...] = (
    {"who": [{"agencies": ["H26"], "report_kind": "consolidation"}, COMMUNES]},
    {"who": [{"agencies": ["H26.18", "H26.13"]}]},
    {"owner": "H26.18", "who": [{"agencies": ["H26.18"]}]},
)


@pytest.mark.parametrize("changes", MINE, ids=str)
async def test_what_a_province_may_assign(hanoi: httpx.AsyncClient, changes: dict[str, Any]) -> None:
    await have_regime(hanoi, **changes)


NOT_MINE: tuple[dict[str, Any], ...] = (
    {"who": [{}]},
    {"who": [{"levels": ["commune"]}]},
    {"who": [{"levels": ["department"], "under": "H29"}]},
    {"who": [COMMUNES, {"under": "H29"}]},
    {"who": [COMMUNES, {}]},
    {"who": [{"agencies": ["H29.18"]}]},
    {"who": [{"agencies": ["H26.18", "H29.18"]}]},
    {"who": [{"under": "H26", "agencies": ["H26.18", "H29.18"]}]},
    {"who": [{"under": "H99"}]},
    {"owner": "G22"},
    {"owner": "H29"},
    {"owner": None},
    {"owner": "H99"},
)


async def test_a_province_assigns_nothing_outside_its_subtree(hanoi: httpx.AsyncClient, engine: AsyncEngine) -> None:
    before = await revision(engine)
    for changes in NOT_MINE:
        refused(await put_regime(hanoi, **changes), 403, "forbidden")
    assert await revision(engine) == before


async def test_a_regime_of_another_owner_is_not_changed_by_a_province(
    editor: httpx.AsyncClient, hanoi: httpx.AsyncClient, client_for: NewClient
) -> None:
    refused(await put_regime(hanoi, code="KTXH", who=[COMMUNES]), 403, "forbidden")
    await have_regime(editor, code="NATIONAL")
    refused(await put_regime(hanoi, code="NATIONAL", valid_from="2050-01-01"), 403, "forbidden")
    await have_regime(hanoi, code="CITY", frequency="monthly")
    haiphong = await client_for("catalog:write", agency="H24")
    taken = {"owner": "H24", "who": [{"agencies": ["H24"]}]}
    refused(await put_regime(haiphong, code="CITY", frequency="monthly", **taken), 403, "forbidden")
    below = await client_for("catalog:write", agency="H26.18")
    refused(await put_regime(below, code="CITY", owner="H26.18", who=[{"agencies": ["H26.18"]}]), 403, "forbidden")
    await have_regime(editor, code="CITY", frequency="monthly", owner="H26", lock_after_days=5)


async def test_an_owner_is_needed_to_write_at_all(client_for: NewClient) -> None:
    for agency in ("H26", None):
        client = await client_for("reports:write", "reports:read", "operations", agency=agency)
        assert refused(await put_regime(client), 403, "forbidden")["scope"] == "catalog:write"


async def test_a_regime_of_one_province_leaves_the_same_form_open_to_others(
    hanoi: httpx.AsyncClient, country: httpx.AsyncClient
) -> None:
    await have_regime(hanoi, who=[COMMUNES])
    answer = await push(country, a_small_report(agency="H29.18"))
    assert answer.status_code == 201, answer.text


async def test_a_form_in_no_regime_is_owed_by_nobody_and_taken_from_anybody(editor: httpx.AsyncClient) -> None:
    assert await owing(editor, "2098-Q3") == set()
    for agency in ("H26", "H26.18", "H26.00004", "G01"):
        taken = await accepted(editor, a_small_report(agency=agency))
        assert taken["late"] is False
    assert (await accepted(editor, a_small_report(agency="H26", kind="consolidation")))["kind"] == "consolidation"


async def test_once_a_form_is_in_a_regime_it_is_taken_only_from_those_who_owe_it(editor: httpx.AsyncClient) -> None:
    await have_regime(editor, valid_from="2098-06-14", valid_to="2098-09-14")
    for report, owed in (
        (a_small_report(agency="H26.18"), True),
        (a_small_report(agency="H26.18", period="2098-Q2"), True),
        (a_small_report(agency="H26"), False),
        (a_small_report(agency="H26.00004"), False),
        (a_small_report(agency="H26.13", kind="consolidation"), False),
        (a_small_report(agency="H26.13", period="2098-07"), False),
    ):
        answer = await push(editor, report)
        if owed:
            assert answer.status_code == 201, answer.text
        else:
            assert rules(findings(answer)) == ["obligation"]
    for period in ("2098-Q1", "2098-Q4"):  # no regime has the form on their last days
        await accepted(editor, a_small_report(agency="H26", period=period))


async def test_the_bundled_regimes_take_reports_from_those_who_owe_them_only(country: httpx.AsyncClient) -> None:
    for report in (
        a_report(period="2098-Q4"),
        a_report(agency="H26", kind="consolidation"),
        a_monthly_report(agency="H26.18"),
        a_monthly_report(agency="G01"),
    ):
        assert rules(findings(await push(country, report))) == ["obligation"]
    for agency in ("G01", "H26", "H26.18", "H26.00004"):
        for period in ("2098-Q1", "2098"):
            await accepted(country, a_report(agency=agency, period=period))


async def test_a_new_version_holds_from_its_first_day_on(editor: httpx.AsyncClient) -> None:
    await have_regime(editor)
    later = await have_regime(editor, valid_from="2098-07-01", who=[{"agencies": ["H26"]}], cutoff={"day": 31})
    assert later["valid_from"] == "2098-07-01"
    assert (await asked(editor, "/regimes/TEST"))["valid_from"] is None, "the version of today"
    assert len(await owing(editor, "2098-Q2")) == 12
    assert await owing(editor, "2098-Q3") == {"H26"}
    found = {each["period"]: each for each in (await asked(editor, "/periods", regime="TEST", year=2098))["items"]}
    assert list(found) == ["2098-Q1", "2098-Q2", "2098-Q3", "2098-Q4"]
    assert [each["cutoff"] for each in found.values()] == ["2098-03-14", "2098-06-14", "2098-09-30", "2098-12-31"]
    assert found["2098-Q3"]["start"] == "2098-07-01"
    await have_regime(editor, valid_from="2098-10-01", valid_to="2098-12-31", who=[{"agencies": ["H29"]}])
    assert await owing(editor, "2098-Q3") == {"H26"}
    assert await owing(editor, "2098-Q4") == {"H29"}
    assert await owing(editor, "2099-Q1") == set(), "the newest version has ended"


async def test_a_version_of_a_regime_of_today_is_the_one_that_is_read(editor: httpx.AsyncClient) -> None:
    for valid_from in ("2098-01-01", "2020-01-01", "2021-01-01"):
        await have_regime(editor, valid_from=valid_from)
    assert (await asked(editor, "/regimes/TEST"))["valid_from"] == "2021-01-01"
    listed = [each for each in (await asked(editor, "/regimes"))["items"] if each["code"] == "TEST"]
    assert [each["valid_from"] for each in listed] == ["2021-01-01"]


async def test_a_cutoff_cannot_move_under_reports_that_were_taken(
    editor: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    await have_regime(editor)
    await accepted(editor, a_small_report(period="2098-Q2"))
    before = await revision(engine)
    refused(await put_regime(editor, cutoff={"day": 20}), 409, "catalogue-conflict")
    refused(await put_regime(editor, cutoff={"day": 20}, valid_from="2098-06-01"), 409, "catalogue-conflict")
    assert await revision(engine) == before
    await have_regime(editor, deadlines={"default": {"day": 30}}, lock_after_days=3)
    await have_regime(editor, cutoff={"day": 20}, valid_from="2098-06-21")
    assert (await asked(editor, "/periods", regime="TEST", year=2098))["items"][2]["cutoff"] == "2098-09-20"
    later = await accepted(editor, a_small_report(period="2098-Q3"))
    assert (await asked(editor, f"/reports/{later['id']}"))["status"] == "accepted"


async def test_reports_of_agencies_that_a_regime_does_not_bind_do_not_hold_its_cutoff(
    editor: httpx.AsyncClient,
) -> None:
    await accepted(editor, a_small_report(agency="H29", period="2098-Q2"))
    await have_regime(editor, cutoff={"day": 20})


async def test_each_level_has_its_own_deadline_and_the_default_is_for_the_others(editor: httpx.AsyncClient) -> None:
    await have_regime(
        editor,
        who=[{"agencies": ["H26.18", "H26.00004", "H26"]}],
        deadlines={"department": {"days": 400}, "default": {"day": 31, "months_after": 12}},
        frequency="annual",
    )
    found = await every_item(editor, "/obligations", form="TEST_01", period="2025")
    assert {each["agency"]: each["deadline"] for each in found} == {
        "H26": "2026-12-31",
        "H26.00004": "2026-12-31",
        "H26.18": "2027-01-18",
    }


DEADLINES: tuple[tuple[dict[str, Any], str], ...] = (
    ({"day": 25}, "2025-09-25"),
    ({"day": 31}, "2025-09-30"),
    ({"day": 5, "months_after": 1}, "2025-10-05"),
    ({"day": 5, "months_after": 1, "moved": "next"}, "2025-10-06"),
    ({"day": 5, "months_after": 1, "moved": "previous"}, "2025-10-03"),
    ({"days": 3}, "2025-09-17"),
    ({"days": 0}, "2025-09-15"),
    ({"day": 1}, "2025-09-15"),
    ({"working_days": 1}, "2025-09-15"),
    ({"working_days": 5}, "2025-09-19"),
    ({"working_days": 6}, "2025-09-22"),
)
"""Of the third quarter of 2025, cut on Sunday 14 September; 5 October is a Sunday."""


async def test_a_deadline_is_what_its_rule_says_and_never_before_a_working_day_after_the_cutoff(
    editor: httpx.AsyncClient,
) -> None:
    for rule, deadline in DEADLINES:
        await have_regime(editor, deadlines={"department": rule})
        (found,) = await every_item(editor, "/obligations", agency="H26.18", form="TEST_01", period="2025-Q3")
        days = (found["deadline"], found["due"], found["locks_after"])
        assert days == (deadline, deadline, None), rule


async def test_a_level_without_a_deadline_of_its_own_has_the_products(editor: httpx.AsyncClient) -> None:
    await have_regime(editor, who=[{"agencies": ["G01", "H26", "H26.18", "H26.00004"]}], lock_after_days=10)
    found = {
        each["agency"]: each for each in await every_item(editor, "/obligations", form="TEST_01", period="2025-Q3")
    }
    days = {"G01": "25", "H26": "25", "H26.18": "20", "H26.00004": "18"}
    assert {code: each["deadline"] for code, each in found.items()} == {
        code: f"2025-09-{day}" for code, day in days.items()
    }
    locks = {"G01": "2025-10-05", "H26": "2025-10-05", "H26.18": "2025-09-30", "H26.00004": "2025-09-28"}
    assert {code: each["locks_after"] for code, each in found.items()} == locks


@pytest.mark.parametrize("kind", ["thematic", "ad_hoc"])
async def test_thematic_and_ad_hoc_reports_are_due_on_a_date_or_never(editor: httpx.AsyncClient, kind: str) -> None:
    one, other = "2098-07-20/P14D", "2098-08-03/P1M"
    made = {"kind": kind, "frequency": "ad_hoc", "who": [{"agencies": ["H26"]}]}
    await have_regime(editor, **made, periods=[one], deadlines={"default": {"date": "2098-08-10"}})
    await have_regime(editor, code="FREE", forms=["TEST_01"], **(made | {"who": [{"agencies": ["H29"]}]}))
    (found,) = await every_item(editor, "/obligations", form="TEST_01", period=one)
    assert (found["agency"], found["start"], found["cutoff"]) == ("H26", "2098-07-20", "2098-08-02")
    assert found["deadline"] == "2098-08-10"
    assert rules(findings(await push(editor, a_small_report(agency="H26", period=other)))) == ["obligation"]
    # Nobody owes a report of an event that has not happened, and whoever is to report one may.
    assert await owing(editor, other) == set()
    assert (await accepted(editor, a_small_report(agency="H29", period=other)))["late"] is False
    assert rules(findings(await push(editor, a_small_report(agency="G01", period=other)))) == ["obligation"]


async def test_two_editors_at_once_do_not_both_get_an_overlapping_regime(
    editor: httpx.AsyncClient, hanoi: httpx.AsyncClient
) -> None:
    answers = await asyncio.gather(put_regime(editor, code="ONE"), put_regime(hanoi, code="TWO"))
    assert sorted(each.status_code for each in answers) == [200, 422]


async def test_a_regime_is_not_bigger_than_a_document_may_be(editor: httpx.AsyncClient) -> None:
    content = body(a_regime()) + b" " * (4 * 1024 * 1024)
    refused(await put(editor, "/regimes/TEST", content), 413, "content-too-large")
