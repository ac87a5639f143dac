"""Civil dates, and which of them are worked: what day it is where reports are due, and the working-day calendar.

A week's rest is Saturday and Sunday. What departs from that is decided year by year: public holidays, some of
them lunar (Labour Code 2019, article 112), days off that make up for a holiday on a weekend (article 111, clause
3), and weekdays exchanged for a Saturday or Sunday (announced, often only weeks before). It is therefore data,
one `CalendarYear` a year. A year without one follows the `holidays` library, which knows the law's days and the
lunar calendar, and of the exchanges those its authors have heard of.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import date, datetime, timedelta
from functools import cache
from typing import NamedTuple

from pydantic import Field, ValidationInfo, field_validator

from gateway.domain.document import Day, Document, Title, refusal
from gateway.domain.period import FIRST_YEAR, LAST_YEAR, VIETNAM

MAX_WORKING_DAYS = 1000
"""How many working days can be counted in one step: about four years."""

_DAY = timedelta(days=1)
_FRIDAY = 5


def civil_date(moment: datetime) -> date:
    """The day in Asia/Ho_Chi_Minh at a moment, which must carry its time zone."""
    return moment.astimezone(VIETNAM).date()


class DayOff(Document):
    """A day that is not worked, and why."""

    day: Day
    name: Title


class CalendarYear(Document):
    """What departs from the five-day week in one year; it replaces all that is otherwise known of that year."""

    year: int = Field(ge=FIRST_YEAR, le=LAST_YEAR)
    legal_basis: str | None = Field(None, min_length=1, max_length=1000)
    note: Title | None = Field(None, description="Where the days were read, and what is not certain about them.")
    days_off: list[DayOff] = Field(
        min_length=1,
        max_length=100,
        description="Every weekday that is not worked; a holiday on a weekend may be listed too.",
    )
    working_days: list[Day] = Field(
        default_factory=list, max_length=60, description="Saturdays and Sundays worked in exchange."
    )

    @field_validator("days_off")
    @classmethod
    def _days_off_fit(cls, days_off: list[DayOff], info: ValidationInfo) -> list[DayOff]:
        _refuse_strays_and_repeats([each.day for each in days_off], info.data.get("year"))
        return days_off

    @field_validator("working_days")
    @classmethod
    def _working_days_fit(cls, working_days: list[date], info: ValidationInfo) -> list[date]:
        _refuse_strays_and_repeats(working_days, info.data.get("year"))
        _refuse(
            [day for day in working_days if not _on_weekend(day)],
            "không phải thứ Bảy hay Chủ nhật",
            "not a Saturday or Sunday",
        )
        off = {each.day for each in info.data.get("days_off", ())}
        _refuse([day for day in working_days if day in off], "vừa nghỉ vừa làm việc", "both off and worked")
        return working_days


class _Exceptions(NamedTuple):
    """The days of one year that the five-day week gets wrong."""

    off: frozenset[date]
    worked: frozenset[date]


class Calendar:
    """Which days are worked: the documents decide for their years, the `holidays` library for all others.

    Immutable, and the same answer for the same documents and the same version of the library.
    """

    __slots__ = ("_years",)

    def __init__(self, years: Iterable[CalendarYear] = ()) -> None:
        """Raises `ValueError` where two documents are about one year."""
        self._years: dict[int, _Exceptions] = {}
        for each in years:
            if each.year in self._years:
                raise ValueError(f"two calendars of {each.year}")
            off = frozenset(known.day for known in each.days_off)
            self._years[each.year] = _Exceptions(off, frozenset(each.working_days))

    def is_working(self, day: date) -> bool:
        exceptions = self._years.get(day.year) or _known_by_library(day.year)
        return day in exceptions.worked if _on_weekend(day) else day not in exceptions.off

    def next_working_day(self, day: date) -> date:
        """The day itself if it is worked, otherwise the first after it that is."""
        return self._nearest(day, _DAY)

    def previous_working_day(self, day: date) -> date:
        """The day itself if it is worked, otherwise the last before it that is."""
        return self._nearest(day, -_DAY)

    def nth_working_day_after(self, day: date, n: int) -> date:
        """The n-th working day after a day, which itself never counts; n is 1 to `MAX_WORKING_DAYS`."""
        if not 1 <= n <= MAX_WORKING_DAYS:
            raise ValueError(f"working days are counted from 1 to {MAX_WORKING_DAYS}, not {n}")
        for _ in range(n):
            day = self.next_working_day(day + _DAY)
        return day

    def _nearest(self, day: date, step: timedelta) -> date:
        while not self.is_working(day):  # it ends: a year has at most 100 days off besides its weekends
            day += step
        return day


@cache
def _known_by_library(year: int) -> _Exceptions:
    # Imported only here: it loads the holidays of every country, which takes a fifth of a second and 15 MB.
    from holidays import country_holidays

    known = country_holidays("VN", years=year, expand=False)
    return _Exceptions(frozenset(known), frozenset(known.weekend_workdays))


def _on_weekend(day: date) -> bool:
    return day.isoweekday() > _FRIDAY


def _refuse_strays_and_repeats(days: Sequence[date], year: int | None) -> None:
    """The year is None where it is wrong itself; then any day may lie in it."""
    if year is not None:
        strays = [day for day in days if day.year != year]
        _refuse(strays, f"không thuộc năm {year}", f"not in {year}")
    _refuse(sorted({day for day in days if days.count(day) > 1}), "bị nêu hai lần", "named twice")


def _refuse(days: Collection[date], vi: str, en: str) -> None:
    """One fault that names all the days that have it, if there are any."""
    if days:
        named = ", ".join(map(str, days))
        raise refusal(f"{named}: {vi}", f"{named}: {en}")
