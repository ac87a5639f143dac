"""Waking workers in other processes when there is something to forward.

A hint and never a promise: it goes outside the transaction that stored the report, is not repeated when it is lost,
and may be dropped by a connection pooler. Workers poll besides.
"""

import asyncio
from collections.abc import Callable

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.deadline import watch_of
from gateway.db.engine import driver, tell_failure

CHANNEL = "gateway_deliveries"
_PAUSE = 0.05
"""Seconds between two notifications of one process: PostgreSQL commits them one at a time, database-wide."""
_AGAIN = 2.0
"""Seconds before a connection that was lost is made anew."""


class Notifier:
    """Tells every listening process; however often ``wake`` is called, at most once in a while."""

    def __init__(self, engine: AsyncEngine, pause: float = _PAUSE) -> None:
        self._engine, self._pause = engine, pause
        self._asked = asyncio.Event()

    def wake(self) -> None:
        """Notify soon."""
        self._asked.set()

    async def run(self) -> None:
        """Notify when asked to, until cancelled. A notification that fails is forgotten."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            try:
                async with driver(self._engine) as connection:
                    await connection.execute(f"NOTIFY {CHANNEL}")
            except Exception as error:
                tell_failure(error, "workers could not be notified")
            await asyncio.sleep(self._pause)


async def listen(engine: AsyncEngine, wake: Callable[[], None]) -> None:
    """Call ``wake`` at every notification, until cancelled. It keeps a connection of its own."""
    while True:
        try:
            await _listen_once(engine, wake)
        except Exception as error:
            tell_failure(error, "notifications could not be listened to")
        await asyncio.sleep(_AGAIN)


async def _listen_once(engine: AsyncEngine, wake: Callable[[], None]) -> None:
    """Listen until the connection is lost."""
    lost = asyncio.Event()

    def heard(*_: object) -> None:
        wake()

    def ended(*_: object) -> None:
        lost.set()

    async with driver(engine) as connection:
        watch_of(connection).rest()
        connection.add_termination_listener(ended)
        try:
            await connection.add_listener(CHANNEL, heard)
            wake()  # something may have been said before
            await lost.wait()
        finally:
            if not connection.is_closed():
                connection.remove_termination_listener(ended)
                await connection.remove_listener(CHANNEL, heard)
