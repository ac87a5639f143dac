"""The way to the database: what is told where there is none."""

from collections.abc import AsyncIterator
from uuid import uuid4

import asyncpg
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.engine import driver, is_outage, open_engine
from gateway.settings import Settings
from gateway_under_test import connected


@pytest.fixture
async def login(engine: AsyncEngine) -> AsyncIterator[str]:
    """A login that may have no connection: as when a server starts up, it is there and says no."""
    name = f"nobody_{uuid4().hex[:8]}"
    async with connected(engine) as connection:
        await connection.execute(f"CREATE ROLE {name} LOGIN CONNECTION LIMIT 0")
        yield name
        await connection.execute(f"DROP ROLE {name}")


def engine_of(settings: Settings, engine: AsyncEngine, login: str) -> AsyncEngine:
    return open_engine(settings, engine.url.set(username=login).render_as_string(hide_password=False))


async def test_a_server_that_takes_no_connections_is_an_outage_whoever_asks(
    settings: Settings, engine: AsyncEngine, login: str
) -> None:
    refused = engine_of(settings, engine, login)
    with pytest.raises(asyncpg.TooManyConnectionsError) as raw:
        async with driver(refused):
            pass
    assert is_outage(raw.value)
    with pytest.raises(sa.exc.DBAPIError) as wrapped:
        async with refused.connect():
            pass
    assert is_outage(wrapped.value)
    await refused.dispose()


async def test_a_login_that_is_not_known_is_none(settings: Settings, engine: AsyncEngine) -> None:
    unknown = engine_of(settings, engine, "nobody")
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError) as raw:
        async with driver(unknown):
            pass
    assert not is_outage(raw.value)
    await unknown.dispose()
