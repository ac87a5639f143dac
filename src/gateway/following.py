"""Follow upstreams that are gateways too: what they return is returned here, so that its sender gets to know.

Asking goes from below to above, as reports do, so that the lower gateway need not be reachable. Workers take turns, and
what was read is done before it counts as read: a report may be returned twice, which changes nothing, but never missed.
"""

import asyncio
from datetime import timedelta

import structlog
from cryptography.fernet import InvalidToken
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.connectors.connector import Follows, InvalidConnectorSettings, Returned, Returns, UpstreamSilent
from gateway.connectors.registry import UnknownConnectorKind
from gateway.db.engine import driver, tell_failure
from gateway.db.follows import Followed, put_failure, put_follow, take_follow
from gateway.domain.report import Status
from gateway.errors import NotFound, StateConflict
from gateway.flow.forward import RELAYS
from gateway.flow.load import Catalogues
from gateway.flow.review import NOBODY, Ending, end_report
from gateway.upstreams import Upstreams

log = structlog.get_logger()

_LEASE = timedelta(seconds=60)
"""Longer than an upstream may take to answer."""


class Following:
    """Asks upstreams in turn what they returned."""

    def __init__(self, engine: AsyncEngine, catalogues: Catalogues, upstreams: Upstreams, pause: timedelta) -> None:
        self._engine, self._catalogues, self._upstreams, self._pause = engine, catalogues, upstreams, pause

    async def run(self) -> None:
        """Follow until cancelled. Nothing that fails ends it."""
        while True:
            try:
                while await self.follow():
                    pass
            except Exception as error:
                tell_failure(error, "upstreams could not be followed")
            await asyncio.sleep(self._pause.total_seconds())

    async def follow(self) -> bool:
        """Ask one upstream that is due to be asked; False when there is none."""
        for kind in RELAYS:
            async with driver(self._engine) as connection:
                followed = await take_follow(connection, kind, _LEASE)
            if followed is not None:
                await self._follow(followed)
                return True
        return False

    async def _follow(self, followed: Followed) -> None:
        try:
            found = await self._ask(followed)
        except (UpstreamSilent, InvalidConnectorSettings, UnknownConnectorKind, InvalidToken) as error:
            words = str(error) or "its credentials cannot be decrypted"
            log.warning("an upstream could not be followed", connector=followed.target.name, reason=words)
            async with driver(self._engine) as connection:
                await put_failure(connection, followed, words, 2 * self._pause)
            return
        for each in found.items:
            await self._return(followed, each)
        async with driver(self._engine) as connection:
            pause = timedelta() if found.has_more else self._pause
            await put_follow(connection, followed, found.cursor, pause)

    async def _ask(self, followed: Followed) -> Returns:
        async with self._upstreams.use(followed.target) as connector:
            if not isinstance(connector, Follows):
                raise UpstreamSilent(f"kind {followed.target.kind} does not tell what was returned")
            return await connector.returns(followed.cursor)

    async def _return(self, followed: Followed, returned: Returned) -> None:
        """Return a report here, if it is ours and still stands: a correction of it is on its way up otherwise."""
        ending = Ending(Status.returned, NOBODY, returned.reason, told_by=followed.target.number)
        try:
            await end_report(self._engine, await self._catalogues.newest(), returned.report, ending)
        except (NotFound, StateConflict):
            return
        log.info("returned by an upstream", connector=followed.target.name, report=str(returned.report))
