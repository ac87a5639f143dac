"""Attempts by the month: made ahead, found in few months, dropped when they are old, remembered where it matters."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from forwarding import (
    AT_ONCE,
    LEASE,
    NOWHERE,
    REFUSED,
    UNKNOWN,
    a_refused_and_a_waiting,
    claim,
    connect_upstream,
    deliveries,
    finish,
    receive,
    until,
)
from gateway.api.deps import Gateway
from gateway.db import claims
from gateway.db.attempts import FIND, Upkept, find_attempts, keep_up
from gateway.db.deliveries import reopen_delivery
from gateway.db.engine import driver
from gateway.db.turns import begin_turns
from gateway.flow.upkeep import upkeep
from gateway_under_test import NewClient, connected, shown, until_waiting

DAYS = 180


@asynccontextmanager
async def undone(engine: AsyncEngine) -> AsyncIterator[asyncpg.Connection]:
    """A connection whose changes, partitions made and dropped among them, are undone at the end."""
    async with connected(engine) as connection:
        changes = connection.transaction()
        await changes.start()
        try:
            yield connection
        finally:
            await changes.rollback()


def month_start(months_ago: int) -> datetime:
    year, month = divmod(datetime.now(UTC).year * 12 + datetime.now(UTC).month - 1 - months_ago, 12)
    return datetime(year, month + 1, 1, tzinfo=UTC)


def name_of(start: datetime) -> str:
    return f"attempts_y{start:%Y}m{start:%m}"


async def add(
    connection: asyncpg.Connection, started_at: datetime, delivery: UUID | None = None, outcome: str = "unreachable"
) -> UUID:
    """Record an attempt at some delivery as having started then."""
    delivery = delivery or uuid4()
    await connection.execute(
        "INSERT INTO attempts (delivery_id, number, started_at, finished_at, outcome, reason)"
        " VALUES ($1, 1, $2, $2, $3, '')",
        delivery,
        started_at,
        outcome,
    )
    return delivery


async def add_month(connection: asyncpg.Connection, start: datetime) -> str:
    """Have a partition for a month that is over, as if it had been made in its time."""
    end = (start + timedelta(days=40)).replace(day=1)
    await connection.execute(
        f"CREATE TABLE {name_of(start)} PARTITION OF attempts FOR VALUES FROM ('{start}') TO ('{end}')"
    )
    return name_of(start)


async def place_of(connection: asyncpg.Connection, delivery: UUID) -> str | None:
    """The partition that holds the attempts at a delivery."""
    place: str | None = await connection.fetchval(
        "SELECT tableoid::regclass::text FROM attempts WHERE delivery_id = $1", delivery
    )
    return place


async def test_months_are_made_ahead_and_again_makes_none(engine: AsyncEngine) -> None:
    async with undone(engine) as connection:
        ahead = [name_of(month_start(-number)) for number in range(4)]
        for part in ahead[1:]:
            await connection.execute(f"DROP TABLE IF EXISTS {part}")
        assert await keep_up(connection, DAYS) == Upkept(ahead[1:], [])
        assert await keep_up(connection, DAYS) == Upkept([], [])
        assert await place_of(connection, await add(connection, month_start(0))) == ahead[0]


async def test_no_moment_is_refused_and_a_month_that_was_not_made_in_time_takes_what_is_its_own(
    engine: AsyncEngine,
) -> None:
    async with undone(engine) as connection:
        early, late = month_start(2), datetime(9000, 1, 1, tzinfo=UTC)
        before, then = await add(connection, early - timedelta(microseconds=1)), await add(connection, early)
        never = await add(connection, late)
        assert {await place_of(connection, each) for each in (before, then, never)} == {"attempts_default"}
        kept = await keep_up(connection, DAYS)
        assert kept.made == [name_of(month_start(3)), name_of(early)]
        assert await place_of(connection, before) == name_of(month_start(3))
        assert await place_of(connection, then) == name_of(early)
        assert await place_of(connection, never) == "attempts_default"


async def test_only_what_lies_wholly_before_the_days_that_are_kept_is_dropped(engine: AsyncEngine) -> None:
    async with undone(engine) as connection:
        old = [await add_month(connection, month_start(number)) for number in (14, 13, 12)]
        gone = [await add(connection, month_start(number)) for number in (14, 13, 12)]
        days = (datetime.now(UTC) - month_start(11)).days  # the month before began more than so many days ago
        assert await keep_up(connection, days + 1) == Upkept([], old[:2])
        assert await keep_up(connection, days) == Upkept([], old[2:])
        assert [await place_of(connection, each) for each in gone] == [None, None, None]


async def test_less_than_a_month_is_never_asked_for(engine: AsyncEngine) -> None:
    """A delivery is tried for days: its own attempts must not go while it is."""
    async with undone(engine) as connection:
        await add_month(connection, month_start(1))
        assert (await keep_up(connection, 0)).dropped == []


@pytest.mark.parametrize("is_remembered", [True, False])
async def test_a_later_delivery_that_may_have_arrived_is_remembered_beyond_its_attempts(
    gateway: Gateway, is_remembered: bool
) -> None:
    """Without the mark, which the second case takes away, an earlier one would be sent after it."""
    await connect_upstream(gateway, NOWHERE)
    first, second = await a_refused_and_a_waiting(gateway)
    [claimed] = await claim(gateway.engine)
    assert claimed.id == second
    await finish(gateway.engine, claimed, UNKNOWN, AT_ONCE)
    async with undone(gateway.engine) as connection:
        old = month_start(12)
        await add_month(connection, old)
        await connection.execute("UPDATE deliveries SET made_at = $1, state = 'cancelled', claim = NULL", old)
        await connection.execute("DELETE FROM attempts")
        await add(connection, old, first, "refused")
        await add(connection, old, second, "ambiguous")
        assert not await reopen_delivery(connection, first, "again")
        assert (await keep_up(connection, DAYS)).dropped == [name_of(old)]
        rows = await connection.fetch("SELECT may_have_arrived FROM deliveries ORDER BY seq")
        assert [row["may_have_arrived"] for row in rows] == [False, True]
        if not is_remembered:
            await connection.execute("UPDATE deliveries SET may_have_arrived = false")
        assert await reopen_delivery(connection, first, "again") is not is_remembered


async def test_a_delivery_whose_attempts_are_gone_still_says_how_many_there_were(
    gateway: Gateway, client_for: NewClient
) -> None:
    await connect_upstream(gateway, NOWHERE)
    await receive(gateway)
    [claimed] = await claim(gateway.engine)
    await finish(gateway.engine, claimed, REFUSED)
    async with connected(gateway.engine) as connection:
        await connection.execute("DELETE FROM attempts")  # as dropping their month does
    operator: httpx.AsyncClient = await client_for("operations")
    answer = shown(await operator.get(f"/v1/deliveries/{claimed.id}"))
    assert (answer["state"], answer["attempts"], answer["history"]) == ("refused", 1, [])


async def test_one_worker_at_a_time_keeps_partitions(engine: AsyncEngine) -> None:
    async with undone(engine) as first, undone(engine) as second:
        await first.execute(f"DROP TABLE {name_of(month_start(-3))}")
        assert (await keep_up(first, DAYS)).made
        assert await keep_up(second, DAYS) == Upkept()


async def test_upkeep_that_cannot_lock_gives_way_at_once_and_is_tried_again(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long reader holds attempts, as a backup does: claims go on, and the month is made when it has ended."""
    monkeypatch.setattr("gateway.flow.upkeep._LOCKED", 0.1)
    part = name_of(month_start(-3))
    await connect_upstream(gateway, NOWHERE)
    await receive(gateway)
    async with connected(gateway.engine) as connection, connected(gateway.engine) as reader:
        await connection.execute(f"DROP TABLE {part}")
        async with reader.transaction():
            await reader.fetch("SELECT FROM attempts")
            with pytest.raises(asyncpg.LockNotAvailableError):
                await keep_up(connection, DAYS)
            keeping = asyncio.create_task(upkeep(gateway.engine, DAYS))
            await until_waiting(connection, "relation")
            [claimed] = await claim(gateway.engine)
            assert await finish(gateway.engine, claimed)
            assert not await _exists(gateway.engine, part)
        await until(lambda: _exists(gateway.engine, part))
        keeping.cancel()
        await asyncio.wait([keeping])
    assert [each["state"] for each in await deliveries(gateway.engine)] == ["delivered"]


async def test_a_month_is_dropped_under_load_and_who_cannot_lock_lets_the_others_go_on_soon(
    engine: AsyncEngine,
) -> None:
    """While a backup holds the table nobody waits for more than a moment behind the one who would drop a month."""
    tries, is_over = list[float](), asyncio.Event()
    async with connected(engine) as connection, connected(engine) as backup:
        part = await add_month(connection, month_start(14))
        async with backup.transaction():
            await backup.fetch("SELECT FROM attempts LIMIT 1")
            for _ in range(3):
                began = time.perf_counter()
                with pytest.raises(asyncpg.LockNotAvailableError):
                    await keep_up(connection, DAYS)
                tries.append(time.perf_counter() - began)
        writing = [asyncio.create_task(_written(engine, is_over)) for _ in range(6)]
        await until(lambda: _dropped(connection, part))
        is_over.set()
        written = sum(await asyncio.gather(*writing))
    assert min(tries) < 0.4
    assert written


async def _written(engine: AsyncEngine, is_over: asyncio.Event) -> int:
    """Write attempts of no delivery until told to stop; how many."""
    deliveries = []
    async with connected(engine) as connection:
        while not is_over.is_set():
            deliveries.append(await add(connection, datetime.now(UTC)))
            await asyncio.sleep(0.005)
        await connection.execute("DELETE FROM attempts WHERE delivery_id = ANY ($1)", deliveries)
    return len(deliveries)


async def _dropped(connection: asyncpg.Connection, part: str) -> bool:
    """Whether a month goes at this moment; on a busy machine it may not."""
    try:
        return (await keep_up(connection, DAYS)).dropped == [part]
    except asyncpg.LockNotAvailableError:
        return False


async def _exists(engine: AsyncEngine, table: str) -> bool:
    async with connected(engine) as connection:
        return bool(await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", table))


def parts_read(plan: dict[str, Any]) -> Iterator[str]:
    """The partitions of attempts that a plan that was run looked into."""
    table = str(plan.get("Relation Name", ""))
    if table.startswith("attempts_") and plan["Actual Loops"]:
        yield table
    for below in plan.get("Plans", []):
        yield from parts_read(below)


async def read_by(connection: asyncpg.Connection, statement: str, types: str, *values: str) -> set[str]:
    """The partitions that a prepared statement looks into, planned for anybody."""
    await connection.execute("SET plan_cache_mode = force_generic_plan")
    await connection.execute(f"PREPARE asked({types}) AS {statement}")
    shown = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE asked({', '.join(values)})")
    await connection.execute("DEALLOCATE asked")
    [explained] = json.loads(shown)
    return set(parts_read(explained["Plan"]))


_CLAIM_TYPES = "uuid[], xid[], timestamptz[], interval, uuid, text, int[], timestamptz[], bigint[], int[]"


async def claim_reads(connection: asyncpg.Connection, delivery: UUID, statement: str) -> set[str]:
    row = await connection.fetchrow(
        "SELECT d.xmin AS version, t.connector_id, number FROM deliveries d JOIN turns t USING (connector_id)"
        " WHERE d.id = $1",
        delivery,
    )
    seen = (f"'{{{delivery}}}'", f"'{{{row['version']}}}'", "'{NULL}'")
    turn = (f"'{{{row['connector_id']}}}'", "'{NULL}'", f"'{{{row['number']}}}'", f"'{{{row['connector_id']}}}'")
    return await read_by(connection, statement, _CLAIM_TYPES, *seen, f"'{LEASE}'", f"'{uuid4()}'", "'lost'", *turn)


@pytest.mark.parametrize("tries", [0, 1])
async def test_attempts_are_looked_for_in_the_months_since_the_delivery_was_made_only(
    gateway: Gateway, tries: int
) -> None:
    await connect_upstream(gateway, NOWHERE)
    await receive(gateway)
    async with driver(gateway.engine) as connection:
        await begin_turns(connection)
    for _ in range(tries):
        [claimed] = await claim(gateway.engine)
        await finish(gateway.engine, claimed, UNKNOWN, AT_ONCE)
    [delivery] = [each["id"] for each in await deliveries(gateway.engine)]
    async with undone(gateway.engine) as connection:
        old = {await add_month(connection, month_start(number)) for number in range(2, 8)}
        now = {name_of(month_start(0))}
        found = await read_by(connection, FIND, "uuid", f"'{delivery}'")
        assert now <= found
        assert not old & found
        assert len(await find_attempts(connection, delivery)) == tries
        bound = "claimed.made_at - interval '1 day'"
        assert bound in claims._CLAIM
        unbounded = claims._CLAIM.replace(bound, "'-infinity'")
        async with _tried_out(connection):
            assert (old <= await claim_reads(connection, delivery, unbounded)) is bool(tries)
        found = await claim_reads(connection, delivery, claims._CLAIM)
    assert (now <= found) is bool(tries)
    assert not old & found


@asynccontextmanager
async def _tried_out(connection: asyncpg.Connection) -> AsyncIterator[None]:
    """Undo what the block did, and no more."""
    trial = connection.transaction()
    await trial.start()
    yield
    await trial.rollback()


async def test_an_attempt_of_a_clock_that_went_back_is_found(gateway: Gateway) -> None:
    """After a fail-over to a database whose clock is behind, an attempt may seem older than its delivery."""
    await connect_upstream(gateway, NOWHERE)
    await receive(gateway)
    [delivery] = await deliveries(gateway.engine)
    async with connected(gateway.engine) as connection:
        await add(connection, delivery["made_at"] - timedelta(hours=23), delivery["id"])
        await connection.execute("UPDATE deliveries SET attempts = 1")
        assert len(await find_attempts(connection, delivery["id"])) == 1
    [claimed] = await claim(gateway.engine)
    assert (claimed.earlier, claimed.first_at) == (1, delivery["made_at"] - timedelta(hours=23))
