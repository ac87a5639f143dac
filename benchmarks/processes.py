"""The processes that are measured: PostgreSQL, the gateway's API as it is served, and the bare endpoint."""

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import psutil
import sqlalchemy as sa
from benchmarks.ceiling import TABLE
from benchmarks.country import documents as country_documents
from benchmarks.reports import documents
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.access.accounts import create_client
from gateway.access.scopes import Scope
from gateway.db.embedded import EmbeddedServer
from gateway.db.engine import open_engine
from gateway.db.migrate import upgrade
from gateway.flow.amend import amend
from gateway.flow.load import Catalogues
from gateway.ready import load_bundled
from gateway.settings import Settings

START_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Server:
    """A serving process and where it listens."""

    process: psutil.Process
    port: int

    def cpu_seconds(self) -> float:
        return cpu_seconds(self.process)


def cpu_seconds(process: psutil.Process) -> float:
    """CPU time of a process until now; none if it has just ended."""
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0
    return float(times.user + times.system)


@dataclass(frozen=True, slots=True)
class Bench:
    """Everything a benchmark needs; ``token`` covers the whole country."""

    database: str
    postgres: psutil.Process
    api: Server
    bare: Server
    token: str
    directory: Path
    environment: dict[str, str]
    """What points a gateway of its own at the database."""

    def backends_seconds(self) -> float:
        """CPU time of PostgreSQL's processes that serve connections: without checkpoints and autovacuum."""
        return sum(cpu_seconds(each) for each in self.postgres.children() if _serves(each))

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[asyncpg.Connection]:
        connection = await asyncpg.connect(self.database)
        try:
            yield connection
        finally:
            await connection.close()

    async def fetch(self, query: str, *given: object) -> list[asyncpg.Record]:
        async with self.connected() as connection:
            return list(await connection.fetch(query, *given))

    @contextmanager
    def worker(self) -> Iterator[psutil.Process]:
        """A worker as it is run, with its log in a file."""
        with (
            (self.directory / "worker.log").open("wb") as log,
            spawned([sys.executable, "-m", "gateway", "worker"], self.environment, stderr=log) as process,
        ):
            yield psutil.Process(process.pid)

    def client(self) -> httpx.AsyncClient:
        """A client of the API that speaks for the whole country."""
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.api.port}", headers=headers, timeout=300)


def _serves(process: psutil.Process) -> bool:
    try:
        return "".join(process.cmdline()[:1]).startswith("postgres: gateway gateway")
    except psutil.NoSuchProcess:
        return False


@asynccontextmanager
async def running(directory: Path) -> AsyncIterator[Bench]:
    """The gateway on an embedded PostgreSQL with its own durability, with the bundled catalogue and ours."""
    with EmbeddedServer(directory / "postgresql") as postgres:
        engine = open_engine(Settings(), postgres.url)
        try:
            await upgrade(engine)
            await _fill(engine)
            async with engine.begin() as connection:
                name, secret = await create_client(connection, "benchmarks", list(Scope), None)
        finally:
            await engine.dispose()
        url = postgres.url.replace("+asyncpg", "")
        bare_port, api_port = free_port(), free_port()
        environment = {
            "GATEWAY_DATABASE_URL": url,
            "GATEWAY_DATA_DIR": str(directory),
            "GATEWAY_PORT": str(api_port),
            "GATEWAY_TOKEN_SECONDS": "3600",
        }
        with (
            started([sys.executable, "-m", "benchmarks.ceiling", str(bare_port), url], {}, bare_port) as bare,
            started([sys.executable, "-m", "gateway", "serve", "--no-worker"], environment, api_port) as api,
        ):
            postmaster = (postgres.directory / "data" / "postmaster.pid").read_text().split()[0]
            token = await _token(api.port, name, secret)
            yield Bench(url, psutil.Process(int(postmaster)), api, bare, token, directory, environment)


async def _fill(engine: AsyncEngine) -> None:
    await load_bundled(engine)
    current = await Catalogues(engine).newest()
    async with engine.begin() as connection:
        await amend(connection, current, [*documents(), *country_documents()], None)
        await connection.execute(sa.text(TABLE))


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


@contextmanager
def spawned(command: list[str], environment: dict[str, str], **streams: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A process for as long as the block runs, in an environment without settings of a gateway but those given."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    process = subprocess.Popen(command, env=kept | environment, **streams)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=40)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def started(command: list[str], environment: dict[str, str], port: int) -> Iterator[Server]:
    """A server, from when it listens to the end of the block."""
    with spawned(command, environment) as process:
        _wait_for(process, port)
        yield Server(psutil.Process(process.pid), port)


def _wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended at once with {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError(f"nothing listens on port {port} after {START_SECONDS} s")


async def _token(port: int, name: str, secret: str) -> str:
    async with httpx.AsyncClient() as client:
        answer = await client.post(
            f"http://127.0.0.1:{port}/oauth/token", data={"grant_type": "client_credentials"}, auth=(name, secret)
        )
    token: str = answer.raise_for_status().json()["access_token"]
    return token


async def sampled_peak(process: psutil.Process, work: asyncio.Task[object]) -> int:
    """The most resident memory, in bytes, that a process has while a task runs."""
    peak = process.memory_info().rss
    while not work.done():
        await asyncio.sleep(0.02)
        peak = max(peak, process.memory_info().rss)
    return peak
