"""SDMX-ML data, read: generic (2.1) and structure-specific (2.1 and 3.0), with series or without."""

import re
from collections.abc import Mapping

from gateway.errors import Text
from gateway.formats.sdmx_codes import TIME, VALUE
from gateway.formats.sdmx_ml import ML_2_1, ML_3_0
from gateway.formats.sdmx_ml_data import ALL_DIMENSIONS
from gateway.formats.sdmx_read import TAKEN_ACTIONS, add, form_of, structure_named
from gateway.formats.single_values import Observations, Path, Spelling, counted
from gateway.formats.upload import Faults, FiledReport, malformed
from gateway.formats.xml_reader import Reader, in_pieces

_ROOTS = {"GenericData": (ML_2_1,), "StructureSpecificData": (ML_2_1, ML_3_0)}
_SPECIFIC, _GENERIC = "StructureSpecificData", "GenericData"
_OF_OBSERVATION = frozenset({"type", "setID", "action"})


def read_generic(body: bytes) -> list[FiledReport]:
    """The reports of a generic data message. Raises ``MalformedRequest``, ``ContentTooLarge``."""
    return _read(body, _GENERIC)


def read_specific(body: bytes) -> list[FiledReport]:
    """The reports of a structure-specific data message. Raises ``MalformedRequest``, ``ContentTooLarge``."""
    return _read(body, _SPECIFIC)


def _read(body: bytes, root: str) -> list[FiledReport]:
    message = _Message(root)
    Reader(message).read(in_pieces(body))
    message.faults.settle()
    return message.values.reports


class _Paths(Spelling):
    """Data set, series (0 where there is none) and observation, by their numbers."""

    def __init__(self, root: str) -> None:
        self._root = root

    def path(self, path: Path) -> Text:
        steps = zip(("DataSet", "Series", "Obs"), path, strict=False)
        return counted([(self._root, 0), *((name, number) for name, number in steps if number)])


class _Message:
    """What is told of a message."""

    def __init__(self, root: str) -> None:
        self._root, self._spell = root, _Paths(root)
        self.values, self.faults = Observations(self._spell, is_sdmx=True), Faults()
        self._stack: list[str] = []
        self._structures: dict[str, dict[str, str]] = {}
        self._at_observation: dict[str, str] = {}
        self._named = ""
        self._structure: dict[str, str] | None = None
        self._along = TIME
        self._sets = self._number = self._observation = 0
        self._key: dict[str, str] = {}
        self._own: dict[str, str] = {}

    def opened(self, space: str, name: str, attributes: Mapping[str, str]) -> None:
        above = self._stack[-1] if self._stack else None
        self._stack.append(name)
        if above is None:
            self._require_root(space, name)
        elif above == "Header" and name == "Structure":
            self._named = attributes.get("structureID", "")
            self._at_observation[self._named] = attributes.get("dimensionAtObservation", TIME)
        elif name in {"Ref", "URN"} and "Header" in self._stack:
            if name == "Ref":
                self._structures[self._named] = form_of(attributes.get("id", ""), attributes.get("version", ""))
        elif name == "DataSet":
            self._begin(attributes)
        elif "DataSet" in self._stack:
            self._told(above, name, attributes)

    def closed(self, name: str, text: str) -> None:
        self._stack.pop()
        if name in {"Structure", "StructureUsage", "URN"} and "Header" in self._stack and text.strip():
            self._structures[self._named] = structure_named(text.strip()) or {}
        elif name == "Obs":
            self._finish()
        elif name == "Series":
            self._key = {}

    def _require_root(self, space: str, name: str) -> None:
        if name != self._root or space not in {each.namespace("message") for each in _ROOTS[self._root]}:
            raise malformed(
                Text(f"Không phải thông điệp SDMX-ML {self._root}.", f"This is no SDMX-ML message of {self._root}.")
            )

    @property
    def _here(self) -> Text:
        return self._spell.path((self._sets, self._number, self._observation))

    def _begin(self, attributes: Mapping[str, str]) -> None:
        self._sets += 1
        self._number = self._observation = 0
        given = {name.lstrip(":"): value for name, value in attributes.items()}
        if given.get("action", "I").upper() not in TAKEN_ACTIONS:
            self.faults.add(
                self._here,
                Text(
                    "Chỉ nhận báo cáo trọn vẹn: action là Information, Replace hoặc Append.",
                    "A report is sent whole: its action is Information, Replace or Append.",
                ),
            )
        named = given.get("structureRef", "")
        self._structure = self._structures.get(named) or None
        self._along = self._at_observation.get(named, TIME)
        if self._structure is None:
            self.faults.add(
                self._here,
                Text(
                    "Không rõ thuộc cấu trúc nào.",
                    "It does not say of which structure it is, or that is none of a form.",
                ),
            )

    def _told(self, above: str, name: str, attributes: Mapping[str, str]) -> None:
        """An element of a data set."""
        own = {key: value for key, value in attributes.items() if not key.startswith(":")}
        match name:
            case "Series":
                self._number += 1
                self._observation = 0
                self._key = {} if self._root == _GENERIC else own
            case "Obs":
                self._observation += 1
                self._own = {} if self._root == _GENERIC else {k: v for k, v in own.items() if k not in _OF_OBSERVATION}
            case "Value" if "Group" not in self._stack:
                self._component(above, own)
            case "ObsDimension":
                named = own.get("id") or (TIME if self._along == ALL_DIMENSIONS else self._along)
                self._own[named] = own.get("value", "")
            case "ObsValue":
                self._own[VALUE] = own.get("value", "")

    def _component(self, above: str, attributes: Mapping[str, str]) -> None:
        """A value beside the id of its component, of a series' key or attributes or of an observation's."""
        target = self._own if "Obs" in self._stack else self._key
        target[attributes.get("id", "")] = attributes.get("value", "")

    def _finish(self) -> None:
        if self._structure is None:
            return
        path = (self._sets, self._number, self._observation)
        components = {**self._key, **self._own}
        add(self.values, self._structure, components, path, self._here, self.faults)
        self._own = {}


def root_of(body: bytes) -> str | None:
    """The kind of data message that a file seems to be, by how it begins."""
    found = re.search(rb"<(?:[\w.-]+:)?(GenericData|StructureSpecificData)\b", body[:4096])
    return found[1].decode() if found else None
