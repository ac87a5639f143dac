"""Obligations (nghĩa vụ báo cáo): which agency owes which report, by when, and what has become of it.

Nobody creates them: they follow from regimes, the agencies in force on a period's last day, the working-day
calendar and the extensions granted. Decree 09/2019/NĐ-CP, articles 8 and 13.
"""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import BeforeValidator, Field, StringConstraints

from gateway.domain.agency import AgencyCode, Hierarchy
from gateway.domain.calendar import civil_date
from gateway.domain.document import Day, Document, choice
from gateway.domain.form_document import FORM_CODE
from gateway.domain.period import PERIOD_PATTERN, VIETNAM, Period
from gateway.domain.regime import Regime
from gateway.domain.report import Nil, ReportKind, Status


class Whose(StrEnum):
    """Whom an extension is for: one agency, its whole subtree, or only those below it."""

    agency = "agency"
    subtree = "subtree"
    below = "below"


class Extension(Document):
    """More time for one period of one form. Granted up to the deadline it moves it; later it only reopens."""

    id: Annotated[UUID, BeforeValidator(lambda value: UUID(value) if isinstance(value, str) else value)]
    form: Annotated[str, StringConstraints(pattern=FORM_CODE)]
    period: Annotated[str, StringConstraints(pattern=PERIOD_PATTERN)]
    agency: AgencyCode
    whose: Annotated[Whose, choice(Whose)] = Whose.agency
    until: Day
    reason: str = Field(min_length=1, max_length=4000)
    granted_on: Day

    def is_for(self, agency: str, hierarchy: Hierarchy) -> bool:
        """Whether it gives an agency more time, in the tree of the period's last day."""
        if self.agency == agency:
            return self.whose is not Whose.below
        return self.whose is not Whose.agency and hierarchy.covers(self.agency, agency)


class State(StrEnum):
    """Where an obligation stands."""

    upcoming = "upcoming"
    """The period still runs, or lies ahead."""
    open = "open"
    """The cut-off has passed and the report may be sent in time; or it was returned and may be corrected."""
    overdue = "overdue"
    fulfilled = "fulfilled"
    late = "late"
    """Accepted, and received after the deadline."""
    excused = "excused"
    """Accepted as not applicable."""
    locked = "locked"
    """Nothing was accepted, and nothing is taken any more."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of the current report of an obligation."""

    report: UUID
    revision: int
    status: Status
    nil: Nil | None
    late: bool | None
    received_at: datetime
    returned_on: date | None

    @property
    def is_accepted(self) -> bool:
        return self.status is Status.accepted


@dataclass(frozen=True, slots=True)
class Obligation:
    """What one agency owes for one period; all days are the last on which something holds.

    ``deadline`` tells late from on time; ``due`` is it or the end of a later extension; None has no end.
    """

    regime: Regime
    form: str
    agency: str
    period: Period
    kind: ReportKind
    deadline: date | None
    due: date | None
    taken_until: date | None

    def still_taken_on(self, day: date, returned_on: date | None) -> bool:
        """Whether a report is taken on a day; a return has opened the period again for the regime's days."""
        until = self.taken_until
        return until is None or day <= max(until, self._reopened_until(returned_on) or until)

    def _reopened_until(self, returned_on: date | None) -> date | None:
        return None if returned_on is None else returned_on + timedelta(days=self.regime.reopen_days)

    def owed_by(self, returned_on: date | None) -> date | None:
        """The day by which the report is owed: when it is due, or later where it was returned. None has no end."""
        return self.due and max(self.due, self._reopened_until(returned_on) or self.due)

    def state(self, standing: Standing | None, today: date, last_return: date | None = None) -> State:
        """Where it stands on a day, given the current report if there is one.

        ``last_return`` is of a report that was returned and then withdrawn, so that none is current.
        """
        if standing is not None and standing.is_accepted:
            if standing.nil is Nil.not_applicable:
                return State.excused
            return State.late if standing.late else State.fulfilled
        returned_on = standing.returned_on if standing else last_return
        if not self.still_taken_on(today, returned_on):
            return State.locked
        if returned_on is None and today <= self.period.end:
            return State.upcoming
        owed_by = self.owed_by(returned_on)
        return State.open if owed_by is None or today <= owed_by else State.overdue


def is_late(received_at: datetime, deadline: date | None) -> bool:
    """Whether a report received then came after 24:00 in Viet Nam of the deadline's day."""
    if received_at.tzinfo is None:
        raise ValueError("The time of receipt must carry its time zone.")
    if deadline is None:
        return False
    return received_at > datetime.combine(deadline + timedelta(days=1), time(), VIETNAM)


def day_of(moment: datetime | None) -> date | None:
    """The civil day of a moment, if there is one."""
    return None if moment is None else civil_date(moment)
