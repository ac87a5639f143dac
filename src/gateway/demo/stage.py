"""What the steps of the demonstration share."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from gateway.demo.errors import DemoError
from gateway.demo.figures import FORM, Report
from gateway.demo.ledger import INDICATORS, Figures, Ledger
from gateway.demo.processes import Processes
from gateway.demo.quarters import Quarters
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
    quarters: Quarters
    local_systems: httpx.AsyncClient
    hanoi: httpx.AsyncClient
    national: httpx.AsyncClient
    operator: httpx.AsyncClient
    sandbox: httpx.AsyncClient
    ledger: Ledger = field(default_factory=Ledger)
    current: dict[str, str] = field(default_factory=dict)
    """The id of each agency's current report of the quarter."""
    owed: dict[Notice, str] = field(default_factory=dict)
    """What the national system must have at the end, with the hash of the report."""
    faults: list[str] = field(default_factory=list)

    def accept(self, report: Report, answer: dict[str, Any]) -> None:
        """Count a report that the gateway has given a receipt for."""
        self.ledger.count(report)
        self.owed[answer["id"], "accepted"] = answer["sha256"]
        if report.period == self.quarters.current.code:
            self.current[report.agency] = answer["id"]

    def fault(self, words: str) -> None:
        """Something is not as it must be: shown now, counted at the end."""
        self.faults.append(words)
        self.show.fault(words)

    def require(self, is_so: bool, words: str) -> None:
        """A fault unless something is so."""
        if not is_so:
            self.fault(words)

    async def figures(self, **asked: str) -> dict[str, Any]:
        """An aggregate of the quarter, as the national system pulls it."""
        asked = {"form": FORM, "period": self.quarters.current.code, **asked}
        answer: dict[str, Any] = (await expect(200, self.national.get("/v1/aggregates", params=asked))).json()
        return answer


def keyed(rows: list[dict[str, Any]], by: str | None = None) -> dict[str, Figures]:
    """Rows of an aggregate by what they are about. Raises ``DemoError`` when two are about the same."""
    found = {row[by] if by else "": {name: row[name] for name in INDICATORS} for row in rows}
    if len(found) != len(rows):
        raise DemoError(f"an aggregate by {by} has {len(rows)} rows about {len(found)} things.")
    return dict(found)
