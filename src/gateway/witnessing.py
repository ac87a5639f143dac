"""Witnessing: have the newest checkpoint of the log signed by every witness there is a connector to.

Workers take turns. A witness that is away is asked again later; one that contradicts the log is an alarm: an error
among the events, and the connector's state. Neither holds up anything else: reports are taken and sealed as before.
"""

import asyncio
from datetime import timedelta

import structlog
from cryptography.fernet import InvalidToken
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.connectors.connector import (
    Behind,
    Contradicted,
    Cosigned,
    Cosigns,
    InvalidConnectorSettings,
    UpstreamSilent,
)
from gateway.connectors.registry import UnknownConnectorKind
from gateway.db.engine import driver, tell_failure
from gateway.db.follows import Followed, put_failure, put_follow, take_follow
from gateway.db.log import KeptCheckpoint, add_cosignature, newest_checkpoint
from gateway.evidence.tree import LogBroken, consistency_path
from gateway.upstreams import Upstreams

log = structlog.get_logger()

_KIND = "witness"
_LEASE = timedelta(seconds=60)
"""Longer than a witness may take to answer, twice."""


class Witnessing:
    """Asks witnesses in turn."""

    def __init__(self, engine: AsyncEngine, upstreams: Upstreams, pause: timedelta) -> None:
        self._engine, self._upstreams, self._pause = engine, upstreams, pause

    async def run(self) -> None:
        """Have checkpoints signed until cancelled. Nothing that fails ends it."""
        while True:
            try:
                while await self.witness():
                    pass
            except Exception as error:
                tell_failure(error, "witnesses could not be asked")
            await asyncio.sleep(self._pause.total_seconds())

    async def witness(self) -> bool:
        """Ask one witness that is due to be asked; False when there is none."""
        async with driver(self._engine) as connection:
            followed = await take_follow(connection, _KIND, _LEASE)
            newest = await newest_checkpoint(connection) if followed is not None else None
        if followed is None:
            return False
        about = {"connector": followed.target.name}
        try:
            await self._witness(followed, newest)
        except (Contradicted, LogBroken) as error:
            log.error("a witness contradicts the log", reason=str(error), **about)
            await self._fail(followed, f"contradiction: {error}")
        except (UpstreamSilent, InvalidConnectorSettings, UnknownConnectorKind, InvalidToken) as error:
            words = str(error) or "its credentials cannot be decrypted"
            log.warning("a witness did not sign", reason=words, **about)
            await self._fail(followed, words)
        return True

    async def _witness(self, followed: Followed, newest: KeptCheckpoint | None) -> None:
        old = int(followed.cursor or 0)
        if newest is None or newest.size == old:
            async with driver(self._engine) as connection:
                return await put_follow(connection, followed, followed.cursor, self._pause)
        cosigned = await self._ask(followed, newest, old)
        async with driver(self._engine) as connection, connection.transaction():
            await add_cosignature(connection, newest.size, followed.target.number, cosigned.line, cosigned.at)
            await put_follow(connection, followed, str(newest.size), self._pause)

    async def _ask(self, followed: Followed, newest: KeptCheckpoint, old: int) -> Cosigned:
        """Its signature; a witness that knows another size than ours says so, and is asked from there."""
        async with self._upstreams.use(followed.target) as connector:
            if not isinstance(connector, Cosigns):
                raise UpstreamSilent(f"kind {followed.target.kind} does not sign checkpoints")
            for _ in range(2):
                answer = await connector.cosign(old, await self._path(old, newest), newest.note)
                if isinstance(answer, Cosigned):
                    return answer
                old = _from(answer, old)
        raise UpstreamSilent("the witness said twice that it knows another size")

    async def _path(self, old: int, newest: KeptCheckpoint) -> list[bytes]:
        if old > newest.size:
            raise Contradicted(f"the witness has signed {old} entries, and the log has {newest.size}: it went back")
        async with driver(self._engine) as connection:
            return await consistency_path(connection, old, newest.size)

    async def _fail(self, followed: Followed, words: str) -> None:
        async with driver(self._engine) as connection:
            await put_failure(connection, followed, words, 2 * self._pause)


def _from(answer: Behind, old: int) -> int:
    if answer.size < old:
        raise Contradicted(f"the witness signed {old} entries before, and says that it knows {answer.size}")
    return answer.size
