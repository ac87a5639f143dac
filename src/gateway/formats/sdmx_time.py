"""Time in SDMX: how periods are written, and the civil days they are compared by.

A year `2026`, a half `2026-S1`, a quarter, a month and a week are written as everywhere here (SDMX 2.1 and 3.0,
section 6, "Time"); nine months and ad hoc periods are time ranges, the first day and a duration: `2025-12-15/P9M`.
Periods are compared by their nominal days: 2026-Q1 is January to March, whatever day its regime cuts it on.
"""

import re
from datetime import date, datetime, timedelta

from gateway.domain.period import Frequency, Period, PeriodError, day_of_month, parse_period

FREQUENCIES = {
    Frequency.annual: "A",
    Frequency.half_yearly: "S",
    Frequency.quarterly: "Q",
    Frequency.monthly: "M",
    Frequency.weekly: "W",
    Frequency.nine_months: "M9",
    Frequency.ad_hoc: "I",
}
"""Codes of the cross-domain code list CL_FREQ, and `M9` for nine months, which it does not have."""

_MONTHS = {
    Frequency.monthly: 1,
    Frequency.quarterly: 3,
    Frequency.half_yearly: 6,
    Frequency.nine_months: 9,
    Frequency.annual: 12,
}
_WITHIN_YEAR = re.compile(r"([0-9]{4})(?:-(A1|S[12]|T[1-3]|Q[1-4]|M?(?:0[1-9]|1[0-2])|W[0-9]{2}|D[0-9]{3}))?")
_REPORTED_MONTHS = {"A": 12, "S": 6, "T": 4, "Q": 3, "M": 1}
_DAY = timedelta(days=1)

Span = tuple[date, date]
"""First and last day, both included."""


def time_period(period: Period) -> str:
    """A period as SDMX writes it. A duration has no weeks there (XML Schema, `duration`): they become days."""
    if period.frequency is Frequency.nine_months:
        return f"{period.start}/P9M"
    if period.frequency is Frequency.ad_hoc and period.code.endswith("W"):
        first, _, weeks = period.code.partition("/P")
        return f"{first}/P{7 * int(weeks[:-1])}D"
    return period.code


def nominal(period: Period) -> Span:
    """The days a period is named after."""
    if period.frequency is Frequency.weekly:
        return _week(int(period.code[:4]), int(period.code[6:]))
    if period.frequency is Frequency.ad_hoc:
        return period.start, period.end
    year, last = period.last_month
    return _months(year, last - _MONTHS[period.frequency] + 1, last)


def span(text: str) -> Span:
    """The days of a time period that is asked for: any of SDMX, a day or a moment too. Raises ``ValueError``."""
    within_year = _WITHIN_YEAR.fullmatch(text)
    if within_year:
        return _within_year(int(within_year[1]), within_year[2] or "A1")
    if "/" not in text and re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(T|$)", text):
        day = datetime.fromisoformat(text).date()
        return day, day
    try:
        return nominal(parse_period(text))
    except PeriodError as error:
        raise ValueError(str(error)) from error


def _within_year(year: int, name: str) -> Span:
    letter, number = (name[0], int(name[1:])) if name[0].isalpha() else ("M", int(name))
    if letter == "W":
        return _week(year, number)
    if letter == "D":
        day = date(year, 1, 1) + (number - 1) * _DAY
        if day.year != year:
            raise ValueError(f"{year} has no day {number}")
        return day, day
    months = _REPORTED_MONTHS[letter]
    return _months(year, (number - 1) * months + 1, number * months)


def _months(year: int, first: int, last: int) -> Span:
    return date(year, first, 1), day_of_month(year, last, 31)


def _week(year: int, number: int) -> Span:
    monday = date.fromisocalendar(year, number, 1)
    return monday, monday + 6 * _DAY
