"""Following together: what follows the deliveries that one statement ends is looked for once, not for each of them.

Revision ID: 0019
Revises: 0018
"""

from alembic import op

from gateway.db.online import brief_locks

revision = "0019"
down_revision = "0018"
floor = "0004"
branch_labels = None
depends_on = None

# Each statement of a volatile function sees what has been committed by then: so a delivery that was stored or put off
# while the earlier one was ending is found. Called for each row, it was a sixth of what PostgreSQL did for a delivery.
# What had ended before and is changed again is looked at, too, to no effect. The function for each row, which nothing
# calls any more, stays for the way back.
FOLLOW = """
CREATE FUNCTION follow_together() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE following uuid[];
BEGIN
    IF NOT EXISTS (SELECT FROM changed WHERE state NOT IN ('pending', 'sending')) THEN
        RETURN NULL;
    END IF;
    SELECT array_agg(n.id) INTO following
      FROM changed e
     CROSS JOIN LATERAL (SELECT n.id FROM deliveries n
                          WHERE n.connector_id = e.connector_id AND n.agency_id = e.agency_id AND n.form_id = e.form_id
                            AND n.period = e.period AND n.kind = e.kind AND n.seq > e.seq
                            AND n.state IN ('pending', 'sending') AND n.report_id IS NOT NULL
                          ORDER BY n.seq LIMIT 1) AS n
     WHERE e.state NOT IN ('pending', 'sending') AND e.report_id IS NOT NULL;
    IF following IS NOT NULL THEN
        UPDATE deliveries SET due_at = clock_timestamp(), is_behind = false
         WHERE id = ANY (following) AND state = 'pending' AND (is_behind OR due_at <= now());
    END IF;
    RETURN NULL;
END $$
"""
TOGETHER = """
CREATE TRIGGER follow_together AFTER UPDATE ON deliveries
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION follow_together()
"""
EACH = """
CREATE TRIGGER follow AFTER UPDATE OF state ON deliveries FOR EACH ROW
    WHEN (OLD.state IN ('pending', 'sending') AND NEW.state NOT IN ('pending', 'sending') AND NEW.report_id IS NOT NULL)
    EXECUTE FUNCTION follow()
"""


def upgrade() -> None:
    brief_locks()
    op.execute(FOLLOW)
    op.execute("DROP TRIGGER follow ON deliveries")
    op.execute(TOGETHER)


def downgrade() -> None:
    brief_locks()
    op.execute("DROP TRIGGER follow_together ON deliveries")
    op.execute("DROP FUNCTION follow_together()")
    op.execute(EACH)
