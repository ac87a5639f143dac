"""The sealer: gives what was committed its place in the log, and signs a checkpoint over all of it.

Every process has one and one of them at a time works: the one that holds a lock on its connection to the database. When
it is killed the lock is free at once; when it is stopped (or its host is), PostgreSQL cuts it off. A sealer that lost
its lock without knowing it cannot do harm: two of them would give the same numbers, which the table takes once.

It waits for nobody's transaction. What was committed is sealed, what was not is left for the next time.
"""

import asyncio
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db import log as stored
from gateway.db.deadline import watch_of
from gateway.db.engine import clock, driver, tell_failure
from gateway.evidence.merkle import EMPTY_ROOT, Frontier, leaf_hash
from gateway.evidence.note import InvalidNote, LogSigner
from gateway.evidence.places import Places
from gateway.evidence.tree import LogBroken, read_frontier

_PAUSE = 0.5
"""Seconds between two looks at what was committed. A proof is there within twice that."""
_AGAIN = 1.0
"""Seconds until a sealer that may not work asks again."""
_STALLED = 5.0
"""Seconds of silence after which the one that works is cut off."""
_AT_ONCE = 5_000
_NEW, _SWEEP = 10.0, 30.0
"""Seconds for which a sealer that has just begun looks at everything, and those between two such looks later on."""

log = structlog.get_logger()


class Sealer:
    """One sealer. ``seal`` is one step of it, on a connection of the driver."""

    def __init__(self, engine: AsyncEngine, signer: LogSigner, pause: float = _PAUSE) -> None:
        self._engine, self._signer, self._pause = engine, signer, pause
        self._forget()

    def _forget(self) -> None:
        self._frontier: Frontier | None = None
        self._places = Places()
        self._since = self._swept = -_NEW
        self._has_begun = False

    async def run(self) -> None:
        """Seal until cancelled. Nothing that fails ends it."""
        while True:
            try:
                await self._work()
            except LogBroken as broken:
                log.error("the log was changed from outside and is not sealed", reason=str(broken))
            except Exception as error:
                tell_failure(error, "the log could not be sealed")
            await asyncio.sleep(_AGAIN)

    async def _work(self) -> None:
        """Seal for as long as this is the one that may."""
        async with driver(self._engine) as connection:
            if not await stored.try_lead(connection, _STALLED):
                return
            self._forget()
            watch = watch_of(connection)
            try:
                while True:
                    watch.go()
                    if await self.seal(connection) < _AT_ONCE:
                        watch.rest()
                        await asyncio.sleep(self._pause)
            finally:
                await _stop_leading(connection)

    async def seal(self, connection: Any) -> int:
        """Seal what has been committed, as far as it is not too much at once; how many entries it was.

        Raises ``LogBroken``.
        """
        now = asyncio.get_running_loop().time()
        if not self._has_begun:
            self._since = self._swept = now
        is_sweep = now - self._since < _NEW or now - self._swept >= _SWEEP
        after, among = (0, []) if is_sweep else (self._places.high, self._places.missing)
        if self._has_begun and not await stored.is_pending(connection, after, among):
            self._swept = now if is_sweep else self._swept
            return 0
        async with connection.transaction():
            frontier = await self._standing(connection)
            taken = await stored.take_pending(connection, after, among, _AT_ONCE)
            if taken:
                await self._append(connection, frontier, taken)
        self._frontier, self._has_begun = frontier, True
        self._places.note((each.seq for each in taken), now)
        if is_sweep and len(taken) < _AT_ONCE:
            self._swept = now
        return len(taken)

    async def _standing(self, connection: Any) -> Frontier:
        """The tree as it is, to be added to; in the beginning it is empty, and that is signed too."""
        newest = await stored.newest_checkpoint(connection)
        if newest is None:
            await stored.seal(
                connection, 0, [], [], [], (0, EMPTY_ROOT, self._signer.sign(0, EMPTY_ROOT, await clock(connection)))
            )
            return Frontier()
        known = self._frontier
        if known is not None and (known.size, known.root) == (newest.size, newest.root):
            return known.copy()
        if known is not None and known.size > newest.size:
            log.error("the log went back", known=known.size, found=newest.size)
        try:
            signed = self._signer.open_own(newest.note)
        except InvalidNote as error:
            raise LogBroken(f"the newest checkpoint, of {newest.size} entries, is not ours: {error}") from error
        frontier = await read_frontier(connection, newest.size)
        if (signed.size, signed.root) != (newest.size, frontier.root):
            raise LogBroken(f"the tree of {newest.size} entries has not the root that was signed")
        return frontier

    async def _append(self, connection: Any, frontier: Frontier, taken: list[stored.Pending]) -> None:
        start, grown = frontier.size, list[tuple[int, int, bytes]]()

        def seen(level: int, index: int, hash_: bytes) -> None:
            if level and level % stored.STEP == 0:
                grown.append((level, index, hash_))

        leaves = [leaf_hash(each.entry) for each in taken]
        for leaf in leaves:
            frontier.add(leaf, seen)
        root = frontier.root
        note = self._signer.sign(frontier.size, root, await clock(connection))
        await stored.seal(connection, start, taken, leaves, grown, (frontier.size, root, note))


async def _stop_leading(connection: Any) -> None:
    """Give up the lock; a connection that cannot is ended, since it would keep it while others use it."""
    if connection.is_closed():
        return
    try:
        await stored.stop_leading(connection)
    except BaseException:
        connection.terminate()
        raise
