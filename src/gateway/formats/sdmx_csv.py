"""SDMX-CSV 1.0 and 2.0: one line an observation, `OBS_VALUE` after the dimensions, attributes last."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence

from gateway.formats.csv import csv_fields
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
        self._written_lead = csv_fields(self._lead.values())
        self._ends: dict[int, tuple[Mapping[str, str], str]] = {}

    def opening(self, _: Header) -> bytes:
        """The line of column names; CSV has no header of a message."""
        dimensions = [each.id for each in self._structure.dimensions]
        value = [VALUE] if self._shown.values else []
        return _lines([[*self._lead, *dimensions, TIME, *value, *self._attributes]])

    def data_set(self) -> bytes:
        return b""

    def pieces(self, series: Iterable[Series]) -> bytes:
        return "".join([line for each in series for line in self._observations(each)]).encode()

    def closing(self, empty: bool) -> bytes:
        return b""

    def _observations(self, series: Series) -> list[str]:
        """The lines of a series. Periods and figures, and the ids of a key, hold nothing that would need quotes."""
        rest = self._rest(series.attributes)
        lead = f"{self._written_lead},{','.join(series.key)}"
        if not self._shown.observations:
            return [f"{lead},{',' if self._shown.values else ''}{rest}"]
        if not self._shown.values:
            return [f"{lead},{period}{rest}" for period, _ in series.observations]
        return [f"{lead},{period},{value}{rest}" for period, value in series.observations]

    def _rest(self, attributes: Mapping[str, str]) -> str:
        """The end of a line, which is put together once for as long as the same attributes are meant."""
        known = self._ends.get(id(attributes))
        if known is None or known[0] is not attributes:
            values = [attributes.get(name, "") for name in self._attributes]
            known = self._ends[id(attributes)] = attributes, f",{csv_fields(values)}\r\n" if values else "\r\n"
        return known[1]


def _lines(lines: Iterable[Sequence[str]]) -> bytes:
    sheet = io.StringIO()
    csv.writer(sheet).writerows(lines)
    return sheet.getvalue().encode()
