"""Interventions: what operators did to connectors and deliveries, who it was and why. Only added to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from uuid_utils.compat import uuid7

from gateway.db.base import Instant, metadata
from gateway.db.deliveries import NOT_PASSED
from gateway.db.delivery_filter import DeliveryFilter, where
from gateway.domain.exact import decode, encode

interventions = sa.Table(
    "interventions",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("at", Instant, nullable=False, server_default=sa.func.now()),
    sa.Column("client_id", sa.Uuid, nullable=False),
    sa.Column("connector_id", sa.Integer, nullable=False),
    sa.Column("act", sa.Text, nullable=False),
    # Of a retry of many, the filter they were chosen by, in the words of the request.
    sa.Column("wanted", JSONB(none_as_null=True)),
    sa.Column("reason", sa.Text),
    # How many deliveries it changed, and how many it left alone since a later one of their key had passed them.
    sa.Column("touched", sa.Integer, nullable=False, server_default="0"),
    sa.Column("passed", sa.Integer, nullable=False, server_default="0"),
    # The connector's subtree then: null is the whole country.
    sa.Column("under", sa.Text),
    sa.CheckConstraint("act in ('retry', 'cancel', 'pause', 'resume')", name="act"),
    sa.Index("ix_interventions_connector_id", "connector_id", "id"),
)

intervened = sa.Table(
    "intervened",
    metadata,
    sa.Column("delivery_id", sa.Uuid, primary_key=True),
    sa.Column("intervention_id", sa.Uuid, primary_key=True),
)


@dataclass(frozen=True, slots=True)
class KeptIntervention:
    """One intervention as it is kept."""

    id: UUID
    at: datetime
    client_id: UUID
    act: str
    wanted: Mapping[str, str] | None
    reason: str | None
    touched: int
    passed: int
    under: str | None


class NewIntervention(NamedTuple):
    """An intervention to be kept: what is done to which connector, by whom and why, and chosen by which words."""

    connector: int
    act: str
    client: UUID
    reason: str | None
    wanted: Mapping[str, str] | None = None


class Batch(NamedTuple):
    """How many deliveries were looked at, and how many of them changed; where to go on, None at the end."""

    found: int
    changed: int
    last: tuple[Any, ...] | None


async def add_intervention(connection: Any, new: NewIntervention, delivery: UUID | None = None) -> UUID:
    """Keep what is done, and to which one delivery; its id."""
    identity = uuid7()
    await connection.execute(
        "INSERT INTO interventions (id, client_id, connector_id, act, wanted, reason, touched, under)"
        " VALUES ($1, $2, $3, $4, $5::text::jsonb, $6, $7, (SELECT under FROM connectors WHERE id = $3))",
        identity,
        new.client,
        new.connector,
        new.act,
        None if new.wanted is None else encode(new.wanted).decode(),
        new.reason,
        0 if delivery is None else 1,
    )
    if delivery is not None:
        await connection.execute("INSERT INTO intervened VALUES ($1, $2)", delivery, identity)
    return identity


_COUNT = """
, noted AS (
    INSERT INTO intervened (delivery_id, intervention_id) SELECT id, $2 FROM changed
), counted AS (
    UPDATE interventions SET touched = touched + (SELECT count(*) FROM changed),
                             passed = passed + {passed}
     WHERE id = $2
)
SELECT (SELECT count(*) FROM found) AS found, (SELECT count(*) FROM changed) AS changed, {last}
"""

# In the order of events, so that of one key the earlier is never taken up after the later could have been sent.
_TAKE_UP = """
WITH found AS MATERIALIZED (
    SELECT d.id, d.seq FROM deliveries d
     WHERE d.connector_id = $1 AND d.state IN ('refused', 'exhausted') AND d.seq > $5 AND d.seq <= $6 AND {where}
     ORDER BY d.seq LIMIT $4
), changed AS (
    UPDATE deliveries d SET state = 'pending', due_at = now(), outcome = $3 FROM found
     WHERE d.id = found.id AND {not_passed}
    RETURNING d.id
)
"""
_HASTEN = """
WITH found AS MATERIALIZED (
    SELECT d.id, d.due_at FROM deliveries d
     WHERE d.connector_id = $1 AND d.state = 'pending' AND d.due_at > now() AND NOT d.is_behind
       AND (d.due_at, d.id) > ($4, $5) AND {where}
     ORDER BY d.due_at, d.id LIMIT $3
), changed AS (
    UPDATE deliveries d SET due_at = now() FROM found WHERE d.id = found.id AND d.state = 'pending' RETURNING d.id
)
"""
_LAST = """
  FROM (SELECT 1) AS one LEFT JOIN (SELECT due_at, id FROM found ORDER BY due_at DESC, id DESC LIMIT 1) AS l ON true
"""
_PASSED = "(SELECT count(*) FROM found) - (SELECT count(*) FROM changed)"


async def newest_of(connection: Any) -> int:
    """The place in the order of events of the newest delivery: what is made after it is not meant."""
    newest: int = await connection.fetchval("SELECT coalesce(max(seq), 0) FROM deliveries")
    return newest


async def take_up(
    connection: Any,
    connector: int,
    intervention: UUID,
    words: str,
    wanted: DeliveryFilter,
    between: tuple[int, int],
    limit: int,
) -> Batch:
    """Make some of what a connector refused or exhausted pending and due, after a place in the order and up to another.

    Left alone is what a later delivery of its key has passed. Under the connector's lock.
    """
    conditions = wanted.conditions
    row = await connection.fetchrow(
        _TAKE_UP.format(where=where(conditions, 7), not_passed=NOT_PASSED)
        + _COUNT.format(passed=_PASSED, last="(SELECT max(seq) FROM found) AS last"),
        connector,
        intervention,
        words,
        limit,
        *between,
        *conditions.values(),
    )
    return Batch(row["found"], row["changed"], None if row["found"] < limit else (row["last"],))


async def hasten(
    connection: Any,
    connector: int,
    intervention: UUID,
    wanted: DeliveryFilter,
    after: tuple[datetime, UUID],
    limit: int,
) -> Batch:
    """Make some of what waits for its next attempt due now, after a place in the order of their times.

    What waits behind an earlier delivery of its key goes on waiting.
    """
    conditions = wanted.conditions
    row = await connection.fetchrow(
        _HASTEN.format(where=where(conditions, 6)) + _COUNT.format(passed="0", last="l.due_at, l.id") + _LAST,
        connector,
        intervention,
        limit,
        *after,
        *conditions.values(),
    )
    return Batch(row["found"], row["changed"], None if row["found"] < limit else (row["due_at"], row["id"]))


_KEPT = "SELECT i.id, i.at, i.client_id, i.act, i.wanted::text AS wanted, i.reason, i.touched, i.passed, i.under"


async def subtrees_of(connection: Any, connector: int) -> list[str | None]:
    """The subtrees that a connector was of when something was done to it."""
    rows = await connection.fetch("SELECT DISTINCT under FROM interventions WHERE connector_id = $1", connector)
    return [row["under"] for row in rows]


async def list_interventions(
    connection: Any, connector: int, subtrees: Sequence[str | None], before: UUID | None, limit: int
) -> list[KeptIntervention]:
    """What was done to a connector and its deliveries while it was of some subtrees, newest first."""
    rows = await connection.fetch(
        f"{_KEPT} FROM interventions i WHERE connector_id = $1 AND ($2::uuid IS NULL OR id < $2)"
        " AND (under = ANY ($4::text[]) OR under IS NULL AND $5) ORDER BY id DESC LIMIT $3",
        connector,
        before,
        limit,
        [each for each in subtrees if each is not None],
        None in subtrees,
    )
    return [_kept(row) for row in rows]


async def find_interventions(connection: Any, delivery: UUID) -> list[KeptIntervention]:
    """What was done to a delivery, oldest first."""
    rows = await connection.fetch(
        f"{_KEPT} FROM intervened t JOIN interventions i ON i.id = t.intervention_id WHERE t.delivery_id = $1"
        " ORDER BY i.id",
        delivery,
    )
    return [_kept(row) for row in rows]


def _kept(row: Any) -> KeptIntervention:
    wanted = None if row["wanted"] is None else decode(row["wanted"].encode())
    return KeptIntervention(**{**row, "wanted": wanted})
