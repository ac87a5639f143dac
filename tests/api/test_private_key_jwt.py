"""Clients that prove who they are by keys of their own: what is taken, once; and key sets that they keep themselves."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from sqlalchemy.ext.asyncio import AsyncEngine
from uuid_utils.compat import uuid7

from gateway.access import fetched_keys
from gateway.access.assertions import ASSERTION_TYPE
from gateway.access.fetched_keys import FetchedKeys
from gateway.access.key_sets import Key
from gateway.api.deps import Gateway
from gateway.api.identify import MOST_OF_CLIENT
from gateway.app import build_gateway
from gateway.connectors.fetch import FetchFailed, fetch_document
from gateway_under_test import NewClient, add_account, bearer, connected, in_process, shown

ISSUER = "http://127.0.0.1:8000"
KEYS: dict[str, Key] = {
    "Ed25519": OKPKey.generate_key("Ed25519"),
    "ES256": ECKey.generate_key("P-256"),
    "PS256": RSAKey.generate_key(2048),
    "RS256": RSAKey.generate_key(2048),
}


def public(algorithm: str, key: Key | None = None, kid: str | None = None) -> dict[str, Any]:
    return (key or KEYS[algorithm]).as_dict(private=False) | {"kid": kid or algorithm, "alg": algorithm}


@pytest.fixture
async def registrar(client_for: NewClient) -> httpx.AsyncClient:
    return await client_for("clients:write")


@pytest.fixture
async def client(registrar: httpx.AsyncClient) -> str:
    """The id of a client with one key of each kind."""
    return await registered(registrar, jwks={"keys": [public(each) for each in KEYS]})


async def registered(registrar: httpx.AsyncClient, **how: Any) -> str:
    answer = await registrar.post("/v1/clients", json={"name": "keyed", "scopes": ["reports:read"], **how})
    assert answer.status_code == 201, answer.text
    return str(shown(answer)["id"])


def assertion(client: str, algorithm: str = "Ed25519", key: Any = None, **changes: Any) -> str:
    """What a client signs; ``header`` and claims are changed by what is named, and left out by None.

    Times are given in seconds from now.
    """
    now = int(time.time())
    header = {"alg": algorithm, "kid": algorithm, **changes.pop("header", {})}
    claims = {"iss": client, "sub": client, "aud": ISSUER, "iat": now, "exp": now + 60, "jti": str(uuid7()), **changes}
    times = {
        name: now + value for name, value in changes.items() if type(value) is int and name in {"exp", "nbf", "iat"}
    }
    kept = {name: value for name, value in (claims | times).items() if value is not None}
    whole = {name: value for name, value in header.items() if value is not None}
    return jwt.encode(whole, kept, key or KEYS[algorithm], algorithms=[whole["alg"]])


async def ask(client: httpx.AsyncClient, text: str, **form: str) -> httpx.Response:
    data = {"grant_type": "client_credentials", "client_assertion_type": ASSERTION_TYPE, "client_assertion": text}
    headers = {name: value for name, value in client.headers.items() if name != "authorization"}
    request = client.build_request("POST", "/oauth/token", data=data | form, headers=headers)
    del request.headers["authorization"]
    return await client.send(request)


@pytest.mark.parametrize("algorithm", KEYS)
async def test_what_a_key_signed_is_exchanged_for_a_token(
    registrar: httpx.AsyncClient, client: str, algorithm: str
) -> None:
    answer = await ask(registrar, assertion(client, algorithm), client_id=client)
    assert answer.status_code == 200, answer.text
    headers = {"Authorization": f"Bearer {shown(answer)['access_token']}"}
    assert (await registrar.get("/v1/reports", headers=headers)).status_code == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": f"{ISSUER}/oauth/token"},
        {"aud": ["https://elsewhere.example", ISSUER]},
        {"exp": -30},
        {"iat": None},
        {"header": {"typ": "JWT"}},
    ],
    ids=str,
)
async def test_what_the_standard_lets_an_assertion_be_is_taken(
    registrar: httpx.AsyncClient, client: str, changes: dict[str, Any]
) -> None:
    assert (await ask(registrar, assertion(client, **changes))).status_code == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": -120},
        {"exp": 3600},
        {"exp": None},
        {"exp": "soon"},
        {"exp": True},
        {"nbf": 600},
        {"iat": 600},
        {"aud": "https://elsewhere.example"},
        {"aud": [["x"]]},
        {"aud": None},
        {"iss": str(uuid7())},
        {"iss": None},
        {"jti": None},
        {"jti": ""},
        {"jti": "x" * 201},
        {"jti": 7},
        {"header": {"kid": "another"}},
        {"header": {"kid": None}},
        {"key": OKPKey.generate_key("Ed25519")},
        {"algorithm": "RS256", "header": {"kid": "PS256"}, "key": KEYS["PS256"]},
        {"algorithm": "PS256", "header": {"kid": "RS256"}, "key": KEYS["RS256"]},
    ],
)
async def test_an_assertion_that_is_out_of_time_or_for_others_or_of_another_algorithm_is_refused(
    registrar: httpx.AsyncClient, client: str, changes: dict[str, Any]
) -> None:
    answer = await ask(registrar, assertion(client, **changes))
    assert (answer.status_code, shown(answer)["error"]) == (401, "invalid_client"), answer.text


async def test_the_public_key_is_no_secret_to_sign_with(registrar: httpx.AsyncClient, client: str) -> None:
    for shared in (json.dumps(public("ES256")), str(public("Ed25519")["x"])):
        text = assertion(client, "HS256", OctKey.import_key(shared), header={"kid": "ES256"})
        assert (await ask(registrar, text)).status_code == 401


async def test_what_is_no_assertion_is_refused(registrar: httpx.AsyncClient, client: str) -> None:
    good = assertion(client)
    header, claims, _ = good.split(".")
    for text in ("", ".", "..", "a.b.c", f"{header}.{claims}.", f"{header}.{claims}", f"{good}.x", "é.é.é"):
        assert (await ask(registrar, text)).status_code == 401, text
    other = {"client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"}
    assert (await ask(registrar, good, **other)).status_code == 401
    assert (await ask(registrar, good, client_id=str(uuid7()))).status_code == 401
    assert (await ask(registrar, good)).status_code == 200


async def test_one_way_to_authenticate_is_enough(registrar: httpx.AsyncClient, client: str) -> None:
    data = {"grant_type": "client_credentials", "client_assertion_type": ASSERTION_TYPE}
    answer = await registrar.post(
        "/oauth/token", data=data | {"client_assertion": assertion(client)}, auth=(client, "secret")
    )
    assert (answer.status_code, shown(answer)["error"]) == (400, "invalid_request")


async def test_an_assertion_is_good_once_in_all_processes_at_once(
    registrar: httpx.AsyncClient, client: str, gateway: Gateway, engine: AsyncEngine
) -> None:
    text = assertion(client)
    async with in_process(build_gateway(gateway.settings, engine), headers={"Authorization": "x"}) as elsewhere:
        answers = await asyncio.gather(*(ask(each, text) for each in [registrar, elsewhere] * 5))
    # More would be too many failures (429), where some of them begin after others have ended.
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * (MOST_OF_CLIENT - 1)


async def test_spent_assertions_are_forgotten_once_they_would_not_be_taken_anyhow(
    registrar: httpx.AsyncClient, client: str, engine: AsyncEngine
) -> None:
    async with connected(engine) as connection:
        await connection.execute(
            "INSERT INTO spent_assertions SELECT $1, n::text, now() - n * interval '1 s' FROM generate_series(1, 15) n",
            client,
        )
        for _ in range(2):
            assert (await ask(registrar, assertion(client))).status_code == 200
        assert await connection.fetchval("SELECT count(*) FROM spent_assertions WHERE until < now()") == 0
        assert await connection.fetchval("SELECT count(*) FROM spent_assertions") == 2


async def test_of_a_client_with_one_key_an_assertion_need_not_name_it(registrar: httpx.AsyncClient) -> None:
    client = await registered(registrar, jwks={"keys": [public("ES256")]})
    assert (await ask(registrar, assertion(client, "ES256", header={"kid": None}))).status_code == 200


@dataclass(slots=True)
class KeyServer:
    """A client's own server of its keys: what it answers, and how often it was asked."""

    url: str = ""
    keys: list[dict[str, Any]] = field(default_factory=list)
    status: int = 200
    body: bytes | None = None
    asked: int = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.asked += 1
        body = self.body if self.body is not None else json.dumps({"keys": self.keys}).encode()
        head = f"HTTP/1.1 {self.status} x\r\nLocation: {self.url}\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()


@asynccontextmanager
async def key_server(*keys: dict[str, Any]) -> AsyncIterator[KeyServer]:
    made = KeyServer(keys=list(keys))
    server = await asyncio.start_server(made.answer, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/jwks.json"
    async with server:
        yield made


@dataclass(frozen=True, slots=True)
class Keeping:
    """A client that keeps its keys on this machine, at a gateway that allows it; at first it has one, of ES256."""

    id: str
    server: KeyServer
    http: httpx.AsyncClient

    async def ask(self, algorithm: str = "ES256", **changes: Any) -> int:
        """What it is answered, asking for a token by a key."""
        return (await ask(self.http, assertion(self.id, algorithm, **changes))).status_code


@pytest.fixture
async def keeping(gateway: Gateway) -> AsyncIterator[Keeping]:
    settings = gateway.settings.model_copy(update={"jwks_allow_private_addresses": True})
    own = replace(build_gateway(settings, gateway.engine), tokens=gateway.tokens)
    account = await add_account(gateway.engine, ["clients:write"], None)
    headers = bearer(own.tokens, account.id, ["clients:write"], None)
    async with in_process(own, headers=headers) as http, key_server(public("ES256")) as server:
        yield Keeping(await registered(http, jwks_uri=server.url), server, http)


def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    now = fetched_keys._now
    monkeypatch.setattr(fetched_keys, "_now", lambda: now() + seconds)


async def test_a_key_set_is_fetched_once_and_remembered(keeping: Keeping) -> None:
    keeping.server.keys += [{"kty": "oct", "k": "eA"}, public("Ed25519")]
    assert [await keeping.ask(each) for each in ("ES256", "Ed25519", "ES256")] == [200, 200, 200]
    assert keeping.server.asked == 1


async def test_a_new_key_is_found_by_asking_again_at_most_once_a_minute(
    keeping: Keeping, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unknown() -> set[int]:
        asked = (keeping.ask("Ed25519", header={"kid": f"made up {number}"}) for number in range(4))
        return set(await asyncio.gather(*asked))

    assert await keeping.ask() == 200
    keeping.server.keys.append(public("Ed25519"))
    assert await unknown() == {401}
    assert keeping.server.asked == 1
    later(monkeypatch, fetched_keys.AGAIN_SECONDS)
    assert await unknown() == {401}
    assert keeping.server.asked == 2
    assert await keeping.ask("Ed25519") == 200
    assert keeping.server.asked == 2


async def test_a_key_that_was_taken_out_is_good_for_five_minutes_more(
    keeping: Keeping, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await keeping.ask() == 200
    keeping.server.keys.clear()
    later(monkeypatch, fetched_keys.FRESH_SECONDS)
    assert await keeping.ask() == 401


async def test_known_keys_go_on_for_a_day_while_their_address_is_down(
    keeping: Keeping, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await keeping.ask() == 200
    keeping.server.status = 503
    later(monkeypatch, fetched_keys.LONGEST_SECONDS - 60)
    assert await keeping.ask() == 200
    later(monkeypatch, 61)
    assert await keeping.ask() == 401


@pytest.mark.parametrize(
    ("status", "body"),
    [(302, None), (404, None), (200, b"{}"), (200, b"[]"), (200, b"not JSON"), (200, b" " * 70_000)],
    ids=["elsewhere", "nothing", "no keys", "a list", "no JSON", "too large"],
)
async def test_what_is_no_key_set_opens_nothing(keeping: Keeping, status: int, body: bytes | None) -> None:
    keeping.server.status, keeping.server.body = status, body
    assert await keeping.ask() == 401
    assert keeping.server.asked == 1


async def test_nothing_is_fetched_from_this_network_unless_it_is_allowed(registrar: httpx.AsyncClient) -> None:
    for url in ("http://127.0.0.1/x", "http://keys.example/x", "https://u:p@keys.example/", "file:///etc/passwd", "x"):
        answer = await registrar.post("/v1/clients", json={"name": "x", "scopes": ["reports:read"], "jwks_uri": url})
        assert (answer.status_code, shown(answer)["errors"][0]["pointer"]) == (400, "/jwks_uri"), url
    async with key_server(public("ES256")) as server:
        with pytest.raises(FetchFailed, match="may not connect to"):
            await fetch_document(server.url.replace("http:", "https:"), allow_private=False)
        assert server.asked == 0


async def test_sets_are_remembered_up_to_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fetch(uri: str) -> bytes:
        asked.append(uri)
        return json.dumps({"keys": [public("ES256")]}).encode()

    asked: list[str] = []
    monkeypatch.setattr(fetched_keys, "_MOST_SETS", 3)
    sets = FetchedKeys(fetch)
    for uri in ("a", "b", "c", "a", "d"):
        assert await sets.find(uri, "ES256") is not None
    assert len(sets._sets) == 3
    assert await sets.find("a", "ES256") is not None
    assert asked == ["a", "b", "c", "d"]
