"""Steer the forwarding: make, change, pause and remove connectors, take deliveries up again or give them up.

``sees`` tells by a connector's ``under`` whether the operator may know of it; what he may not is not found.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import Annotated, Any, Literal, TypeAlias
from urllib.parse import urlsplit
from uuid import UUID

import sqlalchemy as sa
from cryptography.fernet import InvalidToken, MultiFernet
from pydantic import ConfigDict, Field, StringConstraints, WithJsonSchema, model_validator
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.db import catalogue as stored
from gateway.db.breakers import probe_now
from gateway.db.connectors import (
    find_connector,
    lock_connector,
    pause_connector,
    put_connector,
    remove_connector,
)
from gateway.db.deadline import unhurried
from gateway.db.deliveries import (
    Backlog,
    KeptDelivery,
    add_backlog,
    cancel_delivery,
    cancel_open,
    cancel_reminders,
    find_delivery,
    hasten_delivery,
    reopen_delivery,
)
from gateway.db.engine import clock, driver, server_now
from gateway.db.interventions import NewIntervention, add_intervention
from gateway.db.log import add_entries, record_entries
from gateway.db.subtree import EVERYTHING, seeing
from gateway.domain.calendar import civil_date
from gateway.domain.catalogue import Catalogue
from gateway.domain.delivery import REMINDERS, DeliveryState, Event, schedule_of
from gateway.domain.document import EXACT, WEB_ADDRESS, Day, Document, refusal
from gateway.domain.entry import canonical, new_entry
from gateway.domain.period import VIETNAM
from gateway.domain.upstream import What
from gateway.errors import MalformedRequest, NotFound, Place, StateConflict, Text
from gateway.flow.load import Catalogues

Sees: TypeAlias = Callable[[str | None], bool]
CONNECTOR_KINDS = ("gateway", "http_json", "webhook", "lgsp", "ndxp", "dhis2", "witness")
"""The kinds there are, for the document; what knows them opens them."""
TAKEN_UP = "taken up again by an operator"


@dataclass(frozen=True, slots=True)
class Cause:
    """Who does something to a connector or its deliveries, and why."""

    client: UUID
    reason: str | None = None


_Name = Annotated[str, StringConstraints(min_length=1, max_length=100)]
_Secret = Annotated[str, StringConstraints(max_length=40_000)]
_PerSecond = Annotated[
    Decimal,
    EXACT,
    Field(gt=0, max_digits=9, decimal_places=3),
    WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1_000_000, "multipleOf": 0.001}),
]


class Remind(Document):
    """What a connector is reminded of: obligations that have no accepted report."""

    model_config = ConfigDict(
        json_schema_extra={
            "if": {"properties": {"due_in_days": {"type": "null"}}},
            "then": {"required": ["overdue"], "properties": {"overdue": {"const": True}}},
        }
    )

    due_in_days: int | None = Field(
        None, ge=0, le=60, description="So many days before one is due; 0: on that day; null: never."
    )
    overdue: bool = Field(False, description="Whether also on the day after.")

    @property
    def events(self) -> frozenset[Event]:
        """Which reminders it asks for."""
        asked = {Event.due: self.due_in_days is not None, Event.overdue: self.overdue}
        return frozenset(event for event, is_asked in asked.items() if is_asked)


_MOST_ATTEMPTS = 1000
_Wait = Annotated[int, Field(ge=1, le=7 * 24 * 3600)]


class Retry(Document):
    """When a connector's deliveries are tried again; each wait is moved by up to a fifth, as everywhere."""

    delays_seconds: list[_Wait] = Field(
        min_length=1, max_length=50, description="The waits after failed attempts, in turn; the last is repeated."
    )
    horizon_hours: int = Field(
        ge=1,
        le=28 * 24,
        description="So long after the first attempt the last one is made; then the delivery is `exhausted`.",
    )

    @model_validator(mode="after")
    def _is_bounded(self) -> "Retry":
        if schedule_of(self.delays_seconds, self.horizon_hours).attempts > _MOST_ATTEMPTS:
            raise refusal(
                f"Quá {_MOST_ATTEMPTS} lần thử trong thời hạn này: hãy đặt khoảng chờ cuối dài hơn",
                f"More than {_MOST_ATTEMPTS} attempts within this horizon: make the last wait longer",
            )
        return self


class ConnectorDocument(Document):
    """What an operator asks a connector to be."""

    name: _Name | None = Field(None, description="If given, the name in the address.")
    kind: _Name = Field(
        description="How the upstream is spoken to: `gateway` (another instance of this gateway); `http_json`; "
        "`webhook` (Standard Webhooks); `lgsp` (OAuth 2.0 "
        "client credentials, then as `http_json`); `ndxp` (through an adapter of X-Road servers, after signing in to "
        "the provider); `dhis2` (data value sets); `witness` (of the log: C2SP tlog-witness, with `what` `none`).",
        json_schema_extra={"enum": [*CONNECTOR_KINDS]},
    )
    url: str = Field(min_length=1, max_length=2000, json_schema_extra=WEB_ADDRESS)
    forms: list[_Name] | None = Field(None, min_length=1, max_length=1000, description="Only these forms; null: all.")
    under: _Name | None = Field(None, description="Only this agency and everything below it; null: the whole country.")
    what: Literal["own", "consolidation", "all", "none"] = Field(
        "own", description="Which kinds of report; `none` where only reminders are wanted."
    )
    remind: Remind | None = Field(
        None, description="Reminders of obligations, of the `forms` and `under` above; only for kind `webhook`."
    )
    from_: Day | None = Field(
        None,
        alias="from",
        description="Also reports received since this day; null: only those accepted from now on.",
    )
    concurrency: int = Field(8, ge=1, le=100, description="The most to send at once.")
    rate: _PerSecond | None = Field(None, description="The most to send in a second; null: no limit.")
    retry: Retry | None = Field(
        None,
        description="When failed deliveries are tried again; null: after 5 s, 30 s, 2 min, 10 min, 30 min, 1 h, 2 h, "
        "then every 4 h, for 7 days. It holds from the next failure on.",
    )
    allow_private_addresses: bool = Field(False, description="Whether the URL may lead to private addresses.")
    options: dict[_Name, Any] | None = Field(
        None,
        description="What the kind asks for beyond this; no secrets. `lgsp`: `token_url`, and `scope` if one is asked "
        "for. `ndxp`: `dstcode`, `provider_url`, `service`, `login`. `dhis2`: `forms`, `org_units`, and `periods` that "
        "are not of its calendar. `witness`: `vkey`, its public key. "
        "`http_json`, `lgsp` and `ndxp`, for a receiver of another shape: `accepted`, "
        "`returned` and `withdrawn`, each with `method`, `path`, `headers`, `body`, `taken` and `busy`, and the tables "
        "`codes`; where there is any of the three, an event without one is not sent. `http_json`: `reconciliation`, "
        "which says where the receiver lists what it holds. `webhook` and `gateway` have none.",
        examples=[
            {"token_url": "https://lgsp.example/token"},
            {
                "codes": {"offices": {"H26.18": "000-00-18-H26"}},
                "accepted": {
                    "method": "PUT",
                    "path": "/bao-cao/{form}/{period}",
                    "headers": {"X-Ma-Don-Vi": "{agency|offices}"},
                    "body": {"rows": {"$each": "row", "$give": {"sector": "{row/sector}"}}},
                    "taken": {"/MSG": ["Done"]},
                },
            },
        ],
    )
    credentials: dict[_Name, _Secret] | None = Field(
        None,
        max_length=10,
        description="`bearer`; `signing_secret`: `whsec_…`, or an Ed25519 private key `whsk_…`, or several with a "
        "space between them while the receiver changes from one to the other. A `webhook` needs one; `lgsp` has "
        "`client_id` and `client_secret` for `bearer`, `ndxp` `username` and `password`; `dhis2` has those or `token`, "
        "and no `signing_secret`; `gateway` has `client_id` and `client_secret` alone. Any kind: `client_certificate` "
        "and `client_key` to be known by, `ca_certificate` to know the upstream by instead of public ones, all in PEM. "
        "Absent: keeps those there are; `{}`: none. Never read back.",
    )


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


async def retry_delivery(engine: AsyncEngine, delivery: UUID, sees: Sees, cause: Cause) -> KeptDelivery:
    """Take up again a delivery that has ended without success; one that is pending becomes due.

    Raises ``StateConflict`` when it is being sent or delivered, or a later one of its key has passed it.
    """
    async with driver(engine) as connection, connection.transaction():
        kept = await _hold(connection, delivery, sees)
        if kept.state == DeliveryState.pending:
            await hasten_delivery(connection, delivery)
        elif kept.is_removed or not await reopen_delivery(connection, delivery, words_of(TAKEN_UP, cause)):
            raise _conflict(kept)
        await _note(connection, kept, "retry", "delivery-retried", cause)
        return await _hold(connection, delivery, sees)


async def give_up_delivery(engine: AsyncEngine, delivery: UUID, sees: Sees, cause: Cause) -> KeptDelivery:
    """Cancel a delivery; doing it again changes nothing.

    Raises ``StateConflict`` when it is being sent or delivered.
    """
    async with driver(engine) as connection, connection.transaction():
        before = await _hold(connection, delivery, sees)
        await cancel_delivery(connection, delivery, words_of("cancelled by an operator", cause))
        kept = await _hold(connection, delivery, sees)
        if kept.state != DeliveryState.cancelled:
            raise _conflict(kept)
        if before.state != DeliveryState.cancelled:
            await _note(connection, kept, "cancel", "delivery-cancelled", cause)
        return kept


async def _note(connection: Any, kept: KeptDelivery, act: str, what: str, cause: Cause) -> None:
    """Keep who did something to a delivery, and why, and have the log record it."""
    await add_intervention(connection, NewIntervention(kept.connector_id, act, cause.client, cause.reason), kept.id)
    about = {"delivery": str(kept.id), "connector": kept.connector, "event": kept.event}
    texts = {"reason": cause.reason}
    at = await clock(connection)
    await add_entries(connection, [new_entry(what, at, cause.client, about, report=kept.report_id, texts=texts)])


async def _hold(connection: Any, delivery: UUID, sees: Sees) -> KeptDelivery:
    """A delivery, with its connector locked so that no worker claims it meanwhile."""
    kept = await find_delivery(connection, delivery)
    if kept is None or not sees(kept.under):
        raise NotFound()
    await lock_connector(connection, kept.connector_id)
    return await find_delivery(connection, delivery) or kept


def _conflict(kept: KeptDelivery) -> StateConflict:
    state = kept.state
    if kept.is_removed:
        reason = Text("kết nối đã bị gỡ bỏ", "its connector was removed")
    elif state in {DeliveryState.sending, DeliveryState.delivered}:
        reason = Text(f"trạng thái là {state}", f"it is {state}")
    else:
        reason = Text(
            "một lần gửi sau của cùng báo cáo đã hoặc có thể đã tới nơi",
            "a later delivery of the same report has arrived, or may have",
        )
    detail = Text(f"Không thực hiện được: {reason.vi}.", f"This cannot be done: {reason.en}.")
    return StateConflict(detail, extra={"state": state})


def words_of(what: str, cause: Cause) -> str:
    """What is said of a delivery that an operator changed."""
    return f"{what}: {cause.reason}" if cause.reason else what
