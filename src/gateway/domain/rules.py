"""The rule language: what a form's author writes in `check` and `formula`. This text is its reference.

    received_total == received_online + received_offline + carried_over
    if(resolved_total == 0, true, resolved_late / resolved_total <= 0.05)
    carried_over == previous(pending_total)

From what binds weakest to what binds strongest; operators of one line are read from left to right:

    or · and · not · == != < <= > >= · + - · * / · -x        parentheses group; a == b == c is an error

An operand is a number or boolean indicator of the form, a decimal number (`0.05`), `true` or `false`, or one
of:

    if(condition, a, b)         a where the condition holds, otherwise b; the other one is not looked at
    abs(x) · min(a, b, …) · max(a, b, …)
    round(x, n)                 to n decimals (0 to 10, a plain number), half away from zero
    total(x)                    the sum of x over all rows of the report
    previous(x)                 x in the report of the preceding period, for the same row

`total(previous(x))` and `previous(total(x))` are both the sum over the rows of the preceding report. A
`total` holds no other `total`, nor a `previous` as a part of something larger; a `previous` holds no other
`previous`.

A blank is not a zero. A rule that meets one is `Undecided`, and so is a rule that divides by zero. Only
`total` skips rows whose x is blank: where every row's is, the total is blank; the total of no rows is 0.
A total of quotients too long to be written down exactly is undecided as well.
`and`, `or` and `if` look at no more than they need. In `previous(x)`, a row that the preceding report does
not have counts 0 (and false) throughout; without a preceding report the rule is undecided.

Numbers are exact: integers and fractions, never binary or rounded decimals. Only a check of the shape
`indicator == expression` rounds, once, at the end: the expression to the decimals of the indicator, half
away from zero.

A rule that reads no figure outside `total` is judged once for the report; any other, once for each row.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Literal, NamedTuple, Self, TypeAlias

from gateway.domain.rule_syntax import (
    MAX_DECIMALS,
    RESERVED,
    Apply,
    Chain,
    Column,
    Constant,
    Expression,
    Figure,
    Kind,
    Parser,
    RuleError,
    Value,
)

__all__ = [
    "RESERVED",
    "Cells",
    "Check",
    "Column",
    "Formula",
    "Judgement",
    "Kind",
    "Number",
    "RuleError",
    "Scope",
    "Undecided",
    "compile_check",
    "compile_formula",
    "round_half_away",
    "to_text",
]

MAX_BITS = 8192
"""Size of an exact denominator past which a total of quotients is given up: no figure is that precise."""

Number: TypeAlias = int | Fraction
Cells: TypeAlias = Sequence[int | Fraction | bool | None]
Reason: TypeAlias = Literal["blank", "division_by_zero", "no_previous_report", "too_large"]


class Undecided(Exception):
    """These figures cannot answer the rule: `operand` is the blank indicator, divisor or `previous(…)`."""

    def __init__(self, reason: Reason, operand: str) -> None:
        super().__init__(f"{reason}: {operand}")
        self.reason: Reason = reason
        self.operand = operand


@dataclass(frozen=True, slots=True)
class Scope:
    """What one evaluation sees: rows in the order of the form's indicators, where None is a blank.

    `row` is None when the report is judged as a whole, `previous_row` when the preceding report lacks the
    row, `previous_rows` when there is no such report. Rows must not change while a scope on them is in use.
    """

    row: Cells | None
    rows: Sequence[Cells]
    previous_row: Cells | None
    previous_rows: Sequence[Cells] | None
    _totals: dict[object, Number | Undecided] = field(default_factory=dict, repr=False, compare=False)

    def at(self, row: Cells, previous_row: Cells | None) -> Self:
        """The same report seen from one of its rows; totals are computed once for all of them."""
        return type(self)(row, self.rows, previous_row, self.previous_rows, self._totals)


class Judgement(NamedTuple):
    """A check's answer; `expected` and `actual` are given for `indicator == expression` on numbers."""

    passed: bool
    expected: Number | None
    actual: Number | None


@dataclass(frozen=True, slots=True)
class _Rule:
    """A compiled rule: the indicators it reads, and whether it is judged once for each row."""

    text: str
    operands: frozenset[str]
    uses_previous: bool
    row_level: bool

    def _without_row(self) -> Cells:
        if self.row_level:
            raise ValueError(f"This rule is judged row by row and needs one: {self.text}")
        return ()


@dataclass(frozen=True, slots=True)
class Formula(_Rule):
    """A compiled rule that gives a number."""

    _evaluate: "_Evaluate" = field(repr=False, compare=False)

    def evaluate(self, scope: Scope) -> Number:
        """The number, exact and not rounded; raises `Undecided`."""
        row = self._without_row() if scope.row is None else scope.row
        return self._evaluate(row, scope)


@dataclass(frozen=True, slots=True)
class Check(_Rule):
    """A compiled rule that holds or not; `target` is the indicator of the shape `indicator == expression`."""

    target: str | None
    _judge: "Callable[[Cells, Scope], Judgement]" = field(repr=False, compare=False)
    surely: "Callable[[Cells, Cells | None], bool] | None" = field(repr=False, compare=False)
    """For the commonest checks, whether a row and the same row before plainly satisfy it; False tells nothing.

    The row before is None where the preceding report does not have it; there must be such a report.
    """

    def judge(self, scope: Scope) -> Judgement:
        """Whether the check holds; raises `Undecided`."""
        row = self._without_row() if scope.row is None else scope.row
        return self._judge(row, scope)


def compile_formula(text: str, columns: Mapping[str, Column]) -> Formula:
    """Compile a rule that gives a number, over indicators by id; raises `RuleError`."""
    parser = Parser(text, columns)
    tree = parser.parse(Kind.number)
    evaluate = _lower(tree, _absent_row(columns))
    return Formula(text, frozenset(parser.operands), parser.previous_calls > 0, parser.row_level, evaluate)


def compile_check(text: str, columns: Mapping[str, Column]) -> Check:
    """Compile a rule that holds or not, over indicators by id; raises `RuleError`."""
    parser = Parser(text, columns)
    tree = parser.parse(Kind.boolean)
    absent = _absent_row(columns)
    target = None
    judge = _condition(_lower(tree, absent))
    if isinstance(tree, Apply) and tree.name == "==" and isinstance(tree.operands[0], Figure):
        actual, expression = tree.operands
        target = tree.operands[0].name
        if actual.kind is Kind.number:
            judge = _equation(_lower(actual, absent), _lower(expression, absent), columns[target].scale)
    operands, looks_back = frozenset(parser.operands), parser.previous_calls > 0
    return Check(text, operands, looks_back, parser.row_level, target, judge, _surely(tree))


def round_half_away(value: Number, places: int) -> Number:
    """The nearest number with that many decimals (0 or more); a half goes away from zero."""
    if isinstance(value, int):
        return value
    numerator, denominator = abs(value.numerator) * 10**places, value.denominator
    nearest = (2 * numerator + denominator) // (2 * denominator)
    signed = nearest if value >= 0 else -nearest
    return Fraction(signed, 10**places) if places else signed


def to_text(value: Number, scale: int | None) -> str:
    """Plain decimal notation: exact if it ends, else rounded half away from zero to the scale (None: 10)."""
    places = _decimals(value.denominator)
    if places is None:
        value = round_half_away(value, MAX_DECIMALS if scale is None else scale)
        places = _decimals(value.denominator) or 0
    # Decimal, because str() refuses integers of more than 4,300 digits.
    digits = str(Decimal(abs(value.numerator) * 10**places // value.denominator)).zfill(places + 1)
    sign = "-" if value < 0 else ""
    return f"{sign}{digits[:-places]}.{digits[-places:]}" if places else sign + digits


def _decimals(denominator: int) -> int | None:
    """How many decimals write 1/denominator exactly, or None when none do."""
    twos = (denominator & -denominator).bit_length() - 1
    rest, fives = denominator >> twos, 0
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    return max(twos, fives) if rest == 1 else None


# From the tree to closures. A closure is given the row to read and the scope; inside previous(…) the row is
# that of the preceding report, and total(…) goes over the rows of the preceding report.

_Evaluate: TypeAlias = Callable[[Cells, Scope], Value]
_Judge: TypeAlias = Callable[[Cells, Scope], Judgement]

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


def _lower(node: Expression, absent: Cells, in_previous: bool = False) -> _Evaluate:
    """The closure of a node; `absent` is the row that stands for one the preceding report does not have."""
    match node:
        case Constant(value=value):
            return lambda row, scope: value
        case Figure(name=name, index=index):
            return _figure(name, index)
        case Chain(first=Figure(), rest=rest) if all(sign == "+" and isinstance(term, Figure) for sign, term in rest):
            return _sum_of_figures([node.first, *(term for _, term in rest)])
        case Chain(first=first, rest=rest):
            operations = [_divide_by(term.text) if sign == "/" else _OPERATIONS[sign] for sign, term in rest]
            terms = [_lower(term, absent, in_previous) for _, term in rest]
            return _chain(_lower(first, absent, in_previous), tuple(zip(operations, terms, strict=True)))
        case Apply(name="previous", text=text, operands=(operand,)):
            return _previous(_lower(operand, absent, True), text, absent)
        case Apply(name=name, operands=operands):
            return _apply(name, [_lower(operand, absent, in_previous) for operand in operands], in_previous)


def _apply(name: str, operands: list[_Evaluate], in_previous: bool) -> _Evaluate:
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


def _figure(name: str, index: int) -> _Evaluate:
    def figure(row: Cells, scope: Scope) -> Value:
        value = row[index]
        if value is None:
            raise Undecided("blank", name)
        return value

    return figure


def _sum_of_figures(figures: Sequence[Expression]) -> _Evaluate:
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


def _chain(first: _Evaluate, rest: tuple[tuple[Callable[..., Value], _Evaluate], ...]) -> _Evaluate:
    def chain(row: Cells, scope: Scope) -> Value:
        value = first(row, scope)
        for operation, term in rest:
            value = operation(value, term(row, scope))
        return value

    return chain


def _divide_by(divisor: str) -> Callable[[Number, Number], Number]:
    def divide(dividend: Number, by: Number) -> Number:
        if by == 0:
            raise Undecided("division_by_zero", divisor)
        return Fraction(dividend, by)

    return divide


def _until(answer: bool, operands: list[_Evaluate]) -> _Evaluate:
    def until(row: Cells, scope: Scope) -> bool:
        for operand in operands:
            if operand(row, scope) == answer:
                return answer
        return not answer

    return until


def _previous(operand: _Evaluate, text: str, absent: Cells) -> _Evaluate:
    def previous(row: Cells, scope: Scope) -> Value:
        if scope.previous_rows is None:
            raise Undecided("no_previous_report", text)
        return operand(absent if scope.previous_row is None else scope.previous_row, scope)

    return previous


def _total(term: _Evaluate, in_previous: bool) -> _Evaluate:
    def total(row: Cells, scope: Scope) -> Number:
        found = scope._totals.get(total)
        if found is None:
            rows = scope.previous_rows if in_previous else scope.rows
            found = scope._totals[total] = _sum(term, rows or (), scope)
        if isinstance(found, Undecided):
            raise Undecided(found.reason, found.operand)
        return found

    return total


def _sum(term: _Evaluate, rows: Sequence[Cells], scope: Scope) -> Number | Undecided:
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
    return blank if blank is not None and not values else _exact_sum(values)


def _exact_sum(values: Sequence[Number]) -> Number | Undecided:
    """The sum, first of equal denominators, then by halves: linear on decimals, bearable on any fractions."""
    numerators: dict[int, int] = {}
    for value in values:
        numerators[value.denominator] = numerators.get(value.denominator, 0) + value.numerator
    sums: list[Number] = [Fraction(top, bottom) if bottom > 1 else top for bottom, top in numerators.items()]
    while len(sums) > 1:
        sums = [sum(sums[index : index + 2]) for index in range(0, len(sums), 2)]
        if max(part.denominator.bit_length() for part in sums) > MAX_BITS:
            return Undecided("too_large", "total(…)")
    return sums[0] if sums else 0


def _condition(holds: _Evaluate) -> _Judge:
    return lambda row, scope: Judgement(bool(holds(row, scope)), None, None)


def _equation(left: _Evaluate, right: _Evaluate, scale: int | None) -> _Judge:
    """`indicator == expression`: the expression is rounded to what the indicator can hold."""
    places = MAX_DECIMALS if scale is None else scale

    def equation(row: Cells, scope: Scope) -> Judgement:
        actual = left(row, scope)
        expected = round_half_away(right(row, scope), places)
        return Judgement(actual == expected, expected, actual)

    return equation


def _surely(tree: Expression) -> Callable[[Cells, Cells | None], bool] | None:
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
        case Apply(name="==", operands=(Figure(index=left), Apply(name="previous", operands=(Figure(index=right),)))):

            def is_as_before(row: Cells, before: Cells | None) -> bool:
                value = row[left]
                return value is not None and value == (0 if before is None else before[right])

            return is_as_before
        case _:
            return None


def _absent_row(columns: Mapping[str, Column]) -> Cells:
    """A row of zeros; 0 is also false."""
    return (0,) * (1 + max((column.index for column in columns.values()), default=-1))
