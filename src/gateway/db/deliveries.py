"""Deliveries: the outbox. A row is made in the transaction that stores its report, and claimed by workers.

A delivery is *open* while it is pending or sending. Within a connector and a key of report, ``seq`` is the order
of events, since whoever stores the later event has waited for the earlier to commit. An open delivery can
become final at any time; the way back, and a new one in the past, are only taken under the connector's lock
(``lock_connector``), which claims take too.

A *reminder* is a delivery without a report: of the obligation that its key names, and of the day it is owed by. It
waits for no other delivery, and none waits for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from gateway.db.base import Instant, Serial, metadata
from gateway.db.delivery_filter import DeliveryFilter, where
from gateway.db.engine import clock
from gateway.db.log import add_entries
from gateway.domain.entry import NewEntry, new_entry

deliveries = sa.Table(
    "deliveries",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("seq", Serial, sa.Identity(always=True), nullable=False),
    sa.Column("connector_id", sa.Integer, nullable=False),
    sa.Column("report_id", sa.Uuid),
    sa.Column("event", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    # The key of a report, whose deliveries go out in order.
    sa.Column("agency_id", sa.Integer, nullable=False),
    sa.Column("form_id", sa.Integer, nullable=False),
    sa.Column("period", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    # Of a reminder, the day its obligation is owed by: another day is another reminder.
    sa.Column("owed_by", sa.Date),
    sa.Column("state", sa.Text, nullable=False, server_default="pending"),
    sa.Column("made_at", Instant, nullable=False, server_default=sa.func.now()),
    # Of a pending delivery the next attempt, of one that is being sent the end of the lease.
    sa.Column("due_at", Instant, nullable=False, server_default=sa.func.now()),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("claim", sa.Uuid),
    # How many workers in a row went away with it.
    sa.Column("losses", sa.SmallInteger, nullable=False, server_default="0"),
    # Of a pending delivery: put off until the earlier one of its key ends, which makes it due.
    sa.Column("is_behind", sa.Boolean, nullable=False, server_default=sa.false()),
    # The last end, kept when a person takes the delivery up again: the retry schedule starts anew after it.
    sa.Column("finished_at", Instant),
    sa.Column("outcome", sa.Text),
    # The upstream's own receipt, of the kinds that give one.
    sa.Column("receipt", sa.Text),
    # What attempts said that were dropped since: the upstream has it, or may have.
    sa.Column("may_have_arrived", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.CheckConstraint(
        "state in ('pending', 'sending', 'delivered', 'refused', 'exhausted', 'cancelled')", name="state"
    ),
    sa.CheckConstraint("event in ('accepted', 'returned', 'withdrawn', 'due', 'overdue')", name="event"),
    sa.CheckConstraint(
        "(report_id IS NULL) = (event in ('due', 'overdue')) AND (report_id IS NULL) = (owed_by IS NOT NULL)",
        name="reminder",
    ),
    sa.CheckConstraint("(state = 'sending') = (claim IS NOT NULL)", name="claim"),
    # By connector first: the backlog of one that is paused must cost the others nothing.
    sa.Index("ix_deliveries_pending", "connector_id", "due_at", postgresql_where=sa.text("state = 'pending'")),
    sa.Index("ix_deliveries_sending", "connector_id", "due_at", postgresql_where=sa.text("state = 'sending'")),
    sa.Index(
        "ix_deliveries_stuck",
        "connector_id",
        "id",
        postgresql_where=sa.text("state in ('refused', 'exhausted')"),
    ),
    sa.Index(
        "ix_deliveries_stuck_order",
        "connector_id",
        "seq",
        postgresql_where=sa.text("state in ('refused', 'exhausted')"),
    ),
    sa.Index(
        "ix_deliveries_order",
        "connector_id",
        "agency_id",
        "form_id",
        "period",
        "kind",
        "seq",
        postgresql_where=sa.text("state in ('pending', 'sending') and report_id IS NOT NULL"),
    ),
    sa.UniqueConstraint("report_id", "connector_id", "event"),
    sa.Index(
        "uq_deliveries_reminder",
        "connector_id",
        "agency_id",
        "form_id",
        "period",
        "kind",
        "event",
        "owed_by",
        unique=True,
        postgresql_where=sa.text("report_id IS NULL"),
    ),
)


@dataclass(frozen=True, slots=True)
class KeptDelivery:
    """A delivery as it is kept; agency and form are storage keys."""

    id: UUID
    connector_id: int
    connector: str
    under: str | None
    is_removed: bool
    report_id: UUID | None
    event: str
    agency_id: int
    form_id: int
    period: str
    kind: str
    owed_by: date | None
    state: str
    made_at: datetime
    due_at: datetime
    attempts: int
    finished_at: datetime | None
    outcome: str | None
    receipt: str | None


@dataclass(frozen=True, slots=True)
class WantedDeliveries:
    """Which deliveries to list: of which connectors (None is all), and ``before`` the last of the page before."""

    connectors: Sequence[int] | None
    filter: DeliveryFilter = field(default_factory=DeliveryFilter)
    before: UUID | None = None
    limit: int = 100


_DELIVERY = """
SELECT d.id, d.connector_id, c.name AS connector, c.under, c.removed_at IS NOT NULL AS is_removed, d.report_id,
       d.event, d.agency_id, d.form_id, d.period, d.kind, d.owed_by, d.state, d.made_at, d.due_at, d.attempts,
       d.finished_at, d.outcome, d.receipt
  FROM deliveries d JOIN connectors c ON c.id = d.connector_id
"""


async def find_delivery(connection: Any, delivery: UUID) -> KeptDelivery | None:
    row = await connection.fetchrow(_DELIVERY + "WHERE d.id = $1", delivery)
    return None if row is None else KeptDelivery(**row)


async def list_deliveries(connection: Any, wanted: WantedDeliveries) -> list[KeptDelivery]:
    """Deliveries, newest first."""
    conditions = {"d.connector_id = ANY ({}::int[])": wanted.connectors, "d.id < {}": wanted.before}
    given = {text: value for text, value in conditions.items() if value is not None} | {**wanted.filter.conditions}
    rows = await connection.fetch(
        f"{_DELIVERY} WHERE {where(given)} ORDER BY d.id DESC LIMIT {int(wanted.limit)}",
        *given.values(),
    )
    return [KeptDelivery(**row) for row in rows]


NOT_PASSED = """(d.report_id IS NULL OR NOT EXISTS (
    SELECT FROM reports r JOIN deliveries l ON l.report_id = r.id AND l.connector_id = d.connector_id
     WHERE r.agency_id = d.agency_id AND r.form_id = d.form_id AND r.kind = d.kind AND r.period = d.period
       AND l.seq > d.seq AND (l.state IN ('sending', 'delivered') OR l.may_have_arrived OR EXISTS (
           SELECT FROM attempts a WHERE a.delivery_id = l.id AND a.outcome IN ('delivered', 'ambiguous')
              AND a.started_at >= l.made_at - interval '1 day'))))"""
"""Of a delivery that has ended: the upstream is not being given, and neither has nor may have, a later event of its
report's key."""


_REOPEN = f"""
UPDATE deliveries d SET state = 'pending', due_at = now(), outcome = $2
 WHERE id = $1 AND state IN ('refused', 'exhausted', 'cancelled') AND {NOT_PASSED}
"""  # noqa: S608 - fixed words


async def reopen_delivery(connection: Any, delivery: UUID, words: str) -> bool:
    """Make a final delivery pending and due; False when a later one of its key has passed it.

    Under the connector's lock.
    """
    tag: str = await connection.execute(
        _REOPEN,
        delivery,
        words,
    )
    return tag == "UPDATE 1"


async def hasten_delivery(connection: Any, delivery: UUID) -> None:
    """Make a pending delivery due now."""
    await connection.execute(
        "UPDATE deliveries SET due_at = least(due_at, now()) WHERE id = $1 AND state = 'pending'", delivery
    )


async def cancel_delivery(connection: Any, delivery: UUID, words: str) -> None:
    """Give up a delivery that is neither being sent nor delivered. Under the connector's lock."""
    await connection.execute(
        "UPDATE deliveries SET state = 'cancelled', finished_at = now(), outcome = $2"
        " WHERE id = $1 AND state IN ('pending', 'refused', 'exhausted')",
        delivery,
        words,
    )


_CANCEL = """
UPDATE deliveries d SET state = 'cancelled', claim = NULL, finished_at = now(), outcome = $2
  FROM connectors c WHERE d.connector_id = $1 AND c.id = d.connector_id AND {}
RETURNING d.id, c.name, d.event, d.report_id
"""
_AT_ONCE = 1000


async def cancel_open(connection: Any, connector: int, words: str, by: UUID) -> int:
    """Give up all that is pending or being sent to a connector, and return how many; attempts record nothing then."""
    return await _cancel(connection, _CANCEL.format("d.state IN ('pending', 'sending')"), by, connector, words)


async def cancel_reminders(connection: Any, connector: int, events: Sequence[str], words: str, by: UUID) -> None:
    """Give up a connector's reminders of some events that are waiting to be sent."""
    waiting = "d.event = ANY ($3::text[]) AND d.report_id IS NULL AND d.state = 'pending'"
    await _cancel(connection, _CANCEL.format(waiting), by, connector, words, events)


async def _cancel(connection: Any, statement: str, by: UUID, *given: object) -> int:
    """Give up deliveries in one statement, and have the log record the end of each, so many at once."""
    at, count = await clock(connection), 0
    cursor = await connection.cursor(statement, *given)
    while rows := await cursor.fetch(_AT_ONCE):
        count += len(rows)
        await add_entries(connection, [_cancelled(row, at, by) for row in rows])
    return count


def _cancelled(row: Any, at: datetime, by: UUID) -> NewEntry:
    about = {"delivery": str(row["id"]), "connector": row["name"], "event": row["event"]}
    return new_entry("cancelled", at, by, about, report=row["report_id"])


@dataclass(frozen=True, slots=True)
class Backlog:
    """Which kept reports a connector is to be given although they are older than it; None is all."""

    connector: int
    since: datetime
    agencies: Sequence[int] | None
    forms: Sequence[int] | None
    kinds: Sequence[str]


# A version 7 UUID (RFC 9562): 48 bits of Unix milliseconds laid over a random version 4.
_NEW_ID = """encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid()) PLACING
           substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6),
           52, 1), 53, 1), 'hex')::uuid"""

_ADD_BACKLOG = f"""
INSERT INTO deliveries (id, connector_id, report_id, event, reason, agency_id, form_id, period, kind)
SELECT {_NEW_ID},
       $1, r.id, CASE e.event WHEN 'corrected' THEN 'accepted' ELSE e.event END,
       CASE WHEN e.event IN ('returned', 'withdrawn') THEN e.reason END,
       r.agency_id, r.form_id, r.period, r.kind
  FROM report_events e JOIN reports r ON r.id = e.report_id
 WHERE r.received_at >= $2 AND ($3::int[] IS NULL OR r.agency_id = ANY ($3))
   AND ($4::int[] IS NULL OR r.form_id = ANY ($4)) AND r.kind = ANY ($5::text[])
   AND NOT EXISTS (SELECT FROM reports l JOIN deliveries d ON d.report_id = l.id AND d.connector_id = $1
                    WHERE l.agency_id = r.agency_id AND l.form_id = r.form_id AND l.kind = r.kind
                      AND l.period = r.period AND l.revision >= r.revision)
 ORDER BY e.seq
RETURNING 1
"""  # noqa: S608 - fixed words


async def add_backlog(connection: Any, backlog: Backlog) -> int:
    """Make deliveries of what happened to kept reports before now, in order, and return how many.

    A report that the connector has a delivery of, or of a later revision, is left out: it would arrive too late.
    """
    rows = await connection.fetch(
        _ADD_BACKLOG,
        backlog.connector,
        backlog.since,
        backlog.agencies,
        backlog.forms,
        backlog.kinds,
    )
    return len(rows)


@dataclass(frozen=True, slots=True)
class NewReminder:
    """A reminder to be made; agency and form are storage keys. ``returned`` is the report that was sent back."""

    connector: int
    event: str
    agency: int
    form: int
    period: str
    period_end: date
    kind: str
    owed_by: date
    returned: UUID | None


_ADD_REMINDERS = f"""
INSERT INTO deliveries (id, connector_id, event, agency_id, form_id, period, kind, owed_by)
SELECT {_NEW_ID}, n.connector_id, n.event, n.agency_id, n.form_id, n.period, n.kind, n.owed_by
  FROM unnest($1::int[], $2::text[], $3::int[], $4::int[], $5::text[], $6::date[], $7::text[], $8::date[], $9::uuid[])
       AS n(connector_id, event, agency_id, form_id, period, period_end, kind, owed_by, returned)
 WHERE (SELECT r.id FROM reports r
         WHERE r.agency_id = n.agency_id AND r.form_id = n.form_id AND r.kind = n.kind
           AND r.period_end = n.period_end AND r.period = n.period AND r.status IN ('accepted', 'returned'))
       IS NOT DISTINCT FROM n.returned
    ON CONFLICT (connector_id, agency_id, form_id, period, kind, event, owed_by) WHERE report_id IS NULL DO NOTHING
RETURNING 1
"""  # noqa: S608 - fixed words


async def add_reminders(connection: Any, reminders: Sequence[NewReminder]) -> int:
    """Make those reminders that there are not yet and whose report is still missing; returns how many."""
    rows = await connection.fetch(
        _ADD_REMINDERS,
        [each.connector for each in reminders],
        [each.event for each in reminders],
        [each.agency for each in reminders],
        [each.form for each in reminders],
        [each.period for each in reminders],
        [each.period_end for each in reminders],
        [each.kind for each in reminders],
        [each.owed_by for each in reminders],
        [each.returned for each in reminders],
    )
    return len(rows)
