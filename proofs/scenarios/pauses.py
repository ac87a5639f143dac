"""Workers that stand still (SIGSTOP) for longer than their lease, and go on as if nothing had happened (SIGCONT)."""

import asyncio

from proofs.processes import Process
from proofs.scenario import Scenario
from proofs.stage import LEASE, Stage
from proofs.upstream import Exchange, Upstream, taking


async def pause_worker(stage: Stage) -> None:
    """A worker stands still between its request and the answer, which is a refusal; another delivers meanwhile."""
    await stage.serve()
    national = await stage.upstream("national")
    sleeper = await stage.work()
    held: asyncio.Future[Exchange] = asyncio.get_running_loop().create_future()
    over = asyncio.Event()

    async def holding(exchange: Exchange) -> None:
        national.behave = taking
        sleeper.pause(exchange.arrived.delivery)
        held.set_result(exchange)
        await over.wait()

    national.behave = holding
    async with stage.load(4):
        exchange = await held
        await stage.work()
        delivery = exchange.arrived.delivery
        async with asyncio.timeout(4 * LEASE):
            while await stage.observe(delivery) != "delivered":  # noqa: ASYNC110 - of another process
                await asyncio.sleep(0.1)
        await exchange.answer(422, b"no")
        sleeper.resume()
        for _ in range(20):
            await asyncio.sleep(0.1)
            await stage.observe(delivery)
        over.set()


NAPS = (0.9, 1.4, 1.6)
"""How long workers stand still, in leases: past one lease, what they were sending is for another to send."""


async def pause_under_load(stage: Stage) -> None:
    """One worker after another stands still for about a lease, struck while it waits for an upstream's answer."""
    await stage.begin()
    async with stage.load():
        for nap in NAPS:
            await stage.wait(0.3, 0.8)
            upstream = stage.upstreams[stage.chance.choice(sorted(stage.wells))]
            sleeper = await _struck(stage, upstream, is_left=nap > 1)
            await asyncio.sleep(LEASE * nap)
            sleeper.resume()


async def _struck(stage: Stage, upstream: Upstream, *, is_left: bool) -> Process:
    """Stop the worker that sends the next request to an upstream; answered or not, it knows nothing of an answer.

    ``is_left`` is whether that request will be left for another worker to send.
    """
    struck: asyncio.Future[Process] = asyncio.get_running_loop().create_future()
    is_answered = stage.chance.random() < 0.5

    async def striking(exchange: Exchange) -> None:
        sender = next((each for each in stage.workers if each.speaks_at(exchange.sender_port)), None)
        if sender is None or struck.done():
            return await taking(exchange)
        sender.pause(exchange.arrived.delivery if is_left else None)
        upstream.behave = taking
        struck.set_result(sender)
        await (taking(exchange) if is_answered else asyncio.sleep(LEASE * max(NAPS)))

    upstream.behave = striking
    async with asyncio.timeout(20):
        return await struck


SCENARIOS = [
    Scenario("pause-worker", pause_worker, ["forgets-the-fence"]),
    Scenario("pause-under-load", pause_under_load, ["never-takes-over"]),
]
