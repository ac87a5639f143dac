"""Backtest: judge stored reports anew by a form's rules, to see what they would say; nothing is stored.

Reports that were sent under another version of the form are read by the ids of its indicators.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.engine import driver
from gateway.db.related import CurrentKey, current_keys, find_reports
from gateway.domain.catalogue import Catalogue
from gateway.domain.form import Form
from gateway.domain.form_document import Rule, Severity
from gateway.domain.period import Period, parse_period
from gateway.domain.report import Finding, ReportKind
from gateway.errors import ContentTooLarge, Text
from gateway.flow.apply_rules import apply_rules
from gateway.flow.findings import in_order
from gateway.flow.look_up import know, look_ups
from gateway.flow.prepare import MAX_WORK
from gateway.flow.read_rows import Reading
from gateway.flow.related import Current, CurrentReports, Series, Wanted, wanted

MAX_REPORTS = 10_000
MAX_SECONDS = 30.0
"""How long reports are judged for one answer."""
MAX_EXAMPLES = 20
_CHUNK = 20
"""Reports read together: as large as they may be, so many fit into memory."""


@dataclass(frozen=True, slots=True)
class Example:
    """A finding, and the report it is about."""

    agency: str
    kind: ReportKind
    period: str
    report: UUID
    finding: Finding


@dataclass(slots=True)
class Tried:
    """What a rule says of the reports: how many it finds fault with, how often, and the first of it."""

    rule: Rule
    reports: int = 0
    findings: Counter[Severity] = field(default_factory=Counter)
    examples: list[Example] = field(default_factory=list)


@dataclass(slots=True)
class Backtest:
    """What the rules of a form say of so many reports; ``is_complete`` if these are all there are."""

    form: Form
    rules: dict[str, Tried]
    reports: int = 0
    is_complete: bool = True


async def backtest(
    engine: AsyncEngine,
    catalogue: Catalogue,
    form: Form,
    periods: Sequence[Period],
    agencies: Sequence[int] | None,
    *,
    max_reports: int = MAX_REPORTS,
    max_seconds: float = MAX_SECONDS,
) -> Backtest:
    """Judge the current reports of a form's code for some periods and agencies (storage keys; None: all).

    They see what they would see if they were pushed now. Raises ``ContentTooLarge`` where a report has more rows
    than the rules allow.
    """
    clock = asyncio.get_running_loop().time
    until = clock() + max_seconds
    async with driver(engine) as connection:
        keys = await current_keys(
            connection, catalogue.form_ids[form.code], [each.code for each in periods], agencies, max_reports + 1
        )
    found = Backtest(form, {rule.document.id: Tried(rule.document) for rule in form.rules})
    found.is_complete = len(keys) <= max_reports
    for start in range(0, min(len(keys), max_reports), _CHUNK):
        subjects = [_Subject.of(key, form, catalogue) for key in keys[start : min(start + _CHUNK, max_reports)]]
        async with driver(engine) as connection:
            reports = await _read(connection, catalogue, form, subjects)
        for subject in subjects:
            if clock() > until:
                found.is_complete = False
                return found
            report = reports.get(subject.series, subject.period.code)
            if report is not None:  # else it was withdrawn a moment ago
                _count(found, subject, report, reports)
            await asyncio.sleep(0)
    return found


@dataclass(frozen=True, slots=True)
class _Subject:
    """A report that is to be judged: of which series and period, and the periods within for which reports are owed."""

    series: Series
    period: Period
    within: Sequence[Period]

    @classmethod
    def of(cls, key: CurrentKey, form: Form, catalogue: Catalogue) -> "_Subject":
        series = Series(catalogue.agencies.codes[key.agency], form.code, ReportKind(key.kind))
        period = Period(key.period, parse_period(key.period).frequency, key.start, key.end)
        within = catalogue.obligations.within(form.code, series.agency, series.kind, period) if form.uses_within else ()
        return cls(series, period, within)


async def _read(connection: Any, catalogue: Catalogue, form: Form, subjects: Sequence[_Subject]) -> CurrentReports:
    """The reports that are judged, and those that the rules look at besides them."""
    own = [Wanted(each.series, each.period.code, None) for each in subjects]
    others = [other for each in subjects for other in wanted(form, each.series, each.period, each.within)]
    asked = list(dict.fromkeys([*own, *others]))
    reports = CurrentReports()
    know(reports, await find_reports(connection, look_ups(asked, catalogue)), asked, catalogue)
    return reports


def _count(found: Backtest, subject: _Subject, report: Current, reports: CurrentReports) -> None:
    findings = _findings(found.form, subject, report, reports)
    found.reports += 1
    for rule in {each.rule for each in findings}:
        found.rules[rule].reports += 1
    for finding in findings:
        tried = found.rules[finding.rule]
        tried.findings[finding.severity] += 1
        if len(tried.examples) < MAX_EXAMPLES:
            agency, _, kind = subject.series
            tried.examples.append(Example(agency, kind, report.period.code, report.id, finding))


def _findings(form: Form, subject: _Subject, report: Current, reports: CurrentReports) -> list[Finding]:
    rows = report.rows_as(form)
    if len(rows) * form.weight > MAX_WORK:
        most = MAX_WORK // form.weight
        raise ContentTooLarge(
            Text(
                f"Báo cáo {report.id} có quá nhiều dòng so với các quy tắc này (tối đa {most} dòng).",
                f"Report {report.id} has too many rows for these rules (at most {most}).",
            )
        )
    readings = [Reading(form, index, codes, list(cells)) for index, (codes, cells) in enumerate(rows.items())]
    findings: list[Finding] = []
    apply_rules(form, readings, reports.related(form, subject.series, subject.period, subject.within), findings)
    return in_order(findings)
