"""The national aggregate after five years of history, of a year by its quarters, and asked a hundred times at once."""

import asyncio
import time

import asyncpg
import duckdb
import httpx
import pyarrow
from benchmarks.national import PERIOD, QUESTIONS, SUMS, ask, bare_sums, load
from benchmarks.outcome import Comparison
from benchmarks.processes import Bench
from benchmarks.reports import FIGURES
from uuid_utils.compat import uuid7

from gateway.domain.period import parse_period

YEARS, AT_ONCE = range(2021, 2026), 100
CONNECTIONS = 10
_QUARTERS = [f"{year}-Q{quarter}" for year in YEARS for quarter in range(1, 5)]
_YEAR = "2024-Q1..2024-Q4"
_HEADS = """
WITH base AS (SELECT *, row_number() OVER (ORDER BY id) AS place FROM reports WHERE form_id = $1 AND period = $2)
INSERT INTO reports (id, agency_id, form_id, form_version, period, period_start, period_end, kind, revision, status,
                     client_id, received_at, sha256, findings, explanations, receipt)
SELECT ($3::uuid[])[place], agency_id, form_id, form_version, $4, $5, $6::date, kind, revision, status, client_id,
       $6::date + 10, sha256, findings, explanations, receipt FROM base
"""
_ROWS = """
INSERT INTO report_rows (year, agency_id, report_id, number, codes, figures)
SELECT $4::smallint, r.agency_id, n.id, r.number, r.codes, r.figures
  FROM reports b JOIN report_rows r ON r.report_id = b.id AND r.agency_id = b.agency_id
  JOIN reports n ON n.agency_id = b.agency_id AND n.form_id = b.form_id AND n.period = $3
 WHERE b.form_id = $1 AND b.period = $2
"""
_BY_QUARTER = f"""
SELECT h.period, {SUMS} FROM reports h JOIN report_rows r ON r.report_id = h.id AND r.agency_id = h.agency_id
 WHERE h.form_id = $1 AND h.period = ANY ($2) AND h.status = 'accepted' GROUP BY 1 ORDER BY 1
"""


async def _remember(bench: Bench, form: int) -> None:
    """Twenty quarters like the week that was loaded: two million rows, twenty-two million values."""
    async with bench.connected() as connection:
        count = await connection.fetchval(
            "SELECT count(*) FROM reports WHERE form_id = $1 AND period = $2", form, PERIOD
        )
        for quarter in _QUARTERS:
            period = parse_period(quarter)
            ids = [uuid7() for _ in range(count)]
            await connection.execute(_HEADS, form, PERIOD, ids, quarter, period.start, period.end)
            await connection.execute(_ROWS, form, PERIOD, quarter, period.end.year)
        for table in ("reports", "report_rows"):
            await connection.execute(f"VACUUM ANALYZE {table}")


async def history(bench: Bench, rounds: int) -> list[Comparison]:
    """Each question without history and with it; then a year by quarters, many at once, and DuckDB for scale."""
    form = await load(bench)
    async with bench.connected() as connection, bench.client() as client:

        async def asked(by: str) -> list[float]:
            return [(await ask(client, by))[0] for _ in range(rounds + 1)][1:]

        without = {question.name: await asked(question.by) for question in QUESTIONS}
        bare = [(await bare_sums(connection, QUESTIONS[0], form))[0] for _ in range(rounds + 1)][1:]
        await _remember(bench, form)
        found = []
        for question in QUESTIONS:
            pairs = list(zip(without[question.name], await asked(question.by), strict=True))
            found.append(Comparison(f"{question.name}, after five years over before", "ms", pairs, "≤ 1.2"))
        later = [(await bare_sums(connection, QUESTIONS[0], form))[0] for _ in range(rounds + 1)][1:]
        found.append(Comparison("the plain SQL itself, after over before", "ms", list(zip(bare, later, strict=True))))
        found.append(await _year(bench, client, form, rounds))
        found.append(await _at_once(bench, client, form, rounds))
        found.append(await _duckdb(bench, client, form, rounds))
    return found


async def _year(bench: Bench, client: httpx.AsyncClient, form: int, rounds: int) -> Comparison:
    quarters = [quarter for quarter in _QUARTERS if quarter.startswith("2024")]
    pairs = []
    async with bench.connected() as connection:
        for _ in range(rounds + 1):
            began = time.perf_counter()
            bare = await connection.fetch(_BY_QUARTER, form, quarters)
            milliseconds = 1000 * (time.perf_counter() - began)
            ours, answer = await ask(client, "period", _YEAR)
            if [list(row.values())[-FIGURES:] for row in answer["rows"]] != [[*map(int, row[1:])] for row in bare]:
                raise RuntimeError("the year by quarters differs from the plain sums")
            pairs.append((milliseconds, ours))
    return Comparison("a year by quarters, over plain SQL", "ms", pairs[1:], "≤ 1.5")


async def _at_once(bench: Bench, client: httpx.AsyncClient, form: int, rounds: int) -> Comparison:
    """A hundred pulls at once, over a hundred times the plain SQL on as many connections as the API has."""
    pairs = []
    async with asyncpg.create_pool(bench.database, min_size=CONNECTIONS, max_size=CONNECTIONS) as pool:
        for _ in range((rounds + 1) // 2):
            began = time.perf_counter()
            await asyncio.gather(*(pool.fetch(QUESTIONS[1].sql, form, PERIOD) for _ in range(AT_ONCE)))
            bare = time.perf_counter() - began
            began = time.perf_counter()
            await asyncio.gather(*(ask(client, QUESTIONS[1].by) for _ in range(AT_ONCE)))
            pairs.append((1000 * bare, 1000 * (time.perf_counter() - began)))
    return Comparison(f"{AT_ONCE} pulls at once by sector, over plain SQL", "ms", pairs)


async def _duckdb(bench: Bench, client: httpx.AsyncClient, form: int, rounds: int) -> Comparison:
    """The same figures summed by DuckDB from columns in memory, without a service around it."""
    async with bench.connected() as connection:
        rows = await connection.fetch(
            "SELECT r.codes[1], r.figures::bigint[] AS figures FROM reports h"
            " JOIN report_rows r ON r.report_id = h.id AND r.agency_id = h.agency_id"
            " WHERE h.form_id = $1 AND h.period = $2 AND h.status = 'accepted'",
            form,
            PERIOD,
        )
    columns = ", ".join(f"f{place} BIGINT" for place in range(FIGURES))
    with duckdb.connect() as engine:
        engine.execute(f"CREATE TABLE kept (sector TEXT, {columns})")
        engine.register(
            "loaded",
            pyarrow.table(
                {"sector": [row[0] for row in rows]}
                | {f"f{place}": [row[1][place] for row in rows] for place in range(FIGURES)}
            ),
        )
        engine.execute("INSERT INTO kept SELECT * FROM loaded")
        sums = ", ".join(f"sum(f{place})" for place in range(FIGURES))
        pairs = []
        for _ in range(rounds + 1):
            began = time.perf_counter()
            engine.execute(f"SELECT sector, {sums} FROM kept GROUP BY 1 ORDER BY 1").fetchall()
            milliseconds = 1000 * (time.perf_counter() - began)
            ours, _ = await ask(client, "sector")
            pairs.append((milliseconds, ours))
    return Comparison("by sector, over DuckDB in memory (for scale)", "ms", pairs[1:])
