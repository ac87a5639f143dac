"""The gateway's processes, as those see them who kill, stop and measure them from outside."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
import psutil

from proofs.ledger import Fault, Ledger
from proofs.nursery import Order

_PATIENCE = 20.0
"""Seconds a process has to end by itself."""


class Process:
    """A process of the gateway; what is done to it is put down in the ledger."""

    def __init__(self, name: str, pid: int, ledger: Ledger) -> None:
        self.name, self.pid, self._ledger = name, pid, ledger
        self._process = psutil.Process(pid)
        self.is_wanted = True
        """Whether nobody told it to end."""

    @property
    def is_alive(self) -> bool:
        return self._process.is_running() and self._process.status() != psutil.STATUS_ZOMBIE

    @property
    def resident(self) -> int:
        """Its resident memory, in bytes."""
        return int(self._process.memory_info().rss)

    def speaks_at(self, port: int) -> bool:
        """Whether one end of a connection of this machine, by its port, is this process's."""
        return any(each.laddr and each.laddr.port == port for each in self._process.net_connections("tcp"))

    def kill(self, delivery: str | None = None) -> None:
        """``kill -9``: nothing is finished, nothing is said. ``delivery`` is the one it was sending."""
        self.is_wanted = False
        os.kill(self.pid, signal.SIGKILL)
        self._ledger.write(Fault(what="kill", who=self.name, delivery=delivery))

    def pause(self, delivery: str | None = None) -> None:
        """Stop it where it is (SIGSTOP). ``delivery`` is the one it was sending."""
        os.kill(self.pid, signal.SIGSTOP)
        self._ledger.write(Fault(what="pause", who=self.name, delivery=delivery))

    def resume(self) -> None:
        """Let it go on (SIGCONT)."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGCONT)

    async def end(self) -> None:
        """Ask it to end, and wait until it has; one that does not is killed."""
        self.is_wanted = False
        with suppress(psutil.NoSuchProcess):
            self._process.terminate()
            self._process.resume()
        if not await self.has_ended(_PATIENCE):
            with suppress(psutil.NoSuchProcess):
                self._process.kill()
            await self.has_ended(_PATIENCE)

    async def has_ended(self, seconds: float) -> bool:
        """Whether it has ended within so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._process.is_running():  # noqa: ASYNC110 - it is no child of ours
                    await asyncio.sleep(0.02)
        return not self._process.is_running()


class Nursery:
    """Starts processes of the gateway, all of which end with the block; ``within`` is a command to run it by."""

    def __init__(self, environment: Mapping[str, str], within: Sequence[str] = ()) -> None:
        self._within = within
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
        self._environment = kept | dict(environment) | {"PYTHONPATH": os.pathsep.join(sys.path)}
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> Self:
        self._parent = await asyncio.create_subprocess_exec(
            *self._within,
            sys.executable,
            "-m",
            "proofs.nursery",
            stdin=PIPE,
            stdout=PIPE,
            env=self._environment,
            start_new_session=True,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._parent.stdin is not None:
            self._parent.stdin.close()
        await self._parent.wait()

    @property
    def pid(self) -> int:
        """Of the process that all are forked from."""
        return self._parent.pid

    async def start(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        broken: str | None = None,
    ) -> int:
        """Start ``gateway`` with these arguments and give its pid."""
        order = Order(list(arguments), self._environment | dict(environment), str(log), broken)
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        async with self._turn:
            self._parent.stdin.write(msgspec.json.encode(order) + b"\n")
            return int(await self._parent.stdout.readline())
