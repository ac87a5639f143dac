"""Agencies (cơ quan): identifier codes, versions with validity, and the tree they form on a given day.

Codes follow Decision 20/2020/QĐ-TTg; legacy codes follow QCVN 102:2016/BTTTT, least significant group first.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
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

    def path(self, code: str, under: str | None) -> list[str]:
        """The way up from ``code`` to ``under`` (or the root), both included."""
        path = [code]
        while path[-1] != under and (parent := self.parents.get(path[-1])) is not None:
            path.append(parent)
        return path

    def branch_of(self, code: str, under: str | None) -> str:
        """The child of ``under`` (or the root) whose subtree holds ``code``."""
        step = code
        while (parent := self.parents.get(step)) is not None and parent != under:
            step = parent
        return step


@dataclass(frozen=True, eq=False)
class Organisation:
    """What figures are put together by: whom each agency counts as, and the tree of those on a day.

    ``successors`` holds the agencies that count as another; everyone else counts as itself and is in the tree.
    """

    day: date
    tree: Hierarchy
    successors: Mapping[str, str]

    def counts_as(self, code: str) -> str:
        """Whom an agency counts as."""
        return self.successors.get(code, code)

    def branches(self, under: str | None) -> Mapping[str, str]:
        """For every agency of a subtree, the child of ``under`` it counts in or as; ``under`` itself for its own."""
        if under is None:
            found = {code: self.tree.branch_of(code, None) for code in self.tree.parents}
        else:
            codes = self.tree.subtree(under)
            found = {code: code if code == under else self.tree.branch_of(code, under) for code in codes}
        merged = {code: found[heir] for code, heir in self.successors.items() if heir in found}
        return found | merged

    def chains(self, under: str | None, chosen: frozenset[str]) -> Mapping[str, tuple[str, ...]]:
        """For every agency of a subtree, those of ``chosen`` whose subtree it counts in, from the highest down."""
        codes = self.tree.parents if under is None else self.tree.subtree(under)
        found = {
            code: tuple(each for each in reversed(self.tree.path(code, under)) if each in chosen) for code in codes
        }
        merged = {code: found[heir] for code, heir in self.successors.items() if heir in found}
        return found | merged


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
        self.as_reported = lru_cache(maxsize=256)(self._as_reported)
        self.reorganised = lru_cache(maxsize=256)(self._reorganised)
        self.branches = lru_cache(maxsize=256)(Organisation.branches)
        self.chains = lru_cache(maxsize=64)(Organisation.chains)
        self.reach = lru_cache(maxsize=1024)(self._reach)
        self.reach_shown = lru_cache(maxsize=1024)(self._reach_shown)

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

    def successor(self, code: str, day: date) -> str | None:
        """The agency that one closed before a day was merged into; None for one that was not, or not closed."""
        closed = self.closed_before(code, day)
        return closed.successor if closed is not None else None

    def counts_as(self, code: str, day: date) -> str:
        """Who an agency is on a day: itself, or once it is closed its successor, from one to the next.

        Successors that lead round to where they have been lead nowhere: the agency stays itself.
        """
        path = [code]
        while (heir := self.successor(path[-1], day)) is not None:
            if heir in path:
                return code
            path.append(heir)
        return path[-1]

    def last_change(self, day: date) -> date:
        """The newest day up to this one from which an agency began, changed or was closed; ``date.min`` where none was.

        From it to this one the organisation is the same.
        """
        place = bisect_right(self._changes, day)
        return self._changes[place - 1] if place else date.min

    def _on(self, day: date) -> Hierarchy:
        valid = {code: self.at(code, day) for code in self.versions}
        return Hierarchy({code: version.parent for code, version in valid.items() if version})

    def _placed(self, day: date) -> Hierarchy:
        """The tree of a day with every agency in it, those not in force under their nearest parent.

        Rights follow today's, and figures that of their period's last day, so that none is ever left out.
        """
        return Hierarchy({code: self.nearest(code, day).parent for code in self.versions})

    def _as_reported(self, day: date) -> Organisation:
        """Everyone as itself, where it stood on a day."""
        return Organisation(day, self.placed(day), {})

    def _reorganised(self, day: date) -> Organisation:
        """Everyone as who it is on a day, under its parent of that day as who that is.

        Where a parent was merged into an agency below it, what it held stands under the next parent above.
        """
        who = {code: self.counts_as(code, day) for code in self.versions}

        def has_new_parent(code: str) -> bool:
            parent = self.placed(day).parents[code]
            return parent is not None and who[parent] != parent

        parents: dict[str, str | None] = {}
        tree = Hierarchy(parents)
        for code in sorted(set(who.values()), key=lambda code: (has_new_parent(code), code)):
            above = (who[each] for each in self._above(code, day))
            parents[code] = next((each for each in above if not tree.covers(code, each)), None)
        return Organisation(day, tree, {code: heir for code, heir in who.items() if heir != code})

    def _reach(self, root: str) -> frozenset[int]:
        """Everybody whose reports may be shown under an agency, whatever day and organisation is asked for.

        It holds the subtree of every day and whoever was merged into that. Narrower trees are for those who ask.
        """
        found = {root}
        waiting = [root]
        while waiting:
            new = self._drawn.get(waiting.pop(), frozenset()) - found
            found |= new
            waiting += new
        return frozenset(self.ids[code] for code in found if code in self.ids)

    def _reach_shown(self, root: str) -> str:
        """The same, as PostgreSQL reads an array."""
        return f"{{{','.join(map(str, sorted(self.reach(root))))}}}"

    @cached_property
    def _drawn(self) -> Mapping[str, frozenset[str]]:
        """For each agency, those that were ever right below it or merged into it."""
        found: dict[str, set[str]] = {}
        for code, versions in self.versions.items():
            for each in versions:
                for other in (each.parent, each.successor):
                    if other is not None:
                        found.setdefault(other, set()).add(code)
        return {code: frozenset(others) for code, others in found.items()}

    def _above(self, code: str, day: date) -> Iterator[str]:
        """The parent of an agency as placed on a day, that one's parent, and so on."""
        step = self.placed(day).parents[code]
        while step is not None:
            yield step
            step = self.placed(day).parents[step]

    @cached_property
    def _changes(self) -> list[date]:
        versions = [each for all_ in self.versions.values() for each in all_]
        begun = {each.valid_from for each in versions if each.valid_from is not None}
        return sorted(begun | set(days_after_end(versions)))

    @cached_property
    def _aliases(self) -> Mapping[str, str]:
        return {
            normalise_code(alias): code
            for code, all_ in self.versions.items()
            for each in all_
            for alias in each.aliases
        }


def days_after_end(versions: Iterable[Agency]) -> Iterator[date]:
    """The first day on which each of them is not in force any more, of those that end."""
    for each in versions:
        if each.valid_to is not None and each.valid_to < date.max:
            yield each.valid_to + timedelta(days=1)
