"""Routes of reporting regimes: the regimes themselves, the working-day calendar, and the periods that follow."""

from datetime import date
from typing import Annotated, Any

from fastapi import Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from gateway.access.tokens import Caller
from gateway.api.amend import WRITE, amend, document_of, read_named, require_whole_country
from gateway.api.body import takes
from gateway.api.deps import AnyCaller, Editor, GatewayParts, NewestCatalogue, Today
from gateway.api.json import Json
from gateway.api.lists import Cursor, Limit, from_cursor, page
from gateway.api.parameters import RegimeCode
from gateway.api.refusals import problems
from gateway.api.router import Router
from gateway.api.subtree import covers
from gateway.domain.agency import Level
from gateway.domain.calendar import CalendarYear
from gateway.domain.catalogue import Catalogue
from gateway.domain.period import FIRST_YEAR, LAST_YEAR, Frequency, Period, periods_of_year
from gateway.domain.regime import Regime, RegimeDocument
from gateway.errors import Forbidden, NotFound, Text

router = Router(prefix="/v1", tags=["regimes"])

_REGIME: dict[str, Any] = {
    "code": "LAND_HN",
    "title": {"vi": "Đất đai hằng tháng của các xã, phường", "en": "Land, monthly, of the communes"},
    "owner": "H26",
    "legal_basis": "…",
    "forms": ["LAND_01"],
    "kind": "periodic",
    "frequency": "monthly",
    "periods": None,
    "who": [{"levels": ["commune"], "under": "H26", "agencies": None, "report_kind": "own"}],
    "receiver": "H26",
    "cutoff": {"day": 14},
    "deadlines": {"commune": {"working_days": 2}},
    "lock_after_days": 10,
    "valid_from": "2026-01-01",
    "valid_to": None,
}
_CALENDAR = {
    "year": 2028,
    "legal_basis": "…",
    "days_off": [{"day": "2028-01-03", "name": {"vi": "Nghỉ bù Tết Dương lịch", "en": "New Year, in lieu"}}],
    "working_days": ["2028-01-08"],
}


class RegimePage(BaseModel):
    """A page of regimes, by code."""

    items: list[RegimeDocument]
    next: str | None


class PeriodShape(BaseModel):
    """A period as a regime cuts it. Every date is the last day on which it holds."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "period": "2026-Q1",
                    "frequency": "quarterly",
                    "start": "2025-12-15",
                    "cutoff": "2026-03-14",
                    "deadlines": {"province": "2026-03-25", "commune": "2026-03-18"},
                    "locks_after": {"province": None, "commune": None},
                }
            ]
        }
    )

    period: str
    frequency: Frequency
    start: date
    cutoff: date
    deadlines: dict[Level, date | None] = Field(description="By level; null where none is set.")
    locks_after: dict[Level, date | None] = Field(description="The last day a report is taken; null never locks.")


class PeriodPage(BaseModel):
    """Every period of a year, by cut-off."""

    items: list[PeriodShape]
    next: None


def _in_force(catalogue: Catalogue, code: str, today: date) -> Regime:
    versions = catalogue.regimes.get(code)
    if not versions:
        raise NotFound(Text("Không có chế độ báo cáo này.", "There is no such regime."))
    begun = [each for each in versions if (each.document.valid_from or date.min) <= today]
    return begun[-1] if begun else versions[0]


@router.get("/regimes", response_model=RegimePage, responses=problems(400, 401))
async def list_regimes(
    catalogue: NewestCatalogue,
    _: AnyCaller,
    today: Today,
    limit: Limit,
    cursor: Cursor = None,
    form: Annotated[str | None, Query(description="Only those that report this form.")] = None,
) -> Response:
    """Every regime, in the version of today or the nearest to it."""
    after = from_cursor(cursor, 1)[0] if cursor else ""
    found = [_in_force(catalogue, code, today) for code in sorted(catalogue.regimes) if code > after]
    chosen = [each for each in found if form is None or form in each.forms]
    return Json(page(chosen, limit, lambda each: each.document.model_dump(), lambda each: each.code))


@router.get("/regimes/{code}", response_model=RegimeDocument, responses=problems(401, 404))
async def read_regime(code: RegimeCode, catalogue: NewestCatalogue, _: AnyCaller, today: Today) -> Response:
    """A regime, in the version of today or the nearest to it."""
    return document_of(_in_force(catalogue, code, today).document)


@router.put(
    "/regimes/{code}",
    response_model=RegimeDocument,
    openapi_extra=takes(RegimeDocument, _REGIME),
    responses=WRITE,
)
async def put_regime(
    code: RegimeCode, request: Request, gateway: GatewayParts, catalogue: NewestCatalogue, caller: Editor, today: Today
) -> Response:
    """Set a regime, or the version of one from `valid_from` on.

    A client of a subtree assigns reports to its own units (giao): the regime is its own, and names only agencies
    of the subtree. What is owed follows at once.
    """
    document = await read_named(request, code=code)
    if caller.agency is not None:
        document.setdefault("owner", caller.agency)
        document.setdefault("receiver", caller.agency)
        _require_own(catalogue, caller, document, today)
    changed = await amend(gateway, caller, "regime", document)
    given = document.get("valid_from")
    version = next(each for each in changed.regimes[code] if _begins(each) == given)
    return document_of(version.document)


def _begins(regime: Regime) -> str | None:
    day = regime.document.valid_from
    return None if day is None else day.isoformat()


def _require_own(catalogue: Catalogue, caller: Caller, document: dict[str, Any], today: date) -> None:
    """A regime of a subtree is owned there and binds nobody outside it. Raises ``Forbidden``."""
    owners = [each.document.owner for each in catalogue.regimes.get(document["code"], ())]
    named = [document.get("owner"), *owners]
    who = document.get("who")
    for duty in who if isinstance(who, list) else ():  # what is no list is refused with its place
        lists = duty.get("agencies") if isinstance(duty, dict) else None
        named += [*lists] if isinstance(lists, list) else []
        if isinstance(duty, dict) and (duty.get("under") is not None or not lists):
            named.append(duty.get("under"))
    if not all(isinstance(each, str) and covers(catalogue, caller, each, today) for each in named):
        raise Forbidden(
            Text(
                f"Chỉ được giao báo cáo trong phạm vi {caller.agency}: 'owner' và mọi cơ quan trong 'who' "
                "('under' hoặc 'agencies') phải thuộc phạm vi đó.",
                f"Reports are assigned within the subtree of {caller.agency} only: 'owner' and everyone in 'who' "
                "('under' or 'agencies') must belong to it.",
            )
        )


Year = Annotated[int, Path(ge=FIRST_YEAR, le=LAST_YEAR, examples=[2027])]


@router.get("/calendars/{year}", response_model=CalendarYear, responses=problems(400, 401, 404))
async def read_calendar(year: Year, catalogue: NewestCatalogue, _: AnyCaller) -> Response:
    """A year's public holidays and worked weekends, where they were set; other years follow the law's rules."""
    calendar = catalogue.calendars.get(year)
    if calendar is None:
        raise NotFound(Text("Chưa có lịch của năm này.", "No calendar was set for this year."))
    return document_of(calendar)


@router.put(
    "/calendars/{year}",
    response_model=CalendarYear,
    openapi_extra=takes(CalendarYear, _CALENDAR),
    responses=WRITE,
)
async def put_calendar(year: Year, request: Request, gateway: GatewayParts, caller: Editor) -> Response:
    """Set a year's public holidays and worked weekends, as announced."""
    require_whole_country(caller)
    document = await read_named(request, year=year)
    return document_of((await amend(gateway, caller, "calendar", document)).calendars[year])


@router.get("/periods", response_model=PeriodPage, responses=problems(400, 401, 404))
async def list_periods(
    catalogue: NewestCatalogue,
    _: AnyCaller,
    today: Today,
    regime: Annotated[str | None, Query(description="A regime's code; absent: every period by Decree 09/2019.")] = None,
    year: Annotated[int | None, Query(ge=FIRST_YEAR, le=LAST_YEAR, description="Today's if absent.")] = None,
) -> Response:
    """The periods of a year with their first day, cut-off, and deadline and lock by level."""
    year = year or today.year
    if regime is None:
        found = [each for frequency in Frequency for each in periods_of_year(frequency, year)]
        shown = [_period(each, None, catalogue) for each in sorted(found, key=lambda each: (each.end, each.start))]
        return Json({"items": shown, "next": None})
    if regime not in catalogue.regimes:
        raise NotFound(Text("Không có chế độ báo cáo này.", "There is no such regime."))
    shown = [_period(each, version, catalogue) for each, version in catalogue.obligations.periods_of(regime, year)]
    return Json({"items": shown, "next": None})


def _period(period: Period, regime: Regime | None, catalogue: Catalogue) -> dict[str, object]:
    days = catalogue.obligations.days(period, regime)
    return {
        "period": period.code,
        "frequency": period.frequency,
        "start": period.start,
        "cutoff": period.end,
        "deadlines": {level: deadline for level, (deadline, _) in days.items()},
        "locks_after": {level: locks_after for level, (_, locks_after) in days.items()},
    }
