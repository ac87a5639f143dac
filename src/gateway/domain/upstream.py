"""What an upstream takes: which accepted reports become deliveries of a connector."""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from gateway.domain.agency import Hierarchy


class What(StrEnum):
    """Which kinds of report a connector takes."""

    own = "own"
    consolidation = "consolidation"
    all = "all"


@dataclass(frozen=True, slots=True)
class Upstream:
    """The part of a connector that decides what is forwarded: forms, subtree, kinds and from when."""

    number: int
    name: str
    forms: frozenset[str] | None
    under: str | None
    what: What
    from_day: date | None
    made_at: datetime

    def takes(self, form: str, agency: str, kind: str, hierarchy: Hierarchy) -> bool:
        """Whether a report accepted now is forwarded here."""
        return (
            (self.forms is None or form in self.forms)
            and (self.what is What.all or self.what.value == kind)
            and (self.under is None or hierarchy.covers(self.under, agency))
        )
