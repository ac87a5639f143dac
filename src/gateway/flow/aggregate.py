"""Aggregate: put the figures of counted reports together, exactly, as the form says each may be.

Over agencies and breakdowns an indicator is added, recomputed by its formula, or left null; over periods it is
added (a flow), taken from the first or the last period asked for (a stock), recomputed, or left null. A row that
holds one row of one report shows that row's own figures.
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.figures import Column, Grouping, Scope, Taken, combined_rows, count_reports, snapshot, state_token
from gateway.domain.catalogue import Catalogue
from gateway.domain.form import Combine, Form, Indicator, Type, typed
from gateway.domain.period import Period, PeriodError, expand, gaps_and_overlaps
from gateway.domain.rules import Scope as RuleScope
from gateway.domain.rules import Undecided, round_half_away
from gateway.errors import MalformedRequest, NotFound, Place, Text

COMMON_GROUPS = ("agency", "level", "period")


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: a form's indicators over some periods, under an agency (None: the whole country)."""

    form: Form
    form_code: str
    periods: list[Period]
    under: str | None
    by: tuple[str, ...]
    indicators: list[Indicator]


@dataclass(frozen=True, slots=True)
class Aggregate:
    """An answer: what it rests on, the columns of its rows in order, and the rows as they come."""

    reports: int
    form_versions: list[int]
    as_of: str
    columns: list[str]
    rows: AsyncIterator[dict[str, object]]


def _wrong(parameter: str, vi: str, en: str) -> MalformedRequest:
    message = Text(vi, en)
    return MalformedRequest(message, errors=[Place(parameter, message)])


def read_periods(expression: str) -> list[Period]:
    """The periods asked for, in order of time. Raises ``MalformedRequest``."""
    try:
        return sorted(expand(expression), key=lambda each: (each.start, each.end))
    except PeriodError as error:
        raise _wrong("period", *error.message) from error


def ask(
    catalogue: Catalogue, form: str, period: str, under: str | None, by: str | None, indicator: str | None
) -> Question:
    """Read the parameters of a question. Raises ``MalformedRequest`` naming the parameter, ``NotFound`` for no form."""
    versions = catalogue.forms.get(form)
    if not versions:
        raise NotFound(Text("Không có biểu mẫu này.", "There is no such form."))
    periods = read_periods(period)
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
    return Question(newest, form, periods, under, groups, _indicators(newest, indicator))


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


@asynccontextmanager
async def aggregate(engine: AsyncEngine, catalogue: Catalogue, question: Question) -> AsyncIterator[Aggregate]:
    """The answer to a question, read from one snapshot; its rows are streamed while the block runs."""
    plan = _Plan(catalogue, question)
    async with snapshot(engine) as connection:
        reports, versions = await count_reports(connection, plan.scope)
        token = await state_token(connection)
        yield Aggregate(reports, versions, token, plan.columns, plan.rows(connection))


class _Plan:
    """How a question is put to the database and its rows are made into answers."""

    def __init__(self, catalogue: Catalogue, question: Question) -> None:
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
        self._grouping = self._group()
        self.scope = Scope(
            catalogue.form_ids[question.form_code],
            [each.code for each in question.periods],
            sorted({each.end.year for each in question.periods}),
            self._agencies(),
        )
        own = ["own"] if "agency" in question.by else []
        groups = [name for name in COMMON_GROUPS if name in question.by]
        self.columns = [
            *groups[:1],
            *(own if groups[:1] == ["agency"] else []),
            *groups[1:],
            *(name for _, name in self._breakdowns),
            *(each.id for each in question.indicators),
        ]

    def _agencies(self) -> list[int] | None:
        """Everyone who stands in the subtree in some of the periods; the grouping tells in which."""
        under = self._question.under
        if under is None:
            return None
        agencies = self._catalogue.agencies
        found = {code for each in self._question.periods for code in agencies.placed(each.end).subtree(under)}
        return sorted(agencies.ids[code] for code in found)

    def _group(self) -> Grouping:
        question = self._question
        places = [place for place, _ in self._breakdowns]
        by_period = "period" in question.by
        if question.under is None and not {"agency", "level"} & set(question.by):
            return Grouping(by_period, False, places)
        numbers: dict[tuple[object, ...], int] = {}
        trees: dict[tuple[object, ...], int] = {}
        eras: list[int] = []
        groups: list[tuple[int, int, int]] = []
        for period in question.periods:
            branches = self._catalogue.agencies.branches(period.end, question.under)
            labels = {code: self._label(code, branch, period.end) for code, branch in branches.items()}
            era = trees.setdefault(tuple(labels.items()), len(trees))
            if era not in eras:
                ids = self._catalogue.agencies.ids
                groups += [(era, ids[code], numbers.setdefault(label, len(numbers))) for code, label in labels.items()]
            eras.append(era)
        order = {label: place for place, label in enumerate(sorted(numbers, key=_label_order))}
        renumbered = {number: order[label] for label, number in numbers.items()}
        self._labels = [self._shown(label) for label in sorted(numbers, key=_label_order)]
        by_group = bool({"agency", "level"} & set(question.by))
        return Grouping(by_period, by_group, places, eras, [(era, agency, renumbered[n]) for era, agency, n in groups])

    def _label(self, code: str, branch: str, day: date) -> tuple[object, ...]:
        by = self._question.by
        agency = (branch != self._question.under, branch) if "agency" in by else ()
        level = (self._catalogue.agencies.nearest(code, day).level.value,) if "level" in by else ()
        return (*agency, *level)

    def _shown(self, label: tuple[object, ...]) -> dict[str, object]:
        by = self._question.by
        shown: dict[str, object] = {}
        if "agency" in by:
            shown |= {"agency": label[1], "own": not label[0]}
        if "level" in by:
            shown["level"] = label[-1]
        return shown

    async def rows(self, connection: Any) -> AsyncIterator[dict[str, object]]:
        columns = [self._column(each) for each in self._needed]
        async for row in combined_rows(connection, self.scope, self._grouping, columns):
            yield self._answer(row)

    def _answer(self, row: Sequence[Any]) -> dict[str, object]:
        values = iter(row)
        answer: dict[str, object] = {}
        period = self._question.periods[next(values) - 1].code if self._grouping.by_period else None
        if self._grouping.by_group:
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
            return _recomputed(self._form, indicator, figures)
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


def _recomputed(form: Form, indicator: Indicator, figures: Mapping[str, Any]) -> object:
    """A formula over combined figures; null where an operand is, or where it divides by zero."""
    cells = [_exact(figures.get(each.id)) for each in form.indicators]
    try:
        value = form.formulas[indicator.id].evaluate(RuleScope(cells, [cells], None, None))
    except Undecided:
        return None
    exact = Fraction(round_half_away(value, indicator.places))
    if indicator.type is Type.integer:
        return int(exact)
    scaled = int(exact * 10**indicator.places)
    return Decimal(scaled).scaleb(-indicator.places)


def _exact(value: object) -> int | Fraction | None:
    return Fraction(value) if isinstance(value, Decimal) else None
