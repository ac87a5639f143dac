"""Links that are slow, cut, silent or refused for a while, and then well again: each of the three there are."""

from collections.abc import Awaitable, Callable

from proofs.faults.link import Link, Way
from proofs.faults.wire import Wire, with_rows
from proofs.scenario import Scenario
from proofs.stage import Stage
from proofs.statements import CLAIMING

_LONGEST = 2.0
"""Seconds that a link is in trouble: less than a lease, so that at most one attempt of a delivery is unclear."""
Trouble = Callable[[Stage, Link], Awaitable[None]]


async def _slow(stage: Stage, link: Link) -> None:
    link.slow(latency=0.1, jitter=0.1)


async def _cut(stage: Stage, link: Link) -> None:
    link.cut_after(stage.chance.randrange(1, 4000), stage.chance.choice(list(Way)))
    link.reset()


async def _silent(stage: Stage, link: Link) -> None:
    link.silence(*stage.chance.choice([(), (Way.to_server,), (Way.to_client,)]))


async def _lost(stage: Stage, link: Link) -> None:
    """Silent, and what was on its way never arrives."""
    link.silence()
    await stage.wait(0.3, _LONGEST / 2)
    link.reset()


async def _refused(stage: Stage, link: Link) -> None:
    link.refuse()
    link.reset()


_TROUBLES: list[Trouble] = [_slow, _cut, _silent, _lost, _refused]


async def _troubled(stage: Stage, link: Link, between: str) -> None:
    """Every trouble once, in an order drawn by chance, while reports come in."""
    async with stage.load():
        for trouble in stage.chance.sample(_TROUBLES, len(_TROUBLES)):
            await stage.wait(0.2, 0.5)
            stage.note(trouble.__name__.lstrip("_"), between)
            await trouble(stage, link)
            await stage.wait(0.3, _LONGEST / 2)
            await link.heal()


async def link_of_api(stage: Stage) -> None:
    """Between the API and PostgreSQL."""
    link = await stage.entered(Link(stage.postgres.socket, stage.chance.getrandbits(32)))
    await stage.begin(1, api_port=link.port)
    await _troubled(stage, link, "api and postgres")


async def link_of_workers(stage: Stage) -> None:
    """Between the workers and PostgreSQL; a claim among them whose worker never learns that it was committed."""
    link = await stage.entered(Wire(stage.postgres.socket, stage.chance.getrandbits(32)))
    await stage.begin(2, worker_port=link.port)
    unheard = link.lose_answer(with_rows(CLAIMING), skip=stage.chance.randrange(3))
    await _troubled(stage, link, "workers and postgres")
    if unheard.struck.is_set():
        stage.note("lose answer", "worker")


async def link_of_upstream(stage: Stage) -> None:
    """Between the workers and one of two upstreams."""
    await stage.serve()
    await stage.upstream("office", kind="webhook")
    national = await stage.stub("national")
    link = await stage.entered(Link(("127.0.0.1", national.port), stage.chance.getrandbits(32)))
    await stage.upstream("national", port=link.port)
    for _ in range(2):
        await stage.work()
    await _troubled(stage, link, "workers and national")


SCENARIOS = [
    Scenario("link-of-api", link_of_api, ["answers-before-commit"]),
    Scenario("link-of-workers", link_of_workers, ["never-takes-over"]),
    Scenario("link-of-upstream", link_of_upstream, ["takes-silence-for-yes"]),
]
