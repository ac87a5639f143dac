"""Recording what attempts came to: together in one statement, and each on its own account."""

import asyncio
from datetime import UTC, datetime

import pytest

from forwarding import (
    NOWHERE,
    REFUSED,
    TAKEN,
    attempts,
    claim,
    connect_upstream,
    deliveries,
    receive,
    run_out,
    until,
    until_all,
    upstream,
    working,
)
from gateway.api.deps import Gateway
from gateway.db.claims import Claimed
from gateway.db.engine import driver
from gateway.db.recording import NewAttempt, Recorded
from gateway.domain.delivery import DEFAULT_SCHEDULE, Outcome
from gateway.flow.forward import conclude, message_from, message_of, read_sources
from gateway.sending import messages
from gateway.sending.endings import Endings
from gateway.sending.lease import STALLED_SECONDS

PERIODS = [f"{year}-Q1" for year in range(2061, 2069)]


async def claimed_reports(gateway: Gateway) -> list[Claimed]:
    await connect_upstream(gateway, NOWHERE, concurrency=100)
    for period in PERIODS:
        await receive(gateway, period=period)
    found = await claim(gateway.engine, len(PERIODS))
    assert len(found) == len(PERIODS)
    return found


def ending(claimed: Claimed, outcome: Outcome = TAKEN) -> NewAttempt:
    now = max(datetime.now(UTC), claimed.claimed_at)
    return conclude(claimed, outcome, claimed.claimed_at, now, DEFAULT_SCHEDULE, 0)


async def store_all(endings: Endings, given: list[tuple[Claimed, NewAttempt]]) -> list[Recorded | BaseException]:
    return await asyncio.gather(*(endings.store(*each) for each in given), return_exceptions=True)


async def test_what_ends_together_is_recorded_together_and_each_delivery_becomes_its_own(gateway: Gateway) -> None:
    found = await claimed_reports(gateway)
    given = [(each, ending(each, REFUSED if number % 2 else TAKEN)) for number, each in enumerate(found)]
    recorded = await store_all(Endings(gateway.engine, asyncio.Semaphore(4)), given)
    assert recorded == [Recorded(True, False)] * len(found)
    by_id = {each["id"]: each["state"] for each in await deliveries(gateway.engine)}
    assert [by_id[each.id] for each in found] == ["delivered", "refused"] * (len(found) // 2)
    assert len(await attempts(gateway.engine)) == len(found)


async def test_a_claim_that_is_not_ours_any_more_leaves_the_others_it_came_with_alone(gateway: Gateway) -> None:
    found = await claimed_reports(gateway)
    await run_out(gateway.engine)
    owned = await claim(gateway.engine, len(found))
    late = next(each for each in found if each.id == owned[0].id)
    given = [(late, ending(late, REFUSED)), *((each, ending(each)) for each in owned)]
    recorded = await store_all(Endings(gateway.engine, asyncio.Semaphore(4)), given)
    assert recorded == [Recorded(False, False)] + [Recorded(True, False)] * len(owned)
    assert {each["state"] for each in await deliveries(gateway.engine)} == {"delivered"}


async def test_an_ending_that_cannot_be_stored_fails_alone(gateway: Gateway) -> None:
    found = await claimed_reports(gateway)
    given = [(each, ending(each)) for each in found]
    claimed, attempt = given[3]
    given[3] = claimed, attempt._replace(status=99_999)  # more than the column holds
    recorded = await store_all(Endings(gateway.engine, asyncio.Semaphore(4)), given)
    assert isinstance(recorded.pop(3), Exception)
    assert recorded == [Recorded(True, False)] * (len(found) - 1)
    left = [each["id"] for each in await deliveries(gateway.engine) if each["state"] == "sending"]
    assert left == [claimed.id]


async def test_an_ending_is_stored_even_where_nobody_waits_for_it_any_more(gateway: Gateway) -> None:
    found = await claimed_reports(gateway)
    endings = Endings(gateway.engine, asyncio.Semaphore(4))
    waiting = [asyncio.create_task(endings.store(each, ending(each))) for each in found]
    await asyncio.sleep(0)
    for task in waiting:
        task.cancel()
    await endings.settle(10)
    assert {each["state"] for each in await deliveries(gateway.engine)} == {"delivered"}


async def test_a_message_is_the_same_whether_it_was_read_with_others_or_alone(gateway: Gateway) -> None:
    found = await claimed_reports(gateway)
    catalogue = await gateway.catalogues.newest()
    async with driver(gateway.engine) as connection:
        together = await read_sources(connection, found, catalogue, 300)
        assert [message_from(each, together, catalogue) for each in found] == [
            await message_of(connection, each, catalogue) for each in found
        ]
        without_rows = await read_sources(connection, found, catalogue, 0)
    with pytest.raises(LookupError):
        message_from(found[0], without_rows, catalogue)


async def test_a_report_too_long_to_be_read_ahead_is_delivered_all_the_same(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "_MOST_ROWS", 0)
    async with upstream() as national:
        await connect_upstream(gateway, national.url)
        report = await receive(gateway)
        async with working(gateway):
            await until_all(gateway.engine, "delivered")
        assert [each["id"] for each in await national.received()] == [str(report)]


async def test_a_silent_upstream_that_took_every_place_keeps_nobody_else_waiting(gateway: Gateway) -> None:
    """It was alone when it took them; its attempts last ten seconds."""
    places = 4

    async def count(connector: int, state: str, wanted: int) -> bool:
        found = [each["state"] for each in await deliveries(gateway.engine) if each["connector_id"] == connector]
        return found.count(state) == wanted

    async with upstream() as silent, upstream() as healthy:
        await silent.behave(mode="stall", seconds=30)
        silent_number = await connect_upstream(gateway, silent.url, "silent", concurrency=100)
        for period in PERIODS:
            await receive(gateway, period=period)
        async with working(gateway, worker_concurrency=places, attempt_seconds=10) as [worker]:
            await until(lambda: count(silent_number, "sending", places))
            number = await connect_upstream(gateway, healthy.url, "healthy")
            await receive(gateway, period="2070-Q1")
            await until(lambda: count(number, "delivered", 1), seconds=STALLED_SECONDS + 5)
            assert await count(silent_number, "sending", places), "more than all places for the silent one"
            worker.stop()
            worker.stop()
