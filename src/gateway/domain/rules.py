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

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypedDict

from gateway.domain.evaluate import (
    Evaluate,
    Judgement,
    absent_row,
    condition,
    equation,
    lower,
    surely_holds,
    where_owed_within,
)
from gateway.domain.rounding import round_half_away, to_text
from gateway.domain.rule_syntax import RESERVED, Parser, RuleError
from gateway.domain.rule_tree import Apply, Column, Figure, Kind
from gateway.domain.scope import Cells, Codes, Number, OtherReport, Scope, Undecided

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


_OF_A_NODE, _OF_A_PRODUCT = 10, 50
"""What an operand or operator weighs, and a multiplication or division besides, whose result may have many digits."""


@dataclass(frozen=True, slots=True)
class _Rule:
    """A compiled rule: what it reads, and whether it is judged once for each row.

    `weight` is how much judging it once takes, in hundredths of a microsecond at worst. `operands` are the
    indicators of its own form; `references` those of other forms, each with the form's code.
    `forms_read_by_row` are the forms of which it reads the same row, and which need the same breakdowns.
    """

    text: str
    weight: int
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

    _evaluate: Evaluate = field(repr=False, compare=False)

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
    evaluate = lower(tree, absent_row(columns))
    return Formula(**_reads(parser), _evaluate=evaluate)


def compile_check(text: str, columns: Mapping[str, Column], form: str | None = None) -> Check:
    """Compile a rule that holds or not, over indicators by id; raises `RuleError`.

    `form` is the code of the rule's own form, which `in_form` may not read.
    """
    parser = Parser(text, columns, form)
    tree = parser.parse(Kind.boolean)
    absent = absent_row(columns)
    target = None
    judge = condition(lower(tree, absent))
    if isinstance(tree, Apply) and tree.name == "==" and isinstance(tree.operands[0], Figure):
        actual, expression = tree.operands
        target = tree.operands[0].name
        if actual.kind is Kind.number:
            judge = equation(lower(actual, absent), lower(expression, absent), columns[target].scale)
    if parser.uses_within:
        judge = where_owed_within(judge)
    return Check(**_reads(parser), target=target, _judge=judge, surely=surely_holds(tree))


class _Reads(TypedDict):
    text: str
    weight: int
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
        "weight": len(parser.text) + _OF_A_NODE * parser.nodes + _OF_A_PRODUCT * parser.products,
        "operands": frozenset(parser.operands),
        "uses_previous": parser.uses_previous,
        "uses_within": parser.uses_within,
        "references": frozenset(parser.references),
        "forms_read": frozenset(parser.forms_read),
        "forms_read_by_row": frozenset(parser.forms_read_by_row),
        "row_level": parser.row_level,
    }
