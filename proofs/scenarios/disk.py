"""The disk of PostgreSQL is full for a while: its log finds no room, and it stops until there is some."""

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import asyncpg
import httpx

from gateway.db.programs import EmbeddedServerError
from proofs.faults.disk import Disk, SmallDisk
from proofs.ledger import Fault, Measured
from proofs.scenario import Scenario
from proofs.stage import Stage

_MEGABYTES = 512
"""Enough for PostgreSQL and its templates, with some segments of its log to spare."""
_FULL = 6.0
"""Seconds for which there is no room."""


@contextmanager
def small_volume() -> Iterator[Path]:
    """A directory for PostgreSQL on a small disk. Raises ``NotPossible``."""
    with (
        tempfile.TemporaryDirectory(prefix="gateway-disk-") as made,
        SmallDisk(Path(made) / "disk", Path(made) / "image", _MEGABYTES) as disk,
    ):
        Path(made).chmod(0o755)
        yield disk.directory / "postgresql"


async def fill_disk(stage: Stage) -> None:
    """There is no room for PostgreSQL's log, twice, while reports come in and go out."""
    disk = Disk(stage.postgres.socket.parent.parent)
    unavailable, hasty = _counted(stage)
    await stage.begin()
    async with stage.load():
        for _ in range(2):
            await stage.wait(1, 2)
            disk.fill()
            stage.ledger.write(Fault(what="fill disk", who="postgres"))
            await _use_up(stage)
            trying = asyncio.create_task(_keep_trying(stage))
            await stage.wait(_FULL, _FULL + 2)
            disk.free()
            await trying
            await stage.wait(2, 3)
    stage.ledger.write(
        Measured(what="times that the disk was full and nobody noticed", value=int(not unavailable), most=0)
    )
    stage.ledger.write(Measured(what="answers 503 without Retry-After", value=len(hasty), most=0))


def _counted(stage: Stage) -> tuple[list[int], list[int]]:
    """Answers of 503 from now on, and those of them that do not say when to come again."""
    unavailable: list[int] = []
    hasty: list[int] = []

    async def count(answer: httpx.Response) -> None:
        if answer.status_code == 503:
            unavailable.append(1)
            if int(answer.headers.get("retry-after", 0)) < 1:
                hasty.append(1)

    stage.http.event_hooks["response"].append(count)
    return unavailable, hasty


async def _use_up(stage: Stage) -> None:
    """Have PostgreSQL use up the segments of its log that it has, as some hours of reports would."""
    with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        async with stage.postgres.connected() as connection:
            for _ in range(_MEGABYTES // 16):
                await connection.execute("SELECT pg_switch_wal(), pg_logical_emit_message(true, 'proof', 'full')")


async def _keep_trying(stage: Stage) -> None:
    """Do as every process does that uses the server: bring it back, in vain as long as there is no room."""
    loop = asyncio.get_running_loop()
    has_room_at = loop.time() + _FULL
    while True:
        try:
            await stage.postgres.start()
        except EmbeddedServerError:
            is_up = False
        else:
            is_up = True
        if is_up and loop.time() > has_room_at:
            return
        await asyncio.sleep(0.2)


SCENARIOS = [
    Scenario("fill-disk", fill_disk, ["answers-before-commit"], volume=small_volume, seconds=150),
]
