"""Processes that are killed (``kill -9``) at any moment while reports come in and go out."""

from proofs.scenario import Scenario
from proofs.stage import Stage


async def kill_api(stage: Stage) -> None:
    """The API is killed again and again, and started again; each time a report is refused, however few are sent."""
    await stage.begin()
    async with stage.load():
        for _ in range(4):
            await stage.wait(0.4, 1.2)
            stage.running_api.kill()
            await stage.serve()
            await stage.client.push(stage.key(), wrong=True)


async def kill_worker(stage: Stage) -> None:
    """One of two workers is killed again and again, and another started."""
    await stage.begin()
    async with stage.load():
        for _ in range(5):
            await stage.wait(0.3, 1.2)
            stage.workers.pop(0).kill()
            await stage.work()


async def kill_postgres(stage: Stage) -> None:
    """All of PostgreSQL is killed, twice, and then one of the processes that serve connections."""
    await stage.begin()
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
    Scenario("kill-api", kill_api, ["answers-before-commit", "outbox-after-commit", "forwards-what-it-refused"]),
    Scenario("kill-worker", kill_worker, ["delivered-before-sent", "never-takes-over"]),
    Scenario("kill-postgres", kill_postgres, ["commits-asynchronously"]),
]
