"""Batches: values a second over a bare COPY of the same rows, and the memory that a batch takes."""

import asyncio
import io
import time
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from benchmarks.outcome import Comparison, Memory
from benchmarks.processes import Bench, sampled_peak
from benchmarks.reports import FIGURES, Keys, body, rows
from uuid_utils.compat import uuid7

from gateway.domain.period import parse_period

_FORM = "BENCH_11"
_BARE_TABLE = """
CREATE TABLE IF NOT EXISTS bench_rows (
    year smallint, agency_id integer, report_id uuid, number integer, codes text[] NOT NULL, figures numeric[] NOT NULL,
    texts text[], PRIMARY KEY (year, agency_id, report_id, number)
)
"""
_MOST_REPORTS = 3_000
_COLUMNS = ["year", "agency_id", "report_id", "number", "codes", "figures"]


@dataclass(frozen=True, slots=True)
class Content:
    """The same reports twice: as the lines of a batch, and as the rows they come to in PostgreSQL's text format."""

    lines: bytes
    copy: bytes
    reports: int


def content(keys: Keys, ids: dict[str, int], reports: int, count: int, variants: Iterator[int]) -> Content:
    """So many reports of so many rows each, of keys not used before."""
    lines, copied = [], []
    for _ in range(reports):
        agency, period = next(keys)
        variant = next(variants)
        lines.append(body(_FORM, agency, period, count, variant))
        head = f"{parse_period(period).end.year}\t{ids[agency]}\t{uuid7()}"
        copied += [f"{head}\t{number}\t{row.copy}\n" for number, row in enumerate(rows(count, variant))]
    return Content(b"\n".join(lines), "".join(copied).encode(), reports)


async def _copy(bench: Bench, rows_text: bytes) -> tuple[float, float]:
    """How long a bare COPY takes, and how much CPU it takes of PostgreSQL."""
    async with bench.connected() as connection:
        began, cpu = time.perf_counter(), bench.backends_seconds()
        await connection.copy_to_table("bench_rows", source=io.BytesIO(rows_text), columns=_COLUMNS)
        return time.perf_counter() - began, bench.backends_seconds() - cpu


async def push(bench: Bench, batch: Content, key: str) -> float:
    """Push a batch; how many seconds it took. Raises if any report was not accepted."""
    headers = {"Content-Type": "application/x-ndjson", "Idempotency-Key": key}
    async with bench.client() as client:
        began = time.perf_counter()
        answer = await client.post("/v1/reports/batch", content=batch.lines, headers=headers)
        seconds = time.perf_counter() - began
    accepted = answer.content.count(b'"status":"accepted"')
    if accepted != batch.reports:
        raise RuntimeError(f"{accepted} of {batch.reports} reports were accepted: {answer.text[:1000]}")
    return seconds


async def _agency_ids(bench: Bench) -> dict[str, int]:
    async with bench.connected() as connection:
        await connection.execute(_BARE_TABLE)
        return dict(await connection.fetch("SELECT code, id FROM agencies"))


async def batches(bench: Bench, keys: Keys, rounds: int, values: int) -> list[Comparison]:
    """Batches of about so many values, in reports of one row, 27 and 273."""
    ids, variants = await _agency_ids(bench), iter(range(10**9))
    found = []
    for count, aim in ((1, ""), (27, "≥ 0.3"), (273, "")):
        reports = min(values // (count * FIGURES), _MOST_REPORTS)
        name = f"batch of {reports:,} reports, {count * FIGURES:,} values each"
        rates, costs = [], []
        for _ in range(rounds):
            batch = content(keys, ids, reports, count, variants)
            total = reports * count * FIGURES
            bare, bare_cpu = await _copy(bench, batch.copy)
            before = bench.api.cpu_seconds(), bench.backends_seconds()
            ours = await push(bench, batch, str(uuid7()))
            after = bench.api.cpu_seconds(), bench.backends_seconds()
            rates.append((total / bare, total / ours))
            costs.append((after[0] - before[0], after[1] - before[1], bare_cpu))
        cpu = [1e6 * median(each) / reports for each in zip(*costs, strict=True)]
        notes = dict(zip(("API", "PostgreSQL", "bare PostgreSQL"), cpu, strict=True))
        found.append(Comparison(name, "values/s", rates, aim, notes))
    return found


async def memory(bench: Bench, keys: Keys) -> list[Memory]:
    """What a batch of 1,000 and of 10,000 reports of 297 values adds to the API's resident memory."""
    ids, variants = await _agency_ids(bench), iter(range(10**9))
    found = []
    for reports in (1_000, 10_000):
        batch = content(keys, ids, reports, 27, variants)
        baseline = bench.api.process.memory_info().rss
        pushing = asyncio.create_task(push(bench, batch, str(uuid7())))
        peak = await sampled_peak(bench.api.process, pushing)
        found.append(Memory(reports, len(batch.lines), baseline, peak, await pushing))
    return found
