"""Single reports: how many a second, over what the bare endpoint takes."""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from benchmarks.load import Load, request, send_all
from benchmarks.outcome import Comparison
from benchmarks.processes import Bench, Server, cpu_seconds
from benchmarks.reports import FIGURES, Keys, body

_WARM_UP = 200


@dataclass(frozen=True, slots=True)
class _Round:
    load: Load
    server_seconds: float
    postgres_seconds: float

    def each(self, seconds: float) -> float:
        """Microseconds for each report."""
        return 1e6 * seconds / len(self.load.latencies)


@dataclass(slots=True)
class Ingest:
    """Pushes of one size to both endpoints, over so many connections."""

    bench: Bench
    keys: Keys
    form: str
    rows: int
    connections: int
    _variants: Iterator[int]

    def _requests(self, to_ours: bool, count: int) -> list[bytes]:
        ours, bare, variants = self.bench.api, self.bench.bare, self._variants
        found = []
        for _ in range(count):
            agency, period = next(self.keys)
            content = body(self.form, agency, period, self.rows, next(variants))
            headers = {"Content-Type": "application/json"}
            if to_ours:
                headers["Authorization"] = f"Bearer {self.bench.token}"
                headers["Idempotency-Key"] = f"{self.form}/{agency}/{period}"
            server = ours if to_ours else bare
            found.append(request("/v1/reports" if to_ours else "/bare", server.port, content, headers))
        return found

    async def _round(self, to_ours: bool, count: int) -> _Round:
        server: Server = self.bench.api if to_ours else self.bench.bare
        requests = self._requests(to_ours, count)
        before = server.cpu_seconds(), cpu_seconds(self.bench.postgres)
        load = await send_all(server.port, requests, self.connections)
        after = server.cpu_seconds(), cpu_seconds(self.bench.postgres)
        return _Round(load, after[0] - before[0], after[1] - before[1])

    async def compare(self, rounds: int, seconds: float, name: str, aim: str) -> Comparison:
        """So many rounds of about so many seconds on either side, in turns, after a warm-up."""
        counts = {}
        for to_ours in (False, True):
            warm = await self._round(to_ours, _WARM_UP)
            counts[to_ours] = max(int(warm.load.rate * seconds), 2 * self.connections)
        pairs = [
            (await self._round(False, counts[False]), await self._round(True, counts[True])) for _ in range(rounds)
        ]
        ours, bare = [pair[1] for pair in pairs], [pair[0] for pair in pairs]
        return Comparison(
            name,
            "reports/s",
            [(one.load.rate, other.load.rate) for one, other in pairs],
            aim,
            {
                "API µs": median(each.each(each.server_seconds) for each in ours),
                "PG µs": median(each.each(each.postgres_seconds) for each in ours),
                "bare API µs": median(each.each(each.server_seconds) for each in bare),
                "bare PG µs": median(each.each(each.postgres_seconds) for each in bare),
                "client µs": median(each.each(each.load.client_seconds) for each in ours),
                "p99 ms": 1000 * median(each.load.percentile(0.99) for each in ours),
            },
        )


async def single_reports(bench: Bench, keys: Keys, rounds: int, seconds: float, connections: int) -> list[Comparison]:
    """Reports of one row, 27 and 273, and 27 with the rule that looks back at the preceding report."""
    variants = iter(range(10**9))
    found = []
    for rows, aim in ((1, ""), (27, "≥ 0.6"), (273, "")):
        ingest = Ingest(bench, keys, "BENCH_11", rows, connections, variants)
        name = f"POST /v1/reports, {rows * FIGURES:,} values"
        found.append(await ingest.compare(rounds, seconds, name, aim))
    return found
