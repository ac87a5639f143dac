"""Whose rows the statements of a request may touch: the second wall, behind what each statement asks for itself.

What is seen goes with the task. A connection of the API is told when it is taken from the pool (``db/engine.py``), and
policies in PostgreSQL hold it to that. Where nothing was said, nothing is seen.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol, Self


@dataclass(frozen=True, slots=True)
class Seen:
    """Agencies whose rows are seen and clients whose kept answers are: ``*`` is all, else an array's literal."""

    agencies: str
    clients: str = ""

    def seen(self) -> Self:
        return self


class Sight(Protocol):
    """What tells, whenever it is asked, what is seen now."""

    def seen(self) -> Seen: ...


NOTHING, EVERYTHING = Seen("", ""), Seen("*", "*")

_sight: ContextVar[Sight] = ContextVar("sight", default=NOTHING)


def see(sight: Sight) -> None:
    """Have this task see so much from now on."""
    _sight.set(sight)


@contextmanager
def seeing(sight: Sight) -> Iterator[None]:
    """See so much while the block runs."""
    token = _sight.set(sight)
    try:
        yield
    finally:
        _sight.reset(token)


def sight() -> Sight:
    """What this task sees by."""
    return _sight.get()
