"""Evaluate rules: from the tree of a rule to closures.

A closure is given the row to read and the scope; inside `previous(…)`, `within(…)` and `in_form(…)` the row is that of
the other report, and `total(…)` goes over the rows of that report.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Literal, NamedTuple, TypeAlias

from gateway.domain.rounding import round_half_away
from gateway.domain.rule_tree import (
    MAX_DECIMALS,
    Apply,
    Chain,
    Column,
    Constant,
    Elsewhere,
    Expression,
    Figure,
    Foreign,
    Value,
)
from gateway.domain.scope import Cells, Number, OtherReport, Scope, Undecided, zeros

MAX_FIGURE_BITS = 1024
"""Size of a numerator or denominator past which a calculation is given up: three hundred digits."""
MAX_BITS = 8192
"""Size of an exact denominator past which a total of quotients is given up: no figure is that precise."""


class Judgement(NamedTuple):
    """A check's answer; `expected` and `actual` are given for `indicator == expression` on numbers.

    They are not where the check holds because nothing is owed within the period.
    """

    passed: bool
    expected: Number | None
    actual: Number | None


Evaluate: TypeAlias = Callable[[Cells, Scope], Value]
Judge: TypeAlias = Callable[[Cells, Scope], Judgement]

_OPERATIONS: dict[str, Callable[..., Value]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "negate": operator.neg,
    "not": operator.not_,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "abs": abs,
    "min": min,
    "max": max,
    "round": round_half_away,
}


def lower(node: Expression, absent: Cells, in_previous: bool = False) -> Evaluate:
    """The closure of a node; `absent` is the row that stands for one the preceding report does not have."""
    match node:
        case Constant(value=value):
            return lambda row, scope: value
        case Figure(name=name, index=index):
            return _figure(name, index)
        case Foreign(name=name):
            return _foreign_figure(name)
        case Chain(first=Figure(), rest=rest) if all(sign == "+" and isinstance(term, Figure) for sign, term in rest):
            return _sum_of_figures([node.first, *(term for _, term in rest)])
        case Chain(first=first, rest=rest):
            operations = [_operation(sign, term) for sign, term in rest]
            terms = [lower(term, absent, in_previous) for _, term in rest]
            return _chain(lower(first, absent, in_previous), tuple(zip(operations, terms, strict=True)))
        case Elsewhere(word="previous", text=text, operand=operand):
            return _previous(lower(operand, absent, True), text, absent)
        case Elsewhere(form=str(code), operand=operand):
            return _in_form(lower(operand, absent), code)
        case Elsewhere(word="within", text=text, operand=operand):
            return _sum_within(lower(operand, absent), text, absent)
        case Elsewhere(word=word, text=text, operand=operand):
            return _one_within(lower(operand, absent), 0 if word == "first_within" else -1, text, absent)
        case Apply(name=name, operands=operands):
            return _apply(name, [lower(operand, absent, in_previous) for operand in operands], in_previous)


def _apply(name: str, operands: list[Evaluate], in_previous: bool) -> Evaluate:
    match name, operands:
        case "and", _:
            return _until(False, operands)
        case "or", _:
            return _until(True, operands)
        case "if", [condition, yes, no]:
            return lambda row, scope: yes(row, scope) if condition(row, scope) else no(row, scope)
        case "total", [term]:
            return _total(term, in_previous)
    operation = _OPERATIONS[name]
    match operands:
        case [only]:
            return lambda row, scope: operation(only(row, scope))
        case [left, right]:
            return lambda row, scope: operation(left(row, scope), right(row, scope))
        case _:
            return lambda row, scope: operation([operand(row, scope) for operand in operands])


def _figure(name: str, index: int) -> Evaluate:
    def figure(row: Cells, scope: Scope) -> Value:
        value = row[index]
        if value is None:
            raise Undecided("blank", name)
        return value

    return figure


def _foreign_figure(name: str) -> Evaluate:
    """An indicator of another form, wherever the version of that report has it."""

    def foreign_figure(row: Cells, scope: Scope) -> Value:
        index = scope.columns.get(name)
        value = None if index is None else row[index]
        if value is None:
            raise Undecided("blank", name)
        return value

    return foreign_figure


def _sum_of_figures(figures: Sequence[Expression]) -> Evaluate:
    """The commonest expression of all, `a + b + c`, in one step."""
    named = [(figure.name, figure.index) for figure in figures if isinstance(figure, Figure)]
    pick = operator.itemgetter(*(index for _, index in named))

    def sum_of_figures(row: Cells, scope: Scope) -> Value:
        values = pick(row)
        if None in values:
            raise Undecided("blank", next(name for name, index in named if row[index] is None))
        total: Value = sum(values)
        return total

    return sum_of_figures


def _chain(first: Evaluate, rest: tuple[tuple[Callable[..., Value], Evaluate], ...]) -> Evaluate:
    def chain(row: Cells, scope: Scope) -> Value:
        value = first(row, scope)
        for operation, term in rest:
            value = operation(value, term(row, scope))
        return value

    return chain


def _operation(sign: str, term: Expression) -> Callable[[Number, Number], Value]:
    """What a sign does; each result is looked at where it can grow with every step, as figures of figures do."""
    operation = _divide_by(term.text) if sign == "/" else _OPERATIONS[sign]
    if sign in "+-" and isinstance(term, Figure | Foreign | Constant):
        return operation

    def bounded(left: Number, right: Number) -> Value:
        value = operation(left, right)
        if value.numerator.bit_length() > MAX_FIGURE_BITS or value.denominator.bit_length() > MAX_FIGURE_BITS:
            raise Undecided("too_large", term.text)
        return value

    return bounded


def _divide_by(divisor: str) -> Callable[[Number, Number], Number]:
    def divide(dividend: Number, by: Number) -> Number:
        if by == 0:
            raise Undecided("division_by_zero", divisor)
        return Fraction(dividend, by)

    return divide


def _until(answer: bool, operands: list[Evaluate]) -> Evaluate:
    def until(row: Cells, scope: Scope) -> bool:
        for operand in operands:
            if operand(row, scope) == answer:
                return answer
        return not answer

    return until


def _previous(operand: Evaluate, text: str, absent: Cells) -> Evaluate:
    def previous(row: Cells, scope: Scope) -> Value:
        if scope.previous_rows is None:
            raise Undecided("no_previous_report", text)
        return operand(absent if scope.previous_row is None else scope.previous_row, scope)

    return previous


def _sum_within(operand: Evaluate, text: str, absent: Cells) -> Evaluate:
    def sum_within(row: Cells, scope: Scope) -> Value:
        if not scope.within:
            raise Undecided("no_report_within", text)
        values = [_value_within(each, operand, scope, absent) for each in scope.within]
        found = _exact_sum(values, "within(…)")
        if isinstance(found, Undecided):
            raise found
        return found

    return sum_within


def _one_within(operand: Evaluate, place: Literal[0, -1], text: str, absent: Cells) -> Evaluate:
    def one_within(row: Cells, scope: Scope) -> Value:
        if not scope.within:
            raise Undecided("no_report_within", text)
        return _value_within(scope.within[place], operand, scope, absent)

    return one_within


def _value_within(within: tuple[str, OtherReport | None], operand: Evaluate, scope: Scope, absent: Cells) -> Value:
    """The operand in one report whose period lies within this one's."""
    period, report = within
    if report is None:
        raise Undecided("no_report_within", period)
    try:
        return operand(report.row(scope.codes, absent), report.scope)
    except Undecided as undecided:
        raise Undecided(undecided.reason, f"{undecided.operand} ({period})") from None


def _in_form(operand: Evaluate, code: str) -> Evaluate:
    def in_form(row: Cells, scope: Scope) -> Value:
        report = scope.forms.get(code)
        if report is None:
            raise Undecided("no_report_of_form", code)
        try:
            return operand(report.row(scope.codes, report.absent), report.scope)
        except Undecided as undecided:
            name = undecided.operand
            raise Undecided(undecided.reason, f"{code}.{name}" if name.isidentifier() else f"{code}.({name})") from None

    return in_form


def _total(term: Evaluate, in_previous: bool) -> Evaluate:
    def total(row: Cells, scope: Scope) -> Number:
        found = scope._totals.get(total)
        if found is None:
            rows = scope.previous_rows if in_previous else scope.rows
            found = scope._totals[total] = _sum(term, rows or (), scope)
        if isinstance(found, Undecided):
            raise Undecided(found.reason, found.operand)
        return found

    return total


def _sum(term: Evaluate, rows: Sequence[Cells], scope: Scope) -> Number | Undecided:
    """The sum over the rows whose term is not blank, or why there is none."""
    values: list[Number] = []
    blank: Undecided | None = None
    for row in rows:
        try:
            values.append(term(row, scope))
        except Undecided as undecided:
            if undecided.reason != "blank":
                return undecided.with_traceback(None)
            blank = blank or undecided.with_traceback(None)
    return blank if blank is not None and not values else _exact_sum(values, "total(…)")


def _exact_sum(values: Sequence[Number], what: str) -> Number | Undecided:
    """The sum, first of equal denominators, then by halves: linear on decimals, bearable on any fractions."""
    numerators: dict[int, int] = {}
    for value in values:
        numerators[value.denominator] = numerators.get(value.denominator, 0) + value.numerator
    sums: list[Number] = [Fraction(top, bottom) if bottom > 1 else top for bottom, top in numerators.items()]
    while len(sums) > 1:
        sums = [sum(sums[index : index + 2]) for index in range(0, len(sums), 2)]
        if max(part.denominator.bit_length() for part in sums) > MAX_BITS:
            return Undecided("too_large", what)
    return sums[0] if sums else 0


def condition(holds: Evaluate) -> Judge:
    """A check of any other shape: it holds or not."""
    return lambda row, scope: Judgement(bool(holds(row, scope)), None, None)


def equation(left: Evaluate, right: Evaluate, scale: int | None) -> Judge:
    """`indicator == expression`: the expression is rounded to what the indicator can hold."""
    places = MAX_DECIMALS if scale is None else scale

    def judged(row: Cells, scope: Scope) -> Judgement:
        actual = left(row, scope)
        expected = round_half_away(right(row, scope), places)
        return Judgement(actual == expected, expected, actual)

    return judged


def where_owed_within(judge: Judge) -> Judge:
    """A check that looks within the period, which holds where nothing is owed there."""

    def judged(row: Cells, scope: Scope) -> Judgement:
        return judge(row, scope) if scope.within else Judgement(True, None, None)

    return judged


def surely_holds(tree: Expression) -> Callable[[Cells, Cells | None], bool] | None:
    """`a == b + c + d` and `a == previous(b)` without scope or judgement: nearly all rows of nearly all reports."""
    match tree:
        case Apply(name="==", operands=(Figure(index=left), Chain(first=Figure() as first, rest=rest))) if all(
            sign == "+" and isinstance(term, Figure) for sign, term in rest
        ):
            terms = [first.index, *(term.index for _, term in rest if isinstance(term, Figure))]
            pick = operator.itemgetter(*terms)

            def is_sum(row: Cells, before: Cells | None) -> bool:
                values = pick(row)
                return None not in values and row[left] == sum(values)

            return is_sum
        case Apply(name="==", operands=(Figure(index=left), Elsewhere(word="previous", operand=Figure(index=right)))):

            def is_as_before(row: Cells, before: Cells | None) -> bool:
                value = row[left]
                return value is not None and value == (0 if before is None else before[right])

            return is_as_before
        case _:
            return None


def absent_row(columns: Mapping[str, Column]) -> Cells:
    """A row of zeros; 0 is also false."""
    return zeros(column.index for column in columns.values())
