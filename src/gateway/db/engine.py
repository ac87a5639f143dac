"""The way to the database: an engine on a given address, or on the embedded server."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from functools import partial
from typing import Any

import asyncpg
import sqlalchemy as sa
import structlog
from sqlalchemy import event, exc
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from gateway.db.deadline import CONNECT_SECONDS, watch_of, watch_over
from gateway.db.embedded import EmbeddedServer
from gateway.db.planning import BY_KEYS
from gateway.db.programs import EmbeddedServerError
from gateway.db.roles import Role
from gateway.db.subtree import EVERYTHING, NOTHING, Seen, sight
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
    """An engine of the owner's for as long as the block runs; holds the embedded server where no address is set.

    Raises ``EmbeddedServerError`` when the embedded server cannot be had.
    """
    with ways(settings) as way:
        yield way(Role.owner)


Way = Callable[[Role], AsyncEngine]


@contextmanager
def ways(settings: Settings) -> Iterator[Way]:
    """What gives an engine for each role that is asked for, for as long as the block runs.

    Raises ``EmbeddedServerError`` when the embedded server cannot be had.
    """
    url = settings.sqlalchemy_url
    if url is not None:
        yield partial(open_engine, settings, url)
        return
    with EmbeddedServer(settings.data_dir / "postgresql") as server:

        def way(role: Role) -> AsyncEngine:
            login = "gateway" if role is Role.owner else role.value
            connect = partial(server.connect, login, _session(role))
            return _engine(settings, "postgresql+asyncpg://", role, async_creator=connect)

        yield way


def open_engine(settings: Settings, url: str, role: Role = Role.owner) -> AsyncEngine:
    """An engine on a given address, whose login takes a role at once.

    The API's connections see what the task sees that takes them from the pool; others see everything.
    """
    session = _session(role)
    if role is not Role.owner:
        session["role"] = role.value
    return _engine(settings, url, role, connect_args={"timeout": CONNECT_SECONDS, "server_settings": session})


def _engine(settings: Settings, url: str, role: Role, **options: Any) -> AsyncEngine:
    """An engine whose pool never hands out a connection that is known to be closed, nor for longer than is set."""
    engine = create_async_engine(
        url,
        pool_size=settings.database_pool,
        max_overflow=0,
        pool_timeout=10,
        pool_use_lifo=role is Role.api,  # a request mostly gets back the connection that sees the same already
        json_serializer=lambda value: encode(value).decode(),
        json_deserializer=lambda text: decode(text.encode()),
        **options,
    )
    watch_over(engine, settings.database_seconds)
    if role is Role.api:
        event.listen(engine.sync_engine, "checkout", _tell_what_is_seen)
    return engine


def _session(role: Role) -> dict[str, str]:
    return _SESSION | _sees(role) | (BY_KEYS if role is Role.worker else {})


def _sees(role: Role) -> dict[str, str]:
    seen = NOTHING if role is Role.api else EVERYTHING
    return {"gateway.subtree": seen.agencies, "gateway.clients": seen.clients}


_SEE = "SELECT set_config('gateway.subtree', $1, false), set_config('gateway.clients', $2, false)"


def _tell_what_is_seen(connection: Any, record: Any, proxy: object) -> None:
    """Have a connection see what the task sees that takes it; nothing is asked of one that does already.

    While it is being told it counts as seeing something unknown, so that an end half-way leaves nothing behind.
    """
    seen = sight().seen()
    if record.info.get(_KNOWN, NOTHING) == seen:
        return

    async def tell(raw: Any) -> Seen:
        await raw.execute(_SEE, seen.agencies, seen.clients)
        return seen

    record.info[_KNOWN] = None
    try:
        record.info[_KNOWN] = connection.run_async(tell)
    except Exception as error:
        if is_outage(error):  # it was lost since it was last used
            raise exc.DisconnectionError from error
        raise


_KNOWN = "what it sees"


@asynccontextmanager
async def driver(engine: AsyncEngine, seconds: float | None = None) -> AsyncIterator[Any]:
    """An asyncpg connection, for the few statements where SQLAlchemy's cost per call shows.

    After so many seconds it is ended (``db/deadline.py``); waiting for one that is free does not count. Raises the
    driver's own errors where there is none to be had.
    """
    # Straight from the pool: with a connection of SQLAlchemy's around it, it takes as long to have one as three
    # statements take.
    try:
        pooled = await engine.raw_connection()
    except exc.EmulatedDBAPIException as error:
        raise error.__cause__ or error from None
    try:
        connection = pooled.driver_connection
        if seconds is not None:
            watch_of(connection).go(seconds)
        yield connection
    finally:
        pooled.close()


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
