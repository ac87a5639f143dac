"""The connectors a worker sends through, kept open between attempts."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from cryptography.fernet import MultiFernet

from gateway.connectors.connector import Connector, ConnectorSettings
from gateway.connectors.registry import open_connector
from gateway.db.claims import Target
from gateway.domain.exact import decode
from gateway.flow.connect import opened


@dataclass(slots=True)
class _Open:
    """A connector that is open, as its row in storage was then, and how many attempts use it now."""

    target: Target
    connector: Connector
    users: int = 0


class Upstreams:
    """Connectors kept open between attempts, and opened anew when their row in storage has changed."""

    def __init__(self, secrets: MultiFernet, deadline_seconds: float) -> None:
        self._secrets, self._deadline_seconds = secrets, deadline_seconds
        self._open: dict[int, _Open] = {}

    @asynccontextmanager
    async def use(self, target: Target) -> AsyncIterator[Connector]:
        """The connector of a target; one that was replaced is closed when its last attempt has ended."""
        held, replaced = self._open.get(target.number), None
        if held is None or held.target != target:
            connector = open_connector(self._settings(target))
            held, replaced = _Open(target, connector), held
            self._open[target.number] = held
        held.users += 1
        try:
            if replaced is not None and not replaced.users:
                await replaced.connector.aclose()
            yield held.connector
        finally:
            held.users -= 1
            if not held.users and self._open.get(target.number) is not held:
                await held.connector.aclose()

    async def aclose(self) -> None:
        """Close every connector."""
        while self._open:
            await self._open.popitem()[1].connector.aclose()

    def _settings(self, target: Target) -> ConnectorSettings:
        return ConnectorSettings(
            target.name,
            target.kind,
            target.url,
            target.allow_private_addresses,
            opened(self._secrets, target.credentials),
            self._deadline_seconds,
            options=None if target.options is None else decode(target.options.encode()),
        )
