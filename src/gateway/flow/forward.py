"""Forward: what is sent upstream for a delivery, and what becomes of it after each attempt.

Claiming and recording are short transactions; nothing is open while a worker sends in between.
"""

from datetime import datetime
from typing import Any

from gateway.db.claims import Claimed, NewAttempt
from gateway.db.reading import find_report
from gateway.domain.catalogue import Catalogue
from gateway.domain.delivery import DeliveryState, Event, Outcome, RetrySchedule, state_after
from gateway.domain.exact import encode
from gateway.domain.report import Status
from gateway.flow.show import report_shown

MEDIA_TYPE = "application/json"


async def body_of(connection: Any, claimed: Claimed, catalogue: Catalogue) -> bytes:
    """The bytes to send: the same for every attempt, since receivers know repeats by them.

    So an accepted report is shown as it was when it was accepted, whatever has become of it since. Raises
    ``LookupError`` for a report that is not there.
    """
    if claimed.event != Event.accepted:
        return encode({"event": claimed.event, "report": claimed.report, "reason": claimed.reason})
    kept = await find_report(connection, claimed.report, catalogue)
    if kept is None:
        raise LookupError(f"report {claimed.report} is not in storage")
    shown = await report_shown(connection, kept, catalogue, "vi")
    return encode(shown | {"status": Status.accepted, "ended": None})


def conclude(
    claimed: Claimed,
    outcome: Outcome,
    started_at: datetime,
    finished_at: datetime,
    schedule: RetrySchedule,
    jitter: float,
) -> NewAttempt:
    """What to record of an attempt, with the next one's time where there is to be one."""
    again_at = schedule.next_attempt_at(
        claimed.earlier + 1, claimed.first_at or started_at, finished_at, jitter, outcome.retry_after
    )
    state = state_after(outcome.kind, again_at)
    return NewAttempt(
        started_at,
        finished_at,
        outcome.kind.value,
        outcome.status,
        outcome.reason,
        outcome.reply,
        state.value,
        again_at if state is DeliveryState.pending else None,
    )
