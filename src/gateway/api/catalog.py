"""Routes of the catalogue: forms, code lists, agencies. Reading needs any token, changing ``catalog:write``."""

import re
from datetime import date, timedelta
from typing import Annotated, Any

from fastapi import Path, Query, Request, Response
from pydantic import BaseModel

from gateway.api.amend import WRITE, amend, document_of, read_named, require_whole_country
from gateway.api.backtest import BacktestAnswer, backtest_shown, read_draft
from gateway.api.body import takes
from gateway.api.deps import AnyCaller, Editor, GatewayParts, NewestCatalogue, Spoken, Today
from gateway.api.json import Json
from gateway.api.lists import Cursor, Limit, from_cursor, page
from gateway.api.parameters import AgencyCode, AgencyName, CodeListId, FormCode, PeriodRange, Under
from gateway.api.refusals import problems
from gateway.api.router import Router
from gateway.api.subtree import agency_keys, covers, root_of
from gateway.domain.agency import AGENCY_CODE, Agency, Level
from gateway.domain.catalogue import Catalogue
from gateway.domain.codelist import CodeList
from gateway.domain.form import Form
from gateway.domain.form_document import FormDocument
from gateway.domain.obligation import Obligation
from gateway.domain.schema import example, json_schema, template_csv
from gateway.errors import Forbidden, MalformedRequest, NotFound, Place, Text
from gateway.flow.amend import try_form
from gateway.flow.backtest import backtest
from gateway.flow.question import read_periods
from gateway.flow.unpack import XLSX
from gateway.formats.xlsx_template import template_xlsx

router = Router(prefix="/v1", tags=["catalogue"])

_DAY = r"^\d{4}-\d{2}-\d{2}$"


class AgencyPage(BaseModel):
    """A page of agencies, by code."""

    items: list[Agency]
    next: str | None


class FormPage(BaseModel):
    """A page of forms, by code."""

    items: list[FormDocument]
    next: str | None


def _form(catalogue: Catalogue, code: str, today: date) -> Form:
    versions = catalogue.forms.get(code)
    if not versions:
        raise NotFound(Text("Không có biểu mẫu này.", "There is no such form."))
    return catalogue.form_on(code, today) or versions[-1]


def _version(catalogue: Catalogue, code: str, number: int) -> Form:
    form = catalogue.form_version(code, number)
    if form is None:
        raise NotFound(Text("Không có phiên bản biểu mẫu này.", "There is no such form version."))
    return form


@router.get("/forms", response_model=FormPage, responses=problems(400, 401))
async def list_forms(
    catalogue: NewestCatalogue, _: AnyCaller, today: Today, limit: Limit, cursor: Cursor = None
) -> Response:
    """Every form, in the version of today."""
    after = from_cursor(cursor, 1)[0] if cursor else ""
    codes = sorted(code for code in catalogue.forms if code > after)
    return Json(page(codes, limit, lambda code: _form(catalogue, code, today).document.model_dump(), str))


@router.get("/forms/{code}", response_model=FormDocument, responses=problems(401, 404))
async def read_form(code: FormCode, catalogue: NewestCatalogue, _: AnyCaller, today: Today) -> Response:
    """A form, in the version of today."""
    return document_of(_form(catalogue, code, today).document)


Version = Annotated[int, Path(ge=1, le=999, examples=[1])]


@router.get("/forms/{code}/versions/{version}", response_model=FormDocument, responses=problems(400, 401, 404))
async def read_version(code: FormCode, version: Version, catalogue: NewestCatalogue, _: AnyCaller) -> Response:
    """One version of a form."""
    return document_of(_version(catalogue, code, version).document)


@router.get("/forms/{code}/schema", responses=problems(401, 404))
async def read_schema(code: FormCode, catalogue: NewestCatalogue, _: AnyCaller, today: Today) -> Response:
    """The JSON Schema of a report of this form."""
    form = _form(catalogue, code, today)
    return Json(json_schema(form, catalogue.codes_of(form, today)))


@router.get("/forms/{code}/example", responses=problems(401, 404))
async def read_example(code: FormCode, catalogue: NewestCatalogue, caller: AnyCaller, today: Today) -> Response:
    """A report of this form to start from."""
    form = _form(catalogue, code, today)
    report = example(form, catalogue.codes_of(form, today), caller.agency or "H26.18")
    owed = _owed_now(catalogue, code, caller.agency, today)
    if owed is not None:
        report |= {"agency": owed.agency, "period": owed.period.code, "kind": owed.kind}
    return Json(report)


def _owed_now(catalogue: Catalogue, form: str, root: str | None, today: date) -> Obligation | None:
    """Something that is owed of a form, preferably by an agency itself or in its subtree, and may be sent today."""
    hierarchy = catalogue.agencies.placed(today)
    for period, named in reversed(catalogue.obligations.periods(today - timedelta(days=366), today)):
        owed = [each for each in catalogue.obligations.owed(form, period.code) if each.still_taken_on(today, None)]
        if named == form and owed:
            return min(
                owed, key=lambda each: (each.agency != root, root is None or not hierarchy.covers(root, each.agency))
            )
    return None


@router.get(
    "/forms/{code}/template.csv",
    response_class=Response,
    responses={200: {"content": {"text/csv": {}}}, **problems(401, 404)},
)
async def read_template(code: FormCode, catalogue: NewestCatalogue, _: AnyCaller, today: Today) -> Response:
    """The form's columns as the first line of a CSV file."""
    return Response(template_csv(_form(catalogue, code, today)), media_type="text/csv; charset=utf-8")


@router.get(
    "/forms/{code}/template.xlsx",
    response_class=Response,
    responses={200: {"content": {XLSX: {}}}, **problems(401, 404)},
)
async def read_workbook(code: FormCode, catalogue: NewestCatalogue, _: AnyCaller, today: Today) -> Response:
    """The form as a workbook to be filled in and pushed: titles, drop-downs of codes, and the line of ids."""
    form = _form(catalogue, code, today)
    book = template_xlsx(form, catalogue.codelists, catalogue.codes_of(form, today))
    return Response(book, media_type=XLSX, headers={"Content-Disposition": f'attachment; filename="{code}.xlsx"'})


_TITLE = {"vi": "Lĩnh vực", "en": "Sector"}
_FORM: dict[str, Any] = {
    "code": "LAND_01",
    "number": "01/LAND",
    "version": 1,
    "valid_from": "2026-01-01",
    "legal_basis": "…",
    "title": {"vi": "Đất đai hằng tháng", "en": "Land, monthly"},
    "frequencies": ["monthly"],
    "breakdowns": [{"id": "sector", "codelist": "TTHC_SECTOR", "total": "sum", "title": _TITLE}],
    "indicators": [
        {
            "id": "area",
            "title": {"vi": "Diện tích", "en": "Area"},
            "type": "decimal",
            "scale": 2,
            "unit": "hectare",
            "min": 0,
            "required": True,
            "over_agencies": "sum",
            "over_time": "last",
        }
    ],
    "rules": [
        {
            "id": "R1",
            "severity": "warning",
            "check": "area >= previous(area) * 0.5",
            "message": {"vi": "Diện tích giảm quá nửa.", "en": "The area fell by more than half."},
        }
    ],
}
_CODELIST = {"id": "STAGE", "title": _TITLE, "codes": [{"code": "PLAN", "title": {"vi": "Kế hoạch", "en": "Plan"}}]}
_AGENCY = {
    "code": "H26.30",
    "name": "Sở Du lịch thành phố Hà Nội",
    "level": "department",
    "parent": "H26",
    "valid_from": "2026-01-01",
}


@router.put(
    "/forms/{code}/versions/{version}",
    response_model=FormDocument,
    openapi_extra=takes(FormDocument, _FORM),
    responses=WRITE,
)
async def put_form(
    code: FormCode, version: Version, request: Request, gateway: GatewayParts, caller: Editor
) -> Response:
    """Add a form version, or change one that no report uses yet."""
    require_whole_country(caller)
    document = await read_named(request, code=code, version=version)
    return document_of(_version(await amend(gateway, caller, "form", document), code, version).document)


_DRAFT: dict[str, Any] = {
    "requestBody": takes(FormDocument, _FORM)["requestBody"]
    | {"required": False, "description": "A form document to try; absent, the stored version is tried."}
}


@router.post(
    "/forms/{code}/versions/{version}/backtest",
    response_model=BacktestAnswer,
    openapi_extra=_DRAFT,
    responses=WRITE | problems(503),
)
async def try_rules(
    code: FormCode,
    version: Version,
    request: Request,
    gateway: GatewayParts,
    catalogue: NewestCatalogue,
    caller: Editor,
    language: Spoken,
    today: Today,
    period: PeriodRange,
    under: Under = None,
) -> Response:
    """Try a form's rules on the current reports of some periods, storing nothing.

    The rules are those of the stored version or, before there is one, of the document in the body: what a new rule
    would have refused is seen before it refuses anything. Reports sent under another version are read by indicator;
    rules about other reports see those that are current now.
    """
    if code not in catalogue.forms:
        raise NotFound(Text("Không có biểu mẫu này.", "There is no such form."))
    periods = read_periods(catalogue, code, period)
    root = root_of(catalogue, caller, under, today)
    agencies = agency_keys(catalogue, caller, None, under, today)
    draft = await read_draft(request, code, version)
    form = _version(catalogue, code, version) if draft is None else try_form(catalogue, draft)
    found = await backtest(gateway.engine, catalogue, form, periods, agencies)
    names = [each.code for each in periods]
    return Json(backtest_shown(found, names, root, language, is_draft=draft is not None))


@router.get("/codelists/{id}", response_model=CodeList, responses=problems(401, 404))
async def read_codelist(id: CodeListId, catalogue: NewestCatalogue, _: AnyCaller) -> Response:
    """A code list with all its codes, closed ones included."""
    codelist = catalogue.codelists.get(id)
    if codelist is None:
        raise NotFound()
    return document_of(codelist)


@router.put("/codelists/{id}", response_model=CodeList, openapi_extra=takes(CodeList, _CODELIST), responses=WRITE)
async def put_codelist(id: CodeListId, request: Request, gateway: GatewayParts, caller: Editor) -> Response:
    """Replace a code list. Codes are closed by ``valid_to``, never removed."""
    require_whole_country(caller)
    document = await read_named(request, id=id)
    return document_of((await amend(gateway, caller, "codelist", document)).codelists[id])


@router.get("/agencies", response_model=AgencyPage, responses=problems(400, 401, 404))
async def list_agencies(
    catalogue: NewestCatalogue,
    _: AnyCaller,
    today: Today,
    limit: Limit,
    cursor: Cursor = None,
    under: Annotated[str | None, Query(description="Only this agency and those below it.")] = None,
    level: Level | None = None,
    at: Annotated[
        str | None,
        Query(description="As of this day; today if absent.", pattern=_DAY, json_schema_extra={"format": "date"}),
    ] = None,
) -> Response:
    """Agencies that exist on a day, by code."""
    try:
        day = date.fromisoformat(at) if at else today
    except ValueError:
        message = Text("Không phải là một ngày có thật.", "Not a day of the calendar.")
        raise MalformedRequest(message, errors=[Place("at", message)]) from None
    hierarchy = catalogue.agencies.on(day)
    root = None if under is None else catalogue.agencies.resolve(under)
    if under is not None and root is None:
        raise NotFound(Text("Không có cơ quan này.", "There is no such agency."))
    codes = hierarchy.parents if root is None else hierarchy.subtree(root)
    after = from_cursor(cursor, 1)[0] if cursor else ""
    found = [catalogue.agencies.at(code, day) for code in sorted(codes) if code > after]
    chosen = [each for each in found if each is not None and level in {None, each.level}]
    return Json(page(chosen, limit, Agency.model_dump, lambda each: each.code))


@router.get("/agencies/{code}", response_model=Agency, responses=problems(401, 404))
async def read_agency(code: AgencyName, catalogue: NewestCatalogue, _: AnyCaller, today: Today) -> Response:
    """An agency by its code or an alias, as it is today or last was."""
    canonical = catalogue.agencies.resolve(code)
    if canonical is None:
        raise NotFound(Text("Không có cơ quan này.", "There is no such agency."))
    return document_of(catalogue.agencies.nearest(canonical, today))


@router.put("/agencies/{code}", response_model=Agency, openapi_extra=takes(Agency, _AGENCY), responses=WRITE)
async def put_agency(
    code: AgencyCode,
    request: Request,
    gateway: GatewayParts,
    catalogue: NewestCatalogue,
    caller: Editor,
    today: Today,
) -> Response:
    """Add an agency, or a version of one from ``valid_from`` on; what was known before stays on record."""
    document = await read_named(request, code=code)
    if caller.agency is not None:
        parent = document.get("parent")
        known = code not in catalogue.agencies or covers(catalogue, caller, code, today)
        names = [code, *(alias for alias in document.get("aliases") or () if re.match(AGENCY_CODE, str(alias)))]
        if code not in catalogue.agencies:
            known = all(str(name).startswith(f"{caller.agency}.") for name in names)
        heir = document.get("successor")
        moved_out = heir is not None and not covers(catalogue, caller, str(heir), today)
        if not known or code == caller.agency or moved_out or not covers(catalogue, caller, str(parent), today):
            raise Forbidden(
                Text("Chỉ được sửa cơ quan trực thuộc.", "Only agencies below the client's own may be changed.")
            )
    changed = await amend(gateway, caller, "agency", document)
    return document_of(changed.agencies.nearest(code, today))
