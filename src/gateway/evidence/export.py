"""The log as it is handed out: a line for each entry and each checkpoint, in their order (NDJSON)."""

import base64
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.db.log import KeptCheckpoint, KeptEntry, checkpoints_between, entries_from
from gateway.evidence.proofs import as_json

_PAGE = 5_000


@dataclass(frozen=True, slots=True)
class LogPage:
    """Entries in their order, the checkpoints that were signed between them, and where to go on."""

    entries: Sequence[KeptEntry]
    checkpoints: Sequence[KeptCheckpoint]
    next: int | None

    def lines(self) -> Iterator[dict[str, object]]:
        """All of it, each checkpoint after the last entry that it covers."""
        waiting = iter(self.checkpoints)
        following = next(waiting, None)
        for each in self.entries:
            while following is not None and following.size <= each.index:
                yield checkpoint_shown(following)
                following = next(waiting, None)
            yield entry_shown(each)
        while following is not None:
            yield checkpoint_shown(following)
            following = next(waiting, None)


def entry_shown(kept: KeptEntry) -> dict[str, object]:
    return {"index": kept.index, "leaf": base64.b64encode(kept.leaf).decode(), "entry": as_json(kept.entry)}


def checkpoint_shown(kept: KeptCheckpoint) -> dict[str, object]:
    return {"checkpoint": kept.note}


async def page_of(connection: Any, start: int, limit: int) -> LogPage:
    """So many entries from a place on."""
    found = await entries_from(connection, start, limit + 1)
    entries = found[:limit]
    if not entries:
        return LogPage([], await checkpoints_between(connection, start - 1, start) if start == 0 else [], None)
    last = entries[-1].index + 1
    checkpoints = await checkpoints_between(connection, start if start else -1, last)
    return LogPage(entries, checkpoints, last if len(found) > limit else None)


async def export(connection: Any, start: int = 0) -> AsyncIterator[dict[str, object]]:
    """Every line from a place on, read page by page."""
    following: int | None = start
    while following is not None:
        page = await page_of(connection, following, _PAGE)
        for line in page.lines():
            yield line
        following = page.next
