"""The second wall: what the database shows to a role, whatever a statement asks for."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from factories import a_report
from forwarding import connect_upstream
from gateway.api.deps import Gateway
from gateway.db import rights
from gateway.db.base import metadata
from gateway.db.engine import driver, open_engine
from gateway.db.migrate import differences, upgrade
from gateway.db.rights import FUNCTIONS, RIGHTS, right_changes
from gateway.db.roles import Role, UnfitRole, require_role
from gateway.db.schema import UnfitSchema
from gateway.db.subtree import EVERYTHING, NOTHING, Seen, seeing
from gateway.flow.reach import Reach
from gateway.key_files import PURPOSES, make_key
from gateway.serve import serve
from gateway.settings import Settings
from gateway.worker import main as work
from gateway_under_test import NewClient, accepted, connected, empty_database

WALLED = sorted(table for table, right in RIGHTS.items() if right.rows is not None)
OPEN = sorted(RIGHTS.keys() - WALLED)
OWN, FOREIGN = "H29", "H26"


@dataclass(frozen=True, slots=True)
class Two:
    """Two provinces, each with something in every table that has a wall."""

    engine: AsyncEngine
    walled: AsyncEngine
    sees: Seen
    """What the one sees."""
    theirs: dict[str, list[dict[str, Any]]]
    """The rows of the other, by table."""


@pytest.fixture
async def two(gateway: Gateway, engine: AsyncEngine, client_for: NewClient) -> Two:
    await connect_upstream(gateway, "http://127.0.0.1:9/")
    reports: dict[str, list[str]] = {}
    clients: dict[str, Any] = {}
    for agency in (OWN, FOREIGN):
        clients[agency] = client = await client_for(agency=agency)
        first = await accepted(client, a_report(agency=f"{agency}.18"), "a-key")
        second = await accepted(client, a_report(agency=f"{agency}.18", corrects=first["id"], reason="sai"))
        reports[agency] = [first["id"], second["id"]]
    async with connected(engine) as connection:
        await connection.execute(
            "INSERT INTO relays SELECT id, 'https://x.example', now(), 1, 'word', client_id FROM reports;"
            "INSERT INTO consolidation_parts SELECT id, corrects FROM reports WHERE corrects IS NOT NULL;"
            "INSERT INTO attempts SELECT id, 1, now(), now(), 'unreachable', 503, 'away', 'said' FROM deliveries;"
            "INSERT INTO interventions (id, client_id, connector_id, act)"
            " SELECT d.id, r.client_id, d.connector_id, 'retry' FROM deliveries d JOIN reports r ON r.id = d.report_id;"
            "INSERT INTO intervened SELECT id, id FROM deliveries;"
            "INSERT INTO erasures SELECT id, now(), 'ai', 'vì sao' FROM reports;"
            "INSERT INTO report_signatures SELECT id, 'jws', 'CN=A', 'CN=B', '1', 'f', now(), true FROM reports"
        )
        theirs = {table: await _of(connection, table, reports[FOREIGN]) for table in WALLED}
    reach = Reach(gateway.catalogues, OWN).seen()
    token = clients[OWN].headers["authorization"].removeprefix("Bearer ")
    sees = Seen(reach.agencies, f"{{{gateway.tokens.verify(token).client}}}")
    return Two(engine, gateway.intake.engine, sees, theirs)


_MINE = {
    "reports": "t.id = ANY ($1)",
    "attempts": "t.delivery_id IN (SELECT id FROM deliveries WHERE report_id = ANY ($1))",
    "intervened": "t.delivery_id IN (SELECT id FROM deliveries WHERE report_id = ANY ($1))",
    "idempotency_keys": "t.client_id IN (SELECT client_id FROM reports WHERE id = ANY ($1))",
}


async def _of(connection: asyncpg.Connection, table: str, reports: list[str]) -> list[dict[str, Any]]:
    """The rows of a table that belong to some reports, as JSON; as the owner sees them."""
    mine = _MINE.get(table, "t.report_id = ANY ($1)")
    ids = [UUID(each) for each in reports]
    rows = await connection.fetch(f"SELECT to_jsonb(t)::text AS row FROM {table} t WHERE {mine}", ids)
    return [json.loads(row["row"]) for row in rows]


async def _all(engine: AsyncEngine, table: str) -> list[dict[str, Any]]:
    async with driver(engine) as connection:
        rows = await connection.fetch(f"SELECT to_jsonb(t)::text AS row FROM {table} t")
        return [json.loads(row["row"]) for row in rows]


def test_a_right_is_decided_on_for_every_table() -> None:
    assert set(metadata.tables) | {"alembic_version"} == set(RIGHTS)
    assert all(right.why for right in RIGHTS.values())


async def test_the_database_is_as_decided(engine: AsyncEngine) -> None:
    assert await differences(engine) == []


async def test_a_decision_that_the_database_does_not_follow_would_be_found(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        for change in (
            "GRANT DELETE ON reports TO gateway_api",
            "REVOKE SELECT ON deliveries FROM gateway_worker",
            "GRANT UPDATE (receipt) ON reports TO gateway_api",
            "GRANT SELECT ON attempts_default TO gateway_api",
            "GRANT EXECUTE ON FUNCTION known_reports(uuid[]) TO PUBLIC",
            "ALTER TABLE payloads NO FORCE ROW LEVEL SECURITY",
            "DROP POLICY subtree ON relays",
        ):
            await connection.execute(sa.text(change))
            assert await connection.run_sync(lambda sync: len(list(right_changes(sync)))) == 1, change
            await connection.rollback()


@pytest.mark.parametrize("table", WALLED)
async def test_a_province_touches_no_row_of_another(table: str, two: Two) -> None:
    theirs = two.theirs[table]
    assert theirs
    before = await _all(two.engine, table)
    mine = [row for row in before if row not in theirs]
    assert mine
    with seeing(two.sees):
        assert sorted(map(str, await _all(two.walled, table))) == sorted(map(str, mine))
        await _change(two.walled, table, len(mine))
        await _delete(two.walled, table)
    with seeing(NOTHING):
        assert await _all(two.walled, table) == []
        await _change(two.walled, table, 0)
    with seeing(EVERYTHING):
        assert sorted(map(str, await _all(two.walled, table))) == sorted(map(str, before))
    assert sorted(map(str, await _all(two.engine, table))) == sorted(map(str, before))


async def _change(engine: AsyncEngine, table: str, rows: int) -> None:
    """An update of all rows changes so many; one of a column that never changes is refused."""
    async with driver(engine) as connection:
        may = {each.column for each in rights.wanted_grants(table) if each[1:3] == (Role.api, "UPDATE")}
        for column in (each.name for each in metadata.tables[table].columns):
            statement = f"UPDATE {table} SET {column} = {column}"
            if column in may:
                assert await connection.execute(statement) == f"UPDATE {rows}"
            else:
                with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.GeneratedAlwaysError)):
                    await connection.execute(statement)


async def _delete(engine: AsyncEngine, table: str) -> None:
    async with driver(engine) as connection:
        for statement in (f"DELETE FROM {table}", f"TRUNCATE {table}"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)


@pytest.mark.parametrize("table", WALLED)
async def test_a_province_adds_no_row_to_another(table: str, two: Two) -> None:
    """The very row there was, so that it is right in all else: with the other's own sight it is taken."""
    row = two.theirs[table][-1]
    add = f"INSERT INTO {table} OVERRIDING SYSTEM VALUE SELECT (json_populate_record(NULL::{table}, $1::text::json)).*"
    places = [column.name for column in metadata.tables[table].primary_key]
    async with connected(two.engine) as connection:
        where = " AND ".join(f"t.{name}::text = x.{name}::text" for name in places)
        found = f"DELETE FROM {table} t USING json_populate_record(NULL::{table}, $1::text::json) x WHERE {where}"
        assert await connection.execute(found, json.dumps(row)) == "DELETE 1"
    for sees in (two.sees, NOTHING):
        with seeing(sees), pytest.raises(asyncpg.InsufficientPrivilegeError):
            await _execute(two.walled, add, json.dumps(row))
    if table not in {"attempts", "erasures"}:  # those are the worker's to add, and the owner's
        with seeing(EVERYTHING):
            await _execute(two.walled, add, json.dumps(row))


async def _execute(engine: AsyncEngine, statement: str, *values: object) -> None:
    async with driver(engine) as connection:
        await connection.execute(statement, *values)


async def test_a_row_is_not_given_away(two: Two) -> None:
    """The agency of a row is none of what may be changed."""
    with seeing(two.sees), pytest.raises(asyncpg.InsufficientPrivilegeError):
        await _execute(two.walled, "UPDATE deliveries SET agency_id = 1")


@pytest.mark.parametrize("role", [Role.api, Role.worker, Role.sealer])
async def test_a_role_reads_just_the_tables_it_was_given(role: Role, two: Two) -> None:
    engine = open_engine(Settings(), two.engine.url.render_as_string(False), role)
    try:
        with seeing(EVERYTHING):
            for table in RIGHTS:
                may = any(each[1:3] == (role, "SELECT") for each in rights.wanted_grants(table))
                try:
                    await _execute(engine, f"SELECT FROM {table}")
                except asyncpg.InsufficientPrivilegeError:
                    assert not may, table
                else:
                    assert may, table
    finally:
        await engine.dispose()


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT FROM report_rows_default",
        "SELECT FROM payloads_y2026",
        "SELECT rolpassword FROM pg_authid",
        "SELECT pg_read_file('PG_VERSION')",
        "CREATE TABLE mine (id int)",
        "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "ALTER TABLE reports DISABLE ROW LEVEL SECURITY",
        "DROP POLICY subtree ON reports",
        "CREATE POLICY mine ON reports USING (true)",
        "GRANT SELECT ON report_rows_default TO gateway_api",
        "ALTER ROLE gateway_api BYPASSRLS",
        "SELECT make_attempt_parts(1)",
        "SELECT drop_attempt_part(30)",
        "SET ROLE gateway_worker",
        "SET SESSION AUTHORIZATION gateway",
        "COPY report_rows TO PROGRAM 'true'",
    ],
)
async def test_the_api_s_role_cannot(statement: str, engine: AsyncEngine) -> None:
    async with a_login(engine, "", Role.api) as login, login.connection() as connection:
        await connection.execute("SET ROLE gateway_api")
        with pytest.raises(asyncpg.PostgresError) as refused:
            await connection.execute(statement)
    assert refused.value.sqlstate in {"42501", "42P01"}, refused.value


@dataclass(frozen=True, slots=True)
class Login:
    """An account of PostgreSQL that is a member of the API's role and of the worker's, and nothing else."""

    url: str

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.Connection]:
        found = await asyncpg.connect(self.url.replace("+asyncpg", ""))
        try:
            yield found
        finally:
            await found.close()


@asynccontextmanager
async def a_login(engine: AsyncEngine, attributes: str, *roles: Role) -> AsyncIterator[Login]:
    """An account for as long as the block runs."""
    name, password = f"gateway_test_{secrets.token_hex(4)}", secrets.token_hex(8)
    async with connected(engine) as connection:
        await connection.execute(f"CREATE ROLE {name} LOGIN NOINHERIT PASSWORD '{password}' {attributes}")
        for role in roles:
            await connection.execute(f"GRANT {role} TO {name}")
        try:
            yield Login(engine.url.set(username=name, password=password).render_as_string(False))
        finally:
            await connection.execute(f"REASSIGN OWNED BY {name} TO CURRENT_USER; DROP OWNED BY {name}")
            await connection.execute(f"DROP ROLE {name}")


async def test_a_login_that_is_only_a_member_is_fit(engine: AsyncEngine) -> None:
    async with a_login(engine, "", Role.api, Role.worker) as login:
        for role in (Role.api, Role.worker):
            own = open_engine(Settings(), login.url, role)
            await require_role(own, role)
            await own.dispose()


@pytest.fixture
def keys_of_production(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    for purpose in PURPOSES:
        make_key(tmp_path, purpose, datetime.now(UTC))
    return tmp_path


async def test_production_does_not_start_with_a_login_that_is_more(
    engine: AsyncEngine, settings: Settings, keys_of_production: Path
) -> None:
    async with a_login(engine, "BYPASSRLS", Role.api, Role.worker, Role.sealer) as bypassing:
        for url, why in ((engine.url.render_as_string(False), "is a superuser"), (bypassing.url, "bypasses row-level")):
            given = {"mode": "production", "database_url": url.replace("+asyncpg", ""), "keys_dir": keys_of_production}
            strict = settings.model_copy(update=given)
            for starting in (serve(strict, False), work(strict)):
                with pytest.raises(UnfitRole, match=why):
                    await starting


async def test_a_login_that_is_no_member_is_told_what_it_lacks(engine: AsyncEngine, settings: Settings) -> None:
    async with a_login(engine, "") as stranger:
        given = {"database_url": stranger.url.replace("+asyncpg", ""), "keys_dir": settings.keys}
        lacking = settings.model_copy(update=given)
        for starting in (serve(lacking, False), work(lacking)):
            with pytest.raises(UnfitRole, match="GRANT gateway_"):
                await starting


async def test_a_pool_never_shows_one_caller_what_another_sees(two: Two) -> None:
    """Two connections for thirty callers, half of whom go away in the middle of a statement."""
    settings = Settings(database_pool=2)
    engine = open_engine(settings, two.engine.url.render_as_string(False), Role.api)
    wrong: list[str] = []

    async def call(number: int) -> None:
        sees = NOTHING if number % 5 == 0 else Seen(f"{{{number % 7}}}")
        with seeing(sees):
            for _ in range(4):
                async with driver(engine) as connection:
                    found = await connection.fetchval("SELECT current_setting('gateway.subtree') FROM pg_sleep(0.002)")
                if found != sees.agencies:
                    wrong.append(f"{found}, not {sees.agencies}")

    async def leave(task: asyncio.Task[None], seconds: float) -> None:
        await asyncio.sleep(seconds)
        task.cancel()

    calls = [asyncio.create_task(call(number)) for number in range(30)]
    leaving = [asyncio.create_task(leave(each, 0.001 * number)) for number, each in enumerate(calls[::2])]
    await asyncio.gather(*calls, *leaving, return_exceptions=True)
    await engine.dispose()
    assert wrong == []
    assert sum(not each.cancelled() for each in calls) >= 15


async def test_nothing_is_asked_of_a_connection_that_sees_it_already(two: Two) -> None:
    engine = open_engine(Settings(database_pool=1), two.engine.url.render_as_string(False), Role.api)
    told: list[str] = []
    async with driver(engine) as connection:
        connection.add_query_logger(lambda record: told.append(record.query))
    for sees in (two.sees, two.sees, EVERYTHING, EVERYTHING, two.sees):
        with seeing(sees):
            await _execute(engine, "SELECT 1")
    await engine.dispose()
    assert [query for query in told if "set_config" in query] == [told[0]] * 3


async def test_an_owner_that_is_no_superuser_is_walled_in_too_but_for_the_version_before(
    engine: AsyncEngine, empty_url: str
) -> None:
    """The migration of a database whose owner may do nothing else, while the version before is at work on it."""
    name = sa.make_url(empty_url).database
    async with a_login(engine, "") as owner:
        address = sa.make_url(owner.url)
        async with connected(engine) as admin:
            await admin.execute(f'ALTER DATABASE "{name}" OWNER TO {address.username}')
        own = open_engine(Settings(), address.set(database=name).render_as_string(False))
        try:
            await _upgraded(own, engine)
        finally:
            await own.dispose()
            async with connected(engine) as admin:
                await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
                await admin.execute(f'CREATE DATABASE "{name}"')


@pytest.fixture
def empty_url(database_url: str) -> Iterator[str]:
    with empty_database(database_url) as url:
        yield url


_ADD = """
WITH head AS (
    INSERT INTO reports (id, agency_id, form_id, form_version, period, period_start, period_end, kind, revision, status,
        client_id, received_at, sha256, findings, explanations, receipt)
    SELECT gen_random_uuid(), $1, 1, 1, $2, '2026-01-01', '2026-03-31', 'own', 1, 'accepted', gen_random_uuid(), now(),
           '\\x00', '[]', '[]', 'word' RETURNING id
)
INSERT INTO report_events (report_id, event, at, client_id) SELECT id, 'accepted', now(), gen_random_uuid() FROM head
"""


async def _upgraded(own: AsyncEngine, admin: AsyncEngine) -> None:
    await upgrade(own, revision="0009")
    login = own.url.username
    async with connected(own) as before:
        await before.execute(_ADD, 1, "2026-Q1")
        with pytest.raises(UnfitSchema, match=f"GRANT gateway_api TO {login}"):
            await upgrade(own)
        async with connected(admin) as administrator:
            for role in (Role.api, Role.worker, Role.sealer):
                await administrator.execute(f"GRANT {role} TO {login}")
        await upgrade(own)
        assert await differences(own) == []
        await before.execute(_ADD, 2, "2026-Q1")
        assert await before.fetchval("SELECT count(*) FROM reports") == 2
        await before.execute("SET gateway.subtree = '{2}'")
        assert await before.fetchval("SELECT count(*) FROM reports") == 1
        assert await before.fetchval("SELECT count(*) FROM report_events") == 1
    api = open_engine(Settings(), own.url.render_as_string(False), Role.api)
    with seeing(Seen("{1}")):
        async with driver(api) as connection:
            assert [row["agency_id"] for row in await connection.fetch("SELECT agency_id FROM reports")] == [1]
            assert await connection.fetchval("SELECT newest_event() > '0'::xid8")
            reports = await connection.fetchval("SELECT array_agg(id) FROM reports")
            assert await connection.fetchval("SELECT known_reports($1)", reports) == reports
    with pytest.raises(UnfitRole, match="owns the tables"):
        await require_role(api, Role.api)
    await api.dispose()
    worker = open_engine(Settings(), own.url.render_as_string(False), Role.worker)
    async with driver(worker) as connection:
        assert await connection.fetchval("SELECT count(*) FROM reports") == 2
        assert await connection.fetchval("SELECT make_attempt_parts(5)") != []
    await worker.dispose()


async def test_functions_with_the_owner_s_rights_are_all_listed(engine: AsyncEngine) -> None:
    async with connected(engine) as connection:
        rows = await connection.fetch("SELECT oid::regprocedure::text AS name FROM pg_proc WHERE prosecdef")
        listed = [await connection.fetchval("SELECT to_regprocedure($1)::text", name) for name in FUNCTIONS]
    assert sorted(row["name"] for row in rows) == sorted(listed)
