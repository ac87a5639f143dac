"""Processes of two versions of the gateway, the code of one of them from git."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[1]
PATIENCE = 180.0
"""Seconds in which a process starts, ends or answers."""


@dataclass(frozen=True, slots=True)
class Version:
    """The code of a version, and where its processes write."""

    name: str
    source: Path
    place: Path
    settings: Mapping[str, str]

    def start(self, *arguments: str, **settings: str) -> subprocess.Popen[bytes]:
        """Start ``gateway`` of this version."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
        environment = {**own, **self.settings, **settings, "PYTHONPATH": str(self.source / "src")}
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "gateway", *arguments]
            return subprocess.Popen(command, env=environment, cwd=self.place, stdout=subprocess.PIPE, stderr=log)

    async def run(self, *arguments: str) -> str:
        """Run ``gateway`` of this version to its end; what it printed. Raises ``RuntimeError`` when it fails."""
        process = self.start(*arguments)
        printed, _ = await asyncio.to_thread(process.communicate)
        if process.returncode:
            raise RuntimeError(f"{self.name}: gateway {' '.join(arguments)} failed\n{self.log.read_text()[-4000:]}")
        return printed.decode()

    @property
    def log(self) -> Path:
        return self.place / f"{self.name}.log"

    def complaints(self) -> Counter[str]:
        """What this version's processes logged above the level of information."""
        found: Counter[str] = Counter()
        for line in self.log.read_text().splitlines():
            with suppress(ValueError):
                said = json.loads(line)
                if said.get("level") in {"warning", "error", "critical"}:
                    found[f"{said['event']} ({said.get('reason', '')})"] += 1
        return found


def archived(revision: str, into: Path) -> Path:
    """The code and the migrations of a revision."""
    into.mkdir()
    packed = subprocess.run(
        ["git", "archive", revision, "src", "migrations"], cwd=ROOT, check=True, capture_output=True
    )
    subprocess.run(["tar", "-x", "-C", str(into)], input=packed.stdout, check=True)
    return into


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


async def until_answering(port: int, path: str, status: Sequence[int] = (200,)) -> httpx.Response:
    """What a port answers, once that has a status that is wanted. Raises ``TimeoutError``."""
    until = time.monotonic() + PATIENCE
    async with httpx.AsyncClient(trust_env=False) as client:
        while True:
            with suppress(httpx.TransportError):
                answer = await client.get(f"http://127.0.0.1:{port}{path}", headers={"Accept-Language": "en"})
                if answer.status_code in status:
                    return answer
            if time.monotonic() > until:
                raise TimeoutError(f"nothing as wanted on port {port}")
            await asyncio.sleep(0.1)


async def stop(process: subprocess.Popen[bytes]) -> float:
    """End a process as its operator does (SIGTERM); how many seconds it took. Raises if it does not end well."""
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    code = await asyncio.to_thread(process.wait, PATIENCE)
    if code:
        raise RuntimeError(f"a process ended with {code}")
    return time.monotonic() - began
