"""Runs migrations on the connection that ``gateway.db.migrate`` hands over."""

from alembic import context

from gateway.db.base import metadata
from gateway.db.migrate import compare_name

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, include_name=compare_name)
with context.begin_transaction():
    context.run_migrations()
