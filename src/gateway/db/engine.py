"""The way to the database: an engine on a given address, or on the embedded server."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from typing import Any

import asyncpg
import sqlalchemy as sa
import structlog
from sqlalchemy import exc
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from gateway.db.deadline import CONNECT_SECONDS, watch_of, watch_over
from gateway.db.embedded import EmbeddedServer
from gateway.db.programs import EmbeddedServerError
from gateway.domain.exact import decode, encode
from gateway.settings import Settings

log = structlog.get_logger()

# Classes of SQLSTATE that mean "not now": connection, resources, operator intervention, system error.
_OUTAGE_CLASSES = ("08", "53", "57", "58")
_OUTAGES = (
    OSError,
    TimeoutError,
    EmbeddedServerError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    exc.TimeoutError,
)
_SESSION = {"application_name": "gateway", "idle_in_transaction_session_timeout": "60s"}
"""A process that hangs inside a transaction gives its locks back after this long."""


@contextmanager
def database(settings: Settings) -> Iterator[AsyncEngine]:
    """An engine for as long as the block runs; holds the embedded server where no address is set.

    Raises ``EmbeddedServerError`` when the embedded server cannot be had.
    """
    url = settings.sqlalchemy_url
    if url is not None:
        yield open_engine(settings, url, server_settings=_SESSION)
        return
    with EmbeddedServer(settings.data_dir / "postgresql") as server:
        yield open_engine(settings, "postgresql+asyncpg://", async_creator=server.connect)


def open_engine(settings: Settings, url: str, **options: Any) -> AsyncEngine:
    """An engine whose pool never hands out a connection that is known to be closed, nor for longer than is set.

    ``options`` are what connecting is asked for, or ``async_creator``, which connects.
    """
    how = options if "async_creator" in options else {"connect_args": {"timeout": CONNECT_SECONDS, **options}}
    engine = create_async_engine(
        url,
        pool_size=settings.database_pool,
        max_overflow=0,
        pool_timeout=10,
        json_serializer=lambda value: encode(value).decode(),
        json_deserializer=lambda text: decode(text.encode()),
        **how,
    )
    watch_over(engine, settings.database_seconds)
    return engine


@asynccontextmanager
async def driver(engine: AsyncEngine, seconds: float | None = None) -> AsyncIterator[Any]:
    """An asyncpg connection, for the few statements where SQLAlchemy's cost per call shows.

    After so many seconds it is ended (``db/deadline.py``); waiting for one that is free does not count.
    """
    async with engine.connect() as connection:
        raw = await connection.get_raw_connection()
        if seconds is not None:
            watch_of(raw.driver_connection).go(seconds)
        yield raw.driver_connection


def is_outage(error: BaseException) -> bool:
    """Whether an error says that the database cannot be used now, rather than that we used it wrongly."""
    if isinstance(error, exc.DBAPIError):
        cause = error.orig.__cause__ if error.orig is not None else None
        return error.connection_invalidated or (cause is not None and is_outage(cause))
    if isinstance(error, asyncpg.PostgresError):
        return str(error.sqlstate or "").startswith(_OUTAGE_CLASSES)
    if isinstance(error, asyncpg.InterfaceError) and isinstance(error, ValueError):
        return False  # an argument that the driver could not send: our fault
    return isinstance(error, _OUTAGES)


def tell_failure(error: Exception, event: str, **about: object) -> None:
    """Log that something failed that goes on all the same: in a word that the database is away, in full all else."""
    if is_outage(error):
        log.warning(event, reason=type(error).__name__, **about)
    else:
        log.error(event, exc_info=error, **about)


async def server_now(connection: AsyncConnection) -> datetime:
    """The database's clock, by which leases, tokens and lateness go."""
    now: datetime = (await connection.execute(sa.select(sa.func.clock_timestamp()))).scalar_one()
    return now


async def clock(connection: Any) -> datetime:
    """The same clock, by a connection of the driver."""
    now: datetime = await connection.fetchval("SELECT clock_timestamp()")
    return now
