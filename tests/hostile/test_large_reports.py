"""A large report takes long to judge, and holds nobody else up meanwhile."""

import asyncio
import time

import httpx

from factories import a_breakdown, a_codelist, a_form, a_report, a_rule, body
from gateway.api.deps import Gateway
from gateway_under_test import RunningServer, add_account, bearer, load


async def test_while_a_large_report_is_judged_others_are_served(server: RunningServer, gateway: Gateway) -> None:
    codes = [f"S{number}" for number in range(6_000)]
    rules = [a_rule(id=f"R{number}", check="amount" + " - amount" * 40 + " < 1") for number in range(5)]
    form = a_form(breakdowns=[a_breakdown(codelist="MANY")], rules=rules)
    await load(gateway.engine, ("codelist", a_codelist(*codes, id="MANY")), ("form", form))
    account = await add_account(gateway.engine, ["reports:write"], None)
    headers = bearer(gateway.tokens, account.id, ["reports:write"], None) | {"Content-Type": "application/json"}
    large = body(a_report(form="TEST_01", rows=[{"sector": code, "amount": 7} for code in codes]))
    async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=60) as client:
        judged = asyncio.create_task(client.post("/v1/reports/validate", content=large))
        waits, began = [], time.monotonic()
        while not judged.done():
            asked = time.monotonic()
            assert (await client.get("/healthz")).status_code == 200
            waits.append(time.monotonic() - asked)
            await asyncio.sleep(0.005)
        took = time.monotonic() - began
    answer = await judged
    assert (answer.status_code, answer.json()["accepted"]) == (200, True), answer.text[:300]
    assert max(waits) < max(0.25, took / 2), f"{max(waits):.2f} s of {took:.2f} s"
