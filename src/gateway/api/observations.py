"""Single values with the report behind each, as they are, were, or have changed."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query, Request, Response
from pydantic import BaseModel, ConfigDict

from gateway.api.deps import GatewayParts
from gateway.api.frame import Framed, StateAsked, state_named
from gateway.api.freshness import freshness, is_known
from gateway.api.json import Json
from gateway.api.lists import Cursor, Limit, bad_cursor, from_cursor, page
from gateway.api.parameters import Form, Indicators, PeriodRange
from gateway.api.refusals import problems
from gateway.api.router import Router
from gateway.api.stream import CSV, JSON, PARQUET, TABLES, Body, Streamed, chosen_format
from gateway.domain.as_of import AsOf, read_as_of
from gateway.flow.look import look
from gateway.flow.pull import Observations, Place, items, pull
from gateway.flow.question import ask
from gateway.formats.csv import csv_header
from gateway.formats.observations import CsvLines, JsonLines, in_pieces
from gateway.formats.parquet import INTEGER, VALUE, parquet_lines

router = Router(prefix="/v1", tags=["aggregates"])

Since = Annotated[
    str | None,
    Query(
        description="Only what changed after this state (an `as_of`, or a time). A value that counts no longer, with"
        " nothing in its place, comes as null."
    ),
]

_COLUMNS = {"form_version": INTEGER, "revision": INTEGER, "value": VALUE}
_PIECE_VALUES = 2000


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


@router.get(
    "/observations",
    response_model=ObservationPage,
    responses=TABLES | problems(400, 401, 403, 404, 406, 503),
)
async def read_observations(
    request: Request,
    gateway: GatewayParts,
    frame: Framed,
    named: StateAsked,
    limit: Limit,
    form: Form,
    period: PeriodRange,
    indicator: Indicators = None,
    cursor: Cursor = None,
    updated_after: Since = None,
) -> Response:
    """Single values with the report and revision behind each, or those that changed after a state.

    JSON comes in pages, all of the state that the first was read in; CSV, NDJSON and Parquet come whole, as a stream
    (`limit` and `cursor` are for pages only).
    """
    media_type = chosen_format(request)
    since = state_named(updated_after, "updated_after")
    state, place = (named, None) if cursor is None or media_type != JSON else _position(cursor)

    @asynccontextmanager
    async def found() -> AsyncIterator[Observations]:
        async with look(gateway.engine, gateway.catalogues, state, since) as opened:
            root, day = frame.seen(opened)
            yield await pull(opened, ask(opened.catalogue, form, period, root, "period", indicator, day), place)

    if media_type == JSON:
        async with found() as observations:
            return await _page(request, observations, place, limit)

    @asynccontextmanager
    async def opens() -> AsyncIterator[Body]:
        async with found() as observations:
            yield _Sheet(observations)

    return Streamed(request, media_type, opens)


@dataclass(frozen=True, slots=True)
class _Sheet:
    """Observations to be written whole."""

    found: Observations

    @property
    def as_of(self) -> str:
        return self.found.as_of

    @property
    def mark(self) -> bytes:
        return self.found.mark

    async def written(self, media_type: str) -> AsyncGenerator[bytes, None]:
        async with aclosing(self.found.lines) as lines:
            if media_type == PARQUET:
                async with aclosing(parquet_lines(self.found.columns, _COLUMNS, self.as_of, lines)) as pieces:
                    async for piece in pieces:
                        yield piece
                return
            if media_type == CSV:
                yield csv_header(self.found.columns)
            write = (CsvLines() if media_type == CSV else JsonLines()).written
            async for some in in_pieces(lines, _PIECE_VALUES):
                yield write(some)


async def _page(request: Request, found: Observations, after: Place | None, limit: int) -> Response:
    headers = freshness(found.as_of, found.mark, JSON)
    if is_known(request, headers):
        return Response(status_code=304, headers=headers)
    several = []
    async with aclosing(items(found, after)) as source:
        async for item in source:
            several.append(item)
            if len(several) > limit:
                break
    shown = page(several, limit, lambda each: each[1], lambda each: _written(found.as_of, each[0]))
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
