"""Who may call what: every route is in this table, with the scope it takes."""

import importlib
import pkgutil
import re
from collections.abc import Iterator

import httpx
import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute
from uuid_utils.compat import uuid7

import gateway.api
from factories import a_report
from gateway.access.scopes import Scope
from gateway_under_test import NewClient, accepted, refused

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
    "PUT /v1/forms/{code}/versions/{version}": "catalog:write",
    "POST /v1/forms/{code}/versions/{version}/backtest": "catalog:write",
    "GET /v1/codelists/{id}": ANY_TOKEN,
    "PUT /v1/codelists/{id}": "catalog:write",
    "GET /v1/agencies": ANY_TOKEN,
    "GET /v1/agencies/{code}": ANY_TOKEN,
    "PUT /v1/agencies/{code}": "catalog:write",
    "GET /v1/connectors": "operations",
    "GET /v1/connectors/{name}": "operations",
    "PUT /v1/connectors/{name}": "operations",
    "DELETE /v1/connectors/{name}": "operations",
    "POST /v1/connectors/{name}/pause": "operations",
    "POST /v1/connectors/{name}/resume": "operations",
    "POST /v1/connectors/{name}/retry": "operations",
    "GET /v1/connectors/{name}/reconciliation": "operations",
    "GET /v1/deliveries": "operations",
    "GET /v1/deliveries/{delivery}": "operations",
    "POST /v1/deliveries/{delivery}/retry": "operations",
    "POST /v1/deliveries/{delivery}/cancel": "operations",
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
    values = {"report": str(uuid7()), "delivery": str(uuid7()), "version": "1", "year": "2026"}
    sdmx = SDMX_PATHS.get(path.removeprefix("/sdmx/").removesuffix("/{path:path}"), "dataflow/VNGOV/TTHC_06A")
    path = re.sub(r"{(\w+)}", lambda name: values.get(name[1], "TTHC_06A"), path.replace("{path:path}", sdmx))
    return await client.request(method, path, headers=headers, params=NEEDED.get(route))


def test_every_route_has_an_entry() -> None:
    assert sorted(routes()) == sorted(RIGHTS)


@pytest.mark.parametrize("route", GUARDED)
async def test_without_a_token_nobody_comes_in(country: httpx.AsyncClient, route: str) -> None:
    answer = await call(country, route, Authorization="")
    if route.startswith("GET /sdmx"):
        assert (answer.status_code, "110" in answer.text) == (401, True)
        assert answer.headers["www-authenticate"].startswith("Basic")
        return
    refused(answer, 401, "unauthenticated")
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(("route", "scope"), SCOPED)
async def test_every_other_scope_together_does_not_open_a_route(client_for: NewClient, route: str, scope: str) -> None:
    client = await client_for(*(each.value for each in Scope if each not in scope.split(" or ")))
    answer = await call(client, route)
    if route.startswith("GET /sdmx"):
        assert (answer.status_code, "110" in answer.text, scope in answer.text) == (403, True, True)
    else:
        assert refused(answer, 403, "forbidden")["scope"] == scope.split(" or ")[0]


@pytest.mark.parametrize(("route", "scope"), SCOPED)
async def test_its_scope_alone_opens_a_route(client_for: NewClient, route: str, scope: str) -> None:
    """Where another scope opens it as well, only for some: those routes have tests of their own."""
    answer = await call(await client_for(scope.split(" or ")[0]), route)
    assert answer.status_code not in {401, 403, 500}, answer.text


@pytest.mark.parametrize("route", [route for route, right in RIGHTS.items() if right == ANY_TOKEN])
async def test_any_token_reads_the_catalogue(client_for: NewClient, route: str) -> None:
    answer = await call(await client_for("aggregates:read", agency="H29.18"), route)
    assert answer.status_code in ({200, 404} if route != "GET /sdmx/v2/{path:path}" else {501})


async def test_a_closed_agency_stays_within_the_rights_of_its_last_parent(client_for: NewClient) -> None:
    country = await client_for()
    report = (await accepted(country, a_report(agency="H40", period="2024-Q3")))["id"]
    itself = await client_for(agency="H40")
    assert (await itself.get(f"/v1/reports/{report}")).status_code == 200
    successor = await client_for(agency="H42")
    refused(await successor.get(f"/v1/reports/{report}"), 404, "not-found")
