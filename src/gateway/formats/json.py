"""JSON as the contract writes it: exact decimals as numbers, RFC 3339 times in UTC, UTF-8."""

import msgspec

_encoder = msgspec.json.Encoder(decimal_format="number", uuid_format="canonical")


def encode(value: object) -> bytes:
    """A value as JSON bytes; moments become ``2026-09-20T03:00:00.000000Z``."""
    return _encoder.encode(value)
