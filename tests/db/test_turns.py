"""Turns: what was seen of a connector is claimed only while nobody else had a turn."""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from forwarding import LEASE, NOWHERE, a_refused_and_a_waiting, claim, connect_upstream, outbox
from gateway.api.deps import Gateway
from gateway.db import claims
from gateway.db.claims import Slots
from gateway.db.connectors import lock_connector, pause_connector
from gateway.db.deliveries import reopen_delivery
from gateway.db.engine import driver
from gateway.db.turns import begin_turns

SLOTS = Slots(100)


async def look(engine: AsyncEngine) -> Sequence[Any]:
    """The first half of a claim."""
    async with driver(engine) as connection:
        await begin_turns(connection)
        return claims._choose(await claims._look(connection, SLOTS), SLOTS, SLOTS.free)


async def take(engine: AsyncEngine, chosen: Sequence[Any]) -> list[UUID]:
    """The second half."""
    async with driver(engine) as connection:
        return [each.id for each in await claims._take(connection, chosen, LEASE)]


async def take_up(engine: AsyncEngine, connector: int, delivery: UUID) -> None:
    """An operator has a delivery tried again."""
    async with driver(engine) as connection, connection.transaction():
        await lock_connector(connection, connector)
        assert await reopen_delivery(connection, delivery, "thử lại")


@pytest.mark.parametrize("has_turns", [True, False])
async def test_a_later_revision_is_not_claimed_when_an_earlier_one_was_taken_up_since_it_was_seen(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, has_turns: bool
) -> None:
    number = await connect_upstream(gateway, NOWHERE)
    first, second = await a_refused_and_a_waiting(gateway)
    seen = await look(gateway.engine)
    assert [each.id for each in seen] == [second]
    await take_up(gateway.engine, number, first)
    if has_turns:
        assert await take(gateway.engine, seen) == []
        assert [each.id for each in await claim(gateway.engine)] == [first]
    else:
        monkeypatch.setattr(claims, "_CLAIM", claims._CLAIM.replace("AND t.number = seen.turn", ""))
        assert await take(gateway.engine, seen) == [second], "without turns the later one overtakes"


@pytest.mark.parametrize("has_turns", [True, False])
async def test_two_that_saw_the_same_room_do_not_both_fill_it(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, has_turns: bool
) -> None:
    number = await connect_upstream(gateway, NOWHERE, concurrency=3)
    await outbox(gateway.engine, number, 20, keys=20)
    async with driver(gateway.engine) as connection:
        await begin_turns(connection)
        seen = await claims._look(connection, SLOTS)
    if not has_turns:
        monkeypatch.setattr(claims, "_CLAIM", claims._CLAIM.replace("AND t.number = seen.turn", ""))
    taken = [await take(gateway.engine, seen[:3]), await take(gateway.engine, seen[3:6])]
    assert [len(each) for each in taken] == [3, 0 if has_turns else 3]


async def test_what_was_seen_before_its_connector_was_paused_is_not_claimed(gateway: Gateway) -> None:
    number = await connect_upstream(gateway, NOWHERE)
    await outbox(gateway.engine, number, 3, keys=3)
    seen = await look(gateway.engine)
    async with gateway.engine.begin() as connection:
        await pause_connector(connection, "national", paused=True)
    assert await take(gateway.engine, seen) == []


async def test_nobody_waits_for_a_connector_that_is_locked_nor_for_a_worker_that_stops_between_its_statements(
    gateway: Gateway,
) -> None:
    number = await connect_upstream(gateway, NOWHERE)
    other = await connect_upstream(gateway, NOWHERE, "other")
    for each in (number, other):
        await outbox(gateway.engine, each, 3, keys=3)
    seen = await look(gateway.engine)  # and then it hangs
    async with asyncio.timeout(5), driver(gateway.engine) as connection, connection.transaction():
        await lock_connector(connection, number)
        found = await claim(gateway.engine)
        assert {each.target.name for each in found} == {"other"}
    assert {each.target.name for each in await claim(gateway.engine)} == {"national"}
    assert await take(gateway.engine, seen) == []


async def test_a_connector_that_was_made_by_an_older_version_has_turns_too(gateway: Gateway) -> None:
    number = await connect_upstream(gateway, NOWHERE)
    await outbox(gateway.engine, number, 3, keys=3)
    async with driver(gateway.engine) as connection:
        await connection.execute("DELETE FROM turns")
    assert len(await claim(gateway.engine)) == 3
