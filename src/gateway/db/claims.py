"""Claiming deliveries for a worker, and recording what its attempts came to.

A claim makes a delivery ``sending`` and lets it be claimed again when its lease has run out. The claim's id
is a fencing token: a worker that outlived its lease records nothing.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4


@dataclass(frozen=True, slots=True)
class Target:
    """The upstream of a delivery as it is now. ``credentials`` are encrypted."""

    number: int
    name: str
    kind: str
    url: str
    allow_private_addresses: bool
    credentials: bytes | None


@dataclass(frozen=True, slots=True)
class Owed:
    """The obligation a reminder is of, and the day it was owed by when the reminder was made.

    Agency and form are storage keys.
    """

    agency: int
    form: int
    period: str
    kind: str
    by: date
    made_at: datetime


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that is ours to send for a lease; ``claimed_at`` is when it was claimed by the database's clock.

    It is of a ``report``, or else of what is ``owed``. ``earlier`` attempts have failed since ``first_at`` (None when
    there were none).
    """

    id: UUID
    claim: UUID
    target: Target
    report: UUID | None
    owed: Owed | None
    event: str
    reason: str | None
    number: int
    earlier: int
    first_at: datetime | None
    claimed_at: datetime


@dataclass(frozen=True, slots=True)
class NewAttempt:
    """How an attempt ended, and what becomes of its delivery; ``due_at`` only where it is tried again."""

    started_at: datetime
    finished_at: datetime
    outcome: str
    status: int | None
    reason: str
    reply: str | None
    state: str
    due_at: datetime | None


# Claims of one connector take turns. A snapshot is taken before a statement waits for locks, so a single
# statement could judge the order of a key by what was true before a retry of an earlier delivery committed.
# A worker that stalls between the two statements loses its turn.
_TAKE_TURN = """
SELECT id, set_config('idle_in_transaction_session_timeout', '5s', true) FROM connectors c
 WHERE removed_at IS NULL AND paused_at IS NULL
   AND EXISTS (SELECT FROM deliveries d WHERE d.connector_id = c.id AND d.state IN ('pending', 'sending')
                                          AND d.due_at <= now())
   FOR NO KEY UPDATE SKIP LOCKED
"""

_CLAIM = """
WITH pace AS (
    SELECT id, concurrency, rate, greatest(paced_until, now() - greatest(1, 1 / rate) * interval '1 second') AS since
      FROM connectors WHERE id = ANY ($1::int[])
), room AS (
    SELECT id, greatest(0, least($2::bigint, floor(extract(epoch FROM now() - since) * rate), concurrency -
               (SELECT count(*) FROM deliveries WHERE connector_id = pace.id AND state = 'sending'
                   AND due_at > now() AND due_at <= now() + $3::interval)))::bigint AS places
      FROM pace
), due AS (
    SELECT due.* FROM room CROSS JOIN LATERAL (
        SELECT id, state, attempts, due_at FROM deliveries d
         WHERE connector_id = room.id AND state IN ('pending', 'sending') AND due_at <= now()
           AND NOT EXISTS (
               SELECT FROM deliveries e
                WHERE e.connector_id = d.connector_id AND e.agency_id = d.agency_id AND e.form_id = d.form_id
                  AND e.period = d.period AND e.kind = d.kind AND e.seq < d.seq
                  AND e.state IN ('pending', 'sending') AND e.report_id IS NOT NULL AND d.report_id IS NOT NULL)
         ORDER BY due_at LIMIT room.places FOR UPDATE SKIP LOCKED
    ) AS due ORDER BY due_at LIMIT $2
), claimed AS (
    UPDATE deliveries d SET state = 'sending', claim = $4, due_at = now() + $3::interval, attempts = d.attempts + 1
      FROM due WHERE d.id = due.id
    RETURNING d.*, due.state = 'sending' AS is_lost, due.due_at - $3::interval AS lost_at
), lost AS (
    INSERT INTO attempts (delivery_id, number, started_at, finished_at, outcome, reason)
    SELECT id, attempts - 1, lost_at, now(), 'ambiguous', $5 FROM claimed WHERE is_lost
), paced AS (
    UPDATE connectors SET paced_until = pace.since + taken.count / pace.rate * interval '1 second'
      FROM pace, (SELECT connector_id, count(*) FROM claimed GROUP BY connector_id) AS taken
     WHERE connectors.id = pace.id AND taken.connector_id = pace.id AND pace.rate IS NOT NULL
)
SELECT claimed.id, report_id, event, reason, claimed.attempts AS number, clock_timestamp() AS claimed_at,
       agency_id, form_id, period, claimed.kind AS report_kind, owed_by, claimed.made_at,
       c.id AS connector, c.name, c.kind, c.url, c.allow_private_addresses, c.credentials,
       made.count + is_lost::int AS earlier, least(made.first_at, CASE WHEN is_lost THEN lost_at END) AS first_at
  FROM claimed JOIN connectors c ON c.id = connector_id
 CROSS JOIN LATERAL (SELECT count(*), min(started_at) AS first_at FROM attempts a
                      WHERE a.delivery_id = claimed.id
                        AND a.started_at > coalesce(claimed.finished_at, '-infinity')) AS made
"""

_LOST = "the worker went away before it recorded how the attempt ended"


async def claim_due(connection: Any, slots: int, lease: timedelta) -> list[Claimed]:
    """Claim up to ``slots`` deliveries that are due, of every connector at most as many as it may have in flight.

    Of one connector and key of report only the earliest open delivery is given, and never while it is being sent.
    """
    claim = uuid4()
    async with connection.transaction():
        turns = [row["id"] for row in await connection.fetch(_TAKE_TURN)]
        rows = await connection.fetch(_CLAIM, turns, slots, lease, claim, _LOST) if turns else []
    return [
        Claimed(
            row["id"],
            claim,
            Target(
                row["connector"],
                row["name"],
                row["kind"],
                row["url"],
                row["allow_private_addresses"],
                row["credentials"],
            ),
            row["report_id"],
            _owed(row),
            row["event"],
            row["reason"],
            row["number"],
            row["earlier"],
            row["first_at"],
            row["claimed_at"],
        )
        for row in rows
    ]


def _owed(row: Any) -> Owed | None:
    if row["report_id"] is not None:
        return None
    return Owed(row["agency_id"], row["form_id"], row["period"], row["report_kind"], row["owed_by"], row["made_at"])


_RECORD = """
WITH ended AS (
    UPDATE deliveries
       SET state = $3, claim = NULL, due_at = coalesce($4, due_at), outcome = $5,
           finished_at = CASE WHEN $3 = 'pending' THEN finished_at ELSE now() END
     WHERE id = $1 AND claim = $2 RETURNING id, attempts
)
INSERT INTO attempts (delivery_id, number, started_at, finished_at, outcome, status, reason, reply)
SELECT id, attempts, $6, $7, $8, $9, $5, $10 FROM ended RETURNING number
"""


async def record_attempt(connection: Any, claimed: Claimed, attempt: NewAttempt) -> bool:
    """Record how an attempt ended; False, and nothing recorded, when the delivery is not ours any more."""
    number = await connection.fetchval(
        _RECORD,
        claimed.id,
        claimed.claim,
        attempt.state,
        attempt.due_at,
        attempt.reason,
        attempt.started_at,
        attempt.finished_at,
        attempt.outcome,
        attempt.status,
        attempt.reply,
    )
    return number is not None


async def cancel_claimed(connection: Any, claimed: Claimed, words: str) -> bool:
    """Give up a delivery of which nothing was sent; False, and nothing done, when it is not ours any more."""
    tag: str = await connection.execute(
        "UPDATE deliveries SET state = 'cancelled', claim = NULL, attempts = attempts - 1, finished_at = now(),"
        " outcome = $3 WHERE id = $1 AND claim = $2",
        claimed.id,
        claimed.claim,
        words,
    )
    return tag == "UPDATE 1"
