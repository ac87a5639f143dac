"""What a rule is once it has been read: a typed tree of figures, operators and looks at other reports."""

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import TypeAlias

MAX_DECIMALS = 10

Value: TypeAlias = int | Fraction | bool


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


@dataclass(frozen=True, slots=True)
class _Node:
    """A part of a rule: its text as written, its offset, and what it gives."""

    text: str
    start: int
    kind: Kind


@dataclass(frozen=True, slots=True)
class Constant(_Node):
    value: Value


@dataclass(frozen=True, slots=True)
class Figure(_Node):
    name: str
    index: int


@dataclass(frozen=True, slots=True)
class Foreign(_Node):
    """An indicator of another form. Its place is not known here: it may differ between that form's versions."""

    name: str


@dataclass(frozen=True, slots=True)
class Chain(_Node):
    """Arithmetic from left to right. A sum of a hundred terms is one chain, not a tree a hundred deep."""

    first: "Expression"
    rest: tuple[tuple[str, "Expression"], ...]


@dataclass(frozen=True, slots=True)
class Apply(_Node):
    """An operator or function on its operands, by name."""

    name: str
    operands: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class Elsewhere(_Node):
    """An expression on another report: the word says which one, together with the code of its form for in_form."""

    word: str
    form: str | None
    operand: "Expression"


Expression: TypeAlias = Constant | Figure | Foreign | Chain | Apply | Elsewhere
