"""Who may call what: every route is in the table of rights, with the scope it takes."""

import httpx
import pytest

from factories import a_report
from gateway.access.scopes import Scope
from gateway_under_test import NewClient, accepted, refused
from rights import ANY_TOKEN, GUARDED, RIGHTS, SCOPED, call, routes


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
