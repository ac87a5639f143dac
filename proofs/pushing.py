"""Local systems that push over a new connection each time, to whichever API process takes them."""

import asyncio
import itertools
import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx

from gateway.catalog import bundled_agencies
from proofs.versions import PATIENCE


@dataclass(frozen=True, slots=True)
class Answer:
    """One push that was acknowledged: when, after how long, and by which port."""

    at: float
    seconds: float
    port: int
    report: str
    corrects: str | None


@dataclass(slots=True)
class Load:
    """Local systems that push, each report and then its correction, until told to stop."""

    token: str
    ports: list[int]
    answers: list[Answer] = field(default_factory=list)
    refusals: Counter[int] = field(default_factory=Counter)
    cut_off: list[tuple[int, float]] = field(default_factory=list)
    """By which port and when a connection was ended before there was an answer; the request was then repeated."""
    failures: list[str] = field(default_factory=list)
    is_over: bool = False

    async def push(self, given: Iterator[tuple[str, str]]) -> None:
        """Push one key after another."""
        without_keep_alive = httpx.Limits(max_keepalive_connections=0)
        async with httpx.AsyncClient(limits=without_keep_alive, timeout=PATIENCE, trust_env=False) as client:
            for number, (agency, period) in enumerate(given):
                if self.is_over:
                    return
                first = await self._push_one(client, _report(agency, period, number), None)
                if first is not None:
                    again = _report(agency, period, number + 1) | {"corrects": first, "reason": "số liệu được rà soát"}
                    await self._push_one(client, again, first)

    async def _push_one(self, client: httpx.AsyncClient, document: object, corrects: str | None) -> str | None:
        """Push a report to the first port that is open; its id, or None if anything but a closed port stopped it."""
        content = json.dumps(document, ensure_ascii=False).encode()
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Content-Type": "application/json",
            "Idempotency-Key": str(uuid4()),
        }
        until = time.monotonic() + PATIENCE
        for port in itertools.cycle(self.ports):
            began = time.monotonic()
            if began > until:
                self.failures.append("no port was open")
                return None
            try:
                answer = await client.post(f"http://127.0.0.1:{port}/v1/reports", content=content, headers=headers)
            except httpx.ConnectError:
                self.refusals[port] += 1
                await asyncio.sleep(0.01)
                continue
            except httpx.TransportError:
                self.cut_off.append((port, time.monotonic()))
                continue
            if answer.status_code != 201:
                self.failures.append(f"{answer.status_code} from port {port}: {answer.text[:300]}")
                return None
            report: str = answer.json()["id"]
            self.answers.append(Answer(began, time.monotonic() - began, port, report, corrects))
            return report
        return None


def keys() -> Iterator[tuple[str, str]]:
    """Keys of reports, each once; a year between two of one agency, since a rule compares one quarter with the last."""
    departments = [each["code"] for each in bundled_agencies() if re.fullmatch(r"H\d\d\.\d\d", each["code"])]
    in_force = [each["code"] for each in bundled_agencies() if each["valid_to"] is None]
    codes = sorted(set(departments) & set(in_force))
    return ((code, f"{year}-Q1") for year in range(2030, 2099, 2) for code in codes)


def _report(agency: str, period: str, number: int) -> dict[str, Any]:
    none = ("received_offline", "carried_over", "resolved_early", "resolved_late", "pending_total", "pending_in_time")
    same = ("received_total", "received_online", "resolved_total", "resolved_on_time")
    row = {"sector": "LAND", **dict.fromkeys(same, number + 1), **dict.fromkeys(none, 0), "pending_late": 0}
    return {"form": "TTHC_06A", "agency": agency, "period": period, "rows": [row]}
