"""Reading bodies: the right media type, decoded, within limits of size and time."""

import asyncio
import re
import zlib
from collections.abc import AsyncIterator, Iterator
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from gateway.domain.document import faults
from gateway.errors import ContentTooLarge, MalformedRequest, Text, UnsupportedMediaType
from gateway.flow.read import parse_json

_PIECE = 1024 * 1024
_MEDIA_TYPE = re.compile(
    r"""[ \t]*([^ \t;,]+)[ \t]*(?:;[ \t]*(?:charset=(?:utf-?8|"utf-?8"))?[ \t]*)?""", re.IGNORECASE
)
"""A media type, in UTF-8 if a charset is said (RFC 9110, 8.3.1)."""


def media_type_of(request: Request, *allowed: str) -> str:
    """The body's media type without parameters; raises ``UnsupportedMediaType`` unless it is allowed."""
    given = _MEDIA_TYPE.fullmatch(request.headers.get("content-type", ""))
    media_type = given[1].lower() if given else ""
    if media_type not in allowed:
        names = ", ".join(allowed)
        raise UnsupportedMediaType(
            Text(f"Chỉ nhận {names} (UTF-8).", f"This route takes {names} (UTF-8)."),
            extra={"accepted": list(allowed)},
        )
    return media_type


async def pieces(request: Request, most: int, seconds: float) -> AsyncIterator[bytes]:
    """The body in pieces, inflated if it is gzip.

    Raises ``ContentTooLarge`` past ``most`` bytes (as sent, or inflated), ``MalformedRequest`` for a damaged
    gzip stream or when a MiB, or the rest, does not come within ``seconds``.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"identity", "gzip"}:
        raise UnsupportedMediaType(
            Text("Chỉ nhận Content-Encoding gzip hoặc không nén.", "Content-Encoding must be gzip or absent.")
        )
    inflater = zlib.decompressobj(wbits=31) if encoding == "gzip" else None
    size = received = 0
    async for sent in _as_sent(request, seconds):
        received += len(sent)
        for piece in _inflated(inflater, sent) if inflater else (sent,):
            size += len(piece)
            if max(size, received) > most:
                raise ContentTooLarge(Text(f"Nội dung vượt quá {most} byte.", f"The body is larger than {most} bytes."))
            yield piece
    if inflater is not None and not inflater.eof:
        raise _damaged()


async def _as_sent(request: Request, seconds: float) -> AsyncIterator[bytes]:
    stream = request.stream()
    loop = asyncio.get_running_loop()
    deadline, since = loop.time() + seconds, 0
    while True:
        try:
            async with asyncio.timeout_at(deadline):
                sent = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise MalformedRequest(Text("Nội dung được gửi quá chậm.", "The body was sent too slowly.")) from None
        since += len(sent)
        if since >= _PIECE:
            deadline, since = loop.time() + seconds, 0
        yield sent


def _inflated(inflater: "zlib._Decompress", sent: bytes) -> Iterator[bytes]:
    """Pieces of at most 1 MiB, so that a bomb is met one piece at a time."""
    while sent:
        if inflater.eof:
            raise _damaged()
        try:
            piece = inflater.decompress(sent, _PIECE)
        except zlib.error:
            raise _damaged() from None
        yield piece
        sent = inflater.unconsumed_tail or inflater.unused_data


def _damaged() -> MalformedRequest:
    return MalformedRequest(Text("Dữ liệu gzip bị hỏng.", "The gzip stream is damaged."))


async def read_body(request: Request, most: int, seconds: float) -> bytes:
    """The whole body, within its limits; refused at once where the length is declared."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > most:
        raise ContentTooLarge(Text(f"Nội dung vượt quá {most} byte.", f"The body is larger than {most} bytes."))
    return b"".join([piece async for piece in pieces(request, most, seconds)])


Document = TypeVar("Document", bound=BaseModel)

_SMALL_BYTES, _SMALL_SECONDS = 256 * 1024, 10


async def read_document(request: Request, model: type[Document]) -> Document:
    """A small JSON body as a document, as strictly as a report.

    Raises ``UnsupportedMediaType``, ``ContentTooLarge``, or ``MalformedRequest`` with every fault.
    """
    media_type_of(request, "application/json")
    value = parse_json(await read_body(request, _SMALL_BYTES, _SMALL_SECONDS))
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise MalformedRequest(errors=faults(error)) from error


def takes(model: type[BaseModel], example: dict[str, Any] | None = None) -> dict[str, Any]:
    """What the OpenAPI document says of a route that reads its body by ``read_document``."""
    content: dict[str, Any] = {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}
    if example is not None:
        content["example"] = example
    return {"requestBody": {"required": True, "content": {"application/json": content}}}
