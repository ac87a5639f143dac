"""Walk: confront everything in the tables with the log, in one snapshot, beside whatever goes on."""

import asyncio
import tempfile
from bisect import bisect_right
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, BinaryIO
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db import confronting as kept
from gateway.db import log
from gateway.db.deadline import watch_of
from gateway.db.erasures import find_erasures
from gateway.db.reading import payloads_at, rows_at
from gateway.db.relays import find_relays
from gateway.db.signatures import find_signatures
from gateway.db.state import snapshot
from gateway.domain.exact import encode
from gateway.evidence.audit import Audited, audit
from gateway.evidence.export import export
from gateway.evidence.held import Held, Keys
from gateway.evidence.note import InvalidNote, open_checkpoint
from gateway.flow.confront.accounts import confront_clients, confront_issuers, confront_signers
from gateway.flow.confront.catalogue import Documents
from gateway.flow.confront.connectors import confront_connectors
from gateway.flow.confront.contradiction import Contradiction, Entry, Texts, commitments_in, read_entries
from gateway.flow.confront.deliveries import Forwarding, confront_deliveries
from gateway.flow.confront.reports import Kept, Told, Witness, confront_report, name_of
from gateway.flow.confront.reread import Rereading
from gateway.flow.load import Catalogues

_PAGE = 200
_FIRST = UUID(int=0)


@dataclass(slots=True)
class Counted:
    """How much was confronted with the log, and how many reports are older than it."""

    entries: int = 0
    waiting: int = 0
    reports: int = 0
    older: int = 0
    deliveries: int = 0
    documents: int = 0
    clients: int = 0


@dataclass(slots=True)
class Confrontation:
    """The tables held against the log. ``run`` gives what contradicts, ``counted`` says how much was looked at.

    ``audited`` is what came of verifying the log itself, by its checkpoints and by what is held outside.
    """

    engine: AsyncEngine
    catalogues: Catalogues
    keys: Keys
    held: Held = field(default_factory=Held)
    counted: Counted = field(default_factory=Counted)
    audited: Audited | None = None

    async def run(self) -> AsyncIterator[Contradiction]:
        """Everything that contradicts, in a snapshot. Raises ``NotAnExport`` for a log that cannot be read at all."""
        async with snapshot(self.engine) as connection:
            watch_of(connection).rest()  # much to read takes as long as it takes
            await kept.be_patient(connection)
            async for each in self.on(connection):
                yield each

    async def on(self, connection: Any) -> AsyncIterator[Contradiction]:
        """The same, on a connection that sees one state."""
        self.audited = await self._audit(connection)
        length = await log.find_length(connection)
        self.counted.entries, self.counted.waiting = self.audited.size, length.waiting
        for place in await kept.misfiled(connection):
            yield Contradiction("the log", place, "it is filed under another report than the one it is about")
        if changed := await kept.changed_texts(connection):
            yield Contradiction("the log", None, f"{changed} texts beside it are not those that it has the hashes of")
        names = [await kept.storage_keys(connection, table) for table in ("agencies", "forms")]
        witness = Witness(self.keys.receipts, await self._begun(connection), *names)
        others, wrong = read_entries("the log", await kept.other_entries(connection))
        for each in wrong:
            yield each
        async for each in self._done_by_hand(connection, witness, others):
            yield each
        forwarding = Forwarding.of(others)
        epochs = await kept.catalogue_epochs(connection)
        async for each in self._reports(connection, witness, forwarding, epochs):
            yield each
        async for each in self._reminders(connection, witness, forwarding):
            yield each
        for each in forwarding.faults():
            yield each

    async def _audit(self, connection: Any) -> Audited:
        """Verify the log as anybody would who was handed its export."""
        with tempfile.TemporaryFile() as copy:
            async for line in export(connection):
                copy.write(encode(line) + b"\n")
            return await asyncio.to_thread(audit, lambda: _lines(copy), self.keys.log, self.held)

    async def _begun(self, connection: Any) -> datetime | None:
        """Since when there is a log, by its first checkpoint that is signed and says a time."""
        for each in await log.checkpoints_between(connection, -1, 0):
            try:
                at = open_checkpoint(each.note, self.keys.log).at
            except InvalidNote:
                continue
            if at is not None:
                return at + timedelta(seconds=1)  # it says no less
        return None

    async def _done_by_hand(
        self, connection: Any, witness: Witness, entries: Sequence[Entry]
    ) -> AsyncIterator[Contradiction]:
        """The catalogue, clients, signers and connectors."""
        commitments = commitments_in(entries, "reason", "name", "subjects", "document")
        texts = await kept.committed_texts(connection, list(commitments)) if commitments else {}
        documents = Documents.of(entries)
        async for document in kept.catalogue_documents(connection, witness.begun, sorted(documents.revisions)):
            self.counted.documents += 1
            for each in documents.confront(document, texts, witness):
                yield each
        clients, credentials, trusted, signers, connectors = [
            await kept.rows_of(connection, table)
            for table in ("clients", "client_credentials", "trusted_issuers", "signers", "connectors")
        ]
        self.counted.clients += len(clients)
        for each in (
            *documents.absent(),
            *confront_clients(clients, credentials, entries, texts, witness),
            *confront_issuers(trusted, entries, witness),
            *confront_signers(signers, entries, texts, witness),
            *confront_connectors(connectors, entries, texts, witness),
        ):
            yield each

    async def _reports(
        self,
        connection: Any,
        witness: Witness,
        forwarding: Forwarding,
        epochs: Sequence[tuple[datetime, int]],
    ) -> AsyncIterator[Contradiction]:
        entries, after, rereading = kept.entries_of_reports(connection), _FIRST, Rereading()
        then, current = await self.catalogues.newest(), len(epochs)
        if then.revision != await kept.newest_revision(connection):
            current = 0  # it has changed since
        times = [at for at, _ in epochs]
        while True:
            heads = await kept.heads_after(connection, after, _PAGE)
            is_last = len(heads) < _PAGE
            told = await entries.up_to(None if is_last else heads[-1].id)
            page = await _page(connection, heads, told)
            for wrong in page.unreadable:
                yield wrong
            for each in page.reports:
                own = page.entries.pop(each.head.id, [])
                found = Told.of(str(each.head.id), own)
                place = max(1, bisect_right(times, each.head.received_at))
                if place != current and epochs:
                    then, current = await self.catalogues.at(epochs[place - 1][1]), place
                for contradiction in confront_report(each, found, page.texts, witness, then, rereading):
                    yield contradiction
                deliveries = page.deliveries.get(each.head.id, [])
                for contradiction in confront_deliveries(deliveries, own, witness, forwarding, each.head, each.events):
                    yield contradiction
                self.counted.reports += 1
                self.counted.older += found.received is None and witness.is_older(each.head.received_at)
                self.counted.deliveries += len(deliveries)
            for contradiction in _absent(page.entries):
                yield contradiction
            if is_last:
                return
            after = heads[-1].id

    async def _reminders(
        self, connection: Any, witness: Witness, forwarding: Forwarding
    ) -> AsyncIterator[Contradiction]:
        entries, after = kept.entries_of_reminders(connection), _FIRST
        while True:
            reminders = await kept.reminders_after(connection, after, _PAGE)
            is_last = len(reminders) < _PAGE
            told = await entries.up_to(None if is_last else reminders[-1].id)
            read, wrong = read_entries("the log", [each for every in told.values() for each in every])
            for each in [*wrong, *confront_deliveries(reminders, read, witness, forwarding)]:
                yield each
            self.counted.deliveries += len(reminders)
            if is_last:
                return
            after = reminders[-1].id


@dataclass(slots=True)
class _Page:
    """Reports, and what the log tells about ids up to the last of them."""

    reports: Sequence[Kept]
    entries: dict[UUID, list[Entry]]
    deliveries: Mapping[UUID, Sequence[kept.KeptDelivery]]
    texts: Texts
    unreadable: Sequence[Contradiction]


async def _page(connection: Any, heads: Sequence[kept.KeptHead], told: Mapping[UUID, Sequence[kept.Told]]) -> _Page:
    ids = [each.id for each in heads]
    places = [each.year for each in heads], [each.agency_id for each in heads], ids
    payloads, rows = await payloads_at(connection, *places), await rows_at(connection, *places)
    events: dict[UUID, list[kept.KeptEvent]] = {}
    for event in await kept.events_of(connection, ids):
        events.setdefault(event.report_id, []).append(event)
    deliveries: dict[UUID, list[kept.KeptDelivery]] = {}
    for delivery in await kept.deliveries_of(connection, ids):
        deliveries.setdefault(delivery.report_id or _FIRST, []).append(delivery)
    relays, signatures = await find_relays(connection, ids), await find_signatures(connection, ids)
    erasures = await find_erasures(connection, ids)
    consolidations = [each.id for each in heads if each.kind == "consolidation"]
    made_here = await kept.made_here(connection, consolidations) if consolidations else set()
    entries: dict[UUID, list[Entry]] = {}
    unreadable: list[Contradiction] = []
    for about, own in told.items():
        entries[about], wrong = read_entries(name_of(about), own)
        unreadable += wrong
    commitments = set[bytes]().union(*(commitments_in(own, "reason", "ordered_by") for own in entries.values()))
    texts = await kept.committed_texts(connection, list(commitments)) if commitments else {}
    reports = [
        Kept(
            each,
            events.get(each.id, []),
            payloads.get(each.id),
            rows.get(each.id, []),
            relays.get(each.id),
            signatures.get(each.id),
            erasures.get(each.id),
            each.id in made_here,
        )
        for each in heads
    ]
    return _Page(reports, entries, deliveries, texts, unreadable)


def _absent(entries: Mapping[UUID, Sequence[Entry]]) -> Iterator[Contradiction]:
    """Reports that the log tells of, and that are not there."""
    for report, own in entries.items():
        about = [each for each in own if each.says.get("report") == str(report)]
        for each in about[:1]:
            yield Contradiction(name_of(report), each.place, f"it is not there, and by the log it is {each.what}")
        for each in own[:1] if not about else ():
            yield Contradiction(name_of(report), each.place, "it is not there, and by the log it was corrected")


def _lines(copy: BinaryIO) -> Iterator[bytes]:
    copy.seek(0)
    yield from copy
