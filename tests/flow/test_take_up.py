"""Taking up again many deliveries at once: those that a filter chooses, in parts, in order, and with a name to it."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest

from forwarding import (
    AWAY,
    BY,
    CLIENT,
    NOWHERE,
    REFUSED,
    a_refused_and_a_waiting,
    anybody,
    claim,
    connect_upstream,
    deliveries,
    finish,
    many_deliveries,
    receive,
    receive_revisions,
    states,
)
from gateway.api.deps import Gateway
from gateway.db import interventions
from gateway.db.delivery_filter import DeliveryFilter
from gateway.db.engine import driver
from gateway.db.interventions import find_interventions, list_interventions
from gateway.domain.delivery import DEFAULT_SCHEDULE
from gateway.flow import take_up
from gateway.flow.steer import Cause
from gateway.flow.take_up import Choice, TakenUp, retry_connector
from gateway_under_test import connected


async def retry(gateway: Gateway, **wanted: object) -> TakenUp:
    choice = Choice(DeliveryFilter(**wanted), {"asked": "so"})  # type: ignore[arg-type]
    return await retry_connector(gateway.engine, "national", anybody, Cause(CLIENT, "đã sửa"), choice)


async def taken_up(gateway: Gateway) -> set[UUID]:
    return {each["report_id"] for each in await deliveries(gateway.engine) if each["state"] == "pending"}


@pytest.fixture
async def refused(gateway: Gateway) -> list[UUID]:
    """Three refused reports: of a department in two periods, and of another province."""
    await connect_upstream(gateway, NOWHERE)
    reports = [
        await receive(gateway),
        await receive(gateway, period="2098-Q2"),
        await receive(gateway, agency="H01.18"),
    ]
    for claimed in await claim(gateway.engine):
        await finish(gateway.engine, claimed, REFUSED)
    assert await states(gateway.engine) == ["refused"] * 3
    return reports


async def test_only_what_the_filter_chooses_is_taken_up(gateway: Gateway, refused: list[UUID]) -> None:
    _, second, other = refused
    kept = {each["report_id"]: each for each in await deliveries(gateway.engine)}
    made, ended = kept[second]["made_at"], min(each["finished_at"] for each in kept.values())
    for nothing in (
        {"period": "2098-Q4"},
        {"state": "exhausted"},
        {"event": "withdrawn"},
        {"kind": "consolidation"},
        {"form": kept[other]["form_id"] + 1},
        {"ended_to": ended},
        {"made_from": ended + timedelta(hours=1)},
        {"report": UUID(int=1)},
    ):
        assert (await retry(gateway, **nothing)).retried == 0, nothing
    assert (await retry(gateway, period="2098-Q2", made_from=made)).retried == 1
    assert await taken_up(gateway) == {second}
    assert (await retry(gateway, agencies=[kept[other]["agency_id"]], state="refused")).retried == 1
    assert await taken_up(gateway) == {second, other}
    assert (await retry(gateway, state="refused", ended_from=ended)).retried == 1


async def test_who_took_up_what_and_why_is_kept_with_the_filter_and_with_each_delivery(
    gateway: Gateway, refused: list[UUID]
) -> None:
    done = await retry(gateway, period="2098-Q2")
    [kept] = [each for each in await deliveries(gateway.engine) if each["state"] == "pending"]
    async with driver(gateway.engine) as connection:
        [told] = await find_interventions(connection, kept["id"])
        assert await list_interventions(connection, kept["connector_id"], [None], None, 10) == [told]
    assert (told.id, told.act, told.client_id, told.reason) == (done.intervention, "retry", CLIENT, "đã sửa")
    assert (told.wanted, told.touched, told.passed) == ({"asked": "so"}, 1, 0)


async def test_what_a_later_delivery_has_passed_is_left_alone_and_counted(gateway: Gateway) -> None:
    await connect_upstream(gateway, NOWHERE)
    first, _ = await a_refused_and_a_waiting(gateway)
    [claimed] = await claim(gateway.engine)
    await finish(gateway.engine, claimed)
    done = await retry(gateway)
    assert (done.retried, done.passed) == (0, 1)
    assert await states(gateway.engine) == ["refused", "delivered"]
    async with driver(gateway.engine) as connection:
        assert await find_interventions(connection, first) == []


async def test_without_the_look_at_later_deliveries_an_earlier_one_would_come_after_them(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of the test before."""
    monkeypatch.setattr(interventions, "NOT_PASSED", "true")
    await connect_upstream(gateway, NOWHERE)
    await a_refused_and_a_waiting(gateway)
    [claimed] = await claim(gateway.engine)
    await finish(gateway.engine, claimed)
    assert (await retry(gateway)).retried == 1


async def test_a_backlog_is_taken_up_in_parts_between_which_claims_have_their_turn(gateway: Gateway) -> None:
    number = await connect_upstream(gateway, NOWHERE, concurrency=100)
    await many_deliveries(gateway.engine, number, 4 * take_up._BATCH)
    retrying = asyncio.create_task(retry_connector(gateway.engine, "national", anybody, BY))
    early = await claim(gateway.engine, slots=5)
    while not early:
        await asyncio.sleep(0.005)
        early = await claim(gateway.engine, slots=5)
    async with connected(gateway.engine) as connection:
        waiting = await connection.fetchval("SELECT count(*) FROM deliveries WHERE state = 'refused'")
        done = await retrying
        noted = await connection.fetchval("SELECT count(*) FROM intervened")
    assert len(early) == 5
    assert waiting > 0
    assert done.retried == noted == 4 * take_up._BATCH


async def revisions_taken_up_one_by_one(gateway: Gateway) -> tuple[list[UUID], list[UUID | None]]:
    """Four refused revisions, and the order in which they are sent while they are being taken up."""
    await connect_upstream(gateway, NOWHERE)
    reports = await receive_revisions(gateway, 4)
    for _ in reports:
        [claimed] = await claim(gateway.engine)
        await finish(gateway.engine, claimed, REFUSED)
    retrying = asyncio.create_task(retry_connector(gateway.engine, "national", anybody, BY))
    sent: list[UUID | None] = []
    while not retrying.done() or "pending" in await states(gateway.engine):
        for claimed in await claim(gateway.engine):
            sent.append(claimed.report)
            await finish(gateway.engine, claimed)
        await asyncio.sleep(0)
    await retrying
    return reports, sent


async def test_revisions_in_different_parts_still_go_in_order(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(take_up, "_BATCH", 1)
    reports, sent = await revisions_taken_up_one_by_one(gateway)
    assert sent == reports


async def test_what_waits_for_its_next_attempt_is_hastened_in_parts_too(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(take_up, "_BATCH", 2)
    await connect_upstream(gateway, NOWHERE)
    for quarter in range(1, 4):
        await receive(gateway, period=f"209{quarter}-Q1")
    for claimed in await claim(gateway.engine):
        await finish(gateway.engine, claimed, AWAY, DEFAULT_SCHEDULE)
    assert (await retry(gateway, state="refused")).retried == 0
    assert (await retry(gateway, state="pending", period="2091-Q1")).retried == 1
    assert (await retry(gateway)).retried == 2
    assert len(await claim(gateway.engine)) == 3


async def test_a_connector_that_is_removed_half_way_is_left_alone(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = await connect_upstream(gateway, NOWHERE)
    await many_deliveries(gateway.engine, number, 3)
    monkeypatch.setattr(take_up, "_BATCH", 1)
    honest, calls = interventions.take_up, 0

    async def removing(*given: object) -> object:
        nonlocal calls
        calls += 1
        found = await honest(*given)  # type: ignore[arg-type]
        await given[0].execute("UPDATE connectors SET removed_at = now()")  # type: ignore[attr-defined]
        return found

    monkeypatch.setattr(take_up, "take_up", removing)
    assert (await retry_connector(gateway.engine, "national", anybody, BY)).retried == 1
    assert calls == 1
    assert sorted(await states(gateway.engine)) == ["pending", "refused", "refused"]
