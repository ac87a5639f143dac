"""Totals: the figures of a combined row as texts, every digit of them, out of the text that PostgreSQL gives."""

from collections.abc import Sequence
from decimal import Decimal

from gateway.domain.form import Form
from gateway.domain.form_document import Combine, Indicator, Type
from gateway.domain.observation import numbers_in
from gateway.domain.recompute import recomputed


class Totals:
    """Reads the indicators asked for, which are numbers, out of rows that hold all that are ``needed`` for them."""

    def __init__(self, form: Form, asked: Sequence[Indicator], needed: Sequence[Indicator]) -> None:
        self._form, self._asked, self._needed = form, asked, needed
        places = {each.id: place for place, each in enumerate(needed)}
        self._places = [places[each.id] for each in asked]
        self._flags = [n for n, each in enumerate(asked) if each.type is Type.boolean]
        self._whole = [n for n, each in enumerate(asked) if each.type is Type.integer]
        self._derived = [n for n, each in enumerate(asked) if each.over_agencies is Combine.formula]

    def read(self, array: str, count: int) -> list[str | None]:
        """The figures of a row that ``count`` rows of reports were put together in; true and false are 1 and 0."""
        numbers = numbers_in(array)
        figures = [numbers[place] for place in self._places]
        for n in self._flags:
            figures[n] = _flag(figures[n])
        if "." in array:
            for n in self._whole:
                figures[n] = _integer(figures[n])
        if count > 1 and self._derived:
            exact = {each.id: text and Decimal(text) for each, text in zip(self._needed, numbers, strict=True)}
            for n in self._derived:
                figures[n] = _written(recomputed(self._form, self._asked[n], exact))
        return figures


def _flag(number: str | None) -> str | None:
    return number if number is None else str(int(Decimal(number) != 0))


def _integer(number: str | None) -> str | None:
    return number if number is None else str(int(Decimal(number)))


def _written(value: int | Decimal | None) -> str | None:
    return None if value is None else f"{value:f}" if isinstance(value, Decimal) else str(value)
