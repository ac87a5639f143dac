"""Formats: what was said of a report's bytes beside them, and which report of a file it is.

Revision ID: 0014
Revises: 0013
"""

import sqlalchemy as sa
from alembic import op

from gateway.db.online import brief_locks

revision = "0014"
down_revision = "0013"
floor = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    brief_locks()
    for column in (sa.Column("query", sa.Text(), nullable=True), sa.Column("part", sa.Integer(), nullable=True)):
        op.add_column("reports", column, if_not_exists=True)


def downgrade() -> None:
    op.drop_column("reports", "part")
    op.drop_column("reports", "query")
