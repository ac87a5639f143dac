"""Review what was accepted: a level above returns a report, or its sender withdraws it."""

from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine
from uuid_utils.compat import uuid7

from gateway.db.engine import driver
from gateway.db.reading import KeptReport, find_report
from gateway.domain.catalogue import Catalogue
from gateway.domain.report import Status
from gateway.errors import NotFound, StateConflict, Text

_FROM = {
    Status.returned: ("accepted",),
    Status.withdrawn: ("accepted", "returned"),
}

_END = """
WITH ended AS (
    UPDATE reports SET status = $2, ended_xid = coalesce(ended_xid, pg_current_xact_id())
     WHERE id = $1 AND status = ANY ($3::text[]) RETURNING id, agency_id, form_id, period, kind
), events AS (
    INSERT INTO report_events (report_id, event, at, client_id, reason)
    SELECT id, $2, clock_timestamp(), $4, $5 FROM ended
), outbox AS (
    INSERT INTO deliveries (id, connector_id, report_id, event, reason, agency_id, form_id, period, kind)
    SELECT d.id, d.connector_id, e.id, $2, $5, e.agency_id, e.form_id, e.period, e.kind
      FROM ended e CROSS JOIN unnest($6::uuid[], $7::int[]) AS d(id, connector_id)
)
SELECT count(*) FROM ended
"""


async def end_report(
    engine: AsyncEngine, catalogue: Catalogue, report: UUID, status: Status, client: UUID, reason: str
) -> KeptReport:
    """Return or withdraw a report: from then on it is not counted, and upstreams that had it are told.

    Doing it again changes nothing. Raises ``NotFound``, or ``StateConflict`` from any other state.
    """
    async with driver(engine) as connection:
        kept = await _find(connection, report, catalogue)
        if kept.head.status.value in _FROM[status]:
            connectors = await _connectors_told(connection, report)
            await connection.fetchval(
                _END,
                report,
                status.value,
                list(_FROM[status]),
                client,
                reason,
                [uuid7() for _ in connectors],
                connectors,
            )
            kept = await _find(connection, report, catalogue)
        if kept.head.status is not status:
            raise StateConflict(
                Text(
                    f"Báo cáo đang ở trạng thái {kept.head.status}.",
                    f"The report is {kept.head.status}.",
                ),
                extra={"status": kept.head.status.value},
            )
        return kept


async def _find(connection: Any, report: UUID, catalogue: Catalogue) -> KeptReport:
    kept = await find_report(connection, report, catalogue)
    if kept is None:
        raise NotFound()
    return kept


async def _connectors_told(connection: Any, report: UUID) -> list[int]:
    """Connectors that were given this report when it was accepted, and still exist."""
    rows = await connection.fetch(
        "SELECT connector_id FROM deliveries JOIN connectors c ON c.id = connector_id"
        " WHERE report_id = $1 AND event = 'accepted' AND c.removed_at IS NULL",
        report,
    )
    return [row["connector_id"] for row in rows]
