"""What an upstream takes: which reports and obligations become deliveries of a connector; and what it holds."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from uuid import UUID

from gateway.domain.agency import Hierarchy
from gateway.domain.delivery import Event
from gateway.domain.report import ReportKind

LATEST_REMINDER = timedelta(days=7)
"""After its day has passed so long, an obligation is not reminded of any more: workers were away until then."""


class What(StrEnum):
    """Which kinds of report a connector takes."""

    own = "own"
    consolidation = "consolidation"
    all = "all"
    none = "none"

    @property
    def kinds(self) -> Sequence[ReportKind]:
        match self:
            case What.all:
                return list(ReportKind)
            case What.none:
                return []
            case _:
                return [ReportKind(self.value)]


@dataclass(frozen=True, slots=True)
class Upstream:
    """The part of a connector that decides what is forwarded: forms, subtree, kinds and from when."""

    number: int
    name: str
    forms: frozenset[str] | None
    under: str | None
    what: What
    from_day: date | None
    made_at: datetime

    def takes(self, form: str, agency: str, kind: str, hierarchy: Hierarchy) -> bool:
        """Whether a report accepted now is forwarded here."""
        return kind in self.what.kinds and _is_among(self.forms, self.under, form, agency, hierarchy)


@dataclass(frozen=True, slots=True)
class Subscriber:
    """The part of a connector that decides what it is reminded of. It asked for that on the day ``since``.

    ``due_in_days`` before an obligation is due it is told of it (None: never), and the day after if ``overdue``.
    """

    number: int
    forms: frozenset[str] | None
    under: str | None
    due_in_days: int | None
    overdue: bool
    since: date

    def days(self, today: date) -> tuple[date, date]:
        """The first and the last day of which it is reminded today, if obligations are due then."""
        before = timedelta(days=self.due_in_days or 0)
        first = max(self.since - before, today - LATEST_REMINDER) if self.overdue else today
        return first, today + before

    def event(self, owed_by: date, today: date) -> Event | None:
        """What it is told today of an obligation that is owed by a day and not fulfilled; None if nothing."""
        first, last = self.days(today)
        if today <= owed_by <= last and self.due_in_days is not None:
            return Event.due
        return Event.overdue if self.overdue and first <= owed_by < today else None

    def wants(self, form: str, agency: str, hierarchy: Hierarchy) -> bool:
        """Whether it is reminded of a form and an agency at all."""
        return _is_among(self.forms, self.under, form, agency, hierarchy)


@dataclass(frozen=True, slots=True)
class Held:
    """A report that an upstream holds: its id, the SHA-256 of the bytes that were pushed, and what became of it."""

    report: UUID
    sha256: str
    status: str


def _is_among(forms: frozenset[str] | None, under: str | None, form: str, agency: str, hierarchy: Hierarchy) -> bool:
    return (forms is None or form in forms) and (under is None or hierarchy.covers(under, agency))
