"""Review what was accepted: a level above returns a report, or its sender withdraws it.

Either may happen at another gateway: below this one, which relays it, or above, where an upstream is followed.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine
from uuid_utils.compat import uuid7

from gateway.db.engine import clock, driver
from gateway.db.log import add_entries
from gateway.db.reading import KeptReport, find_events, find_report, find_revisions
from gateway.domain.calendar import civil_date
from gateway.domain.catalogue import Catalogue
from gateway.domain.entry import new_entry
from gateway.domain.obligation import day_of
from gateway.domain.report import CURRENT, Status
from gateway.errors import NotFound, StateConflict, Text
from gateway.flow.judge import locked

_FROM = {
    Status.returned: ("accepted",),
    Status.withdrawn: ("accepted", "returned"),
}

_END = """
WITH ended AS (
    UPDATE reports SET status = $2, ended_xid = coalesce(ended_xid, pg_current_xact_id())
     WHERE id = $1 AND status = ANY ($3::text[]) RETURNING id, agency_id, form_id, period, kind
), events AS (
    INSERT INTO report_events (report_id, event, at, client_id, reason, connector_id)
    SELECT id, $2, clock_timestamp(), $4, $5, $6 FROM ended
)
SELECT count(*) FROM ended
"""

_TELL = """
INSERT INTO deliveries (id, connector_id, report_id, event, reason, agency_id, form_id, period, kind)
SELECT d.id, d.connector_id, r.id, $2, $3, r.agency_id, r.form_id, r.period, r.kind
  FROM reports r CROSS JOIN unnest($4::uuid[], $5::int[]) AS d(id, connector_id) WHERE r.id = $1
"""


NOBODY = UUID(int=0)
"""Stands for the client where none of ours did it: an upstream that is followed."""


@dataclass(frozen=True, slots=True)
class Ending:
    """That a report is returned or withdrawn, by which client and why.

    ``told_by`` is the upstream (a storage key) where it happened, ``at`` the time where it was relayed later.
    """

    status: Status
    client: UUID
    reason: str
    told_by: int | None = None
    at: datetime | None = None


async def end_report(engine: AsyncEngine, catalogue: Catalogue, report: UUID, ending: Ending) -> KeptReport:
    """Return or withdraw a report: from then on it is not counted, and upstreams it was meant for are told.

    Doing it again changes nothing. Raises ``NotFound``, ``StateConflict`` from any other state, and for a
    withdrawal ``PeriodLocked``.
    """
    status, reason = ending.status, ending.reason
    async with driver(engine) as connection, connection.transaction():
        value = status.value
        if status is Status.withdrawn:
            await _require_open(connection, await _find(connection, report, catalogue), catalogue, ending.at)
        if await connection.fetchval(_END, report, value, list(_FROM[status]), ending.client, reason, ending.told_by):
            # Only now: ending the report waited for a connector being made, whose deliveries are seen from here on.
            connectors = [each for each in await _connectors_told(connection, report) if each != ending.told_by]
            await connection.execute(_TELL, report, value, reason, [uuid7() for _ in connectors], connectors)
            await _record(connection, report, ending)
        kept = await _find(connection, report, catalogue)
        if kept.head.status is not status:
            raise StateConflict(
                Text(
                    f"Báo cáo đang ở trạng thái {kept.head.status}.",
                    f"The report is {kept.head.status}.",
                ),
                extra={"state": kept.head.status.value},
            )
        return kept


async def _record(connection: Any, report: UUID, ending: Ending) -> None:
    told_by = await connection.fetchval("SELECT name FROM connectors WHERE id = $1", ending.told_by)
    about = {} if told_by is None else {"connector": told_by}
    at, texts = await clock(connection), {"reason": ending.reason}
    entry = new_entry(ending.status.value, at, ending.client, about, report=report, texts=texts)
    await add_entries(connection, [entry])


async def _require_open(connection: Any, kept: KeptReport, catalogue: Catalogue, at: datetime | None) -> None:
    """A locked period's figures stay as they are: judged by when it was withdrawn first. Raises ``PeriodLocked``."""
    head = kept.head
    obligation = catalogue.obligations.of(head.form, head.agency, head.kind, head.period)
    if obligation is None or head.status not in CURRENT:
        return
    revisions = await find_revisions(connection, kept, catalogue)
    events = await find_events(connection, [each.head.id for each in revisions])
    returned = [each.at for of_one in events.values() for each in of_one if each.event == "returned"]
    now = await clock(connection)
    day = civil_date(now if at is None else min(now, at))
    refusal = locked(obligation, day, day_of(max(returned, default=None)))
    if refusal is not None:
        raise refusal


async def _find(connection: Any, report: UUID, catalogue: Catalogue) -> KeptReport:
    kept = await find_report(connection, report, catalogue)
    if kept is None:
        raise NotFound()
    return kept


async def _connectors_told(connection: Any, report: UUID) -> list[int]:
    """Connectors that were to have this report when it was accepted, and still exist."""
    rows = await connection.fetch(
        "SELECT connector_id FROM deliveries JOIN connectors c ON c.id = connector_id"
        " WHERE report_id = $1 AND event = 'accepted' AND c.removed_at IS NULL",
        report,
    )
    return [row["connector_id"] for row in rows]
