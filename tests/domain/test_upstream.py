"""What a connector takes of reports and is reminded of, day by day."""

from datetime import UTC, date, datetime, timedelta

import pytest

from gateway.domain.agency import Hierarchy
from gateway.domain.delivery import Event
from gateway.domain.report import ReportKind
from gateway.domain.upstream import Subscriber, Upstream, What

TREE = Hierarchy({"H26": None, "H26.18": "H26", "H01": None})
DUE = date(2026, 9, 20)
LONG_AGO = date(2025, 1, 1)


def subscriber(
    due_in_days: int | None = 3,
    overdue: bool = True,
    since: date = LONG_AGO,
    forms: frozenset[str] | None = None,
    under: str | None = None,
) -> Subscriber:
    return Subscriber(1, forms, under, due_in_days, overdue, since)


def told(each: Subscriber, days_after: int) -> Event | None:
    """What a subscriber is told so many days after an obligation was due."""
    today = DUE + timedelta(days=days_after)
    event = each.event(DUE, today)
    first, last = each.days(today)
    assert event is None or first <= DUE <= last
    return event


@pytest.mark.parametrize(
    ("days_after", "expected"),
    [
        (-4, None),
        (-3, Event.due),
        (0, Event.due),
        (1, Event.overdue),
        (7, Event.overdue),
        (8, None),
    ],
)
def test_an_obligation_is_due_from_so_many_days_before_its_day_and_overdue_for_a_week_after(
    days_after: int, expected: Event | None
) -> None:
    assert told(subscriber(), days_after) == expected


def test_only_what_is_asked_for_is_told() -> None:
    days = range(-5, 10)
    assert {told(subscriber(due_in_days=None), day) for day in days} == {None, Event.overdue}
    assert {told(subscriber(overdue=False), day) for day in days} == {None, Event.due}
    assert [day for day in days if told(subscriber(due_in_days=0, overdue=False), day)] == [0]


def test_only_the_days_that_are_asked_for_are_looked_through() -> None:
    assert subscriber(overdue=False).days(DUE) == (DUE, DUE + timedelta(days=3))
    assert subscriber(due_in_days=None).event(DUE, DUE) is None


@pytest.mark.parametrize(
    ("due_in_days", "since", "expected"),
    [
        (None, DUE, Event.overdue),
        (None, DUE + timedelta(days=1), None),
        (3, DUE + timedelta(days=3), Event.overdue),
        (3, DUE + timedelta(days=4), None),
    ],
)
def test_what_became_overdue_before_it_was_asked_for_is_not_told(
    due_in_days: int | None, since: date, expected: Event | None
) -> None:
    today = max(since, DUE + timedelta(days=1))
    assert subscriber(due_in_days, since=since).event(DUE, today) == expected


@pytest.mark.parametrize(
    ("forms", "under", "expected"),
    [
        (None, None, True),
        (frozenset({"TTHC_06A"}), "H26", True),
        (frozenset({"KTXH_01"}), None, False),
        (None, "H01", False),
    ],
)
def test_forms_and_subtree_narrow_reminders_as_they_narrow_reports(
    forms: frozenset[str] | None, under: str | None, expected: bool
) -> None:
    assert subscriber(forms=forms, under=under).wants("TTHC_06A", "H26.18", TREE) is expected
    upstream = Upstream(1, "n", forms, under, What.all, None, datetime(2026, 1, 1, tzinfo=UTC))
    assert upstream.takes("TTHC_06A", "H26.18", "own", TREE) is expected


@pytest.mark.parametrize(
    ("what", "kinds"),
    [
        (What.own, [ReportKind.own]),
        (What.consolidation, [ReportKind.consolidation]),
        (What.all, list(ReportKind)),
        (What.none, []),
    ],
)
def test_a_connector_takes_the_kinds_of_report_it_asks_for(what: What, kinds: list[ReportKind]) -> None:
    upstream = Upstream(1, "n", None, None, what, None, datetime(2026, 1, 1, tzinfo=UTC))
    assert [kind for kind in ReportKind if upstream.takes("TTHC_06A", "H26", kind.value, TREE)] == kinds
