"""Runners: how many attempts of a worker are under way at once, and who waits for whom."""

import asyncio
import math

from forwarding import A_CLAIM, LEASE
from gateway.domain.delivery import Outcome
from gateway.sending.lease import Lease
from gateway.sending.runners import STALLED_SECONDS, Runners

COUNT = 2
PATIENCE = 5.0


def leases(count: int, seconds: float = LEASE.total_seconds()) -> list[Lease]:
    now = asyncio.get_running_loop().time()
    return [Lease(A_CLAIM, now, now + seconds) for _ in range(count)]


async def silence() -> Outcome:
    await asyncio.sleep(PATIENCE)
    raise AssertionError("it was ended")


async def test_no_more_are_under_way_than_are_allowed_and_the_others_come_in_their_order() -> None:
    order, under_way, most = list[Lease](), 0, 0

    async def attempt(lease: Lease) -> None:
        nonlocal under_way, most
        order.append(lease)
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(STALLED_SECONDS / 10)
        under_way -= 1

    runners, given = Runners(COUNT, attempt), leases(3 * COUNT)
    runners.add(given[:COUNT])
    runners.add(given[COUNT:])
    await runners.finish()
    assert most == COUNT
    assert [id(each) for each in order] == [id(each) for each in given]


async def test_beside_what_is_kept_waiting_another_begins_and_only_one() -> None:
    begun, answered = list[Lease](), asyncio.Event()

    async def attempt(lease: Lease) -> None:
        begun.append(lease)
        await answered.wait()

    runners = Runners(COUNT, attempt)
    runners.add(leases(3 * COUNT))
    await asyncio.sleep(STALLED_SECONDS / 2)
    assert len(begun) == COUNT
    await asyncio.sleep(STALLED_SECONDS)
    assert len(begun) == 2 * COUNT
    answered.set()
    await runners.finish()
    assert len(begun) == 3 * COUNT

    answered.clear()  # had what stalled counted as two that ended, more would begin now
    runners.add(leases(3 * COUNT))
    await asyncio.sleep(STALLED_SECONDS / 2)
    assert len(begun) == 3 * COUNT + COUNT
    answered.set()
    await runners.finish()


async def test_what_is_cancelled_ends_and_what_waits_does_not_begin() -> None:
    begun = list[Lease]()

    async def attempt(lease: Lease) -> None:
        begun.append(lease)
        await asyncio.sleep(PATIENCE)

    runners = Runners(COUNT, attempt)
    runners.add(leases(3 * COUNT))
    await asyncio.sleep(STALLED_SECONDS / 2)
    await runners.cancel(PATIENCE)
    await runners.finish()
    assert len(begun) == COUNT


async def test_an_attempt_ends_with_its_lease_or_at_the_time_that_it_may_take_even_where_it_stalls() -> None:
    took = list[float]()

    at_most = dict[int, float]()

    async def attempt(lease: Lease) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            await lease.sent(silence(), at_most.get(id(lease), math.inf))
        except TimeoutError:
            took.append(loop.time() - began)

    runners = Runners(COUNT, attempt)
    [brief] = leases(1, 3 * STALLED_SECONDS)
    [bounded] = leases(1)
    at_most[id(bounded)] = bounded.known + 4 * STALLED_SECONDS
    renewed = leases(1, STALLED_SECONDS)[0]
    renewed.ends += 4 * STALLED_SECONDS
    runners.add([brief, bounded, renewed])
    await runners.finish()
    assert len(took) == COUNT + 1
    assert took[0] <= 3 * STALLED_SECONDS + 0.05
    assert 3.5 * STALLED_SECONDS < took[1] < PATIENCE
    assert 3.5 * STALLED_SECONDS < took[2] < PATIENCE


async def test_whoever_cancels_an_attempt_cancels_it_though_its_time_is_over_too() -> None:
    [lease] = leases(1)
    task = asyncio.create_task(lease.sent(silence(), math.inf))
    await asyncio.sleep(0)
    lease.end_in_time(math.inf)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
