"""Clients are made, seen, given new credentials and ended over the API; what ended opens nothing within seconds."""

import asyncio
import base64
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from joserfc.jwk import ECKey, OKPKey, RSAKey
from sqlalchemy.ext.asyncio import AsyncEngine
from uuid_utils.compat import uuid7

from gateway.access.standing import Standing
from gateway.api.deps import Gateway
from gateway.app import build_gateway
from gateway.db.engine import open_engine
from gateway_under_test import (
    NewClient,
    add_account,
    bearer,
    connected,
    every_item,
    in_process,
    refused,
    shown,
)

TOKEN = {"grant_type": "client_credentials"}
NEW = {"name": "Hệ thống của tỉnh", "agency": "H26", "scopes": ["reports:read"]}


@pytest.fixture
async def registrar(client_for: NewClient) -> httpx.AsyncClient:
    """Manages clients of the whole country."""
    return await client_for("clients:write")


@pytest.fixture
async def provincial(client_for: NewClient) -> httpx.AsyncClient:
    """Manages clients of Ha Noi that may read."""
    return await client_for("clients:write", "reports:read", agency="H26")


async def made(client: httpx.AsyncClient, **changes: Any) -> dict[str, Any]:
    answer = await client.post("/v1/clients", json=NEW | changes)
    assert answer.status_code == 201, answer.text
    return shown(answer)


async def granted(client: httpx.AsyncClient, identity: str, secret: str) -> httpx.Response:
    return await client.post("/oauth/token", data=TOKEN, auth=(identity, secret))


async def token_of(client: httpx.AsyncClient, identity: str, secret: str) -> dict[str, str]:
    answer = await granted(client, identity, secret)
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {shown(answer)['access_token']}"}


async def rotated(client: httpx.AsyncClient, identity: str, **asked: Any) -> dict[str, Any]:
    answer = await client.post(f"/v1/clients/{identity}/rotate", json=asked)
    assert answer.status_code == 200, answer.text
    return shown(answer)


async def test_a_client_is_made_and_its_secret_shown_this_once(registrar: httpx.AsyncClient) -> None:
    new = await made(registrar)
    assert len(base64.urlsafe_b64decode(new["client_secret"] + "=")) == 32
    headers = await token_of(registrar, new["id"], new["client_secret"])
    assert (await registrar.get("/v1/reports", headers=headers)).status_code == 200
    [kept] = [each for each in await every_item(registrar, "/clients") if each["id"] == new["id"]]
    assert kept == {name: value for name, value in new.items() if name != "client_secret"} | {
        "last_used_at": kept["last_used_at"],
        "credentials": kept["credentials"],
    }
    assert (kept["agency"], kept["scopes"]) == ("H26", ["reports:read"])
    assert new["client_secret"] not in str(kept)


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"scopes": []}, "/scopes"),
        ({"scopes": ["everything"]}, "/scopes/0"),
        ({"name": ""}, "/name"),
        ({"secret": "mine"}, "/secret"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "/expires_at"),
        ({"expires_at": "2099-01-01"}, "/expires_at"),
        ({"jwks": {"keys": []}, "jwks_uri": "https://keys.example/"}, ""),
        ({"jwks": {"keys": []}}, "/jwks/keys"),
        ({"jwks": {"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}}, "/jwks/keys/0"),
        ({"jwks": {"keys": [OKPKey.generate_key("Ed25519").as_dict(private=True)]}}, "/jwks/keys/0"),
        ({"jwks": {"keys": [OKPKey.generate_key("X25519").as_dict(private=False)]}}, "/jwks/keys/0"),
        ({"jwks": {"keys": [ECKey.generate_key("P-384").as_dict(private=False)]}}, "/jwks/keys/0"),
        ({"jwks": {"keys": [RSAKey.generate_key(2048).as_dict(private=False)]}}, "/jwks/keys/0"),
        ({"jwks": {"keys": [{"kty": "RSA", "n": "zz" * 85, "e": "AQAB", "alg": "PS256"}]}}, "/jwks/keys/0"),
        ({"jwks": {"keys": [ECKey.generate_key("P-256").as_dict(private=False) | {"alg": "HS256"}]}}, "/jwks/keys/0"),
        ({"jwks": {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "eA"}]}}, "/jwks/keys/0"),
    ],
)
async def test_what_cannot_be_a_client_is_refused_and_its_place_named(
    registrar: httpx.AsyncClient, changes: dict[str, Any], pointer: str
) -> None:
    answer = await registrar.post("/v1/clients", json=NEW | changes)
    problem = refused(answer, 400, "malformed-request")
    assert [each["pointer"] for each in problem["errors"]] == [pointer]
    private = changes.get("jwks", {}).get("keys", [{}])[:1]
    assert not any(str(key.get("d", "nothing private")) in answer.text for key in private)
    assert len(await every_item(registrar, "/clients")) == 1


async def test_keys_are_kept_each_with_its_one_algorithm(registrar: httpx.AsyncClient) -> None:
    keys = [
        OKPKey.generate_key("Ed25519").as_dict(private=False) | {"kid": "one", "alg": "EdDSA"},
        ECKey.generate_key("P-256").as_dict(private=False) | {"kid": "two"},
        RSAKey.generate_key(2048).as_dict(private=False) | {"kid": "three", "alg": "PS256"},
    ]
    new = await made(registrar, jwks={"keys": keys})
    assert new["client_secret"] is None
    [credential] = new["credentials"]
    assert credential["kind"] == "jwks"
    assert credential["keys"] == [
        {"kid": "one", "alg": "Ed25519"},
        {"kid": "two", "alg": "ES256"},
        {"kid": "three", "alg": "PS256"},
    ]


async def test_a_client_of_a_subtree_makes_clients_within_it_with_scopes_it_holds(
    provincial: httpx.AsyncClient,
) -> None:
    await made(provincial, agency="H26.18")
    for changes in ({"agency": "H29"}, {"agency": None}, {"scopes": ["reports:read", "operations"]}):
        refused(await provincial.post("/v1/clients", json=NEW | changes), 403, "forbidden")
    refused(await provincial.post("/v1/clients", json=NEW | {"agency": "Z99"}), 403, "forbidden")


async def test_clients_of_others_are_not_found(provincial: httpx.AsyncClient, registrar: httpx.AsyncClient) -> None:
    own = await made(provincial)
    foreign = [await made(registrar, agency=agency) for agency in ("H29", None)]
    ids = {each["id"] for each in await every_item(provincial, "/clients", limit=1)}
    assert own["id"] in ids
    assert ids.isdisjoint(each["id"] for each in foreign)
    refused(await provincial.get("/v1/clients", params={"under": "H29"}), 403, "forbidden")
    for each in [*(each["id"] for each in foreign), str(uuid7())]:
        for action in ("rotate", "revoke"):
            refused(await provincial.post(f"/v1/clients/{each}/{action}", json={}), 404, "not-found")
    assert (await granted(registrar, foreign[0]["id"], foreign[0]["client_secret"])).status_code == 200


async def test_nobody_takes_over_a_client_that_may_do_more(
    provincial: httpx.AsyncClient, registrar: httpx.AsyncClient
) -> None:
    """New credentials would let it act with scopes that it has not; ending it lets nobody do anything."""
    mightier = await made(registrar, scopes=["reports:read", "reports:write"])
    answer = await provincial.post(f"/v1/clients/{mightier['id']}/rotate", json={})
    assert refused(answer, 403, "forbidden")["scope"] == "reports:write"
    assert (await provincial.post(f"/v1/clients/{mightier['id']}/revoke")).status_code == 200


async def test_a_rotated_secret_and_the_one_before_are_good_together(registrar: httpx.AsyncClient) -> None:
    new = await made(registrar)
    second = await rotated(registrar, new["id"])
    for secret in (new["client_secret"], second["client_secret"]):
        assert (await granted(registrar, new["id"], secret)).status_code == 200
    old, fresh = second["credentials"]
    assert fresh["expires_at"] is None
    remaining = datetime.fromisoformat(old["expires_at"]) - datetime.now(UTC)
    assert timedelta(hours=23) < remaining <= timedelta(hours=24)


async def test_a_third_secret_ends_the_first(registrar: httpx.AsyncClient) -> None:
    new = await made(registrar)
    second = (await rotated(registrar, new["id"]))["client_secret"]
    third = (await rotated(registrar, new["id"]))["client_secret"]
    answers = [
        (await granted(registrar, new["id"], secret)).status_code for secret in (new["client_secret"], second, third)
    ]
    assert answers == [401, 200, 200]


async def test_rotations_at_once_leave_two_good(registrar: httpx.AsyncClient) -> None:
    new = await made(registrar)
    secrets = [
        each["client_secret"] for each in await asyncio.gather(*(rotated(registrar, new["id"]) for _ in range(6)))
    ]
    answers = [(await granted(registrar, new["id"], secret)).status_code for secret in [new["client_secret"], *secrets]]
    assert sorted(answers) == [200, 200, 401, 401, 401, 401, 401]


@pytest.mark.parametrize("overlap", [-1, 30 * 86_400 + 1, 1.5, "86400"])
async def test_an_overlap_is_at_most_thirty_days(registrar: httpx.AsyncClient, overlap: object) -> None:
    new = await made(registrar)
    answer = await registrar.post(f"/v1/clients/{new['id']}/rotate", json={"overlap_seconds": overlap})
    problem = refused(answer, 400, "malformed-request")
    assert [each["pointer"] for each in problem["errors"]] == ["/overlap_seconds"]


async def test_keys_are_replaced_by_keys_and_a_secret_by_either(registrar: httpx.AsyncClient) -> None:
    key = OKPKey.generate_key("Ed25519").as_dict(private=False)
    new = await made(registrar)
    assert (await rotated(registrar, new["id"], jwks={"keys": [key]}))["client_secret"] is None
    answer = await registrar.post(f"/v1/clients/{new['id']}/rotate", json={})
    assert refused(answer, 400, "malformed-request")["errors"][0]["pointer"] == "/jwks"
    changed = await rotated(registrar, new["id"], jwks_uri="https://keys.example/jwks.json")
    assert [each["kind"] for each in changed["credentials"]] == ["secret", "jwks", "jwks_uri"]


async def test_a_revoked_client_is_not_given_new_credentials(registrar: httpx.AsyncClient) -> None:
    new = await made(registrar)
    first = shown(await registrar.post(f"/v1/clients/{new['id']}/revoke"))
    assert first["revoked_at"] is not None
    again = shown(await registrar.post(f"/v1/clients/{new['id']}/revoke"))
    assert again["revoked_at"] == first["revoked_at"]
    problem = refused(await registrar.post(f"/v1/clients/{new['id']}/rotate", json={}), 409, "state-conflict")
    assert problem["state"] == "revoked"


async def until_refused(client: httpx.AsyncClient, headers: dict[str, str]) -> float:
    """Seconds until a token opens nothing any more, asking all the time."""
    began = time.monotonic()
    while time.monotonic() - began < 8:
        answer = await client.get("/v1/reports", headers=headers)
        if answer.status_code == 401:
            return time.monotonic() - began
        assert answer.status_code == 200
        await asyncio.sleep(0.05)
    raise TimeoutError("the token is still good")


async def end(registrar: httpx.AsyncClient, identity: str, how: str) -> None:
    if how == "revoked":
        assert (await registrar.post(f"/v1/clients/{identity}/revoke")).status_code == 200
    else:
        await rotated(registrar, identity, overlap_seconds=0)


@pytest.mark.parametrize("how", ["revoked", "rotated without an overlap"])
async def test_tokens_that_are_out_open_nothing_within_five_seconds_in_any_process(
    registrar: httpx.AsyncClient, gateway: Gateway, how: str
) -> None:
    new = await made(registrar)
    headers = await token_of(registrar, new["id"], new["client_secret"])
    other = build_gateway(gateway.settings, gateway.engine)
    async with in_process(other) as elsewhere:
        for client in (registrar, elsewhere):
            assert (await client.get("/v1/reports", headers=headers)).status_code == 200
        await end(registrar, new["id"], how)
        seconds = await asyncio.gather(until_refused(registrar, headers), until_refused(elsewhere, headers))
    assert max(seconds) < 5


async def test_a_process_that_never_looked_would_let_them_in(registrar: httpx.AsyncClient, gateway: Gateway) -> None:
    """The control of the test before."""
    new = await made(registrar)
    headers = await token_of(registrar, new["id"], new["client_secret"])
    assert (await registrar.get("/v1/reports", headers=headers)).status_code == 200
    await end(registrar, new["id"], "revoked")
    blind = build_gateway(gateway.settings, gateway.engine)
    blind.standing._read_at = time.monotonic() + 60
    async with in_process(blind) as elsewhere:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await until_refused(elsewhere, headers)


async def test_a_credential_that_runs_out_takes_its_tokens_along(
    registrar: httpx.AsyncClient, gateway: Gateway
) -> None:
    expires = datetime.now(UTC) + timedelta(seconds=1)
    new = await made(registrar, expires_at=expires.isoformat())
    headers = await token_of(registrar, new["id"], new["client_secret"])
    assert await until_refused(registrar, headers) < 6
    assert (await granted(registrar, new["id"], new["client_secret"])).status_code == 401


async def test_nobody_is_let_in_while_the_database_does_not_say_who_was_revoked(
    gateway: Gateway, engine: AsyncEngine
) -> None:
    silent = build_gateway(gateway.settings, open_engine(gateway.settings, "postgresql+asyncpg://127.0.0.1:1/none"))
    account = await add_account(engine, ("reports:read",), None)
    async with in_process(silent, headers=bearer(silent.tokens, account.id, ("reports:read",), None)) as client:
        answer = await client.get("/v1/forms")
        assert "retry-after" in answer.headers
        refused(answer, 503, "unavailable")


async def test_one_look_serves_all_requests_of_a_while(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0
    standing = Standing(gateway.engine)
    read = standing._read

    async def counted() -> None:
        nonlocal looks
        looks += 1
        await read()

    monkeypatch.setattr(Standing, "_read", lambda _: counted())
    caller = gateway.tokens.verify(
        bearer(gateway.tokens, uuid7(), ("reports:read",), None)["Authorization"].removeprefix("Bearer ")
    )
    await asyncio.gather(*(standing.require(caller) for _ in range(200)))
    assert looks == 1


async def test_last_use_is_written_aside_and_once_a_minute(
    registrar: httpx.AsyncClient, gateway: Gateway, engine: AsyncEngine
) -> None:
    new = await made(registrar)
    uses = gateway.uses
    uses._written_at = float("-inf")
    if uses._writing is not None:
        uses._writing.cancel()
    headers = await token_of(registrar, new["id"], new["client_secret"])
    first = await until_used(registrar, new["id"])
    assert first["credentials"][0]["last_address"] == "127.0.0.1"
    assert (await registrar.get("/v1/reports", headers=headers)).status_code == 200
    assert (await until_used(registrar, new["id"]))["last_used_at"] == first["last_used_at"]
    await uses.flush()
    assert (await until_used(registrar, new["id"]))["last_used_at"] > first["last_used_at"]


async def until_used(client: httpx.AsyncClient, identity: str) -> dict[str, Any]:
    for _ in range(200):
        [found] = [each for each in await every_item(client, "/clients") if each["id"] == identity]
        if found["last_used_at"] is not None:
            return found
        await asyncio.sleep(0.02)
    raise TimeoutError("the use was not written")


async def test_a_client_made_by_the_version_before_is_given_a_credential_by_rotating_it(
    registrar: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    identity = uuid7()
    async with connected(engine) as connection:
        await connection.execute(
            "INSERT INTO clients (id, name, scopes, secret_sha256) VALUES ($1, 'x', '{reports:read}', $2)",
            identity,
            b"x" * 32,
        )
    secret = (await rotated(registrar, str(identity)))["client_secret"]
    assert (await granted(registrar, str(identity), secret)).status_code == 200


async def test_whoever_waits_for_a_connection_is_not_refused_for_not_knowing_who_was_revoked(
    gateway: Gateway, engine: AsyncEngine, database_url: str
) -> None:
    settings = gateway.settings.model_copy(update={"database_pool": 1})
    own = build_gateway(settings, open_engine(settings, database_url))
    own.standing._read_at = time.monotonic() - 60
    account = await add_account(engine, ("reports:read",), None)
    async with in_process(own, headers=bearer(own.tokens, account.id, ("reports:read",), None)) as client:
        async with own.engine.connect():
            asking = asyncio.create_task(client.get("/v1/forms"))
            await asyncio.sleep(3.5)
            assert not asking.done()
        assert (await asking).status_code == 200
    await own.uses.flush()
    await own.engine.dispose()
