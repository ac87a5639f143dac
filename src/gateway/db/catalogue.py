"""The catalogue in storage: an append-only record of documents, each under the revision that brought it.

Nothing is updated: a document is replaced by a newer one of the same kind, code and variant. The catalogue as
of any revision is, for each of those, the newest document up to it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, distinct_on
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.db.base import Instant, Serial, Xid8, metadata

EntryKind = Literal["codelist", "form", "agency", "calendar", "regime", "extension"]

revisions = sa.Table(
    "catalog_revisions",
    metadata,
    sa.Column("revision", Serial, sa.Identity(always=True), primary_key=True),
    sa.Column("recorded_at", Instant, nullable=False, server_default=sa.func.now()),
    sa.Column("recorded_xid", Xid8, nullable=False, server_default=sa.text("pg_current_xact_id()")),
    sa.Column("client_id", sa.Uuid),
    sa.Column("note", sa.Text, nullable=False),
)

entries = sa.Table(
    "catalog_entries",
    metadata,
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("code", sa.Text, primary_key=True),
    sa.Column("variant", sa.Text, primary_key=True),
    sa.Column("revision", Serial, sa.ForeignKey(revisions.c.revision), primary_key=True),
    sa.Column("document", JSONB, nullable=False),
    sa.CheckConstraint("kind in ('codelist', 'form', 'agency', 'calendar', 'regime', 'extension')", name="kind"),
    sa.Index(None, "revision"),
)

agencies = sa.Table(
    "agencies",
    metadata,
    sa.Column("id", sa.Integer, sa.Identity(always=True), primary_key=True),
    sa.Column("code", sa.Text, nullable=False, unique=True),
)

forms = sa.Table(
    "forms",
    metadata,
    sa.Column("id", sa.Integer, sa.Identity(always=True), primary_key=True),
    sa.Column("code", sa.Text, nullable=False, unique=True),
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One catalogue document. The variant of a form is its version, of an agency or regime the first day of its
    version (empty where it has none); a calendar's code is its year, an extension's its id."""

    kind: EntryKind
    code: str
    variant: str
    document: dict[str, Any]


async def newest_revision(connection: AsyncConnection) -> int:
    """The newest catalogue revision; 0 before anything was loaded."""
    return await connection.scalar(sa.select(sa.func.coalesce(sa.func.max(revisions.c.revision), 0))) or 0


async def entries_between(connection: AsyncConnection, after: int, revision: int) -> Sequence[Entry]:
    """The newest document of each kind, code and variant among those recorded after one revision, up to another."""
    newest = (
        sa.select(entries.c.kind, entries.c.code, entries.c.variant, entries.c.document)
        .where(entries.c.revision > after, entries.c.revision <= revision)
        .ext(distinct_on(entries.c.kind, entries.c.code, entries.c.variant))
        .order_by(entries.c.kind, entries.c.code, entries.c.variant, entries.c.revision.desc())
    )
    rows = await connection.execute(newest)
    return [Entry(row.kind, row.code, row.variant, row.document) for row in rows]


async def storage_keys(connection: AsyncConnection, table: sa.Table) -> dict[str, int]:
    """Code to storage key of ``agencies`` or ``forms``."""
    columns = sa.func.array_agg(table.c.code), sa.func.array_agg(table.c.id)  # one row: there are thousands of agencies
    codes, ids = (await connection.execute(sa.select(*columns))).one()
    return dict(zip(codes or (), ids or (), strict=True))


async def _know(connection: AsyncConnection, table: sa.Table, codes: Sequence[str]) -> None:
    """Give storage keys to those codes of ``agencies`` or ``forms`` that have none."""
    asked = sa.literal(codes, ARRAY(sa.Text))
    known = set((await connection.scalars(sa.select(table.c.code).where(table.c.code == sa.any_(asked)))).all())
    if missing := [code for code in codes if code not in known]:
        await connection.execute(sa.insert(table), [{"code": code} for code in missing])


async def hold_still(connection: AsyncConnection) -> None:
    """Wait for reports being stored, and make later ones see the change this transaction makes.

    A report is stored only if the newest catalogue revision is the one it was judged by; this lock
    makes that check exact for changes that commit while a report is on its way.
    """
    await connection.execute(sa.text("SELECT hold_reports()"))


async def record(connection: AsyncConnection, new: Iterable[Entry], note: str, client: UUID | None) -> int:
    """Append documents as one new revision and return its number."""
    new = list(new)
    await hold_still(connection)
    recorded_at = sa.func.clock_timestamp()  # read once the lock is held: whoever waits for a time sees who stores
    statement = sa.insert(revisions).values(note=note, client_id=client, recorded_at=recorded_at)
    revision: int = (await connection.execute(statement.returning(revisions.c.revision))).scalar_one()
    for table, kind in ((agencies, "agency"), (forms, "form")):
        if codes := sorted({entry.code for entry in new if entry.kind == kind}):
            await _know(connection, table, codes)
    if new:
        rows = [
            {
                "kind": each.kind,
                "code": each.code,
                "variant": each.variant,
                "revision": revision,
                "document": each.document,
            }
            for each in new
        ]
        await connection.execute(sa.insert(entries), rows)
    return revision


async def periods_in_use(connection: AsyncConnection, forms: Sequence[str]) -> list[tuple[str, str, date, date]]:
    """Form, code, first and last day of the periods for which there are reports of some forms."""
    statement = sa.text(
        "SELECT DISTINCT forms.code, period, period_start, period_end FROM reports"
        " JOIN forms ON forms.id = form_id WHERE forms.code = ANY (:codes)"
    )
    rows = await connection.execute(statement, {"codes": list(forms)})
    return [(row.code, row.period, row.period_start, row.period_end) for row in rows]


async def has_reports(connection: AsyncConnection, form: str, period: str, agencies: Sequence[int]) -> bool:
    """Whether any of some agencies (storage keys) has sent a report of a form for a period."""
    statement = sa.text(
        "SELECT EXISTS (SELECT FROM reports JOIN forms ON forms.id = form_id WHERE forms.code = :form"
        " AND period = :period AND agency_id = ANY (:agencies))"
    )
    found = await connection.scalar(statement, {"form": form, "period": period, "agencies": list(agencies)})
    return bool(found)


async def forms_in_use(connection: AsyncConnection, code: str, version: int) -> bool:
    """Whether any report, accepted or rejected, was judged by a form version."""
    statement = sa.text(
        "SELECT EXISTS (SELECT FROM reports JOIN forms ON forms.id = form_id"
        " WHERE forms.code = :code AND form_version = :version)"
    )
    return bool(await connection.scalar(statement, {"code": code, "version": version}))
