"""Regimes: calendars, regimes and extensions in the catalogue; which reports count; what consolidations are made of;
reminders of obligations among the deliveries.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

KINDS = "kind in ('codelist', 'form', 'agency', 'calendar', 'regime', 'extension')"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    _require_kinds(KINDS)
    op.add_column("reports", sa.Column("counted", sa.Boolean(), server_default=sa.true(), nullable=False))
    op.execute("UPDATE reports SET counted = false WHERE kind = 'consolidation'")
    op.create_table(
        "consolidation_parts",
        sa.Column("report_id", sa.Uuid(), nullable=False),
        sa.Column("part_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("report_id", "part_id", name=op.f("pk_consolidation_parts")),
    )
    op.create_index(op.f("ix_consolidation_parts_part_id"), "consolidation_parts", ["part_id"], unique=False)
    op.create_index(
        "ix_reports_returned",
        "reports",
        ["form_id", "period"],
        unique=False,
        postgresql_where=sa.text("status = 'returned'"),
    )
    _remind()


def downgrade() -> None:
    _remind_no_more()
    op.drop_index("ix_reports_returned", table_name="reports")
    op.drop_index(op.f("ix_consolidation_parts_part_id"), table_name="consolidation_parts")
    op.drop_table("consolidation_parts")
    op.drop_column("reports", "counted")
    op.execute("DELETE FROM catalog_entries WHERE kind in ('calendar', 'regime', 'extension')")
    _require_kinds("kind in ('codelist', 'form', 'agency')")


def _require_kinds(condition: str) -> None:
    op.drop_constraint(op.f("ck_catalog_entries_kind"), "catalog_entries")
    op.create_check_constraint(op.f("ck_catalog_entries_kind"), "catalog_entries", condition)


def _remind() -> None:
    """Connectors may ask for reminders of obligations, which are deliveries without a report."""
    op.add_column("connectors", sa.Column("remind", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    op.add_column("connectors", sa.Column("remind_since", sa.Date(), nullable=True))
    _require("connectors", "remind", "(remind IS NULL) = (remind_since IS NULL)", is_new=True)
    _require("connectors", "what", "what in ('own', 'consolidation', 'all', 'none')")
    op.alter_column("deliveries", "report_id", nullable=True)
    op.add_column("deliveries", sa.Column("owed_by", sa.Date(), nullable=True))
    _require("deliveries", "event", "event in ('accepted', 'returned', 'withdrawn', 'due', 'overdue')")
    _require(
        "deliveries",
        "reminder",
        "(report_id IS NULL) = (event in ('due', 'overdue')) AND (report_id IS NULL) = (owed_by IS NOT NULL)",
        is_new=True,
    )
    _order("state in ('pending', 'sending') and report_id IS NOT NULL")
    op.create_index(
        "uq_deliveries_reminder",
        "deliveries",
        ["connector_id", "agency_id", "form_id", "period", "kind", "event", "owed_by"],
        unique=True,
        postgresql_where=sa.text("report_id IS NULL"),
    )


def _remind_no_more() -> None:
    """Reminders are lost, and so are the connectors that took nothing else."""
    op.drop_index("uq_deliveries_reminder", table_name="deliveries", postgresql_where=sa.text("report_id IS NULL"))
    op.execute("DELETE FROM attempts USING deliveries WHERE delivery_id = id AND report_id IS NULL")
    op.execute("DELETE FROM deliveries WHERE report_id IS NULL")
    op.drop_constraint(op.f("ck_deliveries_reminder"), "deliveries")
    _order("state in ('pending', 'sending')")
    _require("deliveries", "event", "event in ('accepted', 'returned', 'withdrawn')")
    op.drop_column("deliveries", "owed_by")
    op.alter_column("deliveries", "report_id", nullable=False)
    op.execute("UPDATE connectors SET what = 'own', removed_at = coalesce(removed_at, now()) WHERE what = 'none'")
    _require("connectors", "what", "what in ('own', 'consolidation', 'all')")
    op.drop_constraint(op.f("ck_connectors_remind"), "connectors")
    op.drop_column("connectors", "remind_since")
    op.drop_column("connectors", "remind")


def _order(condition: str) -> None:
    """Keep the order of deliveries only where a condition holds."""
    op.drop_index("ix_deliveries_order", table_name="deliveries")
    op.create_index(
        "ix_deliveries_order",
        "deliveries",
        ["connector_id", "agency_id", "form_id", "period", "kind", "seq"],
        unique=False,
        postgresql_where=sa.text(condition),
    )


def _require(table: str, name: str, condition: str, *, is_new: bool = False) -> None:
    if not is_new:
        op.drop_constraint(op.f(f"ck_{table}_{name}"), table)
    op.create_check_constraint(op.f(f"ck_{table}_{name}"), table, condition)
