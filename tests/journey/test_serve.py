"""``gateway serve`` as an operator runs it: it starts by itself and ends like a well-behaved process."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
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


def start_serving(directory: Path) -> tuple[subprocess.Popen[bytes], int, Path]:
    """``gateway serve`` once it is ready, its port and its log."""
    port, log = free_port(), directory / "serve.log"
    environment = {**os.environ, "GATEWAY_DATA_DIR": str(directory), "GATEWAY_PORT": str(port)}
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "serve"], env=environment, stdout=output, stderr=output
        )

    def is_ready() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            return bool(httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=5).json()["status"] == "ready")
        except httpx.TransportError:
            return False

    try:
        wait_until(is_ready)
    except BaseException:
        process.kill()
        raise
    return process, port, log


def wait_until(holds: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_serving_cleanly_with_its_worker_and_its_database(tmp_path: Path, number: signal.Signals) -> None:
    process, _, log = start_serving(tmp_path)
    try:
        assert servers_of(tmp_path)
        process.send_signal(number)
        assert process.wait(timeout=30) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()
    assert "worker stopped" in log.read_text()
    assert '"event":"stopped"' in log.read_text()
    assert not servers_of(tmp_path)


def test_a_second_signal_ends_it_at_once_though_a_request_is_still_coming_in(tmp_path: Path) -> None:
    process, port, log = start_serving(tmp_path)
    try:
        with socket.create_connection(("127.0.0.1", port)) as slow:
            slow.sendall(b"POST /v1/oauth/token HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\ngrant_type=")
            time.sleep(0.5)
            process.send_signal(signal.SIGTERM)
            wait_until(lambda: "worker stopped" in log.read_text())  # it does not wait for the request
            assert process.poll() is None, "the request is waited for"
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=10) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()
    assert not servers_of(tmp_path)
