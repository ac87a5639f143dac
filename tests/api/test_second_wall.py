"""The second wall behind the API: with the first broken on purpose, nothing of another province is shown or touched."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from api.test_rights_matrix import ALL, FOREIGN_BELOW, OWN, OWN_BELOW, PLACES, Others, Try, ask, others, standing
from factories import a_report, body
from gateway.api import deps, sdmx_access
from gateway.api.deps import Gateway
from gateway.domain.agency import Hierarchy
from gateway.flow.judge import Answer
from gateway.flow.prepare import Push
from gateway_under_test import NewClient, accepted, asked, connected, every_item, in_process, push

__all__ = ["others"]

NOT_ROWS = {
    # Connectors, clients and the catalogue are nobody's figures: the first wall alone keeps them (db/rights.py).
    "GET /v1/connectors/{name}",
    "PUT /v1/connectors/{name}",
    "DELETE /v1/connectors/{name}",
    "POST /v1/connectors/{name}/pause",
    "POST /v1/connectors/{name}/resume",
    "POST /v1/connectors/{name}/retry",
    "POST /v1/clients",
    "POST /v1/clients/{client}/rotate",
    "PUT /v1/clients/{client}/limits",
    "POST /v1/clients/{client}/revoke",
    "GET /v1/clients",
    "PUT /v1/regimes/{code}",
    "PUT /v1/calendars/{year}",
    "PUT /v1/forms/{code}/versions/{version}",
    "PUT /v1/codelists/{id}",
    "PUT /v1/agencies/{code}",
    "POST /v1/obligations/extensions",
}


@pytest.fixture
def no_subtree(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every check takes everybody for a client of the whole country."""
    original = deps.caller_of

    async def of_the_country(*given: Any) -> Any:
        return replace(await original(*given), agency=None)

    monkeypatch.setattr(deps, "caller_of", of_the_country)
    monkeypatch.setattr(sdmx_access, "caller_of", of_the_country)


@pytest.fixture
def all_covered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every agency lies in every subtree."""
    monkeypatch.setattr(Hierarchy, "covers", lambda *_: True)


@pytest.mark.parametrize("broken", ["no_subtree", "all_covered"])
async def test_with_the_first_wall_broken_nothing_of_another_province_is_shown(
    broken: str, client_for: NewClient, others: Others, gateway: Gateway, request: pytest.FixtureRequest
) -> None:
    client = await client_for(*ALL, agency=OWN, headers={"Accept-Language": "en"})
    before = await standing(gateway)
    request.getfixturevalue(broken)
    tried = 0
    for route, entries in PLACES.items():
        if route in NOT_ROWS or (broken == "no_subtree" and not route.startswith("GET")):
            continue  # whoever pushes is told apart by what the push says of its sender
        for place, entry in entries.items():
            if isinstance(entry, Try):
                answer = await ask(client, route, entry, others)
                words = answer.text.replace(" ", "")
                shown = [mark for mark in others.marks[:3] if mark in words and mark != "127.0.0.1:9/theirs"]
                assert not shown, (route, place, answer.text[:300])
                tried += 1
    assert tried > 20
    assert await standing(gateway) == before


@pytest.mark.usefixtures("no_subtree")
async def test_with_the_first_wall_broken_lists_and_figures_are_one_s_own(client_for: NewClient) -> None:
    """Asked without naming anybody, as a client of the whole country would."""
    country = await client_for(*ALL)
    for agency in (OWN_BELOW, FOREIGN_BELOW):
        await accepted(country, a_report(agency=agency))
    client = await client_for(*ALL, agency=OWN)
    assert [each["agency"] for each in await every_item(client, "/reports")] == [OWN_BELOW]
    figures = await asked(client, "/aggregates", form="TTHC_06A", period="2098-Q3", indicator="received_total")
    assert (figures["reports"], figures["rows"]) == (1, [{"received_total": 2400}])
    values = await asked(client, "/observations", form="TTHC_06A", period="2098-Q3", indicator="received_total")
    assert {each["agency"] for each in values["items"]} == {OWN_BELOW}
    changes = await asked(client, "/changes")
    assert [each["report"]["agency"] for each in changes["items"]] == [OWN_BELOW]
    whole = await asked(country, "/aggregates", form="TTHC_06A", period="2098-Q3", indicator="received_total")
    assert whole["reports"] == 2, "the control: the other province's figures are there"


@pytest.mark.usefixtures("all_covered")
async def test_a_push_into_another_province_is_stored_by_nobody(gateway: Gateway, client_for: NewClient) -> None:
    client = await client_for(*ALL, agency=OWN)
    answer = await push(client, a_report(agency=FOREIGN_BELOW))
    assert answer.status_code == 500
    async with connected(gateway.engine) as connection:
        assert await connection.fetchval("SELECT count(*) FROM reports") == 0
    assert (await push(client, a_report(agency=OWN_BELOW))).status_code == 201, "its own are taken as ever"


@pytest.mark.usefixtures("all_covered")
async def test_in_a_turn_with_others_a_push_has_no_more_rights_than_alone(gateway: Gateway) -> None:
    """One turn of three senders: what one may do, another may not do by it."""

    def by(root: str | None, agency: str) -> Push:
        document = body(a_report(agency=agency))
        return Push(document, "application/json", UUID(int=len(root or "")), root, "en")

    mine, theirs = by(OWN, OWN_BELOW), by("H26.18", FOREIGN_BELOW)
    wrong = by(OWN, "H26.14")
    replies = await gateway.intake.receive_all([mine, wrong, theirs])
    assert [reply.status for reply in replies] == [201, 500, 201]
    assert isinstance(replies[0], Answer)
    async with connected(gateway.engine) as connection:
        assert await connection.fetchval("SELECT count(*) FROM reports") == 2


async def test_a_gateway_without_the_second_wall_would_show_it(
    gateway: Gateway, client_for: NewClient, no_subtree: None
) -> None:
    """The control of all of these: the same break, on connections that see everything."""
    client = await client_for(*ALL, agency=OWN)
    country = await client_for(*ALL)
    theirs = await accepted(country, a_report(agency=FOREIGN_BELOW))
    unwalled = replace(gateway, intake=replace(gateway.intake, engine=gateway.engine))
    async with in_process(unwalled, headers=client.headers) as found:
        assert (await found.get(f"/v1/reports/{theirs['id']}")).status_code == 200
    assert (await client.get(f"/v1/reports/{theirs['id']}")).status_code == 404
