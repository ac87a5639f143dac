"""A small disk that can be filled and freed, and whose power can be cut: a file with an ext4 on it, mounted through a
loop device."""

import fcntl
import os
import shutil
import struct
import subprocess
import time
from pathlib import Path
from typing import Self

_BALLAST = "ballast"
_SHUT_DOWN = 0x8004587D
"""``EXT4_IOC_SHUTDOWN`` of Linux: the file system does nothing any more, as if its disk were gone."""
_WRITING_NOTHING = 2
"""``EXT4_GOING_FLAGS_NOLOGFLUSH``: not even what its journal has in memory."""
_PATIENCE = 10.0
"""Seconds for those who used a disk to be gone."""


class NotPossible(RuntimeError):
    """This machine or this account cannot make a disk; the message says what it would take."""


class Disk:
    """The disk that a directory is on, which can be filled."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @property
    def free_bytes(self) -> int:
        """What can still be written."""
        state = os.statvfs(self.directory)
        return state.f_bavail * state.f_frsize

    def fill(self, leaving: int = 0) -> None:
        """Take all the space there is, but for so many bytes."""
        with (self.directory / _BALLAST).open("ab") as file:
            while (wanted := self.free_bytes - leaving) > 0:
                try:
                    os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, wanted)
                except OSError:  # what the file system needs for itself is not to be had
                    if wanted < 64 * 1024:
                        return
                    leaving += 16 * 1024

    def free(self) -> None:
        """Give back what ``fill`` took."""
        (self.directory / _BALLAST).unlink(missing_ok=True)


class SmallDisk(Disk):
    """A disk of ``megabytes`` mounted at ``directory`` while the block runs; what was on it is lost afterwards.

    ``image`` is the file that holds it. Raises ``NotPossible`` where file systems cannot be mounted: a proof that
    needs one has then not been run, which is something else than passed.
    """

    def __init__(self, directory: Path, image: Path, megabytes: int) -> None:
        super().__init__(directory)
        self.image, self._megabytes = image, megabytes

    def __enter__(self) -> Self:
        if os.geteuid() != 0:
            raise NotPossible("mounting a disk needs root")
        for program in ("mkfs.ext4", "mount", "umount"):
            if shutil.which(program) is None:
                raise NotPossible(f"mounting a disk needs the program {program}")
        self.directory.mkdir(parents=True, exist_ok=True)
        with self.image.open("wb") as file:
            file.truncate(self._megabytes * 1024 * 1024)
        _run("mkfs.ext4", "-q", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(self.image))
        self._mount()
        (self.directory / "lost+found").rmdir()
        return self

    def cut(self) -> None:
        """Cut the power, at one moment: what was not flushed is lost, and nothing is written or read any more.

        What memory held of files is never written; what had been given to the disk is there, flushed or not: this
        disk has no cache of its own that could be lost.
        """
        directory = os.open(self.directory, os.O_RDONLY)
        try:
            fcntl.ioctl(directory, _SHUT_DOWN, struct.pack("I", _WRITING_NOTHING))
        except OSError as error:
            raise NotPossible(f"the power of a disk cannot be cut: {error.strerror}") from error
        finally:
            os.close(directory)

    def restore(self) -> None:
        """Bring the power back: the disk as it was at the cut. Whoever had files open on it has to be gone or going."""
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                _run("umount", str(self.directory))
            except NotPossible:
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)
            else:
                break
        self._mount()

    def _mount(self) -> None:
        _run("mount", "-o", "loop", str(self.image), str(self.directory))

    def __exit__(self, *_: object) -> None:
        _run("umount", "--lazy", str(self.directory))
        self.image.unlink()


def _run(*command: str) -> None:
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise NotPossible(f"{command[0]}: {ended.stderr.strip()}")
