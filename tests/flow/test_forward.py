"""Forwarding on a real database: what is claimed, in which order, what is sent, and what a failure leads to."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count as counting
from itertools import cycle, pairwise
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from forwarding import (
    A_CLAIM,
    AWAY,
    BY,
    CLIENT,
    LEASE,
    NOWHERE,
    REFUSED,
    SOON,
    TAKEN,
    UNKNOWN,
    a_refused_and_a_waiting,
    anybody,
    attempts,
    claim,
    connect_upstream,
    deliveries,
    end,
    finish,
    hasty,
    outbox,
    receive,
    receive_revisions,
    run_out,
    states,
    until,
    until_all,
    upstream,
    working,
)
from gateway.api.deps import Gateway
from gateway.connectors.http_json import HttpJson
from gateway.db.breakers import find_breaker, note_attempt, probe_now
from gateway.db.claims import Claimed, Slots, claim_due, renew_claims
from gateway.db.connectors import lock_connector
from gateway.db.deliveries import reopen_delivery
from gateway.db.engine import driver, open_engine
from gateway.db.reading import find_report
from gateway.domain.breaker import BreakerPolicy, BreakerState, Ended
from gateway.domain.delivery import DEFAULT_SCHEDULE, Outcome, OutcomeClass
from gateway.domain.exact import encode
from gateway.domain.report import Status
from gateway.flow.forward import conclude, message_of
from gateway.flow.load import Catalogues
from gateway.flow.show import report_shown
from gateway.flow.steer import Cause, retry_delivery
from gateway.flow.take_up import retry_connector
from gateway.flow.wake import CHANNEL, Notifier, listen
from gateway.sending.attempt import Attempted, Sender
from gateway.sending.lease import Lease
from gateway.worker import Worker
from gateway_under_test import connected

# What is claimed.


async def test_an_accepted_report_is_claimed_once_and_not_again_until_its_lease_runs_out(gateway: Gateway) -> None:
    number = await connect_upstream(gateway, NOWHERE)
    report = await receive(gateway)
    [claimed] = await claim(gateway.engine)
    assert (claimed.report, claimed.event, claimed.number, claimed.earlier) == (report, "accepted", 1, 0)
    assert (claimed.target.number, claimed.target.name, claimed.target.url) == (number, "national", NOWHERE)
    assert await claim(gateway.engine) == []
    await run_out(gateway.engine)
    [again] = await claim(gateway.engine)
    assert (again.id, again.number) == (claimed.id, 2)
    assert again.claim != claimed.claim


async def test_an_attempt_whose_worker_went_away_is_on_record_as_one_that_may_have_arrived(gateway: Gateway) -> None:
    await connect_upstream(gateway, NOWHERE)
    await receive(gateway)
    await claim(gateway.engine)
    await run_out(gateway.engine)
    [again] = await claim(gateway.engine)
    assert await finish(gateway.engine, again)
    [lost, last] = await attempts(gateway.engine)
    assert (lost["number"], lost["outcome"]) == (1, "ambiguous")
    assert "went away" in lost["reason"]
    assert (last["number"], last["outcome"]) == (2, "delivered")
    assert again.earlier == 1


async def test_a_worker_that_outlived_its_lease_records_nothing(gateway: Gateway) -> None:
    await connect_upstream(gateway, NOWHERE)
    await receive(gateway)
    [zombie] = await claim(gateway.engine)
    await run_out(gateway.engine)
    [owner] = await claim(gateway.engine)
    assert not await finish(gateway.engine, zombie, REFUSED)
    assert await states(gateway.engine) == ["sending"]
    assert await finish(gateway.engine, owner, TAKEN)
    assert not await finish(gateway.engine, zombie, REFUSED)
    assert await states(gateway.engine) == ["delivered"]
    assert [each["outcome"] for each in await attempts(gateway.engine)] == ["ambiguous", "delivered"]


async def test_what_a_worker_left_behind_goes_before_a_backlog_that_has_waited_longer(gateway: Gateway) -> None:
    number = await connect_upstream(gateway, NOWHERE)
    await outbox(gateway.engine, number, 20, keys=20)
    lost = await claim(gateway.engine, 3)
    await run_out(gateway.engine)
    assert {each.id for each in await claim(gateway.engine, 3)} == {each.id for each in lost}


async def test_no_more_is_claimed_than_there_is_room_for(gateway: Gateway) -> None:
    number = await connect_upstream(gateway, NOWHERE, concurrency=100)
    await outbox(gateway.engine, number, 10, keys=10)
    assert [len(await claim(gateway.engine, slots)) for slots in (3, 4, 100, 100)] == [3, 4, 3, 0]


async def test_a_connector_has_at_most_its_concurrency_in_flight_whatever_the_workers(gateway: Gateway) -> None:
    busy = await connect_upstream(gateway, NOWHERE, "busy", concurrency=2)
    calm = await connect_upstream(gateway, NOWHERE, "calm", concurrency=5)
    await outbox(gateway.engine, busy, 20, keys=20)
    await outbox(gateway.engine, calm, 3, keys=3)
    found = [each for batch in await asyncio.gather(*[claim(gateway.engine) for _ in range(8)]) for each in batch]
    assert Counter(each.target.name for each in found) == {"busy": 2, "calm": 3}
    await finish(gateway.engine, next(each for each in found if each.target.name == "busy"))
    assert [each.target.name for each in await claim(gateway.engine)] == ["busy"]


async def test_a_connector_with_a_rate_is_given_a_second_s_worth_and_then_its_share(gateway: Gateway) -> None:
    number = await connect_upstream(gateway, NOWHERE, concurrency=100, rate=5)
    await outbox(gateway.engine, number, 50, keys=50)
    found = await claim(gateway.engine)
    assert len(found) == 5
    assert timedelta() < found[0].claimed_at - await paced_until(gateway.engine) < timedelta(seconds=5)
    await paced_until(gateway.engine, "now() + interval '1 hour'")
    assert await claim(gateway.engine) == []
    await paced_until(gateway.engine, "now() - interval '410 ms'")
    assert len(await claim(gateway.engine)) in range(2, 6)


async def test_a_slow_rate_still_lets_one_report_through_at_a_time(gateway: Gateway) -> None:
    number = await connect_upstream(gateway, NOWHERE, rate=Decimal("0.001"))
    await outbox(gateway.engine, number, 5, keys=5)
    assert [len(await claim(gateway.engine)) for _ in range(2)] == [1, 0]
    await paced_until(gateway.engine, "paced_until - interval '1000 s'")
    assert [len(await claim(gateway.engine)) for _ in range(2)] == [1, 0]


async def paced_until(engine: AsyncEngine, expression: str = "paced_until") -> datetime:
    """Up to when the rate of the only connector is used up, set to what is asked."""
    async with connected(engine) as connection:
        moment: datetime = await connection.fetchval(
            f"UPDATE connectors SET paced_until = {expression} RETURNING paced_until"
        )
    return moment


@pytest.mark.parametrize("column", ["paused_at", "removed_at"])
async def test_nothing_of_a_paused_or_removed_connector_is_claimed(gateway: Gateway, column: str) -> None:
    number = await connect_upstream(gateway, NOWHERE)
    await outbox(gateway.engine, number, 3, keys=3)
    async with connected(gateway.engine) as connection:
        await connection.execute(f"UPDATE connectors SET {column} = now()")
    assert await claim(gateway.engine) == []


# In which order.


async def test_a_later_revision_waits_until_the_earlier_has_ended(gateway: Gateway) -> None:
    await connect_upstream(gateway, NOWHERE)
    first, second, third = await receive_revisions(gateway, 3)
    for report, outcome in ((first, AWAY), (first, TAKEN), (second, REFUSED), (third, TAKEN)):
        [claimed] = await claim(gateway.engine)
        assert claimed.report == report
        assert await claim(gateway.engine) == []
        await finish(gateway.engine, claimed, outcome)
    assert await claim(gateway.engine) == []
    assert await states(gateway.engine) == ["delivered", "refused", "delivered"]


async def test_a_later_revision_waits_out_the_back_off_of_the_earlier(gateway: Gateway) -> None:
    await connect_upstream(gateway, NOWHERE)
    await receive_revisions(gateway, 2)
    [claimed] = await claim(gateway.engine)
    await finish(gateway.engine, claimed, AWAY, DEFAULT_SCHEDULE)
    assert await claim(gateway.engine) == []


async def test_connectors_keys_and_kinds_do_not_wait_for_each_other(gateway: Gateway) -> None:
    for name in ("one", "two"):
        await connect_upstream(gateway, NOWHERE, name)
    await receive_revisions(gateway, 2)
    await receive_revisions(gateway, 2, period="2098-Q2")
    found = await claim(gateway.engine)
    assert Counter(each.target.name for each in found) == {"one": 2, "two": 2}


async def test_an_upstream_is_told_of_a_return_and_a_withdrawal_after_the_report(gateway: Gateway) -> None:
    await connect_upstream(gateway, NOWHERE)
    report = await receive(gateway)
    await end(gateway, report, Status.returned, "thiếu số liệu")
    await end(gateway, report, Status.withdrawn, "gửi nhầm")
    catalogue = await gateway.catalogues.newest()
    told: list[object] = []
    for _ in range(3):
        [claimed] = await claim(gateway.engine)
        async with driver(gateway.engine) as connection:
            body = json.loads((await message_of(connection, claimed, catalogue)).body)
        told.append(body if claimed.event != "accepted" else body["id"])
        await finish(gateway.engine, claimed)
    assert told == [
        str(report),
        {"event": "returned", "report": str(report), "reason": "thiếu số liệu"},
        {"event": "withdrawn", "report": str(report), "reason": "gửi nhầm"},
    ]


@dataclass(frozen=True)
class Sent:
    """One attempt of the test below, and its place in the order of starts and ends."""

    delivery: UUID
    started: int
    ended: int
    outcome: Outcome


Claims = Callable[[AsyncEngine], Awaitable[list[Claimed]]]


async def our_claims(engine: AsyncEngine) -> list[Claimed]:
    return await claim(engine, slots=3)


async def unordered_claims(engine: AsyncEngine) -> list[Claimed]:
    """What a plain queue does: SKIP LOCKED, and no look at the key."""
    async with driver(engine) as connection:
        rows = await connection.fetch(
            "UPDATE deliveries SET state = 'sending', claim = gen_random_uuid(), due_at = now() + interval '15 s',"
            " attempts = attempts + 1 WHERE id IN (SELECT id FROM deliveries WHERE state IN ('pending', 'sending')"
            " AND due_at <= now() ORDER BY seq LIMIT 3 FOR UPDATE SKIP LOCKED)"
            " RETURNING id, claim, report_id AS report, attempts AS number, now() AS claimed_at"
        )
    return [A_CLAIM._replace(**row) for row in rows]


async def many_workers(engine: AsyncEngine, claims: Claims, count: int) -> list[Sent]:
    """Six workers that claim, take a moment over each, and fail half of the time, until all is delivered."""
    clock, outcomes, log = counting(), cycle([TAKEN, AWAY, AWAY, TAKEN, TAKEN, AWAY, TAKEN]), list[Sent]()

    async def work() -> None:
        while len({each.delivery for each in log if each.outcome is TAKEN}) < count:
            found = await claims(engine)
            await asyncio.gather(*[one(each) for each in found])
            if not found:
                await asyncio.sleep(0.005)

    async def one(claimed: Claimed) -> None:
        started, outcome = next(clock), next(outcomes)
        await asyncio.sleep(started % 5 * 0.002)
        ended = next(clock)
        if await finish(engine, claimed, outcome):
            log.append(Sent(claimed.id, started, ended, outcome))

    await asyncio.gather(*[work() for _ in range(6)])
    return sorted(log, key=lambda sent: sent.started)


def faults(log: list[Sent], order: list[UUID]) -> set[str]:
    """What is wrong with the attempts at one key: two at once, or one that starts after a later delivery's."""
    found: set[str] = set()
    for before, after in pairwise(each for each in log if each.delivery in order):
        if after.started < before.ended:
            found.add("overlap")
        if order.index(after.delivery) < order.index(before.delivery):
            found.add("order")
    return found


@pytest.mark.parametrize(("claims", "expected"), [(our_claims, set()), (unordered_claims, {"overlap", "order"})])
async def test_many_workers_send_a_hot_key_in_order_and_one_at_a_time(
    gateway: Gateway, claims: Claims, expected: set[str]
) -> None:
    number = await connect_upstream(gateway, NOWHERE, concurrency=100)
    await outbox(gateway.engine, number, 24, keys=2)
    order = [each["id"] for each in await deliveries(gateway.engine)]
    log = await many_workers(gateway.engine, claims, 24)
    assert set(await states(gateway.engine)) == {"delivered"}
    assert faults(log, order[::2]) | faults(log, order[1::2]) == expected


SINGLE_STATEMENT = """
WITH due AS (
    SELECT id FROM deliveries d WHERE state = 'pending' AND due_at <= now()
       AND NOT EXISTS (SELECT FROM deliveries e WHERE e.connector_id = d.connector_id AND e.agency_id = d.agency_id
                          AND e.seq < d.seq AND e.state IN ('pending', 'sending'))
     FOR UPDATE SKIP LOCKED)
UPDATE deliveries d SET state = 'sending', claim = gen_random_uuid() FROM due WHERE d.id = due.id RETURNING d.id
"""


async def test_no_later_delivery_is_claimed_while_an_earlier_one_is_being_taken_up_again(gateway: Gateway) -> None:
    number = await connect_upstream(gateway, NOWHERE)
    first, second = await a_refused_and_a_waiting(gateway)
    async with connected(gateway.engine) as operator, operator.transaction():
        await lock_connector(operator, number)
        assert await reopen_delivery(operator, first, "again")
        assert await claim(gateway.engine) == []
    assert [each.id for each in await claim(gateway.engine)] == [first]
    assert await states(gateway.engine) == ["sending", "pending"]
    assert second


async def test_a_claim_in_one_statement_would_let_the_later_one_pass(gateway: Gateway) -> None:
    """The negative control of the test above: why claims of a connector take turns."""
    number = await connect_upstream(gateway, NOWHERE)
    first, second = await a_refused_and_a_waiting(gateway)
    async with connected(gateway.engine) as operator, operator.transaction():
        await lock_connector(operator, number)
        assert await reopen_delivery(operator, first, "again")
        async with connected(gateway.engine) as worker:
            assert [row["id"] for row in await worker.fetch(SINGLE_STATEMENT)] == [second]
    assert await states(gateway.engine) == ["pending", "sending"]


async def test_retrying_and_claiming_at_once_never_opens_two_deliveries_out_of_order(gateway: Gateway) -> None:
    await connect_upstream(gateway, NOWHERE)
    first, second = await a_refused_and_a_waiting(gateway)
    seen: Counter[tuple[str, ...]] = Counter()
    for _ in range(10):
        await asyncio.gather(
            claim(gateway.engine),
            retry_delivery(gateway.engine, first, anybody, BY),
            claim(gateway.engine),
            return_exceptions=True,
        )
        seen[tuple(await states(gateway.engine))] += 1
        async with connected(gateway.engine) as connection:
            await connection.execute(
                "UPDATE deliveries SET claim = NULL, due_at = now(),"
                " state = CASE id WHEN $1 THEN 'refused' ELSE 'pending' END",
                first,
            )
    assert set(seen) <= {("sending", "pending"), ("pending", "pending"), ("refused", "sending")}, seen
    assert second


# What becomes of an attempt.


@pytest.mark.parametrize(
    ("outcome", "state", "wait"),
    [
        (TAKEN, "delivered", None),
        (REFUSED, "refused", None),
        (AWAY, "pending", 5),
        (UNKNOWN, "pending", 5),
        (Outcome(OutcomeClass.throttled, "wait", 429, retry_after=timedelta(seconds=90)), "pending", 90),
    ],
)
def test_what_is_not_taken_now_is_tried_again_by_the_schedule(outcome: Outcome, state: str, wait: float | None) -> None:
    at = A_CLAIM.claimed_at
    attempt = conclude(A_CLAIM, outcome, at, at, DEFAULT_SCHEDULE, 0)
    assert (attempt.state, attempt.outcome, attempt.reason) == (state, outcome.kind.value, outcome.reason)
    assert attempt.due_at == (None if wait is None else at + timedelta(seconds=wait))


def test_after_the_horizon_a_delivery_is_exhausted() -> None:
    at = A_CLAIM.claimed_at + timedelta(days=8)
    late = A_CLAIM._replace(earlier=40, first_at=A_CLAIM.claimed_at)
    attempt = conclude(late, AWAY, at, at, DEFAULT_SCHEDULE, 0)
    assert (attempt.state, attempt.due_at) == ("exhausted", None)


async def test_the_wait_grows_with_each_failure_and_starts_anew_when_a_person_takes_it_up(gateway: Gateway) -> None:
    await connect_upstream(gateway, NOWHERE)
    await receive(gateway)
    earlier: list[int] = []
    for outcome in (AWAY, AWAY, REFUSED, AWAY, TAKEN):
        [claimed] = await claim(gateway.engine)
        earlier.append(claimed.earlier)
        await finish(gateway.engine, claimed, outcome)
        if outcome is REFUSED:
            await retry_delivery(gateway.engine, claimed.id, anybody, Cause(CLIENT, "đã sửa địa chỉ"))
    assert earlier == [0, 1, 2, 0, 1]
    assert [each["number"] for each in await attempts(gateway.engine)] == [1, 2, 3, 4, 5]


# What is sent.


async def test_the_body_is_the_report_as_the_api_shows_it(gateway: Gateway) -> None:
    await connect_upstream(gateway, NOWHERE)
    report = await receive(gateway)
    [claimed] = await claim(gateway.engine)
    catalogue = await gateway.catalogues.newest()
    async with driver(gateway.engine) as connection:
        kept = await find_report(connection, report, catalogue)
        assert kept
        message = await message_of(connection, claimed, catalogue)
        assert message.body == encode(await report_shown(connection, kept, catalogue, "vi"))


async def test_the_body_stays_the_same_whatever_becomes_of_the_report(gateway: Gateway) -> None:
    await connect_upstream(gateway, NOWHERE)
    report = await receive(gateway)
    [claimed] = await claim(gateway.engine)
    catalogue = await gateway.catalogues.newest()
    async with driver(gateway.engine) as connection:
        before = await message_of(connection, claimed, catalogue)
    await end(gateway, report, Status.returned)
    await receive(gateway, corrects=str(report), reason="đính chính", rows=[], nil="nothing_to_report")
    async with driver(gateway.engine) as connection:
        assert await message_of(connection, claimed, catalogue) == before
    assert json.loads(before.body)["status"] == "accepted"


async def test_a_superseded_report_whose_answer_was_lost_is_recognised_when_it_is_sent_again(gateway: Gateway) -> None:
    async with upstream() as national, working(gateway, attempt_seconds=0.3):
        await connect_upstream(gateway, national.url)
        await national.behave(mode="stall", seconds=5, count=1)
        reports = await receive_revisions(gateway, 2)
        await until_all(gateway.engine, "delivered")
        arrived = await national.received()
    assert [(each["id"], each["count"]) for each in arrived] == [(str(reports[0]), 2), (str(reports[1]), 1)]
    assert [each["outcome"] for each in await attempts(gateway.engine)] == ["ambiguous", "delivered", "delivered"]


# A worker and its upstream.


async def test_a_signed_report_arrives_and_new_credentials_hold_without_a_restart(gateway: Gateway) -> None:
    wrong, right = ({"signing_secret": "whsec_" + letter * 32} for letter in "AB")
    async with upstream(right["signing_secret"]) as national, working(gateway):
        await connect_upstream(gateway, national.url, credentials=wrong)
        report = await receive(gateway)
        await until_all(gateway.engine, "refused")
        await connect_upstream(gateway, national.url, credentials=right)
        assert (await retry_connector(gateway.engine, "national", anybody, BY)).retried == 1
        await until_all(gateway.engine, "delivered")
        assert [each["id"] for each in await national.received()] == [str(report)]
    assert [each["status"] for each in await attempts(gateway.engine)] == [401, 201]


@pytest.mark.parametrize(
    ("behaviour", "outcome"),
    [
        ({"mode": "drop", "count": 2}, "ambiguous"),
        ({"mode": "refuse", "status": 503, "count": 2}, "unreachable"),
        ({"mode": "throttle", "retry_after": 0, "count": 2}, "throttled"),
        ({"mode": "stall", "seconds": 5, "count": 2}, "ambiguous"),
    ],
)
async def test_a_report_gets_through_an_upstream_that_fails_for_a_while(
    gateway: Gateway, behaviour: dict[str, Any], outcome: str
) -> None:
    async with upstream() as national, working(gateway, attempt_seconds=1):
        await connect_upstream(gateway, national.url)
        await national.behave(**behaviour)
        report = await receive(gateway)
        await until_all(gateway.engine, "delivered")
        assert {each["id"] for each in await national.received()} == {str(report)}
    assert [each["outcome"] for each in await attempts(gateway.engine)] == [outcome, outcome, "delivered"]


async def test_a_connector_s_own_schedule_holds_from_the_next_failure_on_without_a_restart(gateway: Gateway) -> None:
    async def waits() -> float:
        [delivery] = await deliveries(gateway.engine)
        made = await attempts(gateway.engine)
        seconds: float = (delivery["due_at"] - made[-1]["finished_at"]).total_seconds()
        return seconds

    async with working(gateway, schedule=DEFAULT_SCHEDULE):
        await connect_upstream(gateway, NOWHERE, retry={"delays_seconds": [100, 200], "horizon_hours": 20})
        await receive(gateway)
        await until_attempts(gateway, 1)
        assert 80 <= await waits() <= 120
        await connect_upstream(gateway, NOWHERE, retry={"delays_seconds": [1000, 5000], "horizon_hours": 100})
        await retry_connector(gateway.engine, "national", anybody, BY)
        await until_attempts(gateway, 2)
        assert 4000 <= await waits() <= 6000
        await connect_upstream(gateway, NOWHERE)
        await retry_connector(gateway.engine, "national", anybody, BY)
        await until_attempts(gateway, 3)
        assert 96 <= await waits() <= 144


async def until_attempts(gateway: Gateway, count: int) -> None:
    """Wait until so many attempts were made."""

    async def made() -> bool:
        return len(await attempts(gateway.engine)) == count

    await until(made)


async def test_an_upstream_that_is_not_there_is_tried_until_the_horizon_and_then_left_to_a_person(
    gateway: Gateway,
) -> None:
    short = replace(SOON, horizon=timedelta(milliseconds=200))
    await connect_upstream(gateway, NOWHERE)
    await receive(gateway)
    async with working(gateway, schedule=short):
        await until_all(gateway.engine, "exhausted")
    made = await attempts(gateway.engine)
    assert len(made) >= 2
    assert {each["outcome"] for each in made} == {"unreachable"}


async def test_what_cannot_be_prepared_is_on_record_retried_and_holds_up_nothing_else(gateway: Gateway) -> None:
    async with upstream() as national:
        number = await connect_upstream(gateway, national.url)
        await outbox(gateway.engine, number, 1)
        report = await receive(gateway)
        async with working(gateway):

            async def both_are_there() -> bool:
                made = await attempts(gateway.engine)
                return sum(each["outcome"] == "unreachable" for each in made) > 1 and "delivered" in await states(
                    gateway.engine
                )

            await until(both_are_there)
        assert [each["id"] for each in await national.received()] == [str(report)]
    [first, *_] = await attempts(gateway.engine)
    assert first["reason"] == "not sent, failed within the gateway: LookupError"


async def test_credentials_that_cannot_be_read_are_on_record_and_not_the_end_of_the_worker(gateway: Gateway) -> None:
    async with upstream() as national:
        await connect_upstream(gateway, national.url, credentials={"bearer": "token"})
        async with connected(gateway.engine) as connection:
            await connection.execute("UPDATE connectors SET credentials = 'of another key'")
        await receive(gateway)
        async with working(gateway):
            await until(lambda: _has_attempts(gateway.engine))
            await connect_upstream(gateway, national.url, credentials={"bearer": "token"})
            await until_all(gateway.engine, "delivered")
    [first, *_] = await attempts(gateway.engine)
    assert first["reason"] == "not sent, failed within the gateway: InvalidToken"


async def _has_attempts(engine: AsyncEngine) -> bool:
    return bool(await attempts(engine))


async def test_an_attempt_may_take_longer_than_a_lease_while_its_worker_lives(gateway: Gateway) -> None:
    async with upstream() as national, working(gateway, count=2, lease_seconds=1, attempt_seconds=10):
        await connect_upstream(gateway, national.url)
        await national.behave(mode="stall", seconds=3, count=1)
        await receive(gateway)
        await until_all(gateway.engine, "delivered")
        assert [each["count"] for each in await national.received()] == [1]
    assert [each["outcome"] for each in await attempts(gateway.engine)] == ["delivered"]


async def test_an_attempt_ends_with_its_lease_where_the_worker_cannot_renew_it(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control of the test above."""

    async def fails(*_: object) -> set[UUID]:
        raise ConnectionError

    monkeypatch.setattr("gateway.sending.lease.renew_claims", fails)
    async with upstream() as national, working(gateway, count=2, lease_seconds=1, attempt_seconds=10):
        await connect_upstream(gateway, national.url)
        await national.behave(mode="stall", seconds=3, count=1)
        await receive(gateway)
        await until_all(gateway.engine, "delivered")
        assert [each["count"] for each in await national.received()] == [2]
    [cut, *_] = await attempts(gateway.engine)
    assert cut["outcome"] == "ambiguous"
    assert cut["finished_at"] - cut["started_at"] < timedelta(seconds=2)


async def test_an_attempt_that_is_cancelled_by_whatever_it_calls_is_not_held_for_ever(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt, tries = Sender.attempt, 0

    async def cancelled_once(self: Sender, lease: Lease) -> Attempted:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise asyncio.CancelledError
        return await attempt(self, lease)

    monkeypatch.setattr(Sender, "attempt", cancelled_once)
    async with upstream() as national, working(gateway, lease_seconds=1, worker_concurrency=1):
        await connect_upstream(gateway, national.url)
        await receive(gateway)
        await until_all(gateway.engine, "delivered")
    assert [each["outcome"] for each in await attempts(gateway.engine)] == ["ambiguous", "delivered"]


async def test_only_what_is_still_ours_is_renewed(gateway: Gateway) -> None:
    await connect_upstream(gateway, NOWHERE)
    await receive(gateway)
    [zombie] = await claim(gateway.engine)
    await run_out(gateway.engine)
    [owner] = await claim(gateway.engine)
    async with driver(gateway.engine) as connection:
        assert await renew_claims(connection, [zombie], LEASE) == set()
        before = (await deliveries(gateway.engine))[0]["due_at"]
        assert await renew_claims(connection, [owner], 2 * LEASE) == {owner.id}
    assert (await deliveries(gateway.engine))[0]["due_at"] > before


async def test_an_attempt_that_ignores_its_deadline_is_ended_and_not_renewed_for_ever(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hangs(*_: object) -> Outcome:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(HttpJson, "send", hangs)
    await connect_upstream(gateway, NOWHERE)
    await receive(gateway)
    async with working(gateway, lease_seconds=1, attempt_seconds=0.5):
        await until(lambda: _has_attempts(gateway.engine), 10)
    [first, *_] = await attempts(gateway.engine)
    assert (first["outcome"], first["reason"]) == ("ambiguous", "failed within the gateway: TimeoutError")


async def test_stopping_a_worker_lets_it_record_what_it_is_sending(gateway: Gateway) -> None:
    async with upstream() as national:
        await connect_upstream(gateway, national.url)
        await national.behave(mode="stall", seconds=0.4)
        await receive(gateway)
        async with working(gateway) as [worker]:
            await until(lambda: _is(gateway.engine, "sending"))
            worker.stop()
    assert await states(gateway.engine) == ["delivered"]


async def _is(engine: AsyncEngine, state: str) -> bool:
    return set(await states(engine)) == {state}


async def test_a_worker_that_is_woken_does_not_wait_for_its_poll(gateway: Gateway) -> None:
    async with upstream() as national, working(gateway, worker_poll_seconds=3600) as [worker]:
        await connect_upstream(gateway, national.url)
        await asyncio.sleep(0.1)
        await receive_revisions(gateway, 3)
        worker.wake()
        await until_all(gateway.engine, "delivered", 5)


async def test_a_worker_told_twice_to_stop_ends_at_once_and_what_it_was_sending_is_sent_again(
    gateway: Gateway,
) -> None:
    async with upstream() as national:
        await connect_upstream(gateway, national.url)
        await national.behave(mode="stall", seconds=30, count=1)
        await receive(gateway)
        began = time.monotonic()
        async with working(gateway, attempt_seconds=60) as [worker]:
            await until(lambda: _is(gateway.engine, "sending"))
            worker.stop()
            worker.stop()
        assert time.monotonic() - began < 5
        assert worker._leases.count == 1, "it tells how many it left unrecorded"
        await run_out(gateway.engine)
        async with working(gateway):
            await until_all(gateway.engine, "delivered")


async def test_a_worker_in_another_process_is_woken_by_a_notification(gateway: Gateway) -> None:
    async with upstream() as national, notifying(gateway), working(gateway, worker_poll_seconds=3600):
        await connect_upstream(gateway, national.url)
        await asyncio.sleep(0.5)
        await receive(gateway)
        await until_all(gateway.engine, "delivered", 5)


async def test_without_any_notification_nothing_is_lost_but_the_time_of_a_poll(gateway: Gateway) -> None:
    """The negative control of the test above, and what it leads to."""
    async with upstream() as national, working(gateway, worker_poll_seconds=2.0):
        await connect_upstream(gateway, national.url)
        await asyncio.sleep(0.5)
        await receive(gateway)
        await asyncio.sleep(0.5)
        assert await states(gateway.engine) == ["pending"]
        await until_all(gateway.engine, "delivered", 5)


async def test_notifications_are_few_however_much_there_is_to_say(gateway: Gateway) -> None:
    heard = list[object]()
    async with connected(gateway.engine) as connection, notifying(gateway) as notifier:
        await connection.add_listener(CHANNEL, lambda *_: heard.append(None))
        for _ in range(200):
            notifier.wake()
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.2)
    assert 1 <= len(heard) <= 12


async def test_a_worker_listens_again_when_its_connection_was_lost(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.flow.wake._AGAIN", 0.1)
    woken = asyncio.Event()
    listening = asyncio.create_task(listen(gateway.engine, woken.set))
    await asyncio.wait_for(woken.wait(), 5)
    async with connected(gateway.engine) as connection:
        woken.clear()
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND query LIKE 'LISTEN%'"
        )
        await asyncio.wait_for(woken.wait(), 5)
        woken.clear()
        await connection.execute(f"NOTIFY {CHANNEL}")
        await asyncio.wait_for(woken.wait(), 5)
    listening.cancel()
    await asyncio.wait([listening])


@asynccontextmanager
async def notifying(gateway: Gateway) -> AsyncIterator[Notifier]:
    """As when the intake is in another process than the worker."""
    notifier, before = Notifier(gateway.engine), gateway.intake.forward
    gateway.intake.forward = notifier.wake
    task = asyncio.create_task(notifier.run())
    try:
        yield notifier
    finally:
        gateway.intake.forward = before
        task.cancel()
        await asyncio.wait([task])


# Fairness.


async def test_a_backlog_of_100_000_costs_the_claims_of_others_nothing(gateway: Gateway) -> None:
    """Of its keys one waits for its retry, so that the rest cannot go either; and then all are of their own key."""
    healthy = [await connect_upstream(gateway, NOWHERE, f"healthy-{number}") for number in range(5)]
    dead = await connect_upstream(gateway, NOWHERE, "dead")

    async def median() -> float:
        times = list[float]()
        for _ in range(15):
            for number in healthy:
                await outbox(gateway.engine, number, 2, keys=2)
            began = time.perf_counter()
            found = await claim(gateway.engine, 32)
            times.append(time.perf_counter() - began)
            assert {each.target.number for each in found} >= set(healthy)
            for each in found:
                if each.target.number != dead:
                    await finish(gateway.engine, each)
        return sorted(times)[7]

    alone = await median()
    await outbox(gateway.engine, dead, 50_000, keys=1)
    await outbox(gateway.engine, dead, 50_000, keys=50_000)
    async with connected(gateway.engine) as connection:
        await connection.execute("ANALYZE deliveries")
    assert await median() < max(5 * alone, 0.05)


async def test_no_connector_gets_more_than_half_of_a_worker_s_places_where_there_are_others(gateway: Gateway) -> None:
    busy = await connect_upstream(gateway, NOWHERE, "busy", concurrency=100)
    await outbox(gateway.engine, busy, 50, keys=50)

    async def claimed(slots: Slots) -> int:
        async with driver(gateway.engine) as connection:
            return len(await claim_due(connection, slots, LEASE))

    assert await claimed(Slots(10)) == 10
    await connect_upstream(gateway, NOWHERE, "calm")
    assert await claimed(Slots(10)) == 5
    assert await claimed(Slots(7, {busy: 3})) == 2
    assert await claimed(Slots(5, {busy: 5})) == 0


async def test_connectors_take_turns_whoever_has_waited_longest(gateway: Gateway) -> None:
    old = await connect_upstream(gateway, NOWHERE, "old", concurrency=100)
    new = await connect_upstream(gateway, NOWHERE, "new", concurrency=100)
    await outbox(gateway.engine, old, 50, keys=50)
    await outbox(gateway.engine, new, 3, keys=3)
    found = await claim(gateway.engine, 6)
    assert Counter(each.target.number for each in found) == {old: 3, new: 3}


@pytest.mark.parametrize("last", [TAKEN, REFUSED])
async def test_what_waits_behind_an_earlier_one_is_put_off_and_due_as_soon_as_that_has_ended(
    gateway: Gateway, last: Outcome
) -> None:
    await connect_upstream(gateway, NOWHERE)
    await receive_revisions(gateway, 3)
    [first] = await claim(gateway.engine)
    assert await claim(gateway.engine) == []
    assert [each["is_behind"] for each in await deliveries(gateway.engine)] == [False, True, True]
    await finish(gateway.engine, first, last)
    assert [each["is_behind"] for each in await deliveries(gateway.engine)] == [False, False, True]
    [second] = await claim(gateway.engine)
    assert second.id == (await deliveries(gateway.engine))[1]["id"]


async def test_without_the_trigger_what_was_put_off_would_wait(gateway: Gateway) -> None:
    """The negative control of the test above."""
    await connect_upstream(gateway, NOWHERE)
    await receive_revisions(gateway, 2)
    [first] = await claim(gateway.engine)
    assert await claim(gateway.engine) == []
    async with connected(gateway.engine) as connection:
        await connection.execute("ALTER TABLE deliveries DISABLE TRIGGER follow_together")
        try:
            await finish(gateway.engine, first)
        finally:
            await connection.execute("ALTER TABLE deliveries ENABLE TRIGGER follow_together")
    assert await claim(gateway.engine) == []


# What harms workers.


async def test_what_loses_its_worker_again_and_again_is_set_aside_and_the_next_of_its_key_goes_on(
    gateway: Gateway,
) -> None:
    await connect_upstream(gateway, NOWHERE)
    await receive_revisions(gateway, 2)
    [poison] = await claim(gateway.engine)
    for number in range(2, 6):
        await run_out(gateway.engine)
        [again] = await claim(gateway.engine)
        assert (again.id, again.number) == (poison.id, number)
    await run_out(gateway.engine)
    [other] = await claim(gateway.engine)
    assert other.id != poison.id
    first, _ = await deliveries(gateway.engine)
    assert (first["state"], first["losses"]) == ("exhausted", 0)
    assert first["outcome"] == "set aside: its worker went away 5 times in a row while it was being sent"
    assert Counter(each["outcome"] for each in await attempts(gateway.engine)) == {"ambiguous": 5}
    await finish(gateway.engine, other, REFUSED)
    await retry_delivery(gateway.engine, poison.id, anybody, Cause(CLIENT, "đã sửa"))
    [again] = await claim(gateway.engine)
    assert (again.id, again.is_suspect) == (poison.id, False)


async def test_an_attempt_that_is_recorded_clears_the_suspicion(gateway: Gateway) -> None:
    await connect_upstream(gateway, NOWHERE)
    await receive(gateway)
    for _ in range(12):
        await claim(gateway.engine)
        await run_out(gateway.engine)
        [claimed] = await claim(gateway.engine)
        await finish(gateway.engine, claimed, AWAY)
    assert await states(gateway.engine) == ["pending"]


async def test_suspects_are_sent_one_at_a_time_so_that_the_innocent_are_cleared(gateway: Gateway) -> None:
    number = await connect_upstream(gateway, NOWHERE, concurrency=100)
    await outbox(gateway.engine, number, 4, keys=4)
    for _ in range(2):
        assert len(await claim(gateway.engine)) == 4
        await run_out(gateway.engine)
    async with driver(gateway.engine) as connection:
        [suspect] = await claim_due(connection, Slots(100), LEASE)
        assert suspect.is_suspect
        await outbox(gateway.engine, number, 2, keys=9)
        await connection.execute("UPDATE deliveries SET agency_id = 100 + agency_id WHERE attempts = 0")
        assert len(await claim_due(connection, Slots(99, {number: 1}, has_suspect=True), LEASE)) == 2
        await finish(gateway.engine, suspect)
        [another] = await claim_due(connection, Slots(98, {number: 2}), LEASE)
        assert another.is_suspect


# The breaker.

TOUCHY = BreakerPolicy(3, timedelta(seconds=60), timedelta(seconds=60))


async def test_an_upstream_that_fails_again_and_again_is_left_alone_by_every_worker(gateway: Gateway) -> None:
    number = await connect_upstream(gateway, NOWHERE)
    for year in range(2031, 2041):
        await receive(gateway, period=f"{year}-Q1")
    async with working(gateway, count=4, breaker=TOUCHY, schedule=DEFAULT_SCHEDULE):
        await until(lambda: _is_open(gateway.engine, number))
        await asyncio.sleep(0.3)
        made = len(await attempts(gateway.engine))
        await asyncio.sleep(0.5)
        assert len(await attempts(gateway.engine)) == made
    assert set(await states(gateway.engine)) == {"pending"}
    assert await claim(gateway.engine) == []


async def _is_open(engine: AsyncEngine, connector: int) -> bool:
    async with driver(engine) as connection:
        known = await find_breaker(connection, connector)
    return known.breaker.state(known.now) is BreakerState.open


async def test_two_probes_at_once_try_an_upstream_whatever_the_workers_and_each_success_lets_one_more(
    gateway: Gateway,
) -> None:
    number = await connect_upstream(gateway, NOWHERE, concurrency=8)
    await outbox(gateway.engine, number, 60, keys=60)
    await open_breaker(gateway.engine, number)
    assert await claim(gateway.engine) == []
    async with connected(gateway.engine) as connection:
        await probe_now(connection, number)
    found = [each for batch in await asyncio.gather(*[claim(gateway.engine) for _ in range(8)]) for each in batch]
    assert len(found) == 2
    flying = list[int]()
    while len(flying) < 8:
        each = found.pop(0)
        await finish(gateway.engine, each)
        await note(gateway.engine, number, TAKEN)
        found += await claim(gateway.engine)
        flying.append(len(found))
    assert flying == [3, 4, 5, 6, 7, 8, 8, 8]


async def test_taking_up_what_a_connector_refused_tries_it_at_once(gateway: Gateway) -> None:
    async with upstream() as national:
        number = await connect_upstream(gateway, national.url)
        await open_breaker(gateway.engine, number)
        await receive(gateway)
        async with working(gateway):
            await asyncio.sleep(0.3)
            assert await states(gateway.engine) == ["pending"]
            await retry_connector(gateway.engine, "national", anybody, BY)
            await until_all(gateway.engine, "delivered")


async def test_what_never_reached_for_the_upstream_does_not_open_its_breaker(gateway: Gateway) -> None:
    number = await connect_upstream(gateway, NOWHERE)
    await outbox(gateway.engine, number, 5, keys=5)  # of reports that are not there
    async with working(gateway, breaker=TOUCHY):
        await until(lambda: _at_least(gateway.engine, 12))
    assert not await _is_open(gateway.engine, number)


async def _at_least(engine: AsyncEngine, count: int) -> bool:
    return len(await attempts(engine)) >= count


async def note(engine: AsyncEngine, connector: int, outcome: Outcome) -> None:
    """Let an attempt that began and ended now count for a breaker."""
    async with connected(engine) as connection:
        now = await connection.fetchval("SELECT clock_timestamp()")
        await note_attempt(connection, connector, Ended(outcome.kind, now, now), TOUCHY)


async def open_breaker(engine: AsyncEngine, connector: int) -> None:
    for _ in range(3):
        await note(engine, connector, AWAY)
    assert await _is_open(engine, connector)


async def test_a_worker_goes_on_when_the_database_comes_back(gateway: Gateway) -> None:
    async with upstream() as national, working(gateway):
        await connect_upstream(gateway, national.url)
        async with connected(gateway.engine) as connection:
            name = await connection.fetchval("SELECT current_database()")
            await connection.execute(f'ALTER DATABASE "{name}" CONNECTION LIMIT 0')
            try:
                await connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
                await asyncio.sleep(0.3)
            finally:
                await connection.execute(f'ALTER DATABASE "{name}" CONNECTION LIMIT -1')
        await receive(gateway)
        await until_all(gateway.engine, "delivered")


async def test_an_unreachable_database_does_not_end_the_worker(gateway: Gateway) -> None:
    engine = open_engine(gateway.settings, "postgresql+asyncpg://nobody@127.0.0.1:9/none")
    worker = Worker(hasty(gateway.settings), engine, Catalogues(engine), gateway.keys)
    running = asyncio.create_task(worker.run())
    await asyncio.sleep(0.5)
    assert not running.done()
    worker.stop()
    await asyncio.wait_for(running, 8)
    await engine.dispose()
