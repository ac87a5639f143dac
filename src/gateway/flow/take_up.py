"""Take up again what a connector refused or exhausted, and hasten what waits: all of it, or what a filter chooses.

In transactions of some hundreds, each under the connector's lock, so that a hundred thousand keep no claim waiting for
long. Whatever ends half-way is gone on with by doing it again: what was taken up is not found any more.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.breakers import probe_now
from gateway.db.connectors import find_connector, hold_connector, lock_connector
from gateway.db.delivery_filter import DeliveryFilter
from gateway.db.engine import clock, driver
from gateway.db.interventions import NewIntervention, add_intervention, hasten, newest_of, take_up
from gateway.db.log import add_entries
from gateway.domain.delivery import DeliveryState
from gateway.domain.entry import new_entry
from gateway.errors import NotFound
from gateway.flow.steer import TAKEN_UP, Cause, Sees, words_of

_BATCH = 500
_PAUSE = 0.03
"""Seconds between two parts: a claim does not wait for a connector that is locked, but comes back."""
_START = datetime(2000, 1, 1, tzinfo=UTC), UUID(int=0)


@dataclass(frozen=True, slots=True)
class Choice:
    """Which deliveries: the filter, and the words of the request that it was made of."""

    filter: DeliveryFilter = field(default_factory=DeliveryFilter)
    words: Mapping[str, str] | None = None


@dataclass(slots=True)
class TakenUp:
    """What came of it: how many are tried again, and how many were left alone since a later delivery passed them."""

    intervention: UUID
    retried: int = 0
    passed: int = 0


async def retry_connector(
    engine: AsyncEngine, name: str, sees: Sees, cause: Cause, choice: Choice | None = None
) -> TakenUp:
    """Take up again all that is chosen, at once whatever its schedule said; a breaker that is open is tried."""
    chosen = choice or Choice()
    async with engine.connect() as connection:
        kept = await find_connector(connection, name)
    if kept is None or not sees(kept.under):
        raise NotFound()
    async with driver(engine) as raw, raw.transaction():
        await lock_connector(raw, kept.id)
        done = TakenUp(
            await add_intervention(raw, NewIntervention(kept.id, "retry", cause.client, cause.reason, chosen.words))
        )
        about = {"connector": name, "intervention": str(done.intervention), "filter": chosen.words}
        texts = {"reason": cause.reason}
        await add_entries(raw, [new_entry("connector-retried", await clock(raw), cause.client, about, texts=texts)])
        newest = await newest_of(raw)
        await probe_now(raw, kept.id)
    state = chosen.filter.state
    if state != DeliveryState.pending:
        await _take_up(engine, kept.id, done, chosen.filter, words_of(TAKEN_UP, cause), newest)
    if state in {None, DeliveryState.pending}:
        await _hasten(engine, kept.id, done, chosen.filter)
    return done


async def _take_up(
    engine: AsyncEngine, connector: int, done: TakenUp, wanted: DeliveryFilter, words: str, newest: int
) -> None:
    after = 0
    while True:
        async with driver(engine) as raw, raw.transaction():
            if not await hold_connector(raw, connector):
                return
            batch = await take_up(raw, connector, done.intervention, words, wanted, (after, newest), _BATCH)
        done.retried += batch.changed
        done.passed += batch.found - batch.changed
        if batch.last is None:
            return
        [after] = batch.last
        await asyncio.sleep(_PAUSE)


async def _hasten(engine: AsyncEngine, connector: int, done: TakenUp, wanted: DeliveryFilter) -> None:
    place = _START
    while True:
        async with driver(engine) as raw, raw.transaction():
            if not await hold_connector(raw, connector):
                return
            batch = await hasten(raw, connector, done.intervention, wanted, place, _BATCH)
        done.retried += batch.changed
        if batch.last is None:
            return
        place = batch.last[0], batch.last[1]
        await asyncio.sleep(_PAUSE)
