"""Survey: of which codes and periods a selection has figures, without putting any together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from gateway.db.figures import Column, Taken
from gateway.db.occurring import Occurring, occurring
from gateway.domain.form import Form
from gateway.domain.period import Period
from gateway.flow.look import Opened
from gateway.flow.question import Question
from gateway.flow.select_series import Selection
from gateway.formats.sdmx_codes import AGENCY, FREQ, INDICATOR, TOTAL, agency_id, breakdown_id, code_ids
from gateway.formats.sdmx_time import FREQUENCIES, nominal


@dataclass(frozen=True, slots=True)
class Survey:
    """The values of every dimension that has figures, and the first and last nominal day of these; None for none."""

    values: Mapping[str, Sequence[str]]
    days: tuple[str, str] | None


async def survey(opened: Opened, selection: Selection) -> Survey:
    """What there is of a selection. Every value occurs; not all values need to occur together."""
    table = selection.table
    if not table.periods or not table.indicators or not all(selection.ways.values()):
        return Survey({}, None)
    found = await _occurring(opened, selection)
    agencies, periods = _reported(selection, found)
    if not periods:
        return Survey({}, None)
    values = {
        FREQ: sorted({FREQUENCIES[each.frequency] for each in periods}),
        AGENCY: sorted(agencies),
        INDICATOR: [each.id for each, filled in zip(table.indicators, found.filled, strict=True) if filled],
        **_breakdowns(selection, found),
    }
    return Survey(values, _days(periods))


def _question(selection: Selection) -> Question:
    table = selection.table
    common = (table.form, table.form.code, table.periods, table.under, (), table.indicators)
    return Question(*common, chosen=table.agencies)


async def _occurring(opened: Opened, selection: Selection) -> Occurring:
    """What there are rows of; of breakdowns without the total, only rows with the codes that are meant."""
    form, question = selection.form, _question(selection)
    counted = replace(question, chosen=None) if selection.table.has_total else question
    only = {
        place: [code for code, id_ in _ids(selection, place).items() if id_ in selection.allowed[breakdown_id(each)]]
        for place, each in enumerate(form.breakdowns, start=1)
        if TOTAL not in selection.allowed[breakdown_id(each)]
    }
    columns = [_column(selection.catalogue.forms[form.code], each.id) for each in question.indicators]
    scope = counted.scope(selection.catalogue, opened.state)
    return await occurring(opened.connection, scope, len(form.breakdowns), columns, only)


def _reported(selection: Selection, found: Occurring) -> tuple[set[str], list[Period]]:
    """The agencies in whose subtrees somebody reported, and the periods."""
    table, agencies, question = selection.table, selection.catalogue.agencies, _question(selection)
    by_code = {each.code: each for each in table.periods}
    seen: set[str] = {TOTAL} if table.has_total and found.reported else set()
    periods: set[str] = set()
    for code, number in found.reported:
        organisation = question.organisation(selection.catalogue, by_code[code])
        chain = agencies.chains(organisation, table.under, table.agencies).get(agencies.codes[number], ())
        if chain or table.has_total:
            seen.update(agency_id(each) for each in chain)
            periods.add(code)
    return seen, [each for each in table.periods if each.code in periods]


def _breakdowns(selection: Selection, found: Occurring) -> dict[str, list[str]]:
    values = {}
    for place, each in enumerate(selection.form.breakdowns, start=1):
        ids, allowed = _ids(selection, place), selection.allowed[breakdown_id(each)]
        occurring_ids = {ids.get(code, code) for code in found.codes[place - 1]}
        values[breakdown_id(each)] = sorted((occurring_ids | {TOTAL}) & allowed)
    return values


def _ids(selection: Selection, place: int) -> Mapping[str, str]:
    return code_ids(selection.catalogue.codelists[selection.form.breakdowns[place - 1].codelist])


def _column(versions: Sequence[Form], indicator: str) -> Column:
    return Column({form.version: form.value_index.get(indicator) for form in versions}, Taken.sum)


def _days(periods: Sequence[Period]) -> tuple[str, str]:
    spans = [nominal(each) for each in periods]
    return str(min(first for first, _ in spans)), str(max(last for _, last in spans))
