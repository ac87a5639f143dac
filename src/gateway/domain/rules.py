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
`and`, `or` and `if` look at no more than they need. In `previous(x)`, a row that the preceding report does
not have counts 0 (and false) throughout; without a preceding report the rule is undecided.

Numbers are exact: integers and fractions, never binary or rounded decimals. Only a check of the shape
`indicator == expression` rounds, once, at the end: the expression to the decimals of the indicator, half
away from zero.

A rule that reads no figure outside `total` is judged once for the report; any other, once for each row.
"""

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Literal, NamedTuple, Self, TypeAlias

MAX_LENGTH = 2000
MAX_NODES = 500
MAX_NESTING = 50
MAX_NUMBER_LENGTH = 40
MAX_DECIMALS = 10

Number: TypeAlias = int | Fraction
Value: TypeAlias = int | Fraction | bool
Cells: TypeAlias = Sequence[int | Fraction | bool | None]
Reason: TypeAlias = Literal["blank", "division_by_zero", "no_previous_report"]


class Kind(StrEnum):
    """What an indicator or an expression is."""

    number = "number"
    boolean = "boolean"
    text = "text"


@dataclass(frozen=True, slots=True)
class Column:
    """An indicator as rules see it: its place in a row, and how many decimals it holds (None: 10)."""

    index: int
    kind: Kind
    scale: int | None


class RuleError(ValueError):
    """The text is not a rule: `message` tells its author why, `position` is the fault's offset from 0."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.message = message
        self.position = position


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

    def judge(self, scope: Scope) -> Judgement:
        """Whether the check holds; raises `Undecided`."""
        row = self._without_row() if scope.row is None else scope.row
        return self._judge(row, scope)


def compile_formula(text: str, columns: Mapping[str, Column]) -> Formula:
    """Compile a rule that gives a number, over indicators by id; raises `RuleError`."""
    parser = _Parser(text, columns)
    tree = parser.parse(Kind.number)
    evaluate = _lower(tree, _absent_row(columns))
    return Formula(text, frozenset(parser.operands), parser.previous_calls > 0, parser.row_level, evaluate)


def compile_check(text: str, columns: Mapping[str, Column]) -> Check:
    """Compile a rule that holds or not, over indicators by id; raises `RuleError`."""
    parser = _Parser(text, columns)
    tree = parser.parse(Kind.boolean)
    absent = _absent_row(columns)
    target = None
    judge = _condition(_lower(tree, absent))
    if isinstance(tree, _Apply) and tree.name == "==" and isinstance(tree.operands[0], _Figure):
        actual, expression = tree.operands
        target = tree.operands[0].name
        if actual.kind is Kind.number:
            judge = _equation(_lower(actual, absent), _lower(expression, absent), columns[target].scale)
    return Check(text, frozenset(parser.operands), parser.previous_calls > 0, parser.row_level, target, judge)


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


# From text to a typed tree.

_COMPARISON = 3
_POWERS = {
    "or": 1,
    "and": 2,
    **dict.fromkeys(("==", "!=", "<", "<=", ">", ">="), _COMPARISON),
    **dict.fromkeys("+-", 4),
    **dict.fromkeys("*/", 5),
}
_ARGUMENTS = {
    "if": (3, 3),
    "abs": (1, 1),
    "min": (2, MAX_NODES),
    "max": (2, MAX_NODES),
    "round": (2, 2),
    "total": (1, 1),
    "previous": (1, 1),
}
RESERVED = frozenset({"and", "or", "not", "true", "false", *_ARGUMENTS})
"""The words of the language, which no indicator and no breakdown may be called."""

_TOKEN = re.compile(
    r"[ \t\r\n]*(?:(?P<number>[0-9][0-9A-Za-z_.]*)|(?P<name>[A-Za-z_][0-9A-Za-z_]*)"
    r"|(?P<sign>[=!<>]=|[-+*/()<>,])|(?P<end>\Z))"
)
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")


class _Token(NamedTuple):
    kind: str
    text: str
    start: int


@dataclass(frozen=True, slots=True)
class _Node:
    """A part of a rule: its text as written, its offset, and what it gives."""

    text: str
    start: int
    kind: Kind


@dataclass(frozen=True, slots=True)
class _Literal(_Node):
    value: Value


@dataclass(frozen=True, slots=True)
class _Figure(_Node):
    name: str
    index: int


@dataclass(frozen=True, slots=True)
class _Chain(_Node):
    """Arithmetic from left to right. A sum of a hundred terms is one chain, not a tree a hundred deep."""

    first: "_Expression"
    rest: tuple[tuple[str, "_Expression"], ...]


@dataclass(frozen=True, slots=True)
class _Apply(_Node):
    """An operator or function on its operands, by name."""

    name: str
    operands: tuple["_Expression", ...]


_Expression: TypeAlias = _Literal | _Figure | _Chain | _Apply


def _tokens(text: str) -> list[_Token]:
    if len(text) > MAX_LENGTH:
        raise RuleError(f"A rule has at most {MAX_LENGTH} characters.", MAX_LENGTH)
    tokens: list[_Token] = []
    at = 0
    while not tokens or tokens[-1].kind != "end":
        match = _TOKEN.match(text, at)
        if match is None:
            at += len(text[at:]) - len(text[at:].lstrip(" \t\r\n"))
            hint = " Equality is written ==." if text[at] == "=" else ""
            raise RuleError(f"The character {text[at]!r} has no meaning here.{hint}", at)
        kind = match.lastgroup or "end"
        tokens.append(_Token(kind, match[kind], match.start(kind)))
        at = match.end()
    return tokens


class _Parser:
    """Precedence climbing over the tokens, checking kinds as it goes and noting what the rule reads."""

    def __init__(self, text: str, columns: Mapping[str, Column]) -> None:
        self.text = text
        self.columns = columns
        self.tokens = iter(_tokens(text))
        self.token = next(self.tokens)
        self.consumed = 0
        self.depth = 0
        self.nodes = 0
        self.within: frozenset[str] = frozenset()
        self.operands: set[str] = set()
        self.previous_calls = 0
        self.row_level = False

    def parse(self, kind: Kind) -> _Expression:
        """The whole text as one expression of that kind."""
        tree = self.expression()
        if self.token.kind != "end":
            raise RuleError(f"{_found(self.token)} was not expected here.", self.token.start)
        return self.need(kind, tree, "A formula" if kind is Kind.number else "A check")

    def expression(self, floor: int = 0) -> _Expression:
        """Everything that binds more strongly than the floor."""
        self.depth += 1
        if self.depth > MAX_NESTING + 1:
            raise RuleError(f"A rule is nested at most {MAX_NESTING} levels deep.", self.token.start)
        start = self.token.start
        left = self.operand()
        compared = False
        while (power := _POWERS.get(self.token.text, 0)) > floor:
            if power == _COMPARISON and compared:
                raise RuleError("Comparisons cannot be chained: join them with 'and'.", self.token.start)
            compared = compared or power == _COMPARISON
            sign = self.take().text
            left = self.join(sign, left, self.expression(power), start)
        self.depth -= 1
        return left

    def operand(self) -> _Expression:
        token = self.take()
        if token.text == "(":
            inner = self.expression()
            self.expect(")")
            return inner
        if token.text == "-":
            negated = self.need(Kind.number, self.expression(_POWERS["*"]), "'-'")
            return _Apply(self.since(token.start), token.start, Kind.number, "negate", (negated,))
        if token.text == "not":
            denied = self.need(Kind.boolean, self.expression(_POWERS["and"]), "'not'")
            return _Apply(self.since(token.start), token.start, Kind.boolean, "not", (denied,))
        if token.kind == "number":
            return self.number(token)
        if token.text in _ARGUMENTS:
            return self.call(token)
        if token.text in ("true", "false"):
            return _Literal(token.text, token.start, Kind.boolean, token.text == "true")
        if token.kind == "name" and token.text not in RESERVED:
            return self.figure(token)
        raise RuleError(f"A number, indicator or function was expected, not {_found(token)}.", token.start)

    def number(self, token: _Token) -> _Literal:
        if len(token.text) > MAX_NUMBER_LENGTH:
            raise RuleError(f"A number has at most {MAX_NUMBER_LENGTH} characters.", token.start)
        if _NUMBER.fullmatch(token.text) is None:
            raise RuleError(f"{token.text!r} is not a decimal number such as 12 or 0.05.", token.start)
        value = Fraction(token.text) if "." in token.text else int(token.text)
        return _Literal(token.text, token.start, Kind.number, value)

    def figure(self, token: _Token) -> _Figure:
        column = self.columns.get(token.text)
        if column is None:
            raise RuleError(f"{_shown(token.text)} is not an indicator of the form.", token.start)
        if column.kind is Kind.text:
            raise RuleError(f"{token.text} is a text: rules read numbers and booleans.", token.start)
        self.operands.add(token.text)
        self.row_level = self.row_level or "total" not in self.within
        return _Figure(token.text, token.start, column.kind, token.text, column.index)

    def call(self, token: _Token) -> _Expression:
        outer, previous_calls = self.within, self.previous_calls
        if token.text in ("total", "previous"):
            self.enter(token)
        self.expect("(")
        operands = [self.expression()]
        while self.token.text == ",":
            self.take()
            operands.append(self.expression())
        self.expect(")")
        self.within = outer
        least, most = _ARGUMENTS[token.text]
        if not least <= len(operands) <= most:
            wanted = f"{least}" if least == most else f"at least {least}"
            raise RuleError(f"{token.text} takes {wanted} operands, not {len(operands)}.", token.start)
        kind = self.kind_of_call(token.text, operands)
        call = _Apply(self.since(token.start), token.start, kind, token.text, tuple(operands))
        return self.previous_first(call) if token.text == "total" and self.previous_calls > previous_calls else call

    def enter(self, token: _Token) -> None:
        if token.text in self.within:
            raise RuleError(f"A {token.text}(…) cannot hold another one.", token.start)
        self.within |= {token.text}
        self.previous_calls += token.text == "previous"

    def previous_first(self, total: _Apply) -> _Apply:
        """`total(previous(x))` as `previous(total(x))`: a total cannot match the rows of two reports."""
        inner = total.operands[0]
        if not isinstance(inner, _Apply) or inner.name != "previous":
            raise RuleError("Inside total(…), previous(…) must be the whole of it.", inner.start)
        return replace(inner, operands=(replace(total, operands=inner.operands),))

    def kind_of_call(self, name: str, operands: list[_Expression]) -> Kind:
        if name == "previous":
            return operands[0].kind
        if name == "if":
            condition, yes, no = operands
            self.need(Kind.boolean, condition, "The condition of if")
            return self.need(yes.kind, no, "The third operand of if, like the second,").kind
        for operand in operands:
            self.need(Kind.number, operand, name)
        if name == "round":
            _check_places(operands[1])
        return Kind.number

    def join(self, sign: str, left: _Expression, right: _Expression, start: int) -> _Expression:
        """One operator applied; operators of the same strength gather in one node."""
        text = self.since(start)
        if _POWERS[sign] > _COMPARISON:
            self.need(Kind.number, left, repr(sign))
            self.need(Kind.number, right, repr(sign))
            if isinstance(left, _Chain) and _POWERS[left.rest[0][0]] == _POWERS[sign]:
                return _Chain(text, start, Kind.number, left.first, (*left.rest, (sign, right)))
            return _Chain(text, start, Kind.number, left, ((sign, right),))
        if sign in ("and", "or"):
            self.need(Kind.boolean, left, repr(sign))
            self.need(Kind.boolean, right, repr(sign))
            gathered = left.operands if isinstance(left, _Apply) and left.name == sign else (left,)
            return _Apply(text, start, Kind.boolean, sign, (*gathered, right))
        self.need(left.kind if sign in ("==", "!=") else Kind.number, left, repr(sign))
        self.need(left.kind, right, repr(sign))
        return _Apply(text, start, Kind.boolean, sign, (left, right))

    def need(self, kind: Kind, node: _Expression, who: str) -> _Expression:
        if node.kind is not kind:
            raise RuleError(f"{who} needs a {kind} here, and {_shown(node.text)} is a {node.kind}.", node.start)
        return node

    def take(self) -> _Token:
        token = self.token
        if token.kind != "end":
            self.token = next(self.tokens)
            self.consumed = token.start + len(token.text)
        self.nodes += token.text not in ("(", ")", ",")
        if self.nodes > MAX_NODES:
            raise RuleError(f"A rule has at most {MAX_NODES} operands and operators.", token.start)
        return token

    def expect(self, sign: str) -> None:
        if self.token.text != sign:
            raise RuleError(f"{sign!r} was expected, not {_found(self.token)}.", self.token.start)
        self.take()

    def since(self, start: int) -> str:
        """What was read from there on, in one line."""
        return " ".join(self.text[start : self.consumed].split())


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:59]}…")


def _found(token: _Token) -> str:
    return "the end" if token.kind == "end" else _shown(token.text)


def _check_places(places: _Expression) -> None:
    value = places.value if isinstance(places, _Literal) else None
    if not isinstance(value, int) or value > MAX_DECIMALS:
        raise RuleError(f"round needs a plain number of decimals from 0 to {MAX_DECIMALS}.", places.start)


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


def _lower(node: _Expression, absent: Cells, in_previous: bool = False) -> _Evaluate:
    """The closure of a node; `absent` is the row that stands for one the preceding report does not have."""
    match node:
        case _Literal(value=value):
            return lambda row, scope: value
        case _Figure(name=name, index=index):
            return _figure(name, index)
        case _Chain(first=first, rest=rest):
            operations = [_divide_by(term.text) if sign == "/" else _OPERATIONS[sign] for sign, term in rest]
            terms = [_lower(term, absent, in_previous) for _, term in rest]
            return _chain(_lower(first, absent, in_previous), tuple(zip(operations, terms, strict=True)))
        case _Apply(name="previous", text=text, operands=(operand,)):
            return _previous(_lower(operand, absent, True), text, absent)
        case _Apply(name=name, operands=operands):
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


def _exact_sum(values: Sequence[Number]) -> Number:
    """The sum, first of equal denominators, then by halves: linear on decimals, bearable on any fractions."""
    numerators: dict[int, int] = {}
    for value in values:
        numerators[value.denominator] = numerators.get(value.denominator, 0) + value.numerator
    sums: list[Number] = [Fraction(top, bottom) if bottom > 1 else top for bottom, top in numerators.items()]
    while len(sums) > 1:
        sums = [sum(sums[index : index + 2]) for index in range(0, len(sums), 2)]
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


def _absent_row(columns: Mapping[str, Column]) -> Cells:
    """A row of zeros; 0 is also false."""
    return (0,) * (1 + max((column.index for column in columns.values()), default=-1))
