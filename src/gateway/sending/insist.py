"""Bearing with a database that is away: trying again, and waiting in between."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from gateway.db.engine import is_outage

SHORTEST_WAIT, LONGEST_WAIT = 0.25, 5.0
"""Seconds between tries while the database is away, doubled from the one to the other."""

T = TypeVar("T")
_random = random.SystemRandom()


async def insist(act: Callable[[], Awaitable[T]], until: Callable[[], float]) -> T:
    """Do something with the database, again and again while it is away and there is time left."""
    failures = 0
    while True:
        try:
            return await act()
        except Exception as error:
            failures += 1
            pause = pause_after(failures)
            if not is_outage(error) or asyncio.get_running_loop().time() + pause > until():
                raise
            await asyncio.sleep(pause)


def pause_after(failures: int) -> float:
    """Seconds to wait after so many failures on end, spread so that workers do not return together."""
    longest = min(LONGEST_WAIT, SHORTEST_WAIT * 2 ** min(failures - 1, 10))
    return _random.uniform(longest / 2, longest)


async def wait(event: asyncio.Event, seconds: float) -> None:
    """Wait for an event, but no longer than so many seconds."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
