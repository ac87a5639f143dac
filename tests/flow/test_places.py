"""Places: how many attempts of a worker are under way at once, and who waits for whom."""

import asyncio

from forwarding import A_CLAIM, LEASE
from gateway.sending.lease import Lease
from gateway.sending.places import STALLED_SECONDS, Places

COUNT = 2


def leases(count: int) -> list[Lease]:
    ends = asyncio.get_running_loop().time() + LEASE.total_seconds()
    return [Lease(A_CLAIM, 0, ends) for _ in range(count)]


async def test_no_more_are_under_way_than_there_are_places_and_the_others_come_in_their_order() -> None:
    order: list[Lease] = []
    places, under_way, most = Places(COUNT, order.append), 0, 0

    async def attempt(lease: Lease) -> None:
        nonlocal under_way, most
        async with places.one(lease):
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(STALLED_SECONDS / 10)
            under_way -= 1

    waiting = leases(3 * COUNT)
    await asyncio.gather(*(attempt(each) for each in waiting))
    assert most == COUNT
    assert [id(each) for each in order] == [id(each) for each in waiting]


async def test_whoever_is_kept_waiting_leaves_its_place_to_another_and_gives_back_one_alone() -> None:
    entered: list[Lease] = []
    places, answered = Places(COUNT, entered.append), asyncio.Event()

    async def attempt(lease: Lease) -> None:
        async with places.one(lease):
            await answered.wait()

    tasks = [asyncio.create_task(attempt(each)) for each in leases(3 * COUNT)]
    await asyncio.sleep(STALLED_SECONDS / 2)
    assert len(entered) == COUNT
    await asyncio.sleep(STALLED_SECONDS)
    assert len(entered) == 2 * COUNT
    answered.set()
    await asyncio.gather(*tasks)

    answered.clear()  # had a place been given back twice, there would be more now
    tasks = [asyncio.create_task(attempt(each)) for each in leases(3 * COUNT)]
    await asyncio.sleep(STALLED_SECONDS / 2)
    assert len(entered) == 3 * COUNT + COUNT
    answered.set()
    await asyncio.gather(*tasks)


async def test_an_attempt_that_is_ended_while_it_waits_for_a_place_takes_none() -> None:
    places, answered = Places(1, lambda _: None), asyncio.Event()

    async def attempt(lease: Lease) -> None:
        async with places.one(lease):
            await answered.wait()

    first, second, third = (asyncio.create_task(attempt(each)) for each in leases(3))
    await asyncio.sleep(0)
    second.cancel()
    answered.set()
    await asyncio.wait([first, second, third], timeout=5)
    assert second.cancelled()
    assert third.done()
    assert not third.cancelled()
