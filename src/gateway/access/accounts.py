"""API clients: making them, giving them new credentials, ending them, and saying whose reports they may relay."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeAlias
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from uuid_utils.compat import uuid7

from gateway.access.documents import ClientDocument, CredentialDocument, LimitsDocument, RotationDocument
from gateway.access.key_sets import InvalidKeys, pinned
from gateway.access.scopes import Scope
from gateway.access.secrets import new_secret, secret_hash
from gateway.access.tokens import Caller
from gateway.db.clients import (
    KeptClient,
    add_client,
    add_credential,
    credential_digest,
    end_credential,
    find_client,
    forget_old_secret,
    limit_client,
    lock_client,
    revoke_client,
)
from gateway.db.engine import clock, driver, server_now
from gateway.db.log import add_entries, record_entries
from gateway.db.relays import trust_issuer
from gateway.domain.entry import digest, moment, new_entry
from gateway.errors import Forbidden, MalformedRequest, NotFound, Place, StateConflict, Text

Sees: TypeAlias = Callable[[str | None], bool]
"""Whether whoever asks may know of a client, by its agency."""


@dataclass(frozen=True, slots=True)
class Made:
    """A client with a new credential; its secret, this once, unless it has keys of its own."""

    client: UUID
    secret: str | None


async def create_client(
    connection: AsyncConnection, name: str, scopes: Iterable[Scope], agency: str | None
) -> tuple[str, str]:
    """Make a client with a secret, by command; its id and the secret."""
    asked = ClientDocument(name=name, scopes=sorted(set(scopes)), agency=agency)
    made = await make_client(connection, asked, agency, None)
    return str(made.client), made.secret or ""


async def make_client(
    connection: AsyncConnection, asked: ClientDocument, agency: str | None, by: Caller | None
) -> Made:
    """Make a client, for an agency by its own code. ``by`` is None for a command.

    Raises ``Forbidden`` for scopes that the maker may not give, ``MalformedRequest`` for keys that cannot be taken.
    """
    scopes = sorted({scope.value for scope in asked.scopes})
    _require_grantable(by, scopes)
    _require_within(by, asked.limits or LimitsDocument())
    client = uuid7()
    await add_client(
        connection,
        {"id": client, "name": asked.name, "agency": agency, "scopes": scopes, "made_by": by and by.client}
        | {"certificate_bound": asked.certificate_bound}
        | (asked.limits.model_dump() if asked.limits else {}),
    )
    secret, credential = await _add_credential(connection, client, asked)
    about = {"agency": agency, "scopes": scopes, "certificate_bound": asked.certificate_bound, **_way(asked)}
    about |= {"credential": credential, "limits": _texts(asked.limits or LimitsDocument())}
    await _note(connection, "client-made", client, by, about, {"name": asked.name})
    return Made(client, secret)


async def rotate_client(
    connection: AsyncConnection, client: UUID, asked: RotationDocument, by: Caller | None, sees: Sees
) -> Made:
    """Give a client a new credential; the newest before it stays good for the overlap, older ones end now.

    Raises ``NotFound``, ``StateConflict`` for a client that is revoked, or as ``make_client``.
    """
    kept = _seen(await lock_client(connection, client), sees)
    if kept.row.revoked_at is not None:
        raise StateConflict(Text("Client đã bị thu hồi.", "The client is revoked."), extra={"state": "revoked"})
    # Whoever gives a client new credentials could act as it.
    _require_grantable(by, kept.row.scopes)
    if asked.jwks is None and asked.jwks_uri is None and kept.uses_keys:
        message = Text("Client dùng khóa riêng: cần jwks hoặc jwks_uri.", "The client has keys: give jwks or jwks_uri.")
        raise MalformedRequest(message, errors=[Place("/jwks", message)])
    now = await server_now(connection)
    good = [
        each
        for each in kept.credentials
        if each.revoked_at is None and (each.expires_at is None or each.expires_at > now)
    ]
    for each in good:
        overlap = timedelta(seconds=asked.overlap_seconds) if each is good[-1] else timedelta()
        await end_credential(connection, each.id, overlap)
    await forget_old_secret(connection, client)
    secret, credential = await _add_credential(connection, client, asked)
    about = {"overlap_seconds": asked.overlap_seconds, "credential": credential, **_way(asked)}
    await _note(connection, "client-rotated", client, by, about)
    return Made(client, secret)


async def set_limits(
    connection: AsyncConnection, client: UUID, limits: LimitsDocument, by: Caller | None, sees: Sees
) -> None:
    """Set all limits of a client: what is not named is as it is for all. Raises ``NotFound``, or ``Forbidden``."""
    kept = _seen(await lock_client(connection, client), sees)
    if by is not None and by.client == client and by.agency is not None:
        raise Forbidden(Text("Không tự đặt giới hạn cho mình.", "A client does not set its own limits."))
    _require_grantable(by, kept.row.scopes)
    _require_within(by, limits)
    await limit_client(connection, client, limits.model_dump())
    await _note(connection, "client-limited", client, by, _texts(limits))


async def end_client(connection: AsyncConnection, client: UUID, sees: Sees, by: Caller | None = None) -> None:
    """Revoke a client, with its credentials and the tokens that are out. Raises ``NotFound``."""
    kept = _seen(await lock_client(connection, client), sees)
    await revoke_client(connection, client)
    await forget_old_secret(connection, client)
    if kept.row.revoked_at is None:
        await _note(connection, "client-revoked", client, by, {})


async def _note(
    connection: AsyncConnection,
    what: str,
    client: UUID,
    by: Caller | None,
    about: Mapping[str, object],
    texts: Mapping[str, str | None] | None = None,
) -> None:
    """Have the log record what was done with a client; ``by`` is None for a command."""
    at = await server_now(connection)
    entry = new_entry(what, at, None if by is None else by.client, {"client": str(client), **about}, texts=texts)
    await record_entries(connection, [entry])


def _way(asked: CredentialDocument) -> dict[str, object]:
    """How a client is to prove who it is: by which keys, or by a secret, of which nothing is said."""
    keys = None if asked.jwks is None else [each["kid"] for each in _keys(asked.jwks)]
    return {"keys": keys, "jwks_uri": asked.jwks_uri, "expires_at": asked.expires_at and moment(asked.expires_at)}


def _texts(limits: LimitsDocument) -> dict[str, object]:
    return {name: None if value is None else str(value) for name, value in limits.model_dump().items()}


def _seen(kept: KeptClient | None, sees: Sees) -> KeptClient:
    if kept is None or not sees(kept.row.agency):
        raise NotFound(Text("Không có client này.", "There is no such client."))
    return kept


def _require_grantable(by: Caller | None, scopes: Iterable[str]) -> None:
    """A client of a subtree gives no scope that it does not hold. Raises ``Forbidden``."""
    if by is None or by.agency is None:
        return
    beyond = sorted(set(scopes) - set(by.scopes))
    if beyond:
        raise Forbidden(
            Text(
                f"Không thể cấp quyền mình không có: {', '.join(beyond)}.", f"Not yours to give: {', '.join(beyond)}."
            ),
            extra={"scope": beyond[0]},
        )


def _require_within(by: Caller | None, limits: LimitsDocument) -> None:
    """A client of a subtree that has a limit gives none that is higher. Raises ``Forbidden``."""
    if by is None or by.agency is None:
        return
    for name, own in by.limits.shown().items():
        given = getattr(limits, name)
        if given is None or given > own:
            raise Forbidden(
                Text(f"Không thể đặt giới hạn cao hơn của mình: {name}.", f"Not higher than your own limit: {name}.")
            )


async def _add_credential(
    connection: AsyncConnection, client: UUID, asked: CredentialDocument
) -> tuple[str | None, str]:
    """The secret that was made, if one was; and what the log has of the credential."""
    secret = None
    values: dict[str, Any] = {"id": uuid7(), "client_id": client, "expires_at": asked.expires_at}
    if asked.jwks is not None:
        values |= {"kind": "jwks", "keys": {"keys": _keys(asked.jwks)}}
    elif asked.jwks_uri is not None:
        values |= {"kind": "jwks_uri", "uri": asked.jwks_uri}
    else:
        secret = new_secret()
        values |= {"kind": "secret", "secret_sha256": secret_hash(secret)}
    await add_credential(connection, values)
    return secret, credential_digest(values)


def _keys(key_set: dict[str, Any]) -> list[dict[str, str]]:
    try:
        return pinned(key_set)
    except InvalidKeys as error:
        raise MalformedRequest(
            errors=[Place(f"/jwks{place.pointer}", place.message) for place in error.places]
        ) from None


async def trust(engine: AsyncEngine, client: UUID, issuer: str, keys: list[dict[str, Any]]) -> int:
    """Let a client bring reports by the receipts of an issuer; how many of its keys are known now.

    Raises ``NotFound`` for no such client, ``StateConflict`` for one without the scope to relay.
    """
    async with engine.connect() as connection:
        found = await find_client(connection, client)
    if found is None:
        raise NotFound(Text("Không có client này.", "There is no such client."))
    if Scope.reports_relay not in found.row.scopes:
        raise StateConflict(Text("Client không có quyền reports:relay.", "The client has no scope reports:relay."))
    async with driver(engine) as connection, connection.transaction():
        about = {"client": str(client), "issuer": issuer, "keys": sorted(str(key["kid"]) for key in keys)}
        about |= {"hashes": sorted(map(digest, keys))}
        await add_entries(connection, [new_entry("client-trusted", await clock(connection), None, about)])
        return await trust_issuer(connection, client, issuer, keys)
