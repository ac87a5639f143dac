"""Deliveries a second of one worker to an upstream on the same machine, over a bare loop that posts the same."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from subprocess import PIPE
from typing import Any
from uuid import UUID

import httpx
import psutil
from benchmarks.outbox import connector, drained, keep_reports
from benchmarks.outcome import Comparison
from benchmarks.processes import Bench, Server, cpu_seconds, free_port, spawned, started
from benchmarks.reports import FIGURES, Keys
from uuid_utils.compat import uuid7

from gateway.connectors.http_json import content_digest

AT_ONCE = 32
"""As many as a worker has places, unless told otherwise."""
FASTEST = 8
"""So many at once is what the bare loop is fastest with: the client's pool looks at every connection for each."""
_READY, _WARM_UP = 200, 300
"""Requests that the bare loop posts in turn; reports sent before anything is measured."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """The stub at work: where it answers, and where it never does."""

    server: Server
    url: str
    silent: str

    async def taken(self) -> dict[str, int]:
        """How many requests it answered so far, and the bytes of their bodies."""
        async with httpx.AsyncClient(trust_env=False) as client:
            found: dict[str, int] = (await client.get(self.url)).raise_for_status().json()
        return found


@contextmanager
def upstream() -> Iterator[Upstream]:
    """A stub for as long as the block runs."""
    port, silent = free_port(), free_port()
    with started([sys.executable, "-m", "benchmarks.stub", str(port), str(silent)], {}, port) as server:
        yield Upstream(server, f"http://127.0.0.1:{port}/reports", f"http://127.0.0.1:{silent}/reports")


@dataclass(slots=True)
class Sending:
    """Deliveries of the same reports, by the worker and by the bare loop."""

    bench: Bench
    stub: Upstream
    worker: psutil.Process
    reports: Sequence[UUID]
    rounds: int = 0

    async def ours(self) -> tuple[float, float, float]:
        """Seconds for all of them; CPU seconds of the worker and of PostgreSQL. Raises if any did not arrive."""
        self.rounds += 1
        async with connector(self.bench, f"upstream-{self.rounds}", self.stub.url) as number:
            await drained(self.bench, number, self.reports[:_WARM_UP])
        self.rounds += 1
        async with connector(self.bench, f"upstream-{self.rounds}", self.stub.url) as number:
            arrived = (await self.stub.taken())["requests"]
            before = cpu_seconds(self.worker), self.bench.backends_seconds()
            seconds = await drained(self.bench, number, self.reports)
            after = cpu_seconds(self.worker), self.bench.backends_seconds()
            arrived = (await self.stub.taken())["requests"] - arrived
        if arrived != len(self.reports):
            raise RuntimeError(f"{arrived} requests arrived for {len(self.reports)} deliveries")
        return seconds, after[0] - before[0], after[1] - before[1]

    def bare(self, requests: str, at_once: int) -> float:
        """Seconds for as many."""
        command = [sys.executable, "-m", "benchmarks.posting", self.stub.url, requests]
        with spawned([*command, str(len(self.reports)), str(at_once)], {}, stdout=PIPE) as loop:
            told, _ = loop.communicate()
        return float(told)


async def _requests(bench: Bench, reports: Sequence[UUID]) -> list[Any]:
    """What reaches the upstream for each report: the headers that tell of it, and the body."""
    async with bench.client() as client:
        bodies = [
            (report, (await client.get(f"/v1/reports/{report}")).raise_for_status().content) for report in reports
        ]
    return [(_headers(report, body), body.decode()) for report, body in bodies]


def _headers(report: UUID, body: bytes) -> dict[str, str]:
    return {
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "User-Agent": "report-gateway",
        "webhook-id": str(uuid7()),
        "webhook-timestamp": "1795392000",
        "Content-Type": "application/json",
        "Content-Digest": content_digest(body),
        "Idempotency-Key": f"{report}:accepted",
    }


async def deliveries(bench: Bench, keys: Keys, rounds: int, count: int) -> list[Comparison]:
    """So many reports in a round, of one row and of 27; the bare loop also with fewer at once, which is its fastest."""
    found = []
    with upstream() as stub, bench.worker() as worker:
        for rows, aim in ((1, ""), (27, "≥ 0.7")):
            reports = await keep_reports(bench, keys, count, rows)
            file = bench.directory / "requests.json"
            file.write_text(json.dumps(await _requests(bench, reports[:_READY])))
            sending = Sending(bench, stub, worker, reports)
            seconds, costs = [], []
            for _ in range(rounds):
                same, fastest = sending.bare(str(file), AT_ONCE), sending.bare(str(file), FASTEST)
                ours, *cpu = await sending.ours()
                seconds.append((same, fastest, ours))
                costs.append(cpu)
            worker_cpu, postgres = (1e6 * median(each) / count for each in zip(*costs, strict=True))
            notes = {"worker": worker_cpu, "PostgreSQL": postgres}
            for bare, at_once in enumerate((AT_ONCE, FASTEST)):
                name = f"deliveries of {rows * FIGURES} values, over a bare loop of {at_once} at once"
                rates = [(count / each[bare], count / each[2]) for each in seconds]
                found.append(Comparison(name, "deliveries/s", rates, aim, {} if bare else notes))
    return found
