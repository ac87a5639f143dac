"""Processes that are killed at one certain moment: at each step between a process and its data, or its upstream."""

import asyncio

from proofs.faults.wire import Fate, Message, Wire, boundary
from proofs.faults.link import Way
from proofs.ledger import Observed
from proofs.scenario import Scenario
from proofs.stage import Stage
from proofs.upstream import Behaviour, Exchange, taking

_STEPS = 12
"""Of how many message boundaries one run takes each; the next run takes the ones beside them."""


async def kill_while_sending(stage: Stage) -> None:
    """A worker is killed when the upstream has its request and has not answered, and when it has its answer and has
    not recorded it."""
    await stage.serve()
    national = await stage.upstream("national")
    await stage.work()
    for number in range(6):
        national.behave = _killing(stage, is_answered=number % 2 == 1)
        await stage.client.push(stage.key())
        await _until(lambda: not stage.workers)
        national.behave = taking
        await stage.work()


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
