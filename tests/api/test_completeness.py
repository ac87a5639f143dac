"""Completeness: how many reports were owed and came, in time or late, and the names of those who are missing."""

import csv
import io
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import pytest

from factories import a_balanced_row, a_form, a_monthly_report, a_regime, a_report, a_small_report, an_agency
from gateway.domain.calendar import civil_date
from gateway_under_test import NewClient, accepted, asked, every_item, have, refused, shown

SCOPES = ("catalog:write", "reports:write", "reports:read", "reports:review", "aggregates:read", "operations")
COUNTS = ("expected", "received", "on_time", "late", "returned", "excused", "missing")
DEPARTMENTS = [f"H26.{number}" for number in range(10, 22)]


def day(ago: int) -> date:
    """The day so many days ago."""
    return civil_date(datetime.now(UTC)) - timedelta(days=ago)


PAST, PRESENT = f"{day(104)}/P5D", f"{day(14)}/P5D"
"""Both have ended; a report for the first was due 80 days ago, one for the second is due in ten."""


@pytest.fixture
async def client(client_for: NewClient) -> httpx.AsyncClient:
    """A client of the whole country, with a form that Ha Noi and its departments report for both."""
    client = await client_for(*SCOPES)
    await have(client, "/forms/TEST_01/versions/1", a_form(frequencies=["ad_hoc", "quarterly", "annual"]))
    document = a_regime(
        kind="thematic",
        frequency="ad_hoc",
        periods=[PAST, PRESENT],
        deadlines={"default": {"days": 20}},
        who=[{"levels": ["department", "province"], "under": "H26"}, {"agencies": ["H29"]}],
    )
    await have(client, "/regimes/TEST", document)
    return client


@pytest.fixture
async def filled(client: httpx.AsyncClient) -> httpx.AsyncClient:
    """The same, with reports in every state: see ``IN_TIME`` and the others."""
    for agency in IN_TIME:
        await accepted(client, a_small_report(agency=agency, period=PRESENT))
    for agency in LATE:
        await accepted(client, a_small_report(agency=agency, period=PAST))
    await accepted(client, a_small_report(agency="H26.12", period=PRESENT, nil="not_applicable", rows=[]))
    await accepted(client, a_small_report(agency="H26.13", period=PRESENT, nil="nothing_to_report", rows=[]))
    for agency, period, how in (
        ("H26.14", PRESENT, "return"),
        ("H26.15", PRESENT, "withdraw"),
        ("H26.14", PAST, "return"),
    ):
        report = (await accepted(client, a_small_report(agency=agency, period=period)))["id"]
        answer = await client.post(f"/v1/reports/{report}/{how}", json={"reason": "Sai"})
        assert answer.status_code == 200
    return client


IN_TIME, LATE = ["H26", "H26.10", "H26.11"], ["H26.10", "H29"]


async def complete(client: httpx.AsyncClient, period: str = PRESENT, **parameters: Any) -> dict[str, Any]:
    found = await asked(client, "/completeness", **{"form": "TEST_01", "period": period, **parameters})
    for each in [found, *found["rows"]]:
        check(each)
    if found["rows"]:
        for name in COUNTS:
            assert sum(each[name] for each in found["rows"]) == found[name], name
        missing = [agency for each in found["rows"] for agency in names(each)]
        assert sorted(missing) == sorted(names(found))
    return found


def check(found: dict[str, Any]) -> None:
    """What holds of the numbers of any group."""
    assert found["expected"] == found["received"] + found["missing"]
    assert found["received"] == found["on_time"] + found["late"]
    assert found["missing"] == len(found["missing_agencies"])
    assert 0 <= found["returned"] <= found["missing"]
    assert 0 <= found["excused"] <= found["received"]


def names(found: dict[str, Any]) -> list[str]:
    return [each["agency"] for each in found["missing_agencies"]]


def numbers(found: dict[str, Any]) -> tuple[int, ...]:
    return tuple(found[name] for name in COUNTS)


async def test_a_period_in_which_nothing_came_is_missing_altogether(client: httpx.AsyncClient) -> None:
    found = await complete(client)
    assert {name: found[name] for name in ("form", "under", "by", "rows")} == {
        "form": "TEST_01",
        "under": None,
        "by": [],
        "rows": [],
    }
    assert numbers(found) == (14, 0, 0, 0, 0, 0, 14)
    assert names(found) == ["H26", *DEPARTMENTS, "H29"]
    assert {each["state"] for each in found["missing_agencies"]} == {"open"}
    assert "Hà Nội" in found["missing_agencies"][0]["name"]


async def test_the_numbers_say_what_came_and_the_names_who_is_missing(filled: httpx.AsyncClient) -> None:
    now = await complete(filled)
    assert dict(zip(COUNTS, numbers(now), strict=True)) == {
        "expected": 14,
        "received": 5,
        "on_time": 5,
        "late": 0,
        "returned": 1,
        "excused": 1,
        "missing": 9,
    }
    assert names(now) == [*DEPARTMENTS[4:], "H29"]
    past = await complete(filled, PAST)
    assert numbers(past) == (14, 2, 0, 2, 1, 0, 12)
    states = {each["agency"]: each["state"] for each in past["missing_agencies"]}
    assert states.pop("H26.14") == "open", "returned, and waited for"
    assert set(states.values()) == {"overdue"}
    both = await complete(filled, f"{PAST},{PRESENT}")
    assert numbers(both) == tuple(a + b for a, b in zip(numbers(past), numbers(now), strict=True))


async def test_a_correction_brings_a_returned_report_back(filled: httpx.AsyncClient) -> None:
    (returned,) = [each["report"] for each in await every_item(filled, "/obligations", period=PRESENT, agency="H26.14")]
    await accepted(filled, a_small_report(agency="H26.14", period=PRESENT, corrects=returned["id"]))
    found = await complete(filled)
    assert (found["received"], found["returned"], found["missing"]) == (6, 0, 8)


BY: tuple[tuple[str, str | None, dict[tuple[Any, ...], tuple[int, ...]]], ...] = (
    (
        "level",
        None,
        {("department",): (24, 5, 4, 1, 2, 1, 19), ("province",): (4, 2, 1, 1, 0, 0, 2)},
    ),
    ("period", None, {(PAST,): (14, 2, 0, 2, 1, 0, 12), (PRESENT,): (14, 5, 5, 0, 1, 1, 9)}),
    (
        "agency",
        None,
        {("H26", False): (26, 6, 5, 1, 2, 1, 20), ("H29", False): (2, 1, 0, 1, 0, 0, 1)},
    ),
    (
        "agency,level",
        None,
        {
            ("H26", False, "department"): (24, 5, 4, 1, 2, 1, 19),
            ("H26", False, "province"): (2, 1, 1, 0, 0, 0, 1),
            ("H29", False, "province"): (2, 1, 0, 1, 0, 0, 1),
        },
    ),
    (
        "agency,period",
        "H29",
        {("H29", True, PAST): (1, 1, 0, 1, 0, 0, 0), ("H29", True, PRESENT): (1, 0, 0, 0, 0, 0, 1)},
    ),
    ("level,period,agency", "H26.12", {("H26.12", True, "department", PRESENT): (1, 1, 1, 0, 0, 1, 0)}),
)


@pytest.mark.parametrize(("by", "under", "expected"), BY, ids=[f"{by} {under}" for by, under, _ in BY])
async def test_groups_add_up_to_the_whole(
    filled: httpx.AsyncClient, by: str, under: str | None, expected: dict[tuple[Any, ...], tuple[int, ...]]
) -> None:
    parameters = {"by": by} | ({} if under is None else {"under": under})
    period = PRESENT if under == "H26.12" else f"{PAST},{PRESENT}"
    found = await complete(filled, period, **parameters)
    assert sorted(found["by"]) == sorted(by.split(","))
    keys = [key for key in ("agency", "own", "level", "period") if key in by or (key == "own" and "agency" in by)]
    rows = {tuple(each[key] for key in keys): numbers(each) for each in found["rows"]}
    assert rows == expected
    assert len(rows) == len(found["rows"])


async def test_a_subtrees_rows_are_its_children_and_its_own(filled: httpx.AsyncClient) -> None:
    found = await complete(filled, under="H26", by="agency")
    assert found["under"] == "H26"
    assert [(each["agency"], each["own"]) for each in found["rows"]] == [
        ("H26", True),
        *((code, False) for code in DEPARTMENTS),
    ]
    assert numbers(found) == (13, 5, 5, 0, 1, 1, 8)
    assert [each["agency"] for each in found["rows"] if each["missing"]] == DEPARTMENTS[4:]


async def test_each_missing_agency_is_named_with_its_state(filled: httpx.AsyncClient) -> None:
    found = await complete(filled, under="H26", by="agency")
    (row,) = [each for each in found["rows"] if each["agency"] == "H26.14"]
    assert (row["missing"], row["returned"], row["received"]) == (1, 1, 0)
    (missing,) = row["missing_agencies"]
    assert (missing["agency"], missing["state"]) == ("H26.14", "open")
    (owed,) = await every_item(filled, "/obligations", agency="H26.14", period=PRESENT)
    assert missing["name"] == owed["name"]


async def test_a_client_sees_its_subtree_only(filled: httpx.AsyncClient, client_for: NewClient) -> None:
    province = await client_for("reports:read", agency="H26")
    assert await complete(province, by="agency") == await complete(filled, under="H26", by="agency")
    department = await client_for("reports:write", agency="H26.18")
    assert numbers(await complete(department)) == (1, 0, 0, 0, 0, 0, 1)
    for under in ("H29", "H26", "H99", "G01"):
        answer = await department.get("/v1/completeness", params={"form": "TEST_01", "period": PRESENT, "under": under})
        refused(answer, 403, "forbidden")
    named = await complete(filled, under="000.00.00.H26")
    assert named["under"] == "H26"


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize("by", [None, "agency", "level", "period", "agency,level,period"])
async def test_csv_has_the_same_numbers(filled: httpx.AsyncClient, by: str | None) -> None:
    parameters = {"form": "TEST_01", "period": f"{PAST},{PRESENT}"} | ({} if by is None else {"by": by})
    found = await complete(filled, **{name: value for name, value in parameters.items() if name != "form"})
    answer = await filled.get("/v1/completeness", params=parameters, headers={"Accept": "text/csv"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    assert "\r\n" in answer.text
    rows = table(answer.text)
    expected = found["rows"] if by else [found]
    assert len(rows) == len(expected)
    for row, each in zip(rows, expected, strict=True):
        assert tuple(int(row[name]) for name in COUNTS) == numbers(each)
        assert row["missing_agencies"].split() == names(each)
        groups = [name for name in row if name not in {*COUNTS, "missing_agencies"}]
        assert groups == [name for name in ("agency", "own", "level", "period") if name in each]
        for name in groups:
            assert row[name].lower() == str(each[name]).lower()


async def test_a_media_type_that_is_not_there_is_refused(client: httpx.AsyncClient) -> None:
    parameters = {"form": "TEST_01", "period": PRESENT}
    answer = await client.get("/v1/completeness", params=parameters, headers={"Accept": "application/x-ndjson"})
    refused(answer, 406, "not-acceptable")


async def test_a_form_in_no_regime_is_expected_from_nobody(client: httpx.AsyncClient) -> None:
    await have(client, "/forms/FREE_01/versions/1", a_form(code="FREE_01"))
    await accepted(client, a_small_report(form="FREE_01"))
    for parameters in ({}, {"by": "agency"}, {"under": "H26", "by": "agency,level,period"}):
        found = await complete(client, "2098-Q3", form="FREE_01", **parameters)
        assert numbers(found) == (0,) * 7
        assert (found["missing_agencies"], found["rows"]) == ([], [])
    assert numbers(await complete(client, "2098-Q3")) == (0,) * 7, "the regime has no such period"
    answer = await client.get(
        "/v1/completeness", params={"form": "FREE_01", "period": "2098-Q3"}, headers={"Accept": "text/csv"}
    )
    assert len(answer.text.splitlines()) in {1, 2}


@pytest.mark.parametrize(
    ("parameters", "status"),
    [
        ({"form": "NOPE"}, 404),
        ({"form": None}, 400),
        ({"period": None}, 400),
        ({"period": "2098-Q9"}, 400),
        ({"period": "2000-01..2099-12"}, 400),
        ({"by": "sector"}, 400),
        ({"by": "agency,agency"}, 400),
        ({"kind": "all"}, 400),
        ({"under": "H99"}, 404),
    ],
    ids=str,
)
async def test_a_question_that_makes_no_sense_is_refused(
    country: httpx.AsyncClient, parameters: dict[str, str | None], status: int
) -> None:
    given = {"form": "TTHC_06A", "period": "2026-Q3", **parameters}
    answer = await country.get("/v1/completeness", params={k: v for k, v in given.items() if v is not None})
    refused(answer, status, {400: "malformed-request", 404: "not-found"}[status])


async def test_the_whole_country_by_province(country: httpx.AsyncClient) -> None:
    await accepted(country, a_report(agency="H26.18", period="2098-Q3"))
    await accepted(country, a_report(agency="H26.00004", period="2098-Q3"))
    found = await complete(country, "2098-Q3", form="TTHC_06A", by="agency")
    rows = {each["agency"]: each for each in found["rows"]}
    assert (rows["H26"]["expected"], rows["H26"]["received"]) == (139, 2)
    assert found["expected"] == sum(each["expected"] for each in rows.values()) > 3321 + 34 * 12 + 34
    assert (found["received"], found["on_time"]) == (2, 2)
    assert not any(each["own"] for each in found["rows"])
    assert numbers(await complete(country, "2098-07", form="KTXH_01"))[0] == 34


async def test_an_agencys_groups_are_those_of_the_tree_of_the_period(client: httpx.AsyncClient) -> None:
    who = [{"agencies": ["H26.30", "H26.18"]}]
    unit = {"code": "H26.30", "level": "department", "parent": "H26"}
    await have(client, "/agencies/H26.30", an_agency(**unit, valid_from="2090-01-01"))
    await have(client, "/agencies/H26.30", an_agency(**unit | {"parent": "H29"}, valid_from="2098-07-01"))
    await have(client, "/regimes/MOVED", a_regime(code="MOVED", who=who))
    for period, province, expected in (("2098-Q2", "H26", 2), ("2098-Q3", "H29", 1)):
        found = await complete(client, period, by="agency")
        assert [each["expected"] for each in found["rows"] if each["agency"] == province] == [expected]
    over_time = await complete(client, "2098-Q2,2098-Q3", by="agency,period")
    assert {(each["agency"], each["period"]): each["expected"] for each in over_time["rows"]} == {
        ("H26", "2098-Q2"): 2,
        ("H26", "2098-Q3"): 1,
        ("H29", "2098-Q3"): 1,
    }


async def test_consolidations_are_expected_only_where_their_parts_are_not(client: httpx.AsyncClient) -> None:
    who = [{"agencies": ["H26", "H29"], "report_kind": "consolidation"}, {"levels": ["department"], "under": "H26"}]
    await have(client, "/regimes/SUMS", a_regime(code="SUMS", who=who))
    everything = await complete(client, "2098-Q3")
    assert everything["expected"] == 12 + 1
    assert names(everything) == [*DEPARTMENTS, "H29"]
    assert names(await complete(client, "2098-Q3", kind="own")) == DEPARTMENTS
    assert names(await complete(client, "2098-Q3", kind="consolidation")) == ["H26", "H29"]
    await accepted(client, a_small_report(agency="H29", kind="consolidation"))
    assert (await complete(client, "2098-Q3"))["received"] == 1


async def test_aggregates_expect_and_miss_the_same(filled: httpx.AsyncClient, country: httpx.AsyncClient) -> None:
    await accepted(country, a_report(agency="H26.18", rows=[a_balanced_row()]))
    await accepted(country, a_monthly_report())
    for form, period, under in (
        ("TEST_01", PRESENT, None),
        ("TEST_01", PRESENT, "H26"),
        ("TEST_01", PAST, "H29"),
        ("TTHC_06A", "2098-Q3", "H26"),
        ("TTHC_06A", "2098-Q3", "H26.18"),
        ("KTXH_01", "2098-07", None),
    ):
        parameters = {"form": form, "period": period} | ({} if under is None else {"under": under})
        answer = await filled.get("/v1/aggregates", params=parameters)
        figures = shown(answer)
        found = await asked(filled, "/completeness", **parameters)
        assert (figures["expected"], figures["missing"]) == (found["expected"], found["missing"]), parameters


def total(rows: Iterable[dict[str, Any]], name: str) -> int:
    return sum(row[name] for row in rows)


async def test_a_merger_leaves_what_was_owed_before_it_as_it_was(country: httpx.AsyncClient) -> None:
    before = await complete(country, "2025-Q2", form="TTHC_06A", by="agency")
    after = await complete(country, "2025-Q3", form="TTHC_06A", by="agency")
    assert "H40" in {each["agency"] for each in before["rows"]}
    assert "H40" not in {each["agency"] for each in after["rows"]}
    assert total(before["rows"], "expected") == before["expected"]
