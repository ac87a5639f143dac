"""Setting aside deliveries that lost their workers again and again: from then on a person decides."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from gateway.db.engine import clock
from gateway.db.log import add_entries
from gateway.domain.entry import NewEntry, new_entry

_SET_ASIDE = """
WITH ended AS (
    UPDATE deliveries d SET state = 'exhausted', claim = NULL, losses = 0, finished_at = now(), outcome = $3
      FROM unnest($1::uuid[], $2::timestamptz[]) AS seen(id, due_at)
     WHERE d.id = ANY (ARRAY[seen.id]) AND d.state = 'sending' AND d.due_at = seen.due_at
    RETURNING d.id, d.connector_id, d.event, d.report_id, attempts, seen.due_at - $4::interval AS lost_at
), made AS (
    INSERT INTO attempts (delivery_id, number, started_at, finished_at, outcome, reason)
    SELECT id, attempts, lost_at, now(), 'ambiguous', $5 FROM ended
)
SELECT ended.id, c.name AS connector, event, report_id FROM ended JOIN connectors c ON c.id = connector_id
"""

LOST = "the worker went away before it recorded how the attempt ended"
"""The reason of an attempt whose end nobody knows."""
_POISON = "set aside: its worker went away {} times in a row while it was being sent"


async def set_aside(
    connection: Any, poison: Sequence[tuple[UUID, datetime]], most_losses: int, lease: timedelta
) -> None:
    """End deliveries as exhausted, those whose lease ends as it was seen to; the log has it in the same transaction."""
    async with connection.transaction():
        ended = await connection.fetch(
            _SET_ASIDE,
            [delivery for delivery, _ in poison],
            [due_at for _, due_at in poison],
            _POISON.format(most_losses),
            lease,
            LOST,
        )
        await add_entries(connection, _entries(ended, await clock(connection)))


def _entries(ended: Sequence[Any], at: datetime) -> list[NewEntry]:
    """What the log has of deliveries that are not given again."""
    return [
        new_entry(
            "exhausted",
            at,
            None,
            {"delivery": str(row["id"]), "connector": row["connector"], "event": row["event"], "receipt": None},
            report=row["report_id"],
        )
        for row in ended
    ]
