"""What single reports contribute to a figure, and what became of their deliveries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from gateway.db.counted import Given, Scope, counted
from gateway.db.figures import Column, Grouping, figure, tree

_HEAD = (
    "h.id, h.agency_id, h.form_version, h.period, h.kind, h.revision, h.received_at, encode(h.sha256, 'hex') AS sha256,"
    " h.receipt"
)


@dataclass(frozen=True, slots=True)
class Cell:
    """Which rows of a result are meant: those of one group (None: there are no groups), and codes by place from 1."""

    group: int | None
    codes: Mapping[int, str]


async def contributions(
    connection: Any, scope: Scope, grouping: Grouping, cell: Cell, columns: Sequence[Column], page: tuple[UUID, int]
) -> list[Any]:
    """Heads of the reports behind a cell by id, after one and at most so many, each with ``parts``.

    The parts are how many of its rows are meant, and the sum of each column over these.
    """
    given = Given()
    found = counted(scope, given)
    by_tree = grouping.groups is not None
    groups = tree(grouping, given, found.periods) if by_tree else ""
    is_meant = "g.number >= 0" if cell.group is None else f"g.number = {given.add(cell.group, 'int')}"
    codes = "".join(f" AND r.codes[{place}] = {given.add(code, 'text')}" for place, code in cell.codes.items())
    sums = ", ".join(["count(*)", *(figure(each, scope, given) for each in columns)])
    after, most = page
    return list(
        await connection.fetch(
            f"""
SELECT {_HEAD}, s.parts
  FROM reports h {groups}
 CROSS JOIN LATERAL (
    SELECT ARRAY[{sums}]::numeric[] AS parts FROM report_rows r
     WHERE r.report_id = h.id AND r.agency_id = h.agency_id AND r.year = extract(year FROM h.period_end) {codes}) AS s
 WHERE {found.condition} {f"AND {is_meant}" if by_tree else ""} {"AND s.parts[1] > 0" if codes else ""}
   AND h.id > {given.add(after, "uuid")}
 ORDER BY h.id LIMIT {given.add(most, "int")}
""",  # noqa: S608 - fixed words
            *given.values,
        )
    )


async def deliveries_of(connection: Any, reports: Sequence[UUID]) -> list[Any]:
    """The deliveries of some reports, in the order they were made, with the names of their connectors."""
    return list(
        await connection.fetch(
            "SELECT d.report_id, d.id, c.name AS connector, d.event, d.state, d.finished_at, d.receipt"
            " FROM deliveries d JOIN connectors c ON c.id = d.connector_id"
            " WHERE d.report_id = ANY ($1::uuid[]) ORDER BY d.seq",
            list(reports),
        )
    )
