"""Taking from clients' allowances: what waits together asks together, and whoever has no limit asks nothing."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeAlias
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.access.limits import Limits
from gateway.db.allowances import Granted, take_reports, take_requests
from gateway.db.deadline import BRIEF_SECONDS
from gateway.db.engine import driver
from gateway.errors import Text, TooManyRequests

_Take: TypeAlias = Callable[[int], Awaitable[Granted]]


@dataclass(slots=True)
class _Queue:
    """Those of one process who wait for one client's allowance."""

    waiting: list[tuple[int, asyncio.Future[Granted]]] = field(default_factory=list)
    asking: asyncio.Task[None] | None = None
    empty_until: float = 0.0
    """Until then another question would get nothing, so that a client that goes on asking costs nothing."""


class Allowance:
    """What clients may still ask for. The database knows; of each client one question at a time is put to it.

    A request that is let in has been taken out of the one row of its client: however many processes there are, no
    more come through in any time than the limit and one burst.
    """

    def __init__(self, engine: AsyncEngine, default: Limits) -> None:
        self._engine, self._default = engine, default
        self._requests: dict[UUID, _Queue] = {}
        self._reports: dict[UUID, _Queue] = {}

    async def take_request(self, client: UUID, limits: Limits) -> None:
        """Let one request of a client in. Raises ``TooManyRequests``."""
        own = limits.within(self._default)
        rate, burst = own.requests_per_second, own.burst
        if rate is None or burst is None:
            return

        async def take(wanted: int) -> Granted:
            async with driver(self._engine, BRIEF_SECONDS) as connection:
                return await take_requests(connection, client, rate, burst, wanted)

        granted = await _ask(self._requests, client, 1, take)
        if not granted.number:
            raise _refused(
                granted,
                "requests_per_second",
                Text(f"Vượt quá {rate:g} yêu cầu mỗi giây.", f"More than {rate:g} requests in a second."),
            )

    async def take_reports(self, client: UUID, limits: Limits, wanted: int) -> tuple[int, TooManyRequests | None]:
        """Let some reports of a client in; how many, and what is to be said of the rest."""
        per_day = limits.within(self._default).reports_per_day
        if per_day is None or not wanted:
            return wanted, None

        async def take(count: int) -> Granted:
            async with driver(self._engine, BRIEF_SECONDS) as connection:
                return await take_reports(connection, client, per_day, count)

        granted = await _ask(self._reports, client, wanted, take)
        if granted.number == wanted:
            return wanted, None
        message = Text(f"Vượt quá {per_day} báo cáo mỗi ngày.", f"More than {per_day} reports in a day.")
        return granted.number, _refused(granted, "reports_per_day", message)


def _refused(granted: Granted, limit: str, message: Text) -> TooManyRequests:
    return TooManyRequests(message, retry_after=max(1, math.ceil(granted.seconds)), extra={"limit": limit})


async def _ask(queues: dict[UUID, _Queue], client: UUID, wanted: int, take: _Take) -> Granted:
    """A share of what is granted to all who wait for the same client; the earlier ones' first."""
    queue = queues.setdefault(client, _Queue())
    remaining = queue.empty_until - time.monotonic()
    if remaining > 0:
        return Granted(0, remaining)
    future: asyncio.Future[Granted] = asyncio.get_running_loop().create_future()
    queue.waiting.append((wanted, future))
    if queue.asking is None:
        queue.asking = asyncio.create_task(_serve(queues, client, queue, take))
    return await future


async def _serve(queues: dict[UUID, _Queue], client: UUID, queue: _Queue, take: _Take) -> None:
    while queue.waiting:
        waiting, queue.waiting = queue.waiting, []
        try:
            granted = await take(sum(wanted for wanted, _ in waiting))
        except Exception as error:
            for _, future in waiting:
                if not future.done():
                    future.set_exception(error)
            continue
        _share(waiting, granted)
        if granted.number == 0:
            queue.empty_until = time.monotonic() + min(granted.seconds, 1.0)
    queue.asking = None
    if queue.empty_until <= time.monotonic():
        queues.pop(client, None)


def _share(waiting: list[tuple[int, asyncio.Future[Granted]]], granted: Granted) -> None:
    left = granted.number
    for wanted, future in waiting:
        share = min(wanted, left)
        left -= share
        if not future.done():
            future.set_result(Granted(share, granted.seconds))
