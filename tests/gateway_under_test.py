"""A real gateway on a real PostgreSQL, for tests: one server a run, one database a worker, one empty state a test."""

import asyncio
import fcntl
import os
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, Self, TextIO, TypeVar
from uuid import UUID

import asyncpg
import httpx
import sqlalchemy as sa
import uvicorn
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine
from uuid_utils.compat import uuid7

from factories import body
from gateway.access.scopes import Scope
from gateway.access.secrets import new_secret, secret_hash
from gateway.access.tokens import Caller, Tokens
from gateway.api.deps import Gateway
from gateway.api.incoming import Bounds, bounded
from gateway.app import build_app, build_gateway
from gateway.catalog import bundled_documents
from gateway.db.clients import add_client, add_credential
from gateway.db.embedded import EmbeddedServer
from gateway.db.engine import driver, open_engine
from gateway.db.migrate import upgrade
from gateway.db.roles import Role
from gateway.domain.catalogue import Catalogue
from gateway.flow.amend import amend
from gateway.flow.load import Catalogues, Contents
from gateway.logs import configure_logs
from gateway.settings import Settings

T = TypeVar("T")

FILLED = (
    "log_pending",
    "log_entries",
    "log_nodes",
    "log_checkpoints",
    "log_cosignatures",
    "log_texts",
    "report_rows",
    "payloads",
    "erasures",
    "report_events",
    "consolidation_parts",
    "reports",
    "idempotency_keys",
    "attempts",
    "deliveries",
    "connectors",
    "relays",
    "report_signatures",
    "signers",
    "trusted_issuers",
    "spent_assertions",
    "client_buckets",
    "client_days",
    "failed_attempts",
    "intervened",
    "interventions",
    "client_credentials",
    "clients",
)
"""The tables that tests fill."""

_EMPTY = "; ".join(["SET LOCAL lock_timeout = '5s'", *(f"DELETE FROM {table}" for table in FILLED)])
_RESTORE_CATALOGUE = """
DELETE FROM catalog_entries WHERE revision > 1;
DELETE FROM catalog_revisions WHERE revision > 1;
DELETE FROM forms WHERE code NOT IN (SELECT code FROM catalog_entries WHERE kind = 'form');
DELETE FROM agencies WHERE code NOT IN (SELECT code FROM catalog_entries WHERE kind = 'agency');
"""
"""The bundled catalogue is revision 1 of the template."""


def run(work: Coroutine[object, object, T]) -> T:
    """Run a coroutine to its end, leaving the event loop of the tests alone."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        return runner.run(work)


@contextmanager
def locked(file: Path) -> Iterator[None]:
    with file.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def database_server(directory: Path) -> Iterator[str]:
    """The address of a server's administrative database: one that is given, or an embedded one of this run."""
    given = os.environ.get("GATEWAY_TEST_DATABASE_URL")
    if given is not None:
        yield Settings(database_url=given).sqlalchemy_url or given
        return
    with EmbeddedServer(directory / "postgresql") as server:
        yield server.url


@contextmanager
def databases(directory: Path) -> Iterator[str]:
    """The address of a new database of this worker, made from the run's template; dropped at the end.

    Every worker of a run shares ``directory``; the last to leave drops the template and the server's files.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "users").open("a") as users:
        with locked(directory / "lock"):
            fcntl.flock(users, fcntl.LOCK_SH)
        with database_server(directory) as admin:
            with locked(directory / "lock"):
                template = _template(directory, admin)
            name = f"{template}_{secrets.token_hex(4)}"
            run(_execute(admin, f'CREATE DATABASE "{name}" TEMPLATE "{template}"'))
            # Power cuts have their own tests; here an unflushed commit saves its wait.
            run(_execute(admin, f'ALTER DATABASE "{name}" SET synchronous_commit = off'))
            yield sa.make_url(admin).set(database=name).render_as_string(hide_password=False)
            run(_execute(admin, f'DROP DATABASE "{name}" WITH (FORCE)'))
            with locked(directory / "lock"):
                is_last = _is_last(users)
                if is_last:
                    run(_execute(admin, f'DROP DATABASE "{template}"'))
                    (directory / "template").unlink()
        if is_last:
            with locked(directory / "lock"):
                if _is_last(users):
                    shutil.rmtree(directory / "postgresql", ignore_errors=True)


@contextmanager
def empty_database(url: str) -> Iterator[str]:
    """A database without a schema, on the server of another; dropped at the end."""
    name = f"gateway_empty_{secrets.token_hex(4)}"
    run(_execute(url, f'CREATE DATABASE "{name}"'))
    try:
        yield sa.make_url(url).set(database=name).render_as_string(hide_password=False)
    finally:
        run(_execute(url, f'DROP DATABASE "{name}" WITH (FORCE)'))


def _is_last(users: TextIO) -> bool:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _template(directory: Path, admin: str) -> str:
    """The name of the run's template database, made by whoever comes first."""
    made = directory / "template"
    if not made.exists():
        name = f"gateway_test_{secrets.token_hex(4)}"
        run(_make_template(admin, name))
        made.write_text(name)
    return made.read_text()


async def _make_template(admin: str, name: str) -> None:
    await _execute(admin, f'CREATE DATABASE "{name}"')
    engine = open_engine(Settings(), sa.make_url(admin).set(database=name).render_as_string(False))
    try:
        await upgrade(engine)
        await load(engine, *((str(each.kind), each.document) for each in bundled_documents()))
    finally:
        await engine.dispose()


async def load(engine: AsyncEngine, *documents: tuple[str, dict[str, object]]) -> int:
    """Load catalogue documents, each given with its kind; how many were new or changed."""
    current = await Catalogues(engine).newest()
    async with engine.begin() as connection:
        return await amend(connection, current, [("", kind, each) for kind, each in documents], None)


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(_driver_url(url))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def _driver_url(url: str) -> str:
    return url.replace("postgresql+asyncpg://", "postgresql://", 1)


@asynccontextmanager
async def connected(engine: AsyncEngine) -> AsyncIterator[asyncpg.Connection]:
    """A connection of the test's own to the gateway's database."""
    connection = await asyncpg.connect(_driver_url(engine.url.render_as_string(hide_password=False)))
    try:
        yield connection
    finally:
        await connection.close()


@dataclass(frozen=True, slots=True)
class Held:
    """What a process holds of a catalogue: reading it anew for every test would take longer than most tests."""

    contents: Contents
    ready: Any
    catalogue: Catalogue | None

    @classmethod
    def of(cls, catalogues: Catalogues) -> Self:
        ready = catalogues._ready
        return cls(dict(catalogues._contents), replace(ready, made=dict(ready.made)), catalogues.held)

    def put_back(self, catalogues: Catalogues) -> None:
        catalogues._contents = dict(self.contents)
        catalogues._ready = replace(self.ready, made=dict(self.ready.made))
        catalogues.held = self.catalogue


async def clean(engine: AsyncEngine) -> bool:
    """Empty what tests fill; whether the catalogue had been changed."""
    async with driver(engine) as connection, connection.transaction():
        await connection.execute(_EMPTY)
        changed = await connection.fetchval("SELECT max(revision) > 1 FROM catalog_revisions")
        if changed:
            await connection.execute(_RESTORE_CATALOGUE)
    return bool(changed)


async def counts(engine: AsyncEngine) -> dict[str, int]:
    """How many rows each table holds that tests fill, but for accounts."""
    tables = list(NOTHING)
    parts = ", ".join(f"(SELECT count(*) FROM {table}) AS {table}" for table in tables)
    async with connected(engine) as connection:
        return dict(await connection.fetchrow(f"SELECT {parts}"))


NOTHING = dict.fromkeys(
    (
        table
        for table in FILLED
        if table not in {"spent_assertions", "client_credentials", "clients", "trusted_issuers"}
    ),
    0,
)
"""``counts`` of a database that kept no trace."""


_STALL = 0x5354414C
"""The advisory lock that reports wait for while the intake is stalled."""


@asynccontextmanager
async def stalled_intake(connection: asyncpg.Connection, table: str = "reports") -> AsyncIterator[None]:
    """While the block runs, whoever writes into a table waits there, in the middle of its statement."""
    await connection.execute(
        f"CREATE FUNCTION stall() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN PERFORM pg_advisory_xact_lock_shared({_STALL}); RETURN NULL; END $$;"
        f"CREATE TRIGGER stall AFTER INSERT ON {table} FOR EACH STATEMENT EXECUTE FUNCTION stall();"
        f"SELECT pg_advisory_lock({_STALL})"
    )
    try:
        yield
    finally:
        await connection.execute(f"SELECT pg_advisory_unlock({_STALL}); DROP FUNCTION stall CASCADE")


_WAITING = """
SELECT count(*) FROM pg_locks WHERE locktype = $1 AND NOT granted
   AND pid IN (SELECT pid FROM pg_stat_activity WHERE datname = current_database())
"""


async def waiting(connection: asyncpg.Connection, kind: str) -> int:
    """How many statements wait for a lock of a kind, in this database: others on the server are other tests'."""
    number: int = await connection.fetchval(_WAITING, kind)
    return number


async def until_waiting(connection: asyncpg.Connection, kind: str = "advisory", count: int = 1) -> None:
    """Wait until so many statements wait for a lock of a kind."""
    for _ in range(500):
        found = await waiting(connection, kind)
        if found >= count:
            return
        await asyncio.sleep(0.01)
    raise TimeoutError(f"{found} of {count} wait for a lock of kind {kind}")


async def until_nobody_waits(connection: asyncpg.Connection) -> None:
    """Wait until no statement waits for a table any more."""
    for _ in range(500):
        if not await waiting(connection, "relation"):
            return
        await asyncio.sleep(0.01)
    raise TimeoutError("somebody goes on waiting for a table")


class NewClient(Protocol):
    """Makes an API client with a fresh token; ``agency`` None covers the whole country."""

    async def __call__(
        self, *scopes: str, agency: str | None = None, headers: dict[str, str] | None = None
    ) -> httpx.AsyncClient: ...


@dataclass(frozen=True, slots=True)
class Account:
    """An API client's id and secret, as its operator has them."""

    id: UUID
    secret: str


async def add_account(engine: AsyncEngine, scopes: Iterable[str], agency: str | None) -> Account:
    account = Account(uuid7(), new_secret())
    values = {
        "id": account.id,
        "name": "a test",
        "agency": agency,
        "scopes": list(scopes),
    }
    secret = {"kind": "secret", "secret_sha256": secret_hash(account.secret)}
    async with engine.begin() as connection:
        await add_client(connection, values)
        await add_credential(connection, {"id": uuid7(), "client_id": account.id, **secret})
    return account


def bearer(tokens: Tokens, client: UUID, scopes: Iterable[str], agency: str | None) -> dict[str, str]:
    """The header that speaks for a client."""
    caller = Caller(client, frozenset(Scope(scope) for scope in scopes), agency)
    token = tokens.issue(caller, datetime.now(UTC))
    return {"Authorization": f"Bearer {token}"}


def as_served(gateway: Gateway) -> Gateway:
    """A gateway as it serves: with the rights of the API's role alone, and none of the test's."""
    return replace(gateway, engine=gateway.intake.engine)


def in_process(gateway: Gateway, **options: Any) -> httpx.AsyncClient:
    """A client of the gateway's API in this process, without a token."""
    transport = httpx.ASGITransport(build_app(as_served(gateway)))
    return httpx.AsyncClient(transport=transport, base_url="http://gateway.test", **options)


async def push(
    client: httpx.AsyncClient, document: object, key: str | None = None, to: str = "", **headers: str
) -> httpx.Response:
    """Push a report (bytes go as they are); ``to`` names a route below ``/v1/reports``."""
    content = document if isinstance(document, bytes) else body(document)
    media_type = "application/x-ndjson" if to == "/batch" else "application/json"
    given = {"Content-Type": media_type, **{name.replace("_", "-"): value for name, value in headers.items()}}
    if key is not None:
        given["Idempotency-Key"] = key
    return await client.post(f"/v1/reports{to}", content=content, headers=given)


async def accepted(client: httpx.AsyncClient, document: object, key: str | None = None) -> dict[str, Any]:
    """Push a report that is taken; what the answer says."""
    answer = await push(client, document, key)
    assert answer.status_code == 201, answer.text[:500]
    return shown(answer)


async def put(client: httpx.AsyncClient, path: str, document: object) -> httpx.Response:
    """Put a document of the catalogue; bytes go as they are, ``path`` is below ``/v1``."""
    content = document if isinstance(document, bytes) else body(document)
    return await client.put(f"/v1{path}", content=content, headers={"Content-Type": "application/json"})


async def have(client: httpx.AsyncClient, path: str, document: object) -> dict[str, Any]:
    """Put a document that is taken; what the answer says."""
    answer = await put(client, path, document)
    assert answer.status_code == 200, answer.text[:500]
    return shown(answer)


async def asked(client: httpx.AsyncClient, path: str, **parameters: Any) -> dict[str, Any]:
    """What a route below ``/v1`` answers to a question that makes sense."""
    answer = await client.get(f"/v1{path}", params=parameters)
    assert answer.status_code == 200, answer.text[:500]
    return shown(answer)


async def every_item(client: httpx.AsyncClient, path: str, **parameters: Any) -> list[dict[str, Any]]:
    """The items of a list, page after page."""
    page = await asked(client, path, **parameters)
    items: list[dict[str, Any]] = page["items"]
    while page["next"] is not None:
        page = await asked(client, path, **parameters, cursor=page["next"])
        items += page["items"]
    return items


def shown(answer: httpx.Response) -> dict[str, Any]:
    """The JSON object an answer holds."""
    value = answer.json()
    assert isinstance(value, dict)
    return value


def refused(answer: httpx.Response, status: int, slug: str) -> dict[str, Any]:
    """The problem (RFC 9457) an answer holds, once it is seen to be that one and whole."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text[
        :500
    ]
    problem = shown(answer)
    assert problem["type"] == f"urn:report-gateway:problem:{slug}"
    assert problem["status"] == status
    assert problem["title"]
    return problem


def findings(answer: httpx.Response) -> list[dict[str, Any]]:
    """The findings of a rejection."""
    found: list[dict[str, Any]] = refused(answer, 422, "report-rejected")["findings"]
    return found


def rules(found: Iterable[dict[str, Any]], severity: str = "error") -> list[str]:
    """Which rules findings of a severity are of."""
    return [each["rule"] for each in found if each["severity"] == severity]


@dataclass(slots=True)
class Worker:
    """What outlives a test: the pools of connections (the test's, which no wall keeps from anything, and the gateway's
    own), a gateway, and what it held of the bundled catalogue."""

    engine: AsyncEngine
    walled: AsyncEngine
    gateway: Gateway | None = None
    app: FastAPI | None = None
    bundled: Held | None = None


MOST_CONNECTIONS = 300
"""Connections that a server of the tests holds."""


_SERVE = "import gc; gc.set_threshold(20_000, 50, 50); from gateway_under_test import serve; serve()"
"""As ``gateway serve`` does it, which sets this before it imports anything large."""


class RunningServer:
    """The API as a process of its own, on a port of its own."""

    def __init__(self, settings: Settings, url: str) -> None:
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(sys.path),
            "GATEWAY_DATABASE_URL": url,
            "GATEWAY_DATA_DIR": str(settings.data_dir),
            "GATEWAY_BODY_TIMEOUT_SECONDS": "1",
            "GATEWAY_HEAD_TIMEOUT_SECONDS": "1",
        }
        self.process = subprocess.Popen([sys.executable, "-c", _SERVE], stdout=subprocess.PIPE, env=environment)
        assert self.process.stdout
        self.port = int(self.process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}"

    def kill(self) -> None:
        """``kill -9``: nothing is finished, nothing is said."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=20)
        assert self.process.stdout
        self.process.stdout.close()


def serve() -> None:
    """Serve the API on a free port, which is written to standard output."""
    settings = Settings()
    configure_logs("error")
    assert settings.sqlalchemy_url
    app = build_app(build_gateway(settings, open_engine(settings, settings.sqlalchemy_url, Role.api)))
    http = bounded(Bounds(settings.head_timeout_seconds, left_over=3, unread=1, connections=MOST_CONNECTIONS))
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listening:
        sys.stdout.write(f"{listening.getsockname()[1]}\n")
        sys.stdout.flush()
        config = uvicorn.Config(app, http=http, log_level="error", proxy_headers=False, timeout_keep_alive=2)
        uvicorn.Server(config).run(sockets=[listening])
