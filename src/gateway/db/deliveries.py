"""Deliveries: the outbox. A row is made in the transaction that stores its report, and claimed by workers."""

import sqlalchemy as sa

from gateway.db.base import Instant, Serial, metadata

deliveries = sa.Table(
    "deliveries",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("seq", Serial, sa.Identity(always=True), nullable=False),
    sa.Column("connector_id", sa.Integer, nullable=False),
    sa.Column("report_id", sa.Uuid, nullable=False),
    sa.Column("event", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    # The key of a report, whose deliveries go out in order.
    sa.Column("agency_id", sa.Integer, nullable=False),
    sa.Column("form_id", sa.Integer, nullable=False),
    sa.Column("period", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False, server_default="pending"),
    sa.Column("made_at", Instant, nullable=False, server_default=sa.func.now()),
    sa.Column("due_at", Instant, nullable=False, server_default=sa.func.now()),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("claim", sa.Uuid),
    sa.Column("finished_at", Instant),
    sa.Column("outcome", sa.Text),
    sa.CheckConstraint(
        "state in ('pending', 'sending', 'delivered', 'refused', 'exhausted', 'cancelled')", name="state"
    ),
    sa.CheckConstraint("event in ('accepted', 'returned', 'withdrawn')", name="event"),
    sa.CheckConstraint("(state = 'sending') = (claim IS NOT NULL)", name="claim"),
    sa.Index("ix_deliveries_due", "due_at", postgresql_where=sa.text("state in ('pending', 'sending')")),
    sa.Index(
        "ix_deliveries_order",
        "connector_id",
        "agency_id",
        "form_id",
        "period",
        "kind",
        "seq",
        postgresql_where=sa.text("state in ('pending', 'sending')"),
    ),
    sa.UniqueConstraint("report_id", "connector_id", "event"),
)

attempts = sa.Table(
    "attempts",
    metadata,
    sa.Column("delivery_id", sa.Uuid, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("started_at", Instant, nullable=False),
    sa.Column("finished_at", Instant, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("status", sa.SmallInteger),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("reply", sa.Text),
)
