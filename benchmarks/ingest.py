"""Single reports: how many a second, over what the bare endpoint takes."""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from benchmarks.load import Load, request, send_all
from benchmarks.outcome import Comparison
from benchmarks.processes import Bench, Server
from benchmarks.reports import FIGURES, FIRST_WEEK, Keys, agencies, body

_WARM_UP = 200
_LOOKING_BACK = 600
"""Reports in a round of those that look back."""


@dataclass(frozen=True, slots=True)
class Round:
    load: Load
    server_seconds: float
    postgres_seconds: float

    def each(self, seconds: float) -> float:
        """Microseconds for each report."""
        return 1e6 * seconds / len(self.load.latencies)


@dataclass(slots=True)
class Ingest:
    """Pushes of one size to both endpoints, over so many connections.

    ``peer`` is another gateway to compare with, which takes the same requests; None is the bare endpoint.
    """

    bench: Bench
    keys: Keys
    form: str
    rows: int
    connections: int
    variants: Iterator[int]
    peer: Server | None = None

    def _requests(self, to_ours: bool, count: int) -> list[bytes]:
        is_gateway = to_ours or self.peer is not None
        port, found = self._server(to_ours).port, []
        for _ in range(count):
            # The bare endpoint has no keys that could clash, so ours are left whole for rules that look back.
            agency, period = next(self.keys) if is_gateway else (self.keys.codes[0], FIRST_WEEK)
            content = body(self.form, agency, period, self.rows, next(self.variants))
            headers = {"Content-Type": "application/json"}
            if is_gateway:
                headers["Authorization"] = f"Bearer {self.bench.token}"
                headers["Idempotency-Key"] = f"{self.form}/{agency}/{period}"
            found.append(request("/v1/reports" if is_gateway else "/bare", port, content, headers))
        return found

    def _server(self, to_ours: bool) -> Server:
        return self.bench.api if to_ours else self.peer or self.bench.bare

    async def round(self, to_ours: bool, count: int) -> Round:
        server = self._server(to_ours)
        requests = self._requests(to_ours, count)
        before = server.cpu_seconds(), self.bench.backends_seconds()
        load = await send_all(server.port, requests, self.connections)
        after = server.cpu_seconds(), self.bench.backends_seconds()
        return Round(load, after[0] - before[0], after[1] - before[1])

    async def compare(self, rounds: int, counts: tuple[int, int], name: str, aim: str) -> Comparison:
        """So many rounds of so many reports to the bare endpoint and to ours, in turns."""
        bare, ours = [], []
        for _ in range(rounds):
            bare.append(await self.round(False, counts[0]))
            ours.append(await self.round(True, counts[1]))
        rates = [(one.load.rate, other.load.rate) for one, other in zip(bare, ours, strict=True)]
        return Comparison(name, "reports/s", rates, aim, _notes(bare, ours))

    async def counts(self, seconds: float) -> tuple[int, int]:
        """How many reports the bare endpoint and ours take in about so long, after a warm-up."""
        rates = [(await self.round(to_ours, _WARM_UP)).load.rate for to_ours in (False, True)]
        bare, ours = (max(int(rate * seconds), 2 * self.connections) for rate in rates)
        return bare, ours


def _notes(bare: list[Round], ours: list[Round]) -> dict[str, float]:
    """Microseconds of CPU for each report, and milliseconds until its answer."""
    return {
        "API": median(each.each(each.server_seconds) for each in ours),
        "PostgreSQL": median(each.each(each.postgres_seconds) for each in ours),
        "client": median(each.each(each.load.client_seconds) for each in ours),
        "bare API": median(each.each(each.server_seconds) for each in bare),
        "bare PostgreSQL": median(each.each(each.postgres_seconds) for each in bare),
        "p50 ms": 1000 * median(each.load.percentile(0.5) for each in ours),
        "p99 ms": 1000 * median(each.load.percentile(0.99) for each in ours),
    }


async def single_reports(bench: Bench, keys: Keys, rounds: int, seconds: float, connections: int) -> list[Comparison]:
    """Reports of one row, 27 and 273, each of a key of its own."""
    variants = iter(range(10**9))
    found = []
    for rows, aim in ((1, ""), (27, "≥ 0.6"), (273, "")):
        ingest = Ingest(bench, keys, "BENCH_11", rows, connections, variants)
        name = f"POST /v1/reports, {rows * FIGURES:,} values"
        found.append(await ingest.compare(rounds, await ingest.counts(seconds), name, aim))
    return found


async def looking_back(bench: Bench, rounds: int, connections: int) -> Comparison:
    """Reports of 27 rows whose every row is compared with the week before: the same agencies, week after week."""
    keys = Keys(agencies()[:_LOOKING_BACK])
    ingest = Ingest(bench, keys, "BENCH_11_PREVIOUS", 27, connections, iter(range(10**9)))
    await ingest.round(True, _LOOKING_BACK)
    counts = (_LOOKING_BACK, _LOOKING_BACK)
    return await ingest.compare(rounds, counts, f"POST /v1/reports, {27 * FIGURES} values, looking back", "")
