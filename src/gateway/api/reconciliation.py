"""Comparing what was delivered with what an upstream holds."""

from contextlib import aclosing
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import sqlalchemy as sa
from cryptography.fernet import InvalidToken
from fastapi import Query, Response
from pydantic import BaseModel, ConfigDict, Field

from gateway.api.deps import Gateway, GatewayParts, NewestCatalogue, Operator
from gateway.api.json import Json
from gateway.api.parameters import OnePeriod, OnlyForm, form_key, require_period
from gateway.api.refusals import problems
from gateway.api.router import Router
from gateway.api.sight import Name, Sight
from gateway.connectors.connector import Answers, Connector, ConnectorSettings, InvalidConnectorSettings, UpstreamSilent
from gateway.connectors.registry import UnknownConnectorKind, open_connector
from gateway.db.connectors import find_connector
from gateway.db.engine import server_now
from gateway.db.reconciling import WantedSent
from gateway.errors import NotFound, StateConflict, Text, UpstreamFailed
from gateway.flow.connect import opened
from gateway.flow.reconcile import Comparison, Difference, Differing, heal, reconcile

router = Router(prefix="/v1", tags=["operations"])

_MOST_SHOWN = 1000


class SideShape(BaseModel):
    """A report as one side holds it."""

    sha256: str
    status: str


class DifferingReport(BaseModel):
    """A report on which both sides differ."""

    report: UUID
    delivery: UUID
    what: Difference = Field(
        description="`missing`: the upstream does not hold it; `not_ended`: it does not know that it was returned or "
        "withdrawn; `other_bytes`: it holds others under this id, which a person has to look into."
    )
    here: SideShape
    upstream: SideShape | None
    healed: bool = Field(description="It is being sent again.")


_EXAMPLE: dict[str, Any] = {
    "connector": "national",
    "at": "2026-09-21T02:15:08.114200Z",
    "compared": 3788,
    "agreed": 3787,
    "not_sent": 0,
    "differing": 1,
    "healed": 1,
    "differences": [
        {
            "report": "01998a3e-5f10-7c4e-9b1a-3d5f7a9c1e20",
            "delivery": "01998a3e-6a01-7b10-8d55-02c4e6a8b1f3",
            "what": "missing",
            "here": {"sha256": "4b0f…", "status": "accepted"},
            "upstream": None,
            "healed": True,
        }
    ],
}


class Reconciliation(BaseModel):
    """How an upstream's holdings compare with what was delivered to it."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    connector: str
    at: datetime
    compared: int = Field(description="Reports whose delivery was acknowledged.")
    agreed: int
    not_sent: int = Field(description="Reports that the upstream shows this gateway and that were not sent to it.")
    differing: int
    healed: int
    differences: list[DifferingReport] = Field(description=f"The newest {_MOST_SHOWN}.")


@router.get(
    "/connectors/{name}/reconciliation",
    operation_id="reconcile_connector",
    response_model=Reconciliation,
    responses=problems(400, 401, 403, 404, 409, 502),
)
async def reconcile_connector(
    name: Name,
    gateway: GatewayParts,
    catalogue: NewestCatalogue,
    caller: Operator,
    sees: Sight,
    form: OnlyForm = None,
    period: OnePeriod = None,
    heals: Annotated[
        bool, Query(alias="heal", description="Whether what the upstream lacks is sent again; false: only look.")
    ] = True,
) -> Response:
    """Compare by id and hash what was acknowledged with what the upstream holds now, and send again what it lacks.

    For upstreams that can be asked: of kind `gateway`, and of kind `http_json` where `options` have a `reconciliation`.
    Sending again is safe, since receivers know repeats. Narrow it by form and period where there are many.
    """
    require_period(period)
    async with gateway.engine.connect() as connection:
        row = await find_connector(connection, name)
        at = await server_now(connection)
    if row is None or not sees(row.under):
        raise NotFound()
    wanted = WantedSent(row.id, at, form_key(catalogue, form), period)
    found = await _compared(gateway, row, wanted, form)
    if heals and found.differing:
        words = "sent again: the upstream did not hold it as it had been delivered"
        found.differing = await heal(gateway.engine, (row.id, name), found.differing, words, caller.client)
    return Json(_shown(name, at, found))


async def _compared(gateway: Gateway, row: sa.Row[Any], wanted: WantedSent, form: str | None) -> Comparison:
    connector = _open(gateway, row)
    try:
        if not isinstance(connector, Answers):
            raise StateConflict(
                Text(
                    f"Kết nối này (loại {row.kind}) không có cách hỏi máy chủ nhận đang giữ gì.",
                    f"The upstream of this connector, of kind {row.kind}, cannot be asked what it holds.",
                )
            )
        async with aclosing(connector.holdings(form, wanted.period)) as holdings:
            return await reconcile(gateway.engine, wanted, holdings)
    except UpstreamSilent as error:
        raise UpstreamFailed(Text(f"Máy chủ nhận: {error}.", f"The upstream: {error}.")) from None
    finally:
        await connector.aclose()


def _open(gateway: Gateway, row: sa.Row[Any]) -> Connector:
    try:
        return open_connector(
            ConnectorSettings(
                row.name,
                row.kind,
                row.url,
                row.allow_private_addresses,
                opened(gateway.keys.secrets, row.credentials),
                gateway.settings.attempt_seconds,
                options=row.options,
            )
        )
    except (InvalidConnectorSettings, UnknownConnectorKind, InvalidToken) as error:
        words = str(error) or "its credentials cannot be decrypted"
        raise UpstreamFailed(Text(f"Không mở được kết nối: {words}.", f"It cannot be opened: {words}.")) from None


def _shown(name: str, at: datetime, found: Comparison) -> dict[str, object]:
    return {
        "connector": name,
        "at": at,
        "compared": found.compared,
        "agreed": found.compared - len(found.differing),
        "not_sent": found.not_sent,
        "differing": len(found.differing),
        "healed": sum(each.healed for each in found.differing),
        "differences": [_difference(each) for each in found.differing[:_MOST_SHOWN]],
    }


def _difference(each: Differing) -> dict[str, object]:
    held = each.held
    return {
        "report": each.sent.report,
        "delivery": each.sent.delivery,
        "what": each.what,
        "here": {"sha256": each.sent.sha256, "status": each.sent.status},
        "upstream": None if held is None else {"sha256": held.sha256, "status": held.status},
        "healed": each.healed,
    }
