"""Routes of extensions: more time for what is owed, and the record of it."""

from datetime import date
from typing import Annotated

from fastapi import Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from uuid_utils.compat import uuid7

from gateway.access.tokens import Caller
from gateway.api.amend import amend
from gateway.api.body import read_document, takes
from gateway.api.deps import AnyCaller, GatewayParts, NewestCatalogue, Operator, Today
from gateway.api.json import Json
from gateway.api.lists import Cursor, Limit, from_cursor, page
from gateway.api.parameters import ExactAgency, OnlyForm, Under, period_codes, require_form, require_period, wrong
from gateway.api.refusals import problems
from gateway.api.router import Router
from gateway.api.subtree import agencies_asked
from gateway.db.engine import clock, driver
from gateway.domain.calendar import civil_date
from gateway.domain.catalogue import Catalogue
from gateway.domain.document import WORDS, Document, ReckonedDay, exactly_one
from gateway.domain.obligation import Extension, Whose
from gateway.domain.period import PERIOD_PATTERN
from gateway.errors import Forbidden, StateConflict, Text
from gateway.flow.prepare import find_agency

router = Router(prefix="/v1", tags=["obligations"])


class ExtensionRequest(Document):
    """More time for one period of one form: for an agency, or for a subtree (`under`)."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "form": "KTXH_01",
                    "period": "2026-10",
                    "agency": "H26",
                    "until": "2026-12-01",
                    "reason": "Mất kết nối do bão.",
                }
            ]
        }
        | exactly_one("agency", "under")
    )

    form: str = Field(min_length=1, max_length=50)
    period: str = Field(min_length=1, max_length=40, json_schema_extra={"pattern": PERIOD_PATTERN})
    agency: str | None = Field(None, max_length=100)
    under: str | None = Field(None, max_length=100, description="Its whole subtree; of the client's own, all below.")
    until: ReckonedDay = Field(description="The last day a report is taken.")
    reason: Annotated[str, StringConstraints(min_length=1, max_length=4000, strip_whitespace=True)] = Field(
        json_schema_extra=WORDS
    )


class ExtensionPage(BaseModel):
    """A page of extensions, newest first."""

    items: list[Extension]
    next: str | None


@router.post(
    "/obligations/extensions",
    status_code=201,
    response_model=Extension,
    openapi_extra=takes(ExtensionRequest),
    responses=problems(400, 401, 403, 404, 409, 413, 415),
)
async def grant_extension(
    request: Request, gateway: GatewayParts, catalogue: NewestCatalogue, caller: Operator, today: Today
) -> Response:
    """Give an agency or a subtree until a day, with a reason; it stays on record.

    Granted by the deadline's day it moves the deadline. Granted later it opens the period again, and what comes
    is late. Only a level above may.
    """
    given = await read_document(request, ExtensionRequest)
    require_form(catalogue, given.form)
    require_period(given.period, "/period")
    agency, whose = _whom(catalogue, caller, given, today)
    async with driver(gateway.engine) as connection:
        day = civil_date(await clock(connection))
    if given.until < day:
        raise wrong("/until", Text("Ngày gia hạn đã qua.", "That day has passed."))
    extension = Extension(
        id=uuid7(),
        form=given.form,
        period=given.period,
        agency=agency,
        whose=whose,
        until=given.until,
        reason=given.reason,
        granted_on=day,
    )
    _require_some(catalogue, extension)
    await amend(gateway, caller, "extension", extension.model_dump(mode="json"))
    return Json(extension.model_dump(), 201)


def _whom(catalogue: Catalogue, caller: Caller, given: ExtensionRequest, today: date) -> tuple[str, Whose]:
    if (given.agency is None) == (given.under is None):
        raise wrong("/agency", Text("Cần đúng một trong hai: agency hoặc under.", "Give either agency or under."))
    code = find_agency(catalogue, given.agency or given.under or "", caller.agency, today)
    if given.agency is not None and code == caller.agency:
        raise Forbidden(Text("Chỉ cấp trên mới được gia hạn.", "Only a level above may give more time."))
    if given.agency is not None:
        return code, Whose.agency
    return code, Whose.below if code == caller.agency else Whose.subtree


def _require_some(catalogue: Catalogue, extension: Extension) -> None:
    """An extension of nothing would be a mistake that nobody sees. Raises ``StateConflict``."""
    owed = catalogue.obligations.owed(extension.form, extension.period)
    placed = catalogue.agencies.placed
    if not any(extension.is_for(each.agency, placed(each.period.end)) for each in owed):
        raise StateConflict(
            Text(
                f"Không có nghĩa vụ báo cáo nào để gia hạn: biểu {extension.form}, kỳ {extension.period}.",
                f"Nothing is owed that could be extended: form {extension.form}, period {extension.period}.",
            )
        )


@router.get("/obligations/extensions", response_model=ExtensionPage, responses=problems(400, 401, 403, 404))
async def list_extensions(
    catalogue: NewestCatalogue,
    caller: AnyCaller,
    today: Today,
    limit: Limit,
    cursor: Cursor = None,
    agency: ExactAgency = None,
    under: Under = None,
    form: OnlyForm = None,
    period: Annotated[str | None, Query(description="One, a list or a range.")] = None,
) -> Response:
    """Extensions that were granted, newest first, with their reasons."""
    agencies = agencies_asked(catalogue, caller, agency, under, today)
    before = from_cursor(cursor, 1)[0] if cursor else "~"
    codes = None if period is None else set(period_codes(period))
    found = [
        each
        for each in sorted(catalogue.extensions, key=lambda each: str(each.id), reverse=True)
        if str(each.id) < before
        and (agencies is None or each.agency in agencies)
        and form in {None, each.form}
        and (codes is None or each.period in codes)
    ]
    return Json(page(found, limit, Extension.model_dump, lambda each: each.id))
