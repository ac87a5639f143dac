"""Roles for the processes, and what policies of row-level security ask: whose rows a connection sees.

Which role may do what with which table is decided in ``gateway/db/rights.py`` and brought about after the migrations.

Revision ID: 0011
Revises: 0010
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.exc import ProgrammingError

from gateway.db.online import brief_locks, commit_step
from gateway.db.schema import UnfitSchema
from gateway.errors import Text

revision = "0011"
down_revision = "0010"
floor = "0004"
branch_labels = None
depends_on = None

ROLES = ("gateway_api", "gateway_worker", "gateway_sealer")

# Roles are of the whole server: another database's migration may be making them at this moment.
MAKE = """
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN
        CREATE ROLE {role} NOLOGIN;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$
"""
MAY_NOT = "42501"
ASK = (
    "Tài khoản này không được tạo vai trò cho các tiến trình. Hãy nhờ quản trị viên chạy một lần:\n"
    "{statements}\nrồi chạy lại 'gateway migrate'.",
    "This login may not make the roles that the gateway's processes take. Have an administrator run, once:\n"
    "{statements}\nand run 'gateway migrate' again.",
)

# What a connection sees is said in two settings of its own; where nothing is said, nothing is seen.
SETTINGS = {
    "sees_all()": (
        "boolean",
        "SELECT coalesce(current_setting('gateway.subtree', true) = '*', false)",
        "Whether this connection sees the rows of all agencies",
    ),
    "seen_agencies()": (
        "integer[]",
        "SELECT nullif(nullif(current_setting('gateway.subtree', true), '*'), '')::integer[]",
        "The agencies whose rows this connection sees",
    ),
    "sees_all_clients()": (
        "boolean",
        "SELECT coalesce(current_setting('gateway.clients', true) = '*', false)",
        "Whether this connection sees the kept answers of all clients",
    ),
    "seen_clients()": (
        "uuid[]",
        "SELECT nullif(nullif(current_setting('gateway.clients', true), '*'), '')::uuid[]",
        "The clients whose kept answers this connection sees",
    ),
}

# What must be known of all rows whoever asks, and no more of it than that.
OF_ALL = {
    "hold_reports()": (
        "RETURNS void LANGUAGE plpgsql VOLATILE",
        "BEGIN LOCK TABLE reports IN SHARE ROW EXCLUSIVE MODE; END",
        "Waits for reports being stored, and keeps others from being stored until the transaction ends",
    ),
    "newest_event()": (
        "RETURNS xid8 LANGUAGE sql STABLE",
        "SELECT recorded_xid FROM report_events ORDER BY recorded_xid DESC LIMIT 1",
        "The newest transaction in which something happened to a report: what a state is named by",
    ),
    "is_event(xid xid8)": (
        "RETURNS boolean LANGUAGE sql STABLE",
        "SELECT EXISTS (SELECT FROM report_events WHERE recorded_xid = xid)",
        "Whether something happened to a report in a transaction: whether a state may have that name",
    ),
    "events_about(moment timestamptz, span interval)": (
        "RETURNS TABLE (recorded_xid xid8, at timestamptz) LANGUAGE sql STABLE",
        """SELECT e.recorded_xid, e.at FROM report_events e WHERE e.at BETWEEN moment - span AND moment + span
     UNION ALL (SELECT e.recorded_xid, e.at FROM report_events e WHERE e.at <= moment ORDER BY e.at DESC LIMIT 1)""",
        "When something happened to reports about a time, and in which transactions: what a state of then holds",
    ),
    "events_until(past xid8, past_seq bigint, most integer)": (
        "RETURNS TABLE (recorded_xid xid8, seq bigint, number bigint) LANGUAGE sql STABLE",
        """SELECT s.recorded_xid, s.seq, s.number FROM (
        SELECT e.recorded_xid, e.seq, row_number() OVER (ORDER BY e.recorded_xid, e.seq) AS number
          FROM report_events e
         WHERE (e.recorded_xid, e.seq) > (past, past_seq)
           AND e.recorded_xid < pg_snapshot_xmin(pg_current_snapshot())
         ORDER BY e.recorded_xid, e.seq LIMIT most) s
     ORDER BY s.number DESC LIMIT 1""",
        "The last of so many events after one, and how many they are: how far a reader of changes looks at once",
    ),
    "known_reports(asked uuid[])": (
        "RETURNS uuid[] LANGUAGE sql STABLE",
        "SELECT array_agg(r.id) FROM unnest(asked) AS a(id)"
        " CROSS JOIN LATERAL (SELECT h.id FROM reports h WHERE h.id = a.id OFFSET 0) r",
        "Which ids reports have already: one that is brought along by another gateway must be new",
    ),
}

REQUIRE_SEEN = """
CREATE OR REPLACE FUNCTION require_seen() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT sees_all() AND EXISTS (
        SELECT FROM added a WHERE NOT EXISTS (SELECT FROM reports r WHERE r.id = a.report_id)) THEN
        RAISE insufficient_privilege USING MESSAGE = format('a row of %s is of a report not seen', TG_RELNAME);
    END IF;
    RETURN NULL;
END $$
"""
HANG_ON_REPORTS = ("report_events", "consolidation_parts", "relays")


def upgrade() -> None:
    _make_roles()
    schema = op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())"))
    for role in ROLES:
        op.execute(f"GRANT USAGE ON SCHEMA {schema} TO {role}")
    for name, (gives, body, words) in SETTINGS.items():
        op.execute(
            f"CREATE OR REPLACE FUNCTION {name} RETURNS {gives} LANGUAGE sql STABLE PARALLEL SAFE AS $$ {body} $$"
        )
        op.execute(f"COMMENT ON FUNCTION {name} IS '{words}'")
    path = f"SECURITY DEFINER SET search_path = {schema}, pg_temp"
    for name, (kind, body, words) in OF_ALL.items():
        op.execute(f"CREATE OR REPLACE FUNCTION {name} {kind} {path} AS $$ {body} $$")
        op.execute(f"COMMENT ON FUNCTION {name} IS '{words}'")
    for name in ("make_attempt_parts(integer)", "drop_attempt_part(integer)"):
        op.execute(f"ALTER FUNCTION {name} {path}")
    op.execute(REQUIRE_SEEN)
    op.execute(
        "COMMENT ON FUNCTION require_seen IS 'Refuses rows that hang on reports which the connection does not see'"
    )
    for table in HANG_ON_REPORTS:
        commit_step()
        brief_locks()
        op.execute(
            f"CREATE OR REPLACE TRIGGER require_seen AFTER INSERT ON {table} REFERENCING NEW TABLE AS added"
            " FOR EACH STATEMENT EXECUTE FUNCTION require_seen()"
        )


def _make_roles() -> None:
    """Make the roles that there are not yet, and let whoever runs migrations take them.

    The login of a managed PostgreSQL may not be allowed to: then the statements are named.
    """
    connection = op.get_bind()
    try:
        for role in ROLES:
            with connection.begin_nested():
                op.execute(MAKE.format(role=role))
            if not connection.scalar(sa.text("SELECT pg_has_role(current_user, :role, 'SET')"), {"role": role}):
                with connection.begin_nested():
                    op.execute(f"GRANT {role} TO CURRENT_USER WITH INHERIT FALSE, SET TRUE")
    except ProgrammingError as error:
        if getattr(error.orig, "sqlstate", None) != MAY_NOT:
            raise
        login = connection.scalar(sa.text("SELECT quote_ident(current_user)"))
        lines = [f"  CREATE ROLE {role} NOLOGIN; GRANT {role} TO {login};" for role in ROLES]
        raise UnfitSchema(Text(*(words.format(statements="\n".join(lines)) for words in ASK))) from error


def downgrade() -> None:
    """The roles stay: other databases of the server may use them."""
    for table in (
        op.get_bind()
        .scalars(
            sa.text(
                "SELECT relname FROM pg_class WHERE relrowsecurity AND relnamespace = current_schema()::regnamespace"
            )
        )
        .all()
    ):
        for policy in ("subtree", "owner"):
            op.execute(f"DROP POLICY IF EXISTS {policy} ON {table}")
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY")
    for table in HANG_ON_REPORTS:
        op.execute(f"DROP TRIGGER require_seen ON {table}")
    schema = op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())"))
    for role in ROLES:
        op.execute(f"REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM {role}")
        op.execute(f"REVOKE ALL ON ALL FUNCTIONS IN SCHEMA {schema} FROM {role}")
        op.execute(f"REVOKE USAGE ON SCHEMA {schema} FROM {role}")
    for name in ("make_attempt_parts(integer)", "drop_attempt_part(integer)"):
        op.execute(f"ALTER FUNCTION {name} SECURITY INVOKER RESET search_path")
        op.execute(f"GRANT EXECUTE ON FUNCTION {name} TO PUBLIC")
    for name in ("require_seen()", *OF_ALL, *SETTINGS):
        op.execute(f"DROP FUNCTION {name}")
