"""The syntax of the rule language: from text to a ``rule_tree``. ``rules`` has the reference and the meaning."""

import re
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from typing import NamedTuple

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
    Kind,
)

MAX_LENGTH = 2000
MAX_NODES = 500
MAX_NESTING = 50
MAX_NUMBER_LENGTH = 40

CODE = r"[A-Z][A-Z0-9_]{1,49}"
"""What the code of a form looks like."""


class RuleError(ValueError):
    """The text is not a rule: `message` tells its author why, `position` is the fault's offset from 0."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.message = message
        self.position = position


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
}
_TOTAL = frozenset({"total"})
_WITHIN = frozenset({"within", "first_within", "last_within"})
_ELSEWHERE = _WITHIN | {"previous", "in_form"}
RESERVED = frozenset({"and", "or", "not", "true", "false", *_ARGUMENTS, *_ELSEWHERE})
"""The words of the language, which no indicator and no breakdown may be called."""

_TOKEN = re.compile(
    r"[ \t\r\n]*(?:(?P<number>[0-9][0-9A-Za-z_.]*)|(?P<name>[A-Za-z_][0-9A-Za-z_]*)"
    r"|(?P<sign>[=!<>]=|[-+*/()<>,])|(?P<end>\Z))"
)
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_CODE = re.compile(CODE)


class _Token(NamedTuple):
    kind: str
    text: str
    start: int


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


class Parser:
    """Precedence climbing over the tokens, checking kinds as it goes and noting what the rule reads."""

    def __init__(self, text: str, columns: Mapping[str, Column], own_code: str | None = None) -> None:
        self.text = text
        self.columns = columns
        self.own_code = own_code
        self.tokens = iter(_tokens(text))
        self.token = next(self.tokens)
        self.consumed = 0
        self.depth = 0
        self.nodes = 0
        self.products = 0
        self.enclosing: frozenset[str] = frozenset()
        self.form: str | None = None
        self.operands: set[str] = set()
        self.words: list[str] = []
        self.references: set[tuple[str, str]] = set()
        self.forms_read: set[str] = set()
        self.forms_read_by_row: set[str] = set()
        self.row_level = False

    @property
    def uses_previous(self) -> bool:
        return "previous" in self.words

    @property
    def uses_within(self) -> bool:
        return not _WITHIN.isdisjoint(self.words)

    def parse(self, kind: Kind) -> Expression:
        """The whole text as one expression of that kind."""
        tree = self.expression()
        if self.token.kind != "end":
            raise RuleError(f"{_found(self.token)} was not expected here.", self.token.start)
        return self.need(kind, tree, "A formula" if kind is Kind.number else "A check")

    def expression(self, floor: int = 0) -> Expression:
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

    def operand(self) -> Expression:
        token = self.take()
        if token.text == "(":
            inner = self.expression()
            self.expect(")")
            return inner
        if token.text == "-":
            negated = self.need(Kind.number, self.expression(_POWERS["*"]), "'-'")
            return Apply(self.since(token.start), token.start, Kind.number, "negate", (negated,))
        if token.text == "not":
            denied = self.need(Kind.boolean, self.expression(_POWERS["and"]), "'not'")
            return Apply(self.since(token.start), token.start, Kind.boolean, "not", (denied,))
        if token.kind == "number":
            return self.number(token)
        if token.text in _ARGUMENTS:
            return self.call(token)
        if token.text in _ELSEWHERE:
            return self.elsewhere(token)
        if token.text in ("true", "false"):
            return Constant(token.text, token.start, Kind.boolean, token.text == "true")
        if token.kind == "name" and token.text not in RESERVED:
            return self.figure(token)
        raise RuleError(f"A number, indicator or function was expected, not {_found(token)}.", token.start)

    def number(self, token: _Token) -> Constant:
        if len(token.text) > MAX_NUMBER_LENGTH:
            raise RuleError(f"A number has at most {MAX_NUMBER_LENGTH} characters.", token.start)
        if _NUMBER.fullmatch(token.text) is None:
            raise RuleError(f"{token.text!r} is not a decimal number such as 12 or 0.05.", token.start)
        value = Fraction(token.text) if "." in token.text else int(token.text)
        return Constant(token.text, token.start, Kind.number, value)

    def figure(self, token: _Token) -> Figure | Foreign:
        by_row = "total" not in self.enclosing
        self.row_level = self.row_level or by_row
        if self.form is not None:
            self.references.add((self.form, token.text))
            if by_row:
                self.forms_read_by_row.add(self.form)
            return Foreign(token.text, token.start, Kind.number, token.text)
        column = self.columns.get(token.text)
        if column is None:
            raise RuleError(f"{_shown(token.text)} is not an indicator of the form.", token.start)
        if column.kind is Kind.text:
            raise RuleError(f"{token.text} is a text: rules read numbers and booleans.", token.start)
        self.operands.add(token.text)
        return Figure(token.text, token.start, column.kind, token.text, column.index)

    def call(self, token: _Token) -> Expression:
        outer, words = self.enclosing, len(self.words)
        if token.text == "total":
            self.enter(token, _TOTAL)
        self.expect("(")
        operands = [self.expression()]
        while self.token.text == ",":
            self.take()
            operands.append(self.expression())
        self.expect(")")
        self.enclosing = outer
        least, most = _ARGUMENTS[token.text]
        if not least <= len(operands) <= most:
            wanted = f"{least}" if least == most else f"at least {least}"
            raise RuleError(f"{token.text} takes {wanted} operands, not {len(operands)}.", token.start)
        kind = self.kind_of_call(token.text, operands)
        call = Apply(self.since(token.start), token.start, kind, token.text, tuple(operands))
        if token.text == "total" and len(self.words) > words:
            return self.total_inside(call, self.words[words])
        return call

    def elsewhere(self, token: _Token) -> Elsewhere:
        """A word that reads another report, with what it reads there."""
        outer = self.enclosing
        self.enter(token, _ELSEWHERE)
        self.words.append(token.text)
        self.expect("(")
        form = self.form = self.code() if token.text == "in_form" else None
        operand = self.expression()
        self.expect(")")
        self.enclosing, self.form = outer, None
        if token.text == "within":
            self.need(Kind.number, operand, "within")
        return Elsewhere(self.since(token.start), token.start, operand.kind, token.text, form, operand)

    def enter(self, token: _Token, apart: frozenset[str]) -> None:
        """Go into a total, or a word that reads another report; those that are kept apart do not nest."""
        for outer in self.enclosing & apart:
            inner = "another one" if outer == token.text else f"{token.text}(…)"
            raise RuleError(f"{outer}(…) cannot hold {inner}.", token.start)
        self.enclosing |= {token.text}

    def code(self) -> str:
        """The code of the form that in_form reads, and the comma after it."""
        token = self.take()
        if _CODE.fullmatch(token.text) is None:
            raise RuleError(f"in_form needs the code of a form first, not {_found(token)}.", token.start)
        if token.text == self.own_code:
            raise RuleError(f"in_form reads another form, and {token.text} is this one.", token.start)
        self.forms_read.add(token.text)
        self.expect(",")
        return token.text

    def total_inside(self, total: Apply, word: str) -> Elsewhere:
        """`total(previous(x))` as `previous(total(x))`: a total cannot match the rows of two reports."""
        inner = total.operands[0]
        if not isinstance(inner, Elsewhere):
            raise RuleError(f"Inside total(…), {word}(…) must be the whole of it.", inner.start)
        return replace(inner, operand=replace(total, operands=(inner.operand,)))

    def kind_of_call(self, name: str, operands: list[Expression]) -> Kind:
        if name == "if":
            condition, yes, no = operands
            self.need(Kind.boolean, condition, "The condition of if")
            return self.need(yes.kind, no, "The third operand of if, like the second,").kind
        for operand in operands:
            self.need(Kind.number, operand, name)
        if name == "round":
            _check_places(operands[1])
        return Kind.number

    def join(self, sign: str, left: Expression, right: Expression, start: int) -> Expression:
        """One operator applied; operators of the same strength gather in one node."""
        text = self.since(start)
        if _POWERS[sign] > _COMPARISON:
            self.need(Kind.number, left, repr(sign))
            self.need(Kind.number, right, repr(sign))
            if isinstance(left, Chain) and _POWERS[left.rest[0][0]] == _POWERS[sign]:
                return Chain(text, start, Kind.number, left.first, (*left.rest, (sign, right)))
            return Chain(text, start, Kind.number, left, ((sign, right),))
        if sign in ("and", "or"):
            self.need(Kind.boolean, left, repr(sign))
            self.need(Kind.boolean, right, repr(sign))
            gathered = left.operands if isinstance(left, Apply) and left.name == sign else (left,)
            return Apply(text, start, Kind.boolean, sign, (*gathered, right))
        self.need(left.kind if sign in ("==", "!=") else Kind.number, left, repr(sign))
        self.need(left.kind, right, repr(sign))
        return Apply(text, start, Kind.boolean, sign, (left, right))

    def need(self, kind: Kind, node: Expression, who: str) -> Expression:
        if node.kind is not kind:
            raise RuleError(f"{who} needs a {kind} here, and {_shown(node.text)} is a {node.kind}.", node.start)
        return node

    def take(self) -> _Token:
        token = self.token
        if token.kind != "end":
            self.token = next(self.tokens)
            self.consumed = token.start + len(token.text)
        self.nodes += token.text not in ("(", ")", ",")
        self.products += token.text in ("*", "/")
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


def _check_places(places: Expression) -> None:
    value = places.value if isinstance(places, Constant) else None
    if not isinstance(value, int) or value > MAX_DECIMALS:
        raise RuleError(f"round needs a plain number of decimals from 0 to {MAX_DECIMALS}.", places.start)
