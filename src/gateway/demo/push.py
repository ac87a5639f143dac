"""The period of the whole country is pushed, while the upstream fails and the worker is killed."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from gateway.demo.errors import DemoError
from gateway.demo.figures import Report
from gateway.demo.periods import REGIME, TOP
from gateway.demo.remote import expect
from gateway.demo.show import number
from gateway.demo.stage import Stage
from gateway.domain.calendar import civil_date

DROPPED, STALLED = 9, 8
"""Fewer than open the breaker of a connector: its pause would lengthen the demonstration, not the story."""
_PATIENCE = 60.0
_SHOWN = 2
Warnings = Counter[tuple[str, str]]
"""How many reports have a finding, by its rule and message."""
_LEVELS = {
    "ministry": "Bộ, cơ quan ngang bộ · ministries",
    "province": "Ủy ban nhân dân cấp tỉnh · provinces",
    "department": "Sở, ban, ngành · departments",
    "commune": "Ủy ban nhân dân cấp xã · communes",
}


def tell_period(stage: Stage) -> None:
    """Which period is played, and why."""
    current, earlier, _ = stage.periods
    stage.show.step("Kỳ báo cáo của cả nước", f"The country reports for {current.code}")
    cutoff = "is still ahead" if civil_date(datetime.now(UTC)) <= current.cutoff else "has passed"
    due = ", ".join(f"{level} {day:%d/%m}" for level, day in current.deadlines.items())
    stage.show.say(
        f"Form II.06a/VPCP/KSTT, by regime {REGIME}: every agency reports Q1, Q2, Q3 and the year. Why {current.code}: "
        f"today decides what is late; {earlier.code} was due on {earlier.deadlines[TOP]:%d/%m/%Y}, and the deadline "
        f"that comes next is {current.deadlines[TOP]:%d/%m/%Y} (by level: {due}). Its data run from "
        f"{current.start:%d/%m/%Y} to {current.cutoff:%d/%m/%Y}; that cut-off {cutoff}. "
        "The agencies are the country's; their figures are invented, the same in each run."
    )


async def push_country(stage: Stage, batches: Sequence[Sequence[Report]]) -> float:
    """Push a batch for each province and one for the ministries; reports taken in a second."""
    total = sum(map(len, batches))
    outage_at, death_at = len(batches) // 3, 2 * len(batches) // 3
    done, seconds, warnings = 0, 0.0, Warnings()
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


async def _push(stage: Stage, batch: Sequence[Report]) -> Warnings:
    """Push one batch, of which every report must be taken."""
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
    warnings = Warnings()
    for report, line in zip(batch, lines, strict=True):
        if line["status"] != "accepted":
            raise DemoError(f"the report of {report.agency} was not accepted: {json.dumps(line, ensure_ascii=False)}")
        is_late = stage.periods.current.is_late(report.level, datetime.fromisoformat(line["received_at"]))
        stage.require(line["late"] == is_late, f"{report.agency}: late is {line['late']}, not {is_late}")
        stage.accept(report, line)
        if is_late:
            stage.late.add(report.agency)
        warnings.update({(finding["rule"], finding["message"]) for finding in line["findings"]})
    return warnings


def _tell(stage: Stage, reports: Sequence[Report], rate: float, warnings: Warnings) -> None:
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
    if warnings:
        stage.show.say("Warnings are kept with a report and refuse nothing:")
        for (_, message), count in sorted(warnings.items(), key=lambda each: (-each[1], each[0]))[:_SHOWN]:
            stage.show.say(f"  {number(count)} × {message}")
        if len(warnings) > _SHOWN:
            rules = {rule for rule, _ in warnings}
            stage.show.say(f"  … {len(warnings) - _SHOWN} more of the kind; rules: {', '.join(sorted(rules))}")


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
