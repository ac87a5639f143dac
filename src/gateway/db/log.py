"""The log in storage: entries that wait to be sealed, and the tree that they are sealed into.

Whoever changes a state adds its entry to ``log_pending`` in the same transaction. A sealer moves what was committed
into ``log_entries``, under the next numbers: that order, and no other, is the log's. Nothing of the tree is ever
changed or removed. Of two sealers that ran at once one would fail by the key of ``log_entries``: there is no fork.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.db.base import Instant, Serial, metadata
from gateway.domain.entry import NewEntry

pending = sa.Table(
    "log_pending",
    metadata,
    sa.Column("seq", Serial, sa.Identity(always=True), primary_key=True),
    sa.Column("entry", sa.LargeBinary, nullable=False),
    sa.Column("report_id", sa.Uuid),
)

entries = sa.Table(
    "log_entries",
    metadata,
    sa.Column("index", Serial, primary_key=True, autoincrement=False),
    sa.Column("entry", sa.LargeBinary, nullable=False),
    sa.Column("leaf", sa.LargeBinary, nullable=False),
    sa.Column("report_id", sa.Uuid),
    sa.Index("ix_log_entries_report_id", "report_id", "index", postgresql_where=sa.text("report_id IS NOT NULL")),
)

# Hashes of complete subtrees, of every fourth level; those between are made of them, the lowest of the leaves.
nodes = sa.Table(
    "log_nodes",
    metadata,
    sa.Column("level", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("index", Serial, primary_key=True, autoincrement=False),
    sa.Column("hash", sa.LargeBinary, nullable=False),
)

checkpoints = sa.Table(
    "log_checkpoints",
    metadata,
    sa.Column("size", Serial, primary_key=True, autoincrement=False),
    sa.Column("root", sa.LargeBinary, nullable=False),
    # Signed, as C2SP tlog-checkpoint has it.
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("at", Instant, nullable=False, server_default=sa.text("clock_timestamp()")),
)

# Texts that entries commit to. A row may be erased, and every proof stays good.
texts = sa.Table(
    "log_texts",
    metadata,
    sa.Column("commitment", sa.LargeBinary, primary_key=True),
    sa.Column("salt", sa.LargeBinary, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
)

# Signature lines of witnesses, to be read with the checkpoint's own.
cosignatures = sa.Table(
    "log_cosignatures",
    metadata,
    sa.Column("size", Serial, primary_key=True, autoincrement=False),
    sa.Column("connector_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("line", sa.Text, nullable=False),
    sa.Column("at", Instant, nullable=False),
)

STEP = 4
"""Every so many levels of the tree have their nodes stored."""


class Pending(NamedTuple):
    """An entry that is to be sealed."""

    seq: int
    entry: bytes
    report: UUID | None


@dataclass(frozen=True, slots=True)
class KeptEntry:
    """An entry at its place in the log."""

    index: int
    entry: bytes
    leaf: bytes


class KeptCheckpoint(NamedTuple):
    """A signed checkpoint."""

    size: int
    root: bytes
    note: str
    at: datetime


ADD = """
    INSERT INTO log_pending (entry, report_id) SELECT * FROM unnest({0}::bytea[], {1}::uuid[])
), committed AS (
    INSERT INTO log_texts (commitment, salt, text) SELECT * FROM unnest({2}::bytea[], {3}::bytea[], {4}::text[])
"""
"""Adds entries and the texts they commit to, as parts of a statement; its parameters are those of ``columns_of``."""
_ADD = f"WITH added AS ({ADD.format('$1', '$2', '$3', '$4', '$5')}) SELECT"


def columns_of(new: Sequence[NewEntry]) -> list[list[object]]:
    """Entries as ``ADD`` takes them."""
    committed = [text for each in new for text in each.texts]
    return [
        [each.entry for each in new],
        [each.report for each in new],
        [each.commitment for each in committed],
        [each.salt for each in committed],
        [each.text for each in committed],
    ]


async def add_entries(connection: Any, new: Sequence[NewEntry]) -> None:
    """Have entries recorded with the transaction that the driver's connection is in."""
    if new:
        await connection.execute(_ADD, *columns_of(new))


async def record_entries(connection: AsyncConnection, new: Sequence[NewEntry]) -> None:
    """Have entries recorded with the transaction that a connection is in."""
    if not new:
        return
    await connection.execute(sa.insert(pending), [{"entry": each.entry, "report_id": each.report} for each in new])
    committed = [text for each in new for text in each.texts]
    if committed:
        rows = [{"commitment": each.commitment, "salt": each.salt, "text": each.text} for each in committed]
        await connection.execute(sa.insert(texts), rows)


# Each of the two reads the table through its key: what was taken long ago, and is still there for an old snapshot, lies
# before where the first begins.
_TAKE = """
DELETE FROM log_pending
 WHERE seq = ANY (ARRAY(SELECT seq FROM log_pending WHERE seq > $1 ORDER BY seq LIMIT $3) || $2::bigint[])
RETURNING seq, entry, report_id
"""


async def is_pending(connection: Any, after: int, among: Sequence[int]) -> bool:
    """Whether there is anything to take with ``take_pending``; in the order of the key, which has it walked."""
    found: bool = await connection.fetchval(
        "SELECT (SELECT seq FROM log_pending WHERE seq > $1 ORDER BY seq LIMIT 1) IS NOT NULL"
        " OR (SELECT seq FROM log_pending WHERE seq = ANY ($2::bigint[]) ORDER BY seq LIMIT 1) IS NOT NULL",
        after,
        among,
    )
    return found


async def take_pending(connection: Any, after: int, among: Sequence[int], limit: int) -> list[Pending]:
    """Take out what has been committed: a number of entries after a place, and those of some places; in their order."""
    await connection.execute("SET LOCAL enable_seqscan = off")
    rows = await connection.fetch(_TAKE, after, among, limit)
    return sorted(Pending(*row) for row in rows)


class Length(NamedTuple):
    """How many entries the log has, and how many wait to be sealed (100,000 at most are counted)."""

    sealed: int
    waiting: int


async def find_length(connection: Any) -> Length:
    row = await connection.fetchrow(
        "SELECT (SELECT coalesce(max(size), 0) FROM log_checkpoints),"
        " (SELECT count(*) FROM (SELECT FROM log_pending LIMIT 100000) AS waiting)"
    )
    return Length(*row)


_SEAL = """
WITH sealed AS (
    INSERT INTO log_entries (index, entry, leaf, report_id)
    SELECT $1::bigint + n - 1, entry, leaf, report_id
      FROM unnest($2::bytea[], $3::bytea[], $4::uuid[]) WITH ORDINALITY AS e(entry, leaf, report_id, n)
), grown AS (
    INSERT INTO log_nodes (level, index, hash) SELECT * FROM unnest($5::smallint[], $6::bigint[], $7::bytea[])
)
INSERT INTO log_checkpoints (size, root, note) VALUES ($8, $9, $10)
"""


async def seal(
    connection: Any,
    start: int,
    taken: Sequence[Pending],
    leaves: Sequence[bytes],
    grown: Iterable[tuple[int, int, bytes]],
    checkpoint: tuple[int, bytes, str],
) -> None:
    """Append entries, the nodes that they complete and the checkpoint after them (size, root and note)."""
    grown = list(grown)
    await connection.execute(
        _SEAL,
        start,
        [each.entry for each in taken],
        leaves,
        [each.report for each in taken],
        [level for level, _, _ in grown],
        [index for _, index, _ in grown],
        [hash_ for _, _, hash_ in grown],
        *checkpoint,
    )


_CHECKPOINT = """
SELECT size, root, at, note || coalesce(
    (SELECT string_agg(line, '' ORDER BY connector_id) FROM log_cosignatures c WHERE c.size = k.size), '') AS note
  FROM log_checkpoints k
"""


async def add_cosignature(connection: Any, size: int, connector: int, line: str, at: datetime) -> None:
    """Keep a witness's signature of a checkpoint."""
    await connection.execute(
        "INSERT INTO log_cosignatures (size, connector_id, line, at) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT (size, connector_id) DO UPDATE SET line = excluded.line, at = excluded.at",
        size,
        connector,
        line,
        at,
    )


async def newest_checkpoint(connection: Any) -> KeptCheckpoint | None:
    row = await connection.fetchrow(f"{_CHECKPOINT} ORDER BY size DESC LIMIT 1")
    return None if row is None else KeptCheckpoint(**row)


async def begun_at(connection: Any) -> datetime | None:
    """When the log began."""
    found: datetime | None = await connection.fetchval("SELECT at FROM log_checkpoints ORDER BY size LIMIT 1")
    return found


async def checkpoints_between(connection: Any, after: int, size: int) -> list[KeptCheckpoint]:
    """Checkpoints of more than some entries and at most some others, smallest first."""
    rows = await connection.fetch(f"{_CHECKPOINT} WHERE size > $1 AND size <= $2 ORDER BY size", after, size)
    return [KeptCheckpoint(**row) for row in rows]


async def entries_from(connection: Any, start: int, limit: int) -> list[KeptEntry]:
    """Entries from a place on, in order."""
    rows = await connection.fetch(
        "SELECT index, entry, leaf FROM log_entries WHERE index >= $1 ORDER BY index LIMIT $2", start, limit
    )
    return [KeptEntry(*row) for row in rows]


async def entry_of_report(connection: Any, report: UUID) -> KeptEntry | None:
    """The entry of a report's acceptance or rejection, if it has been sealed: the first that is about it."""
    row = await connection.fetchrow(
        "SELECT index, entry, leaf FROM log_entries WHERE report_id = $1 ORDER BY index LIMIT 1", report
    )
    return None if row is None else KeptEntry(*row)


async def stored_hashes(connection: Any, wanted: Iterable[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
    """The hashes of nodes of stored levels, and of leaves (level 0), as far as they are there."""
    wanted = list(wanted)
    leaves = [index for level, index in wanted if level == 0]
    higher = [each for each in wanted if each[0]]
    rows = await connection.fetch(
        "SELECT 0::smallint AS level, index, leaf AS hash FROM log_entries WHERE index = ANY ($1::bigint[])"
        " UNION ALL SELECT level, index, hash FROM log_nodes"
        " JOIN unnest($2::smallint[], $3::bigint[]) AS w(level, index) USING (level, index)",
        leaves,
        [level for level, _ in higher],
        [index for _, index in higher],
    )
    return {(row["level"], row["index"]): row["hash"] for row in rows}


_LOCK = 0x474C4F47  # one sealer at a time, on any number of hosts


async def try_lead(connection: Any, stalled: float) -> bool:
    """Become the one sealer, for as long as the connection lasts.

    PostgreSQL itself ends the connection of one that asks nothing for so many seconds: it was stopped, or its host is
    gone, and it would keep all others waiting.
    """
    found: bool = await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK)
    if found:
        after = f"{round(stalled * 1000)}ms"
        await connection.fetchrow(
            "SELECT set_config('idle_session_timeout', $1, false),"
            " set_config('idle_in_transaction_session_timeout', $1, false)",
            after,
        )
    return found


async def stop_leading(connection: Any) -> None:
    """Let another one seal."""
    await connection.execute("RESET idle_session_timeout")
    await connection.execute("RESET idle_in_transaction_session_timeout")
    await connection.fetchval("SELECT pg_advisory_unlock($1)", _LOCK)
