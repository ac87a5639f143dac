"""The link that knows PostgreSQL's messages: it strikes where it is told to, in a real conversation."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import asyncpg
import pytest
from proofs.faults.link import Way
from proofs.faults.wire import (
    Fate,
    Message,
    Wire,
    answer_to,
    boundary,
    drop,
    hold,
    notification,
    order_of,
    server_of,
    swallow,
    with_rows,
)

LOST = (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, ConnectionError)


@asynccontextmanager
async def wired(url: str) -> AsyncIterator[tuple[Wire, asyncpg.Connection]]:
    """A wire to the database, and a connection over it with a table of its own."""
    async with Wire(server_of(url)) as wire, connected(wire, url) as connection:
        await connection.execute("CREATE TABLE struck (n int)")
        try:
            yield wire, connection
        finally:
            wire.rules.clear()
            async with connected(wire, url) as another:
                await another.execute("DROP TABLE struck")


@asynccontextmanager
async def connected(wire: Wire, url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(wire.url(url).replace("+asyncpg", ""))
    try:
        yield connection
    finally:
        connection.terminate()


async def stored(wire: Wire, url: str) -> list[int]:
    async with connected(wire, url) as connection:
        return [row["n"] for row in await connection.fetch("SELECT n FROM struck ORDER BY n")]


async def test_a_wire_without_rules_changes_nothing(database_url: str) -> None:
    async with wired(database_url) as (wire, connection):
        rows = await connection.fetch("SELECT n, repeat('x', 100) AS long FROM generate_series(1, $1::int) AS n", 5000)
        assert [row["n"] for row in rows] == list(range(1, 5001))
        with pytest.raises(asyncpg.UndefinedTableError):
            await connection.fetch("SELECT FROM nothing")
        assert await connection.fetchval("SELECT 1") == 1
        assert wire.messages > 5000


async def test_every_message_is_known_with_its_statement(database_url: str) -> None:
    heard: list[Message] = []
    async with wired(database_url) as (wire, connection):

        async def hear(message: Message) -> Fate:
            heard.append(message)
            return Fate.forward

        wire.when(lambda message: message.is_run, hear, times=None)
        for _ in range(2):  # prepared once, and used again without its text
            await connection.fetch("SELECT $1::int + 1", 1)
        async with connection.transaction():
            await connection.execute("INSERT INTO struck VALUES (1)")
    about = [(each.way, each.kind, each.statement) for each in heard]
    for way, kinds in ((Way.to_server, "ES"), (Way.to_client, "2DCZ")):
        runs = [kind for to, kind, text in about if to is way and text == "SELECT $1::int + 1"]
        assert "".join(runs) == 2 * kinds
    plain = [(to, kind) for to, kind, text in about if text == "COMMIT;"]
    assert plain == [(Way.to_server, "Q"), (Way.to_client, "C"), (Way.to_client, "Z")]


async def test_a_lost_answer_leaves_the_statement_done(database_url: str) -> None:
    async with wired(database_url) as (wire, connection):
        rule = wire.lose_answer("INTO struck", skip=1)
        await connection.execute("INSERT INTO struck VALUES ($1)", 1)
        with pytest.raises(LOST):
            await connection.execute("INSERT INTO struck VALUES ($1)", 2)
        assert rule.struck.is_set()
        assert await stored(wire, database_url) == [1, 2]


async def test_a_dropped_order_leaves_the_statement_undone(database_url: str) -> None:
    async with wired(database_url) as (wire, connection):
        wire.when(order_of("INTO struck"), drop)
        with pytest.raises(LOST):
            await connection.execute("INSERT INTO struck VALUES ($1)", 1)
        assert await stored(wire, database_url) == []


async def test_an_answer_can_be_held_while_something_else_happens(database_url: str) -> None:
    async with wired(database_url) as (wire, connection):
        go_on = asyncio.Event()
        rule = wire.when(answer_to("INTO struck"), hold(go_on))
        storing = asyncio.create_task(connection.execute("INSERT INTO struck VALUES (1)"))
        await rule.struck.wait()
        assert await stored(wire, database_url) == [1]
        assert not storing.done()
        go_on.set()
        await storing


@pytest.mark.parametrize("way", Way)
async def test_each_boundary_in_turn_can_be_struck(database_url: str, way: Way) -> None:
    """The sweep: at the first step nothing is done yet, beyond the last one all is, and there are steps between."""
    done: list[bool] = []
    async with wired(database_url) as (wire, watching):
        is_struck = True
        while is_struck:
            async with connected(wire, database_url) as connection:
                rule = wire.when(boundary(way), drop, skip=len(done))
                with suppress(*LOST):
                    await connection.execute("INSERT INTO struck VALUES ($1)", len(done))
                is_struck = rule.struck.is_set()
                wire.rules.clear()
            done.append(len(done) in [row["n"] for row in await watching.fetch("SELECT n FROM struck")])
    assert done == sorted(done)
    assert (done[0], done[-1]) == (False, True)
    assert len(done) > 5


async def test_notifications_can_be_swallowed(database_url: str) -> None:
    heard: list[object] = []
    async with wired(database_url) as (wire, connection):
        await connection.add_listener("struck", lambda *words: heard.append(words[-1]))
        wire.when(notification, swallow)
        for word in ("lost", "heard"):
            await connection.execute(f"NOTIFY struck, '{word}'")
        assert heard == ["heard"]
        await connection.reset()


async def test_an_answer_without_rows_is_not_the_one_that_is_lost(database_url: str) -> None:
    async with wired(database_url) as (wire, connection):
        lost = wire.lose_answer(with_rows("RETURNING n"))
        assert await connection.fetch("UPDATE struck SET n = 1 RETURNING n") == []
        assert not lost.struck.is_set()
        with pytest.raises(LOST):
            await connection.fetch("INSERT INTO struck VALUES (7) RETURNING n")
        assert await stored(wire, database_url) == [7]
