"""A stand-in for the national system, to try the gateway out and to test it with: `gateway sandbox`.

A test double and nothing more: it takes what connectors of kind `http_json` and `gateway` send, checks what a careful
receiver checks, keeps the list of arrivals in memory, and misbehaves when told to. It shares no code with the
connectors, so the two can only agree by both following the standards.
"""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, cast
from uuid import UUID

import jiter
import uvicorn
from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import Headers
from uvicorn.protocols.http.h11_impl import H11Protocol

from gateway.domain.delivery import Event
from gateway.sandbox_gateway import NotARelay, Stamp, kind_of, read_relayed

TOLERANCE = timedelta(minutes=5)
"""How far a `webhook-timestamp` may lie from the clock here, as Standard Webhooks recommends."""
LARGEST_BODY = 64 * 1024 * 1024

router = APIRouter()


class Mode(StrEnum):
    """What can be done with a report."""

    accept = "accept"
    refuse = "refuse"
    stall = "stall"
    throttle = "throttle"
    drop = "drop"


class Behaviour(BaseModel):
    """What is done with the next `count` reports before accepting again; without `count`, with all of them.

    `refuse` answers 422 and `throttle` 429, or the `status` given, with the `Retry-After` given; neither
    keeps the report. `drop` closes the connection without an answer and without keeping it; `stall` keeps it,
    so that a repeat shows, and answers only after `seconds`.
    """

    model_config = ConfigDict(extra="forbid")

    mode: Mode = Mode.accept
    seconds: float = Field(30, ge=0, le=3600)
    count: int | None = Field(None, ge=1)
    status: int | None = Field(None, ge=300, le=599)
    retry_after: int | Annotated[str, Field(pattern="^[!-~]([ -~]{0,98}[!-~])?$")] | None = None


class Notice(BaseModel):
    """The body for a report that was returned or withdrawn."""

    report: UUID
    event: Event


class Shown(BaseModel):
    """The body for an accepted report: what is read of the report as the gateway shows it."""

    id: UUID
    sha256: str | None = None
    agency: str | None = None
    form: str | None = None
    period: str | None = None
    revision: int | None = None


class Arrival(BaseModel):
    """One event of one report. `sha256` is that of the body here, `report_sha256` the report's own."""

    id: UUID
    event: Event
    sha256: str
    report_sha256: str | None = None
    agency: str | None = None
    form: str | None = None
    period: str | None = None
    revision: int | None = None
    first_at: datetime
    last_at: datetime
    count: int = 1


class Received(BaseModel):
    """Arrivals, newest first; `total` counts all that match, listed or not."""

    items: list[Arrival]
    total: int


class NotAsAgreed(Exception):
    """What arrived is not what was agreed on; the sender is told the status and the reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


@dataclass(slots=True)
class Sandbox:
    """All that a sandbox knows; gone with its process."""

    key: bytes | None
    record: Path | None
    behaviour: Behaviour = field(default_factory=Behaviour)
    stamp: Stamp = field(default_factory=Stamp)
    ended: dict[UUID, str] = field(default_factory=dict)
    arrivals: dict[str, Arrival] = field(default_factory=dict)

    def next_behaviour(self) -> Behaviour:
        """What to do with the report at hand, which is one fewer to go."""
        current = self.behaviour
        if current.count is not None:
            left = current.count - 1
            self.behaviour = current.model_copy(update={"count": left}) if left else Behaviour()
        return current

    def take(self, headers: Headers, body: bytes, now: datetime) -> Arrival:
        """Check and keep a report; its `count` is above 1 if it arrived before. Raises `NotAsAgreed`."""
        _check_digest(headers, body)
        _check_webhook(headers, body, self.key, now)
        arrival = _read(body, now)
        key = f"{arrival.id}:{arrival.event}"
        if headers.get("idempotency-key") != key:
            raise NotAsAgreed(400, f"Idempotency-Key is not {key}, the report and event of the body")
        return self._keep(key, arrival, now)

    def take_relayed(self, headers: Headers, body: bytes, now: datetime) -> tuple[Arrival, str]:
        """Check and keep a report that another gateway took first; with a receipt. Raises `NotAsAgreed`."""
        _check_digest(headers, body)
        try:
            found = read_relayed(headers, body)
        except NotARelay as error:
            raise NotAsAgreed(403, str(error)) from error
        arrival = Arrival(
            id=found.id,
            event=Event.accepted,
            sha256=found.sha256,
            report_sha256=found.sha256,
            agency=found.agency,
            form=found.form,
            period=found.period,
            revision=found.revision,
            first_at=now,
            last_at=now,
        )
        return self._keep(f"{found.id}:accepted", arrival, now), self.stamp.receipt(found, kind_of(body))

    def end_relayed(self, report: UUID, event: Event, body: bytes, now: datetime) -> Arrival:
        """Keep that a relayed report was returned or withdrawn. Raises `NotAsAgreed`."""
        if f"{report}:accepted" not in self.arrivals:
            raise NotAsAgreed(404, "there is no such report")
        self.ended[report] = event.value
        sha256 = hashlib.sha256(body).hexdigest()
        return self._keep(
            f"{report}:{event}", Arrival(id=report, event=event, sha256=sha256, first_at=now, last_at=now), now
        )

    def held(self) -> list[dict[str, object]]:
        """The relayed reports, newest first, as a gateway lists them."""
        found = [each for each in self.arrivals.values() if each.event is Event.accepted]
        return [
            {"id": str(each.id), "sha256": each.report_sha256, "status": self.ended.get(each.id, "accepted")}
            for each in sorted(found, key=lambda each: each.id, reverse=True)
        ]

    def _keep(self, key: str, arrival: Arrival, now: datetime) -> Arrival:
        if known := self.arrivals.get(key):
            if known.sha256 != arrival.sha256:
                raise NotAsAgreed(409, "this Idempotency-Key arrived before with another body")
            arrival = known.model_copy(update={"last_at": now, "count": known.count + 1})
        self.arrivals[key] = arrival
        self._append(arrival)
        return arrival

    def _append(self, arrival: Arrival) -> None:
        if self.record is not None:
            with self.record.open("a", encoding="utf-8") as lines:
                lines.write(arrival.model_dump_json() + "\n")


def _read(body: bytes, now: datetime) -> Arrival:
    """What a body says it is about."""
    sha256 = hashlib.sha256(body).hexdigest()
    try:
        document = jiter.from_json(body, allow_inf_nan=False, catch_duplicate_keys=True)
        if isinstance(document, dict) and "event" in document:
            notice = Notice.model_validate(document)
            return Arrival(id=notice.report, event=notice.event, sha256=sha256, first_at=now, last_at=now)
        shown = Shown.model_validate(document)
    except ValidationError as error:
        places = ", ".join(".".join(map(str, place["loc"])) or "the body" for place in error.errors())
        raise NotAsAgreed(400, f"missing or of the wrong type: {places}") from error
    except ValueError as error:
        raise NotAsAgreed(400, f"the body is not strict JSON: {error}") from error
    fields = shown.model_dump(exclude={"sha256"})
    return Arrival(**fields, event=Event.accepted, sha256=sha256, report_sha256=shown.sha256, first_at=now, last_at=now)


def _check_digest(headers: Headers, body: bytes) -> None:
    expected = f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"
    if headers.get("content-digest") != expected:
        raise NotAsAgreed(400, f"Content-Digest is not {expected}, that of the bytes that arrived (RFC 9530)")


def _check_webhook(headers: Headers, body: bytes, key: bytes | None, now: datetime) -> None:
    """The headers of Standard Webhooks; the signature is looked at only where a secret was agreed on."""
    identity, stamp = headers.get("webhook-id"), headers.get("webhook-timestamp", "")
    if not identity:
        raise NotAsAgreed(400, "webhook-id is missing")
    seconds = int(stamp) if re.fullmatch("[0-9]{1,12}", stamp) else 0
    if abs(now.timestamp() - seconds) > TOLERANCE.total_seconds():
        raise NotAsAgreed(400, "webhook-timestamp is not within 5 minutes of the clock here")
    if key is None:
        return
    mac = hmac.digest(key, f"{identity}.{stamp}.".encode() + body, "sha256")
    expected = f"v1,{base64.b64encode(mac).decode()}".encode()
    offered = headers.get("webhook-signature", "").split()
    if not any(hmac.compare_digest(expected, one.encode()) for one in offered):
        raise NotAsAgreed(401, "no webhook-signature was made with the secret of this sandbox")


def _sandbox(request: Request) -> Sandbox:
    sandbox = request.app.state.sandbox
    assert isinstance(sandbox, Sandbox)  # noqa: S101 (tells the type of untyped state)
    return sandbox


Here = Annotated[Sandbox, Depends(_sandbox)]


def _problem(status: int, detail: str, retry_after: int | str | None = None) -> JSONResponse:
    return JSONResponse(
        {"type": "about:blank", "title": "Not taken by the sandbox", "status": status, "detail": detail},
        status,
        {} if retry_after is None else {"Retry-After": str(retry_after)},
        media_type="application/problem+json",
    )


@router.post("/reports", status_code=201)
async def take(request: Request, sandbox: Here) -> Response:
    """Take a report, as the behaviour set allows: 201 the first time, 200 with `"duplicate": true` after."""
    body = await request.body()
    behaviour = sandbox.next_behaviour()
    if (refusal := _misbehaves(request, behaviour)) is not None:
        return refusal
    try:
        arrival = sandbox.take(request.headers, body, datetime.now(UTC))
    except NotAsAgreed as error:
        return _problem(error.status, error.reason)
    if behaviour.mode is Mode.stall:
        await _stall(request, behaviour.seconds)
    duplicate = arrival.count > 1
    answer = {"id": str(arrival.id), "event": arrival.event, "duplicate": duplicate}
    return JSONResponse(answer, 200 if duplicate else 201)


def _misbehaves(request: Request, behaviour: Behaviour) -> Response | None:
    """The answer of a sandbox that was told not to take what arrives; None where it takes it."""
    match behaviour.mode:
        case Mode.refuse:
            return _problem(behaviour.status or 422, "told to refuse", behaviour.retry_after)
        case Mode.throttle:
            wait = 1 if behaviour.retry_after is None else behaviour.retry_after
            return _problem(behaviour.status or 429, "told to throttle", wait)
        case Mode.drop:
            return _drop(request)
        case Mode.accept | Mode.stall:
            return None


def _drop(request: Request) -> Response:
    """Close the connection; the answer returned then has nowhere to go."""
    hang_up = getattr(request.state, "hang_up", None)
    if hang_up is None:
        return _problem(501, "only the server of `gateway sandbox` can drop connections")
    hang_up()
    return Response(status_code=204)


async def _stall(request: Request, seconds: float) -> None:
    """Wait, but no longer than the sender does: with the body read, the next message is its going away."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await request.receive()


@router.post("/oauth/token")
async def token() -> dict[str, object]:
    """A token, for anybody."""
    return {"access_token": "sandbox", "token_type": "Bearer", "expires_in": 3600}


@router.get("/.well-known/jwks.json")
async def read_keys(sandbox: Here) -> dict[str, object]:
    """The key that verifies the sandbox's receipts."""
    return dict(sandbox.stamp.public())


@router.post("/v1/reports", status_code=201)
async def take_relayed(request: Request, sandbox: Here) -> Response:
    """Take a relayed report, as the behaviour set allows, and give a receipt for it."""
    body = await request.body()
    behaviour = sandbox.next_behaviour()
    if (refusal := _misbehaves(request, behaviour)) is not None:
        return refusal
    try:
        arrival, receipt = sandbox.take_relayed(request.headers, body, datetime.now(UTC))
    except NotAsAgreed as error:
        return _problem(error.status, error.reason)
    if behaviour.mode is Mode.stall:
        await _stall(request, behaviour.seconds)
    answer = {"id": str(arrival.id), "status": "accepted", "sha256": arrival.sha256, "receipt": receipt}
    return JSONResponse(answer, 200 if arrival.count > 1 else 201)


@router.post("/v1/reports/{report}/{end}")
async def end_relayed(report: UUID, end: Literal["return", "withdraw"], request: Request, sandbox: Here) -> Response:
    """Be told that a relayed report was returned or withdrawn."""
    body = await request.body()
    if (refusal := _misbehaves(request, sandbox.next_behaviour())) is not None:
        return refusal
    event = Event.returned if end == "return" else Event.withdrawn
    try:
        sandbox.end_relayed(report, event, body, datetime.now(UTC))
    except NotAsAgreed as error:
        return _problem(error.status, error.reason)
    return JSONResponse({"id": str(report), "status": event})


@router.get("/v1/reports")
async def list_relayed(sandbox: Here) -> dict[str, object]:
    """The relayed reports it holds, all at once."""
    return {"items": sandbox.held(), "next": None}


@router.get("/v1/changes")
async def changes() -> dict[str, object]:
    """Nothing is ever returned here."""
    return {"items": [], "next": "sandbox", "more": False}


@router.get("/received")
async def received(
    sandbox: Here, report: UUID | None = None, limit: Annotated[int, Query(ge=1, le=100_000)] = 1000
) -> Received:
    """What arrived, newest first, of one report or of all."""
    found = [one for one in reversed(sandbox.arrivals.values()) if report in (None, one.id)]
    return Received(items=found[:limit], total=len(found))


@router.delete("/received", status_code=204)
async def forget(sandbox: Here) -> None:
    """Forget what arrived."""
    sandbox.arrivals.clear()
    sandbox.ended.clear()


@router.get("/behaviour")
async def behaviour(sandbox: Here) -> Behaviour:
    """What is done with the next report."""
    return sandbox.behaviour


@router.post("/behaviour")
async def behave(wanted: Behaviour, sandbox: Here) -> Behaviour:
    """Set what is done with the next reports."""
    sandbox.behaviour = wanted
    return wanted


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Alive."""
    return {"status": "ok"}


@router.get("/")
async def about(sandbox: Here) -> dict[str, object]:
    """What this is and what it can do."""
    return {
        "vi": "Hệ thống giả lập thay cho hệ thống quốc gia, chỉ để thử nghiệm; dữ liệu nằm trong bộ nhớ.",
        "en": "A stand-in for the national system, for testing only; it keeps everything in memory.",
        "signature_required": sandbox.key is not None,
        "behaviour": sandbox.behaviour.mode,
        "received": len(sandbox.arrivals),
        "routes": {
            "POST /reports": "takes a report from a connector of kind http_json",
            "POST /v1/reports": "takes a report from a connector of kind gateway, whose url is this address",
            "GET /received": "what arrived: ?report= &limit=",
            "DELETE /received": "forgets it",
            "GET|POST /behaviour": "what is done with reports: mode, count, seconds, status, retry_after",
            "GET /openapi.json": "all of this in full",
        },
    }


def sandbox_app(secret: str | None = None, record: Path | None = None) -> FastAPI:
    """A sandbox. `secret` (`whsec_…`) is what reports are signed with; `record` gets a line an arrival."""
    app = FastAPI(title="Sandbox", summary=__doc__, docs_url=None, redoc_url=None, max_body_size=LARGEST_BODY)
    key = None if secret is None else base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    app.state.sandbox = Sandbox(key, record)
    app.include_router(router)
    return app


class _Protocol(H11Protocol):
    """HTTP, with a way for the application to close the connection without an answer."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, transport))
        self.app_state = {**self.app_state, "hang_up": self.transport.abort}


def sandbox_server(
    host: str = "127.0.0.1", port: int = 8900, *, secret: str | None = None, record: Path | None = None
) -> uvicorn.Server:
    """The sandbox on a server that can also drop connections."""
    config = uvicorn.Config(
        sandbox_app(secret, record),
        host,
        port,
        http=_Protocol,
        ws="none",
        lifespan="off",
        log_level="warning",
        timeout_graceful_shutdown=1,
    )
    return uvicorn.Server(config)


def run_sandbox(
    host: str = "127.0.0.1", port: int = 8900, *, secret: str | None = None, record: Path | None = None
) -> None:
    """Serve the sandbox until told to stop."""
    sandbox_server(host, port, secret=secret, record=record).run()
