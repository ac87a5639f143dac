"""Reports in storage: heads, rows, bytes, events, and the answers kept under idempotency keys.

A head's ``status`` is the only thing about a report that moves, and always forward; ``ended_xid`` is set once,
when it stops counting, so that the figures of any past snapshot can be told from ``recorded_xid`` and it.
``report_rows`` and ``payloads`` carry ``agency_id``, so that they can be distributed. There are no foreign
keys on this path: what they would name (agencies, forms, clients, reports) is never deleted, and each would lock
a row that every writer shares.
"""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from gateway.db.base import Instant, Serial, Xid8, metadata

reports = sa.Table(
    "reports",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("agency_id", sa.Integer, nullable=False),
    sa.Column("form_id", sa.Integer, nullable=False),
    sa.Column("form_version", sa.SmallInteger, nullable=False),
    sa.Column("period", sa.Text, nullable=False),
    sa.Column("period_start", sa.Date, nullable=False),
    sa.Column("period_end", sa.Date, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    # Whether its figures are added up while it is accepted: of a consolidation only where its parts are not here.
    sa.Column("counted", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.Column("revision", sa.Integer),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("nil", sa.Text),
    sa.Column("corrects", sa.Uuid),
    sa.Column("reason", sa.Text),
    sa.Column("client_id", sa.Uuid, nullable=False),
    sa.Column("received_at", Instant, nullable=False),
    sa.Column("late", sa.Boolean),
    sa.Column("sha256", sa.LargeBinary, nullable=False),
    sa.Column("findings", JSONB, nullable=False),
    sa.Column("explanations", JSONB, nullable=False),
    sa.Column("receipt", sa.Text),
    # Of what did not come as JSON: the parameters that came with the bytes, and which report of them it is.
    sa.Column("query", sa.Text),
    sa.Column("part", sa.Integer),
    sa.Column("recorded_xid", Xid8, nullable=False, server_default=sa.text("pg_current_xact_id()")),
    sa.Column("ended_xid", Xid8),
    sa.CheckConstraint("status in ('rejected', 'accepted', 'superseded', 'returned', 'withdrawn')", name="status"),
    sa.CheckConstraint("kind in ('own', 'consolidation')", name="kind"),
    sa.CheckConstraint("(status = 'rejected') = (revision IS NULL)", name="revision"),
    sa.CheckConstraint("(status = 'rejected') = (receipt IS NULL)", name="receipt"),
    # A rejected report has no revision, and nulls never clash: only kept revisions are unique.
    sa.UniqueConstraint("agency_id", "form_id", "kind", "period", "revision"),
    sa.Index(
        "uq_reports_current",
        "agency_id",
        "form_id",
        "kind",
        "period_end",
        "period",
        unique=True,
        postgresql_where=sa.text("status in ('accepted', 'returned')"),
    ),
    # Two, not one for both: look-ups of current reports by agency could take that one, and would read everybody's.
    sa.Index("ix_reports_counted", "form_id", "period", postgresql_where=sa.text("status = 'accepted'")),
    # What counts no longer, but did in states of the past.
    sa.Index("ix_reports_ended", "form_id", "period", postgresql_where=sa.text("ended_xid is not null")),
    sa.Index("ix_reports_returned", "form_id", "period", postgresql_where=sa.text("status = 'returned'")),
)

report_rows = sa.Table(
    "report_rows",
    metadata,
    sa.Column("year", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("agency_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("report_id", sa.Uuid, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("codes", ARRAY(sa.Text), nullable=False),
    sa.Column("figures", ARRAY(sa.Numeric), nullable=False),
    sa.Column("texts", ARRAY(sa.Text)),
    postgresql_partition_by="RANGE (year)",
)

payloads = sa.Table(
    "payloads",
    metadata,
    sa.Column("year", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("agency_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("report_id", sa.Uuid, primary_key=True),
    sa.Column("media_type", sa.Text, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    postgresql_partition_by="RANGE (year)",
)

report_events = sa.Table(
    "report_events",
    metadata,
    # In the order of the transaction that made them: a snapshot bounds what a reader of this order has seen.
    sa.Column("recorded_xid", Xid8, primary_key=True, server_default=sa.text("pg_current_xact_id()")),
    sa.Column("seq", Serial, sa.Identity(always=True), primary_key=True),
    sa.Column("report_id", sa.Uuid, nullable=False),
    sa.Column("event", sa.Text, nullable=False),
    sa.Column("at", Instant, nullable=False),
    sa.Column("client_id", sa.Uuid, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("replaces", sa.Uuid),
    # The upstream that told of it, where it happened there.
    sa.Column("connector_id", sa.Integer),
    sa.CheckConstraint("event in ('accepted', 'corrected', 'returned', 'withdrawn')", name="event"),
    sa.Index(None, "report_id"),
    sa.Index(None, "at"),
)

consolidation_parts = sa.Table(
    "consolidation_parts",
    metadata,
    sa.Column("report_id", sa.Uuid, primary_key=True),
    sa.Column("part_id", sa.Uuid, primary_key=True),
    sa.Index(None, "part_id"),
)

idempotency_keys = sa.Table(
    "idempotency_keys",
    metadata,
    sa.Column("client_id", sa.Uuid, primary_key=True),
    sa.Column("route", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("fingerprint", sa.LargeBinary, nullable=False),
    sa.Column("status", sa.SmallInteger, nullable=False),
    sa.Column("location", sa.Text, nullable=False),
    sa.Column("media_type", sa.Text, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("recorded_at", Instant, nullable=False, server_default=sa.func.now()),
)
