"""Interventions: what operators did to connectors and deliveries, who and why; and retry schedules of connectors.

Revision ID: 0013
Revises: 0012
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from gateway.db.online import brief_locks, build_index, commit_step

revision = "0013"
down_revision = "0012"
floor = "0004"
branch_labels = None
depends_on = None

STUCK = "state in ('refused', 'exhausted')"


def upgrade() -> None:
    brief_locks()
    op.add_column(
        "connectors", sa.Column("retry", postgresql.JSONB(astext_type=sa.Text()), nullable=True), if_not_exists=True
    )
    commit_step()
    build_index("ix_deliveries_stuck_order", "deliveries", ["connector_id", "seq"], where=STUCK)
    brief_locks()
    op.create_table(
        "interventions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("at", postgresql.TIMESTAMP(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("client_id", sa.Uuid(), nullable=False),
        sa.Column("connector_id", sa.Integer(), nullable=False),
        sa.Column("act", sa.Text(), nullable=False),
        sa.Column("wanted", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("touched", sa.Integer(), server_default="0", nullable=False),
        sa.Column("passed", sa.Integer(), server_default="0", nullable=False),
        sa.CheckConstraint("act in ('retry', 'cancel', 'pause', 'resume')", name=op.f("ck_interventions_act")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_interventions")),
    )
    op.create_index("ix_interventions_connector_id", "interventions", ["connector_id", "id"])
    op.create_table(
        "intervened",
        sa.Column("delivery_id", sa.Uuid(), nullable=False),
        sa.Column("intervention_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("delivery_id", "intervention_id", name=op.f("pk_intervened")),
    )


def downgrade() -> None:
    op.drop_table("intervened")
    op.drop_table("interventions")
    op.drop_index("ix_deliveries_stuck_order", "deliveries")
    op.drop_column("connectors", "retry")
