"""Routes of consolidations: a parent's report made here from its children's, and which of them are stale."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from gateway.api.body import read_document, takes
from gateway.api.deps import GatewayParts, NewestCatalogue, Reader, Spoken, Today, Writer
from gateway.api.json import Json
from gateway.api.lists import Cursor, Limit, page, uuid_cursor
from gateway.api.parameters import ExactAgency, OnePeriod, OnlyForm, Under, form_key, require_period
from gateway.api.push import answer_of, push_of
from gateway.api.refusals import problems
from gateway.api.reports import whole_report
from gateway.api.router import Router
from gateway.api.shapes import REJECTED, FullReport, LineageShape, ReportAnswer
from gateway.api.subtree import agency_keys
from gateway.db.consolidations import find_consolidations
from gateway.db.engine import driver
from gateway.db.reading import KeptReport, find_report
from gateway.domain.catalogue import Catalogue
from gateway.domain.document import Document
from gateway.domain.period import PERIOD_PATTERN
from gateway.errors import (
    GatewayError,
    InternalError,
    Language,
    RevisionConflict,
)
from gateway.flow.consolidate import asked_for, lineage, lineage_shown, prepare_consolidation
from gateway.flow.prepare import find_agency

router = Router(prefix="/v1/consolidations", tags=["consolidations"])

_TRIES = 5


class ConsolidationRequest(Document):
    """Whose consolidation of which form and period is to be made, or made anew."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"form": "TTHC_06A", "period": "2026-Q3", "agency": "H26"}]}
    )

    form: str = Field(min_length=1, max_length=50)
    period: str = Field(min_length=1, max_length=40, json_schema_extra={"pattern": PERIOD_PATTERN})
    agency: str = Field(min_length=1, max_length=100, description="The parent; its direct children are consolidated.")
    require_complete: bool = Field(False, description="Refuse (409) when a child's report is missing.")
    reason: str | None = Field(None, min_length=1, max_length=4000, description="Why it is made anew, if it is.")


class ConsolidationItem(ReportAnswer):
    """A consolidation with its lineage, without its rows."""

    consolidation: LineageShape


class ConsolidationPage(BaseModel):
    """A page of consolidations, newest first."""

    items: list[ConsolidationItem]
    next: str | None


@router.post(
    "",
    status_code=201,
    response_model=FullReport,
    openapi_extra=takes(ConsolidationRequest),
    responses={
        200: {"model": FullReport, "description": "Nothing has changed since: the current consolidation."},
        422: REJECTED,
        **problems(400, 401, 403, 404, 409, 413, 415, 500, 503),
    },
)
async def make_consolidation(
    request: Request,
    gateway: GatewayParts,
    catalogue: NewestCatalogue,
    caller: Writer,
    language: Spoken,
    today: Today,
) -> Response:
    """Make an agency's report of kind `consolidation` from its children's accepted reports and its own.

    A child that has a consolidation gives that, any other its own figures. It is checked by the form's rules, where
    `explain` rules become warnings that cite the children's explanations, and forwarded like any report. Made as it
    stands, it names who is missing; the same call makes it anew when a part has changed.
    """
    given = await read_document(request, ConsolidationRequest)
    agency = find_agency(catalogue, given.agency, caller.agency, today)
    require_period(given.period, "/period")
    asked = asked_for(catalogue, given.form, agency, given.period)
    for _ in range(_TRIES):
        made = await prepare_consolidation(gateway.engine, catalogue, asked, given.reason, given.require_complete)
        if made.unchanged is not None:
            async with driver(gateway.engine) as connection:
                kept = await _found(connection, made.unchanged, catalogue)
            return Json(await whole_report(gateway, catalogue, kept, language))
        pattern = push_of(request, caller, language, made.body, "application/json", "POST /v1/consolidations")
        reply = await gateway.intake.receive(pattern.made_of(made.parts))
        if not isinstance(reply, RevisionConflict):  # else another has just made one
            break
    if isinstance(reply, GatewayError) or reply.status == 422 or reply.location is None:
        return answer_of(reply)
    async with driver(gateway.engine) as connection:
        kept = await _found(connection, UUID(reply.location.rsplit("/", 1)[1]), catalogue)
    return Json(await whole_report(gateway, catalogue, kept, language), reply.status, {"Location": reply.location})


async def _found(connection: Any, report: UUID, catalogue: Catalogue) -> KeptReport:
    kept = await find_report(connection, report, catalogue)
    if kept is None:
        raise InternalError()
    return kept


@router.get("", response_model=ConsolidationPage, responses=problems(400, 401, 403, 404))
async def list_consolidations(
    gateway: GatewayParts,
    catalogue: NewestCatalogue,
    caller: Reader,
    language: Spoken,
    today: Today,
    limit: Limit,
    cursor: Cursor = None,
    agency: ExactAgency = None,
    under: Under = None,
    form: OnlyForm = None,
    period: OnePeriod = None,
    stale: Annotated[bool | None, Query(description="Only those whose parts have changed (or have not).")] = None,
) -> Response:
    """Current consolidations that were made here, newest first, with what has changed since.

    With `stale` a page may hold fewer than `limit`, or none; `next` tells whether there are more.
    """
    number = form_key(catalogue, form)
    agencies = agency_keys(catalogue, caller, agency, under, today)
    require_period(period)
    async with driver(gateway.engine) as connection:
        found = await find_consolidations(connection, number, period, agencies, uuid_cursor(cursor), limit + 1)
        shown = [await _shown(connection, catalogue, report, language) for report in found[:limit]]
    answer = page(found, limit, str, lambda report: report)
    answer["items"] = [each for each in shown if stale in {None, each["consolidation"]["stale"]}]
    return Json(answer)


async def _shown(connection: Any, catalogue: Catalogue, report: UUID, language: Language) -> dict[str, Any]:
    head = (await _found(connection, report, catalogue)).head
    found = await lineage(connection, catalogue, asked_for(catalogue, head.form, head.agency, head.period), report)
    if found is None:
        raise InternalError()
    return head.shown(language) | {"consolidation": lineage_shown(found, catalogue)}
