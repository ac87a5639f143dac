"""States of the figures: which transactions each holds, so that a past one is read again as it was.

Heads say by which transaction they were recorded and by which they ended (full ids, which are never used twice); events
and catalogue revisions say the same of themselves. A state that was read once is read again by leaving out what the
snapshot of then did not show. Nothing that decides a past figure is ever overwritten, so nothing else is needed.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.engine import driver
from gateway.domain.as_of import AsOf, Time, Token

_POLL_SECONDS = 0.02
_LONGEST_TRANSACTION = timedelta(hours=1)
"""A change is stored within seconds after its transaction was begun; among older ones none is looked for."""


class UnknownState(Exception):
    """No state of this database has the name."""


class Unsettled(Exception):
    """A write that was begun before the time asked for is still open."""


@dataclass(frozen=True, slots=True)
class State:
    """The transactions a state holds: up to ``newest``, but those ``without``; and its catalogue revision.

    ``is_current``: it is what the snapshot at hand shows. ``name`` is how it is asked for again.
    """

    newest: int
    without: Sequence[int]
    revision: int
    is_current: bool
    name: AsOf


@asynccontextmanager
async def snapshot(engine: AsyncEngine) -> AsyncIterator[Any]:
    """A connection on which every statement sees one and the same state."""
    async with driver(engine) as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        yield connection


async def find_state(connection: Any, as_of: AsOf | None) -> State:
    """The state of a name, in an open snapshot; None is what the snapshot shows. Raises ``UnknownState``."""
    match as_of:
        case None:
            return await _current(connection)
        case Token():
            return await _named(connection, as_of)
        case Time():
            return await _at(connection, as_of)


async def _current(connection: Any) -> State:
    """What a snapshot shows, named so that the name moves only when an event or the catalogue does.

    The name holds the newest transaction seen to have changed something, and those older that were still open.
    """
    row = await connection.fetchrow(
        "SELECT newest_event()::text AS event, c.xid::text AS catalogue, coalesce(c.revision, 0) AS revision,"
        " ARRAY(SELECT pg_snapshot_xip(pg_current_snapshot())::text) AS open FROM (SELECT) AS one"
        " LEFT JOIN (SELECT recorded_xid AS xid, revision FROM catalog_revisions ORDER BY revision DESC LIMIT 1) c"
        " ON true"
    )
    newest = max(int(row["event"] or 0), int(row["catalogue"] or 0))
    without = tuple(sorted(xid for xid in map(int, row["open"]) if xid < newest))
    return State(newest, without, row["revision"], True, Token(newest, without))


async def _named(connection: Any, token: Token) -> State:
    row = await connection.fetchrow(
        "SELECT $1::text::xid8 = '0' OR is_event($1::text::xid8)"
        "    OR EXISTS (SELECT FROM catalog_revisions WHERE recorded_xid = $1::text::xid8) AS is_known,"
        " (SELECT coalesce(max(revision), 0) FROM catalog_revisions WHERE recorded_xid <= $1::text::xid8"
        "    AND recorded_xid <> ALL ($2::text[]::xid8[])) AS revision",
        str(token.newest),
        [str(each) for each in token.without],
    )
    if not row["is_known"]:
        raise UnknownState
    return State(token.newest, token.without, row["revision"], False, token)


# A transaction belongs to a time if all that it changed was stored by then.
_AT = """
WITH changes AS (
    SELECT recorded_xid AS xid, at FROM events_about($1::timestamptz, $2::interval)
    UNION ALL SELECT recorded_xid, recorded_at FROM catalog_revisions
), newest AS (SELECT coalesce(max(xid), '0'::xid8) AS xid FROM changes WHERE at <= $1)
SELECT newest.xid::text AS newest,
       ARRAY(SELECT DISTINCT changes.xid::text FROM changes WHERE at > $1 AND changes.xid <= newest.xid) AS without,
       (SELECT coalesce(max(revision), 0) FROM catalog_revisions WHERE recorded_at <= $1) AS revision
  FROM newest
"""


async def _at(connection: Any, time: Time) -> State:
    row = await connection.fetchrow(_AT, time.at, _LONGEST_TRANSACTION)
    return State(int(row["newest"]), [int(each) for each in row["without"]], row["revision"], False, time)


# Whoever stores a change holds this lock before it reads the clock, and until it has ended.
_STORING = """
SELECT coalesce(array_agg(DISTINCT virtualtransaction), '{}') FROM pg_locks
 WHERE locktype = 'relation' AND relation = 'reports'::regclass
   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock') AND granted
"""


async def settle(engine: AsyncEngine, at: datetime, seconds: float) -> None:
    """Wait until no write begun before a time is open, but no longer than so many seconds.

    Raises ``UnknownState`` for a time that does not come within them, and ``Unsettled``.
    """
    loop = asyncio.get_running_loop()
    ends = loop.time() + seconds
    ahead = await _ask(engine, "SELECT extract(epoch FROM $1::timestamptz - clock_timestamp())::float8", at)
    if ahead > seconds:
        raise UnknownState
    await asyncio.sleep(max(0.0, ahead))
    waited_for = set(await _ask(engine, _STORING))
    while waited_for:
        if loop.time() > ends:
            raise Unsettled
        await asyncio.sleep(_POLL_SECONDS)
        waited_for &= set(await _ask(engine, _STORING))


async def _ask(engine: AsyncEngine, question: str, *arguments: object) -> Any:
    """One value; no connection is held between two."""
    async with driver(engine) as connection:
        return await connection.fetchval(question, *arguments)
