"""Tokens bound to a client's certificate, which a trusted proxy alone may name."""

import base64
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from joserfc import jwt

from gateway.api.deps import Gateway
from gateway.app import build_app, build_gateway
from gateway.settings import Settings
from gateway_under_test import Account, NewClient, RunningServer, add_account, refused, shown

TOKEN = {"grant_type": "client_credentials"}
PROXY, STRANGER = "10.0.0.1", "203.0.113.9"


def certificate() -> x509.Certificate:
    """A client's certificate; who signed it is the proxy's business."""
    key, name = Ed25519PrivateKey.generate(), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "client")])
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
    ).sign(key, None)


FIRST, SECOND = certificate(), certificate()


def rfc9440(given: x509.Certificate) -> str:
    return f":{base64.b64encode(given.public_bytes(Encoding.DER)).decode()}:"


def plain(given: x509.Certificate) -> str:
    return base64.b64encode(given.public_bytes(Encoding.DER)).decode()


def escaped(given: x509.Certificate) -> str:
    return quote(given.public_bytes(Encoding.PEM).decode())


@pytest.fixture
async def own(gateway: Gateway) -> Gateway:
    settings = Settings(
        data_dir=gateway.settings.data_dir,
        trusted_proxies="10.0.0.0/24",
        client_certificate_header="Client-Cert",
    )
    return replace(build_gateway(settings, gateway.engine), tokens=gateway.tokens)


@asynccontextmanager
async def coming_from(own: Gateway, address: str, shows: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
    """A connection from an address, with what its requests say of a certificate."""
    transport = httpx.ASGITransport(build_app(own), client=(address, 1))
    headers = {"Client-Cert": shows} if shows else {}
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway.test", headers=headers) as client:
        yield client


@pytest.fixture
async def account(gateway: Gateway) -> Account:
    return await add_account(gateway.engine, ["reports:read"], None)


async def token_of(client: httpx.AsyncClient, account: Account) -> dict[str, str]:
    answer = await client.post("/oauth/token", data=TOKEN, auth=(str(account.id), account.secret))
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {shown(answer)['access_token']}"}


@pytest.mark.parametrize("write", [rfc9440, plain, escaped])
async def test_a_token_asked_for_with_a_certificate_is_bound_to_it(
    own: Gateway, account: Account, write: Callable[[x509.Certificate], str]
) -> None:
    async with coming_from(own, PROXY, write(FIRST)) as client:
        headers = await token_of(client, account)
        assert (await client.get("/v1/reports", headers=headers)).status_code == 200
    claims = jwt.decode(headers["Authorization"][7:], own.keys.tokens.set, algorithms=["Ed25519"]).claims
    thumbprint = base64.urlsafe_b64encode(FIRST.fingerprint(SHA256())).rstrip(b"=").decode()
    assert claims["cnf"] == {"x5t#S256": thumbprint}


async def test_a_bound_token_opens_nothing_without_its_certificate(own: Gateway, account: Account) -> None:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(coming_from(own, PROXY, rfc9440(FIRST)))
        headers = await token_of(first, account)
        for shows in (None, rfc9440(SECOND)):
            other = await stack.enter_async_context(coming_from(own, PROXY, shows))
            refused(await other.get("/v1/reports", headers=headers), 401, "unauthenticated")
            assert (await other.get("/sdmx/v2/structure/dataflow", headers=headers)).status_code == 401
        assert (await first.get("/v1/reports", headers=headers)).status_code == 200


async def test_a_certificate_that_anybody_but_the_proxy_names_is_none(own: Gateway, account: Account) -> None:
    async with AsyncExitStack() as stack:
        through = await stack.enter_async_context(coming_from(own, PROXY, rfc9440(FIRST)))
        headers = await token_of(through, account)
        spoofing = await stack.enter_async_context(coming_from(own, STRANGER, rfc9440(FIRST)))
        refused(await spoofing.get("/v1/reports", headers=headers), 401, "unauthenticated")
        spoofing.headers["X-Forwarded-For"] = PROXY
        refused(await spoofing.get("/v1/reports", headers=headers), 401, "unauthenticated")
        free = await token_of(spoofing, account)
        claims = jwt.decode(free["Authorization"][7:], own.keys.tokens.set, algorithms=["Ed25519"]).claims
        assert "cnf" not in claims


async def test_a_client_of_bound_tokens_gets_none_without_a_certificate(own: Gateway, client_for: NewClient) -> None:
    registrar = await client_for("clients:write")
    asked = {"name": "x", "scopes": ["reports:read", "aggregates:read"], "certificate_bound": True}
    new = shown(await registrar.post("/v1/clients", json=asked))
    assert new["certificate_bound"] is True
    auth = (new["id"], new["client_secret"])
    async with coming_from(own, PROXY) as client:
        answer = await client.post("/oauth/token", data=TOKEN, auth=auth)
        assert (answer.status_code, shown(answer)["error"]) == (401, "invalid_client")
        assert (await client.get("/sdmx/v2/structure/dataflow", auth=auth)).status_code == 401
    async with coming_from(own, PROXY, rfc9440(FIRST)) as client:
        assert (await client.post("/oauth/token", data=TOKEN, auth=auth)).status_code == 200


@pytest.mark.parametrize("shows", ["x", ":AAAA:", "-----BEGIN CERTIFICATE-----", "A" * 20_000, ":é:"])
async def test_what_is_no_certificate_is_refused(own: Gateway, account: Account, shows: str) -> None:
    async with coming_from(own, PROXY) as client:
        answer = await client.post(
            "/oauth/token",
            data=TOKEN,
            auth=(str(account.id), account.secret),
            headers=[(b"client-cert", shows.encode())],
        )
        assert (answer.status_code, shown(answer)["error"]) == (400, "invalid_request")


async def test_two_certificates_are_refused(own: Gateway, account: Account) -> None:
    """The proxy added its own to one that came in."""
    async with coming_from(own, PROXY) as client:
        request = client.build_request(
            "POST",
            "/oauth/token",
            data=TOKEN,
            headers=[("Client-Cert", rfc9440(FIRST)), ("Client-Cert", rfc9440(SECOND))],
        )
        auth = httpx.BasicAuth(str(account.id), account.secret)
        assert (await client.send(request, auth=auth)).status_code == 400


async def test_the_server_believes_no_header_about_who_is_at_the_other_end(
    server: RunningServer, account: Account, gateway: Gateway
) -> None:
    """uvicorn would: of a proxy on the same machine."""
    async with httpx.AsyncClient(base_url=server.url, headers={"X-Forwarded-For": "10.0.0.1"}) as client:
        for number in range(10):
            answer = await client.post("/oauth/token", data=TOKEN, auth=(str(account.id), "x"))
            assert answer.status_code == 401
            client.headers["X-Forwarded-For"] = f"10.0.0.{number}"
        answer = await client.post("/oauth/token", data=TOKEN, auth=(str(account.id), account.secret))
        assert answer.status_code == 429
