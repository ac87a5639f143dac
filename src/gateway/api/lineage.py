"""Lineage: from a figure to the reports behind it, their receipts, and what upstreams acknowledged."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from gateway.api.deps import GatewayParts
from gateway.api.frame import By, Framed, StateAsked
from gateway.api.json import Json
from gateway.api.lists import Cursor, Limit, bad_cursor, from_cursor, page
from gateway.api.parameters import Form, PeriodRange, wrong
from gateway.api.refusals import problems
from gateway.api.router import Router
from gateway.domain.as_of import AsOf, read_as_of
from gateway.errors import Text
from gateway.flow.look import look
from gateway.flow.question import ask
from gateway.flow.trace import trace

router = Router(prefix="/v1", tags=["aggregates"])

_PARAMETERS = {"form", "period", "under", "by", "indicator", "agencies", "as_of", "limit", "cursor"}
_ITEM: dict[str, Any] = {
    "report": "01998a3e-5f10-7c4e-9b1a-3d5f7a9c1e1f",
    "revision": 1,
    "agency": "H26.18",
    "period": "2026-Q3",
    "kind": "own",
    "form_version": 1,
    "received_at": "2026-09-21T02:15:08.114200Z",
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "receipt": "eyJhbGciOiJFZDI1NTE5In0.eyJpc3MiOiJodHRwczovL2cifQ.c2lnbmVk",
    "rows": 2,
    "values": {"received_total": 2400, "received_online": 2280},
    "deliveries": [],
}


class Acknowledgement(BaseModel):
    """A delivery of a report. ``receipt`` is the upstream's own, of the kinds that give one."""

    id: UUID
    connector: str
    event: str
    state: str
    acknowledged_at: datetime | None = Field(description="When the upstream acknowledged it; null until then.")
    receipt: str | None


class Contribution(BaseModel):
    """A report behind a figure, and what its rows that are meant come to."""

    report: UUID
    revision: int
    agency: str
    period: str
    kind: str
    form_version: int
    received_at: datetime
    sha256: str
    receipt: str
    rows: int = Field(description="How many of its rows are behind the figure.")
    values: dict[str, Any] = Field(description="The indicator and what its formula reads, over these rows.")
    deliveries: list[Acknowledgement]


class LineagePage(BaseModel):
    """A figure, and a page of the reports behind it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "as_of": "7412",
                    "cell": {"agency": "H26", "own": False, "indicator": "received_total", "value": 2412},
                    "items": [_ITEM],
                    "next": None,
                }
            ]
        }
    )

    as_of: str
    cell: dict[str, Any] = Field(description="The row as an aggregate has it, with `indicator` and its `value`.")
    items: list[Contribution]
    next: str | None


@router.get(
    "/aggregates/lineage",
    response_model=LineagePage,
    responses=problems(400, 401, 403, 404, 503),
)
async def read_lineage(
    request: Request,
    gateway: GatewayParts,
    frame: Framed,
    named: StateAsked,
    limit: Limit,
    form: Form,
    period: PeriodRange,
    indicator: Annotated[str, Query(description="The indicator of the cell: exactly one.")],
    by: By = None,
    cursor: Cursor = None,
) -> Response:
    """The reports behind one cell of an aggregate, with their receipts and what upstreams acknowledged.

    Ask as for the aggregate, and choose the row by the values it has: `by=agency,sector&agency=H26&sector=LAND` (and
    `own=true` for the row of an agency's own figures); of a period, by `period` alone. All pages are of one state.
    """
    keys = {name: value for name, value in request.query_params.items() if name not in _PARAMETERS}
    state, after = (named, None) if cursor is None else _position(cursor)
    async with look(gateway.engine, gateway.catalogues, state) as opened:
        root, day = frame.seen(opened)
        question = ask(opened.catalogue, form, period, root, _groups(by, period), indicator, day)
        if len(question.indicators) != 1:
            raise wrong("indicator", Text("Cần đúng một chỉ tiêu.", "Exactly one indicator is needed."))
        found = await trace(opened, question, keys, after, limit)
    shown = page(found.items, limit, lambda each: each, lambda each: f"{found.as_of}|{each['report']}")
    return Json({"as_of": found.as_of, "cell": found.cell, **shown})


def _groups(by: str | None, period: str) -> str | None:
    """What rows are grouped by but for periods, of which one is named then."""
    names = (by or "").split(",")
    if "period" in names and ("," in period or ".." in period):
        raise wrong("period", Text("Chọn một kỳ của ô.", "Name the one period of the cell."))
    return ",".join(each for each in names if each and each != "period") or None


def _position(cursor: str) -> tuple[AsOf, UUID]:
    as_of, report = from_cursor(cursor, 2)
    try:
        return read_as_of(as_of), UUID(report)
    except ValueError:
        raise bad_cursor() from None
