"""Credentials: a client's secrets and keys are rows of their own, so that a new one and the one before overlap.

What a client had becomes its first credential. Its column stays, for processes of the version before; whatever has
been made or rotated since has nothing in it, with which nobody gets in there.

Revision ID: 0009
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from gateway.db.online import brief_locks, commit_step

revision = "0009"
down_revision = "0008"
floor = "0004"
branch_labels = None
depends_on = None

Instant = postgresql.TIMESTAMP(timezone=True)


def upgrade() -> None:
    brief_locks()
    op.alter_column("clients", "secret_sha256", server_default=sa.text("''::bytea"))
    for column in (
        sa.Column("made_by", sa.Uuid(), nullable=True),
        sa.Column("certificate_bound", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("requests_per_second", sa.Numeric(9, 3), nullable=True),
        sa.Column("burst", sa.Integer(), nullable=True),
        sa.Column("reports_per_day", sa.Integer(), nullable=True),
        sa.Column("limits_changed_at", Instant, nullable=True),
    ):
        op.add_column("clients", column, if_not_exists=True)
    commit_step()
    brief_locks()
    op.create_table(
        "client_credentials",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("client_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("secret_sha256", sa.LargeBinary(), nullable=True),
        sa.Column("keys", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("uri", sa.Text(), nullable=True),
        sa.Column("valid_from", Instant, server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", Instant, nullable=True),
        sa.Column("revoked_at", Instant, nullable=True),
        sa.Column("last_used_at", Instant, nullable=True),
        sa.Column("last_address", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "(kind = 'secret') = (secret_sha256 IS NOT NULL) AND (kind = 'jwks') = (keys IS NOT NULL)"
            " AND (kind = 'jwks_uri') = (uri IS NOT NULL) AND kind IN ('secret', 'jwks', 'jwks_uri')",
            name=op.f("ck_client_credentials_kind"),
        ),
        sa.ForeignKeyConstraint(["client_id"], ["clients.id"], name=op.f("fk_client_credentials_client_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_client_credentials")),
    )
    op.create_index("ix_client_credentials_client_id", "client_credentials", ["client_id"])
    op.create_index(
        "ix_client_credentials_expires_at",
        "client_credentials",
        ["expires_at"],
        postgresql_where=sa.text("expires_at IS NOT NULL"),
    )
    op.create_index(
        "ix_client_credentials_revoked_at",
        "client_credentials",
        ["revoked_at"],
        postgresql_where=sa.text("revoked_at IS NOT NULL"),
    )
    op.create_table(
        "spent_assertions",
        sa.Column("client_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("until", Instant, nullable=False),
        sa.ForeignKeyConstraint(["client_id"], ["clients.id"], name=op.f("fk_spent_assertions_client_id")),
        sa.PrimaryKeyConstraint("client_id", "id", name=op.f("pk_spent_assertions")),
    )
    op.create_index("ix_spent_assertions_until", "spent_assertions", ["until"])
    op.create_table(
        "failed_attempts",
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("client_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("since", Instant, nullable=False),
        sa.PrimaryKeyConstraint("address", "client_id", name=op.f("pk_failed_attempts")),
    )
    op.create_index("ix_failed_attempts_since", "failed_attempts", ["since"])
    op.create_table(
        "client_buckets",
        sa.Column("client_id", sa.Uuid(), nullable=False),
        sa.Column("tokens", sa.Double(), nullable=False),
        sa.Column("filled_at", Instant, nullable=False),
        sa.Column("granted", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("client_id", name=op.f("pk_client_buckets")),
    )
    op.create_table(
        "client_days",
        sa.Column("client_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("reports", sa.Integer(), nullable=False),
        sa.Column("granted", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("client_id", name=op.f("pk_client_days")),
    )
    op.execute(
        "INSERT INTO client_credentials (id, client_id, kind, secret_sha256, valid_from, revoked_at)"
        " SELECT id, id, 'secret', secret_sha256, made_at, revoked_at FROM clients WHERE length(secret_sha256) = 32"
    )


def downgrade() -> None:
    op.execute(
        "UPDATE clients SET secret_sha256 = kept.secret_sha256 FROM"
        " (SELECT DISTINCT ON (client_id) client_id, secret_sha256 FROM client_credentials WHERE kind = 'secret'"
        " AND revoked_at IS NULL ORDER BY client_id, valid_from DESC) kept WHERE kept.client_id = clients.id"
    )
    op.drop_table("failed_attempts")
    op.drop_table("client_days")
    op.drop_table("client_buckets")
    op.drop_table("spent_assertions")
    op.drop_table("client_credentials")
    for column in (
        "limits_changed_at",
        "reports_per_day",
        "burst",
        "requests_per_second",
        "certificate_bound",
        "made_by",
    ):
        op.drop_column("clients", column)
    op.alter_column("clients", "secret_sha256", server_default=None)
