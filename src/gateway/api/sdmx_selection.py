"""From a data request as text to a selection: the form it is of, and the values its keys and filters allow."""

from collections.abc import Callable, Mapping, Sequence

from gateway.access.tokens import Caller
from gateway.api.parameters import wrong
from gateway.api.sdmx_errors import NotImplementedHere, SemanticError, TooLarge
from gateway.api.sdmx_query import Asked, Condition, DataAsked, Filter
from gateway.domain.catalogue import Catalogue
from gateway.domain.form import Form
from gateway.domain.period import Period
from gateway.errors import NotFound, Text
from gateway.flow.look import Opened
from gateway.flow.select_series import MOST_PASSES, Box, Selection, every_value, require_within
from gateway.flow.tabulate import periods_of
from gateway.formats.sdmx_bundle import Bundle
from gateway.formats.sdmx_codes import AGENCY, ATTRIBUTES, TIME, VALUE, dimension_ids, version_of
from gateway.formats.sdmx_structures import Artefact
from gateway.formats.sdmx_time import Span, nominal, span, time_period


def form_asked(catalogue: Catalogue, bundle: Bundle, asked: Asked) -> Form:
    """The one form version whose data is asked for. Raises ``NotFound``, ``NotImplementedHere`` for several."""
    found: list[Artefact] = bundle.named(asked.kinds, asked.agencies, asked.ids, asked.versions)
    if not found:
        raise NotFound(Text("Không có dataflow này.", "There is no such dataflow."))
    if len(found) > 1:
        raise NotImplementedHere(
            Text("Mỗi yêu cầu chỉ lấy số liệu của một dataflow.", "Data is served of one dataflow a request.")
        )
    name = found[0].reference
    return next(each for each in catalogue.forms[name.id] if version_of(each) == name.version)


def form_in(catalogue: Catalogue, form: Form) -> Form:
    """A form version as the catalogue of a state has it. Raises ``NotFound`` where it was not there yet."""
    found = catalogue.form_version(form.code, form.version)
    if found is None:
        raise NotFound(Text("Khi đó chưa có dataflow này.", "There was no such dataflow then."))
    return found


async def select(opened: Opened, caller: Caller, form: Form, asked: DataAsked) -> Selection:
    """What is asked for, among what there is in an open state and the caller may see."""
    catalogue = opened.catalogue
    dimensions = dimension_ids(form)
    _require_dimensions(asked, dimensions)
    there = await periods_of(opened, form.code)
    periods = _in_time(there, asked)
    values = every_value(catalogue, form, caller.agency, periods)
    boxes = [_box(key, dimensions) for key in asked.keys]
    named = _named_agencies(boxes, asked.filters, dimensions.index(AGENCY))
    require_within(catalogue, named, values[AGENCY])
    allowed = {
        name: frozenset(
            value
            for value in _bounded(values[name], [box[place] for box in boxes])
            if all(_passes(each, value) for each in asked.filters if each.component == name)
        )
        for place, name in enumerate(dimensions)
    }
    selection = Selection(catalogue, form, caller.agency, periods, allowed, boxes if len(boxes) > 1 else ())
    if selection.passes > MOST_PASSES:
        raise TooLarge(
            Text(
                "Hãy chọn mã hoặc _T cho bớt phân tổ: tổng và từng mã của quá nhiều phân tổ.",
                "Choose codes or _T for some breakdowns: totals and codes of too many of them are asked for at once.",
            )
        )
    return selection


def _require_dimensions(asked: DataAsked, dimensions: Sequence[str]) -> None:
    for key in asked.keys:
        if len(key) > len(dimensions):
            said = ".".join(dimensions)
            raise SemanticError(Text(f"Khóa có tối đa: {said}.", f"A key has at most: {said}."))
    for each in asked.filters:
        if each.component in {VALUE, *ATTRIBUTES}:
            raise NotImplementedHere(Text("Chỉ lọc theo chiều.", "Filters are served for dimensions."))
    named = [each.component for each in asked.filters] + ([asked.component] if asked.component else [])
    for name in named:
        if name not in {TIME, *dimensions}:
            said = ", ".join([*dimensions, TIME])
            raise SemanticError(Text(f"Các chiều: {said}.", f"The dimensions are: {said}."))


def _box(key: Box, dimensions: Sequence[str]) -> Box:
    """A key with every dimension: those left out at the end are free."""
    return [*key, *([None] * (len(dimensions) - len(key)))]


def _bounded(values: frozenset[str], named: Sequence[frozenset[str] | None]) -> frozenset[str]:
    if not named or None in named:
        return values
    return values.intersection(frozenset().union(*(each for each in named if each is not None)))


def _named_agencies(boxes: Sequence[Box], filters: Sequence[Filter], place: int) -> frozenset[str]:
    named = {value for box in boxes for value in box[place] or ()}
    for each in filters:
        if each.component == AGENCY:
            named |= {part.value for parts in each.alternatives for part in parts if part.operator == "eq"}
    return frozenset(named)


_COMPARE: Mapping[str, Callable[[str, str], bool]] = {
    "eq": lambda value, given: value == given,
    "ne": lambda value, given: value != given,
    "lt": lambda value, given: value < given,
    "le": lambda value, given: value <= given,
    "gt": lambda value, given: value > given,
    "ge": lambda value, given: value >= given,
    "co": lambda value, given: given in value,
    "nc": lambda value, given: given not in value,
    "sw": lambda value, given: value.startswith(given),
    "ew": lambda value, given: value.endswith(given),
}

_COMPARE_TIME: Mapping[str, Callable[[Span, Span], bool]] = {
    "lt": lambda days, given: days[1] < given[0],
    "le": lambda days, given: days[1] <= given[1],
    "gt": lambda days, given: days[0] > given[1],
    "ge": lambda days, given: days[0] >= given[0],
}


def _passes(asked: Filter, value: str) -> bool:
    return any(all(_COMPARE[each.operator](value, each.value) for each in parts) for parts in asked.alternatives)


def _in_time(periods: Sequence[Period], asked: DataAsked) -> list[Period]:
    """The periods from a start to an end, by nominal days, that pass the filters by time."""
    known = {time_period(each): nominal(each) for each in periods}
    ends = (("startPeriod", "ge", asked.start), ("endPeriod", "le", asked.end))
    given: list[tuple[str, Sequence[Sequence[Condition]]]] = [
        *((name, [[Condition(operator, value)]]) for name, operator, value in ends if value is not None),
        *((f"c[{TIME}]", each.alternatives) for each in asked.filters if each.component == TIME),
    ]
    spans = {
        each.value: _span(known, name, each.value)
        for name, alternatives in given
        for parts in alternatives
        for each in parts
        if each.operator in _COMPARE_TIME
    }

    def passes(period: Period, each: Condition) -> bool:
        if each.operator in _COMPARE_TIME:
            return _COMPARE_TIME[each.operator](nominal(period), spans[each.value])
        return _COMPARE[each.operator](time_period(period), each.value)

    return [
        period
        for period in periods
        if all(any(all(passes(period, each) for each in parts) for parts in alternatives) for _, alternatives in given)
    ]


def _span(known: Mapping[str, Span], name: str, text: str) -> Span:
    try:
        return known.get(text) or span(text)
    except ValueError:
        raise wrong(
            name,
            Text(
                "Phải là kỳ của SDMX: 2026, 2026-Q1, 2026-07…", "It is a time period of SDMX: 2026, 2026-Q1, 2026-07…"
            ),
        ) from None
