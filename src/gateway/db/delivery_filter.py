"""Which deliveries are meant: the same words for those that list them and those that take them up again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """All that is given must hold; agencies and forms are storage keys.

    Times are from the first on and before the second. Of an end only those have one that are not open.
    """

    state: str | None = None
    report: UUID | None = None
    event: str | None = None
    agencies: Sequence[int] | None = None
    form: int | None = None
    period: str | None = None
    kind: str | None = None
    made_from: datetime | None = None
    made_to: datetime | None = None
    ended_from: datetime | None = None
    ended_to: datetime | None = None

    @property
    def conditions(self) -> Mapping[str, object]:
        """What is asked of a delivery ``d``, each with the place of its value."""
        given = {
            "d.state = {}": self.state,
            "d.report_id = {}": self.report,
            "d.event = {}": self.event,
            "d.agency_id = ANY ({}::int[])": self.agencies,
            "d.form_id = {}": self.form,
            "d.period = {}": self.period,
            "d.kind = {}": self.kind,
            "d.made_at >= {}": self.made_from,
            "d.made_at < {}": self.made_to,
            "d.state NOT IN ('pending', 'sending') AND d.finished_at >= {}": self.ended_from,
            "d.state NOT IN ('pending', 'sending') AND d.finished_at < {}": self.ended_to,
        }
        return {text: value for text, value in given.items() if value is not None}


def where(conditions: Mapping[str, object], first: int = 1) -> str:
    """The conditions as they stand in a statement, their values numbered from ``first``.

    Only what is asked for is in it, so that each combination is planned for its own index.
    """
    return " AND ".join(text.format(f"${number}") for number, text in enumerate(conditions, first)) or "true"
