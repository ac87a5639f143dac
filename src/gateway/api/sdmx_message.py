"""What every SDMX message begins with, and the format it is asked for in."""

from collections.abc import Sequence
from datetime import UTC, datetime

from fastapi import Request
from uuid_utils.compat import uuid7

from gateway.api.accept import liked
from gateway.errors import NotAcceptable
from gateway.formats.sdmx_structures import Header


def header_now(request: Request) -> Header:
    """The header of a message that is made now."""
    prepared = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return Header(f"M{uuid7().hex}", prepared, request.app.state.gateway.settings.sdmx_agency)


def chosen_type(request: Request, offered: Sequence[str]) -> str:
    """The media type to answer in, by ``Accept``: the best liked of those offered, the first where all are alike.

    A name without a version stands for every version of it. Raises ``NotAcceptable``.
    """
    best: tuple[float, str] | None = None
    for name, parameters, quality in liked(request):
        taken = next((each for each in offered if _takes(name, parameters.get("version"), each)), None)
        if taken is not None and (best is None or quality > best[0]):
            best = quality, taken
    if best is None:
        raise NotAcceptable(extra={"available": list(offered)})
    return best[1]


def _takes(name: str, version: str | None, offered: str) -> bool:
    kind, _, parameters = offered.partition(";")
    names = {"*/*", "application/*", kind, *_PLAIN.get(kind.rpartition("+")[2], ())}
    return name in names and version in {None, parameters.removeprefix("version=")}


_PLAIN = {"xml": ("application/xml", "text/xml"), "json": ("application/json",), "csv": ("text/csv",)}
"""Plain names that stand for the first of the formats written so."""
