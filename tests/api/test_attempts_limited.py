"""Attempts to authenticate are limited by client and address, so that nobody guesses and nobody is locked out."""

from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest
from fastapi import Request
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.api.address import address_of
from gateway.api.deps import Gateway
from gateway.api.identify import MOST_OF_ADDRESS, MOST_OF_CLIENT
from gateway.app import build_app, build_gateway
from gateway.settings import Settings
from gateway_under_test import Account, add_account, connected, shown

TOKEN = {"grant_type": "client_credentials"}
ATTACKER, HOME = "203.0.113.9", "198.51.100.7"


@pytest.fixture
async def account(engine: AsyncEngine) -> Account:
    return await add_account(engine, ["aggregates:read"], None)


@pytest.fixture
async def proxied(gateway: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    """The API behind a proxy that is trusted, through which many addresses come."""
    settings = Settings(data_dir=gateway.settings.data_dir, trusted_proxies="127.0.0.1")
    own = replace(build_gateway(settings, gateway.engine), tokens=gateway.tokens)
    transport = httpx.ASGITransport(build_app(own))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway.test") as client:
        yield client
        await own.uses.flush()


async def ask(client: httpx.AsyncClient, account: Account, secret: str, address: str) -> httpx.Response:
    headers = {"X-Forwarded-For": address}
    return await client.post("/oauth/token", data=TOKEN, auth=(str(account.id), secret), headers=headers)


async def fail(client: httpx.AsyncClient, account: Account, times: int, address: str) -> None:
    for _ in range(times):
        assert (await ask(client, account, "guessed", address)).status_code == 401


async def test_after_ten_wrong_secrets_a_client_is_refused_from_that_address_alone(
    proxied: httpx.AsyncClient, account: Account
) -> None:
    await fail(proxied, account, MOST_OF_CLIENT, ATTACKER)
    answer = await ask(proxied, account, account.secret, ATTACKER)
    assert (answer.status_code, shown(answer)["error"]) == (429, "temporarily_unavailable")
    assert 290 <= int(answer.headers["retry-after"]) <= 300
    assert (await ask(proxied, account, account.secret, HOME)).status_code == 200


async def test_statisticians_who_send_their_secret_each_time_are_counted_alike(
    proxied: httpx.AsyncClient, account: Account
) -> None:
    headers = {"X-Forwarded-For": ATTACKER}
    statuses = [
        (await proxied.get("/sdmx/v2/structure/dataflow", auth=(str(account.id), "x"), headers=headers)).status_code
        for _ in range(MOST_OF_CLIENT + 1)
    ]
    assert statuses == [401] * MOST_OF_CLIENT + [429]


async def test_it_is_forgotten_by_itself(proxied: httpx.AsyncClient, account: Account, engine: AsyncEngine) -> None:
    await fail(proxied, account, MOST_OF_CLIENT, ATTACKER)
    async with connected(engine) as connection:
        await connection.execute("UPDATE failed_attempts SET since = since - interval '5 min'")
    assert (await ask(proxied, account, account.secret, ATTACKER)).status_code == 200
    await fail(proxied, account, MOST_OF_CLIENT, ATTACKER)
    async with connected(engine) as connection:
        assert await connection.fetchval("SELECT max(number) FROM failed_attempts") == MOST_OF_CLIENT


async def test_an_address_that_tries_many_clients_is_refused_but_not_a_client_that_is_at_home_there(
    proxied: httpx.AsyncClient, account: Account, engine: AsyncEngine
) -> None:
    stranger = await add_account(engine, ["aggregates:read"], None)
    async with connected(engine) as connection:
        await connection.execute(
            "UPDATE client_credentials SET last_address = $1 WHERE client_id = $2", HOME, account.id
        )
        await connection.execute(
            "INSERT INTO failed_attempts (address, client_id, number, since)"
            " VALUES ($1, '00000000-0000-0000-0000-000000000000', $2, now())",
            HOME,
            MOST_OF_ADDRESS - 1,
        )
    await fail(proxied, stranger, 1, HOME)
    assert (await ask(proxied, stranger, stranger.secret, HOME)).status_code == 429
    assert (await ask(proxied, account, account.secret, HOME)).status_code == 200


async def test_what_was_counted_is_cleaned_up(
    proxied: httpx.AsyncClient, account: Account, engine: AsyncEngine
) -> None:
    async with connected(engine) as connection:
        await connection.execute(
            "INSERT INTO failed_attempts SELECT n::text, gen_random_uuid(), 1, now() - interval '1 h'"
            " FROM generate_series(1, 15) n"
        )
        await fail(proxied, account, 2, ATTACKER)
        assert await connection.fetchval("SELECT count(*) FROM failed_attempts") == 2


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["1.2.3.4, 203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["1.2.3.4, 203.0.113.9, 10.0.0.2"], "203.0.113.9"),
        ("10.0.0.1", ["203.0.113.9", "10.0.0.2"], "203.0.113.9"),
        ("10.0.0.1", ["203.0.113.9, nonsense"], "10.0.0.1"),
        ("203.0.113.5", ["1.2.3.4"], "203.0.113.5"),
        ("10.0.0.1", ["2001:db8::1"], "2001:db8::1"),
    ],
    ids=str,
)
def test_who_is_behind_proxies_is_believed_of_trusted_ones_alone(
    peer: str, forwarded: list[str], expected: str
) -> None:
    headers = [(b"x-forwarded-for", each.encode()) for each in forwarded]
    request = Request({"type": "http", "client": (peer, 1), "headers": headers})
    trusted = Settings(trusted_proxies="10.0.0.0/24").trusted_proxies
    assert address_of(request, trusted) == expected
