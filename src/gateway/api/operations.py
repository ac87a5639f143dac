"""Routes of operators: connectors to upstreams."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Literal

from fastapi import Request, Response

from gateway.access.tokens import Caller
from gateway.api.body import read_document, takes
from gateway.api.delivery_filter import NAMES, Filter
from gateway.api.deps import GatewayParts, NewestCatalogue, Operator, Today
from gateway.api.forwarding import (
    GIVEN,
    ConnectorNow,
    ConnectorPage,
    ConnectorShape,
    InterventionPage,
    Retried,
    breaker_shown,
    connector_shown,
    follow_shown,
    intervention_shown,
    witness_shown,
)
from gateway.api.json import Json
from gateway.api.lists import Cursor, Limit, from_cursor, page, uuid_cursor
from gateway.api.parameters import wrong
from gateway.api.refusals import problems
from gateway.api.router import Router
from gateway.api.sight import WHY, Because, Name, Sight
from gateway.connectors.connector import ConnectorSettings, InvalidConnectorOptions, InvalidConnectorSettings
from gateway.connectors.registry import UnknownConnectorKind, open_connector
from gateway.db.breakers import find_breaker
from gateway.db.connectors import all_connectors, find_connector
from gateway.db.engine import driver
from gateway.db.follows import find_follow
from gateway.db.interventions import list_interventions, subtrees_of
from gateway.domain.catalogue import Catalogue
from gateway.domain.connector_document import ConnectorDocument
from gateway.domain.upstream import What
from gateway.errors import Forbidden, MalformedRequest, NotFound, Place, Text
from gateway.flow.connect import change_connector, end_connector, known_credentials, pause_or_resume
from gateway.flow.prepare import find_agency
from gateway.flow.take_up import Choice, retry_connector

router = Router(prefix="/v1", tags=["operations"])

WITNESS = "witness"
TakenUp = Literal["pending", "refused", "exhausted"]
"""What can be taken up or hastened many at once; a delivery that was cancelled is taken up by itself."""


@router.get("/connectors", response_model=ConnectorPage, responses=problems(400, 401, 403))
async def list_connectors(
    gateway: GatewayParts,
    sees: Sight,
    limit: Limit,
    cursor: Cursor = None,
) -> Response:
    """Connectors of the subtree, by name."""
    after = from_cursor(cursor, 1)[0] if cursor else ""
    async with gateway.engine.connect() as connection:
        rows = await all_connectors(connection)
    found = [row for row in rows if row.name > after and sees(row.under)]
    return Json(page(found, limit, connector_shown, lambda row: row.name))


@router.get("/connectors/{name}", response_model=ConnectorNow, responses=problems(400, 401, 403, 404))
async def read_connector(name: Name, gateway: GatewayParts, sees: Sight) -> Response:
    """One connector."""
    async with gateway.engine.connect() as connection:
        row = await find_connector(connection, name)
    if row is None or not sees(row.under):
        raise NotFound()
    async with driver(gateway.engine) as raw:
        known = await find_breaker(raw, row.id)
        followed = await find_follow(raw, row.id)
    is_witness = row.kind == WITNESS
    return Json(
        connector_shown(row)
        | {
            "breaker": breaker_shown(known),
            "returns": None if is_witness else follow_shown(followed),
            "witness": witness_shown(followed) if is_witness else None,
        }
    )


@router.put(
    "/connectors/{name}",
    response_model=ConnectorShape,
    openapi_extra=takes(ConnectorDocument, GIVEN),
    responses={
        201: {"model": ConnectorShape, "description": "The connector is new."},
        **problems(400, 401, 403, 404, 413, 415),
    },
)
async def write_connector(
    name: Name,
    request: Request,
    gateway: GatewayParts,
    catalogue: NewestCatalogue,
    caller: Operator,
    sees: Sight,
    today: Today,
) -> Response:
    """Make or change a connector; it holds from the next delivery on.

    With `from`, reports received since that day are delivered too, each key's in order. With `remind`, what falls
    due from then on. Without `credentials` those there are stay. An operator of a subtree names an `under` within it.
    """
    given = await read_document(request, ConnectorDocument)
    if given.allow_private_addresses and caller.agency is not None:
        raise Forbidden(
            Text(
                "Chỉ cấp trung ương được cho phép địa chỉ nội bộ.",
                "Only an operator of the whole country may allow private addresses.",
            )
        )
    credentials: Mapping[str, str] | None = given.credentials
    if credentials is None:
        credentials = await known_credentials(gateway.engine, gateway.keys.secrets, name, sees)
    document = await _agreed(given, name, credentials, catalogue, caller, today)
    row, is_new = await change_connector(
        gateway.engine,
        gateway.catalogues,
        gateway.keys.secrets,
        caller.client,
        today,
        name,
        document,
        sees,
    )
    return Json(connector_shown(row), 201 if is_new else 200)


async def _agreed(
    document: ConnectorDocument,
    name: str,
    credentials: Mapping[str, str] | None,
    catalogue: Catalogue,
    caller: Caller,
    today: date,
) -> ConnectorDocument:
    """The document with ``under`` by its own code. Raises ``MalformedRequest`` with all that is wrong with it."""
    wrong = [
        *_wrong_names(document, name, catalogue, today),
        *_wrong_reminders(document),
        *_wrong_what(document),
        *await _wrong_settings(document, name, credentials),
    ]
    under = document.under
    if caller.agency is not None and under is None:
        message = Text(f"Phải nằm trong phạm vi {caller.agency}.", f"Must lie within {caller.agency}.")
        wrong.append(Place("/under", message))
    elif under is not None and caller.agency is not None:
        under = find_agency(catalogue, under, caller.agency, today)
    elif under is not None and (under := catalogue.agencies.resolve(under)) is None:
        wrong.append(Place("/under", Text("Không có cơ quan này.", "There is no such agency.")))
    if wrong:
        raise MalformedRequest(errors=wrong)
    return document.model_copy(update={"under": under})


def _wrong_names(document: ConnectorDocument, name: str, catalogue: Catalogue, today: date) -> Sequence[Place]:
    wrong = [
        Place(f"/forms/{index}", Text("Không có biểu mẫu này.", "There is no such form."))
        for index, form in enumerate(document.forms or ())
        if form not in catalogue.forms
    ]
    if document.name not in {None, name}:
        wrong.append(Place("/name", Text("Không khớp với địa chỉ.", "Does not agree with the address.")))
    if document.from_ is not None and document.from_ > today:
        wrong.append(Place("/from", Text("Không được sau hôm nay.", "Must not lie in the future.")))
    return wrong


def _wrong_reminders(document: ConnectorDocument) -> Sequence[Place]:
    wrong: list[Place] = []
    if document.remind is not None and document.kind != "webhook":
        message = Text("Chỉ loại webhook nhận nhắc việc.", "Only kind webhook takes reminders.")
        wrong.append(Place("/remind", message))
    if document.remind is not None and not document.remind.events:
        message = Text("Cần due_in_days hoặc overdue.", "Give due_in_days or overdue.")
        wrong.append(Place("/remind", message))
    if document.remind is None and document.what == What.none and document.kind != WITNESS:
        message = Text("Không có gì để gửi: thiếu remind.", "Nothing would be sent: there is no remind.")
        wrong.append(Place("/what", message))
    return wrong


def _wrong_what(document: ConnectorDocument) -> Sequence[Place]:
    """A witness is given no reports; of a data value's two kinds of report one would overwrite the other."""
    if document.kind == WITNESS and document.what != What.none:
        return [Place("/what", Text("Loại witness chỉ nhận none.", "Kind witness takes none."))]
    if document.kind != "dhis2" or document.what != What.all:
        return []
    return [
        Place("/what", Text("Loại dhis2 chỉ nhận own hoặc consolidation.", "Kind dhis2 takes own or consolidation."))
    ]


async def _wrong_settings(
    document: ConnectorDocument, name: str, credentials: Mapping[str, str] | None
) -> Sequence[Place]:
    """What keeps the connector from ever working, by opening it once."""
    settings = ConnectorSettings(
        name,
        document.kind,
        document.url,
        document.allow_private_addresses,
        credentials,
        options=document.options,
    )
    try:
        await open_connector(settings).aclose()
    except UnknownConnectorKind as error:
        return [Place("/kind", Text(f"Chưa hỗ trợ: {error}.", f"Not supported: {error}."))]
    except InvalidConnectorOptions as error:
        return error.places
    except InvalidConnectorSettings as error:
        place = "/url" if str(error).startswith("url") else "/credentials"
        return [Place(place, Text(f"Không dùng được: {error}.", f"Cannot be used: {error}."))]
    return []


@router.delete(
    "/connectors/{name}",
    status_code=204,
    response_class=Response,
    responses=problems(400, 401, 403, 404),
)
async def remove_connector(name: Name, gateway: GatewayParts, caller: Operator, sees: Sight) -> Response:
    """Remove a connector: what it has not sent is cancelled; its deliveries stay readable."""
    await end_connector(gateway.engine, caller.client, name, sees)
    return Response(status_code=204)


@router.post(
    "/connectors/{name}/pause",
    operation_id="pause_connector",
    response_model=ConnectorShape,
    openapi_extra=WHY,
    responses=problems(400, 401, 403, 404, 413, 415),
)
async def pause(name: Name, gateway: GatewayParts, sees: Sight, cause: Because) -> Response:
    """Send nothing more through a connector; what is being sent is finished, and deliveries gather."""
    return Json(connector_shown(await pause_or_resume(gateway.engine, name, sees, cause, True)))


@router.post(
    "/connectors/{name}/resume",
    operation_id="resume_connector",
    response_model=ConnectorShape,
    openapi_extra=WHY,
    responses=problems(400, 401, 403, 404, 413, 415),
)
async def resume(name: Name, gateway: GatewayParts, sees: Sight, cause: Because) -> Response:
    """Send again through a connector that was paused."""
    return Json(connector_shown(await pause_or_resume(gateway.engine, name, sees, cause, False)))


@router.post(
    "/connectors/{name}/retry",
    operation_id="retry_connector",
    response_model=Retried,
    openapi_extra=WHY,
    responses=problems(400, 401, 403, 404, 413, 415),
)
async def retry_all(
    name: Name,
    request: Request,
    gateway: GatewayParts,
    sees: Sight,
    wanted: Filter,
    cause: Because,
    state: TakenUp | None = None,
) -> Response:
    """Try everything again that was refused or exhausted, and everything that waits, now; or what the filter chooses.

    The filter is that of `GET /v1/deliveries`, so that it can be looked at first. Left out is what a later delivery of
    the same report has passed. It is done in parts; if it ends half-way, ask again: what was taken up stays so.
    """
    given = dict(request.query_params)
    if unknown := sorted(given.keys() - NAMES):
        raise wrong(unknown[0], Text("Không có tham số này.", "There is no such parameter."))
    chosen = Choice(replace(wanted, state=state), given or None)
    done = await retry_connector(gateway.engine, name, sees, cause, chosen)
    return Json({"retried": done.retried, "passed": done.passed, "intervention": done.intervention})


@router.get(
    "/connectors/{name}/interventions",
    operation_id="list_interventions",
    response_model=InterventionPage,
    responses=problems(400, 401, 403, 404),
)
async def list_done(name: Name, gateway: GatewayParts, sees: Sight, limit: Limit, cursor: Cursor = None) -> Response:
    """What operators did to a connector and its deliveries, who it was and why, newest first.

    What was done while it was another subtree's is for operators who cover that, too.
    """
    async with gateway.engine.connect() as connection:
        row = await find_connector(connection, name)
    if row is None or not sees(row.under):
        raise NotFound()
    async with driver(gateway.engine) as raw:
        seen = [each for each in await subtrees_of(raw, row.id) if sees(each)]
        found = await list_interventions(raw, row.id, seen, uuid_cursor(cursor), limit + 1)
    return Json(page(found, limit, intervention_shown, lambda each: each.id))
