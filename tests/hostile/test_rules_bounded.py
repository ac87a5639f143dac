"""Uploaded rules cannot exhaust the server: what they weigh bounds what they cost, and a form what it weighs."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings

from gateway.flow.prepare import MAX_WORK

MOST = 1.0
"""Microseconds for a unit of weight, on any machine; an eighth of that was measured."""


@pytest.mark.parametrize("seed", range(1, 20 if settings().max_examples > 100 else 2))
def test_no_rule_takes_more_time_than_it_weighs_and_more_memory_than_there_is(seed: int) -> None:
    """In a process with a gigabyte and a minute: it ends by itself, or is ended."""
    script = Path(__file__).parent / "bombs.py"
    done = subprocess.run(
        [sys.executable, script, str(seed), "25"],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    judged, microseconds, compiling, rule = done.stdout.split(maxsplit=3)
    assert int(judged) >= 8
    assert float(microseconds) < MOST, rule
    assert float(compiling) < 20
    assert MAX_WORK * MOST / 1e6 <= 40  # seconds that one report may be judged for, where all is at its worst
