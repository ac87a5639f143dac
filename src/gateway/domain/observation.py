"""Observations as they are kept: the values of one row of a report, which have all but two fields in common."""

from collections.abc import Container, Iterator, Sequence
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from gateway.domain.form import Form
from gateway.domain.form_document import Type

_BLANK = "NULL"


class Field(NamedTuple):
    """An indicator of a row, with its place among those of its form version."""

    place: int
    id: str
    type: Type


class Line(NamedTuple):
    """The values asked for of one row of a report, in the order of its ``fields``; None is a blank.

    A value is a text: a number with every digit and without exponent, ``true`` or ``false``. Where ``is_gone`` the row
    counts no longer with these fields: each of them is told, and has no value.
    """

    form: str
    form_version: int
    agency: str
    period: str
    breakdowns: Sequence[str]
    codes: Sequence[str]
    report: UUID
    revision: int
    number: int
    fields: Sequence[Field]
    values: Sequence[str | None]
    is_gone: bool = False

    def told(self) -> Iterator[tuple[Field, str | None]]:
        """The fields that are observed, each with its value: blanks are not, but for what is gone."""
        for field, value in zip(self.fields, self.values, strict=True):
            if self.is_gone or value is not None:
                yield field, value

    def shown(self, field: Field, value: str | None) -> dict[str, object]:
        """One observation as JSON shows it."""
        return {
            "form": self.form,
            "form_version": self.form_version,
            "agency": self.agency,
            "period": self.period,
            **dict(zip(self.breakdowns, self.codes, strict=True)),
            "indicator": field.id,
            "value": typed_text(field.type, value),
            "report": self.report,
            "revision": self.revision,
        }


def typed_text(kind: Type, value: str | None) -> object:
    """A value of a line as JSON shows it: an integer, an exact decimal, true or false, a text."""
    match kind:
        case _ if value is None or kind is Type.text:
            return value
        case Type.boolean:
            return value == "true"
        case Type.integer:
            return int(value)
        case _:
            return Decimal(value)


class Cells:
    """Reads the cells asked for out of the rows of one form version, as they are kept."""

    def __init__(self, form: Form, wanted: Container[str]) -> None:
        chosen = [(place, each) for place, each in enumerate(form.indicators) if each.id in wanted]
        self.fields = tuple(Field(place, each.id, each.type) for place, each in chosen)
        self._is_whole = len(chosen) == len(form.indicators) == len(form.number_positions)
        self._places = [
            (each.type is Type.text, (form.text_index if each.type is Type.text else form.value_index)[each.id] - 1)
            for _, each in chosen
        ]
        self._booleans = [place for place, each in enumerate(self.fields) if each.type is Type.boolean]
        self._integers = [place for place, each in enumerate(self.fields) if each.type is Type.integer]

    def values(self, figures: str, texts: Sequence[str | None] | None) -> Sequence[str | None]:
        """The values of a row. ``figures`` are PostgreSQL's text of the array of numbers."""
        kept = numbers = numbers_in(figures)
        if not self._is_whole:
            words = texts or ()
            kept = [words[place] if is_text else numbers[place] for is_text, place in self._places]
        for place in self._booleans:
            kept[place] = _flag(kept[place])
        if "." in figures:
            for place in self._integers:
                kept[place] = _whole(kept[place])
        return kept


def numbers_in(array: str) -> list[str | None]:
    """The numbers of an array as PostgreSQL writes it (``{1,2.50,NULL}``), every digit of them; None is a blank."""
    if len(array) <= 2:
        return []
    numbers = array[1:-1].split(",")
    return [None if each == _BLANK else each for each in numbers] if _BLANK in array else [*numbers]


def _flag(number: str | None) -> str | None:
    return None if number is None else "false" if Decimal(number) == 0 else "true"


def _whole(number: str | None) -> str | None:
    return str(int(Decimal(number))) if number is not None and "." in number else number
