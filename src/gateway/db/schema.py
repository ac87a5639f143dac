"""Which schema a database has, and whether this version's code runs on it.

A migration may declare the oldest revision whose code still runs on what it leaves (``floor``, beside ``revision``);
without one it is its own. The database carries it as the comment of ``alembic_version``, so that a process learns it
from a migration that is newer than itself.
"""

from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.errors import Hindrance, Text

MIGRATIONS = Path(__file__).parents[3] / "migrations"
_FLOOR = "floor: "


class UnfitSchema(Hindrance):
    """This version's code does not run on the schema the database has; the message says what to do."""

    def __init__(self, message: Text) -> None:
        super().__init__(message.en)
        self.message = message


class Schema(NamedTuple):
    """The revision a database is at, and the oldest revision whose code runs on it; None where it says nothing."""

    revision: str | None
    floor: str | None


@cache
def revisions(scripts: Path = MIGRATIONS) -> tuple[str, ...]:
    """The revisions that a folder of migrations makes, oldest first."""
    walked = ScriptDirectory(str(scripts)).walk_revisions()
    return tuple(script.revision for script in walked)[::-1]


def floor_of(script: Script) -> str:
    """The oldest revision whose code runs on what a migration leaves."""
    floor: str = getattr(script.module, "floor", script.revision)
    return floor


def find_schema(connection: sa.Connection) -> Schema:
    """The schema a database says it has."""
    revision = MigrationContext.configure(connection).get_current_revision()
    comment = connection.scalar(sa.text("SELECT obj_description(to_regclass('alembic_version'), 'pg_class')"))
    return Schema(revision, comment.removeprefix(_FLOOR) if comment and comment.startswith(_FLOOR) else None)


def note_floor(*, ctx: MigrationContext, step: Any, **_: object) -> None:
    """Have the database carry the floor of the migration that was just run; alembic's ``on_version_apply``."""
    [floor] = [floor_of(script) for script in step.destination_revisions] or [""]
    assert ctx.connection is not None  # noqa: S101 - there is no offline mode
    ctx.connection.execute(sa.text(f"COMMENT ON TABLE alembic_version IS '{_FLOOR}{floor}'"))


def misfit(found: Schema, own: tuple[str, ...]) -> Text | None:
    """Why code with these revisions of its own does not run on a schema; None where it does."""
    if found.revision == own[-1]:
        return None
    if found.revision is None or found.revision in own:
        has = found.revision or "0"
        return Text(
            f"Cơ sở dữ liệu có lược đồ {has}, phiên bản này cần {own[-1]}: hãy chạy 'gateway migrate'.",
            f"The database has schema {has}, this version needs {own[-1]}: run 'gateway migrate'.",
        )
    if found.floor in own:
        return None
    return Text(
        f"Cơ sở dữ liệu có lược đồ {found.revision}, không còn chạy được với phiên bản này (lược đồ {own[-1]}): "
        "hãy khởi động phiên bản mới hơn.",
        f"The database has schema {found.revision}, which this version (schema {own[-1]}) no longer runs on: "
        "start a newer version.",
    )


async def require_fit(engine: AsyncEngine) -> None:
    """See that this version's code runs on the database's schema: its own, or a newer one that still supports it.

    Raises ``UnfitSchema``.
    """
    async with engine.connect() as connection:
        found = await connection.run_sync(find_schema)
    if (words := misfit(found, revisions())) is not None:
        raise UnfitSchema(words)
