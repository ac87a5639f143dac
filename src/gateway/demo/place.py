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
_OURS = {_LOCK, "postgresql", "keys", "logs", "jwks.json", "report.json", "changed.json"}


@contextmanager
def fresh(directory: Path) -> Iterator[TextIO]:
    """An empty directory for as long as the block runs; gives the lock that children are to inherit.

    Raises ``DemoError`` where it holds anything but an earlier demonstration, or one that still runs.
    """
    try:
        lock = _cleared(directory)
    except OSError as error:
        raise DemoError(f"{directory} cannot be used: {error}") from error
    with lock:
        yield lock


def _cleared(directory: Path) -> TextIO:
    directory.mkdir(parents=True, exist_ok=True)
    found = {file.name for file in directory.iterdir()}
    if found and (_LOCK not in found or not found <= _OURS):
        others = ", ".join(sorted(found - _OURS)) or "files of unknown origin"
        raise DemoError(f"{directory} holds more than an earlier demonstration ({others}): nothing was touched.")
    lock = (directory / _LOCK).open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _empty(directory, found - {_LOCK})
    except BaseException as error:
        lock.close()
        if isinstance(error, BlockingIOError):
            raise DemoError(f"a demonstration, or a process it left, still runs in {directory}.") from None
        raise
    return lock


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
