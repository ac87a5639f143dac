"""The controls of the proof: each still finds in the gateway what it breaks."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_promise_can_still_be_broken_on_purpose() -> None:
    """In a process of its own, which is broken in every way afterwards."""
    code = "from proofs.broken import CONTROLS, break_on_purpose\nfor name in CONTROLS: break_on_purpose(name)"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
