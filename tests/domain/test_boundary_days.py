"""Boundary days of 2025 and 2026: which report is open, due, late or locked on which day.

The tables were written from the rules alone: a period's figures end on the 14th and the next begins on the 15th
(Decree 09/2019/NĐ-CP, article 12); ministries and provinces report by the 25th of its last month (article 13), those
below on the day their regime says, nobody before the first working day after the cut-off (article 8); holidays are
those of the bundled calendars. A state stands for what holds of a report that has not come:

    open      the figures are complete and may be sent in time
    due       the same, on the last day
    overdue   a report that comes today is late
    locked    a report that comes today would be late, and is not taken any more
    -         nothing was owed
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from functools import cache
from typing import Any, NamedTuple

import pytest

from gateway.catalog import bundled_documents
from gateway.domain.obligation import Obligation, State, is_late
from gateway.domain.obligations import Obligations
from gateway.domain.period import VIETNAM
from gateway.domain.report import ReportKind
from gateway.flow.load import catalogue_of

DAY = timedelta(days=1)


class Row(NamedTuple):
    """A line of a table: what holds on a day, of the last period that has ended and of those around it."""

    day: date
    running: str
    ended: str
    states: Sequence[str]


def rows(table: str) -> list[Row]:
    cells = [line.split() for line in table.splitlines() if line.strip()]
    return [Row(date.fromisoformat(day), running, ended, states) for day, running, ended, *states in cells]


def named(row: Row) -> str:
    return str(row.day)


KSTT_PERIODS = ["2025-Q1", "2025-Q2", "2025-Q3", "2025", "2026-Q1", "2026-Q2", "2026-Q3", "2026", "2027-Q1"]
"""In the order in which they end: the year takes the place of a fourth quarter."""

# Everyone owes form TTHC_06A from the first period that ends after it was there, and nothing ever locks. Departments
# are there from 1 March 2025, communes from 1 July 2025.
KSTT = rows("""
    2025-03-01  2025-Q1  -        -        -        -
    2025-03-14  2025-Q1  -        -        -        -
    2025-03-15  2025-Q2  2025-Q1  open     open     -
    2025-03-16  2025-Q2  2025-Q1  open     open     -
    2025-03-18  2025-Q2  2025-Q1  open     open     -
    2025-03-19  2025-Q2  2025-Q1  open     open     -
    2025-03-20  2025-Q2  2025-Q1  open     due      -
    2025-03-21  2025-Q2  2025-Q1  open     overdue  -
    2025-03-24  2025-Q2  2025-Q1  open     overdue  -
    2025-03-25  2025-Q2  2025-Q1  due      overdue  -
    2025-03-26  2025-Q2  2025-Q1  overdue  overdue  -
    2025-06-14  2025-Q2  2025-Q1  overdue  overdue  -
    2025-06-15  2025-Q3  2025-Q2  open     open     -
    2025-06-18  2025-Q3  2025-Q2  open     open     -
    2025-06-20  2025-Q3  2025-Q2  open     due      -
    2025-06-21  2025-Q3  2025-Q2  open     overdue  -
    2025-06-24  2025-Q3  2025-Q2  open     overdue  -
    2025-06-25  2025-Q3  2025-Q2  due      overdue  -
    2025-06-26  2025-Q3  2025-Q2  overdue  overdue  -
    2025-06-30  2025-Q3  2025-Q2  overdue  overdue  -
    2025-07-01  2025-Q3  2025-Q2  overdue  overdue  -
    2025-09-14  2025-Q3  2025-Q2  overdue  overdue  -
    2025-09-15  2025     2025-Q3  open     open     open
    2025-09-18  2025     2025-Q3  open     open     due
    2025-09-19  2025     2025-Q3  open     open     overdue
    2025-09-20  2025     2025-Q3  open     due      overdue
    2025-09-21  2025     2025-Q3  open     overdue  overdue
    2025-09-24  2025     2025-Q3  open     overdue  overdue
    2025-09-25  2025     2025-Q3  due      overdue  overdue
    2025-09-26  2025     2025-Q3  overdue  overdue  overdue
    2025-12-14  2025     2025-Q3  overdue  overdue  overdue
    2025-12-15  2026-Q1  2025     open     open     open
    2025-12-18  2026-Q1  2025     open     open     due
    2025-12-19  2026-Q1  2025     open     open     overdue
    2025-12-20  2026-Q1  2025     open     due      overdue
    2025-12-21  2026-Q1  2025     open     overdue  overdue
    2025-12-24  2026-Q1  2025     open     overdue  overdue
    2025-12-25  2026-Q1  2025     due      overdue  overdue
    2025-12-26  2026-Q1  2025     overdue  overdue  overdue
    2025-12-31  2026-Q1  2025     overdue  overdue  overdue
    2026-01-01  2026-Q1  2025     overdue  overdue  overdue
    2026-02-14  2026-Q1  2025     overdue  overdue  overdue
    2026-02-17  2026-Q1  2025     overdue  overdue  overdue
    2026-03-14  2026-Q1  2025     overdue  overdue  overdue
    2026-03-15  2026-Q2  2026-Q1  open     open     open
    2026-03-16  2026-Q2  2026-Q1  open     open     open
    2026-03-18  2026-Q2  2026-Q1  open     open     due
    2026-03-19  2026-Q2  2026-Q1  open     open     overdue
    2026-03-20  2026-Q2  2026-Q1  open     due      overdue
    2026-03-21  2026-Q2  2026-Q1  open     overdue  overdue
    2026-03-24  2026-Q2  2026-Q1  open     overdue  overdue
    2026-03-25  2026-Q2  2026-Q1  due      overdue  overdue
    2026-03-26  2026-Q2  2026-Q1  overdue  overdue  overdue
    2026-06-14  2026-Q2  2026-Q1  overdue  overdue  overdue
    2026-06-15  2026-Q3  2026-Q2  open     open     open
    2026-06-18  2026-Q3  2026-Q2  open     open     due
    2026-06-19  2026-Q3  2026-Q2  open     open     overdue
    2026-06-20  2026-Q3  2026-Q2  open     due      overdue
    2026-06-21  2026-Q3  2026-Q2  open     overdue  overdue
    2026-06-24  2026-Q3  2026-Q2  open     overdue  overdue
    2026-06-25  2026-Q3  2026-Q2  due      overdue  overdue
    2026-06-26  2026-Q3  2026-Q2  overdue  overdue  overdue
    2026-09-14  2026-Q3  2026-Q2  overdue  overdue  overdue
    2026-09-15  2026     2026-Q3  open     open     open
    2026-09-18  2026     2026-Q3  open     open     due
    2026-09-19  2026     2026-Q3  open     open     overdue
    2026-09-20  2026     2026-Q3  open     due      overdue
    2026-09-21  2026     2026-Q3  open     overdue  overdue
    2026-09-24  2026     2026-Q3  open     overdue  overdue
    2026-09-25  2026     2026-Q3  due      overdue  overdue
    2026-09-26  2026     2026-Q3  overdue  overdue  overdue
    2026-12-14  2026     2026-Q3  overdue  overdue  overdue
    2026-12-15  2027-Q1  2026     open     open     open
    2026-12-18  2027-Q1  2026     open     open     due
    2026-12-19  2027-Q1  2026     open     open     overdue
    2026-12-20  2027-Q1  2026     open     due      overdue
    2026-12-21  2027-Q1  2026     open     overdue  overdue
    2026-12-24  2027-Q1  2026     open     overdue  overdue
    2026-12-25  2027-Q1  2026     due      overdue  overdue
    2026-12-26  2027-Q1  2026     overdue  overdue  overdue
    2026-12-31  2027-Q1  2026     overdue  overdue  overdue
""")
KSTT_SENDERS = {"H26": "2025-Q1", "H26.18": "2025-Q1", "H26.00004": "2025-Q3"}
"""The columns of the table, a province, a department and a commune of it, each with its first period here."""

MONTHS = [f"{year}-{month:02}" for year in (2025, 2026) for month in range(1, 13)] + ["2027-01"]

# A province reports form KTXH_01 by the 25th, also where that is a Sunday or in Tết, and what is ten days later locked.
KTXH = rows("""
    2025-01-01  2025-01  -        -
    2025-01-14  2025-01  -        -
    2025-01-15  2025-02  2025-01  open
    2025-01-24  2025-02  2025-01  open
    2025-01-25  2025-02  2025-01  due
    2025-01-26  2025-02  2025-01  overdue
    2025-01-29  2025-02  2025-01  overdue
    2025-02-03  2025-02  2025-01  overdue
    2025-02-04  2025-02  2025-01  overdue
    2025-02-05  2025-02  2025-01  locked
    2025-02-14  2025-02  2025-01  locked
    2025-02-15  2025-03  2025-02  open
    2025-02-25  2025-03  2025-02  due
    2025-02-26  2025-03  2025-02  overdue
    2025-03-07  2025-03  2025-02  overdue
    2025-03-08  2025-03  2025-02  locked
    2025-03-14  2025-03  2025-02  locked
    2025-03-15  2025-04  2025-03  open
    2025-03-25  2025-04  2025-03  due
    2025-03-26  2025-04  2025-03  overdue
    2025-04-04  2025-04  2025-03  overdue
    2025-04-05  2025-04  2025-03  locked
    2025-04-14  2025-04  2025-03  locked
    2025-04-15  2025-05  2025-04  open
    2025-04-25  2025-05  2025-04  due
    2025-04-26  2025-05  2025-04  overdue
    2025-05-05  2025-05  2025-04  overdue
    2025-05-06  2025-05  2025-04  locked
    2025-05-14  2025-05  2025-04  locked
    2025-05-15  2025-06  2025-05  open
    2025-05-25  2025-06  2025-05  due
    2025-05-26  2025-06  2025-05  overdue
    2025-06-04  2025-06  2025-05  overdue
    2025-06-05  2025-06  2025-05  locked
    2025-06-14  2025-06  2025-05  locked
    2025-06-15  2025-07  2025-06  open
    2025-06-25  2025-07  2025-06  due
    2025-06-26  2025-07  2025-06  overdue
    2025-07-05  2025-07  2025-06  overdue
    2025-07-06  2025-07  2025-06  locked
    2025-07-14  2025-07  2025-06  locked
    2025-07-15  2025-08  2025-07  open
    2025-07-25  2025-08  2025-07  due
    2025-07-26  2025-08  2025-07  overdue
    2025-08-04  2025-08  2025-07  overdue
    2025-08-05  2025-08  2025-07  locked
    2025-08-14  2025-08  2025-07  locked
    2025-08-15  2025-09  2025-08  open
    2025-08-25  2025-09  2025-08  due
    2025-08-26  2025-09  2025-08  overdue
    2025-09-04  2025-09  2025-08  overdue
    2025-09-05  2025-09  2025-08  locked
    2025-09-14  2025-09  2025-08  locked
    2025-09-15  2025-10  2025-09  open
    2025-09-25  2025-10  2025-09  due
    2025-09-26  2025-10  2025-09  overdue
    2025-10-05  2025-10  2025-09  overdue
    2025-10-06  2025-10  2025-09  locked
    2025-10-14  2025-10  2025-09  locked
    2025-10-15  2025-11  2025-10  open
    2025-10-24  2025-11  2025-10  open
    2025-10-25  2025-11  2025-10  due
    2025-10-26  2025-11  2025-10  overdue
    2025-11-04  2025-11  2025-10  overdue
    2025-11-05  2025-11  2025-10  locked
    2025-11-14  2025-11  2025-10  locked
    2025-11-15  2025-12  2025-11  open
    2025-11-25  2025-12  2025-11  due
    2025-11-26  2025-12  2025-11  overdue
    2025-12-05  2025-12  2025-11  overdue
    2025-12-06  2025-12  2025-11  locked
    2025-12-14  2025-12  2025-11  locked
    2025-12-15  2026-01  2025-12  open
    2025-12-24  2026-01  2025-12  open
    2025-12-25  2026-01  2025-12  due
    2025-12-26  2026-01  2025-12  overdue
    2025-12-31  2026-01  2025-12  overdue
    2026-01-01  2026-01  2025-12  overdue
    2026-01-04  2026-01  2025-12  overdue
    2026-01-05  2026-01  2025-12  locked
    2026-01-14  2026-01  2025-12  locked
    2026-01-15  2026-02  2026-01  open
    2026-01-25  2026-02  2026-01  due
    2026-01-26  2026-02  2026-01  overdue
    2026-02-04  2026-02  2026-01  overdue
    2026-02-05  2026-02  2026-01  locked
    2026-02-14  2026-02  2026-01  locked
    2026-02-15  2026-03  2026-02  open
    2026-02-17  2026-03  2026-02  open
    2026-02-22  2026-03  2026-02  open
    2026-02-23  2026-03  2026-02  open
    2026-02-25  2026-03  2026-02  due
    2026-02-26  2026-03  2026-02  overdue
    2026-03-07  2026-03  2026-02  overdue
    2026-03-08  2026-03  2026-02  locked
    2026-03-14  2026-03  2026-02  locked
    2026-03-15  2026-04  2026-03  open
    2026-03-25  2026-04  2026-03  due
    2026-03-26  2026-04  2026-03  overdue
    2026-04-04  2026-04  2026-03  overdue
    2026-04-05  2026-04  2026-03  locked
    2026-04-14  2026-04  2026-03  locked
    2026-04-15  2026-05  2026-04  open
    2026-04-25  2026-05  2026-04  due
    2026-04-26  2026-05  2026-04  overdue
    2026-05-05  2026-05  2026-04  overdue
    2026-05-06  2026-05  2026-04  locked
    2026-05-14  2026-05  2026-04  locked
    2026-05-15  2026-06  2026-05  open
    2026-05-25  2026-06  2026-05  due
    2026-05-26  2026-06  2026-05  overdue
    2026-06-04  2026-06  2026-05  overdue
    2026-06-05  2026-06  2026-05  locked
    2026-06-14  2026-06  2026-05  locked
    2026-06-15  2026-07  2026-06  open
    2026-06-25  2026-07  2026-06  due
    2026-06-26  2026-07  2026-06  overdue
    2026-07-05  2026-07  2026-06  overdue
    2026-07-06  2026-07  2026-06  locked
    2026-07-14  2026-07  2026-06  locked
    2026-07-15  2026-08  2026-07  open
    2026-07-25  2026-08  2026-07  due
    2026-07-26  2026-08  2026-07  overdue
    2026-08-04  2026-08  2026-07  overdue
    2026-08-05  2026-08  2026-07  locked
    2026-08-14  2026-08  2026-07  locked
    2026-08-15  2026-09  2026-08  open
    2026-08-25  2026-09  2026-08  due
    2026-08-26  2026-09  2026-08  overdue
    2026-09-04  2026-09  2026-08  overdue
    2026-09-05  2026-09  2026-08  locked
    2026-09-14  2026-09  2026-08  locked
    2026-09-15  2026-10  2026-09  open
    2026-09-25  2026-10  2026-09  due
    2026-09-26  2026-10  2026-09  overdue
    2026-10-05  2026-10  2026-09  overdue
    2026-10-06  2026-10  2026-09  locked
    2026-10-14  2026-10  2026-09  locked
    2026-10-15  2026-11  2026-10  open
    2026-10-24  2026-11  2026-10  open
    2026-10-25  2026-11  2026-10  due
    2026-10-26  2026-11  2026-10  overdue
    2026-11-04  2026-11  2026-10  overdue
    2026-11-05  2026-11  2026-10  locked
    2026-11-14  2026-11  2026-10  locked
    2026-11-15  2026-12  2026-11  open
    2026-11-25  2026-12  2026-11  due
    2026-11-26  2026-12  2026-11  overdue
    2026-12-05  2026-12  2026-11  overdue
    2026-12-06  2026-12  2026-11  locked
    2026-12-14  2026-12  2026-11  locked
    2026-12-15  2027-01  2026-12  open
    2026-12-24  2027-01  2026-12  open
    2026-12-25  2027-01  2026-12  due
    2026-12-26  2027-01  2026-12  overdue
    2026-12-31  2027-01  2026-12  overdue
""")

OWN_MONTHLY = {
    "code": "GIAO_HANG_THANG",
    "owner": "H26",
    "legal_basis": "Chế độ thử: xã báo cáo tỉnh hằng tháng",
    "forms": ["GIAO_01"],
    "frequency": "monthly",
    "who": [{"levels": ["commune", "department"], "under": "H26"}],
    "receiver": "H26",
    "deadlines": {"commune": {"day": 18}, "department": {"day": 20, "moved": "next"}},
    "lock_after_days": 10,
    "valid_from": "2025-01-01",
}
"""A province's own regime: communes by the 18th, departments by the 20th or else the next working day."""

# In 2026 Tết takes everything from Saturday 14 to Sunday 22 February off: the 18th and the 20th leave no working day
# after the cut-off. 20 September 2025 and 2026-06-20 are Saturdays.
OWN_MONTHLY_DAYS = rows("""
    2025-09-14  2025-09  2025-08  locked   locked
    2025-09-15  2025-10  2025-09  open     open
    2025-09-18  2025-10  2025-09  due      open
    2025-09-19  2025-10  2025-09  overdue  open
    2025-09-20  2025-10  2025-09  overdue  open
    2025-09-21  2025-10  2025-09  overdue  open
    2025-09-22  2025-10  2025-09  overdue  due
    2025-09-23  2025-10  2025-09  overdue  overdue
    2025-09-28  2025-10  2025-09  overdue  overdue
    2025-09-29  2025-10  2025-09  locked   overdue
    2025-10-02  2025-10  2025-09  locked   overdue
    2025-10-03  2025-10  2025-09  locked   locked
    2026-02-13  2026-02  2026-01  locked   locked
    2026-02-14  2026-02  2026-01  locked   locked
    2026-02-15  2026-03  2026-02  open     open
    2026-02-16  2026-03  2026-02  open     open
    2026-02-17  2026-03  2026-02  open     open
    2026-02-18  2026-03  2026-02  open     open
    2026-02-19  2026-03  2026-02  open     open
    2026-02-20  2026-03  2026-02  open     open
    2026-02-21  2026-03  2026-02  open     open
    2026-02-22  2026-03  2026-02  open     open
    2026-02-23  2026-03  2026-02  due      due
    2026-02-24  2026-03  2026-02  overdue  overdue
    2026-03-05  2026-03  2026-02  overdue  overdue
    2026-03-06  2026-03  2026-02  locked   locked
    2026-06-14  2026-06  2026-05  locked   locked
    2026-06-15  2026-07  2026-06  open     open
    2026-06-18  2026-07  2026-06  due      open
    2026-06-19  2026-07  2026-06  overdue  open
    2026-06-20  2026-07  2026-06  overdue  open
    2026-06-22  2026-07  2026-06  overdue  due
    2026-06-23  2026-07  2026-06  overdue  overdue
    2026-06-28  2026-07  2026-06  overdue  overdue
    2026-06-29  2026-07  2026-06  locked   overdue
    2026-07-02  2026-07  2026-06  locked   overdue
    2026-07-03  2026-07  2026-06  locked   locked
""")

MOVED = {
    "code": "TINH_DOI_NGAY",
    "legal_basis": "Chế độ thử: hạn rơi vào ngày nghỉ được dời",
    "forms": ["DOI_01"],
    "frequency": "monthly",
    "who": [{"agencies": ["H26", "H29"]}],
    "deadlines": {"province": {"day": 25, "moved": "next"}},
    "lock_after_days": 0,
    "valid_from": "2025-01-01",
}

# In 2025 Tết takes everything from Saturday 25 January to Sunday 2 February off.
MOVED_DAYS = rows("""
    2025-01-15  2025-02  2025-01  open
    2025-01-24  2025-02  2025-01  open
    2025-01-25  2025-02  2025-01  open
    2025-01-29  2025-02  2025-01  open
    2025-02-02  2025-02  2025-01  open
    2025-02-03  2025-02  2025-01  due
    2025-02-04  2025-02  2025-01  locked
    2025-02-25  2025-03  2025-02  due
    2025-02-26  2025-03  2025-02  locked
    2025-05-26  2025-06  2025-05  due
    2025-10-27  2025-11  2025-10  due
    2026-01-26  2026-02  2026-01  due
    2026-02-25  2026-03  2026-02  due
    2026-04-25  2026-05  2026-04  open
    2026-04-27  2026-05  2026-04  open
    2026-04-28  2026-05  2026-04  due
    2026-04-29  2026-05  2026-04  locked
    2026-07-27  2026-08  2026-07  due
""")


@cache
def obligations() -> Obligations:
    """Of the bundled catalogue and the two regimes above."""
    documents: list[tuple[str, dict[str, Any]]] = [(str(kind), document) for kind, document in bundled_documents()]
    return catalogue_of([*documents, ("regime", OWN_MONTHLY), ("regime", MOVED)]).obligations


def owed(form: str, agency: str, codes: Sequence[str]) -> list[Obligation | None]:
    return [obligations().of(form, agency, ReportKind.own, code) for code in codes]


def moments(day: date) -> Iterator[datetime]:
    """When a report may come that is received on a day: just after midnight, and just before the next."""
    midnight = datetime.combine(day, time(), VIETNAM)
    yield from (midnight + timedelta(microseconds=1), midnight + DAY - timedelta(microseconds=1))


def seen(obligation: Obligation | None, day: date) -> str:
    """The word of the tables for where an obligation stands, that a report of that day is held to as well."""
    if obligation is None:
        return "-"
    state = obligation.state(None, day)
    late = {is_late(moment, obligation.deadline) for moment in moments(day)}
    assert late == {state in {State.overdue, State.locked}}
    assert obligation.still_taken_on(day, None) is (state is not State.locked)
    return "due" if state is State.open and obligation.due == day else state.value


def told(row: Row, codes: Sequence[str], state: str, before: str, first: str) -> list[str]:
    """What a row says of every period: ``before`` is what those are that ended earlier, ``first`` the first owed."""
    ended = -1 if row.ended == "-" else codes.index(row.ended)
    words = [*[before] * ended, *([state] if ended >= 0 else []), *["upcoming"] * (len(codes) - ended - 1)]
    return ["-" if place < codes.index(first) else word for place, word in enumerate(words)]


def running(form: str, agency: str, codes: Sequence[str], day: date) -> str:
    """Of the periods that take in the figures of a day, the one that ends first."""
    found = [each.period for each in owed(form, agency, codes) if each is not None]
    return next(period.code for period in found if period.start <= day <= period.end)


def states(form: str, agency: str, codes: Sequence[str], day: date) -> list[str]:
    return [seen(each, day) for each in owed(form, agency, codes)]


@pytest.mark.parametrize("row", KSTT, ids=named)
def test_the_quarters_and_the_year_of_administrative_procedures(row: Row) -> None:
    assert running("TTHC_06A", "H26", KSTT_PERIODS, row.day) == row.running
    for (agency, first), state in zip(KSTT_SENDERS.items(), row.states, strict=True):
        found = states("TTHC_06A", agency, KSTT_PERIODS, row.day)
        assert found == told(row, KSTT_PERIODS, state, "overdue", first), agency


@pytest.mark.parametrize(
    ("form", "agencies", "row"),
    [
        *(pytest.param("KTXH_01", ["H26"], row, id=f"province-{row.day}") for row in KTXH),
        *(pytest.param("GIAO_01", ["H26.00004", "H26.18"], row, id=f"own-{row.day}") for row in OWN_MONTHLY_DAYS),
        *(pytest.param("DOI_01", ["H26"], row, id=f"moved-{row.day}") for row in MOVED_DAYS),
    ],
)
def test_the_months_of_regimes_that_lock(form: str, agencies: Sequence[str], row: Row) -> None:
    assert running(form, agencies[0], MONTHS, row.day) == row.running
    for agency, state in zip(agencies, row.states, strict=True):
        first = "2025-07" if agency == "H26.00004" else "2025-03" if agency == "H26.18" else "2025-01"
        assert states(form, agency, MONTHS, row.day) == told(row, MONTHS, state, "locked", first), agency


@pytest.mark.parametrize(
    ("agency", "month_day"), [("G10", 25), ("H26", 25), ("H26.18", 20), ("H26.00004", 18), ("H29.00004", None)]
)
def test_every_quarter_is_due_on_the_day_of_its_level(agency: str, month_day: int | None) -> None:
    """Ministries as provinces; an agency that does not exist owes nothing."""
    found = owed("TTHC_06A", agency, ["2026-Q1", "2026-Q2", "2026-Q3", "2026"])
    months = [3, 6, 9, 12]
    expected = [None if month_day is None else date(2026, month, month_day) for month in months]
    assert [each and each.deadline for each in found] == expected
    assert [each and each.taken_until for each in found] == [None] * 4


def test_there_is_no_fourth_quarter_to_report() -> None:
    for year in (2025, 2026):
        assert owed("TTHC_06A", "H26", [f"{year}-Q4", f"{year}-S1", f"{year}-12", f"{year}-9M"]) == [None] * 4


def test_the_first_quarter_begins_in_the_year_before() -> None:
    """15 December 2025 belongs to the first quarter of 2026, and to the year 2026."""
    day = date(2025, 12, 15)
    found = [each for each in owed("TTHC_06A", "H26", KSTT_PERIODS) if each]
    assert [each.period.code for each in found if each.period.start <= day <= each.period.end] == ["2026-Q1", "2026"]
    assert [each.period.code for each in found if each.period.start == day] == ["2026-Q1", "2026"]


def test_the_tables_have_every_boundary_day_of_two_years() -> None:
    quarters = {date(year, month, day) for year in (2025, 2026) for month in (3, 6, 9, 12) for day in (14, 15, 24, 25)}
    months = {date(year, month, day) for year in (2025, 2026) for month in range(1, 13) for day in (14, 15, 25, 26)}
    assert quarters <= {row.day for row in KSTT}
    assert months <= {row.day for row in KTXH}
    for table in (KSTT, KTXH, OWN_MONTHLY_DAYS, MOVED_DAYS):
        assert [row.day for row in table] == sorted({row.day for row in table})
