"""Attempts by month: a partition each, made ahead and dropped whole when it is old enough.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

from gateway.db.online import brief_locks, build_index, commit_step

revision = "0007"
down_revision = "0006"
floor = "0004"
branch_labels = None
depends_on = None

# Month starts are those of UTC. A bound is shown in the session's time zone and date style, so both are set.
PARTS = r"""
CREATE FUNCTION attempt_parts() RETURNS TABLE (part regclass, since timestamptz, until timestamptz)
LANGUAGE sql STABLE SET timezone = 'UTC' SET datestyle = 'ISO' AS $$
    SELECT inhrelid::regclass,
           CASE bounds[1] WHEN 'MINVALUE' THEN '-infinity' ELSE trim('''' FROM bounds[1]) END::timestamptz,
           trim('''' FROM bounds[2])::timestamptz
      FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid
     CROSS JOIN LATERAL regexp_match(pg_get_expr(relpartbound, c.oid), 'FROM \((.*)\) TO \((.*)\)') AS bounds
     WHERE inhparent = 'attempts'::regclass AND bounds IS NOT NULL
$$
"""

# A table that is attached locks the others less than one made as a partition. The default partition is locked in any
# case, since it must hold nothing of the new month; what it does hold, because nobody had made the month, moves.
MAKE = """
CREATE FUNCTION make_attempt_parts(ahead integer DEFAULT 3) RETURNS text[]
LANGUAGE plpgsql SET timezone = 'UTC' SET lock_timeout = '500ms' AS $$
DECLARE
    first timestamptz;
    after timestamptz;
    part text;
    made text[] := '{}';
BEGIN
    FOR first IN
        SELECT date_trunc('month', now()) + make_interval(months => n) FROM generate_series(0, ahead) AS n
        UNION SELECT date_trunc('month', started_at) FROM attempts_default WHERE started_at < now()
        ORDER BY 1
    LOOP
        CONTINUE WHEN EXISTS (SELECT FROM attempt_parts() p WHERE p.since <= first AND first < p.until);
        after := first + interval '1 month';
        part := 'attempts_' || to_char(first, '"y"YYYY"m"MM');
        LOCK TABLE attempts_default IN ACCESS EXCLUSIVE MODE;
        EXECUTE format('CREATE TABLE %I (LIKE attempts INCLUDING ALL)', part);
        EXECUTE format('WITH moved AS (DELETE FROM attempts_default WHERE started_at >= $1 AND started_at < $2'
                       ' RETURNING *) INSERT INTO %I SELECT * FROM moved', part) USING first, after;
        EXECUTE format('ALTER TABLE attempts ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', part, first, after);
        made := made || part;
    END LOOP;
    RETURN made;
END $$
"""

# What a later order of events may rest on is taken out of the attempts before they go. Nothing is added to so old a
# partition but by a worker that was lost as long ago, which waits.
DROP = """
CREATE FUNCTION drop_attempt_part(days integer) RETURNS text
LANGUAGE plpgsql SET lock_timeout = '500ms' AS $$
DECLARE
    part text;
BEGIN
    SELECT p.part::text INTO part FROM attempt_parts() p
     WHERE p.until <= now() - make_interval(days => greatest(days, 30)) ORDER BY p.until LIMIT 1;
    IF part IS NULL THEN
        RETURN NULL;
    END IF;
    EXECUTE format('LOCK TABLE %s IN SHARE MODE', part);
    EXECUTE format('UPDATE deliveries d SET may_have_arrived = true FROM %s a WHERE a.delivery_id = d.id'
                   ' AND a.outcome IN (''delivered'', ''ambiguous'') AND d.state <> ''delivered'''
                   ' AND NOT d.may_have_arrived', part);
    EXECUTE format('DROP TABLE %s', part);
    RETURN part;
END $$
"""
FUNCTIONS = {
    "attempt_parts()": (PARTS, "The months of attempts and what came before them; not the default partition"),
    "make_attempt_parts(integer)": (MAKE, "Makes the partitions of this month and of some ahead; returns their names"),
    "drop_attempt_part(integer)": (DROP, "Drops the oldest partition of attempts that is older than so many days"),
}
PROMISES = """
SELECT conname FROM pg_constraint WHERE conrelid = 'attempts'::regclass AND conname ^@ 'ck_attempts_before'
"""


def upgrade() -> None:
    brief_locks()
    op.execute("ALTER TABLE deliveries ADD COLUMN IF NOT EXISTS may_have_arrived boolean DEFAULT false NOT NULL")
    build_index("uq_attempts_before", "attempts", ["delivery_id", "number", "started_at"], unique=True)
    bound = _bound()
    _promise(bound)
    brief_locks()
    _swap(bound)
    for name, (body, words) in FUNCTIONS.items():
        op.execute(body)
        op.execute(f"COMMENT ON FUNCTION {name} IS '{words}'")
    op.execute("SELECT make_attempt_parts()")


def _bound() -> str:
    """Where the table that there is ends and the months begin: a month away at least.

    Until the swap, the promise to attach it turns away attempts from the bound on. A migration that was killed in
    between has so much time to be run again.
    """
    bound: str = op.get_bind().scalar(
        sa.text("SELECT to_char(date_trunc('month', now() AT TIME ZONE 'UTC') + interval '2 months', 'YYYY-MM-DD')")
    )
    return bound


def _promise(bound: str) -> None:
    """Make sure, without a lock that others would wait for, that all attempts lie before the bound."""
    name = f"ck_attempts_before_{bound.replace('-', '')}"
    found = set(op.get_bind().scalars(sa.text(PROMISES)))
    brief_locks()
    for old in found - {name}:  # of a try in another month
        op.execute(f"ALTER TABLE attempts DROP CONSTRAINT {old}")
    if name not in found:
        op.execute(f"ALTER TABLE attempts ADD CONSTRAINT {name} CHECK (started_at < '{bound} 00:00:00+00') NOT VALID")
    commit_step()
    op.execute(f"ALTER TABLE attempts VALIDATE CONSTRAINT {name}")
    commit_step()


def _swap(bound: str) -> None:
    """Put a partitioned table in the place of the plain one, which becomes its first partition.

    A number is given once within a delivery, by the counter in its row; an index by month could not promise that.
    """
    op.execute("LOCK TABLE attempts IN ACCESS EXCLUSIVE MODE")
    op.execute("ALTER TABLE attempts RENAME TO attempts_before")
    op.execute("ALTER TABLE attempts_before DROP CONSTRAINT pk_attempts")
    op.execute(
        "ALTER TABLE attempts_before ADD CONSTRAINT pk_attempts_before PRIMARY KEY USING INDEX uq_attempts_before"
    )
    op.execute(
        "CREATE TABLE attempts (LIKE attempts_before INCLUDING DEFAULTS,"
        " CONSTRAINT pk_attempts PRIMARY KEY (delivery_id, number, started_at)) PARTITION BY RANGE (started_at)"
    )
    if op.get_bind().scalar(sa.text("SELECT EXISTS (SELECT FROM attempts_before)")):
        op.execute(
            "ALTER TABLE attempts ATTACH PARTITION attempts_before"
            f" FOR VALUES FROM (MINVALUE) TO ('{bound} 00:00:00+00')"
        )
        op.execute(f"ALTER TABLE attempts_before DROP CONSTRAINT ck_attempts_before_{bound.replace('-', '')}")
    else:
        op.execute("DROP TABLE attempts_before")
    op.execute("CREATE TABLE attempts_default PARTITION OF attempts DEFAULT")


def downgrade() -> None:
    """Back to one plain table; it is copied, and nothing may be sent meanwhile."""
    for name in reversed(FUNCTIONS):
        op.execute(f"DROP FUNCTION {name}")
    op.execute("ALTER TABLE attempts RENAME TO attempts_by_month")
    op.execute("ALTER TABLE attempts_by_month RENAME CONSTRAINT pk_attempts TO pk_attempts_by_month")
    op.execute(
        "CREATE TABLE attempts (LIKE attempts_by_month, CONSTRAINT pk_attempts PRIMARY KEY (delivery_id, number))"
    )
    op.execute("INSERT INTO attempts SELECT * FROM attempts_by_month")
    op.execute("DROP TABLE attempts_by_month")
    op.drop_column("deliveries", "may_have_arrived")
