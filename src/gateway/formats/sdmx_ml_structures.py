"""SDMX-ML structure messages, 2.1 and 3.0."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gateway.formats.sdmx_ml import Dialect, header, texts
from gateway.formats.sdmx_structures import (
    CLASSES,
    Artefact,
    Categorisation,
    Component,
    Constraint,
    Dataflow,
    DataStructure,
    Item,
    Kind,
    Reference,
    Scheme,
    StructureMessage,
)
from gateway.formats.xml import element, escaped

_ORDER_2_1 = {
    Kind.agencyscheme: "OrganisationSchemes",
    Kind.dataflow: "Dataflows",
    Kind.categoryscheme: "CategorySchemes",
    Kind.categorisation: "Categorisations",
    Kind.codelist: "Codelists",
    Kind.conceptscheme: "Concepts",
    Kind.datastructure: "DataStructures",
    Kind.contentconstraint: "Constraints",
}
_ORDER_3_0 = {
    Kind.agencyscheme: "AgencySchemes",
    Kind.categorisation: "Categorisations",
    Kind.categoryscheme: "CategorySchemes",
    Kind.codelist: "Codelists",
    Kind.conceptscheme: "ConceptSchemes",
    Kind.contentconstraint: "DataConstraints",
    Kind.dataflow: "Dataflows",
    Kind.datastructure: "DataStructures",
}
_PARENT_3_0 = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


def structure_message(dialect: Dialect, message: StructureMessage) -> bytes:
    """The artefacts of a message, each kind in its place."""
    writer = _Writer(dialect, message)
    order = _ORDER_2_1 if dialect.is_old else _ORDER_3_0
    lists = [
        element(f"str:{name}", content=(writer.artefact(each) for each in message.of(kind)))
        for kind, name in order.items()
        if message.of(kind)
    ]
    opening = dialect.opening("mes:Structure", str="structure")
    body = element("mes:Structures", content=lists)
    return f"{opening}{header(message.header)}{body}</mes:Structure>".encode()


class _Writer:
    def __init__(self, dialect: Dialect, message: StructureMessage) -> None:
        self._dialect, self._message = dialect, message

    def artefact(self, artefact: Artefact) -> str:
        found, address = artefact.reference, self._message.address(artefact)
        name = CLASSES[found.kind].name
        attributes: dict[str, str | None] = {"id": found.id, "agencyID": found.agency, "version": found.version}
        if found.kind is Kind.agencyscheme and not self._dialect.is_old:
            attributes["version"] = None
        if isinstance(artefact, Scheme) and artefact.is_partial:
            attributes["isPartial"] = "true"
        if address is not None:
            attributes |= {"isExternalReference": "true", "structureURL": address}
        if isinstance(artefact, Constraint):
            name = "ContentConstraint" if self._dialect.is_old else name
            role = "Actual" if artefact.is_actual else "Allowed"
            attributes |= {"type" if self._dialect.is_old else "role": role}
        inner = texts("com:Name", artefact.names)
        return element(f"str:{name}", attributes, inner if address is not None else inner + self._content(artefact))

    def _content(self, artefact: Artefact) -> str:
        contents: Mapping[type[Artefact], Callable[[Any], str]] = {
            Scheme: self._items,
            Dataflow: lambda each: self._pointer("str:Structure", each.structure),
            DataStructure: self._components,
            Categorisation: lambda each: (
                self._pointer("str:Source", each.source) + self._pointer("str:Target", each.target)
            ),
            Constraint: self._region,
        }
        return contents[type(artefact)](artefact)

    def _pointer(self, name: str, to: Reference) -> str:
        return element(name, content=self._named(to) if self._dialect.is_old else escaped(to.urn))

    def _named(self, to: Reference) -> str:
        """A reference of 2.1: an artefact, or an item of one."""
        found = CLASSES[to.kind]
        package = {"package": found.package, "class": to.class_, "agencyID": to.agency}
        if to.item is None:
            return element("Ref", {"id": to.id, "version": to.version, **package})
        parent = {"maintainableParentID": to.id, "maintainableParentVersion": to.version}
        return element("Ref", {"id": to.item, **parent, **package})

    def _local(self, name: str, to: str) -> str:
        """A reference to something of the same artefact."""
        return element(name, content=element("Ref", {"id": to}) if self._dialect.is_old else escaped(to))

    def _items(self, scheme: Scheme) -> str:
        item = CLASSES[scheme.reference.kind].item
        return "".join(self._item(f"str:{item}", each) for each in scheme.items)

    def _item(self, name: str, item: Item) -> str:
        """An item; the schemas of 3.0 take as parents fewer ids than there are, so that some parents are not said."""
        is_said = item.parent is not None and (self._dialect.is_old or _PARENT_3_0.fullmatch(item.parent))
        parent = self._local("str:Parent", item.parent) if item.parent is not None and is_said else ""
        return element(name, {"id": item.id}, texts("com:Name", item.names) + parent)

    def _components(self, structure: DataStructure) -> str:
        last = str(len(structure.dimensions) + 1) if self._dialect.is_old else None
        dimensions = [
            self._component("Dimension", each, {"position": str(place)})
            for place, each in enumerate(structure.dimensions, start=1)
        ]
        dimensions.append(self._component("TimeDimension", structure.time, {"position": last}))
        attributes = [self._attribute(each) for each in structure.attributes]
        measure = self._component("PrimaryMeasure" if self._dialect.is_old else "Measure", structure.measure, {})
        lists = [
            element("str:DimensionList", {"id": "DimensionDescriptor"}, dimensions),
            element("str:AttributeList", {"id": "AttributeDescriptor"}, attributes),
            element("str:MeasureList", {"id": "MeasureDescriptor"}, measure),
        ]
        return element("str:DataStructureComponents", content=lists)

    def _component(self, name: str, component: Component, attributes: Mapping[str, str | None], rest: str = "") -> str:
        if component.codelist is not None:
            kept = self._pointer("str:Enumeration", component.codelist)
        else:
            kept = element("str:TextFormat", {"textType": component.type.value})
        inner = self._pointer("str:ConceptIdentity", component.concept) + element(
            "str:LocalRepresentation", content=kept
        )
        return element(f"str:{name}", {"id": component.id, **attributes}, inner + rest)

    def _attribute(self, attribute: Component) -> str:
        if self._dialect.is_old:
            belongs, optional = self._local("str:PrimaryMeasure", "OBS_VALUE"), {"assignmentStatus": "Conditional"}
        else:
            belongs, optional = element("str:Observation"), {"usage": "optional"}
        return self._component("Attribute", attribute, optional, element("str:AttributeRelationship", content=belongs))

    def _region(self, constraint: Constraint) -> str:
        prefix = "com" if self._dialect.is_old else "str"
        keys = [
            element(f"{prefix}:KeyValue", {"id": name}, _values(prefix, values))
            for name, values in constraint.values.items()
        ]
        if constraint.periods is not None:
            first, last = constraint.periods
            ends = [
                element(f"{prefix}:StartPeriod", {"isInclusive": "true"}, escaped(first)),
                element(f"{prefix}:EndPeriod", {"isInclusive": "true"}, escaped(last)),
            ]
            keys.append(
                element(f"{prefix}:KeyValue", {"id": "TIME_PERIOD"}, element(f"{prefix}:TimeRange", content=ends))
            )
        attached = element("str:ConstraintAttachment", content=self._pointer("str:Dataflow", constraint.flow))
        return attached + element("str:CubeRegion", {"include": "true"}, keys)


def _values(prefix: str, values: Iterable[str]) -> Iterable[str]:
    return (element(f"{prefix}:Value", content=escaped(each)) for each in values)
