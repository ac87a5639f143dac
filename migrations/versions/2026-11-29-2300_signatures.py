"""Signatures: the detached JWS that came with a report, and who may sign for which agency.

Revision ID: 0012
Revises: 0011
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from gateway.db.online import brief_locks

revision = "0012"
down_revision = "0011"
floor = "0004"
branch_labels = None
depends_on = None

Instant = postgresql.TIMESTAMP(timezone=True)


def upgrade() -> None:
    brief_locks()
    op.create_table(
        "report_signatures",
        sa.Column("report_id", sa.Uuid(), nullable=False),
        sa.Column("jws", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("serial", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("signed_at", Instant, nullable=False),
        sa.Column("trusted", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("report_id", name=op.f("pk_report_signatures")),
    )
    op.execute(
        "CREATE TRIGGER require_seen AFTER INSERT ON report_signatures REFERENCING NEW TABLE AS added"
        " FOR EACH STATEMENT EXECUTE FUNCTION require_seen()"
    )
    op.create_table(
        "signers",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("agency_id", sa.Integer(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("registered_at", Instant, server_default=sa.text("now()"), nullable=False),
        sa.Column("registered_by", sa.Uuid(), nullable=True),
        sa.Column("ended_at", Instant, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_signers")),
    )
    op.create_index(
        "uq_signers_current",
        "signers",
        ["agency_id", "subject"],
        unique=True,
        postgresql_where=sa.text("ended_at is null"),
    )
    op.create_index("ix_signers_subject", "signers", ["subject"])


def downgrade() -> None:
    op.drop_table("signers")
    op.drop_table("report_signatures")
