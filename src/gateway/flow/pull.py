"""Pull single values: every counted figure with the report and revision it comes from, or what became of them since."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any
from uuid import UUID

from gateway.db.figures import Grouping, find_ground
from gateway.db.observed import After, changed_rows, single_rows
from gateway.domain.catalogue import Catalogue
from gateway.domain.form import Form
from gateway.flow.look import Opened, Picture
from gateway.flow.question import Question
from gateway.flow.show import cells_shown

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
    """Single values in a fixed order, each with its place, as they come; ``columns`` are their fields.

    ``mark`` is equal for equal values, and moves when one of their reports does.
    """

    mark: bytes
    as_of: str
    columns: list[str]
    items: AsyncGenerator[tuple[Place, dict[str, object]], None]


async def pull(opened: Opened, question: Question, after: Place | None) -> Observations:
    """The observations of a question in an open state, from just after a place on; blanks are not observed.

    Where a state before is given, only those that changed since: a value that counts no longer, with nothing in its
    place, is null, with the report that it was in.
    """
    breakdowns = [each.id for each in question.form.breakdowns]
    columns = ["form", "form_version", "agency", "period", *breakdowns, "indicator", "value", "report", "revision"]
    name = question.name(opened.state)
    return Observations(await _mark(opened, question), name, columns, _items(opened, question, after))


async def _mark(opened: Opened, question: Question) -> bytes:
    ground = await find_ground(
        opened.connection, question.scope(opened.catalogue, opened.state), Grouping(False, False, [])
    )
    since = None if opened.before is None else str(opened.before.state.name)
    members = _members(opened.catalogue, question)
    within = None if members is None else sorted((period, sorted(those)) for period, those in members.items())
    parts = (ground.mark, since, within, [each.id for each in question.indicators])
    return blake2b(repr(parts).encode(), digest_size=16).digest()


async def _items(
    opened: Opened, question: Question, after: Place | None
) -> AsyncGenerator[tuple[Place, dict[str, object]], None]:
    before = opened.before
    values = _values(opened, question, after) if before is None else _changes(opened, before, question, after)
    async for place, item in values:
        if after is None or (place.report, place.row, place.indicator) > (after.report, after.row, after.indicator):
            yield place, item


def _from(after: Place | None) -> After | None:
    return After(after.report, after.row) if after else None


async def _values(
    opened: Opened, question: Question, after: Place | None
) -> AsyncIterator[tuple[Place, dict[str, object]]]:
    members = _members(opened.catalogue, question)
    scope = question.scope(opened.catalogue, opened.state)
    async for row in single_rows(opened.connection, scope, _from(after)):
        if _is_member(members, row):
            for place, name, value in _cells(opened.catalogue, question, row):
                if value is not None:
                    yield place, _item(opened.catalogue, question, row, name, value)


async def _changes(
    opened: Opened, before: Picture, question: Question, after: Place | None
) -> AsyncIterator[tuple[Place, dict[str, object]]]:
    here, there = _members(opened.catalogue, question), _members(before.catalogue, question)
    scope = question.scope(opened.catalogue, opened.state)
    if scope.agencies is not None:
        scope = replace(
            scope, agencies=sorted({*scope.agencies, *(question.scope(before.catalogue, opened.state).agencies or ())})
        )
    moved = sorted(frozenset[int]().union(*(here[each] ^ there[each] for each in here))) if here and there else []
    async for row in changed_rows(opened.connection, scope, before.state, moved, _from(after)):
        was, counts = row["was"] and _is_member(there, row), row["counts"] and _is_member(here, row)
        if was == counts:
            continue
        instead = _instead(opened.catalogue, question, row) if _is_member(here, row) else {}
        for place, name, value in _cells(opened.catalogue, question, row):
            if value is not None and (counts or instead.get(name) is None):
                yield place, _item(opened.catalogue, question, row, name, value if counts else None)


def _members(catalogue: Catalogue, question: Question) -> Members:
    if question.under is None:
        return None
    ids = catalogue.agencies.ids
    return {each.code: frozenset(ids[code] for code in question.branches(catalogue, each)) for each in question.periods}


def _is_member(members: Members, row: Any) -> bool:
    return members is None or row["agency_id"] in members[row["period"]]


def _form(catalogue: Catalogue, question: Question, version: int) -> Form:
    form = catalogue.form_version(question.form_code, version)
    if form is None:
        raise LookupError(f"form {question.form_code} version {version} is not in the catalogue")
    return form


def _cells(catalogue: Catalogue, question: Question, row: Any) -> list[tuple[Place, str, object]]:
    """The values asked for in a row, blanks too."""
    wanted = {each.id for each in question.indicators}
    cells = cells_shown(_form(catalogue, question, row["form_version"]), row["figures"], row["texts"])
    return [
        (Place(row["id"], row["number"], index), name, value)
        for index, (name, value) in enumerate(cells)
        if name in wanted
    ]


def _instead(catalogue: Catalogue, question: Question, row: Any) -> Mapping[str, object]:
    """The values that count in the place of those of a row that does no longer."""
    if row["new_version"] is None:
        return {}
    form = _form(catalogue, question, row["new_version"])
    return dict(cells_shown(form, row["new_figures"], row["new_texts"]))


def _item(catalogue: Catalogue, question: Question, row: Any, indicator: str, value: object) -> dict[str, object]:
    breakdowns = (each.id for each in question.form.breakdowns)
    return {
        "form": question.form_code,
        "form_version": row["form_version"],
        "agency": catalogue.agencies.codes[row["agency_id"]],
        "period": row["period"],
        **dict(zip(breakdowns, row["codes"], strict=True)),
        "indicator": indicator,
        "value": value,
        "report": row["id"],
        "revision": row["revision"],
    }
