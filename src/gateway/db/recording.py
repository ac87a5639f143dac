"""Recording what attempts came to, and what becomes of their deliveries: each only while its claim is still ours."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from gateway.db.claims import Claimed


class NewAttempt(NamedTuple):
    """How an attempt ended, and what becomes of its delivery; ``due_at`` only where it is tried again.

    ``receipt`` is the upstream's own. In the order in which ``_RECORD`` takes them.
    """

    started_at: datetime
    finished_at: datetime
    outcome: str
    status: int | None
    reason: str
    reply: str | None
    state: str
    due_at: datetime | None
    receipt: str | None = None


_RECORD = """
WITH ended AS (
    UPDATE deliveries d
       SET state = given.state, claim = NULL, due_at = coalesce(given.due_at, d.due_at), outcome = given.reason,
           losses = 0, receipt = coalesce(given.receipt, d.receipt),
           finished_at = CASE WHEN given.state = 'pending' THEN d.finished_at ELSE now() END
      FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::timestamptz[], $5::text[], $6::smallint[], $7::text[],
                  $8::text[], $9::text[], $10::timestamptz[], $11::text[])
           AS given(id, claim, started_at, finished_at, outcome, status, reason, reply, state, due_at, receipt)
     WHERE d.id = given.id AND d.claim = given.claim
    RETURNING d.id, d.connector_id, d.attempts, given.claim, given.started_at, given.finished_at AS ended_at,
              given.outcome AS came_to, given.status, given.reason AS why, given.reply
), made AS (
    INSERT INTO attempts (delivery_id, number, started_at, finished_at, outcome, status, reason, reply)
    SELECT id, attempts, started_at, ended_at, came_to, status, why, reply FROM ended
)
SELECT id, claim, EXISTS (SELECT FROM breakers b WHERE b.connector_id = ended.connector_id
                                                   AND (failures > 0 OR opens_until IS NOT NULL)) AS is_troubled
  FROM ended
"""


class Recorded(NamedTuple):
    """Whether an attempt was still ours to record, and whether its connector's breaker is other than calm."""

    is_ours: bool
    is_troubled: bool


async def record_attempts(connection: Any, ended: Sequence[tuple[Claimed, NewAttempt]]) -> list[Recorded]:
    """Record how attempts ended, in one statement; nothing is recorded of a delivery that is not ours any more.

    All of them or none: one that cannot be stored fails the others too. They are taken in the order of their ids, so
    that recording rarely meets itself in a deadlock.
    """
    in_order = sorted(ended, key=lambda each: each[0].id)
    rows = await connection.fetch(
        _RECORD,
        [claimed.id for claimed, _ in in_order],
        [claimed.claim for claimed, _ in in_order],
        *zip(*(attempt for _, attempt in in_order), strict=True),
    )
    ours: dict[tuple[UUID, UUID], bool] = {(row["id"], row["claim"]): row["is_troubled"] for row in rows}
    keys = [(claimed.id, claimed.claim) for claimed, _ in ended]
    return [Recorded(key in ours, ours.get(key, False)) for key in keys]


async def cancel_claimed(connection: Any, claimed: Claimed, words: str) -> bool:
    """Give up a delivery of which nothing was sent; False, and nothing done, when it is not ours any more."""
    tag: str = await connection.execute(
        "UPDATE deliveries SET state = 'cancelled', claim = NULL, attempts = attempts - 1, losses = 0,"
        " finished_at = now(), outcome = $3 WHERE id = $1 AND claim = $2",
        claimed.id,
        claimed.claim,
        words,
    )
    return tag == "UPDATE 1"
