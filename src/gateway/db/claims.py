"""Claiming deliveries for a worker, and renewing its claims.

A claim makes a delivery ``sending`` and lets it be claimed again when its lease has run out. The claim's id
is a fencing token: a worker that outlived its lease records nothing (``db/recording.py``).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from operator import itemgetter
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


class _Seen(NamedTuple):
    """A delivery that is due, as it was seen, and what there was room for then.

    ``version`` of its row is another whenever anything of it was changed. ``connector`` had its turn number ``turn``,
    room for ``places`` more beside what was ``flying``, and has used its rate up to ``since`` (None where it has none).
    ``losses`` counts how many workers in a row were lost with it, if it is claimed now; ``is_lost``: the last one was.
    """

    id: UUID
    version: int
    connector: int
    turn: int | None
    places: int
    flying: int
    since: datetime | None
    is_lost: bool
    due_at: datetime
    losses: int
    connectors: int
    is_behind: bool


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
    SELECT id, turn, rate, since, flying,
           greatest(0, least($1::bigint, floor(extract(epoch FROM now() - since) * rate),
                             least(concurrency, room) - flying))::bigint AS places
      FROM pace
)
SELECT d.id, d.version, room.id, room.turn, room.places, room.flying, CASE WHEN rate IS NOT NULL THEN room.since END,
       d.state = 'sending', d.due_at, d.losses + (d.state = 'sending')::int,
       (SELECT count(*) FROM connectors WHERE removed_at IS NULL AND paused_at IS NULL),
       d.report_id IS NOT NULL AND coalesce((
           SELECT true FROM deliveries e
            WHERE e.connector_id = room.id AND e.agency_id = d.agency_id AND e.form_id = d.form_id
              AND e.period = d.period AND e.kind = d.kind AND e.seq < d.seq
              AND e.state IN ('pending', 'sending') AND e.report_id IS NOT NULL
            ORDER BY e.seq LIMIT 1), false) AS is_behind
  FROM room CROSS JOIN LATERAL (
       (SELECT *, xmin AS version FROM deliveries WHERE connector_id = room.id AND state = 'sending' AND due_at <= now()
         ORDER BY due_at LIMIT room.places)
       UNION ALL
       (SELECT *, xmin AS version FROM deliveries WHERE connector_id = room.id AND state = 'pending' AND due_at <= now()
         ORDER BY due_at LIMIT room.places + 8)) AS d
"""

# Claims of one connector take turns, without which two would fill the same room, and one could go by the order that a
# key had before an earlier delivery of it was taken up again: what was seen in another's turn is not claimed. A turn
# that was taken since this statement began is found when the row is locked, which looks at it as it is then.
# What is not as it was seen any more (its xmin is another) was recorded meanwhile, by a worker that outlived its lease.
# Earlier attempts are looked for in the months since the delivery was made (db/attempts.py), and not at all of one that
# was never tried. What is the same for all, or for all of a connector, is told once, and of a report not what is read
# with it: the driver takes longer for values than PostgreSQL does.
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
           losses = d.losses + (seen.ended_at IS NOT NULL)::int, is_behind = false
      FROM (SELECT seen.* FROM unnest($1::uuid[], $2::xid[], $3::timestamptz[], $10::int[])
                                 AS seen(id, version, ended_at, connector_id)
              JOIN turn USING (connector_id) OFFSET 0) AS seen
     WHERE d.id = ANY (ARRAY[seen.id]) AND d.xmin = seen.version
    RETURNING d.*, seen.ended_at IS NOT NULL AS is_lost, seen.ended_at - $4::interval AS lost_at
), lost AS (
    INSERT INTO attempts (delivery_id, number, started_at, finished_at, outcome, reason)
    SELECT id, attempts - 1, lost_at, now(), 'ambiguous', $6 FROM claimed WHERE is_lost
), paced AS (
    UPDATE connectors SET paced_until = pace.since + spent.count / rate * interval '1 second'
      FROM unnest($7::int[], $8::timestamptz[]) AS pace(id, since),
           (SELECT connector_id, count(*) FROM claimed GROUP BY connector_id) AS spent
     WHERE connectors.id = pace.id AND spent.connector_id = pace.id AND rate IS NOT NULL
)
SELECT claimed.id, connector_id, report_id, event, reason, claimed.attempts, losses, is_lost,
       made.count + is_lost::int, least(made.first_at, CASE WHEN is_lost THEN lost_at END),
       CASE WHEN nth = 1 THEN clock_timestamp() END AS claimed_at, owed.*,
       c.name, c.kind, c.url, c.allow_private_addresses, c.credentials, c.options::text, c.retry::text
  FROM (SELECT *, row_number() OVER (PARTITION BY connector_id) AS nth FROM claimed) AS claimed
  LEFT JOIN connectors c ON c.id = connector_id AND nth = 1
  LEFT JOIN LATERAL (SELECT claimed.agency_id, claimed.form_id, claimed.period, claimed.kind, claimed.owed_by,
                            claimed.made_at
                      WHERE report_id IS NULL) AS owed ON true
 CROSS JOIN LATERAL (SELECT count(*), min(started_at) AS first_at FROM attempts a
                      WHERE a.delivery_id = claimed.id
                        AND claimed.attempts > 1
                        AND a.started_at > greatest(claimed.finished_at, claimed.made_at - interval '1 day')) AS made
"""

# A delivery behind an earlier one of its key is not looked at again until that one ends, which makes it due (function
# follow_together), or after a while in any case. Nothing is put off behind one that is just ending, which is locked.
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
        seen = await _look(connection, slots)
        if not seen:
            return []
        if any(each.turn is None for each in seen):
            await begin_turns(connection)
            continue
        behind = [each.id for each in seen if each.is_behind]
        is_changed = bool(behind) and await connection.execute(_PUT_OFF, behind) != "UPDATE 0"
        poison = [each for each in seen if each.losses >= most_losses]
        if poison:
            await set_aside(connection, [(each.id, each.due_at) for each in poison], most_losses, lease)
            seen = [each for each in seen if each.losses < most_losses]
        chosen = _choose(seen, slots, _most(seen[0].connectors, slots) if seen and is_shared else slots.free)
        if chosen:
            if claimed := await _take(connection, chosen, lease):
                return claimed
            missed += 1
        elif not (is_changed or poison):
            return []
    return []


async def _look(connection: Any, slots: Slots) -> list[_Seen]:
    return [_Seen(*row) for row in await connection.fetch(_LOOK, slots.free)] if slots.free > 0 else []


def _most(connectors: int, slots: Slots) -> int:
    """The most that a worker has of one connector: half of what it has room for, or all where there is no other."""
    most = slots.most or slots.free + sum(slots.sending.values())
    return max(1, most // 2) if connectors > 1 else most


def _choose(seen: Sequence[_Seen], slots: Slots, most: int) -> list[_Seen]:
    """Which of the deliveries seen are claimed: those of connectors with little in flight first, oldest first.

    What a worker was sending that went away goes before all that waits, however long a backlog is.
    """
    may_suspect, found = not slots.has_suspect, list[tuple[int, _Seen]]()
    taken: Counter[int] = Counter()
    for each in sorted(seen, key=lambda each: (not each.is_lost, each.due_at)):
        connector, is_suspect = each.connector, each.losses >= _SUSPICIOUS
        so_far = taken[connector]
        if each.is_behind or so_far >= each.places or (is_suspect and not may_suspect):
            continue
        if slots.sending.get(connector, 0) + so_far >= most:
            continue
        found.append((each.flying + so_far, each))
        taken[connector] = so_far + 1
        may_suspect = may_suspect and not is_suspect
    return [each for _, each in sorted(found, key=itemgetter(0))][: slots.free]


async def _take(connection: Any, chosen: Sequence[_Seen], lease: timedelta) -> list[Claimed]:
    claim, seen = uuid4(), {each.connector: each for each in chosen}
    rows = await connection.fetch(
        _CLAIM,
        [each.id for each in chosen],
        [each.version for each in chosen],
        [each.due_at if each.is_lost else None for each in chosen],
        lease,
        claim,
        LOST,
        list(seen),
        [each.since for each in seen.values()],
        [each.turn for each in seen.values()],
        [each.connector for each in chosen],
    )
    of_connector = {
        row["connector_id"]: (Target(row["connector_id"], *row[_TARGET:]), row["claimed_at"])
        for row in rows
        if row["claimed_at"] is not None
    }
    return [_claimed(row, claim, *of_connector[row["connector_id"]]) for row in rows]


_TARGET = 17
"""So many columns of what a claim gives come before those of the connector."""


def _claimed(row: Any, claim: UUID, target: Target, at: datetime) -> Claimed:
    delivery, _, report, event, reason, number, losses, is_lost, earlier, first_at, _, *owed = row[:_TARGET]
    return Claimed(
        delivery,
        claim,
        target,
        report,
        Owed(*owed) if report is None else None,
        event,
        reason,
        number,
        earlier,
        first_at,
        at,
        losses >= _SUSPICIOUS,
        is_lost,
    )


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
