"""Reporting periods: their codes and the days they cover.

A period of months does not follow the calendar. Decree 09/2019/ND-CP article 12 closes the data on the 14th
of the period's last month and opens the next period on the 15th, so the first quarter runs from 15 December
to 14 March. Other regimes cut on other days: `PeriodRule`. When a report is due is for its regime to say.

    2026                 the year                      2026-07             July
    2026-S1, -S2         a half of the year            2026-W30            a week, by the ISO 8601 calendar
    2026-Q1 … -Q4        a quarter                     2026-9M             the first nine months
    2026-07-20/P14D      ad hoc: the first day and an ISO 8601 duration in one unit (D, W, M or Y)

Within a year a period is named by what follows the dash (`Q1`, `07`, `S2`, `9M`, `W30`), the year itself by `Y`.
All dates are civil dates in Viet Nam.
"""

import re
from calendar import monthrange
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta, timezone
from enum import StrEnum
from typing import Literal

from gateway.errors import Text

# Asia/Ho_Chi_Minh has kept UTC+7 without daylight saving since 1975. A constant needs no time zone database,
# which small containers do not have.
VIETNAM = timezone(timedelta(hours=7), "Asia/Ho_Chi_Minh")

FIRST_YEAR, LAST_YEAR = 2000, 2099
MAX_PERIODS = 200
PERIOD_PATTERN = (
    r"^20[0-9]{2}(?:-(?:S[12]|Q[1-4]|9M|W(?:0[1-9]|[1-4][0-9]|5[0-3])"
    r"|(?:0[1-9]|1[0-2])(?:-(?:0[1-9]|[12][0-9]|3[01])/P[1-9][0-9]{0,2}[DWMY])?))?$"
)

_GRAMMAR = re.compile(PERIOD_PATTERN)
_WRITTEN = "2026, 2026-S1, 2026-Q3, 2026-07, 2026-W30, 2026-9M, 2026-07-20/P14D"
_MALFORMED = (
    f"Kỳ báo cáo được viết như: {_WRITTEN}, với năm từ {FIRST_YEAR} đến {LAST_YEAR}.",
    f"A period is written like {_WRITTEN}, with a year from {FIRST_YEAR} to {LAST_YEAR}.",
)
_DAY = timedelta(days=1)


class PeriodError(ValueError):
    """The text is not a period, or not a list of periods; ``message`` is a sentence for its writer."""

    def __init__(self, vi: str, en: str) -> None:
        super().__init__(en)
        self.message = Text(vi, en)


class Frequency(StrEnum):
    """How often a report is due."""

    weekly = "weekly"
    monthly = "monthly"
    quarterly = "quarterly"
    half_yearly = "half_yearly"
    nine_months = "nine_months"
    annual = "annual"
    ad_hoc = "ad_hoc"


# How the n-th period of a year is written, and how many months it has.
_CODES = {
    Frequency.weekly: "{year}-W{number:02}",
    Frequency.monthly: "{year}-{number:02}",
    Frequency.quarterly: "{year}-Q{number}",
    Frequency.half_yearly: "{year}-S{number}",
    Frequency.nine_months: "{year}-9M",
    Frequency.annual: "{year}",
}
_MONTHS = {
    Frequency.monthly: 1,
    Frequency.quarterly: 3,
    Frequency.half_yearly: 6,
    Frequency.nine_months: 9,
    Frequency.annual: 12,
}


@dataclass(frozen=True, slots=True)
class Period:
    """What a report is about in time: `start` to `end` (the cut-off), both included."""

    code: str
    frequency: Frequency
    start: date
    end: date

    @property
    def last_month(self) -> tuple[int, int]:
        """Year and month that deadlines count from: the nominal last one, whatever the cut-off."""
        if self.frequency in _MONTHS:
            frequency, year, number = _place_in_year(self.code)
            return year, number * _MONTHS[frequency]
        return self.end.year, self.end.month


@dataclass(frozen=True, slots=True)
class PeriodRule:
    """Where a regime cuts its periods; a day past the end of a month means the month's last day.

    A period of months takes in data up to and including `cutoff_day` of its last month, and begins on the day
    after the cut-off of the month before its first. A week ends on `week_ends_on` (1 Monday to 7 Sunday) of the
    ISO week it is named after.
    """

    cutoff_day: int = 14
    week_ends_on: int = 7

    def __post_init__(self) -> None:
        if not 1 <= self.cutoff_day <= 31 or not 1 <= self.week_ends_on <= 7:
            raise ValueError("A rule's day is 1 to 31, and its weekday 1 to 7.")

    def start(self, year: int, month: int) -> date:
        """The first day of a period whose first month is this one."""
        return day_of_month(year, month - 1, self.cutoff_day) + _DAY

    def end(self, year: int, month: int) -> date:
        """The cut-off, inclusive, of a period whose last month is this one."""
        return day_of_month(year, month, self.cutoff_day)


DECREE_09_2019 = PeriodRule()


def parse_period(code: str, rule: PeriodRule = DECREE_09_2019) -> Period:
    """The period a code names, cut by the rule; raises `PeriodError`."""
    if _GRAMMAR.fullmatch(code) is None:
        raise PeriodError(*_MALFORMED)
    if "/" in code:
        return _ad_hoc(code)
    return _regular(*_place_in_year(code), rule)


def next_period(period: Period, rule: PeriodRule = DECREE_09_2019) -> Period:
    """The period of the same frequency that comes next; raises `PeriodError` when there is none."""
    if period.frequency is Frequency.ad_hoc:
        raise PeriodError(
            f"{period.code} là kỳ đột xuất: không có kỳ tiếp theo.",
            f"{period.code} is an ad hoc period: none follows it.",
        )
    frequency, year, number = _place_in_year(period.code)
    if frequency is Frequency.weekly:
        year, number, _ = (_monday(period.code) + timedelta(days=7)).isocalendar()
    elif frequency is Frequency.nine_months or number * _MONTHS[frequency] == 12:
        year, number = year + 1, 1
    else:
        number += 1
    if year > LAST_YEAR:
        raise PeriodError(
            f"{period.code} là kỳ cuối: chỉ nhận đến năm {LAST_YEAR}.",
            f"{period.code} is the last period: years go up to {LAST_YEAR}.",
        )
    return _regular(frequency, year, number, rule)


def preceding(period: Period, candidates: Iterable[Period]) -> list[Period]:
    """The candidates that end the day before this period starts: same frequency first, then the shortest."""
    adjacent = [candidate for candidate in candidates if candidate.end + _DAY == period.start]
    return sorted(adjacent, key=lambda each: (each.frequency is not period.frequency, each.end - each.start))


def period_of_year(name: str, year: int, rule: PeriodRule = DECREE_09_2019) -> Period:
    """The period that a year calls `Q1`, `07`, `S2`, `9M`, `W30` or `Y`; raises `PeriodError`."""
    return parse_period(f"{year}" if name == "Y" else f"{year}-{name}", rule)


def periods_of_year(frequency: Frequency, year: int, rule: PeriodRule = DECREE_09_2019) -> list[Period]:
    """All periods of a frequency that a year names, in order of time; ad hoc ones have no list."""
    if frequency is Frequency.ad_hoc:
        return []
    if frequency is Frequency.weekly:
        count = date(year, 12, 28).isocalendar().week  # 28 December always lies in the last week
    else:
        count = 1 if frequency is Frequency.nine_months else 12 // _MONTHS[frequency]
    return [_regular(frequency, year, number, rule) for number in range(1, count + 1)]


def expand(expression: str, rule_of: Callable[[str], PeriodRule] = lambda _: DECREE_09_2019) -> list[Period]:
    """The periods of a code, a list `2026-Q1,2026-Q3` or a range `2025-Q1..2026-Q3`, in the order given.

    A range has both its ends. `rule_of` gives the rule that cuts the period of a code. At most 200 periods, each
    once; raises `PeriodError`.
    """
    periods: dict[str, Period] = {}
    for part in expression.split(","):
        for period in _range(part, rule_of):
            if period.code in periods:
                raise PeriodError(f"{period.code} được nêu hai lần.", f"{period.code} is named twice.")
            if len(periods) == MAX_PERIODS:
                raise PeriodError(
                    f"Mỗi lần chỉ hỏi tối đa {MAX_PERIODS} kỳ.",
                    f"At most {MAX_PERIODS} periods can be asked for at once.",
                )
            periods[period.code] = period
    return list(periods.values())


def gaps_and_overlaps(periods: Iterable[Period]) -> list[tuple[Period, Period, Literal["gap", "overlap"]]]:
    """Where the periods, put in order of time, leave days out or cover days twice.

    Each period is compared with the one before it that reaches furthest, so a quarter inside a year overlaps
    the year and leaves no gap after itself.
    """
    found: list[tuple[Period, Period, Literal["gap", "overlap"]]] = []
    furthest: Period | None = None
    for period in sorted(periods, key=lambda each: (each.start, each.end)):
        if furthest is not None and period.start != furthest.end + _DAY:
            found.append((furthest, period, "gap" if period.start > furthest.end else "overlap"))
        if furthest is None or period.end > furthest.end:
            furthest = period
    return found


def _place_in_year(code: str) -> tuple[Frequency, int, int]:
    """Frequency, year and number within the year of a well-formed code that is not ad hoc."""
    year, suffix = int(code[:4]), code[5:]
    if suffix == "":
        return Frequency.annual, year, 1
    if suffix == "9M":
        return Frequency.nine_months, year, 1
    lettered = {"S": Frequency.half_yearly, "Q": Frequency.quarterly, "W": Frequency.weekly}
    return lettered.get(suffix[0], Frequency.monthly), year, int(suffix.lstrip("SQW"))


def _regular(frequency: Frequency, year: int, number: int, rule: PeriodRule) -> Period:
    code = _CODES[frequency].format(year=year, number=number)
    if frequency is Frequency.weekly:
        monday = _monday(code)
        end = monday + timedelta(days=rule.week_ends_on - 1)
        return Period(code, frequency, end - timedelta(days=6), end)
    last = number * _MONTHS[frequency]
    first = last - _MONTHS[frequency] + 1
    return Period(code, frequency, rule.start(year, first), rule.end(year, last))


def _monday(code: str) -> date:
    """The first day of the ISO week that a code names."""
    year, number = int(code[:4]), int(code[6:])
    try:
        return date.fromisocalendar(year, number, 1)
    except ValueError:
        raise PeriodError(
            f"Không có {code}: năm {year} có 52 tuần.", f"{code} does not exist: {year} has 52 weeks."
        ) from None


def _ad_hoc(code: str) -> Period:
    """A span from its first day; a month or year later is the same day number, or the month's last day."""
    first_day, _, duration = code.partition("/P")
    count, unit = int(duration[:-1]), duration[-1]
    try:
        start = date.fromisoformat(first_day)
    except ValueError:
        raise PeriodError(
            f"{first_day} không phải là một ngày có thật.", f"{first_day} is not a day of the calendar."
        ) from None
    if unit in "DW":
        after = start + timedelta(days=count if unit == "D" else 7 * count)
    else:
        after = day_of_month(start.year, start.month + count * (1 if unit == "M" else 12), start.day)
    if after > date(LAST_YEAR + 1, 1, 1):
        raise PeriodError(f"{code} kết thúc sau năm {LAST_YEAR}.", f"{code} ends after {LAST_YEAR}.")
    return Period(code, Frequency.ad_hoc, start, after - _DAY)


def day_of_month(year: int, month: int, day: int) -> date:
    """That day of a month counted from January of the year (0 is December before, 13 January after)."""
    years, index = divmod(month - 1, 12)
    year, month = year + years, index + 1
    return date(year, month, min(day, monthrange(year, month)[1]))


def _range(part: str, rule_of: Callable[[str], PeriodRule]) -> Iterator[Period]:
    first_code, dots, last_code = part.partition("..")
    first = _cut(first_code, rule_of)
    if not dots:
        yield first
        return
    last = _cut(last_code, rule_of)
    if Frequency.ad_hoc in (first.frequency, last.frequency):
        raise PeriodError(
            "Kỳ đột xuất không có khoảng: hãy liệt kê, cách nhau bằng dấu phẩy.",
            "Ad hoc periods have no ranges: list them, separated by commas.",
        )
    if first.frequency is not last.frequency:
        raise PeriodError(
            f"{first.code} và {last.code} khác loại kỳ: một khoảng chỉ có một loại.",
            f"{first.code} and {last.code} have different frequencies: a range has one.",
        )
    if first.start > last.start:
        raise PeriodError(
            f"Khoảng bị ngược: {first.code} sau {last.code}.",
            f"The range is reversed: {first.code} comes after {last.code}.",
        )
    while first.code != last.code:
        yield first
        first = _cut(next_period(first).code, rule_of)
    yield last


def _cut(code: str, rule_of: Callable[[str], PeriodRule]) -> Period:
    parse_period(code)  # a rule is only asked for where the code is one
    return parse_period(code, rule_of(code))
