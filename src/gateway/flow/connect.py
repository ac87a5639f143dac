"""Connectors: made, changed, paused and removed by an operator.

``sees`` tells by a connector's ``under`` whether the operator may know of it; what he may not is not found.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import sqlalchemy as sa
from cryptography.fernet import InvalidToken, MultiFernet
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.db import catalogue as stored
from gateway.db.breakers import probe_now
from gateway.db.connectors import find_connector, pause_connector, put_connector, remove_connector
from gateway.db.deadline import unhurried
from gateway.db.deliveries import Backlog, add_backlog, cancel_open, cancel_reminders
from gateway.db.engine import server_now
from gateway.db.interventions import NewIntervention, add_intervention
from gateway.db.log import record_entries
from gateway.db.subtree import EVERYTHING, seeing
from gateway.domain.calendar import civil_date
from gateway.domain.catalogue import Catalogue
from gateway.domain.connector_document import ConnectorDocument
from gateway.domain.delivery import REMINDERS
from gateway.domain.entry import canonical, new_entry
from gateway.domain.period import VIETNAM
from gateway.domain.upstream import What
from gateway.errors import MalformedRequest, NotFound, Place, Text
from gateway.flow.load import Catalogues
from gateway.flow.steer import Cause, Sees


async def change_connector(
    engine: AsyncEngine,
    catalogues: Catalogues,
    secrets: MultiFernet,
    client: UUID,
    today: date,
    name: str,
    document: ConnectorDocument,
    sees: Sees,
) -> tuple[sa.Row[Any], bool]:
    """Make or change a connector, with deliveries of the older reports it is to have; True when it is new."""
    values = _values(document, secrets)
    while True:
        catalogue = await catalogues.newest()
        async with engine.begin() as connection:
            await unhurried(connection)
            await stored.hold_still(connection)
            if await stored.newest_revision(connection) != catalogue.revision:
                continue
            known = await find_connector(connection, name)
            if known is not None and not sees(known.under):
                raise NotFound()
            if known is not None and document.credentials is None and known.credentials is not None:
                _require_same_place((known.url, known.options), (document.url, document.options))
            await stored.record(connection, [], f"connector {name}", client)
            shown = document.model_dump(mode="json", exclude={"name", "credentials"})
            texts = {"document": canonical(shown).decode()}
            await _record(connection, "connector-put", client, {"connector": name, "kind": document.kind}, texts)
            since = _reminds_since(known, values, civil_date(await server_now(connection)))
            is_new = await put_connector(connection, name, values | {"remind_since": since})
            kept = await _find(connection, name, sees)
            raw = await _driver(connection)
            await probe_now(raw, kept.id)  # whatever was wrong with it may have been mended
            if unasked := REMINDERS - (document.remind.events if document.remind else frozenset()):
                words = "the connector does not ask for it any more"
                await cancel_reminders(raw, kept.id, sorted(unasked), words, client)
            if document.from_ is not None:
                await add_backlog(raw, _backlog(kept, catalogue, today))
            return kept, is_new


def _reminds_since(known: sa.Row[Any] | None, values: Mapping[str, Any], today: date) -> date | None:
    """Since when a connector has asked for just these reminders: of what became overdue before, it is told nothing."""
    if values["remind"] is None:
        return None
    if known is None or known.remind_since is None:
        return today
    is_same = all(getattr(known, name) == values[name] for name in ("remind", "forms", "under"))
    since: date = known.remind_since if is_same else today
    return since


_ADDRESSES = ("token_url", "dstcode", "provider_url")
"""Options that say where credentials are sent."""


def _require_same_place(known: tuple[str, Mapping[str, Any] | None], new: tuple[str, Mapping[str, Any] | None]) -> None:
    """Credentials stay where they were given for: another address needs them anew, or `{}`."""
    if _places(*known) != _places(*new):
        message = Text(
            "Địa chỉ máy chủ đã đổi: hãy gửi lại 'credentials' ({} nếu không cần).",
            "The server's address changed: give 'credentials' again ({} for none).",
        )
        raise MalformedRequest(message, errors=[Place("/credentials", message)])


def _places(url: str, options: Mapping[str, Any] | None) -> Sequence[object]:
    return [*urlsplit(url)[:2], *((options or {}).get(name) for name in _ADDRESSES)]


def _values(document: ConnectorDocument, secrets: MultiFernet) -> dict[str, Any]:
    values = document.model_dump(exclude={"name", "from_", "credentials"}) | {"from_day": document.from_}
    if document.credentials is not None:
        text = json.dumps(document.credentials).encode()
        values["credentials"] = secrets.encrypt(text) if document.credentials else None
    return values


def opened(secrets: MultiFernet, credentials: bytes | None) -> Mapping[str, str] | None:
    """Kept credentials as a connector takes them. Raises ``InvalidToken`` where no key of ours opens them."""
    if credentials is None:
        return None
    found: dict[str, str] = json.loads(secrets.decrypt(credentials))
    return found


async def known_credentials(
    engine: AsyncEngine, secrets: MultiFernet, name: str, sees: Sees
) -> Mapping[str, str] | None:
    """The credentials that a connector keeps unless it is given others; None if it has none that can be read."""
    async with engine.connect() as connection:
        known = await find_connector(connection, name)
    if known is None or not sees(known.under):
        return None
    try:
        return opened(secrets, known.credentials)
    except InvalidToken:
        return None


def _backlog(connector: sa.Row[Any], catalogue: Catalogue, today: date) -> Backlog:
    agencies = catalogue.agencies
    return Backlog(
        connector=connector.id,
        since=datetime.combine(connector.from_day, time.min, VIETNAM),
        agencies=None
        if connector.under is None
        else [agencies.ids[code] for code in agencies.placed(today).subtree(connector.under)],
        forms=None if connector.forms is None else [catalogue.form_ids[code] for code in connector.forms],
        kinds=What(connector.what).kinds,
    )


async def end_connector(engine: AsyncEngine, client: UUID, name: str, sees: Sees) -> None:
    """Remove a connector and give up what it has not sent; its deliveries stay readable."""
    with seeing(EVERYTHING):  # none is left behind, whoever is in the subtree by now
        async with engine.begin() as connection:
            await unhurried(connection)
            await stored.record(connection, [], f"connector {name} removed", client)
            kept = await _find(connection, name, sees)
            await remove_connector(connection, name)
            cancelled = await cancel_open(await _driver(connection), kept.id, "the connector was removed", client)
            await _record(connection, "connector-removed", client, {"connector": name, "cancelled": cancelled})


async def pause_or_resume(engine: AsyncEngine, name: str, sees: Sees, cause: Cause, paused: bool) -> sa.Row[Any]:
    """Send nothing more through a connector, or go on sending; doing it again changes nothing."""
    async with engine.begin() as connection:
        kept = await _find(connection, name, sees)
        if (kept.paused_at is not None) is not paused:
            await pause_connector(connection, name, paused)
            new = NewIntervention(kept.id, "pause" if paused else "resume", cause.client, cause.reason)
            await add_intervention(await _driver(connection), new)
            what = "connector-paused" if paused else "connector-resumed"
            await _record(connection, what, cause.client, {"connector": name}, {"reason": cause.reason})
        return await _find(connection, name, sees)


async def _record(
    connection: AsyncConnection,
    what: str,
    by: UUID | None,
    about: Mapping[str, object],
    texts: Mapping[str, str | None] | None = None,
) -> None:
    """Have the log record what an operator does."""
    await record_entries(connection, [new_entry(what, await server_now(connection), by, about, texts=texts)])


async def _find(connection: AsyncConnection, name: str, sees: Sees) -> sa.Row[Any]:
    kept = await find_connector(connection, name)
    if kept is None or not sees(kept.under):
        raise NotFound()
    return kept


async def _driver(connection: AsyncConnection) -> Any:
    """The asyncpg connection of a transaction that has begun."""
    return (await connection.get_raw_connection()).driver_connection
