"""Claiming: circuit breakers, deliveries that wait behind an earlier one or lost their workers, an index each for what
is pending and what is being sent.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from gateway.db.online import brief_locks, build_index, commit_step

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# Each statement of a volatile function sees what has been committed by then: so a delivery that was stored or put off
# while the earlier one was ending is found, which the statement that ends it could not promise.
FOLLOW = """
CREATE FUNCTION follow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE deliveries SET due_at = clock_timestamp(), is_behind = false
     WHERE id = (SELECT n.id FROM deliveries n
                  WHERE n.connector_id = NEW.connector_id AND n.agency_id = NEW.agency_id AND n.form_id = NEW.form_id
                    AND n.period = NEW.period AND n.kind = NEW.kind AND n.seq > NEW.seq
                    AND n.state IN ('pending', 'sending') AND n.report_id IS NOT NULL
                  ORDER BY n.seq LIMIT 1)
       AND state = 'pending' AND (is_behind OR due_at <= now());
    RETURN NULL;
END $$
"""
ON_END = """
CREATE TRIGGER follow AFTER UPDATE OF state ON deliveries FOR EACH ROW
    WHEN (OLD.state IN ('pending', 'sending') AND NEW.state NOT IN ('pending', 'sending') AND NEW.report_id IS NOT NULL)
    EXECUTE FUNCTION follow()
"""


def upgrade() -> None:
    for state in ("pending", "sending"):
        condition = f"state = '{state}'"
        build_index(f"ix_deliveries_{state}", "deliveries", ["connector_id", "due_at"], where=condition)
    brief_locks()
    op.create_table(
        "breakers",
        sa.Column("connector_id", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failing_since", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("openings", sa.Integer(), server_default="0", nullable=False),
        sa.Column("opens_until", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("room", sa.Integer(), nullable=True),
        sa.CheckConstraint("(opens_until IS NULL) = (room IS NULL)", name=op.f("ck_breakers_room")),
        sa.ForeignKeyConstraint(
            ["connector_id"], ["connectors.id"], name=op.f("fk_breakers_connector_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("connector_id", name=op.f("pk_breakers")),
        postgresql_with={"fillfactor": "50"},
        if_not_exists=True,
    )
    commit_step()
    brief_locks()
    op.add_column("deliveries", sa.Column("losses", sa.SmallInteger(), server_default="0", nullable=False))
    op.add_column("deliveries", sa.Column("is_behind", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.drop_index("ix_deliveries_due", table_name="deliveries")
    op.execute(FOLLOW)
    op.execute("COMMENT ON FUNCTION follow IS 'Makes the next delivery of a key due when the one before it has ended'")
    op.execute(ON_END)


def downgrade() -> None:
    op.execute("DROP TRIGGER follow ON deliveries")
    op.execute("DROP FUNCTION follow")
    op.execute("UPDATE deliveries SET due_at = now() WHERE is_behind AND state = 'pending'")
    op.create_index(
        "ix_deliveries_due",
        "deliveries",
        ["connector_id", "due_at"],
        unique=False,
        postgresql_where=sa.text("state in ('pending', 'sending')"),
    )
    for state in ("sending", "pending"):
        op.drop_index(f"ix_deliveries_{state}", table_name="deliveries", postgresql_where=sa.text(f"state = '{state}'"))
    op.drop_column("deliveries", "is_behind")
    op.drop_column("deliveries", "losses")
    op.drop_table("breakers")
