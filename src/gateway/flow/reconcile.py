"""Reconcile what was delivered to an upstream with what it holds, by id and hash; what it lacks is sent again.

An upstream may lose what it acknowledged: a restored backup, a table that somebody emptied. Receivers know repeats by
their keys, so sending again is safe; it is not done where a later report of the same key has arrived, which would be
overtaken from behind.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.connectors import lock_connector
from gateway.db.engine import clock, driver
from gateway.db.interventions import NewIntervention, add_intervention
from gateway.db.log import add_entries
from gateway.db.reconciling import Reopened, Sent, WantedSent, find_sent, send_again
from gateway.domain.entry import NewEntry, new_entry
from gateway.domain.report import Status
from gateway.domain.upstream import Held

_PAGE = 1000
_ENDED = frozenset({Status.returned.value, Status.withdrawn.value})


class Difference(StrEnum):
    """How what an upstream holds differs from what was delivered to it."""

    missing = "missing"
    other_bytes = "other_bytes"
    not_ended = "not_ended"


@dataclass(frozen=True, slots=True)
class Differing:
    """A report on which both sides differ. ``healed``: it is being sent again."""

    what: Difference
    sent: Sent
    held: Held | None
    healed: bool = False


@dataclass(slots=True)
class Comparison:
    """How many reports were compared, in what they differ, and how many the upstream holds that were not sent to it."""

    compared: int = 0
    not_sent: int = 0
    differing: list[Differing] = field(default_factory=list)


async def reconcile(engine: AsyncEngine, wanted: WantedSent, holdings: AsyncIterator[Held]) -> Comparison:
    """Compare what had been delivered with what is held since, both newest first.

    Nothing of the database is held while the upstream is asked.
    """
    found = Comparison()
    held = await anext(holdings, None)
    async for sent in _sent(engine, wanted):
        while held is not None and held.report > sent.report:
            found.not_sent += 1
            held = await anext(holdings, None)
        matching = held if held is not None and held.report == sent.report else None
        found.compared += 1
        if (what := differs(sent, matching)) is not None:
            found.differing.append(Differing(what, sent, matching))
        if matching is not None:
            held = await anext(holdings, None)
    while held is not None:
        found.not_sent += 1
        held = await anext(holdings, None)
    return found


async def _sent(engine: AsyncEngine, wanted: WantedSent) -> AsyncIterator[Sent]:
    last: UUID | None = None
    while True:
        async with driver(engine) as connection:
            page = await find_sent(connection, wanted, last, _PAGE)
        for sent in page:
            yield sent
        if len(page) < _PAGE:
            return
        last = page[-1].report


def differs(sent: Sent, held: Held | None) -> Difference | None:
    """In what a report differs at the upstream; an end that was not delivered yet is no difference."""
    if held is None:
        return Difference.missing
    if held.sha256 != sent.sha256:
        return Difference.other_bytes
    if sent.told in _ENDED and held.status == Status.accepted:
        return Difference.not_ended
    return None


async def heal(
    engine: AsyncEngine, connector: tuple[int, str], differing: Sequence[Differing], words: str, by: UUID
) -> list[Differing]:
    """Send again what the upstream lacks; the differences, with which of them are being healed.

    ``connector`` is its number and name. Who asked, and each delivery that is opened again, are recorded. Other bytes
    under the same id are left to a person.
    """
    number, name = connector
    lacking = [each.sent.report for each in differing if each.what is not Difference.other_bytes]
    healed = set[UUID]()
    async with driver(engine) as connection, connection.transaction():
        await lock_connector(connection, number)
        reopened = await send_again(connection, number, lacking, words) if lacking else []
        if reopened:
            healed = {each.report for each in reopened}
            await add_intervention(connection, NewIntervention(number, "retry", by, words))
            at = await clock(connection)
            await add_entries(connection, [_entry(each, name, at, by) for each in reopened])
    return [replace(each, healed=each.sent.report in healed) for each in differing]


def _entry(reopened: Reopened, connector: str, at: datetime, by: UUID) -> NewEntry:
    about = {"delivery": str(reopened.delivery), "connector": connector, "event": reopened.event}
    return new_entry("delivery-reopened", at, by, about, report=reopened.report)
