"""Periods: the days a code names under a rule, deadlines and lateness, ranges, gaps and overlaps."""

import re
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.period import (
    DECREE_09_2019,
    PERIOD_PATTERN,
    VIETNAM,
    Frequency,
    Period,
    PeriodError,
    PeriodRule,
    expand,
    gaps_and_overlaps,
    is_late,
    next_period,
    parse_period,
    preceding,
)

CALENDAR = PeriodRule(cutoff_day=31, deadline_day=5, deadline_months_after=1)
DAY = timedelta(days=1)

years = st.integers(2000, 2099)
codes = st.one_of(
    st.builds("{}".format, years),
    st.builds("{}-S{}".format, years, st.integers(1, 2)),
    st.builds("{}-Q{}".format, years, st.integers(1, 4)),
    st.builds("{}-{:02}".format, years, st.integers(1, 12)),
    st.builds("{}-W{:02}".format, years, st.integers(1, 52)),
)
rules = st.builds(
    PeriodRule, st.integers(1, 31), st.none() | st.integers(1, 31), deadline_months_after=st.integers(0, 3)
)


def day(text: str) -> date:
    return date.fromisoformat(text)


def in_vietnam(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=VIETNAM)


@pytest.mark.parametrize(
    ("code", "frequency", "start", "end", "deadline"),
    [
        ("2026-01", Frequency.monthly, "2025-12-15", "2026-01-14", "2026-01-25"),
        ("2026-03", Frequency.monthly, "2026-02-15", "2026-03-14", "2026-03-25"),
        ("2026-12", Frequency.monthly, "2026-11-15", "2026-12-14", "2026-12-25"),
        ("2026-Q1", Frequency.quarterly, "2025-12-15", "2026-03-14", "2026-03-25"),
        ("2026-Q2", Frequency.quarterly, "2026-03-15", "2026-06-14", "2026-06-25"),
        ("2026-Q3", Frequency.quarterly, "2026-06-15", "2026-09-14", "2026-09-25"),
        ("2026-Q4", Frequency.quarterly, "2026-09-15", "2026-12-14", "2026-12-25"),
        ("2026-S1", Frequency.half_yearly, "2025-12-15", "2026-06-14", "2026-06-25"),
        ("2026-S2", Frequency.half_yearly, "2026-06-15", "2026-12-14", "2026-12-25"),
        ("2026-9M", Frequency.nine_months, "2025-12-15", "2026-09-14", "2026-09-25"),
        ("2026", Frequency.annual, "2025-12-15", "2026-12-14", "2026-12-25"),
        ("2000", Frequency.annual, "1999-12-15", "2000-12-14", "2000-12-25"),
        ("2026-W01", Frequency.weekly, "2025-12-29", "2026-01-04", None),
        ("2026-W30", Frequency.weekly, "2026-07-20", "2026-07-26", None),
        ("2026-W53", Frequency.weekly, "2026-12-28", "2027-01-03", None),
        ("2026-07-20/P14D", Frequency.ad_hoc, "2026-07-20", "2026-08-02", None),
        ("2026-07-20/P2W", Frequency.ad_hoc, "2026-07-20", "2026-08-02", None),
        ("2026-07-20/P1D", Frequency.ad_hoc, "2026-07-20", "2026-07-20", None),
        ("2026-01-15/P3M", Frequency.ad_hoc, "2026-01-15", "2026-04-14", None),
        ("2026-01-31/P1M", Frequency.ad_hoc, "2026-01-31", "2026-02-27", None),
        ("2024-02-29/P1Y", Frequency.ad_hoc, "2024-02-29", "2025-02-27", None),
        ("2099-01-01/P1Y", Frequency.ad_hoc, "2099-01-01", "2099-12-31", None),
    ],
)
def test_a_code_names_its_days_and_deadline_by_the_decree(
    code: str, frequency: Frequency, start: str, end: str, deadline: str | None
) -> None:
    expected = Period(code, frequency, day(start), day(end), None if deadline is None else day(deadline))
    assert parse_period(code) == expected


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
    ("code", "start", "end", "deadline"),
    [
        ("2026", "2026-01-01", "2026-12-31", "2027-01-05"),
        ("2026-Q1", "2026-01-01", "2026-03-31", "2026-04-05"),
        ("2026-02", "2026-02-01", "2026-02-28", "2026-03-05"),
        ("2024-02", "2024-02-01", "2024-02-29", "2024-03-05"),
        ("2026-12", "2026-12-01", "2026-12-31", "2027-01-05"),
        ("2026-9M", "2026-01-01", "2026-09-30", "2026-10-05"),
    ],
)
def test_a_calendar_rule_cuts_at_the_ends_of_months(code: str, start: str, end: str, deadline: str) -> None:
    period = parse_period(code, CALENDAR)
    assert (period.start, period.end, period.deadline) == (day(start), day(end), day(deadline))


def test_a_rule_does_not_move_weeks_and_ad_hoc_periods() -> None:
    for code in ("2026-W30", "2026-07-20/P14D"):
        assert parse_period(code, CALENDAR) == parse_period(code)


def test_a_rule_may_leave_the_deadline_open() -> None:
    assert parse_period("2026-Q1", PeriodRule(cutoff_day=14, deadline_day=None)).deadline is None


@pytest.mark.parametrize(
    ("cutoff", "deadline", "after"),
    [(0, 25, 0), (32, 25, 0), (14, 0, 0), (14, 32, 0), (14, 25, -1), (14, 25, 13)],
)
def test_a_rule_has_days_of_a_month(cutoff: int, deadline: int, after: int) -> None:
    with pytest.raises(ValueError, match="1 to 31"):
        PeriodRule(cutoff, deadline, after)


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
        parts = expand(f"{year}-{first}..{year}-{last}", rule=rule)
        assert (parts[0].start, parts[-1].end) == (whole.start, whole.end)
        assert parts[-1].deadline == whole.deadline
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
    ("received", "late"),
    [
        ("2026-03-01T00:00:00", False),
        ("2026-03-25T23:59:59.999999", False),
        ("2026-03-26T00:00:00", False),
        ("2026-03-26T00:00:00.000001", True),
        ("2026-04-01T00:00:00", True),
    ],
)
def test_late_is_after_midnight_of_the_deadline_in_vietnam(received: str, late: bool) -> None:
    assert is_late(in_vietnam(received), parse_period("2026-Q1")) is late


def test_lateness_does_not_depend_on_the_zone_of_the_clock() -> None:
    quarter = parse_period("2026-Q1")
    assert not is_late(datetime(2026, 3, 25, 17, 0, tzinfo=UTC), quarter)
    assert is_late(datetime(2026, 3, 25, 17, 0, 1, tzinfo=UTC), quarter)
    assert not is_late(datetime(2026, 3, 25, 7, 0, tzinfo=timezone(timedelta(hours=-10))), quarter)


def test_nothing_is_late_without_a_deadline() -> None:
    assert not is_late(in_vietnam("2099-01-01T00:00:00"), parse_period("2026-W30"))


def test_a_time_of_receipt_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        is_late(datetime(2026, 3, 25), parse_period("2026-Q1"))  # noqa: DTZ001  the naive time is the case


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


def test_an_expression_is_cut_by_the_given_rule() -> None:
    assert expand("2026-01..2026-02", rule=CALENDAR)[1].start == day("2026-02-01")
    assert expand("2026-02") == expand("2026-02", rule=DECREE_09_2019) == [parse_period("2026-02")]


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
