"""What an audit comes to: which advisories count, which are set aside and until when, and what was not looked at."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

IGNORED = Path(__file__).with_name("ignored.toml")


class WrongIgnoreFile(ValueError):
    """An advisory is set aside without a reason, or without the day until which; the message says which."""


@dataclass(frozen=True, slots=True)
class Ignored:
    """An advisory that somebody looked at and set aside for a while."""

    id: str
    reason: str
    until: date


@dataclass(frozen=True, slots=True)
class Judged:
    """What was found: sentences that fail the audit, and others that only have to be said."""

    faults: tuple[str, ...]
    remarks: tuple[str, ...]
    skipped: int
    total: int

    @property
    def is_whole(self) -> bool:
        """Whether everything could be looked up."""
        return self.total > 0 and self.skipped == 0


def read_ignored(text: str) -> list[Ignored]:
    """Advisories that are set aside. Raises ``WrongIgnoreFile``."""
    found = []
    for number, entry in enumerate(tomllib.loads(text).get("ignored", []), 1):
        name, reason, until = entry.get("id"), entry.get("reason"), entry.get("until")
        if not isinstance(name, str) or not isinstance(reason, str) or len(reason.split()) < 3:
            raise WrongIgnoreFile(f"entry {number} needs an id, and a reason in words")
        if type(until) is not date:
            raise WrongIgnoreFile(f"{name}: until is a day (2027-01-31), after which it is looked at again")
        found.append(Ignored(name, reason, until))
    return found


def judge(report: Any, ignored: Sequence[Ignored], today: date) -> Judged:
    """What a report of pip-audit (``--format json``) comes to."""
    faults, remarks, skipped = [], [], 0
    aside = {each.id: each for each in ignored}
    for package in report["dependencies"]:
        if "skip_reason" in package:
            skipped += 1
            continue
        for advisory in package["vulns"]:
            names = [advisory["id"], *advisory.get("aliases", [])]
            fixed = ", ".join(advisory.get("fix_versions", [])) or "no version yet"
            what = f"{package['name']} {package['version']}: {' / '.join(names)} (fixed in {fixed})"
            known = next((aside[name] for name in names if name in aside), None)
            if known is None:
                faults.append(what)
            elif known.until < today:
                faults.append(f"{what}; it was set aside until {known.until}: {known.reason}")
            else:
                remarks.append(f"{what}; set aside until {known.until}: {known.reason}")
    return Judged(tuple(faults), tuple(remarks), skipped, len(report["dependencies"]))
