"""Single rows of counted reports, and what became of them since a state of the past."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from gateway.db.counted import Given, Scope, counted, counted_in, within
from gateway.db.deadline import parts_in_time
from gateway.db.figures import rows_of
from gateway.db.state import State

_SHOWN = (
    "h.id, h.revision, h.agency_id, h.period, h.form_version, r.number, r.codes, r.figures::text AS figures, r.texts"
)
"""What is read of a row; numbers as PostgreSQL writes them, which is exact and takes a third of the time."""
_AT_ONCE = 500
"""Rows that are held of a result while it is read; each may have thousands of figures."""


@dataclass(frozen=True, slots=True)
class After:
    """The place in the list of observations that a page begins after."""

    report: UUID
    row: int


async def single_rows(connection: Any, scope: Scope, after: After | None) -> AsyncIterator[Sequence[Any]]:
    """Rows of counted reports, some at once, by report and row, from a place on (that row included)."""
    given = Given()
    statement = f"""
SELECT {_SHOWN} FROM {rows_of(scope, given)} WHERE {counted(scope, given).condition} {_from(after, given)}
 ORDER BY h.id, r.number
"""  # noqa: S608 - fixed words
    async for rows in parts_in_time(connection, statement, *given.values, prefetch=_AT_ONCE):
        yield rows


async def changed_rows(
    connection: Any, scope: Scope, since: State, moved: Sequence[int], after: After | None
) -> AsyncIterator[Sequence[Any]]:
    """Rows, some at once, of reports that count in a scope's state and did not ``since``, or the other way round; and
    all of the agencies (storage keys) that ``moved``.

    ``was`` and ``counts`` say which. A row that no longer counts has with it the row of the same agency, period and
    codes that counts instead, if there is one: ``new_version``, ``new_figures`` and ``new_texts``.
    """
    given = Given()
    was, counts = counted_in(since, given), counted_in(scope.state, given)
    statement = f"""
SELECT {_SHOWN}, s.was, s.counts, new.form_version AS new_version,
       new.figures::text AS new_figures, new.texts AS new_texts
  FROM {rows_of(scope, given)}
 CROSS JOIN LATERAL (SELECT {was} AS was, {counts} AS counts) AS s
  LEFT JOIN LATERAL (
    SELECT o.form_version, n.figures, n.texts FROM reports o
      JOIN report_rows n ON n.report_id = o.id AND n.agency_id = o.agency_id AND n.year = r.year AND n.codes = r.codes
     WHERE o.agency_id = h.agency_id AND o.form_id = h.form_id AND o.period = h.period
       AND {counted_in(scope.state, given, "o")} LIMIT 1) AS new ON s.was AND NOT s.counts
 WHERE {within(scope, given).condition} AND (h.status = 'accepted' OR h.ended_xid IS NOT NULL)
   AND (s.was <> s.counts OR (s.was AND h.agency_id = ANY ({given.add(list(moved), "int[]")}))) {_from(after, given)}
 ORDER BY h.id, r.number
"""  # noqa: S608 - fixed words
    async for rows in parts_in_time(connection, statement, *given.values, prefetch=_AT_ONCE):
        yield rows


async def changed_heads(connection: Any, scope: Scope, since: State) -> list[tuple[str, int]]:
    """The periods and agencies of reports that count in a scope's state and not in that ``since``, or only there."""
    given = Given()
    was, counts = counted_in(since, given), counted_in(scope.state, given)
    condition = f"{within(scope, given).condition} AND (h.status = 'accepted' OR h.ended_xid IS NOT NULL)"
    statement = f"SELECT DISTINCT h.period, h.agency_id FROM reports h WHERE {condition} AND {was} <> {counts}"  # noqa: S608
    return [(row["period"], row["agency_id"]) for row in await connection.fetch(statement, *given.values)]


def _from(after: After | None, given: Given) -> str:
    if after is None:
        return ""
    return f"AND (h.id, r.number) >= ({given.add(after.report, 'uuid')}, {given.add(after.row, 'int')})"
