"""The log over HTTP: open to whoever verifies it, its entries to operators of the whole country alone."""

import base64
import json
from typing import Any

import httpx
import pytest
from uuid_utils.compat import uuid7

from factories import a_codelist, a_report
from forwarding import connect_upstream
from gateway.api.deps import Gateway
from gateway.db.engine import driver
from gateway.domain.entry import commitment
from gateway.evidence.held import Receipt, require_same
from gateway.evidence.merkle import InvalidProof, verify_consistency
from gateway.evidence.note import Checkpoint, LogSigner, open_checkpoint
from gateway.evidence.proofs import read_hashes, read_proof
from gateway.evidence.sealer import Sealer
from gateway_under_test import NewClient, accepted, in_process, push, put

ALL = ("reports:write", "reports:read", "reports:review", "operations", "catalog:write", "clients:write")


async def seal(gateway: Gateway) -> None:
    async with driver(gateway.engine) as connection:
        await Sealer(gateway.engine, LogSigner(gateway.keys.log, gateway.settings.issuer)).seal(connection)


def opened(gateway: Gateway, text: str) -> Checkpoint:
    return open_checkpoint(text, LogSigner(gateway.keys.log, gateway.settings.issuer).verifiers)


async def recorded(gateway: Gateway) -> list[dict[str, Any]]:
    await seal(gateway)
    async with driver(gateway.engine) as connection:
        return [
            json.loads(row["entry"]) for row in await connection.fetch("SELECT entry FROM log_entries ORDER BY index")
        ]


async def test_a_report_is_proved_with_its_receipt_and_the_public_key(
    gateway: Gateway, country: httpx.AsyncClient
) -> None:
    head = await accepted(country, a_report())
    other = await accepted(country, a_report(period="2097-Q3"))
    await seal(gateway)
    answer = await country.get(f"/v1/reports/{head['id']}/proof")
    proof = read_proof(answer.json())
    signed = proof.verify(LogSigner(gateway.keys.log, gateway.settings.issuer).verifiers)
    require_same(receipt_of(head), proof, signed)
    with pytest.raises(InvalidProof):
        require_same(receipt_of(other), proof, signed)


def receipt_of(head: dict[str, Any]) -> Receipt:
    text = head["receipt"]
    return Receipt(json.loads(base64.urlsafe_b64decode(text.split(".")[1] + "==")), text)


async def test_a_proof_is_pending_until_it_is_sealed_and_then_there_for_good(
    gateway: Gateway, country: httpx.AsyncClient
) -> None:
    head = await accepted(country, a_report())
    answer = await country.get(f"/v1/reports/{head['id']}/proof")
    assert answer.status_code == 404
    assert answer.json()["type"].endswith("proof-pending")
    assert answer.headers["Retry-After"] == "1"
    await seal(gateway)
    answer = await country.get(f"/v1/reports/{head['id']}/proof")
    assert answer.status_code == 200
    assert answer.json()["entry"]["report"] == head["id"]
    answer = await country.get(f"/v1/reports/{uuid7()}/proof")
    assert answer.json()["type"].endswith("not-found")


async def test_a_report_that_is_older_than_the_log_has_no_proof(gateway: Gateway, country: httpx.AsyncClient) -> None:
    head = await accepted(country, a_report())
    async with driver(gateway.engine) as connection:
        await connection.execute("DELETE FROM log_pending")
    await seal(gateway)
    answer = await country.get(f"/v1/reports/{head['id']}/proof")
    assert answer.json()["type"].endswith("proof-pending")  # it may have been committed after the log began
    async with driver(gateway.engine) as connection:
        await connection.execute("UPDATE reports SET received_at = received_at - interval '11 seconds'")
    answer = await country.get(f"/v1/reports/{head['id']}/proof")
    assert answer.status_code == 404
    assert answer.json()["type"].endswith("not-found")


async def test_a_rejected_report_is_proved_as_well(gateway: Gateway, country: httpx.AsyncClient) -> None:
    answer = await push(country, a_report(rows=[]))
    assert answer.status_code == 422
    await seal(gateway)
    proof = await country.get(f"/v1/reports/{answer.json()['report']}/proof")
    assert proof.json()["entry"]["what"] == "rejected"


async def test_checkpoint_and_consistency_are_open_and_agree(gateway: Gateway, country: httpx.AsyncClient) -> None:
    async with in_process(gateway) as anybody:
        assert (await anybody.get("/v1/log/checkpoint")).status_code == 404
        await seal(gateway)
        held = [opened(gateway, (await anybody.get("/v1/log/checkpoint")).text)]
        for year in range(2090, 2096):
            await accepted(country, a_report(period=f"{year}-Q3"))
            await seal(gateway)
            held.append(opened(gateway, (await anybody.get("/v1/log/checkpoint")).text))
        assert [each.size for each in held] == list(range(7))
        for old in held:
            for new in held[old.size :]:
                answer = await anybody.get("/v1/log/consistency", params={"from": old.size, "to": new.size})
                verify_consistency(old.size, old.root, new.size, new.root, read_hashes(answer.json()["path"]))
        newest = (await anybody.get("/v1/log/consistency", params={"from": 3})).json()
        assert (newest["to"], opened(gateway, newest["checkpoint"]).size) == (6, 6)


@pytest.mark.parametrize(
    "asked", [{"from": "3", "to": "2"}, {"from": "0", "to": "99"}, {"from": "-1"}, {"from": "x"}, {}]
)
async def test_a_consistency_that_there_cannot_be_is_refused(gateway: Gateway, asked: dict[str, str]) -> None:
    await seal(gateway)
    async with in_process(gateway) as anybody:
        assert (await anybody.get("/v1/log/consistency", params=asked)).status_code == 400


async def test_entries_are_paged_with_the_checkpoints_between_them(gateway: Gateway, client_for: NewClient) -> None:
    client = await client_for(*ALL)
    for year in range(2090, 2095):
        await accepted(client, a_report(period=f"{year}-Q3"))
        await seal(gateway)
    page = (await client.get("/v1/log/entries", params={"limit": 2, "from": 1})).json()
    assert [each["index"] for each in page["items"]] == [1, 2]
    assert [opened(gateway, each["checkpoint"]).size for each in page["checkpoints"]] == [2, 3]
    assert page["next"] == 3
    lines = (await client.get("/v1/log/entries", headers={"Accept": "application/x-ndjson"})).text.splitlines()
    assert [json.loads(line).get("index", "checkpoint") for line in lines] == [
        "checkpoint",
        *(part for n in range(5) for part in (n, "checkpoint")),
    ]
    assert (await client.get("/v1/log/entries", params={"from": 5})).json()["items"] == []
    assert (await (await client_for(*ALL, agency="H26")).get("/v1/log/entries")).status_code == 403


async def test_every_change_of_state_is_recorded_with_who_did_it(gateway: Gateway, client_for: NewClient) -> None:
    client = await client_for(*ALL)
    await connect_upstream(gateway, "http://127.0.0.1:9/", "up")
    head = await accepted(client, a_report())
    correction = await accepted(client, a_report(corrects=head["id"], reason="bổ sung"))
    assert (await client.post(f"/v1/reports/{correction['id']}/return", json={"reason": "sai"})).status_code == 200
    assert (await client.post(f"/v1/reports/{correction['id']}/withdraw", json={"reason": "bỏ"})).status_code == 200
    assert (await client.post(f"/v1/reports/{correction['id']}/withdraw", json={"reason": "bỏ"})).status_code == 200
    for route in ("pause", "resume", "retry"):
        assert (await client.post(f"/v1/connectors/up/{route}")).status_code == 200
    delivery = (await client.get("/v1/deliveries")).json()["items"][0]["id"]
    for route in ("cancel", "cancel", "retry"):
        assert (await client.post(f"/v1/deliveries/{delivery}/{route}", json={"reason": "gọi điện"})).status_code == 200
    assert (await client.delete("/v1/connectors/up")).status_code == 204
    await put(client, "/codelists/TEST_LIST", a_codelist("A", id="TEST_LIST"))
    made = (await client.post("/v1/clients", json={"name": "Ông B", "scopes": ["reports:read"]})).json()
    for route in ("rotate", "revoke", "revoke"):
        assert (await client.post(f"/v1/clients/{made['id']}/{route}", content=b"{}", headers=JSON)).is_success
    signers = {"signers": [{"subject": "CN=Bà D,C=VN"}]}
    for _ in range(2):
        assert (await client.put("/v1/agencies/H26.18/signers", json=signers)).status_code == 200
    found = await recorded(gateway)
    assert [each["what"] for each in found] == [
        "connector-put",
        "accepted",
        "corrected",
        "returned",
        "withdrawn",
        "connector-paused",
        "connector-resumed",
        "connector-retried",
        "delivery-cancelled",
        "delivery-retried",
        *["cancelled"] * 4,  # each delivery that ends with its connector
        "connector-removed",
        "catalogue-changed",
        "client-made",
        "client-rotated",
        "client-revoked",
        "signers-set",
    ]
    assert len({each["by"] for each in found[1:]}) == 1
    everything = json.dumps(found, ensure_ascii=False)
    for personal in ("bổ sung", "sai", "bỏ", "gọi điện", "Ông B", "Bà D", made["client_secret"]):
        assert personal not in everything


JSON = {"Content-Type": "application/json"}


async def test_a_reason_can_be_shown_to_be_the_one_and_erased_with_every_proof_intact(
    gateway: Gateway, client_for: NewClient
) -> None:
    client = await client_for(*ALL)
    head = await accepted(client, a_report())
    await client.post(f"/v1/reports/{head['id']}/return", json={"reason": "gọi bà C"})
    returned = (await recorded(gateway))[1]
    async with driver(gateway.engine) as connection:
        row = await connection.fetchrow("SELECT commitment, salt, text FROM log_texts")
        assert commitment(row["salt"], "gọi bà C").hex() == returned["reason"] == row["commitment"].hex()
        await connection.execute("DELETE FROM log_texts")
    proof = read_proof((await client.get(f"/v1/reports/{head['id']}/proof")).json())
    proof.verify(LogSigner(gateway.keys.log, gateway.settings.issuer).verifiers)


async def test_what_was_not_stored_is_not_recorded(gateway: Gateway, country: httpx.AsyncClient) -> None:
    head = await accepted(country, a_report())
    assert (await push(country, a_report(corrects=str(uuid7()), reason="x"))).status_code == 409
    assert (await push(country, a_report())).json()["id"] == head["id"]
    assert [each["what"] for each in await recorded(gateway)] == ["accepted"]


async def test_the_public_keys_of_the_log_are_published_with_their_vkey(gateway: Gateway) -> None:
    async with in_process(gateway) as anybody:
        keys = (await anybody.get("/.well-known/jwks.json")).json()["keys"]
    [vkey] = [each["vkey"] for each in keys if "vkey" in each]
    assert vkey == LogSigner(gateway.keys.log, gateway.settings.issuer).verifiers[0].vkey
    assert all("d" not in each for each in keys)
