"""A large report takes long to judge, and holds nobody else up meanwhile."""

import asyncio
import time

import httpx

from factories import a_report, a_row, body
from gateway.api.deps import Gateway
from gateway_under_test import RunningServer, add_account, bearer


async def test_while_a_large_report_is_judged_others_are_served(server: RunningServer, gateway: Gateway) -> None:
    account = await add_account(gateway.engine, ["reports:write"], None)
    headers = bearer(gateway.tokens, account.id, ["reports:write"], None) | {"Content-Type": "application/json"}
    wrong = [a_row(sector=f"S{number}", received_total=number) for number in range(10_000)]
    large = body(a_report(rows=wrong))
    async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=60) as client:
        judged = asyncio.create_task(client.post("/v1/reports/validate", content=large))
        waits, began = [], time.monotonic()
        while not judged.done():
            asked = time.monotonic()
            assert (await client.get("/healthz")).status_code == 200
            waits.append(time.monotonic() - asked)
            await asyncio.sleep(0.005)
        took = time.monotonic() - began
    assert (await judged).status_code == 200
    assert max(waits) < max(0.25, took / 2), f"{max(waits):.2f} s of {took:.2f} s"
