"""Track obligations: who has reported, who has not, and how complete a period is.

Nothing here is stored: what is owed follows from the catalogue, what has come in from the current reports.
"""

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import islice
from typing import Any

from gateway.db.standings import Key, Name, Standings, last_returns, standings_of, standings_of_periods
from gateway.domain.agency import Agencies
from gateway.domain.catalogue import Catalogue
from gateway.domain.obligation import Obligation, Standing, State
from gateway.domain.period import Period

_TOGETHER = 1001
"""Obligations looked up together."""


@dataclass(frozen=True, slots=True)
class Tracked:
    """An obligation, the current report for it if there is one, and where it stands."""

    obligation: Obligation
    standing: Standing | None
    state: State


def named_periods(catalogue: Catalogue, form: str | None, periods: Sequence[str]) -> list[tuple[Period, str]]:
    """Each (period, form) that some regime reports, of periods by code, in order of time."""
    forms = sorted(catalogue.forms) if form is None else [form]
    found = [
        (owed[0].period, each)
        for each in forms
        for code in dict.fromkeys(periods)
        if (owed := catalogue.obligations.owed(each, code))
    ]
    return sorted(found, key=lambda pair: (pair[0].end, pair[0].code, pair[1]))


async def track(
    connection: Any, catalogue: Catalogue, owed: Iterable[Obligation], today: date
) -> AsyncIterator[Tracked]:
    """Where obligations stand, in their order; looked up as far as they are asked for."""
    source = iter(owed)
    while together := list(islice(source, _TOGETHER)):
        standings = await standings_of(connection, [_key(each, catalogue) for each in together])
        for each in await _tracked(connection, together, standings, catalogue, today):
            yield each


def _key(obligation: Obligation, catalogue: Catalogue) -> Key:
    ids = catalogue.agencies.ids
    return catalogue.form_ids[obligation.form], obligation.period, ids[obligation.agency], obligation.kind


async def _tracked(
    connection: Any, owed: Sequence[Obligation], standings: Standings, catalogue: Catalogue, today: date
) -> list[Tracked]:
    """Where obligations stand, in their order.

    One that seems locked may have been opened by the return of a report that its sender has withdrawn since.
    """
    found: list[Tracked] = []
    for each in owed:
        standing = standings.get(_name(_key(each, catalogue)))
        found.append(Tracked(each, standing, each.state(standing, today)))
    locked = [each for each in found if each.state is State.locked and each.standing is None]
    if not locked:
        return found
    returns = await last_returns(connection, [_key(each.obligation, catalogue) for each in locked])
    if not returns:
        return found
    return [
        replace(each, state=each.obligation.state(None, today, returned))
        if each.standing is None and (returned := returns.get(_name(_key(each.obligation, catalogue))))
        else each
        for each in found
    ]


def _name(key: Key) -> Name:
    form, period, agency, kind = key
    return form, period.code, agency, kind


@dataclass(slots=True)
class Completeness:
    """How complete a group of obligations is. ``received`` (on time and late) and ``missing`` add up to
    ``expected``; the ``returned`` are among the missing, the ``excused`` (not applicable) among the received."""

    on_time: int = 0
    late: int = 0
    returned: int = 0
    excused: int = 0
    lacking: list[Tracked] = field(default_factory=list)

    def add(self, tracked: Tracked) -> None:
        standing = tracked.standing
        if standing is None or not standing.is_accepted:
            self.lacking.append(tracked)
            self.returned += standing is not None
        elif standing.late:
            self.late += 1
        else:
            self.on_time += 1
        self.excused += tracked.state is State.excused

    @classmethod
    def of(cls, parts: "Iterable[Completeness]") -> "Completeness":
        """Several groups together."""
        whole = cls()
        for each in parts:
            whole.on_time += each.on_time
            whole.late += each.late
            whole.returned += each.returned
            whole.excused += each.excused
            whole.lacking += each.lacking
        return whole

    @property
    def received(self) -> int:
        return self.on_time + self.late

    @property
    def missing(self) -> int:
        return len(self.lacking)

    @property
    def expected(self) -> int:
        return self.received + self.missing


GROUPS = ("agency", "level", "period")


async def completeness(
    connection: Any,
    catalogue: Catalogue,
    owed: Sequence[Obligation],
    by: Collection[str],
    under: str | None,
    today: date,
) -> list[tuple[dict[str, object], Completeness]]:
    """How complete some obligations of a subtree (None: the whole country) are, by groups in order.

    By agency a group is a child with its subtree, in the tree of the period's last day; the root's own is apart.
    """
    agencies = catalogue.agencies
    if under is None:
        asked = dict.fromkeys((catalogue.form_ids[each.form], each.period.code) for each in owed)
        standings = await standings_of_periods(connection, list(asked))
    else:
        standings = await standings_of(connection, [_key(each, catalogue) for each in owed])
    found: dict[tuple[object, ...], tuple[dict[str, object], Completeness]] = {}
    for each in await _tracked(connection, owed, standings, catalogue, today):
        shown = _group(each.obligation, agencies, by, under)
        group = found.setdefault(tuple(shown.values()), (shown, Completeness()))
        group[1].add(each)
    return [found[key] for key in sorted(found, key=lambda key: [str(part) for part in key])]


def _group(obligation: Obligation, agencies: Agencies, by: Collection[str], under: str | None) -> dict[str, object]:
    shown: dict[str, object] = {}
    day = obligation.period.end
    if "agency" in by:
        branch = agencies.branches(agencies.as_reported(day), under)[obligation.agency]
        shown |= {"agency": branch, "own": branch == under}
    if "level" in by:
        shown["level"] = agencies.nearest(obligation.agency, day).level.value
    if "period" in by:
        shown["period"] = obligation.period.code
    return shown
