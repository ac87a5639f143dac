"""What tests ask for: a database with the bundled catalogue, a gateway on it, and clients of its API."""

import gc
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import httpx
import hypothesis
import pytest
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.api.deps import Gateway
from gateway.app import build_app, build_gateway
from gateway.db.engine import open_engine
from gateway.db.roles import Role
from gateway.logs import configure_logs
from gateway.settings import Settings
from gateway_under_test import (
    Held,
    NewClient,
    RunningServer,
    Worker,
    add_account,
    as_served,
    bearer,
    clean,
    databases,
)
from together import scheduler

# How long an example takes is the machine's business.
hypothesis.settings.register_profile("gateway", deadline=None)
hypothesis.settings.register_profile("long", deadline=None, max_examples=1000)
hypothesis.settings.load_profile("gateway")


READ_AND_WRITE = ("reports:read", "reports:write")


@pytest.fixture(scope="session", autouse=True)
def _nothing_of_the_developer() -> Iterator[None]:
    """Settings come from the tests alone, and the log is the one of a running gateway."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("GATEWAY_") and name != "GATEWAY_TEST_DATABASE_URL":
                patch.delenv(name)
        configure_logs("error")
        yield


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of this worker: its own data directory, with keys of its own."""
    return Settings(data_dir=tmp_path_factory.mktemp("gateway"))


@pytest.fixture(scope="session")
def database_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database of this worker with the schema and the bundled catalogue; tests ask for ``engine``."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with databases(shared / "databases") as url:
        yield url


@pytest.fixture(scope="session")
async def worker(settings: Settings, database_url: str) -> AsyncIterator[Worker]:
    engine, walled = open_engine(settings, database_url), open_engine(settings, database_url, Role.api)
    yield Worker(engine, walled)
    await walled.dispose()
    await engine.dispose()


@pytest.fixture
def emptied(worker: Worker) -> Callable[[], Awaitable[None]]:
    """Empties the database of all but the bundled catalogue, at any time; accounts are gone as well."""

    async def empty() -> None:
        if await clean(worker.engine) and worker.gateway is not None and worker.bundled is not None:
            worker.bundled.put_back(worker.gateway.catalogues)  # it would remember the changed catalogue

    return empty


@pytest.fixture
async def engine(worker: Worker, emptied: Callable[[], Awaitable[None]]) -> AsyncEngine:
    """The way to a database that holds the bundled catalogue and nothing else."""
    await emptied()
    return worker.engine


@pytest.fixture
async def gateway(worker: Worker, engine: AsyncEngine, settings: Settings) -> Gateway:
    """A gateway on the empty database, with the rights of the API's role; ``engine`` is the test's own way there."""
    if worker.gateway is None:
        worker.gateway = replace(build_gateway(settings, worker.walled), engine=engine)
        worker.app = build_app(as_served(worker.gateway))
        await worker.gateway.catalogues.newest()
        worker.bundled = Held.of(worker.gateway.catalogues)
    return worker.gateway


@pytest.fixture
def app(worker: Worker, gateway: Gateway) -> FastAPI:
    """The API over ``gateway``."""
    assert worker.app
    return worker.app


@pytest.fixture
async def client_for(app: FastAPI, gateway: Gateway) -> AsyncIterator[NewClient]:
    """Makes clients of the API, each with an account and a token of its own."""
    async with AsyncExitStack() as stack:

        async def new_client(
            *scopes: str, agency: str | None = None, headers: dict[str, str] | None = None
        ) -> httpx.AsyncClient:
            account = await add_account(gateway.engine, scopes or READ_AND_WRITE, agency)
            token = bearer(gateway.tokens, account.id, scopes or READ_AND_WRITE, agency)
            client = httpx.AsyncClient(
                transport=httpx.ASGITransport(app),
                base_url="http://gateway.test",
                headers={**token, **(headers or {})},
            )
            return await stack.enter_async_context(client)

        yield new_client


@pytest.fixture
async def country(client_for: NewClient) -> httpx.AsyncClient:
    """A client that reads and writes reports of the whole country."""
    return await client_for()


@pytest.fixture
async def province(client_for: NewClient) -> httpx.AsyncClient:
    """A client that reads and writes reports of Ha Noi (H26) and everything below it."""
    return await client_for(agency="H26")


@pytest.fixture
def own_server(settings: Settings, database_url: str) -> Iterator[RunningServer]:
    """The API as a process of its own that the test may kill."""
    server = RunningServer(settings, database_url)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def server(settings: Settings, database_url: str) -> Iterator[RunningServer]:
    """The API as a process of its own, for what a client in this process cannot see; leave it alive."""
    server = RunningServer(settings, database_url)
    yield server
    server.stop()


def pytest_configure() -> None:
    """Little of what is imported is ever garbage."""
    gc.set_threshold(20_000, 50, 50)


def pytest_collection_finish() -> None:
    """What was made so far stays, as in a gateway that serves: the collector need not look at it again."""
    gc.collect()
    gc.freeze()


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Tests that share what takes long to make are run by one worker."""
    return scheduler(config, log)
