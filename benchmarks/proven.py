"""What proof costs: pushes whose token is checked and whose receipt is signed, over the same with neither."""

import sys

from benchmarks.ingest import Ingest
from benchmarks.outcome import Comparison
from benchmarks.processes import Bench, free_port, started
from benchmarks.reports import FIGURES, Keys


async def proven(bench: Bench, keys: Keys, rounds: int, seconds: float, connections: int) -> list[Comparison]:
    """Reports of 27 rows to the gateway as it is, and to one that believes whoever comes and signs nothing."""
    port = free_port()
    environment = bench.environment | {"GATEWAY_PORT": str(port)}
    with started([sys.executable, "-m", "benchmarks.unproven"], environment, port) as unproven:
        ingest = Ingest(bench, keys, "BENCH_11", 27, connections, iter(range(10**9, 2 * 10**9)), unproven)
        counts = await ingest.counts(seconds)
        name = f"POST /v1/reports, {27 * FIGURES} values, with token and receipt"
        return [await ingest.compare(rounds, counts, name, "≥ 0.85")]
