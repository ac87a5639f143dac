"""The tables held against the log: reports a second, over reading the same rows and hashing the same bytes."""

import asyncio
import hashlib
import time
from itertools import count

import psutil
import zstandard
from benchmarks.batch import content, push
from benchmarks.outcome import Comparison
from benchmarks.processes import Bench
from benchmarks.reports import FIGURES, Keys

from gateway.db.engine import open_engine
from gateway.domain.exact import decode
from gateway.evidence.held import Keys as PublicKeys
from gateway.evidence.note import vkeys
from gateway.evidence.receipts import key_set
from gateway.flow.confront.walk import Confrontation
from gateway.flow.load import Catalogues
from gateway.settings import Settings

REPORTS, ROWS = 3_000, 27
_BARE = """
SELECT p.body, ARRAY(SELECT r.figures::text FROM report_rows r
                      WHERE r.report_id = h.id AND r.agency_id = h.agency_id
                        AND r.year = extract(year FROM h.period_end))
  FROM reports h JOIN payloads p ON p.report_id = h.id AND p.agency_id = h.agency_id
   AND p.year = extract(year FROM h.period_end) ORDER BY h.id
"""


async def confronted(bench: Bench, keys: Keys, rounds: int) -> list[Comparison]:
    """Rounds of both, in turns, over the same reports, beside those that are there already."""
    ids = {row["code"]: row["id"] for row in await bench.fetch("SELECT code, id FROM agencies")}
    await push(bench, content(keys, ids, REPORTS, ROWS, count()), "confronted")
    await bench.fetch("ANALYZE")
    async with bench.client() as client:
        public = decode((await client.get("/.well-known/jwks.json")).content)
    found, reports, cpu = [], 0, 0.0
    for _ in range(rounds):
        began = time.perf_counter()
        bare = await _hashed(bench)
        middle, used = time.perf_counter(), psutil.Process().cpu_times().user
        reports = await _confronted(bench, PublicKeys(key_set(public), vkeys(public)))
        cpu = psutil.Process().cpu_times().user - used
        if bare != reports:
            raise RuntimeError(f"{bare} reports were read, and {reports} confronted")
        found.append((bare / (middle - began), reports / (time.perf_counter() - middle)))
    notes = {"reports": reports, "CPU": cpu / max(1, reports) * 1e6}
    return [Comparison(f"tables against the log, {ROWS * FIGURES} values a report", "reports/s", found, "", notes)]


async def _hashed(bench: Bench) -> int:
    inflate, read = zstandard.ZstdDecompressor().decompress, 0
    async with bench.connected() as connection, connection.transaction():
        async for row in connection.cursor(_BARE, prefetch=200):
            hashlib.sha256(inflate(row["body"])).digest()
            read += 1
    return read


async def _confronted(bench: Bench, keys: PublicKeys) -> int:
    engine = open_engine(Settings(), bench.database.replace("postgresql://", "postgresql+asyncpg://"))
    try:
        await asyncio.sleep(1)  # for what was pushed to be sealed
        confrontation = Confrontation(engine, Catalogues(engine), keys)
        wrong = [str(each) async for each in confrontation.run()]
    finally:
        await engine.dispose()
    if wrong or confrontation.audited is None or confrontation.audited.faults:
        raise RuntimeError(f"{len(wrong)} contradictions, the first: {wrong[:1]}")
    return confrontation.counted.reports
