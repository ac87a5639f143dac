"""Notifications are hints: without them a delivery takes as long as a poll, and with them it does not."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from proofs.faults.wire import Wire, answer_to, forward, notification, swallow

from forwarding import connect_upstream, receive, states, until_all, upstream, working
from gateway.api.deps import Gateway
from gateway.flow.wake import Notifier
from wired import wired

POLL = 0.3
NEVER = 3600.0


@asynccontextmanager
async def listening(gateway: Gateway, poll: float) -> AsyncIterator[Wire]:
    """A gateway that notifies of reports, and a worker behind a wire that listens by now."""
    notifier = Notifier(gateway.engine)
    notifying = asyncio.create_task(notifier.run())
    gateway.intake.forward = notifier.wake
    try:
        async with upstream() as national, wired(gateway) as (wire, far):
            await connect_upstream(gateway, national.url)
            listens = wire.when(answer_to("LISTEN"), forward, last="Z")
            async with working(far, worker_poll_seconds=poll):
                await listens.struck.wait()
                await report_comes_through(gateway)  # what it looks at when it begins is behind it
                yield wire
    finally:
        gateway.intake.forward = lambda: None
        notifying.cancel()


async def report_comes_through(gateway: Gateway, seconds: float = 20) -> float:
    """Seconds from a report's acceptance to its delivery."""
    started = time.monotonic()
    await receive(gateway, period=f"{2060 + len(await states(gateway.engine))}-Q1")
    await until_all(gateway.engine, "delivered", seconds)
    return time.monotonic() - started


async def test_a_notified_worker_need_not_poll(gateway: Gateway) -> None:
    async with listening(gateway, NEVER):
        for _ in range(3):
            assert await report_comes_through(gateway) < 10


async def test_without_notifications_a_delivery_waits_for_the_next_poll_and_no_longer(gateway: Gateway) -> None:
    async with listening(gateway, POLL) as wire:
        lost = wire.when(notification, swallow, times=None)
        took = [await report_comes_through(gateway) for _ in range(4)]
        assert lost.seen >= 4
    assert max(took) < POLL + 1, took


async def test_a_worker_that_only_listened_would_wait_for_ever(gateway: Gateway) -> None:
    async with listening(gateway, NEVER) as wire:
        lost = wire.when(notification, swallow, times=None)
        with pytest.raises(AssertionError):
            await report_comes_through(gateway, seconds=0.5)
        assert lost.seen
        wire.rules.clear()
        await report_comes_through(gateway)


async def test_a_worker_listens_again_when_its_connection_was_lost(gateway: Gateway) -> None:
    async with listening(gateway, NEVER) as wire:
        again = wire.when(answer_to("LISTEN"), forward, last="Z")
        wire.reset()
        await again.struck.wait()
        assert await report_comes_through(gateway) < 10
