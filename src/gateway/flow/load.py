"""Load the catalogue: read it as an immutable picture, and change it by whole, checked documents."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.db import catalogue as stored
from gateway.db.base import Overtaken
from gateway.db.catalogue import Entry
from gateway.db.connectors import all_connectors
from gateway.domain.agency import Agencies, Agency, agency_faults
from gateway.domain.catalogue import Catalogue
from gateway.domain.codelist import CodeList
from gateway.domain.document import faults, pointer
from gateway.domain.form import Fault, Form, FormDocument, FormFault, codelists_named, rule_faults
from gateway.domain.upstream import Upstream, What
from gateway.errors import CatalogueConflict, InvalidCatalogue, Place, Text

Contents = dict[tuple[str, str, str], dict[str, Any]]
"""Documents by kind, code and variant."""


class Catalogues:
    """Holds the newest catalogue this process has read, and reads again when there is a newer one."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._lock = asyncio.Lock()
        self._contents: Contents = {}
        self._forms: dict[tuple[str, str], Form] = {}
        self._agencies: Agencies | None = None
        self.held: Catalogue | None = None

    async def newest(self) -> Catalogue:
        """The catalogue at its newest revision."""
        async with self._lock, self._engine.connect() as connection:
            revision = await stored.newest_revision(connection)
            if self.held is None or self.held.revision != revision:
                known = self.held.revision if self.held else 0
                for entry in await stored.entries_since(connection, known):
                    self._contents[entry.kind, entry.code, entry.variant] = entry.document
                    self._forms.pop((entry.code, entry.variant), None)
                    if entry.kind == "agency":
                        self._agencies = None
                self.held = await self._build(connection, revision)
            return self.held

    async def _build(self, connection: AsyncConnection, revision: int) -> Catalogue:
        forms: dict[str, list[Form]] = {}
        codelists: dict[str, CodeList] = {}
        agencies: list[Agency] = []
        for (kind, code, variant), document in self._contents.items():
            match kind:
                case "form":
                    form = self._forms.get((code, variant)) or Form(FormDocument.model_validate(document))
                    self._forms[code, variant] = form
                    forms.setdefault(code, []).append(form)
                case "codelist":
                    codelists[code] = CodeList.model_validate(document)
                case "agency" if self._agencies is None:
                    agencies.append(Agency.model_validate(document))
        if self._agencies is None:
            self._agencies = Agencies(agencies, await stored.storage_keys(connection, stored.agencies))
        for versions in forms.values():
            versions.sort(key=lambda form: form.version)
        return Catalogue(
            revision,
            forms,
            await stored.storage_keys(connection, stored.forms),
            codelists,
            self._agencies,
            [_upstream(row) for row in await all_connectors(connection)],
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


Document = tuple[str, str, Mapping[str, Any]]
"""Where a document comes from (a file, a request), its kind, and what it says."""


async def change(
    engine: AsyncEngine, catalogues: Catalogues, documents: Sequence[Document], client: UUID | None
) -> int:
    """Change the catalogue by documents, as ``amend`` does, in a transaction of its own."""
    while True:
        current = await catalogues.newest()
        try:
            async with engine.begin() as connection:
                return await amend(connection, current, documents, client)
        except Overtaken:
            continue


async def amend(
    connection: AsyncConnection, current: Catalogue, documents: Sequence[Document], client: UUID | None
) -> int:
    """Check documents together against the catalogue and record those that change it, as one revision.

    Returns how many documents were new or changed. Raises ``InvalidCatalogue`` with every fault of every
    document, ``CatalogueConflict`` when something in use would change, or ``Overtaken`` when ``current`` is not
    the newest catalogue any more; nothing is recorded then.
    """
    found: list[Place] = []
    entries: list[tuple[str, Entry]] = []
    for source, kind, document in documents:
        try:
            entries.append((source, _entry(kind, document)))
        except ValidationError as error:
            found += [Place(f"{source}{place}", message) for place, message in faults(error)]
            if kind == "form":
                found += _places(source, rule_faults(document))
        except FormFault as error:
            found += _places(source, error.faults)
    entries, twice = _once(entries)
    new = [(source, entry) for source, entry in entries if not _is_known(current, entry)]
    found += twice
    found += _unknown_codelists(current, documents) + _together(current, new)
    if found:
        raise InvalidCatalogue(
            Text(f"Chưa nạp gì; số lỗi: {len(found)}.", f"Nothing was loaded; faults: {len(found)}."),
            errors=found,
        )
    if new:
        await stored.hold_still(connection)
        if await stored.newest_revision(connection) != current.revision:
            raise Overtaken("a newer catalogue")
        for _, entry in new:
            await _refuse_change_in_use(connection, current, entry, [each for _, each in new])
        note = ", ".join(sorted({f"{entry.kind} {entry.code}" for _, entry in new})[:20])
        await stored.record(connection, [entry for _, entry in new], note, client)
    return len(new)


def _entry(kind: str, document: Mapping[str, Any]) -> Entry:
    match kind:
        case "form":
            form = FormDocument.model_validate(document)
            Form(form)
            return Entry("form", form.code, str(form.version), form.model_dump())
        case "codelist":
            codelist = CodeList.model_validate(document)
            return Entry("codelist", codelist.id, "", codelist.model_dump())
        case _:
            agency = Agency.model_validate(document)
            return Entry("agency", agency.code, _variant(agency), agency.model_dump())


def _variant(agency: Agency) -> str:
    return agency.valid_from.isoformat() if agency.valid_from else ""


def _is_known(current: Catalogue, entry: Entry) -> bool:
    known: Agency | CodeList | FormDocument | None
    match entry.kind:
        case "form":
            form = current.form_version(entry.code, int(entry.variant))
            known = form.document if form else None
        case "codelist":
            known = current.codelists.get(entry.code)
        case "agency":
            versions = current.agencies.versions.get(entry.code, [])
            known = next((each for each in versions if _variant(each) == entry.variant), None)
    return known is not None and known.model_dump() == entry.document


def _once(entries: list[tuple[str, Entry]]) -> tuple[list[tuple[str, Entry]], list[Place]]:
    """Each document once; two that differ under one name are a fault."""
    kept: dict[tuple[str, str, str], tuple[str, Entry]] = {}
    found: list[Place] = []
    for source, entry in entries:
        first, known = kept.setdefault((entry.kind, entry.code, entry.variant), (source, entry))
        if known != entry:
            message = Text(
                f"{entry.code} đã được định nghĩa khác ở {first}.", f"{entry.code} is defined otherwise in {first}."
            )
            found.append(Place(source, message))
    return list(kept.values()), found


def _places(source: str, faults_found: Iterable[Fault]) -> list[Place]:
    return [Place(f"{source}{pointer(place)}", Text(f"Lỗi: {reason}", reason)) for place, reason in faults_found]


def _unknown_codelists(current: Catalogue, documents: Sequence[Document]) -> list[Place]:
    lists = set(current.codelists) | {str(each.get("id")) for _, kind, each in documents if kind == "codelist"}
    return [
        Place(
            f"{source}/breakdowns/{index}/codelist",
            Text(f"Chưa có danh mục {name}.", f"There is no code list {name}."),
        )
        for source, kind, document in documents
        if kind == "form"
        for index, name in codelists_named(document)
        if name not in lists
    ]


def _together(current: Catalogue, new: Sequence[tuple[str, Entry]]) -> list[Place]:
    """What is wrong with the documents taken together with what is there already."""
    found: list[Place] = []
    for source, entry in new:
        if entry.kind == "codelist":
            known = current.codelists.get(entry.code)
            lost = set(known.by_code if known else ()) - {each["code"] for each in entry.document["codes"]}
            if lost:
                names = ", ".join(sorted(lost))
                message = Text(
                    f"Mã chỉ được đóng, không được bỏ: {names}.", f"Codes are closed, never removed: {names}."
                )
                found.append(Place(f"{source}/codes", message))
    if any(entry.kind == "agency" for _, entry in new):
        found += _agencies_together(current, new)
    return found


def _agencies_together(current: Catalogue, new: Sequence[tuple[str, Entry]]) -> list[Place]:
    sources: dict[str, str] = {}
    versions = {code: {each.valid_from: each for each in all_} for code, all_ in current.agencies.versions.items()}
    for source, entry in new:
        if entry.kind == "agency":
            agency = Agency.model_validate(entry.document)
            versions.setdefault(agency.code, {})[agency.valid_from] = agency
            sources[agency.code] = source
    together = {code: list(each.values()) for code, each in versions.items()}
    return [
        Place(sources.get(code, code), Text(f"{code}: {reason}", f"{code}: {reason}"))
        for code, reason in agency_faults(together, sources)
    ]


async def _refuse_change_in_use(
    connection: AsyncConnection, current: Catalogue, entry: Entry, new: Sequence[Entry]
) -> None:
    if entry.kind != "form":
        return
    version = int(entry.variant)
    if current.form_version(entry.code, version) and await stored.forms_in_use(connection, entry.code, version):
        raise CatalogueConflict(
            Text(
                f"Phiên bản {version} của biểu {entry.code} đã có báo cáo; hãy thêm phiên bản mới.",
                f"Version {version} of form {entry.code} has reports; add a new version.",
            )
        )
    versions = {form.version: form.document.model_dump() for form in current.forms.get(entry.code, ())}
    versions |= {int(each.variant): each.document for each in new if (each.kind, each.code) == ("form", entry.code)}
    meaning = _meanings(entry.document)
    for number, other in versions.items():
        if _shape(other) != _shape(entry.document):
            raise CatalogueConflict(
                Text(
                    f"Các phân tổ phải giữ nguyên như ở phiên bản {number}, theo đúng thứ tự.",
                    f"The breakdowns must stay those of version {number}, in the same order.",
                )
            )
        changed = [name for name, before in _meanings(other).items() if meaning.get(name, before) != before]
        if changed:
            names = ", ".join(changed)
            raise CatalogueConflict(
                Text(
                    f"Chỉ tiêu phải giữ kiểu, đơn vị và cách tổng hợp như ở phiên bản {number}: {names}.",
                    f"Indicators must keep the type, unit and both over_… of version {number}: {names}.",
                )
            )


def _shape(document: Mapping[str, Any]) -> list[tuple[object, ...]]:
    """What tells the rows of a report apart: the same in all versions of a form, or rows could not be compared."""
    return [(each["id"], each["codelist"], each["total"]) for each in document["breakdowns"]]


def _meanings(document: Mapping[str, Any]) -> dict[str, tuple[object, ...]]:
    """What each indicator of a form version means: the same in all its versions, or sums over them would lie."""
    return {
        each["id"]: (each["type"], each["unit"], each["over_agencies"], each["over_time"])
        for each in document["indicators"]
    }
