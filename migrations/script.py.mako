"""${message}"""

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}
from gateway.db.online import brief_locks

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
# The oldest revision whose code runs on the schema this leaves: see docs/operating.md, Upgrade.
floor = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    brief_locks()
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
