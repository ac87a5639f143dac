"""Periods: the days a code names under a rule, the periods of a year, ranges, gaps and overlaps."""

import re
from collections.abc import Callable
from datetime import date, timedelta
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.period import (
    DECREE_09_2019,
    PERIOD_PATTERN,
    Frequency,
    Period,
    PeriodError,
    PeriodRule,
    expand,
    gaps_and_overlaps,
    next_period,
    parse_period,
    period_of_year,
    periods_of_year,
    preceding,
)

CALENDAR = PeriodRule(cutoff_day=31)
FRIDAYS = PeriodRule(week_ends_on=5)
DAY = timedelta(days=1)

years = st.integers(2000, 2099)
codes = st.one_of(
    st.builds("{}".format, years),
    st.builds("{}-S{}".format, years, st.integers(1, 2)),
    st.builds("{}-Q{}".format, years, st.integers(1, 4)),
    st.builds("{}-{:02}".format, years, st.integers(1, 12)),
    st.builds("{}-W{:02}".format, years, st.integers(1, 52)),
)
rules = st.builds(PeriodRule, cutoff_day=st.integers(1, 31), week_ends_on=st.integers(1, 7))


def day(text: str) -> date:
    return date.fromisoformat(text)


def always(rule: PeriodRule) -> Callable[[str], PeriodRule]:
    """The same rule for every code."""
    return lambda _: rule


@pytest.mark.parametrize(
    ("code", "frequency", "start", "end"),
    [
        ("2026-01", Frequency.monthly, "2025-12-15", "2026-01-14"),
        ("2026-03", Frequency.monthly, "2026-02-15", "2026-03-14"),
        ("2026-12", Frequency.monthly, "2026-11-15", "2026-12-14"),
        ("2026-Q1", Frequency.quarterly, "2025-12-15", "2026-03-14"),
        ("2026-Q2", Frequency.quarterly, "2026-03-15", "2026-06-14"),
        ("2026-Q3", Frequency.quarterly, "2026-06-15", "2026-09-14"),
        ("2026-Q4", Frequency.quarterly, "2026-09-15", "2026-12-14"),
        ("2026-S1", Frequency.half_yearly, "2025-12-15", "2026-06-14"),
        ("2026-S2", Frequency.half_yearly, "2026-06-15", "2026-12-14"),
        ("2026-9M", Frequency.nine_months, "2025-12-15", "2026-09-14"),
        ("2026", Frequency.annual, "2025-12-15", "2026-12-14"),
        ("2000", Frequency.annual, "1999-12-15", "2000-12-14"),
        ("2026-W01", Frequency.weekly, "2025-12-29", "2026-01-04"),
        ("2026-W30", Frequency.weekly, "2026-07-20", "2026-07-26"),
        ("2026-W53", Frequency.weekly, "2026-12-28", "2027-01-03"),
        ("2026-07-20/P14D", Frequency.ad_hoc, "2026-07-20", "2026-08-02"),
        ("2026-07-20/P2W", Frequency.ad_hoc, "2026-07-20", "2026-08-02"),
        ("2026-07-20/P1D", Frequency.ad_hoc, "2026-07-20", "2026-07-20"),
        ("2026-01-15/P3M", Frequency.ad_hoc, "2026-01-15", "2026-04-14"),
        ("2026-01-31/P1M", Frequency.ad_hoc, "2026-01-31", "2026-02-27"),
        ("2024-02-29/P1Y", Frequency.ad_hoc, "2024-02-29", "2025-02-27"),
        ("2099-01-01/P1Y", Frequency.ad_hoc, "2099-01-01", "2099-12-31"),
    ],
)
def test_a_code_names_its_days_by_the_decree(code: str, frequency: Frequency, start: str, end: str) -> None:
    assert parse_period(code) == Period(code, frequency, day(start), day(end))


@pytest.mark.parametrize(
    ("on", "month", "quarter"),
    [
        ("2026-03-14", "2026-03", "2026-Q1"),
        ("2026-03-15", "2026-04", "2026-Q2"),
        ("2026-12-14", "2026-12", "2026-Q4"),
        ("2026-12-15", "2027-01", "2027-Q1"),
        ("2026-12-31", "2027-01", "2027-Q1"),
        ("2027-01-01", "2027-01", "2027-Q1"),
    ],
)
def test_a_boundary_day_belongs_to_one_month_and_one_quarter(on: str, month: str, quarter: str) -> None:
    periods = expand("2026-01..2027-03,2026-Q1..2027-Q1")
    assert [period.code for period in periods if period.start <= day(on) <= period.end] == [month, quarter]


@pytest.mark.parametrize(
    ("code", "start", "end"),
    [
        ("2026", "2026-01-01", "2026-12-31"),
        ("2026-Q1", "2026-01-01", "2026-03-31"),
        ("2026-02", "2026-02-01", "2026-02-28"),
        ("2024-02", "2024-02-01", "2024-02-29"),
        ("2024-03", "2024-03-01", "2024-03-31"),
        ("2026-12", "2026-12-01", "2026-12-31"),
        ("2026-9M", "2026-01-01", "2026-09-30"),
    ],
)
def test_a_calendar_rule_cuts_at_the_ends_of_months(code: str, start: str, end: str) -> None:
    period = parse_period(code, CALENDAR)
    assert (period.start, period.end) == (day(start), day(end))


@pytest.mark.parametrize(
    ("code", "start", "end"),
    [
        ("2026-02", "2026-01-31", "2026-02-28"),
        ("2024-02", "2024-01-31", "2024-02-29"),
        ("2026-03", "2026-03-01", "2026-03-30"),
        ("2024-03", "2024-03-01", "2024-03-30"),
        ("2026-Q2", "2026-03-31", "2026-06-30"),
    ],
)
def test_a_cut_off_that_a_month_lacks_is_its_last_day(code: str, start: str, end: str) -> None:
    period = parse_period(code, PeriodRule(cutoff_day=30))
    assert (period.start, period.end) == (day(start), day(end))


@pytest.mark.parametrize(
    ("weekday", "start", "end"),
    [
        (1, "2026-07-14", "2026-07-20"),
        (4, "2026-07-17", "2026-07-23"),
        (5, "2026-07-18", "2026-07-24"),
        (7, "2026-07-20", "2026-07-26"),
    ],
)
def test_a_week_ends_on_the_weekday_of_its_rule(weekday: int, start: str, end: str) -> None:
    period = parse_period("2026-W30", PeriodRule(week_ends_on=weekday))
    assert (period.start, period.end) == (day(start), day(end))


def test_the_first_week_of_a_year_may_end_in_the_year_before() -> None:
    first = parse_period("2026-W01", PeriodRule(week_ends_on=2))
    assert (first.start, first.end) == (day("2025-12-24"), day("2025-12-30"))


def test_a_day_of_a_month_does_not_move_weeks_nor_a_weekday_months_and_neither_ad_hoc_periods() -> None:
    assert parse_period("2026-W30", CALENDAR) == parse_period("2026-W30")
    assert parse_period("2026-07", FRIDAYS) == parse_period("2026-07")
    for rule in (CALENDAR, FRIDAYS):
        assert parse_period("2026-07-20/P14D", rule) == parse_period("2026-07-20/P14D")


@pytest.mark.parametrize(("cutoff", "weekday"), [(0, 7), (32, 7), (-1, 7), (14, 0), (14, 8), (14, -1)])
def test_a_rule_has_a_day_of_a_month_and_a_weekday(cutoff: int, weekday: int) -> None:
    with pytest.raises(ValueError, match="1 to 31, and its weekday 1 to 7"):
        PeriodRule(cutoff, weekday)


@pytest.mark.parametrize(
    ("code", "month"),
    [
        ("2026", (2026, 12)),
        ("2026-S1", (2026, 6)),
        ("2026-S2", (2026, 12)),
        ("2026-Q1", (2026, 3)),
        ("2026-Q4", (2026, 12)),
        ("2026-9M", (2026, 9)),
        ("2026-01", (2026, 1)),
        ("2026-12", (2026, 12)),
        ("2026-W30", (2026, 7)),
        ("2026-W53", (2027, 1)),
        ("2026-07-20/P14D", (2026, 8)),
        ("2026-12-31/P1D", (2026, 12)),
    ],
)
def test_the_last_month_is_the_nominal_one_or_that_of_the_last_day(code: str, month: tuple[int, int]) -> None:
    assert parse_period(code).last_month == month
    assert parse_period(code, CALENDAR).last_month == month


@given(years, st.sampled_from(["Q1", "Q2", "Q3", "Q4", "S1", "S2", "9M", "Y", "01", "02", "12"]), rules)
def test_the_last_month_of_a_period_of_months_does_not_depend_on_its_cut_off(
    year: int, name: str, rule: PeriodRule
) -> None:
    period = period_of_year(name, year, rule)
    assert period.last_month == period_of_year(name, year).last_month == (period.end.year, period.end.month)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("Y", "2026"),
        ("Q1", "2026-Q1"),
        ("S2", "2026-S2"),
        ("9M", "2026-9M"),
        ("07", "2026-07"),
        ("W53", "2026-W53"),
    ],
)
def test_a_year_calls_its_periods_by_name(name: str, code: str) -> None:
    for rule in (DECREE_09_2019, CALENDAR, FRIDAYS):
        assert period_of_year(name, 2026, rule) == parse_period(code, rule)


@pytest.mark.parametrize(
    ("name", "year"),
    [("", 2026), ("y", 2026), ("Q5", 2026), ("7", 2026), ("2026", 2026), ("W54", 2026), ("W53", 2025), ("Y", 1999)],
)
def test_a_year_has_no_period_of_another_name(name: str, year: int) -> None:
    with pytest.raises(PeriodError):
        period_of_year(name, year)


@pytest.mark.parametrize(
    ("frequency", "codes_of_2026"),
    [
        (Frequency.annual, ["2026"]),
        (Frequency.nine_months, ["2026-9M"]),
        (Frequency.half_yearly, ["2026-S1", "2026-S2"]),
        (Frequency.quarterly, ["2026-Q1", "2026-Q2", "2026-Q3", "2026-Q4"]),
        (Frequency.monthly, [f"2026-{month:02}" for month in range(1, 13)]),
        (Frequency.weekly, [f"2026-W{week:02}" for week in range(1, 54)]),
        (Frequency.ad_hoc, []),
    ],
)
def test_a_year_names_all_its_periods_of_a_frequency(frequency: Frequency, codes_of_2026: list[str]) -> None:
    assert [period.code for period in periods_of_year(frequency, 2026)] == codes_of_2026
    for rule in (CALENDAR, FRIDAYS):
        assert periods_of_year(frequency, 2026, rule) == [parse_period(code, rule) for code in codes_of_2026]


@given(years, st.sampled_from([each for each in Frequency if each not in {"nine_months", "ad_hoc"}]), rules)
def test_the_periods_of_a_year_follow_each_other_into_the_next_year(
    year: int, frequency: Frequency, rule: PeriodRule
) -> None:
    periods = periods_of_year(frequency, year, rule)
    assert gaps_and_overlaps(periods) == []
    if year < 2099:
        assert next_period(periods[-1], rule) == periods_of_year(frequency, year + 1, rule)[0]


MALFORMED = [
    "", " ", "26", "1999", "2100", "20260", "02026", "2026-", "2026-0", "2026-00", "2026-13",
    "2026-1", "2026-001", "2026-Q0", "2026-Q5", "2026-Q", "2026-Q01", "2026-q1", "2026Q1",
    "2026-S0", "2026-S3", "2026-s1", "2026-H1", "2026-W00", "2026-W54", "2026-W1", "2026-w01",
    "2026-9m", "2026-6M", "2026-09M", " 2026", "2026 ", "2026\n", "2026-Q1\n", "\n2026",
    "2026-07-20", "2026-07-20/", "2026-07-20/P", "2026-07-20/P0D", "2026-07-20/P014D",
    "2026-07-20/P1000D", "2026-07-20/P1H", "2026-07-20/PT1H", "2026-07-20/P1M1D", "2026-07-20/-P1D",
    "2026-07-20/p1d", "2026-07-20/P1.5D", "2026-07-20/2026-07-25", "2026-07-32/P1D",
    "2026-13-01/P1D", "٢٠٢٦", "２０２６", "2026-Q¹", "202６-01", "2026–Q1", "+2026", "2026-Q1/P1D",
    "2026-W30-1", "2026-07-20T00:00/P1D", "x" * 100_000,
]  # fmt: skip


@pytest.mark.parametrize("code", MALFORMED, ids=lambda code: ascii(code[:24]))
def test_what_is_not_a_period_is_refused(code: str) -> None:
    with pytest.raises(PeriodError, match="A period is written like") as caught:
        parse_period(code)
    assert len(str(caught.value)) < 200
    assert re.fullmatch(PERIOD_PATTERN, code) is None


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("2025-W53", "2025 has 52 weeks"),
        ("2026-02-30/P1D", "2026-02-30 is not a day"),
        ("2025-02-29/P1D", "2025-02-29 is not a day"),
        ("2099-12-31/P2D", "ends after 2099"),
        ("2099-12-01/P999Y", "ends after 2099"),
        ("2026-01-01/P999W", None),
    ],
)
def test_a_period_that_the_calendar_lacks_is_refused(code: str, says: str | None) -> None:
    if says is None:
        assert parse_period(code).end == day("2026-01-01") + 999 * 7 * DAY - DAY
        return
    with pytest.raises(PeriodError, match=says):
        parse_period(code)


@given(
    codes
    | st.builds(
        "{:%Y-%m-%d}/P{}{}".format,
        st.dates(day("2000-01-01"), day("2050-01-01")),
        st.integers(1, 40),
        st.sampled_from("DWMY"),
    )
)
def test_every_period_matches_the_pattern_and_keeps_its_code(code: str) -> None:
    period = parse_period(code)
    assert period.code == code
    assert period.start <= period.end
    assert re.fullmatch(PERIOD_PATTERN, code)


@given(st.text(alphabet="0269-SQWMPD/", max_size=16))
def test_the_pattern_decides_alone_which_codes_are_well_formed(code: str) -> None:
    assert malformed(code) is (re.fullmatch(PERIOD_PATTERN, code) is None)


def malformed(code: str) -> bool:
    try:
        parse_period(code)
    except PeriodError as error:
        return "A period is written like" in str(error)
    return False


@given(codes, rules)
def test_the_next_period_starts_the_day_after_under_any_rule(code: str, rule: PeriodRule) -> None:
    period = parse_period(code, rule)
    try:
        following = next_period(period, rule)
    except PeriodError:
        assert code.startswith("2099")
        return
    assert following.start == period.end + DAY
    assert following.frequency is period.frequency
    assert following == parse_period(following.code, rule)
    assert gaps_and_overlaps([following, period]) == []


@given(years, rules)
def test_the_parts_of_a_year_fill_the_year(year: int, rule: PeriodRule) -> None:
    whole = parse_period(str(year), rule)
    for first, last in (("S1", "S2"), ("Q1", "Q4"), ("01", "12")):
        parts = expand(f"{year}-{first}..{year}-{last}", always(rule))
        assert (parts[0].start, parts[-1].end) == (whole.start, whole.end)
        assert parts[-1].last_month == whole.last_month
        assert gaps_and_overlaps(parts) == []


@pytest.mark.parametrize(
    ("code", "following"),
    [
        ("2026", "2027"), ("2026-S2", "2027-S1"), ("2026-Q4", "2027-Q1"), ("2026-11", "2026-12"),
        ("2026-12", "2027-01"), ("2026-9M", "2027-9M"), ("2025-W52", "2026-W01"), ("2026-W52", "2026-W53"),
        ("2026-W53", "2027-W01"),
    ],
)  # fmt: skip
def test_the_next_period_crosses_the_year(code: str, following: str) -> None:
    assert next_period(parse_period(code)).code == following


@pytest.mark.parametrize("code", ["2099", "2099-Q4", "2099-9M", "2099-W53", "2026-07-20/P14D"])
def test_some_periods_have_no_next(code: str) -> None:
    with pytest.raises(PeriodError, match=re.escape(code)):
        next_period(parse_period(code))


def test_the_preceding_period_is_of_the_same_frequency_or_else_the_shortest() -> None:
    stored = expand("2025,2025-S2,2025-Q3,2025-Q4,2025-12,2026-Q1,2025-9M")
    first_quarter, february = parse_period("2026-Q1"), parse_period("2026-02")
    assert [each.code for each in preceding(first_quarter, stored)] == [
        "2025-Q4",
        "2025-12",
        "2025-S2",
        "2025",
    ]
    assert [each.code for each in preceding(first_quarter, expand("2025,2025-S2"))] == ["2025-S2", "2025"]
    assert preceding(february, stored) == []


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("2026-Q3", "2026-Q3"),
        ("2026-Q2,2026-Q1", "2026-Q2 2026-Q1"),
        ("2025-Q3..2026-Q2", "2025-Q3 2025-Q4 2026-Q1 2026-Q2"),
        ("2026-Q1..2026-Q1", "2026-Q1"),
        ("2026-W52..2027-W01", "2026-W52 2026-W53 2027-W01"),
        ("2025-9M..2026-9M", "2025-9M 2026-9M"),
        ("2024..2026,2023", "2024 2025 2026 2023"),
        ("2099-11..2099-12", "2099-11 2099-12"),
        ("2026-07-20/P14D,2026-08", "2026-07-20/P14D 2026-08"),
    ],
)
def test_an_expression_gives_its_periods_in_order(expression: str, expected: str) -> None:
    assert [period.code for period in expand(expression)] == expected.split()


def test_an_expression_is_cut_by_the_rule_of_each_code() -> None:
    assert expand("2026-02") == expand("2026-02", always(DECREE_09_2019)) == [parse_period("2026-02")]
    mixed = expand("2026-01..2026-03,2026-W30", lambda code: FRIDAYS if "W" in code else CALENDAR)
    assert [(period.code, period.start, period.end) for period in mixed] == [
        ("2026-01", day("2026-01-01"), day("2026-01-31")),
        ("2026-02", day("2026-02-01"), day("2026-02-28")),
        ("2026-03", day("2026-03-01"), day("2026-03-31")),
        ("2026-W30", day("2026-07-18"), day("2026-07-24")),
    ]


def test_a_range_may_cross_from_one_rule_into_another() -> None:
    changed = expand("2025-11..2026-02", lambda code: DECREE_09_2019 if code < "2026" else CALENDAR)
    assert [(period.start, period.end) for period in changed] == [
        (day("2025-10-15"), day("2025-11-14")),
        (day("2025-11-15"), day("2025-12-14")),
        (day("2026-01-01"), day("2026-01-31")),
        (day("2026-02-01"), day("2026-02-28")),
    ]
    assert [(first.code, second.code, what) for first, second, what in gaps_and_overlaps(changed)] == [
        ("2025-12", "2026-01", "gap")
    ]


@pytest.mark.parametrize("expression", ["", "2026-Q5", "2026-Q1..", "2025-W53", "2026-02-30/P1D"])
def test_the_rule_of_what_is_no_period_is_never_asked_for(expression: str) -> None:
    asked: list[str] = []

    def rule_of(code: str) -> PeriodRule:
        asked.append(code)
        return DECREE_09_2019

    with pytest.raises(PeriodError):
        expand(expression, rule_of)
    assert set(asked) <= {"2026-Q1"}


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("", "A period is written like"),
        (",", "A period is written like"),
        ("2026-Q1,", "A period is written like"),
        ("2026-Q1, 2026-Q2", "A period is written like"),
        ("2026-Q1..", "A period is written like"),
        ("..2026-Q1", "A period is written like"),
        ("2026-Q1...2026-Q2", "A period is written like"),
        ("2026-Q1..2026-Q2..2026-Q3", "A period is written like"),
        ("2026-Q1,2026-Q2,2026-Q1", "2026-Q1 is named twice"),
        ("2026-Q1..2026-Q3,2026-Q2", "2026-Q2 is named twice"),
        ("2026-Q3..2025-Q1", "reversed: 2026-Q3 comes after 2025-Q1"),
        ("2026-Q1..2026-06", "different frequencies"),
        ("2026-07-20/P14D..2026-08-20/P14D", "no ranges"),
        ("2026..2026-08-20/P14D", "no ranges"),
        ("2000-01..2099-12", "At most 200"),
        ("2000-01..2016-08,2020-01", "At most 200"),
    ],
)
def test_a_faulty_expression_is_refused(expression: str, says: str) -> None:
    with pytest.raises(PeriodError, match=says):
        expand(expression)


def test_two_hundred_periods_are_the_most() -> None:
    assert len(expand("2000-01..2016-08")) == 200
    with pytest.raises(PeriodError, match="At most 200"):
        expand("2000-01..2016-09")


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("2026-Q1", []),
        ("2026-Q2,2026-Q1", []),
        ("2026-Q1,2026-Q3", [("2026-Q1", "2026-Q3", "gap")]),
        ("2026,2026-Q1", [("2026-Q1", "2026", "overlap")]),
        ("2026-9M,2026-Q4", []),
        ("2026-9M,2027-9M", [("2026-9M", "2027-9M", "gap")]),
        ("2026,2026-Q2,2027", [("2026", "2026-Q2", "overlap")]),
        (
            "2026,2026-Q2,2026-Q4,2028",
            [("2026", "2026-Q2", "overlap"), ("2026", "2026-Q4", "overlap"), ("2026", "2028", "gap")],
        ),
        ("2026-07-20/P14D,2026-07-20/P2W", [("2026-07-20/P14D", "2026-07-20/P2W", "overlap")]),
        ("2026-W30,2026-07-27/P1D", []),
    ],
)
def test_gaps_and_overlaps_are_named(expression: str, found: list[tuple[str, str, Literal["gap", "overlap"]]]) -> None:
    named = [(first.code, second.code, what) for first, second, what in gaps_and_overlaps(expand(expression))]
    assert named == found
