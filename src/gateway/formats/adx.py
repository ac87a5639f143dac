"""ADX (IHE QRPH, Aggregate Data Exchange): groups of data values of a unit and a period, breakdowns as attributes.

A group is a report: ``dataSet`` the form, ``orgUnit`` the agency, ``period`` the period; ``dataElement`` is the
indicator, and every other attribute of a value the code of a breakdown.
"""

import re
from collections.abc import Mapping
from datetime import date

from gateway.errors import Text
from gateway.formats.single_values import Observations, Path, Spelling, counted
from gateway.formats.upload import Cell, Faults, FiledReport, malformed
from gateway.formats.xml_reader import Reader, in_pieces

NAMESPACE = "urn:ihe:qrph:adx:2015"
_SAID = {"dataSet": "form", "orgUnit": "agency", "period": "period"}
_IGNORED = frozenset({"completeDate", "comment"})
"""What says nothing that a report keeps: when the group was complete is when it is received."""


def read_adx(body: bytes) -> list[FiledReport]:
    """The reports of an ADX message. Raises ``MalformedRequest``, ``ContentTooLarge``."""
    message = _Message()
    reader = Reader(message)
    reader.read(in_pieces(body))
    message.faults.settle()
    return message.values.reports


class AdxSpelling(Spelling):
    def path(self, path: Path) -> Text:
        return counted(list(zip(("adx", "group", "dataValue"), (0, *path), strict=False)))


SPELL = AdxSpelling()


class _Message:
    """What is told of a message: ``adx``, in it groups, in them values, in them at most an annotation."""

    def __init__(self) -> None:
        self.values, self.faults = Observations(SPELL), Faults()
        self._depth = self._group = self._number = 0
        self._value: dict[str, str] | None = None
        self._annotation: str | None = None

    def opened(self, space: str, name: str, attributes: Mapping[str, str]) -> None:
        self._depth += 1
        expected = ("adx", "group", "dataValue", "annotation")
        if self._depth > len(expected) or name != expected[self._depth - 1] or space != NAMESPACE:
            if self._depth == 1:
                raise malformed(
                    Text(f"Không phải ADX (không gian tên {NAMESPACE}).", f"This is no ADX (namespace {NAMESPACE}).")
                )
            raise malformed(
                Text(f"Không mong đợi phần tử {name[:50]} ở đây.", f"Element {name[:50]} does not belong here."),
                self._here,
            )
        own = {key: value for key, value in attributes.items() if not key.startswith(":")}
        if name == "group":
            self._begin(own)
        elif name == "dataValue":
            self._number += 1
            self._value, self._annotation = own, None

    def closed(self, name: str, text: str) -> None:
        self._depth -= 1
        if name == "annotation":
            self._annotation = text
        elif name == "dataValue" and self._value is not None:
            self._add(self._value)

    @property
    def _here(self) -> Text:
        return SPELL.path(tuple(filter(None, (self._group, self._number))))

    def _begin(self, attributes: Mapping[str, str]) -> None:
        self._group += 1
        self._number = 0
        here = SPELL.path((self._group,))
        said: dict[str, str] = {}
        at: dict[str, Text] = {}
        for attribute, value in attributes.items():
            place = Text(f"{here.vi}/@{attribute}", f"{here.en}/@{attribute}")
            name = _SAID.get(attribute)
            if name is not None:
                said[name], at[name] = (period_code(value) if name == "period" else value), place
            elif attribute not in _IGNORED:
                self.faults.add(place, Text("Nhóm không có thuộc tính này.", "A group has no such attribute."))
        self.values.begin(said, at)

    def _add(self, attributes: dict[str, str]) -> None:
        self._value = None
        lacking = [name for name in ("dataElement", "value") if name not in attributes]
        if lacking:
            names = ", ".join(lacking)
            self.faults.add(self._here, Text(f"Thiếu thuộc tính {names}.", f"Attribute {names} is missing."))
            return
        indicator, value = attributes.pop("dataElement"), attributes.pop("value")
        for name in _IGNORED:
            attributes.pop(name, None)
        cell: Cell | None = value if self._annotation is None else self._annotation
        self.values.add(attributes, indicator, cell or None, (self._group, self._number))


_RANGE = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})/P([0-9]{1,3})([DWMY])")


def period_code(text: str) -> str:
    """A period of ADX, its first day and how long it is, as a period here; what is none stays as it is.

    It is named by its nominal days: `2026-01-01/P3M` is the first quarter, whatever day its regime cuts it on.
    """
    found = _RANGE.fullmatch(text)
    if not found:
        return text
    try:
        first = date.fromisoformat(found[1])
    except ValueError:
        return text
    count, unit = int(found[2]), found[3]
    months = {"M": count, "Y": 12 * count}.get(unit)
    if months is not None and first.day == 1:
        known = _of_months(first.year, first.month, months)
        return text if known is None else known
    if (unit, count) in {("D", 7), ("W", 1)} and first.isoweekday() == 1:
        year, week, _ = first.isocalendar()
        return f"{year}-W{week:02}"
    return text


def _of_months(year: int, month: int, months: int) -> str | None:
    if months == 1:
        return f"{year}-{month:02}"
    if months == 9 and month == 1:
        return f"{year}-9M"
    if months not in {3, 6, 12} or (month - 1) % months:
        return None
    number = (month - 1) // months + 1
    return {3: f"{year}-Q{number}", 6: f"{year}-S{number}", 12: f"{year}"}[months]
