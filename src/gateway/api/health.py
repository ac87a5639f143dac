"""Routes of operators' machines: alive, ready, metrics."""

import shutil

import sqlalchemy as sa
from fastapi import Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from pydantic import BaseModel, ConfigDict, Field

from gateway.api.deps import GatewayParts, Spoken
from gateway.api.json import Json
from gateway.api.router import Router
from gateway.db.deadline import watch_of
from gateway.db.engine import is_outage
from gateway.db.schema import UnfitSchema, require_fit

router = Router(tags=["operating"])

_LONGEST_ANSWER = 3.0
"""Seconds for the database to say that it is there."""
_LEAST_DISK_BYTES = 256 * 1024 * 1024


class Health(BaseModel):
    """The process is alive."""

    status: str


class Readiness(BaseModel):
    """Whether each thing the gateway needs is there."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "status": "not ready",
                    "checks": {"database": True, "migrations": False, "disk": True},
                    "reason": "The database has schema 0004, this version needs 0007: run 'gateway migrate'.",
                }
            ]
        }
    )

    status: str
    checks: dict[str, bool]
    reason: str | None = Field(description="Why this version does not run on the database's schema, and what to do.")


@router.get("/healthz", response_model=Health)
async def read_health() -> Response:
    """Whether the process is alive."""
    return Json({"status": "alive"})


@router.get("/readyz", response_model=Readiness, responses={503: {"model": Readiness}})
async def read_readiness(gateway: GatewayParts, language: Spoken) -> Response:
    """Whether the gateway can take reports: database reachable, its schema one this version runs on, disk not full."""
    reason = None
    checks = {"database": False, "migrations": False, "disk": False}
    try:
        async with gateway.engine.connect() as connection:
            raw = await connection.get_raw_connection()
            watch_of(raw.driver_connection).go(_LONGEST_ANSWER)
            await connection.execute(sa.text("SELECT 1"))
            checks["database"] = True
        await require_fit(gateway.engine)
        checks["migrations"] = True
    except UnfitSchema as unfit:
        reason = unfit.message.to(language)
    except Exception as error:
        if not is_outage(error):
            raise
    place = gateway.settings.data_dir
    checks["disk"] = shutil.disk_usage(place if place.exists() else "/").free > _LEAST_DISK_BYTES
    ready = all(checks.values())
    shown = {"status": "ready" if ready else "not ready", "checks": checks, "reason": reason}
    return Json(shown, 200 if ready else 503)


_EXAMPLE = """# HELP gateway_deliveries Deliveries that are not over, by state.
# TYPE gateway_deliveries gauge
gateway_deliveries{connector="national",state="pending"} 3.0
"""


@router.get(
    "/metrics",
    response_class=PlainTextResponse,
    responses={200: {"content": {"text/plain": {"example": _EXAMPLE}}}},
)
async def read_metrics(gateway: GatewayParts) -> Response:
    """Metrics for Prometheus, in its text format.

    Those of connectors are the same from every process, those of requests are of the process that answers. While the
    database is away `gateway_database_up` is 0 and those of connectors are left out.
    """
    return Response(await gateway.metrics.text(), media_type=CONTENT_TYPE_PLAIN_0_0_4)
