"""Routes of statisticians: structures and figures as SDMX, by SDMX-REST 1.5 (`/sdmx/v1`) and 2.x (`/sdmx/v2`).

What the clients sdmx1 and pysdmx send and need is what these are made for.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import Depends, Request, Response
from fastapi import Path as PathParameter

from gateway.access.tokens import Caller
from gateway.api.deps import Gateway, GatewayParts, NewestCatalogue, Today
from gateway.api.problems import language_of
from gateway.api.router import Router
from gateway.api.sdmx_access import AnyStatistician, Statistician
from gateway.api.sdmx_data import OFFERED, DataRequest, StreamedData
from gateway.api.sdmx_errors import NotImplementedHere, SdmxRoute
from gateway.api.sdmx_message import chosen_type, header_now
from gateway.api.sdmx_query import (
    Asked,
    DataAsked,
    Path,
    artefacts_asked,
    data_asked,
    detail_asked,
    flow_of_v1,
    flow_of_v2,
    moment_asked,
    references_asked,
)
from gateway.api.sdmx_selection import form_asked, form_in, select
from gateway.domain.as_of import Time
from gateway.domain.calendar import civil_date
from gateway.errors import NotFound, Text
from gateway.flow.look import look
from gateway.flow.survey import survey
from gateway.formats import sdmx_json
from gateway.formats.sdmx_bundle import Bundle, only_items, stubs
from gateway.formats.sdmx_codes import TIME
from gateway.formats.sdmx_mapping import Structures
from gateway.formats.sdmx_ml import ML_2_1, ML_3_0
from gateway.formats.sdmx_ml_structures import structure_message
from gateway.formats.sdmx_structures import Artefact, Constraint, Kind, Reference, StructureMessage

router = Router(prefix="/sdmx", tags=["sdmx"], route_class=SdmxRoute)

_ML_2_1 = "application/vnd.sdmx.structure+xml;version=2.1"
_ML_3_0 = "application/vnd.sdmx.structure+xml;version=3.0.0"
_JSON = "application/vnd.sdmx.structure+json;version=2.0.0"
_STRUCTURES = {"v1": (_ML_2_1,), "v2": (_ML_3_0, _JSON)}

Base = Literal["v1", "v2"]
_FLOW = "[^/,]+(,[^/,]+){0,2}"


def _segments(first: str, others: int) -> Any:
    """A path as the document says it: its first segment, and at most so many others."""
    said: dict[str, Any] = {"pattern": f"^{first}(/[^/]+){{0,{others}}}$"}
    return PathParameter(json_schema_extra=said)


_V1Data = Annotated[str, _segments(_FLOW, 2)]
_V1Availability = Annotated[str, _segments(_FLOW, 3)]
_V2Data = Annotated[str, _segments("[^/]+", 4)]
_V2Availability = Annotated[str, _segments("[^/]+", 5)]
_SchemaPath = Annotated[str, _segments("[^/]+", 3)]
_StructurePath = Annotated[str, _segments("[^/]+", 4)]


async def _described(
    request: Request, gateway: GatewayParts, catalogue: NewestCatalogue, today: Today, _: AnyStatistician
) -> Structures:
    """The structures of now, or those of the state that ``asOf`` names: what is the latest goes by then, too."""
    as_of = moment_asked(request.query_params, "asOf")
    if as_of is None:
        return Structures(catalogue, gateway.settings.sdmx_agency, today)
    async with look(gateway.engine, gateway.catalogues, as_of) as opened:
        day = civil_date(as_of.at) if isinstance(as_of, Time) else today
        return Structures(opened.catalogue, gateway.settings.sdmx_agency, day)


Described = Annotated[Structures, Depends(_described)]


def _answers(*media_types: str) -> dict[int | str, dict[str, Any]]:
    """What a route answers with, for the document: messages of these types, or an SDMX error."""
    said = {
        400: (140, "Syntax error"),
        401: (110, "Unauthorized"),
        403: (150, "Semantic error, or outside the client's rights"),
        404: (100, "No results found"),
        406: (140, "Not acceptable"),
        413: (130, "Response too large"),
        501: (501, "Not implemented"),
        503: (503, "Service unavailable"),
    }
    errors: dict[int | str, dict[str, Any]] = {
        status: {
            "description": words,
            "content": {
                "application/xml": {
                    "example": f'<mes:Error><mes:ErrorMessage code="{code}"><com:Text xml:lang="en">{words}</com:Text>'
                    "</mes:ErrorMessage></mes:Error>"
                },
                "application/json": {"example": {"errors": [{"code": code, "title": words}]}},
            },
        }
        for status, (code, words) in said.items()
    }
    return errors | {200: {"content": {each: {"schema": {"type": "string"}} for each in media_types}}}


_SECURED: dict[str, Any] = {"security": [{"client_secret": []}, {"client_credentials": []}]}


@router.get("/v1/data/{path:path}", responses=_answers(*OFFERED["v1"]), response_class=Response, openapi_extra=_SECURED)
async def read_sdmx_1_data(
    request: Request, gateway: GatewayParts, structures: Described, caller: Statistician, path: _V1Data
) -> Response:
    """Figures of a form: `{dataflow}/{key}`, a key being values of the dimensions in order, `A.B+C..`.

    An agency's figures are those of its whole subtree. SDMX-ML 2.1 (generic or structure-specific) or SDMX-CSV 1.0.
    """
    parts = Path.of("v1", path, 3)
    if parts.at(2) not in {"all", gateway.settings.sdmx_agency}:
        raise NotFound(Text("Không có nhà cung cấp này.", "There is no such provider."))
    asked = data_asked(parts, request.query_params, flow_of_v1(parts.at(0, "")), parts.at(1))
    return _data(request, gateway, caller, structures, asked)


@router.get("/v2/data/{path:path}", responses=_answers(*OFFERED["v2"]), response_class=Response, openapi_extra=_SECURED)
async def read_sdmx_2_data(
    request: Request, gateway: GatewayParts, structures: Described, caller: Statistician, path: _V2Data
) -> Response:
    """Figures of a form: `dataflow/{agency}/{dataflow}/{version}/{key}`, with filters `c[DIMENSION]`.

    SDMX-ML 3.0, or SDMX-CSV 2.0 or 1.0.
    """
    parts = Path.of("v2", path, 5)
    asked = data_asked(parts, request.query_params, flow_of_v2(parts), parts.at(4, "*"))
    return _data(request, gateway, caller, structures, asked)


def _data(
    request: Request,
    gateway: Gateway,
    caller: Caller,
    structures: Structures,
    asked: DataAsked,
) -> Response:
    media_type = chosen_type(request, OFFERED[_base(request)])
    form = form_asked(structures.catalogue, Bundle(structures), asked.flow)
    return StreamedData(request, DataRequest(gateway, structures, caller, form, asked, media_type))


@router.get(
    "/v1/availableconstraint/{path:path}",
    responses=_answers(_ML_2_1),
    response_class=Response,
    openapi_extra=_SECURED,
)
async def read_sdmx_1_availability(
    request: Request, gateway: GatewayParts, structures: Described, caller: Statistician, path: _V1Availability
) -> Response:
    """Of which codes and periods a form has figures: `{dataflow}/{key}/{provider}/{dimension}`."""
    parts = Path.of("v1", path, 4)
    flow = flow_of_v1(parts.at(0, ""))
    asked = data_asked(parts, request.query_params, flow, parts.at(1), parts.at(3))
    return await _availability(request, gateway, caller, structures, asked)


@router.get(
    "/v2/availability/{path:path}",
    responses=_answers(_ML_3_0, _JSON),
    response_class=Response,
    openapi_extra=_SECURED,
)
async def read_sdmx_2_availability(
    request: Request, gateway: GatewayParts, structures: Described, caller: Statistician, path: _V2Availability
) -> Response:
    """Of which codes and periods a form has figures: `dataflow/{agency}/{dataflow}/{version}/{key}/{dimension}`."""
    parts = Path.of("v2", path, 6)
    asked = data_asked(parts, request.query_params, flow_of_v2(parts), parts.at(4, "*"), parts.at(5, "*"))
    return await _availability(request, gateway, caller, structures, asked)


async def _availability(
    request: Request, gateway: Gateway, caller: Caller, structures: Structures, asked: DataAsked
) -> Response:
    media_type = chosen_type(request, _STRUCTURES[_base(request)])
    if request.query_params.get("mode", "exact") != "exact":
        raise NotImplementedHere(Text("Chỉ phục vụ mode=exact.", "Only mode=exact is served."))
    if asked.since is not None:
        raise NotImplementedHere(Text("updatedAfter chỉ dùng cho số liệu.", "updatedAfter is served for data only."))
    bundle = Bundle(structures)
    form = form_asked(structures.catalogue, bundle, asked.flow)
    async with look(gateway.engine, gateway.catalogues, asked.as_of) as opened:
        there = form_in(opened.catalogue, form)
        found = await survey(opened, await select(opened, caller, there, asked))
    if found.days is None and _base(request) == "v2":
        raise NotFound(Text("Không có số liệu như yêu cầu.", "There is no data for this request."))
    wanted = None if asked.component is None else {asked.component}
    flow = structures.dataflow(form)
    constraint = Constraint(
        reference=Reference(
            Kind.contentconstraint, structures.maintainer, f"{form.code}-ACTUAL", flow.reference.version
        ),
        names=flow.names,
        flow=flow.reference,
        is_actual=True,
        values={name: values for name, values in found.values.items() if values and (wanted is None or name in wanted)},
        periods=found.days if wanted is None or TIME in wanted else None,
    )
    came = bundle.around([constraint], references_asked(request.query_params))
    return _structures(request, media_type, [constraint, *came])


@router.get("/v1/schema/{path:path}", responses=_answers(_ML_2_1), response_class=Response, openapi_extra=_SECURED)
async def read_sdmx_1_schema(
    request: Request, structures: Described, _: AnyStatistician, path: _SchemaPath
) -> Response:
    """What data of a form may hold: its data structure with lists and concepts, `dataflow/{agency}/{id}/{version}`."""
    return _schema(request, structures, Path.of("v1", path, 4))


@router.get(
    "/v2/schema/{path:path}", responses=_answers(_ML_3_0, _JSON), response_class=Response, openapi_extra=_SECURED
)
async def read_sdmx_2_schema(
    request: Request, structures: Described, _: AnyStatistician, path: _SchemaPath
) -> Response:
    """What data of a form may hold: its data structure with lists and concepts, `dataflow/{agency}/{id}/{version}`."""
    return _schema(request, structures, Path.of("v2", path, 4))


def _schema(request: Request, structures: Structures, path: Path) -> Response:
    media_type = chosen_type(request, _STRUCTURES[path.base])
    detail_asked(request.query_params)
    bundle = Bundle(structures)
    form = form_asked(structures.catalogue, bundle, flow_of_v2(path))
    structure = structures.structure(form)
    return _structures(request, media_type, [structure, *bundle.around([structure], frozenset({"descendants"}))])


@router.get(
    "/v2/structure/{path:path}", responses=_answers(_ML_3_0, _JSON), response_class=Response, openapi_extra=_SECURED
)
async def read_sdmx_2_structures(
    request: Request, structures: Described, _: AnyStatistician, path: _StructurePath
) -> Response:
    """Structures: `{kind}/{agency}/{id}/{version}/{items}`, with `references` and `detail`."""
    asked = artefacts_asked(Path.of("v2", path, 5))
    return _artefacts(request, structures, asked)


@router.get("/v2/{path:path}", responses=_answers(_ML_3_0), response_class=Response, openapi_extra=_SECURED)
async def read_sdmx_2_others(_: AnyStatistician, path: str) -> Response:
    """The rest of SDMX-REST 2.x (metadata, registration), which is not served."""
    served = "structure, schema, availability, data"
    raise NotImplementedHere(Text(f"Được phục vụ: {served}.", f"Served: {served}."))


@router.get("/v1/{path:path}", responses=_answers(_ML_2_1), response_class=Response, openapi_extra=_SECURED)
async def read_sdmx_1_structures(
    request: Request, structures: Described, _: AnyStatistician, path: _StructurePath
) -> Response:
    """Structures: `{kind}/{agency}/{id}/{version}/{items}`, with `references` and `detail`."""
    asked = artefacts_asked(Path.of("v1", path, 5))
    return _artefacts(request, structures, asked)


def _artefacts(request: Request, structures: Structures, asked: Asked) -> Response:
    media_type = chosen_type(request, _STRUCTURES[_base(request)])
    detail = detail_asked(request.query_params)
    bundle = Bundle(structures)
    found = bundle.named(asked.kinds, asked.agencies, asked.ids, asked.versions)
    if not found:
        raise NotFound(Text("Không có cấu trúc nào như vậy.", "There is no such structure."))
    came = bundle.around(found, references_asked(request.query_params))
    shown = [only_items(each, asked.items) for each in found]
    return _structures(request, media_type, [*shown, *came], stubs(detail, found, came))


def _structures(
    request: Request, media_type: str, artefacts: Sequence[Artefact], stubbed: frozenset[Reference] = frozenset()
) -> Response:
    base = f"{str(request.base_url).rstrip('/')}/sdmx/v2/structure" if _base(request) == "v2" else ""
    base = base or f"{str(request.base_url).rstrip('/')}/sdmx/v1"
    message = StructureMessage(header_now(request), artefacts, stubbed, base)
    if media_type == _JSON:
        body = sdmx_json.structure_message(message, language_of(request.headers.get("accept-language")))
    else:
        body = structure_message(ML_2_1 if media_type == _ML_2_1 else ML_3_0, message)
    return Response(body, media_type=media_type)


def _base(request: Request) -> Base:
    return "v1" if request.scope["path"].startswith("/sdmx/v1") else "v2"
