"""The working-day calendar: what the bundled years say, what the library knows of others, what is refused."""

import json
import subprocess
import sys
import unicodedata
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from importlib.resources import files
from typing import Any

import pytest
from holidays import country_holidays
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.domain.calendar import MAX_WORKING_DAYS, Calendar, CalendarYear, civil_date
from gateway.domain.document import faults

YEARS = range(2019, 2028)
DAY = timedelta(days=1)


def written(year: int) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((files("gateway.catalog") / "calendars" / f"{year}.json").read_text("utf-8"))
    return document


BUNDLED = {year: CalendarYear.model_validate(written(year)) for year in YEARS}
CALENDAR = Calendar(BUNDLED.values())
BY_LIBRARY = Calendar()


def day(text: str) -> date:
    return date.fromisoformat(text)


def days(first: str, last: str) -> list[date]:
    start = day(first)
    return [start + n * DAY for n in range((day(last) - start).days + 1)]


def a_year(**changes: Any) -> dict[str, Any]:
    """A calendar of 2025 with one holiday, the day exchanged for it, and the Saturday worked in its place."""
    off = [a_day_off("2025-05-01"), a_day_off("2025-05-02")]
    return {"year": 2025, "days_off": off, "working_days": ["2025-04-26"], **changes}


def a_day_off(text: str) -> dict[str, Any]:
    return {"day": text, "name": {"vi": "Nghỉ", "en": "Off"}}


def refused(**changes: Any) -> list[tuple[str, str]]:
    """Places and sentences of what is wrong with a calendar."""
    with pytest.raises(ValidationError) as refusal:
        CalendarYear.model_validate(a_year(**changes))
    return [(place.pointer, place.message.en) for place in faults(refusal.value)]


def worked_among(candidates: Iterable[date]) -> list[str]:
    return [str(each) for each in candidates if CALENDAR.is_working(each)]


@pytest.mark.parametrize(
    ("occasion", "before", "first_off", "last_off", "after"),
    [
        ("New Year 2025", "2024-12-31", "2025-01-01", "2025-01-01", "2025-01-02"),
        ("Tết 2025", "2025-01-24", "2025-01-25", "2025-02-02", "2025-02-03"),
        ("Hùng Kings 2025", "2025-04-04", "2025-04-05", "2025-04-07", "2025-04-08"),
        ("Reunification and Labour Day 2025", "2025-04-29", "2025-04-30", "2025-05-04", "2025-05-05"),
        ("National Day 2025", "2025-08-29", "2025-08-30", "2025-09-02", "2025-09-03"),
        ("New Year 2026", "2025-12-31", "2026-01-01", "2026-01-04", "2026-01-05"),
        ("Tết 2026", "2026-02-13", "2026-02-14", "2026-02-22", "2026-02-23"),
        ("Hùng Kings 2026", "2026-04-24", "2026-04-25", "2026-04-27", "2026-04-28"),
        ("Reunification and Labour Day 2026", "2026-04-29", "2026-04-30", "2026-05-03", "2026-05-04"),
        ("National Day 2026", "2026-08-28", "2026-08-29", "2026-09-02", "2026-09-03"),
        ("Vietnam Culture Day 2026", "2026-11-23", "2026-11-24", "2026-11-24", "2026-11-25"),
    ],
)
def test_work_stops_the_day_before_a_holiday_and_begins_the_day_after(
    occasion: str, before: str, first_off: str, last_off: str, after: str
) -> None:
    assert worked_among(days(before, after)) == [before, after], occasion
    for off in days(first_off, last_off):
        assert CALENDAR.next_working_day(off) == day(after)
        assert CALENDAR.previous_working_day(off) == day(before)


@pytest.mark.parametrize(
    ("off", "worked"),
    [
        ("2019-04-29", "2019-05-04"),
        ("2024-04-29", "2024-05-04"),
        ("2025-05-02", "2025-04-26"),
        ("2026-01-02", "2026-01-10"),
        ("2026-08-31", "2026-08-22"),
    ],
)
def test_an_exchanged_weekday_is_off_and_its_saturday_is_worked(off: str, worked: str) -> None:
    assert not CALENDAR.is_working(day(off))
    assert CALENDAR.is_working(day(worked))
    assert day(worked).isoweekday() == 6
    assert CALENDAR.next_working_day(day(worked)) == CALENDAR.previous_working_day(day(worked)) == day(worked)


def test_a_saturday_may_be_worked_for_a_day_of_the_year_before() -> None:
    assert not CALENDAR.is_working(day("2018-12-31"))
    assert CALENDAR.is_working(day("2019-01-05"))


@pytest.mark.parametrize("text", ["2025-03-14", "2025-12-15", "2026-03-25", "2026-12-14", "2026-12-25", "2026-11-25"])
def test_an_ordinary_weekday_is_worked(text: str) -> None:
    assert CALENDAR.is_working(day(text))


@pytest.mark.parametrize("text", ["2025-06-14", "2025-06-15", "2026-03-14", "2026-03-15", "2026-07-25"])
def test_an_ordinary_weekend_is_not_worked(text: str) -> None:
    assert not CALENDAR.is_working(day(text))


@pytest.mark.parametrize(
    ("start", "n", "expected"),
    [
        ("2026-02-14", 1, "2026-02-23"),  # the cut-off of February 2026 is the first day of Tết
        ("2026-02-13", 1, "2026-02-23"),
        ("2026-02-12", 1, "2026-02-13"),
        ("2026-02-14", 2, "2026-02-24"),
        ("2026-01-09", 1, "2026-01-10"),  # a Saturday that is worked counts
        ("2026-01-09", 2, "2026-01-12"),
        ("2025-04-25", 2, "2025-04-28"),
        ("2025-04-29", 1, "2025-05-05"),
        ("2025-12-31", 1, "2026-01-05"),  # from one document into the next
        ("2026-03-14", 1, "2026-03-16"),
        ("2026-12-14", 5, "2026-12-21"),
    ],
)
def test_working_days_are_counted_after_a_day(start: str, n: int, expected: str) -> None:
    assert CALENDAR.nth_working_day_after(day(start), n) == day(expected)


@given(st.dates(day("2000-01-01"), day("2099-12-31")), st.integers(1, 40))
def test_the_nth_working_day_has_n_working_days_up_to_it(start: date, n: int) -> None:
    end = CALENDAR.nth_working_day_after(start, n)
    between = [start + step * DAY for step in range(1, (end - start).days + 1)]
    assert sum(map(CALENDAR.is_working, between)) == n
    assert CALENDAR.is_working(end)


@pytest.mark.parametrize("n", [-1, 0, MAX_WORKING_DAYS + 1])
def test_a_count_of_working_days_has_bounds(n: int) -> None:
    with pytest.raises(ValueError, match="from 1 to 1000"):
        CALENDAR.nth_working_day_after(day("2026-01-01"), n)


def test_the_longest_count_takes_four_years() -> None:
    assert CALENDAR.nth_working_day_after(day("2022-01-01"), MAX_WORKING_DAYS) == day("2026-01-05")


@pytest.mark.parametrize(
    ("text", "worked"),
    [
        ("2016-02-08", False),  # Tết 2016
        ("2015-01-02", False),  # exchanged for a Saturday of the year before
        ("2014-12-27", True),
        ("2018-12-31", False),
        ("2018-04-25", False),  # Hùng Kings
        ("2028-01-03", False),  # New Year's Day 2028 is a Saturday
        ("2028-01-26", False),  # Tết 2028
        ("2028-02-01", True),
        ("2099-09-02", False),
    ],
)
def test_a_year_without_a_document_follows_the_library(text: str, worked: bool) -> None:
    assert CALENDAR.is_working(day(text)) is worked
    assert BY_LIBRARY.is_working(day(text)) is worked


def test_a_document_replaces_what_the_library_says_of_its_year_and_no_other() -> None:
    calendar = Calendar([CalendarYear.model_validate(a_year())])
    assert calendar.is_working(day("2025-01-29"))  # Tết, which this document does not list
    assert not calendar.is_working(day("2026-02-17"))
    assert not calendar.is_working(day("2025-05-02"))
    assert calendar.is_working(day("2025-04-26"))


def test_years_come_in_any_order_but_each_once() -> None:
    backwards = Calendar(reversed(BUNDLED.values()))
    every_day = days("2019-01-01", "2027-12-31")
    assert list(map(backwards.is_working, every_day)) == list(map(CALENDAR.is_working, every_day))
    with pytest.raises(ValueError, match="two calendars of 2026"):
        Calendar([BUNDLED[2026], BUNDLED[2025], BUNDLED[2026]])


def test_there_is_a_file_for_each_bundled_year_and_its_name_is_the_year() -> None:
    found = sorted(file.name for file in (files("gateway.catalog") / "calendars").iterdir())
    assert found == [f"{year}.json" for year in YEARS]
    assert [BUNDLED[year].year for year in YEARS] == list(YEARS)


def test_a_bundled_year_differs_from_the_library_only_where_an_announcement_does() -> None:
    differing = [
        str(each)
        for each in days("2019-01-01", "2027-12-31")
        if CALENDAR.is_working(each) is not BY_LIBRARY.is_working(each)
    ]
    assert differing == ["2026-01-02", "2026-01-10"]  # 12729/VPCP-KGVX, which the library does not have


@pytest.mark.parametrize("year", YEARS)
def test_a_bundled_year_gives_back_every_exchanged_day(year: int) -> None:
    exchanged = [each for each in BUNDLED[year].days_off if each.name.en.startswith("Exchanged for")]
    from_last_year = 1 if year == 2019 else 0
    assert len(exchanged) + from_last_year == len(BUNDLED[year].working_days)
    names = [each.name.en for each in exchanged]
    for each in BUNDLED[year].working_days[from_last_year:]:
        assert f"Exchanged for Saturday {each.day} {each:%B} {year}" in names


@pytest.mark.parametrize("year", YEARS)
def test_tet_takes_five_weekdays_in_one_stretch_around_the_lunar_new_year(year: int) -> None:
    listed = [each.day for each in BUNDLED[year].days_off if each.name.en == "Lunar New Year (Tết)"]
    assert listed == days(str(listed[0]), str(listed[-1]))
    assert sum(each.isoweekday() < 6 for each in listed) == 5
    new_year = country_holidays("VN", years=year, language="vi").get_named("Tết Nguyên Đán", lookup="exact")
    assert set(new_year) < set(listed)


@pytest.mark.parametrize("year", YEARS)
def test_a_bundled_year_says_where_it_was_read_and_what_is_uncertain(year: int) -> None:
    document = BUNDLED[year]
    assert document.note is not None
    assert (document.legal_basis is None) == ("no official announcement was seen" in document.note.en)
    text = json.dumps(written(year), ensure_ascii=False)
    assert unicodedata.is_normalized("NFC", text)


@pytest.mark.parametrize("year", YEARS)
def test_a_bundled_year_is_read_as_it_was_written(year: int) -> None:
    assert BUNDLED[year].model_dump(mode="json") == written(year)


def test_the_library_is_loaded_only_for_a_year_without_a_document() -> None:
    program = """
import json, sys
from datetime import date
from gateway.domain.calendar import Calendar, CalendarYear
calendar = Calendar([CalendarYear.model_validate(json.loads(sys.argv[1]))])
assert calendar.nth_working_day_after(date(2026, 2, 14), 1) == date(2026, 2, 23)
assert "holidays" not in sys.modules
assert not calendar.is_working(date(2028, 1, 26))
assert "holidays" in sys.modules
"""
    subprocess.run([sys.executable, "-c", program, json.dumps(written(2026))], check=True)


def test_a_small_calendar_is_a_calendar() -> None:
    document = CalendarYear.model_validate(a_year())
    assert (document.legal_basis, document.note, document.working_days) == (None, None, [day("2025-04-26")])
    assert CalendarYear.model_validate(document.model_dump(mode="json")) == document


def test_days_belong_to_the_year() -> None:
    strays = [a_day_off("2024-12-31"), a_day_off("2025-01-01"), a_day_off("2026-01-01")]
    assert refused(days_off=strays) == [("/days_off", "2024-12-31, 2026-01-01: not in 2025.")]
    assert refused(working_days=["2026-04-25"]) == [("/working_days", "2026-04-25: not in 2025.")]


def test_a_day_is_named_once() -> None:
    twice = [a_day_off("2025-05-01"), a_day_off("2025-05-02"), a_day_off("2025-05-01")]
    assert refused(days_off=twice) == [("/days_off", "2025-05-01: named twice.")]
    assert refused(working_days=["2025-04-26"] * 3) == [("/working_days", "2025-04-26: named twice.")]


def test_only_a_weekend_day_is_worked_in_exchange() -> None:
    assert refused(working_days=["2025-04-25", "2025-04-27"]) == [
        ("/working_days", "2025-04-25: not a Saturday or Sunday.")
    ]


def test_no_day_is_both_off_and_worked() -> None:
    assert refused(days_off=[a_day_off("2025-04-26")]) == [("/working_days", "2025-04-26: both off and worked.")]


def test_every_fault_is_named_at_once() -> None:
    assert [place for place, _ in refused(days_off=[a_day_off("2024-01-01")], working_days=["2025-04-25"])] == [
        "/days_off",
        "/working_days",
    ]


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"year": 1999}, "/year"),
        ({"year": 2100}, "/year"),
        ({"year": "2025"}, "/year"),
        ({"year": True}, "/year"),
        ({"days_off": []}, "/days_off"),
        ({"days_off": None}, "/days_off"),
        ({"days_off": [a_day_off("2025-02-30")]}, "/days_off/0/day"),
        ({"days_off": [a_day_off("2025-01-01T00:00:00")]}, "/days_off/0/day"),
        ({"days_off": [a_day_off("01/01/2025")]}, "/days_off/0/day"),
        ({"days_off": ["2025-01-01"]}, "/days_off/0"),
        ({"days_off": [{"day": "2025-01-01", "name": {"vi": "Nghỉ"}}]}, "/days_off/0/name/en"),
        ({"working_days": ["2025-04-31"]}, "/working_days/0"),
        ({"legal_basis": ""}, "/legal_basis"),
        ({"weekend": [6, 7]}, "/weekend"),
    ],
)
def test_a_calendar_is_strict(changes: dict[str, Any], place: str) -> None:
    assert [found for found, _ in refused(**changes)] == [place]


def test_a_calendar_has_a_bounded_number_of_days() -> None:
    year = [str(each) for each in days("2025-01-01", "2025-12-31")]
    weekends = [text for text in year if day(text).isoweekday() > 5]
    assert refused(days_off=[a_day_off(text) for text in year if day(text).isoweekday() < 6])[0][0] == "/days_off"
    assert refused(days_off=[a_day_off("2025-01-01")], working_days=weekends)[0][0] == "/working_days"


def test_a_civil_date_is_that_of_viet_nam() -> None:
    assert civil_date(datetime(2026, 2, 13, 16, 59, 59, tzinfo=UTC)) == day("2026-02-13")
    assert civil_date(datetime(2026, 2, 13, 17, tzinfo=UTC)) == day("2026-02-14")
