"""All that is owed under the regimes, agencies, calendar and extensions of one catalogue."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from functools import lru_cache

from gateway.domain.agency import Agencies, Hierarchy, Level
from gateway.domain.calendar import Calendar
from gateway.domain.obligation import Extension, Obligation
from gateway.domain.period import (
    DECREE_09_2019,
    FIRST_YEAR,
    LAST_YEAR,
    Frequency,
    Period,
    PeriodRule,
    parse_period,
)
from gateway.domain.regime import TO_THE_GOVERNMENT, WEEKLY_DEADLINE, Regime, default_deadline
from gateway.domain.report import ReportKind


class Obligations:
    """What is owed under the regimes, agencies, calendar and extensions of one catalogue."""

    def __init__(
        self,
        regimes: Mapping[str, Sequence[Regime]],
        agencies: Agencies,
        calendar: Calendar,
        extensions: Iterable[Extension] = (),
    ) -> None:
        self._agencies, self._calendar = agencies, calendar
        self._by_form: dict[str, list[Regime]] = {}
        self.regimes = regimes
        for versions in regimes.values():
            for regime in versions:
                for form in regime.forms:
                    self._by_form.setdefault(form, []).append(regime)
        self._extensions: dict[tuple[str, str], list[Extension]] = {}
        for each in extensions:
            self._extensions.setdefault((each.form, each.period), []).append(each)
        self._deadlines: dict[tuple[Regime, str, Level], date | None] = {}
        self.owed = lru_cache(maxsize=128)(self._owed)
        self.counted = lru_cache(maxsize=128)(self._counted)
        self._above_own = lru_cache(maxsize=128)(self._find_above_own)
        self.is_regulated = lru_cache(maxsize=1024)(self._is_regulated)
        self.unregulated_deadline = lru_cache(maxsize=1024)(self._unregulated_deadline)
        self._covering = lru_cache(maxsize=1024)(self._find_covering)
        self._version_of = lru_cache(maxsize=4096)(self._find_version)

    def _find_covering(self, form: str, code: str) -> list[tuple[Regime, Period]]:
        """The regimes that report a form for a period, each with the period as it cuts it; the newest first."""
        found = [(regime, period) for regime in self._by_form.get(form, ()) if (period := self._takes(regime, code))]
        return sorted(found, key=lambda each: each[0].document.valid_from or date.min, reverse=True)

    def _takes(self, regime: Regime, code: str) -> Period | None:
        """The period, unless another version of the same regime has it."""
        version, period = self._version_of(regime.code, code)
        return period if version is regime else None

    def _find_version(self, regime: str, code: str) -> tuple[Regime, Period] | tuple[None, None]:
        """The version of a regime that a period belongs to: the newest that had begun by the period's last day.

        Where a newer one cuts the period so that it ended before that version began, the period stays whole with
        the version before.
        """
        dropped_from = date.max
        for version in reversed(self.regimes.get(regime, ())):
            begins = version.document.valid_from or date.min
            period = version.named(code)
            if period is None:
                dropped_from = begins
            elif period.end >= dropped_from:
                return None, None
            elif period.end >= begins:
                return (version, period) if version.document.is_valid_on(period.end) else (None, None)
        return None, None

    def periods_of(self, regime: str, year: int) -> list[tuple[Period, Regime]]:
        """The periods of a regime that a year names, each with the version it belongs to, by last day."""
        found = [
            (period, version)
            for version in self.regimes.get(regime, ())
            for period in version.of_year(year)
            if self._version_of(regime, period.code)[0] is version
        ]
        return sorted(found, key=lambda each: each[0].end)

    def in_force(self, code: str, day: date) -> Regime | None:
        """The version of a regime in force on a day: the last begun by then, unless it has ended."""
        begun = [each for each in self.regimes.get(code, ()) if (each.document.valid_from or date.min) <= day]
        return begun[-1] if begun and begun[-1].document.is_valid_on(day) else None

    def rule(self, form: str, code: str) -> PeriodRule:
        """How the period of a well-formed code is cut for a form: by its regime, else by Decree 09/2019."""
        for regime, _ in self._covering(form, code):
            return regime.rule
        return DECREE_09_2019

    def _is_regulated(self, form: str, period: Period, agency: str | None = None) -> bool:
        """Whether some regime of a form is in force on a period's last day, so that not everybody may report it.

        A regime that an agency has assigned to its own units alone says nothing of ``agency`` outside its subtree.
        """
        codes = {regime.code for regime in self._by_form.get(form, ())}
        in_force = [regime for code in codes if (regime := self.in_force(code, period.end)) and form in regime.forms]
        hierarchy = self._agencies.placed(period.end)
        return any(agency is None or _concerns(regime, agency, hierarchy) for regime in in_force)

    def of(self, form: str, agency: str, kind: ReportKind, code: str) -> Obligation | None:
        """What one agency owes of a form for the period of a well-formed code; None if nothing."""
        for regime, period in self._covering(form, code):
            if kind in regime.kinds_owed(agency, period, self._agencies):
                return self._obligation(regime, form, agency, period, kind)
        return None

    def _owed(self, form: str, code: str) -> list[Obligation]:
        """Every obligation of a form for the period of a well-formed code, by agency and kind."""
        return [each for each in self._bound(form, code) if each.regime.is_expected]

    def _bound(self, form: str, code: str) -> list[Obligation]:
        """What may be reported by whom, reports of events that nobody waits for included, by agency and kind."""
        found: dict[tuple[str, ReportKind], Obligation] = {}
        for regime, period in self._covering(form, code):
            for agency, kind in regime.owing(period, self._agencies):
                if (agency, kind) not in found:
                    found[agency, kind] = self._obligation(regime, form, agency, period, kind)
        return [found[each] for each in sorted(found)]

    def period(self, form: str, agency: str, kind: ReportKind, code: str) -> Period:
        """The period of a well-formed code as it is cut for a report of an agency."""
        obligation = self.of(form, agency, kind, code)
        return obligation.period if obligation else parse_period(code, self.rule(form, code))

    def _counted(self, form: str, code: str) -> list[Obligation]:
        """The obligations whose reports are added up: own figures, and consolidations whose parts are not owed here."""
        return [each for each in self.owed(form, code) if self.is_counted(each)]

    def is_counted(self, obligation: Obligation) -> bool:
        """Whether a report that fulfils an obligation is added up."""
        if obligation.kind is ReportKind.own:
            return True
        return obligation.agency not in self._above_own(obligation.form, obligation.period.code)

    def _find_above_own(self, form: str, code: str) -> frozenset[str]:
        """Agencies that owe their own figures, and all those above an agency that owes anything."""
        found: set[str] = set()
        for each in self._bound(form, code):
            parents = self._agencies.on(each.period.end).parents
            step = each.agency if each.kind is ReportKind.own else parents.get(each.agency)
            while step is not None and step not in found:
                found.add(step)
                step = parents.get(step)
        return frozenset(found)

    def within(self, form: str, agency: str, kind: ReportKind, period: Period) -> list[Period]:
        """The shorter periods inside one for which an agency owes the same report, in order of time.

        Of several frequencies it is the one that covers most of the period, and the longest of those.
        """
        found: dict[Frequency, list[Period]] = {}
        for regime in self._by_form.get(form, ()):
            for year in range(period.start.year, period.end.year + 1):
                for each in regime.of_year(year):
                    if period.start <= each.start and each.end <= period.end and each.code != period.code:
                        owed = self.of(form, agency, kind, each.code)
                        if owed is not None and owed.regime is regime:
                            found.setdefault(each.frequency, []).append(each)
        if not found:
            return []
        best = max(found.values(), key=lambda periods: (_days(periods), -len(periods)))
        return sorted(best, key=lambda each: each.start)

    def periods(self, since: date, until: date) -> list[tuple[Period, str]]:
        """Every (period, form) that some regime reports and that touches the days given, by last day, code and form."""
        found: dict[tuple[str, str], Period] = {}
        years = range(max(since.year - 1, FIRST_YEAR), min(until.year + 1, LAST_YEAR) + 1)
        for versions in self.regimes.values():
            for regime in versions:
                for period in (each for year in years for each in regime.of_year(year)):
                    is_of_it = self._takes(regime, period.code) is not None
                    if is_of_it and period.end >= since and period.start <= until:
                        for form in regime.forms:
                            found.setdefault((period.code, form), period)
        return sorted(
            ((period, form) for (_, form), period in found.items()),
            key=lambda each: (each[0].end, each[0].code, each[1]),
        )

    def _obligation(self, regime: Regime, form: str, agency: str, period: Period, kind: ReportKind) -> Obligation:
        deadline = due = self.deadline(regime, period, self._agencies.nearest(agency, period.end).level)
        lock_days = regime.document.lock_after_days
        taken_until = None if deadline is None or lock_days is None else deadline + timedelta(days=lock_days)
        for each in self._granted(form, agency, period):
            if deadline is None or due is None:
                break
            if each.granted_on <= deadline < each.until:
                deadline = each.until
                taken_until = None if lock_days is None else deadline + timedelta(days=lock_days)
            due = max(due, each.until)
            taken_until = None if taken_until is None else max(taken_until, each.until)
        return Obligation(regime, form, agency, period, kind, deadline, due, taken_until)

    def _granted(self, form: str, agency: str, period: Period) -> list[Extension]:
        """Extensions for an agency, in the order they were granted."""
        asked = self._extensions.get((form, period.code))
        if not asked:
            return []
        hierarchy = self._agencies.placed(period.end)
        found = [each for each in asked if each.is_for(agency, hierarchy)]
        return sorted(found, key=lambda each: (each.granted_on, each.id))

    def days(self, period: Period, regime: Regime | None) -> dict[Level, tuple[date | None, date | None]]:
        """For each level that a regime binds, the deadline of a period and the last day a report is taken.

        Without a regime, for all levels as Decree 09/2019 and the defaults have them.
        """
        if regime is None:
            rules = {level: default_deadline(period, level) for level in Level}
            return {
                level: (None if rule is None else rule.on(period, self._calendar), None)
                for level, rule in rules.items()
            }
        found: dict[Level, tuple[date | None, date | None]] = {}
        for level in regime.levels(period, self._agencies):
            deadline, lock_days = self.deadline(regime, period, level), regime.document.lock_after_days
            locks = None if deadline is None or lock_days is None else deadline + timedelta(days=lock_days)
            found[level] = (deadline, locks)
        return found

    def deadline(self, regime: Regime, period: Period, level: Level) -> date | None:
        """The last day a level may send the report of a regime's period, extensions apart; None where nothing says."""
        key = (regime, period.code, level)
        if key not in self._deadlines:
            self._deadlines[key] = regime.deadline(period, level, self._calendar)
        return self._deadlines[key]

    def _unregulated_deadline(self, code: str) -> date | None:
        """The deadline of a form that no regime has: that of Decree 09/2019 for everybody."""
        period = parse_period(code)
        if period.frequency is Frequency.ad_hoc:
            return None
        rule = WEEKLY_DEADLINE if period.frequency is Frequency.weekly else TO_THE_GOVERNMENT
        return rule.on(period, self._calendar)


def _concerns(regime: Regime, agency: str, hierarchy: Hierarchy) -> bool:
    """Whether a regime has a say in who reports: everywhere, unless all it binds belong to its owner's subtree."""
    owner = regime.document.owner
    named: list[str | None] = []
    for duty in regime.document.who:
        named += [duty.under] if duty.under is not None or duty.agencies is None else duty.agencies
    if owner is None or not all(code is not None and hierarchy.covers(owner, code) for code in named):
        return True
    return hierarchy.covers(owner, agency)


def _days(periods: Iterable[Period]) -> int:
    return sum((each.end - each.start).days + 1 for each in periods)
