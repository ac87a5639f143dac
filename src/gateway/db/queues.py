"""The queues of connectors: how many deliveries wait, since when, and whether anything is being sent."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway.domain.breaker import Breaker
from gateway.domain.delivery import DeliveryState


@dataclass(frozen=True, slots=True)
class Queue:
    """The queue of one connector at a moment of the database's clock.

    ``depths`` are of the states that are not final, and of those that a person takes up. ``behind`` are pending and
    wait for an earlier delivery, ``due`` are pending and wait for room alone, the first of them since ``due_since``;
    the oldest that is pending or being sent was made at ``open_since``. ``held`` are being sent under a lease.
    """

    connector: str
    at: datetime
    is_paused: bool
    breaker: Breaker
    depths: dict[DeliveryState, int]
    behind: int
    due: int
    due_since: datetime | None
    open_since: datetime | None
    held: int


# By connector, so that each looks at its own part of an index: what is delivered, and grows for ever, is not met.
_FIND = """
SELECT c.name, now() AS at, c.paused_at IS NOT NULL AS is_paused,
       b.failures, b.failing_since, b.openings, b.opens_until, b.room, waiting.*, flying.*, stuck.*,
       least(waiting.made_at, flying.made_at) AS open_since
  FROM connectors c LEFT JOIN breakers b ON b.connector_id = c.id
 CROSS JOIN LATERAL (
       SELECT count(*) AS pending, count(*) FILTER (WHERE is_behind) AS behind,
              count(*) FILTER (WHERE due_at <= now()) AS due,
              min(due_at) FILTER (WHERE due_at <= now()) AS due_since, min(made_at) AS made_at
         FROM deliveries WHERE connector_id = c.id AND state = 'pending') AS waiting
 CROSS JOIN LATERAL (
       SELECT count(*) AS sending, count(*) FILTER (WHERE due_at > now()) AS held, min(made_at) AS made_at
         FROM deliveries WHERE connector_id = c.id AND state = 'sending') AS flying
 CROSS JOIN LATERAL (
       SELECT count(*) FILTER (WHERE state = 'refused') AS refused,
              count(*) FILTER (WHERE state = 'exhausted') AS exhausted
         FROM deliveries WHERE connector_id = c.id AND state IN ('refused', 'exhausted')) AS stuck
 WHERE c.removed_at IS NULL
 ORDER BY c.name
"""
_COUNTED = (DeliveryState.pending, DeliveryState.sending, DeliveryState.refused, DeliveryState.exhausted)


async def find_queues(connection: Any) -> list[Queue]:
    """The queue of every connector that there is. Takes as long as it takes to count what is not delivered."""
    return [_queue(row) for row in await connection.fetch(_FIND)]


def _queue(row: Any) -> Queue:
    return Queue(
        row["name"],
        row["at"],
        row["is_paused"],
        Breaker(row["failures"] or 0, row["failing_since"], row["openings"] or 0, row["opens_until"], row["room"]),
        {state: row[state.value] for state in _COUNTED},
        row["behind"],
        row["due"],
        row["due_since"],
        row["open_since"],
        row["held"],
    )
