"""Routes of obligations: what is owed and where it stands."""

from collections.abc import Collection, Iterable, Iterator
from datetime import date, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query, Response
from pydantic import BaseModel, ConfigDict, Field

from gateway.api.deps import AnyCaller, GatewayParts, NewestCatalogue, Today
from gateway.api.json import Json
from gateway.api.lists import Cursor, Limit, bad_cursor, from_cursor, page
from gateway.api.parameters import ExactAgency, OnlyForm, Under, period_codes, require_form
from gateway.api.refusals import problems
from gateway.api.router import Router
from gateway.api.subtree import agencies_asked
from gateway.db.engine import clock, driver
from gateway.domain.calendar import civil_date
from gateway.domain.catalogue import Catalogue
from gateway.domain.obligation import Obligation, State
from gateway.domain.period import Period
from gateway.domain.report import ReportKind, Status
from gateway.flow.remind import obligation_shown
from gateway.flow.track import Tracked, named_periods, track

router = Router(prefix="/v1", tags=["obligations"])

_PAST = timedelta(days=366)
_OBLIGATION: dict[str, Any] = {
    "regime": "KSTT",
    "form": "TTHC_06A",
    "agency": "H26.18",
    "name": "Sở Nông nghiệp và Môi trường thành phố Hà Nội",
    "period": "2026-Q3",
    "kind": "own",
    "state": "open",
    "start": "2026-06-15",
    "cutoff": "2026-09-14",
    "deadline": "2026-09-20",
    "due": "2026-09-20",
    "locks_after": None,
    "report": None,
}


class ReportOfObligation(BaseModel):
    """The current report of an obligation."""

    id: UUID
    revision: int
    status: Status
    received_at: datetime
    late: bool | None
    returned_on: date | None


class ObligationShape(BaseModel):
    """What one agency owes for one period. Every date is the last day on which it holds; null is without end."""

    model_config = ConfigDict(json_schema_extra={"examples": [_OBLIGATION]})

    regime: str
    form: str
    agency: str
    name: str = Field(description="The agency's name in the period.")
    period: str
    kind: ReportKind
    state: State
    start: date
    cutoff: date
    deadline: date | None = Field(description="Later is late.")
    due: date | None = Field(description="The deadline, or the end of an extension granted after it.")
    locks_after: date | None = Field(description="The last day a report is taken, unless one is returned.")
    report: ReportOfObligation | None


class ObligationPage(BaseModel):
    """A page of obligations, by the period's last day, form and agency."""

    items: list[ObligationShape]
    next: str | None


@router.get("/obligations", response_model=ObligationPage, responses=problems(400, 401, 403, 404, 503))
async def list_obligations(
    gateway: GatewayParts,
    catalogue: NewestCatalogue,
    caller: AnyCaller,
    today: Today,
    limit: Limit,
    cursor: Cursor = None,
    agency: ExactAgency = None,
    under: Under = None,
    form: OnlyForm = None,
    period: Annotated[
        str | None, Query(description="One, a list or a range; absent: those of the last year that have begun.")
    ] = None,
    state: Annotated[list[State] | None, Query(description="Only those that stand so; may be repeated.")] = None,
    kind: Annotated[ReportKind | None, Query(description="Only reports of this kind.")] = None,
) -> Response:
    """What is owed and where it stands, by the period's last day, form and agency.

    Obligations follow from the regimes: nobody makes them.
    """
    asked_for = agencies_asked(catalogue, caller, agency, under, today)
    agencies = None if asked_for is None else frozenset(asked_for)
    require_form(catalogue, form)
    after = _after(cursor)
    asked = _asked(catalogue, form, period, today)
    ends = {(each.code, named): each.end for each, named in asked}
    found: list[Tracked] = []
    async with driver(gateway.engine) as connection:
        day = civil_date(await clock(connection))
        async for each in track(connection, catalogue, _owed_by(catalogue, asked, agencies, kind, after), day):
            if not state or each.state in state:
                found.append(each)
                if len(found) > limit:
                    break

    def place(tracked: Tracked) -> str:
        each = tracked.obligation
        end = ends[each.period.code, each.form]
        return "|".join((end.isoformat(), each.period.code, each.form, each.agency, each.kind.value))

    return Json(page(found, limit, lambda each: obligation_shown(each, catalogue), place))


def _asked(catalogue: Catalogue, form: str | None, period: str | None, today: date) -> list[tuple[Period, str]]:
    if period is not None:
        return named_periods(catalogue, form, period_codes(period))
    begun = catalogue.obligations.periods(today - _PAST, today)
    return [each for each in begun if form in {None, each[1]}]


def _after(cursor: str | None) -> tuple[str, ...] | None:
    if cursor is None:
        return None
    place = tuple(from_cursor(cursor, 5))
    try:
        date.fromisoformat(place[0])
    except ValueError:
        raise bad_cursor() from None
    return place


def _owed_by(
    catalogue: Catalogue,
    asked: Iterable[tuple[Period, str]],
    agencies: Collection[str] | None,
    kind: ReportKind | None,
    after: tuple[str, ...] | None,
) -> Iterator[Obligation]:
    """The obligations asked for, in order, from just after a place on."""
    for period, form in asked:
        place = (period.end.isoformat(), period.code, form)
        if after is not None and place < after[:3]:
            continue
        for each in catalogue.obligations.owed(form, period.code):
            is_asked = (agencies is None or each.agency in agencies) and kind in {None, each.kind}
            if is_asked and (after is None or (*place, each.agency, each.kind.value) > after):
                yield each
