"""The feed of what happened to reports, in an order that no late commit can get behind.

Events are in the order of the transactions that made them (their full ids), and a reader is shown none of a transaction
that is not older than every transaction still open: whatever commits later comes after all that was shown. A counter
would not do, since a lower number may commit after a higher one was read.

A position is always that of an event, which is stored for good. The ids of transactions that stored nothing are given
out again when PostgreSQL was killed: a position beyond the last event would miss whatever gets one of them then.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from gateway.db.reading import HEAD_COLUMNS, KeptReport, kept_report
from gateway.domain.catalogue import Catalogue

_LOOKED_AT = 20
"""Events that one reading looks at for each that is asked for: of a small subtree most are somebody else's."""


class Position(NamedTuple):
    """A place in the feed: after this event of this transaction."""

    transaction: int
    event: int


@dataclass(frozen=True, slots=True)
class WantedChanges:
    """Which changes to read after a position. None is all agencies, all forms, all events."""

    after: Position
    agencies: Sequence[int] | None
    form: int | None
    events: Sequence[str] | None
    limit: int


@dataclass(frozen=True, slots=True)
class Change:
    """Something that happened to a report."""

    event: str
    at: datetime
    reason: str | None
    replaces: UUID | None
    report: KeptReport


@dataclass(frozen=True, slots=True)
class Changes:
    """Changes in order, the position after all that was looked at for them, and whether there may be more now."""

    items: list[Change]
    position: Position
    has_more: bool


# How far is looked is bounded before it is seen whose events they are, so that a reader of few among many is answered
# soon, with a position further on.
_CHANGES = f"""
WITH last AS MATERIALIZED (SELECT * FROM events_until($1::text::xid8, $2::bigint, $3)),
seen AS MATERIALIZED (
    SELECT e.* FROM report_events e
     WHERE (e.recorded_xid, e.seq) > ($1::text::xid8, $2::bigint)
       AND (e.recorded_xid, e.seq) <= ((SELECT recorded_xid FROM last), (SELECT seq FROM last))
), found AS (
    SELECT recorded_xid::text AS transaction, seq, event, at, s.reason AS why, replaces, r.*
      FROM seen s CROSS JOIN LATERAL (SELECT {HEAD_COLUMNS} FROM reports h WHERE h.id = s.report_id OFFSET 0) AS r
     WHERE ($4::int[] IS NULL OR r.agency_id = ANY ($4)) AND ($5::int IS NULL OR r.form_id = $5)
       AND ($6::text[] IS NULL OR event = ANY ($6))
     ORDER BY s.recorded_xid, s.seq LIMIT $7
)
SELECT coalesce(last.number, 0) AS looked_at, last.recorded_xid::text AS last_transaction, last.seq AS last_event,
       found.*
  FROM (SELECT) AS one LEFT JOIN last ON true LEFT JOIN found ON true ORDER BY found.transaction::xid8, found.seq
"""  # noqa: S608 - fixed words


async def find_changes(connection: Any, wanted: WantedChanges, catalogue: Catalogue) -> Changes:
    """The next changes after a position."""
    most = _LOOKED_AT * wanted.limit
    rows = await connection.fetch(
        _CHANGES,
        str(wanted.after.transaction),
        wanted.after.event,
        most,
        wanted.agencies,
        wanted.form,
        wanted.events,
        wanted.limit,
    )
    found = [row for row in rows if row["id"] is not None]
    items = [Change(row["event"], row["at"], row["why"], row["replaces"], kept_report(row, catalogue)) for row in found]
    first = rows[0]
    if len(items) == wanted.limit:
        return Changes(items, Position(int(found[-1]["transaction"]), found[-1]["seq"]), True)
    if not first["looked_at"]:
        return Changes([], wanted.after, False)
    return Changes(items, Position(int(first["last_transaction"]), first["last_event"]), first["looked_at"] == most)
