"""Partitions of attempts are made and dropped in shorter waits: whoever writes attempts waits behind the one who waits.

A backup holds the table for as long as it takes. The deliveries whose attempts are written meanwhile waited for half a
second each time that a worker tried.

Revision ID: 0017
Revises: 0016
"""

from alembic import op

from gateway.db.online import brief_locks

revision = "0017"
down_revision = "0016"
floor = "0004"
branch_labels = None
depends_on = None

FUNCTIONS = ("make_attempt_parts(integer)", "drop_attempt_part(integer)")
BEFORE, NOW = "500ms", "200ms"


def upgrade() -> None:
    _wait_at_most(NOW)


def downgrade() -> None:
    _wait_at_most(BEFORE)


def _wait_at_most(time: str) -> None:
    brief_locks()
    for name in FUNCTIONS:
        op.execute(f"ALTER FUNCTION {name} SET lock_timeout = '{time}'")
