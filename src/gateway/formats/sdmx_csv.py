"""SDMX-CSV 1.0 and 2.0: one line an observation, `OBS_VALUE` after the dimensions, attributes last."""

import csv
import io
from collections.abc import Iterable, Sequence

from gateway.formats.sdmx_codes import ATTRIBUTES, TIME, VALUE
from gateway.formats.sdmx_ml_data import Shown
from gateway.formats.sdmx_structures import DataStructure, Header, Reference, Series


class CsvData:
    """Data of a dataflow. Version 2 says on every line what it is of and that it is for information."""

    def __init__(self, version: int, flow: Reference, structure: DataStructure, shown: Shown) -> None:
        self._flow, self._structure, self._shown = flow, structure, shown
        self.media_type = f"application/vnd.sdmx.data+csv;version={version}.0.0"
        self._lead = {"STRUCTURE": "dataflow", "STRUCTURE_ID": flow.short, "ACTION": "I"}
        if version == 1:
            self._lead = {"DATAFLOW": flow.short}
        self._attributes = [name for name in ATTRIBUTES if name in shown.attributes]

    def opening(self, _: Header) -> bytes:
        """The line of column names; CSV has no header of a message."""
        dimensions = [each.id for each in self._structure.dimensions]
        value = [VALUE] if self._shown.values else []
        return _lines([[*self._lead, *dimensions, TIME, *value, *self._attributes]])

    def data_set(self) -> bytes:
        return b""

    def pieces(self, series: Iterable[Series]) -> bytes:
        return _lines(line for each in series for line in self._observations(each))

    def closing(self, empty: bool) -> bytes:
        return b""

    def _observations(self, series: Series) -> Iterable[Sequence[str]]:
        rest = [series.attributes.get(name, "") for name in self._attributes]
        lead = [*self._lead.values(), *series.key]
        for period, value in series.observations if self._shown.observations else [("", "")]:
            yield [*lead, period, *([value] if self._shown.values else []), *rest]


def _lines(lines: Iterable[Sequence[str]]) -> bytes:
    sheet = io.StringIO()
    csv.writer(sheet).writerows(lines)
    return sheet.getvalue().encode()
