"""Relay: first receipts of reports that came by way of another gateway, whose keys are trusted, what an upstream's
own receipt of a delivery is, and how far its returns have been followed.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from gateway.db.online import brief_locks, commit_step

revision = "0005"
down_revision = "0004"
floor = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    brief_locks()
    op.add_column("deliveries", sa.Column("receipt", sa.Text(), nullable=True), if_not_exists=True)
    commit_step()
    brief_locks()
    op.add_column("report_events", sa.Column("connector_id", sa.Integer(), nullable=True), if_not_exists=True)
    commit_step()
    brief_locks()
    op.create_table(
        "relays",
        sa.Column("report_id", sa.Uuid(), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("received_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("receipt", sa.Text(), nullable=False),
        sa.Column("client_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("report_id", name=op.f("pk_relays")),
    )
    op.create_table(
        "trusted_issuers",
        sa.Column("client_id", sa.Uuid(), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("keys", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("changed_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.ForeignKeyConstraint(["client_id"], ["clients.id"], name=op.f("fk_trusted_issuers_client_id")),
        sa.PrimaryKeyConstraint("client_id", "issuer", name=op.f("pk_trusted_issuers")),
    )
    op.create_table(
        "follows",
        sa.Column("connector_id", sa.Integer(), nullable=False),
        sa.Column("cursor", sa.Text(), nullable=True),
        sa.Column("due_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("followed_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["connector_id"], ["connectors.id"], name=op.f("fk_follows_connector_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("connector_id", name=op.f("pk_follows")),
    )


def downgrade() -> None:
    op.drop_column("report_events", "connector_id")
    op.drop_column("deliveries", "receipt")
    op.drop_table("follows")
    op.drop_table("trusted_issuers")
    op.drop_table("relays")
