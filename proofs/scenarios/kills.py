"""Processes that are killed (``kill -9``) at any moment while reports come in and go out."""

from proofs.scenario import Scenario
from proofs.stage import Stage


async def _begun(stage: Stage, workers: int = 2) -> None:
    """The usual: an API, workers, and three upstreams of two kinds."""
    await stage.serve()
    await stage.upstream("national")
    await stage.upstream("hanoi", under="H26")
    await stage.upstream("office", kind="webhook")
    for _ in range(workers):
        await stage.work()


async def kill_api(stage: Stage) -> None:
    await _begun(stage)
    async with stage.load():
        for _ in range(4):
            await stage.wait(0.4, 1.2)
            assert stage.api is not None
            stage.api.kill()
            await stage.serve()


async def kill_worker(stage: Stage) -> None:
    await _begun(stage)
    async with stage.load():
        for _ in range(5):
            await stage.wait(0.3, 1.2)
            stage.workers.pop(0).kill()
            await stage.work()


async def kill_postgres(stage: Stage) -> None:
    await _begun(stage)
    async with stage.load():
        for _ in range(2):
            await stage.wait(0.5, 1.5)
            stage.postgres.kill(stage.ledger)
            await stage.wait(0, 0.5)
            await stage.postgres.start()
        await stage.wait(0.5, 1)
        stage.postgres.kill_backend(stage.ledger, stage.chance.random())
        await stage.wait(0.5, 1)


SCENARIOS = [
    Scenario("kill-api", kill_api),
    Scenario("kill-worker", kill_worker),
    Scenario("kill-postgres", kill_postgres),
]
