"""Bringing a database to the schema of this version, while processes of the version before go on using it."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

# Imported for their tables, which a migration is compared with.
from gateway.db import (  # noqa: F401
    allowances,
    assertions,
    attempts,
    breakers,
    catalogue,
    clients,
    connectors,
    deliveries,
    erasures,
    failures,
    follows,
    interventions,
    log,
    relays,
    reports,
    signatures,
    tallies,
    turns,
)
from gateway.db.base import metadata
from gateway.db.deadline import unhurried
from gateway.db.rights import RIGHTS, right_changes, settle_rights
from gateway.db.schema import MIGRATIONS, UnfitSchema, find_schema, misfit, revisions
from gateway.errors import Text

_PARTITION = re.compile(r"_(y\d{4}(m\d{2})?|before|default)$")
_LOCK = 0x47574D49  # one migration at a time, on any number of hosts
_ASK_AGAIN = 0.2
"""Seconds between two looks whether another migration has ended."""
_TRIES, _PAUSE = 100, 1.0
"""How often a migration that could not have a lock is tried again, and the seconds between, in which others go on."""
_SHORT, _LONG = "500ms", "1500ms"
"""How long a statement waits for a lock. Whoever waits for a table keeps all who come later waiting; and of a deadlock
the migration is the victim, since it gives up before ``deadlock_timeout`` (1 s). Only after that PostgreSQL ends an
automatic vacuum that is in the way, so every fourth try waits for longer."""
_IN_THE_WAY = {"55P03", "40P01"}
"""SQLSTATE of a lock that was not to be had in time, and of a deadlock."""


def _config(connection: sa.Connection, scripts: Path, wait: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(scripts))
    config.attributes |= {"connection": connection, "lock_timeout": wait}
    return config


def compare_name(name: str | None, kind: str, _: object) -> bool:
    """Leaves partitions out of the comparison: they are made by year or month, not declared."""
    return not (kind == "table" and name is not None and _PARTITION.search(name))


def _upgrade(connection: sa.Connection, scripts: Path, revision: str, wait: str) -> None:
    found, own = find_schema(connection), revisions(scripts)
    connection.rollback()
    if found.revision is None or found.revision in own:
        command.upgrade(_config(connection, scripts, wait), revision)
        connection.rollback()
        settle_rights(connection, wait)
    elif (words := misfit(found, own)) is not None:
        raise UnfitSchema(words)


def _differences(connection: sa.Connection) -> list[str]:
    context = MigrationContext.configure(connection, opts={"include_name": compare_name})
    found = [str(difference) for difference in compare_metadata(context, metadata)]
    found += [f"no right is decided on: {table}" for table in metadata.tables if table not in RIGHTS]
    return found + [statement for statements in right_changes(connection) for statement in statements]


@asynccontextmanager
async def _alone(connection: AsyncConnection) -> AsyncIterator[None]:
    """Run while no other migration does.

    The lock is of the session, since a migration may be several transactions. Waiting for it in a statement would hold
    a snapshot, for which an index that is built concurrently waits in turn.
    """
    await unhurried(connection)
    while not await connection.scalar(sa.select(sa.func.pg_try_advisory_lock(_LOCK))):
        await connection.rollback()
        await asyncio.sleep(_ASK_AGAIN)
    await connection.commit()
    try:
        yield
    finally:
        try:
            await connection.rollback()
            await connection.execute(sa.select(sa.func.pg_advisory_unlock(_LOCK)))
            await connection.commit()
        except SQLAlchemyError:  # whatever is wrong with it, a connection that is closed holds no lock
            await connection.invalidate()


async def upgrade(engine: AsyncEngine, scripts: Path = MIGRATIONS, revision: str = "head") -> None:
    """Run every migration the database has not seen, one after another; safe from several processes at once.

    What was done stays when it ends half-way, and is gone on from the next time. A newer schema that still supports
    this version is left as it is. Raises ``UnfitSchema``.
    """
    async with engine.connect() as connection, _alone(connection):
        await unhurried(connection)
        for turn in range(1, _TRIES + 1):
            try:
                return await connection.run_sync(_upgrade, scripts, revision, _LONG if turn % 4 == 0 else _SHORT)
            except DBAPIError as error:
                await connection.rollback()
                if getattr(error.orig, "sqlstate", None) not in _IN_THE_WAY:
                    raise
            await asyncio.sleep(_PAUSE)
    raise UnfitSchema(
        Text(
            "Không khóa được bảng để nâng cấp: có giao dịch đang giữ bảng quá lâu. Hãy chạy lại 'gateway migrate'.",
            "The migration could not lock a table: something holds it for long (a backup, a transaction left open). "
            "Run 'gateway migrate' again.",
        )
    )


async def differences(engine: AsyncEngine) -> list[str]:
    """How the database differs from the models; empty when the migrations are complete."""
    async with engine.connect() as connection:
        return await connection.run_sync(_differences)
