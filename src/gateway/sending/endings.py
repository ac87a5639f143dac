"""How attempts ended, stored together: whatever ends while others are being stored waits for the next turn, and shares
its one statement and one commit. Each learns what became of its own.
"""

import asyncio
from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.claims import Claimed
from gateway.db.deadline import BRIEF_SECONDS
from gateway.db.engine import driver, is_outage
from gateway.db.recording import NewAttempt, Recorded, record_attempts

MAX_TOGETHER = 64
_TURNS = 2
"""How many turns run at once: one that waits for a lock does not hold up all others."""

Ending = tuple[Claimed, NewAttempt]


class Endings:
    """Stores endings of attempts. ``connections`` bounds what it uses of the pool, together with its worker."""

    def __init__(self, engine: AsyncEngine, connections: asyncio.Semaphore) -> None:
        self._engine, self._connections = engine, connections
        self._waiting: list[tuple[Ending, asyncio.Future[Recorded]]] = []
        self._running: set[asyncio.Task[None]] = set()

    async def store(self, claimed: Claimed, attempt: NewAttempt) -> Recorded:
        """Store how an attempt ended. Raises what kept it from being stored, and that alone.

        It goes on when the caller goes away: what is known is not lost.
        """
        stored: asyncio.Future[Recorded] = asyncio.get_running_loop().create_future()
        self._waiting.append(((claimed, attempt), stored))
        if len(self._running) < _TURNS:
            task = asyncio.create_task(self._take_turns())
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return await stored

    async def settle(self, seconds: float) -> None:
        """Wait until nothing is being stored, but no longer than so many seconds."""
        running = set(self._running)
        if running:
            _, late = await asyncio.wait(running, timeout=seconds)
            for task in late:
                task.cancel()
        await asyncio.sleep(0)  # whoever waited for the last of them goes on first

    async def _take_turns(self) -> None:
        while self._waiting:
            together, self._waiting = self._waiting[:MAX_TOGETHER], self._waiting[MAX_TOGETHER:]
            found = await self._store_each([ending for ending, _ in together])
            for (_, stored), result in zip(together, found, strict=True):
                if stored.cancelled():
                    continue
                if isinstance(result, Recorded):
                    stored.set_result(result)
                else:
                    stored.set_exception(result)

    async def _store_each(self, endings: Sequence[Ending]) -> Sequence[Recorded | Exception]:
        """Together or, if that fails, each alone: one that cannot be stored shall not fail the others."""
        try:
            async with self._connections, driver(self._engine, BRIEF_SECONDS) as connection:
                return await record_attempts(connection, endings)
        except Exception as error:
            if len(endings) == 1 or is_outage(error):
                return [error] * len(endings)
            return [(await self._store_each([ending]))[0] for ending in endings]
