"""Audit: whether a log is the one that was signed, by its export and by what is held outside, without a database.

The entries are read once, in order and in little memory. Each signed root is compared with the root of what was read
up to there. If all agree, nothing was changed: whoever could make another entry with the same hashes could break
SHA-256. If one does not, the export is read again and it is found out where and how.
"""

import base64
import re
from binascii import b2a_base64
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from itertools import combinations
from typing import Any

import msgspec

from gateway.evidence.held import Held, Receipt, differing
from gateway.evidence.merkle import Frontier, Node, fold, inclusion_ranges, leaf_hash, nodes_of
from gateway.evidence.note import Checkpoint, InvalidNote, Verifier, open_checkpoint, read_checkpoint, read_note

BACKDATED = timedelta(minutes=5)
"""An entry may be recorded by so much later than others that happened after it."""
_WINDOW, _PAIRS = 512, 64
"""Of how many entries it is tried which one was put in, and which two have changed places."""


class Wrong(StrEnum):
    """What was done to a log."""

    edited = "edited"
    missing = "missing"
    inserted = "inserted"
    reordered = "order changed"
    backdated = "back-dated"
    cut_off = "cut off"
    rolled_back = "rolled back"
    forked = "forked"
    unsigned = "not signed"


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong, from which entry on (or with which), and by what it is known.

    ``last`` is another index where it is only known that the first bad entry is one of those between.
    """

    index: int
    last: int
    wrong: Wrong
    words: str

    def __str__(self) -> str:
        place = f"entry {self.index}" if self.index == self.last else f"entries {self.index} to {self.last}"
        return f"{place}: {self.wrong} ({self.words})"


@dataclass(frozen=True, slots=True)
class Audited:
    """How much was read, what vouches for how much of it, and what is wrong, the first bad entry first."""

    size: int
    root: bytes
    signed: int
    held: int
    faults: Sequence[Fault]


class Line(msgspec.Struct):
    """A line of an export: an entry, or a checkpoint that was signed after the entries before it."""

    index: int = -1
    leaf: str = ""
    entry: msgspec.Raw = msgspec.Raw(b"")
    checkpoint: str | None = None


_decoder = msgspec.json.Decoder(Line)
_AT = re.compile(rb'"at":"([^"]{27})"')
_REPORT = re.compile(rb'"report":"([0-9a-f-]{36})"')
_RECEIVED = re.compile(rb'"what":"(?:accepted|corrected)"')


class NotAnExport(ValueError):
    """A line of what was given is no line of an export."""


def audit(read: Callable[[], Iterable[bytes]], verifiers: Sequence[Verifier], held: Held) -> Audited:
    """Check an export, which ``read`` gives from its start as often as it is called. Raises ``NotAnExport``."""
    fast = _Reading(verifiers, held, is_thorough=False)
    fast.read(read())
    if fast.is_clean:
        return fast.audited([])
    thorough = _Reading(verifiers, held, is_thorough=True)
    thorough.read(read())
    return thorough.audited(thorough.faults())


@dataclass(frozen=True, slots=True)
class _Root:
    """A signed root and whether what was read has it."""

    size: int
    source: str
    is_held: bool
    is_good: bool
    is_claimed: bool
    """Whether the leaf hashes that the export names have it."""
    at: datetime | None = None

    @property
    def is_own_and_good(self) -> bool:
        return self.is_good and not self.is_held


@dataclass(slots=True)
class _Reading:
    """One reading of an export. ``tree`` is made of the entries, ``claimed`` of the hashes they came with."""

    verifiers: Sequence[Verifier]
    held: Held
    is_thorough: bool
    tree: Frontier = field(default_factory=Frontier)
    claimed: Frontier | None = None
    misnamed: int | None = None
    structural: Fault | None = None
    last_checkpoint: str | None = None
    last_signed: int = 0
    backdated: list[Fault] = field(default_factory=list)
    mismatched: list[Fault] = field(default_factory=list)
    roots: list[_Root] = field(default_factory=list)
    found: set[str] = field(default_factory=set)
    later: dict[str, int] = field(default_factory=dict)
    window: list[bytes] = field(default_factory=list)
    base: Frontier = field(default_factory=Frontier)
    failed: "tuple[int, bytes, Frontier, list[bytes]] | None" = None
    hashes: dict[Node, bytes] = field(default_factory=dict)
    is_forged: bool = False
    newest_at: bytes = b""

    @property
    def is_clean(self) -> bool:
        return (
            self.structural is None
            and self.misnamed is None
            and not (self.backdated or self.mismatched or self.is_forged)
            and all(each.is_good for each in self.roots)
            and max((each.size for each in self.roots), default=0) == self.tree.size
            and len(self.found) == len({each.claims["report"] for _, each in self.held.receipts})
        )

    def read(self, lines: Iterable[bytes]) -> None:
        wanted_roots: dict[int, list[tuple[str, Checkpoint]]] = {}
        for name, checkpoint in self.held.checkpoints:
            wanted_roots.setdefault(checkpoint.size, []).append((name, checkpoint))
        receipts = {str(each.claims["report"]).encode(): each for _, each in self.held.receipts}
        nodes = self._wanted_nodes() if self.is_thorough else frozenset()
        self._compare_roots(wanted_roots.pop(0, ()))
        for line in lines:
            each = _line(line)
            if each.checkpoint is not None:
                self._see_checkpoint(each.checkpoint)
                continue
            if self.structural is not None:
                continue
            if each.index != self.tree.size:
                self._misplaced(each.index)
                continue
            entry = bytes(each.entry)
            self._add(each, entry, nodes)
            self._look_into(each.index, entry, receipts)
            if self.tree.size in wanted_roots:
                self._compare_roots(wanted_roots.pop(self.tree.size))
        for size in sorted(wanted_roots):
            name, checkpoint = wanted_roots[size][0]
            self.roots.append(_Root(size, name, True, is_good=False, is_claimed=False, at=checkpoint.at))
        self._see_last()

    def _wanted_nodes(self) -> frozenset[Node]:
        return frozenset(
            node
            for ranges in (_ranges(index, size) for index, size in self._proved())
            for each in ranges
            for node in nodes_of(*each)
        )

    def _proved(self) -> Iterator[tuple[int, int]]:
        for _, proof in self.held.proofs:
            yield proof.index, read_checkpoint(read_note(proof.checkpoint)).size

    def _add(self, line: Line, entry: bytes, nodes: frozenset[Node]) -> None:
        leaf = leaf_hash(entry)
        if self.claimed is not None or b2a_base64(leaf, newline=False).decode() != line.leaf:
            if self.claimed is None:
                self.claimed, self.misnamed = self.tree.copy(), line.index
            try:
                self.claimed.add(base64.b64decode(line.leaf, validate=True))
            except ValueError:
                self.claimed.add(b"")
        if not self.is_thorough:
            self.tree.add(leaf)
            return
        if len(self.window) <= _WINDOW:
            self.window.append(leaf)
        if self.failed is not None and len(self.failed[3]) == self.failed[0] - self.failed[2].size:
            self.failed[3].append(leaf)  # one more: it has the place of the last if another was put in before it

        def seen(level: int, index: int, hash_: bytes) -> None:
            if (level, index) in nodes:
                self.hashes[level, index] = hash_

        self.tree.add(leaf, seen if nodes else None)

    def _misplaced(self, index: int) -> None:
        size = self.tree.size
        if index > size:
            words = "the export has no such entry" if index == size + 1 else f"none up to {index - 1} is there"
            self.structural = Fault(size, size, Wrong.missing, words)
        else:
            self.structural = Fault(size, size, Wrong.reordered, f"after {size - 1} comes one that is called {index}")

    def _look_into(self, index: int, entry: bytes, receipts: Mapping[bytes, Receipt]) -> None:
        at = _AT.search(entry)
        if at is not None and at[1] > self.newest_at:
            self.newest_at = at[1]
        elif at is not None and (late := _moment(self.newest_at) - _moment(at[1])) > BACKDATED:
            words = f"it says it happened at {at[1].decode()}, {late} before one that was recorded earlier"
            self.backdated.append(Fault(index, index, Wrong.backdated, words))
        if not receipts or (about := _REPORT.search(entry)) is None or (held := receipts.get(about[1])) is None:
            return
        report = about[1].decode()
        if report in self.found:
            return
        if _RECEIVED.search(entry) is None:
            return
        self.found.add(report)
        if wrong := differing(held, _members(entry)):
            words = f"the receipt of report {report} says otherwise: {', '.join(wrong)}"
            self.mismatched.append(Fault(index, index, Wrong.edited, words))

    def _see_checkpoint(self, text: str) -> None:
        """A checkpoint of the export. What is not signed is none; on the fast way only the last one's is verified."""
        self.last_checkpoint = text
        try:
            opened = partial(open_checkpoint, verifiers=self.verifiers) if self.is_thorough else _unverified
            checkpoint = opened(text)
        except InvalidNote:
            self.is_forged = True
            return
        self.last_signed = max(self.last_signed, checkpoint.size)
        if checkpoint.size == self.tree.size and self.structural is None:
            self._compare(checkpoint, "a checkpoint in the export", is_held=False)
        elif checkpoint.size > self.tree.size:
            self.roots.append(_Root(checkpoint.size, "a checkpoint in the export", False, False, False))
        else:
            self.is_forged = True

    def _see_last(self) -> None:
        if self.is_thorough or self.last_checkpoint is None:
            return
        try:
            open_checkpoint(self.last_checkpoint, self.verifiers)
        except InvalidNote:
            self.is_forged = True

    def _compare_roots(self, wanted: Iterable[tuple[str, Checkpoint]]) -> None:
        for name, checkpoint in wanted:
            self._compare(checkpoint, name, is_held=True)

    def _compare(self, checkpoint: Checkpoint, source: str, is_held: bool) -> None:
        is_good = checkpoint.root == self.tree.root
        if is_good and not is_held and not self.is_thorough and self.roots and self.roots[-1].is_own_and_good:
            self.roots.pop()  # the newest says all that those before it say
        is_claimed = is_good if self.claimed is None else checkpoint.root == self.claimed.root
        self.roots.append(_Root(checkpoint.size, source, is_held, is_good, is_claimed, checkpoint.at))
        if not self.is_thorough:
            return
        if is_good:
            self.window, self.base = [], self.tree.copy()
        elif self.failed is None:
            self.failed = (checkpoint.size, checkpoint.root, self.base, list(self.window))

    # What it comes to

    def audited(self, faults: Sequence[Fault]) -> Audited:
        good = max((each.size for each in self.roots if each.is_good), default=0)
        return Audited(self.tree.size, self.tree.root, good, len(self.held), faults)

    def faults(self) -> list[Fault]:
        """All that is wrong, the first bad entry first."""
        found = [*self.mismatched, *self._unfound()]
        rooted = self._rooted()
        if self.structural is not None:
            found.append(self.structural)
        if rooted is None and self.structural is None and self.misnamed is not None:
            words = "its stored leaf hash is not its own"
            found.append(Fault(self.misnamed, self.misnamed, Wrong.edited, words))
        return [*self._in_order(rooted, [*self.backdated, *found]), *self._unsigned()]

    def _unsigned(self) -> Iterator[Fault]:
        """What nobody vouches for."""
        signed = max((each.size for each in self.roots), default=0)
        if self.tree.size > signed and self.structural is None:
            is_bare = all(each.is_held for each in self.roots)
            wrong = Wrong.unsigned if is_bare else Wrong.inserted
            yield Fault(signed, self.tree.size - 1, wrong, "no signed checkpoint covers it")
        elif self.is_forged:
            yield Fault(signed, signed, Wrong.unsigned, "a checkpoint in the export is not signed by the log")

    @staticmethod
    def _in_order(rooted: Fault | None, others: Iterable[Fault]) -> list[Fault]:
        """By the first entry that may be bad; of those that begin at the same one, what signed roots show first."""
        found = sorted(others, key=lambda each: (each.index, each.last))
        if rooted is None:
            return found
        before = [each for each in found if each.last < rooted.index]
        sure = min((each.index for each in found if each.index == each.last >= rooted.index), default=rooted.last)
        narrowed = replace(rooted, last=min(rooted.last, sure))
        return [*before, narrowed, *found[len(before) :]]

    def _rooted(self) -> Fault | None:
        """The fault that signed roots show: between the last that is good and the first that is not."""
        bad = min((each for each in self.roots if not each.is_good), key=lambda each: each.size, default=None)
        if bad is None:
            return None
        good = max((each.size for each in self.roots if each.is_good and each.size < bad.size), default=0)
        contrary = [each for each in self.roots if each.is_good and each.size >= bad.size]
        if bad.size > self.tree.size and self.structural is None:
            return self._cut(bad, good)
        if self.structural is not None and bad.size > self.tree.size:
            return None  # what is missing or out of order says it all
        if contrary:
            words = (
                f"{bad.source}, of {bad.size} entries, and a checkpoint of {contrary[0].size} in the export contradict "
                "each other, and both are signed"
            )
            wrong = Wrong.forked if contrary[0].is_held or not bad.is_held else Wrong.rolled_back
            # Those in the export were signed on this branch: below the held one they say nothing of the other.
            good = max(
                (each.size for each in self.roots if each.is_good and each.is_held and each.size < bad.size), default=0
            )
            return self._between(good, bad.size, wrong, words)
        if self.misnamed is not None and bad.is_claimed and self.misnamed < bad.size:
            words = f"its hash is not the one that {bad.source}, of {bad.size} entries, was signed over"
            return Fault(self.misnamed, self.misnamed, Wrong.edited, words)
        return self._guessed(bad, good) or self._between(good, bad.size, self._likely(), self._signed_over(bad, good))

    def _likely(self) -> Wrong:
        """What was done, by how many entries there are and should be."""
        signed = max(each.size for each in self.roots)
        if self.tree.size == signed:
            return Wrong.edited
        return Wrong.missing if self.tree.size < signed else Wrong.inserted

    def _signed_over(self, bad: _Root, good: int) -> str:
        words = f"{bad.source} was signed over {bad.size} entries of which the first {good} are there as they were"
        signed = max(each.size for each in self.roots)
        return words if signed == self.tree.size else f"{words}; there are {self.tree.size} entries, and were {signed}"

    def _cut(self, bad: _Root, good: int) -> Fault:
        size, (_, broken) = self.tree.size, self._proved_ranges()
        if broken:
            held = max((each.size for each in self.roots if each.is_good and each.is_held), default=0)
            words = f"held proofs have other entries than the export, which ends before {bad.source} does"
            return self._between(held, size, Wrong.rolled_back, words)
        words = f"the log ends here, and {bad.source} was signed over {bad.size} entries"
        own = max((each for each in self.roots if each.is_good and not each.is_held), default=None, key=_size)
        if own is None:
            return Fault(good, size, Wrong.cut_off, f"{words}; for what comes after {good} nothing vouches")
        if own.at is not None and bad.at is not None and own.at > bad.at:
            held = max((each.size for each in self.roots if each.is_good and each.is_held), default=0)
            words = f"{words}; what is there was signed later than that"
            return Fault(held, max(held, size - 1), Wrong.rolled_back, words)
        if good < size and not any(each.size == size and each.is_good for each in self.roots):
            words += f"; for what comes after {good} nothing vouches"
        return Fault(size, size, Wrong.cut_off, words)

    def _between(self, good: int, bad: int, wrong: Wrong, words: str) -> Fault:
        """The fault within some entries, narrowed by the hashes that held proofs are made of."""
        first, last = good, bad - 1
        fine, broken = self._proved_ranges()
        last = min([last, *(end - 1 for start, end in broken)])
        moved = True
        while moved:
            moved = False
            for start, end in fine:
                if start <= first < end <= last + 1 and first < last:
                    first, moved = min(end, last), True
                if start <= last < end and first < last and start > first:
                    last, moved = start - 1, True
        return Fault(first, max(first, last), wrong, words)

    def _proved_ranges(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Ranges that held proofs have hashes of: those that are as they were, and those that are not."""
        fine: list[tuple[int, int]] = []
        broken: list[tuple[int, int]] = []
        for (_, proof), (index, size) in zip(self.held.proofs, self._proved(), strict=True):
            hashes = [proof.leaf, *proof.path]
            for (start, end), expected in zip(_ranges(index, size), hashes, strict=True):
                nodes = list(nodes_of(start, end))
                if any(node not in self.hashes for node in nodes):
                    continue
                is_fine = fold([self.hashes[node] for node in nodes]) == expected
                (fine if is_fine else broken).append((start, end))
        return fine, broken

    def _guessed(self, bad: _Root, good: int) -> Fault | None:
        """Whether it all fits with one entry left out, or with two in each other's place."""
        if self.failed is None or self.failed[0] != bad.size:
            return None
        size, root, base, window = self.failed
        count = size - good
        if len(window) == count + 1 and count < _WINDOW:
            for n in range(count + 1):
                if _root_after(base, [*window[:n], *window[n + 1 :]]) == root:
                    words = f"without it the first {size} are those that {bad.source} was signed over"
                    return Fault(good + n, good + n, Wrong.inserted, words)
        if len(window) >= count and count <= _PAIRS:
            leaves = window[:count]
            for one, two in combinations(range(count), 2):
                swapped = list(leaves)
                swapped[one], swapped[two] = leaves[two], leaves[one]
                if _root_after(base, swapped) == root:
                    words = f"it and {good + two} have changed places since {bad.source} was signed"
                    return Fault(good + one, good + one, Wrong.reordered, words)
        return None

    def _unfound(self) -> Iterator[Fault]:
        """Receipts whose report has no entry."""
        for name, receipt in self.held.receipts:
            report = str(receipt.claims["report"])
            if report in self.found or self.structural is not None:
                continue
            at, size = str(receipt.claims["received_at"]).encode(), self.tree.size
            words = f"report {report}, of the receipt {name}, is not in the log"
            if at > self.newest_at:
                words += ", which ends before it was received: if that is more than some seconds ago, its end is gone"
                yield Fault(size, size, Wrong.cut_off, words)
            else:
                yield Fault(0, max(0, size - 1), Wrong.missing, words)


def _size(root: _Root) -> int:
    return root.size


def _ranges(index: int, size: int) -> list[tuple[int, int]]:
    return [(index, index + 1), *inclusion_ranges(index, size)]


def _root_after(base: Frontier, leaves: Iterable[bytes]) -> bytes:
    tree = base.copy()
    for leaf in leaves:
        tree.add(leaf)
    return tree.root


def _unverified(text: str) -> Checkpoint:
    return read_checkpoint(read_note(text))


def _line(line: bytes) -> Line:
    try:
        found = _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotAnExport(f"not a line of an export: {line[:80]!r}") from error
    if found.checkpoint is None and found.index < 0:
        raise NotAnExport(f"neither an entry nor a checkpoint: {line[:80]!r}")
    return found


def _moment(text: bytes) -> datetime:
    try:
        return datetime.fromisoformat(text.decode())
    except ValueError:
        return datetime.fromisoformat("0001-01-01T00:00:00Z")


def _members(entry: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(entry)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return found if isinstance(found, dict) else {}
