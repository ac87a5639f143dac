"""Routes of the national system: aggregates and single values, computed from what counts now."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from gateway.access.tokens import Caller
from gateway.api.deps import GatewayParts, NewestCatalogue, Puller, Today
from gateway.api.freshness import freshness, is_known
from gateway.api.json import Json
from gateway.api.lists import Cursor, Limit, bad_cursor, from_cursor, page
from gateway.api.parameters import Form, PeriodRange, Under, wrong
from gateway.api.refusals import problems
from gateway.api.stream import CSV, JSON, NDJSON, PARQUET, Streamed, Table, chosen_format
from gateway.api.subtree import covers, root_of
from gateway.domain.as_of import AsOf, Time, read_as_of
from gateway.domain.calendar import civil_date
from gateway.domain.catalogue import Catalogue
from gateway.domain.form_document import Type
from gateway.errors import Forbidden, NotFound, Text
from gateway.flow.aggregate import aggregate
from gateway.flow.look import Opened, look
from gateway.flow.pull import Observations, Place, pull
from gateway.flow.question import Question, ask
from gateway.formats.parquet import BOOLEAN, INTEGER, VALUE, Kind, number

router = APIRouter(prefix="/v1", tags=["aggregates"])

_EXAMPLE: dict[str, Any] = {
    "form": "TTHC_06A",
    "form_versions": [1],
    "under": "H26",
    "by": ["agency"],
    "as_of": "NzQxMg",
    "reports": 130,
    "expected": 139,
    "missing": 9,
    "rows": [
        {"agency": "H26", "own": True, "received_total": 12, "pending_total": 1},
        {"agency": "H26.18", "own": False, "received_total": 2400, "pending_total": 25},
    ],
}


class AggregateAnswer(BaseModel):
    """Figures put together, in rows like those that were pushed."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    form: str
    form_versions: list[int] = Field(description="Versions of the form that the counted reports followed.")
    under: str | None = Field(description="The subtree; null is the whole country.")
    by: list[str]
    as_of: str = Field(description="Names the state that was read; moves only when something changes.")
    reports: int = Field(description="Reports counted.")
    expected: int | None = Field(description="Reports owed; null for a form in no regime.")
    missing: int | None = Field(description="Of those, the ones that are not counted: not there, or returned.")
    rows: list[dict[str, Any]]


class Observation(BaseModel):
    """One value, with the report it comes from; breakdown codes stand beside these fields."""

    model_config = ConfigDict(extra="allow")

    form: str
    form_version: int
    agency: str
    period: str
    indicator: str
    value: Any
    report: UUID
    revision: int


class ObservationPage(BaseModel):
    """A page of observations."""

    as_of: str
    items: list[Observation]
    next: str | None


class View(StrEnum):
    """Which organisation figures are put together by: that of each period, or that of today."""

    as_reported = "as_reported"
    reorganised = "reorganised"


By = Annotated[
    str | None, Query(description="Any of `agency`, `level`, `period` and the form's breakdowns, comma-separated.")
]
Indicators = Annotated[str | None, Query(alias="indicator", description="Indicators, comma-separated; all if absent.")]
Agencies = Annotated[
    View,
    Query(
        description="`as_reported`: every agency stands where it stood on the last day of each period. `reorganised`:"
        " where it stands today, a closed one as its successor, so that years before and after a merger compare;"
        " `under` a closed agency is then its successor."
    ),
]
Past = Annotated[
    str | None,
    Query(
        description="A state to read instead of the present one: the `as_of` of an answer, which is then repeated byte"
        " for byte, or a time (RFC 3339), for all that was stored by then."
    ),
]
Since = Annotated[
    str | None,
    Query(
        description="Only what changed after this state (an `as_of`, or a time). A value that counts no longer, with"
        " nothing in its place, comes as null."
    ),
]

_FORMATS: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            CSV: {"schema": {"type": "string"}},
            NDJSON: {"schema": {"type": "string"}},
            PARQUET: {"schema": {"type": "string", "format": "binary"}},
        }
    }
}


_OBSERVED = {"form_version": INTEGER, "revision": INTEGER, "value": VALUE}


def _kinds(question: Question) -> dict[str, Kind]:
    """What the columns of an aggregate hold, where that is not texts."""
    numbers = {each.id: number(each.places) for each in question.indicators if each.is_number}
    booleans = {each.id: BOOLEAN for each in question.indicators if each.type is Type.boolean}
    return {"own": BOOLEAN, **numbers, **booleans}


def state_named(name: str | None, parameter: str) -> AsOf | None:
    """The state a parameter names. Raises ``MalformedRequest``."""
    try:
        return None if name is None else read_as_of(name)
    except ValueError:
        said = Text(f"{parameter} không phải as_of hay thời điểm.", f"{parameter} is neither an as_of nor a time.")
        raise wrong(parameter, said) from None


@dataclass(frozen=True, slots=True)
class Frame:
    """By whose leave figures are read, and by which organisation they are put together."""

    catalogue: Catalogue
    caller: Caller
    root: str | None
    view: View
    today: date

    def seen(self, opened: Opened) -> tuple[str | None, date | None]:
        """The root of the subtree in an open state, and the day since when the organisation holds, where it is chosen.

        Rights go by the organisation of today. Raises ``Forbidden`` where a closed agency has become one outside the
        caller's subtree, and ``NotFound`` for one that was not there in that state.
        """
        if self.root is not None and self.root not in opened.catalogue.agencies:
            raise NotFound(Text("Khi đó chưa có cơ quan này.", "There was no such agency then."))
        if self.view is View.as_reported:
            return self.root, None
        day = opened.state.name.day or opened.catalogue.agencies.last_change(self._day(opened))
        present = None if self.root is None else opened.catalogue.agencies.counts_as(self.root, day)
        if present is not None and not covers(self.catalogue, self.caller, present, self.today):
            raise Forbidden(
                Text(
                    f"{self.root} là {present}, ngoài phạm vi của client; hãy dùng agencies=as_reported.",
                    f"{self.root} is {present}, outside the client's subtree; use agencies=as_reported.",
                )
            )
        return present, day

    def _day(self, opened: Opened) -> date:
        name = opened.state.name
        return civil_date(name.at) if isinstance(name, Time) else self.today


@router.get(
    "/aggregates",
    response_model=AggregateAnswer,
    responses=_FORMATS | problems(400, 401, 403, 404, 406, 503),
)
async def read_aggregates(
    request: Request,
    gateway: GatewayParts,
    catalogue: NewestCatalogue,
    caller: Puller,
    today: Today,
    form: Form,
    period: PeriodRange,
    under: Under = None,
    by: By = None,
    indicator: Indicators = None,
    agencies: Agencies = View.as_reported,
    as_of: Past = None,
) -> Response:
    """Figures of a subtree, put together as the form says; a report is in them once its receipt was given.

    With `by=agency` each row is a child with its whole subtree, and `under` itself has a row of its own figures
    (`"own": true`): the rows add up to the total. Formula indicators are recomputed; percentages are never added.
    """
    media_type = chosen_format(request)
    frame = Frame(catalogue, caller, root_of(catalogue, caller, under, today), agencies, today)
    state = state_named(as_of, "as_of")

    @asynccontextmanager
    async def opens() -> AsyncIterator[Table]:
        async with look(gateway.engine, gateway.catalogues, state) as opened:
            root, day = frame.seen(opened)
            question = ask(opened.catalogue, form, period, root, by, indicator, day)
            answer = await aggregate(opened, question)
            head = {
                "form": form,
                "form_versions": answer.form_versions,
                "under": root,
                "by": list(question.by),
                "as_of": answer.as_of,
                "reports": answer.reports,
                "expected": answer.expected,
                "missing": answer.missing,
            }
            yield Table(head, answer.as_of, answer.mark, answer.columns, _kinds(question), answer.rows)

    return Streamed(request, media_type, opens)


@router.get(
    "/observations",
    response_model=ObservationPage,
    responses=_FORMATS | problems(400, 401, 403, 404, 406, 503),
)
async def read_observations(
    request: Request,
    gateway: GatewayParts,
    catalogue: NewestCatalogue,
    caller: Puller,
    today: Today,
    limit: Limit,
    form: Form,
    period: PeriodRange,
    under: Under = None,
    indicator: Indicators = None,
    agencies: Agencies = View.as_reported,
    cursor: Cursor = None,
    as_of: Past = None,
    updated_after: Since = None,
) -> Response:
    """Single values with the report and revision behind each, or those that changed after a state.

    JSON comes in pages, all of the state that the first was read in; CSV, NDJSON and Parquet come whole, as a stream
    (`limit` and `cursor` are for pages only).
    """
    media_type = chosen_format(request)
    frame = Frame(catalogue, caller, root_of(catalogue, caller, under, today), agencies, today)
    since = state_named(updated_after, "updated_after")
    state, place = (state_named(as_of, "as_of"), None) if cursor is None or media_type != JSON else _position(cursor)

    @asynccontextmanager
    async def found() -> AsyncIterator[Observations]:
        async with look(gateway.engine, gateway.catalogues, state, since) as opened:
            root, day = frame.seen(opened)
            yield await pull(opened, ask(opened.catalogue, form, period, root, "period", indicator, day), place)

    if media_type == JSON:
        async with found() as observations:
            return await _page(request, observations, limit)

    @asynccontextmanager
    async def opens() -> AsyncIterator[Table]:
        async with found() as observations:
            rows = (item async for _, item in observations.items)
            yield Table({}, observations.as_of, observations.mark, observations.columns, _OBSERVED, rows)

    return Streamed(request, media_type, opens)


async def _page(request: Request, found: Observations, limit: int) -> Response:
    headers = freshness(found.as_of, found.mark, JSON)
    if is_known(request, headers):
        return Response(status_code=304, headers=headers)
    async with aclosing(found.items) as source:
        items = []
        async for item in source:
            items.append(item)
            if len(items) > limit:
                break
    shown = page(items, limit, lambda each: each[1], lambda each: _written(found.as_of, each[0]))
    return Json({"as_of": found.as_of, **shown}, headers=headers)


def _written(as_of: str, place: Place) -> str:
    return f"{as_of}|{place.report}|{place.row}|{place.indicator}"


def _position(cursor: str) -> tuple[AsOf, Place]:
    """The state that pages are read in, and the place of the last item that was shown."""
    as_of, report, row, indicator = from_cursor(cursor, 4)
    try:
        return read_as_of(as_of), Place(UUID(report), int(row[:9]), int(indicator[:9]))
    except ValueError:
        raise bad_cursor() from None
