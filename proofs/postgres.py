"""The PostgreSQL of the runs: the embedded server with its own durability, which can be killed and brought back."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import asyncpg
import psutil

from gateway.access.accounts import create_client
from gateway.access.scopes import Scope
from gateway.catalog import DocumentKind, bundled_documents
from gateway.db.embedded import EmbeddedServer
from gateway.db.engine import open_engine
from gateway.db.migrate import upgrade
from gateway.flow.amend import amend
from gateway.flow.load import Catalogues
from gateway.settings import Settings
from proofs.ledger import Fault, Ledger

PROVINCES = ("H01", "H26")
"""Whose departments report; more agencies would only make processes start slower."""
_TEMPLATE = "gateway"
_SOCKET = ".s.PGSQL.5432"


class Postgres:
    """A server in a directory of its own; each run has a database made from one template."""

    def __init__(self, server: EmbeddedServer, account: tuple[str, str]) -> None:
        self._server, self.account = server, account

    @property
    def socket(self) -> Path:
        """Where the server listens."""
        return self._server.directory / _SOCKET

    def url(self, database: str, port: int | None = None) -> str:
        """The address of a database, or of what leads to it on a port of this machine."""
        if port is not None:
            return f"postgresql://gateway@127.0.0.1:{port}/{database}"
        return f"postgresql://gateway@/{database}?host={self._server.directory}&port=5432"

    @asynccontextmanager
    async def connected(self, database: str = "postgres") -> AsyncIterator[asyncpg.Connection]:
        """A connection of ours, past every link."""
        host = str(self._server.directory)
        connection = await asyncpg.connect(host=host, port=5432, user="gateway", database=database)
        try:
            yield connection
        finally:
            await connection.close()

    @asynccontextmanager
    async def database(self, name: str) -> AsyncIterator[str]:
        """A new database, dropped at the end.

        The checkpoint is for its sequences: PostgreSQL copies how many of their next values need no log, and if it is
        killed then before the next checkpoint, it gives out again those that were used.
        """
        async with self.connected() as connection:
            await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{_TEMPLATE}"')
            await connection.execute("CHECKPOINT")
        try:
            yield name
        finally:
            await self.start()
            async with self.connected() as connection:
                await connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    def processes(self) -> list[psutil.Process]:
        """The postmaster and everything it started."""
        postmaster = self._postmaster()
        return [postmaster, *postmaster.children()]

    def kill(self, ledger: Ledger, processes: Sequence[psutil.Process] | None = None) -> None:
        """``kill -9`` of the postmaster and everything it started, or of what it was when its disk could be read."""
        for process in self.processes() if processes is None else processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        ledger.write(Fault(what="kill", who="postgres"))

    def kill_backend(self, ledger: Ledger, chosen: float) -> None:
        """``kill -9`` of one of the processes that serve connections (by a number below 1): all then start anew."""
        serving = [each for each in self._postmaster().children() if _serves(each)]
        if serving:
            with suppress(psutil.NoSuchProcess):
                serving[int(chosen * len(serving))].kill()
            ledger.write(Fault(what="kill", who="a backend"))

    def stop(self, ledger: Ledger) -> None:
        """Ask the server to stop as an operator would who cannot wait (SIGINT: connections are ended)."""
        os.kill(self._postmaster().pid, signal.SIGINT)
        ledger.write(Fault(what="stop", who="postgres"))

    async def start(self) -> None:
        """Bring the server back, or see that it runs."""
        await asyncio.to_thread(self._server.ensure_running)

    def _postmaster(self) -> psutil.Process:
        return psutil.Process(int((self._server.directory / "data" / "postmaster.pid").read_text().split()[0]))


def _serves(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return "".join(process.cmdline()[:1]).startswith("postgres: gateway ")
    return False


@contextmanager
def running(directory: Path) -> Iterator[EmbeddedServer]:
    """A server in a directory that holds nothing else."""
    with EmbeddedServer(directory) as server:
        yield server


async def prepared(server: EmbeddedServer) -> Postgres:
    """A server with its template: the schema, two provinces and a client that may do anything."""
    engine = open_engine(Settings(), server.url)
    try:
        await upgrade(engine)
        current = await Catalogues(engine).newest()
        documents = [
            ("", str(each.kind), each.document)
            for each in bundled_documents()
            if each.kind is not DocumentKind.AGENCY or _is_needed(each.document)
        ]
        async with engine.begin() as connection:
            await amend(connection, current, documents, None)
            account = await create_client(connection, "proofs", list(Scope), None)
    finally:
        await engine.dispose()
    return Postgres(server, account)


def _is_needed(agency: dict[str, object]) -> bool:
    code = str(agency["code"])
    return "." not in code or (agency["level"] == "department" and code.split(".")[0] in PROVINCES)
