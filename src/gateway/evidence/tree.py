"""Reading the stored tree: nodes, frontiers and proofs, each from a few hashes."""

from collections.abc import Iterable
from typing import Any

from gateway.db.log import STEP, KeptCheckpoint, KeptEntry, stored_hashes
from gateway.evidence.merkle import (
    Frontier,
    Node,
    consistency_ranges,
    fold,
    hashes_of,
    inclusion_ranges,
    nodes_of,
    parent,
)
from gateway.evidence.proofs import Proof


class LogBroken(RuntimeError):
    """What is stored of the log does not hang together: it was changed from outside. The message says where."""


def _stored_below(node: Node) -> list[Node]:
    """The nodes of a stored level that a node is made of: itself, or up to eight."""
    level, index = node
    base = level - level % STEP
    first = index << (level - base)
    return [(base, each) for each in range(first, first + (1 << (level - base)))]


async def read_nodes(connection: Any, wanted: Iterable[Node]) -> dict[Node, bytes]:
    """The hashes of nodes. Raises ``LogBroken`` where one is not there."""
    below = {node: _stored_below(node) for node in wanted}
    stored = await stored_hashes(connection, {each for nodes in below.values() for each in nodes})
    found: dict[Node, bytes] = {}
    for node, parts in below.items():
        hashes = [stored[each] for each in parts if each in stored]
        if len(hashes) < len(parts):
            raise LogBroken(f"node {node[1]} of level {node[0]} cannot be made of what is stored")
        while len(hashes) > 1:
            hashes = [parent(*pair) for pair in zip(hashes[::2], hashes[1::2], strict=True)]
        found[node] = hashes[0]
    return found


async def read_frontier(connection: Any, size: int) -> Frontier:
    """The tree of so many entries, ready to grow. Raises ``LogBroken``."""
    wanted = list(nodes_of(0, size))
    found = await read_nodes(connection, wanted)
    return Frontier(size, [found[node] for node in wanted])


async def read_root(connection: Any, size: int) -> bytes:
    """The root over so many entries. Raises ``LogBroken``."""
    return fold((await read_frontier(connection, size)).peaks)


async def inclusion_path(connection: Any, index: int, size: int) -> list[bytes]:
    """The proof that an entry is in the tree of so many. Raises ``IndexError``, or ``LogBroken``."""
    ranges = inclusion_ranges(index, size)
    return hashes_of(ranges, await read_nodes(connection, {node for each in ranges for node in nodes_of(*each)}))


async def consistency_path(connection: Any, old: int, new: int) -> list[bytes]:
    """The proof that the tree of so many grew out of that of fewer. Raises ``IndexError``, or ``LogBroken``."""
    ranges = consistency_ranges(old, new)
    return hashes_of(ranges, await read_nodes(connection, {node for each in ranges for node in nodes_of(*each)}))


async def prove(connection: Any, kept: KeptEntry, newest: KeptCheckpoint) -> Proof:
    """The proof of an entry under a checkpoint that has it. Raises ``LogBroken``."""
    path = await inclusion_path(connection, kept.index, newest.size)
    return Proof(kept.index, kept.entry, path, newest.note)
