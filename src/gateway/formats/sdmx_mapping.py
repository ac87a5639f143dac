"""The catalogue as SDMX structures: a form is a dataflow, its data structure, concepts and list of indicators."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from gateway.domain.agency import Agencies
from gateway.domain.catalogue import Catalogue
from gateway.domain.codelist import CodeList
from gateway.domain.document import Title
from gateway.domain.form import Form
from gateway.domain.form_document import Breakdown
from gateway.formats.sdmx_codes import (
    AGENCY,
    DECIMALS,
    FREQ,
    INDICATOR,
    NORMAL,
    STATUS,
    TIME,
    TOTAL,
    UNIT,
    VALUE,
    agency_id,
    breakdown_id,
    code_ids,
    observed,
    version_of,
)
from gateway.formats.sdmx_structures import (
    Artefact,
    Categorisation,
    Component,
    Constraint,
    Dataflow,
    DataStructure,
    DataType,
    Item,
    Kind,
    Names,
    Reference,
    Scheme,
)
from gateway.formats.sdmx_time import FREQUENCIES

SHARED_VERSION = "1.0.0"
"""Of what is no form's own: lists that are closed code by code and never lose one."""
_AGENCIES = ("SDMX", "AGENCIES", "1.0")
"""The scheme of maintenance agencies of the top level has a fixed name and version (SDMX 3.0, section 5)."""

_INDICATORS = "-INDICATOR"
"""What the list of a form's indicators is called, after the form; ids of the catalogue have no dashes."""
_CL_FREQ, _CL_AGENCY, _CL_STATUS = "CL_FREQ", "CL_AGENCY", "CL_OBS_STATUS"
_OWN_LISTS = frozenset({_CL_FREQ, _CL_AGENCY, _CL_STATUS})


def _names(vi: str, en: str) -> Names:
    return {"vi": vi, "en": en}


_CONCEPTS = {
    FREQ: _names("Tần suất báo cáo", "Frequency"),
    AGENCY: _names("Cơ quan, gồm mọi cơ quan bên dưới", "Agency, with everything below it"),
    INDICATOR: _names("Chỉ tiêu", "Indicator"),
    TIME: _names("Kỳ báo cáo", "Period"),
    VALUE: _names("Giá trị", "Value"),
    STATUS: _names("Trạng thái giá trị", "Observation status"),
    UNIT: _names("Đơn vị tính", "Unit of measure"),
    DECIMALS: _names("Số chữ số thập phân", "Decimals"),
}
_FREQUENCIES = {
    "A": _names("Năm", "Annual"),
    "S": _names("Sáu tháng", "Half-yearly"),
    "Q": _names("Quý", "Quarterly"),
    "M": _names("Tháng", "Monthly"),
    "W": _names("Tuần", "Weekly"),
    "M9": _names("Chín tháng", "Nine months"),
    "I": _names("Đột xuất", "Ad hoc"),
}
_STATUSES = {NORMAL: _names("Bình thường", "Normal")}
_WHOLE_COUNTRY = _names("Cả nước", "Whole country")
_ALL_CODES = _names("Tổng số", "Total")


@dataclass(frozen=True, slots=True)
class Structures:
    """Everything there is to be described, of a catalogue on a day, under the name of a maintenance agency."""

    catalogue: Catalogue
    maintainer: str
    today: date

    def all(self, kind: Kind) -> list[Artefact]:
        """Every artefact of a kind."""
        found: Mapping[Kind, Callable[[], Iterator[Artefact]]] = {
            Kind.agencyscheme: self._agency_schemes,
            Kind.categoryscheme: self._category_schemes,
            Kind.categorisation: self._categorisations,
            Kind.codelist: self._codelists,
            Kind.conceptscheme: lambda: map(self.concepts, self.forms()),
            Kind.contentconstraint: lambda: map(self._allowed, self.forms()),
            Kind.dataflow: lambda: map(self.dataflow, self.forms()),
            Kind.datastructure: lambda: map(self.structure, self.forms()),
        }
        return list(found[kind]())

    def forms(self) -> Iterator[Form]:
        for versions in self.catalogue.forms.values():
            yield from versions

    def is_latest(self, reference: Reference) -> bool:
        """Whether this is the version to take where none is named: of what is a form's, that of today."""
        parts = reference.id.split("-")
        versions = self.catalogue.forms.get(parts[-1] if reference.kind is Kind.categorisation else parts[0], ())
        of_form = reference.kind not in {Kind.agencyscheme, Kind.categoryscheme}
        of_form = of_form and (reference.kind is not Kind.codelist or reference.id.endswith(_INDICATORS))
        return not of_form or not versions or reference.version == version_of(self.current(versions))

    def current(self, versions: Sequence[Form]) -> Form:
        """The version of a form in force today, else its newest."""
        return self.catalogue.form_on(versions[0].code, self.today) or versions[-1]

    def dataflow(self, form: Form) -> Dataflow:
        return Dataflow(
            reference=self._of(Kind.dataflow, form),
            names=_titled(form),
            structure=self._of(Kind.datastructure, form),
        )

    def structure(self, form: Form) -> DataStructure:
        breakdowns = [
            Component(breakdown_id(each), self._concept(form, breakdown_id(each)), codelist=self._codelist(each))
            for each in form.breakdowns
        ]
        return DataStructure(
            reference=self._of(Kind.datastructure, form),
            names=_titled(form),
            dimensions=[
                self._coded(form, FREQ, self._shared(_CL_FREQ)),
                self._coded(form, AGENCY, self._shared(_CL_AGENCY)),
                self._coded(form, INDICATOR, self._of(Kind.codelist, form)),
                *breakdowns,
            ],
            time=Component(TIME, self._concept(form, TIME), DataType.time),
            attributes=[
                self._coded(form, STATUS, self._shared(_CL_STATUS)),
                Component(UNIT, self._concept(form, UNIT), DataType.string),
                Component(DECIMALS, self._concept(form, DECIMALS), DataType.integer),
            ],
            measure=Component(VALUE, self._concept(form, VALUE), DataType.decimal),
        )

    def concepts(self, form: Form) -> Scheme:
        named = dict(_CONCEPTS) | {breakdown_id(each): _both(each.title) for each in form.breakdowns}
        return Scheme(
            reference=self._of(Kind.conceptscheme, form),
            names=_titled(form),
            items=[Item(name, names) for name, names in named.items()],
        )

    def _of(self, kind: Kind, form: Form) -> Reference:
        name = f"{form.code}{_INDICATORS}" if kind is Kind.codelist else form.code
        return Reference(kind, self.maintainer, name, version_of(form))

    def _shared(self, codelist: str) -> Reference:
        return Reference(Kind.codelist, self.maintainer, codelist, SHARED_VERSION)

    def _codelist(self, breakdown: Breakdown) -> Reference:
        return self._shared(_list_id(breakdown.codelist, breakdown.total == "sum"))

    def _concept(self, form: Form, name: str) -> Reference:
        return Reference(Kind.conceptscheme, self.maintainer, form.code, version_of(form), name)

    def _coded(self, form: Form, name: str, codelist: Reference) -> Component:
        return Component(name, self._concept(form, name), codelist=codelist)

    def _allowed(self, form: Form) -> Constraint:
        return Constraint(
            reference=self._of(Kind.contentconstraint, form),
            names=_titled(form),
            flow=self._of(Kind.dataflow, form),
            is_actual=False,
            values={FREQ: [FREQUENCIES[each] for each in form.document.frequencies]},
        )

    def _codelists(self) -> Iterator[Artefact]:
        yield self._list(_CL_FREQ, _CONCEPTS[FREQ], [Item(*each) for each in _FREQUENCIES.items()])
        yield self._list(_CL_AGENCY, _CONCEPTS[AGENCY], agency_items(self.catalogue.agencies, self.today))
        yield self._list(_CL_STATUS, _CONCEPTS[STATUS], [Item(*each) for each in _STATUSES.items()])
        for form in self.forms():
            items = [Item(each.id, _both(each.title)) for each in observed(form)]
            yield Scheme(reference=self._of(Kind.codelist, form), names=_titled(form), items=items)
        used = {(each.codelist, each.total == "sum") for form in self.forms() for each in form.breakdowns}
        for codelist in self.catalogue.codelists.values():
            for totalled in (False, True):
                if not totalled or (codelist.id, True) in used:
                    names = _both(codelist.title)
                    yield self._list(_list_id(codelist.id, totalled), names, _code_items(codelist, totalled))

    def _list(self, name: str, names: Names, items: Sequence[Item]) -> Scheme:
        return Scheme(reference=self._shared(name), names=names, items=items)

    def _agency_schemes(self) -> Iterator[Artefact]:
        yield Scheme(
            reference=Reference(Kind.agencyscheme, *_AGENCIES),
            names=_names("Cơ quan duy trì", "Maintenance agencies"),
            items=[
                Item(self.maintainer, _names("Hệ thống thông tin báo cáo", "Government reporting information system"))
            ],
        )

    def _category_schemes(self) -> Iterator[Artefact]:
        items = [
            Item(code, _both(versions[-1].document.title) if versions[-1].document.title else {"vi": code, "en": code})
            for code, versions in sorted(self.catalogue.regimes.items())
        ]
        names = _names("Chế độ báo cáo", "Reporting regimes")
        if items:
            yield Scheme(reference=self._regimes(), names=names, items=items)

    def _regimes(self, regime: str | None = None) -> Reference:
        return Reference(Kind.categoryscheme, self.maintainer, "REGIMES", SHARED_VERSION, regime)

    def _categorisations(self) -> Iterator[Artefact]:
        for code, versions in sorted(self.catalogue.regimes.items()):
            for form in self.forms():
                if form.code in versions[-1].forms:
                    reference = Reference(Kind.categorisation, self.maintainer, f"{code}-{form.code}", version_of(form))
                    yield Categorisation(
                        reference=reference,
                        names=_titled(form),
                        source=self._of(Kind.dataflow, form),
                        target=self._regimes(code),
                    )


def agency_items(agencies: Agencies, today: date) -> list[Item]:
    """Every agency under its parent of today, closed ones too, and above all of them the whole country."""
    tree = agencies.placed(today).parents
    items = [
        Item(agency_id(code), {"vi": agencies.nearest(code, today).name}, agency_id(parent) if parent else TOTAL)
        for code, parent in sorted(tree.items())
    ]
    return [Item(TOTAL, _WHOLE_COUNTRY), *items]


def _code_items(codelist: CodeList, totalled: bool) -> list[Item]:
    ids = code_ids(codelist)
    top = TOTAL if totalled else None
    items = [
        Item(ids[each.code], _both(each.title), ids[each.parent] if each.parent else top) for each in codelist.codes
    ]
    return [Item(TOTAL, _ALL_CODES), *items] if totalled else items


def _list_id(codelist: str, totalled: bool) -> str:
    """The id of a code list of the catalogue: its own, and `-T` after it for the list that has the total, too."""
    name = f"{codelist}-LIST" if codelist in _OWN_LISTS else codelist
    return f"{name}-T" if totalled else name


def _both(title: Title) -> Names:
    return {"vi": title.vi, "en": title.en}


def _titled(form: Form) -> Names:
    return _both(form.document.title)
