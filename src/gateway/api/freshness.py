"""Whether a client has an answer already: ``ETag`` and ``If-None-Match`` (RFC 9110, sections 8.8.3 and 13.1.2)."""

from fastapi import Request


def freshness(as_of: str, mark: bytes, media_type: str) -> dict[str, str]:
    """The headers that name what an answer rests on.

    The tag is weak, since it stays the same while ``as_of`` moves by changes elsewhere: it moves when a figure's ground
    does. It holds for one URL and client.
    """
    tag = f"{mark.hex()}-{media_type.rpartition('/')[2]}"
    return {"ETag": f'W/"{tag}"', "As-Of": as_of, "Cache-Control": "private, no-cache", "Vary": "Accept"}


def is_known(request: Request, headers: dict[str, str]) -> bool:
    """Whether the client named the tag of an answer, so that 304 will do."""
    tags = [each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")]
    return "*" in tags or headers["ETag"].removeprefix("W/") in tags
