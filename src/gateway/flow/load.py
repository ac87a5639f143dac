"""Load the catalogue: read it from storage as an immutable picture, kept until there is a newer one."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db import catalogue as stored
from gateway.db.catalogue import Entry, EntryKind
from gateway.db.connectors import all_connectors
from gateway.domain.agency import Agencies, Agency
from gateway.domain.calendar import Calendar, CalendarYear
from gateway.domain.catalogue import Catalogue
from gateway.domain.codelist import CodeList
from gateway.domain.form import Form
from gateway.domain.form_document import FormDocument
from gateway.domain.obligation import Extension
from gateway.domain.obligations import Obligations
from gateway.domain.regime import Regime, RegimeDocument, in_order
from gateway.domain.upstream import Upstream, What

Name: TypeAlias = tuple[EntryKind, str, str]
"""Kind, code and variant of a document."""
Contents = dict[Name, dict[str, Any]]

_MAKE: Mapping[EntryKind, Callable[[Mapping[str, Any]], Any]] = {
    "form": lambda document: Form(FormDocument.model_validate(document)),
    "codelist": CodeList.model_validate,
    "agency": Agency.model_validate,
    "calendar": CalendarYear.model_validate,
    "regime": lambda document: Regime(RegimeDocument.model_validate(document)),
    "extension": Extension.model_validate,
}


@dataclass(slots=True)
class _Ready:
    """What was made of documents before, and still holds: a change of one makes nothing of the others anew."""

    made: dict[Name, Any] = field(default_factory=dict)
    agencies: Agencies | None = None
    obligations: Obligations | None = None

    def of(self, name: Name, document: Mapping[str, Any]) -> Any:
        """What is made of a document."""
        found = self.made.get(name)
        if found is None:
            found = self.made[name] = _MAKE[name[0]](document)
        return found

    def forget(self, kind: EntryKind, code: str, variant: str) -> None:
        """A document of that name is new."""
        self.made.pop((kind, code, variant), None)
        if kind == "agency":
            self.agencies = None
        if kind in {"agency", "calendar", "regime", "extension"}:
            self.obligations = None


_MOST_PAST = 4


class Catalogues:
    """Holds the newest catalogue this process has read, and reads again when there is a newer one.

    It also holds the last few of the past that were asked for.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._lock = asyncio.Lock()
        self._contents: Contents = {}
        self._ready = _Ready()
        self.held: Catalogue | None = None
        self._past: OrderedDict[int, Catalogue] = OrderedDict()
        self._past_lock = asyncio.Lock()

    async def at(self, revision: int) -> Catalogue:
        """The catalogue as it stood at a revision."""
        newest = self.held if self.held and self.held.revision == revision else await self.newest()
        if newest.revision == revision:
            return newest
        async with self._past_lock:  # not the other: who pushes does not wait while the past is read
            if revision not in self._past:
                self._past[revision] = await self._read_past(revision)
            self._past.move_to_end(revision)
            while len(self._past) > _MOST_PAST:
                self._past.popitem(last=False)
            return self._past[revision]

    async def _read_past(self, revision: int) -> Catalogue:
        async with self._engine.connect() as connection:
            entries = await stored.entries_between(connection, 0, revision)
            contents: Contents = {(each.kind, each.code, each.variant): each.document for each in entries}
            agency_ids = await stored.storage_keys(connection, stored.agencies)
            form_ids = await stored.storage_keys(connection, stored.forms)
        return await asyncio.to_thread(_assemble, revision, contents, agency_ids, form_ids, [], _Ready())

    async def newest(self) -> Catalogue:
        """The catalogue at its newest revision."""
        async with self._lock, self._engine.connect() as connection:
            revision = await stored.newest_revision(connection)
            if self.held is None or self.held.revision != revision:
                known = self.held.revision if self.held else 0
                for entry in await stored.entries_between(connection, known, revision):
                    self._contents[entry.kind, entry.code, entry.variant] = entry.document
                    self._ready.forget(entry.kind, entry.code, entry.variant)
                is_known = self._ready.agencies is not None
                agency_ids = {} if is_known else await stored.storage_keys(connection, stored.agencies)
                form_ids = await stored.storage_keys(connection, stored.forms)
                upstreams = [_upstream(row) for row in await all_connectors(connection)]
                self.held = _assemble(revision, self._contents, agency_ids, form_ids, upstreams, self._ready)
            return self.held


def catalogue_of(documents: Iterable[tuple[str, Mapping[str, Any]]]) -> Catalogue:
    """A catalogue of documents that nobody stores, each with its kind. Raises as the models of documents do."""
    entries = [entry_of(kind, document) for kind, document in documents]
    contents: Contents = {(each.kind, each.code, each.variant): each.document for each in entries}
    codes = dict.fromkeys(each.code for each in entries if each.kind == "form")
    return _assemble(0, contents, {}, {code: number for number, code in enumerate(codes)}, [], _Ready())


def _assemble(
    revision: int,
    contents: Contents,
    agency_ids: Mapping[str, int],
    form_ids: Mapping[str, int],
    upstreams: Sequence[Upstream],
    ready: _Ready,
) -> Catalogue:
    forms: dict[str, list[Form]] = {}
    codelists: dict[str, CodeList] = {}
    agencies: list[Agency] = []
    calendars: dict[int, CalendarYear] = {}
    regimes: dict[str, list[Regime]] = {}
    extensions: list[Extension] = []
    for name, document in contents.items():
        kind, code, _ = name
        match kind:
            case "form":
                forms.setdefault(code, []).append(ready.of(name, document))
            case "codelist":
                codelists[code] = ready.of(name, document)
            case "agency" if ready.agencies is None:
                agencies.append(ready.of(name, document))
            case "calendar":
                calendars[int(code)] = ready.of(name, document)
            case "regime":
                regimes.setdefault(code, []).append(ready.of(name, document))
            case "extension":
                extensions.append(ready.of(name, document))
    ready.agencies = ready.agencies or Agencies(agencies, agency_ids)
    for versions in forms.values():
        versions.sort(key=lambda form: form.version)
    ready.obligations = ready.obligations or Obligations(
        in_order(regimes), ready.agencies, Calendar(calendars.values()), extensions
    )
    return Catalogue(
        revision,
        forms,
        form_ids,
        codelists,
        ready.agencies,
        calendars,
        extensions,
        ready.obligations,
        upstreams,
    )


def _upstream(row: Any) -> Upstream:
    return Upstream(
        row.id,
        row.name,
        frozenset(row.forms) if row.forms is not None else None,
        row.under,
        What(row.what),
        row.from_day,
        row.made_at,
    )


def entry_of(kind: str, document: Mapping[str, Any]) -> Entry:
    """A document as it is stored. Raises as the models of documents do, and ``FormFault``."""
    match kind:
        case "form":
            form = FormDocument.model_validate(document)
            Form(form)
            return Entry("form", form.code, str(form.version), form.model_dump())
        case "codelist":
            codelist = CodeList.model_validate(document)
            return Entry("codelist", codelist.id, "", codelist.model_dump())
        case "calendar":
            calendar = CalendarYear.model_validate(document)
            return Entry("calendar", str(calendar.year), "", calendar.model_dump())
        case "regime":
            regime = RegimeDocument.model_validate(document)
            return Entry("regime", regime.code, variant_of(regime), regime.kept())
        case "extension":
            extension = Extension.model_validate(document)
            return Entry("extension", str(extension.id), "", extension.model_dump())
        case _:
            agency = Agency.model_validate(document)
            return Entry("agency", agency.code, variant_of(agency), agency.model_dump())


def variant_of(version: Agency | RegimeDocument) -> str:
    """What tells a version of an agency or a regime from others: its first day, empty where it has none."""
    return version.valid_from.isoformat() if version.valid_from else ""
