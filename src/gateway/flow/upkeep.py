"""Upkeep of what grows for ever: partitions made ahead, and dropped when they are old enough."""

import asyncio
import random

import asyncpg
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.attempts import keep_up
from gateway.db.deadline import watch_of
from gateway.db.engine import driver, tell_failure

_EVERY, _AGAIN, _LOCKED = 3600.0, 60.0, 300.0
"""Seconds from one time to the next, after one that failed, and after one that found the table locked, as it is for as
long as a backup takes: others wait behind each try. Months are made long before they begin."""

log = structlog.get_logger()


async def upkeep(engine: AsyncEngine, attempts_days: int) -> None:
    """Keep the partitions of attempts now and every so often, until cancelled. What fails is tried again later."""
    while True:
        pause = _EVERY
        try:
            async with driver(engine) as connection:
                watch_of(connection).rest()  # its statements have bounds of their own
                kept = await keep_up(connection, attempts_days)
            if kept.made or kept.dropped:
                log.info("partitions of attempts kept up", made=kept.made, dropped=kept.dropped)
        except asyncpg.LockNotAvailableError:
            log.warning("partitions of attempts could not be kept up", reason="somebody has the table locked")
            pause = _LOCKED
        except Exception as error:
            tell_failure(error, "partitions of attempts could not be kept up")
            pause = _AGAIN
        await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - so that workers do not meet
