"""Files made to harm: each is refused, soon, with little memory, and leaves no trace."""

import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from uuid import UUID

import httpx

from files import CSV, push_file
from gateway.api.deps import Gateway
from gateway.errors import GatewayError
from gateway.flow.prepare import Push
from gateway.flow.unpack import unpack
from gateway_under_test import NOTHING, counts
from hostile import MIB, corpus
from workbooks import XLSX

_MORE_MEMORY = 400 * MIB
"""What reading any of them may take besides what a process has anyway; some of them want gigabytes."""
_MOST_SECONDS = 10
_ASKED = {"form": "TTHC_06A", "agency": "H26.18", "period": "2098-Q3"}


def measure() -> None:
    """Read every hostile file with little memory, and say what became of each: status, seconds of the processor."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + _MORE_MEMORY, used + _MORE_MEMORY))
    found = {}
    for name, media_type, make in corpus():
        content = make()
        began = time.process_time()
        query = "form=TTHC_06A&agency=H26.18&period=2098-Q3" if media_type in {CSV, XLSX} else ""
        try:
            status = len(unpack(Push(content, media_type, UUID(int=0), None, "en", query=query)))
        except GatewayError as error:
            status = error.status
        found[name] = status, time.process_time() - began
    sys.stdout.write(json.dumps(found))


def test_every_hostile_file_is_refused_soon_and_with_little_memory() -> None:
    environment = {"PYTHONPATH": ":".join(sys.path), "PATH": ""}
    done = subprocess.run([sys.executable, __file__], env=environment, capture_output=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr.decode()[-1000:]
    found = json.loads(done.stdout)
    assert {name: status for name, (status, _) in found.items() if status not in {400, 413}} == {}
    assert {name: seconds for name, (_, seconds) in found.items() if seconds > _MOST_SECONDS} == {}


async def test_a_hostile_file_is_answered_with_a_problem_and_leaves_no_trace(
    gateway: Gateway, province: httpx.AsyncClient
) -> None:
    for name, media_type, make in corpus():
        if "MiB" in name or "very many" in name or "8 million" in name or "bomb" in name:
            continue  # the same refusals as above, at the same place
        asked = _ASKED if media_type in {CSV, XLSX} else {}
        answer = await push_file(province, make(), media_type, None, "", (), **asked)
        assert answer.status_code in {400, 413, 415, 422}, name
        assert answer.headers["content-type"] == "application/problem+json", name
    assert await counts(gateway.engine) == NOTHING


if __name__ == "__main__":
    measure()
