"""How templates are written, and everything that is wrong with one, by place. What they mean is in `template`."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, ValidationError

from gateway.connectors.template import AS_TEXT, Members, Node, Placeholder, Repeated, Tables, Words, quoted
from gateway.domain.document import Document, faults, pointer
from gateway.domain.exact import encode
from gateway.errors import Place, Text

MOST_LEVELS = 20
"""How deep a JSON template may go."""

_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_INSIDE = re.compile(r"([^/|\s]+(?:/[^/|\s]+)*)(?:\|([^/|\s]+))?")
_CELL = {(), ("indicator",), ("value",)}

Steps = tuple[int | str, ...]
"""Where something is in the options."""


class _RowPiece(Document):
    """A list with a piece for each row."""

    each: Literal["row", "cell"] = Field(alias="$each")
    give: Any = Field(alias="$give")


class _CellPiece(_RowPiece):
    """A list with a piece for each of some indicators of each row."""

    of: list[str] = Field(alias="$of", min_length=1, max_length=1000)
    skip_blanks: bool = Field(False, alias="$skip_blanks")


class TemplateReader:
    """Reads templates that may use some tables, and gathers what is wrong with them in `wrong`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self.wrong: list[Place] = []

    def words(self, text: str, at: Steps, known: frozenset[str]) -> Words:
        """A text. `known` are the first steps that placeholders may have."""
        return Words(pointer(at), tuple(self._parts(text, at, known)))

    def json(self, template: object, at: Steps, known: frozenset[str], level: int = 0) -> Node:
        """Any JSON. Places where something is wrong are null in it."""
        if level > MOST_LEVELS:
            return self.no(at, "Lồng nhau quá sâu.", f"Goes deeper than {MOST_LEVELS} levels.")
        match template:
            case str():
                return _plainest(self.words(template, at, known))
            case dict() if any(name.startswith("$") for name in template):
                return self._repeated(template, at, known, level)
            case dict() if template:
                named = [(self._name(name, at), name, each) for name, each in template.items()]
                return Members(self._members(b"{", named, at, known, level), b"}")
            case list() if template:
                items = [(b"", number, each) for number, each in enumerate(template)]
                return Members(self._members(b"[", items, at, known, level), b"]")
        return encode(template)

    def no(self, at: Steps, vi: str, en: str) -> bytes:
        """Note that something is wrong."""
        self.wrong.append(Place(pointer(at), Text(vi, en)))
        return b"null"

    def _members(
        self,
        start: bytes,
        members: Sequence[tuple[bytes, int | str, object]],
        at: Steps,
        known: frozenset[str],
        level: int,
    ) -> tuple[tuple[bytes, Node], ...]:
        return tuple(
            ((b"," if number else start) + name, self.json(each, (*at, step), known, level + 1))
            for number, (name, step, each) in enumerate(members)
        )

    def _name(self, name: str, at: Steps) -> bytes:
        if "{" in name or "}" in name:
            self.no((*at, name), "Tên trường không phải là mẫu.", "The name of a field is no template.")
        return encode(name) + b":"

    def _repeated(self, template: Mapping[str, Any], at: Steps, known: frozenset[str], level: int) -> Node:
        model = _CellPiece if template.get("$each") == "cell" else _RowPiece
        try:
            piece = model.model_validate(template)
        except ValidationError as error:
            self.wrong += faults(error, at)
            return b"null"
        if "rows" not in known or {"row", "cell"} & known >= {piece.each}:
            return self.no(
                (*at, "$each"),
                "Ở đây không có gì để lặp lại.",
                "There is nothing to repeat here: an accepted report has rows, a row has cells.",
            )
        inside = known | ({"row", "cell"} if isinstance(piece, _CellPiece) else {"row"})
        node = self.json(piece.give, (*at, "$give"), inside, level + 1)
        if isinstance(piece, _CellPiece):
            return Repeated(pointer(at), node, tuple(piece.of), piece.skip_blanks)
        return Repeated(pointer(at), node)

    def _parts(self, text: str, at: Steps, known: frozenset[str]) -> Iterator[str | Placeholder]:
        end = 0
        for token in _TOKEN.finditer(text):
            yield text[end : token.start()]
            end = token.end()
            if token[0] in {"{{", "}}"}:
                yield token[0][0]
            elif token[1] is None:
                self.no(at, "Dấu ngoặc nhọn phải viết hai lần.", "A brace that opens no placeholder is written twice.")
            else:
                yield self._placeholder(token[1], at, known)
        yield text[end:]

    def _placeholder(self, inside: str, at: Steps, known: frozenset[str]) -> str | Placeholder:
        """What is between braces. Where that is wrong, a letter stands for it, so that only this is told."""
        parts = _INSIDE.fullmatch(inside)
        steps = tuple(parts[1].split("/")) if parts else ()
        if not steps or steps[0] not in known or (steps[0] == "cell" and steps[1:] not in _CELL):
            name = quoted(inside)
            self.no(at, f"Không có giá trị {{{name}}} ở đây.", f"There is no value {{{name}}} here.")
            return "x"
        table = parts[2] if parts else None
        codes = self._tables.get(table) if table else None
        if table is not None and table != AS_TEXT and codes is None:
            name = quoted(table)
            self.no(at, f"Không có bảng mã {name}.", f"There is no table {name} in codes.")
        return Placeholder(pointer(at), steps, table, codes)


def _plainest(words: Words) -> Node:
    """A text that is one placeholder is its value; one without any is JSON already."""
    parts = [part for part in words.parts if part != ""]
    if len(parts) == 1 and isinstance(parts[0], Placeholder):
        return parts[0]
    if all(isinstance(part, str) for part in parts):
        return encode("".join(part for part in parts if isinstance(part, str)))
    return words
