"""Templates: JSON and texts with placeholders, declared as data, which a report fills.

    {agency}   {rows/0/received_total}   {row/sector}   {cell/value}      a value of what is told, by its steps
    {agency|offices}   {cell/value|text}                                  by a table of codes; as a text
    {{   }}                                                               a brace
    {"$each": "row", "$give": …}                                          a list: the piece for each row
    {"$each": "cell", "$of": ["received_total"], "$give": …}              the piece for these indicators of each row

There is nothing else: no conditions, no arithmetic, nothing that could loop. A repetition within a repetition is
that of the cells of a row, so that what is made grows with the report alone.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeAlias

from gateway.domain.exact import encode

MOST_BYTES = 16 * 1024 * 1024
"""The most that a filled template may come to."""
AS_TEXT = "text"
"""The table that is always there: every value as a text, with every digit."""

_INDEX = re.compile("0|[1-9][0-9]{0,5}")
_LONGEST_EXPONENT = 100
_LONGEST_QUOTE = 60

Scope: TypeAlias = Mapping[str, Any]
"""What placeholders name by their first step. `rows` are those of the report; `row` and `cell` are of a repetition."""
Tables: TypeAlias = Mapping[str, Mapping[str, object]]


class Unfilled(ValueError):
    """A template cannot be filled with this report; the message names the place and what is wrong there."""

    def __init__(self, place: str, words: str) -> None:
        super().__init__(f"{place}: {words}")


@dataclass(frozen=True, slots=True)
class Placeholder:
    """A value by its steps, or what a table has for it. `place` is the JSON Pointer of the text that it is in."""

    place: str
    steps: tuple[str, ...]
    table: str | None = None
    codes: Mapping[str, object] | None = None

    def value(self, scope: Scope) -> Any:
        """The value with its type. Raises `Unfilled`."""
        found: Any = scope
        for step in self.steps:
            members = at_step(found, step)
            if not members:
                raise Unfilled(self.place, f"there is no {'/'.join(self.steps)}")
            found = members[0]
        if self.table is None or (self.table == AS_TEXT and found is None):
            return found
        return self.text_of(found) if self.codes is None else self._code(self.text_of(found), self.codes)

    def text(self, scope: Scope) -> str:
        """The value as a text. Raises `Unfilled` for what has none: null, a list or an object."""
        return self.text_of(self.value(scope))

    def text_of(self, value: object) -> str:
        match value:
            case str():
                return value
            case bool():
                return "true" if value else "false"
            case int():
                return str(value)
            case Decimal():
                exponent = value.as_tuple().exponent
                is_short = isinstance(exponent, int) and abs(exponent) <= _LONGEST_EXPONENT
                return f"{value:f}" if is_short else str(value)
        kind = "null" if value is None else "a list or an object"
        raise Unfilled(self.place, f"{'/'.join(self.steps)} is {kind}, which cannot be put into a text")

    def _code(self, code: str, codes: Mapping[str, object]) -> object:
        if code not in codes:
            raise Unfilled(self.place, f"codes/{self.table} has nothing for {'/'.join(self.steps)} {quoted(code)}")
        return codes[code]


@dataclass(frozen=True, slots=True)
class Words:
    """A text with placeholders in it."""

    place: str
    parts: tuple[str | Placeholder, ...]

    def filled(self, scope: Scope, written: Callable[[str], str] = str) -> str:
        """The text, with each value as `written`. Raises `Unfilled`."""
        return "".join(part if isinstance(part, str) else written(part.text(scope)) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Members:
    """An object or a list that has something in it: each member after the JSON that goes before it, and the end."""

    named: tuple[tuple[bytes, "Node"], ...]
    end: bytes


@dataclass(frozen=True, slots=True)
class Repeated:
    """A list with a piece for each row, or for each of some indicators of each row."""

    place: str
    piece: "Node"
    indicators: tuple[str, ...] | None = None
    skip_blanks: bool = False

    def scopes(self, scope: Scope) -> Iterator[Scope]:
        """What the piece is filled with, one after the other. Raises `Unfilled`."""
        rows = [scope["row"]] if "row" in scope else scope["rows"]
        for row in rows:
            if self.indicators is None:
                yield {**scope, "row": row}
            else:
                yield from ({**scope, "row": row, "cell": cell} for cell in self._cells(row, self.indicators))

    def _cells(self, row: Mapping[str, object], indicators: Sequence[str]) -> Iterator[Mapping[str, object]]:
        for indicator in indicators:
            if indicator not in row:
                raise Unfilled(self.place, f"the report has no {indicator}")
            if not self.skip_blanks or row[indicator] is not None:
                yield {"indicator": indicator, "value": row[indicator]}


Node: TypeAlias = "bytes | Placeholder | Words | Members | Repeated"
"""A piece of a JSON template; bytes are JSON as it is sent."""


def fill(node: Node, scope: Scope) -> bytes:
    """The template filled, as JSON. Raises `Unfilled`, also where it comes to more than `MOST_BYTES`."""
    sheet = bytearray()
    _write(node, scope, sheet)
    return bytes(sheet)


def _write(node: Node, scope: Scope, sheet: bytearray) -> None:
    match node:
        case bytes():
            sheet += node
        case Placeholder():
            sheet += encode(node.value(scope))
        case Words():
            sheet += encode(node.filled(scope))
        case Members():
            for before, each in node.named:
                sheet += before
                _write(each, scope, sheet)
            sheet += node.end
        case Repeated():
            start = len(sheet)
            for piece in node.scopes(scope):
                sheet += b","
                _write(node.piece, piece, sheet)
            sheet[start : start + 1] = b"["
            sheet += b"]"
    if len(sheet) > MOST_BYTES:
        raise Unfilled("body", f"it would be larger than {MOST_BYTES} bytes")


def at_step(value: object, step: str) -> list[Any]:
    """What a step of a path leads to, in an object or a list: one thing, or nothing."""
    if isinstance(value, dict):
        return [value[step]] if step in value else []
    if isinstance(value, list) and _INDEX.fullmatch(step):
        return value[int(step) :][:1]
    return []


def quoted(text: str) -> str:
    """The start of a text, to show to a person within a line."""
    shown = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text[:_LONGEST_QUOTE])
    return f"{shown}…" if len(text) > _LONGEST_QUOTE else shown
