"""Which reports count, now or in a state of the past: the one condition of every figure.

Statements are put together from fixed words and the numbers of their parameters; everything a caller names is a
parameter.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gateway.db.state import State


class Given:
    """The parameters of a statement as it is put together."""

    def __init__(self) -> None:
        self.values: list[object] = []

    def add(self, value: object, kind: str) -> str:
        """The place of a parameter, of a type of PostgreSQL."""
        self.values.append(value)
        return f"${len(self.values)}::{kind}"


@dataclass(frozen=True, slots=True)
class Scope:
    """Which reports are counted, and when. ``agencies`` None is all; a period stands for its era's tree.

    ``years`` are those of the periods' last days: rows are kept by them.
    """

    form: int
    periods: Sequence[str]
    years: Sequence[int]
    agencies: Sequence[int] | None
    state: State


@dataclass(frozen=True, slots=True)
class Counted:
    """The condition of a scope on heads ``h``, with the place of its periods among the parameters."""

    condition: str
    periods: str


def held(state: State, xid: str, given: Given) -> str:
    """Whether a state of the past holds a transaction."""
    without = given.add([str(each) for each in state.without], "text[]")
    return f"({xid} <= {given.add(str(state.newest), 'text')}::xid8 AND {xid} <> ALL ({without}::xid8[]))"


def counted_in(state: State, given: Given, head: str = "h") -> str:
    """Whether a head counts in a state."""
    if state.is_current:
        return f"({head}.status = 'accepted' AND {head}.counted)"
    recorded, ended = held(state, f"{head}.recorded_xid", given), held(state, f"{head}.ended_xid", given)
    was_there = f"({head}.status = 'accepted' OR ({head}.ended_xid IS NOT NULL AND NOT {ended}))"
    return f"({head}.counted AND {recorded} AND {was_there})"


def within(scope: Scope, given: Given) -> Counted:
    """The heads of a scope, whether they count or not."""
    periods = given.add(list(scope.periods), "text[]")
    agencies = given.add(scope.agencies, "int[]")
    condition = (
        f"h.form_id = {given.add(scope.form, 'int')} AND h.period = ANY ({periods})"
        f" AND ({agencies} IS NULL OR h.agency_id = ANY ({agencies}))"
    )
    return Counted(condition, periods)


def counted(scope: Scope, given: Given) -> Counted:
    """The heads of a scope that count in its state."""
    found = within(scope, given)
    return Counted(f"{found.condition} AND {counted_in(scope.state, given)}", found.periods)


async def counted_periods(connection: Any, form: int, state: State) -> list[str]:
    """The periods that have counted reports of a form (its storage key)."""
    given = Given()
    condition = f"h.form_id = {given.add(form, 'int')} AND {counted_in(state, given)}"
    rows = await connection.fetch(f"SELECT DISTINCT period FROM reports h WHERE {condition}", *given.values)  # noqa: S608
    return [row["period"] for row in rows]


async def count_owed(connection: Any, scope: Scope, owed: Sequence[tuple[int, int]]) -> int:
    """How many of the reports owed, as (place of the period from 1, agency), are counted."""
    given = Given()
    found = counted(scope, given)
    rows = await connection.fetch(
        f"SELECT array_position({found.periods}, h.period), h.agency_id FROM reports h WHERE {found.condition}",  # noqa: S608
        *given.values,
    )
    return len({tuple(row) for row in rows}.intersection(owed))
