"""Migrations of a database that is in use: they keep nobody waiting, run once, and are gone on from after a crash."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from forwarding import until
from gateway.access.secrets import secret_hash
from gateway.db import migrate
from gateway.db.clients import find_client
from gateway.db.engine import open_engine
from gateway.db.migrate import differences, upgrade
from gateway.db.roles import UnfitRole
from gateway.db.schema import MIGRATIONS, Schema, UnfitSchema, find_schema, floor_of, misfit, require_fit, revisions
from gateway.settings import Settings
from gateway.worker import main as work
from gateway_under_test import connected, empty_database, until_waiting

ADD = """
WITH made AS (
    INSERT INTO deliveries (id, connector_id, report_id, event, agency_id, form_id, period, kind)
    SELECT gen_random_uuid(), 1, gen_random_uuid(), 'accepted', 1, 1, '2098', 'own' FROM generate_series(1, $1::int)
    RETURNING id
)
INSERT INTO attempts (delivery_id, number, started_at, finished_at, outcome, status, reason, reply)
SELECT id, 1, now(), now(), 'unreachable', 503, 'away', '' FROM made
"""
"""What a worker does, in the words of every version."""


@pytest.fixture
def empty_url(database_url: str) -> Iterator[str]:
    with empty_database(database_url) as url:
        yield url


@pytest.fixture
async def empty(empty_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AsyncEngine]:
    """The way to a database without a schema, where migrations are tried again soon."""
    monkeypatch.setattr(migrate, "_PAUSE", 0.1)
    engine = open_engine(Settings(), empty_url)
    yield engine
    await engine.dispose()


@asynccontextmanager
async def upgrading(engine: AsyncEngine, revision: str = "head") -> AsyncIterator[asyncio.Task[None]]:
    """A migration under way, waited for at the end."""
    task = asyncio.create_task(upgrade(engine, revision=revision))
    yield task
    await asyncio.wait_for(task, 20)


async def invalid_indexes(connection: asyncpg.Connection) -> list[str]:
    rows = await connection.fetch("SELECT indexrelid::regclass::text AS name FROM pg_index WHERE NOT indisvalid")
    return [row["name"] for row in rows]


async def test_the_indexes_of_claiming_are_built_while_others_write(empty: AsyncEngine) -> None:
    await upgrade(empty, revision="0003")
    async with connected(empty) as writer, connected(empty) as other:
        async with upgrading(empty, "0004"), writer.transaction():
            await writer.execute(ADD, 3)
            await until(lambda: _waits_for_a_writer(other))
            await asyncio.wait_for(other.execute(ADD, 3), 5)
        assert await invalid_indexes(other) == []


async def _waits_for_a_writer(connection: asyncpg.Connection) -> bool:
    """Whether an index is being built and lets those who write already come to their end."""
    sql = "SELECT EXISTS (SELECT FROM pg_stat_progress_create_index WHERE phase = 'waiting for writers before build')"
    return bool(await connection.fetchval(sql))


async def test_an_index_built_under_a_lock_would_have_kept_them_out(empty: AsyncEngine) -> None:
    await upgrade(empty, revision="0003")
    async with connected(empty) as builder, connected(empty) as writer, connected(empty) as other:
        async with writer.transaction():
            await writer.execute(ADD, 3)
            building = asyncio.create_task(builder.execute("CREATE INDEX ix ON deliveries (due_at)"))
            await until_waiting(other, "relation")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(other.execute(ADD, 3), 0.3)
        await building


async def test_an_index_that_a_crash_left_half_built_is_built_anew(empty: AsyncEngine) -> None:
    await upgrade(empty, revision="0003")
    async with connected(empty) as writer, connected(empty) as builder:
        await writer.execute(ADD, 50)
        async with writer.transaction():
            await writer.execute(ADD, 1)
            await builder.execute("SET statement_timeout = '100ms'")
            with pytest.raises(asyncpg.QueryCanceledError):
                await builder.execute("CREATE INDEX CONCURRENTLY ix_deliveries_pending ON deliveries (connector_id)")
        assert await invalid_indexes(writer) == ["ix_deliveries_pending"]
        await upgrade(empty)
        assert await invalid_indexes(writer) == []
        definition = await writer.fetchval("SELECT pg_get_indexdef('ix_deliveries_pending'::regclass)")
    assert "due_at" in definition
    assert await differences(empty) == []


async def test_several_migrations_at_once_are_one(empty: AsyncEngine) -> None:
    await asyncio.gather(*(upgrade(empty) for _ in range(4)))
    assert await differences(empty) == []


async def test_a_fresh_database_has_months_and_no_table_of_before(empty: AsyncEngine) -> None:
    await upgrade(empty)
    async with connected(empty) as connection:
        await connection.execute(ADD, 1)
        place = await connection.fetchval("SELECT tableoid::regclass::text FROM attempts")
        assert place == f"attempts_y{datetime.now(UTC):%Ym%m}"
        assert await connection.fetchval("SELECT to_regclass('attempts_before')") is None


async def test_attempts_become_months_under_the_hands_of_workers_and_none_is_lost(empty: AsyncEngine) -> None:
    """The words of the version before are the same throughout; prepared, as its driver does."""
    await upgrade(empty, revision="0006")
    written = 0
    async with connected(empty) as worker:
        await worker.execute(ADD, 500)
        add = await worker.prepare(ADD)

        async def work() -> None:
            nonlocal written
            while not upgraded.done():
                await add.fetch(1)
                written += 1

        upgraded = asyncio.create_task(upgrade(empty))
        await asyncio.gather(upgraded, work())
        await add.fetch(1)
        assert written
        assert await worker.fetchval("SELECT count(*) FROM attempts") == 500 + written + 1
        assert await worker.fetchval("SELECT count(*) FROM attempts_before") == 500 + written + 1
        assert await worker.fetchval("SELECT count(*) FROM attempts_default") == 0
        [kept] = await worker.fetch("SELECT until > now() + interval '28 days' AS far FROM attempt_parts() LIMIT 1")
        assert kept["far"]
    assert await differences(empty) == []


async def test_a_reader_that_stays_puts_the_swap_off_and_stops_no_worker(empty: AsyncEngine) -> None:
    await upgrade(empty, revision="0006")
    async with connected(empty) as reader, connected(empty) as worker:
        await worker.execute(ADD, 10)
        async with upgrading(empty) as task, reader.transaction():
            await reader.execute("SELECT FROM attempts")
            for _ in range(2):  # each try lets the others go on
                await until_waiting(worker, "relation")
                await asyncio.wait_for(worker.execute(ADD, 1), 5)
            assert not task.done()
        assert await worker.fetchval("SELECT count(*) FROM attempts_before") == 12


async def test_a_migration_that_was_killed_is_gone_on_from(empty: AsyncEngine) -> None:
    await upgrade(empty, revision="0006")
    async with connected(empty) as reader, connected(empty) as worker:
        await worker.execute(ADD, 10)
        async with reader.transaction():
            await reader.execute("SELECT FROM attempts")
            killed = asyncio.create_task(upgrade(empty))
            await until_waiting(worker, "relation")
            await worker.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
                " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
            with pytest.raises(DBAPIError):
                await killed
        assert await worker.fetchval(
            "SELECT indisvalid FROM pg_index WHERE indexrelid = 'uq_attempts_before'::regclass"
        )
        assert await worker.fetchval("SELECT version_num FROM alembic_version") == "0006"
        await worker.execute(ADD, 1)
        await upgrade(empty)
        assert await worker.fetchval("SELECT count(*) FROM attempts_before") == 11
    assert await differences(empty) == []


async def test_a_try_of_an_earlier_month_promises_nothing_any_more(empty: AsyncEngine) -> None:
    await upgrade(empty, revision="0006")
    async with connected(empty) as connection:
        promise = "CONSTRAINT ck_attempts_before_20200101 CHECK (started_at < '2020-01-01') NOT VALID"
        await connection.execute(f"ALTER TABLE attempts ADD {promise}")
        await upgrade(empty)
        await connection.execute(ADD, 1)


async def test_a_migration_that_is_kept_out_for_good_says_so(
    empty: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "_TRIES", 1)
    await upgrade(empty, revision="0003")
    async with connected(empty) as reader, reader.transaction():
        await reader.execute("LOCK TABLE connectors IN ROW EXCLUSIVE MODE")
        with pytest.raises(UnfitSchema, match="could not lock a table"):
            await upgrade(empty)
    await upgrade(empty)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (Schema(None, None), "run 'gateway migrate'"),
        (Schema("2", "2"), "run 'gateway migrate'"),
        (Schema("3", "1"), None),
        (Schema("4", "3"), None),
        (Schema("5", "1"), None),
        (Schema("5", "4"), "start a newer version"),
        (Schema("5", None), "start a newer version"),
    ],
)
def test_code_runs_on_its_own_schema_and_on_a_newer_one_that_supports_it(found: Schema, words: str | None) -> None:
    said = misfit(found, ("1", "2", "3"))
    assert (said is None) is (words is None)
    assert said is None or str(words) in said.en


async def test_a_worker_does_not_start_on_an_older_schema(
    empty: AsyncEngine, empty_url: str, settings: Settings
) -> None:
    """Where the roles have no rights yet, or the schema is older than the process."""
    await upgrade(empty, revision="0006")
    with pytest.raises((UnfitRole, UnfitSchema), match="run 'gateway migrate'"):
        await work(settings.model_copy(update={"database_url": empty_url.replace("+asyncpg", "")}))


async def test_older_schemas_are_refused_and_a_database_says_what_it_supports(empty: AsyncEngine) -> None:
    for revision in ("0003", "head"):
        with pytest.raises(UnfitSchema, match="run 'gateway migrate'"):
            await require_fit(empty)
        await upgrade(empty, revision=revision)
    await require_fit(empty)
    async with empty.connect() as connection:
        found = await connection.run_sync(find_schema)
        comment = await connection.scalar(sa.text("SELECT obj_description('alembic_version'::regclass)"))
    head: Any = ScriptDirectory(str(MIGRATIONS)).get_revision("head")
    assert found == Schema(revisions()[-1], floor_of(head))
    assert comment == f"floor: {floor_of(head)}"


def test_what_a_schema_supports_never_goes_back() -> None:
    """A later migration cannot make code run that an earlier one left behind."""
    scripts = ScriptDirectory(str(MIGRATIONS))
    own = revisions()
    floors = [own.index(floor_of(script)) for script in list(scripts.walk_revisions())[::-1]]
    assert floors == sorted(floors)
    assert all(floor <= place for place, floor in enumerate(floors))


async def test_a_secret_of_before_is_a_credential_and_the_version_before_still_reads_it(empty: AsyncEngine) -> None:
    await upgrade(empty, revision="0008")
    secret = secret_hash("a secret of before")
    add = (
        "INSERT INTO clients (id, name, scopes, secret_sha256, revoked_at) VALUES ($1, 'old', '{reports:read}', $2, $3)"
    )
    kept, revoked = uuid4(), uuid4()
    async with connected(empty) as connection:
        await connection.execute(add, kept, secret, None)
        await connection.execute(add, revoked, secret, datetime.now(UTC))
        await upgrade(empty)
        assert await connection.fetchval("SELECT secret_sha256 FROM clients WHERE id = $1", kept) == secret
    async with empty.connect() as connection:
        found = await find_client(connection, kept)
        assert found is not None
        assert [each.secret_sha256 for each in found.credentials] == [secret]
        assert await find_client(connection, revoked) is None
