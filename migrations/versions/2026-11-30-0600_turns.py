"""Turns of connectors: claims lock nothing between looking and claiming.

Revision ID: 0018
Revises: 0017
"""

import sqlalchemy as sa
from alembic import op

from gateway.db.online import brief_locks

revision = "0018"
down_revision = "0017"
floor = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    brief_locks()
    op.create_table(
        "turns",
        sa.Column("connector_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.BigInteger(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(
            ["connector_id"], ["connectors.id"], name=op.f("fk_turns_connector_id_connectors"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("connector_id", name=op.f("pk_turns")),
        postgresql_with={"fillfactor": "50"},
    )


def downgrade() -> None:
    brief_locks()
    op.drop_table("turns")
