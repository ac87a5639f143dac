"""Changing the catalogue by one document, as the routes that put forms, regimes and the rest do."""

from typing import Any

from fastapi import Request, Response
from pydantic import BaseModel

from gateway.access.tokens import Caller
from gateway.api.body import media_type_of, read_body
from gateway.api.deps import Gateway
from gateway.api.json import Json
from gateway.api.refusals import problems
from gateway.domain.catalogue import Catalogue
from gateway.errors import Forbidden, MalformedRequest, Place, Text
from gateway.flow.amend import change
from gateway.flow.read import parse_json

_MOST_BYTES = 4 * 1024 * 1024

WRITE = problems(400, 401, 403, 404, 409, 413, 415, 422)
"""What a route that puts a document may answer besides it."""


def document_of(document: BaseModel) -> Response:
    """A catalogue document as the answer."""
    return Json(document.model_dump())


def require_whole_country(caller: Caller) -> None:
    """What all share is changed by clients of the whole country only. Raises ``Forbidden``."""
    if caller.agency is not None:
        raise Forbidden(
            Text("Chỉ cấp trung ương được đổi danh mục dùng chung.", "Only a client of the whole country may.")
        )


async def amend(gateway: Gateway, caller: Caller, kind: str, document: dict[str, Any]) -> Catalogue:
    """Record a document and give the catalogue that has it. Raises as ``flow.amend.change`` does."""
    await change(gateway.engine, gateway.catalogues, [("", kind, document)], caller.client)
    return await gateway.catalogues.newest()


async def read_named(request: Request, **named: object) -> dict[str, Any]:
    """A document whose names agree with the address. Raises ``MalformedRequest``."""
    media_type_of(request, "application/json")
    value = parse_json(await read_body(request, _MOST_BYTES, 30))
    if not isinstance(value, dict):
        raise MalformedRequest(Text("Nội dung phải là một đối tượng JSON.", "The body must be a JSON object."))
    for name, expected in named.items():
        if value.setdefault(name, expected) != expected:
            message = Text("Không khớp với địa chỉ.", "Does not agree with the address.")
            raise MalformedRequest(message, errors=[Place(f"/{name}", message)])
    return value
