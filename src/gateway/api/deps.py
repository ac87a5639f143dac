"""What endpoints are given: the gateway's parts, and the caller with its rights checked."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import OAuth2
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.access.allowance import Allowance
from gateway.access.fetched_keys import FetchedKeys
from gateway.access.scopes import Scope
from gateway.access.standing import Standing
from gateway.access.tokens import Caller, Tokens
from gateway.access.uses import Uses
from gateway.api.address import address_of
from gateway.api.certificate import thumbprint_of
from gateway.api.metrics import Metrics
from gateway.api.problems import language_of
from gateway.db.subtree import see
from gateway.domain.calendar import civil_date
from gateway.domain.catalogue import Catalogue
from gateway.errors import Forbidden, Language, Text, Unauthenticated
from gateway.evidence.anchors import Anchors
from gateway.flow.load import Catalogues
from gateway.flow.reach import Reach
from gateway.flow.receive import Intake
from gateway.keys import Keys
from gateway.settings import Settings


@dataclass(frozen=True, slots=True)
class Gateway:
    """The parts of a running gateway that endpoints use."""

    settings: Settings
    engine: AsyncEngine
    keys: Keys
    tokens: Tokens
    catalogues: Catalogues
    intake: Intake
    metrics: Metrics
    standing: Standing
    uses: Uses
    allowance: Allowance
    fetched_keys: FetchedKeys
    anchors: Anchors


async def _gateway(request: Request) -> Gateway:
    gateway: Gateway = request.app.state.gateway
    return gateway


async def _language(request: Request) -> Language:
    return language_of(request.headers.get("accept-language"))


async def today() -> date:
    """Today in Viet Nam."""
    return civil_date(datetime.now(UTC))


GatewayParts = Annotated[Gateway, Depends(_gateway)]
Spoken = Annotated[Language, Depends(_language)]
Today = Annotated[date, Depends(today)]


async def _catalogue(gateway: GatewayParts) -> Catalogue:
    return await gateway.catalogues.newest()


NewestCatalogue = Annotated[Catalogue, Depends(_catalogue)]

SCOPE_WORDS = {
    Scope.reports_write: "push, correct and withdraw reports",
    Scope.reports_read: "read reports, their bytes, history and receipts",
    Scope.reports_review: "return reports of agencies below",
    Scope.reports_relay: "forward reports of other gateways",
    Scope.reports_import: "import history",
    Scope.aggregates_read: "pull aggregates and observations",
    Scope.catalog_write: "change forms, code lists, agencies and regimes",
    Scope.operations: "see and steer connectors and deliveries",
    Scope.clients_write: "manage API clients",
}

_oauth = OAuth2(
    scheme_name="client_credentials",
    description="OAuth 2.0 client credentials: `POST /oauth/token` with HTTP Basic.",
    flows={
        "clientCredentials": {
            "tokenUrl": "/oauth/token",
            "scopes": {scope.value: words for scope, words in SCOPE_WORDS.items()},
        }
    },
    auto_error=False,
)


Given = Annotated[str | None, Depends(_oauth)]


async def caller_of(request: Request, gateway: Gateway, token: str) -> Caller:
    """Who a request's token speaks for, if that client still stands and has not asked too often.

    Raises ``Unauthenticated`` and ``TooManyRequests``.
    """
    await gateway.standing.look()  # whether a token has run out is judged by the database's time
    caller = gateway.tokens.verify(token)
    if caller.certificate is not None and caller.certificate != thumbprint_of(request, gateway.settings):
        raise Unauthenticated(
            Text(
                "Token gắn với một chứng thư khác.", "The token is bound to a client certificate that is not this one."
            )
        )
    await gateway.standing.require(caller)
    await admit(request, gateway, caller)
    return caller


async def admit(request: Request, gateway: Gateway, caller: Caller) -> None:
    """Count a request of a caller that is known, and let it see its subtree. Raises ``TooManyRequests``."""
    see(Reach(gateway.catalogues, caller.agency))
    gateway.uses.note(caller.credential, address_of(request, gateway.settings.trusted_proxies))
    await gateway.allowance.take_request(caller.client, gateway.standing.limits(caller))


async def _caller(request: Request, given: Given) -> Caller:
    scheme, _, token = (given or "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated(Text("Cần token: Authorization: Bearer …", "A token is needed: Authorization: Bearer …"))
    return await caller_of(request, await _gateway(request), token.strip())


AnyCaller = Annotated[Caller, Depends(_caller)]


def require_scope(caller: Caller, scope: Scope) -> None:
    """Refuse a caller that does not hold a scope. Raises ``Forbidden``."""
    if scope not in caller.scopes:
        raise Forbidden(
            Text(f"Client không có quyền {scope}.", f"The client does not hold scope {scope}."),
            extra={"scope": scope.value},
        )


def holder(scope: Scope, *others: Scope) -> Callable[[Request, Given], Awaitable[Caller]]:
    """A dependency that gives the caller if it holds a scope, or one of others, and refuses otherwise.

    A route that takes others as well asks itself what those may do.
    """

    async def check(request: Request, given: Given) -> Caller:
        caller = await _caller(request, given)
        if caller.scopes.isdisjoint(others):
            require_scope(caller, scope)
        return caller

    # Read by the matrix of rights in the tests.
    check.required_scope = " or ".join([scope, *others])  # type: ignore[attr-defined]
    return check


Writer = Annotated[Caller, Depends(holder(Scope.reports_write))]
Relayer = Annotated[Caller, Depends(holder(Scope.reports_write, Scope.reports_relay))]
Reader = Annotated[Caller, Depends(holder(Scope.reports_read))]
Lister = Annotated[Caller, Depends(holder(Scope.reports_read, Scope.reports_relay))]
Reviewer = Annotated[Caller, Depends(holder(Scope.reports_review, Scope.reports_relay))]
Puller = Annotated[Caller, Depends(holder(Scope.aggregates_read))]
Follower = Annotated[Caller, Depends(holder(Scope.aggregates_read, Scope.reports_relay))]
Editor = Annotated[Caller, Depends(holder(Scope.catalog_write))]
Registrar = Annotated[Caller, Depends(holder(Scope.clients_write))]
Operator = Annotated[Caller, Depends(holder(Scope.operations))]
