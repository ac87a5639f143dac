"""Processes that are killed at one certain moment: at each step between a process and its data, or its upstream."""

import asyncio
from collections.abc import Callable
from typing import Any

from proofs.faults.link import Way
from proofs.faults.wire import Fate, Message, Rule, Wire, calling
from proofs.processes import Process
from proofs.scenario import Scenario
from proofs.stage import Stage
from proofs.upstream import Behaviour, Exchange, taking

API_STRIDE, STRIDE = 2, 8
"""A run strikes at every so-manieth message; as many runs on end strike at every one."""
_AFTER = 1.0
"""Seconds after an answer in which nothing more is done for it, or it was given too early."""


async def kill_while_sending(stage: Stage) -> None:
    """A worker is killed when its upstream has the request and has not answered, or has answered and the worker has not
    recorded it."""
    await stage.serve()
    national = await stage.upstream("national")
    await stage.work()
    for number in range(4):
        national.behave = _killing(stage, is_answered=number % 2 == 1)
        await stage.client.push(stage.key())
        await stage.until(lambda: not stage.workers)
        national.behave = taking
        await stage.work()


def _killing(stage: Stage, *, is_answered: bool) -> Behaviour:
    async def behave(exchange: Exchange) -> None:
        worker = stage.workers.pop()
        worker.pause()  # so that it has the answer and cannot do anything about it
        if is_answered:
            await exchange.answer(201, b"{}")
        worker.kill(exchange.arrived.delivery)

    return behave


async def kill_api_at_messages(stage: Stage) -> None:
    """The API is killed at every message between it and PostgreSQL, from a report's arrival until a while after its
    answer: what is done only then is lost with it. The message is lost too: of several that were sent in one go, those
    that are handed over would be carried out although their sender is dead."""
    wire = await stage.entered(Wire(stage.postgres.socket))
    await stage.begin(1, api_port=wire.port)
    number, is_struck = stage.turn % API_STRIDE, True
    while is_struck:
        await _until_quiet(wire)
        rule = _struck(wire, number, lambda: stage.running_api, Fate.drop)
        pushing = asyncio.create_task(_pushed(stage))
        if is_struck := await _comes_before(rule, pushing):
            await stage.serve()
        await pushing
        wire.rules.clear()
        number += API_STRIDE


async def _pushed(stage: Stage) -> None:
    """Push a report, and wait for whatever is done after its answer."""
    await stage.client.push(stage.key())
    await asyncio.sleep(_AFTER)


async def kill_worker_at_messages(stage: Stage) -> None:
    """A worker is killed at every message between it and PostgreSQL, from the claim of a delivery to its record."""
    wire = await stage.entered(Wire(stage.postgres.socket))
    await stage.begin(1, worker_port=wire.port)
    number, is_struck = stage.turn % STRIDE, True
    while is_struck:
        await _until_quiet(wire)
        rule = _struck(wire, number, stage.workers.pop, stage.chance.choice([Fate.forward, Fate.drop]))
        delivering = asyncio.create_task(_delivered(stage))
        if is_struck := await _comes_before(rule, delivering):
            await stage.work()
        delivering.cancel()
        wire.rules.clear()
        number += STRIDE


def _struck(wire: Wire, number: int, victim: Callable[[], Process], fate: Fate) -> Rule:
    """Kill a process at a step that is the so-manieth from now; ``fate`` is its message's."""

    async def kill() -> None:
        victim().kill()

    return wire.when(_is_step, calling(kill, fate), skip=number)


async def _comes_before(rule: Rule, doing: asyncio.Task[Any]) -> bool:
    """Whether the rule strikes before something is done."""
    striking = asyncio.create_task(rule.struck.wait())
    await asyncio.wait({striking, doing}, return_when=asyncio.FIRST_COMPLETED)
    striking.cancel()
    return rule.struck.is_set()


def _is_step(message: Message) -> bool:
    """Whether a process, or the server, gets further by this message: an answer is one step, however long it is."""
    return message.way is Way.to_server or message.kind == "Z"


async def _until_quiet(wire: Wire) -> None:
    """Wait until a process has read what it reads at its start."""
    before = -1
    while before != wire.messages or not wire.messages:
        before = wire.messages
        await asyncio.sleep(0.1)


async def _delivered(stage: Stage) -> None:
    """Push a report, and wait until its deliveries are recorded."""
    report = await stage.client.push(stage.key())
    while True:
        answer = await stage.http.get("/v1/deliveries", params={"report": report})
        if all(each["state"] == "delivered" for each in answer.raise_for_status().json()["items"]):
            return
        await asyncio.sleep(0.02)


SCENARIOS = [
    Scenario("kill-while-sending", kill_while_sending, ["never-takes-over"]),
    Scenario(
        "kill-api-at-messages", kill_api_at_messages, ["answers-before-commit", "outbox-after-commit"], seconds=240
    ),
    Scenario("kill-worker-at-messages", kill_worker_at_messages, ["delivered-before-sent"]),
]
