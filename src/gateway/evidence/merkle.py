"""The Merkle tree of RFC 6962 (section 2.1; RFC 9162 has the verification): roots, proofs, and checking them. Pure.

A *node* is a complete subtree: ``(level, index)`` covers the leaves from ``index << level`` on, ``1 << level`` of them.
What a proof is made of lies in such nodes, so that it is made from a few hashes and never from the whole tree.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

EMPTY_ROOT = hashlib.sha256(b"").digest()
"""The root of a tree without leaves."""

Node = tuple[int, int]

_sha256 = hashlib.sha256


class InvalidProof(ValueError):
    """A proof does not show what it is given for; the message says what."""


def leaf_hash(entry: bytes) -> bytes:
    return _sha256(b"\0" + entry).digest()


def parent(left: bytes, right: bytes) -> bytes:
    return _sha256(b"\1" + left + right).digest()


@dataclass(slots=True)
class Frontier:
    """A tree that grows at its right end: what is needed of it to go on, whatever its size.

    ``peaks`` are the largest complete subtrees, left to right: one for each bit of ``size`` that is set.
    """

    size: int = 0
    peaks: list[bytes] = field(default_factory=list)

    def add(self, leaf: bytes, seen: Callable[[int, int, bytes], object] | None = None) -> None:
        """Add a leaf's hash. ``seen`` is told of every node that it completes, the leaf first."""
        peaks, level, index = self.peaks, 0, self.size
        if seen is not None:
            seen(0, index, leaf)
        while index & 1:
            leaf = _sha256(b"\1" + peaks.pop() + leaf).digest()
            level, index = level + 1, index >> 1
            if seen is not None:
                seen(level, index, leaf)
        peaks.append(leaf)
        self.size += 1

    @property
    def root(self) -> bytes:
        return fold(self.peaks)

    def copy(self) -> "Frontier":
        return Frontier(self.size, list(self.peaks))


def fold(hashes: Sequence[bytes]) -> bytes:
    """The hash over complete subtrees that stand side by side, each smaller than the one to its left."""
    if not hashes:
        return EMPTY_ROOT
    found = hashes[-1]
    for left in reversed(hashes[:-1]):
        found = parent(left, found)
    return found


def root_of(leaves: Iterable[bytes]) -> bytes:
    """The root over the hashes of leaves."""
    frontier = Frontier()
    for leaf in leaves:
        frontier.add(leaf)
    return frontier.root


def nodes_of(start: int, end: int) -> Iterator[Node]:
    """The nodes that make up the leaves from ``start`` to before ``end``, left to right.

    ``start`` is one at which RFC 6962 splits a tree, so that the nodes only become smaller.
    """
    while start < end:
        level = (end - start).bit_length() - 1
        yield level, start >> level
        start += 1 << level


Range = tuple[int, int]
"""Leaves from the first number to before the second."""


def _split(start: int, end: int) -> int:
    """Where the tree over some leaves has its two halves meet: after the largest power of two below their number."""
    return start + (1 << ((end - start - 1).bit_length() - 1))


def inclusion_ranges(index: int, size: int) -> list[Range]:
    """The subtrees whose hashes are the proof that a leaf is in a tree (RFC 6962, 2.1.1), from the leaf up."""
    if not 0 <= index < size:
        raise IndexError(f"there is no leaf {index} in a tree of {size}")
    found, start, end = list[Range](), 0, size
    while end - start > 1:
        middle = _split(start, end)
        if index < middle:
            found.append((middle, end))
            end = middle
        else:
            found.append((start, middle))
            start = middle
    return found[::-1]


def consistency_ranges(old: int, new: int) -> list[Range]:
    """The subtrees whose hashes are the proof that one tree grew out of another (RFC 6962, 2.1.2)."""
    if not 0 <= old <= new:
        raise IndexError(f"a tree of {new} did not grow out of one of {old}")
    if old in {0, new}:
        return []
    found, start, end = list[Range](), 0, new
    while old != end:
        middle = _split(start, end)
        if old <= middle:
            found.append((middle, end))
            end = middle
        else:
            found.append((start, middle))
            start = middle
    if start:
        found.append((start, end))
    return found[::-1]


def hashes_of(ranges: Iterable[Range], nodes: Mapping[Node, bytes]) -> list[bytes]:
    """The hash of each range, from the nodes it is made of."""
    return [fold([nodes[node] for node in nodes_of(*each)]) for each in ranges]


def root_by_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """The root that an inclusion proof leads to (RFC 9162, 2.1.3.2). Raises ``InvalidProof``."""
    try:
        ranges = inclusion_ranges(index, size)
    except IndexError as error:
        raise InvalidProof(str(error)) from error
    if len(ranges) != len(path):
        raise InvalidProof(f"its path has {len(path)} hashes, not {len(ranges)}")
    found = leaf
    for (start, _), sibling in zip(ranges, path, strict=True):
        found = parent(sibling, found) if start < index else parent(found, sibling)
    return found


def verify_consistency(old: int, old_root: bytes, new: int, new_root: bytes, path: Sequence[bytes]) -> None:
    """That a tree grew out of another one (RFC 9162, 2.1.4.2). Raises ``InvalidProof``."""
    try:
        ranges = consistency_ranges(old, new)
    except IndexError as error:
        raise InvalidProof(str(error)) from error
    if len(path) != len(ranges):
        raise InvalidProof(f"its path has {len(path)} hashes, not {len(ranges)}")
    if old == 0:
        before, after = EMPTY_ROOT, new_root
    elif old == new:
        before, after = old_root, old_root
    else:
        before, after = _both_roots(old, old_root, ranges, path)
    if before != old_root:
        raise InvalidProof(f"it does not lead to the root of {old}")
    if after != new_root:
        raise InvalidProof(f"it does not lead to the root of {new}")


def _both_roots(old: int, old_root: bytes, ranges: Sequence[Range], path: Sequence[bytes]) -> tuple[bytes, bytes]:
    """The roots of both trees. Where the old one is a node of the new, its root is where the path begins."""
    first = ranges[0][1] == old
    before = after = path[0] if first else old_root
    for (start, _), sibling in zip(ranges[first:], path[first:], strict=True):
        if start >= old:
            after = parent(after, sibling)
        else:
            before, after = parent(sibling, before), parent(sibling, after)
    return before, after
