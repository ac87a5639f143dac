"""Routes of whoever manages clients: make them, see them, give them new credentials, end them."""

from datetime import datetime
from typing import Annotated, TypeVar
from uuid import UUID

from fastapi import Depends, Request, Response
from pydantic import BaseModel

from gateway.access.accounts import Made, Sees, end_client, make_client, rotate_client, set_limits
from gateway.access.documents import ClientDocument, CredentialDocument, LimitsDocument, RotationDocument
from gateway.access.shown import client_shown
from gateway.access.tokens import Caller
from gateway.api.body import read_document, takes
from gateway.api.deps import Gateway, GatewayParts, NewestCatalogue, Registrar, Today
from gateway.api.json import Json
from gateway.api.lists import Cursor, Limit, page, uuid_cursor
from gateway.api.parameters import Under, wrong
from gateway.api.refusals import problems
from gateway.api.router import Router
from gateway.api.subtree import agencies_asked, covers
from gateway.connectors.fetch import FetchFailed, check_address
from gateway.db.clients import KeptClient, find_clients, lock_client
from gateway.domain.catalogue import Catalogue
from gateway.errors import Forbidden, NotFound, Text
from gateway.flow.prepare import find_agency
from gateway.settings import Settings

Asked = TypeVar("Asked", bound=CredentialDocument)

router = Router(prefix="/v1/clients", tags=["access"])


class PinnedKey(BaseModel):
    """A registered key, and the one algorithm that is taken of it."""

    kid: str
    alg: str


class CredentialShape(BaseModel):
    """A secret (`secret`), registered keys (`jwks`) or the address of keys (`jwks_uri`). No secret is read back."""

    id: UUID
    kind: str
    keys: list[PinnedKey] | None
    uri: str | None
    valid_from: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    last_address: str | None


class ClientShape(BaseModel):
    """A client, with its credentials, oldest first."""

    id: UUID
    name: str
    agency: str | None
    scopes: list[str]
    made_at: datetime
    made_by: UUID | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    certificate_bound: bool
    limits: LimitsDocument
    credentials: list[CredentialShape]


class NewClientShape(ClientShape):
    """A client with its new secret, which is not shown again; null for a client with keys of its own."""

    client_secret: str | None


class ClientPage(BaseModel):
    """A page of clients, newest first."""

    items: list[ClientShape]
    next: str | None


async def _sight(catalogue: NewestCatalogue, caller: Registrar, today: Today) -> Sees:
    def sees(agency: str | None) -> bool:
        return caller.agency is None or (agency is not None and covers(catalogue, caller, agency, today))

    return sees


Sight = Annotated[Sees, Depends(_sight)]


@router.get("", response_model=ClientPage, responses=problems(400, 401, 403, 404))
async def list_clients(
    gateway: GatewayParts,
    catalogue: NewestCatalogue,
    caller: Registrar,
    today: Today,
    limit: Limit,
    cursor: Cursor = None,
    under: Under = None,
) -> Response:
    """Clients of the subtree, revoked ones too, with when each was last used (to a minute)."""
    agencies = agencies_asked(catalogue, caller, None, under, today)
    async with gateway.engine.connect() as connection:
        found = await find_clients(connection, agencies, uuid_cursor(cursor), limit + 1)
    return Json(page(found, limit, client_shown, lambda each: each.row.id))


@router.post(
    "",
    status_code=201,
    response_model=NewClientShape,
    openapi_extra=takes(ClientDocument),
    responses=problems(400, 401, 403, 404, 413, 415),
)
async def create_client(
    request: Request, gateway: GatewayParts, catalogue: NewestCatalogue, caller: Registrar, today: Today
) -> Response:
    """Make a client: with a secret, shown this once, or with keys of its own (`jwks` or `jwks_uri`).

    A client of a subtree makes clients within it, with scopes that it holds itself.
    """
    asked = await _read(request, ClientDocument, gateway)
    agency = _agency(catalogue, caller, asked.agency, today)
    async with gateway.engine.begin() as connection:
        made = await make_client(connection, asked, agency, caller)
        kept = await lock_client(connection, made.client)
    return _answer(made, kept, 201)


async def _read(request: Request, model: type[Asked], gateway: Gateway) -> Asked:
    asked = await read_document(request, model)
    require_key_address(asked, gateway.settings)
    return asked


def require_key_address(asked: CredentialDocument, settings: Settings) -> None:
    """Raises ``MalformedRequest`` where keys are to be fetched from an address that never would be."""
    try:
        if asked.jwks_uri is not None:
            check_address(asked.jwks_uri, allow_private=settings.jwks_allow_private_addresses)
    except FetchFailed as error:
        raise wrong("/jwks_uri", Text(f"Không dùng được: {error}.", f"Cannot be used: {error}.")) from None


def _agency(catalogue: Catalogue, caller: Caller, asked: str | None, today: Today) -> str | None:
    """The root of a new client's subtree by its own code. Raises ``Forbidden`` outside the maker's."""
    if asked is not None:
        return find_agency(catalogue, asked, caller.agency, today)
    if caller.agency is not None:
        raise Forbidden(
            Text(f"Phải nằm trong phạm vi {caller.agency}.", f"Must lie within the subtree of {caller.agency}.")
        )
    return None


@router.post(
    "/{client}/rotate",
    operation_id="rotate_client",
    response_model=NewClientShape,
    openapi_extra=takes(RotationDocument),
    responses=problems(400, 401, 403, 404, 409, 413, 415),
)
async def rotate(client: UUID, request: Request, gateway: GatewayParts, caller: Registrar, sees: Sight) -> Response:
    """Give a client a new secret or new keys; what it had stays good for `overlap_seconds` (a day).

    At most two are good at a time: a third ends the first.
    """
    asked = await _read(request, RotationDocument, gateway)
    async with gateway.engine.begin() as connection:
        made = await rotate_client(connection, client, asked, caller, sees)
        kept = await lock_client(connection, client)
    return _answer(made, kept, 200)


@router.put(
    "/{client}/limits",
    operation_id="limit_client",
    response_model=ClientShape,
    openapi_extra=takes(LimitsDocument),
    responses=problems(400, 401, 403, 404, 413, 415),
)
async def limit(client: UUID, request: Request, gateway: GatewayParts, caller: Registrar, sees: Sight) -> Response:
    """Set how much a client may ask for, its tokens that are out included, within five seconds."""
    asked = await read_document(request, LimitsDocument)
    async with gateway.engine.begin() as connection:
        await set_limits(connection, client, asked, caller, sees)
        kept = await lock_client(connection, client)
    return Json(client_shown(_there(kept)))


@router.post(
    "/{client}/revoke",
    operation_id="revoke_client",
    response_model=ClientShape,
    responses=problems(400, 401, 403, 404),
)
async def revoke(client: UUID, gateway: GatewayParts, caller: Registrar, sees: Sight) -> Response:
    """End a client for good: no new tokens, and within five seconds those that are out open nothing."""
    async with gateway.engine.begin() as connection:
        await end_client(connection, client, sees, caller)
        kept = await lock_client(connection, client)
    return Json(client_shown(_there(kept)))


def _answer(made: Made, kept: KeptClient | None, status: int) -> Response:
    return Json(client_shown(_there(kept)) | {"client_secret": made.secret}, status)


def _there(kept: KeptClient | None) -> KeptClient:
    if kept is None:
        raise NotFound()
    return kept
