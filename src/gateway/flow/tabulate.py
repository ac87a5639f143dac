"""Tabulate: a form's figures of many agencies and breakdowns at once, each cell what an aggregate would say.

Every agency asked for gets the total of its whole subtree, whether or not others are below it, and a breakdown both its
codes and its total. That is several questions to the same aggregation, one after the other, in one snapshot.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from gateway.db.counted import counted_periods
from gateway.domain.catalogue import Catalogue
from gateway.domain.form import Form
from gateway.domain.form_document import Indicator
from gateway.domain.period import Period, parse_period
from gateway.flow.aggregate import series
from gateway.flow.look import Opened
from gateway.flow.plan import Member
from gateway.flow.question import Question


@dataclass(frozen=True, slots=True)
class Table:
    """What is asked for. ``agencies`` are those with a line each, in the subtree of ``under`` (None: the country).

    ``has_total`` asks for the whole country besides; ``ways`` says of every breakdown whether its codes are kept apart
    (True), added (False), or one and then the other.
    """

    form: Form
    under: str | None
    periods: list[Period]
    agencies: frozenset[str]
    has_total: bool
    ways: Mapping[str, tuple[bool, ...]]
    indicators: list[Indicator]

    @property
    def passes(self) -> list[tuple[str, ...]]:
        """The breakdowns kept apart, each time the figures are gone through."""
        names = list(self.ways)
        return [
            tuple(name for name, apart in zip(names, way, strict=True) if apart)
            for way in product(*(self.ways[name] for name in names))
        ]


@dataclass(frozen=True, slots=True)
class Line:
    """The figures of an agency by period, in order of time: texts, in the order of the table's indicators.

    No agency is the whole country, and no code the total of a breakdown.
    """

    agency: str | None
    codes: tuple[str | None, ...]
    figures: list[tuple[Period, Sequence[str | None]]]


async def periods_of(opened: Opened, form: str) -> list[Period]:
    """The periods that have figures of a form, as its regimes cut them, in order of time."""
    catalogue = opened.catalogue
    codes = await counted_periods(opened.connection, catalogue.form_ids[form], opened.state)
    periods = [parse_period(code, catalogue.obligations.rule(form, code)) for code in codes]
    return sorted(periods, key=lambda each: (each.start, each.end))


async def tabulate(opened: Opened, table: Table) -> AsyncIterator[Line]:
    """The lines of a table as they come, in a state that is open; nothing is held but the line at hand."""
    if not table.periods or not table.indicators:
        return
    for question in _questions(opened.catalogue, table):
        async for line in _lines(series(opened, question)):
            yield line


def _questions(catalogue: Catalogue, table: Table) -> Iterator[Question]:
    for apart in table.passes:
        by = ("period", *apart)
        common = (table.form, table.form.code, table.periods, table.under)
        if table.has_total:
            yield Question(*common, by, table.indicators)
        for depth in range(_depth(catalogue, table)):
            yield Question(*common, ("agency", *by), table.indicators, chosen=table.agencies, depth=depth)


def _depth(catalogue: Catalogue, table: Table) -> int:
    """How many of the agencies stand one below the other at most, in any of the periods."""
    whole = Question(table.form, table.form.code, table.periods, table.under, (), [])
    organisations = dict.fromkeys(whole.organisation(catalogue, each) for each in table.periods)
    chains = (catalogue.agencies.chains(each, table.under, table.agencies) for each in organisations)
    return max((len(chain) for each in chains for chain in each.values()), default=0)


async def _lines(members: AsyncIterator[Member]) -> AsyncIterator[Line]:
    line: Line | None = None
    async for each in members:
        if line is None or line.codes != each.codes or line.agency != each.agency:
            if line is not None:
                yield line
            line = Line(each.agency, each.codes, [])
        line.figures.append((each.period, each.figures))
    if line is not None:
        yield line
