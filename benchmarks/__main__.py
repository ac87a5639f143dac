"""``python -m benchmarks``: what the gateway's guarantees cost, as ratios to the bare thing in the same run."""

import asyncio
import tempfile
from pathlib import Path

import uvloop
from rich.console import Console

from benchmarks.ingest import single_reports
from benchmarks.outcome import as_table
from benchmarks.processes import running
from benchmarks.reports import Keys, agencies

out = Console(width=200)


async def main() -> None:
    with tempfile.TemporaryDirectory(prefix="gateway-bench-") as directory:
        async with running(Path(directory)) as bench:
            keys = Keys(agencies())
            found = await single_reports(bench, keys, 3, 1.5, 32)
            out.print(as_table("single", found))


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
