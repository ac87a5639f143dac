"""Touched: of which agencies and periods figures rest on other reports, or other agencies, than in a state before."""

from collections.abc import AsyncIterator
from dataclasses import replace

from gateway.db.observed import changed_heads
from gateway.domain.catalogue import Catalogue
from gateway.domain.period import Period
from gateway.flow.look import Opened, Picture
from gateway.flow.question import Question
from gateway.flow.tabulate import Line, Table

Cells = frozenset[tuple[str | None, str]]
"""Agencies (None is the whole country) with periods."""


async def touched(opened: Opened, before: Picture, table: Table) -> Cells:
    """The agencies of a table and the periods whose figures may differ from those of a state before."""
    question = Question(table.form, table.form.code, table.periods, table.under, (), table.indicators)
    scope = question.scope(opened.catalogue, opened.state)
    found: set[tuple[str | None, str]] = set()
    changed: dict[str, set[str]] = {}
    for period, agency in await changed_heads(opened.connection, scope, before.state):
        changed.setdefault(period, set()).add(opened.catalogue.agencies.codes[agency])
    for each in table.periods:
        now, then = _chains(opened.catalogue, table, each), _chains(before.catalogue, table, each)
        moved = {code for code in now.keys() | then.keys() if now.get(code) != then.get(code)} if now != then else set()
        for code in changed.get(each.code, set()) | moved:
            found |= {(None, each.code), *((above, each.code) for above in now.get(code, ()) + then.get(code, ()))}
    return frozenset(found)


def _chains(catalogue: Catalogue, table: Table, period: Period) -> dict[str, tuple[str, ...]]:
    question = Question(table.form, table.form.code, [period], table.under, (), [])
    return dict(catalogue.agencies.chains(question.organisation(catalogue, period), table.under, table.agencies))


async def only_touched(lines: AsyncIterator[Line], cells: Cells) -> AsyncIterator[Line]:
    """Of lines, the figures of some agencies and periods; lines that have none of these are left out."""
    async for line in lines:
        kept = [(period, figures) for period, figures in line.figures if (line.agency, period.code) in cells]
        if kept:
            yield replace(line, figures=kept)
