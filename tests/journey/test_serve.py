"""``gateway serve`` as an operator runs it: it starts by itself and ends like a well-behaved process."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def servers_of(directory: Path) -> list[psutil.Process]:
    """The processes of the embedded PostgreSQL of a data directory."""
    here = str(directory / "postgresql" / "data")
    running = psutil.process_iter(["name", "cwd"])
    return [process for process in running if process.info == {"name": "postgres", "cwd": here}]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_serving_cleanly_with_its_worker_and_its_database(tmp_path: Path, number: signal.Signals) -> None:
    port = free_port()
    environment = {**os.environ, "GATEWAY_DATA_DIR": str(tmp_path), "GATEWAY_PORT": str(port)}
    log = tmp_path / "serve.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "serve"], env=environment, stdout=output, stderr=output
        )
    try:
        until = time.monotonic() + 60
        while True:
            try:
                assert httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=5).json()["status"] == "ready"
                break
            except httpx.TransportError:
                assert time.monotonic() < until, log.read_text()
                assert process.poll() is None, log.read_text()
                time.sleep(0.1)
        assert servers_of(tmp_path)
        process.send_signal(number)
        assert process.wait(timeout=30) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()
    assert "worker stopped" in log.read_text()
    assert '"event": "stopped"' in log.read_text()
    assert not servers_of(tmp_path)
