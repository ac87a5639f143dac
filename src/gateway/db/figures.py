"""Figures in storage: sums over the rows of counted reports, grouped as asked, in one statement.

A statement is put together from column numbers and fixed words only; everything a caller names is a parameter.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from gateway.db.counted import Given, Scope, counted
from gateway.db.deadline import parts_in_time, rows_in_time

PREFETCH = 2000
"""Rows that are asked for at once while a result is read: what is held of it."""


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


@dataclass(frozen=True, slots=True)
class Ground:
    """What an answer rests on: how many reports, by which form versions, and a number for which ones in which groups.

    Equal marks are equal sets of reports, but for one chance in 2^128.
    """

    reports: int
    form_versions: list[int]
    mark: tuple[int, int]


async def find_ground(connection: Any, scope: Scope, grouping: Grouping) -> Ground:
    """The reports counted."""
    given = Given()
    found = counted(scope, given)
    by_tree = grouping.groups is not None
    groups = tree(grouping, given, found.periods) if by_tree else ""
    seed = "g.number::bigint * 2" if by_tree else "0::bigint"
    row = await connection.fetchrow(
        f"""
SELECT count(*) AS reports, array_agg(DISTINCT form_version::int) AS versions,
       coalesce(bit_xor(uuid_hash_extended(h.id, {seed})), 0) AS one,
       coalesce(bit_xor(uuid_hash_extended(h.id, {seed} + 1)), 0) AS other
  FROM reports h {groups} WHERE {found.condition} {"AND g.number >= 0" if by_tree else ""}
""",  # noqa: S608 - fixed words
        *given.values,
    )
    return Ground(row["reports"], row["versions"] or [], (row["one"], row["other"]))


def tree(grouping: Grouping, given: Given, periods: str) -> str:
    """Gives the group of each report.

    Looked up by place and not joined: a plan made before the tables were first analysed would compare every report
    with every agency.
    """
    eras, numbers, width = _tree_arguments(grouping)
    era = f"({given.add(eras, 'int[]')})[array_position({periods}, h.period)]"
    place = f"{era} * {given.add(width, 'int')} + h.agency_id"
    return f" CROSS JOIN LATERAL (SELECT ({given.add(numbers, 'int[]')})[{place}] AS number) AS g "


def _tree_arguments(grouping: Grouping) -> tuple[list[int], list[int], int]:
    """The tree of each period; the group of agency ``a`` in tree ``t`` at ``t * width + a``; the width.

    -1 is no group, and not null: an array without nulls is read at any place in one step.
    """
    groups = grouping.groups or ()
    width = max((agency for _, agency, _ in groups), default=0) + 1
    numbers = [-1] * (width * (max((era for era, _, _ in groups), default=0) + 1))
    for era, agency, number in groups:
        numbers[era * width + agency - 1] = number
    return list(grouping.eras), numbers, width


def figure(column: Column, scope: Scope, given: Given) -> str:
    """The expression of a column over the rows ``r`` of heads ``h`` in a group."""
    source = "r.texts" if column.text else "r.figures"
    places = set(column.places.values())
    if len(places) == 1 and None not in places:
        value = f"{source}[{places.pop()}]"
    else:
        kept = {version: place for version, place in column.places.items() if place is not None}
        cases = " ".join(f"WHEN {version} THEN {source}[{place}]" for version, place in kept.items())
        value = f"CASE h.form_version {cases} END"

    def only_in(period: str) -> str:
        return f"FILTER (WHERE h.period = {given.add(period, 'text')})"

    match column.taken:
        case Taken.sum:
            return f"sum({value})"
        case Taken.first:
            return f"sum({value}) {only_in(scope.periods[0])}"
        case Taken.last:
            return f"sum({value}) {only_in(scope.periods[-1])}"
        case Taken.only:
            return f"CASE WHEN count(*) = 1 THEN max({value}) END"
        case Taken.only_first | Taken.only_last:
            one = only_in(scope.periods[0 if column.taken is Taken.only_first else -1])
            return f"CASE WHEN count(*) {one} = 1 THEN max({value}) {one} END"


def rows_of(scope: Scope, given: Given) -> str:
    """The rows ``r`` of heads ``h``, in the years of a scope."""
    years = given.add(list(scope.years), "smallint[]")
    return (
        f"reports h JOIN report_rows r ON r.report_id = h.id AND r.agency_id = h.agency_id AND r.year = ANY ({years})"
    )


def _statement(scope: Scope, grouping: Grouping, columns: Sequence[Column], given: Given, is_series: bool) -> str:
    found = counted(scope, given)
    keys = []
    if grouping.by_period:
        keys.append(f"array_position({found.periods}, h.period)")
    if grouping.by_group:
        keys.append("g.number")
    keys += [f"r.codes[{place}]" for place in grouping.codes]
    figures = [figure(column, scope, given) for column in columns]
    parts = ", ".join(
        [*keys, "count(*)", *([f"ARRAY[{', '.join(figures)}]::numeric[]::text"] if is_series else figures)]
    )
    order = [*keys[1:], keys[0]] if is_series and grouping.by_period else keys
    group = ("GROUP BY " + ", ".join(keys) + " ORDER BY " + ", ".join(order)) if keys else ""
    groups = tree(grouping, given, found.periods) if grouping.groups is not None else ""
    return f"""
SELECT {parts}
  FROM {rows_of(scope, given)} {groups}
 WHERE {found.condition} {"AND g.number >= 0" if grouping.groups is not None else ""}
 {group}
"""  # noqa: S608 - made of column numbers and fixed words


async def combined_rows(
    connection: Any, scope: Scope, grouping: Grouping, columns: Sequence[Column]
) -> AsyncIterator[Sequence[Any]]:
    """Rows of the result in order: the group's keys, how many rows it holds, and its figures."""
    given = Given()
    statement = _statement(scope, grouping, columns, given, is_series=False)
    async for row in rows_in_time(connection, statement, *given.values, prefetch=PREFETCH):
        yield row


async def combined_series(
    connection: Any, scope: Scope, grouping: Grouping, columns: Sequence[Column]
) -> AsyncIterator[Sequence[Sequence[Any]]]:
    """The same rows, some at once, ordered by period within the other keys; all columns are of numbers.

    The figures are one text each row, as PostgreSQL writes an array of numbers: exact, and cheap to read.
    """
    given = Given()
    statement = _statement(scope, grouping, columns, given, is_series=True)
    async for rows in parts_in_time(connection, statement, *given.values, prefetch=PREFETCH):
        yield rows
