"""``python -m benchmarks``: what the gateway's guarantees cost, as ratios to the bare thing in the same run."""

import asyncio
import json
import os
import platform
import signal
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from benchmarks.batch import batches, memory
from benchmarks.ingest import looking_back, single_reports
from benchmarks.national import national_aggregate
from benchmarks.obligations import what_is_owed
from benchmarks.outcome import Comparison, Memory, as_table, memory_table
from benchmarks.processes import running
from benchmarks.reports import Keys, agencies
from rich.console import Console

LONGEST_SECONDS = 600
"""After which a run gives up: something is wrong with it or with the machine."""

out = Console(width=None if os.isatty(1) else 160)


class Part(StrEnum):
    """What can be measured by itself."""

    ingest = "ingest"
    batch = "batch"
    memory = "memory"
    national = "national"
    obligations = "obligations"


async def measure(parts: Sequence[Part], rounds: int, seconds: float, connections: int) -> list[Comparison | Memory]:
    """Run parts in one go on one fresh database, showing each as it is done."""
    found: list[Comparison | Memory] = []
    running_task = asyncio.current_task()
    if running_task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running_task.cancel)
    with tempfile.TemporaryDirectory(prefix="gateway-bench-") as directory:
        async with asyncio.timeout(LONGEST_SECONDS), running(Path(directory)) as bench:
            keys = Keys(agencies())
            if Part.national in parts:
                compared = await national_aggregate(bench, 2 * rounds)
                out.print(as_table("The national aggregate, over the plainest SQL: lower is better", compared))
                found += compared
            if Part.obligations in parts:
                compared = await what_is_owed(bench, 2 * rounds)
                out.print(as_table("What is owed, over the plainest SQL it rests on: lower is better", compared))
                found += compared
            if Part.ingest in parts:
                compared = await single_reports(bench, keys, rounds, seconds, connections)
                compared.append(await looking_back(bench, rounds, connections))
                out.print(as_table("Single reports, over a bare endpoint", compared))
                found += compared
            if Part.batch in parts:
                compared = await batches(bench, keys, rounds, values=300_000)
                out.print(as_table("Batches, over a bare COPY", compared))
                found += compared
            if Part.memory in parts:
                measured = await memory(bench, keys)
                out.print(memory_table(measured))
                found += measured
    return found


def main(
    parts: Annotated[list[Part] | None, typer.Argument(help="All of them if absent.")] = None,
    rounds: Annotated[int, typer.Option(min=1, max=100, help="Bare and ours, in turns, so many times.")] = 5,
    seconds: Annotated[float, typer.Option(min=0.1, max=60, help="Of one round of single reports, about.")] = 1.5,
    connections: Annotated[int, typer.Option(min=1, max=500, help="That single reports come over.")] = 32,
    to: Annotated[Path | None, typer.Option("--json", help="A file for the results.")] = None,
) -> None:
    """Measure the gateway against the bare thing, on an embedded PostgreSQL that flushes every commit."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(measure(parts or list(Part), rounds, seconds, connections))
    if to is not None:
        about = {"at": f"{datetime.now(UTC):%Y-%m-%dT%H:%MZ}", "cpus": os.cpu_count(), "machine": platform.platform()}
        to.write_text(json.dumps(about | {"results": [each.as_json() for each in found]}, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    benchmarks = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    benchmarks.command()(main)
    benchmarks()
