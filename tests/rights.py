"""Every route with the scope it takes, and how each is called where nothing in particular is asked."""

import importlib
import pkgutil
import re
from collections.abc import Iterator

import httpx
from fastapi import APIRouter
from fastapi.routing import APIRoute
from uuid_utils.compat import uuid7

import gateway.api

ANYBODY, ANY_TOKEN = "anybody", "any token"
RIGHTS = {
    "POST /v1/reports": "reports:write or reports:relay",
    "POST /v1/reports/validate": "reports:write",
    "POST /v1/reports/batch": "reports:write",
    "GET /v1/reports": "reports:read or reports:relay",
    "GET /v1/reports/{report}": "reports:read",
    "GET /v1/reports/{report}/payload": "reports:read",
    "GET /v1/reports/{report}/history": "reports:read",
    "GET /v1/reports/{report}/receipt": "reports:read",
    "GET /v1/reports/{report}/signature": "reports:read",
    "POST /v1/reports/{report}/return": "reports:review or reports:relay",
    "POST /v1/reports/{report}/withdraw": "reports:write or reports:relay",
    "GET /v1/reports/{report}/difference": "reports:read",
    "POST /v1/consolidations": "reports:write",
    "GET /v1/consolidations": "reports:read",
    "GET /v1/regimes": ANY_TOKEN,
    "GET /v1/regimes/{code}": ANY_TOKEN,
    "PUT /v1/regimes/{code}": "catalog:write",
    "GET /v1/calendars/{year}": ANY_TOKEN,
    "PUT /v1/calendars/{year}": "catalog:write",
    "GET /v1/periods": ANY_TOKEN,
    "GET /v1/obligations": ANY_TOKEN,
    "POST /v1/obligations/extensions": "operations",
    "GET /v1/obligations/extensions": ANY_TOKEN,
    "GET /v1/completeness": ANY_TOKEN,
    "GET /v1/aggregates": "aggregates:read",
    "GET /v1/aggregates/lineage": "aggregates:read",
    "GET /v1/observations": "aggregates:read",
    "GET /v1/changes": "aggregates:read or reports:relay",
    "GET /sdmx/v1/data/{path:path}": "aggregates:read",
    "GET /sdmx/v1/availableconstraint/{path:path}": "aggregates:read",
    "GET /sdmx/v1/schema/{path:path}": ANY_TOKEN,
    "GET /sdmx/v1/{path:path}": ANY_TOKEN,
    "GET /sdmx/v2/data/{path:path}": "aggregates:read",
    "GET /sdmx/v2/availability/{path:path}": "aggregates:read",
    "GET /sdmx/v2/schema/{path:path}": ANY_TOKEN,
    "GET /sdmx/v2/structure/{path:path}": ANY_TOKEN,
    "GET /sdmx/v2/{path:path}": ANY_TOKEN,
    "GET /v1/forms": ANY_TOKEN,
    "GET /v1/forms/{code}": ANY_TOKEN,
    "GET /v1/forms/{code}/versions/{version}": ANY_TOKEN,
    "GET /v1/forms/{code}/schema": ANY_TOKEN,
    "GET /v1/forms/{code}/example": ANY_TOKEN,
    "GET /v1/forms/{code}/template.csv": ANY_TOKEN,
    "GET /v1/forms/{code}/template.xlsx": ANY_TOKEN,
    "PUT /v1/forms/{code}/versions/{version}": "catalog:write",
    "POST /v1/forms/{code}/versions/{version}/backtest": "catalog:write",
    "GET /v1/codelists/{id}": ANY_TOKEN,
    "PUT /v1/codelists/{id}": "catalog:write",
    "GET /v1/agencies": ANY_TOKEN,
    "GET /v1/agencies/{code}": ANY_TOKEN,
    "PUT /v1/agencies/{code}": "catalog:write",
    "GET /v1/agencies/{code}/signers": "clients:write",
    "PUT /v1/agencies/{code}/signers": "clients:write",
    "GET /v1/connectors": "operations",
    "GET /v1/connectors/{name}": "operations",
    "PUT /v1/connectors/{name}": "operations",
    "DELETE /v1/connectors/{name}": "operations",
    "POST /v1/connectors/{name}/pause": "operations",
    "POST /v1/connectors/{name}/resume": "operations",
    "POST /v1/connectors/{name}/retry": "operations",
    "GET /v1/connectors/{name}/interventions": "operations",
    "GET /v1/connectors/{name}/reconciliation": "operations",
    "GET /v1/deliveries": "operations",
    "GET /v1/deliveries/{delivery}": "operations",
    "POST /v1/deliveries/{delivery}/retry": "operations",
    "POST /v1/deliveries/{delivery}/cancel": "operations",
    "GET /v1/clients": "clients:write",
    "POST /v1/clients": "clients:write",
    "POST /v1/clients/{client}/rotate": "clients:write",
    "PUT /v1/clients/{client}/limits": "clients:write",
    "POST /v1/clients/{client}/revoke": "clients:write",
    "GET /v1/log/checkpoint": ANYBODY,
    "GET /v1/log/consistency": ANYBODY,
    "GET /v1/log/entries": "operations",
    "GET /v1/reports/{report}/proof": "reports:read",
    "POST /oauth/token": ANYBODY,
    "GET /.well-known/jwks.json": ANYBODY,
    "GET /healthz": ANYBODY,
    "GET /readyz": ANYBODY,
    "GET /metrics": ANYBODY,
}
NEEDED = {"GET /v1/completeness": {"form": "TTHC_06A", "period": "2026-Q3"}}
"""Parameters without which a route has no answer."""
SDMX_PATHS = {
    "v1/data": "TTHC_06A",
    "v1/availableconstraint": "TTHC_06A",
    "v1": "dataflow/VNGOV",
    "v2/structure": "dataflow/VNGOV",
    "v2": "metadata",
}
"""What is asked for under an SDMX route; of the others a dataflow."""
GUARDED = [route for route, right in RIGHTS.items() if right != ANYBODY]
SCOPED = [(route, right) for route, right in RIGHTS.items() if right not in {ANYBODY, ANY_TOKEN}]


def routes() -> Iterator[str]:
    """Every route of every router of the API."""
    for module in pkgutil.iter_modules(gateway.api.__path__):
        router = getattr(importlib.import_module(f"gateway.api.{module.name}"), "router", None)
        if isinstance(router, APIRouter):
            for route in router.routes:
                assert isinstance(route, APIRoute)
                yield from (f"{method} {route.path}" for method in sorted(route.methods or ()))


async def call(client: httpx.AsyncClient, route: str, **headers: str) -> httpx.Response:
    method, path = route.split()
    values = {"report": str(uuid7()), "delivery": str(uuid7()), "client": str(uuid7()), "version": "1", "year": "2026"}
    sdmx = SDMX_PATHS.get(path.removeprefix("/sdmx/").removesuffix("/{path:path}"), "dataflow/VNGOV/TTHC_06A")
    path = re.sub(r"{(\w+)}", lambda name: values.get(name[1], "TTHC_06A"), path.replace("{path:path}", sdmx))
    return await client.request(method, path, headers=headers, params=NEEDED.get(route))
