"""API clients: accounts of systems, with scopes and a subtree, and the credentials by which they prove who they are."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.db.base import Instant, metadata
from gateway.domain.entry import digest

clients = sa.Table(
    "clients",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("agency", sa.Text),
    sa.Column("scopes", ARRAY(sa.Text), nullable=False),
    # Only the version before reads it: a secret is a credential now.
    sa.Column("secret_sha256", sa.LargeBinary, nullable=False, server_default=sa.text("''::bytea")),
    sa.Column("made_at", Instant, nullable=False, server_default=sa.func.now()),
    # Null: by command.
    sa.Column("made_by", sa.Uuid),
    sa.Column("revoked_at", Instant),
    # Whether its tokens are given only over a connection with a client certificate, and good only there.
    sa.Column("certificate_bound", sa.Boolean, nullable=False, server_default=sa.false()),
    # Null: as it is for all.
    sa.Column("requests_per_second", sa.Numeric(9, 3)),
    sa.Column("burst", sa.Integer),
    sa.Column("reports_per_day", sa.Integer),
    sa.Column("limits_changed_at", Instant),
)

credentials = sa.Table(
    "client_credentials",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("client_id", sa.ForeignKey("clients.id"), nullable=False, index=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("secret_sha256", sa.LargeBinary),
    # A JSON Web Key Set (RFC 7517) of public keys, each with the one algorithm that is taken of it.
    sa.Column("keys", JSONB(none_as_null=True)),
    sa.Column("uri", sa.Text),
    sa.Column("valid_from", Instant, nullable=False, server_default=sa.func.now()),
    sa.Column("expires_at", Instant),
    sa.Column("revoked_at", Instant),
    sa.Column("last_used_at", Instant),
    sa.Column("last_address", sa.Text),
    sa.CheckConstraint(
        "(kind = 'secret') = (secret_sha256 IS NOT NULL) AND (kind = 'jwks') = (keys IS NOT NULL)"
        " AND (kind = 'jwks_uri') = (uri IS NOT NULL) AND kind IN ('secret', 'jwks', 'jwks_uri')",
        name="kind",
    ),
    sa.Index("ix_client_credentials_expires_at", "expires_at", postgresql_where=sa.text("expires_at IS NOT NULL")),
    sa.Index("ix_client_credentials_revoked_at", "revoked_at", postgresql_where=sa.text("revoked_at IS NOT NULL")),
)

_GOOD = sa.and_(
    credentials.c.revoked_at.is_(None),
    sa.or_(credentials.c.expires_at.is_(None), credentials.c.expires_at > sa.func.clock_timestamp()),
)
_ended_at = sa.func.least(credentials.c.revoked_at, credentials.c.expires_at)
_RECENT = sa.or_(_ended_at.is_(None), _ended_at > sa.func.now() - timedelta(days=30))


@dataclass(frozen=True, slots=True)
class KeptClient:
    """A client and its credentials, oldest first: the good ones, or all of them where so asked for."""

    row: sa.Row[Any]
    credentials: Sequence[sa.Row[Any]]

    @property
    def uses_keys(self) -> bool:
        """Whether it proves who it is by keys of its own, and not by a secret."""
        return bool(self.credentials) and self.credentials[-1].kind != "secret"


async def add_client(connection: AsyncConnection, values: dict[str, Any]) -> None:
    await connection.execute(sa.insert(clients).values(**values))


async def add_credential(connection: AsyncConnection, values: dict[str, Any]) -> None:
    await connection.execute(sa.insert(credentials).values(**values))


def credential_digest(values: Mapping[str, Any]) -> str:
    """How the log names a credential, so that another in its place is found; a secret is in it as the hash it has."""
    secret = values.get("secret_sha256")
    said = {name: values.get(name) for name in ("kind", "keys", "uri")}
    return digest({**said, "id": str(values["id"]), "secret": None if secret is None else secret.hex()})


async def find_client(connection: AsyncConnection, client_id: UUID) -> KeptClient | None:
    """A client that has not been revoked, with the credentials that are good now."""
    statement = sa.select(clients).where(clients.c.id == client_id, clients.c.revoked_at.is_(None))
    row = (await connection.execute(statement)).one_or_none()
    return None if row is None else KeptClient(row, (await _credentials(connection, [client_id], _GOOD))[client_id])


async def lock_client(connection: AsyncConnection, client_id: UUID) -> KeptClient | None:
    """A client, revoked or not, with all its credentials; nobody else changes it before this transaction's end."""
    row = (
        await connection.execute(sa.select(clients).where(clients.c.id == client_id).with_for_update())
    ).one_or_none()
    return None if row is None else KeptClient(row, (await _credentials(connection, [client_id]))[client_id])


async def find_clients(
    connection: AsyncConnection, agencies: Sequence[str] | None, before: UUID | None, limit: int | None
) -> list[KeptClient]:
    """Clients of some agencies (None: all there are), newest first, with what ended a month ago at most."""
    statement = sa.select(clients).order_by(clients.c.id.desc()).limit(limit)
    if agencies is not None:
        statement = statement.where(clients.c.agency == sa.any_(sa.literal(list(agencies), ARRAY(sa.Text))))
    if before is not None:
        statement = statement.where(clients.c.id < before)
    rows = (await connection.execute(statement)).all()
    found = await _credentials(connection, [row.id for row in rows], _RECENT)
    return [KeptClient(row, found[row.id]) for row in rows]


async def _credentials(
    connection: AsyncConnection, ids: Iterable[UUID], *which: sa.ColumnElement[bool]
) -> dict[UUID, list[sa.Row[Any]]]:
    found: dict[UUID, list[sa.Row[Any]]] = {each: [] for each in ids}
    statement = (
        sa.select(credentials)
        .where(credentials.c.client_id == sa.any_(sa.literal(list(found), ARRAY(sa.Uuid))), *which)
        .order_by(credentials.c.valid_from, credentials.c.id)
    )
    for row in await connection.execute(statement):
        found[row.client_id].append(row)
    return found


async def end_credential(connection: AsyncConnection, credential: UUID, after: timedelta) -> None:
    """Have a credential end after a while, or sooner if it was to end sooner; 0 revokes it."""
    now = sa.func.now()
    values: dict[str, Any] = {"expires_at": sa.func.least(credentials.c.expires_at, now + after)}
    if not after:
        values = {"revoked_at": sa.func.coalesce(credentials.c.revoked_at, now)}
    await connection.execute(sa.update(credentials).where(credentials.c.id == credential).values(values))


async def forget_old_secret(connection: AsyncConnection, client: UUID) -> None:
    """Leave nothing for the version before to let a client in by that was rotated or revoked."""
    await connection.execute(sa.update(clients).where(clients.c.id == client).values(secret_sha256=b""))


async def revoke_client(connection: AsyncConnection, client: UUID) -> None:
    """End a client and all its credentials; what ended before keeps its time."""
    now = sa.func.now()
    await connection.execute(
        sa.update(clients).where(clients.c.id == client, clients.c.revoked_at.is_(None)).values(revoked_at=now)
    )
    await connection.execute(
        sa.update(credentials)
        .where(credentials.c.client_id == client, credentials.c.revoked_at.is_(None))
        .values(revoked_at=now)
    )


async def ended_lately(connection: Any, within: timedelta) -> set[UUID]:
    """Ids of the clients and credentials that were revoked or ran out within a time: tokens may be out for them."""
    rows = await connection.fetch(
        "SELECT id FROM client_credentials WHERE revoked_at > now() - $1::interval"
        " UNION SELECT id FROM client_credentials WHERE expires_at > now() - $1::interval"
        " AND expires_at <= clock_timestamp()"
        " UNION SELECT id FROM clients WHERE revoked_at > now() - $1::interval",
        within,
    )
    return {row["id"] for row in rows}


async def limit_client(connection: AsyncConnection, client: UUID, limits: dict[str, Any]) -> None:
    """Set all limits of a client."""
    changed = sa.update(clients).where(clients.c.id == client).values(**limits, limits_changed_at=sa.func.now())
    await connection.execute(changed)


async def limited_lately(connection: Any, within: timedelta) -> dict[UUID, Any]:
    """The limits of clients that were given others within a time: tokens may be out that say what they were."""
    rows = await connection.fetch(
        "SELECT id, requests_per_second, burst, reports_per_day FROM clients"
        " WHERE limits_changed_at > now() - $1::interval",
        within,
    )
    return {row["id"]: row for row in rows}


async def note_uses(connection: Any, uses: Sequence[tuple[UUID, datetime, str | None]]) -> None:
    """When credentials were last used, and from where; one that was used later by another's word keeps that."""
    await connection.execute(
        "UPDATE client_credentials kept SET last_used_at = given.at, last_address = given.address"
        " FROM unnest($1::uuid[], $2::timestamptz[], $3::text[]) AS given (id, at, address)"
        " WHERE kept.id = given.id AND (kept.last_used_at IS NULL OR kept.last_used_at < given.at)",
        *map(list, zip(*uses, strict=True)),
    )
