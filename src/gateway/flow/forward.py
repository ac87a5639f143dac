"""Forward: what is sent upstream for a delivery, and what becomes of it after each attempt.

Claiming and recording are short transactions; nothing is open while a worker sends in between.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from gateway.db.claims import Claimed, NewAttempt
from gateway.db.reading import KeptReport, find_events, find_payload, find_report
from gateway.db.relays import find_relay
from gateway.domain.calendar import civil_date
from gateway.domain.catalogue import Catalogue
from gateway.domain.delivery import DeliveryState, Event, Outcome, Provenance, RetrySchedule, state_after
from gateway.domain.exact import encode
from gateway.domain.report import Status
from gateway.flow.remind import reminder_of
from gateway.flow.show import decompress, report_shown

MEDIA_TYPE = "application/json"
RELAYS = frozenset({"gateway"})
"""Kinds of connector that are given the bytes that were pushed."""


@dataclass(frozen=True, slots=True)
class Message:
    """What an upstream is told, and when that happened. Of a report that is relayed, also where it came from."""

    body: bytes
    occurred_at: datetime
    media_type: str = MEDIA_TYPE
    provenance: Provenance | None = None


async def message_of(connection: Any, claimed: Claimed, catalogue: Catalogue) -> Message:
    """What to send: the same for every attempt, since receivers know repeats by it.

    So an accepted report is shown as it was when it was accepted, whatever has become of it since. Raises
    ``LookupError`` for a report that is not there, and ``NothingToSend`` for a reminder of what is not so any more.
    """
    if claimed.owed is not None:
        today = civil_date(claimed.claimed_at)
        body = await reminder_of(connection, claimed.owed, claimed.event, catalogue, today)
        return Message(body, claimed.owed.made_at)
    if claimed.report is None:
        raise LookupError("the delivery is of no report")
    is_relayed = claimed.target.kind in RELAYS
    if claimed.event == Event.accepted:
        found = await _kept(connection, claimed.report, catalogue)
        return await (_original if is_relayed else _accepted)(connection, found, catalogue)
    if is_relayed:
        body = encode({"reason": claimed.reason})
        return Message(body, await _ended_at(connection, claimed.report, claimed.event))
    body = encode({"event": claimed.event, "report": claimed.report, "reason": claimed.reason})
    return Message(body, await _ended_at(connection, claimed.report, claimed.event))


async def _kept(connection: Any, report: UUID, catalogue: Catalogue) -> KeptReport:
    kept = await find_report(connection, report, catalogue)
    if kept is None:
        raise LookupError(f"report {report} is not in storage")
    return kept


async def _original(connection: Any, kept: KeptReport, _: Catalogue) -> Message:
    """The bytes that were pushed, with the receipt of whoever took them first."""
    payload = await find_payload(connection, kept)
    if payload is None or kept.head.receipt is None:
        raise LookupError(f"the bytes of report {kept.head.id} are not in storage")
    relay = await find_relay(connection, kept.head.id)
    first = (kept.head.received_at, kept.head.receipt) if relay is None else (relay.received_at, relay.receipt)
    return Message(decompress(payload[1]), kept.head.received_at, payload[0], Provenance(*first))


async def _accepted(connection: Any, kept: KeptReport, catalogue: Catalogue) -> Message:
    shown = await report_shown(connection, kept, catalogue, "vi")
    return Message(encode(shown | {"status": Status.accepted, "ended": None}), kept.head.received_at)


async def _ended_at(connection: Any, report: UUID, event: str) -> datetime:
    """When a report was returned or withdrawn."""
    events = (await find_events(connection, [report]))[report]
    at: list[datetime] = [each.at for each in events if each.event == event]
    if not at:
        raise LookupError(f"report {report} was not {event}")
    return at[-1]


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
        outcome.receipt,
    )
