"""Places: so many attempts of a worker are under way at once. One that is kept waiting leaves its place to another."""

import asyncio
from collections.abc import Callable

from gateway.sending.lease import Lease

STALLED_SECONDS = 0.1
"""What has been under way for so long leaves its place: a silent upstream shall not keep others waiting."""


class Places:
    """So many places. ``taken`` is told each lease that comes to have one."""

    def __init__(self, count: int, taken: Callable[[Lease], None]) -> None:
        self._free, self._taken = asyncio.Semaphore(count), taken

    def one(self, lease: Lease) -> "Place":
        """A place for a lease, to be taken by ``async with``: first come, first served."""
        return Place(self._free, self._taken, lease)


class Place:
    """One place, taken until the block ends, or has taken so long that it stalls."""

    __slots__ = ("_free", "_lease", "_stalling", "_taken")

    def __init__(self, free: asyncio.Semaphore, taken: Callable[[Lease], None], lease: Lease) -> None:
        self._free, self._taken, self._lease = free, taken, lease
        self._stalling: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> None:
        await self._free.acquire()
        self._stalling = asyncio.get_running_loop().call_later(STALLED_SECONDS, self._leave)
        self._taken(self._lease)

    async def __aexit__(self, *_: object) -> None:
        self._leave()

    def _leave(self) -> None:
        if self._stalling is not None:
            self._stalling.cancel()
            self._stalling = None
            self._free.release()
