"""How attempts ended, stored in one statement and one commit. Each learns what became of its own."""

import asyncio
from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.claims import Claimed
from gateway.db.deadline import BRIEF_SECONDS
from gateway.db.engine import driver, is_outage
from gateway.db.recording import NewAttempt, Recorded, record_attempts

Ending = tuple[Claimed, NewAttempt]


async def store_endings(
    engine: AsyncEngine, connections: asyncio.Semaphore, endings: Sequence[Ending]
) -> Sequence[Recorded | Exception]:
    """Store how attempts ended: together or, if that fails, each alone, so that one which cannot be stored fails alone.

    Raises nothing: what kept an ending from being stored stands in its place. ``connections`` bounds what is used of
    the pool.
    """
    try:
        async with connections, driver(engine, BRIEF_SECONDS) as connection:
            return await record_attempts(connection, endings)
    except Exception as error:
        if len(endings) == 1 or is_outage(error):
            return [error] * len(endings)
        return [(await store_endings(engine, connections, [ending]))[0] for ending in endings]
