"""What routes of operators share: which connectors one may know of, how they are named, and why something is done."""

from typing import Annotated

from fastapi import Depends, Path, Request

from gateway.api.body import read_document, takes
from gateway.api.deps import NewestCatalogue, Operator, Today
from gateway.api.forwarding import Grounds
from gateway.api.subtree import covers
from gateway.flow.steer import Cause, Sees

Name = Annotated[str, Path(pattern="^[a-z][a-z0-9-]{0,62}$", examples=["national"])]

WHY = takes(Grounds)
WHY["requestBody"]["required"] = False


async def _reason(request: Request) -> str | None:
    """The reason an operator gives, if there is a body at all."""
    empty = request.headers.get("content-length", "0") == "0" and "transfer-encoding" not in request.headers
    return None if empty else (await read_document(request, Grounds)).reason


async def _cause(caller: Operator, reason: Annotated[str | None, Depends(_reason)]) -> Cause:
    return Cause(caller.client, reason)


Because = Annotated[Cause, Depends(_cause)]
"""Who does something, and why."""


async def _sight(catalogue: NewestCatalogue, caller: Operator, today: Today) -> Sees:
    def sees(under: str | None) -> bool:
        return caller.agency is None or (under is not None and covers(catalogue, caller, under, today))

    return sees


Sight = Annotated[Sees, Depends(_sight)]
"""Which connectors the caller, an operator, may know of, by their ``under``: those within its subtree."""
