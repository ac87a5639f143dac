"""Obligations: who owes which report, by when, where it stands, and what extensions and returns change."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from functools import cache
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from factories import agencies, an_agency
from gateway.catalog import DocumentKind, bundled_documents
from gateway.domain.agency import Agencies, Level
from gateway.domain.calendar import Calendar, CalendarYear
from gateway.domain.obligation import Extension, Obligation, Standing, State, is_late
from gateway.domain.obligations import Obligations
from gateway.domain.period import VIETNAM, Period, parse_period
from gateway.domain.regime import Regime, RegimeDocument, in_order
from gateway.domain.report import Nil, ReportKind, Status
from gateway.flow.load import catalogue_of

OWN, CONSOLIDATION = ReportKind.own, ReportKind.consolidation
DAY = timedelta(days=1)
CALENDAR = Calendar(
    CalendarYear.model_validate(each.document) for each in bundled_documents() if each.kind is DocumentKind.CALENDAR
)
"""That of the bundled years."""


def day(text: str) -> date:
    return date.fromisoformat(text)


def the(code: str, level: str, **changes: object) -> dict[str, Any]:
    """An agency that has always been there, under the one whose code it extends."""
    parent = code.rpartition(".")[0] or None
    return an_agency(**{"code": code, "level": level, "parent": parent, "valid_from": None, **changes})


COUNTRY = [
    the("G10", "ministry"),
    the("H26", "province"),
    the("H26.18", "department"),
    the("H26.18.01", "unit"),
    the("H26.19", "department"),
    the("H26.00004", "commune"),
    the("H29", "province"),
    the("H29.18", "department"),
]


def a_regime(**changes: Any) -> dict[str, Any]:
    """A regime by which everybody reports a form every month, due on the 25th, for good ten days later."""
    return {
        "code": "TEST_R",
        "legal_basis": "Chế độ thử",
        "forms": ["TEST_01"],
        "frequency": "monthly",
        "who": [{}],
        "deadlines": {"default": {"day": 25}},
        "lock_after_days": 10,
        **changes,
    }


def obligations(
    *regimes: dict[str, Any],
    among: Sequence[dict[str, Any]] = COUNTRY,
    extensions: Sequence[dict[str, Any]] = (),
) -> Obligations:
    """What follows from regimes, by default from one."""
    versions: dict[str, list[Regime]] = {}
    for each in regimes or [a_regime()]:
        versions.setdefault(each["code"], []).append(Regime(RegimeDocument.model_validate(each)))
    granted = [Extension.model_validate(each) for each in extensions]
    return Obligations(in_order(versions), agencies(*among), CALENDAR, granted)


def owing(found: Obligations, period: str, form: str = "TEST_01") -> list[str]:
    """Who owes a form, those who owe a consolidation with a plus."""
    return [each.agency + ("+" if each.kind is CONSOLIDATION else "") for each in found.owed(form, period)]


def who(*duties: dict[str, Any], period: str = "2026-10", among: Sequence[dict[str, Any]] = COUNTRY) -> list[str]:
    """Who owes a report by the duties of one regime."""
    return owing(obligations(a_regime(who=[*duties]), among=among), period)


def the_one(found: Obligations, agency: str = "H26.18", period: str = "2026-10") -> Obligation:
    obligation = found.of("TEST_01", agency, OWN, period)
    assert obligation is not None
    return obligation


def test_a_duty_that_narrows_nothing_binds_everybody() -> None:
    assert who({}) == ["G10", "H26", "H26.00004", "H26.18", "H26.18.01", "H26.19", "H29", "H29.18"]


@pytest.mark.parametrize(
    ("duty", "expected"),
    [
        ({"levels": ["province"]}, ["H26", "H29"]),
        ({"levels": ["ministry", "unit"]}, ["G10", "H26.18.01"]),
        ({"levels": ["district"]}, []),
        ({"under": "H26.18"}, ["H26.18", "H26.18.01"]),
        ({"under": "H29"}, ["H29", "H29.18"]),
        ({"agencies": ["H29.18", "G10"]}, ["G10", "H29.18"]),
        ({"agencies": ["H99"]}, []),
        ({"under": "H99"}, []),
        ({"levels": ["department"], "under": "H26"}, ["H26.18", "H26.19"]),
        ({"agencies": ["H26.18", "H29.18"], "under": "H26"}, ["H26.18"]),
        ({"agencies": ["H26.18", "H26"], "levels": ["province"]}, ["H26"]),
        ({"agencies": ["H26.18"], "levels": ["department"], "under": "H29"}, []),
    ],
)
def test_a_duty_binds_the_levels_subtree_and_list_that_it_names(duty: dict[str, Any], expected: list[str]) -> None:
    assert who(duty) == expected


def test_several_duties_bind_everybody_that_one_of_them_does_and_nobody_twice() -> None:
    assert who({"levels": ["department"]}, {"under": "H26.18"}, {"agencies": ["H26.18", "G10"]}) == [
        "G10",
        "H26.18",
        "H26.18.01",
        "H26.19",
        "H29.18",
    ]


def test_a_duty_names_the_kind_of_report() -> None:
    found = obligations(
        a_regime(
            who=[
                {"levels": ["department", "commune"], "under": "H26"},
                {"agencies": ["H26"], "report_kind": "consolidation"},
                {"agencies": ["H26.19"], "report_kind": "consolidation"},
            ]
        )
    )
    assert owing(found, "2026-10") == ["H26+", "H26.00004", "H26.18", "H26.19+", "H26.19"]
    kinds = {
        agency: [kind for kind in ReportKind if found.of("TEST_01", agency, kind, "2026-10")]
        for agency in ("H26", "H26.18", "H26.19", "H29")
    }
    assert kinds == {"H26": [CONSOLIDATION], "H26.18": [OWN], "H26.19": [OWN, CONSOLIDATION], "H29": []}


def test_only_the_forms_and_periods_of_a_regime_are_owed() -> None:
    found = obligations(a_regime(forms=["TEST_01", "TEST_02"]))
    assert len(owing(found, "2026-10", "TEST_02")) == len(COUNTRY)
    for form, period in [("TEST_03", "2026-10"), ("TEST_01", "2026-Q3"), ("TEST_01", "2026-07-20/P14D")]:
        assert owing(found, period, form) == []
        assert found.of(form, "H26", OWN, period) is None


def test_an_agency_that_does_not_exist_owes_nothing() -> None:
    assert obligations().of("TEST_01", "H99", OWN, "2026-10") is None


def test_nobody_owes_a_report_of_an_event_that_may_not_happen() -> None:
    """It may be sent, but is not missing."""
    flood = obligations(a_regime(kind="ad_hoc", frequency="ad_hoc", deadlines={"default": {"working_days": 2}}))
    assert owing(flood, "2026-07-20/P14D") == []
    assert the_one(flood, period="2026-07-20/P14D").deadline == day("2026-08-04")


def test_those_named_in_a_thematic_regime_owe_its_report() -> None:
    theme = a_regime(
        kind="thematic",
        frequency="ad_hoc",
        periods=["2026-07-20/P14D"],
        who=[{"agencies": ["H26", "H29"]}],
        deadlines={"default": {"date": "2026-08-10"}},
    )
    assert owing(obligations(theme), "2026-07-20/P14D") == ["H26", "H29"]
    assert owing(obligations(theme), "2026-08-20/P14D") == []


# The second quarter of 2026 ends on 14 June.
@pytest.mark.parametrize(
    ("changes", "owes"),
    [
        ({"valid_from": "2026-06-14"}, True),
        ({"valid_from": "2026-06-15"}, False),
        ({"valid_to": "2026-06-14"}, True),
        ({"valid_to": "2026-06-13"}, False),
        ({"valid_from": "2026-03-15", "valid_to": "2026-06-13"}, False),
        ({"valid_from": "2026-06-14", "valid_to": "2026-06-14"}, True),
    ],
)
def test_an_agency_owes_the_periods_on_whose_last_day_it_is_in_force(changes: dict[str, str], owes: bool) -> None:
    among = [the("H26", "province"), the("H26.18", "department", **changes)]
    found = obligations(a_regime(frequency="quarterly"), among=among)
    assert owing(found, "2026-Q2") == (["H26", "H26.18"] if owes else ["H26"])
    assert (found.of("TEST_01", "H26.18", OWN, "2026-Q2") is not None) is owes


def over_a_year(*among: dict[str, Any], **changes: Any) -> dict[str, list[str]]:
    """Who owes the quarters of 2026 and the year."""
    names = ["Q1", "Q2", "Q3", "Q4", "Y"]
    found = obligations(a_regime(**{"frequency": "quarterly", "periods": names, **changes}), among=among)
    return {name: owing(found, "2026" if name == "Y" else f"2026-{name}") for name in names}


def test_an_agency_created_in_the_middle_of_a_year_owes_what_ends_after_it() -> None:
    found = over_a_year(the("H26", "province"), the("H26.18", "department", valid_from="2026-07-01"))
    assert [name for name, agencies_ in found.items() if "H26.18" in agencies_] == ["Q3", "Q4", "Y"]


def test_an_agency_closed_in_the_middle_of_a_year_owes_what_ended_before_and_no_year() -> None:
    found = over_a_year(the("H26", "province"), the("H26.18", "department", valid_to="2026-06-30"))
    assert [name for name, agencies_ in found.items() if "H26.18" in agencies_] == ["Q1", "Q2"]


def test_merged_agencies_owe_until_the_merger_and_their_successor_after_it() -> None:
    merged = {"valid_to": "2026-06-30", "successor": "H42"}
    found = over_a_year(
        the("H25", "province", **merged),
        the("H40", "province", **merged),
        the("H42", "province", valid_from="2026-07-01"),
    )
    assert found == {"Q1": ["H25", "H40"], "Q2": ["H25", "H40"], "Q3": ["H42"], "Q4": ["H42"], "Y": ["H42"]}


def test_an_agency_that_moves_is_bound_by_whom_it_stands_under_on_the_last_day() -> None:
    moving = [
        the("H26", "province"),
        the("H26.18", "department"),
        the("H26.19", "department"),
        the("H26.18.01", "unit"),
        the("H26.18.01", "unit", parent="H26.19", valid_from="2026-06-14"),
        the("H26.18.02", "unit"),
        the("H26.18.02", "unit", parent="H26.19", valid_from="2026-06-15"),
    ]
    found = over_a_year(*moving, who=[{"levels": ["unit"], "under": "H26.19"}])
    assert found == {
        "Q1": [],
        "Q2": ["H26.18.01"],
        "Q3": ["H26.18.01", "H26.18.02"],
        "Q4": ["H26.18.01", "H26.18.02"],
        "Y": ["H26.18.01", "H26.18.02"],
    }
    assert found == over_a_year(*moving, who=[{"agencies": ["H26.18.01", "H26.18.02"], "under": "H26.19"}])


def test_an_agency_whose_level_changes_is_bound_and_due_by_that_of_the_last_day() -> None:
    town = [
        the("H26", "province"),
        the("H26.18", "district"),
        the("H26.18", "commune", valid_from="2026-07-01"),
    ]
    levels = {"district": {"day": 22}, "commune": {"day": 17}, "default": {"day": 25}}
    by_level = over_a_year(*town, who=[{"levels": ["commune"]}])
    assert by_level == {"Q1": [], "Q2": [], "Q3": ["H26.18"], "Q4": ["H26.18"], "Y": ["H26.18"]}
    found = obligations(a_regime(frequency="quarterly", deadlines=levels), among=town)
    deadlines = [the_one(found, period=f"2026-Q{n}").deadline for n in (1, 2, 3)]
    assert deadlines == [day("2026-03-22"), day("2026-06-22"), day("2026-09-17")]


def test_under_a_closed_agency_stand_those_it_had_left_but_not_itself() -> None:
    closed = [the("H26", "province"), the("H26.18", "department", valid_to="2026-06-30"), the("H26.18.01", "unit")]
    assert who({"under": "H26.18"}, among=closed) == ["H26.18.01"]
    assert who({"under": "H26"}, among=closed) == ["H26"]


@cache
def bundled() -> Obligations:
    return catalogue_of((str(kind), document) for kind, document in bundled_documents()).obligations


def test_the_merger_of_provinces_in_2025_moves_the_obligation_to_the_successor() -> None:
    """Nam Định (H40) and Hà Nam (H25) became part of Ninh Bình (H42) on 1 July 2025."""
    owed = {
        agency: [
            code for code in ("2025-Q1", "2025-Q2", "2025-Q3", "2025") if bundled().of("TTHC_06A", agency, OWN, code)
        ]
        for agency in ("H25", "H40", "H42")
    }
    before_the_merger = ["2025-Q1", "2025-Q2"]
    assert owed == {
        "H25": before_the_merger,
        "H40": before_the_merger,
        "H42": ["2025-Q1", "2025-Q2", "2025-Q3", "2025"],
    }


@pytest.mark.parametrize(
    ("code", "ministries", "provinces", "departments", "communes"),
    [
        ("2024", 32, 63, 0, 0),
        ("2025-Q1", 32, 63, 408, 0),
        ("2025-Q2", 25, 63, 408, 0),
        ("2025-Q3", 25, 34, 408, 3321),
        ("2026", 25, 34, 408, 3321),
    ],
)
def test_the_whole_country_owes_its_report_of_administrative_procedures(
    code: str, ministries: int, provinces: int, departments: int, communes: int
) -> None:
    levels = [level_of(each.agency) for each in bundled().owed("TTHC_06A", code)]
    counted = [levels.count(level) for level in (Level.ministry, Level.province, Level.department, Level.commune)]
    assert counted == [ministries, provinces, departments, communes]
    assert sum(counted) == len(levels)


def level_of(code: str) -> Level:
    """Ministries are of the letter G; a department's number has two digits, a commune's five."""
    letter, own = code[0], code.rpartition(".")[2]
    if "." not in code:
        return Level.ministry if letter == "G" else Level.province
    return Level.department if len(own) == 2 else Level.commune


@pytest.mark.parametrize(("code", "count"), [("2025-01", 63), ("2025-06", 63), ("2025-07", 34), ("2026-12", 34)])
def test_only_provinces_owe_the_monthly_report(code: str, count: int) -> None:
    found = bundled().owed("KTXH_01", code)
    assert len(found) == count
    assert {(level_of(each.agency), each.kind) for each in found} == {(Level.province, OWN)}


LEVELS = [level.value for level in Level]
CODES = ["H26", "H26.1", "H26.2", "H26.1.1", "H29", "H29.1"]
days_of_2026 = st.dates(day("2026-01-01"), day("2026-12-31"))


@st.composite
def some_agencies(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Agencies that come, go, move and change their level within 2026; parents stand before children."""
    found: list[dict[str, Any]] = []
    for place, code in enumerate(CODES):
        starts = draw(st.lists(st.none() | days_of_2026, min_size=1, max_size=2, unique=True))
        for start in starts:
            parent = draw(st.none() | st.sampled_from(CODES[:place])) if place else None
            end = draw(st.none() | days_of_2026)
            end = None if end is None or (start is not None and end < start) else end
            found.append(
                the(
                    code,
                    draw(st.sampled_from(LEVELS)),
                    parent=parent,
                    valid_from=start and str(start),
                    valid_to=end and str(end),
                )
            )
    return found


some_duties = st.fixed_dictionaries(
    {
        "levels": st.none() | st.lists(st.sampled_from(LEVELS), min_size=1, max_size=4),
        "under": st.none() | st.sampled_from(CODES),
        "agencies": st.none() | st.lists(st.sampled_from(CODES), min_size=1, max_size=4),
        "report_kind": st.sampled_from(["own", "consolidation"]),
    }
)


@st.composite
def some_regimes(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Versions of up to three regimes for one form, which may well overlap."""
    found: dict[tuple[str, str | None], dict[str, Any]] = {}
    for _ in range(draw(st.integers(1, 4))):
        code = draw(st.sampled_from(["R1", "R2", "R3"]))
        start = draw(st.none() | days_of_2026.map(str))
        found[code, start] = a_regime(
            code=f"TEST_{code}",
            frequency=draw(st.sampled_from(["monthly", "quarterly"])),
            periods=draw(st.none() | st.just(["Q1", "Q3", "Y", "2026-07"])),
            cutoff={"day": draw(st.sampled_from([14, 31]))},
            who=draw(st.lists(some_duties, min_size=1, max_size=3)),
            valid_from=start,
        )
    return list(found.values())


def in_subtree(code: str, root: str, found: Agencies, on: date) -> bool:
    """Whether an agency in force is another, or stands under it through parents in force."""
    if code == root:
        return True
    version = found.at(code, on)
    return version is not None and version.parent is not None and in_subtree(version.parent, root, found, on)


def version_of(versions: Sequence[Regime], code: str) -> tuple[Regime, Period] | None:
    """The version that has a period: the newest that had begun by the last day it gives it.

    A newer version that does not name the period has dropped it, if that began by then.
    """
    having = [
        (each, period) for each in versions if (period := each.named(code)) is not None and begins(each) <= period.end
    ]
    if not having:
        return None
    version, period = max(having, key=lambda each: begins(each[0]))
    is_dropped = any(begins(version) < begins(each) <= period.end and each.named(code) is None for each in versions)
    return (version, period) if version.document.is_valid_on(period.end) and not is_dropped else None


def begins(version: Regime) -> date:
    return version.document.valid_from or date.min


def expected_kinds(found: Obligations, among: Agencies, agency: str, code: str) -> set[ReportKind]:
    """What an agency owes, read from the documents one by one."""
    kinds: set[ReportKind] = set()
    for regime in found.regimes:
        having = version_of(found.regimes[regime], code)
        if having is None:
            continue
        version, period = having
        at = among.at(agency, period.end)
        if at is None:
            continue
        for duty in version.document.who:
            is_level = duty.levels is None or at.level in duty.levels
            is_listed = duty.agencies is None or agency in duty.agencies
            is_under = duty.under is None or in_subtree(agency, duty.under, among, period.end)
            if is_level and is_listed and is_under:
                kinds.add(duty.report_kind)
    return kinds


@given(
    some_agencies(), some_regimes(), st.sampled_from(["2026-Q1", "2026-Q2", "2026-Q3", "2026", "2026-07", "2026-10"])
)
@example(
    [the("H26", "ministry", parent=None)],
    [
        a_regime(periods=["Q1"], cutoff={"day": 14}),
        a_regime(periods=["Q1"], cutoff={"day": 31}, valid_from="2026-03-15", who=[{"report_kind": "consolidation"}]),
    ],
    "2026-Q1",
)
@example(
    [the("H26", "ministry", parent=None)],
    [
        a_regime(periods=["Q1"], cutoff={"day": 31}),
        a_regime(periods=["Q1"], cutoff={"day": 14}, valid_from="2026-03-15"),
    ],
    "2026-Q1",
)
def test_what_is_owed_by_all_is_what_each_one_owes(
    among: list[dict[str, Any]], regimes: list[dict[str, Any]], code: str
) -> None:
    found = obligations(*regimes, among=among)
    owed = found.owed("TEST_01", code)
    keys = [(each.agency, each.kind) for each in owed]
    assert keys == sorted(set(keys))
    for agency in CODES:
        each_kind = {kind: found.of("TEST_01", agency, kind, code) for kind in ReportKind}
        assert [each for each in owed if each.agency == agency] == [
            each_kind[kind] for kind in sorted(ReportKind) if each_kind[kind]
        ]
        assert {kind for kind in ReportKind if each_kind[kind]} == expected_kinds(found, agencies(*among), agency, code)


# October 2026 ends on the 14th, is due on the 25th and locked from 5 November on.
CALENDAR_DAYS = {
    "2026-10-01": State.upcoming,
    "2026-10-14": State.upcoming,
    "2026-10-15": State.open,
    "2026-10-25": State.open,
    "2026-10-26": State.overdue,
    "2026-11-04": State.overdue,
    "2026-11-05": State.locked,
    "2027-11-05": State.locked,
}


def standing(status: Status = Status.accepted, **changes: Any) -> Standing:
    """The current report of an obligation, received in time."""
    received = datetime(2026, 10, 20, 3, tzinfo=UTC)
    return replace(Standing(UUID(int=1), 1, status, None, False, received, None), **changes)


def returned(text: str) -> Standing:
    return standing(Status.returned, returned_on=day(text))


@pytest.mark.parametrize(("today", "state"), CALENDAR_DAYS.items())
def test_a_report_that_has_not_come_is_upcoming_open_overdue_and_locked(today: str, state: State) -> None:
    assert the_one(obligations()).state(None, day(today)) is state


@pytest.mark.parametrize("today", CALENDAR_DAYS)
@pytest.mark.parametrize(
    ("accepted", "state"),
    [
        (standing(), State.fulfilled),
        (standing(late=True), State.late),
        (standing(late=None), State.fulfilled),
        (standing(nil=Nil.nothing_to_report), State.fulfilled),
        (standing(nil=Nil.nothing_to_report, late=True), State.late),
        (standing(nil=Nil.not_applicable), State.excused),
        (standing(nil=Nil.not_applicable, late=True), State.excused),
        (standing(revision=7), State.fulfilled),
    ],
)
def test_an_accepted_report_settles_its_obligation_whatever_the_day(
    accepted: Standing, state: State, today: str
) -> None:
    assert the_one(obligations()).state(accepted, day(today)) is state


def states_of(obligation: Obligation, found: Standing | None, *days: str) -> list[str]:
    """Where an obligation stands on days; locked is where nothing is taken, and nowhere else."""
    on = found.returned_on if found else None
    states = [obligation.state(found, day(each)) for each in days]
    assert [obligation.still_taken_on(day(each), on) for each in days] == [
        state is not State.locked for state in states
    ]
    return [state.value for state in states]


def test_a_return_in_time_leaves_the_deadline_and_opens_the_period_for_its_own_days() -> None:
    back = returned("2026-10-20")
    days = ("2026-10-20", "2026-10-30", "2026-10-31", "2026-11-04", "2026-11-05")
    assert states_of(the_one(obligations()), back, *days) == ["open", "open", "overdue", "overdue", "locked"]


def test_a_return_before_the_cut_off_is_open_at_once() -> None:
    back = returned("2026-10-01")
    days = ("2026-10-01", "2026-10-11", "2026-10-12", "2026-10-25", "2026-10-26")
    assert states_of(the_one(obligations()), back, *days) == ["open", "open", "open", "open", "overdue"]


@pytest.mark.parametrize(
    ("on", "last_open"),
    [("2026-10-30", "2026-11-09"), ("2026-11-04", "2026-11-14"), ("2026-11-20", "2026-11-30")],
)
def test_a_return_opens_a_locked_period_for_the_days_of_the_regime(on: str, last_open: str) -> None:
    after = str(day(last_open) + DAY)
    assert states_of(the_one(obligations()), returned(on), on, last_open, after) == ["open", "open", "locked"]


def test_the_regime_may_give_returns_days_of_their_own() -> None:
    short = the_one(obligations(a_regime(reopen_days=3)))
    assert states_of(short, returned("2026-11-20"), "2026-11-23", "2026-11-24") == ["open", "locked"]
    without_lock = the_one(obligations(a_regime(lock_after_days=None, reopen_days=3)))
    assert states_of(without_lock, returned("2026-11-20"), "2026-11-23", "2026-11-24") == ["open", "overdue"]


def test_without_a_lock_a_return_opens_for_ten_days_and_nothing_is_ever_locked() -> None:
    never = the_one(obligations(a_regime(lock_after_days=None)))
    assert states_of(never, None, "2026-10-25", "2026-10-26", "2099-01-01") == ["open", "overdue", "overdue"]
    assert states_of(never, returned("2026-11-20"), "2026-11-30", "2026-12-01", "2099-01-01") == [
        "open",
        "overdue",
        "overdue",
    ]


def test_without_a_deadline_a_report_is_open_for_good_and_never_late() -> None:
    flood = obligations(a_regime(kind="ad_hoc", frequency="ad_hoc", deadlines={}))
    one = the_one(flood, period="2026-07-20/P14D")
    assert (one.deadline, one.due, one.taken_until) == (None, None, None)
    days = ("2026-08-02", "2026-08-03", "2099-01-01")
    assert states_of(one, None, *days) == ["upcoming", "open", "open"]
    assert states_of(one, returned("2026-09-01"), *days) == ["open", "open", "open"]
    assert not is_late(datetime(2099, 1, 1, tzinfo=UTC), one.deadline)


def test_a_period_may_lock_with_its_deadline() -> None:
    at_once = the_one(obligations(a_regime(lock_after_days=0)))
    assert states_of(at_once, None, "2026-10-25", "2026-10-26") == ["open", "locked"]


def an_extension(**changes: object) -> dict[str, Any]:
    """More time for October 2026, granted five days before it was due."""
    return {
        "id": "0190a3c0-0000-7000-8000-000000000001",
        "form": "TEST_01",
        "period": "2026-10",
        "agency": "H26.18",
        "until": "2026-10-31",
        "reason": "Bão số 10",
        "granted_on": "2026-10-20",
        **changes,
    }


def extended(*changes: dict[str, object], **regime: Any) -> Obligation:
    granted = [an_extension(id=str(UUID(int=n)), **each) for n, each in enumerate(changes, start=1)]
    return the_one(obligations(a_regime(**regime), extensions=granted))


def days_of(obligation: Obligation) -> tuple[str | None, str | None, str | None]:
    """Deadline, due and the last day taken."""
    found = [obligation.deadline, obligation.due, obligation.taken_until]
    deadline, due, taken_until = [None if each is None else str(each) for each in found]
    return deadline, due, taken_until


@pytest.mark.parametrize("granted_on", ["2026-09-01", "2026-10-20", "2026-10-25"])
def test_an_extension_granted_up_to_the_deadline_moves_it_and_the_lock(granted_on: str) -> None:
    moved = extended({"granted_on": granted_on})
    assert days_of(moved) == ("2026-10-31", "2026-10-31", "2026-11-10")
    days = ("2026-10-26", "2026-10-31", "2026-11-01", "2026-11-10", "2026-11-11")
    assert states_of(moved, None, *days) == ["open", "open", "overdue", "overdue", "locked"]
    assert not is_late(datetime(2026, 10, 31, 16, 59, tzinfo=UTC), moved.deadline)
    assert is_late(datetime(2026, 10, 31, 17, 1, tzinfo=UTC), moved.deadline)


def test_an_extension_granted_after_the_deadline_only_reopens() -> None:
    reopened = extended({"granted_on": "2026-10-26", "until": "2026-11-20"})
    assert days_of(reopened) == ("2026-10-25", "2026-11-20", "2026-11-20")
    assert states_of(reopened, None, "2026-10-26", "2026-11-20", "2026-11-21") == ["open", "open", "locked"]
    assert is_late(datetime(2026, 10, 27, tzinfo=UTC), reopened.deadline)


def test_an_extension_granted_after_the_lock_opens_the_period_again() -> None:
    reopened = extended({"granted_on": "2026-12-01", "until": "2026-12-05"})
    assert states_of(reopened, None, "2026-12-01", "2026-12-05", "2026-12-06") == ["open", "open", "locked"]
    assert is_late(datetime(2026, 12, 2, tzinfo=UTC), reopened.deadline)


def test_an_extension_never_takes_time_away() -> None:
    assert days_of(extended({"until": "2026-10-22"})) == ("2026-10-25", "2026-10-25", "2026-11-04")
    assert days_of(extended({"until": "2026-10-25"})) == ("2026-10-25", "2026-10-25", "2026-11-04")
    until_before_the_lock = extended({"granted_on": "2026-10-26", "until": "2026-10-28"})
    assert days_of(until_before_the_lock) == ("2026-10-25", "2026-10-28", "2026-11-04")


def test_extensions_build_on_each_other_in_the_order_they_were_granted() -> None:
    chained = extended(
        {"granted_on": "2026-10-30", "until": "2026-11-15"},  # in time only because of the next
        {"granted_on": "2026-10-20", "until": "2026-10-31"},
    )
    assert days_of(chained) == ("2026-11-15", "2026-11-15", "2026-11-25")
    too_late = extended(
        {"granted_on": "2026-11-01", "until": "2026-11-15"},
        {"granted_on": "2026-10-20", "until": "2026-10-31"},
    )
    assert days_of(too_late) == ("2026-10-31", "2026-11-15", "2026-11-15")


def test_an_extension_of_a_regime_that_never_locks_moves_what_is_due() -> None:
    assert days_of(extended({}, lock_after_days=None)) == ("2026-10-31", "2026-10-31", None)
    later = extended({"granted_on": "2026-11-01", "until": "2026-11-15"}, lock_after_days=None)
    assert days_of(later) == ("2026-10-25", "2026-11-15", None)
    assert states_of(later, None, "2026-11-15", "2026-11-16") == ["open", "overdue"]


def test_what_has_no_deadline_is_not_extended() -> None:
    flood = a_regime(kind="ad_hoc", frequency="ad_hoc", deadlines={})
    found = obligations(flood, extensions=[an_extension(period="2026-07-20/P14D")])
    assert days_of(the_one(found, period="2026-07-20/P14D")) == (None, None, None)


@pytest.mark.parametrize(
    ("whose", "moved"),
    [
        ("agency", ["H26"]),
        ("subtree", ["H26", "H26.00004", "H26.18", "H26.18.01", "H26.19"]),
        ("below", ["H26.00004", "H26.18", "H26.18.01", "H26.19"]),
    ],
)
def test_an_extension_is_for_an_agency_its_subtree_or_those_below(whose: str, moved: list[str]) -> None:
    found = obligations(extensions=[an_extension(agency="H26", whose=whose)])
    assert [each.agency for each in found.owed("TEST_01", "2026-10") if each.deadline == day("2026-10-31")] == moved


def test_an_extension_follows_the_tree_of_the_periods_last_day() -> None:
    moving = [
        the("H26", "province"),
        the("H29", "province"),
        the("H26.18", "department"),
        the("H26.18", "department", parent="H29", valid_from="2026-10-14"),
    ]
    extension = an_extension(agency="H29", whose="below")
    found = obligations(among=moving, extensions=[extension, extension | {"period": "2026-09"}])
    assert the_one(found, period="2026-09").deadline == day("2026-09-25")
    assert the_one(found, period="2026-10").deadline == day("2026-10-31")


@pytest.mark.parametrize(
    "other", [{"form": "TEST_02"}, {"period": "2026-09"}, {"period": "2026"}, {"agency": "H26.19"}, {"agency": "H26"}]
)
def test_an_extension_is_for_one_form_period_and_agency(other: dict[str, object]) -> None:
    assert days_of(extended(other)) == ("2026-10-25", "2026-10-25", "2026-11-04")


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "1"},
        {"form": "test"},
        {"period": "2026-Q5"},
        {"agency": "h26"},
        {"whose": "everybody"},
        {"whose": None},
        {"until": "soon"},
        {"until": None},
        {"reason": ""},
        {"granted_on": None},
        {"forms": ["TEST_01"]},
    ],
)
def test_an_extension_is_strict(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Extension.model_validate(an_extension(**changes))


DEADLINE = day("2026-03-25")


def in_vietnam(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=VIETNAM)


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
def test_late_is_after_24_00_of_the_deadline_in_vietnam(received: str, late: bool) -> None:
    assert is_late(in_vietnam(received), DEADLINE) is late


def test_lateness_does_not_depend_on_the_zone_of_the_clock() -> None:
    assert not is_late(datetime(2026, 3, 25, 17, 0, tzinfo=UTC), DEADLINE)
    assert is_late(datetime(2026, 3, 25, 17, 0, 1, tzinfo=UTC), DEADLINE)
    assert not is_late(datetime(2026, 3, 25, 7, 0, tzinfo=timezone(timedelta(hours=-10))), DEADLINE)


def test_nothing_is_late_without_a_deadline() -> None:
    assert not is_late(in_vietnam("2099-01-01T00:00:00"), None)


def test_a_time_of_receipt_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        is_late(datetime(2026, 3, 25), DEADLINE)  # noqa: DTZ001  the naive time is the case


KSTT = a_regime(frequency="quarterly", periods=["Q1", "Q2", "Q3", "Y"], lock_after_days=None)


def inside(found: Obligations, period: str, agency: str = "H26.18", kind: ReportKind = OWN) -> list[str]:
    return [each.code for each in found.within("TEST_01", agency, kind, parse_period(period))]


def test_within_a_year_lie_the_quarters_that_are_reported() -> None:
    assert inside(obligations(KSTT), "2026") == ["2026-Q1", "2026-Q2", "2026-Q3"]


@pytest.mark.parametrize(
    ("agency", "period", "expected"),
    [
        ("H26", "2025", ["2025-Q1", "2025-Q2", "2025-Q3"]),
        ("H26.18", "2026", ["2026-Q1", "2026-Q2", "2026-Q3"]),
        ("H26.00004", "2025", ["2025-Q3"]),
        ("H40", "2025", ["2025-Q1", "2025-Q2"]),
        ("H40", "2026", []),
        ("H26.18", "2024", []),
        ("H26.18", "2026-Q1", []),
    ],
)
def test_within_a_year_of_the_bundled_regime_lie_the_quarters_that_an_agency_owes(
    agency: str, period: str, expected: list[str]
) -> None:
    assert [each.code for each in bundled().within("TTHC_06A", agency, OWN, parse_period(period))] == expected


def test_within_a_quarter_lies_nothing_that_is_reported() -> None:
    assert inside(obligations(KSTT), "2026-Q1") == []
    assert inside(obligations(KSTT), "2026-07") == []


def test_within_a_period_lie_only_those_of_the_same_agency_and_kind() -> None:
    both = a_regime(
        **{**KSTT, "who": [{"levels": ["department"]}, {"levels": ["province"], "report_kind": "consolidation"}]}
    )
    found = obligations(both)
    assert inside(found, "2026", "H26.18", OWN) == inside(found, "2026", "H26", CONSOLIDATION) != []
    assert inside(found, "2026", "H26", OWN) == inside(found, "2026", "G10") == inside(found, "2026", "H99") == []


def test_within_a_year_an_agency_has_the_quarters_on_whose_last_day_it_was_there() -> None:
    among = [the("H26", "province"), the("H26.18", "department", valid_from="2026-07-01")]
    assert inside(obligations(KSTT, among=among), "2026") == ["2026-Q3"]
    gone = [the("H26", "province"), the("H26.18", "department", valid_to="2026-06-30")]
    assert inside(obligations(KSTT, among=gone), "2026") == ["2026-Q1", "2026-Q2"]


def test_within_a_period_the_frequency_counts_that_covers_most_and_of_those_the_longest() -> None:
    monthly = a_regime(code="MONTHLY")
    assert inside(obligations(KSTT, monthly), "2026") == [f"2026-{month:02}" for month in range(1, 13)]
    quarterly = a_regime(code="QUARTERLY", frequency="quarterly")
    assert inside(obligations(quarterly, monthly), "2026") == ["2026-Q1", "2026-Q2", "2026-Q3", "2026-Q4"]
    assert inside(obligations(quarterly, monthly), "2026-Q2") == ["2026-04", "2026-05", "2026-06"]


def test_within_a_year_come_those_that_end_after_a_new_version_of_the_regime_by_that_version() -> None:
    first, second = KSTT, {**KSTT, "valid_from": "2026-06-01"}
    assert inside(obligations(first, second), "2026") == ["2026-Q1", "2026-Q2", "2026-Q3"]


def test_within_a_year_each_period_stands_once_where_others_report_it_by_another_regime() -> None:
    departments = {**KSTT, "who": [{"levels": ["department"]}]}
    provinces = {**KSTT, "code": "OTHER", "who": [{"levels": ["province"]}]}
    found = obligations(departments, provinces)
    for agency in ("H26", "H26.18"):
        assert inside(found, "2026", agency) == ["2026-Q1", "2026-Q2", "2026-Q3"]


def test_within_a_calendar_year_lie_the_months_of_the_same_cut() -> None:
    calendar_months = a_regime(cutoff={"day": 31})
    found = obligations(calendar_months)
    year = parse_period("2026", Regime(RegimeDocument.model_validate(calendar_months)).rule)
    assert [each.code for each in found.within("TEST_01", "H26", OWN, year)] == [f"2026-{n:02}" for n in range(1, 13)]
    assert len(inside(found, "2026")) == 11  # of the decree's year, the last month ends outside


def counted(*regimes: dict[str, Any]) -> list[str]:
    """Whose reports are added up, those of consolidations with a plus."""
    found = obligations(*regimes)
    added = found.counted("TEST_01", "2026-10")
    assert added == [each for each in found.owed("TEST_01", "2026-10") if found.is_counted(each)]
    return [each.agency + ("+" if each.kind is CONSOLIDATION else "") for each in added]


def duties(*own: str, consolidation: Sequence[str] = ()) -> dict[str, Any]:
    found: list[dict[str, Any]] = [{"agencies": [*own]}] if own else []
    if consolidation:
        found.append({"agencies": [*consolidation], "report_kind": "consolidation"})
    return a_regime(who=found)


def test_own_figures_are_added_up_at_every_level() -> None:
    assert counted(duties("H26", "H26.18", "H29")) == ["H26", "H26.18", "H29"]


def test_a_consolidation_whose_parts_are_owed_too_is_not_added_to_them() -> None:
    assert counted(duties("H26.18", "H26.19", consolidation=["H26", "H29"])) == ["H26.18", "H26.19", "H29+"]
    assert counted(duties("H26", consolidation=["H26"])) == ["H26"]
    assert counted(duties("H26.18.01", consolidation=["H26"])) == ["H26.18.01"]


def test_a_consolidation_stands_for_those_below_who_owe_nothing_here() -> None:
    assert counted(duties("H26", consolidation=["H26.18", "H29"])) == ["H26", "H26.18+", "H29+"]


def test_of_consolidations_above_each_other_only_the_lowest_are_added() -> None:
    assert counted(duties(consolidation=["H26", "H26.18", "H29"])) == ["H26.18+", "H29+"]


def test_a_form_in_no_regime_has_the_decrees_days_and_may_come_from_anybody() -> None:
    found = obligations()
    quarter, week = parse_period("2026-Q1"), parse_period("2026-W30")
    assert not found.is_regulated("FREE_01", quarter)
    assert found.unregulated_deadline("2026-Q1") == day("2026-03-25")
    assert found.unregulated_deadline("2026-W30") == week.end + DAY
    assert found.unregulated_deadline("2026-07-20/P14D") is None
    assert found.rule("FREE_01", "2026-Q1").end(2026, 3) == quarter.end


def test_a_form_in_a_regime_is_regulated_while_that_is_in_force_for_all_its_periods() -> None:
    found = obligations(a_regime(valid_from="2026-03-14", valid_to="2026-09-13", who=[{"agencies": ["G10"]}]))
    regulated = {code: found.is_regulated("TEST_01", parse_period(code)) for code in ("2026-02", "2026-Q1", "2026-Q3")}
    assert regulated == {"2026-02": False, "2026-Q1": True, "2026-Q3": False}


def test_a_later_version_may_free_a_form() -> None:
    found = obligations(a_regime(), a_regime(valid_from="2026-01-01", forms=["TEST_02"]))
    period = parse_period("2026-10")
    assert not found.is_regulated("TEST_01", period)
    assert found.is_regulated("TEST_02", period)
    assert found.owed("TEST_01", "2026-10") == []


def test_a_form_is_cut_by_the_regime_that_reports_the_period() -> None:
    monthly = a_regime(code="MONTHLY", cutoff={"day": 31})
    found = obligations(KSTT, monthly)
    assert found.rule("TEST_01", "2026-Q1").cutoff_day == 14
    assert found.rule("TEST_01", "2026-02").cutoff_day == 31
    assert found.rule("TEST_01", "2026-Q4").cutoff_day == 14
    assert the_one(found, period="2026-02").period.end == day("2026-02-28")


def test_each_level_that_is_bound_has_its_days() -> None:
    found = obligations(a_regime(who=[{"under": "H26"}], deadlines={"province": {"day": 25}}))
    (version,) = found.regimes["TEST_R"]
    assert found.days(the_one(found).period, version) == {
        Level.province: (day("2026-10-25"), day("2026-11-04")),
        Level.department: (day("2026-10-20"), day("2026-10-30")),
        Level.commune: (day("2026-10-18"), day("2026-10-28")),
        Level.unit: (day("2026-10-18"), day("2026-10-28")),
    }


def test_without_a_regime_all_levels_have_the_days_of_the_decree_and_the_defaults() -> None:
    found = obligations().days(parse_period("2026-Q1"), None)
    assert {level.value: str(deadline) for level, (deadline, _) in found.items()} == {
        "ministry": "2026-03-25",
        "province": "2026-03-25",
        "district": "2026-03-20",
        "department": "2026-03-20",
        "commune": "2026-03-18",
        "unit": "2026-03-18",
    }
    assert {locks for _, locks in found.values()} == {None}


def touched(found: Obligations, since: str, until: str) -> Iterator[tuple[str, str]]:
    return ((period.code, form) for period, form in found.periods(day(since), day(until)))


def test_the_periods_that_touch_some_days_are_named_by_form_in_order_of_time() -> None:
    found = obligations(KSTT, a_regime(code="MONTHLY", forms=["TEST_02", "TEST_03"]))
    assert [*touched(found, "2026-12-14", "2026-12-15")] == [
        ("2026", "TEST_01"),
        ("2026-12", "TEST_02"),
        ("2026-12", "TEST_03"),
        ("2027-01", "TEST_02"),
        ("2027-01", "TEST_03"),
        ("2027-Q1", "TEST_01"),
        ("2027", "TEST_01"),
    ]


def test_the_periods_of_a_replaced_version_are_those_of_its_successor() -> None:
    decree, by_calendar = a_regime(), a_regime(valid_from="2026-07-01", cutoff={"day": 31})
    found = obligations(decree, by_calendar).periods(day("2026-08-20"), day("2026-08-20"))
    assert [(period.code, period.start, period.end) for period, _ in found] == [
        ("2026-08", day("2026-08-01"), day("2026-08-31"))
    ]
    ended = obligations(decree, a_regime(valid_from="2026-07-01", periods=["12"]))
    assert [*touched(ended, "2026-08-20", "2026-08-20")] == []


def test_a_period_that_ended_before_a_version_cuts_it_earlier_stays_whole_with_the_version_before() -> None:
    by_calendar = a_regime(cutoff={"day": 31}, frequency="quarterly")
    found = obligations(by_calendar, {**by_calendar, "valid_from": "2026-03-20", "cutoff": {"day": 14}})
    first, second = found.owed("TEST_01", "2026-Q1"), found.owed("TEST_01", "2026-Q2")
    assert {each.period.end for each in first} == {day("2026-03-31")}
    assert {each.period.end for each in second} == {day("2026-06-14")}
    assert [period.code for period, _ in found.periods_of("TEST_R", 2026)] == [
        "2026-Q1",
        "2026-Q2",
        "2026-Q3",
        "2026-Q4",
    ]
