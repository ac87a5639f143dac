"""What a client would like to be answered in: ``Accept`` (RFC 9110, section 12.5.1)."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from fastapi import Request


class Liked(NamedTuple):
    """A media type or range, its parameters, and how much it is liked: more than 0, at most 1."""

    name: str
    parameters: Mapping[str, str]
    quality: float


def liked(request: Request) -> Iterator[Liked]:
    """What is liked, in the order it is said; what cannot be understood is left out. Nothing said is anything."""
    for part in request.headers.get("accept", "*/*").split(","):
        name, *given = (piece.strip().lower() for piece in part.split(";"))
        parameters = dict(piece.split("=", 1) for piece in given if "=" in piece)
        try:
            quality = float(parameters.pop("q", "1"))
        except ValueError:
            continue
        if quality > 0:
            yield Liked(name, parameters, quality)
