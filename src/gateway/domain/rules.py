"""The rule language: what a form's author writes in `check` and `formula`. This text is its reference.

    received_total == received_online + received_offline + carried_over
    if(resolved_total == 0, true, resolved_late / resolved_total <= 0.05)
    carried_over == previous(pending_total)
    received_online == within(received_online)
    total(satisfied) <= in_form(TTHC_06A, total(resolved_total))

From what binds weakest to what binds strongest; operators of one line are read from left to right:

    or · and · not · == != < <= > >= · + - · * / · -x        parentheses group; a == b == c is an error

An operand is a number or boolean indicator of the form, a decimal number (`0.05`), `true` or `false`, or one
of:

    if(condition, a, b)         a where the condition holds, otherwise b; the other one is not looked at
    abs(x) · min(a, b, …) · max(a, b, …)
    round(x, n)                 to n decimals (0 to 10, a plain number), half away from zero
    total(x)                    the sum of x over all rows of the report
    previous(x)                 x in the report of the preceding period, for the same row
    within(x)                   the sum of x over the reports whose periods lie within this one, for the same
                                row: of a year, over its quarters
    first_within(x)             x in the earliest of them, for the same row
    last_within(x)              x in the latest of them, for the same row
    in_form(CODE, x)            x in the report of another form for the same period, for the same row; x is
                                made of that form's number indicators, and without `total` the two forms must
                                have the same breakdowns

The last five read other reports, all of the same agency and kind, and all but `in_form` of the same form.
`total(previous(x))` and `previous(total(x))` are both the sum over the rows of the preceding report, and so
with the other four. A `total` holds no other `total`, nor one of the five as a part of something larger; none
of the five holds another or itself.

A row that another report does not have counts 0 (and false) throughout. A row that only the other report has
is seen by a `total` alone: `total(x) == within(total(x))`.

Without a preceding report, or a report of the other form, the rule is undecided; so it is where a report is
owed within the period and not there, though `first_within` and `last_within` need only the one they read.
Where none is owed within the period, as within a quarter of a form for quarters and years, a check with one
of these three words holds.

A blank is not a zero. A rule that meets one is `Undecided`, and so is a rule that divides by zero. Only
`total` skips rows whose x is blank: where every row's is, the total is blank; the total of no rows is 0.
A total of quotients too long to be written down exactly is undecided as well.
`and`, `or` and `if` look at no more than they need.

Numbers are exact: integers and fractions, never binary or rounded decimals. Only a check of the shape
`indicator == expression` rounds, once, at the end: the expression to the decimals of the indicator, half
away from zero.

A rule that reads no figure outside `total` is judged once for the report; any other, once for each row.
"""

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Literal, NamedTuple, Self, TypeAlias, TypedDict

from gateway.domain.rule_syntax import (
    MAX_DECIMALS,
    RESERVED,
    Apply,
    Chain,
    Column,
    Constant,
    Elsewhere,
    Expression,
    Figure,
    Foreign,
    Kind,
    Parser,
    RuleError,
    Value,
)

__all__ = [
    "RESERVED",
    "Cells",
    "Check",
    "Codes",
    "Column",
    "Formula",
    "Judgement",
    "Kind",
    "Number",
    "OtherReport",
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
Codes: TypeAlias = tuple[str, ...]
"""The breakdown codes of a row, in the order of the form: what makes two rows the same."""
Reason: TypeAlias = Literal[
    "blank", "division_by_zero", "no_previous_report", "no_report_of_form", "no_report_within", "too_large"
]
_ABSENCES = frozenset({"no_previous_report", "no_report_of_form", "no_report_within"})


class Undecided(Exception):
    """These figures cannot answer the rule.

    `operand` is the blank indicator or the divisor, in another report `x (2026-Q1)` or `CODE.x`; of a report
    that is not there the `previous(…)`, the code of its period, or the code of its form.
    """

    def __init__(self, reason: Reason, operand: str) -> None:
        super().__init__(f"{reason}: {operand}")
        self.reason: Reason = reason
        self.operand = operand

    @property
    def is_absence(self) -> bool:
        """Whether another report is not there, so that the rule is undecided for every row alike."""
        return self.reason in _ABSENCES


@dataclass(slots=True)  # not frozen, which would double the cost of `at`
class Scope:
    """What one evaluation sees: rows in the order of the form's indicators, where None is a blank.

    `row` is None when the report is judged as a whole, `previous_row` when the preceding report lacks the
    row, `previous_rows` when there is no such report. `codes` are those of the row, by which other reports are
    searched for it; only a rule that reads those needs them. `within` has the reports owed within the period,
    in order of time, by the code of their period: None is one that is not there. `forms` has the reports of
    other forms by code. `columns` is where another form's indicators stand, in a scope on a report of it.
    Rows must not change while a scope on them is in use.
    """

    row: Cells | None
    rows: Sequence[Cells]
    previous_row: Cells | None
    previous_rows: Sequence[Cells] | None
    codes: Codes | None = None
    within: "Sequence[tuple[str, OtherReport | None]]" = ()
    forms: "Mapping[str, OtherReport]" = field(default_factory=dict)
    columns: Mapping[str, int] = field(default_factory=dict)
    _totals: dict[object, Number | Undecided] = field(default_factory=dict, repr=False, compare=False)

    def at(self, row: Cells, previous_row: Cells | None, codes: Codes | None = None) -> Self:
        """The same report seen from one of its rows; totals are computed once for all of them."""
        others = self.within, self.forms, self.columns
        return type(self)(row, self.rows, previous_row, self.previous_rows, codes, *others, self._totals)


@dataclass(frozen=True, slots=True)
class OtherReport:
    """A report that rules look at besides the one they judge: its rows by their codes.

    Its cells are in the order of this form's indicators or, in a report of another form, where `columns` says.
    Totals are computed once for all who share it.
    """

    rows: Mapping[Codes, Cells]
    columns: Mapping[str, int] = field(default_factory=dict)
    scope: Scope = field(init=False, repr=False, compare=False)
    absent: Cells = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        scope = Scope(None, list(self.rows.values()), None, None, columns=self.columns)
        object.__setattr__(self, "scope", scope)
        object.__setattr__(self, "absent", _zeros(self.columns.values()))

    def row(self, codes: Codes | None, absent: Cells) -> Cells:
        """The row with these codes, or the one that stands for it; no cells where no row is being judged."""
        return () if codes is None else self.rows.get(codes, absent)


class Judgement(NamedTuple):
    """A check's answer; `expected` and `actual` are given for `indicator == expression` on numbers.

    They are not where the check holds because nothing is owed within the period.
    """

    passed: bool
    expected: Number | None
    actual: Number | None


@dataclass(frozen=True, slots=True)
class _Rule:
    """A compiled rule: what it reads, and whether it is judged once for each row.

    `operands` are the indicators of its own form; `references` those of other forms, each with the form's code.
    `forms_read_by_row` are the forms of which it reads the same row, and which need the same breakdowns.
    """

    text: str
    operands: frozenset[str]
    uses_previous: bool
    uses_within: bool
    references: frozenset[tuple[str, str]]
    forms_read: frozenset[str]
    forms_read_by_row: frozenset[str]
    row_level: bool

    @property
    def reads_other_reports(self) -> bool:
        return self.uses_previous or self.uses_within or bool(self.forms_read)

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
    return Formula(**_reads(parser), _evaluate=evaluate)


def compile_check(text: str, columns: Mapping[str, Column], form: str | None = None) -> Check:
    """Compile a rule that holds or not, over indicators by id; raises `RuleError`.

    `form` is the code of the rule's own form, which `in_form` may not read.
    """
    parser = Parser(text, columns, form)
    tree = parser.parse(Kind.boolean)
    absent = _absent_row(columns)
    target = None
    judge = _condition(_lower(tree, absent))
    if isinstance(tree, Apply) and tree.name == "==" and isinstance(tree.operands[0], Figure):
        actual, expression = tree.operands
        target = tree.operands[0].name
        if actual.kind is Kind.number:
            judge = _equation(_lower(actual, absent), _lower(expression, absent), columns[target].scale)
    if parser.uses_within:
        judge = _where_owed_within(judge)
    return Check(**_reads(parser), target=target, _judge=judge, surely=_surely(tree))


class _Reads(TypedDict):
    text: str
    operands: frozenset[str]
    uses_previous: bool
    uses_within: bool
    references: frozenset[tuple[str, str]]
    forms_read: frozenset[str]
    forms_read_by_row: frozenset[str]
    row_level: bool


def _reads(parser: Parser) -> _Reads:
    """What a parsed rule reads."""
    return {
        "text": parser.text,
        "operands": frozenset(parser.operands),
        "uses_previous": parser.uses_previous,
        "uses_within": parser.uses_within,
        "references": frozenset(parser.references),
        "forms_read": frozenset(parser.forms_read),
        "forms_read_by_row": frozenset(parser.forms_read_by_row),
        "row_level": parser.row_level,
    }


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


# From the tree to closures. A closure is given the row to read and the scope. Inside previous(…) the row is
# that of the preceding report, and total(…) goes over the rows of the preceding report; inside the other words
# that read another report, the row is of that report, and the scope is one on it.

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
        case Foreign(name=name):
            return _foreign_figure(name)
        case Chain(first=Figure(), rest=rest) if all(sign == "+" and isinstance(term, Figure) for sign, term in rest):
            return _sum_of_figures([node.first, *(term for _, term in rest)])
        case Chain(first=first, rest=rest):
            operations = [_divide_by(term.text) if sign == "/" else _OPERATIONS[sign] for sign, term in rest]
            terms = [_lower(term, absent, in_previous) for _, term in rest]
            return _chain(_lower(first, absent, in_previous), tuple(zip(operations, terms, strict=True)))
        case Elsewhere(word="previous", text=text, operand=operand):
            return _previous(_lower(operand, absent, True), text, absent)
        case Elsewhere(form=str(code), operand=operand):
            return _in_form(_lower(operand, absent), code)
        case Elsewhere(word="within", text=text, operand=operand):
            return _sum_within(_lower(operand, absent), text, absent)
        case Elsewhere(word=word, text=text, operand=operand):
            return _one_within(_lower(operand, absent), 0 if word == "first_within" else -1, text, absent)
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


def _foreign_figure(name: str) -> _Evaluate:
    """An indicator of another form, wherever the version of that report has it."""

    def foreign_figure(row: Cells, scope: Scope) -> Value:
        index = scope.columns.get(name)
        value = None if index is None else row[index]
        if value is None:
            raise Undecided("blank", name)
        return value

    return foreign_figure


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


def _sum_within(operand: _Evaluate, text: str, absent: Cells) -> _Evaluate:
    def sum_within(row: Cells, scope: Scope) -> Value:
        if not scope.within:
            raise Undecided("no_report_within", text)
        values = [_value_within(each, operand, scope, absent) for each in scope.within]
        found = _exact_sum(values, "within(…)")
        if isinstance(found, Undecided):
            raise found
        return found

    return sum_within


def _one_within(operand: _Evaluate, place: Literal[0, -1], text: str, absent: Cells) -> _Evaluate:
    def one_within(row: Cells, scope: Scope) -> Value:
        if not scope.within:
            raise Undecided("no_report_within", text)
        return _value_within(scope.within[place], operand, scope, absent)

    return one_within


def _value_within(within: tuple[str, OtherReport | None], operand: _Evaluate, scope: Scope, absent: Cells) -> Value:
    """The operand in one report whose period lies within this one's."""
    period, report = within
    if report is None:
        raise Undecided("no_report_within", period)
    try:
        return operand(report.row(scope.codes, absent), report.scope)
    except Undecided as undecided:
        raise Undecided(undecided.reason, f"{undecided.operand} ({period})") from None


def _in_form(operand: _Evaluate, code: str) -> _Evaluate:
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


def _where_owed_within(judge: _Judge) -> _Judge:
    """A check that looks within the period, which holds where nothing is owed there."""

    def where_owed_within(row: Cells, scope: Scope) -> Judgement:
        return judge(row, scope) if scope.within else Judgement(True, None, None)

    return where_owed_within


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
        case Apply(name="==", operands=(Figure(index=left), Elsewhere(word="previous", operand=Figure(index=right)))):

            def is_as_before(row: Cells, before: Cells | None) -> bool:
                value = row[left]
                return value is not None and value == (0 if before is None else before[right])

            return is_as_before
        case _:
            return None


def _absent_row(columns: Mapping[str, Column]) -> Cells:
    """A row of zeros; 0 is also false."""
    return _zeros(column.index for column in columns.values())


def _zeros(indexes: Iterable[int]) -> Cells:
    return (0,) * (1 + max(indexes, default=-1))
