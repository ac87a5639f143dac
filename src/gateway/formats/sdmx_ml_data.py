"""SDMX-ML data messages, piece by piece: generic (2.1) and structure-specific (2.1 and 3.0)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gateway.formats.sdmx_codes import TIME, VALUE
from gateway.formats.sdmx_ml import ML_2_1, Dialect, header
from gateway.formats.sdmx_structures import CLASSES, DataStructure, Header, Series
from gateway.formats.xml import element, escaped, start

ALL_DIMENSIONS = "AllDimensions"
"""`dimensionAtObservation` of a message without series."""


@dataclass(frozen=True, slots=True)
class Shown:
    """Which parts of series are written: attributes, values; and whether observations stand alone, without series."""

    attributes: frozenset[str]
    observations: bool = True
    values: bool = True
    flat: bool = False


class GenericData:
    """Generic data: every value beside the id of its component."""

    media_type = "application/vnd.sdmx.genericdata+xml;version=2.1"

    def __init__(self, structure: DataStructure, shown: Shown) -> None:
        self._structure, self._shown = structure, shown
        self._names = [each.id for each in structure.dimensions]

    def opening(self, said: Header) -> bytes:
        """The message up to its data set."""
        start_ = ML_2_1.opening("mes:GenericData", gen="data/generic")
        return f"{start_}{header(said, _structure(ML_2_1, self._structure, self._shown))}".encode()

    def data_set(self) -> bytes:
        return _data_set({"structureRef": self._structure.reference.id, "action": "Information"})

    def pieces(self, series: Iterable[Series]) -> bytes:
        """Series as they stand in the data set."""
        write = self._observations if self._shown.flat else self._series
        return "".join(map(write, series)).encode()

    def closing(self, empty: bool) -> bytes:
        return _closing("GenericData", empty)

    def _series(self, series: Series) -> str:
        key = _generic("gen:SeriesKey", zip(self._names, series.key, strict=True))
        attributes = self._attributes(series)
        body = [
            f'<gen:Obs><gen:ObsDimension value="{escaped(period)}"/>{self._value(value)}{attributes}</gen:Obs>'
            for period, value in series.observations
        ]
        return element("gen:Series", content=key + ("".join(body) if self._shown.observations else ""))

    def _value(self, value: str) -> str:
        return f'<gen:ObsValue value="{escaped(value)}"/>' if self._shown.values else ""

    def _attributes(self, series: Series) -> str:
        return _generic("gen:Attributes", _chosen(series, self._shown))

    def _observations(self, series: Series) -> str:
        key, attributes = [*zip(self._names, series.key, strict=True)], self._attributes(series)
        return "".join(
            f"<gen:Obs>{_generic('gen:ObsKey', [*key, (TIME, period)])}{self._value(value)}{attributes}</gen:Obs>"
            for period, value in series.observations
        )


class SpecificData:
    """Structure-specific data: components are XML attributes.

    The namespace of the structure is named in the header and not declared: no element is of it.
    """

    def __init__(self, dialect: Dialect, structure: DataStructure, shown: Shown) -> None:
        self._dialect, self._structure, self._shown = dialect, structure, shown
        self._names = [each.id for each in structure.dimensions]

    @property
    def media_type(self) -> str:
        if self._dialect.is_old:
            return "application/vnd.sdmx.structurespecificdata+xml;version=2.1"
        return "application/vnd.sdmx.data+xml;version=3.0.0"

    def opening(self, said: Header) -> bytes:
        """The message up to its data set."""
        start_ = self._dialect.opening("mes:StructureSpecificData", ss="data/structurespecific")
        structure = _structure(self._dialect, self._structure, self._shown, self._structure.reference.urn)
        return f"{start_}{header(said, structure)}".encode()

    def data_set(self) -> bytes:
        return _data_set({"ss:structureRef": self._structure.reference.id, "ss:action": "Information"})

    def pieces(self, series: Iterable[Series]) -> bytes:
        """Series as they stand in the data set."""
        write = self._observations if self._shown.flat else self._series
        return "".join(map(write, series)).encode()

    def closing(self, empty: bool) -> bytes:
        return _closing("StructureSpecificData", empty)

    def _series(self, series: Series) -> str:
        key = dict(zip(self._names, series.key, strict=True))
        return element("Series", key, self._lines("", series) if self._shown.observations else "")

    def _observations(self, series: Series) -> str:
        return "".join(self._lines(_attributes(zip(self._names, series.key, strict=True)), series))

    def _lines(self, key: str, series: Series) -> Iterable[str]:
        rest = _attributes(_chosen(series, self._shown))
        for period, value in series.observations:
            said = f' {VALUE}="{escaped(value)}"' if self._shown.values else ""
            yield f'<Obs{key} {TIME}="{escaped(period)}"{said}{rest}/>'


def _chosen(series: Series, shown: Shown) -> Iterable[tuple[str, str]]:
    return [each for each in series.attributes.items() if each[0] in shown.attributes]


def _attributes(named: Iterable[tuple[str, str]]) -> str:
    return "".join(f' {name}="{escaped(value)}"' for name, value in named)


def _generic(name: str, values: Iterable[tuple[str, str]]) -> str:
    inner = "".join(f'<gen:Value id="{escaped(key)}" value="{escaped(value)}"/>' for key, value in values)
    return f"<{name}>{inner}</{name}>" if inner else ""


def _structure(dialect: Dialect, structure: DataStructure, shown: Shown, namespace: str | None = None) -> str:
    found = structure.reference
    if dialect.is_old:
        class_ = CLASSES[found.kind]
        reference = {"id": found.id, "version": found.version, "agencyID": found.agency}
        pointer = element("Ref", {**reference, "class": class_.name, "package": class_.package})
    else:
        pointer = escaped(found.urn)
    attributes = {
        "structureID": found.id,
        "namespace": namespace,
        "dimensionAtObservation": ALL_DIMENSIONS if shown.flat else TIME,
    }
    return element("mes:Structure", attributes, element("com:Structure", content=pointer))


def _data_set(attributes: Mapping[str, str]) -> bytes:
    return start("mes:DataSet", attributes).encode()


def _closing(root: str, empty: bool) -> bytes:
    return (f"</mes:{root}>" if empty else f"</mes:DataSet></mes:{root}>").encode()
