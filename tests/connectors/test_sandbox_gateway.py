"""The sandbox as a gateway above: what it takes, what it gives receipts for, and what it tells."""

import pytest

from forwarding import connect_upstream, deliveries, end, receive_revisions, until_all, upstream, working
from gateway.api.deps import Gateway
from gateway.connectors.http_json import content_digest
from gateway.domain.report import Status


async def test_it_is_a_gateway_above_as_well(gateway: Gateway) -> None:
    """A connector of kind `gateway` gets receipts that hold, repeats are known, and what is held can be asked for."""
    async with upstream() as system, working(gateway):
        url = system.url.removesuffix("/reports")
        number = await connect_upstream(
            gateway, url, kind="gateway", credentials={"client_id": "any", "client_secret": "one"}
        )
        first, second = await receive_revisions(gateway, 2)
        await until_all(gateway.engine, "delivered")
        await end(gateway, second, Status.withdrawn)
        await until_all(gateway.engine, "delivered")
        received = await system.received()
        held = (await system.client.get("/v1/reports")).json()["items"]
    assert [(each["id"], each["event"], each["count"]) for each in received] == [
        (str(first), "accepted", 1),
        (str(second), "accepted", 1),
        (str(second), "withdrawn", 1),
    ]
    assert [(each["id"], each["status"]) for each in held] == [(str(second), "withdrawn"), (str(first), "accepted")]
    kept = await deliveries(gateway.engine)
    assert [each["receipt"] is not None for each in kept] == [True, True, False]
    assert {each["connector_id"] for each in kept} == {number}


@pytest.mark.parametrize("wrong", ["Report-Id", "Report-Received-At", "Report-Receipt"])
async def test_a_relayed_report_is_checked_against_its_first_receipt(wrong: str) -> None:
    async with upstream() as system:
        body, headers = b"{}", {"Content-Digest": content_digest(b"{}")}
        headers |= {"Report-Id": "x", "Report-Received-At": "y", "Report-Receipt": "a.e30.b"} | {wrong: "z"}
        answer = await system.client.post("/v1/reports", content=body, headers=headers)
        assert answer.status_code == 403
        assert await system.received() == []
