"""Interventions say whose the connector was then, so that another subtree's operators do not read what was done before;
and what was erased of reports.

Of interventions that there are already it is said that the connector was whose it is now.

Revision ID: 0016
Revises: 0015
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

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
    op.create_table(
        "erasures",
        sa.Column("report_id", sa.Uuid(), nullable=False),
        sa.Column("at", postgresql.TIMESTAMP(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("report_id", name=op.f("pk_erasures")),
    )


def downgrade() -> None:
    op.drop_table("erasures")
    op.drop_column("interventions", "under")
