"""What was delivered to a connector, to be compared with what its upstream holds, and sending it again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Sent:
    """A report whose acceptance was delivered to a connector; ``told`` is a later end of it that was delivered too."""

    report: UUID
    delivery: UUID
    sha256: str
    status: str
    told: str | None


@dataclass(frozen=True, slots=True)
class WantedSent:
    """What was delivered to a connector by a time, of one form (a storage key) and period or of all."""

    connector: int
    by: datetime
    form: int | None
    period: str | None


_SENT = """
SELECT r.id AS report, d.id AS delivery, encode(r.sha256, 'hex') AS sha256, r.status,
       (SELECT e.event FROM deliveries e
         WHERE e.report_id = d.report_id AND e.connector_id = d.connector_id AND e.event = r.status
           AND e.state = 'delivered' AND e.finished_at <= $2) AS told
  FROM deliveries d JOIN reports r ON r.id = d.report_id
 WHERE d.connector_id = $1 AND d.event = 'accepted' AND d.state = 'delivered' AND d.finished_at <= $2
   AND ($3::int IS NULL OR d.form_id = $3) AND ($4::text IS NULL OR d.period = $4)
   AND ($5::uuid IS NULL OR d.report_id < $5)
 ORDER BY d.report_id DESC LIMIT $6
"""


async def find_sent(connection: Any, wanted: WantedSent, before: UUID | None, limit: int) -> list[Sent]:
    """What was delivered, newest first, after the last report of the page before."""
    rows = await connection.fetch(_SENT, wanted.connector, wanted.by, wanted.form, wanted.period, before, limit)
    return [Sent(**row) for row in rows]


# What a later delivery of its key has passed, which the upstream holds, would come too late: only a person can judge.
_SEND_AGAIN = """
UPDATE deliveries d SET state = 'pending', due_at = now(), finished_at = now(), outcome = $3, receipt = NULL
 WHERE d.connector_id = $1 AND d.report_id = ANY ($2::uuid[]) AND d.state = 'delivered'
   AND NOT EXISTS (
       SELECT FROM reports r JOIN deliveries l ON l.report_id = r.id AND l.connector_id = d.connector_id
        WHERE r.agency_id = d.agency_id AND r.form_id = d.form_id AND r.kind = d.kind AND r.period = d.period
          AND l.seq > d.seq AND l.state IN ('sending', 'delivered') AND NOT l.report_id = ANY ($2::uuid[]))
RETURNING d.id, d.report_id, d.event
"""


class Reopened(NamedTuple):
    """A delivery that was made pending again."""

    delivery: UUID
    report: UUID
    event: str


async def send_again(connection: Any, connector: int, reports: Sequence[UUID], words: str) -> list[Reopened]:
    """Make all that was delivered of some reports pending again, in their order.

    Under the connector's lock. A report that a later one of its key has passed is left out.
    """
    rows = await connection.fetch(_SEND_AGAIN, connector, reports, words)
    return [Reopened(*row) for row in rows]
