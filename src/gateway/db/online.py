"""Steps of migrations that change tables while others use them. Each may be run again after a crash half-way.

All of them end the transaction that the migration is in: what comes before them must bear being run again too.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op


def brief_locks() -> None:
    """Have the statements of this transaction give up a lock that is not to be had soon.

    The migration is then tried again. Change one table in a transaction: while it waits for a second, others would wait
    for the first.
    """
    config = op.get_context().config
    assert config is not None  # noqa: S101 - it is run by `gateway.db.migrate`
    op.execute(f"SET LOCAL lock_timeout = '{config.attributes['lock_timeout']}'")


def commit_step() -> None:
    """Commit what was done so far, and begin the next transaction."""
    with op.get_context().autocommit_block():
        pass


def build_index(
    name: str, table: str, columns: Sequence[str], *, where: str | None = None, unique: bool = False
) -> None:
    """Build an index while others write. One that was left invalid by a crash is built anew."""
    with op.get_context().autocommit_block():
        is_valid = op.get_bind().scalar(
            sa.text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)"), {"name": name}
        )
        if is_valid is False:
            op.drop_index(name, postgresql_concurrently=True)
        if not is_valid:
            op.create_index(
                name,
                table,
                columns,
                unique=unique,
                postgresql_where=None if where is None else sa.text(where),
                postgresql_concurrently=True,
            )
