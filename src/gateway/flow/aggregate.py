"""Aggregate: put the figures of counted reports together, exactly, as the form says each may be.

Over agencies and breakdowns an indicator is added, recomputed by its formula, or left null; over periods it is
added (a flow), taken from the first or the last period asked for (a stock), recomputed, or left null. A row that
holds one row of one report shows that row's own figures.
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from hashlib import blake2b
from typing import Any

from gateway.db.counted import Scope, count_owed
from gateway.db.figures import Column, Ground, Grouping, Taken, combined_rows, find_ground
from gateway.db.state import State
from gateway.domain.agency import Organisation
from gateway.domain.catalogue import Catalogue
from gateway.domain.form import Form, typed
from gateway.domain.form_document import Combine, Indicator, Type
from gateway.domain.period import Period, PeriodError, expand, gaps_and_overlaps
from gateway.domain.recompute import recomputed
from gateway.errors import MalformedRequest, NotFound, Place, Text
from gateway.flow.look import Opened

COMMON_GROUPS = ("agency", "level", "period")


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: a form's indicators over some periods, under an agency (None: the whole country).

    ``reorganised_on`` is the day whose organisation holds for every period; None leaves each period to its own.
    ``chosen``, where agencies are grouped by, asks for the whole subtree of each of these in the place of the children
    of ``under``: of those one below another, the one at ``depth`` from the top, so that no report is in two rows.
    """

    form: Form
    form_code: str
    periods: list[Period]
    under: str | None
    by: tuple[str, ...]
    indicators: list[Indicator]
    reorganised_on: date | None = None
    chosen: frozenset[str] | None = None
    depth: int = 0

    def organisation(self, catalogue: Catalogue, period: Period) -> Organisation:
        """What the figures of a period are put together by."""
        if self.reorganised_on is not None:
            return catalogue.agencies.reorganised(self.reorganised_on)
        return catalogue.agencies.as_reported(catalogue.agencies.last_change(period.end))

    def branches(self, catalogue: Catalogue, period: Period) -> Mapping[str, str]:
        """For every agency counted in a period, the child of ``under`` it counts in; ``under`` itself for its own."""
        return self.grouped(catalogue, self.organisation(catalogue, period))

    def grouped(self, catalogue: Catalogue, organisation: Organisation) -> Mapping[str, str]:
        """The same in one organisation; with ``chosen``, the one of these it counts in."""
        if self.chosen is None:
            return catalogue.agencies.branches(organisation, self.under)
        chains = catalogue.agencies.chains(organisation, self.under, self.chosen)
        return {code: chain[self.depth] for code, chain in chains.items() if len(chain) > self.depth}

    def name(self, state: State) -> str:
        """The name of the state that was read: with the day since when the organisation holds, where that is chosen."""
        return str(replace(state.name, day=self.reorganised_on))

    def scope(self, catalogue: Catalogue, state: State) -> Scope:
        """The reports counted in a state: those of everyone who is in the subtree in some of the periods."""
        agencies = None
        if self.under is not None or self.chosen is not None:
            codes = {code for period in self.periods for code in self.branches(catalogue, period)}
            agencies = sorted(catalogue.agencies.ids[code] for code in codes)
        return Scope(
            catalogue.form_ids[self.form_code],
            [each.code for each in self.periods],
            sorted({each.end.year for each in self.periods}),
            agencies,
            state,
        )

    def owed(self, catalogue: Catalogue) -> list[tuple[int, int]] | None:
        """The reports owed and added up, as (place of the period from 1, agency); None for a form in no regime."""
        obligations, ids = catalogue.obligations, catalogue.agencies.ids
        if not any(obligations.is_regulated(self.form_code, each) for each in self.periods):
            return None
        found: list[tuple[int, int]] = []
        for place, period in enumerate(self.periods, start=1):
            counted = {} if self.under is None else self.branches(catalogue, period)
            found += [
                (place, ids[each.agency])
                for each in obligations.counted(self.form_code, period.code)
                if self.under is None or each.agency in counted
            ]
        return found


@dataclass(frozen=True, slots=True)
class Aggregate:
    """An answer: what it rests on, the columns of its rows in order, and the rows as they come.

    ``expected`` and ``missing`` count the reports owed, and those of them not counted; None for a form in no regime.
    ``mark`` is equal for answers with equal figures, and moves when what they rest on does.
    """

    mark: bytes
    reports: int
    expected: int | None
    missing: int | None
    form_versions: list[int]
    as_of: str
    columns: list[str]
    rows: AsyncIterator[dict[str, object]]


def _wrong(parameter: str, vi: str, en: str) -> MalformedRequest:
    message = Text(vi, en)
    return MalformedRequest(message, errors=[Place(parameter, message)])


def read_periods(catalogue: Catalogue, form: str, expression: str) -> list[Period]:
    """The periods asked for as the form's regimes cut them, in order of time. Raises ``MalformedRequest``."""
    try:
        periods = expand(expression, lambda code: catalogue.obligations.rule(form, code))
        return sorted(periods, key=lambda each: (each.start, each.end))
    except PeriodError as error:
        raise _wrong("period", *error.message) from error


def ask(
    catalogue: Catalogue,
    form: str,
    period: str,
    under: str | None,
    by: str | None,
    indicator: str | None,
    reorganised_on: date | None = None,
) -> Question:
    """Read the parameters of a question. Raises ``MalformedRequest`` naming the parameter, ``NotFound`` for no form."""
    versions = catalogue.forms.get(form)
    if not versions:
        raise NotFound(Text("Không có biểu mẫu này.", "There is no such form."))
    periods = read_periods(catalogue, form, period)
    in_force = [each for each in versions if any(each.document.is_valid_on(day.end) for day in periods)]
    newest = (in_force or versions)[-1]
    groups = tuple(part for part in (by or "").split(",") if part) if by else ()
    known = {*COMMON_GROUPS, *(each.id for each in newest.breakdowns)}
    unknown = [part for part in groups if part not in known]
    if unknown or len(set(groups)) < len(groups):
        names = ", ".join(sorted(known))
        raise _wrong("by", f"by nhận: {names}, mỗi giá trị một lần.", f"by takes: {names}, each once.")
    if "period" not in groups:
        _require_whole_time(periods)
    return Question(newest, form, periods, under, groups, _indicators(newest, indicator), reorganised_on)


def _require_whole_time(periods: list[Period]) -> None:
    found = gaps_and_overlaps(periods)
    if found:
        names = "; ".join(f"{one.code} / {other.code}: {kind}" for one, other, kind in found[:20])
        raise _wrong(
            "period",
            f"Các kỳ không liền nhau hoặc chồng lấn ({names}); hãy thêm by=period.",
            f"The periods leave gaps or overlap ({names}); add by=period.",
        )


def _indicators(form: Form, asked: str | None) -> list[Indicator]:
    if not asked:
        return list(form.indicators)
    by_id = {each.id: each for each in form.indicators}
    names = [part for part in asked.split(",") if part]
    unknown = [name for name in names if name not in by_id]
    if unknown:
        raise _wrong("indicator", "Biểu mẫu không có chỉ tiêu này.", "The form has no such indicator.")
    return [by_id[name] for name in dict.fromkeys(names)]


async def aggregate(opened: Opened, question: Question) -> Aggregate:
    """The answer to a question in an open state; its rows are read as they are taken."""
    catalogue, connection = opened.catalogue, opened.connection
    plan = _Plan(catalogue, question, opened.state)
    ground = await find_ground(connection, plan.scope, plan.grouping)
    owed = question.owed(catalogue)
    missing = None if owed is None else len(owed) - await count_owed(connection, plan.scope, owed)
    expected = None if owed is None else len(owed)
    return Aggregate(
        plan.mark(ground, expected, missing),
        ground.reports,
        expected,
        missing,
        ground.form_versions,
        question.name(opened.state),
        plan.columns,
        plan.rows(connection),
    )


def series(opened: Opened, question: Question) -> AsyncIterator[dict[str, object]]:
    """Only the rows of an answer, in an open state: those that differ in their period follow each other."""
    return _Plan(opened.catalogue, question, opened.state).rows(opened.connection, periods_last=True)


class _Plan:
    """How a question is put to the database and its rows are made into answers."""

    def __init__(self, catalogue: Catalogue, question: Question, state: State) -> None:
        self._catalogue, self._question = catalogue, question
        self._form = question.form
        self._over_time = len(question.periods) > 1 and "period" not in question.by
        self._needed = _with_operands(self._form, question.indicators)
        self._breakdowns = [
            (place, each.id)
            for place, each in enumerate(self._form.breakdowns, start=1)
            if each.id in question.by or each.total == "none"
        ]
        self._labels: list[dict[str, object]] = []
        self.grouping = self._group()
        self.scope = question.scope(catalogue, state)
        own = ["own"] if "agency" in question.by else []
        groups = [name for name in COMMON_GROUPS if name in question.by]
        self.columns = [
            *groups[:1],
            *(own if groups[:1] == ["agency"] else []),
            *groups[1:],
            *(name for _, name in self._breakdowns),
            *(each.id for each in question.indicators),
        ]

    def _group(self) -> Grouping:
        question = self._question
        places = [place for place, _ in self._breakdowns]
        by_period = "period" in question.by
        if question.under is None and not {"agency", "level"} & set(question.by):
            return Grouping(by_period, False, places)
        numbers: dict[tuple[object, ...], int] = {}
        trees: dict[tuple[object, ...], int] = {}
        eras: dict[Organisation, int] = {}
        groups: list[tuple[int, int, int]] = []
        ids = self._catalogue.agencies.ids
        organisations = [question.organisation(self._catalogue, each) for each in question.periods]
        for organisation in dict.fromkeys(organisations):
            labels = self._labelled(organisation)
            tree = tuple(labels.items())
            if tree not in trees:
                era = trees[tree] = len(trees)
                groups += [(era, ids[code], numbers.setdefault(label, len(numbers))) for code, label in tree]
            eras[organisation] = trees[tree]
        order = {label: place for place, label in enumerate(sorted(numbers, key=_label_order))}
        renumbered = {number: order[label] for label, number in numbers.items()}
        self._labels = [self._shown(label) for label in sorted(numbers, key=_label_order)]
        return Grouping(
            by_period,
            bool({"agency", "level"} & set(question.by)),
            places,
            [eras[each] for each in organisations],
            [(era, agency, renumbered[number]) for era, agency, number in groups],
        )

    def _labelled(self, organisation: Organisation) -> dict[str, tuple[object, ...]]:
        """For every agency counted, what tells its row from others."""
        branches = self._question.grouped(self._catalogue, organisation)
        return {code: self._label(code, branch, organisation) for code, branch in branches.items()}

    def _label(self, code: str, branch: str, organisation: Organisation) -> tuple[object, ...]:
        by = self._question.by
        agency = (branch != self._question.under, branch) if "agency" in by else ()
        if "level" not in by:
            return agency
        version = self._catalogue.agencies.nearest(organisation.counts_as(code), organisation.day)
        return (*agency, version.level.value)

    def _shown(self, label: tuple[object, ...]) -> dict[str, object]:
        by = self._question.by
        shown: dict[str, object] = {}
        if "agency" in by:
            shown |= {"agency": label[1], "own": not label[0]}
        if "level" in by:
            shown["level"] = label[-1]
        return shown

    def mark(self, ground: Ground, *counts: int | None) -> bytes:
        """What the figures follow from: which reports in which groups, how these are shown, and by which formulas."""
        asked = self._question
        parts = (ground.mark, counts, asked.under, asked.reorganised_on, self.columns, self._labels, self._form.version)
        return blake2b(repr(parts).encode(), digest_size=16).digest()

    async def rows(self, connection: Any, periods_last: bool = False) -> AsyncIterator[dict[str, object]]:
        columns = [self._column(each) for each in self._needed]
        async for row in combined_rows(connection, self.scope, self.grouping, columns, periods_last):
            yield self._answer(row)

    def _answer(self, row: Sequence[Any]) -> dict[str, object]:
        values = iter(row)
        answer: dict[str, object] = {}
        period = self._question.periods[next(values) - 1].code if self.grouping.by_period else None
        if self.grouping.by_group:
            answer |= self._labels[next(values)]
        if period is not None:
            answer["period"] = period
        answer |= {name: next(values) for _, name in self._breakdowns}
        count = next(values)
        figures = {each.id: next(values) for each in self._needed}
        for indicator in self._question.indicators:
            answer[indicator.id] = self._value(indicator, figures, count)
        return answer

    def _column(self, indicator: Indicator) -> Column:
        is_text = indicator.type is Type.text
        places = {
            form.version: (form.text_index if is_text else form.value_index).get(indicator.id)
            for form in self._catalogue.forms[self._question.form_code]
        }
        return Column(places, self._taken(indicator), is_text)

    def _taken(self, indicator: Indicator) -> Taken:
        added = indicator.over_agencies is not Combine.none and indicator.is_number
        if not self._over_time:
            return Taken.sum if added and indicator.over_agencies is Combine.sum else Taken.only
        match indicator.over_time:
            case Combine.sum:
                return Taken.sum if added else Taken.only
            case Combine.first:
                return Taken.first if added else Taken.only_first
            case Combine.last:
                return Taken.last if added else Taken.only_last
            case Combine.formula | Combine.none:
                return Taken.only

    def _value(self, indicator: Indicator, figures: Mapping[str, Any], count: int) -> object:
        if self._over_time and indicator.over_time is Combine.none:
            return None
        by_formula = indicator.over_agencies is Combine.formula and (count > 1 or self._over_time)
        if by_formula or (self._over_time and indicator.over_time is Combine.formula):
            return recomputed(self._form, indicator, figures)
        return typed(indicator, figures[indicator.id])


def _label_order(label: tuple[object, ...]) -> tuple[str, ...]:
    return tuple(str(part) for part in label)


def _with_operands(form: Form, indicators: Iterable[Indicator]) -> list[Indicator]:
    """The indicators asked for and those that their formulas read."""
    needed = {each.id for each in indicators}
    for name in list(needed):
        if name in form.formulas:
            needed |= form.formulas[name].operands
    return [each for each in form.indicators if each.id in needed]
