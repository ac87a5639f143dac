"""Tallies: what is counted in many places at once is added up, once, whatever the database does meanwhile."""

import asyncio
import random
from datetime import UTC, datetime
from functools import partial

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from forwarding import NOWHERE, connect_upstream, until
from gateway.api.deps import Gateway
from gateway.db.engine import driver
from gateway.db.tallies import TallyKey, add_tallies, find_tallies
from gateway.domain.delivery import OutcomeClass
from gateway.flow import tally as counting
from gateway.flow.tally import Measure, Tally
from gateway_under_test import connected, until_nobody_waits, until_waiting

AT = datetime(2026, 9, 1, tzinfo=UTC)


async def stored(engine: AsyncEngine) -> dict[tuple[str, str], float]:
    async with driver(engine) as connection:
        return {(each.measure, each.label): each.amount for each in await find_tallies(connection)}


async def test_workers_that_add_to_the_same_sums_at_once_lose_nothing_and_block_nobody(gateway: Gateway) -> None:
    number = await connect_upstream(gateway, NOWHERE)
    keys = [TallyKey(number, "attempts", str(label)) for label in range(40)]

    async def add() -> None:
        for _ in range(10):
            async with driver(gateway.engine) as connection:
                await add_tallies(connection, {key: 1.5 for key in random.sample(keys, len(keys))})

    await asyncio.gather(*[add() for _ in range(8)])
    assert await stored(gateway.engine) == {("attempts", str(label)): 120 for label in range(40)}


async def test_what_is_counted_is_stored_every_so_often(gateway: Gateway) -> None:
    number = await connect_upstream(gateway, NOWHERE)
    tally = Tally(gateway.engine, asyncio.Semaphore(1), pause=0.01)
    keeping = asyncio.create_task(tally.keep())
    for count in (1, 2, 3):
        tally.count_attempt(number, OutcomeClass.delivered, 1, 1)
        await until(partial(_is_stored, gateway.engine, count))
    keeping.cancel()
    await asyncio.wait([keeping])


async def test_the_rest_is_stored_at_the_end(gateway: Gateway) -> None:
    number = await connect_upstream(gateway, NOWHERE)
    tally = Tally(gateway.engine, asyncio.Semaphore(1), pause=3600)
    keeping = asyncio.create_task(tally.keep())
    await asyncio.sleep(0)  # it has begun
    tally.count_attempt(number, OutcomeClass.delivered, 1, 1)
    keeping.cancel()
    await asyncio.wait([keeping])
    assert await _is_stored(gateway.engine, 1)


async def _is_stored(engine: AsyncEngine, attempts: int) -> bool:
    return (await stored(engine)).get((Measure.attempts, "delivered")) == attempts


async def test_what_could_not_be_stored_is_stored_once_later(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    number = await connect_upstream(gateway, NOWHERE)
    tally = Tally(gateway.engine, asyncio.Semaphore(1))
    tally.count_attempt(number, OutcomeClass.delivered, 1, 1)
    async with connected(gateway.engine) as connection, connection.transaction():
        await connection.execute("LOCK TABLE tallies IN ACCESS EXCLUSIVE MODE")
        with monkeypatch.context() as patch:
            patch.setattr(counting, "_PATIENCE", 0.05)
            await tally._store()
        storing = asyncio.create_task(tally._store())
        await until_waiting(connection, "relation")
        storing.cancel()
        await asyncio.wait([storing])
        await until_nobody_waits(connection)  # else it could have the lock before it hears that it is to end
    tally.count_attempt(number, OutcomeClass.delivered, 1, 1)
    await tally._store()
    await tally._store()
    assert await _is_stored(gateway.engine, 2)


async def test_a_connector_that_is_gone_holds_up_nobody_else(gateway: Gateway) -> None:
    number = await connect_upstream(gateway, NOWHERE)
    tally = Tally(gateway.engine, asyncio.Semaphore(1))
    tally.count_opening(number)
    tally.count_opening(number + 1000)
    await tally._store()
    assert await stored(gateway.engine) == {(Measure.breaker_openings, ""): 1}


@pytest.mark.parametrize(
    ("seconds", "bucket"), [(-1, "0.01"), (0, "0.01"), (0.01, "0.01"), (0.011, "0.025"), (60, "60.0"), (61, "inf")]
)
def test_a_bucket_holds_what_is_no_longer_than_its_bound(seconds: float, bucket: str) -> None:
    tally = Tally(None, asyncio.Semaphore(1))  # type: ignore[arg-type]  # nothing is stored
    tally.count_attempt(1, OutcomeClass.refused, seconds)
    assert tally._taken() == {
        (1, "attempts", "refused"): 1,
        (1, "attempt_seconds", bucket): 1,
        (1, "attempt_seconds", "sum"): max(seconds, 0),
    }
