"""Exact JSON: decimals keep every digit in both directions, times are RFC 3339 in UTC."""

from typing import Any

import jiter
import msgspec

_encoder = msgspec.json.Encoder(decimal_format="number", uuid_format="canonical")


def encode(value: object) -> bytes:
    """A value as JSON (UTF-8); decimals become numbers, moments ``2026-09-20T03:00:00.000000Z``."""
    return _encoder.encode(value)


def decode(text: bytes) -> Any:
    """Strict JSON (RFC 8259) as values: integers, and ``Decimal`` for every other number.

    Raises ``ValueError`` for NaN, Infinity, duplicate keys, lone surrogates, a BOM, or anything not UTF-8.
    """
    return jiter.from_json(text, float_mode="decimal", catch_duplicate_keys=True, allow_inf_nan=False)
