"""``python -m benchmarks``: what the gateway's guarantees cost, as ratios to the bare thing in the same run."""

import asyncio
import json
import os
import platform
import signal
import tempfile
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from benchmarks.batch import batches, memory
from benchmarks.confronted import confronted
from benchmarks.dead_upstream import dead_upstream
from benchmarks.delivery import deliveries
from benchmarks.exports import exports
from benchmarks.fairness import fairness
from benchmarks.held_snapshot import held_snapshot
from benchmarks.history import history
from benchmarks.ingest import looking_back, single_reports
from benchmarks.log import verified
from benchmarks.national import national_aggregate
from benchmarks.obligations import what_is_owed
from benchmarks.outcome import Comparison, Memory, as_table, memory_table
from benchmarks.processes import Bench, running
from benchmarks.proven import proven
from benchmarks.queues import queues
from benchmarks.reports import Keys, agencies
from rich.console import Console

from gateway.api.batch import MOST_LINES

LONGEST_SECONDS = 1800
"""After which a run gives up: something is wrong with it or with the machine."""

out = Console(width=None if os.isatty(1) else 160)


class Part(StrEnum):
    """What can be measured by itself; ``delivery`` is the five that follow it."""

    ingest = "ingest"
    proven = "proven"
    batch = "batch"
    memory = "memory"
    national = "national"
    exports = "exports"
    history = "history"
    obligations = "obligations"
    log = "log"
    delivery = "delivery"
    sending = "sending"
    queues = "queues"
    dead_upstream = "dead-upstream"
    fairness = "fairness"
    held_snapshot = "held-snapshot"


_DELIVERY = {Part.sending, Part.queues, Part.dead_upstream, Part.fairness, Part.held_snapshot}


@dataclass(frozen=True, slots=True)
class Size:
    """How much to measure."""

    rounds: int
    seconds: float
    connections: int
    reports: int


async def _ingest(bench: Bench, keys: Keys, size: Size) -> list[Comparison]:
    found = await single_reports(bench, keys, size.rounds, size.seconds, size.connections)
    return [*found, await looking_back(bench, size.rounds, size.connections)]


async def _log(bench: Bench, keys: Keys, size: Size) -> list[Comparison]:
    return [*await verified(size.rounds), *await confronted(bench, keys, size.rounds)]


_COMPARISONS: dict[Part, tuple[str, Callable[[Bench, Keys, Size], Awaitable[list[Comparison]]]]] = {
    Part.national: (
        "The national aggregate, over the plainest SQL: lower is better",
        lambda bench, keys, size: national_aggregate(bench, 2 * size.rounds),
    ),
    Part.exports: (
        "Exports of a million values, over a bare COPY of them",
        lambda bench, keys, size: exports(bench, size.rounds),
    ),
    Part.history: (
        "Aggregates with five years of history: lower is better",
        lambda bench, keys, size: history(bench, 2 * size.rounds),
    ),
    Part.obligations: (
        "What is owed, over the plainest SQL it rests on: lower is better",
        lambda bench, keys, size: what_is_owed(bench, 2 * size.rounds),
    ),
    Part.ingest: ("Single reports, over a bare endpoint", _ingest),
    Part.proven: (
        "Pushes with a token and a receipt, over the same without",
        lambda bench, keys, size: proven(bench, keys, size.rounds, size.seconds, size.connections),
    ),
    Part.batch: (
        "Batches, over a bare COPY",
        lambda bench, keys, size: batches(bench, keys, size.rounds, values=300_000),
    ),
    Part.log: (
        "A log verified offline, over a bare SHA-256 of its lines; tables against it, over reading and hashing them",
        _log,
    ),
    Part.sending: (
        "Deliveries of one worker, over a bare httpx loop",
        lambda bench, keys, size: deliveries(bench, keys, size.rounds, size.reports),
    ),
    Part.queues: (
        "A queue whose jobs do nothing, over others",
        lambda bench, keys, size: queues(bench, keys, size.rounds, size.reports),
    ),
    Part.dead_upstream: (
        "Healthy upstreams beside a dead one, over without it: lower is better",
        lambda bench, keys, size: dead_upstream(bench, keys, size.rounds, 3 * size.seconds),
    ),
    Part.fairness: (
        "Upstreams with little waiting beside one with much, over beside their like: lower is better",
        lambda bench, keys, size: fairness(bench, keys, size.rounds),
    ),
    Part.held_snapshot: (
        "Claims while a transaction is held open, over without: lower is better",
        lambda bench, keys, size: held_snapshot(bench, keys, (size.rounds + 1) // 2, size.reports),
    ),
}


async def measure(parts: Collection[Part], size: Size) -> list[Comparison | Memory]:
    """Run parts in one go on one fresh database, showing each as it is done."""
    found: list[Comparison | Memory] = []
    running_task = asyncio.current_task()
    if running_task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running_task.cancel)
    with tempfile.TemporaryDirectory(prefix="gateway-bench-") as directory:
        async with asyncio.timeout(LONGEST_SECONDS), running(Path(directory)) as bench:
            keys = Keys(agencies())
            for part, (title, compare) in _COMPARISONS.items():
                if part in parts or (part in _DELIVERY and Part.delivery in parts):
                    compared = await compare(bench, keys, size)
                    out.print(as_table(title, compared))
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
    reports: Annotated[
        int,
        typer.Option(min=500, max=MOST_LINES, help="Delivered in a round; four times as many of jobs that do nothing."),
    ] = 2000,
    to: Annotated[Path | None, typer.Option("--json", help="A file for the results.")] = None,
) -> None:
    """Measure the gateway against the bare thing, on an embedded PostgreSQL that flushes every commit."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(measure(parts or list(Part), Size(rounds, seconds, connections, reports)))
    if to is not None:
        about = {"at": f"{datetime.now(UTC):%Y-%m-%dT%H:%MZ}", "cpus": os.cpu_count(), "machine": platform.platform()}
        to.write_text(json.dumps(about | {"results": [each.as_json() for each in found]}, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    benchmarks = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    benchmarks.command()(main)
    benchmarks()
