"""Which quarters the demonstration plays in: today's date decides what is late."""

from datetime import datetime
from typing import NamedTuple

from gateway.domain.calendar import civil_date
from gateway.domain.period import Period, parse_period


class Quarters(NamedTuple):
    """The quarter that is played, whose deadline is ahead, and the one before, which can only be late."""

    current: Period
    earlier: Period


def quarters_at(now: datetime) -> Quarters:
    """The quarter whose deadline comes next, and the one before it."""
    today = civil_date(now)
    around = [parse_period(f"{today.year + years}-Q{number}") for years in (-1, 0, 1) for number in (1, 2, 3, 4)]
    place = next(place for place, each in enumerate(around) if each.deadline is not None and each.deadline >= today)
    return Quarters(around[place], around[place - 1])
