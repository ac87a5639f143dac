"""Routes of operators: deliveries on their way to upstreams."""

from dataclasses import replace
from uuid import UUID

from fastapi import Response

from gateway.api.delivery_filter import Filter
from gateway.api.deps import GatewayParts, NewestCatalogue, Operator
from gateway.api.forwarding import (
    DeliveryPage,
    DeliveryShape,
    FullDelivery,
    attempt_shown,
    delivery_shown,
    intervention_shown,
)
from gateway.api.json import Json
from gateway.api.lists import Cursor, Limit, page, uuid_cursor
from gateway.api.refusals import problems
from gateway.api.router import Router
from gateway.api.sight import WHY, Because, Sight
from gateway.db.attempts import find_attempts
from gateway.db.connectors import connectors_ever
from gateway.db.deliveries import WantedDeliveries, find_delivery, list_deliveries
from gateway.db.engine import driver
from gateway.db.interventions import find_interventions
from gateway.domain.delivery import DeliveryState
from gateway.errors import NotFound, Text
from gateway.flow.steer import give_up_delivery, retry_delivery

router = Router(prefix="/v1", tags=["operations"])


@router.get(
    "/deliveries", operation_id="list_deliveries", response_model=DeliveryPage, responses=problems(400, 401, 403, 404)
)
async def list_(
    gateway: GatewayParts,
    catalogue: NewestCatalogue,
    caller: Operator,
    sees: Sight,
    limit: Limit,
    wanted: Filter,
    cursor: Cursor = None,
    connector: str | None = None,
    state: DeliveryState | None = None,
) -> Response:
    """Deliveries of the subtree's connectors, also of removed ones, newest first."""
    async with gateway.engine.connect() as connection:
        ever = await connectors_ever(connection)
    connectors = [row.id for row in ever if sees(row.under) and connector in {None, row.name}]
    if connector is not None and not connectors:
        raise NotFound(Text("Không có kết nối này.", "There is no such connector."))
    is_all = connector is None and caller.agency is None
    async with driver(gateway.engine) as raw:
        found = await list_deliveries(
            raw,
            WantedDeliveries(
                None if is_all else connectors, replace(wanted, state=state), uuid_cursor(cursor), limit + 1
            ),
        )
    return Json(page(found, limit, lambda each: delivery_shown(each, catalogue), lambda each: each.id))


@router.get(
    "/deliveries/{delivery}",
    operation_id="read_delivery",
    response_model=FullDelivery,
    responses=problems(400, 401, 403, 404),
)
async def read(delivery: UUID, gateway: GatewayParts, catalogue: NewestCatalogue, sees: Sight) -> Response:
    """One delivery with its attempts, as far back as they are kept, and what operators did to it."""
    async with driver(gateway.engine) as connection:
        kept = await find_delivery(connection, delivery)
        made = await find_attempts(connection, delivery)
        acts = await find_interventions(connection, delivery)
    if kept is None or not sees(kept.under):
        raise NotFound()
    shown = {
        "history": [attempt_shown(each) for each in made],
        "interventions": [intervention_shown(each) for each in acts if sees(each.under)],
    }
    return Json(delivery_shown(kept, catalogue) | shown)


@router.post(
    "/deliveries/{delivery}/retry",
    operation_id="retry_delivery",
    response_model=DeliveryShape,
    openapi_extra=WHY,
    responses=problems(400, 401, 403, 404, 409, 413, 415),
)
async def retry(
    delivery: UUID,
    gateway: GatewayParts,
    catalogue: NewestCatalogue,
    caller: Operator,
    sees: Sight,
    cause: Because,
) -> Response:
    """Try a refused, exhausted or cancelled delivery again, from the start of its schedule; a pending one now.

    409 while it is being sent, once it is delivered, and once a later delivery of the same report may have arrived.
    """
    kept = await retry_delivery(gateway.engine, delivery, sees, cause)
    return Json(delivery_shown(kept, catalogue))


@router.post(
    "/deliveries/{delivery}/cancel",
    operation_id="cancel_delivery",
    response_model=DeliveryShape,
    openapi_extra=WHY,
    responses=problems(400, 401, 403, 404, 409, 413, 415),
)
async def cancel(
    delivery: UUID,
    gateway: GatewayParts,
    catalogue: NewestCatalogue,
    caller: Operator,
    sees: Sight,
    cause: Because,
) -> Response:
    """Give a delivery up, so that later ones of the same report may pass.

    409 while it is being sent, and once it is delivered.
    """
    kept = await give_up_delivery(gateway.engine, delivery, sees, cause)
    return Json(delivery_shown(kept, catalogue))
