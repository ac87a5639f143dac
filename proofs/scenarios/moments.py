"""Processes that are killed or stopped at one certain moment, at each step between them and what they speak to."""

import asyncio
from collections.abc import Awaitable, Callable

from proofs.faults.link import Way
from proofs.faults.wire import Wire, boundary, calling
from proofs.processes import Process
from proofs.scenario import Scenario
from proofs.stage import LEASE, Stage
from proofs.upstream import Behaviour, Exchange, taking

_STEPS = 10
"""Of how many message boundaries one run takes each; a run with another seed takes those beside them."""
_STRIDE = 3


async def kill_while_sending(stage: Stage) -> None:
    """A worker is killed when the upstream has its request and has not answered; then when it has answered, too."""
    await stage.serve()
    national = await stage.upstream("national")
    await stage.work()
    for number in range(4):
        national.behave = _killing(stage, is_answered=number % 2 == 1)
        await stage.client.push(stage.key())
        await stage.until(lambda: not stage.workers)
        national.behave = taking
        await stage.work()
        await asyncio.sleep(LEASE + 1)


def _killing(stage: Stage, *, is_answered: bool) -> Behaviour:
    async def behave(exchange: Exchange) -> None:
        if not stage.workers:
            return
        worker = stage.workers.pop()
        worker.pause()
        if is_answered:
            await exchange.answer(201, b"{}")
        worker.kill(exchange.arrived.delivery)
        worker.resume()

    return behave


async def kill_api_at_each_message(stage: Stage) -> None:
    """The API is killed at one boundary after another between messages to and from PostgreSQL."""
    wire = await stage.entered(Wire(stage.postgres.socket))
    await stage.begin(api_port=wire.port)
    first = stage.chance.randrange(_STRIDE)
    for step in range(_STEPS):
        killed = _kill_at(wire, first + step * _STRIDE, _api_killer(stage))
        async with asyncio.TaskGroup() as pushing:
            for _ in range(3):
                pushing.create_task(stage.client.push(stage.key()))
            pushing.create_task(_brought_back(stage, killed))


async def _brought_back(stage: Stage, killed: asyncio.Event) -> None:
    """Start the API again once it has been killed, or go on where it never came to that."""
    try:
        await asyncio.wait_for(killed.wait(), 3)
    except TimeoutError:
        return
    await stage.serve()


def _api_killer(stage: Stage) -> Callable[[], Awaitable[object]]:
    async def kill() -> None:
        stage.running_api.kill()

    return kill


async def kill_worker_at_each_message(stage: Stage) -> None:
    """A worker is killed at one boundary after another between messages to and from PostgreSQL."""
    wire = await stage.entered(Wire(stage.postgres.socket))
    await stage.serve()
    national = await stage.upstream("national")
    await stage.upstream("office", kind="webhook")
    first = stage.chance.randrange(_STRIDE)
    for step in range(_STEPS):
        wire.rules.clear()
        worker = await stage.work(wire.port)
        await stage.client.push(stage.key())
        await stage.until(lambda least=2 * step + 1: len(national.arrivals) >= least)  # type: ignore[misc]

        async def kill(worker: Process = worker) -> None:
            if worker in stage.workers:
                stage.workers.remove(worker)
                worker.kill()

        killed = _kill_at(wire, first + step * _STRIDE, kill)
        await stage.client.push(stage.key())
        try:
            await asyncio.wait_for(killed.wait(), 3)
        except TimeoutError:
            await kill()


def _kill_at(wire: Wire, step: int, kill: Callable[[], Awaitable[object]]) -> asyncio.Event:
    """Have something killed at the so-manieth message from now on, on its way to or from the server."""
    done = asyncio.Event()

    async def act() -> None:
        if not done.is_set():
            done.set()
            await kill()

    wire.rules.clear()
    wire.when(boundary(Way.to_server if step % 2 else Way.to_client), calling(act), skip=step // 2)
    return done


async def stop_past_the_lease(stage: Stage) -> None:
    """A worker is stopped (SIGSTOP) while it sends, until another has taken over and delivered, and then goes on."""
    await stage.serve()
    national = await stage.upstream("national")
    for _ in range(2):
        await asyncio.gather(*(each.end() for each in stage.workers))
        stage.workers.clear()
        zombie = await stage.work()
        stopped = asyncio.Event()

        async def stop(exchange: Exchange, zombie: Process = zombie, stopped: asyncio.Event = stopped) -> None:
            if not stopped.is_set():
                zombie.pause(exchange.arrived.delivery)
                stopped.set()
                await exchange.answer(422, b"{}")  # what the one that was stopped reads when it goes on
            else:
                await taking(exchange)

        national.behave = stop
        await stage.client.push(stage.key())
        await stopped.wait()
        await stage.work()
        arrived = len(national.arrivals)
        await stage.until(lambda arrived=arrived: len(national.arrivals) > arrived)  # type: ignore[misc]
        await asyncio.sleep(0.3)
        zombie.resume()
        await asyncio.sleep(1)


SCENARIOS = [
    Scenario("kill-while-sending", kill_while_sending, ["renames-repeats"], seconds=90),
    Scenario("kill-api-steps", kill_api_at_each_message, ["answers-before-commit"], seconds=120),
    Scenario("kill-worker-steps", kill_worker_at_each_message, ["never-takes-over"], seconds=120),
    Scenario("stop-past-lease", stop_past_the_lease, ["forgets-the-fence"], seconds=90),
]
