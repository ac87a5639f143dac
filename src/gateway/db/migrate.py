"""Bringing a database to the schema of this version, and telling whether it is there."""

import re
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.ext.asyncio import AsyncEngine

# Imported for their tables, which a migration is compared with.
from gateway.db import catalogue, clients, connectors, deliveries, follows, relays, reports, tallies  # noqa: F401
from gateway.db.base import metadata

MIGRATIONS = Path(__file__).parents[3] / "migrations"
_PARTITION = re.compile(r"_(y\d{4}|default)$")
_LOCK = 0x47574D49  # one migration at a time, on any number of hosts


def _config(connection: sa.Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    return config


def compare_name(name: str | None, kind: str, _: object) -> bool:
    """Leaves partitions out of the comparison: they are made by year, not declared."""
    return not (kind == "table" and name is not None and _PARTITION.search(name))


def _upgrade(connection: sa.Connection) -> None:
    connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    command.upgrade(_config(connection), "head")


def _differences(connection: sa.Connection) -> list[str]:
    context = MigrationContext.configure(connection, opts={"include_name": compare_name})
    return [str(difference) for difference in compare_metadata(context, metadata)]


def _is_current(connection: sa.Connection) -> bool:
    newest = ScriptDirectory(str(MIGRATIONS)).get_current_head()
    return MigrationContext.configure(connection).get_current_revision() == newest


async def upgrade(engine: AsyncEngine) -> None:
    """Run every migration the database has not seen; safe from several processes at once."""
    async with engine.begin() as connection:
        await connection.run_sync(_upgrade)


async def differences(engine: AsyncEngine) -> list[str]:
    """How the database differs from the models; empty when the migrations are complete."""
    async with engine.connect() as connection:
        return await connection.run_sync(_differences)


async def is_current(engine: AsyncEngine) -> bool:
    """Whether the database has exactly this version's schema."""
    async with engine.connect() as connection:
        return await connection.run_sync(_is_current)
