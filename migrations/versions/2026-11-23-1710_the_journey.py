"""The journey: catalogue, clients, reports, deliveries."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from gateway.db.base import Xid8

FIRST_YEAR, LAST_YEAR = 2019, 2040
revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "agencies",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agencies")),
        sa.UniqueConstraint("code", name=op.f("uq_agencies_code")),
    )
    op.create_table(
        "attempts",
        sa.Column("delivery_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("started_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("finished_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("reply", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("delivery_id", "number", name=op.f("pk_attempts")),
    )
    op.create_table(
        "catalog_revisions",
        sa.Column("revision", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column(
            "recorded_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("recorded_xid", Xid8(), server_default=sa.text("pg_current_xact_id()"), nullable=False),
        sa.Column("client_id", sa.Uuid(), nullable=True),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("revision", name=op.f("pk_catalog_revisions")),
    )
    op.create_table(
        "clients",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("agency", sa.Text(), nullable=True),
        sa.Column("scopes", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("secret_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("made_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("revoked_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_clients")),
    )
    op.create_table(
        "connectors",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("forms", postgresql.ARRAY(sa.Text()), nullable=True),
        sa.Column("under", sa.Text(), nullable=True),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("from_day", sa.Date(), nullable=True),
        sa.Column("concurrency", sa.Integer(), nullable=False),
        sa.Column("rate", sa.Numeric(), nullable=True),
        sa.Column("paced_until", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("allow_private_addresses", sa.Boolean(), nullable=False),
        sa.Column("credentials", sa.LargeBinary(), nullable=True),
        sa.Column("made_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("paused_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("removed_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.CheckConstraint("what in ('own', 'consolidation', 'all')", name=op.f("ck_connectors_what")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_connectors")),
    )
    op.create_index(
        "uq_connectors_name",
        "connectors",
        ["name"],
        unique=True,
        postgresql_where=sa.text("removed_at IS NULL"),
    )
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("connector_id", sa.Integer(), nullable=False),
        sa.Column("report_id", sa.Uuid(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("agency_id", sa.Integer(), nullable=False),
        sa.Column("form_id", sa.Integer(), nullable=False),
        sa.Column("period", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        sa.Column("made_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("due_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("claim", sa.Uuid(), nullable=True),
        sa.Column("finished_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.CheckConstraint("(state = 'sending') = (claim IS NOT NULL)", name=op.f("ck_deliveries_claim")),
        sa.CheckConstraint("event in ('accepted', 'returned', 'withdrawn')", name=op.f("ck_deliveries_event")),
        sa.CheckConstraint(
            "state in ('pending', 'sending', 'delivered', 'refused', 'exhausted', 'cancelled')",
            name=op.f("ck_deliveries_state"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
        sa.UniqueConstraint(
            "report_id", "connector_id", "event", name=op.f("uq_deliveries_report_id_connector_id_event")
        ),
    )
    op.create_index(
        "ix_deliveries_due",
        "deliveries",
        ["connector_id", "due_at"],
        unique=False,
        postgresql_where=sa.text("state in ('pending', 'sending')"),
    )
    op.create_index(
        "ix_deliveries_stuck",
        "deliveries",
        ["connector_id", "id"],
        unique=False,
        postgresql_where=sa.text("state in ('refused', 'exhausted')"),
    )
    op.create_index(
        "ix_deliveries_order",
        "deliveries",
        ["connector_id", "agency_id", "form_id", "period", "kind", "seq"],
        unique=False,
        postgresql_where=sa.text("state in ('pending', 'sending')"),
    )
    op.create_table(
        "forms",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_forms")),
        sa.UniqueConstraint("code", name=op.f("uq_forms_code")),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("client_id", sa.Uuid(), nullable=False),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column(
            "recorded_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("client_id", "route", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_table(
        "payloads",
        sa.Column("year", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("agency_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("report_id", sa.Uuid(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("year", "agency_id", "report_id", name=op.f("pk_payloads")),
        postgresql_partition_by="RANGE (year)",
    )
    op.create_table(
        "report_events",
        sa.Column("recorded_xid", Xid8(), server_default=sa.text("pg_current_xact_id()"), nullable=False),
        sa.Column("seq", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("report_id", sa.Uuid(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("client_id", sa.Uuid(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("replaces", sa.Uuid(), nullable=True),
        sa.CheckConstraint(
            "event in ('accepted', 'corrected', 'returned', 'withdrawn')", name=op.f("ck_report_events_event")
        ),
        sa.PrimaryKeyConstraint("recorded_xid", "seq", name=op.f("pk_report_events")),
    )
    op.create_index(op.f("ix_report_events_report_id"), "report_events", ["report_id"], unique=False)
    op.create_table(
        "report_rows",
        sa.Column("year", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("agency_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("report_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("codes", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("figures", postgresql.ARRAY(sa.Numeric()), nullable=False),
        sa.Column("texts", postgresql.ARRAY(sa.Text()), nullable=True),
        sa.PrimaryKeyConstraint("year", "agency_id", "report_id", "number", name=op.f("pk_report_rows")),
        postgresql_partition_by="RANGE (year)",
    )
    op.create_table(
        "reports",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("agency_id", sa.Integer(), nullable=False),
        sa.Column("form_id", sa.Integer(), nullable=False),
        sa.Column("form_version", sa.SmallInteger(), nullable=False),
        sa.Column("period", sa.Text(), nullable=False),
        sa.Column("period_start", sa.Date(), nullable=False),
        sa.Column("period_end", sa.Date(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("nil", sa.Text(), nullable=True),
        sa.Column("corrects", sa.Uuid(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("client_id", sa.Uuid(), nullable=False),
        sa.Column("received_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("late", sa.Boolean(), nullable=True),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("findings", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("explanations", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("receipt", sa.Text(), nullable=True),
        sa.Column("recorded_xid", Xid8(), server_default=sa.text("pg_current_xact_id()"), nullable=False),
        sa.Column("ended_xid", Xid8(), nullable=True),
        sa.CheckConstraint("(status = 'rejected') = (receipt IS NULL)", name=op.f("ck_reports_receipt")),
        sa.CheckConstraint("(status = 'rejected') = (revision IS NULL)", name=op.f("ck_reports_revision")),
        sa.CheckConstraint("kind in ('own', 'consolidation')", name=op.f("ck_reports_kind")),
        sa.CheckConstraint(
            "status in ('rejected', 'accepted', 'superseded', 'returned', 'withdrawn')",
            name=op.f("ck_reports_status"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reports")),
        sa.UniqueConstraint(
            "agency_id",
            "form_id",
            "kind",
            "period",
            "revision",
            name=op.f("uq_reports_agency_id_form_id_kind_period_revision"),
        ),
    )
    op.create_index(
        "ix_reports_counted",
        "reports",
        ["form_id", "period"],
        unique=False,
        postgresql_where=sa.text("status = 'accepted'"),
    )
    op.create_index(
        "uq_reports_current",
        "reports",
        ["agency_id", "form_id", "kind", "period_end", "period"],
        unique=True,
        postgresql_where=sa.text("status in ('accepted', 'returned')"),
    )
    op.create_table(
        "catalog_entries",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("variant", sa.Text(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("document", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.CheckConstraint("kind in ('codelist', 'form', 'agency')", name=op.f("ck_catalog_entries_kind")),
        sa.ForeignKeyConstraint(["revision"], ["catalog_revisions.revision"], name=op.f("fk_catalog_entries_revision")),
        sa.PrimaryKeyConstraint("kind", "code", "variant", "revision", name=op.f("pk_catalog_entries")),
    )
    op.create_index(op.f("ix_catalog_entries_revision"), "catalog_entries", ["revision"], unique=False)
    _partition_by_year("report_rows")
    _partition_by_year("payloads")
    # Bodies come compressed from the process; the server's own compression is slower and gains nothing.
    for part in ("default", *(f"y{year}" for year in range(FIRST_YEAR, LAST_YEAR + 1))):
        op.execute(f"ALTER TABLE payloads_{part} ALTER COLUMN body SET STORAGE EXTERNAL")
    op.execute(
        """
        CREATE FUNCTION require(held boolean, what text) RETURNS boolean LANGUAGE plpgsql AS $$
        BEGIN
            IF NOT held THEN
                RAISE EXCEPTION '%', what USING ERRCODE = 'GW001';
            END IF;
            RETURN held;
        END $$
        """
    )
    op.execute("COMMENT ON FUNCTION require IS 'Ends a statement, undone, when what it relied on no longer holds'")


def _partition_by_year(table: str) -> None:
    """One part per year of a period's last day, and one for years nobody expected."""
    for year in range(FIRST_YEAR, LAST_YEAR + 1):
        op.execute(f"CREATE TABLE {table}_y{year} PARTITION OF {table} FOR VALUES FROM ({year}) TO ({year + 1})")
    op.execute(f"CREATE TABLE {table}_default PARTITION OF {table} DEFAULT")


def downgrade() -> None:
    op.execute("DROP FUNCTION require")
    op.drop_index(op.f("ix_catalog_entries_revision"), table_name="catalog_entries")
    op.drop_table("catalog_entries")
    op.drop_index(
        "uq_reports_current",
        table_name="reports",
        postgresql_where=sa.text("status in ('accepted', 'returned')"),
    )
    op.drop_index("ix_reports_counted", table_name="reports", postgresql_where=sa.text("status = 'accepted'"))
    op.drop_table("reports")
    op.drop_table("report_rows")
    op.drop_index(op.f("ix_report_events_report_id"), table_name="report_events")
    op.drop_table("report_events")
    op.drop_table("payloads")
    op.drop_table("idempotency_keys")
    op.drop_table("forms")
    op.drop_index(
        "ix_deliveries_order",
        table_name="deliveries",
        postgresql_where=sa.text("state in ('pending', 'sending')"),
    )
    op.drop_index(
        "ix_deliveries_stuck",
        table_name="deliveries",
        postgresql_where=sa.text("state in ('refused', 'exhausted')"),
    )
    op.drop_index(
        "ix_deliveries_due",
        table_name="deliveries",
        postgresql_where=sa.text("state in ('pending', 'sending')"),
    )
    op.drop_table("deliveries")
    op.drop_index("uq_connectors_name", table_name="connectors", postgresql_where=sa.text("removed_at IS NULL"))
    op.drop_table("connectors")
    op.drop_table("clients")
    op.drop_table("catalog_revisions")
    op.drop_table("attempts")
    op.drop_table("agencies")
