"""Routes of the national system: aggregates and single values, computed from what counts now."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from datetime import date
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from gateway.access.tokens import Caller
from gateway.api.deps import GatewayParts, NewestCatalogue, Puller, Today
from gateway.api.json import Json
from gateway.api.lists import Cursor, Limit, bad_cursor, from_cursor, page
from gateway.api.parameters import Form, PeriodRange, Under, wrong
from gateway.api.refusals import problems
from gateway.api.stream import CSV, JSON, NDJSON, Streamed, Table, chosen_format
from gateway.api.subtree import covers, root_of
from gateway.domain.catalogue import Catalogue
from gateway.errors import Forbidden, Text
from gateway.flow.aggregate import aggregate, ask
from gateway.flow.pull import Observations, Place, pull

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
AsOf = Annotated[str | None, Query(description="Reserved: reading a past state is not served yet.")]

_FORMATS: dict[int | str, dict[str, Any]] = {
    200: {"content": {CSV: {"schema": {"type": "string"}}, NDJSON: {"schema": {"type": "string"}}}}
}


def _refuse_as_of(as_of: str | None) -> None:
    if as_of is not None:
        said = Text("Chưa phục vụ đọc lại trạng thái cũ (as_of).", "Reading a past state (as_of) is not served yet.")
        raise wrong("as_of", said)


def _root(
    catalogue: Catalogue, caller: Caller, under: str | None, view: View, today: date
) -> tuple[str | None, date | None]:
    """The root of the subtree asked for, as the view knows it, and the day since when today's organisation holds.

    Raises ``Forbidden`` outside the caller's subtree, and where a closed agency has become one outside it.
    """
    root = root_of(catalogue, caller, under, today)
    if view is View.as_reported:
        return root, None
    present = None if root is None else catalogue.agencies.counts_as(root, today)
    if present is not None and not covers(catalogue, caller, present, today):
        raise Forbidden(
            Text(
                f"{root} nay là {present}, ngoài phạm vi của client; hãy dùng agencies=as_reported.",
                f"{root} is {present} today, outside the client's subtree; use agencies=as_reported.",
            )
        )
    return present, catalogue.agencies.last_change(today)


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
    as_of: AsOf = None,
) -> Response:
    """Figures of a subtree, put together as the form says; a report is in them once its receipt was given.

    With `by=agency` each row is a child with its whole subtree, and `under` itself has a row of its own figures
    (`"own": true`): the rows add up to the total. Formula indicators are recomputed; percentages are never added.
    """
    _refuse_as_of(as_of)
    media_type = chosen_format(request)
    root, day = _root(catalogue, caller, under, agencies, today)
    question = ask(catalogue, form, period, root, by, indicator, day)

    @asynccontextmanager
    async def opens() -> AsyncIterator[Table]:
        async with aggregate(gateway.engine, catalogue, question) as answer:
            source = {
                "form": form,
                "form_versions": answer.form_versions,
                "under": root,
                "by": list(question.by),
                "as_of": answer.as_of,
                "reports": answer.reports,
                "expected": answer.expected,
                "missing": answer.missing,
            }
            yield Table(source, answer.as_of, answer.columns, answer.rows)

    return Streamed(media_type, opens)


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
    as_of: AsOf = None,
) -> Response:
    """Single values with the report and revision behind each.

    JSON comes in pages; CSV and NDJSON come whole, as a stream (`limit` and `cursor` are for pages only).
    """
    _refuse_as_of(as_of)
    media_type = chosen_format(request)
    root, day = _root(catalogue, caller, under, agencies, today)
    question = ask(catalogue, form, period, root, "period", indicator, day)
    if media_type == JSON:
        return await _page(pull(gateway.engine, catalogue, question, _place(cursor)), limit)

    @asynccontextmanager
    async def opens() -> AsyncIterator[Table]:
        async with pull(gateway.engine, catalogue, question, None) as found:
            yield Table({}, found.as_of, found.columns, (item async for _, item in found.items))

    return Streamed(media_type, opens)


async def _page(pulled: AbstractAsyncContextManager[Observations], limit: int) -> Response:
    async with pulled as found, aclosing(found.items) as source:
        items = []
        async for item in source:
            items.append(item)
            if len(items) > limit:
                break
        shown = page(items, limit, lambda each: each[1], lambda each: _written(each[0]))
        return Json({"as_of": found.as_of, **shown})


def _written(place: Place) -> str:
    return f"{place.report}|{place.row}|{place.indicator}"


def _place(cursor: str | None) -> Place | None:
    if cursor is None:
        return None
    report, row, indicator = from_cursor(cursor, 3)
    try:
        place = Place(UUID(report), int(row[:9]), int(indicator[:9]))
    except ValueError:
        raise bad_cursor() from None
    return place
