"""Runs migrations on the connection that ``gateway.db.migrate`` hands over, each in a transaction of its own."""

from alembic import context

from gateway.db.base import metadata
from gateway.db.migrate import compare_name
from gateway.db.schema import note_floor

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    include_name=compare_name,
    transaction_per_migration=True,
    on_version_apply=note_floor,  # type: ignore[arg-type]  # it is called with keywords
)
with context.begin_transaction():
    context.run_migrations()
