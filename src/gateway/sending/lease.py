"""Leases of what a worker is sending: how long each surely holds, and renewing them while the worker lives."""

import asyncio
import math
from collections import Counter
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.claims import Claimed, Slots, renew_claims
from gateway.db.engine import driver, tell_failure
from gateway.domain.catalogue import Catalogue
from gateway.domain.delivery import Outcome
from gateway.flow.forward import Sources

ReadAhead = tuple[Sources, Catalogue]
"""What was read for the messages of several deliveries, and the catalogue it goes by."""


_MOST_HELD = 4
"""How many times what it attempts at once a worker holds at most."""


@dataclass(slots=True)
class Lease:
    """A claim by the loop's clock: when it was known, and until when it surely holds.

    ``ahead`` is what its message is made of, if it was read, until it is made. ``sending`` is the task whose attempt is
    under way, which may last until ``at_most`` and ``is_over`` once it was ended. ``occurred_at``, once it is known, is
    when that happened which the upstream is told. What ``is_sent`` only has to be recorded.
    """

    claimed: Claimed
    known: float
    ends: float
    ahead: ReadAhead | None = None
    has_begun: bool = False
    is_sent: bool = False
    sending: asyncio.Task[None] | None = None
    at_most: float = math.inf
    is_over: bool = False
    occurred_at: datetime | None = None

    def end_in_time(self, now: float) -> None:
        """End the attempt that is under way, by ``TimeoutError``, if its time is over.

        One that outlived its lease could reach the upstream after a later report of the same key.
        """
        if self.sending is not None and not self.is_over and now >= min(self.ends, self.at_most):
            self.is_over = True
            self.sending.cancel()

    async def sent(self, sending: Coroutine[None, None, Outcome], at_most: float) -> Outcome:
        """What sending comes to, which may last until then. Raises ``TimeoutError`` where it was ended.

        It is ``asyncio.timeout`` without a timer for each.
        """
        self.at_most, self.is_over = at_most, False
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine runs in one
        self.sending, before = task, task.cancelling()
        try:
            return await sending
        except asyncio.CancelledError:
            if not self.is_over or task.uncancel() > before:
                raise
            raise TimeoutError from None
        finally:
            self.sending = None

    def database_time(self, loop_time: float) -> datetime:
        """What the database's clock had reached at a moment of the loop's: never ahead of it."""
        return self.claimed.claimed_at + timedelta(0, loop_time - self.known)


class Leases:
    """The leases that a worker holds, of so many seconds each."""

    def __init__(self, engine: AsyncEngine, seconds: float) -> None:
        self._engine, self._seconds = engine, seconds
        self._held: dict[UUID, Lease] = {}
        self._waiting = 0

    def take(self, claimed: Iterable[Claimed], known: float, ends: float) -> list[Lease]:
        """Hold what was claimed. All of it waits until its attempt begins."""
        leases = [Lease(each, known, ends) for each in claimed]
        self._held |= {lease.claimed.id: lease for lease in leases}
        self._waiting += len(leases)
        return leases

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._held)

    def begin(self, lease: Lease) -> None:
        """Its attempt begins."""
        lease.has_begun = True
        self._waiting -= 1

    def drop(self, lease: Lease) -> None:
        """What came of it is recorded, or is not ours to record."""
        if not lease.has_begun:
            self._waiting -= 1
        if self._held.get(lease.claimed.id) is lease:
            del self._held[lease.claimed.id]

    def slots(self, at_once: int) -> Slots:
        """What there is room for, when as many wait as are attempted at once, so that there is always one to begin.

        What stalls, or only has to be recorded, costs little more than memory, of which there is a bound too.
        """
        held = self._held.values()
        free = min(at_once, _MOST_HELD * at_once - len(held))
        if self._waiting > at_once or free <= 0:
            return Slots(0)
        return Slots(
            free,
            Counter(each.claimed.target.number for each in held if not each.is_sent),
            any(each.claimed.is_suspect for each in held),
            3 * at_once,
        )

    async def renew(self) -> None:
        """Renew what is held, several times within each lease, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._seconds / 4)
            held = [each for each in self._held.values() if each.ends - loop.time() < self._seconds * 0.75]
            if held:
                await self._renew(held)

    async def _renew(self, held: list[Lease]) -> None:
        loop = asyncio.get_running_loop()
        ends = loop.time() + self._seconds
        try:
            # The first bounds how long it waits for a connection, the second how long that may take.
            async with asyncio.timeout(self._seconds / 2), driver(self._engine, self._seconds / 4) as connection:
                claims = [each.claimed for each in held]
                ours = await renew_claims(connection, claims, timedelta(seconds=self._seconds))
        except Exception as error:
            return tell_failure(error, "leases could not be renewed")
        for each in held:
            # Whatever took one over may be sending it now: ours ends.
            each.ends = ends if each.claimed.id in ours else loop.time()
