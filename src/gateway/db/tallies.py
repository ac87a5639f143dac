"""Tallies of connectors: sums that every worker adds to, so that they hold for all and outlive each of them.

Few and narrow rows, written every few seconds and apart from what they count, so that counting holds nothing up.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa

from gateway.db.base import metadata

tallies = sa.Table(
    "tallies",
    metadata,
    sa.Column("connector_id", sa.ForeignKey("connectors.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("measure", sa.Text, primary_key=True),
    # What of the measure: an outcome, the upper bound of a histogram's bucket …
    sa.Column("label", sa.Text, primary_key=True),
    sa.Column("amount", sa.Double, nullable=False),
    # Rows are few and often changed: room on the page keeps the changes there.
    postgresql_with={"fillfactor": "50"},
)


class TallyKey(NamedTuple):
    """What is added up: a measure of a connector (its storage key), and what of it."""

    connector: int
    measure: str
    label: str


class Tallied(NamedTuple):
    """A sum, by the name of the connector."""

    connector: str
    measure: str
    label: str
    amount: float


# In order, so that workers who add to the same rows wait for one another and never in a circle.
_ADD = """
INSERT INTO tallies AS kept (connector_id, measure, label, amount)
SELECT c.id, n.measure, n.label, n.amount
  FROM unnest($1::int[], $2::text[], $3::text[], $4::float8[]) AS n(connector_id, measure, label, amount)
  JOIN connectors c ON c.id = n.connector_id
 ORDER BY 1, 2, 3
    ON CONFLICT (connector_id, measure, label) DO UPDATE SET amount = kept.amount + EXCLUDED.amount
"""

# A connector that was removed and made anew goes on counting: a sum never falls.
_FIND = """
SELECT c.name AS connector, measure, label, sum(amount) AS amount
  FROM tallies JOIN connectors ever ON ever.id = connector_id
               JOIN connectors c ON c.name = ever.name AND c.removed_at IS NULL
 GROUP BY c.name, measure, label
"""


async def add_tallies(connection: Any, amounts: Mapping[TallyKey, float]) -> None:
    """Add to what there is; nothing of a connector that is gone."""
    await connection.execute(
        _ADD,
        [key.connector for key in amounts],
        [key.measure for key in amounts],
        [key.label for key in amounts],
        list(amounts.values()),
    )


async def find_tallies(connection: Any) -> list[Tallied]:
    """The sums of every connector that there is."""
    return [Tallied(**row) for row in await connection.fetch(_FIND)]
