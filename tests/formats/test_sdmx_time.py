"""Periods in SDMX: how they are written, and the nominal days they are compared by."""

from datetime import date

import pytest

from gateway.domain.period import PeriodRule, parse_period
from gateway.formats.sdmx_time import nominal, span, time_period


@pytest.mark.parametrize(
    ("code", "written", "first", "last"),
    [
        ("2026", "2026", "2026-01-01", "2026-12-31"),
        ("2026-S1", "2026-S1", "2026-01-01", "2026-06-30"),
        ("2026-Q3", "2026-Q3", "2026-07-01", "2026-09-30"),
        ("2028-02", "2028-02", "2028-02-01", "2028-02-29"),
        ("2026-W01", "2026-W01", "2025-12-29", "2026-01-04"),
        ("2026-9M", "2025-12-15/P9M", "2026-01-01", "2026-09-30"),
        ("2026-07-20/P14D", "2026-07-20/P14D", "2026-07-20", "2026-08-02"),
        ("2026-07-20/P2W", "2026-07-20/P14D", "2026-07-20", "2026-08-02"),
        ("2026-07-20/P1Y", "2026-07-20/P1Y", "2026-07-20", "2027-07-19"),
    ],
)
def test_a_period_is_written_as_sdmx_has_it_and_compared_by_its_nominal_days(
    code: str, written: str, first: str, last: str
) -> None:
    period = parse_period(code)
    assert time_period(period) == written
    assert nominal(period) == (date.fromisoformat(first), date.fromisoformat(last))


def test_nine_months_begin_where_their_regime_cuts() -> None:
    assert time_period(parse_period("2026-9M", PeriodRule(cutoff_day=31))) == "2026-01-01/P9M"


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("1990", "1990-01-01", "1990-12-31"),
        ("2026-A1", "2026-01-01", "2026-12-31"),
        ("2026-S2", "2026-07-01", "2026-12-31"),
        ("2026-T3", "2026-09-01", "2026-12-31"),
        ("2026-Q1", "2026-01-01", "2026-03-31"),
        ("2026-07", "2026-07-01", "2026-07-31"),
        ("2026-M07", "2026-07-01", "2026-07-31"),
        ("2026-W30", "2026-07-20", "2026-07-26"),
        ("2026-D032", "2026-02-01", "2026-02-01"),
        ("2026-07-15", "2026-07-15", "2026-07-15"),
        ("2026-07-15T08:00:00", "2026-07-15", "2026-07-15"),
    ],
)
def test_a_time_that_is_asked_for_may_be_any_of_sdmx(text: str, first: str, last: str) -> None:
    assert span(text) == (date.fromisoformat(first), date.fromisoformat(last))


@pytest.mark.parametrize(
    "text",
    ["", "soon", "2026-Q5", "2026-13", "2026-W54", "2026-D366", "2026-02-30", "20260101", "2026-07-15Tx", "0000"],
)
def test_anything_else_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        span(text)
