"""Questions about figures: which indicators of a form, of whom, over which periods, put together by what."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date

from gateway.db.counted import Scope
from gateway.db.state import State
from gateway.domain.agency import Organisation
from gateway.domain.catalogue import Catalogue
from gateway.domain.form import Form
from gateway.domain.form_document import Indicator
from gateway.domain.period import Period, PeriodError, expand, gaps_and_overlaps
from gateway.errors import MalformedRequest, NotFound, Place, Text

COMMON_GROUPS = ("agency", "level", "period")


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: a form's indicators over some periods, under an agency (None: the whole country).

    ``reorganised_on`` is the day whose organisation holds for every period; None leaves each period to its own.
    ``chosen``, where agencies are grouped by, asks for the whole subtree of each of these in the place of the children
    of ``under``: of those one below another, the one at ``depth`` from the top, so that no report is in two rows.
    """

    form: Form
    form_code: str
    periods: list[Period]
    under: str | None
    by: tuple[str, ...]
    indicators: list[Indicator]
    reorganised_on: date | None = None
    chosen: frozenset[str] | None = None
    depth: int = 0

    def organisation(self, catalogue: Catalogue, period: Period) -> Organisation:
        """What the figures of a period are put together by."""
        if self.reorganised_on is not None:
            return catalogue.agencies.reorganised(self.reorganised_on)
        return catalogue.agencies.as_reported(catalogue.agencies.last_change(period.end))

    def branches(self, catalogue: Catalogue, period: Period) -> Mapping[str, str]:
        """For every agency counted in a period, the child of ``under`` it counts in; ``under`` itself for its own."""
        return self.grouped(catalogue, self.organisation(catalogue, period))

    def grouped(self, catalogue: Catalogue, organisation: Organisation) -> Mapping[str, str]:
        """The same in one organisation; with ``chosen``, the one of these it counts in."""
        if self.chosen is None:
            return catalogue.agencies.branches(organisation, self.under)
        chains = catalogue.agencies.chains(organisation, self.under, self.chosen)
        return {code: chain[self.depth] for code, chain in chains.items() if len(chain) > self.depth}

    def name(self, state: State) -> str:
        """The name of the state that was read: with the day since when the organisation holds, where that is chosen."""
        return str(replace(state.name, day=self.reorganised_on))

    def scope(self, catalogue: Catalogue, state: State) -> Scope:
        """The reports counted in a state: those of everyone who is in the subtree in some of the periods."""
        agencies = None
        if self.under is not None or self.chosen is not None:
            codes = {code for period in self.periods for code in self.branches(catalogue, period)}
            agencies = sorted(catalogue.agencies.ids[code] for code in codes)
        return Scope(
            catalogue.form_ids[self.form_code],
            [each.code for each in self.periods],
            sorted({each.end.year for each in self.periods}),
            agencies,
            state,
        )

    def owed(self, catalogue: Catalogue) -> list[tuple[int, int]] | None:
        """The reports owed and added up, as (place of the period from 1, agency); None for a form in no regime."""
        obligations, ids = catalogue.obligations, catalogue.agencies.ids
        if not any(obligations.is_regulated(self.form_code, each) for each in self.periods):
            return None
        found: list[tuple[int, int]] = []
        for place, period in enumerate(self.periods, start=1):
            counted = {} if self.under is None else self.branches(catalogue, period)
            found += [
                (place, ids[each.agency])
                for each in obligations.counted(self.form_code, period.code)
                if self.under is None or each.agency in counted
            ]
        return found


def _wrong(parameter: str, vi: str, en: str) -> MalformedRequest:
    message = Text(vi, en)
    return MalformedRequest(message, errors=[Place(parameter, message)])


def read_periods(catalogue: Catalogue, form: str, expression: str) -> list[Period]:
    """The periods asked for as the form's regimes cut them, in order of time. Raises ``MalformedRequest``."""
    try:
        periods = expand(expression, lambda code: catalogue.obligations.rule(form, code))
        return sorted(periods, key=lambda each: (each.start, each.end))
    except PeriodError as error:
        raise _wrong("period", *error.message) from error


def ask(
    catalogue: Catalogue,
    form: str,
    period: str,
    under: str | None,
    by: str | None,
    indicator: str | None,
    reorganised_on: date | None = None,
) -> Question:
    """Read the parameters of a question. Raises ``MalformedRequest`` naming the parameter, ``NotFound`` for no form."""
    versions = catalogue.forms.get(form)
    if not versions:
        raise NotFound(Text("Không có biểu mẫu này.", "There is no such form."))
    periods = read_periods(catalogue, form, period)
    in_force = [each for each in versions if any(each.document.is_valid_on(day.end) for day in periods)]
    newest = (in_force or versions)[-1]
    groups = tuple(part for part in (by or "").split(",") if part) if by else ()
    known = {*COMMON_GROUPS, *(each.id for each in newest.breakdowns)}
    unknown = [part for part in groups if part not in known]
    if unknown or len(set(groups)) < len(groups):
        names = ", ".join(sorted(known))
        raise _wrong("by", f"by nhận: {names}, mỗi giá trị một lần.", f"by takes: {names}, each once.")
    if "period" not in groups:
        _require_whole_time(periods)
    return Question(newest, form, periods, under, groups, _indicators(newest, indicator), reorganised_on)


def _require_whole_time(periods: list[Period]) -> None:
    found = gaps_and_overlaps(periods)
    if found:
        names = "; ".join(f"{one.code} / {other.code}: {kind}" for one, other, kind in found[:20])
        raise _wrong(
            "period",
            f"Các kỳ không liền nhau hoặc chồng lấn ({names}); hãy thêm by=period.",
            f"The periods leave gaps or overlap ({names}); add by=period.",
        )


def _indicators(form: Form, asked: str | None) -> list[Indicator]:
    if not asked:
        return list(form.indicators)
    by_id = {each.id: each for each in form.indicators}
    names = [part for part in asked.split(",") if part]
    unknown = [name for name in names if name not in by_id]
    if unknown:
        raise _wrong("indicator", "Biểu mẫu không có chỉ tiêu này.", "The form has no such indicator.")
    return [by_id[name] for name in dict.fromkeys(names)]
