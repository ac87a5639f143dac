"""What was committed is sealed: once, without gaps, in one line, whoever is killed, stopped or there twice."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import asyncpg
import httpx
import pytest

from factories import a_report
from gateway.api.deps import Gateway
from gateway.db.engine import driver
from gateway.db.log import add_entries, stop_leading, try_lead
from gateway.domain.entry import NewEntry
from gateway.evidence.merkle import leaf_hash, root_by_inclusion, root_of, verify_consistency
from gateway.evidence.note import LogSigner, open_checkpoint
from gateway.evidence.places import GIVEN_UP, Places
from gateway.evidence.sealer import Sealer
from gateway.evidence.tree import LogBroken, consistency_path, inclusion_path
from gateway_under_test import accepted, connected


def a_sealer(gateway: Gateway) -> Sealer:
    return Sealer(gateway.engine, LogSigner(gateway.keys.log, gateway.settings.issuer), pause=0.02)


async def add(connection: Any, *numbers: int) -> None:
    await add_entries(connection, [NewEntry(b'{"n":%d}' % number) for number in numbers])


async def seal(gateway: Gateway) -> int:
    async with driver(gateway.engine) as connection:
        return await a_sealer(gateway).seal(connection)


async def sealed(gateway: Gateway) -> list[bytes]:
    """The entries in their order, after it has been seen that the whole tree and every checkpoint agree with them."""
    async with driver(gateway.engine) as connection:
        rows = await connection.fetch("SELECT index, entry, leaf FROM log_entries ORDER BY index")
        checkpoints = await connection.fetch("SELECT size, root, note FROM log_checkpoints ORDER BY size")
        nodes = await connection.fetch("SELECT level, index, hash FROM log_nodes")
    assert [row["index"] for row in rows] == list(range(len(rows)))
    leaves = [leaf_hash(row["entry"]) for row in rows]
    assert leaves == [row["leaf"] for row in rows]
    verifiers = LogSigner(gateway.keys.log, gateway.settings.issuer).verifiers
    for each in checkpoints:
        signed = open_checkpoint(each["note"], verifiers)
        assert (signed.size, signed.root) == (each["size"], each["root"])
        assert signed.root == root_of(leaves[: signed.size])
    assert (checkpoints[-1]["size"] if checkpoints else 0) == len(rows)
    for each in nodes:
        first = each["index"] << each["level"]
        assert each["hash"] == root_of(leaves[first : first + (1 << each["level"])])
    assert len(nodes) == sum(len(rows) >> level for level in range(4, 60, 4))
    return [row["entry"] for row in rows]


async def test_every_push_is_sealed_with_all_that_its_receipt_says(
    gateway: Gateway, country: httpx.AsyncClient
) -> None:
    head = await accepted(country, a_report())
    assert await seal(gateway) == 1
    [entry] = await sealed(gateway)
    assert head["id"].encode() in entry
    assert head["sha256"].encode() in entry


async def test_entries_are_sealed_once_in_the_order_of_their_commits(gateway: Gateway) -> None:
    sealer = a_sealer(gateway)
    async with connected(gateway.engine) as late, driver(gateway.engine) as connection:
        held = late.transaction()
        await held.start()
        await add(late, 0)  # has the lowest place, and commits last
        for start in range(1, 60, 20):
            await add(connection, *range(start, start + 20))
            assert await sealer.seal(connection) == 20
        assert await sealer.seal(connection) == 0
        await held.commit()
        assert await sealer.seal(connection) == 1
        assert await sealer.seal(connection) == 0
    assert await sealed(gateway) == [b'{"n":%d}' % n for n in [*range(1, 61), 0]]


async def test_what_commits_late_is_not_missed_once_the_sealer_looks_at_new_places_only(gateway: Gateway) -> None:
    sealer = a_sealer(gateway)
    async with connected(gateway.engine) as late, driver(gateway.engine) as connection:
        await add(connection, 1)
        assert await sealer.seal(connection) == 1
        sealer._since = sealer._swept = asyncio.get_running_loop().time()
        sealer._since -= 1000
        held = late.transaction()
        await held.start()
        await add(late, 2)
        await add(connection, 3)
        assert await sealer.seal(connection) == 1
        await held.commit()
        assert await sealer.seal(connection) == 1
    assert await sealed(gateway) == [b'{"n":1}', b'{"n":3}', b'{"n":2}']


def test_places_that_are_missing_are_asked_for_until_they_count_as_never_used() -> None:
    places = Places()
    places.note([5, 6, 9], 0)
    assert (places.high, places.missing) == (9, [7, 8])
    places.note([7, 11], 100)
    assert (places.high, places.missing) == (11, [8, 10])
    places.note([], GIVEN_UP)
    assert places.missing == [10]
    places.note([10**9], GIVEN_UP)
    assert len(places.missing) <= 10_000


async def test_a_held_snapshot_and_an_open_transaction_hold_up_no_proof(
    gateway: Gateway, client_for: Callable[..., Any]
) -> None:
    reader = await client_for()
    async with connected(gateway.engine) as holder:
        await holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        await holder.fetchval("SELECT count(*) FROM log_pending")
        await holder.execute("INSERT INTO log_pending (entry) VALUES ('{}')")
        task = asyncio.create_task(Sealer(gateway.engine, a_sealer(gateway)._signer).run())
        try:
            slowest = 0.0
            for n in range(4):
                head = await accepted(reader, a_report(period=f"209{n}-Q3"))
                since = asyncio.get_running_loop().time()
                while (answer := await reader.get(f"/v1/reports/{head['id']}/proof")).status_code == 404:
                    assert answer.json()["type"].endswith("proof-pending")
                    assert answer.headers["Retry-After"] == "1"
                    await asyncio.sleep(0.02)
                assert answer.status_code == 200
                slowest = max(slowest, asyncio.get_running_loop().time() - since)
        finally:
            task.cancel()
            await asyncio.wait([task])
            await holder.execute("ROLLBACK")
    assert slowest < 2


class Killed(Exception):
    """The step at which a sealer ends."""


class Mortal:
    """A connection that is gone at its nth call, before or after it is carried out."""

    def __init__(self, connection: Any, calls: int, is_done: bool) -> None:
        self._connection, self._left, self._is_done = connection, calls, is_done

    def transaction(self) -> Any:
        return _MortalTransaction(self, self._connection.transaction())

    def __getattr__(self, name: str) -> Any:
        async def call(*given: Any) -> Any:
            return await self.step(lambda: getattr(self._connection, name)(*given))

        return call

    async def step(self, act: Callable[[], Any]) -> Any:
        self._left -= 1
        if self._left == 0 and not self._is_done:
            raise Killed
        found = await act()
        if self._left == 0:
            raise Killed
        return found


class _MortalTransaction:
    def __init__(self, mortal: Mortal, transaction: Any) -> None:
        self._mortal, self._transaction = mortal, transaction

    async def __aenter__(self) -> None:
        await self._mortal.step(self._transaction.start)

    async def __aexit__(self, kind: object, *_: object) -> None:
        if kind is None:
            await self._mortal.step(self._transaction.commit)


@pytest.mark.parametrize("is_done", [False, True])
async def test_a_sealer_that_is_killed_at_any_step_leaves_all_to_the_next(gateway: Gateway, is_done: bool) -> None:
    expected: list[bytes] = []
    for calls in range(1, 20):
        async with driver(gateway.engine) as connection:
            await add(connection, calls, -calls)
        expected += [b'{"n":%d}' % calls, b'{"n":%d}' % -calls]
        async with connected(gateway.engine) as own:
            killed = False
            try:
                await a_sealer(gateway).seal(Mortal(own, calls, is_done))
            except Killed:
                killed = True
                own.terminate()
            if not killed:
                break
        await seal_all(gateway)
        assert await sealed(gateway) == expected
    assert calls > 6
    assert await sealed(gateway) == expected


async def seal_all(gateway: Gateway) -> None:
    """Seal until nothing waits: what a killed connection had taken comes back when the server notices."""
    async with asyncio.timeout(10), driver(gateway.engine) as connection:
        while await connection.fetchval("SELECT count(*) FROM log_pending"):
            try:
                await a_sealer(gateway).seal(connection)
            except (asyncpg.UniqueViolationError, asyncpg.SerializationError):
                continue


@asynccontextmanager
async def several(gateway: Gateway, count: int) -> AsyncIterator[list[Any]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(connected(gateway.engine)) for _ in range(count)]


async def test_sealers_that_run_at_once_without_a_lock_make_no_fork_and_no_gap(gateway: Gateway) -> None:
    async def seal_on(connection: Any) -> int:
        sealer, clashes = a_sealer(gateway), 0
        for _ in range(40):
            try:
                await sealer.seal(connection)
            except asyncpg.UniqueViolationError:
                clashes += 1
                sealer = a_sealer(gateway)
            await asyncio.sleep(0)
        return clashes

    async def write_on(connection: Any, first: int) -> None:
        for n in range(40):
            await add(connection, first + n)

    async with several(gateway, 6) as connections:
        sealing = [seal_on(each) for each in connections[:3]]
        await asyncio.gather(*sealing, *(write_on(each, 1000 * n) for n, each in enumerate(connections[3:])))
    await seal_all(gateway)
    expected = [b'{"n":%d}' % (1000 * n + each) for n in range(3) for each in range(40)]
    assert sorted(await sealed(gateway)) == sorted(expected)


async def test_of_two_sealers_at_the_same_state_the_table_takes_one(gateway: Gateway) -> None:
    async with several(gateway, 3) as (one, two, writer):
        await seal(gateway)
        await add(writer, 1)
        first = one.transaction()
        await first.start()
        sealers = [a_sealer(gateway), a_sealer(gateway)]
        assert await sealers[0].seal(one) == 1  # not committed yet
        await add(writer, 2)
        # Waits for what the first has taken and not committed, and then would give its number again.
        second = asyncio.create_task(_take_anyway(two, sealers[1]))
        await asyncio.sleep(0.2)
        await first.commit()
        with pytest.raises(asyncpg.UniqueViolationError):
            await second
    await seal_all(gateway)
    assert await sealed(gateway) == [b'{"n":1}', b'{"n":2}']


async def _take_anyway(connection: Any, sealer: Sealer) -> None:
    await sealer.seal(connection)


async def test_when_the_leader_is_killed_another_seals_at_once_and_when_it_is_stopped_it_is_cut_off(
    gateway: Gateway,
) -> None:
    async with several(gateway, 2) as (leader, other):
        assert await try_lead(leader, 60)
        assert not await try_lead(other, 60)
        leader.terminate()
        async with asyncio.timeout(5):
            while not await try_lead(other, 60):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        await stop_leading(other)
    async with several(gateway, 2) as (leader, other):
        assert await try_lead(leader, 0.05)  # and says nothing more, as if it had been stopped
        async with asyncio.timeout(5):
            while not await try_lead(other, 60):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        await stop_leading(other)
        kept = await other.fetchval("SELECT current_setting('idle_session_timeout')")
        assert kept == "0"  # as it was before


async def test_only_one_of_many_sealers_works_and_the_next_takes_over(gateway: Gateway) -> None:
    tasks = [asyncio.create_task(a_sealer(gateway).run()) for _ in range(3)]
    try:
        async with driver(gateway.engine) as connection, asyncio.timeout(15):
            for n in range(3):
                await add(connection, n)
                while len(await sealed_quickly(connection)) < n + 1:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
                if n < 2:
                    await connection.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
                        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
                    )
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    assert await sealed(gateway) == [b'{"n":0}', b'{"n":1}', b'{"n":2}']


async def sealed_quickly(connection: Any) -> list[Any]:
    found: list[Any] = await connection.fetch("SELECT 1 FROM log_entries")
    return found


@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE log_entries SET leaf = sha256('x') WHERE index = 18",
        "UPDATE log_nodes SET hash = sha256('x') WHERE level = 4 AND index = 0",
        "DELETE FROM log_nodes WHERE level = 4 AND index = 0",
        "DELETE FROM log_entries WHERE index = 18",
        "UPDATE log_checkpoints SET note = replace(note, E'\\n19\\n', E'\\n20\\n')",
        "DELETE FROM log_checkpoints WHERE size = 19",
    ],
)
async def test_a_tree_that_was_changed_is_not_signed_by_a_new_sealer(gateway: Gateway, harm: str) -> None:
    async with driver(gateway.engine) as connection:
        await add(connection, *range(18))
        await a_sealer(gateway).seal(connection)
        await add(connection, 18)
        await a_sealer(gateway).seal(connection)
        await connection.execute(harm)
        await add(connection, 20)
        with pytest.raises((LogBroken, asyncpg.UniqueViolationError)):
            await a_sealer(gateway).seal(connection)


async def test_proofs_are_made_of_few_hashes_of_the_stored_tree(gateway: Gateway) -> None:
    async with driver(gateway.engine) as connection:
        for start in range(0, 270, 30):
            await add(connection, *range(start, start + 30))
            await a_sealer(gateway).seal(connection)
        entries = await sealed(gateway)
        leaves = [leaf_hash(each) for each in entries]
        for index, size in ((0, 1), (0, 270), (269, 270), (255, 256), (256, 257), (100, 200)):
            path = await inclusion_path(connection, index, size)
            assert root_by_inclusion(leaves[index], index, size, path) == root_of(leaves[:size])
        for old, new in ((1, 270), (256, 270), (30, 60), (269, 270), (270, 270), (0, 270)):
            path = await consistency_path(connection, old, new)
            verify_consistency(old, root_of(leaves[:old]), new, root_of(leaves[:new]), path)


async def test_a_log_goes_on_when_its_gateway_gets_another_address(gateway: Gateway) -> None:
    async with driver(gateway.engine) as connection:
        await add(connection, 1)
        await a_sealer(gateway).seal(connection)
        await add(connection, 2)
        other = LogSigner(gateway.keys.log, "https://elsewhere.example")
        assert await Sealer(gateway.engine, other).seal(connection) == 1
        newest = await connection.fetchval("SELECT note FROM log_checkpoints ORDER BY size DESC LIMIT 1")
    assert open_checkpoint(newest, other.verifiers).size == 2
