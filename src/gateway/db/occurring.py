"""What occurs in the rows of counted reports, without putting figures together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.db.counted import Given, Scope, counted
from gateway.db.figures import Column, figure, rows_of


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
    given = Given()
    rows = f"FROM {rows_of(scope, given)} WHERE {counted(scope, given).condition}"
    rows += "".join(f" AND r.codes[{place}] = ANY ({given.add(list(of), 'text[]')})" for place, of in codes.items())
    keys = [f"r.codes[{place}]" for place in range(1, breakdowns + 1)]
    sets = ", ".join(["(h.period, h.agency_id)", *(f"({key})" for key in keys)])
    shown = ", ".join(["h.period", "h.agency_id", *keys])
    found = await connection.fetch(f"SELECT {shown} {rows} GROUP BY GROUPING SETS ({sets})", *given.values)
    filled = ", ".join(f"({figure(each, scope, given)}) IS NOT NULL" for each in columns)
    row = await connection.fetchrow(f"SELECT {filled} {rows}", *given.values)
    return Occurring(
        [(each[0], each[1]) for each in found if each[0] is not None],
        [{each[2 + place] for each in found if each[2 + place] is not None} for place in range(breakdowns)],
        list(row),
    )
