"""What an audit of dependencies comes to."""

from datetime import date
from typing import Any

import pytest
from audit.judge import IGNORED, Ignored, WrongIgnoreFile, judge, read_ignored

TODAY = date(2026, 11, 29)
ADVISORY = {"id": "PYSEC-2026-1", "aliases": ["CVE-2026-1"], "fix_versions": ["2.0"], "description": "…"}


def report(*advisories: dict[str, Any], **more: Any) -> dict[str, Any]:
    """As pip-audit 2.10 writes it."""
    packages = [{"name": "one", "version": "1.0", "vulns": list(advisories)}, *more.get("others", [])]
    return {"dependencies": packages, "fixes": []}


def test_a_known_vulnerability_is_a_fault() -> None:
    assert judge(report(ADVISORY), [], TODAY).faults == ("one 1.0: PYSEC-2026-1 / CVE-2026-1 (fixed in 2.0)",)


def test_none_is_none() -> None:
    judged = judge(report(), [], TODAY)
    assert (judged.faults, judged.is_whole) == ((), True)


@pytest.mark.parametrize(("until", "faults"), [(TODAY, 0), (date(2026, 11, 28), 1)])
def test_what_is_set_aside_is_said_until_its_day_and_a_fault_after_it(until: date, faults: int) -> None:
    judged = judge(report(ADVISORY), [Ignored("CVE-2026-1", "does no harm here", until)], TODAY)
    assert (len(judged.faults), len(judged.remarks)) == (faults, 1 - faults)
    assert "does no harm here" in (*judged.faults, *judged.remarks)[0]


def test_what_the_advisory_service_does_not_know_is_not_taken_for_sound() -> None:
    judged = judge(report(others=[{"name": "two", "skip_reason": "not found"}]), [], TODAY)
    assert (judged.is_whole, judged.skipped, judged.total) == (False, 1, 2)
    assert not judge({"dependencies": []}, [], TODAY).is_whole


@pytest.mark.parametrize(
    "entry",
    ['reason = "does no harm here"', 'id = "X"', 'id = "X"\nreason = "no"', 'id = "X"\nreason = "does no harm here"'],
)
def test_nothing_is_set_aside_without_a_reason_and_a_day(entry: str) -> None:
    with pytest.raises(WrongIgnoreFile):
        read_ignored(f"[[ignored]]\n{entry}")


def test_the_ignore_file_is_right() -> None:
    assert all(each.reason for each in read_ignored(IGNORED.read_text()))
