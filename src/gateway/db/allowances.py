"""How much of their limits clients have used, exact over all processes: one row a client, taken from under its lock.

Takes commit without waiting for the disk: what a crash of the server forgets is at most the last second's.
"""

from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa

from gateway.db.base import Instant, metadata

buckets = sa.Table(
    "client_buckets",
    metadata,
    sa.Column("client_id", sa.Uuid, primary_key=True),
    # Requests that may be made at ``filled_at``; it grows with time, up to the client's burst.
    sa.Column("tokens", sa.Double, nullable=False),
    sa.Column("filled_at", Instant, nullable=False),
    # To whoever asked last.
    sa.Column("granted", sa.Integer, nullable=False),
)

days = sa.Table(
    "client_days",
    metadata,
    sa.Column("client_id", sa.Uuid, primary_key=True),
    # The last civil day on which it sent reports, and how many.
    sa.Column("day", sa.Date, nullable=False),
    sa.Column("reports", sa.Integer, nullable=False),
    sa.Column("granted", sa.Integer, nullable=False),
)

# The clock is read once the row is locked, in a subquery of its own (OFFSET 0) so that it is read once.
_TAKE_REQUESTS = """
INSERT INTO client_buckets AS kept (client_id, tokens, filled_at, granted)
SELECT $1, $3::int - least($4::int, $3::int), clock_timestamp(), least($4::int, $3::int)
  FROM (SELECT set_config('synchronous_commit', 'off', true)) quickly
ON CONFLICT (client_id) DO UPDATE SET (tokens, filled_at, granted) = (
    SELECT level - least($4::int, floor(level)), greatest(at, kept.filled_at), least($4::int, floor(level))
      FROM (SELECT at, least($3::int, kept.tokens
                   + $2::float8 * greatest(0, extract(epoch FROM at - kept.filled_at))) AS level
              FROM (SELECT clock_timestamp() AS at OFFSET 0) clock OFFSET 0) filled)
RETURNING granted, greatest(0, (1 - tokens) / $2::float8) AS seconds
"""

_TAKE_REPORTS = """
INSERT INTO client_days AS kept (client_id, day, reports, granted)
SELECT $1, (now() AT TIME ZONE 'Asia/Ho_Chi_Minh')::date, least($3::int, $2::int), least($3::int, $2::int)
  FROM (SELECT set_config('synchronous_commit', 'off', true)) quickly
ON CONFLICT (client_id) DO UPDATE SET (day, reports, granted) = (
    SELECT today, used + more, more
      FROM (SELECT today, used, greatest(0, least($3::int, $2::int - used)) AS more
              FROM (SELECT today, CASE WHEN kept.day = today THEN kept.reports ELSE 0 END AS used
                      FROM (SELECT (clock_timestamp() AT TIME ZONE 'Asia/Ho_Chi_Minh')::date AS today OFFSET 0) clock
                    OFFSET 0) so_far) allowed)
RETURNING granted,
    extract(epoch FROM ((day + 1)::timestamp AT TIME ZONE 'Asia/Ho_Chi_Minh') - clock_timestamp())::float8 AS seconds
"""


class Granted(NamedTuple):
    """How many were granted, and the seconds until there may be another."""

    number: int
    seconds: float


async def take_requests(connection: Any, client: UUID, per_second: float, burst: int, wanted: int) -> Granted:
    """Take requests out of a client's bucket, which holds ``burst`` and fills with time: as many as there are."""
    return Granted(*await connection.fetchrow(_TAKE_REQUESTS, client, per_second, burst, wanted))


async def take_reports(connection: Any, client: UUID, per_day: int, wanted: int) -> Granted:
    """Take reports out of what a client may send on this civil day: as many as are left."""
    return Granted(*await connection.fetchrow(_TAKE_REPORTS, client, per_day, wanted))
