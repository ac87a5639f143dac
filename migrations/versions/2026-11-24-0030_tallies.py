"""Tallies: what attempts came to and how long they took, counted by all workers together.

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

from gateway.db.online import brief_locks

revision = "0006"
down_revision = "0005"
floor = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    brief_locks()
    op.create_table(
        "tallies",
        sa.Column("connector_id", sa.Integer(), nullable=False),
        sa.Column("measure", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("amount", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["connector_id"], ["connectors.id"], name=op.f("fk_tallies_connector_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("connector_id", "measure", "label", name=op.f("pk_tallies")),
        postgresql_with={"fillfactor": "50"},
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("tallies")
