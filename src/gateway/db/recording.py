"""Recording what attempts came to, and what becomes of their deliveries: each only while its claim is still ours."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from gateway.db.claims import Claimed
from gateway.db.engine import clock
from gateway.domain.entry import new_entry
from gateway.domain.exact import encode


class NewAttempt(NamedTuple):
    """How an attempt ended, and what becomes of its delivery; ``due_at`` only where it is tried again.

    ``receipt`` is the upstream's own.
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
      FROM json_to_recordset($1::json)
           AS given(id uuid, claim uuid, started_at timestamptz, finished_at timestamptz, outcome text,
                    status smallint, reason text, reply text, state text, due_at timestamptz, receipt text, entry text)
     WHERE d.id = ANY (ARRAY[given.id]) AND d.claim = given.claim
    RETURNING d.id, d.connector_id, d.attempts, given.claim, given.started_at, given.finished_at AS ended_at,
              given.outcome AS came_to, given.status, given.reason AS why, given.reply, given.entry, d.report_id
), made AS (
    INSERT INTO attempts (delivery_id, number, started_at, finished_at, outcome, status, reason, reply)
    SELECT id, attempts, started_at, ended_at, came_to, status, why, reply FROM ended
), logged AS (
    INSERT INTO log_pending (entry, report_id)
    SELECT convert_to(entry, 'UTF8'), report_id FROM ended WHERE entry IS NOT NULL
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
    given = [
        {"id": claimed.id, "claim": claimed.claim, **attempt._asdict(), "entry": _entry(claimed, attempt)}
        for claimed, attempt in in_order
    ]  # one document: twelve arrays would take the driver as long as all else that it does
    rows = await connection.fetch(_RECORD, encode(given).decode())
    ours: dict[tuple[UUID, UUID], bool] = {(row["id"], row["claim"]): row["is_troubled"] for row in rows}
    keys = [(claimed.id, claimed.claim) for claimed, _ in ended]
    return [Recorded(key in ours, ours.get(key, False)) for key in keys]


def _entry(claimed: Claimed, attempt: NewAttempt) -> str | None:
    """What the log has of an attempt that was the last of its delivery; None of one after which it is tried again."""
    if attempt.state == "pending":
        return None
    receipt = None if attempt.receipt is None else hashlib.sha256(attempt.receipt.encode()).hexdigest()
    about = {**_named(claimed), "receipt": receipt}
    return new_entry(attempt.state, attempt.finished_at, None, about, report=claimed.report).entry.decode()


def _named(claimed: Claimed) -> dict[str, object]:
    return {"delivery": claimed.id, "connector": claimed.target.name, "event": claimed.event}


async def cancel_claimed(connection: Any, claimed: Claimed, words: str) -> bool:
    """Give up a delivery of which nothing was sent; False, and nothing done, when it is not ours any more."""
    entry = new_entry("cancelled", await clock(connection), None, _named(claimed), report=claimed.report)
    tag: str = await connection.execute(
        "WITH ended AS (UPDATE deliveries SET state = 'cancelled', claim = NULL, attempts = attempts - 1, losses = 0,"
        " finished_at = now(), outcome = $3 WHERE id = $1 AND claim = $2 RETURNING report_id)"
        " INSERT INTO log_pending (entry, report_id) SELECT $4, report_id FROM ended",
        claimed.id,
        claimed.claim,
        words,
        entry.entry,
    )
    return tag == "INSERT 0 1"
