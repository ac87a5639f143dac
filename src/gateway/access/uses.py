"""When credentials were last used, written aside: at most once a minute, and in no request's transaction."""

import asyncio
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.clients import note_uses
from gateway.db.engine import driver, tell_failure

_EVERY_SECONDS = 60.0


class Uses:
    """The uses one process saw since it last wrote them down."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._seen: dict[UUID, tuple[datetime, str | None]] = {}
        self._written_at = float("-inf")
        self._writing: asyncio.Task[None] | None = None

    def note(self, credential: UUID | None, address: str | None) -> None:
        """A credential, or a token of it, was used from an address."""
        if credential is None:
            return
        self._seen[credential] = datetime.now(UTC), address
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_in_time())

    async def flush(self) -> None:
        """Write down what is not written yet; what cannot be is lost."""
        seen, self._seen = self._seen, {}
        if not seen:
            return
        # In the order of ids, so that two processes do not wait for each other.
        uses = [(credential, *seen[credential]) for credential in sorted(seen)]
        try:
            async with driver(self._engine) as connection:
                await note_uses(connection, uses)
        except Exception as error:
            tell_failure(error, "when clients were last used could not be written")

    async def _write_in_time(self) -> None:
        now = asyncio.get_running_loop().time
        await asyncio.sleep(max(0.0, self._written_at + _EVERY_SECONDS - now()))
        self._written_at = now()
        await self.flush()
