"""The demonstration's processes: ``gateway`` commands, started, watched, killed and stopped by their pids."""

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from gateway.demo.errors import DemoError

T = TypeVar("T")

_PATIENCE = 15.0
"""Seconds a process has to end by itself."""
_TAIL = 12


def free_port(wanted: int | None = None) -> int:
    """A free port of this computer: the one wanted if it is."""
    for port in (wanted, 0):
        if port is not None:
            with suppress(OSError), socket.create_server(("127.0.0.1", port)) as listening:
                return int(listening.getsockname()[1])
    raise DemoError("this computer gives no free port.")


class Processes:
    """Children with an environment of their own; each writes to a log of its name, and all end with the block."""

    def __init__(self, logs: Path, settings: Mapping[str, str], lock: int) -> None:
        own = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
        self._logs, self._environment, self._lock = logs, {**own, **settings}, lock
        self._running: dict[str, Process] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._running.values():
            with suppress(ProcessLookupError):
                process.terminate()
        await asyncio.gather(*(_ended(process) for process in self._running.values()))

    async def start(self, name: str, *arguments: str) -> int:
        """Start ``gateway`` with these arguments and give its pid."""
        with (self._logs / f"{name}.log").open("ab") as log:
            process = await self._gateway(arguments, log.fileno(), log.fileno())
        self._running[name] = process
        return process.pid

    async def output(self, *arguments: str) -> str:
        """Run ``gateway`` to its end and give what it printed. Raises ``DemoError`` when it fails."""
        async with self._brief(arguments) as process:
            printed, complaint = await process.communicate()
        if process.returncode:
            raise DemoError(f"'gateway {' '.join(arguments)}' failed:\n{complaint.decode(errors='replace')}")
        return printed.decode()

    async def succeeds(self, *arguments: str) -> bool:
        """Run ``gateway`` to its end; whether it succeeded."""
        async with self._brief(arguments) as process:
            await process.communicate()
        return process.returncode == 0

    @asynccontextmanager
    async def _brief(self, arguments: tuple[str, ...]) -> AsyncIterator[Process]:
        """A command that ends by itself, and is not left behind when nobody waits for it any more."""
        process = await self._gateway(arguments, PIPE, PIPE)
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def _gateway(self, arguments: tuple[str, ...], out: int, complaints: int) -> Process:
        # A session of its own: Ctrl-C in the terminal is for the demonstration, which then stops them in order.
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "gateway", *arguments),
            stdin=DEVNULL,
            stdout=out,
            stderr=complaints,
            env=self._environment,
            pass_fds=(self._lock,),
            start_new_session=True,
        )

    async def kill(self, name: str) -> int:
        """``kill -9``: nothing is finished and nothing is said. Gives the pid."""
        process = self._running.pop(name)
        process.send_signal(signal.SIGKILL)
        await process.wait()
        return process.pid

    def check(self) -> None:
        """Raise ``DemoError``, with the end of its log, when a process has ended that should run."""
        for name, process in self._running.items():
            if process.returncode is not None:
                log = self._logs / f"{name}.log"
                said = "\n".join(log.read_text(errors="replace").splitlines()[-_TAIL:])
                raise DemoError(f"the process '{name}' ended with code {process.returncode}. {log} ends:\n{said}")

    async def during(self, work: Awaitable[T]) -> T:
        """Do some work, which is cut short when a process ends that should run."""
        task = asyncio.ensure_future(work)
        try:
            while not (await asyncio.wait({task}, timeout=0.3))[0]:
                self.check()
            if task.exception() is not None:
                await asyncio.sleep(0.5)  # a process that died can be the reason, and tells more
                self.check()
            return task.result()
        finally:
            task.cancel()
            await asyncio.wait({task})


async def _ended(process: Process) -> None:
    try:
        async with asyncio.timeout(_PATIENCE):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
