"""The national aggregate over the HTTP API, over the plainest SQL that gives the same figures."""

import io
import json
import time
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx
from benchmarks.outcome import Comparison
from benchmarks.processes import Bench
from benchmarks.reports import FIGURES, agencies, rows
from uuid_utils.compat import uuid7

from gateway.domain.period import parse_period

AGENCIES, SECTORS = 3355, 30
FORM, PERIOD = "BENCH_11", "2025-W40"
"""A week that nothing else is reported for."""

SUMS = ", ".join(f"sum(r.figures[{place}])" for place in range(1, FIGURES + 1))
_FROM = """
  FROM reports h JOIN report_rows r ON r.report_id = h.id AND r.agency_id = h.agency_id
 WHERE h.form_id = $1 AND h.period = $2 AND h.status = 'accepted'
"""


@dataclass(frozen=True, slots=True)
class Question:
    name: str
    by: str
    sql: str


QUESTIONS = (
    Question("whole country", "", f"SELECT {SUMS} {_FROM}"),
    Question("by sector", "sector", f"SELECT r.codes[1], {SUMS} {_FROM} GROUP BY 1 ORDER BY 1"),
    Question(
        "by ministry and province",
        "agency",
        f"SELECT split_part(a.code, '.', 1), {SUMS} {_FROM.replace('WHERE', 'AND')} GROUP BY 1 ORDER BY 1".replace(
            "FROM reports h", "FROM agencies a JOIN reports h ON h.agency_id = a.id"
        ),
    ),
)


async def load(bench: Bench) -> int:
    """The country's reports, copied into the gateway's own tables as if they had been received; the form's number."""
    async with bench.connected() as connection:
        form = await connection.fetchval("SELECT id FROM forms WHERE code = $1", FORM)
        if await connection.fetchval("SELECT EXISTS (SELECT FROM reports WHERE period = $1)", PERIOD):
            return int(form)
    heads, figures = [], []
    period = parse_period(PERIOD)
    async with bench.connected() as connection:
        ids = dict(await connection.fetch("SELECT code, id FROM agencies"))
        for variant, agency in enumerate(agencies()[:AGENCIES]):
            number, report = ids[agency], uuid7()
            heads.append(
                f"{report}\t{number}\t{form}\t1\t{PERIOD}\t{period.start}\t{period.end}\town\t1\taccepted\t{uuid7()}"
                "\t2025-10-01T00:00:00Z\t\\\\x00\t[]\t[]\t-\n"
            )
            head = f"{period.end.year}\t{number}\t{report}"
            figures += [f"{head}\t{place}\t{row.copy}\n" for place, row in enumerate(rows(SECTORS, variant))]
        await connection.copy_to_table("reports", source=_file(heads), columns=_HEAD)
        await connection.copy_to_table("report_rows", source=_file(figures), columns=_ROW)
        await connection.execute("ANALYZE reports")
        await connection.execute("ANALYZE report_rows")
    return int(form)


def _file(lines: list[str]) -> io.BytesIO:
    return io.BytesIO("".join(lines).encode())


_HEAD = ["id", "agency_id", "form_id", "form_version", "period", "period_start", "period_end", "kind", "revision"]
_HEAD += ["status", "client_id", "received_at", "sha256", "findings", "explanations", "receipt"]
_ROW = ["year", "agency_id", "report_id", "number", "codes", "figures"]


async def ask(client: httpx.AsyncClient, by: str, period: str = PERIOD) -> tuple[float, dict[str, Any]]:
    """Milliseconds that an aggregate takes, and what it says."""
    parameters = {"form": FORM, "period": period} | ({"by": by} if by else {})
    began = time.perf_counter()
    answer = await client.get("/v1/aggregates", params=parameters)
    milliseconds = 1000 * (time.perf_counter() - began)
    return milliseconds, json.loads(answer.raise_for_status().content)


async def bare_sums(connection: asyncpg.Connection, question: Question, form: int) -> tuple[float, list[Any]]:
    """Milliseconds that PostgreSQL takes for the plain sums, and what they are."""
    began = time.perf_counter()
    bare = await connection.fetch(question.sql, form, PERIOD)
    return 1000 * (time.perf_counter() - began), bare


async def national_aggregate(bench: Bench, rounds: int) -> list[Comparison]:
    """The same sums asked of the API and of PostgreSQL in turns; what they give is compared, too."""
    form = await load(bench)
    found = []
    async with bench.connected() as connection, bench.client() as client:
        for question in QUESTIONS:
            pairs = []
            for _ in range(rounds + 1):
                milliseconds, bare = await bare_sums(connection, question, form)
                ours, answer = await ask(client, question.by)
                _require_equal(bare, answer["rows"])
                pairs.append((milliseconds, ours))
            name = f"GET /v1/aggregates, {question.name}"
            found.append(Comparison(name, "ms", pairs[1:], "≤ 1.5"))
    return found


def _require_equal(bare: list[Any], ours: list[dict[str, Any]]) -> None:
    expected = sorted([int(value) for value in row[-FIGURES:]] for row in map(tuple, bare))
    given = sorted(list(row.values())[-FIGURES:] for row in ours if row.get("own") is not True or row["received_total"])
    if given != expected:
        raise RuntimeError(f"the aggregate differs from the plain sum: {given[:2]} instead of {expected[:2]}")
