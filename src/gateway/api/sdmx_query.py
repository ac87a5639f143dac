"""Requests of SDMX-REST 1.5 and 2.x as text: paths, keys, filters and parameters. Nothing is looked up here."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from starlette.datastructures import QueryParams

from gateway.api.parameters import wrong
from gateway.api.sdmx_errors import NotImplementedHere
from gateway.domain.as_of import AsOf, read_as_of, time_of
from gateway.domain.period import VIETNAM
from gateway.errors import Text
from gateway.formats.sdmx_structures import Kind

ALL = ("all", "*")
LATEST = ("latest", "~", "+")
_EVERYTHING = ("structure", "*")
_OPERATOR = re.compile(r"(eq|ne|lt|le|gt|ge|co|nc|sw|ew):(.*)")

Names = frozenset[str] | None
"""Ids asked for; None is all."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Artefacts by kind and name. ``versions`` None is every version, empty the latest."""

    kinds: frozenset[Kind]
    agencies: Names
    ids: Names
    versions: Names
    items: Names = None


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison with a value: an operator of SDMX-REST 2.x and what follows it."""

    operator: str
    value: str


@dataclass(frozen=True, slots=True)
class Filter:
    """What a component's value must be: one of several alternatives, each of which may be several conditions."""

    component: str
    alternatives: Sequence[Sequence[Condition]]


Key = Sequence[Names]
"""Values of each dimension in order; dimensions left out at the end are free."""


@dataclass(frozen=True, slots=True)
class DataAsked:
    """Data of a dataflow; ``keys`` are alternatives, none of them is everything."""

    flow: Asked
    keys: Sequence[Key] = ()
    component: str | None = None
    filters: Sequence[Filter] = ()
    start: str | None = None
    end: str | None = None
    first: int | None = None
    last: int | None = None
    flat: bool = False
    attributes: Names = None
    observations: bool = True
    values: bool = True
    as_of: AsOf | None = None
    since: AsOf | None = None


@dataclass(frozen=True, slots=True)
class Path:
    """The segments of a path after its resource, by the separators and wildcards of its base."""

    base: Literal["v1", "v2"]
    segments: Sequence[str] = field(default=())

    @classmethod
    def of(cls, base: Literal["v1", "v2"], path: str, most: int) -> "Path":
        segments = [each for each in path.split("/") if each]
        if len(segments) > most:
            raise wrong(
                "path", Text(f"Tối đa {most} phần sau tài nguyên.", f"At most {most} segments are taken there.")
            )
        return cls(base, segments)

    @property
    def separator(self) -> str:
        return "+" if self.base == "v1" else ","

    def at(self, place: int, default: str = "all") -> str:
        return self.segments[place] if place < len(self.segments) else default

    def names(self, text: str) -> Names:
        if text in ALL:
            return None
        return frozenset(part for part in text.split(self.separator) if part)

    def versions(self, text: str) -> Names:
        """Also ``1.0.0+`` and the like, which take the latest of what begins so: here, the latest."""
        if text in ALL:
            return None
        found = [part for part in re.split("[+,]" if self.base == "v1" else ",", text) if part and part not in LATEST]
        return frozenset(part for part in found if not part.endswith("+"))


def artefacts_asked(path: Path) -> Asked:
    """`{kind}/{agency}/{id}/{version}/{items}`, all but the first optional."""
    items = path.at(4)
    return Asked(
        kinds_of(path.at(0, "structure")),
        path.names(path.at(1)),
        path.names(path.at(2)),
        path.versions(path.at(3, "latest")),
        path.names(items),
    )


def kinds_of(name: str) -> frozenset[Kind]:
    """The kinds a resource stands for. Raises ``NotImplementedHere`` for those that are not served."""
    if name in _EVERYTHING:
        return frozenset(Kind)
    name = "contentconstraint" if name == "dataconstraint" else name
    if name not in set(Kind):
        served = ", ".join(Kind)
        raise NotImplementedHere(Text(f"Tài nguyên được phục vụ: {served}.", f"Resources served: {served}."))
    return frozenset({Kind(name)})


def flow_of_v1(text: str, kind: Kind = Kind.dataflow) -> Asked:
    """`ID`, `AGENCY,ID` or `AGENCY,ID,VERSION`."""
    parts = text.split(",")
    if len(parts) > 3 or not all(parts):
        raise wrong("flowRef", Text("flowRef: mã, hoặc cơ quan,mã,phiên bản.", "flowRef is id, or agency,id,version."))
    agency, name, version = {1: ("all", *parts, "latest"), 2: (*parts, "latest")}.get(len(parts), tuple(parts))
    path = Path("v1")
    return Asked(frozenset({kind}), path.names(agency), path.names(name), path.versions(version))


def flow_of_v2(path: Path) -> Asked:
    """`{context}/{agency}/{id}/{version}`, each optional."""
    context = path.at(0, "*")
    if context not in {"dataflow", "datastructure", "*"}:
        said = "dataflow, datastructure, *"
        raise NotImplementedHere(Text(f"Ngữ cảnh được phục vụ: {said}.", f"Contexts served: {said}."))
    kind = Kind.datastructure if context == "datastructure" else Kind.dataflow
    names = path.names(path.at(1)), path.names(path.at(2)), path.versions(path.at(3, "~"))
    return Asked(frozenset({kind}), *names)


def keys_of(path: Path, text: str) -> list[Key]:
    """`A.B+C.`: values of the dimensions in order, `+` for or, blank (in 2.x also `*`) for any.

    In 2.x several keys may stand side by side, with commas between.
    """
    if text in ALL:
        return []
    keys = [text] if path.base == "v1" else text.split(",")
    return [[_values(part) for part in key.split(".")] for key in keys]


def _values(part: str) -> Names:
    return None if part in {"", "*"} else frozenset(value for value in part.split("+") if value)


_TAKEN = {
    "startPeriod",
    "endPeriod",
    "updatedAfter",
    "updateAfter",
    "asOf",
    "firstNObservations",
    "lastNObservations",
    "dimensionAtObservation",
    "detail",
    "attributes",
    "measures",
    "includeHistory",
    "mode",
    "references",
}


def data_asked(path: Path, query: QueryParams, flow: Asked, key: str, component: str | None = None) -> DataAsked:
    """A data or availability query. Raises ``MalformedRequest`` naming what is not right."""
    _require_known(query, _TAKEN)
    if query.get("includeHistory", "false") != "false":
        raise NotImplementedHere(Text("Chưa phục vụ includeHistory.", "includeHistory is not served."))
    detail = _one_of(query, "detail", ("full", "dataonly", "serieskeysonly", "nodata"))
    measures = query.get("measures", "all")
    with_attributes = detail in {"full", "nodata"} and query.get("attributes") != "none"
    return DataAsked(
        flow=flow,
        keys=keys_of(path, key),
        component=None if component in {None, *ALL} else component,
        filters=list(_filters(query)),
        start=query.get("startPeriod"),
        end=query.get("endPeriod"),
        first=_count(query, "firstNObservations"),
        last=_count(query, "lastNObservations"),
        flat=_is_flat(query),
        attributes=_attributes(query) if with_attributes else frozenset(),
        observations=detail in {"full", "dataonly"},
        values=measures != "none",
        as_of=moment_asked(query, "asOf"),
        since=moment_asked(query, "updatedAfter", "updateAfter"),
    )


def moment_asked(query: QueryParams, *names: str) -> AsOf | None:
    """The state that a parameter names by a time or by the ``As-Of`` of an answer. Clients spell it in several ways."""
    for name in names:
        if name in query:
            try:
                return read_moment(query[name])
            except ValueError:
                raise wrong(name, Text("Phải là thời điểm ISO 8601.", "It is a moment, by ISO 8601.")) from None
    return None


def read_moment(text: str) -> AsOf:
    """As ``read_as_of``; a date, or a time without its zone, which XML Schema allows, is in Viet Nam's.

    Raises ``ValueError``.
    """
    try:
        return read_as_of(text)
    except ValueError:
        moment = datetime.fromisoformat(text)
        return time_of(moment if moment.tzinfo else moment.replace(tzinfo=VIETNAM))


def _require_known(query: QueryParams, taken: Iterable[str]) -> None:
    for name in query:
        if name not in taken and not re.fullmatch(r"c\[[^\]]+\]", name):
            raise wrong(name[:50], Text("Không có tham số này.", "There is no such parameter."))


def _one_of(query: QueryParams, name: str, taken: Sequence[str]) -> str:
    value = query.get(name, taken[0])
    if value not in taken:
        said = ", ".join(taken)
        raise wrong(name, Text(f"{name} nhận: {said}.", f"{name} takes: {said}."))
    return value


def _count(query: QueryParams, name: str) -> int | None:
    if name not in query:
        return None
    if not re.fullmatch(r"[1-9][0-9]{0,8}", query[name]):
        raise wrong(name, Text("Phải là số nguyên từ 1.", "It is a whole number from 1."))
    return int(query[name])


def _is_flat(query: QueryParams) -> bool:
    dimension = query.get("dimensionAtObservation", "TIME_PERIOD")
    if dimension not in {"TIME_PERIOD", "AllDimensions"}:
        said = "TIME_PERIOD, AllDimensions"
        raise NotImplementedHere(
            Text(f"dimensionAtObservation được phục vụ: {said}.", f"dimensionAtObservation is served for: {said}.")
        )
    return dimension == "AllDimensions"


def _attributes(query: QueryParams) -> Names:
    asked = query.get("attributes", "dsd")
    return None if asked in {"dsd", "all"} else frozenset(asked.split(","))


def _filters(query: QueryParams) -> Iterable[Filter]:
    for name, value in query.multi_items():
        if not name.startswith("c["):
            continue
        # A raw plus in a query is a space by the rules of forms; no value here has one.
        alternatives = [
            [_condition(part) for part in alternative.split("+") if part]
            for alternative in value.replace(" ", "+").split(",")
        ]
        yield Filter(name[2:-1], [each for each in alternatives if each])


def _condition(text: str) -> Condition:
    found = _OPERATOR.fullmatch(text)
    return Condition(found[1], found[2]) if found else Condition("eq", text)


_REFERENCES = ("none", "parents", "parentsandsiblings", "ancestors", "children", "descendants", "all")
_DETAILS = (
    "full",
    "allstubs",
    "allcompletestubs",
    "referencestubs",
    "referencecompletestubs",
    "referencepartial",
    "raw",
)


def references_asked(query: QueryParams) -> frozenset[str] | frozenset[Kind]:
    """Which artefacts come along: one of the words of the standard, or the kinds that are named."""
    text = query.get("references", "none").replace(" ", "+")
    if text in _REFERENCES:
        return frozenset({text})
    parts = [part for part in re.split("[+,]", text) if part]
    kinds = {"contentconstraint" if part == "dataconstraint" else part for part in parts}
    # Kinds that are not served have no artefacts that could come along.
    return frozenset(Kind(each) for each in kinds if each in set(Kind))


def detail_asked(query: QueryParams) -> str:
    _require_known(query, {"references", "detail", "asOf", "explicitMeasure", "dimensionAtObservation"})
    return _one_of(query, "detail", _DETAILS)
