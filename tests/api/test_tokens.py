"""Tokens: a client's secret buys a short-lived one, and nothing else opens a door."""

import base64
import hashlib
import time
from typing import Any
from uuid import UUID

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, OKPKey
from sqlalchemy.ext.asyncio import AsyncEngine
from uuid_utils.compat import uuid7

from gateway.api.deps import Gateway
from gateway.app import build_gateway
from gateway.errors import Unauthenticated
from gateway_under_test import Account, NewClient, add_account, connected, in_process, refused, shown

HELD = ("reports:read", "reports:write")


@pytest.fixture
async def account(engine: AsyncEngine) -> Account:
    return await add_account(engine, HELD, "H26")


@pytest.fixture
async def anybody(client_for: NewClient) -> httpx.AsyncClient:
    """A client without a token."""
    client = await client_for()
    del client.headers["Authorization"]
    return client


async def ask(client: httpx.AsyncClient, account: Account, secret: str | None = None, **form: str) -> httpx.Response:
    credentials = (str(account.id), account.secret if secret is None else secret)
    return await client.post("/oauth/token", data={"grant_type": "client_credentials", **form}, auth=credentials)


def oauth_error(answer: httpx.Response, status: int = 400) -> str:
    """The error code (RFC 6749, 5.2) an answer holds."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json"), answer.text
    assert answer.headers["cache-control"] == "no-store"
    return str(shown(answer)["error"])


async def test_a_secret_is_exchanged_for_a_token_that_works(anybody: httpx.AsyncClient, account: Account) -> None:
    answer = await ask(anybody, account)
    granted = shown(answer)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    assert (granted["token_type"], granted["expires_in"]) == ("Bearer", 900)
    assert granted["scope"] == "reports:read reports:write"
    for scheme in ("Bearer", "bearer"):
        headers = {"Authorization": f"{scheme} {granted['access_token']}"}
        assert (await anybody.get("/v1/reports", headers=headers)).status_code == 200


async def test_a_token_says_who_what_where_and_how_long(
    anybody: httpx.AsyncClient, account: Account, gateway: Gateway
) -> None:
    token = shown(await ask(anybody, account))["access_token"]
    decoded = jwt.decode(token, gateway.keys.tokens.set, algorithms=["Ed25519"])
    assert (decoded.header["alg"], decoded.header["typ"]) == ("Ed25519", "at+jwt")
    claims = decoded.claims
    assert claims["exp"] - claims["iat"] == 900
    assert abs(claims["iat"] - time.time()) < 30
    assert UUID(claims["jti"])
    assert {name: claims[name] for name in ("iss", "aud", "sub", "client_id", "scope", "agency")} == {
        "iss": "http://127.0.0.1:8000",
        "aud": "http://127.0.0.1:8000",
        "sub": str(account.id),
        "client_id": str(account.id),
        "scope": "reports:read reports:write",
        "agency": "H26",
    }


async def test_fewer_scopes_may_be_asked_for(anybody: httpx.AsyncClient, account: Account) -> None:
    granted = shown(await ask(anybody, account, scope="reports:read"))
    assert granted["scope"] == "reports:read"
    headers = {"Authorization": f"Bearer {granted['access_token']}"}
    assert (await anybody.get("/v1/reports", headers=headers)).status_code == 200
    refused(await anybody.post("/v1/reports", headers=headers), 403, "forbidden")


@pytest.mark.parametrize("scope", ["catalog:write", "reports:read operations", "reports", "x", "REPORTS:READ"])
async def test_more_scopes_than_held_are_refused(anybody: httpx.AsyncClient, account: Account, scope: str) -> None:
    assert oauth_error(await ask(anybody, account, scope=scope)) == "invalid_scope"


async def test_a_wrong_secret_or_client_is_refused_alike(
    anybody: httpx.AsyncClient, account: Account, engine: AsyncEngine
) -> None:
    other = await add_account(engine, HELD, None)
    answers = [
        await ask(anybody, account, secret="wrong"),
        await ask(anybody, account, secret=""),
        await ask(anybody, account, secret=other.secret),
        await ask(anybody, Account(uuid7(), account.secret)),
        await anybody.post("/oauth/token", data={"grant_type": "client_credentials"}),
        await anybody.post("/oauth/token", data={"grant_type": "client_credentials"}, auth=("me", "x")),
    ]
    for answer in answers:
        assert oauth_error(answer, 401) == "invalid_client"
        assert answer.headers["www-authenticate"].startswith("Basic")
    assert len({answer.content for answer in answers}) == 1


@pytest.mark.parametrize(
    "header", ["Basic", "Basic !!!", "Basic w6k=", "Basic eA==", "Bearer x", "Digest y", "Basic /w=="]
)
async def test_credentials_that_are_none_are_refused(anybody: httpx.AsyncClient, header: str) -> None:
    answer = await anybody.post(
        "/oauth/token", data={"grant_type": "client_credentials"}, headers={"Authorization": header}
    )
    assert oauth_error(answer, 401) == "invalid_client"


async def test_credentials_are_form_encoded_before_they_are_joined(
    anybody: httpx.AsyncClient, account: Account
) -> None:
    encoded = "".join(f"%{letter:02X}" for letter in account.secret.encode())
    assert (await ask(anybody, account, secret=encoded)).status_code == 200


async def test_a_revoked_client_gets_no_token(
    anybody: httpx.AsyncClient, account: Account, engine: AsyncEngine
) -> None:
    async with connected(engine) as connection:
        await connection.execute("UPDATE clients SET revoked_at = now()")
    assert oauth_error(await ask(anybody, account), 401) == "invalid_client"


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": "authorization_code"}, "unsupported_grant_type"),
        ({"grant_type": ""}, "unsupported_grant_type"),
        ({"scope": "reports:read"}, "invalid_request"),
        ({"grant_type": ["client_credentials", "client_credentials"]}, "invalid_request"),
        ({"grant_type": "client_credentials", "scope": ["reports:read", "reports:write"]}, "invalid_request"),
    ],
    ids=str,
)
async def test_another_grant_or_form_is_refused(
    anybody: httpx.AsyncClient, account: Account, form: dict[str, Any], error: str
) -> None:
    credentials = (str(account.id), account.secret)
    assert oauth_error(await anybody.post("/oauth/token", data=form, auth=credentials)) == error


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (b'{"grant_type": "client_credentials"}', "application/json"),
        (b"grant_type=client_credentials", "text/plain"),
        (b"grant_type=client_credentials&x=" + b"y" * 20_000, "application/x-www-form-urlencoded"),
        (b"", "application/x-www-form-urlencoded"),
    ],
    ids=["JSON", "plain text", "too large", "nothing"],
)
async def test_what_is_no_form_is_refused_in_the_way_of_oauth(
    anybody: httpx.AsyncClient, account: Account, content: bytes, media_type: str
) -> None:
    answer = await anybody.post(
        "/oauth/token",
        content=content,
        headers={"Content-Type": media_type},
        auth=(str(account.id), account.secret),
    )
    assert oauth_error(answer) == "invalid_request"


async def test_nothing_but_a_digest_of_the_secret_is_stored(account: Account, engine: AsyncEngine) -> None:
    async with connected(engine) as connection:
        client = dict(await connection.fetchrow("SELECT * FROM clients"))
        kept = dict(await connection.fetchrow("SELECT * FROM client_credentials"))
    assert kept["secret_sha256"] == hashlib.sha256(account.secret.encode()).digest()
    assert client["secret_sha256"] == b""
    assert account.secret not in f"{kept}{client}"
    assert len(base64.urlsafe_b64decode(account.secret + "=")) == 32


def forged(gateway: Gateway, header: dict[str, Any] | None = None, key: Any = None, **changes: object) -> str:
    """A token that differs from a good one in what is named; a claim of None is left out."""
    now = int(time.time())
    claims: dict[str, object] = {
        "iss": "http://127.0.0.1:8000",
        "aud": "http://127.0.0.1:8000",
        "sub": str(uuid7()),
        "scope": "reports:read",
        "agency": "H26",
        "iat": now,
        "exp": now + 900,
        **changes,
    }
    kept = {name: value for name, value in claims.items() if value != "absent"}
    signing = key or gateway.keys.tokens.current
    full = {"alg": "Ed25519", "typ": "at+jwt", "kid": gateway.keys.tokens.current.kid, **(header or {})}
    return jwt.encode(full, kept, signing, algorithms=[full["alg"]])


async def try_token(client: httpx.AsyncClient, token: str) -> httpx.Response:
    return await client.get("/v1/reports", headers={"Authorization": f"Bearer {token}"})


async def test_a_token_is_good_until_a_minute_after_it_expired(anybody: httpx.AsyncClient, gateway: Gateway) -> None:
    now = int(time.time())
    for expires, status in ((now + 900, 200), (now - 50, 200), (now - 62, 401)):
        assert (await try_token(anybody, forged(gateway, exp=expires))).status_code == status


@pytest.mark.parametrize("hours", [-1, 1])
async def test_a_process_whose_time_of_day_is_wrong_judges_tokens_as_all_others_do(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    now = time.time()
    good, spent = forged(gateway, exp=int(now) + 300), forged(gateway, exp=int(now) - 300)
    with monkeypatch.context() as patch:
        patch.setattr("gateway.access.clock.time.time", lambda: now + 3600 * hours)
        other = build_gateway(gateway.settings, gateway.engine)
    async with in_process(other) as elsewhere:
        for _ in range(2):
            assert [(await try_token(elsewhere, each)).status_code for each in (good, spent)] == [200, 401]
    with monkeypatch.context() as patch:  # the control: what a process believes that the database told nothing
        patch.setattr("gateway.access.clock.time.time", lambda: now + 3600 * hours)
        alone = build_gateway(gateway.settings, gateway.engine).tokens
    with pytest.raises(Unauthenticated):
        alone.verify(good)


LONG_AGO = 1_600_000_000


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": LONG_AGO},
        {"exp": "absent"},
        {"iss": "https://elsewhere.example"},
        {"iss": "absent"},
        {"aud": "https://elsewhere.example"},
        {"aud": "absent"},
        {"sub": "absent"},
        {"sub": "somebody"},
        {"scope": "everything"},
        {"scope": "absent"},
        {"agency": "absent"},
        {"nbf": 4_000_000_000},
        {"header": {"typ": "JWT"}},
        {"header": {"typ": "report-receipt+jws"}},
        {"header": {"kid": "another"}},
    ],
    ids=str,
)
async def test_a_token_that_is_expired_or_meant_for_others_is_refused(
    anybody: httpx.AsyncClient, gateway: Gateway, changes: dict[str, Any]
) -> None:
    answer = await try_token(anybody, forged(gateway, **changes))
    refused(answer, 401, "unauthenticated")
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_a_token_signed_by_another_key_is_refused(anybody: httpx.AsyncClient, gateway: Gateway) -> None:
    stranger = OKPKey.generate_key("Ed25519")
    receipts = gateway.keys.receipts.current
    shared = OctKey.import_key(str(gateway.keys.tokens.current.as_dict(private=False)["x"]))
    for token in (
        forged(gateway, key=stranger),
        forged(gateway, key=receipts),
        forged(gateway, header={"kid": receipts.kid}, key=receipts),
        forged(gateway, header={"alg": "HS256"}, key=shared),
    ):
        refused(await try_token(anybody, token), 401, "unauthenticated")


def encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


async def test_a_token_without_a_signature_is_refused(anybody: httpx.AsyncClient, gateway: Gateway) -> None:
    _, claims, signature = forged(gateway).split(".")
    for header in (
        b'{"alg":"none","typ":"at+jwt"}',
        b'{"typ":"at+jwt"}',
        b"[]",
        b"null",
        b'{"alg":null}',
        b'{"alg":["Ed25519"]}',
        b'{"alg":"Ed25519","kid":1}',
        b"\xff",
        b"",
        b'{"alg":"Ed25519","b64":false,"crit":["b64"]}',
    ):
        for end in ("", signature):
            token = f"{encoded(header)}.{claims}.{end}"
            refused(await try_token(anybody, token), 401, "unauthenticated")


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic eDp5", "Bearer a b", "Bearer ....", "Bearer é", "x"]
)
async def test_what_is_no_token_is_refused(anybody: httpx.AsyncClient, header: str) -> None:
    answer = await anybody.get("/v1/reports", headers=[(b"authorization", header.encode())])
    refused(answer, 401, "unauthenticated")


async def test_a_receipt_is_no_token(anybody: httpx.AsyncClient, gateway: Gateway) -> None:
    receipts = gateway.keys.receipts.current
    token = forged(gateway, header={"typ": "report-receipt+jws", "kid": receipts.kid}, key=receipts)
    refused(await try_token(anybody, token), 401, "unauthenticated")
