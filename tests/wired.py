"""A gateway whose only way to its database is a wire that can be struck."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from proofs.faults.wire import Wire, server_of

from gateway.api.deps import Gateway
from gateway.app import build_gateway
from gateway.db.engine import open_engine
from gateway.db.roles import Role
from gateway_under_test import Held


@asynccontextmanager
async def wired(gateway: Gateway) -> AsyncIterator[tuple[Wire, Gateway]]:
    """A wire to a gateway's database, and a gateway like it behind that wire."""
    url = gateway.engine.url.render_as_string(hide_password=False)
    async with Wire(server_of(url)) as wire:
        engine = open_engine(gateway.settings, wire.url(url), Role.api)
        far = build_gateway(gateway.settings, engine)
        Held.of(gateway.catalogues).put_back(far.catalogues)
        try:
            yield wire, far
        finally:
            wire.rules.clear()
            await wire.heal()
            await engine.dispose()
