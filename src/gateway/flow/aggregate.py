"""Aggregate: put the figures of counted reports together, exactly, as the form says each may be.

Over agencies and breakdowns an indicator is added, recomputed by its formula, or left null; over periods it is
added (a flow), taken from the first or the last period asked for (a stock), recomputed, or left null. A row that
holds one row of one report shows that row's own figures.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from gateway.db.counted import count_owed
from gateway.db.figures import find_ground
from gateway.flow.look import Opened
from gateway.flow.plan import Member, Plan
from gateway.flow.question import Question


@dataclass(frozen=True, slots=True)
class Aggregate:
    """An answer: what it rests on, the columns of its rows in order, and the rows as they come.

    ``expected`` and ``missing`` count the reports owed, and those of them not counted; None for a form in no regime.
    ``mark`` is equal for answers with equal figures, and moves when what they rest on does.
    """

    mark: bytes
    reports: int
    expected: int | None
    missing: int | None
    form_versions: list[int]
    as_of: str
    columns: list[str]
    rows: AsyncIterator[dict[str, object]]


async def aggregate(opened: Opened, question: Question) -> Aggregate:
    """The answer to a question in an open state; its rows are read as they are taken."""
    catalogue, connection = opened.catalogue, opened.connection
    plan = Plan(catalogue, question, opened.state)
    ground = await find_ground(connection, plan.scope, plan.grouping)
    owed = question.owed(catalogue)
    missing = None if owed is None else len(owed) - await count_owed(connection, plan.scope, owed)
    expected = None if owed is None else len(owed)
    return Aggregate(
        plan.mark(ground, expected, missing),
        ground.reports,
        expected,
        missing,
        ground.form_versions,
        question.name(opened.state),
        plan.columns,
        plan.rows(connection),
    )


def series(opened: Opened, question: Question) -> AsyncIterator[Member]:
    """Only the figures of a question by period, in an open state: those that differ in it alone follow each other."""
    return Plan(opened.catalogue, question, opened.state).series(opened.connection)
