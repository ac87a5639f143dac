"""The demonstration's own count: what should be in the figures, in plain Python, from what was sent.

Nothing here comes from the gateway, so that the two can only agree by both being right.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from gateway.demo.figures import Report, Row

INDICATORS = {
    "received_total": "(3) Received, total",
    "received_online": "(4) – online",
    "received_offline": "(5) – in person or by post",
    "carried_over": "(6) – carried over",
    "resolved_total": "(7) Resolved, total",
    "resolved_early": "(8) – early",
    "resolved_on_time": "(9) – on time",
    "resolved_late": "(10) – late",
    "pending_total": "(11) Pending, total",
    "pending_in_time": "(12) – not yet due",
    "pending_late": "(13) – overdue",
}

Figures = Mapping[str, int]


class Difference(NamedTuple):
    """A figure that is not what it should be; None where there is none."""

    place: str
    indicator: str
    expected: int | None
    actual: int | None


class Ledger:
    """The report of each agency and period that counts now."""

    def __init__(self) -> None:
        self._counted: dict[tuple[str, str], Report] = {}

    def count(self, report: Report) -> None:
        """Count a report, in place of the one before."""
        self._counted[report.period, report.agency] = report

    def leave_out(self, report: Report) -> None:
        """Count nothing for a report's agency and period."""
        del self._counted[report.period, report.agency]

    def reports(self, period: str, top: str | None = None) -> int:
        """How many reports count; of one branch, or of the country."""
        return sum(each.period == period and top in {None, each.top} for each in self._counted.values())

    def agencies(self, period: str) -> set[str]:
        """Whose reports count."""
        return {agency for counted, agency in self._counted if counted == period}

    def sums(
        self, period: str, by: Callable[[Report, Row], str] = lambda report, row: "", top: str | None = None
    ) -> dict[str, Figures]:
        """Every indicator, added up by what ``by`` gives; of one branch, or of the country."""
        found: dict[str, dict[str, int]] = {}
        for report in self._counted.values():
            if report.period == period and top in {None, report.top}:
                for row in report.rows:
                    totals = found.setdefault(by(report, row), dict.fromkeys(INDICATORS, 0))
                    for indicator in INDICATORS:
                        totals[indicator] += row.figures[indicator]
        return dict(found)


def differences(expected: Mapping[str, Figures], actual: Mapping[str, Figures]) -> list[Difference]:
    """Where two sets of figures differ, places that only one of them has included."""
    places: Iterable[str] = sorted({*expected, *actual})
    return [
        Difference(place, indicator, one, other)
        for place in places
        for indicator in INDICATORS
        if (one := expected.get(place, {}).get(indicator)) != (other := actual.get(place, {}).get(indicator))
    ]
