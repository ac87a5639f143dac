"""States of the past: what counts no longer is found by form and period, and events by their time.

Revision ID: 0008
Revises: 0007
"""

from alembic import op

from gateway.db.online import build_index

revision = "0008"
down_revision = "0007"
floor = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    build_index("ix_reports_ended", "reports", ["form_id", "period"], where="ended_xid is not null")
    build_index("ix_report_events_at", "report_events", ["at"])


def downgrade() -> None:
    op.drop_index("ix_report_events_at", "report_events")
    op.drop_index("ix_reports_ended", "reports")
