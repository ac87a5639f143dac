"""Exact numbers, rounded and written down as rules have them: halves go away from zero."""

from decimal import Decimal
from fractions import Fraction

from gateway.domain.rule_tree import MAX_DECIMALS
from gateway.domain.scope import Number


def round_half_away(value: Number, places: int) -> Number:
    """The nearest number with that many decimals (0 or more); a half goes away from zero."""
    if isinstance(value, int):
        return value
    numerator, denominator = abs(value.numerator) * 10**places, value.denominator
    nearest = (2 * numerator + denominator) // (2 * denominator)
    signed = nearest if value >= 0 else -nearest
    return Fraction(signed, 10**places) if places else signed


def to_text(value: Number, scale: int | None) -> str:
    """Plain decimal notation: exact if it ends, else rounded half away from zero to the scale (None: 10)."""
    places = _decimals(value.denominator)
    if places is None:
        value = round_half_away(value, MAX_DECIMALS if scale is None else scale)
        places = _decimals(value.denominator) or 0
    # Decimal, because str() refuses integers of more than 4,300 digits.
    digits = str(Decimal(abs(value.numerator) * 10**places // value.denominator)).zfill(places + 1)
    sign = "-" if value < 0 else ""
    return f"{sign}{digits[:-places]}.{digits[-places:]}" if places else sign + digits


def _decimals(denominator: int) -> int | None:
    """How many decimals write 1/denominator exactly, or None when none do."""
    twos = (denominator & -denominator).bit_length() - 1
    rest, fives = denominator >> twos, 0
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    return max(twos, fives) if rest == 1 else None
