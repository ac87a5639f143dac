"""Leases of what a worker is sending: how long each surely holds, and renewing them while the worker lives."""

import asyncio
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.claims import Claimed, Slots, renew_claims
from gateway.db.engine import driver, tell_failure
from gateway.domain.catalogue import Catalogue
from gateway.flow.forward import Sources

ReadAhead = tuple[Sources, Catalogue]
"""What was read for the messages of several deliveries, and the catalogue it goes by."""


_MOST_HELD = 4
"""How many times its places a worker holds at most."""


@dataclass(slots=True)
class Lease:
    """A claim by the loop's clock: when it was known, and until when it surely holds.

    ``ahead`` is what its message is made of, if it was read, until it is made. It ``began`` when it came to have a
    place. ``sending`` ends the attempt that is under way when the lease does, or ``at_most`` then. ``occurred_at``,
    once it is known, is when that happened which the upstream is told. What ``is_sent`` only has to be recorded.
    """

    claimed: Claimed
    known: float
    ends: float
    ahead: ReadAhead | None = None
    began: float | None = None
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

    def bounding(self, at_most: float) -> "Bounded":
        """What ends a block (``async with``) when the lease ends, whenever that comes to be, or at a moment before.

        An attempt that outlived its lease could reach the upstream after a later report of the same key.
        """
        return Bounded(self, at_most)


class Bounded:
    """A block that ends with a lease, by ``TimeoutError``."""

    __slots__ = ("_lease", "_timeout")

    def __init__(self, lease: Lease, at_most: float) -> None:
        lease.at_most = at_most
        self._lease, self._timeout = lease, asyncio.timeout_at(min(lease.ends, at_most))

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()
        self._lease.sending = self._timeout

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lease.sending = None
        await self._timeout.__aexit__(kind, error, trace)


class Leases:
    """The leases that a worker holds, of so many seconds each."""

    def __init__(self, engine: AsyncEngine, seconds: float) -> None:
        self._engine, self._seconds = engine, seconds
        self._held: dict[UUID, Lease] = {}
        self._waiting = 0

    def take(self, claimed: Iterable[Claimed], known: float, ends: float) -> list[Lease]:
        """Hold what was claimed. All of it waits for a place."""
        leases = [Lease(each, known, ends) for each in claimed]
        self._held |= {lease.claimed.id: lease for lease in leases}
        self._waiting += len(leases)
        return leases

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._held)

    def begin(self, lease: Lease) -> None:
        """It has a place."""
        lease.began = asyncio.get_running_loop().time()
        self._waiting -= 1

    def drop(self, lease: Lease) -> None:
        """What came of it is recorded, or is not ours to record."""
        if lease.began is None:
            self._waiting -= 1
        if self._held.get(lease.claimed.id) is lease:
            del self._held[lease.claimed.id]

    def slots(self, places: int) -> Slots:
        """What there is room for, when as many as there are places wait for one, and no place is ever empty.

        What has left its place, because it stalls or only has to be recorded, costs little more than memory, of which
        there is a bound too.
        """
        held = self._held.values()
        free = min(places, _MOST_HELD * places - len(held))
        if self._waiting > places or free <= 0:
            return Slots(0)
        return Slots(
            free,
            Counter(each.claimed.target.number for each in held if not each.is_sent),
            any(each.claimed.is_suspect for each in held),
            3 * places,
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
