"""Deadlines of work on the database: a connection that is out for too long is ended where it stands.

A database may fall silent without ending its connections: its machine loses power, a firewall drops packets, its disk
hangs. Whoever waits then is told that the connection is gone, exactly as if the database had reset it: nothing is
cancelled in the middle of a transaction, and no connection of which nobody knows what it is doing goes back to the
pool. What lay in the pool meanwhile is not trusted either.
"""

import asyncio
import math
import socket
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import structlog
from asyncpg import connect_utils
from sqlalchemy import event, exc
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

log = structlog.get_logger()

BRIEF_SECONDS = 10.0
"""For work that takes milliseconds and that somebody waits for: a push, a token, a claim."""
CONNECT_SECONDS = 5.0
_ALIVE = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 11_000}
"""The operating system asks whether the other machine is there (seconds), and waits so long (ms) for it to take what
was sent: so also that ends of which nobody measures how long it takes, an export or a listener."""


@dataclass(slots=True)
class _Silence:
    """When the database was silent last: of a connection that has not been used since nothing is known."""

    at: float = -math.inf


class Watch:
    """Ends one connection at its deadline, if it is out by then. ``seconds`` is the longest it may be."""

    def __init__(self, connection: Any, seconds: float, silence: _Silence) -> None:
        self._connection, self._seconds, self._silence = connection, seconds, silence
        self._timer: asyncio.TimerHandle | None = None

    def go(self, seconds: float | None = None) -> None:
        """Let the time begin: so many seconds, or as many as there are."""
        self.rest()
        longest = self._seconds if seconds is None else min(seconds, self._seconds)
        self._timer = asyncio.get_running_loop().call_later(longest, self._end, longest)

    def rest(self) -> None:
        """There is no deadline for now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end(self, seconds: float) -> None:
        self._timer = None
        if not self._connection.is_closed():
            log.warning("a database connection was ended", reason=f"it took more than {seconds:g} s")
            self._silence.at = time.monotonic()
            loop = asyncio.get_running_loop()
            task = loop.create_task(_give_up(self._connection))
            _giving_up.add(task)
            task.add_done_callback(_giving_up.discard)
            loop.call_soon(self._connection.terminate)


async def _give_up(connection: Any) -> None:
    """Ask a server that hears, and is only slow, to give up what nobody waits for any more."""
    protocol = connection._protocol
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await connect_utils._cancel(
                loop=asyncio.get_running_loop(),
                addr=connection._addr,
                params=connection._params,
                backend_pid=protocol.backend_pid,
                backend_secret=protocol.backend_secret,
            )
    except Exception as error:
        log.debug("a statement could not be given up", reason=type(error).__name__)
    finally:
        await asyncio.sleep(0)  # for its connection to be closed, also where this is cancelled


_giving_up: set[asyncio.Task[None]] = set()
_watches: WeakKeyDictionary[Any, Watch] = WeakKeyDictionary()


def watch_of(connection: Any) -> Watch:
    """The watch over a connection of the driver."""
    return _watches[connection]


async def unhurried(connection: AsyncConnection) -> None:
    """Let the work of this connection take as long as it takes: a migration, older reports for a new connector."""
    raw = await connection.get_raw_connection()
    watch_of(raw.driver_connection).rest()


async def parts_in_time(connection: Any, statement: str, *given: object, prefetch: int) -> AsyncIterator[Sequence[Any]]:
    """Rows of a cursor, so many at once, as they are asked for.

    Each part has the time of one piece of work, and whoever takes them all the time there is.
    """
    watch = watch_of(connection)
    watch.go()
    cursor = await connection.cursor(statement, *given)
    while rows := await cursor.fetch(prefetch):
        watch.rest()
        yield rows
        watch.go()


async def rows_in_time(connection: Any, statement: str, *given: object, prefetch: int) -> AsyncIterator[Any]:
    """The same, row by row."""
    async for rows in parts_in_time(connection, statement, *given, prefetch=prefetch):
        for row in rows:
            yield row


def watch_over(engine: AsyncEngine, seconds: float) -> None:
    """Have every connection that the engine's pool gives out ended after so many seconds, unless it is back by then."""
    silence = _Silence()

    def connected(connection: Any, record: Any) -> None:
        _keep_alive(connection.driver_connection)
        _watches[connection.driver_connection] = Watch(connection.driver_connection, seconds, silence)
        record.info["good_at"] = time.monotonic()

    def given(connection: Any, record: Any, _: object) -> None:
        raw = connection.driver_connection
        if not raw.is_closed() and record.info["good_at"] < silence.at:
            raw.terminate()
        if raw.is_closed():
            raise exc.DisconnectionError  # the pool then opens another
        watch_of(raw).go()

    def returned(connection: Any, record: Any) -> None:
        record.info["good_at"] = time.monotonic()
        if connection is not None and (watch := _watches.get(connection.driver_connection)) is not None:
            watch.rest()

    event.listen(engine.sync_engine, "connect", connected)
    event.listen(engine.sync_engine, "checkout", given)
    event.listen(engine.sync_engine, "checkin", returned)


def _keep_alive(connection: Any) -> None:
    """Have the operating system find out that the other machine is gone."""
    under = connection._transport.get_extra_info("socket")
    if under is None or under.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    with suppress(OSError):
        under.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _ALIVE.items():
            if (option := getattr(socket, name, None)) is not None:
                under.setsockopt(socket.IPPROTO_TCP, option, value)
