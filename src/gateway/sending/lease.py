"""Leases of what a worker is sending: how long each surely holds, and renewing them while the worker lives."""

import asyncio
import math
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.claims import Claimed, Slots, renew_claims
from gateway.db.engine import driver, tell_failure
from gateway.domain.catalogue import Catalogue
from gateway.flow.forward import Sources

ReadAhead = asyncio.Task[tuple[Sources, Catalogue] | None]
"""What was read for the messages of several deliveries, and the catalogue it goes by; None where that failed."""


STALLED_SECONDS = 0.1
"""What has been under way for so long leaves its place to others: a silent upstream shall not keep them waiting."""
_MOST_HELD = 4
"""How many times its places a worker holds at most."""


@dataclass(slots=True)
class Lease:
    """A claim by the loop's clock: when it was known, and until when it surely holds.

    ``ahead`` is what its message is made of, until it is made. ``sending`` ends the attempt that is under way when the
    lease does, or ``at_most`` then. ``occurred_at``, once it is known, is when that happened which the upstream is
    told. What ``is_sent`` only has to be recorded.
    """

    claimed: Claimed
    known: float
    ends: float
    ahead: ReadAhead | None = None
    is_sent: bool = False
    sending: asyncio.Timeout | None = None
    at_most: float = math.inf
    occurred_at: datetime | None = None

    def renew(self, ends: float) -> None:
        """The lease holds until then; an end that has passed is at once."""
        self.ends = ends
        if self.sending is not None and not self.sending.expired():
            self.sending.reschedule(min(ends, self.at_most))

    def database_time(self, loop_time: float) -> datetime:
        """What the database's clock had reached at a moment of the loop's: never ahead of it."""
        return self.claimed.claimed_at + timedelta(seconds=loop_time - self.known)

    @asynccontextmanager
    async def bounding(self, at_most: float) -> AsyncIterator[None]:
        """End what runs in the block when the lease ends, whenever that comes to be, or at a moment before.

        An attempt that outlived its lease could reach the upstream after a later report of the same key.
        """
        self.at_most = at_most
        async with asyncio.timeout_at(min(self.ends, at_most)) as self.sending:
            try:
                yield
            finally:
                self.sending = None


class Leases:
    """The leases that a worker holds, of so many seconds each."""

    def __init__(self, engine: AsyncEngine, seconds: float) -> None:
        self._engine, self._seconds = engine, seconds
        self._held: dict[UUID, Lease] = {}

    def take(self, claimed: Iterable[Claimed], known: float, ends: float, ahead: ReadAhead) -> list[Lease]:
        """Hold what was claimed."""
        leases = [Lease(each, known, ends, ahead) for each in claimed]
        self._held |= {lease.claimed.id: lease for lease in leases}
        return leases

    def drop(self, lease: Lease) -> None:
        """What came of it is recorded, or is not ours to record."""
        if self._held.get(lease.claimed.id) is lease:
            del self._held[lease.claimed.id]

    def slots(self, places: int) -> Slots:
        """What there is room for in so many places: what only has to be recorded leaves its place to another.

        So does what has waited for its upstream for a while. It costs little more than memory, of which there is a
        bound too; and no connector has more under way for it, since those are counted by connector as before.
        """
        now = asyncio.get_running_loop().time()
        sending = [each for each in self._held.values() if not each.is_sent]
        active = sum(now - each.known < STALLED_SECONDS for each in sending)
        return Slots(
            min(places - active, _MOST_HELD * places - len(self._held)),
            Counter(each.claimed.target.number for each in sending),
            any(each.claimed.is_suspect for each in self._held.values()),
            places,
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
            each.renew(ends if each.claimed.id in ours else loop.time())
