"""Obligations and completeness over the HTTP API, over the plainest SQL they rest on: the current reports of a period.

The country as it may become: about 5,000 agencies, fifty regimes, and five years of reports of one of them.
"""

import io
import time
from collections.abc import Awaitable, Callable, Iterator

import httpx
from benchmarks.outcome import Comparison
from benchmarks.processes import Bench
from uuid_utils.compat import uuid7

from gateway.domain.period import parse_period

_FORM, _PERIOD = "REGIME_01", "2026-Q3"
_HISTORY = [f"{year}-Q{quarter}" for year in range(2022, 2027) for quarter in (1, 2, 3)]
_MISSING = 20
"""Of so many agencies, one has not reported."""


async def _load(bench: Bench) -> tuple[int, int]:
    """Heads of reports of five years, as if they had been received; the form's key, and how many agencies there are."""
    async with bench.connected() as connection:
        ids = dict(await connection.fetch("SELECT code, id FROM agencies"))
        form = await connection.fetchval("SELECT id FROM forms WHERE code = $1", _FORM)
        await connection.copy_to_table(
            "reports", source=io.BytesIO("".join(_heads(form, sorted(ids.values()))).encode()), columns=_HEAD
        )
        await connection.execute("ANALYZE reports")
    return int(form), len(ids)


def _heads(form: int, ids: list[int]) -> Iterator[str]:
    for code in _HISTORY:
        period = parse_period(code)
        for place, agency in enumerate(ids):
            if place % _MISSING:
                yield (
                    f"{uuid7()}\t{agency}\t{form}\t1\t{code}\t{period.start}\t{period.end}\town\t1\taccepted\t{uuid7()}"
                    f"\t{period.end}T09:00:00Z\tf\t\\\\x00\t[]\t[]\t-\n"
                )


_HEAD = ["id", "agency_id", "form_id", "form_version", "period", "period_start", "period_end", "kind", "revision"]
_HEAD += ["status", "client_id", "received_at", "late", "sha256", "findings", "explanations", "receipt"]
_BARE = """
SELECT agency_id, kind, id, revision, status, nil, late, received_at FROM reports
 WHERE form_id = $1 AND period = $2 AND status IN ('accepted', 'returned')
"""


async def what_is_owed(bench: Bench, rounds: int) -> list[Comparison]:
    """A page and the whole of a period's obligations, and the country's completeness by province."""
    form, count = await _load(bench)
    questions: dict[str, tuple[Callable[[httpx.AsyncClient], Awaitable[object]], str]] = {
        f"GET /v1/obligations of a period, {count:,} agencies, first page of 1,000": (_page, "≤ 200 ms"),
        "the same, all pages": (_all_pages, ""),
        "GET /v1/completeness of the country by province": (_completeness, "≤ 100 ms"),
    }
    found = []
    async with bench.connected() as connection, bench.client() as client:
        for name, (ask, aim) in questions.items():
            pairs = []
            for _ in range(rounds + 1):
                began = time.perf_counter()
                await connection.fetch(_BARE, form, _PERIOD)
                bare = 1000 * (time.perf_counter() - began)
                began = time.perf_counter()
                await ask(client)
                pairs.append((bare, 1000 * (time.perf_counter() - began)))
            found.append(Comparison(name, "ms", pairs[1:], aim))
    return found


async def _page(client: httpx.AsyncClient, cursor: str | None = None) -> str | None:
    asked = {"form": _FORM, "period": _PERIOD, "limit": "1000"} | ({"cursor": cursor} if cursor else {})
    answer = (await client.get("/v1/obligations", params=asked)).raise_for_status().json()
    following: str | None = answer["next"]
    return following


async def _all_pages(client: httpx.AsyncClient) -> None:
    cursor = await _page(client)
    while cursor is not None:
        cursor = await _page(client, cursor)


async def _completeness(client: httpx.AsyncClient) -> None:
    asked = {"form": _FORM, "period": _PERIOD, "by": "agency"}
    answer = (await client.get("/v1/completeness", params=asked)).raise_for_status().json()
    if answer["expected"] != answer["received"] + answer["missing"] or not answer["received"]:
        raise RuntimeError(f"the counts do not add up: {answer}")
