"""Cells as rules read them: numbers are exact, decimals as fractions."""

from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Any, TypeAlias

from gateway.domain.form import Form
from gateway.domain.form_document import Type
from gateway.domain.rules import Cells

Kept: TypeAlias = list[Any]
"""The cells of a row as they are kept: integers, decimals, booleans, texts and blanks."""


def exact_cells(form: Form, cells: Kept) -> Cells:
    """A row's cells, in the order of the form's indicators, for its rules."""
    if not form.exact_positions:
        return cells
    exact = list(cells)
    for position in form.exact_positions:
        value = exact[position]
        if value is not None:
            exact[position] = Fraction(value)
    return exact


def cells_from_storage(form: Form, figures: Iterable[str | None]) -> Cells:
    """Stored figures in the order of their form's indicators, for rules, which read no texts."""
    cells: list[int | Fraction | bool | None] = [None] * len(form.indicators)
    for position, text in zip(form.number_positions, figures, strict=True):
        if text is not None:
            cells[position] = _figure(form.indicators[position].type, text)
    return cells


def _figure(kind: Type, text: str) -> int | Fraction | bool:
    if kind is Type.boolean:
        return text != "0"
    return int(text) if kind is Type.integer else Fraction(Decimal(text))
