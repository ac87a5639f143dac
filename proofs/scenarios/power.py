"""The power of PostgreSQL's disk is cut: what was not flushed is lost, which ``kill -9`` would leave in memory."""

import asyncio
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import asyncpg

from gateway.db.embedded import EmbeddedServer
from proofs.faults.disk import NotPossible, SmallDisk
from proofs.scenario import Scenario
from proofs.stage import Stage

_MEGABYTES = 768
_CUTS = 6
_SENDERS, _PAUSE = 16, 0.05
"""Enough for something to be acknowledged in the last moments before a cut."""


@contextmanager
def disk_of_data() -> Iterator[Path]:
    """A directory for PostgreSQL all of whose data is on a disk of its own. Raises ``NotPossible``.

    The disk is mounted where the data is, not above: locks and the socket beside it outlive a cut, as do those who
    wait for the server.
    """
    if os.geteuid() != 0:
        raise NotPossible("mounting a disk needs root")
    with tempfile.TemporaryDirectory(prefix="gateway-power-") as made:
        Path(made).chmod(0o755)
        directory = Path(made) / "postgresql"
        with EmbeddedServer(directory):
            pass
        data, first = directory / "data", directory / ".first"
        data.rename(first)
        with _disk(directory):
            subprocess.run(["cp", "-a", f"{first}/.", str(data)], check=True)
            _flush(data)
            yield directory


def _flush(directory: Path) -> None:
    """Write everything to the disk that a directory is on."""
    subprocess.run(["sync", "--file-system", str(directory)], check=True)


def _disk(directory: Path) -> SmallDisk:
    return SmallDisk(directory / "data", directory.with_name("image"), _MEGABYTES)


async def cut_power(stage: Stage) -> None:
    """The power is cut again and again under load, every other time while PostgreSQL writes its tables back."""
    if stage.broken == "flushes-nothing":
        await _flush_nothing(stage)
    disk = _disk(stage.postgres.socket.parent)
    await stage.begin()
    async with stage.load(_SENDERS, _PAUSE):
        for number in range(_CUTS):
            if stage.broken is not None:
                await asyncio.to_thread(
                    _flush, disk.directory
                )  # else a server that flushes nothing might not even start again, which would prove less
            await stage.wait(0.5, 2)
            writing = asyncio.create_task(_write_back(stage)) if number % 2 else None
            await stage.wait(0, 0.2)
            known = stage.postgres.processes()
            disk.cut()
            stage.note("cut", "power")
            stage.postgres.kill(stage.ledger, known)
            await asyncio.to_thread(disk.restore)
            await stage.postgres.start()
            if writing is not None:
                await writing


async def _write_back(stage: Stage) -> None:
    """Have PostgreSQL write all that has changed to its tables, as it does every few minutes."""
    with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError):
        async with stage.postgres.connected() as connection:
            await connection.execute("CHECKPOINT")


async def _flush_nothing(stage: Stage) -> None:
    async with stage.postgres.connected() as connection:
        await connection.execute("ALTER SYSTEM SET fsync = off")
        await connection.execute("SELECT pg_reload_conf()")


SCENARIOS = [
    Scenario(
        "cut-power",
        cut_power,
        ["flushes-nothing", "commits-asynchronously", "answers-before-commit"],
        volume=disk_of_data,
        seconds=150,
    ),
]
