"""``make audit``: known vulnerabilities (pip-audit) of every pinned dependency.

A known one fails. That the advisories cannot be reached, wholly or for some packages, is said and fails only where
``--required`` is given: a machine without internet must be able to run the tests.
"""

import argparse
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from audit.judge import IGNORED, Judged, WrongIgnoreFile, judge, read_ignored

PINNED = ("requirements-dev.txt", "requirements-bench.txt")
_SECONDS = 300


def main() -> int:
    """0: nothing known is wrong; 1: something is, or, where that is required, not everything could be looked up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--required", action="store_true", help="fail where anything could not be looked up")
    parser.add_argument("given", nargs="*", help="more arguments for pip-audit, after --")
    asked = parser.parse_args()
    try:
        ignored = read_ignored(IGNORED.read_text(encoding="utf-8"))
    except WrongIgnoreFile as error:
        print(f"audit: {IGNORED.name}: {error}")
        return 1
    report, silence = _ask(asked.given)
    if report is None:
        print(f"audit: NOT AUDITED: {silence}")
        return int(asked.required)
    return _tell(judge(report, ignored, datetime.now(UTC).date()), asked.required)


def _ask(given: list[str]) -> tuple[object, str]:
    """What pip-audit reports; None where it could not, and why."""
    files = [part for name in PINNED if Path(name).exists() for part in ("-r", name)]
    options = ["--disable-pip", "--no-deps", "--format", "json", "--progress-spinner", "off", "--timeout", "10"]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pip_audit", *options, *files, *given],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        return json.loads(done.stdout), ""
    except subprocess.TimeoutExpired:
        return None, f"the advisories were not there within {_SECONDS} s"
    except ValueError:
        last = done.stderr.strip().splitlines()[-1:] or ["pip-audit said nothing"]
        return None, last[0]


def _tell(judged: Judged, required: bool) -> int:
    for line in judged.remarks:
        print(f"audit: {line}")
    for line in judged.faults:
        print(f"audit: VULNERABLE: {line}")
    if judged.faults:
        return 1
    looked_at = judged.total - judged.skipped
    if not judged.is_whole:
        print(f"audit: NOT AUDITED: {judged.skipped} of {judged.total} packages are not known to the advisory service")
        return int(required)
    print(f"audit: no known vulnerability in {looked_at} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
