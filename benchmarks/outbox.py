"""Filling the outbox, and watching workers empty it."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg
from benchmarks.batch import content, push
from benchmarks.processes import Bench
from benchmarks.reports import Keys
from uuid_utils.compat import uuid7

from gateway.flow.wake import CHANNEL

FILL = """
INSERT INTO deliveries (id, connector_id, report_id, event, agency_id, form_id, period, kind)
SELECT gen_random_uuid(), $1, id, 'accepted', agency_id, form_id, period, kind FROM reports WHERE id = ANY ($2)
"""
OPEN = """
SELECT EXISTS (SELECT FROM deliveries WHERE connector_id = $1 AND state = 'pending')
    OR EXISTS (SELECT FROM deliveries WHERE connector_id = $1 AND state = 'sending')
"""
_LOOK_SECONDS = 0.02
LONGEST_SECONDS = 120


async def keep_reports(bench: Bench, keys: Keys, count: int, rows: int) -> list[UUID]:
    """Have so many reports of so many rows accepted that no connector takes."""
    ids = {code: number for code, number in await bench.fetch("SELECT code, id FROM agencies")}
    await push(bench, content(keys, ids, count, rows, iter(range(10**9))), str(uuid7()))
    return [row["id"] for row in await bench.fetch("SELECT id FROM reports ORDER BY id DESC LIMIT $1", count)]


@asynccontextmanager
async def connector(bench: Bench, name: str, url: str, what: str = "consolidation") -> AsyncIterator[int]:
    """An upstream at a URL for as long as the block runs; its storage key. It may be sent a hundred at once.

    By itself it is given consolidations alone, of which nobody pushes any here.
    """
    about = {"kind": "http_json", "url": url, "what": what, "concurrency": 100, "allow_private_addresses": True}
    async with bench.client() as client:
        (await client.put(f"/v1/connectors/{name}", json=about)).raise_for_status()
        [row] = await bench.fetch("SELECT id FROM connectors WHERE name = $1 AND removed_at IS NULL", name)
        yield row["id"]
        (await client.delete(f"/v1/connectors/{name}")).raise_for_status()


async def fill(connection: asyncpg.Connection, number: int, reports: Sequence[UUID]) -> None:
    """Have a delivery of each report to a connector, and tell the workers."""
    await connection.execute(FILL, number, reports)
    await connection.execute(f"NOTIFY {CHANNEL}")


async def emptied(connection: asyncpg.Connection, question: str, *about: object) -> None:
    """Wait until a question has the answer no, which is that nothing is left to do."""
    deadline = time.monotonic() + LONGEST_SECONDS
    while await connection.fetchval(question, *about):
        if time.monotonic() > deadline:
            raise TimeoutError(f"the queue was not empty after {LONGEST_SECONDS} s")
        await asyncio.sleep(_LOOK_SECONDS)


async def drained(bench: Bench, number: int, reports: Sequence[UUID]) -> float:
    """How many seconds a worker takes for a delivery of each report to a connector. Raises if any was not delivered."""
    async with bench.connected() as connection:
        await fill(connection, number, reports)
        began = time.perf_counter()
        await emptied(connection, OPEN, number)
        seconds = time.perf_counter() - began
        count = await connection.fetchval(
            "SELECT count(*) FROM deliveries WHERE connector_id = $1 AND state = 'delivered'", number
        )
    if count != len(reports):
        raise RuntimeError(f"{count} of {len(reports)} reports were delivered")
    return seconds
