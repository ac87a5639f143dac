"""Forward: what is sent upstream for a delivery, and what becomes of it after each attempt.

Claiming and recording are short transactions; nothing is open while a worker sends in between.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from gateway.db.claims import Claimed
from gateway.db.reading import (
    KeptEvent,
    KeptReport,
    WrittenRow,
    find_events,
    find_kept,
    find_payloads,
    find_written_rows,
)
from gateway.db.recording import NewAttempt
from gateway.db.relays import KeptRelay, find_relays
from gateway.db.signatures import KeptSignature, find_signatures
from gateway.domain.calendar import civil_date
from gateway.domain.catalogue import Catalogue
from gateway.domain.delivery import FINAL, Event, Outcome, Provenance, RetrySchedule, state_after
from gateway.domain.exact import encode
from gateway.domain.report import Status
from gateway.flow.remind import reminder_of
from gateway.flow.show import decompress, head_shown, rows_written

MEDIA_TYPE = "application/json"
RELAYS = frozenset({"gateway"})
"""Kinds of connector that are given the bytes that were pushed."""


class Message(NamedTuple):
    """What an upstream is told, and when that happened. Of a report that is relayed, also where it came from.

    ``query`` says of bytes that are not JSON what they do not.
    """

    body: bytes
    occurred_at: datetime
    media_type: str = MEDIA_TYPE
    provenance: Provenance | None = None
    query: str = ""


@dataclass(frozen=True, slots=True)
class Sources:
    """What is kept of the reports of some deliveries, by their ids, as far as their messages are made of it."""

    reports: Mapping[UUID, KeptReport]
    rows: Mapping[UUID, Sequence[WrittenRow]]
    payloads: Mapping[UUID, tuple[str, bytes]]
    relays: Mapping[UUID, KeptRelay]
    events: Mapping[UUID, Sequence[KeptEvent]]
    signatures: Mapping[UUID, KeptSignature]


async def message_of(connection: Any, claimed: Claimed, catalogue: Catalogue) -> Message:
    """What to send: the same for every attempt, since receivers know repeats by it.

    So an accepted report is shown as it was when it was accepted, whatever has become of it since. Raises
    ``LookupError`` for a report that is not there, and ``NothingToSend`` for a reminder of what is not so any more.
    """
    if claimed.owed is not None:
        today = civil_date(claimed.claimed_at)
        body = await reminder_of(connection, claimed.owed, claimed.event, catalogue, today)
        return Message(body, claimed.owed.made_at)
    return message_from(claimed, await read_sources(connection, [claimed], catalogue), catalogue)


async def read_sources(
    connection: Any, claims: Sequence[Claimed], catalogue: Catalogue, most_rows: int | None = None
) -> Sources:
    """Read what the messages of deliveries are made of, in the same few statements however many they are.

    Rows are left out of reports that have more than ``most_rows``. Raises ``LookupError`` for a report of a form or an
    agency that the catalogue does not have.
    """
    accepted = {
        (each.report, each.target.kind in RELAYS) for each in claims if each.event == Event.accepted and each.report
    }
    ended = [each.report for each in claims if each.report is not None and each.event != Event.accepted]
    reports = await find_kept(connection, [*{report for report, _ in accepted}], catalogue) if accepted else {}
    shown = [each for each in reports.values() if (each.head.id, False) in accepted]
    relayed = [each for each in reports.values() if (each.head.id, True) in accepted]
    return Sources(
        reports,
        await find_written_rows(connection, shown, most_rows) if shown else {},
        await find_payloads(connection, relayed) if relayed else {},
        await find_relays(connection, [each.head.id for each in relayed]) if relayed else {},
        await find_events(connection, ended) if ended else {},
        await find_signatures(connection, [each.head.id for each in relayed]) if relayed else {},
    )


def message_from(claimed: Claimed, sources: Sources, catalogue: Catalogue) -> Message:
    """What to send, of sources that were read for it. Raises ``LookupError`` where they do not have it."""
    if claimed.report is None:
        raise LookupError("the delivery is of no report")
    is_relayed = claimed.target.kind in RELAYS
    if claimed.event == Event.accepted:
        kept = sources.reports.get(claimed.report)
        if kept is None:
            raise LookupError(f"report {claimed.report} is not in storage")
        return _original(kept, sources) if is_relayed else _accepted(kept, sources, catalogue)
    told = {"event": claimed.event, "report": claimed.report, "reason": claimed.reason}
    return Message(encode({"reason": claimed.reason} if is_relayed else told), _ended_at(claimed, sources))


def _original(kept: KeptReport, sources: Sources) -> Message:
    """The bytes that were pushed, with their signature, and the receipt of whoever took them first."""
    head = kept.head
    payload, relay = sources.payloads.get(head.id), sources.relays.get(head.id)
    if payload is None or head.receipt is None:
        raise LookupError(f"the bytes of report {head.id} are not in storage")
    first = (head.received_at, head.receipt) if relay is None else (relay.received_at, relay.receipt)
    signature = sources.signatures.get(head.id)
    provenance = Provenance(*first, None if signature is None else signature.jws)
    part = [] if head.part is None else [f"part={head.part}"]
    query = "&".join([*filter(None, [kept.query]), *part])
    return Message(decompress(payload[1]), head.received_at, payload[0], provenance, query)


def _accepted(kept: KeptReport, sources: Sources, catalogue: Catalogue) -> Message:
    """The report as it was shown when it was accepted."""
    rows = rows_written(kept, sources.rows[kept.head.id], catalogue)
    shown = head_shown(kept, "vi") | {"status": Status.accepted, "ended": None, "rows": rows}
    return Message(encode(shown), kept.head.received_at)


def _ended_at(claimed: Claimed, sources: Sources) -> datetime:
    """When a report was returned or withdrawn."""
    events = sources.events.get(claimed.report, ()) if claimed.report is not None else ()
    at: list[datetime] = [each.at for each in events if each.event == claimed.event]
    if not at:
        raise LookupError(f"report {claimed.report} was not {claimed.event}")
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
    first_at = claimed.first_at or started_at
    again_at = (
        None
        if outcome.kind in FINAL
        else schedule.next_attempt_at(claimed.earlier + 1, first_at, finished_at, jitter, outcome.retry_after)
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
        again_at,
        outcome.receipt,
    )
