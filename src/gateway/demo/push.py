"""The quarter of the whole country is pushed, while the upstream fails and the worker is killed."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from gateway.demo.errors import DemoError
from gateway.demo.figures import Report
from gateway.demo.remote import expect
from gateway.demo.show import number
from gateway.demo.stage import Stage
from gateway.domain.calendar import civil_date

DROPPED, STALLED = 40, 8
_PATIENCE = 60.0
_LEVELS = {
    "ministry": "Bộ, cơ quan ngang bộ · ministries",
    "province": "Ủy ban nhân dân cấp tỉnh · provinces",
    "department": "Sở, ban, ngành · departments",
    "commune": "Ủy ban nhân dân cấp xã · communes",
}


def tell_quarter(stage: Stage) -> None:
    """Which quarter is played, and why."""
    (current, earlier), show = stage.quarters, stage.show
    show.step("Báo cáo quý của cả nước", f"The country reports for {current.code}")
    cutoff = "is still ahead" if civil_date(datetime.now(UTC)) <= current.end else "has passed"
    show.say(
        f"Form II.06a/VPCP/KSTT, data from {current.start:%d/%m/%Y} to {current.end:%d/%m/%Y}, due on "
        f"{current.deadline:%d/%m/%Y}. Why this quarter: today decides what is late, and {earlier.code} was due on "
        f"{earlier.deadline:%d/%m/%Y}. So the demo plays the quarter whose deadline comes next (its cut-off {cutoff}). "
        "The agencies are the country's; their figures are invented, the same in each run."
    )


async def push_quarter(stage: Stage, batches: Sequence[Sequence[Report]]) -> float:
    """Push a batch for each province and one for the ministries; reports taken in a second."""
    total = sum(map(len, batches))
    outage_at, death_at = len(batches) // 3, 2 * len(batches) // 3
    done, seconds, warnings = 0, 0.0, Counter[str]()
    with stage.show.bar("Pushing", total) as bar:
        for place, batch in enumerate(batches):
            if place == outage_at:
                await _begin_outage(stage)
            if place == death_at:
                await _has_misbehaved(stage)
                stage.show.say("  The national system is back; what it hung up on is tried again in 5 s, then 30 s, …")
                await _misbehave(stage, "stall", STALLED)
            started = time.monotonic()
            warnings += await _push(stage, batch)
            seconds += time.monotonic() - started
            done += len(batch)
            bar.at(done)
            if place == death_at:
                await _kill_worker(stage)
    pid = await stage.processes.start("worker", "worker")
    stage.show.done(f"A new worker (pid {pid}) starts, and takes over what the killed one left.")
    _tell(stage, [report for batch in batches for report in batch], total / seconds, warnings)
    return total / seconds


async def _push(stage: Stage, batch: Sequence[Report]) -> Counter[str]:
    """Push one batch, of which every report must be taken; the rules of its findings."""
    answer = await expect(
        200,
        stage.local_systems.post(
            "/v1/reports/batch",
            content=b"\n".join(report.body() for report in batch),
            headers={"Content-Type": "application/x-ndjson"},
        ),
    )
    lines = [json.loads(line) for line in answer.text.splitlines()]
    if len(lines) != len(batch):
        raise DemoError(f"a batch of {len(batch)} reports was answered by {len(lines)} lines.")
    warnings = Counter[str]()
    for report, line in zip(batch, lines, strict=True):
        if line["status"] != "accepted":
            raise DemoError(f"the report of {report.agency} was not accepted: {json.dumps(line, ensure_ascii=False)}")
        deadline = stage.quarters.current.deadline
        is_late = deadline is not None and civil_date(datetime.fromisoformat(line["received_at"])) > deadline
        stage.require(line["late"] == is_late, f"{report.agency}: late is {line['late']}, not {is_late}")
        stage.accept(report, line)
        warnings.update({finding["rule"] for finding in line["findings"]})
    return warnings


def _tell(stage: Stage, reports: Sequence[Report], rate: float, warnings: Counter[str]) -> None:
    rows = []
    for level, title in _LEVELS.items():
        found = [report for report in reports if report.level == level]
        sectors = [row for report in found for row in report.rows]
        dossiers = sum(row.figures["received_total"] for row in sectors)
        rows.append((title, number(len(found)), number(len(sectors)), number(dossiers)))
    stage.show.table(("Who reported", "#reports", "#rows", "#dossiers received"), rows)
    stage.show.done(
        f"{number(len(reports))} reports accepted, all rules checked, each with a signed receipt: {rate:,.0f} a second."
    )
    if warnings["R6"]:
        stage.show.say(
            f"{number(warnings['R6'])} of them carry a warning by rule R6: the gateway has no earlier quarter yet to "
            "compare “carried over” with. A warning is kept with the report and refuses nothing."
        )


async def _misbehave(stage: Stage, mode: str, count: int) -> None:
    # Longer than a delivery attempt may take: who stalls is still stalling when the worker dies.
    told = {"mode": mode, "count": count, "seconds": 60}
    await expect(200, stage.sandbox.post("/behaviour", json=told))


async def _has_misbehaved(stage: Stage) -> None:
    """Wait until the sandbox has done what it was told to, and is itself again."""
    until = time.monotonic() + _PATIENCE
    while (await expect(200, stage.sandbox.get("/behaviour"))).json()["mode"] != "accept":
        if time.monotonic() > until:
            raise DemoError("the worker sends nothing: the sandbox still waits for deliveries to misbehave at.")
        await asyncio.sleep(0.05)


async def _begin_outage(stage: Stage) -> None:
    await _misbehave(stage, "drop", DROPPED)
    stage.show.trouble(
        f"Upstream outage: the national system hangs up on the next {DROPPED} deliveries. Pushing is not held up."
    )


async def _kill_worker(stage: Stage) -> None:
    await _has_misbehaved(stage)
    pid = await stage.processes.kill("worker")
    stage.show.trouble(
        f"kill -9 of the worker (pid {pid}), with {STALLED} deliveries arrived but not acknowledged. "
        "Pushing is not held up."
    )
