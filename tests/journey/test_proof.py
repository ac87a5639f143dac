"""The proof that nothing is lost, in short: two of its scenarios, and a guarantee that is broken and found out."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def proof(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "proofs", *arguments, "--keep", str(directory)]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200, check=False)


def test_nothing_is_lost_when_workers_are_killed_and_commits_are_not_confirmed(tmp_path: Path) -> None:
    found = proof(tmp_path, "kill-worker", "lose-commits", "--seed", "1")
    assert found.returncode == 0, found.stdout + found.stderr
    assert found.stdout.count(": holds") == 2


def test_an_answer_given_before_the_commit_is_found_out(tmp_path: Path) -> None:
    found = proof(tmp_path, "kill-api", "--broken", "answers-before-commit", "--seed", "1")
    assert found.returncode == 0, found.stdout + found.stderr
    assert ": found: " in found.stdout
