"""Exports of a million values: lines a second over a bare COPY of the same values, and what they take of memory."""

import asyncio
import time
from dataclasses import dataclass

import httpx
from benchmarks.national import AGENCIES, FORM, PERIOD, SECTORS, load
from benchmarks.outcome import Comparison
from benchmarks.processes import Bench, sampled_peak
from benchmarks.reports import FIGURES, INDICATORS

_BARE = f"""
SELECT '{FORM}', h.form_version, a.code, h.period, r.codes[1], i.name, f.value, h.id, h.revision
  FROM reports h JOIN report_rows r ON r.report_id = h.id AND r.agency_id = h.agency_id
  JOIN agencies a ON a.id = h.agency_id
 CROSS JOIN LATERAL unnest(r.figures) WITH ORDINALITY AS f(value, place)
  JOIN unnest($3::text[]) WITH ORDINALITY AS i(name, place) ON i.place = f.place
 WHERE h.form_id = $1 AND h.period = $2 AND h.status = 'accepted' ORDER BY h.id, r.number
"""


@dataclass(frozen=True, slots=True)
class _Export:
    name: str
    path: str
    accept: str
    aim: str = "≥ 0.3"


_OBSERVATIONS = f"/v1/observations?form={FORM}&period={PERIOD}"
_SDMX = f"/sdmx/v2/data/dataflow/VNGOV/{FORM}/1.0.0?c[TIME_PERIOD]={PERIOD}"
_EXPORTS = (
    _Export("observations as CSV", _OBSERVATIONS, "text/csv"),
    _Export("observations as NDJSON", _OBSERVATIONS, "application/x-ndjson", ""),
    _Export("observations as Parquet", _OBSERVATIONS, "application/vnd.apache.parquet", ""),
    _Export("SDMX-CSV 2.0", _SDMX, "application/vnd.sdmx.data+csv;version=2.0.0"),
)


async def exports(bench: Bench, rounds: int) -> list[Comparison]:
    """Each export in turns with the COPY; the API's resident memory before and at its highest is beside it, in MB."""
    form = await load(bench)
    found = []
    async with bench.connected() as connection, bench.client() as client:

        async def bare() -> float:
            lines, began = _Lines(), time.perf_counter()
            await connection.copy_from_query(_BARE, form, PERIOD, INDICATORS, output=lines.add, format="csv")
            return lines.count / (time.perf_counter() - began)

        for export in _EXPORTS:
            pairs, before, peak = [], bench.api.process.memory_info().rss, 0
            for _ in range(rounds):
                copied = await bare()
                pulling = asyncio.create_task(_pulled(client, export))
                peak = max(peak, await sampled_peak(bench.api.process, pulling))
                pairs.append((copied, await pulling))
            notes = {"MB before": before / 1e6, "at most": peak / 1e6}
            found.append(Comparison(f"{export.name}, over COPY", "lines/s", pairs, export.aim, notes))
    return found


class _Lines:
    """Counts the lines of what comes in pieces."""

    count = 0

    async def add(self, piece: bytes) -> None:
        self.count += piece.count(b"\n")


async def _pulled(client: httpx.AsyncClient, export: _Export) -> float:
    """Lines a second of an export that is read as it comes. Of Parquet, which has none, the values are known."""
    lines, began = _Lines(), time.perf_counter()
    async with client.stream("GET", export.path, headers={"Accept": export.accept}) as answer:
        answer.raise_for_status()
        async for piece in answer.aiter_raw():
            await lines.add(piece)
    count = AGENCIES * SECTORS * FIGURES if "parquet" in export.accept else lines.count
    return count / (time.perf_counter() - began)
