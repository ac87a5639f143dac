"""The turns of connectors: whoever claims of one looks at it first, and claims nothing if another had a turn meanwhile.

A narrow row a connector, changed by each claim and by whatever takes up what had ended. So a claim is two statements,
with nothing locked in between: a worker that is stopped there keeps nobody waiting.
"""

from typing import Any

import sqlalchemy as sa

from gateway.db.base import metadata

turns = sa.Table(
    "turns",
    metadata,
    sa.Column("connector_id", sa.ForeignKey("connectors.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("number", sa.BigInteger, nullable=False, server_default="0"),
    # Rows are few and often changed: room on the page keeps the changes there.
    postgresql_with={"fillfactor": "50"},
)


async def begin_turns(connection: Any) -> None:
    """Let every connector have turns."""
    await connection.execute("INSERT INTO turns (connector_id) SELECT id FROM connectors ON CONFLICT DO NOTHING")


async def take_turn(connection: Any, connector: int) -> None:
    """Take a turn, so that what was seen of a connector before is not claimed any more."""
    await connection.execute(
        "INSERT INTO turns (connector_id) VALUES ($1)"
        " ON CONFLICT (connector_id) DO UPDATE SET number = turns.number + 1",
        connector,
    )
