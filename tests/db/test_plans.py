"""Plans of the statements that run all day: made once, and good however much has come to be stored since."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from forwarding import (
    AT_ONCE,
    LEASE,
    NOWHERE,
    TAKEN,
    connect_upstream,
    outbox,
)
from gateway.api.deps import Gateway
from gateway.db.claims import Claimed, Slots, claim_due
from gateway.db.engine import driver, open_engine
from gateway.db.intake import store
from gateway.db.known import KeyQuery, read_standing
from gateway.db.recording import record_attempts
from gateway.db.related import LookUp
from gateway.db.roles import Role
from gateway.flow.forward import conclude
from gateway.settings import Settings
from gateway_under_test import connected

MANY = 3000

few = pytest.mark.parametrize("few", [1, 8, 40])


@asynccontextmanager
async def new_connection(settings: Settings, engine: AsyncEngine, role: Role) -> AsyncIterator[Any]:
    """A connection whose plans nobody else has made."""
    own = open_engine(settings, engine.url.render_as_string(hide_password=False), role)
    async with driver(own) as raw:
        yield raw
    await own.dispose()


@pytest.fixture
async def connection(settings: Settings, engine: AsyncEngine) -> AsyncIterator[Any]:
    """One of a worker's."""
    async with new_connection(settings, engine, Role.worker) as raw:
        yield raw


async def claim_one(connection: Any) -> Claimed:
    [claimed] = await claim_due(connection, Slots(1), LEASE, is_shared=False)
    return claimed


async def end_one(connection: Any, claimed: Claimed) -> None:
    attempt = conclude(claimed, TAKEN, claimed.claimed_at, claimed.claimed_at, AT_ONCE, 0)
    [recorded] = await record_attempts(connection, [(claimed, attempt)])
    assert recorded.is_ours


async def read_of_deliveries(connection: Any) -> int:
    """How many rows of the outbox this connection has read; not less than before while in one transaction."""
    found: int = await connection.fetchval(
        "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'deliveries'"
    )
    return found


async def plan_for_few_and_add_many(gateway: Gateway, connection: Any, few: int) -> None:
    """Have the connection make its plans while little waits; then much does."""
    number = await connect_upstream(gateway, NOWHERE, concurrency=100)
    await outbox(gateway.engine, number, few, keys=few)
    async with connected(gateway.engine) as owner:
        await owner.execute("ANALYZE deliveries")  # so that it is known to be little
    for _ in range(few):
        await end_one(connection, await claim_one(connection))
    await outbox(gateway.engine, number, MANY, keys=MANY)


@few
async def test_an_ending_reads_its_own_key_alone_though_its_plan_was_made_when_little_waited(
    gateway: Gateway, connection: Any, few: int
) -> None:
    await plan_for_few_and_add_many(gateway, connection, few)
    claimed = await claim_one(connection)
    async with connection.transaction():
        before = await read_of_deliveries(connection)
        await end_one(connection, claimed)
        assert await read_of_deliveries(connection) - before < 5


@few
async def test_a_claim_reads_what_there_is_room_for_though_its_plan_was_made_when_little_waited(
    gateway: Gateway, connection: Any, few: int
) -> None:
    await plan_for_few_and_add_many(gateway, connection, few)
    async with connection.transaction():
        before = await read_of_deliveries(connection)
        await claim_one(connection)
        assert await read_of_deliveries(connection) - before < 20


async def test_what_pushes_are_judged_by_and_how_they_are_stored_is_planned_once(
    settings: Settings, engine: AsyncEngine
) -> None:
    nobody = UUID(int=1)
    look_up = LookUp(1, 1, "own", "2026-Q2", None)
    async with new_connection(settings, engine, Role.api) as raw:
        before = await plans(raw)
        for number in range(12):
            asked = [KeyQuery(1, 1, "own", "2026-Q3", nobody, "reports", f"k{each}") for each in range(1 + number % 3)]
            standing = await read_standing(raw, asked, [])
            await read_standing(raw, asked, [look_up] * len(asked))
            await store(raw, standing.catalogue, [], [], [], [])
        after = await plans(raw)
    made = [[now - then for now, then in zip(after[each], before.get(each, (0, 0)), strict=True)] for each in after]
    used = [(once, kept) for once, kept in made if once + kept == 12]
    assert len(used) == 3
    assert max(once for once, _ in used) <= 5


async def plans(connection: Any) -> dict[str, tuple[int, int]]:
    """By statement, how often it was planned for one use, and how often a plan that is kept was used."""
    rows = await connection.fetch(
        "SELECT statement, sum(custom_plans)::int, sum(generic_plans)::int FROM pg_prepared_statements"
        " WHERE statement ~ '^\\s*WITH (asked|ended) ' GROUP BY 1"
    )
    return {statement: (once, kept) for statement, once, kept in rows}
