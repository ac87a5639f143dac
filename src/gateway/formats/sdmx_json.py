"""SDMX-JSON 2.0.0: structure messages and errors. The key `schema` comes first: readers tell messages by it."""

from collections.abc import Callable, Mapping
from typing import Any

from gateway.domain.exact import encode
from gateway.formats.sdmx_structures import (
    Artefact,
    Categorisation,
    Component,
    Constraint,
    Dataflow,
    DataStructure,
    DataType,
    Header,
    Item,
    Kind,
    Names,
    Scheme,
    StructureMessage,
)

_SCHEMA = (
    "https://raw.githubusercontent.com/sdmx-twg/sdmx-json/develop/structure-message/tools/schemas/2.0.0/"
    "sdmx-json-structure-schema.json"
)
_LISTS = {
    Kind.agencyscheme: ("agencySchemes", "agencies"),
    Kind.categorisation: ("categorisations", ""),
    Kind.categoryscheme: ("categorySchemes", "categories"),
    Kind.codelist: ("codelists", "codes"),
    Kind.conceptscheme: ("conceptSchemes", "concepts"),
    Kind.contentconstraint: ("dataConstraints", ""),
    Kind.dataflow: ("dataflows", ""),
    Kind.datastructure: ("dataStructures", ""),
}
"""What a kind's list is called, and the list of its items."""

Json = dict[str, Any]


def structure_message(message: StructureMessage, language: str) -> bytes:
    """The artefacts of a message; names in a language, and in all they have."""
    writer = _Writer(message, language)
    data = {
        name: [writer.artefact(each) for each in message.of(kind)]
        for kind, (name, _) in _LISTS.items()
        if message.of(kind)
    }
    return encode({"meta": _meta(message.header, language), "data": data})


def error_message(said: Header, code: int, title: str, details: list[str], language: str) -> bytes:
    """Errors as SDMX-JSON has them in any message."""
    errors = [{"code": code, "title": title, **({"detail": detail} if detail else {})} for detail in details or [""]]
    return encode({"meta": _meta(said, language), "errors": errors})


def _meta(said: Header, language: str) -> Json:
    languages = [language, *(each for each in said.languages if each != language)]
    return {
        "schema": _SCHEMA,
        "id": said.id,
        "prepared": said.prepared,
        "test": False,
        "contentLanguages": languages,
        "sender": {"id": said.sender},
    }


class _Writer:
    def __init__(self, message: StructureMessage, language: str) -> None:
        self._message, self._language = message, language

    def artefact(self, artefact: Artefact) -> Json:
        found, address = artefact.reference, self._message.address(artefact)
        shown = {"id": found.id, "agencyID": found.agency, "version": found.version, **self._named(artefact.names)}
        if found.kind is Kind.agencyscheme:
            del shown["version"]
        if address is not None:
            return shown | {"isExternalReference": True, "links": [{"rel": "external", "href": address}]}
        contents: Mapping[type[Artefact], Callable[[Any], Json]] = {
            Scheme: self._items,
            Dataflow: lambda each: {"structure": each.structure.urn},
            DataStructure: _components,
            Categorisation: lambda each: {"source": each.source.urn, "target": each.target.urn},
            Constraint: _region,
        }
        return shown | contents[type(artefact)](artefact)

    def _named(self, names: Names) -> Json:
        best = names.get(self._language) or next(iter(names.values()))
        return {"name": best, "names": dict(names)}

    def _items(self, scheme: Scheme) -> Json:
        partial = {"isPartial": True} if scheme.is_partial else {}
        return partial | {_LISTS[scheme.reference.kind][1]: [self._item(scheme, each) for each in scheme.items]}

    def _item(self, scheme: Scheme, item: Item) -> Json:
        shown = {"id": item.id, **self._named(item.names)}
        if item.parent is not None:
            shown["parent"] = item.parent
        if scheme.reference.kind is Kind.conceptscheme:
            found = scheme.reference
            urn = f"{found.urn.replace('ConceptScheme', 'Concept')}.{item.id}"
            shown["links"] = [{"rel": "self", "urn": urn, "type": "concept"}]
        return shown


def _components(structure: DataStructure) -> Json:
    dimensions = [{**_component(each), "position": place} for place, each in enumerate(structure.dimensions)]
    attributes = [
        {
            **_component(each),
            "usage": "optional",
            "attributeRelationship": {"observation": {}},
        }
        for each in structure.attributes
    ]
    return {
        "dataStructureComponents": {
            "dimensionList": {
                "id": "DimensionDescriptor",
                "dimensions": dimensions,
                "timeDimension": _component(structure.time),
            },
            "measureList": {"id": "MeasureDescriptor", "measures": [_component(structure.measure)]},
            "attributeList": {"id": "AttributeDescriptor", "attributes": attributes},
        }
    }


def _component(component: Component) -> Json:
    kept: Json = {"enumeration": component.codelist.urn} if component.codelist else _format(component.type)
    return {"id": component.id, "conceptIdentity": component.concept.urn, "localRepresentation": kept}


def _format(kind: DataType) -> Json:
    return {"format": {"dataType": kind.value}}


def _region(constraint: Constraint) -> Json:
    keys: list[Json] = [
        {"id": name, "values": [{"value": each} for each in values]} for name, values in constraint.values.items()
    ]
    if constraint.periods is not None:
        first, last = ({"period": each, "isInclusive": True} for each in constraint.periods)
        keys.append({"id": "TIME_PERIOD", "timeRange": {"startPeriod": first, "endPeriod": last}})
    return {
        "role": "Actual" if constraint.is_actual else "Allowed",
        "constraintAttachment": {"dataflows": [constraint.flow.urn]},
        "cubeRegions": [{"include": True, "keyValues": keys}],
    }
