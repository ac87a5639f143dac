"""What can be wrong with a log, and where."""

from dataclasses import dataclass
from enum import StrEnum


class Wrong(StrEnum):
    """What was done to a log."""

    edited = "edited"
    missing = "missing"
    inserted = "inserted"
    reordered = "order changed"
    backdated = "back-dated"
    cut_off = "cut off"
    rolled_back = "rolled back"
    forked = "forked"
    unsigned = "not signed"
    ambiguous = "ambiguous"


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong, from which entry on (or with which), and by what it is known.

    ``last`` is another index where it is only known that the first bad entry is one of those between.
    """

    index: int
    last: int
    wrong: Wrong
    words: str

    def __str__(self) -> str:
        place = f"entry {self.index}" if self.index == self.last else f"entries {self.index} to {self.last}"
        return f"{place}: {self.wrong} ({self.words})"
