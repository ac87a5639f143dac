"""``gateway client``: API accounts of systems, by whoever runs the gateway."""

import json
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, TypeVar
from uuid import UUID

import typer
from pydantic import ValidationError
from rich.table import Table
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.access.accounts import Made, end_client, make_client, rotate_client, set_limits, trust
from gateway.access.documents import ClientDocument, CredentialDocument, LimitsDocument, RotationDocument
from gateway.access.scopes import Scope
from gateway.access.shown import client_shown
from gateway.command import fail, out, read_settings, run, show
from gateway.db.clients import find_clients
from gateway.db.engine import database
from gateway.domain.document import Document, faults
from gateway.domain.exact import decode, encode
from gateway.errors import MalformedRequest, NotFound, Text
from gateway.flow.load import Catalogues
from gateway.ready import prepare
from gateway.submit import SubmitError, read_keys

clients = typer.Typer()
T = TypeVar("T")
Asked = TypeVar("Asked", bound=Document)

Agency = Annotated[str | None, typer.Option(help="Root of the client's subtree; the whole country if absent.")]
Scopes = Annotated[list[Scope], typer.Option("--scope", help="Repeat for each scope.")]
KeySet = Annotated[
    Path | None, typer.Option("--jwks", help="A file with the client's public keys, instead of a secret.")
]
KeyAddress = Annotated[str | None, typer.Option("--jwks-uri", help="Where the client keeps its public keys.")]
Expires = Annotated[datetime | None, typer.Option("--expires", help="When the credential ends (UTC).")]
AsJson = Annotated[bool, typer.Option("--json", help="Print only JSON.")]


def _on_database(work: Callable[[AsyncEngine], Awaitable[T]]) -> T:
    settings = read_settings()

    async def prepared() -> T:
        with database(settings) as engine:
            await prepare(engine, settings)
            try:
                return await work(engine)
            finally:
                await engine.dispose()

    return run(prepared())


def _credential(jwks: Path | None, jwks_uri: str | None, expires: datetime | None) -> dict[str, Any]:
    try:
        keys = None if jwks is None else decode(jwks.read_bytes())
    except (OSError, ValueError) as error:
        raise fail(f"{jwks}: {error}") from None
    return {"jwks": keys, "jwks_uri": jwks_uri, "expires_at": expires and expires.replace(tzinfo=UTC)}


def _asked(model: type[Asked], **values: Any) -> Asked:
    """What is asked for, as strictly as over HTTP."""
    try:
        asked = model.model_validate(values)
    except ValidationError as error:
        raise MalformedRequest(errors=faults(error)) from error
    if isinstance(asked, CredentialDocument) and asked.jwks_uri is not None:
        from gateway.api.clients import require_key_address  # with all of the API

        require_key_address(asked, read_settings())
    return asked


def _tell(made: Made, title: str, as_json: bool) -> None:
    shown = {"client_id": str(made.client)} | ({"client_secret": made.secret} if made.secret else {})
    if as_json:
        sys.stdout.write(json.dumps(shown) + "\n")
        return
    table = Table(show_header=False, title=title)
    for key, value in shown.items():
        table.add_row(key, value)
    show(table)
    if made.secret:
        out.print("Keep the secret: it is not shown again.")


@clients.command("create")
def client_create(
    name: str,
    scope: Scopes,
    agency: Agency = None,
    jwks: KeySet = None,
    jwks_uri: KeyAddress = None,
    expires: Expires = None,
    certificate_bound: Annotated[
        bool, typer.Option("--certificate-bound", help="Give tokens only with a client certificate.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make an API client and show its secret, this once."""
    credential = _credential(jwks, jwks_uri, expires)

    async def work(engine: AsyncEngine) -> Made:
        catalogue = await Catalogues(engine).newest()
        root = catalogue.agencies.resolve(agency) if agency else None
        if agency and root is None:
            raise NotFound(Text("Không có cơ quan này.", f"There is no agency {agency}."))
        asked = _asked(
            ClientDocument, name=name, scopes=scope, agency=root, certificate_bound=certificate_bound, **credential
        )
        async with engine.begin() as connection:
            return await make_client(connection, asked, root, None)

    _tell(_on_database(work), f"Client {name}", as_json)


@clients.command("list")
def client_list(as_json: AsJson = False) -> None:
    """Show every client, newest first: what it may do, and when it was last used."""

    async def work(engine: AsyncEngine) -> list[dict[str, Any]]:
        async with engine.connect() as connection:
            return [client_shown(each) for each in await find_clients(connection, None, None, None)]

    found = _on_database(work)
    if as_json:
        sys.stdout.write(encode(found).decode() + "\n")
        return
    table = Table("id", "name", "agency", "scopes", "last used", "state")
    for each in found:
        state = "revoked" if each["revoked_at"] else ""
        used = each["last_used_at"]
        words = "never" if used is None else f"{used:%Y-%m-%d %H:%M}"
        table.add_row(str(each["id"]), each["name"], each["agency"] or "", " ".join(each["scopes"]), words, state)
    show(table)


@clients.command("rotate")
def client_rotate(
    client_id: UUID,
    overlap: Annotated[int, typer.Option(help="Seconds that the old credential stays good; 0 ends it now.")] = 86_400,
    jwks: KeySet = None,
    jwks_uri: KeyAddress = None,
    expires: Expires = None,
    as_json: AsJson = False,
) -> None:
    """Give a client a new secret (shown this once) or new keys; the one before stays good for a while."""
    credential = _credential(jwks, jwks_uri, expires)

    async def work(engine: AsyncEngine) -> Made:
        asked = _asked(RotationDocument, overlap_seconds=overlap, **credential)
        async with engine.begin() as connection:
            return await rotate_client(connection, client_id, asked, None, lambda _: True)

    _tell(_on_database(work), f"Client {client_id}", as_json)


@clients.command("limit")
def client_limit(
    client_id: UUID,
    requests_per_second: Annotated[float | None, typer.Option(help="Over time; as for all if absent.")] = None,
    burst: Annotated[int | None, typer.Option(help="At once; a second's worth if absent.")] = None,
    reports_per_day: Annotated[int | None, typer.Option(help="In a civil day; as for all if absent.")] = None,
) -> None:
    """Set how much a client may ask for: all its limits at once, within five seconds."""
    rate = None if requests_per_second is None else Decimal(str(requests_per_second))

    async def work(engine: AsyncEngine) -> None:
        asked = _asked(LimitsDocument, requests_per_second=rate, burst=burst, reports_per_day=reports_per_day)
        async with engine.begin() as connection:
            await set_limits(connection, client_id, asked, None, lambda _: True)

    _on_database(work)
    out.print(f"[green]✓[/] client {client_id} has these limits")


@clients.command("revoke")
def client_revoke(client_id: UUID) -> None:
    """End a client for good; within five seconds its tokens open nothing."""

    async def work(engine: AsyncEngine) -> None:
        async with engine.begin() as connection:
            await end_client(connection, client_id, lambda _: True)

    _on_database(work)
    out.print(f"[green]✓[/] client {client_id} is revoked")


@clients.command("trust")
def client_trust(
    client_id: UUID,
    issuer: Annotated[str, typer.Argument(help="The other gateway's GATEWAY_ISSUER, its public address.")],
    keys: Annotated[
        Path | None, typer.Option(help="Its jwks.json; read from ISSUER/.well-known/jwks.json if absent.")
    ] = None,
) -> None:
    """Let a client with scope reports:relay bring reports that another gateway took first, by that one's receipts.

    Do it again when that gateway has a new key: the old ones stay.
    """
    try:
        document = read_keys(issuer, keys)
    except SubmitError as error:
        raise fail(str(error)) from None
    count = _on_database(lambda engine: trust(engine, client_id, issuer, document))
    out.print(f"[green]✓[/] receipts of {issuer} are taken from the client, by {count} key{'s'[: count != 1]}")
