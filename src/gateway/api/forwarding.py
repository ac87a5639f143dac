"""What connectors and deliveries look like to operators: shapes with examples, and how the kept ones are shown."""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict, Field

from gateway.db.attempts import KeptAttempt
from gateway.db.breakers import Known
from gateway.db.deliveries import KeptDelivery
from gateway.db.follows import KeptFollow
from gateway.db.interventions import KeptIntervention
from gateway.domain.breaker import BreakerState
from gateway.domain.catalogue import Catalogue
from gateway.domain.connector_document import Remind, Retry
from gateway.domain.delivery import DeliveryState, Event, OutcomeClass
from gateway.domain.document import NUMBER, Document
from gateway.domain.report import ReportKind
from gateway.domain.upstream import What

_UPSTREAM: dict[str, Any] = {
    "name": "national",
    "kind": "http_json",
    "url": "https://upstream.example/reports",
    "forms": None,
    "under": None,
    "what": "own",
    "remind": None,
    "from": "2026-01-01",
    "concurrency": 8,
    "rate": None,
    "retry": None,
    "allow_private_addresses": False,
    "options": None,
}
GIVEN = _UPSTREAM | {"credentials": {"bearer": "…", "signing_secret": "whsec_…"}}
_SHOWN = _UPSTREAM | {"paused": False, "has_credentials": True, "made_at": "2026-09-01T02:00:00.000000Z"}
_BREAKER = {"state": "closed", "failures": 0, "until": None}
_DELIVERY: dict[str, Any] = {
    "id": "01998a3e-6a01-7b10-8d55-02c4e6a8b1f3",
    "connector": "national",
    "report": "01998a3e-5f10-7c4e-9b1a-3d5f7a9c1e20",
    "event": "accepted",
    "state": "pending",
    "agency": "H26.18",
    "form": "TTHC_06A",
    "period": "2026-Q3",
    "kind": "own",
    "owed_by": None,
    "made_at": "2026-09-20T02:15:08.114200Z",
    "due_at": "2026-09-20T02:15:14.020100Z",
    "attempts": 1,
    "finished_at": None,
    "outcome": "the upstream could not take it now: it answered 503",
    "receipt": None,
}
_ATTEMPT: dict[str, Any] = {
    "number": 1,
    "started_at": "2026-09-20T02:15:08.410000Z",
    "finished_at": "2026-09-20T02:15:08.612000Z",
    "outcome": "unreachable",
    "status": 503,
    "reason": "the upstream could not take it now: it answered 503",
    "reply": "Service Unavailable",
}


_INTERVENTION: dict[str, Any] = {
    "id": "01998a3e-7b01-7b10-8d55-02c4e6a8b1f3",
    "at": "2026-09-21T02:15:08.114200Z",
    "act": "retry",
    "client": "01998a3e-4a01-7b10-8d55-02c4e6a8b1f3",
    "reason": "Trục liên thông đã hoạt động lại.",
    "wanted": {"form": "TTHC_06A", "period": "2026-Q3"},
    "touched": 3,
    "passed": 0,
}


class ConnectorShape(BaseModel):
    """An upstream and what of it is forwarded. Credentials are never read back."""

    model_config = ConfigDict(json_schema_extra={"examples": [_SHOWN]})

    name: str
    kind: str
    url: str
    forms: list[str] | None
    under: str | None
    what: What
    remind: Remind | None
    from_: date | None = Field(alias="from")
    concurrency: int
    rate: Annotated[Decimal, NUMBER] | None
    retry: Retry | None
    allow_private_addresses: bool
    options: dict[str, Any] | None
    paused: bool
    has_credentials: bool
    made_at: datetime


class ConnectorPage(BaseModel):
    """A page of connectors, by name."""

    items: list[ConnectorShape]
    next: str | None


class DeliveryShape(BaseModel):
    """One event of a report, or one reminder of an obligation, on its way to one upstream."""

    model_config = ConfigDict(json_schema_extra={"examples": [_DELIVERY]})

    id: UUID
    connector: str
    report: UUID | None = Field(description="Null for a reminder: `due` or `overdue`.")
    event: Event
    state: DeliveryState
    agency: str
    form: str
    period: str
    kind: ReportKind
    owed_by: date | None = Field(description="Of a reminder, the last day on which the obligation is met in time.")
    made_at: datetime
    due_at: datetime | None = Field(description="When it is tried next; null unless it is pending.")
    attempts: int
    finished_at: datetime | None = Field(description="Null while it is pending or being sent.")
    outcome: str | None = Field(description="What happened to it last, in words.")
    receipt: str | None = Field(description="The upstream's own, verified; of kind `gateway`.")


class AttemptShape(BaseModel):
    """One attempt: `ambiguous` means that it may have arrived."""

    number: int
    started_at: datetime
    finished_at: datetime
    outcome: OutcomeClass
    status: int | None = Field(description="The upstream's HTTP status.")
    reason: str
    reply: str | None = Field(description="The start of what the upstream answered.")


class InterventionShape(BaseModel):
    """What an operator did: to one delivery, to many at once, or to a connector."""

    model_config = ConfigDict(json_schema_extra={"examples": [_INTERVENTION]})

    id: UUID
    at: datetime
    act: Literal["retry", "cancel", "pause", "resume"]
    client: UUID = Field(description="Which client did it.")
    reason: str | None
    wanted: dict[str, str] | None = Field(description="Of a retry of many, the filter as it was asked for.")
    touched: int = Field(description="How many deliveries it changed.")
    passed: int = Field(description="How many it left alone, since a later delivery of the same report passed them.")


class InterventionPage(BaseModel):
    """A page of what operators did to a connector and its deliveries, newest first."""

    items: list[InterventionShape]
    next: str | None


class FullDelivery(DeliveryShape):
    """A delivery with its attempts and what operators did to it, both oldest first.

    They are kept for `GATEWAY_ATTEMPTS_DAYS` (180 days unless set, and until their month is over); `attempts` still
    counts those that are not shown any more.
    """

    model_config = ConfigDict(
        json_schema_extra={"examples": [_DELIVERY | {"history": [_ATTEMPT], "interventions": []}]}
    )

    history: list[AttemptShape]
    interventions: list[InterventionShape]


class DeliveryPage(BaseModel):
    """A page of deliveries, newest first."""

    items: list[DeliveryShape]
    next: str | None


class Retried(BaseModel):
    """How many deliveries are tried again, and how many were left alone."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"retried": 3, "passed": 0, "intervention": _INTERVENTION["id"]}]}
    )

    retried: int
    passed: int = Field(
        description="Left alone, since a later delivery of the same report has arrived or may have: this one would "
        "come too late."
    )
    intervention: UUID = Field(description="Under this id it is kept who did this, why, and to which deliveries.")


class Grounds(Document):
    """Why an operator does something; kept with the delivery."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "Trục liên thông đã hoạt động lại."}]})

    reason: str | None = Field(None, max_length=1000)


class BreakerShape(BaseModel):
    """How the connector's circuit breaker stands, which all workers share."""

    state: BreakerState
    failures: int = Field(description="Attempts in a row that did not get through.")
    until: datetime | None = Field(description="When it is tried again, while it is open.")


class FollowShape(BaseModel):
    """How a gateway above is followed: what it returns is returned here."""

    followed_at: datetime | None = Field(description="When it last told what it returned.")
    failure: str | None = Field(description="Why it could not be asked, if the last look failed.")


class WitnessShape(BaseModel):
    """How far a witness has signed the log."""

    size: int | None = Field(description="Of the checkpoint that it signed last.")
    signed_at: datetime | None = Field(description="When it was last asked with success.")
    failure: str | None = Field(description="Why it did not sign, if it did not; a contradiction is an alarm.")


class ConnectorNow(ConnectorShape):
    """A connector, and whether its upstream is being spared."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [_SHOWN | {"breaker": _BREAKER, "returns": None, "witness": None}]}
    )

    breaker: BreakerShape
    returns: FollowShape | None = Field(description="Of kind `gateway`: how its returns are being followed.")
    witness: WitnessShape | None = Field(description="Of kind `witness`: what it has signed.")


def follow_shown(kept: KeptFollow | None) -> dict[str, object] | None:
    return None if kept is None else {"followed_at": kept.followed_at, "failure": kept.failure}


def witness_shown(kept: KeptFollow | None) -> dict[str, object] | None:
    if kept is None:
        return None
    size = None if kept.cursor is None else int(kept.cursor)
    return {"size": size, "signed_at": kept.followed_at, "failure": kept.failure}


def breaker_shown(known: Known) -> dict[str, object]:
    breaker = known.breaker
    return {"state": breaker.state(known.now), "failures": breaker.failures, "until": breaker.until}


def connector_shown(row: sa.Row[Any]) -> dict[str, object]:
    return {
        "name": row.name,
        "kind": row.kind,
        "url": row.url,
        "forms": row.forms,
        "under": row.under,
        "what": row.what,
        "remind": row.remind,
        "from": row.from_day,
        "concurrency": row.concurrency,
        "rate": row.rate,
        "retry": row.retry,
        "allow_private_addresses": row.allow_private_addresses,
        "options": row.options,
        "paused": row.paused_at is not None,
        "has_credentials": row.credentials is not None,
        "made_at": row.made_at,
    }


def delivery_shown(kept: KeptDelivery, catalogue: Catalogue) -> dict[str, object]:
    is_open = kept.state in {DeliveryState.pending, DeliveryState.sending}
    return {
        "id": kept.id,
        "connector": kept.connector,
        "report": kept.report_id,
        "event": kept.event,
        "state": kept.state,
        "agency": catalogue.agencies.codes[kept.agency_id],
        "form": catalogue.form_codes[kept.form_id],
        "period": kept.period,
        "kind": kept.kind,
        "owed_by": kept.owed_by,
        "made_at": kept.made_at,
        "due_at": kept.due_at if kept.state == DeliveryState.pending else None,
        "attempts": kept.attempts,
        "finished_at": None if is_open else kept.finished_at,
        "outcome": kept.outcome,
        "receipt": kept.receipt,
    }


def intervention_shown(kept: KeptIntervention) -> dict[str, object]:
    return {
        "id": kept.id,
        "at": kept.at,
        "act": kept.act,
        "client": kept.client_id,
        "reason": kept.reason,
        "wanted": kept.wanted,
        "touched": kept.touched,
        "passed": kept.passed,
    }


def attempt_shown(made: KeptAttempt) -> dict[str, object]:
    return {
        "number": made.number,
        "started_at": made.started_at,
        "finished_at": made.finished_at,
        "outcome": made.outcome,
        "status": made.status,
        "reason": made.reason,
        "reply": made.reply,
    }
