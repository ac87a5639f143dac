"""Recompute an indicator by its formula over combined figures, as aggregates and consolidations do."""

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction

from gateway.domain.form import Form
from gateway.domain.form_document import Indicator, Type
from gateway.domain.rules import Number, Scope, Undecided, round_half_away


def recomputed(form: Form, indicator: Indicator, figures: Mapping[str, object]) -> int | Decimal | None:
    """A formula over combined figures by indicator; None where an operand is blank, or where it divides by zero."""
    cells = [_exact(figures.get(each.id)) for each in form.indicators]
    try:
        value = form.formulas[indicator.id].evaluate(Scope(cells, [cells], None, None))
    except Undecided:
        return None
    return rounded(indicator, value)


def rounded(indicator: Indicator, value: Number) -> int | Decimal:
    """An exact number as a cell of an indicator holds it: with the indicator's decimals, a half away from zero."""
    scaled = int(round_half_away(value, indicator.places) * 10**indicator.places)
    if indicator.type is Type.integer:
        return scaled
    sign, digits, _ = Decimal(scaled).as_tuple()
    return Decimal((sign, digits, -indicator.places))  # scaleb would round to the 28 digits of the usual context


def _exact(value: object) -> Fraction | None:
    return Fraction(value) if isinstance(value, int | Decimal) else None
