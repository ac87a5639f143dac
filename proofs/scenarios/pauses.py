"""Workers that stand still (SIGSTOP) for longer than their lease, and go on as if nothing had happened (SIGCONT)."""

import asyncio

from proofs.scenario import Scenario
from proofs.stage import LEASE, Stage
from proofs.upstream import Exchange, taking


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


async def pause_under_load(stage: Stage) -> None:
    """Two workers take turns at standing still for about a lease, in whatever they are at."""
    await stage.begin()
    async with stage.load():
        for _ in range(3):
            await stage.wait(0.3, 0.8)
            sleeper = stage.chance.choice(stage.workers)
            sleeper.pause()
            await stage.wait(LEASE * 0.8, LEASE * 1.3)
            sleeper.resume()


SCENARIOS = [
    Scenario("pause-worker", pause_worker, ["forgets-the-fence"]),
    Scenario("pause-under-load", pause_under_load, ["never-takes-over"]),
]
