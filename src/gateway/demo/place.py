"""The demonstration's directory: made anew each time, and never anything of somebody else's emptied."""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from gateway.db.embedded import EmbeddedServer
from gateway.demo.errors import DemoError

_LOCK = "demo.lock"
"""Also what a directory of ours is recognised by. Held by the demonstration and its children: a child that
outlived a killed demonstration keeps the next one out."""
_OURS = {_LOCK, "postgresql", "keys", "logs", "jwks.json"}


@contextmanager
def fresh(directory: Path) -> Iterator[TextIO]:
    """An empty directory for as long as the block runs; gives the lock that children are to inherit.

    Raises ``DemoError`` where it holds anything but an earlier demonstration, or one that still runs.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        found = {file.name for file in directory.iterdir()}
        if found and (_LOCK not in found or not found <= _OURS):
            others = ", ".join(sorted(found - _OURS)) or "other files"
            raise DemoError(f"{directory} is not an earlier demonstration's alone ({others}): nothing was touched.")
        with (directory / _LOCK).open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DemoError(f"a demonstration, or a process it left, still runs in {directory}.") from None
            _empty(directory, found - {_LOCK})
            yield lock
    except OSError as error:
        raise DemoError(f"{directory} cannot be used: {error}") from error


def _empty(directory: Path, names: set[str]) -> None:
    if _is_served(directory / "postgresql"):
        with EmbeddedServer(directory / "postgresql"):
            pass  # whoever leaves last stops it: a killed demonstration has left it running
    for name in names:
        file = directory / name
        if file.is_dir():
            shutil.rmtree(file)
        else:
            file.unlink()
    (directory / "logs").mkdir()


def _is_served(server: Path) -> bool:
    """Whether a PostgreSQL runs there: it holds this lock for as long as any of its processes lives."""
    held = server / "postgres.lock"
    if not held.exists():
        return False
    with held.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
