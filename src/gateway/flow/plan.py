"""Plan: how a question is put to the database, and how the rows that come are made into answers."""

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Any, NamedTuple

from gateway.db.figures import Column, Ground, Grouping, Taken, combined_rows, combined_series
from gateway.db.state import State
from gateway.domain.agency import Organisation
from gateway.domain.catalogue import Catalogue
from gateway.domain.form import Form, typed
from gateway.domain.form_document import Combine, Indicator, Type
from gateway.domain.period import Period
from gateway.domain.recompute import recomputed
from gateway.flow.question import COMMON_GROUPS, Question
from gateway.flow.totals import Totals

_ENDS = {Combine.first: Taken.first, Combine.last: Taken.last}


class Member(NamedTuple):
    """A row of a series: the figures of an agency (None: of all) and codes (None: of all of a breakdown) in a period.

    ``figures`` are in the order of the indicators asked for, each as a text with every digit; true and false are 1 and
    0, and None is a blank.
    """

    agency: str | None
    codes: tuple[str | None, ...]
    period: Period
    figures: list[str | None]


class Plan:
    """How a question is put to the database and its rows are made into answers."""

    def __init__(self, catalogue: Catalogue, question: Question, state: State) -> None:
        self._catalogue, self._question = catalogue, question
        self._form = question.form
        self._over_time = len(question.periods) > 1 and "period" not in question.by
        self.needed = _with_operands(self._form, question.indicators)
        ends = [_ENDS[each.over_time] for each in question.indicators if self._is_of_an_end(each)]
        self._ends = list(dict.fromkeys(ends))
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

    def group_of(self, row: Mapping[str, object]) -> int | None:
        """The group that a row of the answer is of; None where rows are not told apart by groups."""
        if not self.grouping.by_group:
            return None
        return next(
            number
            for number, label in enumerate(self._labels)
            if all(row[name] == value for name, value in label.items())
        )

    def codes_of(self, row: Mapping[str, object]) -> dict[int, str]:
        """The codes that a row of the answer is of, by the places of their breakdowns from 1."""
        return {place: str(row[name]) for place, name in self._breakdowns}

    def own(self, indicator: Indicator) -> Column:
        """The column of an indicator in the rows of one report: added where that may be, else of the only row."""
        return replace(self._column(indicator), taken=Taken.sum if _is_added(indicator) else Taken.only)

    def mark(self, ground: Ground, *counts: int | None) -> bytes:
        """What the figures follow from: which reports in which groups, how these are shown, and by which formulas."""
        asked = self._question
        parts = (ground.mark, counts, asked.under, asked.reorganised_on, self.columns, self._labels, self._form.version)
        return blake2b(repr(parts).encode(), digest_size=16).digest()

    async def rows(self, connection: Any) -> AsyncGenerator[dict[str, object], None]:
        columns = [self._column(each) for each in self.needed]
        columns += [self._at_end(each, end) for end in self._ends for each in self.needed]
        async for row in combined_rows(connection, self.scope, self.grouping, columns):
            yield self._answer(row)

    async def series(self, connection: Any) -> AsyncGenerator[Member, None]:
        """The rows of a question by period about numbers: those that differ in it alone follow each other."""
        columns = [self._column(each) for each in self.needed]
        totals = Totals(self._form, self._question.indicators, self.needed)
        first_code = 1 + self.grouping.by_group
        kept = {name: first_code + place for place, (_, name) in enumerate(self._breakdowns)}
        codes_at = [kept.get(each.id) for each in self._form.breakdowns]
        count_at = first_code + len(kept)
        async for rows in combined_series(connection, self.scope, self.grouping, columns):
            for row in rows:
                yield Member(
                    str(self._labels[row[1]]["agency"]) if self.grouping.by_group else None,
                    tuple([None if place is None else row[place] for place in codes_at]),
                    self._question.periods[row[0] - 1],
                    totals.read(row[count_at + 1], row[count_at]),
                )

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
        figures = {each.id: next(values) for each in self.needed}
        ends = {end: {each.id: next(values) for each in self.needed} for end in self._ends}
        for indicator in self._question.indicators:
            if self._is_of_an_end(indicator):
                answer[indicator.id] = recomputed(self._form, indicator, ends[_ENDS[indicator.over_time]])
            else:
                answer[indicator.id] = self._value(indicator, figures, count)
        return answer

    def _is_of_an_end(self, indicator: Indicator) -> bool:
        """Whether it is recomputed from what the first or the last of several periods has."""
        return self._over_time and indicator.over_agencies is Combine.formula and indicator.over_time in _ENDS

    def _at_end(self, indicator: Indicator, end: Taken) -> Column:
        """The column of an operand in the first or the last period."""
        only = Taken.only_first if end is Taken.first else Taken.only_last
        return replace(self._column(indicator), taken=end if _is_added(indicator) else only)

    def _column(self, indicator: Indicator) -> Column:
        is_text = indicator.type is Type.text
        places = {
            form.version: (form.text_index if is_text else form.value_index).get(indicator.id)
            for form in self._catalogue.forms[self._question.form_code]
        }
        return Column(places, self._taken(indicator), is_text)

    def _taken(self, indicator: Indicator) -> Taken:
        if not self._over_time:
            return Taken.sum if _is_added(indicator) else Taken.only
        added = indicator.over_agencies is not Combine.none and indicator.is_number
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


def _is_added(indicator: Indicator) -> bool:
    return indicator.over_agencies is Combine.sum and indicator.is_number


def _label_order(label: tuple[object, ...]) -> tuple[str, ...]:
    return tuple(str(part) for part in label)


def _with_operands(form: Form, indicators: Iterable[Indicator]) -> list[Indicator]:
    """The indicators asked for and those that their formulas read."""
    needed = {each.id for each in indicators}
    for name in list(needed):
        if name in form.formulas:
            needed |= form.formulas[name].operands
    return [each for each in form.indicators if each.id in needed]
