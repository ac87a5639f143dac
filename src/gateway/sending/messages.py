"""The messages of deliveries: read ahead for all that were claimed together, in a few statements."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.claims import Claimed
from gateway.db.deadline import BRIEF_SECONDS
from gateway.db.engine import driver
from gateway.flow.forward import Message, message_from, message_of, read_sources
from gateway.flow.load import Catalogues
from gateway.sending.insist import insist
from gateway.sending.lease import Lease, ReadAhead

_MOST_ROWS = 300
"""Reports that are longer are not read ahead: what was read is in memory until the last message is made of it."""


@dataclass(frozen=True, slots=True)
class Messages:
    """Makes messages. ``connections`` bounds what it uses of the pool, together with its worker."""

    engine: AsyncEngine
    connections: asyncio.Semaphore
    catalogues: Catalogues

    async def read_ahead(self, claims: Sequence[Claimed]) -> ReadAhead | None:
        """Read what the messages of some deliveries are made of; None where that failed, or is too much."""
        held, told = self.catalogues.held, [each for each in claims if each.owed is None]
        if held is None or not told:
            return None
        try:
            async with self.connections, driver(self.engine, BRIEF_SECONDS) as connection:
                return await read_sources(connection, told, held, _MOST_ROWS), held
        except Exception:  # each reads its own, and says what is the matter
            return None

    async def of(self, lease: Lease, until: Callable[[], float]) -> Message:
        """The message of a delivery, of what was read ahead, or else read for it alone.

        Insists while the database is away. Raises as ``message_of`` does.
        """
        claimed, found, lease.ahead = lease.claimed, lease.ahead, None
        if found is not None and claimed.owed is None:
            try:
                return message_from(claimed, *found)
            except LookupError:  # not there, too long, or of a form newer than the catalogue that was held
                pass
        return await insist(lambda: self._alone(claimed), until)

    async def _alone(self, claimed: Claimed) -> Message:
        async with self.connections:
            catalogue = await self.catalogues.newest()
            async with driver(self.engine, BRIEF_SECONDS) as connection:
                return await message_of(connection, claimed, catalogue)
