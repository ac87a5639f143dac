"""What the steps of the demonstration share."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from gateway.demo.errors import DemoError
from gateway.demo.figures import FORM, Report
from gateway.demo.ledger import INDICATORS, Figures, Ledger
from gateway.demo.periods import Periods
from gateway.demo.processes import Processes
from gateway.demo.remote import expect
from gateway.demo.show import Show

Notice = tuple[str, str]
"""A report's id and what the national system is told of it: accepted, returned."""


@dataclass(slots=True)
class Stage:
    """The processes, a connection for each of the systems that take part, and the demonstration's own count."""

    directory: Path
    show: Show
    processes: Processes
    periods: Periods
    local_systems: httpx.AsyncClient
    hanoi: httpx.AsyncClient
    national: httpx.AsyncClient
    operator: httpx.AsyncClient
    sandbox: httpx.AsyncClient
    ledger: Ledger = field(default_factory=Ledger)
    current: dict[str, str] = field(default_factory=dict)
    """The id of each agency's current report of the period."""
    late: set[str] = field(default_factory=set)
    """Agencies whose report of the period came after their deadline."""
    owed: dict[Notice, str] = field(default_factory=dict)
    """What the national system must have at the end, with the hash of the report."""
    faults: list[str] = field(default_factory=list)

    def accept(self, report: Report, answer: dict[str, Any]) -> None:
        """Count a report that the gateway has given a receipt for."""
        self.ledger.count(report)
        self.forwarded(answer)
        if report.period == self.periods.current.code:
            self.current[report.agency] = answer["id"]

    def forwarded(self, answer: dict[str, Any]) -> None:
        """Expect a report that the gateway has given a receipt for at the national system."""
        self.owed[answer["id"], "accepted"] = answer["sha256"]

    def fault(self, words: str) -> None:
        """Something is not as it must be: shown now, counted at the end."""
        self.faults.append(words)
        self.show.fault(words)

    def require(self, is_so: bool, words: str) -> None:
        """A fault unless something is so."""
        if not is_so:
            self.fault(words)

    async def push(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> httpx.Response:
        """Push one report of Ha Noi and see to the status of the answer, and to the hash it gives of what was sent."""
        given = {"Content-Type": "application/json"} | (headers or {})
        answer = await expect(status, self.hanoi.post("/v1/reports", content=body, headers=given))
        if status in {200, 201}:
            self.require(answer.json()["sha256"] == hashlib.sha256(body).hexdigest(), "the receipt is for other bytes")
        return answer

    async def figures(self, **asked: str) -> dict[str, Any]:
        """An aggregate of the period, as the national system pulls it."""
        asked = {"form": FORM, "period": self.periods.current.code, **asked}
        answer: dict[str, Any] = (await expect(200, self.national.get("/v1/aggregates", params=asked))).json()
        return answer


def keyed(rows: list[dict[str, Any]], by: str | None = None) -> dict[str, Figures]:
    """Rows of an aggregate by what they are about. Raises ``DemoError`` when two are about the same."""
    found = {row[by] if by else "": {name: row[name] for name in INDICATORS} for row in rows}
    if len(found) != len(rows):
        raise DemoError(f"an aggregate by {by} has {len(rows)} rows about {len(found)} things.")
    return dict(found)
