"""Which periods the demonstration plays in: the regime says when they are due, and today's date what is late."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

import httpx

from gateway.demo.remote import expect
from gateway.domain.calendar import civil_date

REGIME = "KSTT"
"""Control of administrative procedures: every agency reports three quarters and the year."""
TOP = "province"
"""The level whose deadline decides which period is played."""


@dataclass(frozen=True, slots=True)
class Period:
    """A period as the gateway gives it; its last days are by level, without the levels that have none."""

    code: str
    start: date
    cutoff: date
    deadlines: Mapping[str, date]
    locks_after: Mapping[str, date]

    @property
    def quarters(self) -> int:
        """How many quarters of a year it is long."""
        return max(1, round((self.cutoff - self.start).days / 91))

    def is_late(self, level: str, received_at: datetime) -> bool:
        """Whether what an agency of a level sent came after its deadline's day."""
        return civil_date(received_at) > self.deadlines[level]


class Periods(NamedTuple):
    """The period that is played, whose deadline is ahead, and those before it, which can only be late."""

    current: Period
    earlier: Period
    """The one due before it."""
    preceding: Period
    """The one that ends where it begins, so that its open dossiers are carried over: of a year, the year before."""

    @property
    def past(self) -> list[Period]:
        """Those before it, in order of time, each once."""
        return sorted({each.code: each for each in self[1:]}.values(), key=lambda each: each.cutoff)


async def periods_of(http: httpx.AsyncClient, regime: str, years: Iterable[int]) -> list[Period]:
    """The periods of a regime, in order of time, as the gateway gives them to any system."""
    found: list[Period] = []
    for year in years:
        asked = {"regime": regime, "year": str(year)}
        answer = (await expect(200, http.get("/v1/periods", params=asked))).json()
        found += [_period(each) for each in answer["items"]]
    return found


def _period(shown: Mapping[str, Any]) -> Period:
    return Period(
        shown["period"],
        date.fromisoformat(shown["start"]),
        date.fromisoformat(shown["cutoff"]),
        _days(shown["deadlines"]),
        _days(shown["locks_after"]),
    )


def _days(by_level: Mapping[str, str | None]) -> dict[str, date]:
    """The days of the levels that have one."""
    return {level: date.fromisoformat(day) for level, day in by_level.items() if day is not None}


async def periods_at(http: httpx.AsyncClient, today: date) -> Periods:
    """The periods that are played on a day in Viet Nam."""
    return chosen(await periods_of(http, REGIME, (today.year - 1, today.year, today.year + 1)), today)


def chosen(periods: list[Period], today: date) -> Periods:
    """The period whose deadline comes next for provinces, with those before it; of periods in order of time."""
    place = next(place for place, each in enumerate(periods) if each.deadlines[TOP] >= today)
    current = periods[place]
    eve = current.start - timedelta(days=1)
    return Periods(current, periods[place - 1], next(each for each in periods if each.cutoff == eve))
