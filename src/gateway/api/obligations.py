"""Routes of obligations: what is owed and where it stands, more time for it, and how complete a period is."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from uuid_utils.compat import uuid7

from gateway.access.tokens import Caller
from gateway.api.amend import amend
from gateway.api.body import read_document, takes
from gateway.api.deps import AnyCaller, GatewayParts, NewestCatalogue, Operator, Spoken, Today
from gateway.api.json import Json
from gateway.api.lists import Cursor, Limit, bad_cursor, from_cursor, page
from gateway.api.shapes import problems
from gateway.api.stream import CSV, JSON, chosen_format
from gateway.api.subtree import root_of
from gateway.db.engine import driver
from gateway.db.standings import clock
from gateway.domain.calendar import civil_date
from gateway.domain.catalogue import Catalogue
from gateway.domain.document import LAST_DAY, Day, Document
from gateway.domain.obligation import Extension, Obligation, State, Whose
from gateway.domain.period import Period, PeriodError, expand
from gateway.domain.report import ReportKind, Status
from gateway.errors import Forbidden, MalformedRequest, NotFound, Place, StateConflict, Text
from gateway.flow.judge import find_agency
from gateway.flow.remind import obligation_shown
from gateway.flow.track import GROUPS, Completeness, Tracked, completeness, named_periods, track
from gateway.formats.csv import csv_header, csv_lines

router = APIRouter(prefix="/v1", tags=["obligations"])

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
_ROW: dict[str, Any] = {
    "agency": "H26",
    "own": False,
    "expected": 139,
    "received": 137,
    "on_time": 136,
    "late": 1,
    "returned": 1,
    "excused": 0,
    "missing": 2,
    "missing_agencies": [{"agency": "H26", "name": "Ủy ban nhân dân thành phố Hà Nội", "state": "overdue"}],
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


class MissingAgency(BaseModel):
    """An agency that has not reported, or whose report was returned."""

    agency: str
    name: str
    state: State


class CompletenessRow(BaseModel):
    """How complete one group is: `expected` is `received` and `missing`; `received` is `on_time` and `late`."""

    model_config = ConfigDict(extra="allow")

    expected: int
    received: int
    on_time: int
    late: int
    returned: int = Field(description="Of the missing, those whose report was returned and not yet corrected.")
    excused: int = Field(description="Of the received, those that declared the report not applicable.")
    missing: int
    missing_agencies: list[MissingAgency]


class CompletenessAnswer(CompletenessRow):
    """How complete a period is, as a whole and by groups."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"form": "TTHC_06A", "under": "H26", "by": ["agency"]}
                | {name: value for name, value in _ROW.items() if name not in {"agency", "own"}}
                | {"rows": [_ROW]}
            ]
        }
    )

    form: str
    under: str | None
    by: list[str]
    rows: list[CompletenessRow]


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
    )

    form: str = Field(min_length=1, max_length=50)
    period: str = Field(min_length=1, max_length=40)
    agency: str | None = Field(None, max_length=100)
    under: str | None = Field(None, max_length=100, description="Its whole subtree; of the client's own, all below.")
    until: Day = Field(le=LAST_DAY, description="The last day a report is taken.")
    reason: Annotated[str, StringConstraints(min_length=1, max_length=4000, strip_whitespace=True)]


class ExtensionPage(BaseModel):
    """A page of extensions, newest first."""

    items: list[Extension]
    next: str | None


Form = Annotated[str, Query(description="The form's code.", examples=["TTHC_06A"])]
Periods = Annotated[
    str, Query(description="One period, a list `2026-Q1,2026-Q2`, or a range `2025-Q1..2026-Q3`.", examples=["2026-Q3"])
]
Agency = Annotated[str | None, Query(description="Exactly this agency.")]
Under = Annotated[str | None, Query(description="This agency and everything below it; the client's own if absent.")]
Kind = Annotated[ReportKind | None, Query(description="Only reports of this kind.")]


def _wrong(parameter: str, message: Text) -> MalformedRequest:
    return MalformedRequest(message, errors=[Place(parameter, message)])


def _known_form(catalogue: Catalogue, form: str | None) -> str | None:
    if form is not None and form not in catalogue.forms:
        raise NotFound(Text("Không có biểu mẫu này.", "There is no such form."))
    return form


def _codes(period: str) -> list[str]:
    try:
        return [each.code for each in expand(period)]
    except PeriodError as error:
        raise _wrong("period", error.message) from error


def _agencies(
    catalogue: Catalogue, caller: Caller, agency: str | None, under: str | None, today: date
) -> frozenset[str] | None:
    """The agencies asked for; None is all of them. Raises ``Forbidden`` outside the subtree."""
    if agency is not None and under is not None:
        raise _wrong("agency", Text("Chỉ dùng một trong hai: agency hoặc under.", "Use either agency or under."))
    if agency is not None:
        return frozenset({find_agency(catalogue, agency, caller.agency, today)})
    root = root_of(catalogue, caller, under, today)
    return None if root is None else frozenset(catalogue.agencies.placed(today).subtree(root))


@router.get("/obligations", response_model=ObligationPage, responses=problems(400, 401, 403, 404, 503))
async def list_obligations(
    gateway: GatewayParts,
    catalogue: NewestCatalogue,
    caller: AnyCaller,
    today: Today,
    limit: Limit,
    cursor: Cursor = None,
    agency: Agency = None,
    under: Under = None,
    form: Annotated[str | None, Query(description="Only this form.")] = None,
    period: Annotated[
        str | None, Query(description="One, a list or a range; absent: those of the last year that have begun.")
    ] = None,
    state: Annotated[list[State] | None, Query(description="Only those that stand so; may be repeated.")] = None,
    kind: Kind = None,
) -> Response:
    """What is owed and where it stands, by the period's last day, form and agency.

    Obligations follow from the regimes: nobody makes them.
    """
    agencies = _agencies(catalogue, caller, agency, under, today)
    _known_form(catalogue, form)
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
        return named_periods(catalogue, form, _codes(period))
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
    agencies: frozenset[str] | None,
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


def _name(catalogue: Catalogue, obligation: Obligation) -> str:
    return catalogue.agencies.nearest(obligation.agency, obligation.period.end).name


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
    _known_form(catalogue, given.form)
    codes = _codes(given.period)
    agency, whose = _whom(catalogue, caller, given, today)
    if len(codes) != 1:
        raise _wrong("/period", Text("Mỗi lần chỉ gia hạn một kỳ.", "An extension is for one period."))
    async with driver(gateway.engine) as connection:
        day = civil_date(await clock(connection))
    if given.until < day:
        raise _wrong("/until", Text("Ngày gia hạn đã qua.", "That day has passed."))
    extension = Extension(
        id=uuid7(),
        form=given.form,
        period=codes[0],
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
        raise _wrong("/agency", Text("Cần đúng một trong hai: agency hoặc under.", "Give either agency or under."))
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
    agency: Agency = None,
    under: Under = None,
    form: Annotated[str | None, Query(description="Only this form.")] = None,
    period: Annotated[str | None, Query(description="One, a list or a range.")] = None,
) -> Response:
    """Extensions that were granted, newest first, with their reasons."""
    agencies = _agencies(catalogue, caller, agency, under, today)
    before = from_cursor(cursor, 1)[0] if cursor else "~"
    codes = None if period is None else set(_codes(period))
    found = [
        each
        for each in sorted(catalogue.extensions, key=lambda each: str(each.id), reverse=True)
        if str(each.id) < before
        and (agencies is None or each.agency in agencies)
        and form in {None, each.form}
        and (codes is None or each.period in codes)
    ]
    return Json(page(found, limit, Extension.model_dump, lambda each: each.id))


@router.get(
    "/completeness",
    response_model=CompletenessAnswer,
    responses={200: {"content": {CSV: {"schema": {"type": "string"}}}}, **problems(400, 401, 403, 404, 406, 503)},
)
async def read_completeness(
    request: Request,
    gateway: GatewayParts,
    catalogue: NewestCatalogue,
    caller: AnyCaller,
    today: Today,
    language: Spoken,
    form: Form,
    period: Periods,
    under: Under = None,
    by: Annotated[str | None, Query(description="Any of `agency`, `level`, `period`, comma-separated.")] = None,
    kind: Annotated[
        Literal["own", "consolidation"] | None,
        Query(description="Only this kind; absent: the reports whose figures are added up, as in aggregates."),
    ] = None,
) -> Response:
    """Who has reported and who has not, with the names of the missing; as JSON or CSV."""
    media_type = chosen_format(request, (JSON, CSV))
    root = root_of(catalogue, caller, under, today)
    _known_form(catalogue, form)
    groups = _groups(by)
    owed = _owed(catalogue, form, _codes(period), root, kind)
    async with driver(gateway.engine) as connection:
        day = civil_date(await clock(connection))
        rows = await completeness(connection, catalogue, owed, groups, root, day)
    shown = [group | _counts(each, catalogue) for group, each in rows]
    if media_type == CSV:
        return _csv(groups, shown)
    whole = Completeness.of(each for _, each in rows)
    head = {"form": form, "under": root, "by": groups}
    return Json(head | _counts(whole, catalogue) | {"rows": shown if groups else []})


def _groups(by: str | None) -> list[str]:
    groups = [part for part in (by or "").split(",") if part]
    if len(set(groups)) < len(groups) or not set(groups) <= set(GROUPS):
        names = ", ".join(GROUPS)
        raise _wrong("by", Text(f"by nhận: {names}, mỗi giá trị một lần.", f"by takes: {names}, each once."))
    return groups


def _owed(
    catalogue: Catalogue, form: str, codes: Sequence[str], root: str | None, kind: str | None
) -> list[Obligation]:
    obligations = catalogue.obligations
    found: list[Obligation] = []
    for code in codes:
        owed = obligations.counted(form, code) if kind is None else obligations.owed(form, code)
        chosen = [each for each in owed if kind in {None, each.kind.value}]
        if chosen and root is not None:
            subtree = frozenset(catalogue.agencies.placed(chosen[0].period.end).subtree(root))
            chosen = [each for each in chosen if each.agency in subtree]
        found += chosen
    return found


def _counts(each: Completeness, catalogue: Catalogue) -> dict[str, object]:
    return {
        "expected": each.expected,
        "received": each.received,
        "on_time": each.on_time,
        "late": each.late,
        "returned": each.returned,
        "excused": each.excused,
        "missing": each.missing,
        "missing_agencies": [
            {
                "agency": lacking.obligation.agency,
                "name": _name(catalogue, lacking.obligation),
                "state": lacking.state,
            }
            for lacking in each.lacking
        ],
    }


def _csv(groups: Sequence[str], rows: Sequence[dict[str, Any]]) -> Response:
    names = [name for group in groups for name in ((group, "own") if group == "agency" else (group,))]
    columns = [*names, "expected", "received", "on_time", "late", "returned", "excused", "missing", "missing_agencies"]
    lines = [row | {"missing_agencies": " ".join(each["agency"] for each in row["missing_agencies"])} for row in rows]
    return Response(csv_header(columns) + csv_lines(columns, lines), media_type=f"{CSV}; charset=utf-8; header=present")
