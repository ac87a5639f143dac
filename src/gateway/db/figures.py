"""Figures in storage: sums over current rows, grouped as asked, in one statement; and single values.

A statement is put together from column numbers and fixed words only; everything a caller names is a parameter.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.engine import driver

_PREFETCH = 2000


class Taken(StrEnum):
    """Which of the rows of a group a figure is taken from, and how."""

    sum = "sum"
    first = "first"
    last = "last"
    only = "only"
    """The value of a group of one row; null in any other."""
    only_first = "only_first"
    only_last = "only_last"


@dataclass(frozen=True, slots=True)
class Column:
    """One figure of the result: its place (from 1) in the ``figures`` or ``texts`` of each form version.

    A version that lacks the indicator has no place, and gives null.
    """

    places: Mapping[int, int | None]
    taken: Taken
    text: bool = False


@dataclass(frozen=True, slots=True)
class Scope:
    """Which reports are counted. ``agencies`` None is all; a period stands for its era's tree (see ``groups``)."""

    form: int
    periods: Sequence[str]
    years: Sequence[int]
    agencies: Sequence[int] | None


@dataclass(frozen=True, slots=True)
class Grouping:
    """How rows are put together.

    ``eras`` gives for each period the number of its tree, ``groups`` for each (tree, agency) the number of its
    group; None puts all agencies together. ``codes`` are the places (from 1) of the breakdowns kept apart.
    """

    by_period: bool
    by_group: bool
    codes: Sequence[int]
    eras: Sequence[int] = field(default_factory=list)
    groups: Sequence[tuple[int, int, int]] | None = None


@asynccontextmanager
async def snapshot(engine: AsyncEngine) -> AsyncIterator[Any]:
    """A connection on which every statement sees one and the same state."""
    async with driver(engine) as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        yield connection


async def state_token(connection: Any) -> str:
    """The state a snapshot sees, named so that the name moves only when an event or the catalogue does.

    It holds the newest transaction seen to have changed something, and those older that were still open.
    """
    row = await connection.fetchrow(
        "SELECT greatest((SELECT recorded_xid FROM report_events ORDER BY recorded_xid DESC LIMIT 1)::text::numeric,"
        " (SELECT recorded_xid FROM catalog_revisions ORDER BY revision DESC LIMIT 1)::text::numeric)::text AS newest,"
        " ARRAY(SELECT pg_snapshot_xip(pg_current_snapshot())::text) AS open"
    )
    newest = int(row["newest"] or 0)
    still_open = [xid for xid in row["open"] if int(xid) < newest]
    return ".".join([str(newest), *sorted(still_open, key=int)])


_COUNTED = """ WHERE h.form_id = $1 AND h.period = ANY ($2::text[]) AND h.status = 'accepted' AND h.counted
   AND ($3::int[] IS NULL OR h.agency_id = ANY ($3))
"""
"""Which reports count: the one condition of every figure, over the parameters of a ``Scope``."""


def _tree(first: int) -> str:
    """Gives the group of each report, over the parameters of ``_tree_arguments`` from the ``first`` on.

    Looked up by place and not joined: a plan made before the tables were first analysed would compare every report
    with every agency.
    """
    place = f"(${first}::int[])[array_position($2::text[], h.period)] * ${first + 2}::int + h.agency_id"
    return f"""
 CROSS JOIN LATERAL (SELECT (${first + 1}::int[])[{place}] AS number) AS g
"""


def _tree_arguments(grouping: Grouping) -> list[object]:
    """The tree of each period; the group of agency ``a`` in tree ``t`` at ``t * width + a``; the width.

    -1 is no group, and not null: an array without nulls is read at any place in one step.
    """
    groups = grouping.groups or ()
    width = max((agency for _, agency, _ in groups), default=0) + 1
    numbers = [-1] * (width * (max((era for era, _, _ in groups), default=0) + 1))
    for era, agency, number in groups:
        numbers[era * width + agency - 1] = number
    return [list(grouping.eras), numbers, width]


async def counted_periods(connection: Any, form: int) -> list[str]:
    """The periods that have counted reports of a form (its storage key)."""
    rows = await connection.fetch(
        "SELECT DISTINCT period FROM reports h WHERE h.form_id = $1 AND h.status = 'accepted' AND h.counted", form
    )
    return [row["period"] for row in rows]


async def count_reports(connection: Any, scope: Scope, grouping: Grouping) -> tuple[int, list[int]]:
    """How many reports are counted, and by which form versions."""
    by_tree = scope.agencies is not None and grouping.groups is not None
    row = await connection.fetchrow(
        "SELECT count(*) AS reports, array_agg(DISTINCT form_version::int) AS versions FROM reports h"  # noqa: S608 - fixed words
        + (_tree(4) if by_tree else "")
        + _COUNTED
        + (" AND g.number >= 0" if by_tree else ""),
        scope.form,
        scope.periods,
        scope.agencies,
        *(_tree_arguments(grouping) if by_tree else ()),
    )
    return row["reports"], row["versions"] or []


async def count_owed(connection: Any, scope: Scope, owed: Sequence[tuple[int, int]]) -> int:
    """How many of the reports owed, as (place of the period from 1, agency), are counted."""
    rows = await connection.fetch(
        "SELECT array_position($2::text[], h.period), h.agency_id FROM reports h" + _COUNTED,  # noqa: S608 - fixed words
        scope.form,
        scope.periods,
        scope.agencies,
    )
    return len({tuple(row) for row in rows}.intersection(owed))


def _figure(column: Column) -> str:
    source = "r.texts" if column.text else "r.figures"
    places = set(column.places.values())
    if len(places) == 1 and None not in places:
        figure = f"{source}[{places.pop()}]"
    else:
        kept = {version: place for version, place in column.places.items() if place is not None}
        cases = " ".join(f"WHEN {version} THEN {source}[{place}]" for version, place in kept.items())
        figure = f"CASE h.form_version {cases} END"
    first, last = "FILTER (WHERE h.period = $4)", "FILTER (WHERE h.period = $5)"
    match column.taken:
        case Taken.sum:
            return f"sum({figure})"
        case Taken.first:
            return f"sum({figure}) {first}"
        case Taken.last:
            return f"sum({figure}) {last}"
        case Taken.only:
            return f"CASE WHEN count(*) = 1 THEN max({figure}) END"
        case Taken.only_first:
            return f"CASE WHEN count(*) {first} = 1 THEN max({figure}) {first} END"
        case Taken.only_last:
            return f"CASE WHEN count(*) {last} = 1 THEN max({figure}) {last} END"


def _statement(grouping: Grouping, columns: Sequence[Column], periods_last: bool) -> str:
    keys = []
    if grouping.by_period:
        keys.append("array_position($2::text[], h.period)")
    if grouping.by_group:
        keys.append("g.number")
    keys += [f"r.codes[{place}]" for place in grouping.codes]
    parts = ", ".join([*keys, "count(*)", *(_figure(column) for column in columns)])
    order = [*keys[1:], keys[0]] if periods_last and grouping.by_period else keys
    group = ("GROUP BY " + ", ".join(keys) + " ORDER BY " + ", ".join(order)) if keys else ""
    return f"""
SELECT {parts}
  FROM reports h
  JOIN report_rows r ON r.report_id = h.id AND r.agency_id = h.agency_id AND r.year = ANY ($6::smallint[])
  {_tree(7) if grouping.groups is not None else ""}
{_COUNTED}   {"AND g.number >= 0" if grouping.groups is not None else ""}
   AND $4::text <= $4 AND $5::text <= $5 -- named here so that both have a type where no figure asks for them
 {group}
"""  # noqa: S608 - made of column numbers and fixed words


async def combined_rows(
    connection: Any, scope: Scope, grouping: Grouping, columns: Sequence[Column], periods_last: bool = False
) -> AsyncIterator[Sequence[Any]]:
    """Rows of the result in order: the group's keys, how many rows it holds, and its figures.

    ``periods_last`` orders by period within the other keys, and not the other way round.
    """
    arguments: list[object] = [
        scope.form,
        scope.periods,
        scope.agencies,
        scope.periods[0],
        scope.periods[-1],
        scope.years,
    ]
    if grouping.groups is not None:
        arguments += _tree_arguments(grouping)
    async for row in connection.cursor(_statement(grouping, columns, periods_last), *arguments, prefetch=_PREFETCH):
        yield row


@dataclass(frozen=True, slots=True)
class After:
    """The place in the list of observations that a page begins after."""

    report: UUID
    row: int


async def single_rows(connection: Any, scope: Scope, after: After | None) -> AsyncIterator[Any]:
    """Rows of counted reports one by one, by report and row, from a place on (that row included)."""
    statement = f"""
SELECT h.id, h.revision, h.agency_id, h.period, h.form_version, r.number, r.codes, r.figures, r.texts
  FROM reports h
  JOIN report_rows r ON r.report_id = h.id AND r.agency_id = h.agency_id AND r.year = ANY ($4::smallint[])
{_COUNTED}   AND ($5::uuid IS NULL OR (h.id, r.number) >= ($5, $6::int))
 ORDER BY h.id, r.number
"""  # noqa: S608 - fixed words
    arguments = [scope.form, scope.periods, scope.agencies, scope.years]
    arguments += [after.report, after.row] if after else [None, None]
    async for row in connection.cursor(statement, *arguments, prefetch=_PREFETCH):
        yield row


@dataclass(frozen=True, slots=True)
class Occurring:
    """What there are figures of: (period, agency) pairs, the codes of each breakdown, and which columns have any."""

    reported: list[tuple[str, int]]
    codes: list[set[str]]
    filled: list[bool]


async def occurring(
    connection: Any, scope: Scope, breakdowns: int, columns: Sequence[Column], codes: Mapping[int, Sequence[str]]
) -> Occurring:
    """What occurs in the rows of a scope; of a breakdown in ``codes`` (its place, from 1) only rows with one of these.

    ``columns`` are sums: one of blanks alone is blank.
    """
    rows = "FROM reports h JOIN report_rows r ON r.report_id = h.id AND r.agency_id = h.agency_id"
    rows += f" AND r.year = ANY ($4::smallint[]) {_COUNTED}"
    rows += "".join(f" AND r.codes[{place}] = ANY (${number}::text[])" for number, place in enumerate(codes, start=5))
    arguments = [scope.form, scope.periods, scope.agencies, scope.years, *codes.values()]
    keys = [f"r.codes[{place}]" for place in range(1, breakdowns + 1)]
    sets = ", ".join(["(h.period, h.agency_id)", *(f"({key})" for key in keys)])
    shown = ", ".join(["h.period", "h.agency_id", *keys])
    found = await connection.fetch(f"SELECT {shown} {rows} GROUP BY GROUPING SETS ({sets})", *arguments)
    filled = ", ".join(f"({_figure(each)}) IS NOT NULL" for each in columns)
    row = await connection.fetchrow(f"SELECT {filled} {rows}", *arguments)
    return Occurring(
        [(each[0], each[1]) for each in found if each[0] is not None],
        [{each[2 + place] for each in found if each[2 + place] is not None} for place in range(breakdowns)],
        list(row),
    )
