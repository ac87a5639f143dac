"""Whether clients still stand: tokens are good by themselves, so every process looks who was revoked meanwhile."""

import asyncio
import time
from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.access.clock import DatabaseClock
from gateway.access.limits import Limits
from gateway.access.tokens import SKEW_SECONDS, Caller
from gateway.db.clients import ended_lately, limited_lately
from gateway.db.engine import clock, driver, tell_failure
from gateway.errors import Text, Unauthenticated

FRESH_SECONDS, STALE_SECONDS = 1.5, 4.0
"""What was read is used for so long; then it is read anew beside the requests; past the second they wait for it."""
_ANSWER_SECONDS = 3.0
_LONGEST_TOKEN = timedelta(seconds=3600 + 2 * SKEW_SECONDS)


class Standing:
    """The clients and credentials that ended lately, and the clients with new limits, as one process knows them.

    What it knows is never older than ``STALE_SECONDS``.

    One query of a small table for all requests of some seconds. While the database does not answer, nobody is let in
    by what was known before: that a client was revoked could not be seen.
    """

    def __init__(self, engine: AsyncEngine, clock: DatabaseClock | None = None) -> None:
        self._engine, self._clock = engine, clock or DatabaseClock()
        self._ended: set[UUID] = set()
        self._limited: dict[UUID, Limits] = {}
        self._read_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None

    async def look(self) -> None:
        """See to it that what is known, the database's time among it, is not older than it may be.

        Raises what the database did where it had to be asked and did not answer.
        """
        age = time.monotonic() - self._read_at
        if age > FRESH_SECONDS:
            reading = self._read_soon()
            if age > STALE_SECONDS:
                await asyncio.shield(reading)

    async def require(self, caller: Caller) -> None:
        """Refuse a caller that was revoked, or whose credential was, or ran out.

        Raises ``Unauthenticated``, or what the database did where that cannot be known.
        """
        await self.look()
        if caller.client in self._ended or caller.credential in self._ended:
            raise Unauthenticated(Text("Client đã bị thu hồi.", "The client or its credential has ended."))

    def limits(self, caller: Caller) -> Limits:
        """A caller's limits: those its token says, unless they were changed since."""
        return self._limited.get(caller.client, caller.limits)

    def _read_soon(self) -> "asyncio.Task[None]":
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read())
            self._reading.add_done_callback(_tell)
        return self._reading

    async def _read(self) -> None:
        # Only the answer is bounded: for a connection it waits in the queue that every request is in.
        async with driver(self._engine, _ANSWER_SECONDS) as connection:
            began = time.monotonic()
            ended = await ended_lately(connection, _LONGEST_TOKEN)
            limited = await limited_lately(connection, _LONGEST_TOKEN)
            self._clock.learn(await clock(connection))
        self._limited = {client: Limits.of(row) for client, row in limited.items()}
        self._ended, self._read_at = ended, began


def _tell(reading: "asyncio.Task[None]") -> None:
    error = None if reading.cancelled() else reading.exception()
    if isinstance(error, Exception):
        tell_failure(error, "who was revoked could not be read")
