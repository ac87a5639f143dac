"""Amend the catalogue: check whole documents together against what is there, and record those that change it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ValidationError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.db import catalogue as stored
from gateway.db.base import Overtaken
from gateway.db.catalogue import Entry
from gateway.db.engine import server_now
from gateway.db.log import record_entries
from gateway.db.subtree import EVERYTHING, seeing
from gateway.domain.agency import Agencies, Agency
from gateway.domain.agency_faults import agency_faults
from gateway.domain.catalogue import Catalogue
from gateway.domain.document import faults, pointer
from gateway.domain.form import Fault, Form, FormFault, codelists_named, rule_faults
from gateway.domain.form_document import FormDocument
from gateway.domain.regime import Regime, RegimeDocument
from gateway.errors import CatalogueConflict, InvalidCatalogue, Place, Text
from gateway.flow.check_forms import NewForm, form_faults
from gateway.flow.check_regimes import regime_places
from gateway.flow.load import Catalogues, entry_of, variant_of
from gateway.flow.note_catalogue import entries_of

Document = tuple[str, str, Mapping[str, Any]]
"""Where a document comes from (a file, a request), its kind, and what it says."""


async def change(
    engine: AsyncEngine, catalogues: Catalogues, documents: Sequence[Document], client: UUID | None
) -> int:
    """Change the catalogue by documents, as ``amend`` does, in a transaction of its own."""
    while True:
        current = await catalogues.newest()
        try:
            with seeing(EVERYTHING):  # what is in use is in use, whoever uses it
                async with engine.begin() as connection:
                    return await amend(connection, current, documents, client)
        except Overtaken:
            continue


async def fill(engine: AsyncEngine, catalogues: Catalogues, documents: Sequence[Document]) -> int:
    """Add the documents that the catalogue lacks; what is there stays as it is, whatever became of it.

    Returns how many were added.
    """
    current = await catalogues.newest()
    missing = [each for each in documents if _known(current, entry_of(*each[1:])) is None]
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
        revision = await stored.record(connection, new, note, client)
        await record_entries(connection, entries_of(revision, await server_now(connection), new, client))
    return len(new)


def try_form(current: Catalogue, document: Mapping[str, Any]) -> Form:
    """A form version as it would be if it were loaded now, in use or not; nothing is recorded.

    Raises ``InvalidCatalogue`` and ``CatalogueConflict`` as ``amend`` does.
    """
    _checked(current, [("", "form", document)])
    entry = entry_of("form", document)
    _refuse_another_meaning(current, entry, [entry])
    return Form(FormDocument.model_validate(document))


def _checked(current: Catalogue, documents: Sequence[Document]) -> list[Entry]:
    """The documents that are new or changed. Raises ``InvalidCatalogue`` with every fault of every document."""
    found: list[Place] = []
    entries: list[tuple[str, Entry]] = []
    for source, kind, document in documents:
        try:
            entries.append((source, entry_of(kind, document)))
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


def _is_known(current: Catalogue, entry: Entry) -> bool:
    known = _known(current, entry)
    if known is None:
        return False
    kept = known.kept() if isinstance(known, RegimeDocument) else known.model_dump()
    return kept == entry.document


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
            return next((each for each in documents if variant_of(each) == entry.variant), None)
        case "agency":
            versions = current.agencies.versions.get(entry.code, [])
            return next((each for each in versions if variant_of(each) == entry.variant), None)


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
        found += regime_places(current, new, _agencies_after(current, new))
    return found


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
