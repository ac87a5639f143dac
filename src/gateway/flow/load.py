"""Load the catalogue: read it as an immutable picture, and change it by whole, checked documents."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ValidationError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.db import catalogue as stored
from gateway.db.base import Overtaken
from gateway.db.catalogue import Entry, EntryKind
from gateway.db.connectors import all_connectors
from gateway.domain.agency import Agencies, Agency, agency_faults
from gateway.domain.calendar import Calendar, CalendarYear
from gateway.domain.catalogue import Catalogue
from gateway.domain.codelist import CodeList
from gateway.domain.document import faults, pointer
from gateway.domain.form import Fault, Form, FormDocument, FormFault, codelists_named, rule_faults
from gateway.domain.obligation import Extension, Obligations
from gateway.domain.overlap import frequencies_of, overlaps
from gateway.domain.regime import Regime, RegimeDocument, in_order
from gateway.domain.upstream import Upstream, What
from gateway.errors import CatalogueConflict, InvalidCatalogue, Place, Text
from gateway.flow.check_forms import NewForm, form_faults

Contents = dict[tuple[EntryKind, str, str], dict[str, Any]]
"""Documents by kind, code and variant."""


@dataclass(slots=True)
class _Ready:
    """What was made of documents before, and still holds: forms and agencies take long to make."""

    forms: dict[tuple[str, str], Form] = field(default_factory=dict)
    agencies: Agencies | None = None
    obligations: Obligations | None = None

    def forget(self, kind: str, code: str, variant: str) -> None:
        """A document of that name is new."""
        if kind == "form":
            self.forms.pop((code, variant), None)
        if kind == "agency":
            self.agencies = None
        if kind in {"agency", "calendar", "regime", "extension"}:
            self.obligations = None


class Catalogues:
    """Holds the newest catalogue this process has read, and reads again when there is a newer one."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._lock = asyncio.Lock()
        self._contents: Contents = {}
        self._ready = _Ready()
        self.held: Catalogue | None = None

    async def newest(self) -> Catalogue:
        """The catalogue at its newest revision."""
        async with self._lock, self._engine.connect() as connection:
            revision = await stored.newest_revision(connection)
            if self.held is None or self.held.revision != revision:
                known = self.held.revision if self.held else 0
                for entry in await stored.entries_since(connection, known):
                    self._contents[entry.kind, entry.code, entry.variant] = entry.document
                    self._ready.forget(entry.kind, entry.code, entry.variant)
                agency_ids = await stored.storage_keys(connection, stored.agencies)
                form_ids = await stored.storage_keys(connection, stored.forms)
                upstreams = [_upstream(row) for row in await all_connectors(connection)]
                self.held = _assemble(revision, self._contents, agency_ids, form_ids, upstreams, self._ready)
            return self.held


def catalogue_of(documents: Iterable[tuple[str, Mapping[str, Any]]]) -> Catalogue:
    """A catalogue of documents that nobody stores, each with its kind. Raises as the models of documents do."""
    entries = [_entry(kind, document) for kind, document in documents]
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
    for (kind, code, variant), document in contents.items():
        match kind:
            case "form":
                form = ready.forms.get((code, variant)) or Form(FormDocument.model_validate(document))
                ready.forms[code, variant] = form
                forms.setdefault(code, []).append(form)
            case "codelist":
                codelists[code] = CodeList.model_validate(document)
            case "agency" if ready.agencies is None:
                agencies.append(Agency.model_validate(document))
            case "calendar":
                calendars[int(code)] = CalendarYear.model_validate(document)
            case "regime":
                regimes.setdefault(code, []).append(Regime(RegimeDocument.model_validate(document)))
            case "extension":
                extensions.append(Extension.model_validate(document))
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


async def fill(engine: AsyncEngine, catalogues: Catalogues, documents: Sequence[Document]) -> int:
    """Add the documents that the catalogue lacks; what is there stays as it is, whatever became of it.

    Returns how many were added.
    """
    current = await catalogues.newest()
    missing = [each for each in documents if _known(current, _entry(*each[1:])) is None]
    return await change(engine, catalogues, missing, None) if missing else 0


async def amend(
    connection: AsyncConnection, current: Catalogue, documents: Sequence[Document], client: UUID | None
) -> int:
    """Check documents together against the catalogue and record those that change it, as one revision.

    Returns how many documents were new or changed. Raises ``InvalidCatalogue`` with every fault of every
    document, ``CatalogueConflict`` when something in use would change, or ``Overtaken`` when ``current`` is not
    the newest catalogue any more; nothing is recorded then.
    """
    new = _checked(current, documents)
    if new:
        await stored.hold_still(connection)
        if await stored.newest_revision(connection) != current.revision:
            raise Overtaken("a newer catalogue")
        for entry in new:
            await _refuse_change_in_use(connection, current, entry, new)
        note = ", ".join(sorted({f"{entry.kind} {entry.code}" for entry in new})[:20])
        await stored.record(connection, new, note, client)
    return len(new)


def try_form(current: Catalogue, document: Mapping[str, Any]) -> Form:
    """A form version as it would be if it were loaded now, in use or not; nothing is recorded.

    Raises ``InvalidCatalogue`` and ``CatalogueConflict`` as ``amend`` does.
    """
    _checked(current, [("", "form", document)])
    entry = _entry("form", document)
    _refuse_another_meaning(current, entry, [entry])
    return Form(FormDocument.model_validate(document))


def _checked(current: Catalogue, documents: Sequence[Document]) -> list[Entry]:
    """The documents that are new or changed. Raises ``InvalidCatalogue`` with every fault of every document."""
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
    found += _unknown_codelists(current, documents) + _forms_together(current, documents, new)
    found += _together(current, new)
    if found:
        raise InvalidCatalogue(
            Text(f"Chưa nạp gì; số lỗi: {len(found)}.", f"Nothing was loaded; faults: {len(found)}."),
            errors=found,
        )
    return [entry for _, entry in new]


def _entry(kind: str, document: Mapping[str, Any]) -> Entry:
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
            return Entry("regime", regime.code, _variant(regime), regime.model_dump())
        case "extension":
            extension = Extension.model_validate(document)
            return Entry("extension", str(extension.id), "", extension.model_dump())
        case _:
            agency = Agency.model_validate(document)
            return Entry("agency", agency.code, _variant(agency), agency.model_dump())


def _variant(version: Agency | RegimeDocument) -> str:
    return version.valid_from.isoformat() if version.valid_from else ""


def _is_known(current: Catalogue, entry: Entry) -> bool:
    known = _known(current, entry)
    return known is not None and known.model_dump() == entry.document


def _known(current: Catalogue, entry: Entry) -> BaseModel | None:
    """The document that stands in an entry's place now."""
    match entry.kind:
        case "form":
            form = current.form_version(entry.code, int(entry.variant))
            return form.document if form else None
        case "codelist":
            return current.codelists.get(entry.code)
        case "calendar":
            return current.calendars.get(int(entry.code))
        case "extension":
            return next((each for each in current.extensions if str(each.id) == entry.code), None)
        case "regime":
            documents = [each.document for each in current.regimes.get(entry.code, ())]
            return next((each for each in documents if _variant(each) == entry.variant), None)
        case "agency":
            versions = current.agencies.versions.get(entry.code, [])
            return next((each for each in versions if _variant(each) == entry.variant), None)


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


def _forms_together(current: Catalogue, documents: Sequence[Document], new: Sequence[tuple[str, Entry]]) -> list[Place]:
    """What is wrong with forms beside the other forms that there will be."""
    coming = {str(document.get("code")) for _, kind, document in documents if kind == "form"}
    forms = [
        NewForm(source, Form(FormDocument.model_validate(entry.document)))
        for source, entry in new
        if entry.kind == "form"
    ]
    return list(form_faults(current, forms, coming)) if forms else []


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
    if not found and any(entry.kind == "regime" for _, entry in new):
        found += _regimes_together(current, new)
    return found


def _regimes_together(current: Catalogue, new: Sequence[tuple[str, Entry]]) -> list[Place]:
    """What is wrong with regimes beside the forms, agencies and other regimes that there will be."""
    sources: dict[str, str] = {}
    documents = {code: {each.document.valid_from: each for each in all_} for code, all_ in current.regimes.items()}
    forms = {code: {str(each.version): each.document for each in all_} for code, all_ in current.forms.items()}
    agencies = _agencies_after(current, new)
    for source, entry in new:
        if entry.kind == "form":
            document = FormDocument.model_validate(entry.document)
            forms.setdefault(entry.code, {})[str(document.version)] = document
        if entry.kind == "regime":
            regime = Regime(RegimeDocument.model_validate(entry.document))
            documents.setdefault(regime.code, {})[regime.document.valid_from] = regime
            sources[regime.code] = source
    found = [
        Place(f"{sources[regime.code]}{place}", message)
        for code in sources
        for regime in documents[code].values()
        for place, message in _regime_faults(regime, forms, agencies)
    ]
    if not found:
        regimes = in_order({code: list(each.values()) for code, each in documents.items()})
        found = [Place(sources[code], message) for code in sources for message in overlaps(regimes, agencies, [code])]
    return found


def _regime_faults(
    regime: Regime, forms: Mapping[str, Mapping[str, FormDocument]], agencies: Agencies
) -> Iterable[tuple[str, Text]]:
    """What a regime names that is not there."""
    document = regime.document
    for index, code in enumerate(document.forms):
        if code not in forms:
            yield f"/forms/{index}", Text(f"Không có biểu mẫu {code}.", f"There is no form {code}.")
            continue
        known = {frequency for each in forms[code].values() for frequency in each.frequencies}
        strange = sorted(frequencies_of(regime) - known)
        if strange:
            names = ", ".join(strange)
            yield (
                f"/forms/{index}",
                Text(f"Biểu {code} không báo cáo theo kỳ: {names}.", f"Form {code} is not reported: {names}."),
            )
    named = [("/owner", document.owner), ("/receiver", document.receiver)]
    for index, duty in enumerate(document.who):
        named += [(f"/who/{index}/under", duty.under)]
        named += [(f"/who/{index}/agencies/{place}", code) for place, code in enumerate(duty.agencies or ())]
    for place, agency in named:
        if agency is not None and agency not in agencies:
            yield place, Text(f"Không có cơ quan {agency}.", f"There is no agency {agency}.")


def _agencies_after(current: Catalogue, new: Sequence[tuple[str, Entry]]) -> Agencies:
    """The agencies that there will be."""
    if all(entry.kind != "agency" for _, entry in new):
        return current.agencies
    versions = {code: {each.valid_from: each for each in all_} for code, all_ in current.agencies.versions.items()}
    for _, entry in new:
        if entry.kind == "agency":
            agency = Agency.model_validate(entry.document)
            versions.setdefault(agency.code, {})[agency.valid_from] = agency
    return Agencies([version for each in versions.values() for version in each.values()], current.agencies.ids)


def _agencies_together(current: Catalogue, new: Sequence[tuple[str, Entry]]) -> list[Place]:
    sources = {entry.code: source for source, entry in new if entry.kind == "agency"}
    together = _agencies_after(current, new).versions
    return [
        Place(sources.get(code, code), Text(f"{code}: {reason}", f"{code}: {reason}"))
        for code, reason in agency_faults(together, sources)
    ]


async def _refuse_change_in_use(
    connection: AsyncConnection, current: Catalogue, entry: Entry, new: Sequence[Entry]
) -> None:
    if entry.kind == "regime":
        await _refuse_another_cutoff(connection, current, Regime(RegimeDocument.model_validate(entry.document)))
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
    _refuse_another_meaning(current, entry, new)


def _refuse_another_meaning(current: Catalogue, entry: Entry, new: Sequence[Entry]) -> None:
    """The rows and indicators of a form mean the same in all its versions."""
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


async def _refuse_another_cutoff(connection: AsyncConnection, current: Catalogue, regime: Regime) -> None:
    """Reports that were taken for days of a period cannot be about other days afterwards."""
    for form, code, start, end in await stored.periods_in_use(connection, sorted(regime.forms)):
        period = regime.takes(code)
        if period is not None and (period.start, period.end) != (start, end):
            owing = [current.agencies.ids.get(agency, 0) for agency, _ in regime.owing(period, current.agencies)]
            if await stored.has_reports(connection, form, code, owing):
                raise CatalogueConflict(
                    Text(
                        f"Đã có báo cáo biểu {form} kỳ {code} với số liệu từ {start} đến {end}; "
                        "hãy thêm phiên bản chế độ có hiệu lực từ một ngày sau đó.",
                        f"There are reports of form {form} for {code} with figures from {start} to {end}; "
                        "add a version of the regime that is valid from a later day.",
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
