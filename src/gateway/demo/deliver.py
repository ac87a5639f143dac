"""Nothing was lost on the way up: what was accepted here is what the national system has."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from gateway.demo.push import DROPPED, STALLED
from gateway.demo.remote import every, expect
from gateway.demo.show import number
from gateway.demo.stage import Notice, Stage

_PATIENCE = 60.0
"""Seconds without a single arrival after which nothing more is waited for."""
_ARRIVALS = 100_000


async def check_deliveries(stage: Stage) -> float:
    """Wait for the last delivery, then compare both ends; deliveries in a second, outage and kill included."""
    show = stage.show
    show.step("Chuyển lên hệ thống quốc gia", "What the national system has")
    started = time.monotonic()
    await _wait(stage)
    show.say(f"Waited {time.monotonic() - started:.1f} s for the last of {number(len(stage.owed))} deliveries.")
    deliveries = await every(stage.operator, "/v1/deliveries", connector="national")
    asked = {"limit": _ARRIVALS}
    arrivals = (await expect(200, stage.sandbox.get("/received", params=asked))).json()["items"]
    _compare(stage, deliveries, arrivals)
    times = [datetime.fromisoformat(each["first_at"]) for each in arrivals]
    return len(times) / (max(times) - min(times)).total_seconds() if len(times) > 1 else 0.0


async def _wait(stage: Stage) -> None:
    """Until nothing is open any more, or nothing moves."""
    moved, last = time.monotonic(), -1
    with stage.show.bar("Delivering", len(stage.owed)) as bar:
        while time.monotonic() - moved < _PATIENCE:
            arrived = (await expect(200, stage.sandbox.get("/received", params={"limit": 1}))).json()["total"]
            bar.at(arrived)
            if arrived != last:
                moved, last = time.monotonic(), arrived
            elif not await _is_anything_open(stage):
                return
            await asyncio.sleep(0.3)


async def _is_anything_open(stage: Stage) -> bool:
    pages = [
        await expect(200, stage.operator.get("/v1/deliveries", params={"state": state, "limit": 1}))
        for state in ("pending", "sending")
    ]
    return any(page.json()["items"] for page in pages)


def _compare(stage: Stage, deliveries: Sequence[Mapping[str, Any]], arrivals: Sequence[Mapping[str, Any]]) -> None:
    show, owed = stage.show, stage.owed
    came: dict[Notice, Mapping[str, Any]] = {(each["id"], each["event"]): each for each in arrivals}
    lost, strange = owed.keys() - came.keys(), came.keys() - owed.keys()
    changed = [key for key in owed.keys() & came.keys() if owed[key] and owed[key] != came[key]["report_sha256"]]
    states = Counter(each["state"] for each in deliveries)
    again = sum(each["count"] - 1 for each in arrivals)
    tries = Counter(each["attempts"] for each in deliveries)
    returned = sum(event == "returned" for _, event in owed)
    consolidations = sum((each["kind"], each["state"]) == ("consolidation", "delivered") for each in deliveries)
    show.facts(
        {
            "Accepted here": number(len(owed) - returned),
            "Returned here": number(returned),
            "Arrived at the national system, each counted once": number(len(came)),
            "… consolidations among them": number(consolidations),
            "Lost": number(len(lost)),
            "Arrived though never accepted": number(len(strange)),
            "Arrived with another hash than the receipt's": number(len(changed)),
            "Arrived again after the kill, recognised by their id": number(again),
            **{f"Taken at attempt {made}": number(count) for made, count in sorted(tries.items())},
        }
    )
    stage.require(not lost, f"{len(lost)} deliveries did not arrive")
    stage.require(not strange, f"{len(strange)} arrivals were never accepted")
    stage.require(not changed, f"{len(changed)} reports arrived changed")
    stage.require(states == {"delivered": len(owed)}, f"the deliveries' states are {dict(states)}, of {len(owed)}")
    stage.require(again >= STALLED, f"only {again} arrived again: the kill came to nothing")
    retries = sum((made - 1) * count for made, count in tries.items())
    stage.require(retries >= DROPPED + STALLED, f"only {retries} attempts were repeated: the troubles came to nothing")
    _require_order(stage, arrivals, {each["report"]: (each["form"], each["kind"]) for each in deliveries})
    if not (lost or strange or changed):
        show.done("An outage and a kill -9 later: nothing lost, nothing doubled, every revision in order.")


def _require_order(
    stage: Stage, newest_first: Sequence[Mapping[str, Any]], kinds: Mapping[str, tuple[str, str]]
) -> None:
    """Of one report's revisions, the later arrives later; ``kinds`` has the form and kind of each by its id."""
    last: dict[tuple[str, ...], int] = {}
    for each in reversed(newest_first):
        if each["event"] == "accepted":
            key = (each["agency"], each["period"], *kinds.get(each["id"], ()))
            stage.require(each["revision"] > last.get(key, 0), f"revisions of {key} arrived out of order")
            last[key] = each["revision"]
