"""Steering on a real database: what operators take up or give up, and the older reports of a new connector."""

import asyncio
from collections import Counter
from uuid import UUID, uuid4

import pytest

from factories import a_monthly_row
from forwarding import (
    AWAY,
    BY,
    CLIENT,
    NOWHERE,
    REFUSED,
    UNKNOWN,
    a_refused_and_a_waiting,
    anybody,
    claim,
    connect_upstream,
    deliveries,
    end,
    finish,
    receive,
    receive_revisions,
    states,
)
from gateway.api.deps import Gateway
from gateway.domain.delivery import DEFAULT_SCHEDULE
from gateway.domain.report import Status
from gateway.errors import StateConflict
from gateway.flow.connect import end_connector
from gateway.flow.steer import Cause, give_up_delivery, retry_delivery
from gateway.flow.take_up import retry_connector
from gateway_under_test import connected

# What an operator may do.


async def test_an_earlier_delivery_is_not_sent_again_once_a_later_one_has_arrived(gateway: Gateway) -> None:
    await connect_upstream(gateway, NOWHERE)
    first, second = await a_refused_and_a_waiting(gateway)
    [claimed] = await claim(gateway.engine)
    assert claimed.id == second
    with pytest.raises(StateConflict):
        await retry_delivery(gateway.engine, first, anybody, BY)
    await finish(gateway.engine, claimed)
    with pytest.raises(StateConflict):
        await retry_delivery(gateway.engine, first, anybody, BY)
    assert (await retry_connector(gateway.engine, "national", anybody, BY)).retried == 0
    assert await states(gateway.engine) == ["refused", "delivered"]


async def test_an_earlier_delivery_is_not_sent_again_once_a_later_one_may_have_arrived(gateway: Gateway) -> None:
    await connect_upstream(gateway, NOWHERE)
    first, _ = await a_refused_and_a_waiting(gateway)
    [claimed] = await claim(gateway.engine)
    await finish(gateway.engine, claimed, UNKNOWN, DEFAULT_SCHEDULE)
    with pytest.raises(StateConflict):
        await retry_delivery(gateway.engine, first, anybody, BY)


async def test_revisions_that_were_all_refused_are_taken_up_together_and_go_in_order(gateway: Gateway) -> None:
    await connect_upstream(gateway, NOWHERE)
    reports = await receive_revisions(gateway, 3)
    for _ in reports:
        [claimed] = await claim(gateway.engine)
        await finish(gateway.engine, claimed, REFUSED)
    assert (await retry_connector(gateway.engine, "national", anybody, Cause(CLIENT, "token mới"))).retried == 3
    assert {each["outcome"] for each in await deliveries(gateway.engine)} == {
        "taken up again by an operator: token mới"
    }
    sent: list[UUID | None] = []
    for _ in reports:
        [claimed] = await claim(gateway.engine)
        sent.append(claimed.report)
        await finish(gateway.engine, claimed)
    assert sent == reports


async def test_what_waits_for_its_next_attempt_is_hastened_with_its_connector(gateway: Gateway) -> None:
    await connect_upstream(gateway, NOWHERE)
    await receive(gateway)
    [claimed] = await claim(gateway.engine)
    await finish(gateway.engine, claimed, AWAY, DEFAULT_SCHEDULE)
    assert await claim(gateway.engine) == []
    assert (await retry_connector(gateway.engine, "national", anybody, BY)).retried == 1
    assert len(await claim(gateway.engine)) == 1


async def test_a_cancelled_delivery_lets_the_next_pass_and_may_be_taken_up_before_it_does(gateway: Gateway) -> None:
    await connect_upstream(gateway, NOWHERE)
    await receive_revisions(gateway, 2)
    first, second = [each["id"] for each in await deliveries(gateway.engine)]
    kept = await give_up_delivery(gateway.engine, first, anybody, Cause(CLIENT, "đã gửi bằng văn bản"))
    assert (kept.state, kept.outcome) == ("cancelled", "cancelled by an operator: đã gửi bằng văn bản")
    assert (await give_up_delivery(gateway.engine, first, anybody, BY)).outcome == kept.outcome
    await retry_delivery(gateway.engine, first, anybody, BY)
    assert [each.id for each in await claim(gateway.engine)] == [first]
    with pytest.raises(StateConflict):
        await give_up_delivery(gateway.engine, first, anybody, BY)
    assert second


async def test_removing_a_connector_cancels_what_is_open_and_fences_off_what_is_being_sent(gateway: Gateway) -> None:
    await connect_upstream(gateway, NOWHERE)
    await receive(gateway)
    await receive(gateway, period="2098-Q2")
    [claimed] = await claim(gateway.engine, slots=1)
    await end_connector(gateway.engine, uuid4(), "national", anybody)
    assert await states(gateway.engine) == ["cancelled", "cancelled"]
    assert not await finish(gateway.engine, claimed)
    with pytest.raises(StateConflict):
        await retry_delivery(gateway.engine, claimed.id, anybody, BY)
    await receive(gateway, period="2098-Q1")
    assert len(await states(gateway.engine)) == 2


# Older reports.


async def test_a_connector_with_a_first_day_is_given_all_that_happened_since_in_order(gateway: Gateway) -> None:
    first, second = await receive_revisions(gateway, 2)
    await end(gateway, second, Status.returned, "thiếu")
    other = await receive(gateway, period="2098-Q2")
    await end(gateway, other, Status.withdrawn, "nhầm")
    await connect_upstream(gateway, NOWHERE, **{"from": "2020-01-01"})
    assert [(each["report_id"], each["event"], each["reason"]) for each in await deliveries(gateway.engine)] == [
        (first, "accepted", None),
        (second, "accepted", None),
        (second, "returned", "thiếu"),
        (other, "accepted", None),
        (other, "withdrawn", "nhầm"),
    ]
    assert {each["id"].version for each in await deliveries(gateway.engine)} == {7}


async def test_a_connector_without_a_first_day_is_given_nothing_older(gateway: Gateway) -> None:
    await receive(gateway)
    await connect_upstream(gateway, NOWHERE)
    assert await deliveries(gateway.engine) == []


async def test_only_older_reports_that_the_connector_takes_are_given_to_it(gateway: Gateway) -> None:
    wanted = await receive(gateway)
    await receive(gateway, agency="H01.18")
    old = await receive(gateway, period="2098-Q2")
    async with connected(gateway.engine) as connection:
        await connection.execute("UPDATE reports SET received_at = '2026-02-28T16:59:59Z' WHERE id = $1", old)
    await connect_upstream(gateway, NOWHERE, under="H26", forms=["TTHC_06A"], **{"from": "2026-03-01"})
    await connect_upstream(gateway, NOWHERE, "other-form", forms=["KTXH_01"], **{"from": "2026-03-01"})
    await connect_upstream(gateway, NOWHERE, "other-kind", what="consolidation", **{"from": "2026-03-01"})
    assert [each["report_id"] for each in await deliveries(gateway.engine)] == [wanted]


async def test_an_earlier_first_day_adds_what_is_missing_and_nothing_that_came_too_late(gateway: Gateway) -> None:
    first, second = await receive_revisions(gateway, 2)
    lone = await receive(gateway, period="2098-Q2")
    async with connected(gateway.engine) as connection:
        await connection.execute(
            "UPDATE reports SET received_at = '2026-02-01T00:00:00Z' WHERE id = ANY ($1)", [first, lone]
        )
    await connect_upstream(gateway, NOWHERE, **{"from": "2026-03-01"})
    assert [each["report_id"] for each in await deliveries(gateway.engine)] == [second]
    await connect_upstream(gateway, NOWHERE, **{"from": "2026-01-01"})
    await connect_upstream(gateway, NOWHERE, **{"from": "2026-01-01"})
    assert [each["report_id"] for each in await deliveries(gateway.engine)] == [second, lone]


async def test_reports_pushed_while_a_connector_is_made_are_delivered_exactly_once(gateway: Gateway) -> None:
    async def push_all() -> list[UUID]:
        return [
            await receive(gateway, period=f"2098-{month:02}", form="KTXH_01", agency="H26", rows=[a_monthly_row()])
            for month in range(1, 13)
        ]

    reports, _ = await asyncio.gather(push_all(), connect_upstream(gateway, NOWHERE, **{"from": "2020-01-01"}))
    assert Counter(each["report_id"] for each in await deliveries(gateway.engine)) == Counter(reports)
