"""Claiming deliveries for a worker, and renewing its claims.

A claim makes a delivery ``sending`` and lets it be claimed again when its lease has run out. The claim's id
is a fencing token: a worker that outlived its lease records nothing (``db/recording.py``).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from gateway.db.poison import LOST, set_aside
from gateway.db.turns import begin_turns


@dataclass(frozen=True, slots=True)
class Target:
    """The upstream of a delivery as it is now. ``credentials`` are encrypted, ``options`` and ``retry`` are JSON."""

    number: int
    name: str
    kind: str
    url: str
    allow_private_addresses: bool
    credentials: bytes | None
    options: str | None = None
    retry: str | None = None


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


class Claimed(NamedTuple):
    """A delivery that is ours to send for a lease; ``claimed_at`` is when it was claimed by the database's clock.

    It is of a ``report``, or else of what is ``owed``. ``earlier`` attempts have failed since ``first_at`` (None when
    there were none). ``is_suspect``: its workers keep going away; ``is_lost``: the last one did.
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
    is_suspect: bool = False
    is_lost: bool = False


@dataclass(frozen=True, slots=True)
class Slots:
    """What a worker has room for: so many deliveries, and what it is sending already to each connector.

    ``has_suspect``: whether one of them is a delivery whose workers keep going away. ``most``: how many it has room for
    in all; as many as are free and taken unless it says so.
    """

    free: int
    sending: Mapping[int, int] = field(default_factory=dict)
    has_suspect: bool = False
    most: int = 0


# Each connector costs the same to look at, whatever its backlog is: it is asked for the first, or as many as matter, in
# the order of an index, since what has no order could be answered from another index, read from end to end. A few more
# are looked at than there is room for, since some may be behind others.
_LOOK = """
WITH calling AS MATERIALIZED (
    SELECT c.id, c.concurrency, c.rate, c.paced_until, t.number AS turn
      FROM connectors c LEFT JOIN turns t ON t.connector_id = c.id
     WHERE removed_at IS NULL AND paused_at IS NULL
       AND NOT EXISTS (SELECT FROM breakers b WHERE b.connector_id = c.id AND b.opens_until > now())
       AND least((SELECT due_at FROM deliveries WHERE connector_id = c.id AND state = 'pending'
                   ORDER BY due_at LIMIT 1),
                 (SELECT due_at FROM deliveries WHERE connector_id = c.id AND state = 'sending'
                   ORDER BY due_at LIMIT 1)) <= now()
), pace AS MATERIALIZED (
    SELECT c.id, turn, concurrency, rate, b.room,
           greatest(paced_until, now() - greatest(1, 1 / rate) * interval '1 second') AS since,
           (SELECT count(*) FROM (SELECT FROM deliveries
                                   WHERE connector_id = c.id AND state = 'sending' AND due_at > now()
                                   ORDER BY due_at LIMIT concurrency) AS held) AS flying
      FROM calling c LEFT JOIN breakers b ON b.connector_id = c.id
), room AS (
    SELECT id, turn, since, flying,
           greatest(0, least($1::bigint, floor(extract(epoch FROM now() - since) * rate),
                             least(concurrency, room) - flying))::bigint AS places
      FROM pace
)
SELECT d.id, room.id AS connector, room.turn, room.places, room.flying, room.since, d.state, d.due_at, d.losses,
       (SELECT count(*) FROM connectors WHERE removed_at IS NULL AND paused_at IS NULL) AS connectors,
       d.report_id IS NOT NULL AND coalesce((
           SELECT true FROM deliveries e
            WHERE e.connector_id = room.id AND e.agency_id = d.agency_id AND e.form_id = d.form_id
              AND e.period = d.period AND e.kind = d.kind AND e.seq < d.seq
              AND e.state IN ('pending', 'sending') AND e.report_id IS NOT NULL
            ORDER BY e.seq LIMIT 1), false) AS is_behind
  FROM room CROSS JOIN LATERAL (
       (SELECT * FROM deliveries WHERE connector_id = room.id AND state = 'sending' AND due_at <= now()
         ORDER BY due_at LIMIT room.places)
       UNION ALL
       (SELECT * FROM deliveries WHERE connector_id = room.id AND state = 'pending' AND due_at <= now()
         ORDER BY due_at LIMIT room.places + 8)) AS d
"""

# Claims of one connector take turns, without which two would fill the same room, and one could go by the order that a
# key had before an earlier delivery of it was taken up again: what was seen in another's turn is not claimed. A turn
# that was taken since this statement began is found when the row is locked, which looks at it as it is then.
# What is not as it was seen any more was recorded meanwhile, by a worker that outlived its lease. Earlier attempts are
# looked for in the months since the delivery was made (db/attempts.py), and not at all of one that was never tried.
_CLAIM = """
WITH turn AS MATERIALIZED (
    SELECT t.connector_id FROM unnest($7::int[], $9::bigint[]) AS seen(connector, turn)
      JOIN turns t ON t.connector_id = seen.connector AND t.number = seen.turn
      JOIN connectors c ON c.id = seen.connector
     WHERE removed_at IS NULL AND paused_at IS NULL
       FOR NO KEY UPDATE OF t, c SKIP LOCKED
), taken AS (
    UPDATE turns SET number = number + 1 FROM turn WHERE turns.connector_id = turn.connector_id
), claimed AS (
    UPDATE deliveries d SET state = 'sending', claim = $5, due_at = now() + $4::interval, attempts = d.attempts + 1,
           losses = CASE WHEN seen.state = 'sending' THEN d.losses + 1 ELSE d.losses END, is_behind = false
      FROM (SELECT seen.* FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $10::int[])
                                 AS seen(id, state, due_at, connector_id)
              JOIN turn USING (connector_id) OFFSET 0) AS seen
     WHERE d.id = ANY (ARRAY[seen.id]) AND d.state = seen.state AND d.due_at = seen.due_at
    RETURNING d.*, seen.state = 'sending' AS is_lost, seen.due_at - $4::interval AS lost_at
), lost AS (
    INSERT INTO attempts (delivery_id, number, started_at, finished_at, outcome, reason)
    SELECT id, attempts - 1, lost_at, now(), 'ambiguous', $6 FROM claimed WHERE is_lost
), paced AS (
    UPDATE connectors SET paced_until = pace.since + spent.count / rate * interval '1 second'
      FROM unnest($7::int[], $8::timestamptz[]) AS pace(id, since),
           (SELECT connector_id, count(*) FROM claimed GROUP BY connector_id) AS spent
     WHERE connectors.id = pace.id AND spent.connector_id = pace.id AND rate IS NOT NULL
)
SELECT claimed.id, report_id, event, reason, claimed.attempts AS number, clock_timestamp() AS claimed_at,
       agency_id, form_id, period, claimed.kind AS report_kind, owed_by, claimed.made_at, losses, is_lost,
       c.id AS connector, c.name, c.kind, c.url, c.allow_private_addresses, c.credentials, c.options::text AS options,
       c.retry::text AS retry,
       made.count + is_lost::int AS earlier, least(made.first_at, CASE WHEN is_lost THEN lost_at END) AS first_at
  FROM claimed JOIN connectors c ON c.id = connector_id
 CROSS JOIN LATERAL (SELECT count(*), min(started_at) AS first_at FROM attempts a
                      WHERE a.delivery_id = claimed.id
                        AND claimed.attempts > 1
                        AND a.started_at > greatest(claimed.finished_at, claimed.made_at - interval '1 day')) AS made
"""

# A delivery behind an earlier one of its key is not looked at again until that one ends, which makes it due
# (function follow), or after a while in any case. Nothing is put off behind one that is just ending, which is locked.
_PUT_OFF = """
UPDATE deliveries d SET is_behind = true, due_at = now() + interval '10 minutes' * (1 + random())
  FROM (SELECT s.id, s.due_at FROM deliveries s CROSS JOIN LATERAL (
            SELECT FROM deliveries e
             WHERE e.connector_id = s.connector_id AND e.agency_id = s.agency_id AND e.form_id = s.form_id
               AND e.period = s.period AND e.kind = s.kind AND e.seq < s.seq
               AND e.state IN ('pending', 'sending') AND e.report_id IS NOT NULL
             ORDER BY e.seq DESC LIMIT 1 FOR SHARE SKIP LOCKED) AS before
         WHERE s.id = ANY ($1::uuid[])) AS behind
 WHERE d.id = ANY (ARRAY[behind.id]) AND d.state = 'pending' AND d.due_at = behind.due_at AND d.due_at <= now()
"""

_MOST_MISSED = 3
"""So many turns are missed, to others or since a connector is locked, before one waits for a while."""
_SUSPICIOUS = 2
"""After so many losses on end a delivery is sent while no other suspect is: what harms workers is then known."""


async def claim_due(
    connection: Any, slots: Slots, lease: timedelta, most_losses: int = 5, is_shared: bool = True
) -> list[Claimed]:
    """Claim what is due as far as there is room, of every connector at most as many as it may have in flight.

    None waits for another's backlog: those with little in flight come first, and where there are several none gets more
    than half of what there is room for (unless not ``is_shared``). Of one connector and key of report only the earliest
    open delivery is given, and never while it is being sent. One that lost its worker ``most_losses`` times in a row is
    not given again but left to a person.
    """
    missed = 0
    while missed < _MOST_MISSED:
        seen = await connection.fetch(_LOOK, slots.free) if slots.free > 0 else []
        if not seen:
            return []
        if any(row["turn"] is None for row in seen):
            await begin_turns(connection)
            continue
        behind = [row["id"] for row in seen if row["is_behind"]]
        is_changed = bool(behind) and await connection.execute(_PUT_OFF, behind) != "UPDATE 0"
        poison = [row for row in seen if _loses(row) >= most_losses]
        if poison:
            await set_aside(connection, poison, most_losses, lease)
        most = _most(seen[0]["connectors"], slots) if is_shared else slots.free
        chosen = _choose([row for row in seen if _loses(row) < most_losses], slots, most)
        if chosen:
            claim = uuid4()
            if rows := await _take(connection, chosen, lease, claim):
                targets = {number: _target(row) for number, row in {row["connector"]: row for row in rows}.items()}
                return [_claimed(row, claim, targets[row["connector"]]) for row in rows]
            missed += 1
        elif not (is_changed or poison):
            return []
    return []


def _loses(row: Any) -> int:
    """How many workers in a row were lost with a delivery, if it is claimed now."""
    losses: int = row["losses"]
    return losses + 1 if row["state"] == "sending" else losses


def _most(connectors: int, slots: Slots) -> int:
    """The most that a worker has of one connector: half of what it has room for, or all where there is no other."""
    most = slots.most or slots.free + sum(slots.sending.values())
    return max(1, most // 2) if connectors > 1 else most


def _choose(seen: Sequence[Any], slots: Slots, most: int) -> list[Any]:
    """Which of the deliveries seen are claimed: those of connectors with little in flight first, oldest first.

    What a worker was sending that went away goes before all that waits, however long a backlog is.
    """
    may_suspect, found = not slots.has_suspect, list[tuple[int, Any]]()
    taken: Counter[int] = Counter()
    for row in sorted(seen, key=lambda row: (row["state"] != "sending", row["due_at"])):
        connector = row["connector"]
        is_suspect = _loses(row) >= _SUSPICIOUS
        if row["is_behind"] or taken[connector] >= row["places"] or (is_suspect and not may_suspect):
            continue
        if slots.sending.get(connector, 0) + taken[connector] >= most:
            continue
        found.append((row["flying"] + taken[connector], row))
        taken[connector] += 1
        may_suspect = may_suspect and not is_suspect
    return [row for _, row in sorted(found, key=lambda each: each[0])][: slots.free]


async def _take(connection: Any, chosen: Sequence[Any], lease: timedelta, claim: UUID) -> list[Any]:
    seen = {row["connector"]: row for row in chosen}
    rows: list[Any] = await connection.fetch(
        _CLAIM,
        [row["id"] for row in chosen],
        [row["state"] for row in chosen],
        [row["due_at"] for row in chosen],
        lease,
        claim,
        LOST,
        list(seen),
        [row["since"] for row in seen.values()],
        [row["turn"] for row in seen.values()],
        [row["connector"] for row in chosen],
    )
    return rows


def _target(row: Any) -> Target:
    return Target(
        row["connector"],
        row["name"],
        row["kind"],
        row["url"],
        row["allow_private_addresses"],
        row["credentials"],
        row["options"],
        row["retry"],
    )


def _claimed(row: Any, claim: UUID, target: Target) -> Claimed:
    return Claimed(
        row["id"],
        claim,
        target,
        row["report_id"],
        _owed(row),
        row["event"],
        row["reason"],
        row["number"],
        row["earlier"],
        row["first_at"],
        row["claimed_at"],
        row["losses"] >= _SUSPICIOUS,
        row["is_lost"],
    )


def _owed(row: Any) -> Owed | None:
    if row["report_id"] is not None:
        return None
    return Owed(row["agency_id"], row["form_id"], row["period"], row["report_kind"], row["owed_by"], row["made_at"])


async def renew_claims(connection: Any, claims: Sequence[Claimed], lease: timedelta) -> set[UUID]:
    """Give what is being sent a whole lease again; the deliveries that are still ours."""
    rows = await connection.fetch(
        "UPDATE deliveries d SET due_at = now() + $3::interval FROM unnest($1::uuid[], $2::uuid[]) AS held(id, claim)"
        " WHERE d.id = ANY (ARRAY[held.id]) AND d.claim = held.claim RETURNING d.id",
        [each.id for each in claims],
        [each.claim for each in claims],
        lease,
    )
    return {row["id"] for row in rows}
