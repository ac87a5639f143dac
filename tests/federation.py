"""Gateways above one another, each with a database, keys and a server of its own, on loopback."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from forwarding import until, working
from gateway.access.accounts import trust
from gateway.api.deps import Gateway
from gateway.app import build_app, build_gateway
from gateway.db.engine import open_engine
from gateway.db.roles import Role
from gateway.evidence.public import public_keys
from gateway.settings import Settings
from gateway_under_test import Account, add_account, as_served, bearer, clean

RELAY = ("reports:relay",)


class Door:
    """A server that can be shut and opened again at the same address, with the gateway behind it going on."""

    def __init__(self, gateway: Gateway, port: int) -> None:
        self._app, self._port = build_app(as_served(gateway)), port
        self._app.router.lifespan_context = _nothing
        self._server: uvicorn.Server | None = None
        self._serving: asyncio.Task[None] | None = None

    async def open(self) -> None:
        listening = socket.create_server(("127.0.0.1", self._port))
        server = uvicorn.Server(uvicorn.Config(self._app, ws="none", log_config=None, timeout_graceful_shutdown=1))
        self._server, self._serving = server, asyncio.create_task(server.serve([listening]))

        async def has_started() -> bool:
            return server.started

        await until(has_started)

    async def shut(self) -> None:
        if self._server is not None and self._serving is not None:
            self._server.should_exit = True
            await self._serving
            self._server = None


@asynccontextmanager
async def _nothing(_: object) -> AsyncIterator[None]:
    yield


@dataclass(frozen=True, slots=True)
class Level:
    """One gateway at its address."""

    url: str
    gateway: Gateway
    door: Door

    def client(self, account: Account, scopes: Iterable[str], agency: str | None = None) -> httpx.AsyncClient:
        headers = bearer(self.gateway.tokens, account.id, scopes, agency)
        return httpx.AsyncClient(base_url=self.url, headers=headers, trust_env=False, timeout=60)

    @property
    def keys(self) -> list[dict[str, Any]]:
        """Its public keys, as it publishes them."""
        return list(public_keys(self.gateway.keys, self.gateway.settings.issuer)["keys"])


@asynccontextmanager
async def levels(urls: Iterable[str], directory: Path) -> AsyncIterator[list[Level]]:
    """A gateway on each database, serving; the lowest first."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(_level(url, directory / str(n))) for n, url in enumerate(urls)]


@asynccontextmanager
async def _level(database: str, directory: Path) -> AsyncIterator[Level]:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    settings = Settings(data_dir=directory, issuer=address)
    engine = open_engine(settings, database)
    await clean(engine)
    gateway = replace(build_gateway(settings, open_engine(settings, database, Role.api)), engine=engine)
    door = Door(gateway, port)
    await door.open()
    try:
        yield Level(address, gateway, door)
    finally:
        await door.shut()
        await gateway.intake.engine.dispose()
        await engine.dispose()


async def connect(
    lower: Level, upper: Level, agency: str | None = "H26", trusted: Iterable[Level] = (), **changes: object
) -> Account:
    """Let a gateway forward to one above it, which takes its receipts and those of others that it passes on."""
    account = await add_account(upper.gateway.engine, RELAY, agency)
    for each in (lower, *trusted):
        await trust(upper.gateway.engine, account.id, each.url, each.keys)
    operator = await add_account(lower.gateway.engine, ("operations",), None)
    document = {
        "kind": "gateway",
        "url": upper.url,
        "allow_private_addresses": True,
        "credentials": {"client_id": str(account.id), "client_secret": account.secret},
    }
    async with lower.client(operator, ("operations",)) as client:
        answer = await client.put("/v1/connectors/upper", json=document | changes)
    assert answer.status_code in {200, 201}, answer.text
    return account


@asynccontextmanager
async def at_work(*lower: Level) -> AsyncIterator[None]:
    """A worker at each of some gateways."""
    async with AsyncExitStack() as stack:
        for each in lower:
            await stack.enter_async_context(working(each.gateway))
        yield
