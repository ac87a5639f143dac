"""The books: a ledger's lines and a survey, put in order for those who judge them."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from proofs.ledger import (
    Answered,
    Arrived,
    Began,
    Connected,
    Fault,
    Followed,
    Line,
    Measured,
    Observed,
    Replied,
    Sent,
    Unanswered,
)
from proofs.survey import KeptDelivery, KeptReport, Survey

_GOOD = frozenset({200, 201})
RANKS = {"accepted": 0, "returned": 1, "withdrawn": 2}
"""Events of one revision, in the order in which they can happen."""


class Fate(Enum):
    """What the sender of a request knows of it: it was taken, it was refused, or neither is sure."""

    acknowledged = "acknowledged"
    refused = "refused"
    unknown = "unknown"


class Move(NamedTuple):
    """One arrival's place among those of its key."""

    revision: int
    rank: int


@dataclass(slots=True)
class Push:
    """A request with every answer it got."""

    sent: Sent
    tries: int = 0
    answers: list[Answered] = field(default_factory=list)
    unanswered: int = 0

    @property
    def good(self) -> list[Answered]:
        return [each for each in self.answers if each.status in _GOOD]

    @property
    def fate(self) -> Fate:
        if self.good:
            return Fate.acknowledged
        is_sure = self.answers and not self.unanswered and all(each.status < 500 for each in self.answers)
        return Fate.refused if is_sure and len(self.answers) == self.tries else Fate.unknown


class Books:
    """Everything by what it is about."""

    def __init__(self, lines: Iterable[Line], found: Survey) -> None:
        self.began: Began | None = None
        self.connectors: dict[str, Connected] = {}
        self.pushes: dict[int, Push] = {}
        self.arrivals: list[Arrived] = []
        self.replies: dict[tuple[str, int], int | None] = {}
        self.faults: list[Fault] = []
        self.observed: list[Observed] = []
        self.measured: list[Measured] = []
        self.copies: list[Followed] = []
        self.survey = found
        self.reports: dict[str, KeptReport] = {each.id: each for each in found.reports}
        self.deliveries: dict[str, KeptDelivery] = {each.id: each for each in found.deliveries}
        for line in lines:
            self._add(line)
        self.by_delivery: dict[str, list[Arrived]] = defaultdict(list)
        for each in self.arrivals:
            self.by_delivery[each.delivery].append(each)

    def _add(self, line: Line) -> None:
        match line:
            case Began():
                self.began = line
            case Connected():
                self.connectors[line.name] = line
            case Sent():
                self.pushes.setdefault(line.push, Push(line)).tries += 1
            case Answered():
                self.pushes[line.push].answers.append(line)
            case Unanswered():
                self.pushes[line.push].unanswered += 1
            case Arrived():
                self.arrivals.append(line)
            case Replied():
                self.replies[line.connector, line.number] = line.status
            case Fault():
                self.faults.append(line)
            case Observed():
                self.observed.append(line)
            case Measured():
                self.measured.append(line)
            case Followed():
                self.copies.append(line)

    def with_fate(self, fate: Fate) -> list[Push]:
        return [each for each in self.pushes.values() if each.fate is fate]

    def was_taken(self, arrived: Arrived) -> bool:
        """Whether the upstream answered that it has it."""
        status = self.replies.get((arrived.connector, arrived.number))
        return status is not None and 200 <= status < 300

    def takes(self, connector: Connected, report: KeptReport) -> bool:
        under = connector.under
        return under is None or report.agency == under or report.agency.startswith(f"{under}.")

    def duplicates(self) -> int:
        """How many arrivals repeat one of the same delivery."""
        return len(self.arrivals) - len(self.by_delivery)
