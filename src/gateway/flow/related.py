"""Related reports: what a form's rules look at besides the report they judge.

All are current, and of the same agency and kind: the report of the period before, those owed for the periods within,
and those of other forms for the same period.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property
from typing import NamedTuple
from uuid import UUID

from gateway.domain.form import Form
from gateway.domain.period import Period, preceding
from gateway.domain.report import ReportKind
from gateway.domain.rules import Cells, Codes, OtherReport


class Series(NamedTuple):
    """An agency's reports of one form and kind, period after period."""

    agency: str
    form: str
    kind: ReportKind


class Wanted(NamedTuple):
    """A report that rules look at: the current one of a period, or of whatever period ends on a day."""

    series: Series
    period: str | None
    end: date | None


@dataclass(frozen=True, slots=True)
class Related:
    """What rules see besides the report they judge, as ``Scope`` takes it.

    ``previous`` are the rows of the preceding report in the form's own order of indicators, None where there is no
    such report.
    """

    previous: Mapping[Codes, Cells] | None = None
    within: Sequence[tuple[str, OtherReport | None]] = ()
    forms: Mapping[str, OtherReport] = field(default_factory=dict)


NOTHING_RELATED = Related()


@dataclass(frozen=True)
class Current:
    """A current report that others may look at, under the form version it was sent for.

    ``read`` gives its rows by their codes, in that version's order of indicators; it is called when they are needed.
    """

    id: UUID
    period: Period
    form: Form
    read: Callable[[], Mapping[Codes, Cells]] = field(repr=False)

    @cached_property
    def rows(self) -> Mapping[Codes, Cells]:
        """Its rows by their codes."""
        return self.read()

    def rows_as(self, form: Form) -> Mapping[Codes, Cells]:
        """Its rows in the order of another version's indicators; those that its own lacks are blank."""
        if form is self.form:
            return self.rows
        columns = self.form.columns
        places = [columns[each.id].index if each.id in columns else None for each in form.indicators]
        return {
            codes: [None if place is None else cells[place] for place in places] for codes, cells in self.rows.items()
        }

    @cached_property
    def elsewhere(self) -> OtherReport:
        """The report as rules of other forms see it."""
        numbers = {each.id: place for place, each in enumerate(self.form.indicators) if each.is_number}
        return OtherReport(self.rows, numbers)


class CurrentReports:
    """The current reports that are known, by series and period."""

    def __init__(self) -> None:
        self._found: dict[Series, dict[str, Current]] = {}

    def add(self, series: Series, report: Current) -> None:
        """Know a report, in the place of the one that was current before."""
        self._found.setdefault(series, {})[report.period.code] = report

    def get(self, series: Series, period: str) -> Current | None:
        return self._found.get(series, {}).get(period)

    def related(self, form: Form, series: Series, period: Period, within: Sequence[Period]) -> Related:
        """What the rules of a form see of them; ``within`` are the periods for which reports are owed within this."""
        if not looks_elsewhere(form):
            return NOTHING_RELATED
        own = self._found.get(series, {})
        before = preceding(period, [each.period for each in own.values()]) if form.uses_previous else []
        previous = own[before[0].code].rows_as(form) if before else None
        inside = [(each.code, own.get(each.code)) for each in within]
        others = {code: self.get(series._replace(form=code), period.code) for code in form.forms_read}
        return Related(
            previous,
            [(code, None if report is None else OtherReport(report.rows_as(form))) for code, report in inside],
            {code: report.elsewhere for code, report in others.items() if report is not None},
        )


def looks_elsewhere(form: Form) -> bool:
    """Whether a form has rules about other reports, so that these have to be known."""
    return form.uses_previous or form.uses_within or bool(form.forms_read)


def wanted(form: Form, series: Series, period: Period, within: Sequence[Period]) -> Iterator[Wanted]:
    """The reports that the rules of a form look at, for a report of a period."""
    if form.uses_previous:
        yield Wanted(series, None, period.start - timedelta(days=1))
    for each in within:
        yield Wanted(series, each.code, None)
    for code in sorted(form.forms_read):
        yield Wanted(series._replace(form=code), period.code, None)
