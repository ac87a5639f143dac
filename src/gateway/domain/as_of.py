"""Names of states of the figures (``as_of``): the token of an answer, or a time.

A token says which transactions a state holds: all up to the newest that changed something, but for those that were
still open. A time stands for every change that was stored by then.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime

_TOKEN = re.compile(r"(\d{1,19}(?:\.\d{1,19}){0,2000})(?:@(\d{4}-\d\d-\d\d))?", re.ASCII)
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d(:\d\d(\.\d{1,6})?)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Token:
    """The state that holds the transactions up to ``newest`` but those ``without``.

    ``day`` is since when the organisation holds by which figures were put together, where that was chosen.
    """

    newest: int
    without: tuple[int, ...] = ()
    day: date | None = None

    def __str__(self) -> str:
        numbers = ".".join(map(str, [self.newest, *self.without]))
        return numbers if self.day is None else f"{numbers}@{self.day}"


@dataclass(frozen=True, slots=True)
class Time:
    """The state that holds every change stored by a time; ``day`` as in a token."""

    at: datetime
    day: date | None = None

    def __str__(self) -> str:
        return self.at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


AsOf = Token | Time


def read_as_of(text: str) -> AsOf:
    """The state a name stands for. Raises ``ValueError`` for what is neither a token nor an RFC 3339 time."""
    if (token := _TOKEN.fullmatch(text)) is not None:
        newest, *without = map(int, token[1].split("."))
        return Token(newest, tuple(without), date.fromisoformat(token[2]) if token[2] else None)
    text = text.replace(" ", "+")  # what a query string makes of the plus sign of a time zone
    if _TIME.fullmatch(text) is None:
        raise ValueError(text)
    return time_of(datetime.fromisoformat(text.upper()))


def time_of(moment: datetime) -> Time:
    """The state of a time that knows its zone. Raises ``ValueError`` for one that is before all times in UTC."""
    try:
        return Time(moment.astimezone(UTC))
    except OverflowError:
        raise ValueError(moment) from None
