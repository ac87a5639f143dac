"""Runners: so many attempts of a worker are under way at once. Beside one that is kept waiting another begins."""

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable, Iterable

from gateway.sending.lease import Lease

STALLED_SECONDS = 0.1
"""What has been under way for so long does not count any more: a silent upstream shall not keep others waiting."""
_LOOK_SECONDS = STALLED_SECONDS / 4
"""One timer for all attempts: setting one for each took as long as the attempt's own bookkeeping."""


class _Runner:
    """Makes one attempt after the other; ``since`` is when its present one began, by the loop's clock."""

    __slots__ = ("lease", "since", "task")

    def __init__(self) -> None:
        self.lease: Lease | None = None
        self.since = math.inf
        self.task: asyncio.Task[None] | None = None


class Runners:
    """Makes an ``attempt`` at each lease, first come, first served, ``count`` at once besides those that stall.

    What is under way when its lease ends, or when it has taken too long, is ended (``Lease.end_in_time``).
    """

    def __init__(self, count: int, attempt: Callable[[Lease], Awaitable[None]]) -> None:
        self._count, self._attempt = count, attempt
        self._waiting = deque[Lease]()
        self._running, self._stalled = set[_Runner](), set[_Runner]()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, leases: Iterable[Lease]) -> None:
        """Attempt these, too, after those that wait already."""
        self._waiting.extend(leases)
        self._start()

    async def finish(self) -> None:
        """Wait until nothing is under way any more, and nothing waits."""
        while under_way := self._tasks():
            await asyncio.wait(under_way)

    async def cancel(self, patience: float) -> None:
        """Begin nothing more, end what is under way, and wait so many seconds for it."""
        self._waiting.clear()
        under_way = self._tasks()
        for task in under_way:
            task.cancel()
        if under_way:
            await asyncio.wait(under_way, timeout=patience)
        self._running.clear()
        self._stalled.clear()

    def _tasks(self) -> list[asyncio.Task[None]]:
        return [each.task for each in self._running | self._stalled if each.task is not None]

    def _start(self) -> None:
        """Have as many begin as wait and may. All of them at once: in a busy loop, whoever begins later is late."""
        loop = asyncio.get_running_loop()
        for _ in range(min(self._count - len(self._running), len(self._waiting))):
            runner = _Runner()
            self._running.add(runner)
            runner.task = loop.create_task(self._run(runner, loop))
        if self._timer is None and self._running:
            self._timer = loop.call_later(_LOOK_SECONDS, self._look)

    async def _run(self, runner: _Runner, loop: asyncio.AbstractEventLoop) -> None:
        try:
            while self._waiting and runner in self._running:
                runner.lease, runner.since = self._waiting.popleft(), loop.time()
                await self._attempt(runner.lease)
        finally:
            self._running.discard(runner)
            self._stalled.discard(runner)
            self._start()

    def _look(self) -> None:
        """Let others begin beside what stalls, and end what may go on no longer."""
        now = asyncio.get_running_loop().time()
        stalled = {each for each in self._running if now - each.since >= STALLED_SECONDS}
        self._running -= stalled
        self._stalled |= stalled
        for each in (*self._running, *self._stalled):
            if each.lease is not None:
                each.lease.end_in_time(now + _LOOK_SECONDS)
        self._timer = None
        self._start()
        if self._timer is None and self._stalled:
            self._timer = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look)
