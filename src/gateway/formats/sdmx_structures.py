"""Structural metadata of SDMX, free of any notation: what the writers of SDMX-ML and SDMX-JSON are given.

Names follow the SDMX information model (section 2 of the standard, 2.1 and 3.0).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

Names = Mapping[str, str]
"""A name by language."""


class Kind(StrEnum):
    """What can be asked for, by its name as a resource."""

    agencyscheme = "agencyscheme"
    categoryscheme = "categoryscheme"
    categorisation = "categorisation"
    codelist = "codelist"
    conceptscheme = "conceptscheme"
    contentconstraint = "contentconstraint"
    dataflow = "dataflow"
    datastructure = "datastructure"


@dataclass(frozen=True, slots=True)
class Class:
    """A class of the information model: its package and name in URNs, and what its items are called."""

    package: str
    name: str
    item: str | None = None


CLASSES = {
    Kind.agencyscheme: Class("base", "AgencyScheme", "Agency"),
    Kind.categoryscheme: Class("categoryscheme", "CategoryScheme", "Category"),
    Kind.categorisation: Class("categoryscheme", "Categorisation"),
    Kind.codelist: Class("codelist", "Codelist", "Code"),
    Kind.conceptscheme: Class("conceptscheme", "ConceptScheme", "Concept"),
    Kind.contentconstraint: Class("registry", "DataConstraint"),
    Kind.dataflow: Class("datastructure", "Dataflow"),
    Kind.datastructure: Class("datastructure", "DataStructure"),
}


@dataclass(frozen=True, slots=True)
class Reference:
    """One artefact by name, or one item of it."""

    kind: Kind
    agency: str
    id: str
    version: str
    item: str | None = None

    @property
    def class_(self) -> str:
        found = CLASSES[self.kind]
        return found.name if self.item is None else (found.item or found.name)

    @property
    def urn(self) -> str:
        name = f"org.sdmx.infomodel.{CLASSES[self.kind].package}.{self.class_}={self.short}"
        return f"urn:sdmx:{name}" if self.item is None else f"urn:sdmx:{name}.{self.item}"

    @property
    def short(self) -> str:
        return f"{self.agency}:{self.id}({self.version})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Artefact:
    """What can be asked for: identified, versioned, named."""

    reference: Reference
    names: Names

    @property
    def references(self) -> Sequence[Reference]:
        """The artefacts this one is made of."""
        return ()


@dataclass(frozen=True, slots=True)
class Item:
    """A code, concept, category or agency; ``parent`` is another of its scheme."""

    id: str
    names: Names
    parent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme(Artefact):
    """A list of items; partial where only some were asked for."""

    items: Sequence[Item]
    is_partial: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataflow(Artefact):
    """What data can be asked for, and how it is structured."""

    structure: Reference

    @property
    def references(self) -> Sequence[Reference]:
        return (self.structure,)


class DataType(StrEnum):
    """What an uncoded component holds."""

    string = "String"
    integer = "Integer"
    decimal = "Decimal"
    time = "ObservationalTimePeriod"


@dataclass(frozen=True, slots=True)
class Component:
    """A dimension, attribute or measure; attributes belong to observations. No ``codelist``: values of ``type``."""

    id: str
    concept: Reference
    type: DataType = DataType.string
    codelist: Reference | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DataStructure(Artefact):
    """Dimensions in the order of keys, time apart; attributes; the one measure."""

    dimensions: Sequence[Component]
    time: Component
    attributes: Sequence[Component]
    measure: Component

    @property
    def components(self) -> Sequence[Component]:
        return (*self.dimensions, self.time, *self.attributes, self.measure)

    @property
    def references(self) -> Sequence[Reference]:
        codelists = [each.codelist for each in self.components if each.codelist is not None]
        schemes = [
            Reference(Kind.conceptscheme, each.concept.agency, each.concept.id, each.concept.version)
            for each in self.components
        ]
        return tuple(dict.fromkeys([*codelists, *schemes]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Categorisation(Artefact):
    """A dataflow put into a category."""

    source: Reference
    target: Reference

    @property
    def references(self) -> Sequence[Reference]:
        scheme = Reference(self.target.kind, self.target.agency, self.target.id, self.target.version)
        return (self.source, scheme)


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraint(Artefact):
    """Values of dimensions that may occur in a dataflow, or (``is_actual``) for which it has data.

    ``periods`` are the first and last day of that data.
    """

    flow: Reference
    is_actual: bool
    values: Mapping[str, Sequence[str]]
    periods: tuple[str, str] | None = None

    @property
    def references(self) -> Sequence[Reference]:
        return (self.flow,)


@dataclass(frozen=True, slots=True)
class Header:
    """Who says a message, and when (RFC 3339)."""

    id: str
    prepared: str
    sender: str
    languages: Sequence[str] = field(default=("vi", "en"))


class Series(NamedTuple):
    """Observations that differ in time alone: the key in the order of the dimensions, and (period, value) pairs.

    ``attributes`` are those of each of its observations: a reader that has no structure at hand takes attributes of a
    series for dimensions.
    """

    key: tuple[str, ...]
    attributes: Mapping[str, str]
    observations: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class StructureMessage:
    """Artefacts to be written. Of the ``stubs`` only the name is said, and where the rest is: under ``base``."""

    header: Header
    artefacts: Sequence[Artefact]
    stubs: frozenset[Reference] = frozenset()
    base: str = ""

    def of(self, kind: Kind) -> list[Artefact]:
        return [each for each in self.artefacts if each.reference.kind is kind]

    def address(self, artefact: Artefact) -> str | None:
        """Where the whole of a stub is; None for what is whole."""
        found = artefact.reference
        if found not in self.stubs:
            return None
        return f"{self.base}/{found.kind}/{found.agency}/{found.id}/{found.version}"
