"""Reading an export of a log, once, in order and in little memory, and noting what agrees and what does not."""

import base64
import re
from binascii import b2a_base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import msgspec

from gateway.domain.entry import canonical
from gateway.domain.exact import decode, encode
from gateway.evidence.faults import Fault, Wrong
from gateway.evidence.held import Held, Receipt, differing
from gateway.evidence.merkle import Frontier, Node, inclusion_ranges, leaf_hash, nodes_of
from gateway.evidence.note import Checkpoint, InvalidNote, Verifier, open_checkpoint, read_checkpoint, read_note

BACKDATED = timedelta(minutes=5)
"""An entry may be recorded by so much later than others that happened after it."""
WINDOW = 512
"""Of how many entries since the last root that is right the hashes are kept."""


class Line(msgspec.Struct):
    """A line of an export: an entry, or a checkpoint that was signed after the entries before it.

    ``is_clear``: whether all readers of JSON find the same in it. Of members that are there twice some take the first,
    some the last.
    """

    index: int = -1
    leaf: str = ""
    entry: msgspec.Raw = msgspec.Raw(b"")
    checkpoint: str | None = None
    is_clear: bool = True


_decoder, _members_of = msgspec.json.Decoder(Line), msgspec.json.Decoder()
_AT = re.compile(rb'"at":"([^"]{27})"')
_REPORT = re.compile(rb'"report":"([0-9a-f-]{36})"')
_RECEIVED = re.compile(rb'"what":"(?:accepted|corrected)"')


class NotAnExport(ValueError):
    """A line of what was given is no line of an export."""


@dataclass(frozen=True, slots=True)
class Root:
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
class Reading:
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
    roots: list[Root] = field(default_factory=list)
    found: set[str] = field(default_factory=set)
    later: dict[str, int] = field(default_factory=dict)
    window: list[bytes] = field(default_factory=list)
    base: Frontier = field(default_factory=Frontier)
    failed: "tuple[int, bytes, Frontier, list[bytes]] | None" = None
    hashes: dict[Node, bytes] = field(default_factory=dict)
    is_forged: bool = False
    ambiguous: list[Fault] = field(default_factory=list)
    newest_at: bytes = b""

    @property
    def is_clean(self) -> bool:
        return (
            self.structural is None
            and self.misnamed is None
            and not (self.backdated or self.mismatched or self.is_forged or self.ambiguous)
            and all(each.is_good for each in self.roots)
            and max((each.size for each in self.roots), default=0) == self.tree.size
            and len(self.found) == len({each.claims["report"] for _, each in self.held.receipts})
        )

    def read(self, lines: Iterable[bytes]) -> None:
        wanted_roots: dict[int, list[tuple[str, Checkpoint]]] = {}
        for name, checkpoint in self.held.checkpoints:
            wanted_roots.setdefault(checkpoint.size, []).append((name, checkpoint))
        receipts: dict[bytes, list[Receipt]] = {}
        for _, receipt in self.held.receipts:
            receipts.setdefault(str(receipt.claims["report"]).encode(), []).append(receipt)
        nodes = self._wanted_nodes() if self.is_thorough else frozenset()
        self._compare_roots(wanted_roots.pop(0, ()))
        for line in lines:
            each = _line(line)
            if not each.is_clear and len(self.ambiguous) < _MOST_AMBIGUOUS:
                self.ambiguous.append(Fault(self.tree.size, self.tree.size, Wrong.ambiguous, _AMBIGUOUS))
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
            self.roots.append(Root(size, name, True, is_good=False, is_claimed=False, at=checkpoint.at))
        self._see_last()

    def _wanted_nodes(self) -> frozenset[Node]:
        return frozenset(
            node
            for ranges in (ranges_of(index, size) for index, size in self.proved())
            for each in ranges
            for node in nodes_of(*each)
        )

    def proved(self) -> Iterator[tuple[int, int]]:
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
        if len(self.window) <= WINDOW:
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

    def _look_into(self, index: int, entry: bytes, receipts: Mapping[bytes, Sequence[Receipt]]) -> None:
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
        for each in held:
            if wrong := differing(each, _members(entry)):
                words = f"a receipt of report {report} says otherwise: {', '.join(wrong)}"
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
            self.roots.append(Root(checkpoint.size, "a checkpoint in the export", False, False, False))
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
        self.roots.append(Root(checkpoint.size, source, is_held, is_good, is_claimed, checkpoint.at))
        if not self.is_thorough:
            return
        if is_good:
            self.window, self.base = [], self.tree.copy()
        elif self.failed is None:
            self.failed = (checkpoint.size, checkpoint.root, self.base, list(self.window))


def ranges_of(index: int, size: int) -> list[tuple[int, int]]:
    return [(index, index + 1), *inclusion_ranges(index, size)]


def _unverified(text: str) -> Checkpoint:
    return read_checkpoint(read_note(text))


_AMBIGUOUS = (
    "its line in the export has a member twice, or is otherwise not strict JSON: readers differ in what it says"
)
_MOST_AMBIGUOUS = 1000


def _line(line: bytes) -> Line:
    try:
        found = _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotAnExport(f"not a line of an export: {line[:80]!r}") from error
    if found.checkpoint is None and found.index < 0:
        raise NotAnExport(f"neither an entry nor a checkpoint: {line[:80]!r}")
    found.is_clear = _is_as_written(found, line.rstrip()) or _is_strict(found, line)
    return found


def _is_as_written(found: Line, line: bytes) -> bool:
    """Whether a line and its entry are as the gateway writes them, which is quickly seen and says no member twice."""
    if found.checkpoint is not None:
        return line == encode({"checkpoint": found.checkpoint})
    entry = bytes(found.entry)
    if line != b'{"index":%d,"leaf":"%s","entry":%s}' % (found.index, found.leaf.encode(), entry):
        return False
    try:
        return canonical(_members_of.decode(entry)) == entry
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False


def _is_strict(found: Line, line: bytes) -> bool:
    """Whether a line is strict JSON, and either an entry or a checkpoint."""
    try:
        decode(line)
    except ValueError:
        return False
    return found.checkpoint is None or (found.index < 0 and not found.leaf and not bytes(found.entry))


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
