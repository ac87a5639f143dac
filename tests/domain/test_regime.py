"""Regimes: what their documents may say, which periods they report, when each level reports, and who."""

import json
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from factories import agencies, an_agency
from gateway.catalog import DocumentKind, bundled_documents
from gateway.domain.agency import Level
from gateway.domain.calendar import Calendar, CalendarYear
from gateway.domain.document import faults
from gateway.domain.obligations import Obligations
from gateway.domain.period import Frequency, parse_period, periods_of_year
from gateway.domain.regime import (
    DEFAULT_REOPEN_DAYS,
    Deadline,
    Regime,
    RegimeDocument,
    in_order,
)
from gateway.domain.report import ReportKind

DAY = timedelta(days=1)
CALENDAR = Calendar(
    CalendarYear.model_validate(each.document) for each in bundled_documents() if each.kind is DocumentKind.CALENDAR
)
"""That of the bundled years."""


def day(text: str) -> date:
    return date.fromisoformat(text)


def a_regime(**changes: Any) -> dict[str, Any]:
    """A regime by which everybody reports a form every quarter, all else by Decree 09/2019."""
    return {
        "code": "TEST_R",
        "legal_basis": "Chế độ thử",
        "forms": ["TEST_01"],
        "frequency": "quarterly",
        "who": [{}],
        **changes,
    }


def regime(**changes: Any) -> Regime:
    return Regime(RegimeDocument.model_validate(a_regime(**changes)))


def refused(**changes: Any) -> list[tuple[str, str]]:
    """Places and sentences of what is wrong with a regime."""
    with pytest.raises(ValidationError) as refusal:
        RegimeDocument.model_validate(a_regime(**changes))
    return [(place.pointer, place.message.en) for place in faults(refusal.value)]


def due(rule: Mapping[str, object], period: str, **cuts: Any) -> str:
    """The deadline by a rule of a period, as a regime cuts it."""
    return str(Deadline.model_validate(rule).on(parse_period(period, regime(**cuts).rule), CALENDAR))


def test_a_small_regime_is_one_of_decree_09_2019() -> None:
    document = RegimeDocument.model_validate(a_regime())
    assert (document.kind, document.owner, document.receiver) == ("periodic", None, None)
    assert (document.lock_after_days, document.valid_from, document.valid_to) == (None, None, None)
    assert document.who[0].report_kind is ReportKind.own
    quarter = Regime(document).takes("2026-Q1")
    assert quarter == parse_period("2026-Q1")
    assert quarter is not None
    levels = [Level.province, Level.department, Level.commune]
    deadlines = [Regime(document).deadline(quarter, level, CALENDAR) for level in levels]
    assert deadlines == [day("2026-03-25"), day("2026-03-20"), day("2026-03-18")]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"deadlines": None},
        {"deadlines": {"province": {"day": 25}, "default": {"days": 3, "moved": "next"}}},
        {"kind": "thematic", "frequency": "ad_hoc", "deadlines": {"default": {"date": "2026-08-10"}}},
        {"frequency": "weekly", "cutoff": {"weekday": 5}, "deadlines": {"commune": {"working_days": 2}}},
        {"periods": ["Q1", "Y", "2026-07-20/P14D", "W53"], "title": {"vi": "Chế độ", "en": "Regime"}},
        {"who": [{"levels": ["unit"], "under": "H26", "agencies": ["H26.18.01"], "report_kind": "consolidation"}]},
        {"valid_from": "2026-01-01", "valid_to": "2026-01-01", "lock_after_days": 0, "reopen_days": 1},
    ],
)
def test_a_regime_is_read_back_as_it_was_written(changes: dict[str, Any]) -> None:
    document = RegimeDocument.model_validate(a_regime(**changes))
    assert RegimeDocument.model_validate(json.loads(json.dumps(document.model_dump(mode="json")))) == document


ONE_WAY = "exactly one of day, days, working_days and date is given."


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ({}, ONE_WAY),
        ({"moved": "next"}, ONE_WAY),
        ({"day": 25, "days": 3}, ONE_WAY),
        ({"day": 25, "working_days": 3}, ONE_WAY),
        ({"days": 0, "working_days": 1}, ONE_WAY),
        ({"day": None, "days": None}, ONE_WAY),
        ({"days": 3, "months_after": 1}, "months_after goes with day."),
        ({"working_days": 3, "months_after": 1}, "months_after goes with day."),
    ],
)
def test_a_deadline_is_given_in_one_way(rule: dict[str, Any], says: str) -> None:
    assert refused(deadlines={"province": rule}) == [("/deadlines/province", says)]


@pytest.mark.parametrize(
    ("rule", "place"),
    [
        ({"day": 0}, "day"),
        ({"day": 32}, "day"),
        ({"day": "25"}, "day"),
        ({"day": 2.5}, "day"),
        ({"day": True}, "day"),
        ({"day": 25, "months_after": -1}, "months_after"),
        ({"day": 25, "months_after": 13}, "months_after"),
        ({"days": -1}, "days"),
        ({"days": 401}, "days"),
        ({"working_days": 0}, "working_days"),
        ({"working_days": 251}, "working_days"),
        ({"date": "2026-02-30"}, "date"),
        ({"date": "10/08/2026"}, "date"),
        ({"day": 25, "moved": "later"}, "moved"),
        ({"day": 25, "moved": None}, "moved"),
        ({"day": 25, "weekday": 5}, "weekday"),
    ],
)
def test_a_deadline_is_strict(rule: dict[str, Any], place: str) -> None:
    assert [found for found, _ in refused(deadlines={"province": rule})] == [f"/deadlines/province/{place}"]


@pytest.mark.parametrize(
    "name",
    [
        "",
        "q1",
        "Q0",
        "Q5",
        "S3",
        "13",
        "00",
        "7",
        "W54",
        "9m",
        "y",
        "YY",
        "Q1 ",
        " Q1",
        "Q1\n",
        "Y\n",
        "2026\n",
        "1999",
        "2026-Q5",
        "2026-Y",
        "2026-07-20",
        "2026-07-20/P0D",
        "Quý I",
    ],
    ids=ascii,
)
def test_what_names_no_period_is_refused(name: str) -> None:
    assert [found for found, _ in refused(periods=["Q1", name])] == [""]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("2025-W53", "2025-W53 does not exist: 2025 has 52 weeks"),
        ("2026-02-30/P1D", "2026-02-30 is not a day of the calendar"),
        ("2099-12-31/P2D", "ends after 2099"),
    ],
)
def test_a_period_that_the_calendar_lacks_is_refused(name: str, says: str) -> None:
    found = refused(periods=[name])
    assert [place for place, _ in found] == [""]
    assert says in found[0][1]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"periods": ["Q1", "Q2", "Q1"]}, "a period is named twice."),
        ({"frequency": "ad_hoc"}, "a periodic regime has a frequency, which ad_hoc is not."),
        ({"frequency": "ad_hoc", "periods": ["2026-07-20/P14D"]}, "a periodic regime has a frequency"),
        ({"frequency": "weekly", "deadlines": {"province": {"day": 25}}}, "weeks and ad hoc periods have no month"),
        ({"frequency": "weekly", "deadlines": {"default": {"day": 25}}}, "weeks and ad hoc periods have no month"),
        (
            {"kind": "ad_hoc", "frequency": "ad_hoc", "deadlines": {"unit": {"day": 25}}},
            "weeks and ad hoc periods have no month",
        ),
        ({"deadlines": {"province": {"date": "2026-08-10"}}}, "a periodic regime's deadlines recur"),
        ({"valid_from": "2026-01-02", "valid_to": "2026-01-01"}, "valid_to lies before valid_from."),
    ],
)
def test_a_regime_agrees_with_itself(changes: dict[str, Any], says: str) -> None:
    found = refused(**changes)
    assert [place for place, _ in found] == [""]
    assert says in found[0][1]


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"colour": "red"}, "/colour"),
        ({"cutoff": {"day": 14, "month": 1}}, "/cutoff/month"),
        ({"cutoff": {"day": 0}}, "/cutoff/day"),
        ({"cutoff": {"day": 32}}, "/cutoff/day"),
        ({"cutoff": {"weekday": 0}}, "/cutoff/weekday"),
        ({"cutoff": {"weekday": 8}}, "/cutoff/weekday"),
        ({"who": []}, "/who"),
        ({"who": None}, "/who"),
        ({"who": [{"level": "province"}]}, "/who/0/level"),
        ({"who": [{"levels": []}]}, "/who/0/levels"),
        ({"who": [{"levels": ["province", "village"]}]}, "/who/0/levels/1"),
        ({"who": [{}, {"under": "Hà Nội"}]}, "/who/1/under"),
        ({"who": [{"agencies": []}]}, "/who/0/agencies"),
        ({"who": [{"agencies": ["h26"]}]}, "/who/0/agencies/0"),
        ({"who": [{"report_kind": "total"}]}, "/who/0/report_kind"),
        ({"forms": []}, "/forms"),
        ({"forms": ["test 01"]}, "/forms/0"),
        ({"periods": []}, "/periods"),
        ({"periods": [1]}, "/periods/0"),
        ({"code": "kstt"}, "/code"),
        ({"code": None}, "/code"),
        ({"legal_basis": ""}, "/legal_basis"),
        ({"legal_basis": None}, "/legal_basis"),
        ({"kind": "regular"}, "/kind"),
        ({"frequency": "daily"}, "/frequency"),
        ({"frequency": None}, "/frequency"),
        ({"owner": "VPCP"}, "/owner"),
        ({"receiver": ""}, "/receiver"),
        ({"lock_after_days": -1}, "/lock_after_days"),
        ({"lock_after_days": "10"}, "/lock_after_days"),
        ({"reopen_days": 0}, "/reopen_days"),
        ({"valid_from": "2026-02-30"}, "/valid_from"),
        ({"title": {"vi": "Chế độ"}}, "/title/en"),
        ({"deadlines": [25]}, "/deadlines"),
        ({"deadlines": {"province": 25}}, "/deadlines/province"),
    ],
)
def test_a_regime_is_strict(changes: dict[str, Any], place: str) -> None:
    assert [found for found, _ in refused(**changes)] == [place]


def test_a_deadline_is_of_a_level_or_the_default() -> None:
    places = {found for found, _ in refused(deadlines={"village": {"day": 25}, "province": {"day": 25}})}
    assert places
    assert all(place.startswith("/deadlines/village") for place in places)


def test_every_fault_of_a_regime_is_named_at_once() -> None:
    found = refused(frequency="daily", forms=[], who=[{"levels": ["village"]}], cutoff={"day": 32})
    assert {place for place, _ in found} == {"/frequency", "/forms", "/who/0/levels/0", "/cutoff/day"}


@pytest.mark.parametrize(
    ("rule", "period", "expected"),
    [
        ({"day": 25}, "2026-Q3", "2026-09-25"),
        ({"day": 25}, "2026-01", "2026-01-25"),  # a Sunday
        ({"day": 31}, "2026-02", "2026-02-28"),
        ({"day": 31}, "2026-04", "2026-04-30"),
        ({"day": 5, "months_after": 1}, "2026-12", "2027-01-05"),
        ({"day": 31, "months_after": 2}, "2026", "2027-02-28"),
        ({"day": 15, "months_after": 12}, "2026-9M", "2027-09-15"),
        ({"days": 3}, "2026-Q3", "2026-09-17"),
        ({"days": 20}, "2026-12", "2027-01-03"),
        ({"days": 3}, "2026-W30", "2026-07-29"),
        ({"working_days": 2}, "2026-Q3", "2026-09-16"),
        ({"working_days": 1}, "2026-W30", "2026-07-27"),
        ({"working_days": 3}, "2026-07-20/P14D", "2026-08-05"),
        ({"date": "2026-08-10"}, "2026-07-20/P14D", "2026-08-10"),
    ],
)
def test_a_deadline_is_counted_from_the_last_month_or_the_cut_off(
    rule: dict[str, Any], period: str, expected: str
) -> None:
    assert due(rule, period) == expected


@pytest.mark.parametrize(
    ("n", "period", "expected"),
    [
        (1, "2026-02", "2026-02-23"),  # the cut-off, 14 February, is the first day of Tết
        (2, "2026-02", "2026-02-24"),
        (8, "2025-01", "2025-01-24"),  # the last day before Tết
        (9, "2025-01", "2025-02-03"),
        (29, "2025-03", "2025-04-25"),  # without 7 April, the Hùng Kings' day
        (30, "2025-03", "2025-04-26"),  # a Saturday worked for 2 May
        (31, "2025-03", "2025-04-28"),
        (33, "2025-03", "2025-05-05"),
    ],
)
def test_working_days_are_those_of_the_calendar(n: int, period: str, expected: str) -> None:
    assert due({"working_days": n}, period) == expected


@pytest.mark.parametrize(
    ("week", "expected"),
    [
        ("2026-W01", "2026-01-05"),  # 2 January was exchanged for the Saturday after
        ("2026-W02", "2026-01-10"),
        ("2026-W34", "2026-08-22"),
        ("2026-W35", "2026-09-03"),
        ("2025-W17", "2025-04-26"),
        ("2025-W18", "2025-05-05"),
        ("2026-W07", "2026-02-23"),
        ("2026-W30", "2026-07-27"),
    ],
)
def test_a_week_that_ends_on_friday_is_due_on_the_next_day_worked(week: str, expected: str) -> None:
    weekly = {"frequency": "weekly", "cutoff": {"weekday": 5}}
    assert due({"working_days": 1}, week, **weekly) == expected
    period = regime(**weekly).takes(week)
    assert period is not None
    for level in Level:
        assert str(regime(**weekly).deadline(period, level, CALENDAR)) == expected


@pytest.mark.parametrize(
    ("rule", "period", "no", "following", "previous"),
    [
        ({"day": 25}, "2025-01", "2025-01-25", "2025-02-03", "2025-01-24"),  # the first day of Tết 2025
        ({"day": 30}, "2025-04", "2025-04-30", "2025-05-05", "2025-04-29"),
        ({"day": 25}, "2026-07", "2026-07-25", "2026-07-27", "2026-07-24"),  # a Saturday
        ({"day": 31}, "2026-08", "2026-08-31", "2026-09-03", "2026-08-28"),  # exchanged for Saturday the 22nd
        ({"day": 22}, "2026-08", "2026-08-22", "2026-08-22", "2026-08-22"),  # a Saturday that is worked
        ({"day": 10, "months_after": 1}, "2025-12", "2026-01-10", "2026-01-10", "2026-01-10"),
        ({"day": 1, "months_after": 1}, "2025-12", "2026-01-01", "2026-01-05", "2025-12-31"),
        ({"days": 12}, "2026-W30", "2026-08-07", "2026-08-07", "2026-08-07"),
        ({"days": 13}, "2026-W30", "2026-08-08", "2026-08-10", "2026-08-07"),
    ],
)
def test_a_deadline_leaves_a_day_off_only_where_the_regime_says_so(
    rule: dict[str, Any], period: str, no: str, following: str, previous: str
) -> None:
    assert due(rule, period) == due(rule | {"moved": "no"}, period) == no
    assert due(rule | {"moved": "next"}, period) == following
    assert due(rule | {"moved": "previous"}, period) == previous


@pytest.mark.parametrize(
    ("rule", "period", "expected"),
    [
        ({"day": 18}, "2026-02", "2026-02-23"),  # all days from the cut-off to the 22nd are Tết
        ({"day": 20}, "2026-02", "2026-02-23"),
        ({"day": 23}, "2026-02", "2026-02-23"),
        ({"day": 24}, "2026-02", "2026-02-24"),
        ({"day": 18, "moved": "previous"}, "2026-02", "2026-02-23"),
        ({"day": 1}, "2026-Q3", "2026-09-15"),
        ({"day": 14}, "2026-Q1", "2026-03-16"),  # the cut-off is a Saturday
        ({"days": 0}, "2026-Q3", "2026-09-15"),
        ({"days": 1}, "2026-Q1", "2026-03-16"),
        ({"days": 1, "moved": "previous"}, "2026-Q1", "2026-03-16"),
        ({"date": "2026-07-21"}, "2026-07-20/P14D", "2026-08-03"),
    ],
)
def test_at_least_one_working_day_lies_between_the_cut_off_and_the_deadline(
    rule: dict[str, Any], period: str, expected: str
) -> None:
    assert due(rule, period) == expected


def test_a_deadline_of_the_last_month_waits_for_a_cut_off_at_its_end() -> None:
    cut_at_the_end = {"cutoff": {"day": 31}}
    assert due({"day": 25}, "2026-Q1", **cut_at_the_end) == "2026-04-01"
    assert due({"day": 5, "months_after": 1}, "2026-Q1", **cut_at_the_end) == "2026-04-05"
    assert due({"day": 1, "months_after": 1}, "2026-Q2", **cut_at_the_end) == "2026-07-01"


months = st.builds("{}-{:02}".format, st.integers(2019, 2026), st.integers(1, 12))
deadline_rules = st.one_of(
    st.fixed_dictionaries({"day": st.integers(1, 31), "months_after": st.integers(0, 2)}),
    st.fixed_dictionaries({"days": st.integers(0, 60)}),
    st.fixed_dictionaries({"working_days": st.integers(1, 40)}),
)


@given(deadline_rules, st.sampled_from(["no", "next", "previous"]), months, st.integers(1, 31))
def test_no_deadline_comes_before_the_first_working_day_after_the_cut_off(
    rule: dict[str, Any], moved: str, month: str, cutoff: int
) -> None:
    period = parse_period(month, regime(cutoff={"day": cutoff}).rule)
    deadline = Deadline.model_validate(rule | {"moved": moved}).on(period, CALENDAR)
    between = [period.end + n * DAY for n in range(1, (deadline - period.end).days + 1)]
    assert any(map(CALENDAR.is_working, between))
    assert moved == "no" or CALENDAR.is_working(deadline)


@pytest.mark.parametrize(
    ("period", "expected"),
    [
        ("2026-Q1", ["2026-03-25", "2026-03-25", "2026-03-20", "2026-03-20", "2026-03-18", "2026-03-18"]),
        ("2026", ["2026-12-25", "2026-12-25", "2026-12-20", "2026-12-20", "2026-12-18", "2026-12-18"]),
        ("2026-W30", ["2026-07-27"] * 6),
        ("2026-07-20/P14D", [None] * 6),
    ],
)
def test_a_regime_that_names_no_deadline_has_those_of_the_decree_and_the_defaults_below(
    period: str, expected: list[str | None]
) -> None:
    found = [regime().deadline(parse_period(period), level, CALENDAR) for level in Level]
    assert [level.value for level in Level] == ["ministry", "province", "district", "department", "commune", "unit"]
    assert [each and str(each) for each in found] == expected


def test_a_level_has_its_own_deadline_or_the_default() -> None:
    own = regime(deadlines={"commune": {"day": 17}, "default": {"day": 22}})
    found = {level.value: own.deadline(parse_period("2026-Q1"), level, CALENDAR) for level in Level}
    assert found.pop("commune") == day("2026-03-17")
    assert set(found.values()) == {day("2026-03-22")}


def test_an_ad_hoc_period_is_due_when_its_regime_says() -> None:
    flood = regime(kind="ad_hoc", frequency="ad_hoc", deadlines={"province": {"working_days": 2}})
    period = parse_period("2026-07-20/P14D")
    assert flood.deadline(period, Level.province, CALENDAR) == day("2026-08-04")
    assert flood.deadline(period, Level.commune, CALENDAR) is None


def taken(each: Regime, *codes: str) -> list[str]:
    return [code for code in codes if each.takes(code) is not None]


def listed(each: Regime, year: int) -> list[str]:
    return [period.code for period in each.of_year(year)]


def test_a_regime_reports_every_period_of_its_frequency_and_no_other() -> None:
    quarterly = regime()
    assert listed(quarterly, 2026) == ["2026-Q1", "2026-Q2", "2026-Q3", "2026-Q4"]
    assert taken(quarterly, "2026-Q4", "2026", "2026-S1", "2026-9M", "2026-03", "2026-W10") == ["2026-Q4"]


def test_a_regime_may_name_its_periods_within_a_year() -> None:
    kstt = regime(periods=["Y", "Q1", "Q3", "Q2"])
    assert listed(kstt, 2026) == ["2026-Q1", "2026-Q2", "2026-Q3", "2026"]
    assert taken(kstt, "2026-Q1", "2031-Q2", "2026", "2026-Q4", "2026-S1", "2026-12") == ["2026-Q1", "2031-Q2", "2026"]


def test_a_regime_may_name_whole_periods() -> None:
    census = regime(kind="thematic", frequency="quarterly", periods=["2026-Q2", "2026-07-20/P14D", "2027"])
    assert listed(census, 2025) == []
    assert listed(census, 2026) == ["2026-Q2", "2026-07-20/P14D"]
    assert listed(census, 2027) == ["2027"]
    assert taken(census, "2026-Q2", "2027-Q2", "2027", "2026", "2026-07-20/P14D", "2026-07-20/P2W") == [
        "2026-Q2",
        "2027",
        "2026-07-20/P14D",
    ]


def test_names_and_whole_periods_may_stand_together() -> None:
    mixed = regime(periods=["Q1", "2026-Q2"])
    assert [listed(mixed, year) for year in (2025, 2026)] == [["2025-Q1"], ["2026-Q1", "2026-Q2"]]


def test_a_fifty_third_week_is_reported_in_the_years_that_have_one() -> None:
    last = regime(frequency="weekly", periods=["W52", "W53"])
    assert listed(last, 2025) == ["2025-W52"]
    assert listed(last, 2026) == ["2026-W52", "2026-W53"]
    assert len(listed(regime(frequency="weekly"), 2025)) == 52
    assert len(listed(regime(frequency="weekly"), 2026)) == 53


def test_an_ad_hoc_regime_takes_any_span_but_expects_only_those_it_names() -> None:
    flood = regime(kind="ad_hoc", frequency="ad_hoc")
    named = regime(kind="thematic", frequency="ad_hoc", periods=["2026-07-20/P14D"])
    assert taken(flood, "2026-07-20/P14D", "2026-08-01/P1D", "2026-Q1") == ["2026-07-20/P14D", "2026-08-01/P1D"]
    assert (listed(flood, 2026), flood.is_expected) == ([], False)
    assert (listed(named, 2026), named.is_expected) == (["2026-07-20/P14D"], True)
    assert taken(named, "2026-07-20/P14D", "2026-08-01/P1D") == ["2026-07-20/P14D"]
    assert regime().is_expected


@pytest.mark.parametrize(
    ("cutoff", "period", "start", "end"),
    [
        (None, "2026-Q1", "2025-12-15", "2026-03-14"),
        ({"day": 31}, "2026-Q1", "2026-01-01", "2026-03-31"),
        ({"day": 31}, "2026-02", "2026-02-01", "2026-02-28"),
        ({"day": 20}, "2026", "2025-12-21", "2026-12-20"),
        ({"weekday": 5}, "2026-W30", "2026-07-18", "2026-07-24"),
        ({"weekday": 5}, "2026-Q1", "2025-12-15", "2026-03-14"),
        ({"day": 31}, "2026-W30", "2026-07-20", "2026-07-26"),
    ],
)
def test_a_regime_cuts_its_periods_where_it_says(
    cutoff: dict[str, int] | None, period: str, start: str, end: str
) -> None:
    cut = regime(cutoff=cutoff, periods=[period]).takes(period)
    assert cut is not None
    assert (cut.start, cut.end) == (day(start), day(end))


@pytest.mark.parametrize(
    ("valid_from", "valid_to", "quarters"),
    [
        ("2026-03-14", None, ["2026-Q1", "2026-Q2", "2026-Q3", "2026-Q4"]),
        ("2026-03-15", None, ["2026-Q2", "2026-Q3", "2026-Q4"]),
        (None, "2026-06-14", ["2026-Q1", "2026-Q2"]),
        (None, "2026-06-13", ["2026-Q1"]),
        ("2026-06-14", "2026-06-14", ["2026-Q2"]),
        ("2026-06-15", "2026-09-13", []),
        ("2027-01-01", None, []),
    ],
)
def test_a_regime_reports_the_periods_that_end_while_it_is_in_force(
    valid_from: str | None, valid_to: str | None, quarters: list[str]
) -> None:
    limited = regime(valid_from=valid_from, valid_to=valid_to)
    assert listed(limited, 2026) == quarters
    assert taken(limited, "2026-Q1", "2026-Q2", "2026-Q3", "2026-Q4") == quarters


regimes = st.builds(
    regime,
    frequency=st.sampled_from([each.value for each in Frequency if each is not Frequency.ad_hoc]),
    periods=st.none()
    | st.lists(
        st.sampled_from(["Y", "S1", "Q1", "Q4", "9M", "02", "12", "W01", "W53", "2026", "2026-Q2", "2026-12-20/P1M"]),
        min_size=1,
        unique=True,
    ),
    cutoff=st.none() | st.fixed_dictionaries({"day": st.integers(1, 31), "weekday": st.integers(1, 7)}),
    valid_from=st.none() | st.dates(day("2024-01-01"), day("2028-12-31")).map(str),
)


@given(regimes, st.integers(2024, 2028))
def test_the_periods_of_a_year_are_those_that_a_regime_takes(each: Regime, year: int) -> None:
    found = each.of_year(year)
    assert [each.takes(period.code) for period in found] == found
    assert [period.end for period in found] == sorted(period.end for period in found)
    others = {period.code for frequency in Frequency for period in periods_of_year(frequency, year)}
    assert taken(each, *sorted(others - set(listed(each, year)))) == []


@pytest.mark.parametrize(
    ("lock_after_days", "reopen_days", "expected"),
    [(None, None, DEFAULT_REOPEN_DAYS), (30, None, 30), (None, 5, 5), (30, 5, 5), (0, 3, 3)],
)
def test_a_return_reopens_for_the_days_of_the_regime(
    lock_after_days: int | None, reopen_days: int | None, expected: int
) -> None:
    assert regime(lock_after_days=lock_after_days, reopen_days=reopen_days).reopen_days == expected


def a_country() -> list[dict[str, Any]]:
    return [
        an_agency(code="H26", level="province", parent=None, valid_from=None),
        an_agency(code="H26.18", level="department", parent="H26", valid_from=None),
    ]


def versions(*regimes: Regime) -> Obligations:
    """What follows from versions of one regime, given in any order."""
    return Obligations(in_order({"TEST_R": regimes}), agencies(*a_country()), CALENDAR)


def test_versions_of_a_regime_stand_in_order_of_time() -> None:
    newest, first, middle = regime(valid_from="2027-01-01"), regime(), regime(valid_from="2026-01-01")
    assert in_order({"TEST_R": [newest, first, middle]}) == {"TEST_R": [first, middle, newest]}


def test_a_later_version_replaces_the_earlier_from_the_first_period_it_sees_the_end_of() -> None:
    first = regime(deadlines={"default": {"day": 25}})
    second = regime(valid_from="2026-06-14", deadlines={"default": {"day": 20}}, lock_after_days=5)
    both = versions(second, first)
    found = [both.of("TEST_01", "H26", ReportKind.own, f"2026-Q{n}") for n in (1, 2, 3)]
    assert [each and each.regime for each in found] == [first, second, second]
    assert [each and str(each.deadline) for each in found] == ["2026-03-25", "2026-06-20", "2026-09-20"]
    assert both.in_force("TEST_R", day("2026-06-13")) is first
    assert both.in_force("TEST_R", day("2026-06-14")) is second


def test_where_two_versions_see_the_end_of_a_period_the_later_one_holds() -> None:
    """The quarter ends on 14 March by the first and on 31 March by the second, in force since the 15th."""
    first = regime()
    second = regime(valid_from="2026-03-15", cutoff={"day": 31}, deadlines={"default": {"day": 5, "months_after": 1}})
    both = versions(first, second)
    found = [both.of("TEST_01", "H26", ReportKind.own, code) for code in ("2025-Q4", "2026-Q1")]
    assert [each and (each.regime, str(each.deadline)) for each in found] == [
        (first, "2025-12-25"),
        (second, "2026-04-05"),
    ]
    assert [each.regime for each in both.owed("TEST_01", "2026-Q1")] == [second, second]
    assert both.rule("TEST_01", "2026-Q1") == second.rule


def test_what_a_later_version_leaves_out_is_not_owed_any_more() -> None:
    all_quarters = regime()
    without_the_fourth = regime(valid_from="2026-01-01", periods=["Q1", "Q2", "Q3", "Y"])
    of_provinces = regime(valid_from="2027-01-01", who=[{"levels": ["province"]}])
    all_three = versions(all_quarters, without_the_fourth, of_provinces)
    for code, owing in [
        ("2025-Q4", ["H26", "H26.18"]),
        ("2025", []),
        ("2026-Q1", ["H26", "H26.18"]),
        ("2026-Q4", []),
        ("2026", ["H26", "H26.18"]),
        ("2027-Q1", ["H26"]),
        ("2027-Q4", ["H26"]),
        ("2027", []),
    ]:
        assert [each.agency for each in all_three.owed("TEST_01", code)] == owing, code


def test_a_later_version_may_end_the_regime() -> None:
    ended = versions(regime(), regime(valid_from="2026-01-01", valid_to="2026-06-30"))
    found = {code: len(ended.owed("TEST_01", code)) for code in ("2025-Q4", "2026-Q1", "2026-Q2", "2026-Q3", "2030-Q1")}
    assert found == {"2025-Q4": 2, "2026-Q1": 2, "2026-Q2": 2, "2026-Q3": 0, "2030-Q1": 0}
    assert ended.in_force("TEST_R", day("2026-07-01")) is None
    assert ended.in_force("OTHER", day("2026-07-01")) is None


def test_an_earlier_version_does_not_come_back_when_the_later_one_has_ended() -> None:
    ended = versions(regime(valid_to="2030-12-31"), regime(valid_from="2026-01-01", valid_to="2026-06-30"))
    assert ended.owed("TEST_01", "2026-Q3") == []
    assert ended.in_force("TEST_R", day("2026-07-01")) is None
