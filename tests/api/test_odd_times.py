"""Times that are none in UTC, and names that no index or resolver takes: refused, and never a fault of ours."""

import base64
import json

import pytest

from gateway_under_test import NewClient, refused

NEVER = ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"]


@pytest.mark.parametrize("time", NEVER)
@pytest.mark.parametrize("name", ["made_from", "made_to", "ended_from", "ended_to"])
async def test_deliveries_of_a_time_that_is_none_are_not_asked_for(client_for: NewClient, name: str, time: str) -> None:
    client = await client_for("operations")
    problem = refused(await client.get("/v1/deliveries", params={name: time}), 400, "malformed-request")
    assert [each["pointer"] for each in problem["errors"]] == [name]


@pytest.mark.parametrize("time", NEVER[1:])
async def test_a_client_does_not_expire_at_a_time_that_is_none(client_for: NewClient, time: str) -> None:
    client = await client_for("clients:write", "reports:read")
    asked = {"name": "x", "scopes": ["reports:read"], "expires_at": time}
    problem = refused(await client.post("/v1/clients", json=asked), 400, "malformed-request")
    assert [each["pointer"] for each in problem["errors"]] == ["/expires_at"]


async def test_a_host_that_cannot_be_written_is_none(client_for: NewClient) -> None:
    client = await client_for("operations")
    document = {"kind": "http_json", "url": "https://xn--/"}
    refused(await client.put("/v1/connectors/odd", json=document), 400, "malformed-request")


async def test_a_signer_s_name_has_a_measure(client_for: NewClient) -> None:
    client = await client_for("clients:write")
    document = {"signers": [{"subject": "O=" + "ở" * 1500}]}
    refused(await client.put("/v1/agencies/H26.18/signers", json=document), 400, "malformed-request")


@pytest.mark.parametrize("algorithm", [[], {}])
async def test_an_algorithm_is_a_name(client_for: NewClient, algorithm: object) -> None:
    client = await client_for("reports:write")
    header = base64.urlsafe_b64encode(json.dumps({"alg": algorithm}).encode()).decode().rstrip("=")
    answer = await client.post("/v1/reports/validate", json={}, headers={"Report-Signature": f"{header}..AA"})
    refused(answer, 400, "malformed-request")
