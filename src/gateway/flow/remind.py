"""Remind: tell the connectors that ask for it which obligations fall due, and which are overdue.

A reminder is a delivery, made once for each connector, obligation, event and day that the obligation is owed by; so
a day that was moved is reminded of anew. Nothing else is stored: what is owed follows from the catalogue.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.claims import Owed
from gateway.db.connectors import lock_subscribers
from gateway.db.deliveries import NewReminder, add_reminders
from gateway.db.engine import clock
from gateway.domain.agency import Level
from gateway.domain.calendar import civil_date
from gateway.domain.catalogue import Catalogue
from gateway.domain.delivery import Event
from gateway.domain.exact import encode
from gateway.domain.obligation import Obligation
from gateway.domain.period import FIRST_YEAR, LAST_YEAR, Period
from gateway.domain.regime import Regime
from gateway.domain.report import ReportKind
from gateway.domain.upstream import Subscriber
from gateway.flow.load import Catalogues
from gateway.flow.track import Tracked, track

_LOCK = 0x47575244  # one worker at a time, on any number of hosts
_YEARS_BEFORE = 2
"""The period of a deadline is named after its year or one of so many before: a rule gives at most 400 days."""

_RETURNED = """
SELECT r.id, r.agency_id, r.form_id, r.period, r.kind, max(e.at) AS returned_at
  FROM reports r JOIN report_events e ON e.report_id = r.id AND e.event = 'returned'
 WHERE r.status = 'returned' GROUP BY r.id
"""


class NothingToSend(Exception):
    """What a delivery was to tell is not so any more; the message says why."""


@dataclass(frozen=True, slots=True)
class Returned:
    """A report that was returned and not corrected yet; agency and form are storage keys."""

    report: UUID
    agency: int
    form: int
    period: str
    kind: str
    on: date


class Reminders:
    """Makes reminders. What follows from a day, a catalogue and the connectors is worked out only once."""

    def __init__(self, engine: AsyncEngine, catalogues: Catalogues) -> None:
        self._engine, self._catalogues = engine, catalogues
        self._done: tuple[object, ...] | None = None

    async def make(self) -> int:
        """Make the reminders of today that there are not yet, unless another worker is at it; returns how many."""
        catalogue = await self._catalogues.newest()
        async with self._engine.begin() as connection:
            raw: Any = (await connection.get_raw_connection()).driver_connection
            if not await raw.fetchval("SELECT pg_try_advisory_xact_lock($1)", _LOCK):
                return 0
            subscribers = await lock_subscribers(connection)
            today = civil_date(await clock(raw))
            asked = (today, catalogue.obligations, subscribers)
            if not subscribers or asked == self._done:
                return 0
            returned = await _find_returned(raw)
            # In a thread: it may take a second, in which a server has requests to answer.
            wanted = await asyncio.to_thread(reminders_on, today, subscribers, catalogue, returned)
            made = await add_reminders(raw, wanted)
        self._done = asked
        return made


def reminders_on(
    today: date, subscribers: Sequence[Subscriber], catalogue: Catalogue, returned: Sequence[Returned]
) -> list[NewReminder]:
    """What subscribers are reminded of on a day, as far as no report has come in.

    A report that was returned is owed again by the last day on which it may be corrected.
    """
    days = [each.days(today) for each in subscribers]
    first, last = min(each[0] for each in days), max(each[1] for each in days)
    found: list[tuple[Obligation, date, UUID | None]] = [
        (each, each.due, None) for each in _falling_due(catalogue, subscribers, first, last) if each.due is not None
    ]
    for each in returned:
        obligation = _obligation(catalogue, each.form, each.agency, each.kind, each.period)
        if obligation is not None and (owed_by := obligation.owed_by(each.on)) is not None:
            found.append((obligation, owed_by, each.report))
    tree, ids = catalogue.agencies.placed(today), catalogue.agencies.ids
    return [
        NewReminder(
            subscriber.number,
            event.value,
            ids[obligation.agency],
            catalogue.form_ids[obligation.form],
            obligation.period.code,
            obligation.period.end,
            obligation.kind.value,
            owed_by,
            report,
        )
        for subscriber in subscribers
        for obligation, owed_by, report in found
        if (event := subscriber.event(owed_by, today)) and subscriber.wants(obligation.form, obligation.agency, tree)
    ]


def _falling_due(
    catalogue: Catalogue, subscribers: Sequence[Subscriber], first: date, last: date
) -> Iterator[Obligation]:
    """Obligations of the forms that subscribers ask for, due on any of these days."""
    forms: set[str] = set()
    for each in subscribers:
        forms |= catalogue.forms.keys() if each.forms is None else each.forms
    for form, period in sorted(_periods_due(catalogue, forms, first, last)):
        for obligation in catalogue.obligations.owed(form, period):
            if obligation.due is not None and first <= obligation.due <= last:
                yield obligation


def _periods_due(catalogue: Catalogue, forms: set[str], first: date, last: date) -> set[tuple[str, str]]:
    """(form, code of a period) of which some obligation may be due on any of these days."""
    found = {
        (each.form, each.period) for each in catalogue.extensions if first <= each.until <= last and each.form in forms
    }
    for code in catalogue.regimes:
        for year in range(max(first.year - _YEARS_BEFORE, FIRST_YEAR), min(last.year + 1, LAST_YEAR) + 1):
            for period, regime in catalogue.obligations.periods_of(code, year):
                if _may_be_due(catalogue, regime, period, first, last):
                    found |= {(form, period.code) for form in regime.forms & forms}
    return found


def _may_be_due(catalogue: Catalogue, regime: Regime, period: Period, first: date, last: date) -> bool:
    """Whether a period is due for some level on any of these days; never before its last day is over."""
    if not regime.is_expected or period.end >= last:
        return False
    deadlines = (catalogue.obligations.deadline(regime, period, level) for level in Level)
    return any(first <= each <= last for each in deadlines if each is not None)


def _obligation(catalogue: Catalogue, form: int, agency: int, kind: str, period: str) -> Obligation | None:
    """Raises ``LookupError`` for a form or an agency newer than the catalogue."""
    codes = catalogue.form_codes[form], catalogue.agencies.codes[agency]
    return catalogue.obligations.of(*codes, ReportKind(kind), period)


async def _find_returned(connection: Any) -> list[Returned]:
    return [
        Returned(
            row["id"], row["agency_id"], row["form_id"], row["period"], row["kind"], civil_date(row["returned_at"])
        )
        for row in await connection.fetch(_RETURNED)
    ]


async def reminder_of(connection: Any, owed: Owed, event: str, catalogue: Catalogue, today: date) -> bytes:
    """The obligation that a reminder tells of, as JSON, and as it stood when the reminder was made.

    Raises ``NothingToSend`` where the report has come in since, or the day has passed or been moved.
    """
    obligation = _obligation(catalogue, owed.form, owed.agency, owed.kind, owed.period)
    if obligation is None:
        raise NothingToSend("the report is not owed any more")
    [tracked] = [each async for each in track(connection, catalogue, [obligation], civil_date(owed.made_at))]
    standing = tracked.standing
    if standing is not None and standing.is_accepted:
        raise NothingToSend("the report has come in")
    owed_by = obligation.owed_by(standing.returned_on if standing else None)
    if owed_by != owed.by:
        raise NothingToSend(f"the report is now owed by {owed_by or 'no day'}")
    if event == Event.due and today > owed.by:
        raise NothingToSend("the day has passed")
    return encode(obligation_shown(tracked, catalogue) | {"due": owed.by})


def obligation_shown(tracked: Tracked, catalogue: Catalogue) -> dict[str, object]:
    """An obligation as ``GET /v1/obligations`` shows it."""
    obligation, standing = tracked.obligation, tracked.standing
    return {
        "regime": obligation.regime.code,
        "form": obligation.form,
        "agency": obligation.agency,
        "name": catalogue.agencies.nearest(obligation.agency, obligation.period.end).name,
        "period": obligation.period.code,
        "kind": obligation.kind,
        "state": tracked.state,
        "start": obligation.period.start,
        "cutoff": obligation.period.end,
        "deadline": obligation.deadline,
        "due": obligation.due,
        "locks_after": obligation.taken_until,
        "report": standing
        and {
            "id": standing.report,
            "revision": standing.revision,
            "status": standing.status,
            "received_at": standing.received_at,
            "late": standing.late,
            "returned_on": standing.returned_on,
        },
    }
