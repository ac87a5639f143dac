"""Lists: ``limit`` and ``cursor`` in, ``items`` and ``next`` out."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar
from uuid import UUID

from fastapi import Depends, Query

from gateway.errors import MalformedRequest, Place, Text

MOST = 1000
Item = TypeVar("Item")


def _limit(
    limit: Annotated[
        str,
        Query(
            default_factory=lambda: "100",
            description=f"How many items a page holds, 1 to {MOST}.",
            json_schema_extra={"type": "integer", "minimum": 1, "maximum": MOST, "default": 100},
        ),
    ],
) -> int:
    if not limit.isascii() or not limit.isdecimal() or len(limit) > 4 or not 1 <= int(limit) <= MOST:
        message = Text(f"limit phải từ 1 đến {MOST}.", f"limit must be from 1 to {MOST}.")
        raise MalformedRequest(message, errors=[Place("limit", message)])
    return int(limit)


Limit = Annotated[int, Depends(_limit)]
Cursor = Annotated[str | None, Query(description="The `next` of the page before; opaque.")]


def bad_cursor() -> MalformedRequest:
    message = Text("cursor không hợp lệ.", "The cursor is not one of ours.")
    return MalformedRequest(message, errors=[Place("cursor", message)])


def to_cursor(*parts: object) -> str:
    """An opaque cursor for the last item of a page."""
    return base64.urlsafe_b64encode("|".join(map(str, parts)).encode()).decode().rstrip("=")


def from_cursor(cursor: str, parts: int) -> list[str]:
    """The parts of a cursor; raises ``MalformedRequest`` unless it is one."""
    try:
        found = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().split("|")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise bad_cursor() from None
    if len(found) != parts:
        raise bad_cursor()
    return found


def uuid_cursor(cursor: str | None) -> UUID | None:
    """The id a cursor holds."""
    if cursor is None:
        return None
    try:
        return UUID(from_cursor(cursor, 1)[0])
    except ValueError:
        raise bad_cursor() from None


def page(
    found: Sequence[Item], limit: int, show: Callable[[Item], object], key: Callable[[Item], object]
) -> dict[str, object]:
    """A page of what was found, of which there may be one more than ``limit``: then ``next`` is not null."""
    items = found[:limit]
    return {
        "items": [show(item) for item in items],
        "next": to_cursor(key(items[-1])) if len(found) > limit else None,
    }
