"""Select series: which figures a key and filters of SDMX ask for, and those figures as series."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from gateway.domain.catalogue import Catalogue
from gateway.domain.form import Form
from gateway.domain.period import Period
from gateway.errors import Forbidden, Text
from gateway.flow.tabulate import Line, Table
from gateway.formats.sdmx_codes import (
    AGENCY,
    DECIMALS,
    FREQ,
    INDICATOR,
    NORMAL,
    STATUS,
    TOTAL,
    UNIT,
    agency_code,
    agency_id,
    breakdown_id,
    code_ids,
    dimension_ids,
    observed,
)
from gateway.formats.sdmx_structures import Series
from gateway.formats.sdmx_time import FREQUENCIES, time_period

Box = Sequence[frozenset[str] | None]
"""Values of each dimension in order; None is any."""

MOST_PASSES = 64
"""How often one answer goes through the figures: twice for every breakdown of which codes and total are asked for."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Values of every dimension that may occur, in the order of keys; and keys of which a series must be one.

    A selection is a box of the cube, and ``boxes`` are the parts of it that are meant; none of them is all of it.
    """

    catalogue: Catalogue
    form: Form
    under: str | None
    periods: list[Period]
    allowed: Mapping[str, frozenset[str]]
    boxes: Sequence[Box] = ()

    @property
    def ways(self) -> dict[str, tuple[bool, ...]]:
        """Of every breakdown, whether its codes are kept apart, added, or one and then the other."""
        found = {}
        for each in self.form.breakdowns:
            allowed = self.allowed[breakdown_id(each)]
            found[each.id] = (*([True] if allowed - {TOTAL} else []), *([False] if TOTAL in allowed else []))
        return found

    @property
    def passes(self) -> int:
        return prod(len(each) for each in self.ways.values())

    @property
    def table(self) -> Table:
        """The selection as the question that is put to the figures."""
        agencies = self.allowed[AGENCY]
        return Table(
            form=self.form,
            under=self.under,
            periods=[each for each in self.periods if FREQUENCIES[each.frequency] in self.allowed[FREQ]],
            agencies=frozenset(agency_code(each) for each in agencies - {TOTAL}),
            has_total=TOTAL in agencies,
            ways=self.ways,
            indicators=[each for each in observed(self.form) if each.id in self.allowed[INDICATOR]],
        )


def agencies_within(catalogue: Catalogue, under: str | None, periods: Sequence[Period]) -> frozenset[str]:
    """The agencies that may have figures in a subtree: those in it in any of the periods."""
    if under is None:
        return frozenset(catalogue.agencies.versions)
    days = {catalogue.agencies.last_change(each.end) for each in periods}
    return frozenset(code for day in days for code in catalogue.agencies.as_reported(day).tree.subtree(under)) | {under}


def every_value(
    catalogue: Catalogue, form: Form, under: str | None, periods: Sequence[Period]
) -> dict[str, frozenset[str]]:
    """The values of every dimension that there can be for a client of a subtree."""
    agencies = {agency_id(each) for each in agencies_within(catalogue, under, periods)}
    values = {
        FREQ: frozenset(FREQUENCIES[each.frequency] for each in periods),
        AGENCY: frozenset(agencies | ({TOTAL} if under is None else set())),
        INDICATOR: frozenset(each.id for each in observed(form)),
    }
    for each in form.breakdowns:
        codes = set(code_ids(catalogue.codelists[each.codelist]).values())
        values[breakdown_id(each)] = frozenset(codes | ({TOTAL} if each.total == "sum" else set()))
    return values


def require_within(catalogue: Catalogue, named: frozenset[str], values: frozenset[str]) -> None:
    """Raises ``Forbidden`` for agencies that are named, exist, and lie outside what a client may see."""
    outside = sorted(
        each for each in named - values if each == TOTAL or agency_code(each) in catalogue.agencies.versions
    )
    if outside:
        said = ", ".join(outside[:20])
        raise Forbidden(Text(f"Ngoài phạm vi của client: {said}.", f"Outside the client's subtree: {said}."))


_Indicator = tuple[str, Mapping[str, str]]
"""The id of an indicator and the attributes of its observations."""


class Serialiser:
    """Makes lines of a table into series of the selection, with no more than so many first or last observations."""

    def __init__(self, selection: Selection, first: int | None = None, last: int | None = None) -> None:
        self._selection, self._first, self._last = selection, first, last
        form = selection.form
        self._dimensions = dimension_ids(form)
        self._ids = [
            (breakdown_id(each), code_ids(selection.catalogue.codelists[each.codelist])) for each in form.breakdowns
        ]
        self._indicators: list[_Indicator] = [
            (each.id, {STATUS: NORMAL, **({UNIT: each.unit} if each.unit else {}), DECIMALS: str(each.places)})
            for each in selection.table.indicators
        ]
        self._times = {each.code: (FREQUENCIES[each.frequency], time_period(each)) for each in selection.periods}

    def series(self, line: Line) -> list[Series]:
        """The series of a line: one for each frequency and indicator that has observations."""
        agency = TOTAL if line.agency is None else agency_id(line.agency)
        codes = []
        for (dimension, ids), code in zip(self._ids, line.codes, strict=True):
            value = TOTAL if code is None else ids.get(code, code)
            if value not in self._selection.allowed[dimension]:
                return []
            codes.append(value)
        found = [
            Series((frequency, agency, indicator, *codes), attributes, self._some(observations))
            for (indicator, attributes), frequency, observations in self._observed(line)
        ]
        return [each for each in found if self._is_meant(each.key)] if self._selection.boxes else found

    def _observed(self, line: Line) -> list[tuple[_Indicator, str, list[tuple[str, str]]]]:
        """What is not blank, by indicator and frequency, in order of time."""
        if len(line.figures) == 1:
            [(period, figures)] = line.figures
            frequency, time = self._times[period.code]
            known = zip(self._indicators, figures, strict=True)
            return [(indicator, frequency, [(time, value)]) for indicator, value in known if value is not None]
        found: dict[int, dict[str, list[tuple[str, str]]]] = {}
        for period, figures in line.figures:
            frequency, time = self._times[period.code]
            for place, value in enumerate(figures):
                if value is not None:
                    found.setdefault(place, {}).setdefault(frequency, []).append((time, value))
        return [
            (self._indicators[place], frequency, observations)
            for place, by_frequency in found.items()
            for frequency, observations in by_frequency.items()
        ]

    def _is_meant(self, key: tuple[str, ...]) -> bool:
        boxes = self._selection.boxes
        return any(
            all(values is None or value in values for value, values in zip(key, box, strict=False)) for box in boxes
        )

    def _some(self, observations: list[tuple[str, str]]) -> Sequence[tuple[str, str]]:
        if self._first is None and self._last is None:
            return observations
        ends = observations[: self._first or 0], observations[max(0, len(observations) - (self._last or 0)) :]
        if self._first and self._last and self._first + self._last >= len(observations):
            return observations
        return [*ends[0], *ends[1]]
