"""Agencies (cơ quan): identifier codes, versions with validity, and the tree they form on a given day.

Codes follow Decision 20/2020/QĐ-TTg; legacy codes follow QCVN 102:2016/BTTTT, least significant group first.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import Annotated

from pydantic import Field, StringConstraints

from gateway.domain.document import Valid, choice

AGENCY_CODE = r"^[A-Z][0-9]{2}(\.[0-9A-Z]+)*$"
MAX_CODE_LENGTH = 35
_LEGACY_CODE = re.compile(r"^(\d{3})\.(\d{2})\.(\d{2})\.([A-Z]\d{2})$", re.ASCII)
_SEPARATORS = re.compile(r"[-_/ ]")

AgencyCode = Annotated[str, StringConstraints(pattern=AGENCY_CODE, max_length=MAX_CODE_LENGTH)]


class Level(StrEnum):
    """Where an agency stands in the administration."""

    ministry = "ministry"
    province = "province"
    district = "district"
    department = "department"
    commune = "commune"
    unit = "unit"


class Agency(Valid):
    """One version of an agency: what holds about it from ``valid_from`` on.

    ``derived`` marks a code made by a rule of this product, which no authority has issued.
    """

    code: AgencyCode
    name: str = Field(min_length=1, max_length=500)
    level: Annotated[Level, choice(Level)]
    parent: AgencyCode | None = None
    successor: AgencyCode | None = None
    aliases: list[Annotated[str, StringConstraints(min_length=1, max_length=100)]] = Field(
        default_factory=list, max_length=50
    )
    derived: bool = False


def normalise_code(text: str) -> str:
    """A code with its separators written as dots: ``000-00-24-H40`` gives ``000.00.24.H40``."""
    return _SEPARATORS.sub(".", text.strip())


def suggest_code(legacy: str) -> str | None:
    """The code a legacy one may have become (``000.00.24.H40`` may be ``H40.24``): a hint, never a mapping."""
    match = _LEGACY_CODE.match(normalise_code(legacy))
    if match is None:
        return None
    fourth, third, second, first = match.groups()
    return ".".join([first, *(group for group in (second, third, fourth) if group.strip("0"))])


@dataclass(frozen=True)
class Hierarchy:
    """The tree of one day: who existed, and under whom."""

    parents: Mapping[str, str | None]

    @cached_property
    def children(self) -> Mapping[str | None, list[str]]:
        found: dict[str | None, list[str]] = {}
        for code, parent in self.parents.items():
            found.setdefault(parent, []).append(code)
        return found

    def subtree(self, root: str) -> list[str]:
        """``root`` (even where it did not exist that day) and everything under it."""
        codes = [root]
        for code in codes:
            codes.extend(self.children.get(code, ()))
        return codes

    def covers(self, root: str, code: str) -> bool:
        """Whether ``code`` is ``root`` or stands below it."""
        step: str | None = code
        while step is not None and step != root:
            step = self.parents.get(step)
        return step is not None

    def branch_of(self, code: str, under: str | None) -> str:
        """The child of ``under`` (or the root) whose subtree holds ``code``."""
        step = code
        while (parent := self.parents.get(step)) is not None and parent != under:
            step = parent
        return step


class Agencies:
    """Every agency with all its versions, as known at one catalogue revision. ``ids`` are storage keys."""

    def __init__(self, versions: Iterable[Agency], ids: Mapping[str, int]) -> None:
        self.ids = ids
        self.codes = {number: code for code, number in ids.items()}
        self.versions: dict[str, list[Agency]] = {}
        for version in versions:
            self.versions.setdefault(version.code, []).append(version)
        for each in self.versions.values():
            each.sort(key=lambda version: version.valid_from or date.min)
        self.on = lru_cache(maxsize=256)(self._on)
        self.placed = lru_cache(maxsize=256)(self._placed)
        self.branches = lru_cache(maxsize=256)(self._branches)

    def __contains__(self, code: str) -> bool:
        return code in self.versions

    def resolve(self, text: str) -> str | None:
        """The canonical code that ``text`` names, through separators and aliases; None when there is none."""
        code = normalise_code(text)
        if code in self.versions:
            return code
        legacy = _LEGACY_CODE.match(code)
        if legacy and code.startswith("000.00.00.") and legacy[4] in self.versions:
            return legacy[4]
        return self._aliases.get(code)

    def at(self, code: str, day: date) -> Agency | None:
        """The version of an agency in force on a day: the last begun by then, unless it has ended."""
        begun = [each for each in self.versions.get(code, ()) if each.valid_from is None or each.valid_from <= day]
        return begun[-1] if begun and begun[-1].is_valid_on(day) else None

    def nearest(self, code: str, day: date) -> Agency:
        """The version in force on a day, else the last begun by then, else the first."""
        versions = self.versions[code]
        begun = [each for each in versions if each.valid_from is None or each.valid_from <= day]
        return begun[-1] if begun else versions[0]

    def closed_before(self, code: str, day: date) -> Agency | None:
        """The version that had ended by a day, where the agency does not exist any more."""
        past = [each for each in self.versions[code] if each.valid_to is not None and each.valid_to < day]
        return past[-1] if past and self.at(code, day) is None else None

    def _on(self, day: date) -> Hierarchy:
        valid = {code: self.at(code, day) for code in self.versions}
        return Hierarchy({code: version.parent for code, version in valid.items() if version})

    def _placed(self, day: date) -> Hierarchy:
        """The tree of a day with every agency in it, those not in force under their nearest parent.

        Rights follow today's, and figures that of their period's last day, so that none is ever left out.
        """
        return Hierarchy({code: self.nearest(code, day).parent for code in self.versions})

    def _branches(self, day: date, under: str | None) -> Mapping[str, str]:
        """For every agency of a subtree, the child of ``under`` it stands in or is; ``under`` itself for its own."""
        hierarchy = self.placed(day)
        if under is None:
            return {code: hierarchy.branch_of(code, None) for code in hierarchy.parents}
        return {code: code if code == under else hierarchy.branch_of(code, under) for code in hierarchy.subtree(under)}

    @cached_property
    def _aliases(self) -> Mapping[str, str]:
        return {
            normalise_code(alias): code
            for code, all_ in self.versions.items()
            for each in all_
            for alias in each.aliases
        }


def agency_faults(versions: Mapping[str, list[Agency]], changed: Iterable[str] | None = None) -> list[tuple[str, str]]:
    """What is wrong with agencies taken together: (code, reason) pairs.

    Cycles are looked for through the agencies that ``changed``: through all of them when that is None.
    """
    found: list[tuple[str, str]] = []
    owner: dict[str, str] = {}
    for code, all_ in versions.items():
        for version in all_:
            for role, other in (("parent", version.parent), ("successor", version.successor)):
                if other is not None and other not in versions:
                    found.append((code, f"{role} {other} is not an agency"))
            for alias in map(normalise_code, version.aliases):
                if owner.setdefault(alias, code) != code:
                    found.append((code, f"alias {alias} also belongs to {owner[alias]}"))
                if alias != code and alias in versions:
                    found.append((code, f"alias {alias} is the code of another agency"))
    if not found:
        found.extend(_cycles(versions, versions if changed is None else changed))
    return found


def _cycles(versions: Mapping[str, list[Agency]], changed: Iterable[str]) -> Iterable[tuple[str, str]]:
    """Changed agencies that are their own ancestor on some day, those not in force under their nearest parent."""
    everyone = Agencies([each for all_ in versions.values() for each in all_], {})
    days = sorted({each.valid_from or date.min for all_ in versions.values() for each in all_})
    for code in changed:
        for day in days:
            path = [code]
            while (parent := everyone.nearest(path[-1], day).parent) is not None and parent not in path:
                path.append(parent)
            if parent == code:
                yield code, f"is its own ancestor on {day}"
                return
