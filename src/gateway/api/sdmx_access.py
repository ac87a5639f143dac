"""Who calls the SDMX routes: clients of statisticians send a client's id and secret, others a token."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request

from gateway.access.scopes import Scope
from gateway.access.tokens import Caller
from gateway.api.deps import GatewayParts, admit, caller_of, require_scope
from gateway.api.identify import basic_claim, identify
from gateway.errors import Text, Unauthenticated


async def _caller(request: Request, gateway: GatewayParts) -> Caller:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return await caller_of(request, gateway, token.strip())
    known = await identify(request, gateway, basic_claim(request))
    if known is None:
        raise Unauthenticated(
            Text("Cần mã và bí mật của client (HTTP Basic).", "A client's id and secret are needed (HTTP Basic).")
        )
    await admit(request, gateway, known[0])
    return known[0]


AnyStatistician = Annotated[Caller, Depends(_caller)]


def _holder(scope: Scope) -> Callable[[Caller], Awaitable[Caller]]:
    async def check(caller: AnyStatistician) -> Caller:
        require_scope(caller, scope)
        return caller

    return check


Statistician = Annotated[Caller, Depends(_holder(Scope.aggregates_read))]
