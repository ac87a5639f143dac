"""Interventions say whose the connector was then: another subtree's operators do not read what was done before.

Of those that there are already it is said that it was whose it is now.

Revision ID: 0016
Revises: 0015
"""

import sqlalchemy as sa
from alembic import op

from gateway.db.online import brief_locks, commit_step

revision = "0016"
down_revision = "0015"
floor = "0004"
branch_labels = None
depends_on = None

# What the version before adds meanwhile says nothing, which is what only the whole country reads.
SAY = "UPDATE interventions i SET under = c.under FROM connectors c WHERE c.id = i.connector_id AND i.under IS NULL"


def upgrade() -> None:
    brief_locks()
    op.add_column("interventions", sa.Column("under", sa.Text(), nullable=True), if_not_exists=True)
    commit_step()
    op.execute(SAY)


def downgrade() -> None:
    op.drop_column("interventions", "under")
