"""Periods as regimes cut them, and the working-day calendar that moves their deadlines."""

from typing import Any

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from factories import a_form, a_regime, a_title
from gateway_under_test import NewClient, asked, connected, every_item, have, put, refused

FREQUENCIES = ["weekly", "monthly", "quarterly", "half_yearly", "nine_months", "annual", "ad_hoc"]


@pytest.fixture
async def editor(client_for: NewClient) -> httpx.AsyncClient:
    """A client of the whole country, with a form that may be reported for any period and is in no regime."""
    client = await client_for("catalog:write", "reports:write", "reports:read")
    await have(client, "/forms/TEST_01/versions/1", a_form(frequencies=FREQUENCIES))
    return client


async def periods(client: httpx.AsyncClient, **parameters: Any) -> dict[str, dict[str, Any]]:
    """The periods of a year by code, in the order of the answer."""
    found = await asked(client, "/periods", **parameters)
    assert found["next"] is None
    return {each.pop("period"): each for each in found["items"]}


async def test_the_periods_of_a_regime_have_its_days(client_for: NewClient) -> None:
    client = await client_for("aggregates:read", agency="H29.18")
    found = await periods(client, regime="KSTT", year=2026)
    assert list(found) == ["2026-Q1", "2026-Q2", "2026-Q3", "2026"], "no fourth quarter beside the year"
    assert {code: (each["frequency"], each["start"], each["cutoff"]) for code, each in found.items()} == {
        "2026-Q1": ("quarterly", "2025-12-15", "2026-03-14"),
        "2026-Q2": ("quarterly", "2026-03-15", "2026-06-14"),
        "2026-Q3": ("quarterly", "2026-06-15", "2026-09-14"),
        "2026": ("annual", "2025-12-15", "2026-12-14"),
    }
    assert found["2026"]["deadlines"] == {
        "ministry": "2026-12-25",
        "province": "2026-12-25",
        "department": "2026-12-20",
        "commune": "2026-12-18",
    }
    assert set(found["2026"]["locks_after"].values()) == {None}


async def test_a_regime_that_locks_says_when(country: httpx.AsyncClient) -> None:
    found = await periods(country, regime="KTXH", year=2026)
    assert list(found) == [f"2026-{month:02}" for month in range(1, 13)]
    assert found["2026-01"] == {
        "frequency": "monthly",
        "start": "2025-12-15",
        "cutoff": "2026-01-14",
        "deadlines": {"province": "2026-01-25"},
        "locks_after": {"province": "2026-02-04"},
    }


async def test_a_year_before_a_regime_has_only_the_periods_that_end_within_it(country: httpx.AsyncClient) -> None:
    assert list(await periods(country, regime="KSTT", year=2020)) == ["2020"]
    assert await periods(country, regime="KSTT", year=2019) == {}
    assert await periods(country, regime="KTXH", year=2024) == {}
    assert next(iter(await periods(country, regime="KTXH", year=2025))) == "2025-01"


async def test_without_a_regime_every_period_follows_the_decree(country: httpx.AsyncClient) -> None:
    found = await periods(country, year=2026)
    assert len(found) == 53 + 12 + 4 + 2 + 1 + 1
    assert [each["cutoff"] for each in found.values()] == sorted(each["cutoff"] for each in found.values())
    levels = {"ministry", "province", "district", "department", "commune", "unit"}
    assert found["2026-S1"] == {
        "frequency": "half_yearly",
        "start": "2025-12-15",
        "cutoff": "2026-06-14",
        "deadlines": {
            "ministry": "2026-06-25",
            "province": "2026-06-25",
            "department": "2026-06-20",
            "district": "2026-06-20",
            "commune": "2026-06-18",
            "unit": "2026-06-18",
        },
        "locks_after": dict.fromkeys(levels),
    }
    assert (found["2026-9M"]["start"], found["2026-9M"]["cutoff"]) == ("2025-12-15", "2026-09-14")
    week = found["2026-W30"]
    assert (week["start"], week["cutoff"]) == ("2026-07-20", "2026-07-26")
    assert week["deadlines"] == dict.fromkeys(levels, "2026-07-27")


async def test_the_year_is_todays_where_none_is_asked_for(country: httpx.AsyncClient) -> None:
    found = await periods(country)
    years = {code[:4] for code in found}
    assert len(years) == 1
    assert await periods(country, year=years.pop()) == found


WEEKS: tuple[tuple[dict[str, Any], tuple[str, str, str]], ...] = (
    ({}, ("2026-07-20", "2026-07-26", "2026-07-27")),
    ({"cutoff": {"weekday": 5}}, ("2026-07-18", "2026-07-24", "2026-07-27")),
    ({"cutoff": {"weekday": 3}}, ("2026-07-16", "2026-07-22", "2026-07-23")),
    ({"cutoff": {"weekday": 1}, "deadlines": {"default": {"days": 2}}}, ("2026-07-14", "2026-07-20", "2026-07-22")),
    ({"deadlines": {"default": {"working_days": 3}}}, ("2026-07-20", "2026-07-26", "2026-07-29")),
    (
        {"deadlines": {"default": {"days": 6, "moved": "previous"}, "department": {"days": 6, "moved": "next"}}},
        ("2026-07-20", "2026-07-26", "2026-08-03"),
    ),
)


async def test_weeks_end_on_the_weekday_of_their_regime(editor: httpx.AsyncClient) -> None:
    for changes, days in WEEKS:
        await have(editor, "/regimes/TEST", a_regime(frequency="weekly", **changes))
        found = await periods(editor, regime="TEST", year=2026)
        assert list(found) == [f"2026-W{number:02}" for number in range(1, 54)]
        week = found["2026-W30"]
        assert (week["start"], week["cutoff"], week["deadlines"]["department"]) == days, changes
        (owed,) = await every_item(editor, "/obligations", agency="H26.18", form="TEST_01", period="2026-W30")
        assert (owed["start"], owed["cutoff"], owed["deadline"]) == days


async def test_a_regime_names_its_periods(editor: httpx.AsyncClient) -> None:
    names = ["Q1", "9M", "Y", "W53", "02", "2026-07-20/P14D"]
    await have(editor, "/regimes/TEST", a_regime(periods=names))
    found = await periods(editor, regime="TEST", year=2026)
    assert list(found) == ["2026-02", "2026-Q1", "2026-07-20/P14D", "2026-9M", "2026", "2026-W53"]
    assert list(await periods(editor, regime="TEST", year=2027)) == ["2027-02", "2027-Q1", "2027-9M", "2027"]


@pytest.mark.parametrize(
    ("day", "quarters"),
    [
        (1, ["2024-03-01", "2024-06-01", "2024-09-01", "2024-12-01"]),
        (29, ["2024-03-29", "2024-06-29", "2024-09-29", "2024-12-29"]),
        (31, ["2024-03-31", "2024-06-30", "2024-09-30", "2024-12-31"]),
    ],
)
async def test_a_cutoff_past_the_end_of_a_month_is_its_last_day(
    editor: httpx.AsyncClient, day: int, quarters: list[str]
) -> None:
    await have(editor, "/regimes/TEST", a_regime(cutoff={"day": day}))
    found = await periods(editor, regime="TEST", year=2024)
    assert [each["cutoff"] for each in found.values()] == quarters
    starts = [each["start"] for each in found.values()]
    assert starts[1:] == sorted(starts[1:])


@pytest.mark.parametrize("year", ["1999", "2100", "x", "", "2026.5", "-1", "99999999999999999999"])
async def test_a_year_outside_the_grammar_is_malformed(country: httpx.AsyncClient, year: str) -> None:
    for parameters in ({"year": year}, {"year": year, "regime": "KSTT"}):
        problem = refused(await country.get("/v1/periods", params=parameters), 400, "malformed-request")
        assert [each["pointer"] for each in problem["errors"]] == ["year"]
    refused(await country.get(f"/v1/calendars/{year or 'x'}"), 400, "malformed-request")


@pytest.mark.parametrize("regime", ["NOPE", "", "kstt", "x" * 3000])
async def test_the_periods_of_no_regime_are_not_found(country: httpx.AsyncClient, regime: str) -> None:
    refused(await country.get("/v1/periods", params={"regime": regime, "year": 2026}), 404, "not-found")


@pytest.mark.parametrize("year", [2000, 2099])
async def test_the_first_and_the_last_year_have_periods(country: httpx.AsyncClient, year: int) -> None:
    assert len(await periods(country, year=year)) in {72, 73}


def a_calendar(year: int = 2098, **changes: object) -> dict[str, Any]:
    """A year whose first working day after every cut-off is what the test makes it."""
    return {
        "year": year,
        "legal_basis": "Thông báo thử nghiệm",
        "days_off": [{"day": f"{year}-01-01", "name": a_title("Tết Dương lịch")}],
        **changes,
    }


def off(*days: str) -> list[dict[str, Any]]:
    return [{"day": day, "name": a_title("Nghỉ")} for day in days]


async def test_the_bundled_calendars_are_read_and_other_years_have_none(client_for: NewClient) -> None:
    client = await client_for("aggregates:read", agency="H29.18")
    calendar = await asked(client, "/calendars/2026")
    assert "2026-02-17" in [each["day"] for each in calendar["days_off"]]
    assert "2026-01-10" in calendar["working_days"]
    refused(await client.get("/v1/calendars/2098"), 404, "not-found")


async def test_a_calendar_is_put_and_read_back(editor: httpx.AsyncClient, engine: AsyncEngine) -> None:
    made = await have(editor, "/calendars/2098", a_calendar(working_days=["2098-01-04"]))
    assert made == a_calendar(working_days=["2098-01-04"]) | {"note": None}
    assert await asked(editor, "/calendars/2098") == made
    async with connected(engine) as connection:
        before = await connection.fetchval("SELECT max(revision) FROM catalog_revisions")
        assert await have(editor, "/calendars/2098", a_calendar(working_days=["2098-01-04"])) == made
        assert await connection.fetchval("SELECT max(revision) FROM catalog_revisions") == before


async def test_a_changed_calendar_moves_deadlines_at_once(editor: httpx.AsyncClient) -> None:
    rules = {"department": {"working_days": 2}, "commune": {"day": 26, "moved": "next"}, "default": {"day": 1}}
    await have(editor, "/regimes/TEST", a_regime(who=[{"under": "H26"}], deadlines=rules, lock_after_days=3))

    async def days() -> tuple[tuple[str, str], ...]:
        found = (await periods(editor, regime="TEST", year=2098))["2098-Q3"]
        levels = ("department", "commune", "province")
        return tuple((found["deadlines"][level], found["locks_after"][level]) for level in levels)

    # The cut-off is Sunday 14 September.
    assert await days() == (("2098-09-16", "2098-09-19"), ("2098-09-26", "2098-09-29"), ("2098-09-15", "2098-09-18"))
    await have(editor, "/calendars/2098", a_calendar(days_off=off("2098-09-15", "2098-09-26", "2098-09-29")))
    moved = (("2098-09-17", "2098-09-20"), ("2098-09-30", "2098-10-03"), ("2098-09-16", "2098-09-19"))
    assert await days() == moved
    (owed,) = await every_item(editor, "/obligations", agency="H26.18", form="TEST_01", period="2098-Q3")
    assert (owed["deadline"], owed["locks_after"]) == moved[0]
    worked = a_calendar(days_off=off("2098-09-15"), working_days=["2098-09-27", "2098-09-20"])
    await have(editor, "/calendars/2098", worked | {"days_off": off("2098-09-15", "2098-09-16", "2098-09-26")})
    assert await days() == (("2098-09-18", "2098-09-21"), ("2098-09-27", "2098-09-30"), ("2098-09-17", "2098-09-20"))


WRONG: tuple[tuple[dict[str, Any], str], ...] = (
    ({"note": "x"}, "/note"),
    ({"unknown": 1}, "/unknown"),
    ({"days_off": []}, "/days_off"),
    ({"days_off": off("2097-12-31")}, "/days_off"),
    ({"days_off": off("2098-05-01", "2098-05-01")}, "/days_off"),
    ({"days_off": off("2098-02-30")}, "/days_off/0/day"),
    ({"days_off": [{"day": "2098-05-01"}]}, "/days_off/0/name"),
    ({"working_days": ["2098-09-15"]}, "/working_days"),
    ({"working_days": ["2098-01-01"], "days_off": off("2098-01-01", "2098-01-04")}, "/working_days"),
    ({"working_days": ["2098-01-04"], "days_off": off("2098-01-04")}, "/working_days"),
    ({"working_days": "2098-01-04"}, "/working_days"),
    ({"working_days": None, "days_off": None}, "/days_off"),
)


async def test_what_is_wrong_with_a_calendar_is_named(editor: httpx.AsyncClient) -> None:
    for changes, place in WRONG:
        answer = await put(editor, "/calendars/2098", a_calendar(**changes))
        named = [each["pointer"] for each in refused(answer, 422, "invalid-catalogue")["errors"]]
        assert place in named, changes
    refused(await editor.get("/v1/calendars/2098"), 404, "not-found")


MALFORMED: list[Any] = [None, True, 5, 1.5, "x", [5], [[]], [{}], {}, {"day": 5}, [{"day": 5}], 10**40]


@pytest.mark.parametrize("field", ["year", "legal_basis", "note", "days_off", "working_days"])
async def test_a_malformed_calendar_is_never_a_fault_of_the_gateway(editor: httpx.AsyncClient, field: str) -> None:
    answers = [await put(editor, "/calendars/2098", a_calendar(**{field: value})) for value in MALFORMED]
    assert {each.status_code for each in answers} <= {200, 400, 422}


async def test_a_calendar_is_set_by_the_whole_country_only(client_for: NewClient) -> None:
    province = await client_for("catalog:write", agency="H26")
    refused(await put(province, "/calendars/2098", a_calendar()), 403, "forbidden")


async def test_the_address_of_a_calendar_is_its_year(editor: httpx.AsyncClient) -> None:
    problem = refused(await put(editor, "/calendars/2097", a_calendar(2098)), 400, "malformed-request")
    assert [each["pointer"] for each in problem["errors"]] == ["/year"]
    for year in ("1999", "2100", "x"):
        refused(await put(editor, f"/calendars/{year}", a_calendar(2098)), 400, "malformed-request")
