"""What the log says and what the tables say, each in the order of ids, to be held against one another.

Everything is read on one connection in one snapshot, where an entry and the change that it records are both there or
neither is. Nothing is written, and no more than a page is held.
"""

from collections.abc import AsyncIterator, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

WAITING = 1 << 62
"""From here on places are of entries that wait to be sealed."""
NIL = UUID(int=0)


class Told(NamedTuple):
    """An entry that is about something, and its place in the log."""

    about: UUID
    place: int
    entry: bytes


_ID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


def _named(member: str) -> str:
    """The id that an entry has under a name; whatever its bytes are, this fails for none."""
    return f"substring(encode(entry, 'escape') FROM '\"{member}\":\"({_ID})\"')::uuid"


def _has(text: str) -> str:
    return f"position('{text}'::bytea IN entry) > 0"


def _both(about: str, condition: str) -> str:
    """Entries, sealed and not, by what they are about."""
    return (
        f"SELECT {about} AS about, index AS place, entry FROM log_entries WHERE {condition}"  # noqa: S608 - fixed words
        f" UNION ALL SELECT {about}, seq + {WAITING}, entry FROM log_pending WHERE {condition}"
    )


_OF_REPORTS = f"""
{_both("report_id", "report_id IS NOT NULL")}
 UNION ALL {_both(_named("corrects"), "report_id IS NOT NULL AND " + _has('"what":"corrected"'))}
 ORDER BY about, place
"""
"""Of each report its own entries, and those of the reports that correct it."""
_IS_OF_DELIVERY = _has('"delivery":')
_OF_REMINDERS = _both(_named("delivery"), f"report_id IS NULL AND {_IS_OF_DELIVERY}") + " ORDER BY about, place"
_OF_OTHERS = _both(f"'{NIL}'::uuid", f"report_id IS NULL AND NOT {_IS_OF_DELIVERY}") + " ORDER BY place"


class Entries:
    """Entries in the order of what they are about, taken together with whatever else is read in that order."""

    def __init__(self, connection: Any, statement: str) -> None:
        self._rows = connection.cursor(statement, prefetch=1000).__aiter__()
        self._next: Told | None = None
        self._has_begun = False

    async def up_to(self, last: UUID | None) -> dict[UUID, list[Told]]:
        """All that are about something up to an id (None: to the end) and were not given before."""
        found: dict[UUID, list[Told]] = {}
        if not self._has_begun:
            self._has_begun, self._next = True, await self._read()
        while self._next is not None and (last is None or self._next.about <= last):
            found.setdefault(self._next.about, []).append(self._next)
            self._next = await self._read()
        return found

    async def _read(self) -> Told | None:
        async for row in self._rows:
            if row["about"] is not None:
                return Told(row["about"], row["place"], row["entry"])
        return None


def entries_of_reports(connection: Any) -> Entries:
    return Entries(connection, _OF_REPORTS)


def entries_of_reminders(connection: Any) -> Entries:
    return Entries(connection, _OF_REMINDERS)


async def entries_of(connection: Any, report: UUID) -> list[Told]:
    """The entries of one report."""
    rows = await connection.fetch(f"{_both('report_id', 'report_id = $1')} ORDER BY place", report)
    return [Told(*row) for row in rows]


async def other_entries(connection: Any) -> list[Told]:
    """Entries that are about neither a report nor a delivery: what was done by hand."""
    return [Told(*row) for row in await connection.fetch(_OF_OTHERS)]


_MISFILED = f"""
SELECT index FROM log_entries
 WHERE CASE WHEN report_id IS NULL THEN {_has('"report":"')}
            ELSE position(convert_to('"report":"' || report_id || '"', 'UTF8') IN entry) = 0 END
 ORDER BY index LIMIT 1000
"""  # noqa: S608 - fixed words


async def misfiled(connection: Any) -> list[int]:
    """Places of entries that are filed under another report than the one they are about (a thousand at most)."""
    return [row["index"] for row in await connection.fetch(_MISFILED)]


async def be_patient(connection: Any) -> None:
    """Let this transaction wait for its reader, who has other things to do between two pages."""
    await connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")


class KeptHead(NamedTuple):
    """A report's row, with its storage keys, and texts as they are."""

    id: UUID
    agency_id: int
    form_id: int
    form_version: int
    period: str
    period_start: date
    period_end: date
    kind: str
    counted: bool
    revision: int | None
    status: str
    nil: str | None
    corrects: UUID | None
    reason: str | None
    client_id: UUID
    received_at: datetime
    late: bool | None
    sha256: bytes
    explanations: str
    receipt: str | None
    query: str | None
    part: int | None
    recorded_xid: str
    ended_xid: str | None

    @property
    def year(self) -> int:
        return self.period_end.year


_XIDS = {"explanations": "explanations::text", "recorded_xid": "recorded_xid::text", "ended_xid": "ended_xid::text"}
_HEADS = f"SELECT {', '.join(_XIDS.get(name, name) for name in KeptHead._fields)} FROM reports"  # noqa: S608 - fixed words


async def heads_after(connection: Any, after: UUID, limit: int) -> list[KeptHead]:
    """The rows of so many reports, in the order of their ids."""
    return [
        KeptHead(*row) for row in await connection.fetch(_HEADS + " WHERE id > $1 ORDER BY id LIMIT $2", after, limit)
    ]


async def head_of(connection: Any, report: UUID) -> KeptHead | None:
    """The row of a report, which nobody changes until the transaction ends."""
    row = await connection.fetchrow(_HEADS + " WHERE id = $1 FOR UPDATE", report)
    return None if row is None else KeptHead(*row)


class KeptEvent(NamedTuple):
    """Something that happened to a report; the connector by its name."""

    report_id: UUID
    event: str
    at: datetime
    client_id: UUID
    reason: str | None
    replaces: UUID | None
    connector: str | None
    xid: str


async def events_of(connection: Any, reports: Sequence[UUID]) -> list[KeptEvent]:
    """What happened to some reports, in order."""
    rows = await connection.fetch(
        "SELECT report_id, event, at, client_id, reason, replaces,"
        " (SELECT name FROM connectors c WHERE c.id = connector_id), recorded_xid::text"
        " FROM report_events WHERE report_id = ANY ($1::uuid[]) ORDER BY seq",
        reports,
    )
    return [KeptEvent(*row) for row in rows]


async def made_here(connection: Any, reports: Sequence[UUID]) -> set[UUID]:
    """Those of some reports that are consolidations with parts that are here."""
    rows = await connection.fetch(
        "SELECT DISTINCT report_id FROM consolidation_parts WHERE report_id = ANY ($1::uuid[])", reports
    )
    return {row["report_id"] for row in rows}


async def committed_texts(connection: Any, commitments: Sequence[bytes]) -> dict[bytes, tuple[bytes, str]]:
    """Salt and text of those commitments that have not been erased."""
    rows = await connection.fetch(
        "SELECT commitment, salt, text FROM log_texts WHERE commitment = ANY ($1::bytea[])", commitments
    )
    return {row["commitment"]: (row["salt"], row["text"]) for row in rows}


class KeptDelivery(NamedTuple):
    """A delivery's row. ``interventions`` are the retries of many that touched it."""

    id: UUID
    report_id: UUID | None
    connector: str
    is_removed: bool
    event: str
    reason: str | None
    agency_id: int
    form_id: int
    period: str
    kind: str
    state: str
    made_at: datetime
    finished_at: datetime | None
    receipt: str | None
    interventions: Sequence[UUID]


_DELIVERIES = """
SELECT d.id, d.report_id, coalesce(c.name, ''), c.removed_at IS NOT NULL, d.event, d.reason, d.agency_id, d.form_id,
       d.period, d.kind, d.state, d.made_at, d.finished_at, d.receipt,
       ARRAY(SELECT intervention_id FROM intervened i WHERE i.delivery_id = d.id)
  FROM deliveries d LEFT JOIN connectors c ON c.id = d.connector_id
"""


async def deliveries_of(connection: Any, reports: Sequence[UUID]) -> list[KeptDelivery]:
    """The deliveries of some reports."""
    rows = await connection.fetch(_DELIVERIES + " WHERE d.report_id = ANY ($1::uuid[])", reports)
    return [KeptDelivery(*row) for row in rows]


async def reminders_after(connection: Any, after: UUID, limit: int) -> list[KeptDelivery]:
    """So many deliveries without a report, in the order of their ids."""
    statement = _DELIVERIES + " WHERE d.id > $1 AND d.report_id IS NULL ORDER BY d.id LIMIT $2"
    return [KeptDelivery(*row) for row in await connection.fetch(statement, after, limit)]


async def catalogue_epochs(connection: Any) -> list[tuple[datetime, int]]:
    """When each revision of the catalogue was recorded that brought documents, oldest first."""
    rows = await connection.fetch(
        "SELECT recorded_at, revision FROM catalog_revisions r"
        " WHERE EXISTS (SELECT FROM catalog_entries e WHERE e.revision = r.revision) ORDER BY revision"
    )
    return [(row["recorded_at"], row["revision"]) for row in rows]


async def revision_at(connection: Any, at: datetime) -> int:
    """The revision of the catalogue by which a report was judged that was received at a time."""
    found: int = await connection.fetchval(
        "SELECT coalesce(max(revision), (SELECT min(revision) FROM catalog_revisions), 0) FROM catalog_revisions"
        " WHERE recorded_at <= $1",
        at,
    )
    return found


async def newest_revision(connection: Any) -> int:
    """The newest revision of the catalogue, whatever it was made for."""
    found: int = await connection.fetchval("SELECT coalesce(max(revision), 0) FROM catalog_revisions")
    return found


async def storage_keys(connection: Any, table: str) -> dict[int, str]:
    """The codes of agencies, or of forms, by their storage keys."""
    rows = await connection.fetch(f"SELECT id, code FROM {table}")  # noqa: S608 - one of two words
    return {row["id"]: row["code"] for row in rows}


class KeptDocument(NamedTuple):
    """A document of the catalogue as it is kept."""

    kind: str
    code: str
    variant: str
    revision: int
    recorded_at: datetime
    document: str


async def catalogue_documents(
    connection: Any, since: datetime | None, revisions: Sequence[int]
) -> AsyncIterator[KeptDocument]:
    """Every document of the catalogue there ever was since a time, or of some revisions."""
    statement = (
        "SELECT kind, code, variant, revision, recorded_at, document::text FROM catalog_entries"
        " JOIN catalog_revisions USING (revision)"
        " WHERE $1::timestamptz IS NULL OR recorded_at >= $1 OR revision = ANY ($2::bigint[])"
        " ORDER BY revision, kind, code, variant"
    )
    async for row in connection.cursor(statement, since, revisions, prefetch=500):
        yield KeptDocument(*row)


async def rows_of(connection: Any, table: str) -> list[Any]:
    """All of a table that grows only by what is done by hand."""
    found: list[Any] = await connection.fetch(f"SELECT * FROM {table}")  # noqa: S608 - a fixed word
    return found


async def changed_texts(connection: Any) -> int:
    """How many texts beside the log are not those whose hashes are in it."""
    found: int = await connection.fetchval(
        "SELECT count(*) FROM log_texts WHERE sha256(salt || convert_to(text, 'UTF8')) <> commitment"
    )
    return found
