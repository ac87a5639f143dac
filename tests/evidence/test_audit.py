"""Whatever a superuser does to the log is found out, and named, from what others hold of it."""

import base64
import hashlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import pytest
from uuid_utils.compat import uuid7

from gateway.api.deps import Gateway
from gateway.db.log import add_entries, entries_from, newest_checkpoint
from gateway.domain.entry import NewEntry, moment, new_entry
from gateway.domain.exact import decode, encode
from gateway.evidence.audit import Audited, audit
from gateway.evidence.export import export
from gateway.evidence.faults import Fault, Wrong
from gateway.evidence.held import Keys, hold
from gateway.evidence.merkle import leaf_hash
from gateway.evidence.note import LogSigner, vkeys
from gateway.evidence.proofs import proof_shown
from gateway.evidence.public import public_keys
from gateway.evidence.receipts import Signer, key_set
from gateway.evidence.sealer import Sealer
from gateway.evidence.tree import prove
from gateway.keys import load_keys
from gateway.settings import Settings
from gateway_under_test import connected

ISSUER = "http://127.0.0.1:8000"
START = datetime(2026, 9, 20, 2, tzinfo=UTC)
BATCHES = (1, 4, 2, 9, 1, 16, 3, 1)
SIZE = sum(BATCHES)


@dataclass(frozen=True, slots=True)
class Log:
    """A log on a connection whose transaction is undone, and all that could be held of it."""

    connection: Any
    gateway: Gateway
    keys: Keys
    receipts: Sequence[str]
    checkpoints: Sequence[str]
    """Those after each batch."""
    proofs: Sequence[str]
    """Of each entry, under the newest checkpoint."""

    @property
    def newest(self) -> str:
        return self.checkpoints[-1]

    def sealer(self, later: timedelta = timedelta()) -> Sealer:
        signer = LaterSigner(self.gateway.keys.log, ISSUER)
        signer.later = later
        return Sealer(self.gateway.engine, signer)

    async def audit(self, *held: str) -> Audited:
        lines = [encode(line) + b"\n" async for line in export(self.connection)]
        return audit(lambda: lines, self.keys.log, hold([("held", each) for each in held], self.keys))


def an_entry(gateway: Gateway, number: int) -> tuple[Any, str]:
    """An entry and its receipt, a minute after the one before."""
    report, at = uuid7(), START + timedelta(minutes=number)
    same = {"agency": "H26.18", "form": "TTHC_06A", "period": "2026-Q3", "kind": "own", "revision": 1}
    same |= {"sha256": hashlib.sha256(str(number).encode()).hexdigest()}
    receipt = Signer(gateway.keys.receipts, ISSUER).sign({"report": str(report), "received_at": moment(at), **same}, at)
    return new_entry("accepted", at, None, same, report=report), receipt


@pytest.fixture
async def log(gateway: Gateway) -> AsyncIterator[Log]:
    async with connected(gateway.engine) as connection:
        transaction = connection.transaction()
        await transaction.start()
        made = [an_entry(gateway, number) for number in range(SIZE)]
        sealer, start = Sealer(gateway.engine, LogSigner(gateway.keys.log, ISSUER)), 0
        for count in BATCHES:
            await add_entries(connection, [entry for entry, _ in made[start : start + count]])
            await sealer.seal(connection)
            start += count
        rows = await connection.fetch("SELECT note FROM log_checkpoints WHERE size > 0 ORDER BY size")
        newest = await newest_checkpoint(connection)
        assert newest is not None
        proofs = [await prove(connection, each, newest) for each in await entries_from(connection, 0, SIZE)]
        document = decode(encode(public_keys(gateway.keys, ISSUER)))
        yield Log(
            connection,
            gateway,
            Keys(key_set(document), vkeys(document)),
            [receipt for _, receipt in made],
            [row["note"] for row in rows],
            [encode(proof_shown(each)).decode() for each in proofs],
        )
        await transaction.rollback()


async def test_a_log_that_nobody_touched_agrees_with_all_that_is_held(log: Log) -> None:
    audited = await log.audit(*log.receipts, *log.checkpoints, *log.proofs)
    assert list(audited.faults) == []
    assert (audited.size, audited.signed) == (SIZE, SIZE)


async def test_of_receipts_that_contradict_each_other_each_is_compared(log: Log) -> None:
    good = log.receipts[0]
    claims = decode(base64.urlsafe_b64decode(good.split(".")[1] + "=="))
    signer = Signer(log.gateway.keys.receipts, ISSUER)
    at = datetime.fromtimestamp(claims.pop("iat"), UTC)
    claims.pop("iss")
    bad = signer.sign(claims | {"sha256": "0" * 64}, at)
    for held in ([good, bad], [bad, good]):
        assert [each.wrong for each in (await log.audit(*held)).faults] == [Wrong.edited]


async def test_the_answer_to_a_file_of_several_reports_is_held_as_their_receipts(log: Log) -> None:
    parts = [{"part": n, "receipt": each} for n, each in enumerate(log.receipts[:2], 1)] + [{"part": 3}]
    audited = await log.audit(encode({"parts": parts}).decode())
    assert (list(audited.faults), audited.held) == ([], 2)


# What a superuser may do. Each gives the index of the first entry that is not what it was.

Harm: TypeAlias = Callable[[Log, int, int], Awaitable[int]]


async def edit(log: Log, one: int, _: int) -> int:
    """One entry's bytes, and nothing else."""
    await log.connection.execute(
        "UPDATE log_entries SET entry = replace(convert_from(entry, 'UTF8'), 'H26.18', 'H26.19')::bytea"
        " WHERE index = $1",
        one,
    )
    return one


async def edit_well(log: Log, one: int, two: int) -> int:
    """One entry with its leaf hash."""
    await edit(log, one, two)
    await log.connection.execute("UPDATE log_entries SET leaf = sha256('\\x00'::bytea || entry) WHERE index = $1", one)
    return one


async def backdate(log: Log, one: int, _: int) -> int:
    """The time of an entry, an hour earlier."""
    at, earlier = START + timedelta(minutes=one), START + timedelta(minutes=one - 60)
    await log.connection.execute(
        "UPDATE log_entries SET entry = replace(convert_from(entry, 'UTF8'), $2, $3)::bytea WHERE index = $1",
        one,
        moment(at),
        moment(earlier),
    )
    await log.connection.execute("UPDATE log_entries SET leaf = sha256('\\x00'::bytea || entry) WHERE index = $1", one)
    return one


async def delete(log: Log, one: int, _: int) -> int:
    await log.connection.execute("DELETE FROM log_entries WHERE index = $1", one)
    return one


async def delete_well(log: Log, one: int, two: int) -> int:
    """One entry, and close the gap."""
    await delete(log, one, two)
    await shift(log, one, -1)
    return one


async def shift(log: Log, start: int, by: int) -> None:
    for direction in (-1_000_000, 1_000_000 + by):
        await log.connection.execute(
            "UPDATE log_entries SET index = index + $2 WHERE index >= $1 OR index < 0", start, direction
        )


async def insert(log: Log, one: int, _: int) -> int:
    """One more entry between two."""
    await shift(log, one, 1)
    entry, _receipt = an_entry(log.gateway, one)
    await log.connection.execute(
        "INSERT INTO log_entries (index, entry, leaf, report_id) VALUES ($1, $2, $3, $4)",
        one,
        entry.entry,
        leaf_hash(entry.entry),
        entry.report,
    )
    return one


async def append(log: Log, _: int, __: int) -> int:
    """One more entry at the end."""
    return await insert(log, SIZE, 0)


async def swap(log: Log, one: int, two: int) -> int:
    for start, end in ((one, -1), (two, one), (-1, two)):
        await log.connection.execute("UPDATE log_entries SET index = $2 WHERE index = $1", start, end)
    return min(one, two)


async def truncate(log: Log, one: int, _: int) -> int:
    """All from an entry on, with whatever says that there was more."""
    await log.connection.execute("DELETE FROM log_entries WHERE index >= $1", one)
    await log.connection.execute("DELETE FROM log_checkpoints WHERE size > $1", one)
    await log.connection.execute("DELETE FROM log_nodes WHERE (index + 1) << level > $1", one)
    return one


async def roll_back(log: Log, one: int, two: int) -> int:
    """To an earlier state, from which the gateway itself goes on and signs."""
    size = max(sum(BATCHES[:n]) for n in range(len(BATCHES)) if sum(BATCHES[:n]) <= one)
    await truncate(log, size, 0)
    for number in range(two + 3):
        await add_entries(log.connection, [an_entry(log.gateway, SIZE + number)[0]])
        await log.sealer(later=timedelta(hours=1)).seal(log.connection)
    return size


class LaterSigner(LogSigner):
    """Signs as it would a while later."""

    later = timedelta()

    def sign(self, size: int, root: bytes, at: datetime) -> str:
        return super().sign(size, root, at + self.later)


HARMS: list[Harm] = [edit, edit_well, backdate, delete, delete_well, insert, append, swap, truncate, roll_back]


@pytest.mark.parametrize("harm", HARMS, ids=lambda harm: harm.__name__)
@pytest.mark.parametrize("is_stripped", [False, True], ids=["", "and without the checkpoints in the database"])
async def test_any_harm_is_found_and_the_first_bad_entry_is_named(log: Log, harm: Harm, is_stripped: bool) -> None:
    chance = random.Random(harm.__name__)  # noqa: S311
    for _ in range(6):
        one, two = chance.sample(range(SIZE), 2)
        held = [log.newest, *chance.sample(list(log.checkpoints), chance.randrange(3))]
        held += [log.proofs[each] for each in chance.sample(range(SIZE), chance.randrange(3))]
        inner = log.connection.transaction()
        await inner.start()
        bad = await harm(log, one, two)
        if is_stripped:
            await log.connection.execute("DELETE FROM log_checkpoints")
        audited = await log.audit(*held)
        await inner.rollback()
        assert audited.faults, (harm.__name__, one, two)
        first = audited.faults[0]
        assert first.index <= bad <= first.last, (harm.__name__, one, two, bad, list(map(str, audited.faults)))


async def first_fault(log: Log, *held: str) -> Fault:
    audited = await log.audit(*held)
    assert audited.faults
    return audited.faults[0]


@pytest.mark.parametrize(
    ("harm", "wrong"),
    [
        (edit, Wrong.edited),
        (delete, Wrong.missing),
        (insert, Wrong.inserted),
        (append, Wrong.inserted),
        (truncate, Wrong.cut_off),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_with_the_checkpoints_of_the_export_the_entry_itself_is_named(log: Log, harm: Harm, wrong: Wrong) -> None:
    bad = await harm(log, 20, 0)
    found = await first_fault(log, log.newest)
    assert (found.index, found.last, found.wrong) == (bad, bad, wrong)


async def test_two_entries_that_changed_places_are_both_named(log: Log) -> None:
    await swap(log, 20, 30)
    found = await first_fault(log, log.newest)
    assert (found.index, found.last, found.wrong) == (20, 20, Wrong.reordered)
    assert "and 30" in found.words


async def test_a_receipt_alone_names_the_entry_that_was_edited(log: Log) -> None:
    await edit_well(log, 20, 0)
    await log.connection.execute("DELETE FROM log_checkpoints")
    found = await first_fault(log, *log.receipts)
    assert (found.index, found.last, found.wrong) == (20, 20, Wrong.edited)
    assert "agency" in found.words


async def test_a_receipt_alone_shows_that_the_end_is_gone(log: Log) -> None:
    await truncate(log, 33, 0)
    found = await first_fault(log, log.receipts[35])
    assert (found.index, found.wrong) == (33, Wrong.cut_off)


async def test_held_proofs_narrow_down_where_an_entry_was_changed(log: Log) -> None:
    await edit_well(log, 20, 0)
    await log.connection.execute("DELETE FROM log_checkpoints")
    wide = await first_fault(log, log.newest)
    assert (wide.index, wide.last) == (0, SIZE - 1)
    narrow = await first_fault(log, log.newest, log.proofs[21])
    assert (narrow.index, narrow.last) == (20, 20)
    wider = await first_fault(log, log.newest, log.proofs[3])
    assert wide.index < wider.index <= 20 <= wider.last < wide.last


async def test_a_log_that_was_rolled_back_contradicts_a_held_checkpoint(log: Log) -> None:
    bad = await roll_back(log, 20, 20)
    found = await first_fault(log, log.newest, log.checkpoints[2])
    assert found.wrong is Wrong.rolled_back
    assert found.index <= bad <= found.last


async def test_an_entry_that_was_sealed_with_an_old_time_is_named(log: Log) -> None:
    await add_entries(log.connection, [an_entry(log.gateway, SIZE - 30)[0]])
    await log.sealer().seal(log.connection)
    found = await first_fault(log)
    assert (found.index, found.last, found.wrong) == (SIZE, SIZE, Wrong.backdated)


async def test_a_tree_that_somebody_else_signed_is_not_the_log(
    log: Log, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = load_keys(Settings(data_dir=tmp_path_factory.mktemp("other")))
    await truncate(log, 0, 0)
    sealer = Sealer(log.gateway.engine, LogSigner(other.log, ISSUER))
    await add_entries(log.connection, [an_entry(log.gateway, number)[0] for number in range(SIZE)])
    await log.connection.execute("DELETE FROM log_checkpoints")
    await sealer.seal(log.connection)
    assert (await first_fault(log)).wrong in {Wrong.unsigned, Wrong.inserted}
    found = await first_fault(log, log.newest)
    assert (found.index, found.last) == (0, SIZE - 1)


async def entries_of(log: Log) -> list[tuple[int, bytes]]:
    rows = await log.connection.fetch("SELECT index, entry FROM log_entries ORDER BY index")
    return [(row["index"], row["entry"]) for row in rows]


async def test_of_several_harms_at_once_the_first_bad_entry_is_never_named_too_late(log: Log) -> None:
    chance, original = random.Random(7), await entries_of(log)  # noqa: S311
    harms = [each for each in HARMS if each is not roll_back]
    for turn in range(30):
        inner = log.connection.transaction()
        await inner.start()
        done = [chance.choice(harms) for _ in range(chance.randint(2, 3))]
        for harm in done:
            await harm(log, *chance.sample(range(20), 2))
        found, audited = await entries_of(log), await log.audit(log.newest, chance.choice(log.proofs))
        await inner.rollback()
        pairs = zip(found, original, strict=False)
        bad = next((n for n, (one, other) in enumerate(pairs) if one != other), min(len(found), len(original)))
        if found == original:
            continue
        told = (turn, [each.__name__ for each in done], bad, list(map(str, audited.faults)))
        assert audited.faults, told
        assert min(each.index for each in audited.faults) <= bad, told
        assert audited.faults[0].index <= bad, told


# What readers of JSON would find different things in.


@pytest.mark.parametrize(
    ("found", "put"),
    [
        (b'"entry":{', b'"entry":{"what":"rejected"},"entry":{'),
        (b'{"index":5,', b'{"index":4,"index":5,'),
        (b'{"index":5,', b'{"checkpoint":null,"index":5,"checkpoint":null,'),
        (b'"entry":{', b'"entry" : {"what" :1},"entry" : {'),
    ],
)
async def test_a_line_that_says_something_twice_is_named(log: Log, found: bytes, put: bytes) -> None:
    lines = [encode(line) + b"\n" async for line in export(log.connection)]
    [place] = [n for n, line in enumerate(lines) if line.startswith(b'{"index":5,')]
    assert found in lines[place]
    lines[place] = lines[place].replace(found, put, 1)
    audited = audit(lambda: lines, log.keys.log, hold([], log.keys))
    assert [(each.index, each.wrong) for each in audited.faults] == [(5, Wrong.ambiguous)]


async def test_a_checkpoint_that_stands_beside_another_is_named(log: Log) -> None:
    lines = [encode(line) + b"\n" async for line in export(log.connection)]
    lines[-1] = lines[-1].replace(b'{"checkpoint"', b'{"checkpoint":"","checkpoint"')
    audited = audit(lambda: lines, log.keys.log, hold([], log.keys))
    assert [(each.index, each.wrong) for each in audited.faults] == [(SIZE, Wrong.ambiguous)]


async def test_an_entry_that_was_sealed_and_says_something_twice_is_named(log: Log) -> None:
    await add_entries(log.connection, [NewEntry(b'{"at":"2026-09-20T03:00:00.000000Z","what":"a","what":"b"}')])
    await log.sealer().seal(log.connection)
    assert [(each.index, each.wrong) for each in (await log.audit()).faults] == [(SIZE, Wrong.ambiguous)]


async def test_a_line_that_others_wrote_anew_is_good_if_it_says_the_same(log: Log) -> None:
    lines = [encode(line) + b"\n" async for line in export(log.connection)]
    anew = [line.replace(b'{"index":', b' { "index" : ').replace(b',"leaf"', b' ,\t"leaf"') for line in lines]
    assert list(audit(lambda: anew, log.keys.log, hold([], log.keys)).faults) == []
