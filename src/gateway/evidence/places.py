"""Which places of a sequence may still be filled. Pure.

Numbers are given out before the transactions that use them commit, in any order, and some never do. What has been seen
up to a number is therefore not all that there will be: the numbers between are asked for again for a while.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

GIVEN_UP = 120.0
"""Seconds after which a number counts as never used. A transaction that idles is ended after 60."""
_MOST = 10_000


@dataclass(slots=True)
class Places:
    """Numbers up to ``high`` have been seen, or were missing when a higher one was."""

    high: int = 0
    _missing: dict[int, float] = field(default_factory=dict)

    @property
    def missing(self) -> list[int]:
        return list(self._missing)

    def note(self, seen: Iterable[int], now: float) -> None:
        """Numbers were seen, in order, at a time (of any clock that does not go back)."""
        for number in seen:
            self._missing.pop(number, None)
            if number > self.high:
                if self.high:
                    first = max(self.high + 1, number - _MOST)
                    self._missing.update(dict.fromkeys(range(first, number), now))
                self.high = number
        for number, since in list(self._missing.items()):
            if now - since < GIVEN_UP and len(self._missing) <= _MOST:
                break  # they were noted in the order of time
            del self._missing[number]
