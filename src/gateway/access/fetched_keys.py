"""Key sets that clients keep themselves, fetched when needed and remembered within bounds."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import structlog

from gateway.access.key_sets import usable
from gateway.domain.exact import decode

log = structlog.get_logger()

Fetch: TypeAlias = Callable[[str], Awaitable[bytes]]
"""Gives what lies at an address, within bounds of its own; raises where it cannot."""

FRESH_SECONDS = 300.0
"""So long a fetched set is used without a question: a key that its owner took out is good at most this much longer."""
AGAIN_SECONDS = 60.0
"""A set is asked for at most once in so long, whatever keys are named and however it fails."""
LONGEST_SECONDS = 24 * 3600.0
"""While its address does not answer, a set that was fetched goes on being used for so long."""
_MOST_SETS = 1000
_now = time.monotonic


@dataclass(slots=True)
class _Set:
    keys: dict[str, dict[str, str]] = field(default_factory=dict)
    fetched_at: float = float("-inf")
    asked_at: float = float("-inf")
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class FetchedKeys:
    """What one process knows of clients' key sets."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._sets: dict[str, _Set] = {}

    async def find(self, uri: str, kid: str) -> dict[str, str] | None:
        """A key with the algorithm it is pinned to; None where the set has none of that id, or cannot be had."""
        known = self._sets.pop(uri, None) or _Set()
        if len(self._sets) >= _MOST_SETS:
            del self._sets[next(iter(self._sets))]  # the one that was used longest ago
        self._sets[uri] = known
        if kid not in known.keys or _age(known.fetched_at) > FRESH_SECONDS:
            async with known.lock:
                await self._refresh(uri, known, kid)
        return known.keys.get(kid) if _age(known.fetched_at) <= LONGEST_SECONDS else None

    async def _refresh(self, uri: str, known: _Set, kid: str) -> None:
        is_known = kid in known.keys and _age(known.fetched_at) <= FRESH_SECONDS
        if is_known or _age(known.asked_at) < AGAIN_SECONDS:  # another request has asked meanwhile
            return
        known.asked_at = _now()
        try:
            found = usable(decode(await self._fetch(uri)))
        except Exception as error:
            log.warning("a client's key set could not be fetched", uri=uri, reason=f"{type(error).__name__}: {error}")
            return
        known.keys, known.fetched_at = {key["kid"]: key for key in found}, known.asked_at


def _age(since: float) -> float:
    return _now() - since
