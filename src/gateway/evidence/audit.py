"""Audit: whether a log is the one that was signed, by its export and by what is held outside, without a database.

The entries are read once. Each signed root is compared with the root of what was read up to there. If all agree,
nothing was changed: whoever could make another entry with the same hashes could break SHA-256. If one does not, it
is read again, every signature is verified, and it is found out where and how.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from gateway.evidence.faults import Fault, Wrong
from gateway.evidence.held import Held
from gateway.evidence.merkle import Frontier, fold, nodes_of
from gateway.evidence.note import Verifier
from gateway.evidence.reading import WINDOW, Reading, Root, ranges_of

_PAIRS = 64
"""Of how many entries it is tried which two have changed places."""


@dataclass(frozen=True, slots=True)
class Audited:
    """How much was read, what vouches for how much of it, and what is wrong, the first bad entry first.

    ``has_checkpoint``: whether there was a checkpoint among what was read.
    """

    size: int
    root: bytes
    signed: int
    held: int
    has_checkpoint: bool
    faults: Sequence[Fault]


def audit(read: Callable[[], Iterable[bytes]], verifiers: Sequence[Verifier], held: Held) -> Audited:
    """Check an export, which ``read`` gives from its start as often as it is called. Raises ``NotAnExport``."""
    fast = Reading(verifiers, held, is_thorough=False)
    fast.read(read())
    if fast.is_clean:
        return _audited(fast, [])
    thorough = Reading(verifiers, held, is_thorough=True)
    thorough.read(read())
    return _audited(thorough, _Judgement(thorough).faults())


def _audited(read: Reading, faults: Sequence[Fault]) -> Audited:
    good = max((each.size for each in read.roots if each.is_good), default=0)
    return Audited(read.tree.size, read.tree.root, good, len(read.held), read.last_checkpoint is not None, faults)


@dataclass(frozen=True, slots=True)
class _Judgement:
    """What a thorough reading comes to."""

    read: Reading

    def faults(self) -> list[Fault]:
        """All that is wrong, the first bad entry first."""
        found = [*self.read.mismatched, *self.read.ambiguous, *self._unfound()]
        rooted = self._rooted()
        if self.read.structural is not None:
            found.append(self.read.structural)
        if rooted is None and self.read.structural is None and self.read.misnamed is not None:
            words = "its stored leaf hash is not its own"
            found.append(Fault(self.read.misnamed, self.read.misnamed, Wrong.edited, words))
        return [*self._in_order(rooted, [*self.read.backdated, *found]), *self._unsigned()]

    def _unsigned(self) -> Iterator[Fault]:
        """What nobody vouches for."""
        signed = max((each.size for each in self.read.roots), default=0)
        if self.read.tree.size > signed and self.read.structural is None:
            is_bare = all(each.is_held for each in self.read.roots)
            wrong = Wrong.unsigned if is_bare else Wrong.inserted
            yield Fault(signed, self.read.tree.size - 1, wrong, "no signed checkpoint covers it")
        elif self.read.is_forged:
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
        bad = min((each for each in self.read.roots if not each.is_good), key=lambda each: each.size, default=None)
        if bad is None:
            return None
        good = max((each.size for each in self.read.roots if each.is_good and each.size < bad.size), default=0)
        contrary = [each for each in self.read.roots if each.is_good and each.size >= bad.size]
        if bad.size > self.read.tree.size and self.read.structural is None:
            return self._cut(bad, good)
        if self.read.structural is not None and bad.size > self.read.tree.size:
            return None  # what is missing or out of order says it all
        if contrary:
            words = (
                f"{bad.source}, of {bad.size} entries, and a checkpoint of {contrary[0].size} in the export contradict "
                "each other, and both are signed"
            )
            wrong = Wrong.forked if contrary[0].is_held or not bad.is_held else Wrong.rolled_back
            # Those in the export were signed on this branch: below the held one they say nothing of the other.
            good = max(
                (each.size for each in self.read.roots if each.is_good and each.is_held and each.size < bad.size),
                default=0,
            )
            return self._between(good, bad.size, wrong, words)
        if self.read.misnamed is not None and bad.is_claimed and self.read.misnamed < bad.size:
            words = f"its hash is not the one that {bad.source}, of {bad.size} entries, was signed over"
            return Fault(self.read.misnamed, self.read.misnamed, Wrong.edited, words)
        return self._guessed(bad, good) or self._between(good, bad.size, self._likely(), self._signed_over(bad, good))

    def _likely(self) -> Wrong:
        """What was done, by how many entries there are and should be."""
        signed = max(each.size for each in self.read.roots)
        if self.read.tree.size == signed:
            return Wrong.edited
        return Wrong.missing if self.read.tree.size < signed else Wrong.inserted

    def _signed_over(self, bad: Root, good: int) -> str:
        words = f"{bad.source} was signed over {bad.size} entries of which the first {good} are there as they were"
        signed = max(each.size for each in self.read.roots)
        return (
            words
            if signed == self.read.tree.size
            else f"{words}; there are {self.read.tree.size} entries, and were {signed}"
        )

    def _cut(self, bad: Root, good: int) -> Fault:
        size, (_, broken) = self.read.tree.size, self._proved_ranges()
        if broken:
            held = max((each.size for each in self.read.roots if each.is_good and each.is_held), default=0)
            words = f"held proofs have other entries than the export, which ends before {bad.source} does"
            return self._between(held, size, Wrong.rolled_back, words)
        words = f"the log ends here, and {bad.source} was signed over {bad.size} entries"
        own = max((each for each in self.read.roots if each.is_good and not each.is_held), default=None, key=_size)
        if own is None:
            return Fault(good, size, Wrong.cut_off, f"{words}; for what comes after {good} nothing vouches")
        if own.at is not None and bad.at is not None and own.at > bad.at:
            held = max((each.size for each in self.read.roots if each.is_good and each.is_held), default=0)
            words = f"{words}; what is there was signed later than that"
            return Fault(held, max(held, size - 1), Wrong.rolled_back, words)
        if good < size and not any(each.size == size and each.is_good for each in self.read.roots):
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
        for (_, proof), (index, size) in zip(self.read.held.proofs, self.read.proved(), strict=True):
            hashes = [proof.leaf, *proof.path]
            for (start, end), expected in zip(ranges_of(index, size), hashes, strict=True):
                nodes = list(nodes_of(start, end))
                if any(node not in self.read.hashes for node in nodes):
                    continue
                is_fine = fold([self.read.hashes[node] for node in nodes]) == expected
                (fine if is_fine else broken).append((start, end))
        return fine, broken

    def _guessed(self, bad: Root, good: int) -> Fault | None:
        """Whether it all fits with one entry left out, or with two in each other's place."""
        if self.read.failed is None or self.read.failed[0] != bad.size:
            return None
        size, root, base, window = self.read.failed
        count = size - good
        if len(window) == count + 1 and count < WINDOW:
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
        for name, receipt in self.read.held.receipts:
            report = str(receipt.claims["report"])
            if report in self.read.found or self.read.structural is not None:
                continue
            at, size = str(receipt.claims["received_at"]).encode(), self.read.tree.size
            words = f"report {report}, of the receipt {name}, is not in the log"
            if at > self.read.newest_at:
                words += ", which ends before it was received: if that is more than some seconds ago, its end is gone"
                yield Fault(size, size, Wrong.cut_off, words)
            else:
                yield Fault(0, max(0, size - 1), Wrong.missing, words)


def _size(root: Root) -> int:
    return root.size


def _root_after(base: Frontier, leaves: Iterable[bytes]) -> bytes:
    tree = base.copy()
    for leaf in leaves:
        tree.add(leaf)
    return tree.root
