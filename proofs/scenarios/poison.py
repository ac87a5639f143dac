"""A report that costs every worker that sends it its life: it is set aside, and nothing else is."""

import asyncio

from proofs.ledger import Measured
from proofs.scenario import Scenario
from proofs.stage import LEASE, Stage
from proofs.upstream import Exchange, taking

_LIMIT = 3
"""Workers that one delivery may cost here; five as shipped."""
_MORE = 2
"""So many more are let go before it is plain that there is no end to it."""


async def poison(stage: Stage) -> None:
    """Whichever worker sends the first report to one of two upstreams is killed, each time, while others come in."""
    await stage.serve()
    await stage.upstream("national")
    poisoned = await stage.upstream("poisoned", ends=("delivered", "exhausted"))
    killed = list[str]()

    async def kill(exchange: Exchange) -> None:
        if exchange.arrived.delivery != poisoned.arrivals[0].delivery:
            return await taking(exchange)
        killed.append(exchange.arrived.delivery)
        sender = next(each for each in stage.workers if each.speaks_at(exchange.sender_port))
        stage.workers.remove(sender)
        sender.kill()

    poisoned.behave = kill
    for _ in range(2):
        await stage.work()
    async with stage.load(senders=4, pause=0.3, is_amended=False), asyncio.timeout(12 * LEASE):
        while not await _is_set_aside(stage, killed) and len(killed) < _LIMIT + _MORE:
            if len(stage.workers) < 2:
                await stage.work()
            await asyncio.sleep(0.1)
    poisoned.behave = taking
    answer = await stage.http.get("/v1/deliveries", params={"state": "exhausted"})
    innocent = [each["id"] for each in answer.raise_for_status().json()["items"] if each["id"] not in killed]
    stage.ledger.write(Measured(what="workers that one report cost", value=len(killed), most=_LIMIT))
    stage.ledger.write(Measured(what="others that were set aside", value=len(innocent), most=0))


async def _is_set_aside(stage: Stage, killed: list[str]) -> bool:
    return bool(killed) and await stage.observe(killed[0]) == "exhausted"


SCENARIOS = [
    Scenario("poison", poison, ["never-sets-aside"], {"GATEWAY_LOSS_LIMIT": str(_LIMIT)}, seconds=120),
]
