"""Links that fail: between the API and its database, a worker and its database, a worker and an upstream."""

from proofs.faults.link import Link, Way
from proofs.faults.wire import Wire, notification, swallow
from proofs.scenario import Scenario
from proofs.stage import Stage


async def _harm(stage: Stage, link: Link, rounds: int = 2) -> None:
    """Each fault in turn, healed after a while."""
    for _ in range(rounds):
        link.slow(latency=0.05, jitter=0.05)
        await stage.wait(0.3, 0.8)
        stage.note("reset", "link")
        link.reset()
        await stage.wait(0.2, 0.5)
        stage.note("half-open", "link")
        link.silence(stage.chance.choice(list(Way)))
        await stage.wait(0.5, 1.5)
        await link.heal()
        stage.note("cut", "link")
        link.cut_after(stage.chance.randrange(200, 6000), stage.chance.choice(list(Way)))
        await stage.wait(0.5, 1)
        stage.note("refuse", "link")
        link.refuse()
        link.reset()
        await stage.wait(0.2, 0.6)
        await link.heal()
        await stage.wait(0.2, 0.5)


async def api_database(stage: Stage) -> None:
    """The link between the API and PostgreSQL."""
    link = await stage.entered(Link(stage.postgres.socket, stage.chance.randrange(1000)))
    await stage.begin(api_port=link.port)
    async with stage.load():
        await _harm(stage, link)


async def worker_database(stage: Stage) -> None:
    """The link between the workers and PostgreSQL."""
    link = await stage.entered(Link(stage.postgres.socket, stage.chance.randrange(1000)))
    await stage.begin(worker_port=link.port)
    async with stage.load():
        await _harm(stage, link)


async def worker_upstream(stage: Stage) -> None:
    """The link between the workers and an upstream."""
    await stage.serve()
    stub = await stage.stub("national")
    link = await stage.entered(Link(("127.0.0.1", stub.port), stage.chance.randrange(1000)))
    await stage.upstream("national", port=link.port)
    await stage.upstream("office", kind="webhook")
    for _ in range(2):
        await stage.work()
    async with stage.load():
        await _harm(stage, link)


async def notifications_lost(stage: Stage) -> None:
    """No notification ever reaches a worker: it polls."""
    wire = await stage.entered(Wire(stage.postgres.socket))
    wire.when(notification, swallow, times=None)
    await stage.begin(worker_port=wire.port)
    async with stage.load():
        await stage.wait(2, 3)


async def commits_unconfirmed(stage: Stage) -> None:
    """PostgreSQL commits what the API stores, and the connection breaks before it says so."""
    wire = await stage.entered(Wire(stage.postgres.socket))
    await stage.begin(api_port=wire.port)
    async with stage.load(senders=4):
        for _ in range(6):
            stage.note("commit unconfirmed", "link")
            wire.lose_answer("INSERT INTO payloads")
            await stage.wait(0.3, 0.6)


async def records_unconfirmed(stage: Stage) -> None:
    """PostgreSQL commits how an attempt ended, and the connection breaks before it says so."""
    wire = await stage.entered(Wire(stage.postgres.socket))
    await stage.begin(worker_port=wire.port)
    async with stage.load(senders=4):
        for _ in range(6):
            stage.note("record unconfirmed", "link")
            wire.lose_answer("INSERT INTO attempts")
            await stage.wait(0.3, 0.6)


SCENARIOS = [
    Scenario("link-api-database", api_database, ["answers-before-commit"]),
    Scenario("link-worker-database", worker_database, ["delivered-before-sent"]),
    Scenario("link-worker-upstream", worker_upstream, ["takes-silence-for-yes", "rewrites-repeats", "overtakes"]),
    Scenario("commit-unconfirmed", commits_unconfirmed, ["answers-before-commit"]),
    Scenario("record-unconfirmed", records_unconfirmed, ["delivered-before-sent"]),
    Scenario("notify-lost", notifications_lost, ["never-polls"]),
]
