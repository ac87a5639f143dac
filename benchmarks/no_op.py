"""Workers whose handler does nothing: ours, Procrastinate's and PgQueuer's, each as a process of its own.

The name of one, the database's address, and how many jobs at once. Ours does all that it does but for sending: it
claims, makes the message, and records. When it is ended it prints when each claim began and how long it took.
"""

import asyncio
import json
import signal
import sys
import time
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import asyncpg
import procrastinate
import uvloop
from pgqueuer.db import AsyncpgDriver
from pgqueuer.qm import QueueManager
from pgqueuer.queries import Queries

import gateway.worker
from gateway.connectors.connector import Connector, Dispatch
from gateway.db.claims import Target, claim_due
from gateway.domain.delivery import Outcome, OutcomeClass
from gateway.logs import configure_logs
from gateway.settings import Settings

JOB = "nothing"


class _NoOp:
    async def send(self, dispatch: Dispatch) -> Outcome:
        return Outcome(OutcomeClass.delivered, "taken", 200)

    async def aclose(self) -> None:
        pass


class _NoUpstreams:
    def __init__(self, *_: object) -> None:
        self._connector = _NoOp()

    def use(self, target: Target) -> "_NoUpstreams":
        return self

    async def __aenter__(self) -> Connector:
        return self._connector

    async def __aexit__(self, *_: object) -> None:
        pass

    async def aclose(self) -> None:
        pass


async def ours(url: str, at_once: int) -> None:
    """The gateway's worker, as ``gateway worker`` runs it."""
    claims = []

    async def timed(*given: Any) -> Any:
        began, clock = time.time(), time.perf_counter()
        found = await claim_due(*given)
        if found:
            claims.append((began, time.perf_counter() - clock))
        return found

    settings = Settings(database_url=url, worker_concurrency=at_once)
    configure_logs(settings.log_level)
    with patch("gateway.worker.Upstreams", _NoUpstreams), patch("gateway.worker.claim_due", timed):
        await gateway.worker.main(settings)
    print(json.dumps(claims))


def rival_app(url: str) -> procrastinate.App:
    """Procrastinate on a database, with one task."""
    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=url))
    app.task(name=JOB)(_nothing)
    return app


async def _nothing(*_: object) -> None:
    pass


async def rival_procrastinate(url: str, at_once: int) -> None:
    app = rival_app(url)
    async with app.open_async():
        await app.run_worker_async(concurrency=at_once, wait=True)


async def rival_pgqueuer(url: str, at_once: int) -> None:
    """At most so many at once; its batches may be half of that."""
    await _pgqueuer(url, at_once // 2, at_once)


async def rival_pgqueuer_unbounded(url: str, at_once: int) -> None:
    """As many at once as it takes up, in batches of so many: it is fastest like this."""
    await _pgqueuer(url, at_once, None)


async def _pgqueuer(url: str, batch: int, at_once: int | None) -> None:
    connection = await asyncpg.connect(url)
    manager = QueueManager(Queries(AsyncpgDriver(connection)))
    manager.entrypoint(JOB)(_nothing)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, manager.shutdown.set)
    await manager.run(batch_size=batch, max_concurrent_tasks=at_once, log_aggregation_interval=timedelta())
    await connection.close()


WORKERS = {
    "ours": ours,
    "procrastinate": rival_procrastinate,
    "pgqueuer": rival_pgqueuer,
    "pgqueuer-unbounded": rival_pgqueuer_unbounded,
}

if __name__ == "__main__":
    uvloop.run(WORKERS[sys.argv[1]](sys.argv[2], int(sys.argv[3])))
