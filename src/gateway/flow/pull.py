"""Pull single values: every counted figure with the report and revision it comes from, or what became of them since."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any
from uuid import UUID

from gateway.db.figures import Grouping, find_ground
from gateway.db.observed import After, changed_rows, single_rows
from gateway.domain.catalogue import Catalogue
from gateway.domain.observation import Cells, Field, Line
from gateway.flow.look import Opened, Picture
from gateway.flow.question import Question

Members = Mapping[str, frozenset[int]] | None
"""Storage keys of those in the subtree, for each period: one may be in it in some only. None is everyone."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the list an observation stands: its report, row and indicator (by place in the form)."""

    report: UUID
    row: int
    indicator: int


@dataclass(frozen=True, slots=True)
class Observations:
    """Single values in a fixed order, those of a row of a report as one line; ``columns`` are their fields.

    Lines come as they are read, some at once. ``mark`` is equal for equal values, and moves when one of their reports
    does.
    """

    mark: bytes
    as_of: str
    columns: list[str]
    lines: AsyncGenerator[list[Line], None]


async def pull(opened: Opened, question: Question, after: Place | None) -> Observations:
    """The observations of a question in an open state, from the row of a place on; blanks are not observed.

    Where a state before is given, only those that changed since: a value that counts no longer, with nothing in its
    place, is gone, with the report that it was in.
    """
    breakdowns = [each.id for each in question.form.breakdowns]
    columns = ["form", "form_version", "agency", "period", *breakdowns, "indicator", "value", "report", "revision"]
    name = question.name(opened.state)
    reader = _Reader(opened.catalogue, question, breakdowns)
    before = opened.before
    lines = _values(opened, reader, after) if before is None else _changes(opened, before, reader, after)
    return Observations(await _mark(opened, question), name, columns, lines)


async def items(found: Observations, after: Place | None) -> AsyncGenerator[tuple[Place, dict[str, object]], None]:
    """Observations one by one, each with its place, from just after a place on."""
    async with aclosing(found.lines) as source:
        async for lines in source:
            for line in lines:
                for field, value in line.told():
                    if after is None or _position(line, field) > (after.report, after.row, after.indicator):
                        yield Place(*_position(line, field)), line.shown(field, value)


def _position(line: Line, field: Field) -> tuple[UUID, int, int]:
    return line.report, line.number, field.place


async def _mark(opened: Opened, question: Question) -> bytes:
    ground = await find_ground(
        opened.connection, question.scope(opened.catalogue, opened.state), Grouping(False, False, [])
    )
    since = None if opened.before is None else str(opened.before.state.name)
    members = _members(opened.catalogue, question)
    within = None if members is None else sorted((period, sorted(those)) for period, those in members.items())
    parts = (ground.mark, since, within, [each.id for each in question.indicators])
    return blake2b(repr(parts).encode(), digest_size=16).digest()


def _from(after: Place | None) -> After | None:
    return After(after.report, after.row) if after else None


class _Reader:
    """Makes lines of rows as they are kept."""

    def __init__(self, catalogue: Catalogue, question: Question, breakdowns: list[str]) -> None:
        self.catalogue, self.question, self._breakdowns = catalogue, question, breakdowns
        self._agencies = catalogue.agencies.codes
        self._wanted = frozenset(each.id for each in question.indicators)
        self._cells: dict[int, Cells] = {}

    def cells(self, version: int) -> Cells:
        """How the rows of a form version are read."""
        if version not in self._cells:
            form = self.catalogue.form_version(self.question.form_code, version)
            if form is None:
                raise LookupError(f"form {self.question.form_code} version {version} is not in the catalogue")
            self._cells[version] = Cells(form, self._wanted)
        return self._cells[version]

    def line(self, row: Any) -> Line:
        """All values asked for of a row."""
        cells = self.cells(row["form_version"])
        return Line(
            self.question.form_code,
            row["form_version"],
            self._agencies[row["agency_id"]],
            row["period"],
            self._breakdowns,
            row["codes"],
            row["id"],
            row["revision"],
            row["number"],
            cells.fields,
            cells.values(row["figures"], row["texts"]),
        )

    def gone(self, row: Any, is_here: bool) -> Line:
        """The values of a row that counts no longer which have none in their place."""
        line, instead = self.line(row), set[str]()
        if is_here and row["new_version"] is not None:
            cells = self.cells(row["new_version"])
            values = cells.values(row["new_figures"], row["new_texts"])
            instead = {each.id for each, value in zip(cells.fields, values, strict=True) if value is not None}
        fields = [each for each, _ in line.told() if each.id not in instead]
        return line._replace(fields=fields, values=[None] * len(fields), is_gone=True)


async def _values(opened: Opened, reader: _Reader, after: Place | None) -> AsyncGenerator[list[Line], None]:
    members = _members(opened.catalogue, reader.question)
    scope = reader.question.scope(opened.catalogue, opened.state)
    async for rows in single_rows(opened.connection, scope, _from(after)):
        yield [reader.line(row) for row in rows if _is_member(members, row)]


async def _changes(
    opened: Opened, before: Picture, reader: _Reader, after: Place | None
) -> AsyncGenerator[list[Line], None]:
    question = reader.question
    here, there = _members(opened.catalogue, question), _members(before.catalogue, question)
    scope = question.scope(opened.catalogue, opened.state)
    if scope.agencies is not None:
        scope = replace(
            scope, agencies=sorted({*scope.agencies, *(question.scope(before.catalogue, opened.state).agencies or ())})
        )
    moved = sorted(frozenset[int]().union(*(here[each] ^ there[each] for each in here))) if here and there else []
    changed: AsyncIterator[Any] = changed_rows(opened.connection, scope, before.state, moved, _from(after))
    async for rows in changed:
        lines = []
        for row in rows:
            is_here = _is_member(here, row)
            was, counts = row["was"] and _is_member(there, row), row["counts"] and is_here
            if was != counts:
                lines.append(reader.line(row) if counts else reader.gone(row, is_here))
        yield lines


def _members(catalogue: Catalogue, question: Question) -> Members:
    if question.under is None:
        return None
    ids = catalogue.agencies.ids
    return {each.code: frozenset(ids[code] for code in question.branches(catalogue, each)) for each in question.periods}


def _is_member(members: Members, row: Any) -> bool:
    return members is None or row["agency_id"] in members[row["period"]]
