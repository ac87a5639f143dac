"""Recording what attempts came to: together in one statement, and each on its own account."""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog

from forwarding import (
    AWAY,
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
from gateway.db.breakers import note_attempt
from gateway.db.claims import Claimed
from gateway.db.engine import driver
from gateway.db.recording import NewAttempt, Recorded
from gateway.domain.breaker import BreakerPolicy
from gateway.domain.delivery import DEFAULT_SCHEDULE, Outcome
from gateway.flow.forward import conclude, message_from, message_of, read_sources
from gateway.flow.tally import Tally
from gateway.sending import messages
from gateway.sending.attempt import Attempted
from gateway.sending.endings import store_endings
from gateway.sending.lease import Lease
from gateway.sending.record import Recorder
from gateway.sending.runners import STALLED_SECONDS

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


async def store_all(gateway: Gateway, given: list[tuple[Claimed, NewAttempt]]) -> list[Recorded | Exception]:
    return [*await store_endings(gateway.engine, asyncio.Semaphore(4), given)]


@dataclass
class Recording:
    """A recorder, and the leases of which it said that nothing is left to do."""

    recorder: Recorder
    done: list[Lease] = field(default_factory=list)

    @classmethod
    def of(cls, gateway: Gateway, lease_seconds: float = 15) -> "Recording":
        connections, done = asyncio.Semaphore(4), list[Lease]()
        tally = Tally(gateway.engine, connections)
        return cls(
            Recorder(gateway.engine, connections, DEFAULT_SCHEDULE, BreakerPolicy(), tally, lease_seconds, done.append),
            done,
        )

    def record(self, claimed: Claimed, outcome: Outcome = TAKEN) -> None:
        now = asyncio.get_running_loop().time()
        self.recorder.record(Lease(claimed, now, now + 15), Attempted(outcome, True, now, now))


async def test_what_ends_together_is_recorded_together_and_each_delivery_becomes_its_own(gateway: Gateway) -> None:
    found = await claimed_reports(gateway)
    given = [(each, ending(each, REFUSED if number % 2 else TAKEN)) for number, each in enumerate(found)]
    recorded = await store_all(gateway, given)
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
    recorded = await store_all(gateway, given)
    assert recorded == [Recorded(False, False)] + [Recorded(True, False)] * len(owned)
    assert {each["state"] for each in await deliveries(gateway.engine)} == {"delivered"}


async def test_an_ending_that_cannot_be_stored_fails_alone(gateway: Gateway) -> None:
    found = await claimed_reports(gateway)
    given = [(each, ending(each)) for each in found]
    claimed, attempt = given[3]
    given[3] = claimed, attempt._replace(status=99_999)  # more than the column holds
    recorded = await store_all(gateway, given)
    assert isinstance(recorded.pop(3), Exception)
    assert recorded == [Recorded(True, False)] * (len(found) - 1)
    left = [each["id"] for each in await deliveries(gateway.engine) if each["state"] == "sending"]
    assert left == [claimed.id]


async def test_what_ended_is_recorded_and_its_lease_given_back_though_nobody_waits_for_it(gateway: Gateway) -> None:
    found, recording = await claimed_reports(gateway), Recording.of(gateway)
    for each in found:
        recording.record(each)
    await recording.recorder.settle(10)
    assert {each["state"] for each in await deliveries(gateway.engine)} == {"delivered"}
    assert [lease.claimed for lease in recording.done] == found


async def test_what_cannot_be_recorded_gives_its_lease_back_and_says_why(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, recording = await claimed_reports(gateway), Recording.of(gateway)
    recording.record(found[0], replace(TAKEN, status=99_999))  # more than the column holds
    recording.record(found[1])
    with structlog.testing.capture_logs() as events:
        await recording.recorder.settle(10)
    assert len(recording.done) == 2
    [told] = [each for each in events if each["log_level"] == "error"]
    assert told["event"] == "an attempt was not recorded"
    assert told["delivery"] == str(found[0].id)
    by_id = {each["id"]: each["state"] for each in await deliveries(gateway.engine)}
    assert (by_id[found[0].id], by_id[found[1].id]) == ("sending", "delivered")


async def test_what_ends_just_as_others_have_been_recorded_waits_for_nobody(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stores_at_once(_: object, __: object, given: list[object]) -> list[Recorded]:
        return [Recorded(True, False)] * len(given)

    monkeypatch.setattr("gateway.sending.record.store_endings", stores_at_once)
    recording, found = Recording.of(gateway), await claimed_reports(gateway)
    for each in found[:2]:
        recording.record(each)  # as many turns as there are at once

    async def just_then() -> None:
        recording.record(found[2])

    await asyncio.create_task(just_then())  # both are over, and the loop has yet to tell
    await recording.recorder.settle()
    assert {each.claimed.id for each in recording.done} == {each.id for each in found[:3]}


async def test_a_fault_of_ours_gives_back_the_leases_of_all_that_were_recorded_with_it(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("cannot count")

    monkeypatch.setattr(Tally, "count_attempt", fails)
    recording, found = Recording.of(gateway), await claimed_reports(gateway)
    for each in found:
        recording.record(each)
    await recording.recorder.settle()
    assert {each.claimed.id for each in recording.done} == {each.id for each in found}
    assert "cannot count" in capsys.readouterr().err


async def test_what_ended_is_recorded_again_and_again_while_the_database_is_away(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, recording = await claimed_reports(gateway), Recording.of(gateway)
    failures = 2

    async def store(*given: Any) -> Any:
        nonlocal failures
        failures -= 1
        return await store_endings(*given) if failures < 0 else [OSError("away")] * len(given[-1])

    monkeypatch.setattr("gateway.sending.record.store_endings", store)
    for each in found:
        recording.record(each)
    await recording.recorder.settle(10)
    assert {each["state"] for each in await deliveries(gateway.engine)} == {"delivered"}
    assert len(recording.done) == len(found)


async def test_what_ended_is_given_up_once_its_lease_has_long_run_out(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    [claimed, *_], recording = await claimed_reports(gateway), Recording.of(gateway, lease_seconds=-15)

    async def store(*given: Any) -> Any:
        return [OSError("away")] * len(given[-1])

    monkeypatch.setattr("gateway.sending.record.store_endings", store)
    recording.record(claimed)
    await recording.recorder.settle(10)
    assert [lease.claimed for lease in recording.done] == [claimed]
    assert "delivered" not in {each["state"] for each in await deliveries(gateway.engine)}


async def test_what_failed_is_held_until_its_breaker_has_heard_of_it(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else more of a dead upstream is claimed than can be noted, and whoever is well waits for a connection."""
    found, recording, heard = await claimed_reports(gateway), Recording.of(gateway), asyncio.Event()

    async def note(*given: Any) -> Any:
        await heard.wait()
        return await note_attempt(*given)

    monkeypatch.setattr("gateway.sending.record.note_attempt", note)
    for each in found:
        recording.record(each, AWAY if each is found[0] else TAKEN)

    async def others_are_done() -> bool:
        return len(recording.done) == len(found) - 1

    await until(others_are_done, seconds=10)
    assert found[0] not in [lease.claimed for lease in recording.done]
    heard.set()
    await recording.recorder.settle(10)
    assert len(recording.done) == len(found)


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
    places, most = 2, 6

    async def count(connector: int, state: str, wanted: int) -> bool:
        found = [each["state"] for each in await deliveries(gateway.engine) if each["connector_id"] == connector]
        return found.count(state) == wanted

    async with upstream() as silent, upstream() as healthy:
        await silent.behave(mode="stall", seconds=30)
        silent_number = await connect_upstream(gateway, silent.url, "silent", concurrency=100)
        for period in PERIODS:
            await receive(gateway, period=period)
        async with working(gateway, worker_concurrency=places, attempt_seconds=10) as [worker]:
            await until(lambda: count(silent_number, "sending", most))
            number = await connect_upstream(gateway, healthy.url, "healthy")
            await receive(gateway, period="2070-Q1")
            await until(lambda: count(number, "delivered", 1), seconds=STALLED_SECONDS + 5)
            assert await count(silent_number, "sending", most), "more for the silent one"
            worker.stop()
            worker.stop()
