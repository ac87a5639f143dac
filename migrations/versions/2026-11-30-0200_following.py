"""Following: an ending that nothing waits behind looks for what follows it, and does no more.

Revision ID: 0015
Revises: 0014
"""

from alembic import op

from gateway.db.online import brief_locks

revision = "0015"
down_revision = "0014"
floor = "0004"
branch_labels = None
depends_on = None

# Each statement of a volatile function sees what has been committed by then: so a delivery that was stored or put off
# while the earlier one was ending is found. Looking and making due are two: as one, the second would be planned to
# walk through all that is pending, as it was once planned while there was little.
FOLLOW = """
CREATE OR REPLACE FUNCTION follow() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE following uuid;
BEGIN
    SELECT n.id INTO following FROM deliveries n
     WHERE n.connector_id = NEW.connector_id AND n.agency_id = NEW.agency_id AND n.form_id = NEW.form_id
       AND n.period = NEW.period AND n.kind = NEW.kind AND n.seq > NEW.seq
       AND n.state IN ('pending', 'sending') AND n.report_id IS NOT NULL
     ORDER BY n.seq LIMIT 1;
    IF FOUND THEN
        UPDATE deliveries SET due_at = clock_timestamp(), is_behind = false
         WHERE id = following AND state = 'pending' AND (is_behind OR due_at <= now());
    END IF;
    RETURN NULL;
END $$
"""
BEFORE = """
CREATE OR REPLACE FUNCTION follow() RETURNS trigger LANGUAGE plpgsql AS $$
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


def upgrade() -> None:
    brief_locks()
    op.execute(FOLLOW)


def downgrade() -> None:
    brief_locks()
    op.execute(BEFORE)
