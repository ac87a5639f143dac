"""Reconciling with an upstream of another shape that lists what it holds: here, the sandbox."""

import json
from typing import Any
from uuid import UUID

import httpx
import pytest

from forwarding import Upstream, connect_upstream, end, receive, states, until_all, upstream, working
from gateway.api.deps import Gateway
from gateway.db.engine import driver
from gateway.domain.report import Status
from gateway_under_test import NewClient, refused, shown

SANDBOX: dict[str, Any] = {
    "accepted": {"path": "/reports"},
    "returned": {"path": "/reports"},
    "withdrawn": {"path": "/reports"},
    "reconciliation": {
        "path": "/received?limit=2",
        "items": "/items",
        "id": "/id",
        "sha256": "/report_sha256",
        "where": {"/event": ["accepted"]},
        "ended": {"/event": ["returned", "withdrawn"]},
        "form": "/form",
        "period": "/period",
        "total": "/total",
        "first_page": 1,
        "parameter": "page",
    },
}
"""How the sandbox is told of reports, and where it lists what it holds."""


@pytest.fixture
async def operator(client_for: NewClient) -> httpx.AsyncClient:
    return await client_for("operations")


async def compared(operator: httpx.AsyncClient, **asked: object) -> dict[str, Any]:
    answer = await operator.get("/v1/connectors/national/reconciliation", params=asked)  # type: ignore[arg-type]
    assert answer.status_code == 200, answer.text
    return shown(answer)


async def connect(gateway: Gateway, national: Upstream) -> None:
    await connect_upstream(gateway, national.url.removesuffix("/reports"), options=SANDBOX)


async def opened_again(gateway: Gateway) -> list[tuple[str, str]]:
    """What the log has, or will have, of deliveries that were opened again, by whoever asked."""
    async with driver(gateway.engine) as connection:
        rows = await connection.fetch("SELECT entry FROM log_pending UNION ALL SELECT entry FROM log_entries")
    found = [json.loads(row["entry"]) for row in rows]
    return [(each["what"], each["report"]) for each in found if each["what"] == "delivery-reopened" and each["by"]]


async def test_what_the_upstream_lost_is_found_by_id_and_hash_and_sent_again(
    operator: httpx.AsyncClient, gateway: Gateway
) -> None:
    async with upstream() as national, working(gateway):
        await connect(gateway, national)
        periods = [f"20{year}-Q1" for year in (91, 93, 95)]
        reports = [await receive(gateway, period=period) for period in periods]
        await end(gateway, reports[1], Status.withdrawn)
        await until_all(gateway.engine, "delivered")
        found = await compared(operator)
        assert (found["compared"], found["agreed"], found["not_sent"]) == (3, 3, 0)

        await national.client.delete("/received")
        seen = await compared(operator, heal=False)
        assert {each["what"] for each in seen["differences"]} == {"missing"}
        assert (seen["differing"], seen["healed"]) == (3, 0)
        assert set(await states(gateway.engine)) == {"delivered"}
        one = await compared(operator, form="TTHC_06A", period="2091-Q1")
        assert (one["compared"], one["healed"]) == (1, 1)
        assert await opened_again(gateway) == [("delivery-reopened", str(reports[0]))]
        assert (await compared(operator))["healed"] >= 2
        await until_all(gateway.engine, "delivered")
        assert (await compared(operator))["differing"] == 0
        assert {UUID(each["id"]) for each in await national.received()} == set(reports)


async def test_an_end_that_the_upstream_does_not_know_of_is_told_again(
    operator: httpx.AsyncClient, gateway: Gateway
) -> None:
    async with upstream() as national, working(gateway):
        await connect(gateway, national)
        report = await receive(gateway)
        await end(gateway, report, Status.withdrawn)
        await until_all(gateway.engine, "delivered")
        options = {**SANDBOX, "reconciliation": {**SANDBOX["reconciliation"], "ended": {"/event": ["never"]}}}
        await connect_upstream(gateway, national.url.removesuffix("/reports"), options=options)
        [difference] = (await compared(operator, heal=False))["differences"]
        assert (difference["what"], difference["here"]["status"]) == ("not_ended", "withdrawn")


async def test_other_bytes_under_the_same_id_are_left_to_a_person(
    operator: httpx.AsyncClient, gateway: Gateway
) -> None:
    async with upstream() as national, working(gateway):
        await connect(gateway, national)
        await receive(gateway)
        await until_all(gateway.engine, "delivered")
        # The hash of the body as it arrived is not the report's own.
        options = {**SANDBOX, "reconciliation": {**SANDBOX["reconciliation"], "sha256": "/sha256"}}
        await connect_upstream(gateway, national.url.removesuffix("/reports"), options=options)
        [difference] = (await compared(operator))["differences"]
        assert (difference["what"], difference["healed"]) == ("other_bytes", False)


async def test_an_upstream_whose_options_do_not_say_how_cannot_be_asked(
    operator: httpx.AsyncClient, gateway: Gateway
) -> None:
    await connect_upstream(gateway, "http://127.0.0.1:9/reports")
    refused(await operator.get("/v1/connectors/national/reconciliation"), 409, "state-conflict")
